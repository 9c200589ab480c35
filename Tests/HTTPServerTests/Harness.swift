import HTTPClient
import HTTPServer
import Posix
import Synchronization
import TestKit
import Testing

/// A server on a socket of the test's own.
final class TestServer: Sendable {
  let path: String
  let server: HTTPServer
  private let directory: TemporaryDirectory

  convenience init(
    limits: ServerLimits = ServerLimits(),
    handler: @escaping @Sendable (ServerRequest) async -> ServerResponse = { _ in .text(200, "ok") }
  ) throws {
    try self.init(limits: limits, refusal: { $0.plainText }, handler: handler)
  }

  init(
    limits: ServerLimits = ServerLimits(), refusal: @escaping @Sendable (Refusal) -> ServerResponse,
    handler: @escaping @Sendable (ServerRequest) async -> ServerResponse
  ) throws {
    directory = try TemporaryDirectory()
    path = directory.path("s.sock")
    server = try HTTPServer(
      listening: try UnixSocket.listen(path: path, mode: 0o600, group: nil), name: "test-http",
      limits: limits,
      refusal: refusal, handler: handler)
  }

  func connect() throws -> RawConnection { try RawConnection(path: path) }

  func client(ownerCheck: (@Sendable (UInt32) -> Bool)? = nil, maximumBodyBytes: Int = 16 << 20) -> HTTPClient
  {
    HTTPClient(target: .unix(path: path), ownerCheck: ownerCheck, maximumBodyBytes: maximumBodyBytes)
  }
}

/// A client that says exactly what the test says.
final class RawConnection: Sendable {
  private let stream: DescriptorStream
  private let rest = Mutex<[UInt8]>([])

  init(path: String) throws { stream = DescriptorStream(try UnixSocket.connect(path: path)) }
  init(port: UInt16) throws { stream = DescriptorStream(try Loopback.connect(port: port)) }

  func send(_ text: String) async throws { try await send(Array(text.utf8)) }
  func send(_ bytes: [UInt8]) async throws { try await stream.write(bytes, timeout: .seconds(30)) }

  /// Everything until the other side closes; a reset is an end too.
  func readToEnd() async throws -> String {
    var all = rest.withLock { $0 }
    while let bytes = try? await stream.read(upTo: 65536, timeout: .seconds(30)), !bytes.isEmpty {
      all += bytes
    }
    return String(decoding: all, as: UTF8.self)
  }

  /// One answer with its body, which must have a length.
  func readAnswer() async throws -> Answer {
    var all = rest.withLock { $0 }
    while true {
      if let answer = Answer(&all) {
        rest.withLock { [all] in $0 = all }
        return answer
      }
      let bytes = try await stream.read(upTo: 65536, timeout: .seconds(30))
      guard !bytes.isEmpty else { throw Ended() }
      all += bytes
    }
  }

  /// Reads until the text has come.
  func read(until text: String) async throws -> String {
    var all: [UInt8] = []
    while !String(decoding: all, as: UTF8.self).contains(text) {
      let bytes = try await stream.read(upTo: 65536, timeout: .seconds(30))
      guard !bytes.isEmpty else { throw Ended() }
      all += bytes
    }
    return String(decoding: all, as: UTF8.self)
  }

  func close() { stream.close() }

  struct Ended: Error {}
}

/// An answer as bytes say it.
struct Answer {
  let status: Int
  let headers: [String: String]
  let body: [UInt8]

  /// Takes the first answer out of the bytes; `nil` when it is not complete.
  init?(_ bytes: inout [UInt8]) {
    let mark = Array("\r\n\r\n".utf8)
    guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }) else { return nil }
    let lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      headers[parts[0].lowercased()] = String(parts.count > 1 ? parts[1].drop { $0 == " " } : "")
    }
    let length = Int(headers["content-length"] ?? "0") ?? 0
    guard bytes.count >= end + 4 + length else { return nil }
    status = Int(lines.first?.split(separator: " ").dropFirst().first ?? "") ?? 0
    self.headers = headers
    body = Array(bytes[(end + 4)..<(end + 4 + length)])
    bytes.removeFirst(end + 4 + length)
  }
}

/// Something that happens once and is waited for.
final class Signal: Sendable {
  private struct State {
    var isGiven = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  func give() {
    let waiting = state.withLock { state in
      state.isGiven = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for one in waiting { one.resume() }
  }

  var isGiven: Bool { state.withLock { $0.isGiven } }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isGiven = state.withLock { state in
        if !state.isGiven { state.waiting.append(continuation) }
        return state.isGiven
      }
      if isGiven { continuation.resume() }
    }
  }
}

/// Waits until the task is cancelled.
func untilCancelled() async {
  let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
  for await _ in stream {}
  continuation.finish()
}

/// A program's output and how it ended.
func run(_ name: String, _ arguments: [String], input: [UInt8] = []) async throws -> (
  output: [UInt8], status: Posix.ExitStatus?
) {
  let process = try ChildProcess.spawn(
    name, arguments: arguments, standardInput: .bytes(input), standardOutput: .pipe, standardError: .null)
  var output: [UInt8] = []
  while let bytes = try await process.output?.read(upTo: 1 << 20, timeout: .seconds(30)), !bytes.isEmpty {
    output += bytes
  }
  return (output, await process.wait(timeout: .seconds(30)))
}

let curlIsMissing: Comment = "curl is not installed"
var hasCurl: Bool { Programs.areExpected("curl") }
