/// A low-speed keyboard of the boot interface (HID 1.11: class 3, subclass 1, protocol 1).
public struct USBKeypad: SimulatedUSBFunction {
  /// What the device says of itself.
  public let description: USBDescription
  /// SET_PROTOCOL: 0 boot, 1 report; the reports are the same.
  private var usesReportProtocol = true
  private var idle: UInt8 = 0
  private var last = [UInt8](repeating: 0, count: 8)
  private var lights: UInt8 = 0

  /// The boot keyboard's report descriptor (HID 1.11, appendix B.1).
  private static let reports: [UInt8] = [
    0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95,
    0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01,
    0x29, 0x05,
    0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05,
    0x07, 0x19,
    0x00, 0x29, 0x65, 0x81, 0x00, 0xC0,
  ]

  /// A keypad. No identity of a real one is known; the one given is kept for tests by pid.codes.
  public init(vendor: UInt16 = 0x1209, product: UInt16 = 0x0001, serial: String? = nil) {
    var description = USBDescription(
      vendor: vendor, product: product, manufacturer: "Simulated", name: "Rating keypad",
      interfaces: [
        .hid(
          codes: [3, 1, 1], reports: Self.reports,
          endpoints: [USBEndpoint(0x81, .interrupt, packet: 8, interval: 10)])
      ])
    description.speed = .low
    description.serial = serial
    self.description = description
  }

  /// The HID class requests (HID 1.11, 7.2).
  public mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer {
    switch (setup.type, setup.request) {
    case (0xA1, 0x01):
      switch setup.value >> 8 {
      case 1: return USBAnswer(last)
      case 2: return USBAnswer([lights])
      default: return .refused
      }
    case (0xA1, 0x02): return USBAnswer([idle])
    case (0xA1, 0x03): return USBAnswer([usesReportProtocol ? 1 : 0])
    case (0x21, 0x09):
      guard setup.value >> 8 == 2, let byte = data.first else { return .refused }
      lights = byte
      var answer = USBAnswer.accepted
      answer.bytes = [byte]
      return answer
    case (0x21, 0x0A):
      idle = UInt8(setup.value >> 8)
      return .accepted
    case (0x21, 0x0B):
      guard setup.value <= 1 else { return .refused }
      usesReportProtocol = setup.value == 1
      return .accepted
    default: return .refused
    }
  }

  /// Each report is a transfer.
  public mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (UInt8) -> Int) -> [USBInput] {
    last = reply
    return [USBInput(0x81, reply)]
  }

  /// The report protocol, and no repetition.
  public mutating func reset() -> [UInt8] {
    usesReportProtocol = true
    idle = 0
    return []
  }
}
