import Channels
import LinuxChannels
import Posix
import Testing

@Suite(.timeLimit(.minutes(1))) struct HTTPChannelTests {
  let limit = Duration.seconds(50)

  @Test func `a request reaches the device and its answer comes back with lower-case headers`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    #expect(channel.basePath == "/eSCL")
    async let served: Void = server.serve(
      Array(
        "HTTP/1.1 201 Created\r\nLocation: http://wrong:1/eSCL/ScanJobs/7\r\nRetry-After: 2\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>"
          .utf8))
    let response = try await channel.exchange(
      HTTPRequest("POST", "/eSCL/ScanJobs", contentType: "text/xml", body: Array("<b/>".utf8)), timeout: limit
    )
    try await served
    #expect(response.status == 201)
    #expect(response.headers["location"] == "http://wrong:1/eSCL/ScanJobs/7")
    #expect(response.headers["retry-after"] == "2")
    #expect(response.headers["content-type"] == "text/xml")
    #expect(response.body == Array("<a/>".utf8))
    let request = try #require(await server.requests.first)
    #expect(request.hasPrefix("POST /eSCL/ScanJobs HTTP/1.1\r\n"))
    #expect(request.contains("Content-Type: text/xml\r\n"))
    #expect(request.hasSuffix("\r\n\r\n<b/>"))
    await channel.close()
  }

  @Test func `a redirect is handed over and not followed`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "")
    async let served: Void = server.serve(
      Array(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:\(server.port)/other\r\nContent-Length: 0\r\n\r\n"
          .utf8))
    let response = try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: limit)
    try await served
    #expect(response.status == 302)
    #expect(await server.requests.count == 1)
    await channel.close()
  }

  @Test func `a page of many megabytes arrives whole`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    var pixels = [UInt8](repeating: 0x5A, count: 20_000_000)
    for (count, index) in stride(from: 0, to: pixels.count, by: 4099).enumerated() {
      pixels[index] = UInt8(truncatingIfNeeded: count)
    }
    let page = pixels
    async let served: Void = server.serve(
      Array("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: \(page.count)\r\n\r\n".utf8)
        + page)
    let response = try await channel.exchange(
      HTTPRequest("GET", "/eSCL/ScanJobs/7/NextDocument"), timeout: .seconds(50))
    try await served
    #expect(response.body == page)
    await channel.close()
  }

  @Test func `an answer above the limit is refused by its announced length`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    async let served: Void = server.serve(
      Array("HTTP/1.1 200 OK\r\nContent-Length: \(HTTPChannel.bodyLimit + 1)\r\n\r\n".utf8))
    let error = await #expect(throws: ChannelError.self) {
      try await channel.exchange(HTTPRequest("GET", "/x"), timeout: limit)
    }
    try await served
    guard case .malformed(let text) = error else {
      return #expect(Bool(false), "\(String(describing: error))")
    }
    #expect(text.contains("\(HTTPChannel.bodyLimit)"))
    await channel.close()
  }

  @Test func `a port nobody listens on is absent`() async throws {
    let server = try ScriptedServer()
    let port = server.port
    let channel = try HTTPChannel.open(port: port, basePath: "/eSCL")
    await server.close()
    await #expect(throws: ChannelError.absent("http://127.0.0.1:\(port)/eSCL")) {
      try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: limit)
    }
    #expect(throws: ChannelError.absent("http://127.0.0.1:\(port)/eSCL")) {
      try HTTPChannel.open(port: port, basePath: "/eSCL")
    }
    await channel.close()
  }

  @Test(arguments: [
    "", "HTTP/1.1 200 OK\r\nContent-Len", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf",
  ])
  func `a connection that ends in mid-answer is gone`(_ answer: String) async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    async let served: Void = server.serve(Array(answer.utf8))
    await #expect(throws: ChannelError.gone) {
      try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: limit)
    }
    try await served
    // A page may have been taken: it is not asked for again.
    #expect(await server.requests.count == 1)
    await channel.close()
  }

  @Test func `an answer that is not HTTP is malformed`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    async let served: Void = server.serve(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8))
    let error = await #expect(throws: ChannelError.self) {
      try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: limit)
    }
    try await served
    guard case .malformed = error else { return #expect(Bool(false), "\(String(describing: error))") }
    await channel.close()
  }

  @Test func `a device that does not answer times out`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    async let held = server.hold()
    await #expect(throws: ChannelError.timedOut) {
      try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: .milliseconds(200))
    }
    try await held.close()
    await channel.close()
  }

  @Test func `cancelling the task ends the exchange`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    let exchange = Task {
      try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: .seconds(60))
    }
    let held = try await server.hold()
    exchange.cancel()
    await #expect(throws: ChannelError.cancelled) { try await exchange.value }
    held.close()
    await channel.close()
  }

  @Test func `closing the channel ends the exchange`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    let exchange = Task {
      try await channel.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: .seconds(60))
    }
    let held = try await server.hold()
    await channel.close()
    await #expect(throws: ChannelError.cancelled) { try await exchange.value }
    held.close()
  }

  @Test func `a method that HTTP devices do not know is refused`() async throws {
    let server = try ScriptedServer()
    let channel = try HTTPChannel.open(port: server.port, basePath: "/eSCL")
    await #expect(throws: ChannelError.self) {
      try await channel.exchange(HTTPRequest("BREW", "/pot"), timeout: limit)
    }
    await channel.close()
  }
}
