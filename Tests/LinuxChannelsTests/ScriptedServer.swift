import Posix

/// An HTTP server on loopback that answers each connection with the bytes it was given, and keeps what it was asked.
actor ScriptedServer {
  nonisolated let port: UInt16
  private let listener: DescriptorStream
  private(set) var requests: [String] = []

  init() throws {
    let listening = try Loopback.listen(port: 0)
    port = listening.port
    listener = DescriptorStream(listening.descriptor)
  }

  /// Takes one connection, reads one request and sends `answer`; then closes.
  func serve(_ answer: [UInt8]) async throws {
    let connection = try await accept()
    try await receive(from: connection)
    try await connection.write(answer, timeout: .seconds(20))
    connection.close()
  }

  /// Takes one connection and reads one request; the connection stays open as long as what is returned.
  func hold() async throws -> DescriptorStream {
    let connection = try await accept()
    try await receive(from: connection)
    return connection
  }

  func close() { listener.close() }

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

  private func receive(from connection: DescriptorStream) async throws {
    var bytes: [UInt8] = []
    while true {
      bytes += try await connection.read(upTo: 65536, timeout: .seconds(20))
      let text = String(decoding: bytes, as: UTF8.self)
      guard let end = text.firstRange(of: "\r\n\r\n") else { continue }
      let length =
        text.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
        .flatMap { Int($0.split(separator: ":")[1].drop { $0 == " " }) } ?? 0
      if text[end.upperBound...].utf8.count >= length {
        requests.append(text)
        return
      }
    }
  }
}
