public import Channels
public import Codecs

/// The form a driver's setting has in a `.conf` file.
public enum SettingForm: Sendable, Equatable {
  /// A whole number within a range.
  case integer(ClosedRange<Int>)
  /// A time, written with its unit (`300 ms`), within a range of milliseconds.
  case duration(milliseconds: ClosedRange<Int>)
  /// `yes` or `no`.
  case boolean
  /// One of these words.
  case word([String])
  /// Any text.
  case text
  /// Pairs of whole numbers, `1:5 0:4 2:3`, each side within its range; possibly none.
  case map(keys: ClosedRange<Int>, values: ClosedRange<Int>)
  /// Endpoints of a USB interface, `auto` or as ``PipeLayout`` writes them: `81/02`, `81+85/02+06:7`.
  case endpoints
  /// Meanings of bits of numbered status bytes, `3.2:paperJam 4.6:none`; possibly none at all. The range is that of the
  /// numbers; `none` takes a bit's meaning away.
  case bits(of: ClosedRange<Int>, meanings: [String])
  /// Keys and what they stand for, `1:5 KP2:4 0x0e:cancel`: Linux's names of keys without `KEY_`, or codes; possibly none.
  case keys(meanings: [String])
  /// What reports look like and stand for, `1=05:5 0=02+3&0f=01:cancel`: see ``ReportPattern``; possibly none.
  case reports(meanings: [String])
  /// So many bytes at the most, in two hexadecimal digits each: `01 a0`; possibly none.
  case bytes(most: Int)

  /// What a right value looks like.
  public var expected: ConfExpected {
    switch self {
    case .integer(let range):
      ConfExpected(
        english: "a whole number from \(range.lowerBound) to \(range.upperBound)",
        chinese: "\(range.lowerBound) 到 \(range.upperBound) 的整数")
    case .duration(let range):
      ConfExpected(
        english:
          "a time from \(range.lowerBound) ms to \(range.upperBound) ms with its unit, as 300 ms or 5 s",
        chinese: "\(range.lowerBound) ms 到 \(range.upperBound) ms 的时长，须带单位，如 300 ms、5 s")
    case .boolean: ConfExpected(english: "yes or no", chinese: "yes（是）或 no（否）")
    case .word(let words):
      ConfExpected(
        english: "one of " + words.joined(separator: ", "), chinese: "以下之一：" + words.joined(separator: "、"))
    case .text: ConfExpected(english: "text", chinese: "文本")
    case .endpoints:
      ConfExpected(
        english: "auto, or endpoints in hexadecimal such as 81/02 or 81+85/02+06:7",
        chinese: "auto（自动），或十六进制端点号，如 81/02、81+85/02+06:7")
    case .map(let keys, let values):
      ConfExpected(
        english: "pairs such as 1:5 0:4, a number from \(keys.lowerBound) to \(keys.upperBound) and one from "
          + "\(values.lowerBound) to \(values.upperBound), no first number twice",
        chinese: "成对的整数，如 1:5 0:4，前者 \(keys.lowerBound) 到 \(keys.upperBound)，"
          + "后者 \(values.lowerBound) 到 \(values.upperBound)，前者不得重复")
    case .bits(let range, let meanings):
      ConfExpected(
        english:
          "bits such as 3.2:paperJam: a status number from \(range.lowerBound) to \(range.upperBound), a bit "
          + "from 0 to 7, and none or one of " + meanings.joined(separator: ", "),
        chinese: "状态位，如 3.2:paperJam：状态号 \(range.lowerBound) 到 \(range.upperBound)，位 0 到 7，含义为 none 或"
          + meanings.joined(separator: "、"))
    case .keys(let meanings):
      ConfExpected(
        english:
          "keys such as 1:5 KP2:4 0x0e:cancel: a key's name as Linux has it without KEY_, or its code, no key "
          + "twice, and one of " + meanings.joined(separator: ", "),
        chinese: "按键及其含义，如 1:5 KP2:4 0x0e:cancel：Linux 键名（不带 KEY_）或键码，不得重复，含义为"
          + meanings.joined(separator: "、"))
    case .reports(let meanings):
      ConfExpected(
        english:
          "reports such as 1=05:5 or 0=02+3&0f=01:cancel: bytes of a report by their place, and one of "
          + meanings.joined(separator: ", "),
        chinese: "报文样式及其含义，如 1=05:5 或 0=02+3&0f=01:cancel：报文中各位置的字节，含义为"
          + meanings.joined(separator: "、"))
    case .bytes(let most):
      ConfExpected(
        english: "at most \(most) bytes in two hexadecimal digits each, such as 01 a0",
        chinese: "最多 \(most) 个字节，每字节两位十六进制数，如 01 a0")
    }
  }

