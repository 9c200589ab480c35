import Posix
import Testing

@testable import Codecs

@Suite struct KeyCodeTests {
  private static let header = "/usr/include/linux/input-event-codes.h"

  @Test(.enabled(if: Files.exists(header), "needs linux/input-event-codes.h (linux-libc-dev)"))
  func `names and codes are the kernel's`() throws {
    let text = String(decoding: try Files.read(Self.header, limit: 1 << 20), as: UTF8.self)
    var codes: [Substring: UInt16] = [:]
    for line in text.split(separator: "\n") where line.hasPrefix("#define KEY_") {
      let words = line.split { $0 == " " || $0 == "\t" }
      guard words.count >= 3, let code = UInt16(words[2]) else { continue }
      codes[words[1].dropFirst(4)] = code
    }
    #expect(codes.count > 200)
    for key in KeyCode.all { #expect(codes[key.name[...]] == key.code, "\(key.name)") }
  }

  /// HID Usage Tables, keyboard page (07).
  @Test(
    arguments: [
      ("A", 0x04), ("Z", 0x1D), ("1", 0x1E), ("9", 0x26), ("0", 0x27), ("ENTER", 0x28), ("ESC", 0x29),
      ("BACKSPACE", 0x2A), ("TAB", 0x2B), ("SPACE", 0x2C), ("F1", 0x3A), ("F12", 0x45), ("RIGHT", 0x4F),
      ("UP", 0x52),
      ("NUMLOCK", 0x53), ("KPENTER", 0x58), ("KP1", 0x59), ("KP9", 0x61), ("KP0", 0x62), ("KPDOT", 0x63),
      ("LEFTCTRL", 0xE0), ("RIGHTMETA", 0xE7),
    ] as [(String, UInt8)])
  func `usages are those of the standard`(name: String, usage: UInt8) {
    #expect(KeyCode(name: name)?.usage == usage)
    #expect(KeyCode(usage: usage)?.name == name)
  }

  @Test func `nothing is twice in the table`() {
    #expect(Set(KeyCode.all.map(\.name)).count == KeyCode.all.count)
    #expect(Set(KeyCode.all.map(\.code)).count == KeyCode.all.count)
    #expect(Set(KeyCode.all.map(\.usage)).count == KeyCode.all.count)
  }

  @Test func `a profile names keys, or their codes`() {
    #expect(KeyCode.code(of: "5") == 6)
    #expect(KeyCode.code(of: "kp5") == 76)
    #expect(KeyCode.code(of: "0x2ff") == 0x2FF)
    for wrong in ["", "KEY_5", "0x300", "0x", "0x+5", "0x-1", "55", "Enter key"] {
      #expect(KeyCode.code(of: wrong) == nil, "\(wrong)")
    }
  }

  @Test func `a boot keyboard's reports become keys that go down`() {
    var keyboard = BootKeyboard()
    #expect(keyboard.take([0, 0, 0x1E, 0, 0, 0, 0, 0]) == [2])
    // Held while another goes down; then one comes up, one stays.
    #expect(keyboard.take([0, 0, 0x1E, 0x59, 0, 0, 0, 0]) == [79])
    #expect(keyboard.take([0, 0, 0x59, 0, 0, 0, 0, 0]) == [])
    #expect(keyboard.take([0, 0, 0x1E, 0x59, 0, 0, 0, 0]) == [2])
    // Left shift and right alt; a key no table knows; too many keys at once.
    #expect(keyboard.take([0x42, 0, 0xA4, 0, 0, 0, 0, 0]) == [42, 100])
    #expect(keyboard.take([0x42, 0, 1, 1, 1, 1, 1, 1]) == [])
    #expect(keyboard.take([0, 0, 0, 0, 0, 0, 0, 0]) == [])
    #expect(keyboard.take([0, 0, 0x1E]) == [2])
    #expect(keyboard.take([]) == [])
  }
}
