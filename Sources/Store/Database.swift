import CSQLite

/// The connection inside one transaction: given to the closures of ``StateDatabase`` and never beyond them.
///
/// Statements are kept prepared by their text, so values belong into `values`, never into the text.
@safe public final class Database {
  private let handle: OpaquePointer
  private var statements: [String: OpaquePointer] = unsafe [:]
  private var isReadOnly = false

  /// How many prepared statements are kept. A program has a fixed set of them; this only bounds a mistake.
  private static let statementLimit = 256

  enum Mode { case readWrite, readOnly }

  /// Where SQLite keeps its files, if not on its own file system; outlives the connection.
  private let virtualFiles: VirtualFiles?

  init(path: String, mode: Mode = .readWrite, on virtualFiles: VirtualFiles? = nil) throws(StoreError) {
    self.virtualFiles = virtualFiles
    var opened: OpaquePointer?
    let flags =
      switch mode {
      case .readWrite: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
      case .readOnly: SQLITE_OPEN_READONLY
      }
    let code = unsafe sqlite3_open_v2(
      path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW,
      virtualFiles?.name)
    guard code == SQLITE_OK, let handle = unsafe opened else {
      let reason =
        unsafe opened.map { unsafe String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      unsafe sqlite3_close_v2(opened)
      if code & 0xFF == SQLITE_NOTADB || code & 0xFF == SQLITE_CORRUPT { throw .corrupt(reason) }
      throw .cannotOpen(path: path, reason: reason)
    }
    unsafe self.handle = handle
    // A technician's sqlite3 shell may hold a lock for a moment.
    unsafe sqlite3_busy_timeout(handle, 5000)
    // The log must keep its size when the agent stops, so that a full disk cannot take it: see StateDatabase.
    var persist: CInt = 1
    unsafe sqlite3_file_control(handle, nil, SQLITE_FCNTL_PERSIST_WAL, &persist)
  }

  deinit {
    finalizeStatements()
    // A size limit would cut the log to nothing when the last connection goes.
    unsafe sqlite3_exec(handle, "PRAGMA journal_size_limit = -1", nil, nil, nil)
    unsafe sqlite3_close_v2(handle)
  }

  private func finalizeStatements() {
    unsafe statements.values.forEach { unsafe sqlite3_finalize($0) }
    unsafe statements.removeAll()
  }

  // MARK: Statements

  /// Runs one statement that returns no rows (or whose rows are of no interest).
  /// - Throws: what SQLite says; ``StoreError/misuse(_:)`` for a write inside `read`.
  public func run(_ sql: String, _ values: [SQLValue] = []) throws(StoreError) {
    try perform(sql, values) { _ in true }
  }

  /// All rows of one statement.
  public func query(_ sql: String, _ values: [SQLValue] = []) throws(StoreError) -> [SQLRow] {
    var rows: [SQLRow] = []
    try perform(sql, values) { row in
      rows.append(row)
      return true
    }
    return rows
  }

  /// The first row of one statement, or nil if it has none.
  public func queryOne(_ sql: String, _ values: [SQLValue] = []) throws(StoreError) -> SQLRow? {
    var first: SQLRow?
    try perform(sql, values) { row in
      first = row
      return false
    }
    return first
  }

  /// The statements that were run so far, and how SQLite goes about each (`EXPLAIN QUERY PLAN`): for tests.
  func plans() throws(StoreError) -> [String: [String]] {
    var plans: [String: [String]] = [:]
    for sql in unsafe Array(statements.keys)
    where ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(where: { sql.hasPrefix($0) }) {
      var statement: OpaquePointer?
      let code = unsafe sqlite3_prepare_v2(handle, "EXPLAIN QUERY PLAN " + sql, -1, &statement, nil)
      guard code == SQLITE_OK else { throw error() }
      defer { unsafe sqlite3_finalize(statement) }
      var steps: [String] = []
      while unsafe sqlite3_step(statement) == SQLITE_ROW {
        unsafe steps.append(sqlite3_column_text(statement, 3).map { unsafe String(cString: $0) } ?? "")
      }
      plans[sql] = steps
    }
    return plans
  }

  /// How many rows the last INSERT, UPDATE or DELETE touched.
  public var changes: Int { Int(unsafe sqlite3_changes64(handle)) }

  /// The rowid of the last row inserted.
  public var lastInsertRowID: Int64 { unsafe sqlite3_last_insert_rowid(handle) }

  /// Goes through the rows one by one until `each` returns false; what it read until an error stays with `each`.
  func perform(
    _ sql: String, _ values: [SQLValue], _ each: (SQLRow) -> Bool
  ) throws(StoreError) {
    let statement = unsafe try prepared(sql)
    defer {
      unsafe sqlite3_reset(statement)
      // Bound values may be a citizen's: they do not stay behind in a statement at rest.
      unsafe sqlite3_clear_bindings(statement)
    }
    if isReadOnly, unsafe sqlite3_stmt_readonly(statement) == 0 {
      throw .misuse("a write inside a read: \(sql)")
    }
    guard Int(unsafe sqlite3_bind_parameter_count(statement)) == values.count else {
      throw .misuse("\(values.count) values for: \(sql)")
    }
    for (index, value) in values.enumerated() {
      guard unsafe bind(value, CInt(index + 1), statement) == SQLITE_OK else { throw error() }
    }
    var columns: SQLRow.Columns?
    while true {
      switch unsafe sqlite3_step(statement) & 0xFF {
      case SQLITE_DONE: return
      case SQLITE_ROW:
        let count = unsafe sqlite3_column_count(statement)
        let names = columns ?? SQLRow.Columns((0..<count).map { unsafe columnName($0, statement) })
        columns = names
        let row = SQLRow(values: (0..<count).map { unsafe column($0, statement) }, columns: names)
        if !each(row) { return }
      default: throw error()
      }
    }
  }

  /// Runs a text of several statements without values: a migration.
  func execute(_ script: String) throws(StoreError) {
    guard unsafe sqlite3_exec(handle, script, nil, nil, nil) & 0xFF == SQLITE_OK else { throw error() }
  }

  private func prepared(_ sql: String) throws(StoreError) -> OpaquePointer {
    if let statement = unsafe statements[sql] { return unsafe statement }
    if unsafe statements.count >= Self.statementLimit { finalizeStatements() }
    var statement: OpaquePointer?
    let code = unsafe sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code & 0xFF == SQLITE_OK else { throw error() }
    guard let made = unsafe statement else { throw .misuse("an empty statement") }
    unsafe statements[sql] = made
    return unsafe made
  }

  private func bind(_ value: SQLValue, _ index: CInt, _ statement: OpaquePointer) -> CInt {
    // SQLITE_TRANSIENT: SQLite makes its own copy, since Swift's memory does not outlive the call.
    let copying = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    switch value {
    case .null: return unsafe sqlite3_bind_null(statement, index)
    case .integer(let value): return unsafe sqlite3_bind_int64(statement, index, value)
    case .real(let value): return unsafe sqlite3_bind_double(statement, index, value)
    case .text(var value):
      return value.withUTF8 { text in
        // An empty string's address may be nil, which SQLite would read as NULL.
        guard let base = text.baseAddress else {
          return unsafe sqlite3_bind_text(statement, index, "", 0, copying)
        }
        return unsafe base.withMemoryRebound(to: CChar.self, capacity: text.count) {
          unsafe sqlite3_bind_text64(
            statement, index, $0, UInt64(text.count), copying, UInt8(SQLITE_UTF8))
        }
      }
    case .blob(let bytes):
      if bytes.isEmpty { return unsafe sqlite3_bind_zeroblob(statement, index, 0) }
      return unsafe bytes.withUnsafeBytes {
        unsafe sqlite3_bind_blob64(statement, index, $0.baseAddress, UInt64($0.count), copying)
      }
    }
  }

  private func columnName(_ index: CInt, _ statement: OpaquePointer) -> String {
    unsafe sqlite3_column_name(statement, index).map { unsafe String(cString: $0) } ?? ""
  }

  private func column(_ index: CInt, _ statement: OpaquePointer) -> SQLValue {
    switch unsafe sqlite3_column_type(statement, index) {
    case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(statement, index))
    case SQLITE_FLOAT: return .real(unsafe sqlite3_column_double(statement, index))
    case SQLITE_TEXT:
      guard let text = unsafe sqlite3_column_text(statement, index) else { return .text("") }
      let count = Int(unsafe sqlite3_column_bytes(statement, index))
      return unsafe .text(
        String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self))
    case SQLITE_BLOB:
      guard let bytes = unsafe sqlite3_column_blob(statement, index) else { return .blob([]) }
      let count = Int(unsafe sqlite3_column_bytes(statement, index))
      return .blob(unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: count)))
    default: return .null
    }
  }

  private func error() -> StoreError {
    let code = unsafe sqlite3_extended_errcode(handle)
    let words = unsafe sqlite3_errmsg(handle).map { unsafe String(cString: $0) } ?? "unknown"
    return switch code & 0xFF {
    case SQLITE_FULL: .full
    case SQLITE_BUSY, SQLITE_LOCKED: .busy
    case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt(words)
    case SQLITE_CONSTRAINT: .constraint(words)
    case SQLITE_IOERR, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_NOMEM: .io(Int(code))
    default: .misuse("\(words) (\(code))")
    }
  }

  /// Copies what is in the log into the file, as far as that is possible.
  func checkpoint() {
    unsafe sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
  }

  // MARK: Transactions

  /// Runs `body` in one transaction: committed when it returns, rolled back when it throws.
  func transaction<T>(
    writing: Bool, _ body: (Database) throws(StoreError) -> T
  ) throws(StoreError) -> T {
    try run(writing ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED")
    isReadOnly = !writing
    do throws(StoreError) {
      let result = try body(self)
      isReadOnly = false
      try run("COMMIT")
      return result
    } catch {
      isReadOnly = false
      // Some failures have rolled back already.
      if unsafe sqlite3_get_autocommit(handle) == 0 { try? run("ROLLBACK") }
      throw error
    }
  }
}