  /// True when `text` is of this form and within its range.
  public func accepts(_ text: String) -> Bool {
    switch self {
    case .integer(let range): Int(text).map { range.contains($0) } ?? false
    case .duration(let range):
      DriverSettings.parseDuration(text).map {
        $0 >= .milliseconds(range.lowerBound) && $0 <= .milliseconds(range.upperBound)
      } ?? false
    case .boolean: ["yes", "no", "true", "false", "on", "off"].contains(text)
    case .word(let words): words.contains(text)
    case .text: true
    case .endpoints: text == "auto" || PipeLayout(text) != nil
    case .map(let keys, let values):
      DriverSettings.parseMap(text).map { map in
        map.allSatisfy { keys.contains($0.key) && values.contains($0.value) }
      } ?? false
    case .bits(let range, let meanings):
      DriverSettings.parseBits(text).map { bits in
        bits.allSatisfy {
          range.contains($0.status) && ($0.meaning == nil || meanings.contains($0.meaning ?? ""))
        }
      } ?? false
    case .keys(let meanings):
      DriverSettings.parseKeys(text)?.values.allSatisfy { meanings.contains($0) } ?? false
    case .reports(let meanings):
      DriverSettings.parseReports(text)?.allSatisfy { meanings.contains($0.meaning) } ?? false
    case .bytes(let most): DriverSettings.parseBytes(text).map { $0.count <= most } ?? false
    }
  }
}

/// What one bit of a numbered status byte means: it differs between models.
public struct StatusBitMeaning: Sendable, Hashable {
  /// Number of the status, such as the `n` of `DLE EOT n`.
  public let status: Int
  /// Bit 0…7.
  public let bit: Int
  /// The driver's word for what it says when it is set; nil when it says nothing.
  public let meaning: String?

  /// A meaning.
  public init(status: Int, bit: Int, meaning: String?) {
    self.status = status
    self.bit = bit
    self.meaning = meaning
  }
}

/// A setting that a driver knows.
public struct SettingSpec: Sendable, Equatable {
  /// The key in `[settings]`.
  public let name: String
  /// Its form.
  public let form: SettingForm
  /// The value when neither profile nor slot gives one, written as in a file.
  public let standard: String
  /// What it does, one sentence.
  public let summary: String

  /// A setting.
  public init(_ name: String, _ form: SettingForm, standard: String, _ summary: String) {
    self.name = name
    self.form = form
    self.standard = standard
    self.summary = summary
  }
}

extension SettingSpec {
  /// The settings of the line itself, which every driver of a byte stream has: the agent reads them before it opens the
  /// channel. `baud` is the driver's standard rate. Serial lines ignore those of USB interfaces, and these the others.
  public static func line(baud: Int) -> [SettingSpec] {
    [
      SettingSpec(
        "baud", .word(["9600", "19200", "38400", "57600", "115200"]), standard: String(baud),
        "Bits a second on a serial line; always 8 data bits, no parity, 1 stop bit."),
      SettingSpec(
        "flow-control", .word(LineSettings.FlowControl.allCases.map(\.rawValue)), standard: "none",
        "How a serial line tells the other side to wait."),
      SettingSpec("dtr", .boolean, standard: "yes", "Whether a serial line's DTR is on while it is open."),
      SettingSpec("rts", .boolean, standard: "yes", "Whether a serial line's RTS is on while it is open."),
      SettingSpec(
        "usb-endpoints", .endpoints, standard: "auto",
        "The endpoints of a USB interface: to the PC, a slash, from the PC; split messages as 81+85/02+06:7."),
      SettingSpec(
        "usb-kernel-driver", .word(["take", "keep", "leave"]), standard: "take",
        "A USB interface that a driver of the kernel has is taken and given back, taken and kept, or left to it."
      ),
      SettingSpec(
        "usb-zero-packet", .boolean, standard: "no",
        "Whether an empty USB packet follows a write that ends with a full one."),
      SettingSpec(
        "usb-read-size", .integer(0...65536), standard: "0",
        "Bytes asked of a USB device at once; 0 is one packet. More only where it ends replies with a short one."
      ),
    ]
  }
}

/// Settings of one device: its driver's standard values, overlaid by the profile's, overlaid by the slot's.
/// The values have been checked against the driver's specifications before they come here.
public struct DriverSettings: Sendable, Equatable {
  private var values: [String: String]

  /// Overlays `values` on the standard values of `specs`; keys without a specification are ignored.
  public init(_ specs: [SettingSpec], values given: [String: String] = [:]) {
    values = [:]
    for spec in specs { values[spec.name] = given[spec.name] ?? spec.standard }
  }

