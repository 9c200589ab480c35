/// Checks a text against the grammar of RFC 8259, to the letter, before the system's decoder sees it: that one lets trailing
/// commas pass, looks at numbers and strings only when asked for them, and does not say where an error is.
struct JSONScanner {
  private let bytes: [UInt8]
  private var at = 0
  private var depth = 0

  static func check(_ bytes: [UInt8]) throws(JSONError) {
    var scanner = JSONScanner(bytes)
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw JSONError(.syntax, sentence: "The text is not UTF-8.")
    }
    try scanner.value()
    scanner.skipSpace()
    guard scanner.at == bytes.count else { throw scanner.unexpected("the end of the text") }
  }

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func value() throws(JSONError) {
    skipSpace()
    switch current {
    case UInt8(ascii: "{"):
      try members(closing: UInt8(ascii: "}")) { (scanner) throws(JSONError) in
        scanner.skipSpace()
        try scanner.string()
        scanner.skipSpace()
        try scanner.expect(UInt8(ascii: ":"), "“:”")
        try scanner.value()
      }
    case UInt8(ascii: "["):
      try members(closing: UInt8(ascii: "]")) { (scanner) throws(JSONError) in try scanner.value() }
    case UInt8(ascii: "\""): try string()
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    case .some(UInt8(ascii: "-")), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): try number()
    default: throw unexpected("a value")
    }
  }

  private mutating func members(
    closing: UInt8, _ member: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    depth += 1
    guard depth <= JSON.depthLimit else {
      throw JSONError(
        .tooDeep, sentence: "More than \(JSON.depthLimit) arrays and objects in each other, at \(place).")
    }
    defer { depth -= 1 }
    at += 1
    skipSpace()
    if current == closing {
      at += 1
      return
    }
    while true {
      try member(&self)
      skipSpace()
      if current == closing {
        at += 1
        return
      }
      try expect(UInt8(ascii: ","), "“,” or the closing bracket")
    }
  }

  private mutating func string() throws(JSONError) {
    try expect(UInt8(ascii: "\""), "a string")
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        at += 1
        return
      case UInt8(ascii: "\\"):
        at += 1
        switch current {
        case UInt8(ascii: "u"):
          at += 1
          for _ in 0..<4 {
            guard let digit = current, Self.isHexadecimal(digit) else {
              throw unexpected("four digits after \\u")
            }
            at += 1
          }
        case .some(let escape) where Array("\"\\/bfnrt".utf8).contains(escape): at += 1
        default: throw unexpected("an escape character")
        }
      case 0..<0x20: throw unexpected("an escaped control character")
      default: at += 1
      }
    }
    throw unexpected("the end of the string")
  }

  private mutating func number() throws(JSONError) {
    if current == UInt8(ascii: "-") { at += 1 }
    if current == UInt8(ascii: "0") { at += 1 } else { try digits() }
    if current == UInt8(ascii: ".") {
      at += 1
      try digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      at += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { at += 1 }
      try digits()
    }
  }

  private mutating func digits() throws(JSONError) {
    let start = at
    while let digit = current, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") { at += 1 }
    guard at > start else { throw unexpected("a digit") }
  }

  private mutating func word(_ word: String) throws(JSONError) {
    for byte in word.utf8 { try expect(byte, "“\(word)”") }
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws(JSONError) {
    guard current == byte else { throw unexpected(what) }
    at += 1
  }

  private mutating func skipSpace() {
    while let byte = current, byte == 0x20 || (byte >= 0x09 && byte <= 0x0D && byte != 0x0B && byte != 0x0C) {
      at += 1
    }
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }

  // The character itself is not shown: it may be a citizen's.
  private func unexpected(_ what: String) -> JSONError {
    JSONError(.syntax, sentence: "Not valid JSON: \(what) is expected at \(place).")
  }

  private var place: String {
    let before = bytes[..<at]
    let line = before.count { $0 == 0x0A } + 1
    let column = before.reversed().prefix { $0 != 0x0A }.count { $0 & 0xC0 != 0x80 } + 1
    return "line \(line), column \(column)"
  }
}
