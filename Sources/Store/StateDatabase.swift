public import Posix

/// What ``StateDatabase/open(path:components:reserveBytes:)`` found.
public enum DatabaseOpening: Sendable, Equatable {
  /// The database was there and whole.
  case opened
  /// There was none: it has been made.
  case created
  /// It was damaged. It has been renamed to that path (with its log beside it) and a new, empty one made: what it held is
  /// to be salvaged as far as possible, and the loss to be said loudly.
  case replaced(oldMovedTo: String, reason: String)
}

/// The agent's one database: SQLite in WAL mode, every commit flushed to the disk before `write` returns
/// (`synchronous=FULL`; facts/outbox.md 2.6 and 2.7), on one connection and a thread of its own.
///
/// After a failure of the disk (``StoreError/io(_:)``) nothing is accepted any more: what such a failure left behind is
/// only known after the next start has replayed the log.
public actor StateDatabase {
  private nonisolated let worker: Worker
  /// Runs on the database's own thread, so that waiting for the disk holds up nobody else.
  public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.asUnownedSerialExecutor() }

  /// What was found when it was opened.
  public private(set) var opening = DatabaseOpening.opened
  /// The path of the database file.
  public nonisolated var path: String { files.path }

  private nonisolated let files: DatabaseFiles
  private let reserveBytes: Int
  private var database: Database?
  /// Why nothing is accepted any more; nil while all is well.
  public private(set) var failure: StoreError?
  /// That failure when it comes, whoever met it; for one listener.
  public nonisolated let failures: AsyncStream<StoreError>
  private nonisolated let failing: AsyncStream<StoreError>.Continuation

  /// Files up to this size are looked through at every start (about 15 ms per MB); larger ones after a suspicion only.
  private static let alwaysChecked = 16 * 1024 * 1024

  /// nil: SQLite's own.
  private nonisolated let virtualFiles: VirtualFiles?

  private init(path: String, reserveBytes: Int, system: any FileSystem) {
    worker = Worker(name: "database")
    (failures, failing) = AsyncStream.makeStream()
    files = DatabaseFiles(path: path, system: system)
    virtualFiles = system is SystemFiles ? nil : VirtualFiles(system)
    self.reserveBytes = reserveBytes
  }

  /// Opens or makes the database, and brings its tables up to date. ``opening`` tells what was found.
  ///
  /// A damaged file never stops the start: it is renamed aside, and a new one is made. A file that cannot be opened for
  /// another reason (owner, file system, a newer version's) is left alone and thrown, since its content is whole.
  ///
  /// - Parameters:
  ///   - path: the database file, in a directory that exists.
  ///   - components: whose tables it holds; each is brought up to date in this order.
  ///   - reserveBytes: size of a file (`…-reserve`) that is given up when the disk is full, so that accepted items can
  ///     still be erased; 0 for none.
  ///   - files: the file system that the path is on; SQLite uses the system's own by itself.
  public static func open(
    path: String, components: [SchemaComponent], reserveBytes: Int = 33_554_432,
    files: any FileSystem = SystemFiles()
  ) async throws(StoreError) -> StateDatabase {
    let state = StateDatabase(path: path, reserveBytes: reserveBytes, system: files)
    try await state.connect(components)
    return state
  }

  private func connect(_ components: [SchemaComponent]) throws(StoreError) {
    do throws(StoreError) {
      opening = try connectOnce(components) ? .created : .opened
    } catch .corrupt(let reason) {
      let old = try files.moveAside()
      _ = try connectOnce(components)
      opening = .replaced(oldMovedTo: old, reason: reason)
    } catch .full {
      // Starting is noting, too: with both of them.
      let hadFirst = files.release(.first)
      let hadLast = files.release(.last)
      guard hadFirst || hadLast else { throw .full }
      opening = try connectOnce(components) ? .created : .opened
      return
    }
    _ = files.takeReserve(reserveBytes)
  }

  private func connectOnce(_ components: [SchemaComponent]) throws(StoreError) -> Bool {
    try files.createPrivately()
    try files.rewriteLogIfFailed()
    // Before SQLite sees the log: what it reads there and copies into the file has to be on the disk already. After a flush that
    // failed, its own would say that all is well, and a power cut would leave a file that is newer than its log.
    try files.syncLog()
    do throws(StoreError) {
      return try connectOnFlushedLog(components)
    } catch {
      if case .io = error { files.markFailed() }
      throw error
    }
  }

  private func connectOnFlushedLog(_ components: [SchemaComponent]) throws(StoreError) -> Bool {
    let database = try Database(path: files.path, on: virtualFiles)
    if files.isSuspect || files.size <= Self.alwaysChecked {
      let findings = try database.quickCheck()
      guard findings.isEmpty else { throw .corrupt(findings.joined(separator: "; ")) }
    }
    let created = try database.prepare(path: files.path, components: components)
    // A quarter of the reserve: what is accepted and erased on a full disk goes into the room that the log has already.
    let logBytes = min(Database.logLimit, reserveBytes / 4)
    if files.logSize < logBytes { try? database.growLog(to: logBytes) }
    files.clearSuspicion()
    self.database = database
    return created
  }

  // MARK: Use

  /// Runs `body` in one transaction (`BEGIN IMMEDIATE`) and returns what it returns once that is committed and flushed. Rolled
  /// back when it throws. May run `body` again: when the disk was full and room was made for it, in the log
  /// or by giving up a reserve.
  ///
  /// - Parameter erasing: whether `body` notes or erases what the intake has accepted: the last reserve is kept for that, so that
  ///   it goes on when everything else has filled the disk to the last byte.
  public func write<T: Sendable>(
    erasing: Bool = false, _ body: @Sendable (Database) throws(StoreError) -> T
  ) throws(StoreError) -> T {
    var reserves: [DatabaseFiles.Reserve] = erasing ? [.first, .last] : [.first]
    var isLogTried = false
    while true {
      do throws(StoreError) {
        return try guarded(writing: true, body)
      } catch .full {
        if isLogTried {
          guard let usable = reserves.firstIndex(where: { files.release($0) }) else { throw .full }
          reserves.removeFirst(usable + 1)
        }
        isLogTried = true
        // What is in the log goes into the file as long as there is room for that: then the log is used from its beginning again,
        // and grows no more.
        database?.checkpoint()
      }
    }
  }

  /// Runs `body` over one unchanging view of the database. Writing in it is a misuse.
  public func read<T: Sendable>(
    _ body: @Sendable (Database) throws(StoreError) -> T
  ) throws(StoreError) -> T {
    try guarded(writing: false, body)
  }

  private func guarded<T: Sendable>(
    writing: Bool, _ body: (Database) throws(StoreError) -> T
  ) throws(StoreError) -> T {
    if let failure { throw failure }
    guard let database else { throw .misuse("the database has been closed") }
    do throws(StoreError) {
      return try database.transaction(writing: writing, body)
    } catch {
      switch error {
      case .io:
        failure = error
        files.markFailed()
        failing.yield(error)
      case .corrupt:
        // The next start looks at the whole file, however large, before it trusts it again.
        files.markSuspect()
      default: break
      }
      throw error
    }
  }

  // MARK: The reserve, and leaving

  /// Whether the reserve is in place. It is not after the disk was full, and then no new pages should be taken.
  public nonisolated var hasReserve: Bool { files.hasReserve }

  /// Takes the reserve again, if there is room for it now.
  /// - Returns: whether it is in place.
  public func restoreReserve() -> Bool { files.takeReserve(reserveBytes) }

  /// Closes the database. The log (`…-wal`) stays, at its size, as a full disk may be what the next start finds; whoever puts
  /// another file in the database's place has to remove it.
  public func close() { database = nil }

  /// Reads the whole file and looks for damage, on a connection and thread of its own (about 15 s per GB).
  /// - Returns: SQLite's findings; empty if all is well.
  public nonisolated func check() async throws(StoreError) -> [String] {
    try await SecondConnection(path, virtualFiles).check()
  }

  /// Goes through the rows of one table in a damaged database that was moved aside, as far as they can still be read: from
  /// its beginning to the damage, and from its end back to the damage.
  ///
  /// - Parameters:
  ///   - path: where ``DatabaseOpening/replaced(oldMovedTo:reason:)`` says.
  ///   - table: a rowid table.
  ///   - each: is given up to 500 rows at a time, in no particular order; it has to be able to tell good rows from bad.
  /// - Throws: what `each` throws; a damaged file itself is no error.
  public nonisolated func salvage(
    path: String, table: String, _ each: ([SQLRow]) async throws(StoreError) -> Void
  ) async throws(StoreError) {
    let reader = SecondConnection(path, virtualFiles)
    var range = (low: Int64.min, high: Int64.max)
    for isAscending in [true, false] {
      while true {
        let (rows, isBroken) = await reader.salvage(table, range.low, range.high, isAscending)
        if let last = rows.last?[0].integer {
          if isAscending { range.low = last } else { range.high = last }
          try await each(rows)
        }
        if isBroken { break }
        if rows.isEmpty { return }
      }
    }
  }
}

