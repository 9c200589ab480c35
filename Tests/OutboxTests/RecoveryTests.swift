import Crypto
import Posix
import Store
import TestKit
import Testing
import WireJSON

@testable import Outbox

@Suite(.timeLimit(.minutes(5))) struct RecoveryTests {
  // MARK: Damage

  @Test func `a damaged page is set aside with its event, and everything else is delivered`() async throws {
    for key in [nil, try SealingKey.generated()] {
      let station = try Station(key: key)
      let opened = try await station.open()
      let outbox = opened.outbox
      let bad = try await outbox.storeBlob(page(1))
      let file = try #require(try station.pageFiles().first)
      let good = try await outbox.storeBlob(page(2))
      _ = try await outbox.append([pageEvent([bad.digest]), pageEvent([good.digest]), rating()])
      try Station.damage(file)
      let intake = ScriptedIntake()
      try await forwarding(outbox, to: intake) { await outbox.drained() }
      #expect(intake.received.value.pages == [good.digest])
      #expect(Set(intake.received.value.sequence) == ["00000000000000000002", "00000000000000000001"])
      let items = try await outbox.quarantine.list()
      #expect(items.map(\.kind) == [.event, .page])
      #expect(items.map(\.reason) == [.pageSetAside, .damaged])
      await #expect(throws: OutboxError.unreadable(bad.digest, .damaged)) {
        try await outbox.readBlob(bad.digest)
      }
      #expect(await outbox.status().quarantined == 2)
    }
  }

  @Test func `a page whose file is gone is reported at the start and set aside`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let gone = try await opened.outbox.storeBlob(page(1))
    let file = try #require(try station.pageFiles().first)
    let good = try await opened.outbox.storeBlob(page(2))
    _ = try await opened.outbox.append([pageEvent([gone.digest]), pageEvent([good.digest])])
    await opened.database.close()
    try Files.unlink(file)
    let again = try await station.open()
    #expect(again.report.missingPages == 1)
    let intake = ScriptedIntake()
    try await forwarding(again.outbox, to: intake) { await again.outbox.drained() }
    #expect(intake.received.value.pages == [good.digest])
    #expect(try await again.outbox.quarantine.list().map(\.reason) == [.pageSetAside, .missing])
    // Scanned again, it can be sent after all.
    _ = try await again.outbox.storeBlob(page(1))
    _ = try await again.outbox.append([pageEvent([gone.digest])])
    let item = try #require(try await again.outbox.quarantine.list().first)
    #expect(try await again.outbox.quarantine.retry([item.id]) == [item.id: .done])
    try await forwarding(again.outbox, to: intake) { await again.outbox.drained() }
    #expect(await again.outbox.status().quarantined == 0)
    #expect(intake.received.value.events.count == 3)
  }

  @Test func `a page whose file holds another page is noticed`() async throws {
    let opened = try await Station().open()
    let outbox = opened.outbox
    let blobs = [try await outbox.storeBlob(page(1)).digest, try await outbox.storeBlob(page(2)).digest]
    _ = try await outbox.append(blobs.map { pageEvent([$0]) })
    try await opened.database.write { db throws(StoreError) in
      let files = try db.query("SELECT digest, file FROM outbox_blob")
      try db.run("UPDATE outbox_blob SET file = ? WHERE digest = ?", [files[1]["file"], files[0]["digest"]])
      try db.run("UPDATE outbox_blob SET file = ? WHERE digest = ?", [files[0]["file"], files[1]["digest"]])
    }
    let intake = ScriptedIntake()
    try await forwarding(outbox, to: intake) { await outbox.drained() }
    #expect(intake.received.value.pages.isEmpty)
    #expect(await outbox.status().quarantined == 4)
  }

  @Test func `a damaged row is set aside, and everything else is delivered`() async throws {
    for key in [nil, try SealingKey.generated()] {
      let station = try Station(key: key)
      let opened = try await station.open()
      _ = try await opened.outbox.append((1...5).map { rating($0) })
      try await opened.database.write { db throws(StoreError) in
        var body = try db.queryOne("SELECT body FROM outbox_event WHERE number = 3")?.blob("body") ?? []
        body[body.count - 3] ^= 1
        try db.run("UPDATE outbox_event SET body = ? WHERE number = 3", [.blob(body)])
      }
      let intake = ScriptedIntake()
      try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
      #expect(intake.received.value.events.compactMap { $0["data"]?["level"]?.integer } == [1, 2, 4, 5])
      let items = try await opened.outbox.quarantine.list()
      #expect(items.map(\.reason) == [.damaged])
      #expect(items.map(\.type) == [nil])
    }
  }

  @Test(arguments: [true, false])
  func `rows that were exchanged or moved to another source are noticed`(isSealed: Bool) async throws {
    let opened = try await Station(key: isSealed ? try SealingKey.generated() : nil).open()
    _ = try await opened.outbox.append([rating(1), rating(2), rating(3), rating(4, device: "other")])
    try await opened.database.write { db throws(StoreError) in
      let one = try db.queryOne("SELECT body FROM outbox_event WHERE number = 1")?.blob("body") ?? []
      let two = try db.queryOne("SELECT body FROM outbox_event WHERE number = 2")?.blob("body") ?? []
      try db.run("UPDATE outbox_event SET body = ? WHERE number = 1", [.blob(two)])
      try db.run("UPDATE outbox_event SET body = ? WHERE number = 2", [.blob(one)])
      try db.run(
        "UPDATE outbox_event SET source = (SELECT source FROM outbox_event WHERE number = 4) WHERE number = 3"
      )
    }
    let intake = ScriptedIntake()
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(intake.received.value.events.compactMap { $0["data"]?["level"]?.integer } == [4])
    #expect(await opened.outbox.status().quarantined == 3)
  }

  // MARK: The database is lost

  @Test func `when the database is gone a new epoch begins, and pages are found again by their headers`()
    async throws
  {
    for key in [nil, try SealingKey.generated()] {
      let station = try Station(key: key)
      let opened = try await station.open()
      #expect(opened.report.newEpoch == .firstStart)
      let blob = try await opened.outbox.storeBlob(page(1, visit: "v"))
      _ = try await opened.outbox.append([pageEvent([blob.digest]), rating()])
      await opened.database.close()
      for name in try Files.list(station.directory.path) where name.hasPrefix("state.db") {
        try Files.unlink(station.directory.path(name))
      }
      let again = try await station.open()
      #expect(again.report.newEpoch == .stateLost)
      #expect(again.outbox.epoch != opened.outbox.epoch)
      #expect(again.report.recoveredPages.map(\.digest) == [blob.digest])
      #expect(again.report.recoveredPages.map(\.visit) == ["v"])
      #expect(again.report.orphansRemoved == 0)
      // It is kept for a person, who can read and then discard it.
      let item = try #require(try await again.outbox.quarantine.list().first)
      #expect(item.reason == .eventLost)
      #expect(item.id == blob.digest.hex)
      #expect(try await again.outbox.readBlob(blob.digest) == page(1).bytes)
      #expect(try await again.outbox.quarantine.retry([item.id]) == [item.id: .noEvent])
      // Sequences begin anew, under the new epoch.
      #expect(try await again.outbox.append([rating()]).first?.sequence == 1)
      let intake = ScriptedIntake()
      try await forwarding(again.outbox, to: intake) { await again.outbox.drained() }
      #expect(intake.received.value.pages.isEmpty)
      #expect(try await again.outbox.quarantine.discard([item.id]) == [item.id: .done])
      #expect(try station.pageFiles().isEmpty)
      await again.database.close()
      // And once is enough.
      let third = try await station.open()
      #expect(third.report.newEpoch == nil)
      #expect(third.outbox.epoch == again.outbox.epoch)
    }
  }

  @Test func `a recovered page that is named again is sent`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    await opened.database.close()
    for name in try Files.list(station.directory.path) where name.hasPrefix("state.db") {
      try Files.unlink(station.directory.path(name))
    }
    let again = try await station.open()
    #expect(again.report.recoveredPages.count == 1)
    _ = try await again.outbox.storeBlob(page(1))
    _ = try await again.outbox.append([pageEvent([blob.digest])])
    let intake = ScriptedIntake()
    try await forwarding(again.outbox, to: intake) { await again.outbox.drained() }
    #expect(intake.received.value.pages == [blob.digest])
    #expect(await again.outbox.status().quarantined == 0)
  }

  @Test func `files that are no pages are put out of the way when the database is lost`() async throws {
    let station = try Station()
    try Files.makeDirectory(station.pages + "/20260203", mode: 0o700, parents: true)
    try Files.replaceDurable(station.pages + "/20260203/core", bytes: [1, 2, 3], mode: 0o600)
    let opened = try await station.open()
    #expect(opened.report.damagedFiles == 1)
    #expect(try Files.list(station.pages + "/damaged") == ["20260203-core"])
    #expect(try await opened.outbox.append([rating()]).count == 1)
  }

  @Test(arguments: [true, false])
  func `a damaged database gives up all the events that can still be read`(isSealed: Bool) async throws {
    let station = try Station(key: isSealed ? try SealingKey.generated() : nil)
    let opened = try await station.open()
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([pageEvent([blob.digest])] + (1...600).map { rating($0) })
    // Everything into the file, and the log away, so that damage to the file is damage.
    await opened.database.close()
    try Files.unlink(station.database + "-wal")
    var bytes = try Files.read(station.database, limit: 1 << 28)
    // One page of the table of events: recognised by the ids and bodies in it, in the middle of the file.
    let middle = bytes.count / 4096 / 2 * 4096
    for index in middle..<middle + 4096 { bytes[index] = 0x5A }
    try Files.replaceDurable(station.database, bytes: bytes, mode: 0o600)

    let again = try await station.open()
    guard case .replaced(let old, _) = again.report.database else {
      Issue.record("\(again.report)")
      return
    }
    #expect(Files.exists(old))
    #expect(again.report.newEpoch == .stateLost)
    #expect(again.report.salvagedEvents > 300)
    let intake = ScriptedIntake()
    try await forwarding(again.outbox, to: intake) { await again.outbox.drained() }
    let received = intake.received.value
    #expect(
      received.events.count + (try await again.outbox.quarantine.list()).count >= again.report.salvagedEvents)
    #expect(received.events.count > 300)
    // The page has its event again.
    #expect(again.report.recoveredPages.isEmpty)
    #expect(received.pages == [blob.digest])
    // Each as it was, in its old epoch, in order.
    #expect(received.events.allSatisfy { $0["epoch"]?.string == opened.outbox.epoch })
    let ratings = received.events.filter { $0["type"] == "gov.hall.rating.v1" }
    #expect(
      ratings.allSatisfy { $0["data"]?["level"]?.integer == $0["sequence"]?.string.flatMap { Int64($0) } })
    let levels = ratings.compactMap { $0["data"]?["level"]?.integer }
    #expect(levels == levels.sorted())
    #expect(Set(received.ids).count == received.ids.count)
  }

  @Test func `a cloned disk begins a new epoch and keeps what waits`() async throws {
    var station = try Station()
    let opened = try await station.open()
    _ = try await opened.outbox.append([rating()])
    await opened.database.close()
    station.machine = "machine-2"
    let clone = try await station.open()
    #expect(clone.report.newEpoch == .machineChanged)
    #expect(clone.outbox.epoch != opened.outbox.epoch)
    #expect(try await clone.outbox.append([rating()]).first?.sequence == 1)
    let intake = ScriptedIntake()
    try await forwarding(clone.outbox, to: intake) { await clone.outbox.drained() }
    #expect(
      intake.received.value.events.compactMap { $0["epoch"]?.string } == [
        opened.outbox.epoch, clone.outbox.epoch,
      ])
  }

  // MARK: The key

  @Test func `without the right key items are set aside, and sent when it is back`() async throws {
    let key = try SealingKey.generated()
    var station = try Station(key: key)
    let opened = try await station.open()
    #expect(opened.report.sealing == .sealed)
    let blob = try await opened.outbox.storeBlob(page(1))
    _ = try await opened.outbox.append([rating(1), rating(2), pageEvent([blob.digest])])
    await opened.database.close()

    for (other, sealing, reason) in [
      (nil, .keyLost, .keyMissing), (try SealingKey.generated(), .keyChanged, .otherKey),
    ] as [(SealingKey?, StartReport.Sealing, QuarantineReason)] {
      station.key = other
      let wrong = try await station.open()
      // Each start is compared with the last: after the one without a key a new key is the first.
      #expect(wrong.report.sealing == sealing || wrong.report.sealing == .newlySealed)
      let intake = ScriptedIntake()
      try await forwarding(wrong.outbox, to: intake) {
        await wrong.outbox.drained()
        _ = try await wrong.outbox.append([rating(3)])
        await wrong.outbox.drained()
      }
      #expect(intake.received.value.events.compactMap { $0["data"]?["level"]?.integer } == [3])
      let items = try await wrong.outbox.quarantine.list()
      #expect(items.filter { $0.kind == .event && $0.reason == reason }.count == 2)
      #expect(items.filter { $0.kind == .event && $0.reason == .pageSetAside }.count == 1)
      // Trying it again under the wrong key leads back to where it was.
      _ = try await wrong.outbox.quarantine.retry(items.map(\.id))
      try await forwarding(wrong.outbox, to: intake) { await wrong.outbox.drained() }
      #expect(try await wrong.outbox.quarantine.list().count == 4)
      _ = try await wrong.outbox.quarantine.retry(items.map(\.id))
      await wrong.database.close()
    }

    station.key = key
    let right = try await station.open()
    let intake = ScriptedIntake()
    try await forwarding(right.outbox, to: intake) { await right.outbox.drained() }
    #expect(intake.received.value.events.compactMap { $0["data"]?["level"]?.integer } == [1, 2])
    #expect(intake.received.value.pages == [blob.digest])
    #expect(await right.outbox.status().quarantined == 0)
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `with a key nothing of a citizen's lies in the directory, without one it does`() async throws {
    for key in [try SealingKey.generated(), nil] {
      let station = try Station(key: key)
      let opened = try await station.open()
      let blob = try await opened.outbox.storeBlob(page(1))
      _ = try await opened.outbox.append([pageEvent([blob.digest]), rating()])
      // The intake's words about it too.
      let intake = ScriptedIntake { request in
        guard case .events(let json) = request, let id = (try? JSON.parse(json))?[0]?["id"]?.string else {
          return nil
        }
        let body = #"{"rejected":[{"id":"\#(id)","reason":"张三 has no case"}]}"#
        return .success(IntakeReply(status: 200, body: Array(body.utf8)))
      }
      try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
      let words = try await opened.outbox.quarantine.list().map(\.reason)
      #expect(words.allSatisfy { $0 == .rejected("张三 has no case") })
      #expect(words.count == 2)
      await opened.database.close()
      let everything = try station.everything()
      for secret in ["身份证", "非常满意", "张三", "gov.hall.rating", "comment"] {
        #expect(everything.contains { $0.contains(text: secret) } == (key == nil), "\(secret)")
      }
    }
  }
}
