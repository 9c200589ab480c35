/// Lets one through at a time, in order of arrival, and at most `limit` wait.
///
/// An actor alone does not: it lets others in whenever the one inside awaits.
actor Turnstile {
  /// Why somebody was not let through.
  enum Refusal: Error { case full, cancelled, closed }

  private var occupied = false
  private(set) var waiting: [(id: Int, continuation: CheckedContinuation<Result<Void, Refusal>, Never>)] = []
  private var nextID = 0
  private var closed = false
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  /// Waits for a turn. Every success is followed by ``leave()``.
  func enter() async throws(Refusal) {
    if closed { throw .closed }
    if Task.isCancelled { throw .cancelled }
    if !occupied {
      occupied = true
      return
    }
    guard waiting.count < limit else { throw .full }
    let id = nextID
    nextID += 1
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Result<Void, Refusal>, Never>) in
        // The handler may have run before this: then nobody would ever wake us.
        if Task.isCancelled {
          continuation.resume(returning: .failure(.cancelled))
        } else {
          waiting.append((id, continuation))
        }
      }
    } onCancel: {
      Task { await self.give(up: id) }
    }
    try result.get()
  }

  /// Ends a turn.
  func leave() {
    if waiting.isEmpty {
      occupied = false
    } else {
      waiting.removeFirst().continuation.resume(returning: .success(()))
    }
  }

  /// Sends everybody who waits away and lets nobody in any more.
  func close() {
    closed = true
    for one in waiting { one.continuation.resume(returning: .failure(.closed)) }
    waiting = []
  }

  private func give(up id: Int) {
    guard let place = waiting.firstIndex(where: { $0.id == id }) else { return }
    waiting.remove(at: place).continuation.resume(returning: .failure(.cancelled))
  }
}
