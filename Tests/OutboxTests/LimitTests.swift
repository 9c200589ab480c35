import Crypto
import Posix
import Store
import TestKit
import Testing

@testable import Outbox

/// How full the outbox is, and what goes on when it is.
@Suite(.timeLimit(.minutes(5))) struct LimitTests {
  private func fills(_ outbox: Outbox) async -> [OutboxQuota.Kind: OutboxFill] {
    Dictionary(uniqueKeysWithValues: await outbox.status().quotas.map { ($0.kind, $0.fill) })
  }

  @Test func `at four fifths of the bytes there is a warning, at the limit no page is taken and ratings are`()
    async throws
  {
    var station = try Station()
    let draft = page(0)
    station.limits.pageBytes = Int64(draft.bytes.count * 5)
    let outbox = try await station.open().outbox
    for number in 0..<3 { _ = try await outbox.storeBlob(page(number)) }
    #expect(await fills(outbox)[.pageBytes] == .normal)
    _ = try await outbox.storeBlob(page(3))
    #expect(await fills(outbox)[.pageBytes] == .warning)
    #expect(await outbox.status().fill == .warning)
    _ = try await outbox.storeBlob(page(4))
    #expect(await outbox.status().fill == .full)
    await #expect(throws: OutboxError.full(.quotaBytes(station.limits.pageBytes))) {
      _ = try await outbox.storeBlob(page(5))
    }
    #expect(try await outbox.append([rating()]).count == 1)
  }

  @Test func `held pages count`() async throws {
    var station = try Station()
    station.limits.pages = 5
    let opened = try await station.open()
    let outbox = opened.outbox
    for number in 0..<5 {
      let stored = try await outbox.storeBlob(page(number))
      try await opened.database.write { db throws(StoreError) in
        try outbox.retain(stored.digest, owner: "page \(number)", in: db)
      }
    }
    #expect(await fills(outbox)[.pages] == .full)
    await opened.database.close()
    let again = try await station.open().outbox
    await #expect(throws: OutboxError.full(.quotaItems(5))) { _ = try await again.storeBlob(page(9)) }
    #expect(try await again.append([rating()]).count == 1)
  }

  @Test func `when many events wait, or one waits long, no more pages are taken and ratings are`()
    async throws
  {
    var station = try Station()
    let clock = ManualClock()
    station.clock = clock
    station.limits.events = 5
    let outbox = try await station.open().outbox
    _ = try await outbox.append((1...4).map { rating($0) })
    #expect(await fills(outbox)[.events] == .warning)
    _ = try await outbox.storeBlob(page(1))
    _ = try await outbox.append([rating(5)])
    await #expect(throws: OutboxError.full(.quotaEvents(5))) { _ = try await outbox.storeBlob(page(2)) }
    #expect(try await outbox.append([rating(1)]).count == 1)
  }

  @Test func `an event that waited too long stops pages until it is delivered`() async throws {
    var station = try Station()
    // Ids are made with the system's clock: this one is a day ahead of them, less a bit.
    station.clock = ShiftedClock(seconds: 0.85 * 86_400)
    station.limits.waitSeconds = 86_400
    var opened = try await station.open()
    _ = try await opened.outbox.append([rating(1)])
    #expect(await fills(opened.outbox)[.waitSeconds] == .warning)
    _ = try await opened.outbox.storeBlob(page(1))
    await opened.database.close()
    station.clock = ShiftedClock(seconds: 1.1 * 86_400)
    opened = try await station.open()
    await #expect(throws: OutboxError.full(.quotaWait(seconds: 86_400))) {
      _ = try await opened.outbox.storeBlob(page(2))
    }
    #expect(try await opened.outbox.append([rating(2)]).count == 1)
    let intake = ScriptedIntake()
    let outbox = opened.outbox
    try await forwarding(outbox, to: intake) { await outbox.drained() }
    _ = try await outbox.storeBlob(page(2))
    #expect(intake.received.value.events.count == 2)
  }

  @Test(arguments: [
    (OutboxQuota(kind: .pages, used: 79, limit: 100), OutboxFill.normal),
    (OutboxQuota(kind: .pages, used: 80, limit: 100), .warning),
    (OutboxQuota(kind: .pages, used: 100, limit: 100), .full),
    (OutboxQuota(kind: .pages, used: 0, limit: 0), .full),
    (OutboxQuota(kind: .keptFreeBytes, used: 1000, limit: 0), .normal),
    (OutboxQuota(kind: .keptFreeBytes, used: 0, limit: 0), .normal),
    (OutboxQuota(kind: .keptFreeBytes, used: 1000, limit: 700), .normal),
    (OutboxQuota(kind: .keptFreeBytes, used: 1000, limit: 800), .warning),
    (OutboxQuota(kind: .keptFreeBytes, used: 1000, limit: 1000), .full),
    (OutboxQuota(kind: .keptFreeBytes, used: 0, limit: 1), .full),
    (OutboxQuota(kind: .reserve, used: 0, limit: 1), .normal),
    (OutboxQuota(kind: .reserve, used: 1, limit: 1), .full),
  ])
  func `a limit warns from four fifths on`(quota: OutboxQuota, fill: OutboxFill) {
    #expect(quota.fill == fill)
  }
}

/// The system's clock, so far ahead.
private struct ShiftedClock: OutboxClock {
  var seconds: Double
  var monotonicNanoseconds: UInt64 { SystemClockState.monotonicNanoseconds() }
  var wallTime: WallTime {
    let now = WallTime.now()
    return WallTime(
      secondsSince1970: now.secondsSince1970 + Int64(seconds), nanoseconds: now.nanoseconds,
      utcOffsetSeconds: now.utcOffsetSeconds)
  }
  func sleep(untilNanoseconds deadline: UInt64) async {
    await SystemOutboxClock().sleep(untilNanoseconds: deadline)
  }
}
