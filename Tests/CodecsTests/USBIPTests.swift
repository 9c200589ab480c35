import Codecs
import TestKit
import Testing

/// Words of 32 bits as the kernel's document prints them.
private func words(_ text: String) -> [UInt8] {
  text.split(whereSeparator: { $0 == " " || $0 == "\n" }).flatMap { word in
    stride(from: 0, to: word.utf8.count, by: 2).compactMap { place in
      UInt8(word.dropFirst(place).prefix(2), radix: 16)
    }
  }
}

private func commands(_ pieces: [[UInt8]]) throws(USBIPError) -> [USBIPCommand] {
  var parser = USBIPCommandParser()
  var found: [USBIPCommand] = []
  for piece in pieces {
    parser.feed(piece)
    while let command = try parser.next() { found.append(command) }
  }
  return found
}

private func operation(_ bytes: [UInt8]) throws(USBIPError) -> USBIPOperation? {
  var parser = USBIPOperationParser()
  parser.feed(bytes)
  return try parser.next()
}

/// The example of Linux `Documentation/usb/usbip_protocol.rst`, captured from the wire with a HID device.
private enum Captured {
  static let interruptIn = words(
    "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 00000000 00000000"
  )
  static let interruptOut =
    words(
      "00000001 00000d06 0001000f 00000000 00000001 00000000 00000040 ffffffff 00000000 00000004 00000000 00000000"
    )
    + report
  static let report = words("ffffffff860008a784ce5ae212376300") + [UInt8](repeating: 0, count: 48)
  static let outReply = words(
    "00000003 00000d06 00000000 00000000 00000000 00000000 00000040 ffffffff 00000000 00000000 00000000 00000000"
  )
  static let inReply =
    words(
      "00000003 00000d05 00000000 00000000 00000000 00000000 00000040 ffffffff 00000000 00000000 00000000 00000000"
    )
    + answer
  static let answer =
    words("ffffffff860011a784ce5ae2123763612891b1020100000400000000") + [UInt8](repeating: 0, count: 36)
}

@Suite struct USBIPCommandTests {
  // The example has ffffffff as start_frame and 0 as number_of_packets; by the table of the same document it is the other way
  // round. Both are in use and must be understood.
  static let submissions: [(USBIPCommand, [UInt8])] = [
    (
      .submit(
        USBIPSubmission(
          sequence: 0xD05, device: 0x1000F, isIn: true, endpoint: 1, flags: 0x200, length: 64, packets: 0,
          setup: [0, 0, 0, 0, 0, 0, 0, 0], data: [])), Captured.interruptIn
    ),
    (
      .submit(
        USBIPSubmission(
          sequence: 0xD06, device: 0x1000F, isIn: false, endpoint: 1, flags: 0, length: 64, packets: 0,
          setup: [0, 0, 0, 0, 0, 0, 0, 0], data: Captured.report)), Captured.interruptOut
    ),
    (
      .submit(
        USBIPSubmission(
          sequence: 1, device: 0x10002, isIn: true, endpoint: 0, flags: 0x200, length: 18, packets: .max,
          setup: [0x80, 6, 0, 1, 0, 0, 18, 0], data: [])),
      words(
        "00000001 00000001 00010002 00000001 00000000 00000200 00000012 00000000 ffffffff 00000000 80060001 00001200"
      )
    ),
    (
      .unlink(sequence: 0xD07, device: 0x1000F, target: 0xD05),
      words(
        "00000002 00000d07 0001000f 00000000 00000000 00000d05 00000000 00000000 00000000 00000000 00000000 00000000"
      )
    ),
  ]

  @Test(arguments: submissions)
  func `a command is read from the bytes of the document`(command: USBIPCommand, bytes: [UInt8]) throws {
    #expect(try commands([bytes]) == [command])
  }

  @Test func `commands split anywhere and joined are read`() throws {
    let all = Self.submissions.flatMap(\.1)
    #expect(try commands([all]) == Self.submissions.map(\.0))
    #expect(try commands(all.map { [$0] }) == Self.submissions.map(\.0))
    for place in 1..<all.count {
      #expect(try commands([Array(all[..<place]), Array(all[place...])]) == Self.submissions.map(\.0))
    }
  }

