public import Posix

/// Device text from Swift text, for the drivers: they import no operating system module and are given this function.
public enum TextCodec {
  /// The text in a device's encoding; nil when one of its characters has no place in it, or when the system has no
  /// tables for the encoding (``Iconv/isAvailable(_:)``).
  public static func encode(_ text: String, in encoding: TextEncoding) -> [UInt8]? {
    Iconv.encode(text, to: encoding)
  }
}
