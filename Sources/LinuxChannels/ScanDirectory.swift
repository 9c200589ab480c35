internal import Posix

/// Where one scan's pages lie between `scanimage` and this program: a directory of mode 0700 that is removed with the
/// scan.
///
/// It carries a lock, which the kernel gives back when this process ends in whatever way: a directory whose lock is
/// free was left by a crash, and the next scan of this account removes it with the page images in it. File operations
/// run on a thread of their own.
actor ScanDirectory {
  private nonisolated let worker: Worker
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.asUnownedSerialExecutor() }

  static let prefix = "hall-scan-"
  private static let lockName = "lock"

  /// Absolute path.
  nonisolated let path: String
  private var lock: LockFile?

  /// Makes a directory under `parent`, after removing those that a crash has left there.
  static func make(under parent: String) async throws(SystemError) -> ScanDirectory {
    let directory = ScanDirectory(path: "\(parent)/\(prefix)\(Identifier.uuidV4())")
    try await directory.prepare(parent)
    return directory
  }

  private init(path: String) {
    self.path = path
    worker = Worker(name: "scan-pages")
  }

  private func prepare(_ parent: String) throws(SystemError) {
    Self.removeStale(under: parent)
    // It gets the name by which leftovers are known only when it has its lock: another scan that begins at the same
    // moment would else take it for one.
    let unnamed = "\(parent)/.\(Identifier.uuidV4())"
    try Files.makeDirectory(unnamed, mode: 0o700, parents: false)
    do throws(SystemError) {
      lock = try LockFile(path: "\(unnamed)/\(Self.lockName)")
      try Files.rename(unnamed, to: path)
    } catch {
      Files.removeTree(unnamed)
      throw error
    }
  }

  /// Path that `scanimage` gives to a page, counted from 1.
  nonisolated func page(_ number: Int) -> String { "\(path)/p\(number)" }

  /// The file name pattern for `--batch`: it goes through `sprintf` there.
  nonisolated var pattern: String { path.replacing("%", with: "%%") + "/p%d" }

  /// A page's bytes; the file is gone afterwards, whether it could be read or not.
  func take(_ number: Int, limit: Int) throws(SystemError) -> [UInt8] {
    defer { try? Files.unlink(page(number)) }
    return try Files.read(page(number), limit: limit)
  }

  /// Removes the directory with everything in it.
  func remove() {
    Files.removeTree(path)
    lock = nil
  }

  private static func removeStale(under parent: String) {
    for name in (try? Files.list(parent)) ?? [] where name.hasPrefix(prefix) {
      let path = "\(parent)/\(name)"
      // In a directory that others may write to, only what is this account's own is touched.
      guard let status = try? Files.status(of: path, followingLinks: false), status.kind == .directory,
        status.userID == ProcessInfo.userID,
        let lock = try? LockFile(path: "\(path)/\(lockName)")
      else { continue }
      Files.removeTree(path)
      _ = lock
    }
  }
}