  @Test func `a command waits for all of its data`() throws {
    var parser = USBIPCommandParser()
    parser.feed(Array(Captured.interruptOut.dropLast()))
    #expect(try parser.next() == nil)
    #expect(parser.pending == 48 + 63)
    parser.feed([0])
    #expect(try parser.next() == Self.submissions[1].0)
    #expect(parser.pending == 0)
  }

  static let refused: [(offset: Int, word: UInt32, error: USBIPError)] = [
    (0x00, 3, .command(3)), (0x00, 0, .command(0)), (0x00, 0x0111_8005, .command(0x0111_8005)),
    (0x0C, 2, .direction(2)), (0x10, 16, .endpoint(16)), (0x10, 0x101, .endpoint(0x101)),
    (0x18, 16 << 20 + 1, .length(16 << 20 + 1)), (0x18, .max, .length(.max)),
    (0x20, 1, .isochronous(packets: 1)), (0x20, 0x7FFF_FFFF, .isochronous(packets: 0x7FFF_FFFF)),
  ]

  @Test(arguments: refused)
  func `a command that is out of bounds is refused by its kind`(
    offset: Int, word: UInt32, error: USBIPError
  ) {
    var bytes = Captured.interruptIn
    for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32(index))) }
    #expect(throws: error) { try commands([bytes]) }
  }

  @Test func `the longest transfer is taken and one byte more is not`() throws {
    var bytes = Captured.interruptIn
    bytes.replaceSubrange(0x18..<0x1C, with: [0x01, 0, 0, 0])
    #expect(try commands([bytes]).count == 1)
    bytes[0x1B] = 1
    #expect(throws: USBIPError.length(0x0100_0001)) { try commands([bytes]) }
  }

  @Test(arguments: 0..<200 as Range<UInt64>) func `no bytes break the parsers`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bytes = Self.submissions.flatMap(\.1)
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    let pieces = random.pieces(of: bytes, most: 70)
    // What it says must not depend on how the bytes were cut.
    let whole = Result { try commands([bytes]) }.map(\.count)
    let cut = Result { try commands(pieces) }.map(\.count)
    switch (whole, cut) {
    case (.success(let one), .success(let other)): #expect(one == other)
    case (.failure(let one), .failure(let other)): #expect(one as? USBIPError == other as? USBIPError)
    default: Issue.record("cutting changes the outcome")
    }
    _ = try? operation(random.bytes(48, favouring: [0x01, 0x11, 0x80, 0x03, 0x05, 0x00]))
  }
}

@Suite struct USBIPReplyTests {
  @Test func `replies have the bytes of the document`() {
    // The example repeats a start_frame of ffffffff; by the table of the same document it is 0.
    func asInTheTable(_ captured: [UInt8]) -> [UInt8] {
      captured[..<0x1C] + [0, 0, 0, 0] + captured[0x20...]
    }
    let out = USBIPReply.submit(sequence: 0xD06, status: .ok, length: 64, packets: 0, data: [])
    #expect(out.encode() == asInTheTable(Captured.outReply))
    let into = USBIPReply.submit(sequence: 0xD05, status: .ok, length: 64, packets: 0, data: Captured.answer)
    #expect(into.encode() == asInTheTable(Captured.inReply))
  }

  @Test func `a failed transfer says why in a negative number`() {
    let stalled = USBIPReply.submit(sequence: 7, status: .stalled, length: 0, packets: 0, data: [])
    #expect(
      stalled.encode()
        == words(
          "00000003 00000007 00000000 00000000 00000000 ffffffe0 00000000 00000000 00000000 00000000 00000000 00000000"
        ))
  }

  @Test func `unlinking is answered with 104 or 0`() {
    #expect(
      USBIPReply.unlink(sequence: 0xD07, wasPending: true).encode()
        == words(
          "00000004 00000d07 00000000 00000000 00000000 ffffff98 00000000 00000000 00000000 00000000 00000000 00000000"
        ))
    #expect(
      USBIPReply.unlink(sequence: 0xD08, wasPending: false).encode()
        == words(
          "00000004 00000d08 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000"
        ))
  }
}

