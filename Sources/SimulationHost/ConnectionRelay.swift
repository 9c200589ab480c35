internal import Posix
internal import Synchronization

/// Carries bytes between the clients of a listening socket and an HTTP server behind it, and breaks a connection off where
/// the server's answer asks for it.
final class ConnectionRelay: Sendable {
  /// A header field with which the server asks to close the connection in the middle of this answer.
  static let cut = ("Simulated-Connection", "cut")
  /// A header field with which the server asks to close the connection without an answer.
  static let close = ("Simulated-Connection", "close")

  private enum Fate { case whole, cut, close }

  private let listening: DescriptorStream
  private let inner: String
  private let accepting = Mutex<Task<Void, Never>?>(nil)

  /// Begins to accept.
  /// - Parameter inner: path of the server's socket.
  init(listening: consuming Descriptor, inner: String) {
    self.listening = DescriptorStream(listening)
    self.inner = inner
    let task = Task { await self.accept() }
    accepting.withLock { $0 = task }
  }

  /// Stops listening, then breaks every connection off: whoever sees his connection end cannot make a new one.
  func stop() async {
    listening.close()
    let task = accepting.withLock { task in
      defer { task = nil }
      return task
    }
    await task?.value
  }

  private func accept() async {
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled, (try? await listening.ready(for: .read, timeout: nil)) != nil {
        guard let client = accepted() else { continue }
        group.addTask { [inner] in await Self.carry(client, inner) }
      }
      group.cancelAll()
    }
  }

  private func accepted() -> DescriptorStream? {
    let client = listening.withDescriptor { raw -> DescriptorStream? in
      do throws(SystemError) {
        guard let descriptor = try UnixSocket.accept(from: raw) else { return nil }
        return DescriptorStream(descriptor)
      } catch {
        return nil
      }
    }
    return client ?? nil
  }

  private static func carry(_ client: DescriptorStream, _ inner: String) async {
    defer { client.close() }
    guard let descriptor = try? UnixSocket.connect(path: inner) else { return }
    let server = DescriptorStream(descriptor)
    defer { server.close() }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await copy(from: client, to: server) }
      group.addTask { await answer(from: server, to: client) }
      await group.next()
      group.cancelAll()
    }
  }

  private static func copy(from source: DescriptorStream, to destination: DescriptorStream) async {
    while let bytes = try? await source.read(upTo: 65_536, timeout: nil), !bytes.isEmpty {
      guard (try? await destination.write(bytes, timeout: .seconds(60))) != nil else { return }
    }
  }

  private static func answer(from server: DescriptorStream, to client: DescriptorStream) async {
    while let bytes = try? await server.read(upTo: 65_536, timeout: nil), !bytes.isEmpty {
      let (fate, headEnd) = fate(of: bytes)
      switch fate {
      case .whole:
        guard (try? await client.write(bytes, timeout: .seconds(60))) != nil else { return }
      case .cut:
        // Head and half of what is there of the body: less than the announced length in any case.
        let count = headEnd + (bytes.count - headEnd) / 2
        _ = try? await client.write(Array(bytes.prefix(count)), timeout: .seconds(60))
        return
      case .close: return
      }
    }
  }

  /// Clients send a request only when they have the answer to the last one, and a head is sent at once: it begins a piece.
  private static func fate(of bytes: [UInt8]) -> (fate: Fate, headEnd: Int) {
    guard bytes.starts(with: "HTTP/1.1 ".utf8), let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else {
      return (.whole, 0)
    }
    let head = bytes[..<end.upperBound]
    func has(_ field: (String, String)) -> Bool {
      head.firstRange(of: Array("\r\n\(field.0): \(field.1)\r\n".utf8)) != nil
    }
    return (has(cut) ? .cut : has(close) ? .close : .whole, end.upperBound)
  }
}
