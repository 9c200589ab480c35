import CSQLite
import Posix
import Synchronization

/// Lets SQLite keep its files on a ``FileSystem``: how the database runs on a disk that loses and tears what was not flushed
/// (sqlite.org/vfs.html). In service SQLite uses its own.
///
/// It behaves as SQLite's own on Linux does: sectors of 4096 bytes of which a torn write leaves the neighbours alone
/// (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`), the directory flushed with the first flush of a new log. There are no locks: one
/// connection has the file at a time.
@safe final class VirtualFiles: @unchecked Sendable {
  /// The name to open databases with.
  let name: String
  fileprivate let files: any FileSystem
  /// What connections share of a write-ahead log's index, by the database's path.
  fileprivate let shared = Mutex<[String: SharedRegions]>([:])

  private let vfs: UnsafeMutablePointer<sqlite3_vfs>
  private let cName: UnsafeMutablePointer<CChar>

  private static let count = Atomic(0)

  init(_ files: any FileSystem) {
    self.files = files
    name = "hall-\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
    let text = Array(name.utf8CString)
    unsafe cName = .allocate(capacity: text.count)
    for (index, byte) in text.enumerated() { unsafe (cName + index).initialize(to: byte) }
    unsafe vfs = .allocate(capacity: 1)
    unsafe vfs.initialize(to: sqlite3_vfs())
    let own = unsafe sqlite3_vfs_find(nil)
    unsafe vfs.pointee.iVersion = 1
    unsafe vfs.pointee.szOsFile = CInt(MemoryLayout<VirtualFile>.size)
    unsafe vfs.pointee.mxPathname = 1024
    unsafe vfs.pointee.zName = UnsafePointer(cName)
    unsafe vfs.pointee.pAppData = Unmanaged.passUnretained(self).toOpaque()
    unsafe vfs.pointee.xOpen = openFile
    unsafe vfs.pointee.xDelete = deleteFile
    unsafe vfs.pointee.xAccess = accessFile
    unsafe vfs.pointee.xFullPathname = fullPath
    unsafe vfs.pointee.xRandomness = own?.pointee.xRandomness
    unsafe vfs.pointee.xSleep = own?.pointee.xSleep
    unsafe vfs.pointee.xCurrentTime = own?.pointee.xCurrentTime
    unsafe vfs.pointee.xGetLastError = { _, _, _ in 0 }
    unsafe sqlite3_vfs_register(vfs, 0)
  }

  deinit {
    unsafe sqlite3_vfs_unregister(vfs)
    unsafe vfs.deallocate()
    unsafe cName.deallocate()
  }
}

/// The regions of one write-ahead log's index: memory, as the system's are.
@safe private final class SharedRegions: @unchecked Sendable {
  private var regions: [UnsafeMutableRawPointer] = unsafe []

  func region(_ index: Int, size: Int, mayExtend: Bool) -> UnsafeMutableRawPointer? {
    while unsafe regions.count <= index {
      guard mayExtend else { return nil }
      let region = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
      unsafe region.initializeMemory(as: UInt8.self, repeating: 0, count: size)
      unsafe regions.append(region)
    }
    return unsafe regions[index]
  }

  deinit { unsafe regions.forEach { unsafe $0.deallocate() } }
}

/// An open file as SQLite sees it: the methods first, as in every `sqlite3_file`.
@unsafe private struct VirtualFile {
  var base: sqlite3_file
  var opened: Unmanaged<OpenedFile>?
}

private final class OpenedFile {
  let file: any OpenFile
  let path: String
  let owner: VirtualFiles
  /// Its name is made durable with the first flush.
  var isNew: Bool
  let deletesOnClose: Bool
  var keepsLog = false
  var regions: SharedRegions?

  init(_ file: any OpenFile, _ path: String, _ owner: VirtualFiles, isNew: Bool, deletesOnClose: Bool) {
    self.file = file
    self.path = path
    self.owner = owner
    self.isNew = isNew
    self.deletesOnClose = deletesOnClose
  }
}

/// An error of the file system in SQLite's words.
private func code(_ error: SystemError, _ otherwise: CInt) -> CInt {
  error.name == "ENOSPC" || error.name == "EDQUOT" ? SQLITE_FULL : otherwise
}

private let ioErrors = (
  read: SQLITE_IOERR | 1 << 8, shortRead: SQLITE_IOERR | 2 << 8, write: SQLITE_IOERR | 3 << 8,
  sync: SQLITE_IOERR | 4 << 8, directorySync: SQLITE_IOERR | 5 << 8, truncate: SQLITE_IOERR | 6 << 8,
  stat: SQLITE_IOERR | 7 << 8, delete: SQLITE_IOERR | 10 << 8, deleteNoEntry: SQLITE_IOERR | 23 << 8
)

