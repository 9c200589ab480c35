import Crypto
import Posix
import Store
import TestKit
import Testing
import WireJSON

@testable import Outbox

@Suite(.timeLimit(.minutes(5))) struct ForwarderTests {
  @Test func `events come in order and after their pages, ratings while pages are still on their way`()
    async throws
  {
    let opened = try await Station().open()
    let outbox = opened.outbox
    var drafts: [EventDraft] = []
    for number in 0..<30 {
      let blob = try await outbox.storeBlob(page(number))
      drafts.append(pageEvent([blob.digest]))
    }
    _ = try await outbox.append(drafts)
    _ = try await outbox.append((1...30).map { rating($0) })
    let intake = ScriptedIntake()
    let order = Observed<[String]>([])
    intake.follow { request in
      switch request {
      case .page(let digest, _, _): order.update { $0.append(digest.hex) }
      case .events(let json):
        for event in (try? JSON.parse(json))?.array ?? [] {
          order.update { $0.append(event["data"]?["blob"]?.string.map { "after \($0)" } ?? "rating") }
        }
      }
      return nil
    }
    try await forwarding(outbox, to: RatingsFirst(intake: intake, ratings: 30)) { await outbox.drained() }
    for (index, entry) in order.value.enumerated() where entry.hasPrefix("after ") {
      #expect(order.value[..<index].contains(String(entry.dropFirst(6))))
    }
    let ratings = order.value.indices.filter { order.value[$0] == "rating" }
    #expect(ratings.count == 30)
    for role in ["scanner", "evaluator"] {
      let sequence = intake.received.value.events
        .filter { $0["source"]?.string?.hasSuffix(role) == true }.compactMap { $0["sequence"]?.string }
      #expect(sequence == (1...30).map { CloudEvent.padded($0) })
    }
  }

  @Test func `what comes while it runs is sent at once`() async throws {
    let opened = try await Station().open()
    let intake = ScriptedIntake()
    try await forwarding(opened.outbox, to: intake) {
      for number in 1...20 as ClosedRange<Int64> {
        _ = try await opened.outbox.append([rating(number)])
        await intake.received.wait { $0.events.count >= Int(number) }
      }
    }
    #expect(intake.received.value.events.count == 20)
  }

  @Test func `an outage is waited out with growing pauses and told in the status`() async throws {
    let clock = ManualClock()
    var station = try Station()
    station.clock = clock
    let opened = try await station.open()
    let outbox = opened.outbox
    _ = try await outbox.append([rating()])
    let intake = ScriptedIntake { _ in .failure(TransportError(.notListening)) }
    try await forwarding(outbox, to: intake, clock: clock) {
      let start = clock.monotonicNanoseconds
      var lastProbe: WallTime?
      for attempt in 1...15 {
        await intake.received.wait { $0.requests >= attempt }
        // The pause after this very attempt: until it is told, the status is that of the attempt before.
        await outbox.settled {
          if case .trouble(_, _, .some(let probe)) = $0.endpoint { probe != lastProbe } else { false }
        }
        guard case .trouble(let trouble, let since, let probe) = await outbox.status().endpoint else {
          Issue.record("the intake has not answered, yet the trouble is over")
          return
        }
        lastProbe = probe
        #expect(trouble == .notListening)
        #expect(since == ManualClock.start)
        if attempt == 15 { intake.follow { _ in nil } }
        await clock.advanceToNextSleeper()
      }
      // 0.2 + 0.4 + … + 25.6, then 30 each; half of it at least.
      let waited = Double(clock.monotonicNanoseconds - start) / 1e9
      #expect(waited >= 130 && waited <= 262)
      await outbox.settled { $0.endpoint == .reachable && $0.pendingEvents == 0 }
    }
    #expect(await outbox.status().quarantined == 0)
  }

  /// Each look at the clock while one change is handled, as the one that finds the pause over; often, as it depends on
  /// who is faster.
  @Test(arguments: 1...8)
  func `a pause that ends while something else is looked at is not slept through`(looks: Int) async throws {
    for _ in 0..<20 {
      let clock = ManualClock()
      var station = try Station()
      station.clock = clock
      let opened = try await station.open()
      let outbox = opened.outbox
      _ = try await outbox.append([rating()])
      let intake = ScriptedIntake { _ in .failure(TransportError(.notListening)) }
      try await forwarding(outbox, to: intake, clock: clock) {
        await outbox.settled { if case .trouble(_, _, .some) = $0.endpoint { true } else { false } }
        intake.follow { _ in nil }
        await clock.advanceToNextSleeper(afterLooks: looks)
        outbox.wake()
        await outbox.drained()
      }
    }
  }

  @Test func `while it waits for the intake it does nothing`() async throws {
    let clock = ManualClock(isTicking: true)
    var station = try Station()
    station.clock = clock
    let opened = try await station.open()
    let outbox = opened.outbox
    _ = try await outbox.append([rating()])
    let intake = ScriptedIntake { _ in .failure(TransportError(.notListening)) }
    try await forwarding(outbox, to: intake, clock: clock) {
      await outbox.settled { if case .trouble(_, _, .some) = $0.endpoint { true } else { false } }
      let changes = Observed(0)
      let counting = Task { for await _ in outbox.changes() { changes.update { $0 += 1 } } }
      // Each is a round through the database: time enough for whoever is busy.
      for _ in 0..<300 { _ = await outbox.status() }
      #expect(changes.value <= 3)
      #expect(intake.received.value.requests == 1)
      counting.cancel()
    }
  }

  @Test(arguments: [
    (200, #"{"code":500}"#), (200, "<html>"), (202, ""), (302, ""), (401, ""), (404, ""), (500, ""),
    (503, ""),
  ])
  func `an answer that is not exactly an acceptance erases nothing`(status: Int, body: String) async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1))
    _ = try await outbox.append([rating(), pageEvent([blob.digest])])
    let intake = ScriptedIntake { _ in .success(IntakeReply(status: status, body: Array(body.utf8))) }
    try await forwarding(outbox, to: intake) { await intake.received.wait { $0.requests >= 3 } }
    #expect(await outbox.status().pendingEvents == 2)
    #expect(await outbox.status().quarantined == 0)
    #expect(try station.pageFiles().count == 1)
    try await forwarding(outbox, to: ScriptedIntake()) { await outbox.drained() }
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `a refused event is set aside after an hour that outlives restarts, while others go on`()
    async throws
  {
    let clock = ManualClock()
    var station = try Station()
    station.clock = clock
    var opened = try await station.open()
    _ = try await opened.outbox.append([rating(1), rating(2), rating(3)])
    let intake = ScriptedIntake()
    @Sendable func refuses(_ request: IntakeRequest) -> Result<IntakeReply, TransportError>? {
      guard case .events(let json) = request, let events = (try? JSON.parse(json))?.array,
        events.contains(where: { $0["data"]?["level"] == 2 })
      else { return nil }
      return .success(IntakeReply(status: 422))
    }
    intake.follow(refuses)
    let start = clock.monotonicNanoseconds
    for round in 0... {
      let outbox = opened.outbox
      try await forwarding(outbox, to: intake, clock: clock) {
        if round == 0 { await outbox.settled { $0.pendingEvents == 2 } }
        // The others: another device of the same position.
        let before = intake.received.value.events.count
        _ = try await outbox.append([rating(9, device: "other")])
        await intake.received.wait { $0.events.count > before }
        await clock.advanceToNextSleeper()
        await outbox.settled { $0.pendingEvents <= 2 }
      }
      if await outbox.status().quarantined > 0 || round > 20 { break }
      await opened.database.close()
      opened = try await station.open()
    }
    #expect(clock.monotonicNanoseconds - start >= 3_600_000_000_000)
    #expect(clock.monotonicNanoseconds - start < 3_700_000_000_000)
    let items = try await opened.outbox.quarantine.list()
    #expect(items.map(\.reason) == [.refused(status: 422)])
    try await forwarding(opened.outbox, to: intake, clock: clock) { await opened.outbox.drained() }
    let levels = intake.received.value.events.compactMap { $0["data"]?["level"]?.integer }.filter { $0 < 9 }
    #expect(levels == [1, 3])
  }

  @Test func `when it is stopped it waits for the answer to what it has sent`() async throws {
    let station = try Station()
    let opened = try await station.open()
    _ = try await opened.outbox.append([rating()])
    let gate = Observed(false)
    let intake = GatedIntake(gate: gate)
    let forwarder = Forwarder(outbox: opened.outbox, transport: intake, seed: 1)
    let task = Task { await forwarder.run() }
    await intake.arrived.wait { $0 == 1 }
    task.cancel()
    gate.update { $0 = true }
    #expect(await task.value == .cancelled)
    #expect(await opened.outbox.status().pendingEvents == 0)
  }

  @Test func `when the answer does not come it stops all the same, and keeps everything`() async throws {
    let clock = ManualClock()
    var station = try Station()
    station.clock = clock
    let opened = try await station.open()
    _ = try await opened.outbox.append([rating()])
    let intake = GatedIntake(gate: Observed(false))
    let forwarder = Forwarder(outbox: opened.outbox, transport: intake, clock: clock, seed: 1)
    let task = Task { await forwarder.run() }
    await intake.arrived.wait { $0 == 1 }
    task.cancel()
    await clock.advanceToNextSleeper()
    #expect(await task.value == .cancelled)
    #expect(await opened.outbox.status().pendingEvents == 1)
  }

  @Test func `when the database fails it says so and ends`() async throws {
    let opened = try await Station().open()
    _ = try await opened.outbox.append([rating()])
    let intake = ScriptedIntake()
    let forwarder = Forwarder(outbox: opened.outbox, transport: intake, seed: 1)
    await opened.database.close()
    guard case .storeFailed = await forwarder.run() else {
      Issue.record("it went on without a database")
      return
    }
    #expect(intake.received.value.events.isEmpty)
  }

  @Test func `ten thousand events go in large batches`() async throws {
    let opened = try await Station().open()
    for _ in 0..<20 { _ = try await opened.outbox.append((0..<500).map { rating($0 % 5 + 1) }) }
    let intake = ScriptedIntake()
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(intake.received.value.sequence == (1...10_000).map { CloudEvent.padded($0) })
    #expect(intake.received.value.requests < 30)
  }
}

