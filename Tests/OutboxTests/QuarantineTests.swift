import Crypto
import Posix
import Store
import TestKit
import Testing
import WireJSON

@testable import Outbox

@Suite(.timeLimit(.minutes(5))) struct QuarantineTests {
  /// An outbox in which the event with level 2 and the page event were rejected.
  private func rejected(_ station: Station) async throws -> (Station.Opened, ScriptedIntake) {
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([rating(1), rating(2), rating(3), pageEvent([blob.digest])])
    let intake = ScriptedIntake { request in
      guard case .events(let json) = request, let events = (try? JSON.parse(json))?.array else { return nil }
      let ids = events.filter { $0["data"]?["level"]?.integer ?? 2 == 2 }.compactMap { $0["id"]?.string }
      let list = ids.map { #"{"id":"\#($0)","reason":"no such case"}"# }.joined(separator: ",")
      return .success(IntakeReply(status: 200, body: Array(#"{"rejected":[\#(list)]}"#.utf8)))
    }
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    intake.follow { _ in nil }
    return (opened, intake)
  }

  @Test func `what was set aside is listed with why, and exported with its content`() async throws {
    let (opened, _) = try await rejected(try Station(key: try SealingKey.generated()))
    let quarantine = opened.outbox.quarantine
    let items = try await quarantine.list()
    #expect(items.count == 2)
    for item in items {
      #expect(item.kind == .event)
      #expect(item.reason == .rejected("no such case"))
      #expect(item.since != nil)
      #expect(item.epoch == opened.outbox.epoch)
      #expect(try await quarantine.show(item.id) == item)
    }
    let rating = try #require(items.first { $0.type == "gov.hall.rating.v1" })
    #expect(rating.sequence == 2)
    let exported = try await quarantine.export(rating.id)
    #expect(exported.event?["data"]?["level"] == 2)
    #expect(!"\(exported)".contains("满意"))
    let page = try #require(items.first { $0.type != "gov.hall.rating.v1" })
    #expect(page.blobs.count == 1)
    #expect(try await opened.outbox.readBlob(page.blobs[0]) == firstPage)
    #expect(try await quarantine.list(limit: 1).count == 1)
    #expect(try await quarantine.list(limit: 0).isEmpty)
  }

  @Test func `what is tried again by hand goes to the end of its queue, with its page`() async throws {
    let (opened, intake) = try await rejected(try Station())
    let ids = try await opened.outbox.quarantine.list().map(\.id)
    _ = try await opened.outbox.append([rating(4)])
    #expect(
      try await opened.outbox.quarantine.retry(ids)
        == Dictionary(uniqueKeysWithValues: ids.map { ($0, .done) }))
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(intake.received.value.events.compactMap { $0["data"]?["level"]?.integer } == [4, 2])
    #expect(intake.received.value.events.count == 3)
    #expect(await opened.outbox.status().quarantined == 0)
    #expect(await opened.outbox.status().delivered.values.reduce(0, +) == 5)
  }

  @Test func `what is tried again while the forwarder runs is sent at once`() async throws {
    let (opened, intake) = try await rejected(try Station())
    let ids = try await opened.outbox.quarantine.list().map(\.id)
    try await forwarding(opened.outbox, to: intake) {
      _ = try await opened.outbox.append([rating(4)])
      await opened.outbox.drained()
      _ = try await opened.outbox.quarantine.retry(ids)
      await opened.outbox.drained()
    }
    #expect(await opened.outbox.status().quarantined == 0)
    #expect(intake.received.value.events.count == 3)
  }

  @Test func `what is discarded is gone, with its page`() async throws {
    let station = try Station()
    let (opened, intake) = try await rejected(station)
    let quarantine = opened.outbox.quarantine
    let ids = try await quarantine.list().map(\.id)
    #expect(try station.pageFiles().count == 1)
    #expect(try await quarantine.discard(ids).values.allSatisfy { $0 == .done })
    #expect(try await quarantine.list().isEmpty)
    #expect(try station.pageFiles().isEmpty)
    #expect(try await quarantine.discard(ids).values.allSatisfy { $0 == .noSuchItem })
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(intake.received.value.events.isEmpty)
  }

  @Test(arguments: [
    "", "nothing", "0196f0c2-0000-7000-8000-000000000001", String(repeating: "0", count: 64),
    "'; DROP TABLE outbox_event; --",
  ])
  func `what is not in quarantine is said not to be`(id: String) async throws {
    let opened = try await Station().open()
    let record = try #require(await opened.outbox.append([rating()]).first)
    let quarantine = opened.outbox.quarantine
    await #expect(throws: OutboxError.noSuchItem(id)) { try await quarantine.show(id) }
    #expect(try await quarantine.retry([id, record.id]) == [id: .noSuchItem, record.id: .noSuchItem])
    #expect(try await quarantine.discard([id, record.id]) == [id: .noSuchItem, record.id: .noSuchItem])
    #expect(await opened.outbox.status().pendingEvents == 1)
  }

  @Test func `a page that was refused is discarded with its event, not from under it`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([pageEvent([blob.digest])])
    _ = try await opened.outbox.setAside(page: blob.digest, reason: .refused(status: 422))
    let quarantine = opened.outbox.quarantine
    let event = try #require(try await quarantine.list().first { $0.kind == .event })
    #expect(try await quarantine.discard([blob.digest.hex]) == [blob.digest.hex: .named(by: [event.id])])
    // Tried again by the page's name, both go.
    #expect(try await quarantine.retry([blob.digest.hex]) == [blob.digest.hex: .done])
    #expect(await opened.outbox.status().quarantined == 0)
    let intake = ScriptedIntake()
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(intake.received.value.pages == [blob.digest])
  }

  @Test(arguments: [
    QuarantineReason.refused(status: 422), .rejected("words"), .mismatch, .noAnswer(.timedOut), .damaged,
    .otherKey,
    .keyMissing, .missing, .pageSetAside, .eventLost, .eventSetAside,
  ])
  func `a reason survives the database and has its advice`(reason: QuarantineReason) {
    #expect(QuarantineReason(code: reason.code, words: "words") == reason)
    #expect(!reason.description.isEmpty)
    #expect(!reason.advice.isEmpty)
  }
}

private let firstPage = page(1).bytes

@Suite(.timeLimit(.minutes(5))) struct QuarantineAgeTests {
  private static let day = 86_400.0

  private func station() throws -> (Station, ManualClock) {
    var station = try Station()
    let clock = ManualClock()
    station.clock = clock
    station.limits.quarantineSeconds = 10 * 86_400
    return (station, clock)
  }

  @Test func `what was set aside is warned of before its end, and ends after it`() async throws {
    let (station, clock) = try station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1))
    _ = try await outbox.append([rating(1), pageEvent([blob.digest])])
    try await outbox.setAside(events: [1: .refused(status: 422)])
    _ = try await outbox.setAside(page: blob.digest, reason: .mismatch)
    let quarantine = outbox.quarantine
    #expect(try await quarantine.ageing(clockTrusted: true) == .init())
    let ends = try #require(try await quarantine.list().first?.ends)
    #expect(ends.secondsSince1970 - ManualClock.start.secondsSince1970 == 10 * 86_400)
    #expect(await outbox.status().quarantineEnds == ends)
    #expect(await !outbox.status().isQuarantineEnding)

    clock.advance(seconds: 8.1 * Self.day)
    #expect(await outbox.status().isQuarantineEnding)
    // Not on the word of a clock that nobody trusts.
    #expect(try await quarantine.ageing(clockTrusted: false) == .init())
    #expect(try await quarantine.ageing(clockTrusted: true).warned.count == 3)
    // Once.
    #expect(try await quarantine.ageing(clockTrusted: true) == .init())

    clock.advance(seconds: 2.1 * Self.day)
    let ended = try await quarantine.ageing(clockTrusted: true).ended
    #expect(ended.count == 3)
    // Looking erases nothing.
    #expect(try await quarantine.list().count == 3)
    _ = try await quarantine.discard(ended.map(\.id))
    #expect(await outbox.status().quarantined == 0)
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `a clock that leaps a year ahead ends nothing before the time of the warning has passed`()
    async throws
  {
    let (station, clock) = try station()
    let outbox = try await station.open().outbox
    _ = try await outbox.append([rating(1)])
    try await outbox.setAside(events: [1: .refused(status: 422)])
    clock.advance(seconds: 365 * Self.day)
    let ageing = try await outbox.quarantine.ageing(clockTrusted: true)
    #expect(ageing.warned.count == 1)
    #expect(ageing.ended.isEmpty)
    clock.advance(seconds: 1.9 * Self.day)
    #expect(try await outbox.quarantine.ageing(clockTrusted: true).ended.isEmpty)
    clock.advance(seconds: 0.2 * Self.day)
    #expect(try await outbox.quarantine.ageing(clockTrusted: true).ended.count == 1)
  }

  @Test func `an item that was retried and set aside again is new`() async throws {
    let (station, clock) = try station()
    let outbox = try await station.open().outbox
    let records = try await outbox.append([rating(1)])
    try await outbox.setAside(events: [1: .refused(status: 422)])
    clock.advance(seconds: 9 * Self.day)
    #expect(try await outbox.quarantine.ageing(clockTrusted: true).warned.count == 1)
    _ = try await outbox.quarantine.retry(records.map(\.id))
    try await outbox.setAside(events: [2: .refused(status: 422)])
    clock.advance(seconds: 7 * Self.day)
    #expect(try await outbox.quarantine.ageing(clockTrusted: true) == .init())
    clock.advance(seconds: 1.1 * Self.day)
    #expect(try await outbox.quarantine.ageing(clockTrusted: true).warned.count == 1)
  }

  @Test func `an event is handed out with its pages, byte by byte`() async throws {
    let (station, _) = try station()
    let outbox = try await station.open().outbox
    let blob = try await outbox.storeBlob(page(1))
    let other = try await outbox.storeBlob(page(2))
    let records = try await outbox.append([pageEvent([blob.digest]), pageEvent([other.digest])])
    try await outbox.setAside(events: [1: .refused(status: 422)])
    let quarantine = outbox.quarantine
    let exported = try await quarantine.export(records[0].id)
    #expect(exported.item.blobs == [blob.digest])
    let sent = try await outbox.outgoing([2]).events
    #expect(sent.count == 1)
    #expect(exported.batch.flatMap { try? JSON.parse($0) }?[0]?["id"]?.string == records[0].id)
    let withPage = try await quarantine.export(blob.digest.hex)
    #expect(withPage.mediaType == "image/jpeg")
    #expect(withPage.item.reason == .eventSetAside)
    // Not a page that is on its way.
    await #expect(throws: OutboxError.noSuchItem(other.digest.hex)) {
      try await quarantine.export(other.digest.hex)
    }
  }
}
