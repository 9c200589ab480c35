/// A model that tells a USB printer's port status and can be reset through it.
public protocol SimulatedPrinterPort: SimulatedSerialDevice {
  /// Bit 5 paper empty, bit 4 selected, bit 3 no error (facts/devices.md A5).
  var portStatus: UInt8 { get }
  /// Forgets what waits in its buffers.
  mutating func softReset() -> [SimulatedAction]
}

/// A printer of the USB printer class with both directions (class 7, subclass 1, protocol 2; facts/devices.md A5).
public struct USBTicketPrinter: SimulatedUSBFunction {
  /// What differs between models.
  public struct Options: Sendable, Equatable {
    /// idVendor and idProduct: by default those of the chips in many 58 and 80 mm printers.
    public var vendor: UInt16 = 0x0416, product: UInt16 = 0x5011
    /// IEEE 1284 device id; empty as some printers have it.
    public var deviceID = "MFG:Simulated;MDL:TP-80;CMD:ESC/POS;CLS:PRINTER;"
    /// Whether the port status is always 00, which tells nothing.
    public var hidesStatus = false
    /// iSerialNumber.
    public var serial: String?

    /// A printer that tells the truth.
    public init() {}
  }

  /// What the device says of itself.
  public let description: USBDescription
  private let options: Options

  /// A printer.
  public init(_ options: Options = Options()) {
    self.options = options
    var description = USBDescription(
      vendor: options.vendor, product: options.product, manufacturer: "Simulated", name: "Ticket printer",
      interfaces: [
        USBInterface(
          codes: [7, 1, 2],
          endpoints: [USBEndpoint(0x01, .bulk, packet: 64), USBEndpoint(0x82, .bulk, packet: 64)])
      ])
    description.serial = options.serial
    description.isSelfPowered = true
    description.current = 2
    self.description = description
  }

  /// GET_DEVICE_ID, GET_PORT_STATUS and SOFT_RESET, the last addressed to the interface or, as the first version of the class
  /// and Linux have it, to something else.
  public mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer {
    switch (setup.type, setup.request) {
    case (0xA1, 0):
      // wValue is the index of the configuration, wIndex has the interface in its upper half.
      guard setup.value == 0, setup.index >> 8 == 0 else { return .refused }
      let text = Array(options.deviceID.utf8.prefix(1021))
      // Its length counts itself, and stands with its larger byte first.
      return USBAnswer(UInt16(clamping: text.count + 2).usbBytes.reversed() + text)
    case (0xA1, 1):
      guard !options.hidesStatus else { return USBAnswer([0]) }
      return USBAnswer([(model as? any SimulatedPrinterPort)?.portStatus ?? 0x18])
    case (0x21, 2), (0x23, 2):
      var answer = USBAnswer.accepted
      if var port = model as? any SimulatedPrinterPort {
        answer.actions = port.softReset()
        model = port
      }
      return answer
    default: return .refused
    }
  }

  /// Each reply is a transfer on the back channel.
  public mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (UInt8) -> Int) -> [USBInput] {
    [USBInput(0x82, reply)]
  }
}
