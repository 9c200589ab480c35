/// The first packet of a control transfer (USB 2.0, 9.3).
public struct USBSetup: Sendable, Equatable {
  /// bmRequestType: direction, type, recipient.
  public let type: UInt8
  /// bRequest.
  public let request: UInt8
  /// wValue.
  public let value: UInt16
  /// wIndex.
  public let index: UInt16
  /// wLength.
  public let length: UInt16

  /// Reads the packet's eight bytes; nil for any other number.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == 8 else { return nil }
    type = bytes[0]
    request = bytes[1]
    value = UInt16(bytes[2]) | UInt16(bytes[3]) << 8
    index = UInt16(bytes[4]) | UInt16(bytes[5]) << 8
    length = UInt16(bytes[6]) | UInt16(bytes[7]) << 8
  }

  /// Whether the data go to the host.
  public var isIn: Bool { type & 0x80 != 0 }
  /// Whether USB itself says what the request means, not the class or the maker.
  var isStandard: Bool { type & 0x60 == 0 }
}

/// Something that an endpoint sends: one transfer, cut into packets on its way.
public struct USBInput: Sendable, Equatable {
  /// The endpoint.
  public let endpoint: UInt8
  /// The bytes.
  public let bytes: [UInt8]
  /// Whether an empty packet follows when the last one is full, so that the host sees where the transfer ends.
  public let isClosed: Bool

  /// A transfer.
  public init(_ endpoint: UInt8, _ bytes: [UInt8], isClosed: Bool = false) {
    self.endpoint = endpoint
    self.bytes = bytes
    self.isClosed = isClosed
  }
}

/// What a request of a class or a maker is answered with.
public struct USBAnswer: Sendable, Equatable {
  /// Data for the host, none for requests that have none; nil refuses the request with a STALL.
  public var data: [UInt8]?
  /// Bytes that the model gets because of it.
  public var bytes: [UInt8] = []
  /// What the model did because of it.
  public var actions: [SimulatedAction] = []
  /// The speed in bits per second that the host has set for a serial line behind it.
  public var baud: Int?
  /// What endpoints send because of it.
  public var inputs: [USBInput] = []

  /// An answer.
  public init(_ data: [UInt8]?) { self.data = data }
  /// Refuses the request.
  public static var refused: USBAnswer { USBAnswer(nil) }
  /// Accepts a request without data for the host.
  public static var accepted: USBAnswer { USBAnswer([]) }
}

/// The part of a simulated USB device between its endpoints and the model: how a model's bytes are descriptors, packets,
/// reports and class requests.
public protocol SimulatedUSBFunction: Sendable {
  /// What the device says of itself.
  var description: USBDescription { get }
  /// Answers a request of the class or the maker; `data` came with it.
  mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer
  /// What the model gets of a packet that the host sent to an endpoint.
  mutating func receive(_ packet: [UInt8], on endpoint: UInt8) -> [UInt8]
  /// What the endpoints send for one reply of the model. `waiting` tells how many bytes of an endpoint the host has not
  /// fetched yet; `isBroken` asks to mark it as damaged, where the class has a mark for that.
  mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (_ endpoint: UInt8) -> Int) -> [USBInput]
  /// Whether an endpoint whose halt is cleared forgets what the host has not fetched.
  var forgetsWhenCleared: Bool { get }
  /// The host cleared an endpoint's halt, whether there was one or not; what the model gets because of it.
  mutating func cleared(_ endpoint: UInt8) -> [UInt8]
  /// The host chose a configuration, or let the device go; what the model gets because of it.
  mutating func reset() -> [UInt8]
}

extension SimulatedUSBFunction {
  /// Knows no requests of a class.
  public mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer { .refused }
  /// Keeps it.
  public var forgetsWhenCleared: Bool { false }
  /// Every packet as it is.
  public mutating func receive(_ packet: [UInt8], on endpoint: UInt8) -> [UInt8] { packet }
  /// Tells the model nothing.
  public mutating func cleared(_ endpoint: UInt8) -> [UInt8] { [] }
  /// Tells the model nothing.
  public mutating func reset() -> [UInt8] { [] }
}
