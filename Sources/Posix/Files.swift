private import CLinux

/// Files and directories.
public enum Files {
  /// What a path names.
  public enum Kind: Sendable, Equatable {
    /// A regular file.
    case file
    /// A directory.
    case directory
    /// A symbolic link (only when links are not followed).
    case link
    /// A Unix-domain socket.
    case socket
    /// A character device, such as a tty.
    case characterDevice
    /// A named pipe.
    case pipe
    /// Anything else.
    case other
  }

  /// What the file system knows of a file.
  public struct Status: Sendable, Equatable {
    /// What it is.
    public let kind: Kind
    /// In bytes.
    public let size: Int
    /// The user it belongs to.
    public let userID: UInt32
    /// The group it belongs to.
    public let groupID: UInt32
    /// The permission bits, at most 0o7777.
    public let mode: UInt32
    /// The time of the last change of its content, in seconds since 1970.
    public let modified: Int64
    /// The file system it is on, and its number there: together they tell whether two paths name one file.
    public let device: UInt64, inode: UInt64
    /// The number of the device a device file stands for; 0 for others.
    public let deviceNumber: UInt64
  }

  /// Whom a file belongs to.
  public struct Owner: Sendable, Equatable {
    /// The user.
    public let userID: UInt32
    /// The group.
    public let groupID: UInt32
    /// The permission bits, at most 0o7777.
    public let mode: UInt32
  }

  /// Room on a file system.
  public struct FreeSpace: Sendable, Equatable {
    /// Bytes that this process may still fill.
    public let bytes: UInt64
    /// Bytes the file system has in all.
    public let totalBytes: UInt64
    /// Files that may still be made.
    public let files: UInt64

    /// Room.
    public init(bytes: UInt64, totalBytes: UInt64, files: UInt64) {
      self.bytes = bytes
      self.totalBytes = totalBytes
      self.files = files
    }
  }

  /// How ``open(_:_:)`` opens.
  public enum Access: Sendable {
    /// For reading.
    case reading
    /// For writing what is there already.
    case writing
    /// For both.
    case readingAndWriting
    /// A directory, to synchronise or lock it.
    case directory
  }

  /// Opens an existing file or device: without blocking, closed on exec, never as the controlling terminal.
  public static func open(_ path: String, _ access: Access) throws(SystemError) -> Descriptor {
    let flags =
      switch access {
      case .reading: Flags.nonBlocking
      case .writing: Flags.nonBlocking | Flags.writeOnly
      case .readingAndWriting: Flags.nonBlocking | Flags.readWrite
      case .directory: Flags.directory
      }
    return try open(path, flags: flags, mode: 0)
  }

  // MARK: Looking

  /// Whether the path names something; a link that leads nowhere does not.
  public static func exists(_ path: String) -> Bool { (try? status(of: path)) != nil }

  /// The size of a file in bytes.
  public static func size(_ path: String) throws(SystemError) -> Int { try status(of: path).size }

  /// Whom the file belongs to, and who may use it.
  public static func owner(of path: String) throws(SystemError) -> Owner {
    let status = try status(of: path)
    return Owner(userID: status.userID, groupID: status.groupID, mode: status.mode)
  }

  /// What the file system knows of a file.
  public static func status(of path: String, followingLinks: Bool = true) throws(SystemError) -> Status {
    try refuseNul(path, "stat")
    var found = clinux_status()
    try check(unsafe clinux_status(path, followingLinks ? 1 : 0, &found), "stat \(path)")
    return Status(found)
  }

  /// The names in a directory, sorted by their bytes, without `.` and `..`. A name that is not UTF-8 comes repaired.
  public static func list(_ directory: String) throws(SystemError) -> [String] {
    try refuseNul(directory, "list directory")
    var error: Int32 = 0
    guard let handle = unsafe clinux_directory_open(directory, &error) else {
      throw SystemError(call: "list \(directory)", code: error)
    }
    defer { unsafe clinux_directory_close(handle) }
    var names: [String] = []
    while let name = unsafe clinux_directory_next(handle, &error) {
      unsafe names.append(String(cString: name))
    }
    guard error == 0 else { throw SystemError(call: "list \(directory)", code: error) }
    return names.sorted()
  }

  /// The path without links, `.` and `..`; all of it must exist.
  public static func realPath(_ path: String) throws(SystemError) -> String {
    try refuseNul(path, "realpath")
    return try unsafe text(capacity: 4096, "realpath \(path)") { buffer, capacity in
      unsafe clinux_real_path(path, buffer, capacity)
    }
  }

