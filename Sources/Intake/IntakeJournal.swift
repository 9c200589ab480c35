import Crypto
import Posix
import WireJSON

/// One line of the journal: a page that was stored, the events of one request, or the ids of events that were refused.
struct JournalEntry: Codable, Sendable {
  var blob: Stored?
  var events: [JSONValue]?
  var refused: [String]?

  struct Stored: Codable, Sendable {
    var digest: String
    var mediaType: String
    var bytes: Int
  }
}

/// What lies on disk: `journal` (a line of JSON for each page and each batch, in the order they were taken) and `blobs/SHA256`.
struct IntakeJournal: Sendable {
  let directory: String
  private let log: AppendLog

  init(directory: String) throws(SystemError) {
    self.directory = directory
    try Files.makeDirectory(directory + "/blobs", mode: 0o700, parents: true)
    try Files.syncDirectory(directory)
    log = try AppendLog(path: directory + "/journal", mode: 0o600)
  }

  func path(of digest: Digest) -> String { "\(directory)/blobs/\(digest.hex)" }

  /// Stores a page; a file of that name is replaced, as it may be what a broken attempt left.
  func store(_ bytes: [UInt8], digest: Digest, mediaType: String) throws(IntakeFailure) {
    do throws(SystemError) {
      try Files.replaceDurable(path(of: digest), bytes: bytes, mode: 0o600)
    } catch { throw .disk(error) }
    try append(JournalEntry(blob: .init(digest: digest.hex, mediaType: mediaType, bytes: bytes.count)))
  }

  func store(_ events: [JSONValue]) throws(IntakeFailure) { try append(JournalEntry(events: events)) }

  /// Notes events that were refused one by one: their author sets them aside, and a person may have them sent again, out of order
  /// (intake API v1, "Delivery").
  func storeRefused(_ ids: [String]) throws(IntakeFailure) { try append(JournalEntry(refused: ids)) }

  private func append(_ entry: JournalEntry) throws(IntakeFailure) {
    let line: [UInt8]
    do throws(JSONError) { line = try JSON.encode(entry) } catch { throw .json(error) }
    do throws(SystemError) { try log.append(String(decoding: line, as: UTF8.self)) } catch {
      throw .disk(error)
    }
  }

  /// Everything that was taken, in order, read from the disk; a line that cannot be read is nil.
  func entries() throws(IntakeFailure) -> [JournalEntry?] {
    let text: [UInt8]
    do throws(SystemError) {
      text = try Files.read(directory + "/journal", limit: 1 << 32)
    } catch { throw .disk(error) }
    return text.split(separator: UInt8(ascii: "\n")).map {
      try? JSON.decode(JournalEntry.self, from: Array($0))
    }
  }

  /// The digest of what the file of a page holds now; nil if it cannot be read.
  func storedDigest(of digest: Digest) -> Digest? {
    guard let bytes = try? Files.read(path(of: digest), limit: 1 << 30) else { return nil }
    return SHA256.digest(of: bytes)
  }
}

/// Why the intake cannot keep what it was sent.
enum IntakeFailure: Error, CustomStringConvertible {
  case disk(SystemError)
  case json(JSONError)

  var description: String {
    switch self {
    case .disk(let error): "\(error)"
    case .json(let error): "\(error)"
    }
  }
}
