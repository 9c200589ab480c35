/// The tables of one part of the program, as the ordered list of steps that lead to their present form.
///
/// Several parts own tables in one database, so that one commit can span them; each has its own version.
public struct SchemaComponent: Sendable {
  /// Its name, never changed: `outbox`, `agent`.
  public let name: String
  /// SQL texts, each leading from one version to the next. A text that has been released is never changed; a new one is added.
  public let migrations: [String]

  /// The tables of one part.
  public init(name: String, migrations: [String]) {
    self.name = name
    self.migrations = migrations
  }
}

extension Database {
  /// `HALL` in ASCII: `file(1)` and this program know the database by it.
  static let applicationID: Int64 = 0x4841_4C4C

  /// The log is begun anew when so many pages are in it.
  private static let logPages = 2000
  /// How long the log may stay, in bytes: what each cycle writes over, so that nothing that was erased stays in its tail. A header,
  /// and 24 bytes more than a page for each.
  static let logLimit = 32 + logPages * (4096 + 24)

  /// Gives the log so much room, by a transaction that is taken back: its pages are written there, since they do not fit into
  /// the cache, and mean nothing. A full disk cannot take that room any more.
  func growLog(to bytes: Int) throws(StoreError) {
    let usual = try queryOne("PRAGMA cache_size")?[0].integer ?? -2000
    try run("PRAGMA cache_size = 16")
    try run("BEGIN IMMEDIATE")
    do throws(StoreError) {
      try execute("CREATE TABLE log_room (content BLOB)")
      try execute("INSERT INTO log_room VALUES (zeroblob(\(bytes)))")
    } catch {}
    // A failure may have taken it back already.
    try? run("ROLLBACK")
    try run("PRAGMA cache_size = \(usual)")
  }

  /// Sets up the connection, checks whose database it is, and brings every component's tables up to date.
  /// - Returns: whether the database was made just now.
  func prepare(path: String, components: [SchemaComponent]) throws(StoreError) -> Bool {
    // The log is never truncated in service: on a full disk, accepting and erasing go on inside the room it has
    // (facts/outbox.md 2.5). What a large commit added beyond that is cut off: each cycle writes over the whole of it, so that
    // nothing that was erased stays in it. Temporary tables would put contents into files that nobody seals.
    let mode = try queryOne("PRAGMA journal_mode = WAL")?[0].text
    guard mode == "wal" else {
      throw .cannotOpen(path: path, reason: "the file system does not support SQLite's write-ahead log")
    }
    try execute(
      """
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA secure_delete = ON;
      PRAGMA wal_autocheckpoint = \(Self.logPages);
      PRAGMA journal_size_limit = \(Self.logLimit);
      PRAGMA temp_store = MEMORY;
      PRAGMA trusted_schema = OFF;
      PRAGMA cell_size_check = ON;
      """)
    let owner = try queryOne("PRAGMA application_id")?[0].integer ?? 0
    let tables = try queryOne("SELECT count(*) FROM sqlite_schema")?[0].integer ?? 0
    guard owner == Self.applicationID || (owner == 0 && tables == 0) else {
      throw .cannotOpen(path: path, reason: "it belongs to another program (application_id \(owner))")
    }
    if owner == 0 {
      try transaction(writing: true) { (database) throws(StoreError) in
        try database.run("PRAGMA application_id = \(Self.applicationID)")
        try database.run("PRAGMA user_version = 1")
        try database.run(
          "CREATE TABLE schema_component (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT")
      }
    }
    for component in components { try migrate(component) }
    return owner == 0
  }

  private func migrate(_ component: SchemaComponent) throws(StoreError) {
    let row = try queryOne("SELECT version FROM schema_component WHERE name = ?", [.text(component.name)])
    let version = Int(row?[0].integer ?? 0)
    guard version <= component.migrations.count else {
      throw .newer(component: component.name, found: version, known: component.migrations.count)
    }
    for (index, migration) in component.migrations.enumerated().dropFirst(version) {
      try transaction(writing: true) { (database) throws(StoreError) in
        try database.execute(migration)
        try database.run(
          "INSERT INTO schema_component VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET version = ?2",
          [.text(component.name), SQLValue(index + 1)])
      }
    }
  }

  /// SQLite's own look at the whole file; empty if all is well.
  func quickCheck() throws(StoreError) -> [String] {
    let rows = try query("PRAGMA quick_check(10)").compactMap { $0[0].text }
    return rows == ["ok"] ? [] : rows
  }
}
