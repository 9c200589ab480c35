import CGnuTLS

/// Authenticated encryption with AES-256 in Galois/Counter Mode (NIST SP 800-38D).
///
/// What is sealed reads, byte by byte: version 1 · key identifier (8) · nonce (12, random) · ciphertext · tag (16). Version and
/// key identifier are authenticated together with the associated data. With random nonces one key is good for 2³²
/// seals; at a thousand a minute that is eight thousand years.
public enum AESGCM {
  /// How many bytes longer the sealed form is.
  public static let overhead = headerCount + nonceCount + tagCount

  private static let version: UInt8 = 1
  private static let headerCount = 9
  private static let nonceCount = 12
  private static let tagCount = 16

  /// Seals `plain`, so that only the holder of the key can read it, and only together with the same associated data.
  /// - Throws: ``CryptoError/failed(_:)``
  public static func seal(
    _ plain: [UInt8], key: SealingKey, associatedData: [UInt8]
  ) throws(CryptoError) -> [UInt8] {
    let header = [version] + key.identifier
    let nonce = try randomBytes(nonceCount, GNUTLS_RND_NONCE)
    let authenticated = header + associatedData
    let sealed: [UInt8] = try unsafe key.withCipher { cipher in
      var output = [UInt8](repeating: 0, count: plain.count + tagCount)
      var count = output.count
      let status = unsafe nonce.withUnsafeBytes { nonce in
        unsafe authenticated.withUnsafeBytes { authenticated in
          unsafe plain.withUnsafeBytes { plain in
            unsafe output.withUnsafeMutableBytes { output in
              unsafe gnutls_aead_cipher_encrypt(
                cipher, nonce.baseAddress, nonce.count, authenticated.baseAddress, authenticated.count,
                tagCount, plain.baseAddress, plain.count, output.baseAddress, &count)
            }
          }
        }
      }
      return status >= 0 ? .success(output) : .failure(.failed(Int(status)))
    }
    return header + nonce + sealed
  }

  /// The ``SealingKey/identifier`` of the key that something was sealed under; nil if it is too short to say.
  public static func keyIdentifier(of sealed: [UInt8]) -> [UInt8]? {
    sealed.count < headerCount ? nil : Array(sealed[1..<headerCount])
  }

  /// The content of something sealed under this key with this associated data.
  /// - Throws: ``CryptoError/otherKey``, ``CryptoError/damaged``, ``CryptoError/unknownVersion(_:)``
  public static func open(
    _ sealed: [UInt8], key: SealingKey, associatedData: [UInt8]
  ) throws(CryptoError) -> [UInt8] {
    guard sealed.count >= overhead else { throw .damaged }
    guard sealed[0] == version else { throw .unknownVersion(sealed[0]) }
    let header = Array(sealed[..<headerCount])
    guard Array(header[1...]) == key.identifier else { throw .otherKey }
    let nonce = Array(sealed[headerCount..<headerCount + nonceCount])
    let ciphertext = Array(sealed[(headerCount + nonceCount)...])
    let authenticated = header + associatedData
    return try unsafe key.withCipher { cipher in
      // One byte more than needed, so that the address is never nil for an empty content.
      var output = [UInt8](repeating: 0, count: ciphertext.count - tagCount + 1)
      var count = output.count
      let status = unsafe nonce.withUnsafeBytes { nonce in
        unsafe authenticated.withUnsafeBytes { authenticated in
          unsafe ciphertext.withUnsafeBytes { ciphertext in
            unsafe output.withUnsafeMutableBytes { output in
              unsafe gnutls_aead_cipher_decrypt(
                cipher, nonce.baseAddress, nonce.count, authenticated.baseAddress, authenticated.count,
                tagCount, ciphertext.baseAddress, ciphertext.count, output.baseAddress, &count)
            }
          }
        }
      }
      guard status >= 0 else { return .failure(.damaged) }
      output.removeLast()
      return .success(output)
    }
  }
}
