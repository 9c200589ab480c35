import FoundationEssentials

/// Base64 of RFC 4648 section 4: the standard alphabet, padded.
public enum Base64 {
  /// The bytes as text, on one line.
  public static func encode(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

  /// The bytes that the text stands for; nil if it has a character outside the alphabet or a wrong length.
  public static func decode(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { [UInt8]($0) } }
}
