import Crypto
import Posix
import Store
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Outbox

/// The outbox on a disk that loses and tears whatever was not flushed, crashed at random steps again and again, and held against
/// what it had acknowledged.
@Suite(.timeLimit(.minutes(30))) struct CrashTests {
  /// How many crashes in all: `HALL_CRASHES=100000` for the full size.
  static let crashes = Int(Environment["HALL_CRASHES"] ?? "") ?? 2000
  private static let runs = 8
  /// After so many crashes another position begins, so that histories stay small.
  private static let life = 125

  @Test(arguments: 0..<runs)
  func `whatever was acknowledged is there after every crash, whole and in order`(run: Int) async throws {
    let started = SystemClockState.monotonicNanoseconds()
    var totals = (crashes: 0, acknowledged: 0, resent: 0, powerCuts: 0, failedFlushes: 0)
    while totals.crashes < Self.crashes / Self.runs {
      let history = try await History(
        seed: UInt64(run) << 32 | UInt64(totals.crashes), isSealed: run.isMultiple(of: 2))
      for _ in 0..<min(Self.life, Self.crashes / Self.runs - totals.crashes) where history.losses.isEmpty {
        try await history.runAndCrash()
      }
      try await history.drain()
      #expect(history.losses.isEmpty)
      totals.crashes += history.crashes
      totals.acknowledged += history.acknowledged
      totals.resent += history.resent
      totals.powerCuts += history.powerCuts
      totals.failedFlushes += history.failedFlushes
      if !history.losses.isEmpty { break }
    }
    let seconds = Double(SystemClockState.monotonicNanoseconds() - started) / 1e9
    #expect(totals.acknowledged > totals.crashes)
    print(
      "crash points: \(totals.crashes) in \(Int(seconds)) s, power cuts \(totals.powerCuts), "
        + "failed flushes \(totals.failedFlushes), acknowledged "
        + "\(totals.acknowledged), re-sent \(totals.resent)")
  }

  @Test func `without the flush of the page itself the same crashes lose pages`() async throws {
    let history = try await History(seed: 4711, isSealed: false)
    history.ignoresSync = { $0.contains("/pages/") }
    for _ in 0..<400 where history.losses.isEmpty { try await history.runAndCrash() }
    #expect(!history.losses.isEmpty)
  }

  @Test func `without the flush of the log the same crashes lose ratings`() async throws {
    let history = try await History(seed: 4712, isSealed: false)
    history.ignoresSync = { $0.hasSuffix("-wal") }
    for _ in 0..<400 where history.losses.isEmpty { try await history.runAndCrash() }
    #expect(!history.losses.isEmpty)
  }
}

/// One position's life through many crashes, and what it had promised.
private final class History {
  /// What was acknowledged to its author and not yet accepted by the intake or discarded by a person.
  private struct Promise {
    var pages: [Digest] = []
  }

  private(set) var losses: [String] = []
  private(set) var crashes = 0
  private(set) var powerCuts = 0
  private(set) var failedFlushes = 0
  var failsFlushes = true
  private(set) var acknowledged = 0
  private(set) var resent = 0
  var ignoresSync: @Sendable (String) -> Bool = { _ in false }

  /// Fails one time.
  private final class FailingOnce: Sendable {
    private let after: Int
    private let state = Mutex(false)
    init(after: Int) { self.after = after }
    var hasFailed: Bool { state.withLock { $0 } }
    func isDue(_ number: Int) -> Bool {
      state.withLock { hasFailed in
        guard !hasFailed, number >= after else { return false }
        hasFailed = true
        return true
      }
    }
  }

  private var random: SeededRandom
  private var disk = SimulatedDisk(capacity: 64 << 20)
  private let key: SealingKey?
  private var promises: [String: Promise] = [:]
  private var pageContents: [Digest: [UInt8]] = [:]
  /// Held pages, by owner, that were acknowledged.
  private var held: [String: Digest] = [:]
  /// What the intake has: sequence by source and epoch, and the ids.
  private var received: Set<String> = []
  private var sequences: [String: Set<Int64>] = [:]
  private var discarded: Set<String> = []
  /// Under way when the crash came: may be there or not.
  private var uncertain: Set<String> = []
  private var uncertainOwners: Set<String> = []
  /// Effects that happened, each with its journal's word.
  private var effects: [String: Int] = [:]
  private var journal: [String: String] = [:]
  private var number = 0

  private static let agent = SchemaComponent(
    name: "agent",
    migrations: ["CREATE TABLE effect (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT"])

  private struct Running {
    var database: StateDatabase
    var outbox: Outbox
    var report: StartReport
  }

