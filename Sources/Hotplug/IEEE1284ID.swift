/// A printer's own description (IEEE 1284, facts/devices.md A5): `MFG:EPSON;MDL:TM-T88V;CMD:ESC/POS;CLS:PRINTER;`.
public struct IEEE1284ID: Sendable, Hashable {
  /// Every entry, keys in upper case.
  public let entries: [String: String]

  /// Reads an id without its two bytes of length; nil when there is no entry in it, as some clones give
  /// (facts/devices.md A5: XP-C58K).
  public init?(_ text: String) {
    var entries: [String: String] = [:]
    for part in text.prefix(4096).split(separator: ";") {
      guard let colon = part.firstIndex(of: ":") else { continue }
      let key = Self.trimmed(part[..<colon]).uppercased()
      let value = Self.trimmed(part[part.index(after: colon)...])
      if !key.isEmpty, !value.isEmpty, entries[key] == nil { entries[key] = value }
    }
    guard !entries.isEmpty else { return nil }
    self.entries = entries
  }

  /// `MFG`, or `MANUFACTURER`.
  public var maker: String? { entries["MFG"] ?? entries["MANUFACTURER"] }
  /// `MDL`, or `MODEL`.
  public var model: String? { entries["MDL"] ?? entries["MODEL"] }
  /// `CMD`, or `COMMAND SET`: the languages it says it speaks.
  public var commands: String? { entries["CMD"] ?? entries["COMMAND SET"] }
  /// `SN`, `SERN` or `SERIALNUMBER`.
  public var serial: String? { entries["SN"] ?? entries["SERN"] ?? entries["SERIALNUMBER"] }

  private static func trimmed(_ text: Substring) -> String {
    let visible = text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }
    var trimmed = String(String.UnicodeScalarView(visible))
    while trimmed.first == " " { trimmed.removeFirst() }
    while trimmed.last == " " { trimmed.removeLast() }
    return trimmed
  }
}
