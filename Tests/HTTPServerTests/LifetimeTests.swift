import HTTPClient
import HTTPServer
import Posix
import Synchronization
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct LifetimeTests {
  @Test func `a client that goes away cancels the handler of its request`() async throws {
    let (started, cancelled) = (Signal(), Signal())
    let server = try TestServer { _ in
      started.give()
      await untilCancelled()
      cancelled.give()
      return .text(200, "too late")
    }
    let connection = try server.connect()
    try await connection.send(
      "POST /v1/devices/reader/card-reads HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
    await started.wait()
    connection.close()
    await cancelled.wait()
    await server.server.stop()
  }

  @Test(.enabled(if: hasCurl, curlIsMissing)) func `curl that is killed cancels the handler of its request`()
    async throws
  {
    let (started, cancelled) = (Signal(), Signal())
    let server = try TestServer { _ in
      started.give()
      await untilCancelled()
      cancelled.give()
      return .text(200, "too late")
    }
    let curl = try ChildProcess.spawn(
      "curl", arguments: ["-sS", "--unix-socket", server.path, "http://localhost/"])
    await started.wait()
    curl.signal(Signals.kill)
    await cancelled.wait()
    await server.server.stop()
  }

  @Test func `a handler whose client stays is not cancelled, even with bytes waiting`() async throws {
    let (started, answer) = (Signal(), Signal())
    let server = try TestServer { request in
      guard request.path == "/first" else { return .text(200, "second") }
      started.give()
      await answer.wait()
      return .text(Task.isCancelled ? 500 : 200, "first")
    }
    let connection = try server.connect()
    try await connection.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
    await started.wait()
    // Another connection comes and goes meanwhile.
    let other = try server.connect()
    try await other.send("GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    _ = try await other.readToEnd()
    answer.give()
    #expect(try await connection.readAnswer().body == Array("first".utf8))
    #expect(try await connection.readAnswer().body == Array("second".utf8))
    await server.server.stop()
  }

  @Test func `many clients that come, ask and vanish leave nothing running`() async throws {
    let running = Observed(0)
    let server = try TestServer { _ in
      running.update { $0 += 1 }
      await untilCancelled()
      running.update { $0 -= 1 }
      return .text(200, "")
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<50 {
        group.addTask {
          let connection = try server.connect()
          try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
          connection.close()
        }
      }
      try await group.waitForAll()
    }
    await server.server.stop()
    // A handler's own end may come a little later than that of its connection.
    #expect(await running.wait { $0 == 0 } == 0)
  }

  @Test func `stopping lets a handler finish and its answer out, and nobody else in`() async throws {
    let (started, goOn) = (Signal(), Signal())
    let server = try TestServer { request in
      guard request.path == "/slow" else { return .text(200, "quick") }
      started.give()
      await goOn.wait()
      return .text(200, "finished")
    }
    let (connection, idle) = (try server.connect(), try server.connect())
    try await connection.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    await started.wait()
    async let stopped: Void = server.server.stop(grace: .seconds(600))
    // A connection that is there already is told when it has begun.
    var status = 200
    while status == 200 {
      try await idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      status = try await idle.readAnswer().status
    }
    #expect(status == 503)
    let late = try server.connect()
    try await late.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    goOn.give()
    #expect(try await connection.readAnswer().body == Array("finished".utf8))
    await stopped
    #expect(try await connection.readToEnd() == "")
    #expect(try await late.readToEnd() == "")
    #expect(throws: SystemError.self) { _ = try server.connect() }
  }

  @Test func `stopping cancels a handler when the grace is over`() async throws {
    let started = Signal()
    let server = try TestServer { _ in
      started.give()
      await untilCancelled()
      return .text(200, "cancelled")
    }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await started.wait()
    // Answered for with 503 by nobody within this test's time.
    await server.server.stop(grace: .zero, ending: .seconds(600))
    #expect(try await connection.readToEnd().hasSuffix("cancelled"))
  }

  @Test func `stopping answers for a handler that does not listen`() async throws {
    let (started, goOn) = (Signal(), Signal())
    let server = try TestServer { _ in
      started.give()
      await goOn.wait()
      return .text(200, "never seen")
    }
    let connection = try server.connect()
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await started.wait()
    await server.server.stop(grace: .zero, ending: .zero, sending: .seconds(600))
    #expect(try await connection.readToEnd().hasPrefix("HTTP/1.1 503 "))
    goOn.give()
  }

  @Test func `stopping twice, and at the same time, is one stop`() async throws {
    let server = try TestServer()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<5 { group.addTask { await server.server.stop() } }
    }
    await server.server.stop()
    #expect(throws: SystemError.self) { _ = try server.connect() }
  }

  @Test func `a server is stopped in the middle of everything without harm`() async throws {
    for round in 0..<20 {
      let server = try TestServer(limits: ServerLimits(connectionsPerProcess: 1000)) { request in
        switch request.path {
        case "/now": return .text(200, "now")
        case "/later":
          await Task.yield()
          return .text(200, "later")
        case "/cancelled":
          await untilCancelled()
          return .text(200, "cancelled")
        default:
          return ServerResponse(
            status: 200,
            body: .stream(
              AsyncStream { pieces in
                for _ in 0..<100 { pieces.yield([UInt8](repeating: 1, count: 1000)) }
              }))
        }
      }
      await withTaskGroup(of: Void.self) { group in
        for index in 0..<20 {
          group.addTask {
            guard let connection = try? server.connect() else { return }
            let path = ["/now", "/later", "/cancelled", "/stream"][index % 4]
            for _ in 0..<(index % 4 < 2 ? 50 : 1) {
              guard (try? await connection.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")) != nil,
                (try? await connection.readAnswer()) != nil
              else { break }
            }
            // An upload that is never complete.
            try? await connection.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
          }
        }
        group.addTask {
          for _ in 0..<round * 20 { await Task.yield() }
          await server.server.stop(grace: .milliseconds(20))
        }
      }
    }
  }

  @Test func `nothing is left open after a server and its clients are gone`() async {
    await #expect(processExitsWith: .success) {
      func once() async throws {
        let server = try TestServer {
          $0.path == "/stream" ? Self.stream : .text($0.path == "/bad" ? 500 : 200, "ok")
        }
        let client = server.client()
        for _ in 0..<5 {
          _ = try await client.send(.get, "/", timeout: .seconds(30))
          _ = try await client.send(.get, "/bad", timeout: .seconds(30))
        }
        let other = server.client()
        var pieces = try await other.stream("/stream", timeout: .seconds(30)).pieces.makeAsyncIterator()
        _ = try await pieces.next()
        let gone = try server.connect()
        try await gone.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try await gone.read(until: "one")
        gone.close()
        await client.close()
        await other.close()
        await server.server.stop()
      }
      // The first round starts what stays for the life of the process: the poller and the tasks' threads.
      try await once()
      let before = OpenResources.now()
      for _ in 0..<20 { try await once() }
      // Threads and descriptors go a moment after their owners. The tasks' own threads may become two more meanwhile; what
      // stays of every round makes twenty.
      try await Attempts.until("what was opened is closed again") {
        let now = OpenResources.now()
        return now.descriptors <= before.descriptors && now.threads <= before.threads + 2 ? true : nil
      }
    }
  }

  static var stream: ServerResponse {
    ServerResponse(status: 200, body: .stream(AsyncStream { $0.yield(Array("one".utf8)) }))
  }

  @Test func `a server that is let go without being stopped closes its socket`() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("s.sock")
    var server: HTTPServer? = try HTTPServer(
      listening: try UnixSocket.listen(path: path, mode: 0o600, group: nil), name: "x", limits: ServerLimits()
    ) { _ in .text(200, "ok") }
    let connection = try RawConnection(path: path)
    try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(try await connection.readAnswer().status == 200)
    withExtendedLifetime(server) {}
    server = nil
    #expect(try await connection.readToEnd() == "")
  }
}
