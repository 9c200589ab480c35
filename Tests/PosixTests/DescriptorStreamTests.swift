import Glibc
import Posix
import Testing

@Suite(.timeLimit(.minutes(5)))
struct DescriptorStreamTests {
  private static func streams() throws -> (DescriptorStream, DescriptorStream) {
    let pair = try UnixSocket.pair()
    return (DescriptorStream(pair.first), DescriptorStream(pair.second))
  }

  @Test func `four megabytes pass whole and in order, more than any buffer holds`() async throws {
    let (one, other) = try Self.streams()
    let sent = (0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
    async let writing: Void = {
      try await one.write(sent, timeout: .seconds(30))
      one.close()
    }()
    var received: [UInt8] = []
    while true {
      let bytes = try await other.read(upTo: 70_000, timeout: .seconds(30))
      if bytes.isEmpty { break }
      received += bytes
    }
    try await writing
    #expect(received == sent)
  }

  @Test func `the end of the file is an empty read, again and again`() async throws {
    let (one, other) = try Self.streams()
    try await one.write([7], timeout: nil)
    one.close()
    #expect(try await other.read(upTo: 10, timeout: nil) == [7])
    #expect(try await other.read(upTo: 10, timeout: nil) == [])
    #expect(try await other.read(upTo: 10, timeout: nil) == [])
  }

  @Test func `a read without data times out, and the stream goes on`() async throws {
    let (one, other) = try Self.streams()
    await #expect(throws: StreamError.timedOut) { try await other.read(upTo: 1, timeout: .milliseconds(10)) }
    try await one.write([9], timeout: nil)
    #expect(try await other.read(upTo: 1, timeout: .milliseconds(10)) == [9])
  }

  @Test func `a write nobody reads times out and says how much was taken`() async throws {
    let (one, other) = try Self.streams()
    let bytes = [UInt8](repeating: 1, count: 8 << 20)
    let error = await #expect(throws: StreamWriteError.self) {
      try await one.write(bytes, timeout: .milliseconds(50))
    }
    #expect(error?.reason == .timedOut)
    let written = try #require(error?.written)
    #expect(written > 0 && written < bytes.count)
    var left = written
    while left > 0 { left -= try await other.read(upTo: 1 << 20, timeout: .seconds(10)).count }
    #expect(left == 0)
  }

  @Test func `writing to someone who has gone is EPIPE and not the end of the process`() async throws {
    await #expect(processExitsWith: .success) {
      let pair = try UnixSocket.pair()
      let one = DescriptorStream(pair.first)
      try pair.second.close()
      let error = await #expect(throws: StreamWriteError.self) { try await one.write([1], timeout: nil) }
      #expect(error == StreamWriteError(written: 0, reason: .system(SystemError(call: "write", code: EPIPE))))
    }
  }

  @Test func `closing wakes a reader and a writer, and closing again does nothing`() async throws {
    let (one, other) = try Self.streams()
    let reading = Task { try await one.read(upTo: 1, timeout: nil) }
    let writing = Task { try await one.write([UInt8](repeating: 0, count: 8 << 20), timeout: nil) }
    // The writer has filled the socket's buffer by the time something can be read.
    _ = try await other.read(upTo: 1, timeout: nil)
    one.close()
    one.close()
    await #expect(throws: StreamError.closed) { try await reading.value }
    let error = await #expect(throws: StreamWriteError.self) { try await writing.value }
    #expect(error?.reason == .closed)
    await #expect(throws: StreamError.closed) { try await one.read(upTo: 1, timeout: nil) }
    #expect(one.withDescriptor { $0 } == nil)
  }

  @Test func `a reader that begins while another task closes never waits for ever`() async throws {
    for _ in 0..<2000 {
      let (one, other) = try Self.streams()
      let reader = Task { () -> StreamError? in
        do {
          _ = try await one.read(upTo: 1, timeout: nil)
          return nil
        } catch {
          return error as? StreamError
        }
      }
      one.close()
      #expect(await reader.value == .closed)
      // The other side sees the end: nobody keeps the descriptor open.
      #expect(try await other.read(upTo: 1, timeout: .seconds(30)) == [])
    }
  }

  @Test func `a cancelled task reads nothing, and what was there stays for the next`() async throws {
    let (one, other) = try Self.streams()
    try await one.write([5], timeout: nil)
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return try await other.read(upTo: 1, timeout: nil)
    }
    await #expect(throws: StreamError.cancelled) { try await task.value }
    #expect(try await other.read(upTo: 1, timeout: nil) == [5])
  }

  @Test func `readiness without reading`() async throws {
    let (one, other) = try Self.streams()
    #expect(try await other.ready(for: .write, timeout: nil) == .ready)
    await #expect(throws: StreamError.timedOut) { try await other.ready(for: .read, timeout: .zero) }
    one.close()
    #expect(try await other.ready(for: .hangup, timeout: nil) == .hangup)
  }

  @Test func `a read of a closed pseudo-terminal is EIO for the caller to map`() async throws {
    let terminal = try PseudoTerminal.open()
    let port = try SerialPort.open(path: terminal.path, settings: SerialSettings(baud: 9600))
    let controller = DescriptorStream(terminal.controller)
    try port.close()
    let error = await #expect(throws: StreamError.self) { try await controller.read(upTo: 1, timeout: nil) }
    #expect(error == .system(SystemError(call: "read", code: EIO)))
  }
}
