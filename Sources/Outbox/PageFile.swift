import Crypto
import WireJSON

/// What stands in front of every page on disk, so that its row can be made again when the database is lost.
struct PageHeader: Codable, Equatable {
  /// UUIDv7, also the file's name.
  var id: String
  /// `image/jpeg` and so on.
  var mediaType: String
  /// When it was stored, RFC 3339.
  var time: String
  /// How many bytes the content has.
  var bytes: Int
  /// SHA-256 of the content, 64 hexadecimal digits.
  var sha256: String
  /// The visit it belongs to, if any.
  var visit: String?

  /// As it is written: members in the order of their names.
  var json: [UInt8] {
    var value: JSONValue = [
      "id": .string(id), "mediaType": .string(mediaType), "time": .string(time),
      "bytes": .integer(Int64(bytes)),
      "sha256": .string(sha256),
    ]
    value["visit"] = visit.map(JSONValue.string)
    // Only a number that is not finite has no JSON form.
    return (try? JSON.encode(value)) ?? []
  }
}

/// The form of a page on disk: `HALLPAGE` · version 1 · length of the header (4, big-endian) · the header as JSON · the
/// content in an ``Envelope`` that is named by the digest of everything before it.
enum PageFile {
  /// Why a page file cannot be used.
  enum Failure: Error, Equatable {
    /// The beginning is not that of a page, or is cut short.
    case noHeader
    /// The content is not what the header says.
    case damaged
    /// Sealed under another key.
    case otherKey(PageHeader)
    /// Sealed, and there is no key.
    case keyMissing(PageHeader)
  }

  /// Pages larger than this are refused: a colour A3 page at 600 dpi, uncompressed, is 200 MB; as JPEG it is below 30 MB.
  static let contentLimit = 64 * 1024 * 1024
  /// What the form may add to the content.
  static let overheadLimit = 64 * 1024

  private static let magic = Array("HALLPAGE".utf8) + [1]

  /// The parts of a page's file, to be written one after the other.
  /// - Parameter digest: the content's.
  static func encode(
    _ header: PageHeader, content: [UInt8], digest: Digest, key: SealingKey?
  ) throws(OutboxError) -> [[UInt8]] {
    guard let key else { return [plainFront(header, digest: digest), content] }
    let front = front(header)
    do throws(CryptoError) {
      return [front, try Envelope.close(content, name: SHA256.digest(of: front).hex, key: key)]
    } catch {
      throw .sealing(error)
    }
  }

  /// All that stands before a content that is kept plain. How long it is does not depend on the digest.
  static func plainFront(_ header: PageHeader, digest: Digest) -> [UInt8] {
    let front = front(header)
    return front + Envelope.front(contentDigest: digest, name: SHA256.digest(of: front).hex)
  }

  private static func front(_ header: PageHeader) -> [UInt8] {
    let json = header.json
    return magic + bigEndian(json.count) + json
  }

  /// The header, and where the content begins.
  static func header(_ bytes: [UInt8]) throws(Failure) -> (PageHeader, contentAt: Int) {
    let lengthAt = magic.count
    guard bytes.count >= lengthAt + 4, Array(bytes[..<lengthAt]) == magic else { throw .noHeader }
    let length = bytes[lengthAt..<lengthAt + 4].reduce(0) { $0 << 8 | Int($1) }
    let headerAt = lengthAt + 4
    guard length <= overheadLimit / 2, bytes.count >= headerAt + length,
      let header = try? JSON.decode(PageHeader.self, from: Array(bytes[headerAt..<headerAt + length]))
    else { throw .noHeader }
    return (header, headerAt + length)
  }

  /// The header of a file of which these are the first bytes (at least ``overheadLimit``, or all), if the file is as long as the
  /// header says.
  static func examine(_ front: [UInt8], fileBytes: Int, key: SealingKey?) throws(Failure) -> PageHeader {
    let (header, contentAt) = try header(front)
    do throws(Envelope.Failure) {
      try Envelope.inspect(
        front[contentAt...], contentBytes: header.bytes, envelopeBytes: fileBytes - contentAt, key: key)
    } catch { throw failure(error, header) }
    return header
  }

  /// Where the content itself lies in a file of which these are the first bytes, if it is kept plain and under its own digest:
  /// then it need not be copied to be verified.
  static func plainContent(_ front: [UInt8], fileBytes: Int) -> (header: PageHeader, contentAt: Int)? {
    guard let (header, envelopeAt) = try? header(front), let digest = Digest(hex: header.sha256) else {
      return nil
    }
    let name = SHA256.digest(of: Array(front[..<envelopeAt])).hex
    let envelope = Envelope.front(contentDigest: digest, name: name)
    let contentAt = envelopeAt + envelope.count
    guard front.count >= contentAt, front[envelopeAt..<contentAt].elementsEqual(envelope),
      fileBytes - contentAt == header.bytes
    else { return nil }
    return (header, contentAt)
  }

  /// The header and the content, as they were written: the envelope vouches for both.
  static func decode(_ bytes: [UInt8], key: SealingKey?) throws(Failure) -> (PageHeader, [UInt8]) {
    let (header, contentAt) = try header(bytes)
    let name = SHA256.digest(of: Array(bytes[..<contentAt])).hex
    do throws(Envelope.Failure) {
      return (header, try Envelope.open(Array(bytes[contentAt...]), name: name, key: key))
    } catch { throw failure(error, header) }
  }

  private static func failure(_ failure: Envelope.Failure, _ header: PageHeader) -> Failure {
    switch failure {
    case .damaged: .damaged
    case .otherKey: .otherKey(header)
    case .keyMissing: .keyMissing(header)
    }
  }

  private static func bigEndian(_ count: Int) -> [UInt8] {
    stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: count >> $0) }
  }
}
