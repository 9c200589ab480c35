import Channels
import Codecs
import Posix
import TestKit
import Testing

@testable import LinuxChannels

/// A directory of the form of `/sys/bus/usb/devices` with one device at port 1-1.
private struct Sysfs {
  let files: TemporaryDirectory
  var devices: String { files.path("devices") }

  init(_ descriptors: [UInt8], driver: String? = nil, alternate: Int = 0) throws {
    files = try TemporaryDirectory()
    for (name, bytes) in [
      ("1-1/busnum", Array("1\n".utf8)), ("1-1/devnum", Array("12\n".utf8)), ("1-1/descriptors", descriptors),
      ("1-1:1.0/bAlternateSetting", Array(" \(alternate)\n".utf8)),
    ] {
      let path = "\(devices)/\(name)"
      if !Files.exists(Files.directory(of: path)) {
        try Files.makeDirectory(Files.directory(of: path), mode: 0o755, parents: true)
      }
      try Files.replaceDurable(path, bytes: bytes, mode: 0o644)
    }
    if let driver {
      try Files.makeDirectory(files.path("drivers/\(driver)"), mode: 0o755, parents: true)
      try Files.makeLink("\(devices)/1-1:1.0/driver", to: files.path("drivers/\(driver)"))
    }
  }

  func node(configuration: UInt8 = 1, interface: UInt8 = 0) throws -> USBInterfaceNode {
    try USBInterfaceNode(port: "1-1", configuration: configuration, interface: interface, devices: devices)
  }
}

@Suite struct USBInterfaceTests {
  static let head: [UInt8] = [0x12, 1, 0, 2, 0, 0, 0, 64, 0, 4, 0x5A, 0xC3, 0, 1, 0, 0, 0, 1]

  /// Settings of interface 0, each with its class and its endpoints: address, attributes, packet size.
  static func device(_ settings: [([UInt8], [(UInt8, UInt8, UInt8)])]) -> [UInt8] {
    var body: [UInt8] = []
    for (alternate, (kind, endpoints)) in settings.enumerated() {
      body += [9, 4, 0, UInt8(alternate), UInt8(endpoints.count)] + kind + [0]
      for (address, attributes, size) in endpoints { body += [7, 5, address, attributes, size, 0, 1] }
    }
    return head + [9, 2, UInt8(9 + body.count), 0, 1, 1, 0, 0xC0, 50] + body
  }

  static let both: [(UInt8, UInt8, UInt8)] = [(0x81, 2, 64), (0x02, 2, 64), (0x85, 2, 64), (0x06, 2, 64)]
  static let vendor: [UInt8] = [0xFF, 0, 0]

  private func choice(
    _ settings: [([UInt8], [(UInt8, UInt8, UInt8)])], _ line: USBLine = USBLine(), alternate: Int = 0
  ) throws -> (alternate: UInt8, layouts: [String]) {
    let sysfs = try Sysfs(Self.device(settings), alternate: alternate)
    let (setting, layouts) = try USBByteStream.choose(sysfs.node(), line)
    return (setting.alternate, layouts.map(\.description))
  }

  @Test func `an interface is found with its node, its setting and its driver`() throws {
    let sysfs = try Sysfs(
      Self.device([(Self.vendor, Self.both), (Self.vendor, [])]), driver: "usblp", alternate: 1)
    let node = try sysfs.node()
    #expect(node.name == "1-1:1.0")
    #expect(node.node == "/dev/bus/usb/001/012")
    #expect(node.driver == "usblp")
    #expect(node.alternate == 1)
    #expect(node.descriptors.id == "0400:c35a")
    #expect(node.isStillThere(devices: sysfs.devices))
    try Files.replaceDurable("\(sysfs.devices)/1-1/devnum", bytes: Array("13\n".utf8), mode: 0o644)
    #expect(!node.isStillThere(devices: sysfs.devices))
  }

