/// The header of one fingerprint on a card: 512 bytes, of which the first seven are described (facts/idcard.md 4.2, one
/// source). What follows is a template that this program never reads.
public struct IDCardFingerprint: Sendable, Equatable {
  /// Length of one fingerprint's block in bytes.
  public static let length = 512
  /// What every block begins with.
  static let mark: UInt8 = 0x43

  /// How the print was taken.
  public enum Registration: Sendable, Hashable {
    /// 01.
    case registered
    /// 02: taking it failed.
    case failed
    /// 03.
    case notRegistered
    /// 09.
    case unknown
    /// Any other code.
    case other(UInt8)
  }

  /// Which finger it is.
  public enum Finger: Sendable, Hashable {
    /// 0B…0F: 1 is the thumb, 5 the little finger.
    case right(Int)
    /// 10…14: 1 is the thumb, 5 the little finger.
    case left(Int)
    /// 61: a finger of the right hand.
    case unspecifiedRight
    /// 62: a finger of the left hand.
    case unspecifiedLeft
    /// 63: another one.
    case unspecified
    /// Any other code.
    case other(UInt8)
  }

  /// Version of the algorithm.
  public let algorithm: UInt8
  /// Code of the scanner.
  public let scanner: UInt8
  /// Code of the algorithm's developer.
  public let developer: UInt8
  /// How the print was taken.
  public let registration: Registration
  /// Which finger it is.
  public let finger: Finger
  /// 1…100, rising with the quality; nil when the card does not know it (00), or has another number there.
  public let quality: UInt8?

  /// Reads the header of a block; nil for one of another length or with another mark.
  public init?(block: [UInt8]) {
    guard block.count == Self.length, block[0] == Self.mark else { return nil }
    algorithm = block[1]
    scanner = block[2]
    developer = block[3]
    registration =
      switch block[4] {
      case 0x01: .registered
      case 0x02: .failed
      case 0x03: .notRegistered
      case 0x09: .unknown
      case let code: .other(code)
      }
    finger =
      switch block[5] {
      case 0x0B...0x0F: .right(Int(block[5]) - 0x0A)
      case 0x10...0x14: .left(Int(block[5]) - 0x0F)
      case 0x61: .unspecifiedRight
      case 0x62: .unspecifiedLeft
      case 0x63: .unspecified
      case let code: .other(code)
      }
    quality = (1...100).contains(block[6]) ? block[6] : nil
  }
}

extension IDCard {
  /// One entry for each 512 bytes of ``fingerprints``: its header, or nil for bytes that have not the form. Empty when
  /// fingerprints were not asked for or the card has none.
  public var fingerprintHeaders: [IDCardFingerprint?] {
    let bytes = fingerprints?.reveal() ?? []
    return stride(from: 0, to: bytes.count, by: IDCardFingerprint.length).map {
      IDCardFingerprint(block: Array(bytes[$0..<min($0 + IDCardFingerprint.length, bytes.count)]))
    }
  }
}
