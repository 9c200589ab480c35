import Channels
import Codecs
import Simulation
import Testing

/// A USB host on one simulated device, which is its bus.
private struct Host {
  let device: SimulatedDevice
  let connection: USBConnection
  private var reports: AsyncStream<USBReport>.Iterator
  private var last: UInt32 = 0

  init(_ device: SimulatedDevice, configured: Bool = true) async throws {
    self.device = device
    connection = try await device.openUSB()
    reports = connection.reports.makeAsyncIterator()
    if configured { #expect(try await control("00 09 01 00 00 00 00 00").status == .ok) }
  }

  mutating func submit(_ endpoint: UInt8, _ data: [UInt8] = [], length: Int? = nil, short: Bool = true) async
    -> UInt32
  {
    last += 1
    await connection.submit(
      USBTransfer(
        id: last, endpoint: endpoint, length: length ?? data.count, data: data, forbidsShort: !short))
    return last
  }

  mutating func next() async -> USBReport? { await reports.next(isolation: #isolation) }

  /// The next report, which must be the end of this transfer.
  mutating func end(of id: UInt32) async throws -> USBCompletion {
    guard case .completed(let end)? = await next() else { throw ChannelError.gone }
    #expect(end.id == id)
    return end
  }

  mutating func control(_ setup: String, data: [UInt8] = [], length: Int = 255) async throws -> USBCompletion
  {
    last += 1
    let setup = hex(setup)
    let isIn = setup[0] & 0x80 != 0
    await connection.submit(
      USBTransfer(
        id: last, endpoint: isIn ? 0x80 : 0, length: isIn ? length : data.count, data: data, setup: setup))
    return try await end(of: last)
  }

  mutating func send(_ data: [UInt8], to endpoint: UInt8) async throws {
    let end = try await end(of: submit(endpoint, data))
    #expect(end.status == .ok && end.length == data.count)
  }

  mutating func receive(_ endpoint: UInt8, length: Int) async throws -> USBCompletion {
    try await end(of: submit(endpoint, length: length))
  }

  /// Whether a transfer still waits; it is taken back.
  mutating func takesBack(_ id: UInt32) async -> Bool {
    await connection.unlink(id, asked: 1_000_000)
    return await reports.next(isolation: #isolation) == .unlinked(asked: 1_000_000, wasPending: true)
  }
}

private func reader(
  _ layout: USBCardReader.Layout = .singlePair, serial: String? = nil
) -> SimulatedDevice {
  SimulatedDevice(
    "reader", SimulatedIDCardReader(), usb: USBCardReader(layout, serial: serial), time: TestClock())
}

private func printer(_ change: (inout SimulatedTicketPrinter.Options) -> Void = { _ in }) -> SimulatedDevice {
  var options = SimulatedTicketPrinter.Options { String(decoding: $0, as: UTF8.self) }
  change(&options)
  return SimulatedDevice(
    "printer", SimulatedTicketPrinter(options), usb: USBTicketPrinter(), time: TestClock())
}

private let status = hex("AA AA AA 96 69 00 03 11 FF ED")
private let statusReply = hex("AA AA AA 96 69 00 04 00 00 90 94")

@Suite(.timeLimit(.minutes(1))) struct USBDescriptorTests {
  @Test func `a reader's descriptors are these bytes`() async throws {
    var host = try await Host(reader(serial: "A1"), configured: false)
    let device = try await host.control("80 06 00 01 00 00 12 00")
    #expect(device.data == hex("12 01 10 01 00 00 00 40 00 04 5A C3 00 01 01 02 03 01"))
    let configuration = try await host.control("80 06 00 02 00 00 FF 00")
    #expect(
      configuration.data
        == hex(
          "09 02 20 00 01 01 00 C0 32  09 04 00 00 02 FF 00 00 00  07 05 81 02 40 00 00  07 05 02 02 40 00 00"
        ))
    #expect(try await host.control("80 06 00 03 00 00 FF 00").data == hex("04 03 09 04"))
    #expect(try await host.control("80 06 03 03 09 04 FF 00").data == hex("06 03 41 00 31 00"))
    #expect(try await host.control("80 06 00 02 00 00 09 00").data == Array(configuration.data.prefix(9)))
  }

  @Test func `a keypad is a low-speed boot keyboard with eight bytes on its control endpoint`() async throws {
    let keypad = SimulatedDevice(
      "keypad", SimulatedKeypad(), usb: USBKeypad(SimulatedKeypad()), time: TestClock())
    var host = try await Host(keypad, configured: false)
    #expect(keypad.usbDescription?.speed == .low)
    #expect(try await host.control("80 06 00 01 00 00 08 00").data == hex("12 01 10 01 00 00 00 08"))
    #expect(
      try await host.control("80 06 00 02 00 00 FF 00").data
        == hex(
          "09 02 22 00 01 01 00 80 32  09 04 00 00 01 03 01 01 00  09 21 11 01 00 01 22 3F 00  07 05 81 03 08 00 0A"
        ))
    #expect(try await host.control("81 06 00 22 00 00 3F 00").data.count == 63)
  }

  @Test func `without a serial number there is no string for it, and two devices may differ by it alone`() {
    let descriptions = [nil, "1", "2"].map { USBCardReader(.singlePair, serial: $0).description.descriptors }
    #expect(descriptions.map { $0.device[16] } == [0, 3, 3])
    #expect(descriptions[1].device == descriptions[2].device)
    #expect(descriptions[1].strings[3] != descriptions[2].strings[3])
  }

  @Test func `a high-speed device says what it would be at full speed`() {
    let camera = USBCamera([SimulatedCamera.Size(width: 640, height: 480, bytes: 1000)]).description
      .descriptors
    #expect(camera.qualifier == hex("0A 06 00 02 EF 02 01 40 01 00"))
    #expect(camera.otherSpeed?.count == camera.configuration.count)
    #expect(camera.otherSpeed?.suffix(7) == hex("07 05 81 02 40 00 00")[...])
    #expect(USBCardReader(.singlePair).description.descriptors.qualifier == nil)
  }

  @Test func `damage is the same for the same seed, and what is not damaged stays`() async throws {
    let device = reader()
    var found: [[UInt8]] = []
    for seed in [3, 3, 4, 5, 6] {
      try await device.apply("malformed-descriptors \(seed)")
      let host = try await Host(device, configured: false)
      var asking = host
      var all: [UInt8] = []
      for request in [
        "80 06 00 01 00 00 FF 00", "80 06 00 02 00 00 FF 00", "80 06 01 03 09 04 FF 00",
        "80 06 02 03 09 04 FF 00",
      ] {
        all += try await asking.control(request).data + [0xEE]
      }
      found.append(all)
      await host.connection.close()
    }
    #expect(found[0] == found[1])
    #expect(Set(found).count > 2)
    try await device.apply("good descriptors")
    var host = try await Host(device)
    try await host.send(status, to: 0x02)
    #expect(try await host.receive(0x81, length: 64).data == statusReply)
  }
}

@Suite(.timeLimit(.minutes(1))) struct USBTransferTests {
  @Test func `a transfer to the host waits until there is something, and can be taken back before`()
    async throws
  {
    var host = try await Host(reader())
    let given = await host.submit(0x81, length: 4096)
    #expect(await host.takesBack(given))
    let waiting = await host.submit(0x81, length: 4096)
    let sent = await host.submit(0x02, status)
    // The reader answers while it takes the request.
    var ends: [UInt32: USBCompletion] = [:]
    for _ in 0..<2 {
      if case .completed(let end)? = await host.next() { ends[end.id] = end }
    }
    #expect(ends[waiting]?.data == statusReply && ends[sent]?.length == 10)
    #expect(await host.takesBack(waiting) == false)
  }

  @Test func `a short packet ends a transfer, and a full one does not`() async throws {
    let device = reader()
    var host = try await Host(device)
    try await device.apply("card present citizen")
    for request in [
      "AA AA AA 96 69 00 03 20 01 22", "AA AA AA 96 69 00 03 20 02 21", "AA AA AA 96 69 00 03 30 01 32",
    ] {
      try await host.send(hex(request), to: 0x02)
    }
    #expect(try await host.receive(0x81, length: 4096).length == 15)
    #expect(try await host.receive(0x81, length: 4096).length == 19)
    // 1295 bytes are 20 packets of 64 and one of 15.
    #expect(try await host.receive(0x81, length: 640).length == 640)
    #expect(try await host.receive(0x81, length: 4096).length == 655)
  }

  @Test func `a packet longer than the room is an overflow, and the rest of it is lost`() async throws {
    var host = try await Host(reader())
    try await host.send(status, to: 0x02)
    let end = try await host.receive(0x81, length: 7)
    #expect(end.status == .overflow && end.data == Array(statusReply.prefix(7)))
    let waiting = await host.submit(0x81, length: 64)
    #expect(await host.takesBack(waiting))
  }

  @Test func `less than asked for is a failure when the host forbids it`() async throws {
    var host = try await Host(reader())
    try await host.send(status, to: 0x02)
    let end = try await host.end(of: host.submit(0x81, length: 64, short: false))
    #expect(end.status == .tooShort && end.data == statusReply)
  }

  @Test func `the split layout has preamble and length by themselves`() async throws {
    var host = try await Host(reader(.splitPipe))
    try await host.send(Array(status.prefix(7)), to: 0x02)
    try await host.send(Array(status.dropFirst(7)), to: 0x06)
    #expect(try await host.receive(0x81, length: 64).data == Array(statusReply.prefix(7)))
    #expect(try await host.receive(0x85, length: 64).data == Array(statusReply.dropFirst(7)))
  }

  @Test func `nothing answers at an endpoint that is not there, or before a configuration is chosen`()
    async throws
  {
    var host = try await Host(reader(), configured: false)
    #expect(try await host.receive(0x81, length: 64).status == .noAnswer)
    #expect(try await host.control("00 09 01 00 00 00 00 00").status == .ok)
    #expect(try await host.receive(0x83, length: 64).status == .noAnswer)
    #expect(try await host.end(of: host.submit(0x01, [1])).status == .noAnswer)
  }

  @Test func `a printer out of paper takes what its buffer holds, and the rest when it has paper`()
    async throws
  {
    let device = printer { $0.bufferBytes = 128 }
    var host = try await Host(device)
    try await device.apply("paper out")
    let ticket = Array(String(repeating: "0123456789ABCDE\n", count: 12).utf8)
    let waiting = await host.submit(0x01, ticket)
    #expect(try await host.control("A1 01 00 00 00 00 01 00").data == [0x30])
    #expect(await device.state.first { $0.name == "buffered-bytes" }?.value == "128")
    try await device.apply("paper full")
    let end = try await host.end(of: waiting)
    #expect(end.status == .ok && end.length == 192)
  }

  @Test func `a soft reset forgets what waits in the printer`() async throws {
    let device = printer()
    var host = try await Host(device)
    try await device.apply("paper out")
    try await host.send(Array("old ticket\n".utf8), to: 0x01)
    #expect(try await host.control("21 02 00 00 00 00 00 00").status == .ok)
    #expect(await device.state.first { $0.name == "buffered-bytes" }?.value == "0")
  }

  @Test func `a halted endpoint stalls until it is cleared, and a new configuration clears it`() async throws
  {
    let device = reader()
    var host = try await Host(device)
    let waiting = await host.submit(0x81, length: 64)
    try await device.apply("halt endpoint 81")
    #expect(try await host.end(of: waiting).status == .stalled)
    #expect(try await host.control("82 00 00 00 81 00 02 00").data == [1, 0])
    #expect(try await host.control("00 09 01 00 00 00 00 00").status == .ok)
    #expect(try await host.control("82 00 00 00 81 00 02 00").data == [0, 0])
    try await host.send(status, to: 0x02)
    #expect(try await host.receive(0x81, length: 64).data == statusReply)
  }

  @Test func `unplugging ends the host's hold, and what was under way is never told of`() async throws {
    let device = reader()
    var host = try await Host(device)
    _ = await host.submit(0x81, length: 64)
    try await device.apply("unplug")
    #expect(await host.next() == nil)
    #expect(await device.isPlugged == false)
    await #expect(throws: ChannelError.absent("simulated:reader")) { _ = try await device.openUSB() }
    try await device.apply("plug")
    #expect(await device.insertions == 2)
    var again = try await Host(device)
    try await again.send(status, to: 0x02)
    #expect(try await again.receive(0x81, length: 64).data == statusReply)
  }

  @Test func `the cable can come out in the middle of a transfer of either direction`() async throws {
    let device = reader()
    var host = try await Host(device)
    try await device.apply("unplug after 5 bytes")
    _ = await host.submit(0x02, status)
    #expect(await host.next() == nil)
    try await device.apply("plug")
    host = try await Host(device)
    try await device.apply("unplug after 5 reply bytes")
    try await host.send(status, to: 0x02)
    #expect(await host.next() == nil)
  }

  @Test func `faults of the line are faults of its USB form too`() async throws {
    let device = reader()
    var host = try await Host(device)
    try await device.apply("stall")
    let waiting = await host.submit(0x02, status)
    #expect(try await host.control("80 08 00 00 00 00 01 00").data == [1])
    try await device.apply("resume")
    #expect(try await host.end(of: waiting).status == .ok)
    #expect(try await host.receive(0x81, length: 64).data == statusReply)
    try await device.apply("truncate reply 3")
    try await host.send(status, to: 0x02)
    #expect(try await host.receive(0x81, length: 64).data == Array(statusReply.prefix(3)))
  }

  @Test func `one host has a device at a time, and a program on its line counts`() async throws {
    let device = reader()
    let line = try await device.openLine()
    await #expect(throws: ChannelError.busy("simulated:reader is already open")) {
      _ = try await device.openUSB()
    }
    await line.close()
    let host = try await Host(device)
    await #expect(throws: ChannelError.busy("simulated:reader is already open")) {
      _ = try await device.openUSB()
    }
    await #expect(throws: ChannelError.busy("simulated:reader is already open")) {
      _ = try await device.openLine()
    }
    await host.connection.close()
    await (try device.openLine()).close()
  }

  @Test func `a host cannot fill the memory with transfers`() async throws {
    var host = try await Host(reader())
    for _ in 0..<4096 { _ = await host.submit(0x81, length: 64) }
    #expect(try await host.end(of: host.submit(0x81, length: 64)).status == .failed)
  }

  @Test func `a timeline may use the faults of USB on USB devices alone`() throws {
    let text = Array(
      "[when reader configured]\nreader = halt in; nak on\n[at 1 s]\nreader = babble or silent nak\n".utf8)
    #expect(try Timeline.read(text, file: "t", devices: [reader()]).steps.count == 2)
    let plain = SimulatedDevice("reader", SimulatedIDCardReader(), time: TestClock())
    #expect(throws: ConfErrors.self) { try Timeline.read(text, file: "t", devices: [plain]) }
  }
}

