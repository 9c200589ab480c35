/// Function codes of the bus (facts/devices.md C4a).
enum EvaluatorBusFunction {
  static let rating: UInt8 = 0x11
  /// The host's answer to a rating, and its request for one.
  static let control: UInt8 = 0x01
  static let plate: UInt8 = 0x02
  static let beep: UInt8 = 0x03
  static let startRating: UInt8 = 0x0B
}

/// A key of the clerk's caller keypad: the last data byte of a frame whose function is not `11` (facts/devices.md C4a).
public enum EvaluatorBusKey: UInt8, Sendable, CaseIterable {
  /// `0C` 呼叫下一位.
  case callNext = 0x0C
  /// `0D` 重呼.
  case recall = 0x0D
  /// `0B` 请求评价.
  case requestRating = 0x0B
  /// `0E` 取消.
  case cancel = 0x0E
  /// `0F` 确认; with a digit before it one of the actions of ``EvaluatorBusDigit``.
  case confirm = 0x0F
  /// `11` 一米线: asks the next person to stay behind the line.
  case oneMetreLine = 0x11
  /// `12` 暂停服务.
  case pause = 0x12
  /// `13` 转移.
  case transfer = 0x13
}

/// What a digit before ``EvaluatorBusKey/confirm`` asks for (facts/devices.md C4a).
public enum EvaluatorBusDigit: UInt8, Sendable, CaseIterable {
  /// `00` 挂起: put the called number aside.
  case park = 0x00
  /// `03` 呼叫挂起: call a number that was put aside.
  case callParked = 0x03
  /// `06` 弃号: the called person has not come.
  case abandon = 0x06
}

/// What a frame from a device says.
public enum EvaluatorBusMessage: Sendable, Hashable {
  /// A key of the clerk's keypad, with the data bytes that were sent before it.
  case key(EvaluatorBusKey, before: [UInt8])
  /// A citizen pressed a rating key. The value 0…3 is the key, not a level: which is which differs, and the profile says it.
  case rating(key: UInt8)
  /// A key, or a rating value, that no source names; the whole frame is in ``EvaluatorBusFrame``.
  case unrecognised
}

extension EvaluatorBusFrame {
  /// What the frame says when it comes from a device.
  public var message: EvaluatorBusMessage {
    if function == EvaluatorBusFunction.rating {
      guard data.count == 1, let key = data.first, key <= 3 else { return .unrecognised }
      return .rating(key: key)
    }
    guard let last = data.last, let key = EvaluatorBusKey(rawValue: last) else { return .unrecognised }
    return .key(key, before: data.dropLast())
  }

  /// A rating key's frame, as a device sends it.
  public static func rating(address: UInt8, key: UInt8) -> EvaluatorBusFrame {
    EvaluatorBusFrame(address: address, function: EvaluatorBusFunction.rating, short: [key])
  }

  /// The host's answer to this frame from a device: the same frame to a key, function `01` with the same data to a rating.
  public var acknowledgement: EvaluatorBusFrame {
    guard function == EvaluatorBusFunction.rating else { return self }
    return EvaluatorBusFrame(address: address, function: EvaluatorBusFunction.control, short: data)
  }
}

/// Three places of a number plate: digits, or blank.
public struct EvaluatorBusPlaces: Sendable, Hashable {
  /// What a blank place is on the line.
  private static let blankByte: UInt8 = 0x0A

  /// The bytes on the line: 0…9, or `0A` for blank.
  public let bytes: [UInt8]

  /// Nothing shown.
  public static let blank = EvaluatorBusPlaces(checked: Array(repeating: blankByte, count: 3))

  /// A number with leading zeros; nil unless it is 0…999.
  public init?(_ number: Int) {
    guard (0...999).contains(number) else { return nil }
    self.init(checked: [UInt8(number / 100), UInt8(number / 10 % 10), UInt8(number % 10)])
  }

  /// Three bytes as on the line; nil for anything but three digits or blanks.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 3, bytes.allSatisfy({ $0 <= Self.blankByte }) else { return nil }
    self.init(checked: bytes)
  }

  private init(checked bytes: [UInt8]) { self.bytes = bytes }

  /// What a person sees: digits, and spaces for blanks.
  public var text: String { bytes.map { $0 == Self.blankByte ? " " : String($0) }.joined() }
}

/// What the host tells a device (facts/devices.md C4a).
public enum EvaluatorBusCommand: Sendable, Hashable {
  /// Function `02` with six places: how many wait, and the ticket's number.
  case plate(waiting: EvaluatorBusPlaces, ticket: EvaluatorBusPlaces)
  /// Function `02` with one byte: this many stars. 1…5.
  case stars(Stars)
  /// Function `01` with `0B`: ask the citizen for a rating.
  case startRating
  /// Function `03` without data.
  case beep

  /// A number of stars on the clerk's plate.
  public enum Stars: UInt8, Sendable, CaseIterable {
    /// One star.
    case one = 1
    /// Two stars.
    case two
    /// Three stars.
    case three
    /// Four stars.
    case four
    /// Five stars.
    case five
  }

  /// What a frame from the host says; nil for an acknowledgement and for what no source names.
  public init?(_ frame: EvaluatorBusFrame) {
    switch (frame.function, frame.data.count) {
    case (EvaluatorBusFunction.plate, 6):
      guard let waiting = EvaluatorBusPlaces(bytes: Array(frame.data[..<3])),
        let ticket = EvaluatorBusPlaces(bytes: Array(frame.data[3...]))
      else { return nil }
      self = .plate(waiting: waiting, ticket: ticket)
    case (EvaluatorBusFunction.plate, 1):
      guard let stars = Stars(rawValue: frame.data[0]) else { return nil }
      self = .stars(stars)
    case (EvaluatorBusFunction.control, 1):
      guard frame.data[0] == EvaluatorBusFunction.startRating else { return nil }
      self = .startRating
    case (EvaluatorBusFunction.beep, 0):
      self = .beep
    default:
      return nil
    }
  }

  /// The command as a frame to the device with this address.
  public func frame(to address: UInt8) -> EvaluatorBusFrame {
    let (function, data): (UInt8, [UInt8]) =
      switch self {
      case .plate(let waiting, let ticket): (EvaluatorBusFunction.plate, waiting.bytes + ticket.bytes)
      case .stars(let stars): (EvaluatorBusFunction.plate, [stars.rawValue])
      case .startRating: (EvaluatorBusFunction.control, [EvaluatorBusFunction.startRating])
      case .beep: (EvaluatorBusFunction.beep, [])
      }
    return EvaluatorBusFrame(address: address, function: function, short: data)
  }
}
