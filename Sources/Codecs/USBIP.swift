/// The USB/IP protocol, version 1.1.1, as the side that exports devices speaks it (Linux `Documentation/usb/usbip_protocol.rst`).
///
/// A client first sends one operation. After an import the same connection carries transfers ("URBs") until it is closed.
/// All numbers are big endian.
public enum USBIP {
  /// What stands in every operation: version 1.1.1.
  public static let version: UInt16 = 0x0111
  /// Where servers listen.
  public static let port: UInt16 = 3240
  /// Length of the header of every command and reply about transfers, in bytes.
  public static let headerLength = 48
  /// Most bytes of one transfer. The kernel's usbfs hands out no more than this in all.
  public static let longestTransfer = 16 << 20
  /// Most bytes of a bus id, without its closing zero.
  public static let longestBusID = 31

  /// How a transfer ended: negated numbers of Linux's `errno`, which the protocol's own document uses.
  public enum Status: Int32, Sendable {
    /// As asked, or shorter and allowed to be.
    case ok = 0
    /// `-EIO`: it failed and nobody can say why.
    case failed = -5
    /// `-EPIPE`: the endpoint is halted, or the device refused a control request.
    case stalled = -32
    /// `-EPROTO`: nothing answered at this endpoint.
    case noAnswer = -71
    /// `-EOVERFLOW`: the device sent more than was asked for.
    case overflow = -75
    /// `-ECONNRESET`: taken back before it was done.
    case unlinked = -104
    /// `-EREMOTEIO`: shorter than asked, which the client had forbidden.
    case tooShort = -121
  }

  /// How an operation ended.
  public enum OperationStatus: UInt32, Sendable {
    /// As asked.
    case ok = 0
    /// Not done; the one failure that the protocol's document names.
    case failed = 1
    /// Another client has the device. Known to Linux's `usbip` tool.
    case busy = 2
    /// There is no such device. Known to Linux's `usbip` tool.
    case noDevice = 4
  }
}

/// Why a USB/IP client cannot be understood. None of them can be recovered from: where the next message begins is not known.
public enum USBIPError: Error, Sendable, Equatable {
  /// The client speaks another version.
  case version(UInt16)
  /// No operation has this code.
  case operation(UInt16)
  /// The bus id does not end, or is none.
  case busID
  /// No command about transfers has this code.
  case command(UInt32)
  /// The direction is neither out (0) nor in (1).
  case direction(UInt32)
  /// Endpoints are numbered from 0 to 15.
  case endpoint(UInt32)
  /// More than ``USBIP/longestTransfer``.
  case length(UInt32)
  /// Isochronous transfers, of so many packets, are not offered.
  case isochronous(packets: UInt32)
}

/// What a client asks for first.
public enum USBIPOperation: Sendable, Equatable {
  /// `OP_REQ_DEVLIST`: which devices there are.
  case deviceList
  /// `OP_REQ_IMPORT`: to have the device with this bus id.
  case importDevice(busID: String)
}

/// Finds the operation in what a client sends first, in whatever pieces it comes.
public struct USBIPOperationParser: Sendable {
  private var queue = ByteQueue()

  /// An empty parser.
  public init() {}

  /// Takes what arrived.
  public mutating func feed(_ bytes: [UInt8]) { queue.append(bytes) }

  /// The operation; nil before all of it is there.
  public mutating func next() throws(USBIPError) -> USBIPOperation? {
    guard queue.count >= 8 else { return nil }
    let version = UInt16(queue[0]) << 8 | UInt16(queue[1])
    guard version == USBIP.version else { throw .version(version) }
    let code = UInt16(queue[2]) << 8 | UInt16(queue[3])
    switch code {
    case 0x8005:
      queue.drop(8)
      return .deviceList
    case 0x8003:
      guard queue.count >= 40 else { return nil }
      let field = queue[8..<40]
      guard let end = field.firstIndex(of: 0), end > field.startIndex else { throw .busID }
      let name = field[..<end]
      guard name.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw .busID }
      queue.drop(40)
      return .importDevice(busID: String(decoding: name, as: UTF8.self))
    default: throw .operation(code)
    }
  }

  /// What came after the operation; it belongs to a ``USBIPCommandParser``.
  public mutating func rest() -> [UInt8] { queue.take(queue.count) }
}

