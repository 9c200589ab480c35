/// A serial line behind USB: communication class, abstract control model (CDC 1.2, PSTN 1.2).
///
/// While no program has the line open (DTR is off) what the device sends is thrown away, as a port does.
public struct USBSerialPort: SimulatedUSBFunction {
  private static let notifications: UInt8 = 0x82, dataOut: UInt8 = 0x03, dataIn: UInt8 = 0x81

  /// What the device says of itself.
  public let description: USBDescription
  /// Bits per second, stop bits, parity and data bits as the host last set them: 9600 8N1 at first.
  private var coding: [UInt8] = [0x80, 0x25, 0, 0, 0, 0, 8]
  /// DTR and RTS.
  private var lines: UInt16 = 0

  /// A line. No identity of a real one is known; the one given is kept for tests by pid.codes.
  public init(vendor: UInt16 = 0x1209, product: UInt16 = 0x0002, name: String, serial: String? = nil) {
    // Header 1.10, call management by none, line coding and states, union of interface 0 over 1.
    let functional: [UInt8] =
      [5, 0x24, 0, 0x10, 0x01] + [5, 0x24, 1, 0, 1] + [4, 0x24, 2, 0x02] + [5, 0x24, 6, 0, 1]
    var description = USBDescription(
      vendor: vendor, product: product, manufacturer: "Simulated", name: name,
      interfaces: [
        USBInterface(
          codes: [2, 2, 1], extra: functional,
          endpoints: [USBEndpoint(Self.notifications, .interrupt, packet: 16, interval: 16)]),
        USBInterface(
          codes: [0x0A, 0, 0],
          endpoints: [
            USBEndpoint(Self.dataIn, .bulk, packet: 64), USBEndpoint(Self.dataOut, .bulk, packet: 64),
          ]),
      ])
    description.codes = [2, 0, 0]
    description.serial = serial
    self.description = description
  }

  /// SET_LINE_CODING, GET_LINE_CODING, SET_CONTROL_LINE_STATE and SEND_BREAK.
  public mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer {
    switch (setup.type, setup.request) {
    case (0x21, 0x20):
      guard data.count == 7 else { return .refused }
      coding = data
      var answer = USBAnswer.accepted
      answer.baud = data[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
      return answer
    case (0xA1, 0x21): return USBAnswer(coding)
    case (0x21, 0x22):
      let wasOpen = isOpen
      lines = setup.value
      var answer = USBAnswer.accepted
      // SERIAL_STATE: the device is there (DSR) and carries (DCD) while the line is open.
      if wasOpen != isOpen {
        answer.inputs = [
          USBInput(Self.notifications, [0xA1, 0x20, 0, 0, 0, 0, 2, 0, isOpen ? 0x03 : 0x00, 0])
        ]
      }
      return answer
    case (0x21, 0x23): return .accepted
    default: return .refused
    }
  }

  private var isOpen: Bool { lines & 1 != 0 }

  /// Each reply is a transfer, and the host sees its end.
  public mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (UInt8) -> Int) -> [USBInput] {
    isOpen ? [USBInput(Self.dataIn, reply, isClosed: true)] : []
  }

  /// DTR and RTS fall.
  public mutating func reset() -> [UInt8] {
    lines = 0
    return []
  }
}
