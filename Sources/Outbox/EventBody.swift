import Crypto

/// What lies sealed in an event's row: its type, the pages it names, and the CloudEvent as it is sent.
///
/// Type and pages stand beside the JSON so that sending and erasing need not read it, and so that a row alone is enough
/// to make its queue entry again when the rest of the database is lost.
///
/// Byte by byte: format 1 · length of the type (1) · type · number of pages (2, big-endian) · their digests (32 each) · JSON.
struct EventBody: Equatable {
  var type: String
  var blobs: [Digest]
  var json: [UInt8]

  /// The longest type, in bytes.
  static let typeLimit = 255
  /// The most pages that one event can name.
  static let blobLimit = 65_535

  init(type: String, blobs: [Digest], json: [UInt8]) {
    self.type = type
    self.blobs = blobs
    self.json = json
  }

  var encoded: [UInt8] {
    let name = Array(type.utf8)
    var bytes: [UInt8] = [1, UInt8(truncatingIfNeeded: name.count)]
    bytes += name
    bytes += [UInt8(truncatingIfNeeded: blobs.count >> 8), UInt8(truncatingIfNeeded: blobs.count)]
    for blob in blobs { bytes += blob.bytes }
    return bytes + json
  }

  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 4, bytes[0] == 1 else { return nil }
    let typeEnd = 2 + Int(bytes[1])
    guard bytes.count >= typeEnd + 2 else { return nil }
    type = String(decoding: bytes[2..<typeEnd], as: UTF8.self)
    let count = Int(bytes[typeEnd]) << 8 | Int(bytes[typeEnd + 1])
    let jsonAt = typeEnd + 2 + count * Digest.byteCount
    guard bytes.count >= jsonAt else { return nil }
    blobs = stride(from: typeEnd + 2, to: jsonAt, by: Digest.byteCount).compactMap {
      Digest(Array(bytes[$0..<$0 + Digest.byteCount]))
    }
    json = Array(bytes[jsonAt...])
  }

  /// What the envelope of an event's row is bound to: everything in clear that decides where it goes.
  static func name(id: String, source: String, epoch: String, sequence: Int64) -> String {
    "\(id)\n\(source)\n\(epoch)\n\(sequence)"
  }
}
