import Posix

/// The database's file and those beside it: SQLite's own, the reserve, and the mark of a suspicion.
struct DatabaseFiles: Sendable {
  let path: String
  let system: any FileSystem

  private var reserve: String { path + "-reserve" }
  private var suspicion: String { path + "-suspect" }
  private var failed: String { path + "-failed" }
  private var log: String { path + "-wal" }

  /// Size of the database file; 0 if there is none.
  var size: Int { (try? system.size(path)) ?? 0 }

  /// Size of its log; 0 if there is none.
  var logSize: Int { (try? system.size(path + "-wal")) ?? 0 }

  /// Makes the file if it is not there, for its owner alone: SQLite would make it as readable as the umask lets it, and
  /// gives its other files the same mode.
  func createPrivately() throws(StoreError) {
    do throws(SystemError) {
      guard !system.exists(path) else { return }
      try system.createDurable(
        directory: Files.directory(of: path), name: String(path.split(separator: "/").last ?? ""),
        parts: [], mode: 0o600)
    } catch {
      throw error.name == "ENOSPC" ? .full : .cannotOpen(path: path, reason: "\(error)")
    }
  }

  /// Makes durable what was found in the log. A process that was killed may have left a commit there that it had not flushed: it
  /// is read as committed from now on, and answers are given on the strength of it, so that a power cut must not take it back.
  func syncLog() throws(StoreError) {
    guard system.exists(log) else { return }
    do throws(SystemError) {
      let file = try system.open(log, .existing)
      try file.sync()
      try file.close()
      try system.syncDirectory(Files.directory(of: path))
    } catch {
      markFailed()
      throw .cannotOpen(path: path, reason: "its log cannot be flushed: \(error)")
    }
  }

  /// Leaves word that a flush failed. It need not be durable itself: after a power cut there is nothing left to be mended.
  func markFailed() { _ = try? system.open(failed, .creating(mode: 0o600)) }

  /// After a failed flush the system may hold commits in the log that it takes for flushed and that are not on the disk: reading
  /// them again would give them out as committed, and flushing the same file would say that all is well. They are written
  /// anew, to another file that takes the log's place.
  func rewriteLogIfFailed() throws(StoreError) {
    guard system.exists(failed) else { return }
    do throws(SystemError) {
      if system.exists(log) {
        try system.replaceDurable(log, bytes: try system.read(log, limit: 1 << 30), mode: 0o600)
      }
      try system.unlink(failed)
    } catch {
      throw error.name == "ENOSPC"
        ? .full : .cannotOpen(path: path, reason: "its log cannot be written anew: \(error)")
    }
  }

  // MARK: Damage

  /// Renames the database and its log, so that a new one can be made and the old one be looked into.
  /// - Returns: the new path of the database file.
  func moveAside() throws(StoreError) -> String {
    var number = 1
    while system.exists("\(path).damaged-\(number)") { number += 1 }
    let aside = "\(path).damaged-\(number)"
    do throws(SystemError) {
      for suffix in ["-wal", "-shm"] where system.exists(path + suffix) {
        try system.rename(path + suffix, to: aside + suffix)
      }
      // The database last: until then the next start finds it damaged still, and does this again.
      try system.rename(path, to: aside)
      try system.syncDirectory(Files.directory(of: path))
    } catch {
      throw .cannotOpen(path: path, reason: "it is damaged and cannot be moved aside: \(error)")
    }
    clearSuspicion()
    return aside
  }

  /// Whether the last run met damage.
  var isSuspect: Bool { system.exists(suspicion) }

  /// Leaves word for the next start. On a full disk there may be no word; small databases are looked through anyway.
  func markSuspect() {
    try? system.replaceDurable(suspicion, bytes: [], mode: 0o600)
  }

  func clearSuspicion() { try? system.unlink(suspicion) }

  // MARK: The reserve

  /// The room that is kept for whoever may use it.
  enum Reserve: CaseIterable {
    /// For everything: three quarters of it.
    case first
    /// For noting and erasing what the intake has accepted.
    case last
  }

  private func path(of reserve: Reserve) -> String {
    switch reserve {
    case .first: self.reserve
    case .last: self.reserve + "-2"
    }
  }

  var hasReserve: Bool { Reserve.allCases.allSatisfy { system.exists(path(of: $0)) } }

  /// Gives a reserve up.
  /// - Returns: whether there was one.
  func release(_ reserve: Reserve) -> Bool { (try? system.unlink(path(of: reserve))) != nil }

  /// Takes room on the disk, if none is taken yet and there is as much again for others.
  /// - Returns: whether the reserves are in place, or none were asked for.
  func takeReserve(_ bytes: Int) -> Bool {
    if bytes == 0 || hasReserve { return true }
    guard let free = try? system.freeSpace(Files.directory(of: path)), free.bytes >= UInt64(bytes) * 2 else {
      return false
    }
    let last = UInt64(bytes) / 4
    return (try? system.reserve(path(of: .last), bytes: last)) != nil
      && (try? system.reserve(path(of: .first), bytes: UInt64(bytes) - last)) != nil
  }
}