  /// The room on the file system the path is on.
  public static func freeSpace(_ path: String) throws(SystemError) -> FreeSpace {
    try refuseNul(path, "statvfs")
    var free: UInt64 = 0
    var total: UInt64 = 0
    var files: UInt64 = 0
    try check(unsafe clinux_free_space(path, &free, &total, &files), "statvfs \(path)")
    return FreeSpace(bytes: free, totalBytes: total, files: files)
  }

  /// Reads so many bytes from a place of a file; fewer at its end, or where a part of it cannot be read.
  public static func readPart(_ path: String, from offset: UInt64, count: Int) throws(SystemError) -> [UInt8]
  {
    let file = try open(path, .reading)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < count {
      let place = Int64(clamping: offset) + Int64(bytes.count)
      let wanted = min(chunk.count, count - bytes.count)
      let taken = unsafe clinux_pread(file.raw, &chunk, wanted, place)
      guard taken > 0 else { break }
      bytes += chunk[..<Int(taken)]
    }
    return bytes
  }

  /// All of a file's bytes; `EFBIG` when there are more than `limit`.
  public static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    let file = try open(path, .reading)
    var bytes: [UInt8] = []
    var status = clinux_status()
    try check(unsafe clinux_status_of(file.raw, &status), "stat \(path)")
    // Files of /proc have no size: it is a hint.
    bytes.reserveCapacity(min(Int(clamping: status.size), max(limit, 0)))
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = try check(unsafe clinux_read(file.raw, &chunk, chunk.count), "read \(path)")
      guard count > 0 else { return bytes }
      guard count <= limit - bytes.count else {
        throw SystemError(call: "read \(path)", code: Errno.fileTooBig)
      }
      bytes += chunk[..<count]
    }
  }

  // MARK: Changing

  /// Makes a directory of mode 0700 with a name of its own under the system's directory for temporary files
  /// (`TMPDIR`, else `/tmp`).
  /// - Returns: its absolute path, without a trailing slash.
  public static func makeTemporaryDirectory(prefix: String) throws(SystemError) -> String {
    try refuseNul(prefix, "mkdtemp")
    var parent = Environment["TMPDIR"] ?? ""
    if parent.isEmpty { parent = "/tmp" }
    while parent.count > 1, parent.hasSuffix("/") { parent.removeLast() }
    if !parent.hasPrefix("/") { parent = try realPath(parent) }
    var pattern = Array("\(parent)/\(prefix)XXXXXX".utf8CString)
    try check(unsafe clinux_mkdtemp(&pattern), "mkdtemp \(parent)/\(prefix)XXXXXX")
    return String(decoding: pattern.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Removes a file, or a directory with everything in it; follows no link.
  /// - Returns: `false` when something is left.
  @discardableResult
  public static func removeTree(_ path: String) -> Bool {
    guard !path.isEmpty, !path.utf8.contains(0) else { return false }
    let result = unsafe clinux_remove_tree(path)
    return result == 0 || result == -Errno.noEntry
  }

  /// Makes a directory with exactly these permissions, whatever the umask; one that exists is left as it is.
  /// - Parameter parents: make missing directories above it too, with the same permissions.
  public static func makeDirectory(_ path: String, mode: UInt32, parents: Bool) throws(SystemError) {
    try refuseNul(path, "mkdir")
    var result = unsafe clinux_mkdir(path, mode)
    if result == -Errno.noEntry, parents, directory(of: path) != path {
      try makeDirectory(directory(of: path), mode: mode, parents: true)
      result = unsafe clinux_mkdir(path, mode)
    }
    if result == -Errno.exists, try status(of: path).kind == .directory { return }
    try check(result, "mkdir \(path)")
    try check(unsafe clinux_chmod(path, mode), "chmod \(path)")
  }

  /// Removes the name of a file.
  public static func unlink(_ path: String) throws(SystemError) {
    try refuseNul(path, "unlink")
    try check(unsafe clinux_unlink(path), "unlink \(path)")
  }

  /// Gives a file another name, replacing what has it, in one step.
  public static func rename(_ path: String, to newPath: String) throws(SystemError) {
    try refuseNul(path + newPath, "rename")
    try check(unsafe clinux_rename(path, newPath), "rename \(path) to \(newPath)")
  }

  /// Makes a symbolic link, or points the one that is there to the new target in one step; what is not a link is not
  /// replaced (`EEXIST`).
  public static func makeLink(_ path: String, to target: String) throws(SystemError) {
    try refuseNul(path + target, "symlink")
    let isTaken = (try? status(of: path, followingLinks: false)).map { $0.kind != .link } ?? false
    if isTaken { throw SystemError(call: "symlink \(path)", code: Errno.exists) }
    let temporary = "\(path).\(Identifier.hexadecimal(Identifier.random(8))).tmp"
    try check(unsafe clinux_symlink(target, temporary), "symlink \(path)")
    do throws(SystemError) {
      try rename(temporary, to: path)
    } catch {
      _ = unsafe clinux_unlink(temporary)
      throw error
    }
  }

  /// Sets the permission bits.
  public static func setMode(_ path: String, _ mode: UInt32) throws(SystemError) {
    try refuseNul(path, "chmod")
    try check(unsafe clinux_chmod(path, mode), "chmod \(path)")
  }

  /// Gives an attribute of the kernel (a file of `/sys` or `/proc/sys`) a value, in one write as these files want it. The
  /// kernel may refuse it with any errno.
  public static func setAttribute(_ path: String, _ value: String) throws(SystemError) {
    try refuseNul(path, "write")
    let file = try open(path, .writing)
    let bytes = Array(value.utf8)
    try check(unsafe clinux_write(file.raw, bytes, bytes.count), "write '\(value)' to \(path)")
  }

  /// The directory part of a path: `/a` of `/a/b`, `.` of `b`, `/` of `/a`.
  public static func directory(of path: String) -> String {
    var bytes = Substring(path)
    while bytes.count > 1, bytes.hasSuffix("/") { bytes.removeLast() }
    guard let slash = bytes.lastIndex(of: "/") else { return "." }
    var parent = bytes[..<slash]
    while parent.count > 1, parent.hasSuffix("/") { parent.removeLast() }
    return parent.isEmpty ? "/" : String(parent)
  }
}

extension Files {
  enum Flags {
    static let writeOnly: Int32 = 0o1
    static let readWrite: Int32 = 0o2
    static let create: Int32 = 0o100
    static let exclusive: Int32 = 0o200
    static let truncate: Int32 = 0o1000
    static let append: Int32 = 0o2000
    static let nonBlocking: Int32 = 0o4000
    static let directory: Int32 = 0o200000
  }

  static func open(_ path: String, flags: Int32, mode: UInt32) throws(SystemError) -> Descriptor {
    try refuseNul(path, "open")
    return Descriptor(adopting: try check(unsafe clinux_open(path, flags, mode), "open \(path)"))
  }

  /// Takes the file's lock (flock(2)) without waiting; 0 or a negative errno, `EAGAIN` when somebody else has it.
  static func lock(_ file: borrowing Descriptor) -> Int32 {
    let raw = file.raw
    var result: Int32 = 0
    // The holder may be a file this process has closed, which lives on in a child that is just being started.
    _ = SpawnWindow.retried { () throws(Never) in
      result = clinux_flock(raw)
      return result != -Errno.again
    }
    return result
  }

  /// Text a C function writes into a buffer of `capacity` bytes, NUL included.
  static func text(
    capacity: Int, _ call: @autoclosure () -> String, _ body: (UnsafeMutablePointer<CChar>, Int) -> Int32
  ) throws(SystemError) -> String {
    var result: Int32 = 0
    let bytes = unsafe [CChar](unsafeUninitializedCapacity: capacity) { buffer, count in
      guard let base = buffer.baseAddress else { return }
      unsafe base.initialize(repeating: 0, count: capacity)
      result = unsafe body(base, capacity)
      count = capacity
    }
    try check(result, call())
    return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension Files.Status {
  fileprivate init(_ found: clinux_status) {
    kind =
      switch Int(found.kind) {
      case CLINUX_KIND_FILE: .file
      case CLINUX_KIND_DIRECTORY: .directory
      case CLINUX_KIND_LINK: .link
      case CLINUX_KIND_SOCKET: .socket
      case CLINUX_KIND_CHARACTER_DEVICE: .characterDevice
      case CLINUX_KIND_FIFO: .pipe
      default: .other
      }
    size = Int(clamping: found.size)
    userID = found.user
    groupID = found.group
    mode = found.mode
    modified = found.modifiedSeconds
    device = found.device
    inode = found.inode
    deviceNumber = found.deviceNumber
  }
}