/// A transfer that a client wants done (`USBIP_CMD_SUBMIT`).
public struct USBIPSubmission: Sendable, Equatable {
  /// The client's number for it.
  public var sequence: UInt32
  /// The device: bus number in the upper half, device number in the lower.
  public var device: UInt32
  /// Whether the data go to the client.
  public var isIn: Bool
  /// Endpoint number, 0 to 15, without direction.
  public var endpoint: UInt8
  /// `URB_SHORT_NOT_OK`, `URB_ZERO_PACKET` and so on, as Linux's `usbip.h` has them.
  public var flags: UInt32
  /// How many bytes the client has room for, or sends.
  public var length: Int
  /// The field of isochronous packets as it came, 0 or ffffffff, for the reply to repeat.
  public var packets: UInt32
  /// The setup packet of a control transfer; zeros for others.
  public var setup: [UInt8]
  /// What the client sends; empty when ``isIn``.
  public var data: [UInt8]

  /// A transfer.
  public init(
    sequence: UInt32, device: UInt32, isIn: Bool, endpoint: UInt8, flags: UInt32, length: Int,
    packets: UInt32,
    setup: [UInt8], data: [UInt8]
  ) {
    self.sequence = sequence
    self.device = device
    self.isIn = isIn
    self.endpoint = endpoint
    self.flags = flags
    self.length = length
    self.packets = packets
    self.setup = setup
    self.data = data
  }

  /// `URB_SHORT_NOT_OK`: fewer bytes than asked for are a failure.
  public static let shortNotAllowed: UInt32 = 0x0001
}

/// What a client asks of an imported device.
public enum USBIPCommand: Sendable, Equatable {
  /// `USBIP_CMD_SUBMIT`.
  case submit(USBIPSubmission)
  /// `USBIP_CMD_UNLINK`: to take the transfer `target` back; `sequence` is the number of this command.
  case unlink(sequence: UInt32, device: UInt32, target: UInt32)
}

/// Finds commands in what a client sends after an import, in whatever pieces they come.
public struct USBIPCommandParser: Sendable {
  private var queue = ByteQueue()

  /// An empty parser.
  public init() {}

  /// Takes what arrived.
  public mutating func feed(_ bytes: [UInt8]) { queue.append(bytes) }

  /// The next command; nil before all of it is there.
  public mutating func next() throws(USBIPError) -> USBIPCommand? {
    guard queue.count >= USBIP.headerLength else { return nil }
    let (code, sequence, device) = (word(0), word(4), word(8))
    switch code {
    case 0x0000_0002:
      let target = word(0x14)
      queue.drop(USBIP.headerLength)
      return .unlink(sequence: sequence, device: device, target: target)
    case 0x0000_0001:
      let (direction, endpoint, length, packets) = (word(0x0C), word(0x10), word(0x18), word(0x20))
      guard direction <= 1 else { throw .direction(direction) }
      guard let endpoint = UInt8(exactly: endpoint), endpoint < 16 else { throw .endpoint(word(0x10)) }
      guard length <= UInt32(USBIP.longestTransfer) else { throw .length(length) }
      // Clients differ in what says "not isochronous": the document has ffffffff, older kernels send 0.
      guard packets == 0 || packets == .max else { throw .isochronous(packets: packets) }
      let count = direction == 0 ? Int(length) : 0
      guard queue.count >= USBIP.headerLength + count else { return nil }
      let flags = word(0x14)
      let setup = Array(queue[0x28..<0x30])
      queue.drop(USBIP.headerLength)
      return .submit(
        USBIPSubmission(
          sequence: sequence, device: device, isIn: direction == 1, endpoint: endpoint, flags: flags,
          length: Int(length), packets: packets, setup: setup, data: queue.take(count)))
    default: throw .command(code)
    }
  }

  /// Bytes waiting for the rest of their command.
  public var pending: Int { queue.count }

