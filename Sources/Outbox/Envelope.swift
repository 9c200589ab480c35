import Crypto

/// How contents lie on the disk: sealed under the key, or, without one, plain with a digest; either way bound to a name, so
/// that damage and exchanged contents are noticed.
///
/// Byte by byte: `0` · SHA-256 of name, NUL and content (32) · content; or `1` · the form of ``AESGCM`` with the name as
/// associated data; or `2` · SHA-256 of name, NUL and the content's own SHA-256 (32) · content, for what has one already.
enum Envelope {
  /// Why the content cannot be had.
  enum Failure: Error, Equatable {
    /// Not what was written.
    case damaged
    /// Sealed under another key.
    case otherKey
    /// Sealed, and there is no key.
    case keyMissing
  }

  private static let plain: UInt8 = 0
  private static let sealed: UInt8 = 1
  private static let plainByDigest: UInt8 = 2

  static func close(
    _ content: [UInt8], name: String, key: SealingKey?
  ) throws(CryptoError) -> [UInt8] {
    guard let key else { return [plain] + digest(content, name).bytes + content }
    return [sealed] + (try AESGCM.seal(content, key: key, associatedData: Array(name.utf8)))
  }

  /// What stands before a content that is kept plain and whose digest is known: nothing is hashed twice, nor copied.
  static func front(contentDigest: Digest, name: String) -> [UInt8] {
    [plainByDigest] + digest(contentDigest.bytes, name).bytes
  }

  static func open(_ bytes: [UInt8], name: String, key: SealingKey?) throws(Failure) -> [UInt8] {
    switch bytes.first {
    case plain:
      guard bytes.count > Digest.byteCount else { throw .damaged }
      let content = Array(bytes[(1 + Digest.byteCount)...])
      guard Array(bytes[1...Digest.byteCount]) == digest(content, name).bytes else { throw .damaged }
      return content
    case plainByDigest:
      guard bytes.count > Digest.byteCount else { throw .damaged }
      let content = Array(bytes[(1 + Digest.byteCount)...])
      guard
        Array(bytes[...Digest.byteCount]) == front(contentDigest: SHA256.digest(of: content), name: name)
      else { throw .damaged }
      return content
    case sealed:
      guard let key else { throw .keyMissing }
      do throws(CryptoError) {
        return try AESGCM.open(Array(bytes.dropFirst()), key: key, associatedData: Array(name.utf8))
      } catch .otherKey {
        throw .otherKey
      } catch {
        throw .damaged
      }
    default: throw .damaged
    }
  }

  /// Looks at the beginning of an envelope: whether it has the length that its content makes, and the key is the right one.
  static func inspect(
    _ front: ArraySlice<UInt8>, contentBytes: Int, envelopeBytes: Int, key: SealingKey?
  ) throws(Failure) {
    let bytes = Array(front.prefix(1 + AESGCM.overhead))
    switch bytes.first {
    case plain where envelopeBytes == 1 + Digest.byteCount + contentBytes: return
    case plainByDigest where envelopeBytes == 1 + Digest.byteCount + contentBytes: return
    case sealed where envelopeBytes == 1 + AESGCM.overhead + contentBytes:
      guard let key else { throw .keyMissing }
      guard AESGCM.keyIdentifier(of: Array(bytes.dropFirst())) == key.identifier else { throw .otherKey }
    default: throw .damaged
    }
  }

  private static func digest(_ content: [UInt8], _ name: String) -> Digest {
    let hash = SHA256()
    hash.update(Array(name.utf8) + [0])
    hash.update(content)
    return hash.finalize()
  }
}
