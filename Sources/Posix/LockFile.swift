private import CLinux

/// A file that one process at a time holds; the kernel gives it back whatever becomes of the holder.
public final class LockFile: Sendable {
  private let file: Descriptor

  /// Takes the lock without waiting. The file is made when it is missing, and stays.
  ///
  /// It holds the process ID of its last holder, for technicians.
  /// - Throws: `EWOULDBLOCK` (`EAGAIN`) when somebody holds it, in this process or another.
  public init(path: String) throws(SystemError) {
    let file = try Files.open(path, flags: Files.Flags.readWrite | Files.Flags.create, mode: 0o600)
    try check(Files.lock(file), "lock \(path)")
    try check(clinux_truncate(file.raw, 0), "truncate \(path)")
    try Files.write(Array("\(ProcessInfo.processID)\n".utf8), to: file, path)
    self.file = file
  }

  // Closing alone would leave the lock to a child that is just being started (see Files.lock).
  deinit { _ = clinux_unlock(file.raw) }
}
