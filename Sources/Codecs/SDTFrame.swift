/// One frame of the "SDT" protocol between a host and the security module (SAM_V) of a second-generation ID-card
/// reader: a request or a reply (facts/idcard.md 2.1).
///
/// On the wire: `AA AA AA 96 69`, a length (2 bytes, big endian, everything after it), the content, and a check byte (XOR
/// of all bytes from the length on).
public protocol SDTFrame: Sendable, Equatable {
  /// Fewest content bytes of a frame of this direction: 2 for a request, 3 for a reply.
  static var minimumContent: Int { get }
  /// Reads the bytes between length and check byte; nil when there are too few or too many.
  init?(content: [UInt8])
  /// The bytes between length and check byte.
  var content: [UInt8] { get }
}

/// Constants of the SDT frame (facts/idcard.md 2.1).
public enum SDTFraming {
  /// What every frame begins with. Receivers look for the last four bytes only, so that a lost or an extra leading
  /// `AA` does not cost the frame.
  public static let preamble: [UInt8] = [0xAA, 0xAA, 0xAA, 0x96, 0x69]
  /// The part of the preamble that must be there.
  static let marker: [UInt8] = [0xAA, 0xAA, 0x96, 0x69]
  /// Largest value of the length field that a receiver takes: vendor libraries refuse more.
  public static let maximumLength = 4089
  /// Most content bytes of a frame: the length field counts the check byte too.
  public static let maximumContent = maximumLength - 1

  /// XOR of all bytes.
  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 { bytes.reduce(0, ^) }
}

extension SDTFrame {
  /// The whole frame as it goes over the wire.
  public func encode() -> [UInt8] {
    let content = content
    var covered: [UInt8] = []
    covered.append(bigEndian: UInt16(clamping: content.count + 1))
    covered += content
    return SDTFraming.preamble + covered + [SDTFraming.checksum(covered)]
  }

  static func accepts(contentCount: Int) -> Bool {
    (minimumContent...SDTFraming.maximumContent).contains(contentCount)
  }
}

/// A frame from the host to the reader: command, parameter, data.
public struct SDTRequest: SDTFrame {
  /// A request has at least command and parameter.
  public static let minimumContent = 2

  /// CMD: the group, such as `30` for reading a card.
  public let command: UInt8
  /// Para: the member of the group, or a value.
  public let parameter: UInt8
  /// What follows, mostly nothing.
  public let data: [UInt8]

  /// A request without data.
  public init(command: UInt8, parameter: UInt8) {
    self.command = command
    self.parameter = parameter
    data = []
  }

  /// A request with one byte of data, which always fits.
  init(command: UInt8, parameter: UInt8, byte: UInt8) {
    self.command = command
    self.parameter = parameter
    data = [byte]
  }

  /// A request with data; nil when the frame would become longer than readers take.
  public init?(command: UInt8, parameter: UInt8, data: [UInt8]) {
    guard Self.accepts(contentCount: data.count + 2) else { return nil }
    self.command = command
    self.parameter = parameter
    self.data = data
  }

  /// Reads the bytes between length and check byte; nil for fewer than two.
  public init?(content: [UInt8]) {
    guard content.count >= 2 else { return nil }
    self.init(command: content[0], parameter: content[1], data: Array(content[2...]))
  }

  /// Command, parameter and data.
  public var content: [UInt8] { [command, parameter] + data }
}

/// A frame from the reader to the host: three status bytes and data, which may be a citizen's.
public struct SDTReply: SDTFrame {
  /// A reply has at least its three status bytes.
  public static let minimumContent = 3

  /// SW1. Zero, or anything at all with a failed command (facts/idcard.md 2.2).
  public let sw1: UInt8
  /// SW2, as SW1.
  public let sw2: UInt8
  /// SW3: how the command ended.
  public let status: SDTStatus
  /// What the command gave.
  public let data: Sensitive<[UInt8]>

  /// A reply that says only how the command ended.
  public init(_ status: SDTStatus) {
    sw1 = 0
    sw2 = 0
    self.status = status
    data = Sensitive([])
  }

  /// A reply with data; nil when the frame would become longer than hosts take.
  public init?(_ status: SDTStatus, data: [UInt8], sw1: UInt8 = 0, sw2: UInt8 = 0) {
    guard Self.accepts(contentCount: data.count + 3) else { return nil }
    self.sw1 = sw1
    self.sw2 = sw2
    self.status = status
    self.data = Sensitive(data)
  }

  /// Reads the bytes between length and check byte; nil for fewer than three.
  public init?(content: [UInt8]) {
    guard content.count >= 3 else { return nil }
    self.init(SDTStatus(code: content[2]), data: Array(content[3...]), sw1: content[0], sw2: content[1])
  }

  /// The three status bytes and the data.
  public var content: [UInt8] { [sw1, sw2, status.code] + data.reveal() }
}