  init(seed: UInt64, isSealed: Bool) async throws {
    random = SeededRandom(seed: seed)
    key = isSealed ? try SealingKey.generated() : nil
    try disk.makeDirectory("/state", mode: 0o700, parents: true)
    try disk.syncDirectory("/")
    let first = try await open()
    await first.database.close()
  }

  private func open() async throws -> Running {
    let database = try await StateDatabase.open(
      path: "/state/hall.db", components: [Outbox.schema, Self.agent], reserveBytes: 65_536, files: disk)
    let (outbox, report) = try await Outbox.open(
      database: database, directory: "/state/pages", key: key,
      identity: OutboxIdentity(hall: "h", position: "p", machine: "m"),
      limits: OutboxLimits(keptFreeBytes: 0), files: disk)
    return Running(database: database, outbox: outbox, report: report)
  }

  // MARK: A life

  /// Opens, checks, works until the power goes off somewhere, and cuts it.
  func runAndCrash() async throws {
    var faults = SimulatedDisk.Faults()
    faults.ignoresSync = ignoresSync
    faults.powerOffAt = Int.random(in: 1...160, using: &random)
    // In one life of four a flush fails once.
    let failure = FailingOnce(
      after: failsFlushes && random.next() % 4 == 0 ? Int.random(in: 1...120, using: &random) : .max)
    faults.failing = { number, step, _ in step == .sync && failure.isDue(number) ? 5 : nil }
    disk.meet(faults)
    do {
      let running = try await open()
      if !disk.isOff {
        try await check(running)
        // Logs are folded into the file now and then.
        let often = [8, 40, 1000].randomElement(using: &random) ?? 1000
        try await running.database.write { db throws(StoreError) in
          try db.run("PRAGMA wal_autocheckpoint = \(often)")
        }
        while !disk.isOff, losses.isEmpty { try await act(running) }
      }
      await running.database.close()
    } catch {
      // The power was off, or a flush had failed, and whoever was at work saw it.
      if !disk.isOff, !failure.hasFailed { losses.append("without a crash: \(error)") }
    }
    if failure.hasFailed { failedFlushes += 1 }
    crashes += 1
    // Two of three are power cuts; else the program alone ends.
    if random.next() % 3 == 0 {
      disk.programEnded()
    } else {
      powerCuts += 1
      disk = disk.powerCut(seed: random.next())
    }
  }

  private func act(_ running: Running) async throws {
    switch random.next() % 12 {
    case 0...3: try await rate(running)
    case 4, 5: try await scan(running)
    case 6: try await hold(running)
    case 7: try await release(running)
    case 8: try await setAside(running)
    case 9: try await settle(running)
    case 10: try await print(running)
    default: try await deliver(running)
    }
  }

  private func next() -> Int {
    number += 1
    return number
  }

  /// An event that only its own content tells from others.
  private func event(_ number: Int, _ pages: [Digest] = [], device: String) -> EventDraft {
    EventDraft(
      source: .device(role: device), type: "gov.hall.test.v1", data: ["n": .integer(Int64(number))],
      blobs: pages,
      priority: pages.isEmpty ? .rating : .normal)
  }

  private func append(_ running: Running, _ drafts: [(Int, EventDraft)]) async throws {
    for (number, _) in drafts { uncertain.insert("\(number)") }
    _ = try await running.outbox.append(drafts.map(\.1))
    for (number, draft) in drafts {
      uncertain.remove("\(number)")
      promises["\(number)"] = Promise(pages: draft.blobs)
      acknowledged += 1
    }
  }

  private func rate(_ running: Running) async throws {
    let count = Int.random(in: 1...3, using: &random)
    let device = random.isLuckyNow() ? "evaluator" : "kiosk"
    let numbers = (0..<count).map { _ in next() }
    try await append(running, numbers.map { ($0, event($0, device: device)) })
  }

  private func store(_ running: Running) async throws -> Digest {
    let size = Int.random(in: 1...9000, using: &random)
    let filling = UInt8(truncatingIfNeeded: random.next())
    let content = Array("page \(next())".utf8) + [UInt8](repeating: filling, count: size)
    let stored = try await running.outbox.storeBlob(
      BlobDraft(bytes: content, mediaType: "image/jpeg", visit: nil))
    pageContents[stored.digest] = content
    return stored.digest
  }

  private func scan(_ running: Running) async throws {
    let pages = [try await store(running)] + (random.isLuckyNow() ? [try await store(running)] : [])
    let number = next()
    try await append(running, [(number, event(number, pages, device: "scanner"))])
  }

