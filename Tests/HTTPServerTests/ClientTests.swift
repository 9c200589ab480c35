import HTTPClient
import HTTPServer
import Posix
import Synchronization
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)), .enabled(if: FarEnd.isExpected, FarEnd.isMissing))
struct ClientTests {
  private let directory: TemporaryDirectory
  private let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.path("far.sock")
  }

  private var client: HTTPClient { HTTPClient(target: .unix(path: path)) }

  // MARK: Python's http.server

  @Test func `Python's server understands every request, and the client every answer`() async throws {
    let far = try await FarEnd.start(path: path, mode: ["http"])
    let client = client
    let body = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
    let headers = [
      ("Accept-Language", "zh-CN"), ("authorization", "Bearer \(String(repeating: "t", count: 2000))"),
    ]
    let put = try await client.send(
      .put, "/v1/blobs/0", headers: headers, body: body, contentType: "image/jpeg", timeout: .seconds(30))
    #expect(put.status == 200)
    #expect(put.body == body)
    #expect(put.header("Content-Type") == "text/plain")
    #expect(put.header("content-length") == "5000")
    #expect(
      try await far.nextLine()
        == "PUT /v1/blobs/0 5000 None image/jpeg zh-CN Bearer \(String(repeating: "t", count: 2000)) 5000")
    // Fields of one request do not stay for the next; a body that is empty has a length too.
    for (method, length) in [
      (HTTPMethod.post, "0"), (.put, "0"), (.get, "None"), (.delete, "None"), (.options, "None"),
      (.head, "None"),
    ] {
      let answer = try await client.send(method, "/a?b=c&d=1", timeout: .seconds(30))
      #expect(answer.status == 200)
      #expect(answer.body == [])
      #expect(try await far.nextLine() == "\(method.rawValue) /a?b=c&d=1 \(length) None None None None 0")
    }
    #expect(try await client.send(.post, "/chunked", body: body, timeout: .seconds(30)).body == body)
    #expect(try await client.send(.post, "/until", body: body, timeout: .seconds(30)).body == body)
    #expect(try await client.send(.post, "/close", body: body, timeout: .seconds(30)).body == body)
    #expect(try await client.send(.put, "/204", body: body, timeout: .seconds(30)).status == 204)
    #expect(try await client.send(.get, "/304", timeout: .seconds(30)).status == 304)
    #expect(try await client.send(.get, "/302", timeout: .seconds(30)).header("Location") == "/elsewhere")
    let busy = try await client.send(.post, "/503", body: body, timeout: .seconds(30))
    #expect(busy.status == 503)
    #expect(busy.header("Retry-After") == "120")
    #expect(busy.body == body)
    #expect(try await client.send(.get, "/200", timeout: .seconds(30)).status == 200)
  }

  @Test(arguments: ["/v1/%E7%A5%A8/%20/%25/%7Ea?x=%E5%8C%97&y=~", "/\(String(repeating: "a", count: 1022))"])
  func `a path arrives as it was given`(_ target: String) async throws {
    let far = try await FarEnd.start(path: path, mode: ["http"])
    _ = try await client.send(.get, target, timeout: .seconds(30))
    let line = try await far.nextLine()
    #expect(line.split(separator: " ")[1] == target.replacing("%7E", with: "~"))
  }

  @Test(arguments: [
    ("/a%2Fb", "reserved"), ("/a%3F", "reserved"), ("/%00", "NUL"), ("/a b", "space"), ("/票", "not ASCII"),
    ("a", "no slash"),
    ("", "empty"), ("/%", "broken"), ("/%4", "broken"), ("/%g1", "broken"), ("/a\r\nX: y", "line end"),
    ("/a#b", "fragment"),
  ]) func `a path that libcups would change is refused`(_ target: String, _ why: String) async throws {
    let client = client
    let error = await #expect(throws: HTTPClientError.self, "\(why)") {
      _ = try await client.send(.get, target, timeout: .seconds(30))
    }
    #expect(error?.isInvalidRequest == true, "\(String(describing: error))")
  }

  @Test func `what libcups would leave out, cut or mix up is refused`() async throws {
    let client = client
    await #expect(throws: HTTPClientError.uriTooLong) {
      _ = try await client.send(.get, "/" + String(repeating: "a", count: 1023), timeout: .seconds(30))
    }
    for headers in [
      [("X-Unknown", "1")], [("Accept", "*/*")], [("Host", "evil")], [("Content-Length", "3")],
      [("Transfer-Encoding", "chunked")],
      [("Authorization", "a\r\nX: y")], [("Authorization", "a\0b")], [("", "a")],
    ] {
      let error = await #expect(throws: HTTPClientError.self) {
        _ = try await client.send(.get, "/", headers: headers, timeout: .seconds(30))
      }
      #expect(error?.isInvalidRequest == true, "\(String(describing: error))")
    }
    await #expect(throws: HTTPClientError.invalidRequest("GET has no body")) {
      _ = try await client.send(.get, "/", body: [1], timeout: .seconds(30))
    }
  }

  // MARK: No connection

  @Test func `each reason for no connection has its own case`() async throws {
    let client = client
    func error(_ client: HTTPClient) async -> HTTPClientError? {
      do throws(HTTPClientError) {
        _ = try await client.send(.get, "/", timeout: .seconds(30))
        return nil
      } catch {
        return error
      }
    }
    #expect(await error(client) == .unreachable(.noSocket))
    #expect(
      await error(HTTPClient(target: .unix(path: directory.path("none/x.sock")))) == .unreachable(.noSocket))
    #expect(await error(HTTPClient(target: .unix(path: "relative.sock"))) == .unreachable(.noSocket))
    #expect(
      await error(HTTPClient(target: .unix(path: "/" + String(repeating: "a", count: 107))))
        == .unreachable(.noSocket))
    do { _ = try UnixSocket.listen(path: path, mode: 0o600, group: nil) }
    #expect(await error(client) == .unreachable(.refused))
    let port = try Loopback.listen(port: 0).port
    #expect(await error(HTTPClient(target: .loopback(port: port))) == .unreachable(.refused))
    #expect(
      await error(HTTPClient(target: .loopback(port: port), ownerCheck: { _ in true }))
        == .unreachable(.refused))
  }

  @Test(
    .enabled(if: ProcessInfo.userID != 0 || Programs.areExpected("setpriv"), "root may connect to everything")
  )
  func `a listener of another user is refused before anything is sent`() async throws {
    let asked = Signal()
    let server = try TestServer { _ in
      asked.give()
      return .text(200, "collected")
    }
    let me = ProcessInfo.userID
    await #expect(throws: HTTPClientError.wrongOwner(userID: me)) {
      _ = try await server.client(ownerCheck: { $0 != me }).send(.put, "/", body: [1], timeout: .seconds(30))
    }
    #expect(
      try await server.client(ownerCheck: { $0 == me }).send(.get, "/", timeout: .seconds(30)).status == 200)
    #expect(asked.isGiven)
    await server.server.stop()

    let listener = try Loopback.listen(port: 0)
    let port = listener.port
    let tcp = try HTTPServer(listening: listener.descriptor, name: "tcp", limits: ServerLimits()) { _ in
      .text(200, "ok")
    }
    let target = HTTPTarget.loopback(port: port)
    await #expect(throws: HTTPClientError.wrongOwner(userID: me)) {
      _ = try await HTTPClient(target: target, ownerCheck: { $0 != me }).send(
        .get, "/", timeout: .seconds(30))
    }
    let allowed = HTTPClient(target: target, ownerCheck: { $0 == me })
    #expect(try await allowed.send(.get, "/", timeout: .seconds(30)).status == 200)
    await tcp.stop()
  }

  @Test(
    .enabled(
      if: ProcessInfo.userID == 0 && Programs.areExpected("setpriv"), "only root runs programs as other users"
    ))
  func `the user of the process that listens is the one that counts`() async throws {
    for place in ["/tmp/hall-test-\(ProcessInfo.processID)-owner.sock", "0"] {
      let far = try await FarEnd.start(path: place, mode: ["http"], user: 65534)
      let target: HTTPTarget = UInt16(far.path).map { .loopback(port: $0) } ?? .unix(path: far.path)
      await #expect(throws: HTTPClientError.wrongOwner(userID: 65534)) {
        _ = try await HTTPClient(target: target, ownerCheck: { $0 == 0 }).send(
          .get, "/", timeout: .seconds(30))
      }
      let allowed = HTTPClient(target: target, ownerCheck: { $0 == 65534 })
      #expect(try await allowed.send(.get, "/", timeout: .seconds(30)).status == 200)
      await far.kill()
    }
  }

  @Test func `the owner is checked again at every new connection`() async throws {
    let far = try await FarEnd.start(path: path, mode: ["http"])
    let checks = Mutex(0)
    let client = HTTPClient(target: .unix(path: path)) { _ in
      checks.withLock { $0 += 1 }
      return true
    }
    for (target, expected) in [
      ("/", 1), ("/", 1), ("/503", 1), ("/", 2), ("/404", 2), ("/close", 3), ("/", 4), ("/302", 4), ("/", 4),
    ] {
      _ = try await client.send(.get, target, timeout: .seconds(30))
      #expect(checks.withLock { $0 } == expected, "\(target)")
    }
    await far.kill()
  }

  // MARK: Answers that are none

  static let broken = [
    "close:", "close:" + String(repeating: #"\xff"#, count: 1000), #"close:hello\r\n\r\n"#,
    #"close:x: y\r\n\r\n"#,
    #"close:x: y\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"#, #"close:H: y\r\n\r\n"#,
    #"close:\x16\x03\x01\x02\x00"#,
    "close:HTTP/1.1 204", #"close:HTTP/1.1 204 No Content\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"#,
    #"close:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"#,
    #"close:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc"#,
    #"close:HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nabcde"#,
    #"close:HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"#,
    #"close:HTTP/1.1 20 OK\r\n\r\n"#,
    #"close:HTTP/1.1 999 OK\r\n\r\n"#, #"close:HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"#,
    #"close:HTTP/1.1 OK\r\n\r\n"#,
    #"close:HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"#,
    #"close:HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"#,
  ]

  @Test func `what is no whole answer is broken`() async throws {
    let far = try await FarEnd.start(path: path, mode: Self.broken)
    let client = client
    for said in Self.broken {
      let error = await #expect(throws: HTTPClientError.self, "\(said)") {
        _ = try await client.send(.post, "/v1/events", body: [1, 2], timeout: .seconds(30))
      }
      #expect(error?.isBroken == true, "\(said): \(String(describing: error))")
    }
    await far.kill()
  }

  /// The status of the answer before must not be taken for that of one that has none.
  @Test func `garbage on a kept connection is not the last answer again`() async throws {
    let far = try await FarEnd.start(
      path: path,
      mode: [
        #"say:HTTP/1.1 204 No Content\r\n\r\n"#, #"say:x: y\r\n\r\n"#,
        #"say:HTTP/1.1 204 No Content\r\n\r\n"#,
      ])
    let client = client
    #expect(try await client.send(.post, "/", body: [1], timeout: .seconds(30)).status == 204)
    let error = await #expect(throws: HTTPClientError.self) {
      _ = try await client.send(.post, "/", body: [1], timeout: .seconds(30))
    }
    #expect(error?.isBroken == true, "\(String(describing: error))")
    #expect(try await client.send(.post, "/", body: [1], timeout: .seconds(30)).status == 204)
    await far.kill()
  }

  @Test func `bytes nobody asked for end a kept connection before the next request`() async throws {
    let far = try await FarEnd.start(
      path: path,
      mode: [
        #"say:HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 204 No Content\r\n\r\n"#,
        #"say:HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"#,
      ])
    let client = client
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).body == Array("a".utf8))
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).body == Array("b".utf8))
    await far.kill()
  }

  @Test func `an interim answer is not the answer`() async throws {
    let far = try await FarEnd.start(
      path: path,
      mode: [
        #"say:HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\nX: y\r\n\r\n"#
          + #"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"#
      ])
    #expect(try await client.send(.put, "/", body: [1], timeout: .seconds(30)).status == 201)
    await far.kill()
  }

  @Test
  func `libcups reads no body without a length when the status is not a success, and the client says so`()
    async throws
  {
    let far = try await FarEnd.start(
      path: path,
      mode: [
        #"say:HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nlost"#, #"say:HTTP/1.1 422 No\r\n\r\nlost"#,
        #"say:HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nread"#,
      ])
    let client = client
    let found = try await client.send(.get, "/", timeout: .seconds(30))
    #expect(found == ClientResponse(status: 302, headers: ["location": "/x"]))
    #expect(try await client.send(.get, "/", timeout: .seconds(30)) == ClientResponse(status: 422))
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).body == Array("read".utf8))
    await far.kill()
  }

  @Test func `an answer that is too large is not read`() async throws {
    for said in [
      #"say:HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"#,
      #"say:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"#
        + String(repeating: #"64\r\n\#(String(repeating: "a", count: 100))\r\n"#, count: 11),
      #"say:HTTP/1.1 200 OK\r\n\r\n\#(String(repeating: "a", count: 1001))"#,
    ] {
      let far = try await FarEnd.start(path: path, mode: [said])
      let client = HTTPClient(target: .unix(path: path), maximumBodyBytes: 1000)
      await #expect(throws: HTTPClientError.tooLarge(limit: 1000)) {
        _ = try await client.send(.get, "/", timeout: .seconds(30))
      }
      await far.kill()
    }
  }

  @Test func `a server that answers before it has the body is heard`() async throws {
    let far = try await FarEnd.start(path: path, mode: ["early"])
    let answer = try await client.send(
      .put, "/", body: [UInt8](repeating: 1, count: 8 << 20), timeout: .seconds(30))
    #expect(answer.status == 413)
    #expect(answer.body == Array("big".utf8))
    await far.kill()
  }

  @Test func `our own server's early refusal of a large body is heard`() async throws {
    let server = try TestServer()
    let client = server.client()
    for _ in 0..<20 {
      #expect(
        try await client.send(.put, "/", body: [UInt8](repeating: 1, count: 8 << 20), timeout: .seconds(30))
          .status == 413)
    }
    await server.server.stop()
  }

  // MARK: Ending

  @Test func `a cancelled request returns at once, and the client can be used again`() async throws {
    let far = try await FarEnd.start(path: path, mode: ["hang", #"say:HTTP/1.1 204 No Content\r\n\r\n"#])
    let client = client
    let task = Task { try await client.send(.get, "/", timeout: .seconds(30)) }
    _ = try await far.nextLine()
    task.cancel()
    await #expect(throws: HTTPClientError.cancelled) { _ = try await task.value }
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).status == 204)
    await far.kill()
  }

  @Test func `closing the client ends what is under way`() async throws {
    let far = try await FarEnd.start(path: path, mode: ["hang"])
    let client = client
    let task = Task { try await client.send(.get, "/", timeout: .seconds(30)) }
    _ = try await far.nextLine()
    await client.close()
    await #expect(throws: HTTPClientError.cancelled) { _ = try await task.value }
    await #expect(throws: HTTPClientError.cancelled) {
      _ = try await client.send(.get, "/", timeout: .seconds(30))
    }
    await far.kill()
  }

  // MARK: Kept connections

  @Test func `a server that was started anew between two requests is asked again without a word`()
    async throws
  {
    var far = try await FarEnd.start(path: path, mode: ["http"])
    let client = client
    for _ in 0..<3 {
      #expect(
        try await client.send(.post, "/", body: [1], timeout: .seconds(30), idempotent: false).status == 200)
      await far.kill()
      far = try await FarEnd.start(path: path, mode: ["http"])
    }
    #expect(try await client.send(.get, "/", timeout: .seconds(30)).status == 200)
    await far.kill()
    await #expect(throws: HTTPClientError.unreachable(.noSocket)) {
      _ = try await client.send(.get, "/", timeout: .seconds(30))
    }
  }

  /// The server reads the request and closes: whether it did something is not known.
  @Test(arguments: [
    (HTTPMethod.get, nil, true), (.put, nil, true), (.delete, nil, true), (.post, nil, false),
    (.post, true, true), (.put, false, false),
  ])
  func `a request lost with a kept connection is sent again only if that does no harm`(
    _ method: HTTPMethod, _ idempotent: Bool?, _ isRepeated: Bool
  ) async throws {
    let yes = #"say:HTTP/1.1 204 No Content\r\n\r\n"#
    let far = try await FarEnd.start(path: path, mode: [yes, "close:", yes])
    let client = client
    #expect(try await client.send(.get, "/one", timeout: .seconds(30)).status == 204)
    #expect(try await far.nextLine() == "GET /one HTTP/1.1")
    if isRepeated {
      #expect(
        try await client.send(method, "/two", timeout: .seconds(30), idempotent: idempotent).status == 204)
      for _ in 0..<2 { #expect(try await far.nextLine() == "\(method.rawValue) /two HTTP/1.1") }
    } else {
      let error = await #expect(throws: HTTPClientError.self) {
        _ = try await client.send(method, "/two", timeout: .seconds(30), idempotent: idempotent)
      }
      #expect(error?.isBroken == true, "\(String(describing: error))")
      #expect(try await far.nextLine() == "\(method.rawValue) /two HTTP/1.1")
    }
    #expect(try await client.send(.get, "/three", timeout: .seconds(30)).status == 204)
    #expect(try await far.nextLine() == "GET /three HTTP/1.1")
    await far.kill()
  }

  @Test func `a request is repeated once and not for ever, and not on a new connection`() async throws {
    let far = try await FarEnd.start(path: path, mode: [#"say:HTTP/1.1 204 No Content\r\n\r\n"#, "close:"])
    let client = client
    #expect(try await client.send(.get, "/1", timeout: .seconds(30)).status == 204)
    for _ in 0..<2 {
      let error = await #expect(throws: HTTPClientError.self) {
        _ = try await client.send(.get, "/2", timeout: .seconds(30))
      }
      #expect(error?.isBroken == true, "\(String(describing: error))")
    }
    await far.kill()
  }

  @Test func `a thousand requests use one connection`() async throws {
    let peers = Mutex(0)
    let server = try TestServer { request in
      peers.withLock { $0 += 1 }
      return .text(200, request.path)
    }
    let checks = Mutex(0)
    let client = server.client(ownerCheck: { _ in
      checks.withLock { $0 += 1 }
      return true
    })
    for index in 0..<1000 {
      #expect(try await client.send(.get, "/\(index)", timeout: .seconds(30)).body == Array("/\(index)".utf8))
    }
    #expect(peers.withLock { $0 } == 1000)
    #expect(checks.withLock { $0 } == 1)
    await server.server.stop()
  }

  @Test func `requests of many tasks take turns`() async throws {
    let running = Mutex((now: 0, most: 0))
    let server = try TestServer { request in
      running.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      await Task.yield()
      running.withLock { $0.now -= 1 }
      return .text(200, request.path)
    }
    let client = server.client()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<100 {
        group.addTask {
          let answer = try await client.send(.get, "/\(index)", timeout: .seconds(30))
          #expect(answer.body == Array("/\(index)".utf8))
        }
      }
      try await group.waitForAll()
    }
    #expect(running.withLock { $0.most } == 1)
    await server.server.stop()
  }
}

extension HTTPClientError {
  var isBroken: Bool { if case .broken = self { true } else { false } }
  var isInvalidRequest: Bool { if case .invalidRequest = self { true } else { false } }
}
