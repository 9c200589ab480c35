/// Reads a text by the grammar of RFC 8259, to the letter: the system's decoder lets trailing commas pass, does not say where
/// an error is, and finds out what kind of value stands somewhere by failing with every other kind first.
struct JSONReader {
  private let bytes: [UInt8]
  private var at = 0
  private var depth = 0

  static func read(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
    var reader = JSONReader(bytes)
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw JSONError(.syntax, sentence: "The text is not UTF-8.")
    }
    let value = try reader.value()
    reader.skipSpace()
    guard reader.at == bytes.count else { throw reader.unexpected("the end of the text") }
    return value
  }

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func value() throws(JSONError) -> JSONValue {
    skipSpace()
    switch current {
    case UInt8(ascii: "{"):
      var members: [String: JSONValue] = [:]
      try elements(closing: UInt8(ascii: "}")) { (reader) throws(JSONError) in
        reader.skipSpace()
        let name = try reader.string()
        guard name.utf8.count <= JSON.nameLimit else {
          throw JSONError(
            .invalid,
            sentence: "A member's name is longer than \(JSON.nameLimit) bytes, before \(reader.place).")
        }
        reader.skipSpace()
        try reader.expect(UInt8(ascii: ":"), "“:”")
        let value = try reader.value()
        // Of members with the same name the first counts, as with the system's decoder.
        if members[name] == nil { members[name] = value }
      }
      return .object(members)
    case UInt8(ascii: "["):
      var values: [JSONValue] = []
      try elements(closing: UInt8(ascii: "]")) { (reader) throws(JSONError) in
        values.append(try reader.value())
      }
      return .array(values)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"):
      try word("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try word("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try word("null")
      return .null
    case .some(UInt8(ascii: "-")), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
    default: throw unexpected("a value")
    }
  }

  private mutating func elements(
    closing: UInt8, _ element: (inout JSONReader) throws(JSONError) -> Void
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
      try element(&self)
      skipSpace()
      if current == closing {
        at += 1
        return
      }
      try expect(UInt8(ascii: ","), "“,” or the closing bracket")
    }
  }

  private mutating func string() throws(JSONError) -> String {
    try expect(UInt8(ascii: "\""), "a string")
    var text = ""
    // What stands as it is meant is taken over in one piece.
    var start = at
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        text += String(decoding: bytes[start..<at], as: UTF8.self)
        at += 1
        return text
      case UInt8(ascii: "\\"):
        text += String(decoding: bytes[start..<at], as: UTF8.self)
        at += 1
        text.unicodeScalars.append(try escaped())
        start = at
      case 0..<0x20: throw unexpected("an escaped control character")
      default: at += 1
      }
    }
    throw unexpected("the end of the string")
  }

  /// What follows a backslash.
  private mutating func escaped() throws(JSONError) -> Unicode.Scalar {
    let scalar: Unicode.Scalar
    switch current {
    case UInt8(ascii: "u"):
      at += 1
      return try escapedScalar()
    case .some(let byte) where [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/")].contains(byte):
      scalar = Unicode.Scalar(byte)
    case UInt8(ascii: "b"): scalar = "\u{8}"
    case UInt8(ascii: "f"): scalar = "\u{C}"
    case UInt8(ascii: "n"): scalar = "\n"
    case UInt8(ascii: "r"): scalar = "\r"
    case UInt8(ascii: "t"): scalar = "\t"
    default: throw unexpected("an escape character")
    }
    at += 1
    return scalar
  }

  private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
    var units = [try fourDigits()]
    if UTF16.isLeadSurrogate(units[0]) {
      try expect(UInt8(ascii: "\\"), "the other half of a surrogate pair")
      try expect(UInt8(ascii: "u"), "the other half of a surrogate pair")
      units.append(try fourDigits())
    }
    // Half of a pair stands for no character, and no text can hold it.
    guard let text = String(validating: units, as: UTF16.self), let scalar = text.unicodeScalars.first,
      text.unicodeScalars.count == 1
    else { throw unexpected("a whole surrogate pair before this") }
    return scalar
  }

  private mutating func fourDigits() throws(JSONError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let digit = current.flatMap({ Character(Unicode.Scalar($0)).hexDigitValue }) else {
        throw unexpected("four digits after \\u")
      }
      unit = unit << 4 | UInt16(digit)
      at += 1
    }
    return unit
  }

  private mutating func number() throws(JSONError) -> JSONValue {
    let start = at
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
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if let whole = Int64(text) { return .integer(whole) }
    guard let number = Double(text), number.isFinite else {
      throw JSONError(.invalid, sentence: "A number is too large, before \(place).")
    }
    return .number(number)
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