  @Test func `nothing at the port is absent, and descriptors without the interface are malformed`() throws {
    let sysfs = try Sysfs(Self.device([(Self.vendor, Self.both)]))
    #expect(throws: ChannelError.absent("USB interface 1-1:1.1")) { try sysfs.node(interface: 1) }
    #expect(throws: ChannelError.absent("USB interface 1-1:2.0")) { try sysfs.node(configuration: 2) }
    let broken = try Sysfs(Array(Self.head.prefix(9)))
    let error = #expect(throws: ChannelError.self) { try broken.node() }
    guard case .malformed = error else { return #expect(Bool(false), "\(String(describing: error))") }
    let empty = try Sysfs(Self.head + [9, 2, 9, 0, 0, 1, 0, 0xC0, 50])
    #expect(throws: ChannelError.malformed("1-1:1.0 is not in the device's descriptors")) { try empty.node() }
  }

  @Test func `one pair is one layout`() throws {
    #expect(try choice([(Self.vendor, [(0x81, 2, 64), (0x01, 2, 64)])]).layouts == ["81/01"])
  }

  @Test func `the reader with two endpoints each way may be split or use the first or the last of them`()
    throws
  {
    #expect(try choice([(Self.vendor, Self.both)]).layouts == ["81+85/02+06:7", "81/02", "85/06"])
  }

  @Test func `bulk endpoints are preferred to interrupt ones`() throws {
    let endpoints: [(UInt8, UInt8, UInt8)] = [(0x83, 3, 8), (0x81, 2, 64), (0x02, 2, 64)]
    #expect(try choice([(Self.vendor, endpoints)]).layouts == ["81/02"])
    #expect(try choice([(Self.vendor, [(0x83, 3, 8), (0x04, 3, 8)])]).layouts == ["83/04"])
  }

  @Test func `a printer that only takes has an output alone`() throws {
    #expect(try choice([([7, 1, 1], [(0x01, 2, 64)])]).layouts == ["/01"])
  }

  @Test func `a printer's setting that goes both ways is chosen, never one that speaks packets`() throws {
    let settings: [([UInt8], [(UInt8, UInt8, UInt8)])] = [
      ([7, 1, 4], [(0x01, 2, 64), (0x82, 2, 64)]), ([7, 1, 1], [(0x01, 2, 64)]),
      ([7, 1, 2], [(0x01, 2, 64), (0x82, 2, 64)]),
    ]
    #expect(try choice(settings).alternate == 2)
  }

  @Test func `among settings as good the one in use stays`() throws {
    let settings: [([UInt8], [(UInt8, UInt8, UInt8)])] = [
      (Self.vendor, [(0x81, 2, 64), (0x01, 2, 64)]), (Self.vendor, [(0x81, 2, 64), (0x01, 2, 64)]),
    ]
    #expect(try choice(settings, alternate: 1).alternate == 1)
    #expect(try choice(settings, alternate: 0).alternate == 0)
  }

  @Test func `the endpoints of the profile are used, and refused where they are not there`() throws {
    let line = USBLine(layout: PipeLayout("85/06"))
    #expect(try choice([(Self.vendor, Self.both)], line).layouts == ["85/06"])
    #expect(throws: ChannelError.malformed("1-1:1.0 has not the endpoints 83/04")) {
      try choice([(Self.vendor, Self.both)], USBLine(layout: PipeLayout("83/04")))
    }
  }

  @Test func `isochronous endpoints and those without packets are no pipes`() throws {
    let error = #expect(throws: ChannelError.self) {
      try choice([(Self.vendor, [(0x81, 1, 64), (0x02, 2, 0)])])
    }
    guard case .malformed(let text) = error else {
      return #expect(Bool(false), "\(String(describing: error))")
    }
    #expect(text.contains("has not a bulk or interrupt endpoint"))
    #expect(text.contains("endpoint 0x2 has packets of 0 bytes"))
  }

  @Test func `the nodes that an interface's driver made are found, but not those of input devices`() throws {
    let sysfs = try Sysfs(Self.device([(Self.vendor, Self.both)]))
    for (name, node) in [
      ("usbmisc/lp0", "usb/lp0"), ("0003:0400:C35A.0001/hidraw/hidraw0", "hidraw0"),
      ("input/input3/event3", "input/event3"),
    ] {
      let directory = "\(sysfs.devices)/1-1:1.0/\(name)"
      try Files.makeDirectory(directory, mode: 0o755, parents: true)
      try Files.replaceDurable(
        "\(directory)/uevent", bytes: Array("MAJOR=1\nDEVNAME=\(node)\n".utf8), mode: 0o644)
    }
    #expect(try Set(sysfs.node().driverNodes) == ["/dev/usb/lp0", "/dev/hidraw0"])
  }

  @Test(
    arguments: [
      ([0, 9] + Array("MFG:X;;".utf8), "MFG:X;;"), ([9, 0] + Array("MFG:X;;".utf8), "MFG:X;;"),
      ([0, 7] + Array("MFG:X;;".utf8), "MFG:X"), ([0x40, 0x40] + Array("MFG:X;".utf8), "MFG:X;"),
      ([0, 2], ""),
      ([], ""), ([0], ""), ([0, 9] + Array("MFG:X;\0".utf8), "MFG:X;"),
    ] as [([UInt8], String)])
  func `a device id is read whatever its length says`(answer: [UInt8], text: String) {
    #expect(PrinterDeviceID.text(answer) == text)
  }
}
