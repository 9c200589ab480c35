package import Posix
import Synchronization
package import TestKit
import Testing
package import WireJSON

/// What a browser with a citizen's screen says to the agent, without the browser.
package struct CitizenPage: Sendable {
  package let port: UInt16

  package init(port: UInt16) { self.port = port }

  /// A port of the loopback that nobody listens on, of those that the system gives to nobody by itself.
  package static func freePort() throws -> UInt16 {
    for _ in 0..<100 {
      let port = UInt16.random(in: 20_000..<32_000)
      guard given.withLock({ $0.insert(port).inserted }) else { continue }
      if (try? Loopback.listen(port: port)) != nil { return port }
    }
    throw Programs.Failure(description: "no free port")
  }
  private static let given = Mutex<Set<UInt16>>([])

  /// Sends a request byte by byte as it is given, and reads the answer to its end.
  package func send(
    _ method: String, _ path: String, _ headers: [(String, String)] = [], host: String? = nil,
    body: String = ""
  ) async throws -> PageReply {
    var text = "\(method) \(path) HTTP/1.1\r\nConnection: close\r\n"
    for (name, value) in [("Host", host ?? "127.0.0.1:\(port)")] + headers where !value.isEmpty {
      text += "\(name): \(value)\r\n"
    }
    if method != "GET" { text += "Content-Length: \(body.utf8.count)\r\n" }
    let stream = DescriptorStream(try Loopback.connect(port: port))
    try await stream.write(Array((text + "\r\n" + body).utf8), timeout: .seconds(300))
    var bytes: [UInt8] = []
    while let more = try? await stream.read(upTo: 65_536, timeout: .seconds(300)), !more.isEmpty {
      bytes += more
    }
    return try #require(PageReply(bytes))
  }

  /// As the page itself sends it.
  package func own(
    _ method: String, _ path: String, token: String? = nil, body: JSONValue? = nil
  ) async throws -> PageReply {
    var headers = [("Sec-Fetch-Site", "same-origin")]
    if method != "GET" { headers.append(("Origin", "http://127.0.0.1:\(port)")) }
    if let token { headers.append(("Authorization", "Bearer \(token)")) }
    if body != nil { headers.append(("Content-Type", "application/json")) }
    let text = try body.map { String(decoding: try JSON.encode($0), as: UTF8.self) }
    return try await send(method, path, headers, body: text ?? "")
  }

  /// The views that a page is shown, as they come.
  package func watch(_ token: String) async throws -> PageViews {
    let stream = DescriptorStream(try Loopback.connect(port: port))
    let request =
      "GET /events HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nAuthorization: Bearer \(token)\r\n"
      + "Connection: close\r\n\r\n"
    try await stream.write(Array(request.utf8), timeout: .seconds(300))
    return PageViews(stream)
  }

  /// Does something at the view that is shown.
  /// - Returns: the status.
  @discardableResult
  package func act(_ input: JSONValue, at view: JSONValue, token: String) async throws -> Int {
    try await own(
      "POST", "/inputs", token: token, body: ["revision": view["revision"] ?? .null, "input": input]
    ).status
  }
}

/// An answer as it came.
package struct PageReply {
  package var status: Int
  package var headers: [String: String] = [:]
  package var body: String

  package init?(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
    let lines = text[..<end.lowerBound].split(separator: "\r\n")
    guard let first = lines.first,
      let status = first.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
    else { return nil }
    self.status = status
    body = String(text[end.upperBound...])
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingPrefix(" ").description
    }
  }

  package var json: JSONValue { (try? JSON.parse(Array(body.utf8))) ?? .null }
}

/// A page's stream of views.
package final class PageViews: Sendable {
  package struct Seen: Sendable {
    package var views: [JSONValue] = []
    package var isOver = false
  }
  package let seen = Observed(Seen())
  private let task: Task<Void, Never>

  package init(_ stream: DescriptorStream) {
    let seen = seen
    task = Task {
      var rest = ""
      while let bytes = try? await stream.read(upTo: 65_536, timeout: nil), !bytes.isEmpty {
        rest += String(decoding: bytes, as: UTF8.self)
        while let end = rest.firstRange(of: "\n\n") {
          let line = rest[..<end.lowerBound]
          if let data = line.firstRange(of: "data: "),
            let view = try? JSON.parse(Array(line[data.upperBound...].utf8))
          {
            seen.update { $0.views.append(view) }
          }
          rest = String(rest[end.upperBound...])
        }
      }
      seen.update { $0.isOver = true }
    }
  }

  /// Waits for a view of this kind, and gives it.
  package func view(_ kind: String) async throws -> JSONValue {
    let found = await seen.wait { $0.isOver || $0.views.last?["kind"]?.string == kind }
    let last = try #require(found?.views.last)
    #expect(last["kind"]?.string == kind)
    return last
  }

  deinit { task.cancel() }
}
