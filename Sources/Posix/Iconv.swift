private import CLinux

/// The encodings devices and their files use.
public enum TextEncoding: Sendable, Equatable, CaseIterable {
  /// GB 18030: every Unicode character.
  case gb18030
  /// GBK, with the euro sign at 80h as in code page 936.
  case gbk
  /// UTF-8.
  case utf8
  /// Shift JIS as code page 932; U+00A5 becomes 5Ch, which comes back as a backslash.
  case shiftJIS

  fileprivate var name: String {
    switch self {
    case .gb18030: "GB18030"
    case .gbk: "GBK"
    case .utf8: "UTF-8"
    case .shiftJIS: "CP932"
    }
  }
}

/// Text in other encodings, by glibc's iconv.
public enum Iconv {
  /// The text's bytes; `nil` if one of its characters has no place in the encoding.
  public static func encode(_ text: String, to encoding: TextEncoding) -> [UInt8]? {
    let bytes = Array(text.utf8)
    return encoding == .utf8 ? bytes : convert(bytes, to: encoding.name, from: "UTF-8")
  }

  /// The bytes' text; `nil` if they are not well-formed.
  public static func decode(_ bytes: [UInt8], from encoding: TextEncoding) -> String? {
    guard encoding != .utf8 else { return String(validating: bytes, as: UTF8.self) }
    return convert(bytes, to: "UTF-8", from: encoding.name).flatMap { String(validating: $0, as: UTF8.self) }
  }

  /// Whether the system has its tables installed: without them nothing can be encoded or decoded. Some systems keep
  /// them in a package of their own (glibc's gconv modules).
  public static func isAvailable(_ encoding: TextEncoding) -> Bool {
    unsafe encoding == .utf8
      || (clinux_convert_available(encoding.name, "UTF-8") == 1
        && clinux_convert_available("UTF-8", encoding.name) == 1)
  }

  private static func convert(_ bytes: [UInt8], to: String, from: String) -> [UInt8]? {
    guard !bytes.isEmpty else { return [] }
    // No character of these encodings grows by more than a factor of 3 (a half-width katakana: 1 byte to 3).
    let capacity = bytes.count * 3 + 16
    var count = 0
    let converted = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
      count = unsafe clinux_convert(to, from, bytes, bytes.count, buffer.baseAddress, capacity)
      filled = max(count, 0)
    }
    return count < 0 ? nil : converted
  }
}