  private func word(_ offset: Int) -> UInt32 {
    queue[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }
}

/// A device as operations describe it.
public struct USBIPDevice: Sendable, Equatable {
  /// Where it is on the exporting host; at most 255 bytes are sent.
  public var path: String
  /// Its name for importing; at most ``USBIP/longestBusID`` bytes are sent.
  public var busID: String
  /// The bus it is said to be on.
  public var bus: UInt32
  /// Its number there.
  public var number: UInt32
  /// Linux's number of the speed: 1 low, 2 full, 3 high.
  public var speed: UInt32
  /// idVendor.
  public var vendor: UInt16
  /// idProduct.
  public var product: UInt16
  /// bcdDevice.
  public var release: UInt16
  /// Class, subclass and protocol of the device.
  public var deviceClass: [UInt8]
  /// bConfigurationValue of the configuration the interfaces are of.
  public var configuration: UInt8
  /// bNumConfigurations.
  public var configurations: UInt8
  /// Class, subclass and protocol of each interface.
  public var interfaces: [[UInt8]]

  /// A device.
  public init(
    path: String, busID: String, bus: UInt32, number: UInt32, speed: UInt32, vendor: UInt16, product: UInt16,
    release: UInt16, deviceClass: [UInt8], configuration: UInt8, configurations: UInt8, interfaces: [[UInt8]]
  ) {
    self.path = path
    self.busID = busID
    self.bus = bus
    self.number = number
    self.speed = speed
    self.vendor = vendor
    self.product = product
    self.release = release
    self.deviceClass = deviceClass
    self.configuration = configuration
    self.configurations = configurations
    self.interfaces = interfaces
  }

  /// What `devid` of every command about the device is.
  public var id: UInt32 { bus << 16 | number & 0xFFFF }

  private func encode() -> [UInt8] {
    var bytes = Self.field(path, 256) + Self.field(busID, 32)
    for number in [bus, number, speed] { bytes.append(bigEndian: number) }
    for number in [vendor, product, release] { bytes.append(bigEndian: number) }
    bytes += Self.triple(deviceClass)
    return bytes + [configuration, configurations, UInt8(clamping: interfaces.count)]
  }

  private static func field(_ text: String, _ width: Int) -> [UInt8] {
    let bytes = Array(text.utf8.prefix(width - 1))
    return bytes + [UInt8](repeating: 0, count: width - bytes.count)
  }

  private static func triple(_ codes: [UInt8]) -> [UInt8] {
    Array((codes + [0, 0, 0]).prefix(3))
  }

  private static func operation(_ code: UInt16, _ status: USBIP.OperationStatus) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: USBIP.version)
    bytes.append(bigEndian: code)
    bytes.append(bigEndian: status.rawValue)
    return bytes
  }

  /// `OP_REP_DEVLIST`.
  public static func deviceList(_ devices: [USBIPDevice]) -> [UInt8] {
    var bytes = operation(0x0005, .ok)
    bytes.append(bigEndian: UInt32(clamping: devices.count))
    for device in devices {
      bytes += device.encode()
      for interface in device.interfaces.prefix(255) { bytes += triple(interface) + [0] }
    }
    return bytes
  }

  /// `OP_REP_IMPORT` with the device; what follows on the connection are its transfers.
  public func imported() -> [UInt8] { Self.operation(0x0003, .ok) + encode() }

  /// `OP_REP_IMPORT` without one.
  public static func importRefused(_ status: USBIP.OperationStatus) -> [UInt8] { operation(0x0003, status) }
}

/// What the exporting side says of a transfer.
public enum USBIPReply: Sendable, Equatable {
  /// `USBIP_RET_SUBMIT`: how a transfer ended; `data` are those for the client, and `length` counts these or those it sent.
  case submit(sequence: UInt32, status: USBIP.Status, length: Int, packets: UInt32, data: [UInt8])
  /// `USBIP_RET_UNLINK`: whether the transfer was still there to be taken back. If it was not, its own reply came before.
  case unlink(sequence: UInt32, wasPending: Bool)

  /// The bytes on the wire.
  public func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    switch self {
    case .submit(let sequence, let status, let length, let packets, let data):
      bytes.reserveCapacity(USBIP.headerLength + data.count)
      for word in [
        3, sequence, 0, 0, 0, UInt32(bitPattern: status.rawValue), UInt32(clamping: length), 0, packets, 0,
      ] {
        bytes.append(bigEndian: word)
      }
      return bytes + [UInt8](repeating: 0, count: 8) + data
    case .unlink(let sequence, let wasPending):
      let status: USBIP.Status = wasPending ? .unlinked : .ok
      for word in [4, sequence, 0, 0, 0, UInt32(bitPattern: status.rawValue)] {
        bytes.append(bigEndian: word)
      }
      return bytes + [UInt8](repeating: 0, count: 24)
    }
  }
}
