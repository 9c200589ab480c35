/// The descriptors of a USB device as the kernel keeps them (`descriptors` in sysfs): the device's, then each configuration
/// with everything in it (USB 2.0, 9.5 and 9.6).
///
/// Nothing in them is trusted: lengths and counts are held against what is there. What contradicts itself is left out and
/// named in ``defects``; the rest can be used.
public struct USBDescriptors: Sendable, Equatable {
  /// `bcdUSB`: the edition the device claims, 0x0200 for 2.0.
  public let usbVersion: UInt16
  /// `bDeviceClass`, `bDeviceSubClass`, `bDeviceProtocol`; class 0: each interface has its own.
  public let deviceClass: USBClass
  /// The largest packet of endpoint 0 in bytes: 8, 16, 32 or 64; 9 stands for 512 from 3.0 on.
  public let controlPacketSize: UInt8
  /// `idVendor`.
  public let vendor: UInt16
  /// `idProduct`.
  public let product: UInt16
  /// `bcdDevice`: the maker's edition of the device.
  public let release: UInt16
  /// How many configurations the device says it has; ``configurations`` has those that are there.
  public let configurationCount: UInt8
  /// The configurations in the order given.
  public let configurations: [USBConfiguration]
  /// What is wrong with the descriptors, in order of their place.
  public let defects: [USBDescriptorDefect]

  /// Reads descriptors.
  /// - Throws: where not even a device descriptor stands at the beginning.
  public init(_ bytes: [UInt8]) throws(USBDescriptorDefect) {
    guard bytes.count >= 18, bytes[0] >= 18, bytes[1] == USBDescriptor.device else {
      throw USBDescriptorDefect(offset: 0, problem: .noDevice)
    }
    func word(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 }
    usbVersion = word(2)
    deviceClass = USBClass(bytes[4], bytes[5], bytes[6])
    controlPacketSize = bytes[7]
    vendor = word(8)
    product = word(10)
    release = word(12)
    configurationCount = bytes[17]
    var reader = USBDescriptorReader(bytes, from: Int(bytes[0]))
    configurations = reader.configurations()
    if configurations.count != Int(configurationCount) {
      reader.note(17, .count(said: Int(configurationCount), found: configurations.count))
    }
    defects = reader.defects
  }

  /// The ids as `lsusb` and profiles write them: `0483:070b`.
  public var id: String { "\(Self.hexadecimal(vendor)):\(Self.hexadecimal(product))" }

  /// The configuration with this `bConfigurationValue`.
  public func configuration(_ value: UInt8) -> USBConfiguration? {
    configurations.first { $0.value == value }
  }

  private static func hexadecimal(_ number: UInt16) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: max(4 - digits.count, 0)) + digits
  }
}

/// Class, subclass and protocol of a device or interface.
public struct USBClass: Sendable, Hashable, CustomStringConvertible {
  /// `bDeviceClass` or `bInterfaceClass`.
  public let base: UInt8
  /// `bDeviceSubClass` or `bInterfaceSubClass`.
  public let sub: UInt8
  /// `bDeviceProtocol` or `bInterfaceProtocol`.
  public let `protocol`: UInt8

  /// A class.
  public init(_ base: UInt8, _ sub: UInt8, _ protocol: UInt8) {
    self.base = base
    self.sub = sub
    self.protocol = `protocol`
  }

  /// The three in decimal, as USB documents name printers: `7/1/2`.
  public var description: String { "\(base)/\(sub)/\(self.protocol)" }
}

/// One descriptor as it stands.
public struct USBDescriptor: Sendable, Equatable {
  /// `bDescriptorType`.
  public let type: UInt8
  /// All of its bytes, length and type included.
  public let bytes: [UInt8]

  /// A descriptor of this type and these bytes.
  public init(type: UInt8, bytes: [UInt8]) {
    self.type = type
    self.bytes = bytes
  }

  static let device: UInt8 = 1, configuration: UInt8 = 2, interface: UInt8 = 4, endpoint: UInt8 = 5
}

