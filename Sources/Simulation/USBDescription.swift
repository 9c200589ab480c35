/// How fast a USB device is, by Linux's number of the speed.
public enum USBSpeed: UInt32, Sendable, CaseIterable {
  /// 1.5 Mbit/s: control and interrupt transfers of at most 8 bytes.
  case low = 1
  /// 12 Mbit/s.
  case full = 2
  /// 480 Mbit/s.
  case high = 3
}

/// An endpoint other than the control endpoint (USB 2.0, 9.6.6).
public struct USBEndpoint: Sendable, Equatable {
  /// Its kind, as the descriptor numbers it. Isochronous ones are not simulated.
  public enum Kind: UInt8, Sendable {
    /// Large data, when there is time for them.
    case bulk = 2
    /// Small data, asked for again and again.
    case interrupt = 3
  }
  /// Number, with 80 for those to the host.
  public let address: UInt8
  /// Its kind.
  public let kind: Kind
  /// wMaxPacketSize in bytes.
  public let packet: Int
  /// bInterval.
  public let interval: UInt8
  /// Class-specific descriptors that follow.
  public let extra: [UInt8]

  /// An endpoint.
  public init(_ address: UInt8, _ kind: Kind, packet: Int, interval: UInt8 = 0, extra: [UInt8] = []) {
    self.address = address
    self.kind = kind
    self.packet = packet
    self.interval = interval
    self.extra = extra
  }

  /// Whether it sends to the host.
  public var isIn: Bool { address & 0x80 != 0 }
}

/// An interface with its one setting (USB 2.0, 9.6.5).
public struct USBInterface: Sendable, Equatable {
  /// Class, subclass and protocol.
  public let codes: [UInt8]
  /// Text of its string, if it has one.
  public let name: String?
  /// Class-specific descriptors between it and its endpoints.
  public let extra: [UInt8]
  /// Its endpoints.
  public let endpoints: [USBEndpoint]
  /// Report descriptor of a HID interface.
  public let reports: [UInt8]?
  /// An association that begins with it: how many interfaces, and class, subclass and protocol of the function.
  public let association: (count: UInt8, codes: [UInt8])?

  /// An interface.
  public init(
    codes: [UInt8], name: String? = nil, extra: [UInt8] = [], endpoints: [USBEndpoint],
    reports: [UInt8]? = nil,
    association: (count: UInt8, codes: [UInt8])? = nil
  ) {
    self.codes = codes
    self.name = name
    self.extra = extra
    self.endpoints = endpoints
    self.reports = reports
    self.association = association
  }

  /// A HID interface: its class descriptor (HID 1.11, 6.2.1) is made from the report descriptor.
  public static func hid(
    codes: [UInt8] = [3, 0, 0], name: String? = nil, reports: [UInt8], endpoints: [USBEndpoint]
  ) -> USBInterface {
    var extra: [UInt8] = [9, 0x21, 0x11, 0x01, 0, 1, 0x22]
    extra += UInt16(clamping: reports.count).usbBytes
    return USBInterface(codes: codes, name: name, extra: extra, endpoints: endpoints, reports: reports)
  }

  /// Two are equal when they describe the same.
  public static func == (one: USBInterface, other: USBInterface) -> Bool {
    one.codes == other.codes && one.name == other.name && one.extra == other.extra
      && one.endpoints == other.endpoints && one.reports == other.reports
      && one.association?.count == other.association?.count
      && one.association?.codes == other.association?.codes
  }
}

/// What a USB device says of itself: one configuration, with everything in it.
public struct USBDescription: Sendable, Equatable {
  /// Its speed.
  public var speed = USBSpeed.full
  /// bcdUSB. Below 2.00 hosts ask no questions that only devices of two speeds can answer.
  public var version: UInt16 = 0x0110
  /// Class, subclass and protocol of the device; zeros when the interfaces tell.
  public var codes: [UInt8] = [0, 0, 0]
  /// idVendor.
  public var vendor: UInt16
  /// idProduct.
  public var product: UInt16
  /// bcdDevice.
  public var release: UInt16 = 0x0100
  /// iManufacturer's text.
  public var manufacturer: String?
  /// iProduct's text.
  public var name: String?
  /// iSerialNumber's text; nil for a device without one.
  public var serial: String?
  /// Whether it has its own supply.
  public var isSelfPowered = false
  /// Most current it draws from the bus, in mA.
  public var current = 100
  /// The interfaces, by their numbers.
  public var interfaces: [USBInterface]

  /// A device.
  public init(
    vendor: UInt16, product: UInt16, manufacturer: String? = nil, name: String? = nil,
    interfaces: [USBInterface]
  ) {
    self.vendor = vendor
    self.product = product
    self.manufacturer = manufacturer
    self.name = name
    self.interfaces = interfaces
  }

  /// bMaxPacketSize0. Low speed allows 8 alone, high speed 64 alone (USB 2.0, 5.5.3).
  public var controlPacket: UInt8 { speed == .low ? 8 : 64 }

