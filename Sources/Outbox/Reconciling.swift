import Crypto
import Store
import Synchronization

/// What a look at rows and files found.
public struct Reconciled: Sendable, Equatable {
  /// Pages whose files are gone; they were set aside.
  public var missingPages = 0
  /// Files without a row that were removed: never acknowledged, or delivered already.
  public var orphansRemoved = 0
  /// Whether all files of earlier runs have been looked at.
  public var isComplete = false
}

/// Where the look at rows and files stands.
struct ReconcilingPlace: Sendable {
  /// The directories that are still to be looked at, the last one first; nil before the first look.
  var directories: [String]?
  /// Whether pages in directories that are gone have been looked for.
  var hasLookedBeside = false
}

/// Rows and files are brought together after every start: the rows decide. A file without a row was never acknowledged or is
/// delivered; a row without a file is a page that is gone.
///
/// Piece by piece, so that a start is not kept waiting by a backlog, and nothing grows with it.
extension Outbox {
  /// How many files are looked at before the outbox is ready.
  static let filesAtStart = 1000
  /// How many files are looked at in one go.
  static let chunk = 500

  /// Looks at all files that earlier runs left and that have not been looked at yet, while the outbox works.
  /// - Returns: what was found by this call.
  public func reconcile() async throws(OutboxError) -> Reconciled {
    do throws(StoreError) { return try await reconcile(atMost: .max) } catch { throw .store(error) }
  }

  /// - Parameter limit: after so many files no further directory is begun.
  func reconcile(atMost limit: Int) async throws(StoreError) -> Reconciled {
    var found = Reconciled()
    var place = state.withLock { $0.reconciling }
    var directories: [String]
    if let left = place.directories { directories = left } else { directories = await pages.older.reversed() }
    var seen = 0
    while seen < limit, !Task.isCancelled, let directory = directories.popLast() {
      let names = await pages.names(in: directory)
      seen += names.count
      // "0" follows "/".
      var from = "\(directory)/"
      var kept = 0
      for start in stride(from: 0, to: names.count, by: Self.chunk) {
        let files = names[start..<min(start + Self.chunk, names.count)].map { "\(directory)/\($0)" }
        let isEnd = start + Self.chunk >= names.count
        kept += try await look(
          at: files, from: from, to: isEnd ? "\(directory)0" : files.last ?? from, &found)
        from = files.last ?? from
      }
      if names.isEmpty { kept += try await look(at: [], from: from, to: "\(directory)0", &found) }
      if kept == 0 { await pages.removeDirectory(directory) }
    }
    if directories.isEmpty, !place.hasLookedBeside {
      try await lookBeside(&found)
      place.hasLookedBeside = true
    }
    place.directories = directories
    found.isComplete = place.hasLookedBeside
    let reached = place
    state.withLock { $0.reconciling = reached }
    return found
  }

  /// One piece: files of a directory in order, and the rows that belong between them.
  /// - Returns: how many of the files stay.
  private func look(
    at files: [String], from: String, to end: String, _ found: inout Reconciled
  ) async throws(StoreError) -> Int {
    let rows = try await rows(from: from, to: end)
    let known = Set(rows.compactMap { $0["file"].text })
    let orphans = files.filter { !known.contains($0) }
    found.orphansRemoved += await pages.removeOrphans(orphans)
    let present = Set(files)
    for row in rows where !present.contains(row["file"].text ?? "") { try await lookFor(row, &found) }
    return files.count - orphans.count
  }

  /// Pages in directories that are not there at all.
  private func lookBeside(_ found: inout Reconciled) async throws(StoreError) {
    var from = ""
    for directory in await pages.directories {
      try await lookFor(from: from, to: "\(directory)/", &found)
      from = "\(directory)0"
    }
    try await lookFor(from: from, to: "~", &found)
  }

  private func lookFor(from: String, to end: String, _ found: inout Reconciled) async throws(StoreError) {
    var from = from
    while true {
      let rows = try await rows(from: from, to: end, limit: Self.chunk)
      for row in rows { try await lookFor(row, &found) }
      guard rows.count == Self.chunk, let last = rows.last?["file"].text else { return }
      from = last
    }
  }

  private func rows(from: String, to end: String, limit: Int = -1) async throws(StoreError) -> [SQLRow] {
    try await database.read { db throws(StoreError) in
      try db.query(
        "SELECT digest, file, state FROM outbox_blob WHERE file > ? AND file <= ? ORDER BY file LIMIT ?",
        [.text(from), .text(end), SQLValue(limit)])
    }
  }

  /// A row whose file was not seen: it may have been delivered or stored anew meanwhile.
  private func lookFor(_ row: SQLRow, _ found: inout Reconciled) async throws(StoreError) {
    guard [0, 3].contains(row["state"].integer), let digest = Digest(try row.blob("digest")),
      let file = row["file"].text, await !pages.exists(file)
    else { return }
    let isStill = try await database.read { db throws(StoreError) in
      try db.queryOne(
        "SELECT 1 FROM outbox_blob WHERE digest = ? AND file = ? AND state IN (0, 3)",
        [.blob(digest.bytes), .text(file)]) != nil
    }
    guard isStill else { return }
    _ = try await setAside(page: digest, reason: .missing)
    found.missingPages += 1
  }
}