  private func hold(_ running: Running) async throws {
    let digest = try await store(running)
    let owner = "owner \(next())"
    uncertainOwners.insert(owner)
    let outbox = running.outbox
    try await running.database.write { db throws(StoreError) in
      try outbox.retain(digest, owner: owner, in: db)
    }
    uncertainOwners.remove(owner)
    held[owner] = digest
    acknowledged += 1
  }

  private func release(_ running: Running) async throws {
    guard let (owner, digest) = held.min(by: { $0.key < $1.key }) else { return }
    held[owner] = nil
    uncertainOwners.insert(owner)
    let outbox = running.outbox
    try await running.database.write { db throws(StoreError) in
      try outbox.release(digest, owner: owner, in: db)
    }
    try await outbox.sweep()
  }

  private func setAside(_ running: Running) async throws {
    let loaded = try await running.outbox.pending(after: [:])
    guard let first = loaded.flatMap(\.events).first else { return }
    try await running.outbox.setAside(events: [first.number: .refused(status: 422)])
  }

  private func settle(_ running: Running) async throws {
    guard let item = try await running.outbox.quarantine.list().first(where: { $0.kind == .event }) else {
      return
    }
    if random.isLuckyNow() {
      _ = try await running.outbox.quarantine.retry([item.id])
    } else {
      let exported = try await running.outbox.quarantine.export(item.id)
      if let number = exported.event?["data"]?["n"]?.integer {
        discarded.insert("\(number)")
        note(exported.event ?? .null)
        promises["\(number)"] = nil
      }
      _ = try await running.outbox.quarantine.discard([item.id])
    }
  }

  /// A physical effect under the journal: begun is on the disk before it, done after it.
  private func print(_ running: Running) async throws {
    let name = "effect \(next())"
    try await running.database.write { db throws(StoreError) in
      try db.run("INSERT INTO effect VALUES (?, 'begun')", [.text(name)])
    }
    effects[name, default: 0] += 1
    try await running.database.write { db throws(StoreError) in
      try db.run("UPDATE effect SET state = 'done' WHERE name = ?", [.text(name)])
    }
    journal[name] = "done"
    // Old entries go, as those of the agent do after a day.
    guard journal.count > 20, let old = journal.keys.min() else { return }
    journal[old] = nil
    effects[old] = nil
    try await running.database.write { db throws(StoreError) in
      try db.run("DELETE FROM effect WHERE name = ?", [.text(old)])
    }
  }

  private func note(_ event: JSONValue) {
    let source = (event["source"]?.string ?? "") + (event["epoch"]?.string ?? "")
    sequences[source, default: []].insert(event["sequence"]?.string.flatMap { Int64($0) } ?? 0)
  }

  /// The intake takes what waits, and has it durably before the outbox hears of it.
  private func deliver(_ running: Running, atMost limit: Int = 25) async throws {
    for load in try await running.outbox.pending(after: [:]) {
      let numbers = load.events.prefix(limit).map(\.number)
      let (events, unusable) = try await running.outbox.outgoing(numbers)
      for (number, reason) in unusable {
        losses.append("event row \(number) is unusable: \(String(describing: reason))")
      }
      for page in load.events.prefix(limit).flatMap(\.pages) where !page.isAccepted {
        guard let found = try await running.outbox.outgoingPage(page.digest) else {
          losses.append("page \(page.digest) has no row")
          continue
        }
        await readPage(running, found.file, page.digest)
      }
      for event in events {
        let json = try JSON.parse(event.json)
        let number = "\(json["data"]?["n"]?.integer ?? -1)"
        if !received.insert(event.id).inserted { resent += 1 }
        note(json)
        promises[number] = nil
        uncertain.remove(number)
      }
      try await running.outbox.delivered(events.map(\.number), types: ["gov.hall.test.v1": events.count])
    }
  }

  private func readPage(_ running: Running, _ file: String, _ digest: Digest) async {
    do {
      let bytes = try await running.outbox.pages.read(file, digest: digest)
      if let content = pageContents[digest], content != bytes { losses.append("page \(digest) is another") }
    } catch {
      if !disk.isOff { losses.append("page \(digest) cannot be read: \(error)") }
    }
  }

  // MARK: What has to be true

