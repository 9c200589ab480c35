/// How a value is read: its type, its range, and the words that describe them to a person.
public struct ConfType<Value: Sendable>: Sendable {
  /// What a right value looks like.
  public let expected: ConfExpected
  /// Reads a value or says what is wrong with it.
  public let read: @Sendable (ConfValue) throws(ConfError) -> Value

  /// A type of its own; `read` throws ``ConfValue/error(expected:nearest:)`` for what it does not take.
  public init(expected: ConfExpected, read: @escaping @Sendable (ConfValue) throws(ConfError) -> Value) {
    self.expected = expected
    self.read = read
  }

  /// A type read from the value's text; nil means wrong.
  public init(expected: ConfExpected, text convert: @escaping @Sendable (String) -> Value?) {
    self.init(expected: expected) { value throws(ConfError) in
      guard let result = convert(try value.text()) else { throw value.error(expected: expected) }
      return result
    }
  }

  /// The same text read into another value; nil means wrong.
  public func map<Other: Sendable>(
    _ convert: @escaping @Sendable (Value) -> Other?
  ) -> ConfType<Other> {
    let (expected, read) = (expected, read)
    return ConfType<Other>(expected: expected) { value throws(ConfError) in
      guard let result = convert(try read(value)) else { throw value.error(expected: expected) }
      return result
    }
  }

  /// Elements of this type, separated by commas or spaces.
  public func list(count: ClosedRange<Int> = 0...1000) -> ConfType<[Value]> {
    let element = self
    let expected = ConfExpected(
      english: "a list with commas, each \(element.expected.english)",
      chinese: "以逗号分隔的列表，每项为\(element.expected.chinese)")
    return ConfType<[Value]>(expected: expected) { value throws(ConfError) in
      let parts = try value.elements()
      guard count.contains(parts.count) else { throw value.error(expected: expected) }
      var values: [Value] = []
      for part in parts { values.append(try element.read(part)) }
      return values
    }
  }
}

extension ConfType<String> {
  /// Text of 1 to `longest` characters; an empty text only if `emptyAllowed`, and then as `""` or nothing.
  public static func text(longest: Int = 1000, emptyAllowed: Bool = false) -> ConfType {
    ConfType(
      expected: ConfExpected(
        english: "text of at most \(longest) characters\(emptyAllowed ? "" : ", not empty")",
        chinese: "\(emptyAllowed ? "" : "非空、")不超过 \(longest) 个字符的文本")
    ) { text in
      (emptyAllowed || !text.isEmpty) && text.unicodeScalars.count <= longest ? text : nil
    }
  }

  /// An absolute path of at most 4095 bytes.
  public static var path: ConfType {
    ConfType(
      expected: ConfExpected(english: "an absolute path, starting with '/'", chinese: "以“/”开头的绝对路径")
    ) { text in
      text.utf8.first == 0x2F && text.utf8.count <= 4095 && !text.utf8.contains { $0 < 0x20 } ? text : nil
    }
  }

  /// One of a few words, exact case.
  public static func word(_ words: [String]) -> ConfType {
    .word(among: words.map { ($0, $0) })
  }
}

extension ConfType {
  /// One of a few words, exact case, each standing for a value.
  public static func word(among table: [(word: String, value: Value)]) -> ConfType {
    let words = table.map(\.word)
    let expected = ConfExpected(
      english: "one of " + words.joined(separator: ", "),
      chinese: "以下之一：" + words.joined(separator: "、"))
    return ConfType(expected: expected) { value throws(ConfError) in
      let text = try value.text()
      guard let found = table.first(where: { $0.word == text }) else {
        throw value.error(expected: expected, nearest: NearestWord.find(text, in: words))
      }
      return found.value
    }
  }
}

extension ConfType where Value: RawRepresentable<String> & CaseIterable {
  /// One of the enumeration's raw values, exact case.
  public static var word: ConfType { .word(among: Value.allCases.map { ($0.rawValue, $0) }) }
}

