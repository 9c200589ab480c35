import HTTPServer
import Testing

@Suite(.timeLimit(.minutes(1)))
struct RefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let request: String
    let status: Int
    var testDescription: String { name }

    init(_ name: String, _ request: String) { self.init(name, 400, request) }

    init(_ name: String, _ status: Int, _ request: String) {
      self.name = name
      self.status = status
      self.request = request
    }
  }

  static let cases: [Case] = [
    Case("no Host", "GET / HTTP/1.1\r\n\r\n"),
    Case("no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
    Case("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    Case("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    Case("two equal Hosts in different case", "GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n"),
    Case("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    Case(
      "two equal lengths",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
    Case("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd"),
    Case("a length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd"),
    Case("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd"),
    Case("a length with a letter", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4x\r\n\r\nabcd"),
    Case("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabcd"),
    Case(
      "a length no machine has", 413,
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
    Case(
      "length and chunks",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Case(
      "chunks and length",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    Case(
      "chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    Case(
      "two codings",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"
    ),
    Case("another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    Case("a coding disguised", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    Case("a space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd"),
    Case(
      "a tab before the colon",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    Case("a folded length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n 0\r\n\r\nabcd"),
    Case("a folded value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\nY: d\r\n\r\n"),
    Case(
      "a fold that makes a coding",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    Case("a folded last line", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
    Case("a field that begins with a space", "GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
    Case("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
    Case("a NUL in a middle value", "GET / HTTP/1.1\r\nX: a\0b\r\nHost: a\r\n\r\n"),
    Case("a NUL in a name", "GET / HTTP/1.1\r\nHo\0st: a\r\nHost: a\r\n\r\n"),
    Case("a carriage return in a value", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    Case("a line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n"),
    Case("a nameless field", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    Case("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("a target that is no path", "GET status HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("a target with a host", "GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("a broken escape", "GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("an escape of no digits", "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("an escaped NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("an escaped line end", "GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("a path that is not UTF-8", "GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("an overlong slash", "GET /a%c0%afb HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("a query that is not UTF-8", "GET /?a=%ff HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("bytes above ASCII in the path", "GET /票 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("HTTP/2", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    Case("a version that is none", "GET / HTTQ/1.1\r\nHost: a\r\n\r\n"),
    Case("no version", "GET /\r\nHost: a\r\n\r\n"),
    Case(
      "a chunk size that is none",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
    Case(
      "an endless request line", 414,
      "GET /\(String(repeating: "a", count: 100_000)) HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case(
      "an endless field", 431,
      "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 100_000))\r\n\r\n"),
    Case(
      "endless fields", 431,
      "GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "X: a\r\n", count: 100_000))\r\n"),
  ]

  /// What is refused is answered once, with the connection closed, so that what follows is not taken for a
  /// request.
  @Test(arguments: cases) func `is refused, and nothing after it is read`(_ refused: Case) async throws {
    let seen = Signal()
    let server = try TestServer { _ in
      seen.give()
      return .text(200, "handled")
    }
    let connection = try server.connect()
    // The rest may not be wanted any more.
    try? await connection.send(refused.request + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    let reply = try await connection.readToEnd()
    #expect(reply.hasPrefix("HTTP/1.1 \(refused.status) "), "\(reply.prefix(300))")
    // What libmicrohttpd refuses itself it may answer with its header sent twice.
    #expect(
      Set(reply.matches(of: #/HTTP/1.1 ([0-9]+) /#).map(\.1)) == ["\(refused.status)"],
      "\(reply.prefix(1000))")
    #expect(!seen.isGiven)
    await server.server.stop()
  }

  static let accepted: [Case] = [
    Case("the least", 200, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("no spaces after the colons", 200, "GET / HTTP/1.1\r\nHost:a\r\nX:b\r\n\r\n"),
    Case("many spaces around values", 200, "GET / HTTP/1.1\r\nHost:   a\r\nX:  \t b  \r\nY:\r\n\r\n"),
    Case("bare line feeds", 200, "GET / HTTP/1.1\nHost: a\nX: b\n\n"),
    Case("a colon in a value", 200, "GET / HTTP/1.1\r\nHost: localhost:80\r\nX: a:b: c\r\n\r\n"),
    Case("text in UTF-8", 200, "GET / HTTP/1.1\r\nHost: a\r\nX: 票\r\n\r\n"),
    Case("a cookie", 200, "GET /?a=b HTTP/1.1\r\nCookie: a=b; c=\"d\"\r\nHost: a\r\n\r\n"),
    Case("an empty line first", 200, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case(
      "chunks in capitals", 200,
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    Case(
      "chunks with a trailer", 200,
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n"),
    Case("a method nobody knows", 200, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
  ]

  @Test(arguments: accepted) func `is taken`(_ taken: Case) async throws {
    let server = try TestServer()
    let connection = try server.connect()
    try await connection.send(taken.request)
    #expect(try await connection.readAnswer().status == taken.status)
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    #expect(try await connection.readToEnd().hasPrefix("HTTP/1.1 200 "))
    await server.server.stop()
  }

  /// Byte by byte the header comes through other paths of the library's.
  @Test func `a folded line is refused also when it comes byte by byte`() async throws {
    let server = try TestServer()
    let connection = try server.connect()
    for byte in "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n 0\r\n\r\n".utf8 {
      try await connection.send([byte])
    }
    #expect(try await connection.readToEnd().hasPrefix("HTTP/1.1 400 "))
    await server.server.stop()
  }

  @Test func `a large header that grows the buffer is still read as it was sent`() async throws {
    let server = try TestServer { .text(200, "\($0.headers.count) \($0.header("X-99")?.count ?? -1)") }
    let connection = try server.connect()
    let fields = (0..<100).map { "X-\($0): \(String(repeating: "v", count: 200))\r\n" }.joined()
    let request = Array("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n".utf8)
    for start in stride(from: 0, to: request.count, by: 1000) {
      try await connection.send(Array(request[start..<min(start + 1000, request.count)]))
    }
    let answer = try await connection.readAnswer()
    #expect(String(decoding: answer.body, as: UTF8.self) == "101 200")
    await server.server.stop()
  }

  @Test func `a body that is announced too large is refused before it is sent`() async throws {
    let server = try TestServer(
      limits: ServerLimits(maximumBodyBytes: { method, path in
        method == "PUT" && path.hasPrefix("/v1/blobs/") ? 100 : 10
      }))
    for (request, status) in [
      ("PUT /v1/blobs/x HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413),
      ("POST /v1/blobs/x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
      ("PUT /v1/blobs/x HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n", 413),
    ] {
      let connection = try server.connect()
      try await connection.send(request)
      let reply = try await connection.readToEnd()
      #expect(reply.hasPrefix("HTTP/1.1 \(status) "))
      #expect(!reply.contains("100 Continue"))
    }
    let connection = try server.connect()
    try await connection.send(
      "PUT /v1/blobs/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
        + String(repeating: "b", count: 100)
    )
    #expect(try await connection.readAnswer().status == 200)
    await server.server.stop()
  }

  @Test func `chunks that become too large are refused with 413, and endless ones are cut off`() async throws
  {
    let server = try TestServer(limits: ServerLimits(maximumBodyBytes: { _, _ in 1000 }))
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    let connection = try server.connect()
    try await connection.send("\(head)7d0\r\n\(String(repeating: "c", count: 2000))\r\n0\r\n\r\n")
    #expect(try await connection.readToEnd().hasPrefix("HTTP/1.1 413 "))

    let endless = try server.connect()
    try await endless.send(head)
    let chunk = Array("10000\r\n\(String(repeating: "c", count: 65536))\r\n".utf8)
    var sent = 0
    while (try? await endless.send(chunk)) != nil, sent < 64 << 20 { sent += chunk.count }
    #expect(sent < 4 << 20)
    await server.server.stop()
  }

  @Test func `refusals can be worded by the owner of the server`() async throws {
    let server = try TestServer(
      refusal: { refusal in
        ServerResponse(
          status: refusal.status, headers: [("Content-Type", "application/problem+json")],
          body: .bytes(Array("{\"status\":\(refusal.status)}".utf8)))
      }, handler: { _ in .text(200, "ok") })
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
    let answer = try await connection.readAnswer()
    #expect(answer.headers["content-type"] == "application/problem+json")
    #expect(answer.headers["connection"] == "close")
    #expect(String(decoding: answer.body, as: UTF8.self) == "{\"status\":400}")
    await server.server.stop()
  }
}
