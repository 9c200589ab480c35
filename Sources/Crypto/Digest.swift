/// A SHA-256 digest (FIPS 180-4): 32 bytes. Pages are named by it.
public struct Digest: Sendable, Hashable, Comparable, CustomStringConvertible {
  // Four big-endian words, so that comparing and hashing need no memory of their own.
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// How many bytes a digest has.
  public static let byteCount = 32

  /// The digest with these 32 bytes; nil if there are not exactly 32.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    func word(_ index: Int) -> UInt64 {
      bytes[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) }
    }
    words = (word(0), word(1), word(2), word(3))
  }

  /// The digest written as exactly 64 hexadecimal digits in lower case; nil for anything else, upper case included,
  /// since two spellings of one name are one too many.
  public init?(hex: String) {
    guard let bytes = Hex.decode(hex) else { return nil }
    self.init(bytes)
  }

  /// The 32 bytes.
  public var bytes: [UInt8] {
    [words.0, words.1, words.2, words.3].flatMap { word in
      stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) }
    }
  }

  /// 64 hexadecimal digits in lower case.
  public var hex: String { Hex.encode(bytes) }

  /// The same as ``hex``.
  public var description: String { hex }

  /// Equal digests.
  public static func == (a: Digest, b: Digest) -> Bool { a.words == b.words }

  /// The order of the bytes, and of the hexadecimal text.
  public static func < (a: Digest, b: Digest) -> Bool { a.words < b.words }

  /// Feeds the digest to a hasher.
  public func hash(into hasher: inout Hasher) {
    // Any quarter of a digest is as good as random already.
    hasher.combine(words.0)
  }
}

/// Lower-case hexadecimal text.
public enum Hex {
  /// Two digits for each byte.
  public static func encode(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// The bytes; nil if the text has an odd length or anything but `0`…`9` and `a`…`f`.
  public static func decode(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    func value(_ digit: UInt8) -> UInt8? {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
      default: nil
      }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }
}
