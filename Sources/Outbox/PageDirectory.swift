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

  func digest(of bytes: [UInt8]) -> Digest { SHA256.digest(of: bytes) }

  // MARK: Writing

  /// Writes a page to a file of its own; it is on the disk, with its name, when this returns.
  func write(_ draft: BlobDraft, digest: Digest, time: WallTime) throws(OutboxError) -> String {
    let calendar = time.calendar
    let day = Self.digits(calendar.year, 4) + Self.digits(calendar.month, 2) + Self.digits(calendar.day, 2)
    do throws(OutboxError) {
      return try writeOnce(draft, digest, time, day)
    } catch .files(let error) where error.name == "EIO" || error.name == "EINTR" {
      // A failed flush cannot be made good on the same file (facts/outbox.md 2.7): once more, on another one.
      return try writeOnce(draft, digest, time, day)
    }
  }

  private func writeOnce(
    _ draft: BlobDraft, _ digest: Digest, _ time: WallTime, _ day: String
  ) throws(OutboxError) -> String {
    let id = Identifier.uuidV7()
    let header = PageHeader(
      id: id, mediaType: draft.mediaType, time: time.rfc3339, bytes: draft.bytes.count, sha256: digest.hex,
      visit: draft.visit)
    let parts = try PageFile.encode(header, content: draft.bytes, digest: digest, key: key)
    do throws(SystemError) {
      let directory = try directory(of: day)
      try files.createDurable(directory: "\(root)/\(directory)", name: id, parts: parts)
      return "\(directory)/\(id)"
    } catch {
      current = nil
      throw .files(error)
    }
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
    try files.makeDirectory("\(root)/\(name)", mode: 0o700, parents: false)
    own.append(name)
    try files.syncDirectory(root)
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
