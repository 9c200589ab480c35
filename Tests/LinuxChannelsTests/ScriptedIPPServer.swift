import Posix
import TestKit

/// An IPP server on a Unix socket that gives prepared answers, each on a connection of its own: for what a real server
/// cannot be made to do at a certain moment.
actor ScriptedIPPServer {
  enum Answer: Sendable {
    /// `successful-ok` without attributes.
    case done
    case jobCreated(Int32)
    case job(Int32, state: Int32, timeAtProcessing: Int32?)
    case notFound
    case closeWithoutAnswer
    case never
    case http(Int)
    case garbage
  }

  nonisolated let path: String
  private let files: TemporaryDirectory
  private let listener: DescriptorStream
  /// Operation codes in the order in which they were asked for.
  private(set) var operations: [Int] = []

  init() throws {
    files = try TemporaryDirectory()
    path = files.path("ipp.sock")
    listener = DescriptorStream(try UnixSocket.listen(path: path, mode: 0o600, group: nil))
  }

  /// Gives the answers, and listens no more after the last of them.
  func serve(_ answers: [Answer]) async throws {
    defer { listener.close() }
    for answer in answers {
      let connection = try await accept()
      let body = try await receive(from: connection)
      operations.append(Int(body[2]) << 8 | Int(body[3]))
      switch answer {
      case .closeWithoutAnswer: break
      case .never: _ = try await connection.read(upTo: 1, timeout: .seconds(60))
      case .http(let status):
        try await send("HTTP/1.1 \(status) No\r\nContent-Length: 0\r\n\r\n", [], to: connection)
      case .garbage: try await send(ok(3), [1, 2, 3], to: connection)
      case .done: try await send(message(0x0000, []), to: connection)
      case .notFound: try await send(message(0x0406, []), to: connection)
      case .jobCreated(let id): try await send(message(0x0000, integer("job-id", 0x21, id)), to: connection)
      case .job(let id, let state, let time):
        let processing =
          time.map { integer("time-at-processing", 0x21, $0) } ?? attribute("time-at-processing", 0x13, [])
        let attributes = integer("job-id", 0x21, id) + integer("job-state", 0x23, state) + processing
        try await send(message(0x0000, attributes), to: connection)
      }
      connection.close()
    }
  }

  private func ok(_ count: Int) -> String {
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/ipp\r\nContent-Length: \(count)\r\n\r\n"
  }

  private func send(_ message: [UInt8], to connection: DescriptorStream) async throws {
    try await send(ok(message.count), message, to: connection)
  }

  private func send(_ head: String, _ body: [UInt8], to connection: DescriptorStream) async throws {
    try await connection.write(Array(head.utf8) + body, timeout: .seconds(20))
  }

  private func message(_ status: Int, _ job: [UInt8]) -> [UInt8] {
    [2, 0, UInt8(status >> 8), UInt8(status & 0xFF), 0, 0, 0, 1, 1]
      + attribute("attributes-charset", 0x47, Array("utf-8".utf8))
      + attribute("attributes-natural-language", 0x48, Array("en".utf8)) + (job.isEmpty ? [] : [2] + job) + [
        3
      ]
  }

  private func attribute(_ name: String, _ tag: UInt8, _ value: [UInt8]) -> [UInt8] {
    [tag, 0, UInt8(name.utf8.count)] + Array(name.utf8) + [0, UInt8(value.count)] + value
  }

  private func integer(_ name: String, _ tag: UInt8, _ value: Int32) -> [UInt8] {
    attribute(name, tag, (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) })
  }

  private func accept() async throws -> DescriptorStream {
    while true {
      _ = try await listener.ready(for: .read, timeout: .seconds(20))
      let connection = try listener.withDescriptor { raw throws(SystemError) in
        guard let connection = try UnixSocket.accept(from: raw) else { return nil as DescriptorStream? }
        return DescriptorStream(connection)
      }
      if let stream = connection ?? nil { return stream }
    }
  }

  private func receive(from connection: DescriptorStream) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let more = try await connection.read(upTo: 65536, timeout: .seconds(20))
      guard !more.isEmpty else { throw Programs.Failure(description: "the client has gone") }
      bytes += more
      guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
      let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
      let length =
        head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
        .flatMap { Int($0.split(separator: ":")[1].drop { $0 == " " }) } ?? 0
      if bytes.count - end.upperBound >= length { return Array(bytes[end.upperBound...]) }
    }
  }
}
