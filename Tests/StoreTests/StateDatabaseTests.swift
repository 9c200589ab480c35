import Posix
import Store
import Synchronization
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5))) struct StateDatabaseTests {
  let directory: TemporaryDirectory
  var path: String { directory.path("state.db") }

  static let notes = SchemaComponent(
    name: "notes",
    migrations: ["CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, data BLOB) STRICT"])

  init() throws { directory = try TemporaryDirectory() }

  func open(_ components: [SchemaComponent] = [notes]) async throws -> StateDatabase {
    try await StateDatabase.open(path: path, components: components, reserveBytes: 65_536)
  }

  @Test func `a new database is made, private to its owner, and opened again`() async throws {
    let first = try await open()
    #expect(await first.opening == .created)
    #expect(try Files.owner(of: path).mode == 0o600)
    try await first.write { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('a')") }
    await first.close()
    let second = try await open()
    #expect(await second.opening == .opened)
    let rows = try await second.read { db throws(StoreError) in try db.query("SELECT text FROM note") }
    #expect(rows.map { $0["text"].text } == ["a"])
  }

  @Test func `every kind of value survives`() async throws {
    let database = try await open([
      SchemaComponent(name: "any", migrations: ["CREATE TABLE v (id INTEGER PRIMARY KEY, value ANY) STRICT"])
    ])
    let values: [SQLValue] = [
      .null, 0, .integer(.min), .integer(.max), 2.5, "", "满意\0意", .blob([]), .blob([0, 1, 255]),
    ]
    try await database.write { db throws(StoreError) in
      for value in values { try db.run("INSERT INTO v (value) VALUES (?)", [value]) }
    }
    let read = try await database.read { db throws(StoreError) in
      try db.query("SELECT value FROM v ORDER BY id")
    }
    #expect(read.map { $0[0] } == values)
  }

  @Test func `what a transaction did is gone when it throws`() async throws {
    let database = try await open()
    await #expect(throws: StoreError.constraint("UNIQUE constraint failed: note.text")) {
      try await database.write { db throws(StoreError) in
        try db.run("INSERT INTO note (text) VALUES ('a')")
        try db.run("INSERT INTO note (text) VALUES ('a')")
      }
    }
    let count = try await database.read { db throws(StoreError) in
      try db.queryOne("SELECT count(*) FROM note")?[0].integer
    }
    #expect(count == 0)
    // And the connection is fit for the next one.
    let id = try await database.write { db throws(StoreError) in
      try db.run("INSERT INTO note (text) VALUES ('b')")
      return (db.lastInsertRowID, db.changes)
    }
    #expect(id == (1, 1))
  }

  @Test func `a write inside a read is refused`() async throws {
    let database = try await open()
    await #expect(throws: StoreError.self) {
      try await database.read { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('a')") }
    }
    try await database.write { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('a')") }
  }

  @Test(arguments: ["SELEKT 1", "SELECT * FROM nothing", "", "INSERT INTO note (text) VALUES (?)"])
  func `a wrong statement is a misuse and nothing worse`(sql: String) async throws {
    let database = try await open()
    let error = await #expect(throws: StoreError.self) {
      try await database.write { db throws(StoreError) in try db.run(sql) }
    }
    guard case .misuse = error else {
      Issue.record("not a misuse: \(String(describing: error))")
      return
    }
    #expect(await database.failure == nil)
  }

  @Test func `tables are brought up to date step by step, each component on its own`() async throws {
    let other = SchemaComponent(name: "other", migrations: ["CREATE TABLE other (id INTEGER) STRICT"])
    try await open([Self.notes, other]).close()
    let grown = SchemaComponent(
      name: "notes",
      migrations: Self.notes.migrations + ["ALTER TABLE note ADD COLUMN author TEXT; CREATE TABLE x (a) "])
    let database = try await open([grown, other])
    #expect(await database.opening == .opened)
    try await database.write { db throws(StoreError) in
      try db.run("INSERT INTO note (text, author) VALUES ('a', 'b')")
      try db.run("INSERT INTO other VALUES (1)")
    }
  }

  @Test func `a step that fails leaves the tables as they were`() async throws {
    try await open().close()
    let broken = SchemaComponent(
      name: "notes", migrations: Self.notes.migrations + ["CREATE TABLE y (a); CREATE TABLE y (a)"])
    await #expect(throws: StoreError.self) { try await open([broken]) }
    let database = try await open()
    let tables = try await database.read { db throws(StoreError) in
      try db.query("SELECT name FROM sqlite_schema WHERE name = 'y'")
    }
    #expect(tables.isEmpty)
  }

  @Test func `a database of a newer version is left alone`() async throws {
    let newer = SchemaComponent(name: "notes", migrations: Self.notes.migrations + ["SELECT 1"])
    try await open([newer]).close()
    await #expect(throws: StoreError.newer(component: "notes", found: 2, known: 1)) { try await open() }
    #expect(try await open([newer]).opening == .opened)
  }

  @Test func `another program's database is left alone`() async throws {
    let database = try await open()
    try await database.write { db throws(StoreError) in try db.run("PRAGMA application_id = 7") }
    await database.close()
    let error = await #expect(throws: StoreError.self) { try await open() }
    guard case .cannotOpen = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func `a path that leads nowhere is said with what to do`() async throws {
    let error = await #expect(throws: StoreError.self) {
      try await StateDatabase.open(path: directory.path("no/such/state.db"), components: [])
    }
    guard case .cannotOpen(let path, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(path.hasSuffix("no/such/state.db"))
    #expect(error?.advice.isEmpty == false)
  }

  @Test func `a file that is no database is moved aside and kept`() async throws {
    try write(Array("this is not SQLite at all, whatever its name may say".utf8), to: path)
    let database = try await open()
    guard case .replaced(let old, _) = await database.opening else {
      Issue.record("\(await database.opening)")
      return
    }
    #expect(try Files.read(old, limit: 1000).starts(with: Array("this is not".utf8)))
    try await database.write { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('a')") }
  }

  @Test func `a damaged file whose log still holds everything is healed by it`() async throws {
    let first = try await open()
    try await first.write { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('a')") }
    await first.close()
    var bytes = try Files.read(path, limit: 1 << 20)
    for index in bytes.indices { bytes[index] = 0xA5 }
    try write(bytes, to: path)
    let second = try await open()
    #expect(await second.opening == .opened)
    let rows = try await second.read { db throws(StoreError) in try db.query("SELECT text FROM note") }
    #expect(rows.count == 1)
  }

  @Test func `a damaged page is found at start and the rows around it are salvaged`() async throws {
    let first = try await open()
    try await first.write { db throws(StoreError) in
      for number in 0..<2000 {
        try db.run(
          "INSERT INTO note (text, data) VALUES (?, ?)",
          [.text("note \(number)"), .blob([UInt8](repeating: 7, count: 200))])
      }
    }
    try await first.write { db throws(StoreError) in try db.run("DELETE FROM note WHERE id = 2000") }
    await first.close()
    // The log would heal the page: what it holds is written over the file when it is opened.
    try Files.unlink(path + "-wal")
    var bytes = try Files.read(path, limit: 10_000_000)
    // A page in the middle of the table, not its root.
    let middle = bytes.count / 4096 / 2 * 4096
    for index in middle..<middle + 4096 { bytes[index] = 0xA5 }
    try write(bytes, to: path)

    let second = try await open()
    guard case .replaced(let old, let reason) = await second.opening else {
      Issue.record("\(await second.opening)")
      return
    }
    #expect(!reason.isEmpty)
    var rows: [SQLRow] = []
    try await second.salvage(path: old, table: "note") { some in rows += some }
    #expect(rows.count > 1000)
    #expect(rows.count < 1999)
    let texts = Set(rows.compactMap { $0["text"].text })
    #expect(texts.contains("note 0"))
    #expect(texts.contains("note 1998"))
    #expect(texts.count == rows.count)
  }

  @Test func `several damaged databases are all kept`() async throws {
    for _ in 0..<3 {
      try? Files.unlink(path + "-wal")
      try write(Array("no database, but long enough to have a header".utf8), to: path)
      _ = try await open()
    }
    let names = try Files.list(directory.path)
    for number in 1...3 { #expect(names.contains("state.db.damaged-\(number)")) }
  }

  @Test func `a whole database passes its check while it is used`() async throws {
    let database = try await open()
    #expect(try await database.check() == [])
  }

  @Test func `the reserve and the log are there after closing`() async throws {
    let database = try await open()
    #expect(database.hasReserve)
    try await database.write { db throws(StoreError) in
      for number in 0..<500 {
        try db.run(
          "INSERT INTO note (text, data) VALUES (?, ?)",
          [.text("\(number)"), .blob([UInt8](repeating: 7, count: 1000))])
      }
    }
    await database.close()
    #expect(try Files.size(path + "-wal") > 100_000)
    #expect(try Files.size(path + "-reserve") + Files.size(path + "-reserve-2") == 65_536)
    // And after one that was merely let go.
    try await open().write { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('last')") }
    #expect(try Files.size(path + "-wal") > 100_000)
  }

  @Test func `a database that was closed says so`() async throws {
    let database = try await open()
    await database.close()
    await database.close()
    await #expect(throws: StoreError.self) {
      try await database.read { db throws(StoreError) in try db.query("SELECT 1") }
    }
  }

  @Test func `a reserve that would take the last room is not taken`() async throws {
    let free = try Int(clamping: Files.freeSpace(directory.path).bytes)
    let database = try await StateDatabase.open(
      path: path, components: [], reserveBytes: free / 2 + 1_000_000_000)
    #expect(!database.hasReserve)
  }

  @Test func `on a full disk the reserve is given up, and erasing goes on`() async throws {
    let database = try await open()
    try await database.write { db throws(StoreError) in
      for number in 0..<50 {
        try db.run(
          "INSERT INTO note (text, data) VALUES (?, ?)",
          [.text("\(number)"), .blob([UInt8](repeating: 7, count: 4000))])
      }
    }
    // SQLite's own limit gives the same error as a full file system.
    let pages = try await database.read { db throws(StoreError) in
      try db.queryOne("PRAGMA page_count")?[0].integer ?? 0
    }
    _ = try await database.write { db throws(StoreError) in try db.query("PRAGMA max_page_count = \(pages)") }
    let attempts = Counter()
    await #expect(throws: StoreError.full) {
      try await database.write { db throws(StoreError) in
        attempts.count()
        for number in 100..<200 {
          try db.run(
            "INSERT INTO note (text, data) VALUES (?, ?)",
            [.text("\(number)"), .blob([UInt8](repeating: 7, count: 4000))])
        }
      }
    }
    #expect(attempts.value == 3, "again with the log's room, and with the reserve's")
    #expect(!database.hasReserve)
    #expect(await database.failure == nil)
    try await database.write { db throws(StoreError) in try db.run("DELETE FROM note WHERE id < 20") }
    try await database.write { db throws(StoreError) in
      try db.run("INSERT INTO note (text) VALUES ('room again')")
    }
    #expect(await database.restoreReserve())
    #expect(database.hasReserve)
  }

  @Test func `a transaction that throws full for another reason is not run for ever`() async throws {
    let database = try await open()
    let attempts = Counter()
    await #expect(throws: StoreError.full) {
      try await database.write { _ throws(StoreError) in
        attempts.count()
        throw .full
      }
    }
    #expect(attempts.value == 3)
    await #expect(throws: StoreError.full) {
      try await database.write { _ throws(StoreError) in
        attempts.count()
        throw .full
      }
    }
    #expect(attempts.value == 5)
  }

  @Test func `after a failure of the disk nothing is accepted any more`() async throws {
    let database = try await open()
    try await database.write { db throws(StoreError) in try db.run("INSERT INTO note (text) VALUES ('a')") }
    await #expect(throws: StoreError.io(1034)) {
      try await database.write { _ throws(StoreError) in throw .io(1034) }
    }
    #expect(await database.failure == .io(1034))
    await #expect(throws: StoreError.io(1034)) {
      try await database.read { db throws(StoreError) in try db.query("SELECT 1") }
    }
    await database.close()
    let again = try await open()
    #expect(await again.opening == .opened)
    #expect(await again.failure == nil)
  }

  @Test func `many tasks write at once and all of it arrives`() async throws {
    let database = try await open()
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<20 {
        group.addTask {
          for number in 0..<20 {
            try? await database.write { db throws(StoreError) in
              try db.run("INSERT INTO note (text) VALUES (?)", [.text("\(task)/\(number)")])
            }
          }
        }
      }
    }
    let count = try await database.read { db throws(StoreError) in
      try db.queryOne("SELECT count(*) AS n FROM note")?["n"].integer
    }
    #expect(count == 400)
  }

  private func write(_ bytes: [UInt8], to path: String) throws {
    try Files.replaceDurable(path, bytes: bytes, mode: 0o600)
  }
}

/// Counts from any thread.
private final class Counter: Sendable {
  private let number = Atomic(0)
  var value: Int { number.load(ordering: .relaxed) }
  func count() { number.add(1, ordering: .relaxed) }
}
