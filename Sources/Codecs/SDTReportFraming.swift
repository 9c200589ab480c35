/// How an ID-card reader with a HID interface carries SDT frames in its reports (facts/idcard.md 2.3 and 2.4, one source
/// each). Reports are 64 bytes long both ways and are not numbered.
public enum SDTReportFraming: String, Sendable, CaseIterable {
  /// A frame as it is, in as many reports as it needs; the last is filled up with zeros (2B8B:2721).
  case raw
  /// A frame, or up to 54 bytes of a reply, inside a packet with a header and a sum of its own (10C4:0007).
  case wrapped

  /// Length of a report in bytes, without a report number.
  public static let reportSize = 64

  /// The reports that carry a request to the reader; nil when it does not fit: a wrapped one has one report.
  public func reports(request frame: [UInt8]) -> [[UInt8]]? {
    switch self {
    case .raw: Self.cut(frame)
    case .wrapped: SDTPacket(.request, code: SDTPacket.passThrough, data: frame).report.map { [$0] }
    }
  }

  /// The reports that carry a reply to the host.
  ///
  /// A wrapped reply's packets are numbered from 0, low byte first: which order and which first number readers use is not
  /// known, and hosts do not look at it.
  public func reports(reply frame: [UInt8]) -> [[UInt8]] {
    switch self {
    case .raw: return Self.cut(frame)
    case .wrapped:
      let starts = stride(from: 0, to: frame.count, by: SDTPacket.segment)
      return starts.enumerated().compactMap { number, start in
        var data: [UInt8] = []
        data.append(littleEndian: UInt16(truncatingIfNeeded: number))
        data += frame[start..<min(start + SDTPacket.segment, frame.count)]
        return SDTPacket(.reply, code: 0, data: data).report
      }
    }
  }

  private static func cut(_ frame: [UInt8]) -> [[UInt8]] {
    stride(from: 0, to: frame.count, by: reportSize).map {
      Self.padded(Array(frame[$0..<min($0 + reportSize, frame.count)]))
    }
  }

  static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: max(0, reportSize - bytes.count))
  }
}

/// A packet of the wrapped framing (facts/idcard.md 2.4): a mark, a serial number that nobody looks at, a length, a
/// command or a result, data, and the sum of the bytes from the length on.
public struct SDTPacket: Sendable, Equatable {
  /// Which way it goes, by its first byte.
  public enum Direction: UInt8, Sendable {
    case request = 0x88
    case reply = 0xAA
  }

  /// The command whose data is an SDT frame.
  public static let passThrough: UInt8 = 0xB1
  /// Bytes of an SDT frame in one packet of a reply, behind the packet's 2-byte number.
  public static let segment = 54
  /// Mark, serial number, length and sum.
  private static let overhead = 7

  /// Which way it goes.
  public let direction: Direction
  /// The command of a request, or the result of a reply. Hosts do not look at a result, so that none is known.
  public let code: UInt8
  /// What follows.
  public let data: Sensitive<[UInt8]>

  /// A packet.
  public init(_ direction: Direction, code: UInt8, data: [UInt8]) {
    self.direction = direction
    self.code = code
    self.data = Sensitive(data)
  }

  /// Why a report holds no packet.
  public enum Malformed: Error, Sendable, Equatable {
    /// It begins with another byte.
    case mark
    /// Its length does not fit into the report, or leaves no room for a result.
    case length
    /// Its sum is `found` where `expected` belongs.
    case sum(expected: UInt16, found: UInt16)
  }

  /// Reads a report; what stands behind the packet is padding.
  public init(report: [UInt8]) throws(Malformed) {
    guard let first = report.first, let direction = Direction(rawValue: first) else { throw .mark }
    guard report.count >= Self.overhead + 1 else { throw .length }
    let length = Int(report[3]) | Int(report[4]) << 8
    guard length >= 1, length <= report.count - Self.overhead else { throw .length }
    let expected = Self.sum(report[3..<5 + length])
    let found = UInt16(report[5 + length]) | UInt16(report[6 + length]) << 8
    guard expected == found else { throw .sum(expected: expected, found: found) }
    self.init(direction, code: report[5], data: Array(report[6..<5 + length]))
  }

  /// The report, filled up with zeros; nil when the data is too long for one.
  public var report: [UInt8]? {
    let data = data.reveal()
    guard data.count + 1 + Self.overhead <= SDTReportFraming.reportSize else { return nil }
    var covered: [UInt8] = []
    covered.append(littleEndian: UInt16(data.count + 1))
    covered.append(code)
    covered += data
    var bytes: [UInt8] = [direction.rawValue, 0, 0] + covered
    bytes.append(littleEndian: Self.sum(covered[...]))
    return SDTReportFraming.padded(bytes)
  }

  private static func sum(_ bytes: ArraySlice<UInt8>) -> UInt16 { bytes.reduce(0) { $0 &+ UInt16($1) } }
}

/// Takes reports apart into the bytes of the SDT stream they carry, without the padding. For either direction.
///
/// Knows how long the frame is that has begun, and nothing else of it: finding frames, and finding them again after damage,
/// is the work of ``SDTFrameParser``.
public struct SDTReportReader: Sendable {
  private let framing: SDTReportFraming
  private let direction: SDTPacket.Direction
  /// Bytes that the frame which has begun still lacks.
  private var missing = 0

  /// A reader of reports that go this way.
  public init(_ framing: SDTReportFraming, _ direction: SDTPacket.Direction) {
    self.framing = framing
    self.direction = direction
  }

  /// The bytes of the stream in a report, without a report number. A report that belongs to no frame is handed on whole,
  /// so that the frame parser can tell it as noise.
  public mutating func take(_ report: [UInt8]) throws(SDTPacket.Malformed) -> [UInt8] {
    var bytes = report
    if framing == .wrapped {
      let packet = try SDTPacket(report: report)
      guard packet.direction == direction else { throw .mark }
      bytes = packet.data.reveal()
      if direction == .reply {
        guard bytes.count >= 2 else { throw .length }
        bytes.removeFirst(2)
      }
    }
    if missing == 0 {
      guard let total = Self.total(bytes) else { return bytes }
      missing = total
    }
    let taken = Array(bytes.prefix(missing))
    missing -= taken.count
    return taken
  }

  /// Forgets the frame that has begun.
  public mutating func reset() { missing = 0 }

  /// Length of the frame that begins in these bytes, with what stands before it; nil when none does. Hosts look for the
  /// preamble at the first seven places (facts/idcard.md 2.1).
  private static func total(_ bytes: [UInt8]) -> Int? {
    let marker = SDTFraming.marker
    guard let place = (0..<7).first(where: { bytes.dropFirst($0).starts(with: marker) }) else { return nil }
    let body = place + marker.count
    guard bytes.count >= body + 2 else { return nil }
    return body + 2 + (Int(bytes[body]) << 8 | Int(bytes[body + 1]))
  }
}