private func owner(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> VirtualFiles? {
  guard let data = unsafe vfs?.pointee.pAppData else { return nil }
  return unsafe Unmanaged<VirtualFiles>.fromOpaque(data).takeUnretainedValue()
}

private func opened(_ file: UnsafeMutablePointer<sqlite3_file>?) -> OpenedFile? {
  unsafe file?.withMemoryRebound(to: VirtualFile.self, capacity: 1) {
    unsafe $0.pointee.opened?.takeUnretainedValue()
  }
}

private func openFile(
  _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ path: sqlite3_filename?,
  _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: CInt, _ outFlags: UnsafeMutablePointer<CInt>?
) -> CInt {
  guard let owner = unsafe owner(vfs), let file = unsafe file, let path = unsafe path else {
    return SQLITE_CANTOPEN
  }
  let name = unsafe String(cString: path)
  unsafe file.withMemoryRebound(to: VirtualFile.self, capacity: 1) { unsafe $0.pointee.opened = nil }
  unsafe file.pointee.pMethods = nil
  let opening: FileOpening =
    flags & SQLITE_OPEN_READWRITE == 0
    ? .reading : flags & SQLITE_OPEN_CREATE == 0 ? .existing : .creating(mode: 0o600)
  let handle: any OpenFile
  do throws(SystemError) { handle = try owner.files.open(name, opening) } catch {
    return code(error, SQLITE_CANTOPEN)
  }
  let isLog = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL) != 0
  // Also if it is there: a crash may have come between making it and flushing its name.
  let object = OpenedFile(
    handle, name, owner, isNew: isLog && flags & SQLITE_OPEN_CREATE != 0,
    deletesOnClose: flags & SQLITE_OPEN_DELETEONCLOSE != 0)
  unsafe file.withMemoryRebound(to: VirtualFile.self, capacity: 1) {
    unsafe $0.pointee.opened = Unmanaged.passRetained(object)
  }
  unsafe file.pointee.pMethods = UnsafePointer(fileMethods.pointer)
  unsafe outFlags?.pointee = flags
  return SQLITE_OK
}

private func deleteFile(
  _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ path: UnsafePointer<CChar>?, _ syncsDirectory: CInt
) -> CInt {
  guard let owner = unsafe owner(vfs), let path = unsafe path else { return ioErrors.delete }
  let name = unsafe String(cString: path)
  do throws(SystemError) { try owner.files.unlink(name) } catch {
    return error.name == "ENOENT" ? ioErrors.deleteNoEntry : ioErrors.delete
  }
  guard syncsDirectory != 0 else { return SQLITE_OK }
  do throws(SystemError) { try owner.files.syncDirectory(Files.directory(of: name)) } catch {
    return ioErrors.directorySync
  }
  return SQLITE_OK
}

private func accessFile(
  _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ path: UnsafePointer<CChar>?, _ flags: CInt,
  _ result: UnsafeMutablePointer<CInt>?
) -> CInt {
  guard let owner = unsafe owner(vfs), let path = unsafe path else { return SQLITE_IOERR }
  let name = unsafe String(cString: path)
  // As SQLite's own: an empty journal counts as none.
  let size = (try? owner.files.size(name)) ?? 0
  unsafe result?.pointee = owner.files.exists(name) && (flags != SQLITE_ACCESS_EXISTS || size > 0) ? 1 : 0
  return SQLITE_OK
}

private func fullPath(
  _: UnsafeMutablePointer<sqlite3_vfs>?, _ path: UnsafePointer<CChar>?, _ capacity: CInt,
  _ result: UnsafeMutablePointer<CChar>?
) -> CInt {
  guard let path = unsafe path, let result = unsafe result else { return SQLITE_CANTOPEN }
  let text = unsafe Array(String(cString: path).utf8CString)
  guard text.count <= Int(capacity) else { return SQLITE_CANTOPEN }
  for (index, byte) in text.enumerated() { unsafe result[index] = byte }
  return SQLITE_OK
}

