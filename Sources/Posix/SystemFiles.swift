private import CLinux
internal import Synchronization

/// The system's own file system.
public struct SystemFiles: FileSystem {
  /// The system's own file system.
  public init() {}

  /// See ``FileSystem/open(_:_:)``.
  public func open(_ path: String, _ opening: FileOpening) throws(SystemError) -> any OpenFile {
    let (flags, mode): (Int32, UInt32?) =
      switch opening {
      case .reading: (0, nil)
      case .existing: (Files.Flags.readWrite, nil)
      case .creating(let mode): (Files.Flags.readWrite | Files.Flags.create, mode)
      case .new(let mode): (Files.Flags.readWrite | Files.Flags.create | Files.Flags.exclusive, mode)
      }
    let descriptor = try Files.open(path, flags: flags, mode: mode ?? 0)
    if let mode {
      do throws(SystemError) {
        try check(clinux_fchmod(descriptor.raw, mode), "chmod \(path)")
      } catch {
        if case .new = opening { try? Files.unlink(path) }
        throw error
      }
    }
    return SystemFile(descriptor, path)
  }

  /// See ``Files/exists(_:)``.
  public func exists(_ path: String) -> Bool { Files.exists(path) }
  /// See ``Files/size(_:)``.
  public func size(_ path: String) throws(SystemError) -> Int { try Files.size(path) }
  /// See ``Files/read(_:limit:)``.
  public func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    try Files.read(path, limit: limit)
  }
  /// See ``Files/list(_:)``.
  public func list(_ directory: String) throws(SystemError) -> [String] { try Files.list(directory) }
  /// See ``Files/makeDirectory(_:mode:parents:)``.
  public func makeDirectory(_ path: String, mode: UInt32, parents: Bool) throws(SystemError) {
    try Files.makeDirectory(path, mode: mode, parents: parents)
  }
  /// See ``FileSystem/removeDirectory(_:)``.
  public func removeDirectory(_ path: String) throws(SystemError) {
    try refuseNul(path, "rmdir")
    try check(unsafe clinux_rmdir(path), "rmdir \(path)")
  }
  /// See ``Files/unlink(_:)``.
  public func unlink(_ path: String) throws(SystemError) { try Files.unlink(path) }
  /// See ``Files/rename(_:to:)``.
  public func rename(_ path: String, to newPath: String) throws(SystemError) {
    try Files.rename(path, to: newPath)
  }
  /// See ``Files/syncDirectory(_:)``.
  public func syncDirectory(_ path: String) throws(SystemError) { try Files.syncDirectory(path) }
  /// See ``Files/reserve(_:bytes:)``.
  public func reserve(_ path: String, bytes: UInt64) throws(SystemError) {
    try Files.reserve(path, bytes: bytes)
  }
  /// See ``Files/freeSpace(_:)``.
  public func freeSpace(_ path: String) throws(SystemError) -> Files.FreeSpace { try Files.freeSpace(path) }
}

/// An open file of the system's.
private final class SystemFile: OpenFile {
  private let path: String
  /// Empty once it has been closed.
  private let descriptor: Mutex<Descriptor?>

  init(_ descriptor: consuming Descriptor, _ path: String) {
    self.path = path
    self.descriptor = Mutex(consume descriptor)
  }

  private func with<T>(
    _ call: String, _ body: (Int32) -> Result<T, SystemError>
  ) throws(SystemError) -> T {
    let result = descriptor.withLock { descriptor -> Result<T, SystemError> in
      switch descriptor {
      case .some(let open): body(open.raw)
      case .none: .failure(SystemError(call: "\(call) \(path)", code: Errno.badDescriptor))
      }
    }
    return try result.get()
  }

  func read(at offset: Int64, count: Int) throws(SystemError) -> [UInt8] {
    try with("read") { raw -> Result<[UInt8], SystemError> in
      var failure: SystemError?
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: max(0, count)) { memory, done in
        done = 0
        while done < count {
          let more = unsafe clinux_pread(
            raw, memory.baseAddress?.advanced(by: done), count - done, offset + Int64(done))
          if more < 0 { failure = SystemError(call: "read \(path)", code: Int32(-more)) }
          if more <= 0 { break }
          done += more
        }
      }
      if let failure { return .failure(failure) }
      return .success(bytes)
    }
  }

  func write(_ bytes: [UInt8], at offset: Int64) throws(SystemError) {
    try with("write") { raw -> Result<Void, SystemError> in
      var done = 0
      while done < bytes.count {
        let place = offset + Int64(done)
        let more = unsafe bytes.withUnsafeBytes {
          unsafe clinux_pwrite(raw, $0.baseAddress?.advanced(by: done), $0.count - done, place)
        }
        guard more >= 0 else { return .failure(SystemError(call: "write \(path)", code: Int32(-more))) }
        done += more
      }
      return .success(())
    }
  }

  func truncate(to size: Int64) throws(SystemError) {
    try with("truncate") { raw -> Result<Void, SystemError> in
      Result { () throws(SystemError) in
        try check(clinux_truncate(raw, UInt64(max(0, size))), "truncate \(path)")
      }
    }
  }

  func beginSync() {
    // Whatever is wrong, the flush that follows says it.
    _ = try? with("sync_file_range") { raw in .success(clinux_begin_sync(raw)) }
  }

  func sync() throws(SystemError) {
    try with("fsync") { raw -> Result<Void, SystemError> in
      Result { () throws(SystemError) in try check(clinux_fsync(raw), "fsync \(path)") }
    }
  }

  func size() throws(SystemError) -> Int64 {
    try with("stat") { raw -> Result<Int64, SystemError> in
      var status = clinux_status()
      let result = unsafe clinux_status_of(raw, &status)
      return result < 0
        ? .failure(SystemError(call: "stat \(path)", code: -result)) : .success(Int64(clamping: status.size))
    }
  }

  func close() throws(SystemError) {
    let open = descriptor.withLock { $0.take() }
    if let open { try open.close() }
  }
}
