import Crypto
import Posix
import Store
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Outbox

/// What a raw search of the state directory finds of a citizen's.
@Suite(.timeLimit(.minutes(5))) struct PlaintextTests {
  private static let secrets = ["身份证", "非常满意", "张三", "gov.hall.rating"]

  @Test(arguments: [true, false])
  func `with a key nothing is ever written in plain, without one it is`(isSealed: Bool) async throws {
    let disk = SimulatedDisk()
    try disk.makeDirectory("/state", mode: 0o700, parents: true)
    let found = Mutex<Set<String>>([])
    var faults = SimulatedDisk.Faults()
    faults.sees = { path, bytes in
      for secret in Self.secrets where bytes.contains(text: secret) {
        found.withLock { _ = $0.insert("\(secret) in \(path)") }
      }
    }
    disk.meet(faults)
    let database = try await StateDatabase.open(
      path: "/state/hall.db", components: [Outbox.schema], reserveBytes: 65_536, files: disk)
    let (outbox, _) = try await Outbox.open(
      database: database, directory: "/state/pages", key: isSealed ? try SealingKey.generated() : nil,
      identity: OutboxIdentity(hall: "h", position: "p", machine: "m"), files: disk)
    let pages = [try await outbox.storeBlob(page(1)), try await outbox.storeBlob(page(2, visit: "visit-1"))]
    try await database.write { db throws(StoreError) in
      try outbox.retain(pages[1].digest, visit: "visit-1", owner: "held", in: db)
    }
    _ = try await outbox.append([rating(), pageEvent([pages[0].digest]), rating(2)])
    try await outbox.setAside(events: [1: .rejected("张三 has no case")])
    _ = try await outbox.quarantine.retry(try await outbox.quarantine.list().map(\.id))
    try await outbox.setAside(events: [3: .rejected("张三 again")])
    // The log goes into the file, and is begun anew.
    try await database.write { db throws(StoreError) in try db.run("PRAGMA wal_autocheckpoint = 5") }
    for level in 1...5 { _ = try await outbox.append([rating(Int64(level))]) }
    let numbers = try await outbox.pending(after: [:]).flatMap(\.events).map(\.number)
    try await outbox.delivered(numbers, types: [:])
    await database.close()
    #expect(found.withLock { $0.isEmpty } == isSealed)
    let isAnywhere = disk.everything.contains { bytes in Self.secrets.contains { bytes.contains(text: $0) } }
    #expect(isAnywhere != isSealed)
  }

  @Test func `without a key nothing is left after delivery and a full cycle of the log`() async throws {
    let station = try Station()
    let opened = try await station.open()
    let outbox = opened.outbox
    let blob = try await outbox.storeBlob(page(1))
    _ = try await outbox.append([pageEvent([blob.digest]), rating()])
    // A commit that makes the log much longer than it usually is.
    let large = (0..<16).map { _ in
      EventDraft(
        source: .device(role: "scanner"), type: "gov.hall.material.page.v1",
        data: ["names": .array(Array(repeating: "张三", count: 60_000))])
    }
    _ = try await outbox.append(large)
    #expect(try Files.size(station.database + "-wal") > 6_000_000)
    let intake = ScriptedIntake()
    try await forwarding(outbox, to: intake) { await outbox.drained() }
    #expect(intake.received.value.events.count == 18)
    // A full cycle: as many pages as the log has.
    for number in 0..<400 {
      try await opened.database.write { db throws(StoreError) in
        try db.run("INSERT INTO note VALUES (?)", [.text(String(repeating: "\(number % 10)", count: 12_000))])
      }
    }
    let secrets = ["张三", "身份证", "非常满意"]
    for bytes in try station.everything() {
      for secret in secrets { #expect(!bytes.contains(text: secret)) }
    }
  }
}
