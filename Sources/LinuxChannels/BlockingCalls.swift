internal import Posix
internal import Synchronization

/// A thread of its own for the calls of one device that the kernel may keep waiting: a USB device that does not answer
/// holds each of them for 5 s, and no signal ends it.
final class BlockingCalls: Sendable {
  /// How a call ended for the one who asked.
  enum Outcome<Value: Sendable>: Sendable {
    /// It returned.
    case returned(Value)
    /// The time was over. The call goes on; those after it wait for it.
    case timedOut
    /// The task was cancelled. The call goes on, or will be made.
    case cancelled
  }

  private actor Thread {
    private nonisolated let worker: Worker
    nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

    init(name: String) { worker = Worker(name: name) }

    func make<Value: Sendable>(_ call: @Sendable () -> Value) -> Value { call() }
  }

  /// Whatever comes first, once.
  private final class Once<Value: Sendable>: Sendable {
    private struct State {
      var outcome: Outcome<Value>?
      var waiter: CheckedContinuation<Outcome<Value>, Never>?
    }
    private let state = Mutex(State())

    func end(_ outcome: Outcome<Value>) {
      let waiter = state.withLock { state -> CheckedContinuation<Outcome<Value>, Never>? in
        guard state.outcome == nil else { return nil }
        state.outcome = outcome
        defer { state.waiter = nil }
        return state.waiter
      }
      waiter?.resume(returning: outcome)
    }

    func wait() async -> Outcome<Value> {
      await withCheckedContinuation { continuation in
        let outcome = state.withLock { state -> Outcome<Value>? in
          if state.outcome == nil { state.waiter = continuation }
          return state.outcome
        }
        if let outcome { continuation.resume(returning: outcome) }
      }
    }
  }

  private let thread: Thread

  /// The thread starts with the first call and ends when this value and its last call are gone.
  init(name: String) { thread = Thread(name: name) }

  /// Makes a call on the thread, after those before it; waits for it at most `timeout` (nil: without limit).
  func run<Value: Sendable>(
    timeout: Duration?, _ call: @escaping @Sendable () -> Value
  ) async -> Outcome<Value> {
    let once = Once<Value>()
    Task { [thread] in once.end(.returned(await thread.make(call))) }
    let timer = timeout.map { timeout in
      Task { if await Poller.shared.sleep(for: timeout) { once.end(.timedOut) } }
    }
    defer { timer?.cancel() }
    return await withTaskCancellationHandler {
      await once.wait()
    } onCancel: {
      once.end(.cancelled)
    }
  }
}

extension DescriptorStream {
  /// Makes a call that this type does not have, while the descriptor is kept open.
  func call<Value>(_ body: (Int32) throws(SystemError) -> Value) throws(StreamError) -> Value {
    do throws(SystemError) {
      if let value = try withDescriptor(body) { return value }
    } catch {
      throw .system(error)
    }
    throw .closed
  }
}
