import Crypto
import Posix
import Store
import TestKit
import Testing
import WireJSON

@testable import Outbox

@Suite(.timeLimit(.minutes(5))) struct OutboxTests {
  // MARK: Taking

  @Test func `an event has the attributes of the intake API, and no others`() async throws {
    let opened = try await Station().open()
    let time = try #require(WallTime(rfc3339: "2026-02-03T04:05:06.789+08:00"))
    var draft = EventDraft(
      source: .device(role: "evaluator"), type: "gov.hall.rating.v1", subject: "2026-001", visit: "v-1",
      time: time,
      clockTrusted: false, simulated: true, data: ["level": 5])
    let first = try #require(await opened.outbox.append([draft]).first)
    draft = EventDraft(source: .agent, type: "gov.hall.visit.v1", time: time, clockTrusted: true, data: [:])
    let second = try #require(await opened.outbox.append([draft]).first)

    let intake = ScriptedIntake()
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(
      intake.received.value.events.first { $0["id"] == .string(first.id) } == [
        "specversion": "1.0", "id": .string(first.id), "type": "gov.hall.rating.v1",
        "source": "/halls/%E5%8E%85%201/positions/A03/devices/evaluator",
        "time": "2026-02-03T04:05:06.789+08:00", "datacontenttype": "application/json",
        "epoch": .string(opened.outbox.epoch), "sequence": "00000000000000000001", "subject": "2026-001",
        "visit": "v-1", "clock": "unsynchronised", "simulated": true, "data": ["level": 5],
      ])
    #expect(
      intake.received.value.events.first { $0["id"] == .string(second.id) } == [
        "specversion": "1.0", "id": .string(second.id), "type": "gov.hall.visit.v1",
        "source": "/halls/%E5%8E%85%201/positions/A03/agent", "time": "2026-02-03T04:05:06.789+08:00",
        "datacontenttype": "application/json", "epoch": .string(opened.outbox.epoch),
        "sequence": "00000000000000000001", "data": [:],
      ])
  }

  @Test func `the agent's own rows and its events are there together or not at all`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1))
    await #expect(throws: StoreError.self) {
      try await opened.database.write { db throws(StoreError) in
        try db.run("INSERT INTO note VALUES ('a')")
        _ = try outbox.insert([pageEvent([blob.digest])], in: db)
        throw .misuse("the agent thought better of it")
      }
    }
    #expect(await outbox.status().pendingEvents == 0)
    #expect(await outbox.status().pendingBlobs == 0)
    // The page is still there for the next try.
    let records = try await opened.database.write { db throws(StoreError) in
      try db.run("INSERT INTO note VALUES ('b')")
      return try outbox.insert([pageEvent([blob.digest]), rating()], in: db)
    }
    #expect(records.map(\.sequence) == [1, 1])
    #expect(await outbox.status().pendingEvents == 2)
    #expect(await outbox.status().pendingBlobs == 1)
    await opened.database.close()

    let again = try await station.open()
    #expect(again.report.pendingEvents == 2)
    #expect(again.report.orphansRemoved == 0)
    #expect(try await again.outbox.readBlob(blob.digest) == page(1).bytes)
  }

  @Test func `an event that names a page which was never stored is refused with all that came with it`()
    async throws
  {
    let opened = try await Station().open()
    let stranger = SHA256.digest(of: [1, 2, 3])
    await #expect(throws: OutboxError.self) {
      try await opened.outbox.append([rating(), pageEvent([stranger])])
    }
    #expect(await opened.outbox.status().pendingEvents == 0)
    #expect(try await opened.outbox.append([rating()]).first?.sequence == 1)
  }

  @Test func `an event larger than the intake takes is refused`() async throws {
    let opened = try await Station().open()
    var draft = rating()
    draft.data = ["comment": .string(String(repeating: "好", count: 400_000))]
    await #expect(throws: OutboxError.self) { try await opened.outbox.append([draft]) }
    draft.data = ["comment": .string(String(repeating: "好", count: 300_000))]
    _ = try await opened.outbox.append([draft])
  }

  @Test(arguments: [
    (BlobDraft(bytes: [], mediaType: "image/jpeg", visit: nil)),
    (BlobDraft(bytes: [1], mediaType: "image/gif", visit: nil)),
    (BlobDraft(bytes: [1], mediaType: "", visit: nil)),
    (BlobDraft(bytes: [UInt8](repeating: 0, count: 64 * 1024 * 1024 + 1), mediaType: "image/jpeg", visit: nil)),
  ])
  func `a page that the intake would not take is refused at once`(draft: BlobDraft) async throws {
    let station = try Station()
    let opened = try await station.open()
    await #expect(throws: OutboxError.self) { try await opened.outbox.storeBlob(draft) }
    #expect(try station.pageFiles().isEmpty)
  }

  @Test(arguments: 1...9)
  func `a page is taken when somebody has removed the directory of those before it`(before: Int) async throws
  {
    let station = try Station()
    let outbox = try await station.open().outbox
    for number in 0..<before { _ = try await outbox.storeBlob(page(number)) }
    // Behind what is made in advance for later pages.
    for directory in await outbox.pages.directories { Files.removeTree("\(station.pages)/\(directory)") }
    let stored = try await outbox.storeBlob(page(99))
    _ = try await outbox.append([pageEvent([stored.digest])])
    #expect(try await outbox.readBlob(stored.digest).count == stored.bytes)
  }

  @Test func `the same page is stored once, however many store it at the same time`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let digests = try await withThrowingTaskGroup(of: Digest.self) { group in
      for number in 0..<20 {
        group.addTask { try await outbox.storeBlob(page(1, visit: "visit-\(number % 3)")).digest }
      }
      return try await group.reduce(into: Set<Digest>()) { $0.insert($1) }
    }
    #expect(digests.count == 1)
    #expect(try station.pageFiles().count == 1)
    _ = try await outbox.append([pageEvent(Array(digests))])
    // And again when there is a row.
    _ = try await outbox.storeBlob(page(1))
    #expect(try station.pageFiles().count == 1)
    #expect(await outbox.status().pendingBlobs == 1)
  }

  @Test func `sequence numbers rise without gaps per source, over restarts and rolled-back commits`()
    async throws
  {
    let station = try Station()
    for round in 0..<3 as Range<Int64> {
      let opened = try await station.open()
      let outbox = opened.outbox
      let records = try await outbox.append([rating(device: "a"), rating(device: "b"), rating(device: "a")])
      #expect(records.map(\.sequence) == [round * 2 + 1, round + 1, round * 2 + 2])
      await #expect(throws: StoreError.self) {
        try await opened.database.write { db throws(StoreError) in
          _ = try outbox.insert([rating(device: "a")], in: db)
          throw .misuse("rolled back")
        }
      }
      await opened.database.close()
    }
  }

  // MARK: Steps at which the process may end

  @Test func `a page that was stored and never named is removed at the next start`() async throws {
    let station = try Station()
    let opened = try await station.open()
    _ = try await opened.outbox.storeBlob(page(1))
    await opened.database.close()
    let again = try await station.open()
    #expect(again.report.orphansRemoved == 1)
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `a page that nobody names is removed after an hour, a named one is not`() async throws {
    let clock = ManualClock()
    var station = try Station()
    station.clock = clock
    let opened = try await station.open()
    _ = try await opened.outbox.storeBlob(page(1))
    let named = try await opened.outbox.storeBlob(page(2))
    _ = try await opened.outbox.append([pageEvent([named.digest])])
    clock.advance(seconds: 3599)
    try await opened.outbox.sweep()
    #expect(try station.pageFiles().count == 2)
    clock.advance(seconds: 2)
    try await opened.outbox.sweep()
    #expect(try station.pageFiles().count == 1)
    #expect(try await opened.outbox.readBlob(named.digest) == page(2).bytes)
    // The first one can be stored anew.
    let again = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([pageEvent([again.digest])])
  }

  @Test func `a file that was half written is removed at the next start`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([pageEvent([blob.digest])])
    await opened.database.close()
    let file = try #require(try station.pageFiles().first)
    let half = Array(try Files.read(file, limit: 1 << 20).prefix(700))
    try Files.replaceDurable(
      Files.directory(of: file) + "/0196f0c2-0000-7000-8000-000000000001", bytes: half, mode: 0o600)
    let again = try await station.open()
    #expect(again.report.orphansRemoved == 1)
    #expect(try station.pageFiles() == [file])
  }

  @Test func `what was accepted and could not be erased before the end is sent again, and then erased`()
    async throws
  {
    let station = try Station()
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    let record = try #require(await opened.outbox.append([pageEvent([blob.digest])]).first)
    // The intake took it; the process ended before its answer.
    await opened.database.close()
    let again = try await station.open()
    let intake = ScriptedIntake()
    try await forwarding(again.outbox, to: intake) { await again.outbox.drained() }
    #expect(intake.received.value.ids == [record.id])
    #expect(try station.pageFiles().isEmpty)
  }

  // MARK: Erasing

  @Test func `a page goes when it is delivered and its visit has closed, whichever comes last`() async throws
  {
    for closesFirst in [true, false] {
      let station = try Station()
      let opened = try await station.open()
      let outbox = opened.outbox
      let blob = try await outbox.storeBlob(page(1, visit: "v"))
      _ = try await outbox.append([pageEvent([blob.digest], visit: "v")])
      let close = {
        try await opened.database.write { db throws(StoreError) in try outbox.visitClosed("v", in: db) }
        outbox.wake()
      }
      if closesFirst {
        try await close()
        try await outbox.sweep()
        #expect(try station.pageFiles().count == 1)
      }
      try await forwarding(outbox, to: ScriptedIntake()) {
        await outbox.drained()
        if !closesFirst {
          #expect(try await outbox.readBlob(blob.digest) == page(1, visit: "v").bytes)
          #expect(await outbox.status().pendingBlobs == 0)
          try await close()
        }
      }
      try await outbox.sweep()
      #expect(try station.pageFiles().isEmpty)
      await #expect(throws: OutboxError.noSuchBlob(blob.digest)) { try await outbox.readBlob(blob.digest) }
    }
  }

  @Test func `a page of two visits stays until both have closed`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    for visit in ["v", "w"] {
      let blob = try await outbox.storeBlob(page(1, visit: visit))
      _ = try await outbox.append([pageEvent([blob.digest], visit: visit)])
    }
    try await forwarding(outbox, to: ScriptedIntake()) { await outbox.drained() }
    for (visit, left) in [("v", 1), ("w", 0)] {
      try await opened.database.write { db throws(StoreError) in try outbox.visitClosed(visit, in: db) }
      try await outbox.sweep()
      #expect(try station.pageFiles().count == left)
    }
  }

  @Test func `a page that is held is not sent, stays over a restart, and goes when it is let go`()
    async throws
  {
    let station = try Station()
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    let outbox = opened.outbox
    try await opened.database.write { db throws(StoreError) in
      try outbox.retain(blob.digest, visit: "v", owner: "material-1", in: db)
    }
    await opened.database.close()

    let again = try await station.open()
    let second = again.outbox
    #expect(try await second.readBlob(blob.digest) == page(1).bytes)
    let intake = ScriptedIntake()
    try await forwarding(second, to: intake) {
      _ = try await second.append([rating()])
      await second.drained()
    }
    #expect(intake.received.value.pages.isEmpty)
    #expect(await second.status().pendingBlobs == 0)
    #expect(await second.status().heldBlobs == 1)
    try await again.database.write { db throws(StoreError) in
      try second.release(blob.digest, owner: "material-1", in: db)
    }
    try await second.sweep()
    #expect(try station.pageFiles().count == 1)
    try await again.database.write { db throws(StoreError) in try second.visitClosed("v", in: db) }
    try await second.sweep()
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `a held page is sent when an event names it, and stays as long as it is held`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1))
    try await opened.database.write { db throws(StoreError) in
      try outbox.retain(blob.digest, owner: "material-1", in: db)
    }
    _ = try await outbox.append([pageEvent([blob.digest])])
    #expect(await outbox.status().pendingBlobs == 1)
    #expect(await outbox.status().heldBlobs == 0)
    let intake = ScriptedIntake()
    try await forwarding(outbox, to: intake) { await outbox.drained() }
    #expect(intake.received.value.pages == [blob.digest])
    #expect(try await outbox.readBlob(blob.digest) == page(1).bytes)
    try await opened.database.write { db throws(StoreError) in
      try outbox.release(blob.digest, owner: "material-1", in: db)
    }
    try await outbox.sweep()
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `a held page whose event was discarded is held as before`() async throws {
    let opened = try await Station().open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1))
    try await opened.database.write { db throws(StoreError) in
      try outbox.retain(blob.digest, owner: "material-1", in: db)
    }
    let record = try #require(await outbox.append([pageEvent([blob.digest])]).first)
    try await outbox.setAside(events: [1: .damaged])
    #expect(try await outbox.quarantine.discard([record.id]) == [record.id: .done])
    #expect(await outbox.status().pendingBlobs == 0)
    #expect(await outbox.status().heldBlobs == 1)
    #expect(try await outbox.readBlob(blob.digest) == page(1).bytes)
  }

  @Test func `a page that is stored again just before it would be erased stays`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1, visit: "v"))
    _ = try await outbox.append([pageEvent([blob.digest])])
    try await forwarding(outbox, to: ScriptedIntake()) { await outbox.drained() }
    _ = try await outbox.storeBlob(page(1))
    try await opened.database.write { db throws(StoreError) in try outbox.visitClosed("v", in: db) }
    try await outbox.sweep()
    _ = try await outbox.append([pageEvent([blob.digest])])
    #expect(try await outbox.readBlob(blob.digest) == page(1).bytes)
    try await forwarding(outbox, to: ScriptedIntake()) { await outbox.drained() }
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `all that remains of what was delivered are counts`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([rating(), rating(), pageEvent([blob.digest])])
    try await forwarding(opened.outbox, to: ScriptedIntake()) { await opened.outbox.drained() }
    let status = await opened.outbox.status()
    #expect(status.delivered == ["gov.hall.rating.v1": 2, "gov.hall.material.page.v1": 1])
    let rows = try await opened.database.read { db throws(StoreError) in
      try ["outbox_event", "outbox_blob", "outbox_claim", "outbox_loose"].map { table throws(StoreError) in
        try db.queryOne("SELECT count(*) FROM \(table)")?[0].integer
      }
    }
    #expect(rows == [0, 0, 0, 0])
    await opened.database.close()
    #expect(await (try station.open()).outbox.status().delivered == status.delivered)
  }

  // MARK: Limits

  @Test func `at the limit no more pages are taken, ratings are, and pages again when some are delivered`()
    async throws
  {
    var station = try Station()
    station.limits = OutboxLimits(pageBytes: 12_000, pages: 100, keptFreeBytes: 0)
    let opened = try await station.open()
    let outbox = opened.outbox
    #expect(await outbox.status().fill == .normal)
    var blobs: [Digest] = []
    for number in 1...2 { blobs.append(try await outbox.storeBlob(page(number)).digest) }
    #expect(await outbox.status().fill == .warning)
    await #expect(throws: OutboxError.full(.quotaBytes(12_000))) { try await outbox.storeBlob(page(3)) }
    _ = try await outbox.append([rating()] + blobs.map { pageEvent([$0]) })
    // Known pages need no room.
    _ = try await outbox.append([pageEvent([try await outbox.storeBlob(page(1)).digest])])
    try await forwarding(outbox, to: ScriptedIntake()) { await outbox.drained() }
    _ = try await outbox.storeBlob(page(3))
    #expect(await outbox.status().fill == .normal)
  }

  @Test func `the number of pages and the room on the disk are limits too`() async throws {
    var station = try Station()
    station.limits = OutboxLimits(pageBytes: 1_000_000, pages: 2, keptFreeBytes: 0)
    var outbox = try await station.open().outbox
    for number in 1...2 { _ = try await outbox.storeBlob(page(number)) }
    await #expect(throws: OutboxError.full(.quotaItems(2))) { try await outbox.storeBlob(page(3)) }
    #expect(await outbox.status().fill == .full)

    station = try Station()
    station.limits = OutboxLimits(keptFreeBytes: .max)
    outbox = try await station.open().outbox
    let error = await #expect(throws: OutboxError.self) { try await outbox.storeBlob(page(1)) }
    guard case .full(.disk) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(await outbox.status().fill == .full)
    _ = try await outbox.append([rating()])
  }

  @Test func `a reserve that was given up is taken again when there is room`() async throws {
    let station = try Station()
    let opened = try await station.open()
    for look in [{ _ = await opened.outbox.status() }, { _ = try await opened.outbox.storeBlob(page(1)) }] {
      try Files.unlink(station.database + "-reserve")
      _ = try await opened.outbox.append([rating()])
      #expect(!opened.database.hasReserve)
      try await look()
      #expect(opened.database.hasReserve)
      #expect(await opened.outbox.status().fill == .normal)
    }
  }

  @Test func `the counts are those of the rows, whatever became of them`() async throws {
    let opened = try await Station().open()
    let outbox = opened.outbox
    for number in 0..<6 {
      let blob = try await outbox.storeBlob(page(number, visit: number < 3 ? "v" : nil))
      _ = try await outbox.append([pageEvent([blob.digest]), rating()])
    }
    let intake = ScriptedIntake { request in
      guard case .events(let json) = request, let events = (try? JSON.parse(json))?.array else { return nil }
      let ids = events.filter { $0["sequence"]?.string?.hasSuffix("2") == true }.compactMap {
        $0["id"]?.string
      }
      let list = ids.map { #"{"id":"\#($0)","reason":""}"# }.joined(separator: ",")
      return .success(IntakeReply(status: 200, body: Array(#"{"rejected":[\#(list)]}"#.utf8)))
    }
    try await forwarding(outbox, to: intake) { await outbox.drained() }
    let ids = try await outbox.quarantine.list().map(\.id)
    _ = try await outbox.quarantine.discard([ids[0]])
    _ = try await outbox.quarantine.retry([ids[1]])
    let (totals, rows) = try await opened.database.read { db throws(StoreError) in
      (
        try db.query(
          "SELECT kind, part, count, bytes FROM outbox_count WHERE count > 0 AND epoch = '' ORDER BY kind, part"
        ),
        try db.query(
          """
          SELECT 'blob' AS kind, state, count(*), sum(bytes) FROM outbox_blob GROUP BY state
          UNION ALL SELECT 'event', state, count(*), sum(bytes) FROM outbox_event GROUP BY state ORDER BY kind, state
          """)
      )
    }
    #expect(totals.map(\.values) == rows.map(\.values))
    #expect(totals.count >= 2)
  }

  @Test func `what waits is told with its age`() async throws {
    let opened = try await Station().open()
    var empty = await opened.outbox.status()
    #expect(Set(empty.quotas.map(\.kind)) == Set(OutboxQuota.Kind.allCases))
    empty.quotas = []
    #expect(empty == OutboxStatus())
    let before = WallTime.now()
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([rating(), pageEvent([blob.digest])])
    let status = await opened.outbox.status()
    #expect(status.pendingEvents == 2)
    #expect(status.pendingBlobs == 1)
    #expect(status.pendingBytes > Int64(blob.bytes) + 400)
    let oldest = try #require(status.oldest).secondsSince1970
    #expect((before.secondsSince1970...WallTime.now().secondsSince1970).contains(oldest))
    #expect(status.quarantined == 0)
    #expect(status.endpoint == .unknown)
  }
}