extension ConfType<Bool> {
  /// `yes`, `true`, `on` or `no`, `false`, `off`.
  public static var boolean: ConfType {
    let words: [String: Bool] = [
      "yes": true, "true": true, "on": true, "no": false, "false": false, "off": false,
    ]
    return ConfType(expected: ConfExpected(english: "yes or no", chinese: "yes（是）或 no（否）")) {
      words[$0.lowercased()]
    }
  }
}

extension ConfType<Int> {
  /// A whole number, decimal or `0x` hexadecimal.
  public static func integer(in range: ClosedRange<Int>) -> ConfType {
    ConfType(
      expected: ConfExpected(
        english: "a whole number from \(range.lowerBound) to \(range.upperBound)",
        chinese: "\(range.lowerBound) 到 \(range.upperBound) 的整数")
    ) { text in
      let number = text.hasPrefix("0x") ? hexadecimal(text.dropFirst(2)) : Int(text)
      return number.flatMap { range.contains($0) ? $0 : nil }
    }
  }

  // Int(_:radix:) also takes a sign, which makes "0x-1" a number.
  private static func hexadecimal(_ digits: Substring) -> Int? {
    digits.utf8.first == 0x2B || digits.utf8.first == 0x2D ? nil : Int(digits, radix: 16)
  }

  /// An amount of bytes: `512 B`, `300 kB` (1000), `64 MiB` (1024²), `1.5 GiB`.
  public static func size(in range: ClosedRange<Int> = 0...Int(1) << 50) -> ConfType {
    ConfType(
      expected: ConfExpected(
        english: "a size from \(ConfQuantity.text(bytes: range.lowerBound)) to "
          + "\(ConfQuantity.text(bytes: range.upperBound)), as 300 kB or 64 MiB",
        chinese: "\(ConfQuantity.text(bytes: range.lowerBound)) 到 "
          + "\(ConfQuantity.text(bytes: range.upperBound)) 的大小，如 300 kB、64 MiB")
    ) { text in
      guard let amount = ConfQuantity.read(text, units: ConfQuantity.byteUnits) else { return nil }
      return Int(exactly: amount).flatMap { range.contains($0) ? $0 : nil }
    }
  }
}

extension ConfType<Duration> {
  /// A length of time with its unit: `250 ms`, `30 s`, `1.5 s`, `5 min`, `2 h`, `1 d`.
  public static func duration(
    in range: ClosedRange<Duration> = .zero ... .seconds(366 * 86_400)
  ) -> ConfType {
    ConfType(
      expected: ConfExpected(
        english: "a time from \(ConfQuantity.text(duration: range.lowerBound)) to "
          + "\(ConfQuantity.text(duration: range.upperBound)), as 250 ms, 30 s, 5 min, 2 h or 1 d",
        chinese: "\(ConfQuantity.text(duration: range.lowerBound)) 到 "
          + "\(ConfQuantity.text(duration: range.upperBound)) 的时长，如 250 ms、30 s、5 min、2 h、1 d")
    ) { text in
      guard let nanoseconds = ConfQuantity.read(text, units: ConfQuantity.timeUnits) else { return nil }
      let duration = Duration.nanoseconds(nanoseconds)
      return range.contains(duration) ? duration : nil
    }
  }
}

extension ConfType<[UInt8]> {
  /// Bytes in hexadecimal: `1B 40`, `1b40`, `0x1B, 0x40` or `1B:40`.
  public static func hexBytes(count: ClosedRange<Int> = 1...4096) -> ConfType {
    ConfType(
      expected: ConfExpected(
        english: "\(amount(count)) bytes in hexadecimal, as 1B 40",
        chinese: "\(amount(count)) 个十六进制字节，如 1B 40")
    ) { text in
      var bytes: [UInt8] = []
      for part in text.split(whereSeparator: { " ,:-\t".contains($0) }) {
        let digits = part.hasPrefix("0x") ? part.dropFirst(2) : part
        guard !digits.isEmpty, digits.utf8.count.isMultiple(of: 2) else { return nil }
        var high: UInt8?
        for scalar in digits.unicodeScalars {
          guard let digit = ConfText.hexDigit(scalar) else { return nil }
          if let first = high {
            bytes.append(first << 4 | digit)
            high = nil
          } else {
            high = digit
          }
        }
      }
      return count.contains(bytes.count) ? bytes : nil
    }
  }

