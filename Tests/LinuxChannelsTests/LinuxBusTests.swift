import Channels
import Posix
import TestKit
import Testing

@testable import LinuxChannels

@Suite(.timeLimit(.minutes(1))) struct LinuxBusTests {
  let bus = LinuxBus()
  let files: TemporaryDirectory

  init() throws { files = try TemporaryDirectory() }

  @Test(arguments: [
    ("tty:/dev/ttyS0", true), ("http://127.0.0.1:60000/eSCL", true), ("sane:test:0", true),
    ("cups:Receipt", true), ("usb:any", true), ("usb-interface:1-1:1.0", true), ("lp:/dev/usb/lp0", true),
    ("hidraw:/dev/hidraw0", true), ("evdev:/dev/input/event3", true), ("video:/dev/video0", true),
    ("simulated:idcard", false),
  ])
  func `it supplies everything but simulated devices`(_ text: String, _ isIts: Bool) throws {
    #expect(bus.supplies(try #require(ChannelAddress(text))) == isIts)
  }

  @Test func `each form of address opens its form of channel`() async throws {
    let pty = try PseudoTerminal.open()
    let line = try await bus.open(.tty(path: pty.path), line: LineSettings())
    #expect(line.kind == .byteStream)
    await line.close()

    let server = try ScriptedServer()
    let http = try await bus.open(.http(port: server.port, path: "/eSCL"), line: LineSettings())
    #expect(http.kind == .httpExchange)
    await http.close()

    let socket = try UnixSocket.listen(path: files.path("cups.sock"), mode: 0o600, group: nil)
    let queue = try await bus.open(.cups(queue: "q", server: files.path("cups.sock")), line: LineSettings())
    #expect(queue.kind == .printQueue)
    await queue.close()
    _ = consume socket

    let program = LinuxBus(scanning: ScanImageFeed.Configuration(program: "/bin/sh"))
    let feed = try await program.open(.sane(name: "test:0"), line: LineSettings())
    #expect(feed.kind == .pageFeed)
    await feed.close()
  }

  @Test func `what is not there is absent`() async throws {
    let missing = LinuxBus(scanning: ScanImageFeed.Configuration(program: "no-such-scanimage"))
    let addresses: [(ChannelAddress, String)] = [
      (.tty(path: files.path("none")), files.path("none")), (.sane(name: "test:0"), "no-such-scanimage"),
      (.cups(queue: "q", server: files.path("none")), "CUPS server \(files.path("none"))"),
      (.simulated(name: "x"), "simulated:x"),
    ]
    for (address, place) in addresses {
      await #expect(throws: ChannelError.absent(place)) {
        try await missing.open(address, line: LineSettings())
      }
    }
  }

  // MARK: Facts

  @Test func `facts name the place and the way to it`() async throws {
    let pty = try PseudoTerminal.open()
    #expect(await bus.facts(of: .tty(path: pty.path)) == ["transport": "tty", "address": pty.path])
    #expect(await bus.facts(of: .sane(name: "test:0")) == ["transport": "sane", "address": "test:0"])
    #expect(await bus.facts(of: .http(port: 1, path: "")) == ["transport": "http"])
    #expect(
      await bus.facts(of: .cups(queue: "q", server: files.path("none"))) == [
        "transport": "cups", "address": "q",
      ])
  }

  @Test(.enabled(if: PrivateCUPS.isExpected, Comment(rawValue: PrivateCUPS.reason)))
  func `a queue's facts have its make and model`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    let facts = await bus.facts(of: .cups(queue: "q", server: server.socket))
    #expect(facts == ["transport": "cups", "address": "q", "make-and-model": "Local Raw Printer"])
    await server.stop()
  }

  // MARK: Waiting

  private func waiter(_ address: ChannelAddress) -> Task<Void, Never> {
    Task { await bus.waitForChange(at: address) }
  }

  @Test func `a link that appears, goes or is replaced ends the wait`() async throws {
    let address = ChannelAddress.tty(path: files.path("idcard.tty"))
    let one = try PseudoTerminal.open()
    await #expect(throws: ChannelError.self) { try await bus.open(address, line: LineSettings()) }
    var waiting = waiter(address)
    try await Programs.run("ln", "-s", one.path, files.path("idcard.tty"))
    await waiting.value

    let line = try await bus.open(address, line: LineSettings())
    waiting = waiter(address)
    try Files.unlink(files.path("idcard.tty"))
    await waiting.value
    await line.close()
  }

  @Test func `a change between the failed opening and the wait is not missed`() async throws {
    let address = ChannelAddress.tty(path: files.path("idcard.tty"))
    let one = try PseudoTerminal.open()
    await #expect(throws: ChannelError.self) { try await bus.open(address, line: LineSettings()) }
    try await Programs.run("ln", "-s", one.path, files.path("idcard.tty"))
    await bus.waitForChange(at: address)
  }

  @Test func `directories that are missing are waited for`() async throws {
    let path = files.path("serial/by-id/reader")
    let bus = bus
    let waiting = Task { while !Files.exists(path) { await bus.waitForChange(at: .tty(path: path)) } }
    try Files.makeDirectory(files.path("serial"), mode: 0o755, parents: false)
    try Files.makeDirectory(files.path("serial/by-id"), mode: 0o755, parents: false)
    try Files.replaceDurable(path, bytes: [], mode: 0o600)
    await waiting.value
  }

  @Test func `a server's socket that appears ends the wait for its queue`() async throws {
    let address = ChannelAddress.cups(queue: "q", server: files.path("cups.sock"))
    await #expect(throws: ChannelError.self) { try await bus.open(address, line: LineSettings()) }
    let waiting = waiter(address)
    let socket = try UnixSocket.listen(path: files.path("cups.sock"), mode: 0o600, group: nil)
    await waiting.value
    _ = consume socket
  }

  @Test(arguments: [
    "tty:/dev/ttyS0", "http://127.0.0.1:60000/eSCL", "sane:test:0", "cups:q@/nowhere/cups.sock",
    "simulated:x",
  ])
  func `a wait ends with its task`(_ text: String) async throws {
    let waiting = waiter(try #require(ChannelAddress(text)))
    waiting.cancel()
    await waiting.value
  }
}