/// The methods of all open files.
@safe private struct FileMethods: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<sqlite3_io_methods>

  init() {
    var methods = sqlite3_io_methods()
    methods.iVersion = 2
    unsafe methods.xClose = { file in
      unsafe file?.withMemoryRebound(to: VirtualFile.self, capacity: 1) {
        guard let object = unsafe $0.pointee.opened?.takeRetainedValue() else { return }
        unsafe $0.pointee.opened = nil
        try? object.file.close()
        if object.deletesOnClose { try? object.owner.files.unlink(object.path) }
      }
      return SQLITE_OK
    }
    unsafe methods.xRead = { file, buffer, count, offset in
      guard let object = unsafe opened(file), let buffer = unsafe buffer else { return ioErrors.read }
      let wanted = Int(count)
      let bytes: [UInt8]
      do throws(SystemError) { bytes = try object.file.read(at: offset, count: wanted) } catch {
        return ioErrors.read
      }
      let target = unsafe UnsafeMutableRawBufferPointer(start: buffer, count: wanted)
      let found = min(bytes.count, wanted)
      unsafe bytes.withUnsafeBytes {
        unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<found]))
      }
      guard found < wanted else { return SQLITE_OK }
      unsafe (buffer + found).initializeMemory(as: UInt8.self, repeating: 0, count: wanted - found)
      return ioErrors.shortRead
    }
    unsafe methods.xWrite = { file, buffer, count, offset in
      guard let object = unsafe opened(file), let buffer = unsafe buffer else { return ioErrors.write }
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(count)) { memory, used in
        unsafe UnsafeMutableRawBufferPointer(memory).copyMemory(
          from: UnsafeRawBufferPointer(start: buffer, count: Int(count)))
        used = Int(count)
      }
      do throws(SystemError) { try object.file.write(bytes, at: offset) } catch {
        return code(error, ioErrors.write)
      }
      return SQLITE_OK
    }
    unsafe methods.xTruncate = { file, size in
      guard let object = unsafe opened(file) else { return ioErrors.truncate }
      do throws(SystemError) { try object.file.truncate(to: size) } catch {
        return code(error, ioErrors.truncate)
      }
      return SQLITE_OK
    }
    unsafe methods.xSync = { file, _ in
      guard let object = unsafe opened(file) else { return ioErrors.sync }
      do throws(SystemError) { try object.file.sync() } catch { return ioErrors.sync }
      guard object.isNew else { return SQLITE_OK }
      do throws(SystemError) {
        try object.owner.files.syncDirectory(Files.directory(of: object.path))
      } catch { return ioErrors.directorySync }
      object.isNew = false
      return SQLITE_OK
    }
    unsafe methods.xFileSize = { file, size in
      guard let object = unsafe opened(file) else { return ioErrors.stat }
      do throws(SystemError) { unsafe size?.pointee = try object.file.size() } catch { return ioErrors.stat }
      return SQLITE_OK
    }
    unsafe methods.xLock = { _, _ in SQLITE_OK }
    unsafe methods.xUnlock = { _, _ in SQLITE_OK }
    unsafe methods.xCheckReservedLock = { _, result in
      unsafe result?.pointee = 0
      return SQLITE_OK
    }
    unsafe methods.xFileControl = { file, operation, argument in
      // Whether the log outlives the last connection.
      guard operation == SQLITE_FCNTL_PERSIST_WAL, let object = unsafe opened(file),
        let wish = unsafe argument?.assumingMemoryBound(to: CInt.self)
      else { return SQLITE_NOTFOUND }
      if unsafe wish.pointee >= 0 { object.keepsLog = unsafe wish.pointee != 0 }
      unsafe wish.pointee = object.keepsLog ? 1 : 0
      return SQLITE_OK
    }
    unsafe methods.xSectorSize = { _ in 4096 }
    unsafe methods.xDeviceCharacteristics = { _ in SQLITE_IOCAP_POWERSAFE_OVERWRITE }
    unsafe methods.xShmMap = { file, index, size, mayExtend, region in
      guard let object = unsafe opened(file) else { return SQLITE_IOERR }
      let regions =
        object.regions
        ?? object.owner.shared.withLock { shared in
          let regions = shared[object.path] ?? SharedRegions()
          shared[object.path] = regions
          return regions
        }
      object.regions = regions
      unsafe region?.pointee = unsafe regions.region(Int(index), size: Int(size), mayExtend: mayExtend != 0)
      return SQLITE_OK
    }
    unsafe methods.xShmLock = { _, _, _, _ in SQLITE_OK }
    unsafe methods.xShmBarrier = { _ in }
    unsafe methods.xShmUnmap = { file, _ in
      guard let object = unsafe opened(file) else { return SQLITE_OK }
      object.regions = nil
      // One connection at a time: the next one reads the log anew.
      object.owner.shared.withLock { $0[object.path] = nil }
      return SQLITE_OK
    }
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: methods)
  }
}

private let fileMethods = FileMethods()
