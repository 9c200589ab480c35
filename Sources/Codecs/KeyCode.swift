/// A key: what Linux calls it, its code there, and its usage on a HID keyboard.
///
/// Names and codes are those of `linux/input-event-codes.h` without `KEY_`; usages those of the HID Usage Tables, page 07,
/// as Linux's `hid_keyboard` table pairs them with codes (drivers/hid/hid-input.c).
public struct KeyCode: Sendable, Hashable {
  /// `1`, `KP1`, `ENTER`, `F5`.
  public let name: String
  /// Code in an input event.
  public let code: UInt16
  /// Usage in a keyboard's report.
  public let usage: UInt8

  /// The key of that name; letters of either case.
  public init?(name: String) {
    guard let key = Self.byName[name.uppercased()] else { return nil }
    self = key
  }
  /// The key of that code.
  public init?(code: UInt16) {
    guard let key = Self.byCode[code] else { return nil }
    self = key
  }
  /// The key of that usage.
  public init?(usage: UInt8) {
    guard let key = Self.byUsage[usage] else { return nil }
    self = key
  }
  private init(_ name: String, _ code: UInt16, _ usage: UInt8) {
    self.name = name
    self.code = code
    self.usage = usage
  }

  /// Reads a key as a profile has it: a name, or a code as `0x02`; its code.
  public static func code(of text: some StringProtocol) -> UInt16? {
    if text.hasPrefix("0x") {
      let digits = text.dropFirst(2)
      // A sign would be read as a number too.
      guard digits.utf8.allSatisfy({ $0 != 0x2B && $0 != 0x2D }) else { return nil }
      return UInt16(digits, radix: 16).flatMap { $0 < 0x300 ? $0 : nil }
    }
    return KeyCode(name: String(text))?.code
  }

  /// Every key, by usage.
  public static let all: [KeyCode] = table.map { KeyCode($0.0, $0.1, $0.2) }
  private static let byName = Dictionary(all.map { ($0.name, $0) }) { first, _ in first }
  private static let byCode = Dictionary(all.map { ($0.code, $0) }) { first, _ in first }
  private static let byUsage = Dictionary(all.map { ($0.usage, $0) }) { first, _ in first }

  private static let table: [(String, UInt16, UInt8)] = [
    ("A", 30, 0x04), ("B", 48, 0x05), ("C", 46, 0x06), ("D", 32, 0x07), ("E", 18, 0x08),
    ("F", 33, 0x09), ("G", 34, 0x0A), ("H", 35, 0x0B), ("I", 23, 0x0C), ("J", 36, 0x0D),
    ("K", 37, 0x0E), ("L", 38, 0x0F), ("M", 50, 0x10), ("N", 49, 0x11), ("O", 24, 0x12),
    ("P", 25, 0x13), ("Q", 16, 0x14), ("R", 19, 0x15), ("S", 31, 0x16), ("T", 20, 0x17),
    ("U", 22, 0x18), ("V", 47, 0x19), ("W", 17, 0x1A), ("X", 45, 0x1B), ("Y", 21, 0x1C),
    ("Z", 44, 0x1D), ("1", 2, 0x1E), ("2", 3, 0x1F), ("3", 4, 0x20), ("4", 5, 0x21),
    ("5", 6, 0x22), ("6", 7, 0x23), ("7", 8, 0x24), ("8", 9, 0x25), ("9", 10, 0x26),
    ("0", 11, 0x27), ("ENTER", 28, 0x28), ("ESC", 1, 0x29), ("BACKSPACE", 14, 0x2A), ("TAB", 15, 0x2B),
    ("SPACE", 57, 0x2C), ("MINUS", 12, 0x2D), ("EQUAL", 13, 0x2E), ("COMMA", 51, 0x36), ("DOT", 52, 0x37),
    ("SLASH", 53, 0x38), ("F1", 59, 0x3A), ("F2", 60, 0x3B), ("F3", 61, 0x3C), ("F4", 62, 0x3D),
    ("F5", 63, 0x3E), ("F6", 64, 0x3F), ("F7", 65, 0x40), ("F8", 66, 0x41), ("F9", 67, 0x42),
    ("F10", 68, 0x43), ("F11", 87, 0x44), ("F12", 88, 0x45), ("HOME", 102, 0x4A), ("PAGEUP", 104, 0x4B),
    ("DELETE", 111, 0x4C), ("END", 107, 0x4D), ("PAGEDOWN", 109, 0x4E), ("RIGHT", 106, 0x4F),
    ("LEFT", 105, 0x50),
    ("DOWN", 108, 0x51), ("UP", 103, 0x52), ("NUMLOCK", 69, 0x53), ("KPSLASH", 98, 0x54),
    ("KPASTERISK", 55, 0x55),
    ("KPMINUS", 74, 0x56), ("KPPLUS", 78, 0x57), ("KPENTER", 96, 0x58), ("KP1", 79, 0x59), ("KP2", 80, 0x5A),
    ("KP3", 81, 0x5B), ("KP4", 75, 0x5C), ("KP5", 76, 0x5D), ("KP6", 77, 0x5E), ("KP7", 71, 0x5F),
    ("KP8", 72, 0x60), ("KP9", 73, 0x61), ("KP0", 82, 0x62), ("KPDOT", 83, 0x63), ("LEFTCTRL", 29, 0xE0),
    ("LEFTSHIFT", 42, 0xE1), ("LEFTALT", 56, 0xE2), ("LEFTMETA", 125, 0xE3), ("RIGHTCTRL", 97, 0xE4),
    ("RIGHTSHIFT", 54, 0xE5),
    ("RIGHTALT", 100, 0xE6), ("RIGHTMETA", 126, 0xE7),
  ]
}

/// Turns a boot keyboard's reports into keys that go down (USB HID 1.11, appendix B.1 and C).
public struct BootKeyboard: Sendable {
  private var down: Set<UInt8> = []

  /// A keyboard with no key down.
  public init() {}

  /// Takes one report: a byte of modifiers, one of nothing, up to six usages. The codes of keys that went down with it, in
  /// the report's order; a report of too many keys at once (usages of 01) tells nothing.
  public mutating func take(_ report: [UInt8]) -> [UInt16] {
    guard report.count >= 3, !report.dropFirst(2).contains(1) else { return [] }
    let modifiers = (0..<8).filter { report[0] >> $0 & 1 == 1 }.map { UInt8(0xE0 + $0) }
    let usages = modifiers + report.dropFirst(2).filter { $0 > 3 }
    let pressed = usages.filter { !down.contains($0) }
    down = Set(usages)
    return pressed.compactMap { KeyCode(usage: $0)?.code }
  }
}
