import HTTPClient
import HTTPServer
import Posix
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ServerTests {
  @Test func `a request arrives with its parts taken apart`() async throws {
    let (requests, arrived) = AsyncStream.makeStream(of: ServerRequest.self)
    let server = try TestServer { request in
      arrived.yield(request)
      return .text(200, "ok")
    }
    let connection = try server.connect()
    try await connection.send(
      "PATCH /v1/devices/%E7%A5%A8/a%2Fb/?n=1&name=%E5%8C%97+%2B&flag&=x&& HTTP/1.1\r\nHost: localhost\r\n"
        + "X-One: 1\r\nx-one: 2\r\nAccept-Language: zh-CN\r\nContent-Length: 5\r\n\r\nhello")
    #expect(try await connection.readAnswer().status == 200)
    let request = try #require(await requests.first { _ in true })
    #expect(request.method == "PATCH")
    #expect(request.path == "/v1/devices/%E7%A5%A8/a%2Fb/")
    #expect(request.pathSegments == ["v1", "devices", "票", "a/b", ""])
    #expect(request.query.map(\.name) == ["n", "name", "flag", ""])
    #expect(request.query.map(\.value) == ["1", "北 +", "", "x"])
    #expect(request.header("X-ONE") == "1, 2")
    #expect(request.header("accept-language") == "zh-CN")
    #expect(request.header("Accept") == nil)
    #expect(request.headers.map(\.name) == ["Host", "X-One", "x-one", "Accept-Language", "Content-Length"])
    #expect(request.body == Array("hello".utf8))
    #expect(request.peer?.processID == ProcessInfo.processID)
    #expect(request.peer?.userID == ProcessInfo.userID)
    await server.server.stop()
  }

  @Test func `on TCP nobody is said to be the peer`() async throws {
    let listener = try Loopback.listen(port: 0)
    let port = listener.port
    let server = try HTTPServer(listening: listener.descriptor, name: "tcp", limits: ServerLimits()) {
      .text(200, $0.peer == nil ? "unknown" : "known")
    }
    let connection = try RawConnection(port: port)
    try await connection.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    #expect(String(decoding: try await connection.readAnswer().body, as: UTF8.self) == "unknown")
    await server.stop()
  }

  @Test func `an answer has a date and its length, and HEAD has no body`() async throws {
    let server = try TestServer { _ in .text(200, "twelve bytes") }
    let connection = try server.connect()
    try await connection.send(
      "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    let reply = try await connection.readToEnd()
    let answers = reply.split(separator: "HTTP/1.1 200 OK\r\n")
    try #require(answers.count == 2)
    #expect(answers[0].hasSuffix("\r\n\r\n"))
    #expect(answers[1].hasSuffix("\r\n\r\ntwelve bytes"))
    for answer in answers {
      #expect(answer.contains("Content-Length: 12\r\n"))
      // IMF-fixdate (RFC 9110, 5.6.7).
      #expect(answer.contains(/Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} 20[0-9]{2} [0-9:]{8} GMT\r\n/))
    }
    #expect(answers[1].contains("Connection: close\r\n"))
    await server.server.stop()
  }

  @Test func `requests sent ahead are answered in their order`() async throws {
    let server = try TestServer { request in
      // The first takes longest.
      if request.path == "/0" { await Task.detached { await Task.yield() }.value }
      return .text(200, request.path)
    }
    let connection = try server.connect()
    try await connection.send((0..<50).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
    for index in 0..<50 {
      #expect(String(decoding: try await connection.readAnswer().body, as: UTF8.self) == "/\(index)")
    }
    await server.server.stop()
  }

  @Test func `a thousand requests on one connection are answered, at once or later`() async throws {
    let server = try TestServer { request in
      if request.path == "/later" { await Task.detached { await Task.yield() }.value }
      return .text(200, "\(request.body.count)")
    }
    let connection = try server.connect()
    for index in 0..<1000 {
      try await connection.send(
        "POST /\(index.isMultiple(of: 2) ? "later" : "now") HTTP/1.1\r\n"
          + "Host: a\r\nContent-Length: 3\r\n\r\nabc"
      )
      #expect(String(decoding: try await connection.readAnswer().body, as: UTF8.self) == "3")
    }
    await server.server.stop()
  }

  /// Bytes whose pattern has a period that no buffer's size divides.
  private static func bytes(_ count: Int) -> [UInt8] {
    var bytes = (0..<1021).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    while bytes.count < count { bytes += bytes }
    return Array(bytes.prefix(count))
  }

  @Test(arguments: [300_000, 8_000_000]) func `large bodies come through both ways unchanged`(_ size: Int)
    async throws
  {
    let server = try TestServer(limits: ServerLimits(maximumBodyBytes: { _, _ in 8_000_000 })) {
      ServerResponse(status: 200, body: .bytes($0.body))
    }
    let body = Self.bytes(size)
    let connection = try server.connect()
    let client = server.client()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await connection.send(
          Array("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n".utf8) + body)
      }
      group.addTask {
        let answer = try await connection.readAnswer()
        #expect(answer.body == body)
      }
      group.addTask {
        for method in [HTTPMethod.put, .post] {
          let answer = try await client.send(method, "/x", body: body, timeout: .seconds(30))
          #expect(answer.body == body)
        }
      }
      try await group.waitForAll()
    }
    await server.server.stop()
  }

  @Test(.enabled(if: hasCurl, curlIsMissing))
  func `curl sends chunks, waits for 100-continue and reuses its connection`() async throws {
    let server = try TestServer { ServerResponse(status: 200, body: .bytes($0.body)) }
    let body = Self.bytes(300_000)
    let chunked = try await run(
      "curl", ["-sS", "--unix-socket", server.path, "-T", "-", "http://localhost/v1"], input: body)
    #expect(chunked.output == body)
    let expecting = try await run(
      "curl",
      [
        "-sS", "-D", "-", "-o", "/dev/null", "-H", "Expect: 100-continue", "--expect100-timeout", "20",
        "--unix-socket", server.path,
        "--data-binary", "@-", "http://localhost/v1",
      ], input: body)
    let head = String(decoding: expecting.output, as: UTF8.self)
    #expect(head.hasPrefix("HTTP/1.1 100 Continue\r\n"), "\(head)")
    #expect(head.contains("HTTP/1.1 200 OK\r\n"))
    let twice = try await run(
      "curl",
      [
        "-sS", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", "--unix-socket", server.path,
        "http://localhost/a",
        "http://localhost/b",
      ])
    #expect(String(decoding: twice.output, as: UTF8.self) == "1 0 ")
    await server.server.stop()
  }

  @Test func `what a handler puts into a header cannot break it`() async throws {
    let server = try TestServer { _ in
      ServerResponse(
        status: 200,
        headers: [
          ("X-Split", "a\r\nSet-Cookie: evil"), ("X-Nul", "a\0b"), ("Bad Name", "x"), ("X\r\nY", "x"),
          ("", "x"),
          ("Content-Length", "99"), ("transfer-encoding", "chunked"), ("Date", "never"), ("X-Good", "票"),
          ("X-Empty", ""),
        ], body: .bytes(Array("body".utf8)))
    }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    let answer = try await connection.readAnswer()
    #expect(answer.headers["x-split"] == "a  Set-Cookie: evil")
    #expect(answer.headers["x-nul"] == "a b")
    #expect(answer.headers["x-good"] == "票")
    #expect(answer.headers["content-length"] == "4")
    #expect(answer.headers["date"] != "never")
    #expect(Set(answer.headers.keys).isSubset(of: ["x-split", "x-nul", "x-good", "content-length", "date"]))
    #expect(answer.body == Array("body".utf8))
    await server.server.stop()
  }

  @Test(arguments: [
    (204, 204), (304, 304), (404, 404), (599, 599), (100, 500), (199, 500), (600, 500), (-1, 500),
    (Int.max, 500),
  ])
  func `a status that is none is sent as 500`(_ given: Int, _ sent: Int) async throws {
    let server = try TestServer { _ in ServerResponse(status: given) }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in 0..<2 { #expect(try await connection.readAnswer().status == sent) }
    await server.server.stop()
  }

  @Test func `a process with too many connections loses the last, and may come again when others are closed`()
    async throws
  {
    let server = try TestServer(limits: ServerLimits(connectionsPerProcess: 2))
    func ask(_ connection: RawConnection) async throws -> Int {
      try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      return try await connection.readAnswer().status
    }
    let first = try server.connect()
    #expect(try await ask(first) == 200)
    let second = try server.connect()
    #expect(try await ask(second) == 200)
    let third = try server.connect()
    #expect((try? await ask(third)) == nil)
    #expect(try await ask(first) == 200)
    first.close()
    // The server learns of the close when it does: until then it refuses.
    while true {
      let fourth = try server.connect()
      if (try? await ask(fourth)) == 200 { break }
    }
    #expect(try await ask(second) == 200)
    await server.server.stop()
  }

  @Test func `a connection that says nothing is closed after its time`() async throws {
    let server = try TestServer(limits: ServerLimits(idleSeconds: 1))
    let silent = try server.connect()
    let half = try server.connect()
    try await half.send("GET / HTTP/1.1\r\nHo")
    #expect(try await silent.readToEnd() == "")
    #expect(try await half.readToEnd() == "")
    await server.server.stop()
  }

  @Test func `what is no listening socket is refused`() throws {
    let directory = try TemporaryDirectory()
    try Files.replaceDurable(directory.path("f"), bytes: [1], mode: 0o600)
    #expect(throws: HTTPServerError.startFailed) {
      _ = try HTTPServer(
        listening: try Files.open(directory.path("f"), .reading), name: "x", limits: ServerLimits()
      ) { _ in
        .text(200, "")
      }
    }
  }
}
