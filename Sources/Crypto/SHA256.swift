import CGnuTLS

/// SHA-256 (FIPS 180-4), fed piece by piece.
@safe public struct SHA256: ~Copyable {
  private let handle: gnutls_hash_hd_t

  /// A hash of nothing yet.
  public init() {
    var handle: gnutls_hash_hd_t?
    let status = unsafe gnutls_hash_init(&handle, GNUTLS_DIG_SHA256)
    // GnuTLS refuses SHA-256 only without memory or with a failed self-test: nothing can be trusted then.
    guard status >= 0, let made = unsafe handle else { fatalError("GnuTLS gave no SHA-256: \(status)") }
    unsafe self.handle = made
  }

  /// Adds bytes at the end.
  public func update(_ bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    let status = unsafe bytes.withUnsafeBytes { unsafe gnutls_hash(handle, $0.baseAddress, $0.count) }
    guard status >= 0 else { fatalError("GnuTLS gave up a SHA-256: \(status)") }
  }

  /// The digest of all that was added.
  public consuming func finalize() -> Digest {
    var bytes = [UInt8](repeating: 0, count: Digest.byteCount)
    unsafe bytes.withUnsafeMutableBytes { unsafe gnutls_hash_output(handle, $0.baseAddress) }
    // Cannot be nil: the array has the length that a digest has.
    guard let digest = Digest(bytes) else { fatalError("a SHA-256 of another length") }
    return digest
  }

  deinit { unsafe gnutls_hash_deinit(handle, nil) }

  /// The digest of these bytes.
  public static func digest(of bytes: [UInt8]) -> Digest {
    let hash = SHA256()
    hash.update(bytes)
    return hash.finalize()
  }
}
