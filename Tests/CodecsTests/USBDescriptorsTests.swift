import Codecs
import TestKit
import Testing

@Suite struct USBDescriptorsTests {
  /// A printer as makers of POS printers have them (facts/devices.md A5): 0483:070b, OUT 01 and IN 82 of 64 bytes.
  static let printer =
    hex("12 01 00 02 00 00 00 40 83 04 0B 07 00 01 01 02 03 01")
    + hex("09 02 20 00 01 01 00 C0 32")
    + hex("09 04 00 00 02 07 01 02 00") + hex("07 05 01 02 40 00 00") + hex("07 05 82 02 40 00 00")

  /// An ID-card reader with two endpoints each way (facts/idcard.md 1.2, layout A), and a HID interface with its class
  /// descriptor and an alternate setting.
  static let reader =
    hex("12 01 10 01 FF 00 00 08 00 04 5A C3 00 01 00 00 00 01")
    + hex("09 02 50 00 02 01 00 A0 19") + hex("09 04 00 00 04 FF 00 00 00")
    + hex("07 05 81 02 40 00 00 07 05 02 02 40 00 00 07 05 85 02 40 00 00 07 05 06 02 40 00 00")
    + hex("09 04 01 00 01 03 00 00 00") + hex("09 21 11 01 00 01 22 1B 00") + hex("07 05 83 03 08 00 0A")
    + hex("09 04 01 01 00 03 00 00 00")

  static func words(_ text: String) -> [UInt8] { hex(text) }

  @Test func `a printer's descriptors are read`() throws {
    let device = try USBDescriptors(Self.printer)
    #expect(device.id == "0483:070b")
    #expect(device.usbVersion == 0x0200)
    #expect(device.deviceClass == USBClass(0, 0, 0))
    #expect(device.controlPacketSize == 64)
    #expect(device.release == 0x0100)
    #expect(device.defects.isEmpty)
    let configuration = try #require(device.configuration(1))
    #expect(configuration.attributes == 0xC0)
    #expect(configuration.power == 50)
    let interface = try #require(configuration.settings(of: 0).first)
    #expect(interface.interfaceClass.description == "7/1/2")
    #expect(interface.endpoints.map(\.address) == [0x01, 0x82])
    #expect(interface.endpoints.map(\.isInput) == [false, true])
    #expect(interface.endpoints.allSatisfy { $0.transfer == .bulk && $0.packetSize == 64 && $0.isPipe })
  }

  @Test func `class descriptors stay with what they follow`() throws {
    let device = try USBDescriptors(Self.reader)
    #expect(device.defects.isEmpty, "\(device.defects)")
    let configuration = try #require(device.configuration(1))
    #expect(configuration.interfaces.map(\.number) == [0, 1, 1])
    #expect(configuration.interfaces.map(\.alternate) == [0, 0, 1])
    let hid = try #require(configuration.settings(of: 1).first)
    #expect(hid.extra == [.init(type: 0x21, bytes: hex("09 21 11 01 00 01 22 1B 00"))])
    #expect(hid.endpoints.first?.transfer == .interrupt)
    #expect(hid.endpoints.first?.interval == 10)
  }

  /// A configuration of which one thing is wrong, and what is said of it.
  static let wrong: [(descriptors: [UInt8], problem: USBDescriptorDefect.Problem)] = [
    (changed(printer, 20, to: 0x40), .total(said: 0x40, there: 0x20)),
    (changed(printer, 20, to: 0x08), .total(said: 8, there: 0x20)),
    (changed(printer, 31, to: 9), .count(said: 9, found: 2)),
    (changed(printer, 22, to: 3), .count(said: 3, found: 1)),
    (changed(printer, 17, to: 2), .count(said: 2, found: 1)),
    (changed(printer, 38, to: 0x80), .endpointAddress(0x80)),
    (changed(printer, 38, to: 0x11), .endpointAddress(0x11)),
    (changed(printer, 45, to: 0x01), .endpointAddress(0x01)),
    (changed(printer, 40, to: 0), .noPacketSize(endpoint: 0x01)),
    (changed(printer, 36, to: 0), .tooShort(type: 5)),
    (changed(printer, 43, to: 200), .cutOff),
    (changed(printer, 27, to: 8), .tooShort(type: 4)),
    (changed(printer, 28, to: 0x24), .strayEndpoint),
    (changed(printer, 19, to: 7), .notConfiguration(type: 7)),
    (
      printer + hex("09 02 12 00 01 02 00 80 10") + hex("09 04 00 00 00 03 00 00 00"),
      .count(said: 1, found: 2)
    ),
  ]

  static func changed(_ bytes: [UInt8], _ offset: Int, to value: UInt8) -> [UInt8] {
    var bytes = bytes
    bytes[offset] = value
    return bytes
  }

  @Test(arguments: wrong)
  func `what contradicts itself is named`(descriptors: [UInt8], problem: USBDescriptorDefect.Problem) throws {
    let device = try USBDescriptors(descriptors)
    #expect(device.defects.contains { $0.problem == problem }, "\(device.defects)")
  }

