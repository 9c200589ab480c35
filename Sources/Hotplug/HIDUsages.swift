/// What a HID device is for: the usages of its top-level collections (USB HID 1.11, 6.2.2).
enum HIDUsages {
  /// `page/usage`, four hexadecimal digits each, in the order of the descriptor: `["0001/0006"]` for a keyboard. What is
  /// damaged ends the list; it never traps, as descriptors come from devices.
  static func read(_ descriptor: [UInt8]) -> [String] {
    var usages: [String] = []
    var page: UInt32 = 0
    var pages: [UInt32] = []
    var usage: UInt32?
    var depth = 0
    var at = 0
    while at < descriptor.count, usages.count < 32 {
      let prefix = descriptor[at]
      if prefix == 0xFE {
        // A long item: length and tag follow.
        guard at + 2 < descriptor.count else { return usages }
        at += 3 + Int(descriptor[at + 1])
        continue
      }
      let size = prefix & 3 == 3 ? 4 : Int(prefix & 3)
      guard at + size < descriptor.count else { return usages }
      var value: UInt32 = 0
      for index in stride(from: size, to: 0, by: -1) { value = value << 8 | UInt32(descriptor[at + index]) }
      switch prefix & 0xFC {
      case 0x04: page = value & 0xFFFF
      // A usage of four bytes brings its page along.
      case 0x08: if usage == nil { usage = size == 4 ? value : page << 16 | value & 0xFFFF }
      case 0xA4: if pages.count < 16 { pages.append(page) }
      case 0xB4: page = pages.popLast() ?? page
      case 0xA0:
        if depth == 0, let usage { usages.append(words(usage)) }
        depth += 1
        usage = nil
      case 0xC0:
        depth = max(0, depth - 1)
        usage = nil
      // The other main items: what was said locally ends with them.
      case 0x80, 0x90, 0xB0: usage = nil
      default: break
      }
      at += 1 + size
    }
    return usages
  }

  private static func words(_ usage: UInt32) -> String { hex(usage >> 16) + "/" + hex(usage & 0xFFFF) }

  private static func hex(_ number: UInt32) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}

/// Which keys an input device has, in groups (`linux/input-event-codes.h`).
enum InputKeys {
  /// The groups whose keys are all there: `digits` 1 to 0 above the letters, `keypad` the number pad's, `letters` A to Z,
  /// `enter`, `functions` F1 to F10.
  /// - Parameter bitmap: the kernel's `capabilities/key`: hexadecimal words of 64 bits, the highest first.
  static func groups(_ bitmap: String) -> [String] {
    let words = bitmap.split(separator: " ").reversed().map { UInt64($0, radix: 16) ?? 0 }
    func has(_ code: Int) -> Bool {
      let index = code / 64
      return index < words.count && words[index] >> UInt64(code % 64) & 1 == 1
    }
    let letters = Array(16...25) + Array(30...38) + Array(44...50)
    let keypad = [71, 72, 73, 75, 76, 77, 79, 80, 81, 82]
    var groups: [String] = []
    if (2...11).allSatisfy(has) { groups.append("digits") }
    if keypad.allSatisfy(has) { groups.append("keypad") }
    if letters.allSatisfy(has) { groups.append("letters") }
    if has(28) || has(96) { groups.append("enter") }
    if (59...68).allSatisfy(has) { groups.append("functions") }
    return groups
  }
}
