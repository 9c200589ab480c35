/// Takes the configurations of a device apart, descriptor by descriptor.
struct USBDescriptorReader {
  private let bytes: [UInt8]
  private var offset: Int
  /// What was found wrong so far.
  private(set) var defects: [USBDescriptorDefect] = []
  /// A device can hold no more: descriptors that are all defects would else make a list larger than themselves.
  private static let mostDefects = 64

  init(_ bytes: [UInt8], from offset: Int) {
    self.bytes = bytes
    self.offset = min(offset, bytes.count)
  }

  mutating func note(_ offset: Int, _ problem: USBDescriptorDefect.Problem) {
    guard defects.count < Self.mostDefects else { return }
    defects.append(USBDescriptorDefect(offset: offset, problem: problem))
  }

  /// All configurations up to the end or to what cannot be one.
  mutating func configurations() -> [USBConfiguration] {
    var found: [USBConfiguration] = []
    while offset < bytes.count, let configuration = configuration() { found.append(configuration) }
    return found
  }

  private mutating func configuration() -> USBConfiguration? {
    let start = offset
    guard let head = next(end: bytes.count) else { return nil }
    guard head.type == USBDescriptor.configuration else {
      note(start, .notConfiguration(type: head.type))
      return nil
    }
    guard head.bytes.count >= 9 else {
      note(start, .tooShort(type: head.type))
      return nil
    }
    let said = Int(head.bytes[2]) | Int(head.bytes[3]) << 8
    let there = bytes.count - start
    if said < head.bytes.count || said > there { note(start, .total(said: said, there: there)) }
    let end = start + min(max(said, head.bytes.count), there)

    var interfaces: [PartialInterface] = []
    var extra: [USBDescriptor] = []
    while offset < end {
      let place = offset
      guard let descriptor = next(end: end) else { break }
      switch descriptor.type {
      case USBDescriptor.interface: add(interface: descriptor, at: place, to: &interfaces)
      case USBDescriptor.endpoint: add(endpoint: descriptor, at: place, to: &interfaces)
      default:
        guard !interfaces.isEmpty else {
          extra.append(descriptor)
          continue
        }
        interfaces[interfaces.count - 1].add(descriptor)
      }
    }
    offset = end
    let kept = interfaces.filter { !$0.isDuplicate }
    for interface in kept where interface.saidEndpoints != interface.endpoints.count {
      note(interface.offset, .count(said: interface.saidEndpoints, found: interface.endpoints.count))
    }
    let numbers = Set(kept.map(\.number)).count
    if numbers != Int(head.bytes[4]) { note(start, .count(said: Int(head.bytes[4]), found: numbers)) }
    return USBConfiguration(
      value: head.bytes[5], attributes: head.bytes[7], power: head.bytes[8], interfaces: kept.map(\.whole),
      extra: extra)
  }

  private mutating func add(
    interface descriptor: USBDescriptor, at place: Int, to interfaces: inout [PartialInterface]
  ) {
    guard let interface = PartialInterface(descriptor, offset: place) else {
      note(place, .tooShort(type: descriptor.type))
      return
    }
    var added = interface
    added.isDuplicate = interfaces.contains {
      $0.number == added.number && $0.alternate == added.alternate
    }
    if added.isDuplicate {
      note(place, .interfaceTwice(number: added.number, alternate: added.alternate))
    }
    interfaces.append(added)
  }

  private mutating func add(
    endpoint descriptor: USBDescriptor, at place: Int, to interfaces: inout [PartialInterface]
  ) {
    guard let endpoint = PartialEndpoint(descriptor) else {
      note(place, .tooShort(type: descriptor.type))
      return
    }
    guard let last = interfaces.indices.last else {
      note(place, .strayEndpoint)
      return
    }
    // Bits 4 to 6 are reserved: with one of them set the kernel takes the address for invalid too.
    guard (1...15).contains(endpoint.address & 0x7f),
      !interfaces[last].endpoints.contains(where: { $0.address == endpoint.address })
    else {
      note(place, .endpointAddress(endpoint.address))
      return
    }
    if endpoint.packetSize == 0, endpoint.transfer == .bulk || endpoint.transfer == .interrupt {
      note(place, .noPacketSize(endpoint: endpoint.address))
    }
    interfaces[last].endpoints.append(endpoint)
  }

  /// The next descriptor up to `end`; nil, with a note, when none can be there.
  private mutating func next(end: Int) -> USBDescriptor? {
    let place = offset
    guard end - place >= 2 else {
      note(place, .cutOff)
      return nil
    }
    let length = Int(bytes[place])
    guard length >= 2 else {
      note(place, .tooShort(type: bytes[place + 1]))
      return nil
    }
    guard length <= end - place else {
      note(place, .cutOff)
      return nil
    }
    offset = place + length
    return USBDescriptor(type: bytes[place + 1], bytes: Array(bytes[place..<offset]))
  }
}

private struct PartialInterface {
  let offset: Int
  let number: UInt8, alternate: UInt8, saidEndpoints: Int
  let interfaceClass: USBClass
  var isDuplicate = false
  var endpoints: [PartialEndpoint] = []
  var extra: [USBDescriptor] = []

  init?(_ descriptor: USBDescriptor, offset: Int) {
    let bytes = descriptor.bytes
    guard bytes.count >= 9 else { return nil }
    self.offset = offset
    number = bytes[2]
    alternate = bytes[3]
    saidEndpoints = Int(bytes[4])
    interfaceClass = USBClass(bytes[5], bytes[6], bytes[7])
  }

  mutating func add(_ descriptor: USBDescriptor) {
    if endpoints.isEmpty {
      extra.append(descriptor)
    } else {
      endpoints[endpoints.count - 1].extra.append(descriptor)
    }
  }

  var whole: USBInterface {
    USBInterface(
      number: number, alternate: alternate, interfaceClass: interfaceClass, endpoints: endpoints.map(\.whole),
      extra: extra)
  }
}

private struct PartialEndpoint {
  let address: UInt8, transfer: USBEndpoint.Transfer, packetSize: Int, interval: UInt8
  var extra: [USBDescriptor] = []

  init?(_ descriptor: USBDescriptor) {
    let bytes = descriptor.bytes
    guard bytes.count >= 7, let transfer = USBEndpoint.Transfer(rawValue: bytes[3] & 3) else { return nil }
    address = bytes[2]
    self.transfer = transfer
    packetSize = Int(bytes[4]) | Int(bytes[5] & 7) << 8
    interval = bytes[6]
  }

  var whole: USBEndpoint {
    USBEndpoint(
      address: address, transfer: transfer, packetSize: packetSize, interval: interval, extra: extra)
  }
}
