internal import Synchronization

/// A value that tasks can wait for.
public final class Observed<Value: Sendable>: Sendable {
  private struct Waiter {
    let id: Int
    let condition: @Sendable (Value) -> Bool
    let continuation: CheckedContinuation<Value?, Never>
  }
  private struct State {
    var value: Value
    var waiters: [Waiter] = []
    var lastWaiter = 0
    var cancelled: Set<Int> = []
  }
  private let state: Mutex<State>

  /// A value to begin with.
  public init(_ value: Value) { state = Mutex(State(value: value)) }

  /// The value now.
  public var value: Value { state.withLock { $0.value } }

  /// Changes the value, and wakes whoever waited for what it is now.
  public func update(_ change: @Sendable (inout Value) -> Void) {
    let (ready, value) = state.withLock { state in
      change(&state.value)
      let value = state.value
      let ready = state.waiters.filter { $0.condition(value) }
      state.waiters.removeAll { $0.condition(value) }
      return (ready, value)
    }
    for waiter in ready { waiter.continuation.resume(returning: value) }
  }

  /// Waits until the value is as wanted; nil when the task is cancelled before.
  @discardableResult
  public func wait(until condition: @escaping @Sendable (Value) -> Bool) async -> Value? {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (isOver, value): (Bool, Value?) = state.withLock { state in
          if state.cancelled.remove(id) != nil { return (true, nil) }
          if condition(state.value) { return (true, state.value) }
          state.waiters.append(Waiter(id: id, condition: condition, continuation: continuation))
          return (false, nil)
        }
        if isOver { continuation.resume(returning: value) }
      }
    } onCancel: {
      let waiter = state.withLock { state -> Waiter? in
        guard let index = state.waiters.firstIndex(where: { $0.id == id }) else {
          state.cancelled.insert(id)
          return nil
        }
        return state.waiters.remove(at: index)
      }
      waiter?.continuation.resume(returning: nil)
    }
  }
}
