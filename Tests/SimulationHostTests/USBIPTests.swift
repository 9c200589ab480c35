import Channels
import Posix
import Simulation
import Synchronization
import TestKit
import Testing

@testable import SimulationHost

/// A hall of one device in each USB form, exported by USB/IP and commanded over its control socket.
private struct ExportedHall {
  let hall: SimulatedHall
  let server: USBIPServer
  let control: SimulationControl
  let directory: TemporaryDirectory

  init() async throws {
    directory = try TemporaryDirectory()
    hall = try await SimulatedHall(SimulationConfiguration.usb.at(.instant), time: RealTime(), logs: nil)
    server = try USBIPServer(hall.devices, port: 0)
    control = try SimulationControl(hall, socket: directory.path("control.sock"))
  }

  func stop() async {
    await control.stop()
    await server.stop()
    await hall.stop()
  }
}

/// What the devices are on the wire, told by a client that was written from the kernel's document and the USB standards.
@Suite(.timeLimit(.minutes(5))) struct USBIPTests {
  @Test(arguments: [
    "reader", "reader-split", "reader-5020", "reader-hid", "reader-hid-wrapped", "dispenser", "keypad",
    "evaluator",
    "camera", "keypad-reports",
    "unlink", "faults", "refusals",
  ])
  func `a client of its own finds every descriptor right and each device at its work`(check: String)
    async throws
  {
    let exported = try await ExportedHall()
    let result = try await run(
      "python3",
      [
        "\(Repository.root)/Tests/Fixtures/usbip_client.py", "--port", "\(exported.server.port)", "--control",
        exported.directory.path("control.sock"), check,
      ])
    #expect(result.code == 0, "\(result.text)\(result.errors)")
    #expect(result.text == "\(check): ok\n")
    await exported.stop()
  }

  @Test(.enabled(if: Programs.areExpected("usbip") || Files.exists("/usr/sbin/usbip")))
  func `Linux's own tool lists them`() async throws {
    let exported = try await ExportedHall()
    let result = try await run(
      Programs.path(of: "usbip") ?? "/usr/sbin/usbip",
      ["--tcp-port", "\(exported.server.port)", "list", "--remote", "127.0.0.1"])
    #expect(result.code == 0, "\(result.errors)")
    for line in [
      "1-1: ", "(0400:c35a)", "(0316:5020)", "(2b8b:2721)", "(10c4:0007)", "(0416:5011)", "/simulated/keypad",
      "0 - Human Interface Device / Boot Interface Subclass / Keyboard (03/01/01)",
      "Bidirectional (07/01/02)",
      "1 - CDC Data", "1-9: ", "(0e/02/00)",
    ] {
      #expect(result.text.contains(line), "\(line) in \(result.text)")
    }
    await exported.stop()
  }

  @Test func `stopping the server takes the devices from whoever has them`() async throws {
    let exported = try await ExportedHall()
    let device = try exported.hall.device("reader")
    let stream = DescriptorStream(try Loopback.connect(port: exported.server.port))
    defer { stream.close() }
    let name = Array("reader".utf8)
    try await stream.write(
      hex("01 11 80 03 00 00 00 00") + name + [UInt8](repeating: 0, count: 32 - name.count),
      timeout: .seconds(20))
    #expect(await record("attach", of: device) != nil)
    await exported.stop()
    #expect(await record("detach", of: device) != nil)
    var rest = try await stream.read(upTo: 4096, timeout: .seconds(20))
    while !rest.isEmpty { rest = try await stream.read(upTo: 4096, timeout: .seconds(20)) }
  }
}

/// A kernel's virtual host controller as far as this program sees it: a list of ports, and a file that takes sockets.
private final class Controller: Sendable {
  let directory: TemporaryDirectory
  let plugged: AsyncStream<(value: String, socket: DescriptorStream)>
  private let continuation: AsyncStream<(value: String, socket: DescriptorStream)>.Continuation
  private let refusals: Mutex<Int>

  init(status: String, refusals: Int = 0) throws {
    directory = try TemporaryDirectory()
    (plugged, continuation) = AsyncStream.makeStream()
    self.refusals = Mutex(refusals)
    try Files.replaceDurable(directory.path("status"), bytes: Array(status.utf8), mode: 0o600)
  }

  var controller: VirtualHostController {
    VirtualHostController(directory: directory.path("")) { value throws(SystemError) in
      let isRefused = self.refusals.withLock { left in
        left -= 1
        return left >= 0
      }
      if isRefused { throw SystemError(call: "write", code: 16) }
      // The kernel keeps the open socket, whatever becomes of the number.
      guard let number = Int32(value.split(separator: " ")[1]) else { return }
      let lent = Descriptor(adopting: number)
      let kept = Result { () throws(SystemError) in try lent.duplicate().release() }
      _ = lent.release()
      self.continuation.yield((value, DescriptorStream(Descriptor(adopting: try kept.get()))))
    }
  }
}

