private import CLinux

/// Files that are there after a power cut.
///
/// The order of steps and what it survives: facts/outbox.md 2.6. A failed `fsync` is never tried again on the same
/// file: the kernel has marked the pages clean by then, and the next call would say "fine" about data that is lost.
extension Files {
  /// Makes a file that is on the disk, with its name, when this returns.
  ///
  /// Exclusive create → write → fsync → close → fsync of the directory. Whatever fails, no file is left behind.
  /// - Parameters:
  ///   - directory: must exist, and must be durable itself (see ``syncDirectory(_:)``).
  ///   - name: without `/`; `EEXIST` when it is taken, and the file that has it is not touched.
  ///   - parts: written one after the other.
  ///   - mode: the permissions, whatever the umask.
  public static func createDurable(
    directory: String, name: String, parts: [[UInt8]], mode: UInt32 = 0o600
  ) throws(SystemError) {
    try SystemFiles().createDurable(directory: directory, name: name, parts: parts, mode: mode)
  }

  /// Puts a file in the place of another, or of none: after a power cut there is the old one or the new one, whole.
  ///
  /// - Parameter mode: the permissions, whatever the umask.
  public static func replaceDurable(_ path: String, bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try SystemFiles().replaceDurable(path, bytes: bytes, mode: mode)
  }

  /// Makes the names in a directory durable: those of files made, renamed or removed there.
  public static func syncDirectory(_ path: String) throws(SystemError) {
    let directory = try open(path, .directory)
    try check(clinux_fsync(directory.raw), "fsync \(path)")
  }

  /// Makes sure of room for a file of this size, so that writing it later cannot find the disk full.
  ///
  /// A file that is longer already keeps its size. One that this call made is removed when there is no room.
  /// - Throws: `ENOSPC`, `EFBIG`.
  public static func reserve(_ path: String, bytes: UInt64) throws(SystemError) {
    guard bytes <= UInt64(Int64.max) else {
      throw SystemError(call: "reserve \(path)", code: Errno.fileTooBig)
    }
    let existed = exists(path)
    let file = try open(path, flags: Flags.readWrite | Flags.create, mode: 0o600)
    // posix_fallocate refuses a length of nothing.
    guard bytes > 0 else { return }
    do throws(SystemError) {
      try check(clinux_reserve(file.raw, bytes), "reserve \(bytes) bytes in \(path)")
    } catch {
      if !existed { _ = unsafe clinux_unlink(path) }
      throw error
    }
  }

  static func write(_ bytes: [UInt8], to file: borrowing Descriptor, _ path: String) throws(SystemError) {
    var written = 0
    while written < bytes.count {
      let raw = file.raw
      written += try check(
        unsafe bytes[written...].withUnsafeBytes { unsafe clinux_write(raw, $0.baseAddress, $0.count) },
        "write \(path)")
    }
  }
}