@Suite struct USBIPOperationTests {
  private static let busID = Array("3-2".utf8) + [UInt8](repeating: 0, count: 29)

  @Test func `operations are read from the bytes of the document`() throws {
    #expect(try operation(words("01118005 00000000")) == .deviceList)
    #expect(try operation(words("01118003 00000000") + Self.busID) == .importDevice(busID: "3-2"))
  }

  @Test func `an operation split anywhere is read, and what follows is kept`() throws {
    let bytes = words("01118003 00000000") + Self.busID
    for place in 0..<bytes.count {
      var parser = USBIPOperationParser()
      parser.feed(Array(bytes[..<place]))
      #expect(try parser.next() == nil)
      parser.feed(Array(bytes[place...]) + Captured.interruptIn)
      #expect(try parser.next() == .importDevice(busID: "3-2"))
      #expect(parser.rest() == Captured.interruptIn)
    }
  }

  @Test func `operations that cannot be understood are refused by their kind`() {
    #expect(throws: USBIPError.version(0x0110)) { try operation(words("01108005 00000000")) }
    #expect(throws: USBIPError.operation(0x8007)) { try operation(words("01118007 00000000")) }
    #expect(throws: USBIPError.operation(0x0005)) { try operation(words("01110005 00000000")) }
    for name in [
      [UInt8](repeating: 0x31, count: 32), [UInt8](repeating: 0, count: 32),
      [0x0A] + [UInt8](repeating: 0, count: 31),
    ] {
      #expect(throws: USBIPError.busID) { try operation(words("01118003 00000000") + name) }
    }
  }

  private let device = USBIPDevice(
    path: "/sys/devices/pci0000:00/0000:00:1d.1/usb3/3-2", busID: "3-2", bus: 3, number: 2, speed: 2,
    vendor: 0x0400,
    product: 0xC35A, release: 0x0100, deviceClass: [0, 0, 0], configuration: 1, configurations: 1,
    interfaces: [[0xFF, 0, 0], [3, 1, 1]])

  @Test func `the list of devices has every field at its place`() {
    let list = USBIPDevice.deviceList([device, device])
    // 0xC + i × 0x138 + 4 for each interface (the document's formula).
    #expect(list.count == 0xC + 2 * 0x138 + 2 * 8)
    #expect(list[..<0xC] == words("01110005 00000000 00000002")[...])
    let one = list[0xC..<0xC + 0x138 + 8]
    #expect(one.prefix(48) == Array("/sys/devices/pci0000:00/0000:00:1d.1/usb3/3-2".utf8)[...] + [0, 0, 0])
    #expect(list[0x10C..<0x12C] == Self.busID[...])
    #expect(
      list[0x12C..<0x14C]
        == words("00000003 00000002 00000002 0400c35a 01000000 00010102 ff000000 03010100")[...])
    #expect(list[(0xC + 0x138 + 8)...] == one)
  }

  @Test func `an empty list ends with its number`() {
    #expect(USBIPDevice.deviceList([]) == words("01110005 00000000 00000000"))
  }

  @Test func `the reply to an import has the device without its interfaces`() {
    let reply = device.imported()
    #expect(reply.count == 0x140)
    #expect(reply[..<8] == words("01110003 00000000")[...])
    #expect(reply[0x108..<0x128] == Self.busID[...])
    #expect(reply[0x128...] == words("00000003 00000002 00000002 0400c35a 01000000 00010102")[...])
    #expect(device.id == 0x0003_0002)
    #expect(USBIPDevice.importRefused(.failed) == words("01110003 00000001"))
  }

  @Test func `names that are too long leave room for their closing zero`() {
    var long = device
    long.path = String(repeating: "p", count: 300)
    long.busID = String(repeating: "b", count: 40)
    let reply = long.imported()
    #expect(reply.count == 0x140)
    #expect(reply[0x107] == 0 && reply[0x106] == UInt8(ascii: "p"))
    #expect(reply[0x127] == 0 && reply[0x126] == UInt8(ascii: "b"))
  }
}