@Suite struct SystemErrorMeaningTests {
  @Test(
    arguments: [
      ("ENOENT", 2, ChannelError.absent("x")), ("ENXIO", 6, .absent("x")), ("ENODEV", 19, .absent("x")),
      ("EIO", 5, .absent("x")), ("EACCES", 13, .denied("x")), ("EPERM", 1, .denied("x")),
      ("EBUSY", 16, .busy("x")),
      ("ENOTTY", 25, .malformed("x is no serial line")), ("EMFILE", 24, .system(call: "open x", code: 24)),
    ] as [(String, Int32, ChannelError)])
  func `a refusal to open is what it means to a person`(
    _ name: String, _ code: Int32, _ meaning: ChannelError
  ) {
    let error = SystemError(call: "open x", code: code)
    #expect(error.name == name)
    #expect(ChannelError(opening: "x", error) == meaning)
  }

  @Test(arguments: [
    (StreamError.closed, ChannelError.cancelled), (.cancelled, .cancelled), (.timedOut, .timedOut),
    (.system(SystemError(call: "read", code: 5)), .gone),
    (.system(SystemError(call: "read", code: 19)), .gone),
    (.system(SystemError(call: "read", code: 6)), .gone),
    (.system(SystemError(call: "write", code: 32)), .gone),
    (.system(SystemError(call: "read", code: 12)), .system(call: "read", code: 12)),
  ])
  func `a failure of an open line is what it means to a driver`(_ error: StreamError, _ meaning: ChannelError)
  {
    #expect(ChannelError(using: error) == meaning)
  }
}