/// Reads a database file beside the agent's own connection, on a thread of its own.
private actor SecondConnection {
  private nonisolated let worker = Worker(name: "database-reader")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.asUnownedSerialExecutor() }

  private let path: String
  private var opened: Database?

  private let virtualFiles: VirtualFiles?

  init(_ path: String, _ virtualFiles: VirtualFiles?) {
    self.path = path
    self.virtualFiles = virtualFiles
  }

  private func database() throws(StoreError) -> Database {
    if let opened { return opened }
    let database = try Database(path: path, mode: .readOnly, on: virtualFiles)
    opened = database
    return database
  }

  func check() throws(StoreError) -> [String] { try database().quickCheck() }

  /// The next rows between two rowids, the rowid first in each, and whether damage ended them.
  func salvage(
    _ table: String, _ low: Int64, _ high: Int64, _ isAscending: Bool
  ) -> (rows: [SQLRow], isBroken: Bool) {
    var rows: [SQLRow] = []
    let order = isAscending ? "ASC" : "DESC"
    do throws(StoreError) {
      // What is read before the error stays.
      try database().perform(
        "SELECT rowid, * FROM \"\(table)\" WHERE rowid > ? AND rowid < ? ORDER BY rowid \(order) LIMIT 500",
        [.integer(low), .integer(high)]
      ) { row in
        rows.append(row)
        return true
      }
      return (rows, false)
    } catch { return (rows, true) }
  }
}
