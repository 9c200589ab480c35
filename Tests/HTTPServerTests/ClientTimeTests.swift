import HTTPClient
import Posix
import TestKit
import Testing

/// A far end that never says enough: that a request ends at all shows that its time is kept. How soon is the machine's
/// business.
@Suite(.timeLimit(.minutes(5)), .enabled(if: FarEnd.isExpected, FarEnd.isMissing))
struct ClientTimeTests {
  private let directory: TemporaryDirectory
  private let path: String
  private let client: HTTPClient

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.path("far.sock")
    client = HTTPClient(target: .unix(path: path))
  }

  /// The request must end with `.timedOut` and not before its time.
  private func expectTimeOut(after timeout: Duration, _ path: String = "/", body: [UInt8]? = nil) async {
    let time = await ContinuousClock().measure {
      await #expect(throws: HTTPClientError.timedOut) {
        _ = try await client.send(body == nil ? .get : .put, path, body: body ?? [], timeout: timeout)
      }
    }
    #expect(time >= timeout)
  }

  @Test(arguments: [
    "hang", #"drip:HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"#, #"fastdrip:H"#,
    #"fastdrip:HTTP/1.1 200 OK\r\nX: "#,
    #"say:HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"#,
    #"say:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"#,
    #"say:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"#,
    #"say:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"#,
    #"say:HTTP/1.1 200 OK\r\n\r\nuntil the end"#, #"say:HTTP/1.1 200 OK\r\nX: "#, "say:HTT",
  ]) func `the time is for the whole answer`(_ said: String) async throws {
    let far = try await FarEnd.start(path: path, mode: [said])
    await expectTimeOut(after: .milliseconds(700))
    await far.kill()
  }

  @Test func `a body nobody reads does not hold the client longer than its time`() async throws {
    let listener = try UnixSocket.listen(path: path, mode: 0o600, group: nil)
    await expectTimeOut(after: .milliseconds(300), body: [UInt8](repeating: 1, count: 8 << 20))
    _ = consume listener
  }

  @Test func `a request that waits for another one still has its own time`() async throws {
    let far = try await FarEnd.start(path: path, mode: ["hang"])
    // Longer than this test may last.
    let first = Task { [client] in try await client.send(.get, "/first", timeout: .seconds(3600)) }
    #expect(try await far.nextLine() == "GET /first HTTP/1.1")
    await expectTimeOut(after: .milliseconds(300), "/second")
    first.cancel()
    await #expect(throws: HTTPClientError.cancelled) { _ = try await first.value }
    await far.kill()
  }

  @Test func `a stream's time is for its header and not for its body`() async throws {
    let silent = try await FarEnd.start(path: path, mode: ["hang"])
    await #expect(throws: HTTPClientError.timedOut) {
      _ = try await client.stream("/", timeout: .milliseconds(100))
    }
    await silent.kill()
    // On a machine so busy that the header does not come in time, another attempt has more of it.
    for seconds in [1, 8, 64] {
      // A letter every 0.3 s: the body takes longer than the time.
      let letters = [UInt8](repeating: UInt8(ascii: "a"), count: 4 * seconds)
      let far = try await FarEnd.start(
        path: path, mode: ["slowly:" + String(decoding: letters, as: UTF8.self)])
      guard let stream = try? await client.stream("/", timeout: .seconds(seconds)) else {
        await far.kill()
        continue
      }
      var body: [UInt8] = []
      for try await piece in stream.pieces {
        body += piece
        if body.count == letters.count { break }
      }
      #expect(body == letters)
      return await far.kill()
    }
    Issue.record("no header came in time")
  }
}
