import Channels

/// A low-speed HID device with reports of at most eight bytes and no endpoint for output (HID 1.11).
public struct USBKeypad: SimulatedUSBFunction {
  /// What the device says of itself.
  public let description: USBDescription
  /// SET_PROTOCOL: 0 boot, 1 report; the reports are the same.
  private var usesReportProtocol = true
  private var idle: UInt8 = 0
  private var last = [UInt8](repeating: 0, count: 8)
  private var output: [UInt8] = [0]

  /// A keypad: a boot keyboard where keys are what it sends, else a HID device with reports of its own. No identity of a real
  /// one is known; those given are kept for tests by pid.codes.
  public init(
    _ model: any SimulatedHIDDevice, identity: (vendor: UInt16, product: UInt16)? = nil, serial: String? = nil
  ) {
    let isKeyboard = model.channelKind == .inputEvents
    var description = USBDescription(
      vendor: identity?.vendor ?? 0x1209, product: identity?.product ?? (isKeyboard ? 0x0001 : 0x0004),
      manufacturer: "Simulated", name: isKeyboard ? "Rating keypad" : "Rating keypad with reports",
      interfaces: [
        .hid(
          codes: isKeyboard ? [3, 1, 1] : [3, 0, 0], reports: model.reportDescriptor,
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
      case 2: return USBAnswer(output)
      default: return .refused
      }
    case (0xA1, 0x02): return USBAnswer([idle])
    case (0xA1, 0x03): return USBAnswer([usesReportProtocol ? 1 : 0])
    case (0x21, 0x09):
      guard setup.value >> 8 == 2, !data.isEmpty else { return .refused }
      output = data
      var answer = USBAnswer.accepted
      answer.bytes = data
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
