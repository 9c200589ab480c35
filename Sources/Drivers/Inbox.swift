internal import Channels
internal import Synchronization

/// What has arrived for one reader who waits with a deadline.
///
/// Bounded: of more than `limit` things nobody took, the oldest go.
final class Inbox<Element: Sendable>: Sendable {
  /// How a wait ended.
  enum Taken: Sendable {
    /// Something was there or came.
    case element(Element)
    /// Nothing came before the deadline.
    case timedOut
    /// The reader's task was cancelled.
    case cancelled
    /// Nothing will come any more.
    case closed(ChannelError)
  }

  private struct State {
    var elements: [Element] = []
    var waiter: (ticket: Int, continuation: CheckedContinuation<Taken, Never>)?
    var nextTicket = 0
    var end: ChannelError?
  }

  private let state = Mutex(State())
  private let limit: Int
  private let time: any Timekeeper

  init(limit: Int = 64, time: any Timekeeper) {
    self.limit = limit
    self.time = time
  }

  /// Hands over one thing.
  func put(_ element: Element) {
    let waiter = state.withLock { state -> CheckedContinuation<Taken, Never>? in
      if let waiting = state.waiter {
        state.waiter = nil
        return waiting.continuation
      }
      if state.elements.count >= limit { state.elements.removeFirst() }
      state.elements.append(element)
      return nil
    }
    waiter?.resume(returning: .element(element))
  }

  /// Nothing will come any more; what is there can still be taken.
  func close(_ error: ChannelError) {
    let waiter = state.withLock { state -> CheckedContinuation<Taken, Never>? in
      if state.end == nil { state.end = error }
      defer { state.waiter = nil }
      return state.waiter?.continuation
    }
    waiter?.resume(returning: .closed(error))
  }

  /// Throws away what nobody took.
  func clear() { state.withLock { $0.elements = [] } }

  /// Waits for something until the clock shows `deadline`. One waiter at a time: an earlier one is let go as cancelled.
  func take(until deadline: Duration) async -> Taken {
    if let ready = state.withLock({ Self.ready(&$0) }) { return ready }
    let rest = deadline - time.now()
    guard rest > .zero else { return .timedOut }
    let ticket = state.withLock { state in
      state.nextTicket += 1
      return state.nextTicket
    }
    let time = time
    let timer = Task {
      if await time.sleep(for: rest) { self.letGo(ticket, .timedOut) }
    }
    defer { timer.cancel() }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let done = state.withLock {
          state -> (continuation: CheckedContinuation<Taken, Never>, taken: Taken)? in
          if let ready = Self.ready(&state) { return (continuation, ready) }
          // The handler below may have run before there was anything to resume.
          if Task.isCancelled { return (continuation, .cancelled) }
          // So may the timer, on a machine that stood still for a moment.
          if time.now() >= deadline { return (continuation, .timedOut) }
          let earlier = state.waiter
          state.waiter = (ticket, continuation)
          return earlier.map { ($0.continuation, .cancelled) }
        }
        done?.continuation.resume(returning: done?.taken ?? .cancelled)
      }
    } onCancel: {
      letGo(ticket, .cancelled)
    }
  }

  private static func ready(_ state: inout State) -> Taken? {
    if !state.elements.isEmpty { return .element(state.elements.removeFirst()) }
    return state.end.map { .closed($0) }
  }

  private func letGo(_ ticket: Int, _ taken: Taken) {
    let waiter = state.withLock { state -> CheckedContinuation<Taken, Never>? in
      guard let waiting = state.waiter, waiting.ticket == ticket else { return nil }
      state.waiter = nil
      return waiting.continuation
    }
    waiter?.resume(returning: taken)
  }
}