@Suite(.timeLimit(.minutes(5))) struct VirtualHostTests {
  private static let status = """
    hub port sta spd dev      sockfd local_busid
    hs  0000 006 002 00010001 000023 1-1
    hs  0001 004 000 00000000 000000 0-0
    hs  0002 004 000 00000000 000000 0-0
    ss  0008 004 000 00000000 000000 0-0

    """

  private func hall() async throws -> SimulatedHall {
    try await SimulatedHall(SimulationConfiguration.usb.at(.instant), time: RealTime(), logs: nil)
  }

  private func readAll(_ socket: DescriptorStream, _ count: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more = try await socket.read(upTo: count - bytes.count, timeout: .seconds(20))
      if more.isEmpty { break }
      bytes += more
    }
    return bytes
  }

  @Test func `a device is handed to the first free port of its speed, and talks there`() async throws {
    let kernel = try Controller(status: Self.status)
    let hall = try await hall()
    try await hall.attach(["keypad"], to: kernel.controller)
    var plugged = kernel.plugged.makeAsyncIterator()
    let first = try #require(await plugged.next())
    let words = first.value.split(separator: " ")
    // Port 1, the socket, bus 1 device 7, low speed.
    #expect(words.count == 4 && words[0] == "1" && words[2] == "65543" && words[3] == "1")
    // GET_DESCRIPTOR of the device, as the kernel sends it first.
    try await first.socket.write(
      hex(
        "00 00 00 01 00 00 00 01 00 01 00 07 00 00 00 01 00 00 00 00 00 00 02 00 00 00 00 40 00 00 00 00 00 00 00 00"
          + " 00 00 00 00 80 06 00 01 00 00 40 00"), timeout: .seconds(20))
    let reply = try await readAll(first.socket, 48 + 18)
    #expect(
      reply.prefix(48)
        == hex(
          "00 00 00 03 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 12 00 00 00 00 00 00 00 00"
            + " 00 00 00 00 00 00 00 00 00 00 00 00")[...])
    #expect(reply.dropFirst(48).prefix(8) == hex("12 01 10 01 00 00 00 08")[...])
    await hall.stop()
    #expect(try await readAll(first.socket, 1) == [])
  }

  @Test func `unplugging closes the socket, and plugging hands over a new one before the command returns`()
    async throws
  {
    let kernel = try Controller(status: Self.status)
    let hall = try await hall()
    try await hall.attach(["reader"], to: kernel.controller)
    var plugged = kernel.plugged.makeAsyncIterator()
    for _ in 0..<20 {
      let session = try #require(await plugged.next())
      try await hall.apply("unplug", to: "reader")
      #expect(try await readAll(session.socket, 1) == [])
      session.socket.close()
      try await hall.apply("plug", to: "reader")
      #expect(await (try hall.device("reader")).state.contains(SimulationField("open", true)))
    }
    await hall.stop()
  }

  @Test func `a kernel that lets a device go is given it again only when it is plugged in anew`() async throws
  {
    let kernel = try Controller(status: Self.status)
    let hall = try await hall()
    let device = try hall.device("reader")
    try await hall.attach(["reader"], to: kernel.controller)
    var plugged = kernel.plugged.makeAsyncIterator()
    try #require(await plugged.next()).socket.close()
    #expect(await record("detach", of: device) != nil)
    try await hall.apply("card present citizen", to: "reader")
    #expect(await device.state.contains(SimulationField("open", false)))
    try await hall.apply("unplug; plug", to: "reader")
    #expect(await plugged.next() != nil)
    await hall.stop()
  }

  @Test func `a port that somebody else has just taken is no reason to give up`() async throws {
    let kernel = try Controller(status: Self.status, refusals: 3)
    let hall = try await hall()
    try await hall.attach(["reader"], to: kernel.controller)
    var plugged = kernel.plugged.makeAsyncIterator()
    #expect(await plugged.next() != nil)
    await hall.stop()
  }

  @Test func `without a free port or without the module it is said so`() async throws {
    let full = try Controller(
      status: "hub port sta spd dev      sockfd local_busid\nhs  0000 006 002 00010001 000023 1-1\n")
    let hall = try await hall()
    await #expect(throws: SimulatedHallError.self) { try await hall.attach(["reader"], to: full.controller) }
    let missing = VirtualHostController(directory: "/nowhere") { _ in }
    do {
      try await hall.attach(["reader-split"], to: missing)
      Issue.record("attached to nothing")
    } catch {
      #expect("\(error)".contains("vhci-hcd"))
    }
    await hall.stop()
  }
}