@Suite(.timeLimit(.minutes(1))) struct USBReportTests {
  @Test func `the wrapped framing takes the published example and answers in segments`() async throws {
    let device = SimulatedDevice(
      "reader", SimulatedIDCardReader(), usb: USBReportCardReader(.wrapped), time: TestClock())
    var host = try await Host(device)
    // facts/idcard.md 2.4.
    let find = hex("88 00 00 0B 00 B1 AA AA AA 96 69 00 03 20 01 22 FF 03") + [UInt8](repeating: 0, count: 46)
    try await host.send(find, to: 0x02)
    let report = try await host.receive(0x81, length: 64).data
    // Length 14: result, two bytes of packet number, 11 of the frame; then the sum of bytes 3 to 18.
    #expect(
      report
        == hex("AA 00 00 0E 00 00 00 00 AA AA AA 96 69 00 04 00 00 80 84 13 04")
        + [UInt8](repeating: 0, count: 43))
  }

  @Test func `a keypad types a key down and up for each press`() async throws {
    let device = SimulatedDevice(
      "keypad", SimulatedKeypad(), usb: USBKeypad(SimulatedKeypad()), time: TestClock())
    var host = try await Host(device)
    let first = await host.submit(0x81, length: 8)
    try await device.apply("press 5")
    #expect(try await host.end(of: first).data == hex("00 00 22 00 00 00 00 00"))
    #expect(try await host.receive(0x81, length: 8).data == hex("00 00 00 00 00 00 00 00"))
    try await device.apply("key down 04")
    try await device.apply("key down 05")
    try await device.apply("key up")
    #expect(try await host.receive(0x81, length: 8).data == hex("00 00 04 00 00 00 00 00"))
    #expect(try await host.receive(0x81, length: 8).data == hex("00 00 04 05 00 00 00 00"))
    #expect(try await host.receive(0x81, length: 8).data == hex("00 00 00 00 00 00 00 00"))
    #expect(await device.records.compactMap { $0.record["press-number"] } == ["1"])
  }

  @Test func `a line with a speed of its own mishears a host that sets another`() async throws {
    var options = SimulatedIDCardReader.Options()
    options.baud = 9600
    let device = SimulatedDevice(
      "reader", SimulatedIDCardReader(options), usb: USBSerialPort(name: "Serial line"), time: TestClock())
    var host = try await Host(device)
    #expect(try await host.control("21 22 01 00 00 00 00 00").status == .ok)
    // 115200 8N1, then 9600 8N1.
    for (coding, isHeard) in [("00 C2 01 00 00 00 08", false), ("80 25 00 00 00 00 08", true)] {
      #expect(try await host.control("21 20 00 00 00 00 07 00", data: hex(coding)).status == .ok)
      #expect(try await host.control("A1 21 00 00 00 00 07 00").data == hex(coding))
      let waiting = await host.submit(0x81, length: 64)
      let sent = await host.submit(0x03, status)
      var answer: [UInt8] = []
      while let report = await host.next() {
        guard case .completed(let end) = report else { continue }
        if end.id == waiting { answer = end.data }
        if end.id == sent { break }
      }
      if !isHeard, answer.isEmpty { #expect(await host.takesBack(waiting)) }
      if isHeard, answer.isEmpty { answer = try await host.end(of: waiting).data }
      #expect((answer == statusReply) == isHeard)
    }
  }

  @Test func `a serial line throws away what comes while nobody has it open`() async throws {
    let device = SimulatedDevice(
      "caller", SimulatedEvaluator(), usb: USBSerialPort(name: "Desk caller"), time: TestClock())
    var host = try await Host(device)
    try await device.apply("press 5")
    let waiting = await host.submit(0x81, length: 64)
    #expect(try await host.control("21 22 01 00 00 00 00 00").status == .ok)
    #expect(await host.takesBack(waiting))
    #expect(try await host.receive(0x82, length: 16).data == hex("A1 20 00 00 00 00 02 00 03 00"))
  }
}