  @Test func `an interface's setting that is there twice counts once, with the endpoints of the first`()
    throws
  {
    let twice =
      hex("12 01 00 02 00 00 00 40 83 04 0B 07 00 01 01 02 03 01") + hex("09 02 29 00 01 01 00 C0 32")
      + hex("09 04 00 00 01 FF 00 00 00") + hex("07 05 81 02 40 00 00")
      + hex("09 04 00 00 01 FF 00 00 00") + hex("07 05 02 02 40 00 00")
    let device = try USBDescriptors(twice)
    #expect(device.configurations.first?.interfaces.map { $0.endpoints.map(\.address) } == [[0x81]])
    #expect(device.defects.map(\.problem) == [.interfaceTwice(number: 0, alternate: 0)])
  }

  @Test func `what is wrong in one endpoint leaves the others usable`() throws {
    let device = try USBDescriptors(Self.changed(Self.reader, 38, to: 0x00))
    let endpoints = try #require(device.configurations.first?.interfaces.first?.endpoints)
    #expect(endpoints.map(\.address) == [0x02, 0x85, 0x06])
  }

  @Test(arguments: [
    [], hex("12"), Array(printer.prefix(17)), changed(printer, 1, to: 2), changed(printer, 0, to: 9),
  ])
  func `bytes that begin with no device descriptor are refused`(bytes: [UInt8]) {
    #expect(throws: USBDescriptorDefect(offset: 0, problem: .noDevice)) { try USBDescriptors(bytes) }
  }

  @Test func `a device cut off anywhere gives what came before`() throws {
    for count in 18...Self.reader.count {
      let device = try USBDescriptors(Array(Self.reader.prefix(count)))
      if count == 18 + 80 {
        #expect(device.defects.isEmpty)
      } else {
        #expect(!device.defects.isEmpty, "\(count)")
      }
      let endpoints = device.configurations.flatMap(\.interfaces).flatMap(\.endpoints).map(\.address)
      #expect(endpoints == Array([0x81, 0x02, 0x85, 0x06, 0x83].prefix(endpoints.count)), "\(count)")
    }
  }

  /// What holds of every result, whatever the bytes were.
  static func checkInvariants(_ bytes: [UInt8]) {
    guard let device = try? USBDescriptors(bytes) else { return }
    #expect(device.defects.count <= 64)
    var size = 18
    for configuration in device.configurations {
      size += 9 + configuration.extra.reduce(0) { $0 + $1.bytes.count }
      var seen: Set<[UInt8]> = []
      for interface in configuration.interfaces {
        #expect(seen.insert([interface.number, interface.alternate]).inserted)
        size += 9 + interface.extra.reduce(0) { $0 + $1.bytes.count }
        #expect(Set(interface.endpoints.map(\.address)).count == interface.endpoints.count)
        for endpoint in interface.endpoints {
          #expect((1...15).contains(endpoint.address & 0x7F))
          #expect((0...2047).contains(endpoint.packetSize))
          #expect(!endpoint.isPipe || endpoint.packetSize > 0)
          size += 7 + endpoint.extra.reduce(0) { $0 + $1.bytes.count }
        }
      }
    }
    // Nothing is made of bytes that are not there, and none are used twice.
    #expect(size <= bytes.count)
  }

  @Test func `any bytes are read without harm`() {
    var random = SeededRandom(seed: 1)
    for _ in 0..<5000 {
      let head = Array(Self.printer.prefix(18))
      let rest = random.bytes(
        Int.random(in: 0...300, using: &random), favouring: [0, 1, 2, 4, 5, 7, 9, 0x12, 0x40, 0x81])
      Self.checkInvariants(head + rest)
      Self.checkInvariants(rest)
    }
  }

  @Test func `descriptors with any of their bytes changed are read without harm`() {
    var random = SeededRandom(seed: 2)
    for original in [Self.printer, Self.reader] {
      for _ in 0..<5000 {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          switch Int.random(in: 0...3, using: &random) {
          case 0: bytes.remove(at: Int.random(in: 0..<bytes.count, using: &random))
          case 1:
            bytes.insert(
              UInt8.random(in: 0...255, using: &random), at: Int.random(in: 0...bytes.count, using: &random))
          default:
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
          }
        }
        Self.checkInvariants(bytes)
      }
    }
  }

  @Test func `sixty-four thousand bytes of the smallest descriptors take no time`() throws {
    let filler = Array(repeating: [UInt8](arrayLiteral: 2, 0x24), count: 32763).flatMap { $0 }
    let bytes =
      Array(Self.printer.prefix(18)) + [9, 2, 0xFF, 0xFF, 0, 1, 0, 0x80, 0] + filler
    let device = try USBDescriptors(bytes)
    #expect(device.configurations.first?.extra.count == 32763)
  }
}