/// One configuration.
public struct USBConfiguration: Sendable, Equatable {
  /// `bConfigurationValue`, by which it is chosen.
  public let value: UInt8
  /// `bmAttributes`: bit 6 self-powered, bit 5 remote wake-up.
  public let attributes: UInt8
  /// `bMaxPower`, in units of 2 mA (8 mA at SuperSpeed).
  public let power: UInt8
  /// Every interface in each of its alternate settings, in the order given, no pair of numbers twice.
  public let interfaces: [USBInterface]
  /// Descriptors before the first interface, such as interface associations.
  public let extra: [USBDescriptor]

  /// The settings of one interface, in the order given.
  public func settings(of interface: UInt8) -> [USBInterface] { interfaces.filter { $0.number == interface } }
}

/// One alternate setting of an interface.
public struct USBInterface: Sendable, Equatable {
  /// `bInterfaceNumber`.
  public let number: UInt8
  /// `bAlternateSetting`.
  public let alternate: UInt8
  /// What the interface is.
  public let interfaceClass: USBClass
  /// Its endpoints, in the order given, no address twice.
  public let endpoints: [USBEndpoint]
  /// Descriptors of the class, before the first endpoint: HID, CDC, UVC.
  public let extra: [USBDescriptor]
}

/// One endpoint.
public struct USBEndpoint: Sendable, Equatable {
  /// How an endpoint moves its bytes.
  public enum Transfer: UInt8, Sendable { case control = 0, isochronous, bulk, interrupt }

  /// `bEndpointAddress`: 1 to 15, with bit 7 when it sends to the host.
  public let address: UInt8
  /// How it moves its bytes.
  public let transfer: Transfer
  /// The largest packet in bytes, 0 to 2047; bits 11 and 12 of `wMaxPacketSize` are not in it.
  public let packetSize: Int
  /// `bInterval`.
  public let interval: UInt8
  /// Descriptors that follow it.
  public let extra: [USBDescriptor]

  /// Whether it sends to the host.
  public var isInput: Bool { address & 0x80 != 0 }
  /// Whether bytes can go through it: bulk or interrupt, and packets of at least one byte.
  public var isPipe: Bool { (transfer == .bulk || transfer == .interrupt) && packetSize > 0 }
}

/// Something in the descriptors that cannot be, and where.
public struct USBDescriptorDefect: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Problem: Sendable, Equatable {
    /// There is no device descriptor of 18 bytes at the beginning.
    case noDevice
    /// A descriptor says it has fewer bytes than its kind needs.
    case tooShort(type: UInt8)
    /// A descriptor goes beyond the end.
    case cutOff
    /// A total length does not cover its own descriptor or goes beyond what is there.
    case total(said: Int, there: Int)
    /// A descriptor counts others of which another number is there.
    case count(said: Int, found: Int)
    /// An interface's setting is there twice; the second is left out.
    case interfaceTwice(number: UInt8, alternate: UInt8)
    /// An endpoint's address is 0, above 15, or there twice in one setting; it is left out.
    case endpointAddress(UInt8)
    /// An endpoint stands before any interface; it is left out.
    case strayEndpoint
    /// A bulk or interrupt endpoint has packets of no bytes.
    case noPacketSize(endpoint: UInt8)
    /// Something stands between the configurations that is none; it and what follows are left out.
    case notConfiguration(type: UInt8)
  }

  /// Where, in bytes from the start.
  public let offset: Int
  /// What.
  public let problem: Problem

  /// A defect.
  public init(offset: Int, problem: Problem) {
    self.offset = offset
    self.problem = problem
  }

  /// For the log and for technicians.
  public var description: String {
    let text =
      switch problem {
      case .noDevice: "no device descriptor"
      case .tooShort(let type): "descriptor of type \(type) is too short"
      case .cutOff: "descriptor goes beyond the end"
      case .total(let said, let there): "total length \(said), \(there) bytes there"
      case .count(let said, let found): "\(said) announced, \(found) found"
      case .interfaceTwice(let number, let alternate):
        "interface \(number) setting \(alternate) is there twice"
      case .endpointAddress(let address):
        "endpoint address 0x\(String(address, radix: 16)) is not possible here"
      case .strayEndpoint: "endpoint without an interface"
      case .noPacketSize(let endpoint): "endpoint 0x\(String(endpoint, radix: 16)) has packets of 0 bytes"
      case .notConfiguration(let type): "descriptor of type \(type) between the configurations"
      }
    return "byte \(offset): \(text)"
  }
}
