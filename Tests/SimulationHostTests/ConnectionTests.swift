import Channels
import Posix
import Simulation
import TestKit
import Testing

@testable import SimulationHost

/// A connection with plain bytes on it, so that it is seen when one breaks off.
private struct RawConnection {
  let stream: DescriptorStream

  init(port: UInt16) throws { stream = DescriptorStream(try Loopback.connect(port: port)) }
  init(path: String) throws { stream = DescriptorStream(try UnixSocket.connect(path: path)) }

  /// What comes until the other side closes, or as long as an answer with its length says.
  func ask(_ method: String, _ path: String, body: String = "", language: String = "en") async throws
    -> String
  {
    let request = """
      \(method) \(path) HTTP/1.1\r
      Host: localhost\r
      Accept-Language: \(language)\r
      Content-Type: application/json\r
      Content-Length: \(body.utf8.count)\r
      Connection: close\r
      \r
      \(body)
      """
    // A connection that is broken off already takes nothing.
    _ = try? await stream.write(Array(request.utf8), timeout: .seconds(10))
    var bytes: [UInt8] = []
    while let more = try? await stream.read(upTo: 65_536, timeout: .seconds(20)), !more.isEmpty {
      bytes += more
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

@Suite(.timeLimit(.minutes(1))) struct ConnectionTests {
  private let hall: TestHall
  private let port: UInt16

  init() async throws {
    hall = try await TestHall()
    guard case .http(let port, _)? = await hall.hall.address(of: "scanner") else { throw ChannelError.gone }
    self.port = port
  }

  private func status() async throws -> String {
    try await RawConnection(port: port).ask("GET", "/eSCL/ScannerStatus")
  }

  @Test func `the scanner answers on the loopback, at the address in its file`() async throws {
    let text = String(decoding: try Files.read(hall.path("scanner.url"), limit: 1000), as: UTF8.self)
    #expect(text == "http://127.0.0.1:\(port)/eSCL\n")
    let answer = try await status()
    #expect(answer.hasPrefix("HTTP/1.1 200 "))
    #expect(answer.contains("ScannerAdfLoaded"))
  }

  @Test func `a dropped connection gives no byte`() async throws {
    try await hall.hall.apply("drop", to: "scanner")
    #expect(try await status() == "")
    #expect(try await status().hasPrefix("HTTP/1.1 200 "))
  }

  @Test func `a connection closed in the reply gives less than it announced`() async throws {
    try await hall.hall.apply("close mid-reply", to: "scanner")
    let answer = try await RawConnection(port: port).ask("GET", "/eSCL/ScannerCapabilities")
    #expect(answer.hasPrefix("HTTP/1.1 200 "))
    let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1)
    let length = parts[0].split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
    let announced = length.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
    let got = parts.count > 1 ? parts[1].utf8.count : 0
    #expect(got < announced, "\(got) of \(announced)")
  }

  @Test func `a hanging scanner answers when it goes on`() async throws {
    try await hall.hall.apply("hang", to: "scanner")
    async let answer = status()
    try await hall.hall.apply("resume", to: "scanner")
    #expect(try await answer.hasPrefix("HTTP/1.1 200 "))
  }

  @Test func `an unplugged scanner refuses connections, and is back at the same port`() async throws {
    try await hall.hall.apply("unplug", to: "scanner")
    #expect(throws: SystemError.self) { _ = try Loopback.connect(port: port) }
    #expect(!Files.exists(hall.path("scanner.url")))
    try await hall.hall.apply("plug", to: "scanner")
    #expect(Files.exists(hall.path("scanner.url")))
    #expect(try await status().hasPrefix("HTTP/1.1 200 "))
  }

  @Test func `unplugging breaks a hanging request off`() async throws {
    try await hall.hall.apply("hang", to: "scanner")
    let connection = try RawConnection(port: port)
    async let answer = connection.ask("GET", "/eSCL/ScannerStatus")
    try await hall.hall.apply("unplug", to: "scanner")
    #expect(try await answer == "")
  }

  // MARK: Control

  @Test func `devices are listed with their state and commands`() async throws {
    let path = hall.directory.path("control.sock")
    let control = try SimulationControl(hall.hall, socket: path)
    let answer = try await RawConnection(path: path).ask("GET", "/v1/simulation")
    #expect(answer.hasPrefix("HTTP/1.1 200 "))
    for word in [
      "\"idcard\"", "\"dispenser\"", "\"scanner\"", "\"evaluator\"", "\"printer\"", "\"paper\":\"full\"",
    ] {
      #expect(answer.contains(word), "\(word)")
    }
    #expect(answer.contains("paper full|low|out — "))
    await control.stop()
    #expect(!Files.exists(path))
  }

  @Test func `a command is carried out and answered with the new state`() async throws {
    let path = hall.directory.path("control.sock")
    let control = try SimulationControl(hall.hall, socket: path)
    let answer = try await RawConnection(path: path).ask(
      "POST", "/v1/simulation/dispenser", body: #"{"command": "paper low; cover open"}"#)
    #expect(answer.hasPrefix("HTTP/1.1 200 "))
    #expect(answer.contains(#""paper":"low""#) && answer.contains(#""cover":"open""#))
    await control.stop()
  }

  @Test(arguments: [
    (
      "POST", "/v1/simulation/dispenser", #"{"command": "paper ot"}"#, 400, "did you mean 'paper out'?",
      "paper out"
    ),
    ("POST", "/v1/simulation/dispenser", #"{"command": ""}"#, 400, "known:", "可用"),
    (
      "POST", "/v1/simulation/dispener", #"{"command": "jam"}"#, 404, "did you mean 'dispenser'?", "dispenser"
    ),
    ("POST", "/v1/simulation/evaluator", #"{"command": "press 1"}"#, 409, "no key for level 1", "没有"),
    ("POST", "/v1/simulation/dispenser", "nonsense", 400, "the body must be", "请求体"),
    ("GET", "/v1/other", "", 404, "nothing here", "没有"), ("PUT", "/v1/simulation", "", 405, "method", "方法"),
  ])
  func `mistakes are answered in the caller's language`(
    method: String, path: String, body: String, status: Int, english: String, chinese: String
  ) async throws {
    let socket = hall.directory.path("control.sock")
    let control = try SimulationControl(hall.hall, socket: socket)
    let answer = try await RawConnection(path: socket).ask(method, path, body: body)
    #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
    #expect(answer.contains(english), "\(answer)")
    let other = try await RawConnection(path: socket).ask(method, path, body: body, language: "zh-CN")
    #expect(other.contains(chinese), "\(other)")
    await control.stop()
  }

  @Test func `descriptions fit the agent's own interface`() async throws {
    for device in hall.hall.devices {
      #expect(device.commandHelp.count <= 100)
      for help in device.commandHelp {
        #expect("\(help.pattern) — \(help.help)".count <= 200, "\(help.pattern)")
      }
    }
  }
}