  /// The bytes of a text, as `"\x1B@"`: UTF-8 except where `\xHH` says otherwise.
  public static func byteText(count: ClosedRange<Int> = 1...4096) -> ConfType {
    let expected = ConfExpected(
      english: "\(amount(count)) bytes as text, such as \"\\x1B@\"",
      chinese: "\(amount(count)) 个字节的文本，如 \"\\x1B@\"")
    return ConfType(expected: expected) { value throws(ConfError) in
      let bytes = try value.bytes()
      guard count.contains(bytes.count) else { throw value.error(expected: expected) }
      return bytes
    }
  }

  private static func amount(_ count: ClosedRange<Int>) -> String {
    count.lowerBound == count.upperBound ? "\(count.lowerBound)" : "\(count.lowerBound)–\(count.upperBound)"
  }
}

/// Numbers with a unit, in whole bytes or nanoseconds.
enum ConfQuantity {
  static let byteUnits: [(name: String, factor: Int64)] = [
    ("TiB", 1 << 40), ("TB", 1_000_000_000_000), ("GiB", 1 << 30), ("GB", 1_000_000_000),
    ("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10), ("kB", 1_000), ("KB", 1_000), ("B", 1),
  ]
  static let timeUnits: [(name: String, factor: Int64)] = [
    ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("min", 60_000_000_000),
    ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000),
  ]

  /// `digits[.digits] unit` in units of 1; nil when it is none, too large, or not a whole amount.
  static func read(_ text: String, units: [(name: String, factor: Int64)]) -> Int64? {
    let digits = text.utf8.prefix { $0 == 0x2E || (0x30...0x39).contains($0) }
    let rest = text.utf8[digits.endIndex...].drop { $0 == 0x20 }
    guard let unit = units.first(where: { $0.name.utf8.elementsEqual(rest) }) else { return nil }
    let parts = digits.split(separator: 0x2E, omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.allSatisfy({ (1...18).contains($0.count) }) else { return nil }
    var value: Int64 = 0
    for digit in parts[0] { value = value * 10 + Int64(digit - 0x30) }
    let (whole, overflow) = value.multipliedReportingOverflow(by: unit.factor)
    guard !overflow else { return nil }
    guard parts.count == 2 else { return whole }
    var numerator: Int64 = 0
    var denominator: Int64 = 1
    for digit in parts[1] {
      numerator = numerator * 10 + Int64(digit - 0x30)
      denominator *= 10
    }
    let product = numerator.multipliedFullWidth(by: unit.factor)
    let (fraction, remainder) = denominator.dividingFullWidth(product)
    guard remainder == 0 else { return nil }
    let (sum, carried) = whole.addingReportingOverflow(fraction)
    return carried ? nil : sum
  }

  static func text(duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    if seconds == 0, attoseconds == 0 { return "0 s" }
    if attoseconds != 0 {
      let microseconds = seconds.multipliedReportingOverflow(by: 1_000_000)
      if microseconds.overflow { return "\(seconds) s" }
      let total = microseconds.partialValue &+ attoseconds / 1_000_000_000_000
      return total.isMultiple(of: 1000) ? "\(total / 1000) ms" : "\(total) us"
    }
    for (name, factor) in [("d", 86_400), ("h", 3_600), ("min", 60)] as [(String, Int64)]
    where seconds.isMultiple(of: factor) { return "\(seconds / factor) \(name)" }
    return "\(seconds) s"
  }

  static func text(bytes: Int) -> String {
    if bytes == 0 { return "0 B" }
    for unit in byteUnits where bytes.isMultiple(of: Int(unit.factor)) {
      return "\(bytes / Int(unit.factor)) \(unit.name)"
    }
    return "\(bytes) B"
  }
}