  /// The value as it is written; empty for a name the driver never specified.
  public func text(_ name: String) -> String { values[name] ?? "" }
  /// A whole number; 0 for a name the driver never specified.
  public func integer(_ name: String) -> Int { Int(text(name)) ?? 0 }
  /// `yes` is true.
  public func boolean(_ name: String) -> Bool { ["yes", "true", "on"].contains(text(name)) }
  /// A time.
  public func duration(_ name: String) -> Duration { Self.parseDuration(text(name)) ?? .zero }
  /// Pairs of whole numbers.
  public func map(_ name: String) -> [Int: Int] { Self.parseMap(text(name)) ?? [:] }

  /// Meanings of status bits, in the order written.
  public func bits(_ name: String) -> [StatusBitMeaning] { Self.parseBits(text(name)) ?? [] }

  /// What keys stand for, by their codes.
  public func keys(_ name: String) -> [UInt16: String] { Self.parseKeys(text(name)) ?? [:] }
  /// What reports look like and stand for, in the order written.
  public func reports(_ name: String) -> [ReportPattern] { Self.parseReports(text(name)) ?? [] }
  /// Bytes.
  public func bytes(_ name: String) -> [UInt8] { Self.parseBytes(text(name)) ?? [] }

  /// What the line itself is told: the settings of ``SettingSpec/line(baud:)``, and what is right for most where the
  /// driver has none. A driver that finds the speed out (`auto`) begins with the fastest.
  public var line: LineSettings {
    let usb = USBLine(
      layout: PipeLayout(text("usb-endpoints")), takesFromKernel: text("usb-kernel-driver") != "leave",
      givesBack: text("usb-kernel-driver") != "keep", endsWithZeroPacket: boolean("usb-zero-packet"),
      readSize: integer("usb-read-size"))
    return LineSettings(
      baud: Int(text("baud")) ?? 115_200,
      flowControl: LineSettings.FlowControl(rawValue: text("flow-control")) ?? .none,
      raisesDTR: text("dtr").isEmpty || boolean("dtr"), raisesRTS: text("rts").isEmpty || boolean("rts"),
      usb: usb)
  }

  /// Why `text` is not of a form; nil when it is.
  public static func problem(with text: String, form: SettingForm) -> String? {
    form.accepts(text) ? nil : form.expected.english
  }

  static func parseDuration(_ text: String) -> Duration? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int(digits), number <= 1_000_000_000 else { return nil }
    switch text.dropFirst(digits.count).drop(while: { $0 == " " }) {
    case "ms": return .milliseconds(number)
    case "s": return .seconds(number)
    case "min": return .seconds(number * 60)
    default: return nil
    }
  }

  static func parseMap(_ text: String) -> [Int: Int]? {
    var map: [Int: Int] = [:]
    for pair in text.split(whereSeparator: { $0 == " " || $0 == "," }) {
      let sides = pair.split(separator: ":", omittingEmptySubsequences: false)
      guard sides.count == 2, let key = Int(sides[0]), let value = Int(sides[1]), map[key] == nil else {
        return nil
      }
      map[key] = value
    }
    return map
  }

  static func parseBits(_ text: String) -> [StatusBitMeaning]? {
    var bits: [StatusBitMeaning] = []
    for pair in text.split(whereSeparator: { $0 == " " || $0 == "," }) {
      let sides = pair.split(separator: ":", omittingEmptySubsequences: false)
      let place = sides.first?.split(separator: ".", omittingEmptySubsequences: false) ?? []
      guard sides.count == 2, place.count == 2, let status = Int(place[0]), let bit = Int(place[1]),
        (0...7).contains(bit), !sides[1].isEmpty
      else { return nil }
      bits.append(
        StatusBitMeaning(status: status, bit: bit, meaning: sides[1] == "none" ? nil : String(sides[1])))
    }
    return bits
  }

  static func parseKeys(_ text: String) -> [UInt16: String]? {
    var keys: [UInt16: String] = [:]
    for pair in text.split(whereSeparator: { $0 == " " || $0 == "," }) {
      let sides = pair.split(separator: ":", omittingEmptySubsequences: false)
      guard sides.count == 2, let code = KeyCode.code(of: sides[0]), !sides[1].isEmpty, keys[code] == nil
      else { return nil }
      keys[code] = String(sides[1])
    }
    return keys
  }

  static func parseReports(_ text: String) -> [ReportPattern]? {
    var patterns: [ReportPattern] = []
    for part in text.split(whereSeparator: { $0 == " " || $0 == "," }) {
      guard let pattern = ReportPattern(part) else { return nil }
      patterns.append(pattern)
    }
    return patterns
  }

  static func parseBytes(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    for digits in text.split(separator: " ") {
      guard digits.utf8.count == 2, digits.first != "+", let byte = UInt8(digits, radix: 16) else {
        return nil
      }
      bytes.append(byte)
    }
    return bytes
  }
}
