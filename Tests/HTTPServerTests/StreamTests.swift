import HTTPClient
import HTTPServer
import Posix
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct StreamTests {
  /// A handler that streams what the test yields, and a signal for the stream's end.
  struct Source: Sendable {
    let stream: AsyncStream<[UInt8]>
    let pieces: AsyncStream<[UInt8]>.Continuation
    let ended = Signal()

    init() {
      (stream, pieces) = AsyncStream.makeStream(of: [UInt8].self)
      pieces.onTermination = { [ended] _ in ended.give() }
    }

    func yield(_ text: String) { pieces.yield(Array(text.utf8)) }

    var response: ServerResponse {
      ServerResponse(status: 200, headers: [("Content-Type", "text/event-stream")], body: .stream(stream))
    }
  }

  @Test(.enabled(if: hasCurl, curlIsMissing)) func `curl gets each event as it comes`() async throws {
    let source = Source()
    let server = try TestServer { _ in source.response }
    let curl = try ChildProcess.spawn(
      "curl", arguments: ["-sSN", "-i", "--unix-socket", server.path, "http://localhost/v1/events"],
      standardOutput: .pipe)
    let output = try #require(curl.output)
    func read(until mark: String) async throws -> String {
      var text = ""
      while !text.contains(mark) {
        let bytes = try await output.read(upTo: 4096, timeout: .seconds(30))
        guard !bytes.isEmpty else { break }
        text += String(decoding: bytes, as: UTF8.self)
      }
      return text
    }
    // curl shows the header together with the first event.
    source.yield("retry: 1000\n\n")
    let head = try await read(until: "retry: 1000\n\n")
    #expect(head.contains("Transfer-Encoding: chunked"))
    #expect(head.contains("Content-Type: text/event-stream"))
    for index in 0..<20 {
      source.yield("id: \(index)\ndata: 票\n\n")
      #expect(try await read(until: "\n\n") == "id: \(index)\ndata: 票\n\n")
    }
    source.pieces.finish()
    #expect(try await output.read(upTo: 1, timeout: .seconds(30)) == [])
    #expect(await curl.wait(timeout: .seconds(30)) == .exited(0))
    await server.server.stop()
  }

  @Test func `on TCP the header of a stream is not held back until something follows`() async throws {
    let source = Source()
    let listener = try Loopback.listen(port: 0)
    let port = listener.port
    let server = try HTTPServer(listening: listener.descriptor, name: "tcp", limits: ServerLimits()) { _ in
      source.response
    }
    let connection = try RawConnection(port: port)
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    _ = try await connection.read(until: "\r\n\r\n")
    source.yield("one")
    _ = try await connection.read(until: "one")
    await server.stop()
  }

  @Test func `pieces arrive whole, in order and however large, in chunks`() async throws {
    let source = Source()
    let server = try TestServer(limits: ServerLimits(streamBacklog: 4)) { _ in source.response }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    // A burst far larger than the backlog: a client that reads is not dropped for it.
    var all = ""
    for index in 0..<2000 {
      let piece = "\(index):" + String(repeating: "x", count: index * 37 % 5000) + ";"
      all += piece
      source.yield(piece)
      source.yield("")
    }
    source.pieces.finish()
    let reply = Array(try await connection.readToEnd().utf8)
    #expect(Self.dechunked(reply) == all)
    await source.ended.wait()
    await server.server.stop()
  }

  /// The body of a chunked answer; `nil` when its end is missing.
  private static func dechunked(_ reply: [UInt8]) -> String? {
    var rest = reply[...]
    while !rest.starts(with: "\r\n\r\n".utf8) { rest = rest.dropFirst() }
    rest = rest.dropFirst(4)
    var body: [UInt8] = []
    while let end = rest.firstIndex(of: 13),
      let count = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16)
    {
      rest = rest[(end + 2)...]
      if count == 0 { return String(decoding: body, as: UTF8.self) }
      body += rest.prefix(count)
      rest = rest.dropFirst(count + 2)
    }
    return nil
  }

  @Test func `a stream to HTTP 1 dot 0 ends with the connection`() async throws {
    let source = Source()
    let server = try TestServer { _ in source.response }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    source.yield("one,")
    source.yield("two")
    source.pieces.finish()
    let reply = try await connection.readToEnd()
    #expect(reply.hasSuffix("\r\n\r\none,two"))
    #expect(!reply.contains("chunked"))
    await server.server.stop()
  }

  @Test func `a client that goes away ends the stream, quiet or not`() async throws {
    for isBusy in [false, true] {
      let source = Source()
      let server = try TestServer { _ in source.response }
      let connection = try server.connect()
      try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      source.yield("one")
      _ = try await connection.read(until: "one")
      if isBusy { for _ in 0..<200 { source.pieces.yield([UInt8](repeating: 1, count: 65536)) } }
      connection.close()
      await source.ended.wait()
      await server.server.stop()
    }
  }

  @Test func `a client that reads nothing is dropped, and others are not disturbed`() async throws {
    let source = Source()
    let limits = ServerLimits(streamBacklog: 4, streamStall: .milliseconds(200))
    let server = try TestServer(limits: limits) { request in
      request.path == "/events" ? source.response : .text(200, "ok")
    }
    let slow = try server.connect()
    try await slow.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in 0..<1000 { source.pieces.yield([UInt8](repeating: 65, count: 16384)) }
    let other = try server.connect()
    try await other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await other.readAnswer().status == 200)
    await source.ended.wait()
    // What had been sent can be read; the end is missing, so that the client knows.
    let reply = try await slow.readToEnd()
    #expect(reply.hasPrefix("HTTP/1.1 200 "))
    #expect(!reply.hasSuffix("0\r\n\r\n"))
    #expect(reply.utf8.count < 1000 * 16384)
    await server.server.stop()
  }

  @Test func `HEAD to a stream ends it at once`() async throws {
    let source = Source()
    let server = try TestServer { _ in source.response }
    let connection = try server.connect()
    try await connection.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await connection.readAnswer().status == 200)
    await source.ended.wait()
    await server.server.stop()
  }

  @Test func `stopping the server ends streams properly`() async throws {
    let source = Source()
    let server = try TestServer { _ in source.response }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    source.yield("one")
    _ = try await connection.read(until: "one")
    // It does not wait for the grace, which is longer than this test may last.
    await server.server.stop(grace: .seconds(600))
    #expect(try await connection.readToEnd().hasSuffix("0\r\n\r\n"))
    await source.ended.wait()
  }

  // MARK: The client's side

  @Test func `the client hands over pieces as they come, and the end`() async throws {
    let source = Source()
    let server = try TestServer { _ in source.response }
    let client = server.client()
    let stream = try await client.stream(
      "/v1/events", headers: [("Accept-Language", "zh-CN")], timeout: .seconds(30))
    #expect(stream.status == 200)
    #expect(stream.header("Content-Type") == "text/event-stream")
    var pieces = stream.pieces.makeAsyncIterator()
    for index in 0..<20 {
      source.yield("event \(index)\n")
      #expect(try await pieces.next() == Array("event \(index)\n".utf8))
    }
    source.pieces.finish()
    #expect(try await pieces.next() == nil)
    await client.close()
    await server.server.stop()
  }

  @Test func `a cancelled reader lets the stream and the client go`() async throws {
    let source = Source()
    let server = try TestServer { $0.path == "/events" ? source.response : .text(200, "ok") }
    let client = server.client()
    let reading = Signal()
    let task = Task {
      let stream = try await client.stream("/events", timeout: .seconds(30))
      reading.give()
      for try await _ in stream.pieces {}
    }
    await reading.wait()
    task.cancel()
    _ = await task.result
    await source.ended.wait()
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).status == 200)
    await server.server.stop()
  }

  @Test func `a stream nobody holds any more is closed`() async throws {
    let source = Source()
    let server = try TestServer { $0.path == "/events" ? source.response : .text(200, "ok") }
    let client = server.client()
    _ = try await client.stream("/events", timeout: .seconds(30)).status
    await source.ended.wait()
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).status == 200)
    await server.server.stop()
  }

  @Test func `closing the client ends its stream`() async throws {
    let source = Source()
    let server = try TestServer { _ in source.response }
    let client = server.client()
    let stream = try await client.stream("/events", timeout: .seconds(30))
    async let closed: Void = client.close()
    await #expect(throws: HTTPClientError.cancelled) { for try await _ in stream.pieces {} }
    await closed
    await #expect(throws: HTTPClientError.cancelled) {
      _ = try await client.send(.get, "/", timeout: .seconds(30))
    }
    await server.server.stop()
  }

  @Test func `a stream that is refused can be read for the reason`() async throws {
    let server = try TestServer { _ in .text(403, "no") }
    let client = server.client()
    let stream = try await client.stream("/events", timeout: .seconds(30))
    #expect(stream.status == 403)
    var body: [UInt8] = []
    for try await piece in stream.pieces { body += piece }
    #expect(body == Array("no".utf8))
    await server.server.stop()
  }
}
