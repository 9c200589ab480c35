/// Line speed of a serial reader, as "set baud" numbers it (facts/idcard.md 3).
public enum SDTBaud: UInt8, Sendable, CaseIterable {
  /// 115 200 bit/s, what readers start with.
  case bps115200 = 0
  /// 57 600 bit/s.
  case bps57600 = 1
  /// 38 400 bit/s.
  case bps38400 = 2
  /// 19 200 bit/s.
  case bps19200 = 3
  /// 9 600 bit/s.
  case bps9600 = 4

  /// Bits a second; a byte is ten of them (8N1).
  public var bitsPerSecond: Int {
    switch self {
    case .bps115200: 115_200
    case .bps57600: 57_600
    case .bps38400: 38_400
    case .bps19200: 19_200
    case .bps9600: 9_600
    }
  }
}

/// A command to the security module of an ID-card reader (facts/idcard.md 3).
///
/// Find, select and read must follow each other for every card. After a read the card stays selected for
/// ``readAdditionalAddress`` and ``readCardNumber``.
public enum SDTCommand: Sendable, Hashable {
  /// `11 FF`: is the module there and well?
  case status
  /// `10 FF`: start the module anew.
  case reset
  /// `12 FF`: the module's number, see ``SAMID``.
  case samID
  /// `20 01`: look for a card; ends with ``SDTStatus/found``, and 4 bytes that carry nothing.
  case find
  /// `20 02`: choose the card found; gives 8 bytes that carry nothing.
  case select
  /// `30 01`: text and photo, see ``IDCard``.
  case readText
  /// `30 10`: text, photo and fingerprints. Modules of the first generation (number beginning `05.01`) answer
  /// ``SDTStatus/commandWrong``: read with ``readText`` then.
  case readTextAndFingerprint
  /// `30 03`: the additional address (70 bytes), or ``SDTStatus/noItem``.
  case readAdditionalAddress
  /// `30 02`: the same, as two sources have it. Try it where `30 03` gives ``SDTStatus/commandWrong``.
  case readAdditionalAddressAlternative
  /// `30 05`: the number of the card's body (28 bytes by most sources, 24 by one).
  case readCardNumber
  /// `60 pp`: another line speed, valid 5 ms after the reply.
  case setBaud(SDTBaud)
  /// `FA 11 nn`: the radio field on or off. One maker's modules (facts/idcard.md 2.4); others answer
  /// ``SDTStatus/commandWrong``.
  case setField(on: Bool)
  /// `61 FF nn`: most bytes of one exchange with the card; modules take 24…255, see ``maximumRFRange``.
  case setMaximumRF(UInt8)

  /// What modules take in ``setMaximumRF(_:)`` (facts/idcard.md 3).
  public static let maximumRFRange: ClosedRange<UInt8> = 24...255

  private static let withoutValue: [SDTCommand] = [
    .status, .reset, .samID, .find, .select, .readText, .readTextAndFingerprint, .readAdditionalAddress,
    .readAdditionalAddressAlternative, .readCardNumber,
  ]

  /// The command a request means; nil for one that no source names, or that has data where none belongs.
  public init?(_ request: SDTRequest) {
    switch (request.command, request.parameter, request.data.count) {
    case (0x60, let parameter, 0):
      guard let baud = SDTBaud(rawValue: parameter) else { return nil }
      self = .setBaud(baud)
    case (0x61, 0xFF, 1):
      self = .setMaximumRF(request.data[0])
    case (0xFA, 0x11, 1) where request.data[0] <= 1:
      self = .setField(on: request.data[0] == 1)
    default:
      guard let command = Self.withoutValue.first(where: { $0.request == request }) else { return nil }
      self = command
    }
  }

  /// The command as a request.
  public var request: SDTRequest {
    switch self {
    case .status: SDTRequest(command: 0x11, parameter: 0xFF)
    case .reset: SDTRequest(command: 0x10, parameter: 0xFF)
    case .samID: SDTRequest(command: 0x12, parameter: 0xFF)
    case .find: SDTRequest(command: 0x20, parameter: 0x01)
    case .select: SDTRequest(command: 0x20, parameter: 0x02)
    case .readText: SDTRequest(command: 0x30, parameter: 0x01)
    case .readTextAndFingerprint: SDTRequest(command: 0x30, parameter: 0x10)
    case .readAdditionalAddress: SDTRequest(command: 0x30, parameter: 0x03)
    case .readAdditionalAddressAlternative: SDTRequest(command: 0x30, parameter: 0x02)
    case .readCardNumber: SDTRequest(command: 0x30, parameter: 0x05)
    case .setBaud(let baud): SDTRequest(command: 0x60, parameter: baud.rawValue)
    case .setField(let on): SDTRequest(command: 0xFA, parameter: 0x11, byte: on ? 1 : 0)
    case .setMaximumRF(let count): SDTRequest(command: 0x61, parameter: 0xFF, byte: count)
    }
  }

  /// The whole frame as it goes over the wire.
  public func encode() -> [UInt8] { request.encode() }

  /// The status that means success: ``SDTStatus/found`` for ``find``, ``SDTStatus/ok`` for the others.
  public var success: SDTStatus { self == .find ? .found : .ok }
}
