import Crypto
import Posix
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Outbox
@testable import Store

/// What a backlog must not make slower, or larger.
@Suite(.timeLimit(.minutes(10))) struct BacklogTests {
  /// How many ratings wait: `HALL_BACKLOG=1000000` for the full size.
  static let isFullSize = Environment["HALL_BACKLOG"] != nil
  static let size = Int(Environment["HALL_BACKLOG"] ?? "") ?? 20_000

  @Test func `no statement looks through the events, pages or claims that wait`() async throws {
    let station = try Station(key: try SealingKey.generated())
    var opened = try await station.open()
    let outbox = opened.outbox
    // Everything the outbox can do, so that every statement has been run once.
    let stored = try await outbox.storeBlob(page(1, visit: "visit-1"))
    let held = try await outbox.storeBlob(page(2, visit: "visit-1"))
    _ = try await outbox.storeBlob(page(3))
    let records = try await outbox.append([
      pageEvent([stored.digest], visit: "visit-1"), rating(1), rating(2), rating(3),
    ])
    try await opened.database.write { db throws(StoreError) in
      try outbox.retain(held.digest, visit: "visit-1", owner: "material", in: db)
    }
    try await outbox.setAside(events: [2: .rejected("words")])
    try await outbox.postpone(.event(3), attempts: 1, seconds: 60)
    try await outbox.postpone(.page(stored.digest), attempts: 1, seconds: 60)
    _ = try await outbox.setAside(page: stored.digest, reason: .mismatch)
    let quarantine = outbox.quarantine
    #expect(try await quarantine.list().count == 3)
    _ = try await quarantine.show(records[1].id)
    _ = try await quarantine.export(stored.digest.hex)
    _ = try await quarantine.retry([stored.digest.hex, records[1].id])
    try await outbox.setAside(events: [4: .damaged])
    _ = try await quarantine.discard([records[3].id, held.digest.hex])
    _ = try await outbox.readBlob(stored.digest)
    let loaded = try await outbox.pending(after: [:])
    let numbers = loaded.flatMap(\.events).map(\.number)
    _ = try await outbox.outgoing(numbers)
    _ = try await outbox.outgoingPage(stored.digest)
    try await outbox.delivered(numbers, types: ["gov.hall.rating.v1": numbers.count])
    try await opened.database.write { db throws(StoreError) in
      try outbox.release(held.digest, owner: "material", in: db)
      try outbox.visitClosed("visit-1", in: db)
    }
    try await outbox.sweep()
    _ = await outbox.status()
    _ = try await outbox.reconcile()
    try Self.expectSearches(
      try await opened.database.read { db throws(StoreError) in try db.plans() }, atLeast: 30)

    // The start.
    await opened.database.close()
    opened = try await station.open()
    try Self.expectSearches(
      try await opened.database.read { db throws(StoreError) in try db.plans() }, atLeast: 5)
  }

  private static func expectSearches(_ plans: [String: [String]], atLeast count: Int) throws {
    #expect(plans.count >= count)
    let large = ["outbox_event", "outbox_blob", "outbox_claim"]
    // Their names in the statements, too.
    let aliases = ["e", "b", "c"]
    for (sql, steps) in plans {
      for step in steps {
        let words = step.split(separator: " ")
        guard words.first == "SCAN", words.count > 1 else { continue }
        let table = String(words[1])
        // A window that was taken out before, or an index of nothing but what was set aside.
        if steps.contains("CO-ROUTINE \(table)") || steps.contains("MATERIALIZE \(table)") { continue }
        if step.contains("_aside") { continue }
        #expect(!large.contains(table) && !aliases.contains(table), "\(step) in: \(sql)")
      }
      #expect(!steps.contains { $0.contains("AUTOMATIC") }, "\(sql)")
      // All that wait, or all that were set aside, sorted.
      #expect(!steps.contains { $0.contains("outbox_event_queue (state=?)") }, "\(sql): \(steps)")
    }
  }

  @Test func `with a large backlog the start, the status and the queue are as with none`() async throws {
    let station = try Station()
    var opened = try await station.open()
    let outbox = opened.outbox
    var left = Self.size
    while left > 0 {
      _ = try await outbox.append(
        (0..<min(500, left)).map { rating(Int64($0 % 5 + 1), device: "evaluator-\(left % 3)") })
      left -= 500
    }
    await opened.database.close()
    let clock = ContinuousClock()
    var status = OutboxStatus()
    let start = try await clock.measure { opened = try await station.open() }
    let look = await clock.measure { status = await opened.outbox.status() }
    #expect(status.pendingEvents == Self.size)
    #expect(status.oldest != nil)
    #expect(opened.report.pendingEvents == Self.size)
    print("backlog of \(Self.size): start \(start), status \(look), resident \(Self.residentKilobytes) kB")
    // A machine that builds at the same time is no measure; that nothing is looked through is tested above.
    if Self.isFullSize {
      #expect(start < .milliseconds(500))
      #expect(look < .milliseconds(100))
    }
  }

  @Test func `the forwarder holds a window of the backlog, however many come while the intake is down`()
    async throws
  {
    var policy = ForwarderPolicy(seed: 1)
    var next: Int64 = 1
    var waiting: [ForwarderPolicy.Event] = []
    var largest = 0
    for _ in 0..<2000 {
      for _ in 0..<10 {
        waiting.append(.init(number: next, id: "\(next)", bytes: 400))
        next += 1
      }
      var inputs: [ForwarderPolicy.Input] = [.wake]
      while let input = inputs.popLast() {
        for action in policy.handle(input, now: 1) {
          switch action {
          case .load(let after, let except):
            let rest = except.contains(1) ? [] : waiting.filter { $0.number > after[1] ?? 0 }
            inputs.append(
              .loaded(
                rest.isEmpty
                  ? [] : [.init(source: 1, events: Array(rest.prefix(500)), isComplete: rest.count < 500)]))
          case .send(let id, _): inputs.append(.answer(id, .endpoint(.notListening, retryAfterSeconds: nil)))
          default: Issue.record("\(action)")
          }
        }
      }
      largest = max(largest, policy.heldCount)
    }
    #expect(waiting.count == 20_000)
    #expect(largest <= 600)
    // And when the intake is back, all of them go, in order.
    var sent: [Int64] = []
    var inputs: [ForwarderPolicy.Input] = [.tick]
    while let input = inputs.popLast() {
      for action in policy.handle(input, now: .max) {
        switch action {
        case .load(let after, let except):
          let rest = except.contains(1) ? [] : waiting.filter { $0.number > after[1] ?? 0 }
          inputs.append(
            .loaded(
              rest.isEmpty
                ? [] : [.init(source: 1, events: Array(rest.prefix(500)), isComplete: rest.count < 500)]))
        case .send(let id, let request):
          if case .events(_, let numbers) = request { sent += numbers }
          inputs.append(.answer(id, .accepted(rejected: [])))
        case .erase: break
        default: Issue.record("\(action)")
        }
      }
    }
    #expect(sent == waiting.map(\.number))
  }

  private static var residentKilobytes: String {
    let status = (try? Files.read("/proc/self/status", limit: 1 << 16)).map {
      String(decoding: $0, as: UTF8.self)
    }
    let line = status?.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line.map { $0.split(separator: " ").dropFirst().first.map(String.init) ?? "" } ?? "?"
  }
}
