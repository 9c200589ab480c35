/// The four bytes of an automatic status report (facts/devices.md A3). What their bits mean is in ``StatusBitMap``.
public struct ESCPOSAutomaticReport: Sendable, Hashable {
  /// The four bytes as received.
  public let bytes: [UInt8]

  /// A report; nil unless there are four bytes of the form `0xx1xx00`, then three times `0xx0xxxx`.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 4, Self.canBegin(bytes[0]), bytes[1...].allSatisfy(Self.canContinue) else {
      return nil
    }
    self.bytes = bytes
  }

  static func canBegin(_ byte: UInt8) -> Bool { byte & 0x93 == 0x10 }
  static func canContinue(_ byte: UInt8) -> Bool { byte & 0x90 == 0 }
}

/// Something a ticket printer said (facts/devices.md A3). A reply does not name its question: hosts ask one thing at a time.
public enum ESCPOSReply: Sendable, Hashable {
  /// The answer to ``ESCPOSCommand/realTimeStatus(_:)``: a byte of the form `0xx1xx10`.
  case realTimeStatus(UInt8)
  /// A report that nobody asked for, or the first one after ``ESCPOSCommand/automaticStatus(_:)``.
  case automaticStatus(ESCPOSAutomaticReport)
  /// The one-byte answer to ``ESCPOSCommand/transmitStatus(_:)`` or ``ESCPOSCommand/transmitIdentity(_:)``: `0xx0xxxx`.
  case transmitted(UInt8)
  /// `5F … 00`: the answer to ``ESCPOSCommand/transmitIdentity(_:)`` for text; mostly ASCII.
  case information([UInt8])
  /// `37 22 d1 d2 d3 d4 00`: everything before the echo with this id is on paper.
  case printComplete(ESCPOSEchoID)
  /// `37 23 … 00`: why the printer went off line, as far as the printer can be told to say it.
  case offlineCauses([UInt8])
  /// `37 25 00`: the buffers are empty (Epson TM-T90, TM-L90, Citizen PPU-700 manuals).
  case bufferCleared
  /// `37 36 w 1F h 1F 31 1F x 00`: size in dots of the QR symbol stored, and whether it would fit on the paper.
  case qrSize(width: Int, height: Int, printable: Bool)
  /// Any other block that begins with `37`.
  case block(identifier: UInt8, data: [UInt8])
  /// `10 0F …`: the four bytes B3…B6 of a kiosk printer's full status (facts/devices.md A4).
  case fullStatus([UInt8])
  /// `11`, `13`: the printer can take data again, or cannot.
  case flow(accepts: Bool)
  /// Bytes that have none of these forms.
  case unexpected([UInt8])

  static let blockHeader: UInt8 = 0x37
  static let informationHeader: UInt8 = 0x5F
  static let xon: UInt8 = 0x11
  static let xoff: UInt8 = 0x13
  static let fullStatusHead: [UInt8] = [0x10, 0x0F]

  /// The bytes on the wire, as a simulated printer sends them.
  public func encode() -> [UInt8] {
    switch self {
    case .realTimeStatus(let byte), .transmitted(let byte): [byte]
    case .automaticStatus(let report): report.bytes
    case .information(let text): [Self.informationHeader] + text + [0]
    case .printComplete(let id): [Self.blockHeader, 0x22] + id.bytes + [0]
    case .offlineCauses(let causes): [Self.blockHeader, 0x23] + causes + [0]
    case .bufferCleared: [Self.blockHeader, 0x25, 0]
    case .qrSize(let width, let height, let printable):
      [Self.blockHeader, 0x36] + Array("\(width)".utf8) + [0x1F] + Array("\(height)".utf8)
        + [0x1F, 0x31, 0x1F, printable ? 0x30 : 0x31, 0]
    case .block(let identifier, let data): [Self.blockHeader, identifier] + data + [0]
    case .fullStatus(let bytes): Self.fullStatusHead + bytes
    case .flow(let accepts): [accepts ? Self.xon : Self.xoff]
    case .unexpected(let bytes): bytes
    }
  }

  /// Reads what stands between `37` and the NUL.
  init(block content: [UInt8]) {
    guard let identifier = content.first else {
      self = .unexpected([Self.blockHeader, 0])
      return
    }
    let data = Array(content[1...])
    switch identifier {
    case 0x22:
      self =
        ESCPOSEchoID(bytes: data).map { .printComplete($0) } ?? .block(identifier: identifier, data: data)
    case 0x23: self = .offlineCauses(data)
    case 0x25 where data.isEmpty: self = .bufferCleared
    case 0x36: self = Self.qrSize(data) ?? .block(identifier: identifier, data: data)
    default: self = .block(identifier: identifier, data: data)
    }
  }

  private static func qrSize(_ data: [UInt8]) -> ESCPOSReply? {
    let parts = data.split(separator: 0x1F, omittingEmptySubsequences: false)
    guard parts.count == 4, let width = number(parts[0]), let height = number(parts[1]), parts[2] == [0x31],
      parts[3] == [0x30] || parts[3] == [0x31]
    else { return nil }
    return .qrSize(width: width, height: height, printable: parts[3] == [0x30])
  }

  /// One to five ASCII digits.
  private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
    guard (1...5).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
  }
}
