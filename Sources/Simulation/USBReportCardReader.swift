import Codecs

/// An ID-card reader that is a HID device with reports of 64 bytes both ways (facts/idcard.md 2.3, 2.4).
///
/// The framings are written here a second time, from the facts and not from the driver's codec: the far end of a test must
/// not share the near end's mistakes.
public struct USBReportCardReader: SimulatedUSBFunction {
  /// How frames stand in reports.
  public enum Framing: Sendable {
    /// As they are, padded with zeros (2B8B:2721).
    case raw
    /// In numbered and summed segments (10C4:0007).
    case wrapped
  }

  private static let size = 64
  /// Bytes of a frame before what its length counts: preamble and the length itself.
  private static let head = 7
  /// Most bytes of a frame in one wrapped reply.
  private static let segment = 54

  /// What the device says of itself.
  public let description: USBDescription
  private let framing: Framing
  /// What arrived of a request longer than a report.
  private var request: [UInt8] = []
  /// Bytes 1 and 2 of the last wrapped request, which replies repeat.
  private var serialNumber: [UInt8] = [0, 0]

  /// A reader.
  public init(_ framing: Framing, identity: (vendor: UInt16, product: UInt16)? = nil, serial: String? = nil) {
    self.framing = framing
    // A vendor's collection with one input and one output report, neither numbered.
    let reports: [UInt8] = [
      0x06, 0xA0, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, 0x40, 0x09,
      0x02,
      0x81, 0x02, 0x95, 0x40, 0x09, 0x03, 0x91, 0x02, 0xC0,
    ]
    var description = USBDescription(
      vendor: identity?.vendor ?? (framing == .raw ? 0x2B8B : 0x10C4),
      product: identity?.product ?? (framing == .raw ? 0x2721 : 0x0007),
      manufacturer: "Simulated", name: "HID ID-card reader",
      interfaces: [
        .hid(
          reports: reports,
          endpoints: [
            USBEndpoint(0x81, .interrupt, packet: Self.size, interval: 1),
            USBEndpoint(0x02, .interrupt, packet: Self.size, interval: 1),
          ])
      ])
    description.serial = serial
    self.description = description
  }

  /// SET_REPORT carries a request as the OUT endpoint does; GET_REPORT has nothing to give but zeros.
  public mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer {
    switch (setup.type, setup.request, setup.value >> 8) {
    case (0xA1, 0x01, 1): return USBAnswer([UInt8](repeating: 0, count: Self.size))
    case (0x21, 0x09, 2):
      var answer = USBAnswer.accepted
      answer.bytes = receive(data, on: 0x02)
      return answer
    // SET_IDLE: it sends only what is new in any case.
    case (0x21, 0x0A, _): return .accepted
    default: return .refused
    }
  }

  /// Forgets half a request.
  public mutating func reset() -> [UInt8] {
    request = []
    serialNumber = [0, 0]
    return []
  }

  /// The frame in a report, as soon as all of it is there.
  public mutating func receive(_ packet: [UInt8], on endpoint: UInt8) -> [UInt8] {
    switch framing {
    case .raw: receiveRaw(packet)
    case .wrapped: receiveWrapped(packet)
    }
  }

  private mutating func receiveRaw(_ packet: [UInt8]) -> [UInt8] {
    request += packet
    guard request.starts(with: SDTFraming.preamble), request.count >= Self.head else {
      // The module answers what it cannot read, or not; the report's end is the end of it in any case.
      defer { request = [] }
      return request
    }
    let total = Self.head + Int(request[5]) << 8 + Int(request[6])
    guard request.count >= total else { return [] }
    defer { request = [] }
    return Array(request.prefix(total))
  }

  private mutating func receiveWrapped(_ packet: [UInt8]) -> [UInt8] {
    // 88, two bytes serial number, length (little endian: command and data), command, data, sum (little endian, from the
    // length on).
    guard packet.count >= 8, packet[0] == 0x88 else { return [] }
    let length = Int(packet[3]) | Int(packet[4]) << 8
    guard length >= 1, 5 + length + 2 <= packet.count else { return [] }
    let sum = packet[3..<5 + length].reduce(0) { $0 + Int($1) }
    guard Int(packet[5 + length]) | Int(packet[6 + length]) << 8 == sum & 0xFFFF, packet[5] == 0xB1 else {
      return []
    }
    serialNumber = Array(packet[1...2])
    return Array(packet[6..<5 + length])
  }

  /// Reports of 64 bytes, one transfer each.
  public mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (UInt8) -> Int) -> [USBInput] {
    let step = framing == .raw ? Self.size : Self.segment
    return stride(from: 0, to: reply.count, by: step).enumerated().map { number, start in
      let part = Array(reply[start..<min(start + step, reply.count)])
      let report = framing == .raw ? part : wrap(part, number)
      return USBInput(0x81, report + [UInt8](repeating: 0, count: Self.size - report.count))
    }
  }

  private func wrap(_ part: [UInt8], _ number: Int) -> [UInt8] {
    // Result code and packet number count as payload; a result of 0 is taken for success.
    let content = [0x00, UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)] + part
    let summed = [UInt8(content.count & 0xFF), UInt8(content.count >> 8)] + content
    let sum = summed.reduce(0) { $0 + Int($1) }
    return [0xAA] + serialNumber + summed + [UInt8(sum & 0xFF), UInt8(sum >> 8 & 0xFF)]
  }
}