  private func check(_ running: Running) async throws {
    if running.report.database != .opened { losses.append("the database was \(running.report.database)") }
    if running.report.newEpoch != nil { losses.append("a new epoch") }
    if running.report.missingPages != 0 { losses.append("\(running.report.missingPages) pages are missing") }
    let outbox = running.outbox
    let (rows, blobs, totals, effectRows, owners, clashes) = try await running.database.read {
      db throws(StoreError) in
      (
        try db.query(
          """
          SELECT e.number, e.id, e.epoch, e.sequence, e.state, e.body, s.path FROM outbox_event AS e
          JOIN outbox_source AS s ON s.id = e.source ORDER BY e.number
          """),
        try db.query("SELECT digest, file, bytes, state FROM outbox_blob"),
        try db.query(
          "SELECT kind, part, count, bytes FROM outbox_count WHERE epoch = '' AND (count <> 0 OR bytes <> 0)"),
        try db.query("SELECT name, state FROM effect"),
        try db.query("SELECT owner FROM outbox_claim WHERE kind = 2"),
        try db.query("PRAGMA foreign_key_check")
      )
    }
    if !clashes.isEmpty { losses.append("rows that point to none") }
    var there: Set<String> = []
    var sequences = sequences
    for row in rows {
      switch outbox.open(row) {
      case .success(let body):
        let json = try JSON.parse(body.json)
        there.insert("\(json["data"]?["n"]?.integer ?? -1)")
        let source = (json["source"]?.string ?? "") + (json["epoch"]?.string ?? "")
        sequences[source, default: []].insert(json["sequence"]?.string.flatMap { Int64($0) } ?? 0)
      case .failure(let failure): losses.append("event \(row["number"]): \(failure.reason)")
      }
    }
    for (number, promise) in promises {
      if !there.contains(number) { losses.append("event \(number) was acknowledged and is gone") }
      for digest in promise.pages {
        let row = blobs.first { $0["digest"].blob == digest.bytes }
        guard let file = row?["file"].text else {
          losses.append("page \(digest) of event \(number) was acknowledged and is gone")
          continue
        }
        await readPage(running, file, digest)
      }
    }
    let ownersThere = Set(owners.compactMap { $0["owner"].text })
    for (owner, digest) in held {
      let row = blobs.first { $0["digest"].blob == digest.bytes }
      guard ownersThere.contains(owner), let file = row?["file"].text else {
        losses.append("held page of \(owner) is gone")
        continue
      }
      await readPage(running, file, digest)
    }
    // Whatever is there that was not promised, was under way: it counts as promised from now on. No other.
    for number in there where promises[number] == nil {
      if uncertain.contains(number) {
        promises[number] = Promise()
      } else if !received.isEmpty || !discarded.isEmpty {
        // Accepted or discarded just before the crash, and not noted: sent again or still there.
        promises[number] = Promise()
      } else {
        losses.append("event \(number) came from nowhere")
      }
    }
    uncertain = []
    uncertainOwners = []
    for (source, numbers) in sequences {
      if numbers != Set(1...Int64(numbers.count)) { losses.append("sequence of \(source) has a gap") }
    }
    for (name, state) in journal
    where !effectRows.contains(where: { $0["name"].text == name && $0["state"].text == state }) {
      losses.append("the journal forgot that \(name) was \(state)")
    }
    for name in effects.keys where !effectRows.contains(where: { $0["name"].text == name }) {
      losses.append("\(name) happened and the journal does not know")
    }
    // The counts are what is counted.
    var counted: [String: Int64] = [:]
    for row in rows { counted["event\(row["state"].integer ?? -1)", default: 0] += 1 }
    for row in blobs { counted["blob\(row["state"].integer ?? -1)", default: 0] += 1 }
    let kept = Dictionary(
      uniqueKeysWithValues: totals.map {
        (($0["kind"].text ?? "") + "\($0["part"].integer ?? -1)", $0["count"].integer ?? 0)
      })
    if counted != kept { losses.append("counts: \(kept) for \(counted)") }
    // No file without a row is left.
    let named = Set(blobs.compactMap { $0["file"].text.map { "/state/pages/\($0)" } })
    let strays = disk.paths.filter { $0.hasPrefix("/state/pages/") && !named.contains($0) }
    if !strays.isEmpty { losses.append("files without rows: \(strays)") }
  }

  /// At the end: without crashes, everything that was promised arrives.
  func drain() async throws {
    guard losses.isEmpty else { return }
    disk.meet(SimulatedDisk.Faults())
    let running = try await open()
    try await check(running)
    let items = try await running.outbox.quarantine.list(limit: 100_000).filter { $0.kind == .event }
    _ = try await running.outbox.quarantine.retry(items.map(\.id))
    while await running.outbox.status().pendingEvents > 0, losses.isEmpty {
      try await deliver(running, atMost: 500)
    }
    for number in promises.keys { losses.append("event \(number) never arrived") }
    await running.database.close()
  }
}