/// Answers when the gate opens, or when it is cancelled.
private struct GatedIntake: IntakeTransport {
  let gate: Observed<Bool>
  let arrived = Observed(0)

  func send(_ request: IntakeRequest, connection: Int) async throws(TransportError) -> IntakeReply {
    arrived.update { $0 += 1 }
    let cancelled = Observed(false)
    await withTaskCancellationHandler {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await gate.wait { $0 } }
        group.addTask { await cancelled.wait { $0 } }
        await group.next()
        // Whoever still waits is let go.
        cancelled.update { $0 = true }
        gate.update { $0 = true }
      }
    } onCancel: {
      cancelled.update { $0 = true }
    }
    if Task.isCancelled { throw TransportError(.broken) }
    return IntakeReply(status: 204)
  }
}

/// An intake that answers no page but the first until it has all the ratings.
private struct RatingsFirst: IntakeTransport {
  let intake: ScriptedIntake
  let ratings: Int

  func send(_ request: IntakeRequest, connection: Int) async throws(TransportError) -> IntakeReply {
    if case .page = request, !intake.received.value.pages.isEmpty {
      await intake.received.wait { [ratings] in
        $0.events.count { $0["source"]?.string?.hasSuffix("evaluator") == true } == ratings
      }
    }
    return try await intake.send(request, connection: connection)
  }
}
