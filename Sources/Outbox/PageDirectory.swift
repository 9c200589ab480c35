import Crypto
import Posix

/// The pages' files, one directory a day (`20260203/UUID`), on a thread of its own: the one place where the outbox touches
/// files.
actor PageDirectory {
  private nonisolated let worker = Worker(name: "pages")
  nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  private let root: String
  private let key: SealingKey?
  private var knownDays: Set<String> = []

  /// A page that lies durably on the disk.
  struct Written: Sendable {
    var digest: Digest
    var file: String
  }

  init(root: String, key: SealingKey?) {
    self.root = root
    self.key = key
  }

  /// Makes the directory if it is not there.
  func prepare() throws(SystemError) {
    guard !Files.exists(root) else { return }
    try Files.makeDirectory(root, mode: 0o700, parents: true)
    try Files.syncDirectory(Files.directory(of: root))
  }

  func digest(of bytes: [UInt8]) -> Digest { SHA256.digest(of: bytes) }

  /// Writes a page to a file of its own; it is on the disk, with its name, when this returns.
  func write(_ draft: BlobDraft, digest: Digest, time: WallTime) throws(OutboxError) -> String {
    let calendar = time.calendar
    let day = Self.digits(calendar.year, 4) + Self.digits(calendar.month, 2) + Self.digits(calendar.day, 2)
    do throws(OutboxError) {
      return try writeOnce(draft, digest, time, day)
    } catch .files(let error) where error.name == "EIO" {
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
    let bytes = try PageFile.encode(header, content: draft.bytes, key: key)
    do throws(SystemError) {
      if !knownDays.contains(day) {
        try Files.makeDirectory("\(root)/\(day)", mode: 0o700, parents: false)
        try Files.syncDirectory(root)
        knownDays.insert(day)
      }
      try Files.createDurable(directory: "\(root)/\(day)", name: id, parts: [bytes])
    } catch {
      knownDays.remove(day)
      throw .files(error)
    }
    return "\(day)/\(id)"
  }

  /// Why a page cannot be had.
  enum ReadFailure: Error {
    /// For good.
    case unusable(QuarantineReason)
    /// The system could not read it just now.
    case system(SystemError)
  }

  /// The content of a page, verified against its digest.
  func read(_ file: String, digest: Digest) throws(ReadFailure) -> [UInt8] {
    let content = try page(file).1
    guard SHA256.digest(of: content) == digest else { throw .unusable(.damaged) }
    return content
  }

  /// Header and content of a page; of a sealed page without its key the header alone.
  func examine(_ file: String) throws(ReadFailure) -> (PageHeader, QuarantineReason?) {
    do throws(ReadFailure) {
      return (try page(file).0, nil)
    } catch .unusable(let reason) where reason == .otherKey || reason == .keyMissing {
      let bytes = try raw(file)
      do throws(PageFile.Failure) { return (try PageFile.header(bytes).0, reason) } catch {
        throw .unusable(.damaged)
      }
    }
  }

  private func page(_ file: String) throws(ReadFailure) -> (PageHeader, [UInt8]) {
    let bytes = try raw(file)
    do throws(PageFile.Failure) {
      return try PageFile.decode(bytes, key: key)
    } catch .otherKey {
      throw .unusable(.otherKey)
    } catch .keyMissing {
      throw .unusable(.keyMissing)
    } catch {
      throw .unusable(.damaged)
    }
  }

  private func raw(_ file: String) throws(ReadFailure) -> [UInt8] {
    do throws(SystemError) {
      return try Files.read("\(root)/\(file)", limit: PageFile.contentLimit + PageFile.overheadLimit)
    } catch {
      switch error.name {
      case "ENOENT": throw .unusable(.missing)
      // The disk gives it back no more; and no page of ours is larger than the limit.
      case "EIO", "EFBIG", "EUCLEAN", "EBADMSG": throw .unusable(.damaged)
      default: throw .system(error)
      }
    }
  }

  /// Removes files; one that comes back after a power cut is found without a row at the next start, and removed then.
  func remove(_ files: [String]) {
    for file in files { try? Files.unlink("\(root)/\(file)") }
  }

  /// All files, as `DAY/NAME`; other things that may lie there are passed over.
  func list() throws(SystemError) -> [String] {
    var files: [String] = []
    for day in try Files.list(root) where day.utf8.count == 8 {
      guard let names = try? Files.list("\(root)/\(day)") else { continue }
      files += names.map { "\(day)/\($0)" }
    }
    return files
  }

  /// Puts a file that is no page out of the way, for a person to look at.
  func putAside(_ file: String) {
    try? Files.makeDirectory("\(root)/damaged", mode: 0o700, parents: false)
    let name = file.split(separator: "/").joined(separator: "-")
    try? Files.rename("\(root)/\(file)", to: "\(root)/damaged/\(name)")
  }

  /// Bytes left on the pages' file system; nil if the system does not say.
  func freeBytes() -> Int64? { (try? Files.freeSpace(root)).map { Int64(clamping: $0.bytes) } }

  private static func digits(_ number: Int, _ count: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }
}
