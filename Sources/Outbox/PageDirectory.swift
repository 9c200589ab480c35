import Crypto
import Posix

/// The pages' files on a thread of its own: the one place where the outbox touches files.
///
/// A directory a day (`20260203/UUID`), and another one (`20260203-2`) when the first one has many files or the service starts
/// again on that day: what lies in directories that were there at the start was put there by earlier runs, and can be
/// looked through while this run writes.
actor PageDirectory {
  private nonisolated let worker = Worker(name: "pages")
  nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  private let root: String
  private let key: SealingKey?
  private let files: any FileSystem
  /// The directories of earlier runs, in the order of their names.
  private(set) var older: [String] = []
  /// This run's.
  private var own: [String] = []
  /// The one that is written to: its day, its name, and how many files more it takes.
  private var current: (day: String, name: String, room: Int)?

  /// Empty files whose names are on the disk, all of one day.
  private var spares: [Spare] = []
  /// Empty files of the same day and of one directory, whose names are not.
  private var unsettled: [Spare] = []

  private static let largeContent = 1 << 20
  /// How many files are kept ready.
  private static let sparesKept = 8
  /// How many names go to the disk with one flush.
  private static let settledAtOnce = 4
  /// How many files a directory gets: few enough to be listed in no time.
  private static let filesPerDirectory = 2000

  init(root: String, key: SealingKey?, files: any FileSystem) {
    self.root = root
    self.key = key
    self.files = files
  }

  /// Makes the directory if it is not there, and notes what earlier runs left.
  func prepare() throws(SystemError) {
    if !files.exists(root) { try files.makeDirectory(root, mode: 0o700, parents: true) }
    // Also when it is there: a power cut may have come between making it and this.
    try files.syncDirectory(Files.directory(of: root))
    older = try files.list(root).filter(Self.isDay)
  }

  private static func isDay(_ name: String) -> Bool {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    return parts.count <= 2 && parts[0].utf8.count == 8
      && parts.allSatisfy {
        !$0.isEmpty && $0.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
      }
  }

  // MARK: Writing

  /// A file that is there already, empty, with its name on the disk.
  fileprivate struct Spare: Sendable {
    var day: String
    var directory: String
    /// Below the root.
    var path: String
    var id: String
    var file: any OpenFile
  }

  /// A page whose content is on its way to the disk, and whose header waits for the content's digest.
  struct Begun: Sendable {
    fileprivate var spare: Spare
    fileprivate var header: PageHeader
  }

  /// Begins to write a page that is kept plain, while its digest is being made.
  /// - Parameter kept: the bytes that pages leave free on their file system.
  func begin(_ draft: BlobDraft, time: WallTime, keeping kept: Int64) -> Result<Begun, OutboxError> {
    if let free = freeBytes(), free - Int64(draft.bytes.count) < kept {
      return .failure(.full(.disk(freeBytes: free)))
    }
    return Result { () throws(OutboxError) in
      do throws(SystemError) {
        let spare = try takeSpare(time)
        let begun = Begun(spare: spare, header: Self.header(draft, spare, time, nil))
        do throws(SystemError) {
          let front = PageFile.plainFront(begun.header, digest: Self.noDigest).count
          try spare.file.write(draft.bytes, at: Int64(front))
          // A large page's digest takes longer than its way to the disk: then only the header is left for later.
          if draft.bytes.count < Self.largeContent { spare.file.beginSync() } else { try spare.file.sync() }
        } catch {
          giveUp(spare)
          throw error
        }
        return begun
      } catch { throw .files(error) }
    }
  }

  /// Completes a page with its header; it is on the disk, with its name, when this returns.
  func finish(
    _ begun: Result<Begun, OutboxError>, _ draft: BlobDraft, digest: Digest, time: WallTime
  ) -> Result<String, OutboxError> {
    Result { () throws(OutboxError) in
      do throws(OutboxError) {
        var begun = try begun.get()
        begun.header.sha256 = digest.hex
        return try complete(begun.spare, [PageFile.plainFront(begun.header, digest: digest)])
      } catch .files(let error) where Self.isWorthAnotherFile(error) {
        return try writeOnce(draft, digest, time)
      }
    }
  }

  /// Takes back what was begun.
  func abandon(_ begun: Result<Begun, OutboxError>) {
    if case .success(let begun) = begun { try? files.unlink("\(root)/\(begun.spare.path)") }
  }

  /// Writes a page to a file of its own; it is on the disk, with its name, when this returns.
  /// - Parameter kept: the bytes that pages leave free on their file system.
  func write(
    _ draft: BlobDraft, digest: Digest, time: WallTime, keeping kept: Int64
  ) -> Result<String, OutboxError> {
    if let free = freeBytes(), free - Int64(draft.bytes.count) < kept {
      return .failure(.full(.disk(freeBytes: free)))
    }
    return Result { () throws(OutboxError) in
      do throws(OutboxError) {
        return try writeOnce(draft, digest, time)
      } catch .files(let error) where Self.isWorthAnotherFile(error) {
        return try writeOnce(draft, digest, time)
      }
    }
  }

  /// A failed flush cannot be made good on the same file (facts/outbox.md 2.7): once more, on another one.
  private static func isWorthAnotherFile(_ error: SystemError) -> Bool {
    ["EIO", "EINTR", "ENOENT"].contains(error.name)
  }

  private func writeOnce(
    _ draft: BlobDraft, _ digest: Digest, _ time: WallTime
  ) throws(OutboxError) -> String {
    let spare: Spare
    do throws(SystemError) { spare = try takeSpare(time) } catch { throw .files(error) }
    let header = Self.header(draft, spare, time, digest)
    let parts: [[UInt8]]
    do throws(OutboxError) {
      parts = try PageFile.encode(header, content: draft.bytes, digest: digest, key: key)
    } catch {
      giveUp(spare)
      throw error
    }
    return try complete(spare, parts)
  }

  private static let noDigest = SHA256.digest(of: [])

  private static func header(
    _ draft: BlobDraft, _ spare: Spare, _ time: WallTime, _ digest: Digest?
  ) -> PageHeader {
    PageHeader(
      id: spare.id, mediaType: draft.mediaType, time: time.rfc3339, bytes: draft.bytes.count,
      sha256: (digest ?? noDigest).hex, visit: draft.visit)
  }

  /// Writes the parts from the beginning of the file on, and flushes all of it.
  private func complete(_ spare: Spare, _ parts: [[UInt8]]) throws(OutboxError) -> String {
    do throws(SystemError) {
      var offset: Int64 = 0
      for part in parts {
        try spare.file.write(part, at: offset)
        offset += Int64(part.count)
      }
      try spare.file.sync()
      try spare.file.close()
      // Its name was made long ago: somebody may have cleared the directory since.
      _ = try files.size("\(root)/\(spare.path)")
      makeSpareLater(like: spare)
      return spare.path
    } catch {
      giveUp(spare)
      throw .files(error)
    }
  }

  /// After a failure everything is made anew, the directory too.
  private func giveUp(_ spare: Spare) {
    current = nil
    removeSpares(and: spare)
  }

  private func removeSpares(and spare: Spare? = nil) {
    for spare in spares + unsettled + [spare].compactMap({ $0 }) {
      try? files.unlink("\(root)/\(spare.path)")
    }
    spares = []
    unsettled = []
  }

  /// A file to be written.
  private func takeSpare(_ time: WallTime) throws(SystemError) -> Spare {
    let day = Self.day(of: time)
    if let other = (spares + unsettled).first?.day, other != day { removeSpares() }
    if spares.isEmpty {
      do throws(SystemError) {
        try makeSpare(day)
        try settleSpares()
      } catch {
        // What is left lies where there is nothing to be had any more: a second try is to begin anew.
        removeSpares()
        throw error
      }
    }
    return spares.removeLast()
  }

  /// Makes a file for a later page, so that it need not wait for one: a name costs as much as the content of a small page.
  private func makeSpareLater(like spare: Spare) {
    Task {
      guard spares.count + unsettled.count < Self.sparesKept, spare.day == current?.day else { return }
      do throws(SystemError) {
        try makeSpare(spare.day)
        if unsettled.count >= Self.settledAtOnce { try settleSpares() }
      } catch {
        // The page that needs one makes it itself, and is told why it cannot.
        removeSpares()
      }
    }
  }

  private func makeSpare(_ day: String) throws(SystemError) {
    let directory = try directory(of: day)
    if let other = unsettled.first?.directory, other != directory { try settleSpares() }
    let id = Identifier.uuidV7()
    let path = "\(directory)/\(id)"
    do throws(SystemError) {
      let file = try files.open("\(root)/\(path)", .new(mode: 0o600))
      unsettled.append(Spare(day: day, directory: directory, path: path, id: id, file: file))
    } catch {
      current = nil
      throw error
    }
  }

  /// Brings the names of files to the disk.
  private func settleSpares() throws(SystemError) {
    guard let directory = unsettled.first?.directory else { return }
    do throws(SystemError) {
      try files.syncDirectory("\(root)/\(directory)")
    } catch {
      current = nil
      removeSpares()
      throw error
    }
    spares = unsettled.reversed() + spares
    unsettled = []
  }

  private static func day(of time: WallTime) -> String {
    let calendar = time.calendar
    return digits(calendar.year, 4) + digits(calendar.month, 2) + digits(calendar.day, 2)
  }

  /// This run's directory of that day, which is on the disk with its name.
  private func directory(of day: String) throws(SystemError) -> String {
    if let current, current.day == day, current.room > 0 {
      self.current?.room -= 1
      return current.name
    }
    var name = day
    var number = 1
    while older.contains(name) || own.contains(name) {
      number += 1
      name = "\(day)-\(number)"
    }
    do throws(SystemError) {
      try files.makeDirectory("\(root)/\(name)", mode: 0o700, parents: false)
      own.append(name)
      try files.syncDirectory(root)
    } catch {
      current = nil
      throw error
    }
    current = (day, name, Self.filesPerDirectory - 1)
    return name
  }

  // MARK: Reading

  /// Why a page cannot be had.
  enum ReadFailure: Error {
    /// For good.
    case unusable(QuarantineReason)
    /// The system could not read it just now.
    case system(SystemError)
  }

  /// The content of a page, verified against its digest.
  func read(_ file: String, digest: Digest) throws(ReadFailure) -> [UInt8] {
    if let content = try readPlain(file, digest) { return content }
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try files.read("\(root)/\(file)", limit: PageFile.contentLimit + PageFile.overheadLimit)
    } catch { throw Self.failure(error) }
    let header: PageHeader
    let content: [UInt8]
    do throws(PageFile.Failure) {
      (header, content) = try PageFile.decode(bytes, key: key)
    } catch .otherKey {
      throw .unusable(.otherKey)
    } catch .keyMissing {
      throw .unusable(.keyMissing)
    } catch {
      throw .unusable(.damaged)
    }
    // The envelope vouches for both, and the header names the content.
    guard header.sha256 == digest.hex else { throw .unusable(.damaged) }
    return content
  }

  /// The content of a page that is kept plain, read once and copied never; nil if it is kept otherwise, or damaged.
  private func readPlain(_ file: String, _ digest: Digest) throws(ReadFailure) -> [UInt8]? {
    do throws(SystemError) {
      let opened = try files.open("\(root)/\(file)", .reading)
      let front = try opened.read(at: 0, count: Self.usualFront)
      guard
        let (header, contentAt) = PageFile.plainContent(front, fileBytes: Int(clamping: try opened.size())),
        header.sha256 == digest.hex
      else { return nil }
      let content = try opened.read(at: Int64(contentAt), count: header.bytes)
      return SHA256.digest(of: content) == digest ? content : nil
    } catch { throw Self.failure(error) }
  }

  /// Most headers are shorter; a longer one takes the longer way.
  private static let usualFront = 1024

  /// The header of a page, if its file has the length that it says, and why its content cannot be had now. The content itself is
  /// verified when it is read.
  func examine(_ file: String) throws(ReadFailure) -> (PageHeader, QuarantineReason?) {
    let front: [UInt8]
    let size: Int64
    do throws(SystemError) {
      let opened = try files.open("\(root)/\(file)", .reading)
      size = try opened.size()
      front = try opened.read(at: 0, count: PageFile.overheadLimit)
    } catch { throw Self.failure(error) }
    do throws(PageFile.Failure) {
      return (try PageFile.examine(front, fileBytes: Int(clamping: size), key: key), nil)
    } catch .otherKey(let header) {
      return (header, .otherKey)
    } catch .keyMissing(let header) {
      return (header, .keyMissing)
    } catch {
      throw .unusable(.damaged)
    }
  }

  private static func failure(_ error: SystemError) -> ReadFailure {
    switch error.name {
    case "ENOENT": .unusable(.missing)
    // No page of ours is larger than the limit. One that the disk does not give back just now (EIO) is tried again for an
    // hour before it counts as damaged.
    case "EFBIG", "EUCLEAN", "EBADMSG": .unusable(.damaged)
    default: .system(error)
    }
  }

  // MARK: Keeping house

  /// Removes files; one that comes back after a power cut is found without a row at a later start, and removed then.
  func remove(_ names: [String]) {
    for name in names { try? files.unlink("\(root)/\(name)") }
  }

  /// Removes files that no row names.
  /// - Returns: how many of them were pages, and not just made in advance.
  func removeOrphans(_ names: [String]) -> Int {
    let count = names.count { isWritten($0) }
    remove(names)
    return count
  }

  /// Whether anything was ever written to a file.
  func isWritten(_ file: String) -> Bool { ((try? files.size("\(root)/\(file)")) ?? 1) > 0 }

  /// The names in an earlier run's directory, in order; none if it cannot be read.
  func names(in directory: String) -> [String] { (try? files.list("\(root)/\(directory)")) ?? [] }

  /// Whether earlier runs left any.
  var hasFiles: Bool { older.contains { !names(in: $0).isEmpty } }

  /// Whether a file is there.
  func exists(_ file: String) -> Bool { files.exists("\(root)/\(file)") }

  /// Removes an earlier run's directory, if nothing is in it any more.
  func removeDirectory(_ directory: String) {
    try? files.removeDirectory("\(root)/\(directory)")
    if !files.exists("\(root)/\(directory)") { older.removeAll { $0 == directory } }
  }

  /// All directories that pages may lie in now.
  var directories: [String] { (older + own).sorted() }

  /// Puts a file that is no page out of the way, for a person to look at.
  func putAside(_ file: String) {
    try? files.makeDirectory("\(root)/damaged", mode: 0o700, parents: false)
    let name = file.split(separator: "/").joined(separator: "-")
    try? files.rename("\(root)/\(file)", to: "\(root)/damaged/\(name)")
  }

  /// Bytes left on the pages' file system; nil if the system does not say.
  func freeBytes() -> Int64? { (try? files.freeSpace(root)).map { Int64(clamping: $0.bytes) } }

  private static func digits(_ number: Int, _ count: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }
}

/// Makes digests on a thread of its own: a large page takes milliseconds.
actor DigestMaker {
  private nonisolated let worker = Worker(name: "page-digests")
  nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  func digest(of bytes: [UInt8]) -> Digest { SHA256.digest(of: bytes) }
}