  /// The endpoint with this address.
  public func endpoint(_ address: UInt8) -> USBEndpoint? {
    interfaces.lazy.flatMap(\.endpoints).first { $0.address == address }
  }

  /// Texts of the strings 1, 2, 3 …
  private var texts: [String] {
    [manufacturer, name, serial].compactMap { $0 } + interfaces.compactMap(\.name)
  }

  private func index(_ text: String?) -> UInt8 {
    guard let text, let index = texts.firstIndex(of: text) else { return 0 }
    return UInt8(clamping: index + 1)
  }

  /// The descriptors as bytes.
  public var descriptors: USBDescriptors {
    var descriptors = USBDescriptors(device: device, configuration: configuration(otherSpeed: false))
    // US English: the language every host asks for.
    descriptors.strings = [[4, 3, 0x09, 0x04]]
    for text in texts {
      // A descriptor's length is one byte: 126 units of UTF-16 at most.
      let units = text.utf16.prefix(126)
      var bytes: [UInt8] = [UInt8(clamping: units.count * 2 + 2), 3]
      for unit in units { bytes += unit.usbBytes }
      descriptors.strings.append(bytes)
    }
    for (number, interface) in interfaces.enumerated() {
      if let reports = interface.reports { descriptors.reports[UInt8(clamping: number)] = reports }
      if interface.reports != nil {
        descriptors.hid[UInt8(clamping: number)] = Array(interface.extra.prefix(9))
      }
    }
    if speed == .high {
      var qualifier: [UInt8] = [10, 6]
      qualifier += version.usbBytes
      descriptors.qualifier = qualifier + codes + [64, 1, 0]
      descriptors.otherSpeed = configuration(otherSpeed: true)
    }
    return descriptors
  }

  private var device: [UInt8] {
    var bytes: [UInt8] = [18, 1]
    bytes += version.usbBytes
    bytes += codes + [controlPacket]
    for number in [vendor, product, release] { bytes += number.usbBytes }
    return bytes + [index(manufacturer), index(name), index(serial), 1]
  }

  private func configuration(otherSpeed: Bool) -> [UInt8] {
    var body: [UInt8] = []
    for (number, interface) in interfaces.enumerated() {
      let number = UInt8(clamping: number)
      if let association = interface.association {
        body += [8, 11, number, association.count] + association.codes + [0]
      }
      body += [9, 4, number, 0, UInt8(clamping: interface.endpoints.count)] + interface.codes
      body.append(index(interface.name))
      body += interface.extra
      for endpoint in interface.endpoints {
        body += [7, 5, endpoint.address, endpoint.kind.rawValue]
        body += UInt16(clamping: otherSpeed ? min(endpoint.packet, 64) : endpoint.packet).usbBytes
        body.append(endpoint.interval)
        body += endpoint.extra
      }
    }
    var bytes: [UInt8] = [9, otherSpeed ? 7 : 2]
    bytes += UInt16(clamping: body.count + 9).usbBytes
    let attributes: UInt8 = 0x80 | (isSelfPowered ? 0x40 : 0)
    // bMaxPower counts 2 mA.
    bytes += [UInt8(clamping: interfaces.count), 1, 0, attributes, UInt8(clamping: current / 2)]
    return bytes + body
  }
}

/// The descriptors of a device as a host reads them.
public struct USBDescriptors: Sendable, Equatable {
  /// The device descriptor, 18 bytes.
  public var device: [UInt8]
  /// The configuration descriptor with all that belongs to it.
  public var configuration: [UInt8]
  /// String descriptors; the first lists the languages.
  public var strings: [[UInt8]] = []
  /// HID class descriptors by interface.
  public var hid: [UInt8: [UInt8]] = [:]
  /// HID report descriptors by interface.
  public var reports: [UInt8: [UInt8]] = [:]
  /// What it would be at the other speed; only of high-speed devices.
  public var qualifier: [UInt8]?
  /// The configuration at the other speed.
  public var otherSpeed: [UInt8]?

  /// Descriptors without strings.
  public init(device: [UInt8], configuration: [UInt8]) {
    self.device = device
    self.configuration = configuration
  }

  /// The answer to GET_DESCRIPTOR; nil when there is none of that type and index.
  func answer(type: UInt8, index: Int) -> [UInt8]? {
    switch type {
    case 1: index == 0 ? device : nil
    case 2: index == 0 ? configuration : nil
    case 3: strings.indices.contains(index) ? strings[index] : nil
    case 6: index == 0 ? qualifier : nil
    case 7: index == 0 ? otherSpeed : nil
    default: nil
    }
  }

  /// The answer to GET_DESCRIPTOR addressed to an interface.
  func answer(type: UInt8, ofInterface interface: UInt8) -> [UInt8]? {
    switch type {
    case 0x21: hid[interface]
    case 0x22: reports[interface]
    default: nil
    }
  }
}

extension FixedWidthInteger {
  /// The number as USB sends it: least significant byte first.
  var usbBytes: [UInt8] {
    stride(from: 0, to: Self.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: self >> Self($0)) }
  }
}
