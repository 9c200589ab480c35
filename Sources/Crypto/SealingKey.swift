import CGnuTLS

/// The secret key under which contents are sealed on disk: 32 bytes (AES-256).
///
/// It cannot be printed or encoded, and its memory is wiped when the last reference goes. Copies that a caller made while
/// reading it from a file are the caller's to wipe.
@safe public final class SealingKey: Sendable, CustomStringConvertible, CustomReflectable {
  /// How many bytes a key has.
  public static let byteCount = 32

  private nonisolated(unsafe) let storage: UnsafeMutableRawPointer

  /// Which key this is, without giving it away: the first 8 bytes of SHA-256 over `hall-agent key id` and the key. Stands
  /// in everything sealed, so that another key can be told from damage.
  public let identifier: [UInt8]

  /// A key from exactly 32 bytes.
  /// - Throws: ``CryptoError/keyLength(_:)``
  public init(bytes: [UInt8]) throws(CryptoError) {
    guard bytes.count == Self.byteCount else { throw .keyLength(bytes.count) }
    let storage = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 16)
    unsafe bytes.withUnsafeBytes {
      unsafe storage.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(storage), byteCount: $0.count)
    }
    unsafe self.storage = storage
    identifier = Array(SHA256.digest(of: Array("hall-agent key id".utf8) + bytes).bytes.prefix(8))
  }

  /// A new key from the system's source of randomness.
  /// - Throws: ``CryptoError/failed(_:)`` if that source gives nothing.
  public static func generated() throws(CryptoError) -> SealingKey {
    try SealingKey(bytes: randomBytes(byteCount, GNUTLS_RND_KEY))
  }

  /// The 32 bytes, for writing a generated key to its file and for nothing else.
  public func reveal() -> [UInt8] {
    unsafe [UInt8](UnsafeRawBufferPointer(start: storage, count: Self.byteCount))
  }

  /// A placeholder; never the key.
  public var description: String { "‹sealing key›" }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }

  func withCipher<T>(
    _ body: (gnutls_aead_cipher_hd_t) -> Result<T, CryptoError>
  ) throws(CryptoError) -> T {
    var datum = unsafe gnutls_datum_t(
      data: storage.assumingMemoryBound(to: UInt8.self), size: UInt32(Self.byteCount))
    var handle: gnutls_aead_cipher_hd_t?
    let status = unsafe gnutls_aead_cipher_init(&handle, GNUTLS_CIPHER_AES_256_GCM, &datum)
    guard status >= 0, let cipher = unsafe handle else { throw .failed(Int(status)) }
    defer { unsafe gnutls_aead_cipher_deinit(cipher) }
    return try unsafe body(cipher).get()
  }

  deinit {
    unsafe gnutls_memset(storage, 0, Self.byteCount)
    unsafe storage.deallocate()
  }
}

/// Bytes from the system's source of randomness.
func randomBytes(_ count: Int, _ level: gnutls_rnd_level_t) throws(CryptoError) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  let status = unsafe bytes.withUnsafeMutableBytes { unsafe gnutls_rnd(level, $0.baseAddress, $0.count) }
  guard status >= 0 else { throw .failed(Int(status)) }
  return bytes
}
