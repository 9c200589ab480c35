/// The file system under what has to be durable: the system's own in service, in tests one that loses and tears whatever was
/// not flushed.
///
/// Nothing here is durable by itself: contents are after ``OpenFile/sync()``, names after ``syncDirectory(_:)``, of each
/// directory for itself.
public protocol FileSystem: Sendable {
  /// Opens a file for reading and writing at any place.
  func open(_ path: String, _ opening: FileOpening) throws(SystemError) -> any OpenFile
  /// Whether the path names something.
  func exists(_ path: String) -> Bool
  /// The size of a file in bytes.
  func size(_ path: String) throws(SystemError) -> Int
  /// All of a file's bytes; `EFBIG` when there are more than `limit`.
  func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]
  /// The names in a directory, sorted by their bytes.
  func list(_ directory: String) throws(SystemError) -> [String]
  /// Makes a directory; one that exists is left as it is.
  func makeDirectory(_ path: String, mode: UInt32, parents: Bool) throws(SystemError)
  /// Removes a directory; `ENOTEMPTY` when something is in it.
  func removeDirectory(_ path: String) throws(SystemError)
  /// Removes the name of a file.
  func unlink(_ path: String) throws(SystemError)
  /// Gives a file another name, replacing what has it, in one step.
  func rename(_ path: String, to newPath: String) throws(SystemError)
  /// Makes the names in a directory durable: those of files made, renamed or removed there.
  func syncDirectory(_ path: String) throws(SystemError)
  /// Makes sure of room for a file of this size; `ENOSPC` when there is none.
  func reserve(_ path: String, bytes: UInt64) throws(SystemError)
  /// The room on the file system the path is on.
  func freeSpace(_ path: String) throws(SystemError) -> Files.FreeSpace
}

/// How ``FileSystem/open(_:_:)`` opens.
public enum FileOpening: Sendable, Equatable {
  /// What is there, for reading alone.
  case reading
  /// What is there.
  case existing
  /// What is there, or a new file with these permissions, whatever the umask.
  case creating(mode: UInt32)
  /// A new file with these permissions; `EEXIST` when there is one.
  case new(mode: UInt32)
}

/// A file of a ``FileSystem``, closed when it is released.
public protocol OpenFile: AnyObject, Sendable {
  /// The bytes from that place on: fewer than asked for at the end of the file, none beyond it.
  func read(at offset: Int64, count: Int) throws(SystemError) -> [UInt8]
  /// Writes all of the bytes from that place on.
  func write(_ bytes: [UInt8], at offset: Int64) throws(SystemError)
  /// Cuts the file, or lengthens it with zeros.
  func truncate(to size: Int64) throws(SystemError)
  /// Has what was written so far sent to the disk while other things are done. Nothing is durable by it, and it reports nothing.
  func beginSync()
  /// Returns when the content is on the disk. After an error it never will be: the kernel has marked it clean by then, and the
  /// next call would say "fine" about data that is lost.
  func sync() throws(SystemError)
  /// The size in bytes.
  func size() throws(SystemError) -> Int64
  /// Closes now and reports what `close` reports: the last chance of some file systems to tell of a lost write.
  func close() throws(SystemError)
}

extension FileSystem {
  /// Makes a file that is on the disk, with its name, when this returns.
  ///
  /// Exclusive create → write → fsync → close → fsync of the directory. Whatever fails, no file is left behind.
  /// - Parameters:
  ///   - directory: must exist, and must be durable itself (see ``syncDirectory(_:)``).
  ///   - name: without `/`; `EEXIST` when it is taken, and the file that has it is not touched.
  ///   - parts: written one after the other.
  ///   - mode: the permissions, whatever the umask.
  public func createDurable(
    directory: String, name: String, parts: [[UInt8]], mode: UInt32 = 0o600
  ) throws(SystemError) {
    let path = directory + "/" + name
    guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "/")) else {
      throw SystemError(call: "create \(path)", code: Errno.invalid)
    }
    let file = try open(path, .new(mode: mode))
    do throws(SystemError) {
      try fill(file, parts)
      try syncDirectory(directory)
    } catch {
      try? unlink(path)
      throw error
    }
  }

  /// Puts a file in the place of another, or of none: after a power cut there is the old one or the new one, whole.
  ///
  /// - Parameter mode: the permissions, whatever the umask.
  public func replaceDurable(_ path: String, bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try refuseNul(path, "replace")
    let temporary = "\(path).\(Identifier.hexadecimal(Identifier.random(8))).tmp"
    let file = try open(temporary, .new(mode: mode))
    do throws(SystemError) {
      try fill(file, [bytes])
      try rename(temporary, to: path)
    } catch {
      try? unlink(temporary)
      throw error
    }
    try syncDirectory(Files.directory(of: path))
  }

  private func fill(_ file: any OpenFile, _ parts: [[UInt8]]) throws(SystemError) {
    var offset: Int64 = 0
    for part in parts {
      try file.write(part, at: offset)
      offset += Int64(part.count)
    }
    try file.sync()
    try file.close()
  }
}
