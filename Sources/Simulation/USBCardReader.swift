import Codecs

/// An ID-card reader of the vendor class, in both of the layouts met in the field (facts/idcard.md 1.1, 1.2).
public struct USBCardReader: SimulatedUSBFunction {
  /// Where frames travel.
  public enum Layout: Sendable {
    /// Whole frames on one pair of endpoints.
    case singlePair
    /// Preamble and length on one pair, the rest on another.
    case splitPipe
  }

  /// What the device says of itself.
  public let description: USBDescription
  private let layout: Layout

  /// A reader; 0400:C35A is what most makers use.
  public init(_ layout: Layout, vendor: UInt16 = 0x0400, product: UInt16 = 0xC35A, serial: String? = nil) {
    self.layout = layout
    let endpoints: [USBEndpoint] =
      switch layout {
      case .singlePair: [USBEndpoint(0x81, .bulk, packet: 64), USBEndpoint(0x02, .bulk, packet: 64)]
      case .splitPipe:
        [
          USBEndpoint(0x81, .bulk, packet: 64), USBEndpoint(0x02, .bulk, packet: 64),
          USBEndpoint(0x85, .bulk, packet: 64), USBEndpoint(0x06, .bulk, packet: 64),
        ]
      }
    var description = USBDescription(
      vendor: vendor, product: product, manufacturer: "Simulated", name: "USB ID-card reader",
      interfaces: [USBInterface(codes: [0xFF, 0, 0], endpoints: endpoints)])
    description.serial = serial
    description.isSelfPowered = true
    self.description = description
  }

  /// Each reply is a transfer, or two in the split layout: the first seven bytes and the rest.
  public mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (UInt8) -> Int) -> [USBInput] {
    switch layout {
    case .singlePair: return [USBInput(0x81, reply)]
    case .splitPipe:
      let head = SDTFraming.preamble.count + 2
      let body = Array(reply.dropFirst(head))
      return [USBInput(0x81, Array(reply.prefix(head)))] + (body.isEmpty ? [] : [USBInput(0x85, body)])
    }
  }
}
