import Channels
import Posix
import Simulation
import TestKit
import Testing

@testable import SimulationHost

/// Simulated lines as other programs see them: a path that is opened as a serial port.
@Suite(.timeLimit(.minutes(5))) struct TerminalTests {
  private let hall: TestHall

  init() async throws { hall = try await TestHall() }

  private func open(_ name: String, baud: Int = 9600) throws -> DescriptorStream {
    DescriptorStream(try SerialPort.open(path: hall.path(name), settings: SerialSettings(baud: baud)))
  }

  private func read(_ count: Int, from port: DescriptorStream) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more = try await port.read(upTo: count - bytes.count, timeout: .seconds(20))
      if more.isEmpty { break }
      bytes += more
    }
    return bytes
  }

  @Test func `a card is read through the terminal`() async throws {
    let port = try open("idcard.tty", baud: 115_200)
    defer { port.close() }
    try await hall.hall.apply("card present citizen", to: "idcard")
    try await port.write(hex("AA AA AA 96 69 00 03 20 01 22"), timeout: .seconds(50))
    #expect(try await read(15, from: port) == hex("AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97"))
    try await port.write(hex("AA AA AA 96 69 00 03 20 02 21"), timeout: .seconds(50))
    #expect(try await read(19, from: port).last == 0x9C)
    try await port.write(hex("AA AA AA 96 69 00 03 30 01 32"), timeout: .seconds(50))
    let reply = try await read(1295, from: port)
    #expect(reply.count == 1295)
    #expect(reply.reduce(0, ^) == [0xAA, 0xAA, 0xAA, 0x96, 0x69].reduce(0, ^))
  }

  @Test func `a program that closes the terminal can open it again`() async throws {
    for _ in 0..<5 {
      let port = try open("idcard.tty", baud: 115_200)
      try await port.write(hex("AA AA AA 96 69 00 03 11 FF ED"), timeout: .seconds(50))
      #expect(try await read(11, from: port) == hex("AA AA AA 96 69 00 04 00 00 90 94"))
      port.close()
    }
  }

  @Test func `another language's program gets the same bytes`() async throws {
    let script = """
      import os, sys, termios, tty
      fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
      tty.setraw(fd)
      os.write(fd, bytes.fromhex("FF6803036801010B0D16"))
      os.write(fd, bytes.fromhex("FF6802026801030416"))
      termios.tcdrain(fd)
      print("sent")
      """
    guard Programs.areExpected("python3") else { return }
    let result = try await run("python3", ["-c", script, hall.path("evaluator.tty")])
    #expect(result.text == "sent\n", "\(result.errors)")
    let evaluator = try hall.hall.device("evaluator")
    #expect(await record("prompt", of: evaluator)?["address"] == "1")
    #expect(await record("beep", of: evaluator)?["address"] == "1")
  }

  @Test func `unplugging hangs the terminal up and takes its name away until it is plugged again`()
    async throws
  {
    let port = try open("dispenser.tty")
    try await hall.hall.apply("unplug", to: "dispenser")
    // A hung-up terminal reads as an end or an input/output error.
    let rest = try? await port.read(upTo: 1, timeout: .seconds(20))
    #expect(rest == nil || rest == [])
    port.close()
    #expect(!Files.exists(hall.path("dispenser.tty")))
    #expect(throws: SystemError.self) { try open("dispenser.tty") }
    try await hall.hall.apply("plug", to: "dispenser")
    let again = try open("dispenser.tty")
    defer { again.close() }
    try await again.write(hex("10 04 01"), timeout: .seconds(50))
    #expect(try await read(1, from: again) == hex("16"))
  }

  @Test func `out of paper the writer waits, and everything is printed after the refill`() async throws {
    let port = try open("dispenser.tty")
    defer { port.close() }
    try await hall.hall.apply("paper out", to: "dispenser")
    // More than the printer's buffer and the terminal's together take.
    let lines = (1...2000).map { "line \($0) of the ticket" }
    let bytes = Array((lines.joined(separator: "\n") + "\n").utf8) + hex("1D 56 00")
    let failure = await #expect(throws: StreamWriteError.self) {
      try await port.write(bytes, timeout: .milliseconds(300))
    }
    let written = failure?.written ?? 0
    #expect(failure?.reason == .timedOut)
    #expect(written >= 4096 && written < bytes.count)
    async let rest: Void = port.write(Array(bytes[written...]), timeout: .seconds(20))
    try await hall.hall.apply("paper full", to: "dispenser")
    try await rest
    let ticket = await record("ticket", of: try hall.hall.device("dispenser"))?.ticket
    #expect(ticket?.lines == lines)
  }

  @Test func `a Chinese ticket comes out as it was sent`() async throws {
    let port = try open("dispenser.tty")
    defer { port.close() }
    let text = try #require(Iconv.encode("综合受理 A001号\n前方等待3人\n", to: .gb18030))
    try await port.write(hex("1B 40 1C 26") + text + hex("1D 56 42 10"), timeout: .seconds(50))
    let ticket = await record("ticket", of: try hall.hall.device("dispenser"))?.ticket
    #expect(ticket?.lines == ["综合受理 A001号", "前方等待3人"])
  }

  @Test func `stopping takes every name away`() async throws {
    await hall.hall.stop()
    for name in ["idcard.tty", "dispenser.tty", "evaluator.tty", "scanner.url", "cups.sock"] {
      #expect(!Files.exists(hall.path(name)), "\(name)")
    }
  }

  @Test func `addresses are those that drivers use`() async {
    let terminal = await hall.hall.address(of: "idcard")
    #expect(terminal == .tty(path: hall.path("idcard.tty")))
    #expect(await hall.hall.address(of: "printer") == .cups(queue: "Printer", server: hall.path("cups.sock")))
    guard case .http(let port, "/eSCL")? = await hall.hall.address(of: "scanner") else {
      Issue.record("the scanner has no address")
      return
    }
    #expect(port > 0)
  }
}
