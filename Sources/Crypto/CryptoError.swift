/// Why something could not be sealed or opened.
public enum CryptoError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A key of that many bytes; it must have ``SealingKey/byteCount``.
  case keyLength(Int)
  /// Sealed under another key than the one given: find the right key, nothing is damaged.
  case otherKey
  /// The content or its associated data is not what was sealed.
  case damaged
  /// Sealed by a version of this program that is not known here.
  case unknownVersion(UInt8)
  /// GnuTLS failed with that (negative) code.
  case failed(Int)

  /// One English sentence with what to do.
  public var description: String {
    switch self {
    case .keyLength(let count):
      "The sealing key has \(count) bytes instead of \(SealingKey.byteCount): generate it anew, or restore it from its backup."
    case .otherKey: "Sealed under another key: restore the key that was in use when this was written."
    case .damaged: "The sealed content is damaged."
    case .unknownVersion(let version): "Sealed in format \(version), which this version does not know."
    case .failed(let code): "GnuTLS failed (\(code))."
    }
  }
}
