import TestKit
import Testing

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct TurnstileTests {
  /// Returns when that many wait.
  private func waiters(_ count: Int, at turnstile: Turnstile) async {
    while await turnstile.waiting.count != count { await Task.yield() }
  }

  private func refusal(_ turnstile: Turnstile) async -> Turnstile.Refusal? {
    do {
      try await turnstile.enter()
      return nil
    } catch {
      return error
    }
  }

  @Test func `one is inside at a time, and the others come in the order of their arrival`() async throws {
    let turnstile = Turnstile(limit: 10)
    let order = Observed<[Int]>([])
    try await turnstile.enter()
    var tasks: [Task<Void, any Error>] = []
    for number in 1...5 {
      tasks.append(
        Task {
          try await turnstile.enter()
          order.update { $0.append(number) }
          await turnstile.leave()
        })
      await waiters(number, at: turnstile)
    }
    #expect(order.value.isEmpty)
    await turnstile.leave()
    for task in tasks { try await task.value }
    #expect(order.value == [1, 2, 3, 4, 5])
  }

  @Test func `when too many wait the next is sent away`() async throws {
    let turnstile = Turnstile(limit: 1)
    try await turnstile.enter()
    let waiting = Task { await refusal(turnstile) }
    await waiters(1, at: turnstile)
    #expect(await refusal(turnstile) == .full)
    await turnstile.leave()
    #expect(await waiting.value == nil)
  }

  @Test func `one who is cancelled while waiting leaves, and takes nobody's turn`() async throws {
    let turnstile = Turnstile(limit: 10)
    try await turnstile.enter()
    let first = Task { await refusal(turnstile) }
    await waiters(1, at: turnstile)
    let second = Task { await refusal(turnstile) }
    await waiters(2, at: turnstile)
    first.cancel()
    #expect(await first.value == .cancelled)
    await turnstile.leave()
    #expect(await second.value == nil)
  }

  @Test func `closing sends everybody away`() async throws {
    let turnstile = Turnstile(limit: 10)
    try await turnstile.enter()
    let waiting = Task { await refusal(turnstile) }
    await waiters(1, at: turnstile)
    await turnstile.close()
    #expect(await waiting.value == .closed)
    await turnstile.leave()
    #expect(await refusal(turnstile) == .closed)
  }
}
