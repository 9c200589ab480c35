import Channels
import LinuxChannels
import Posix
import TestKit
import Testing

extension PlayedDevice {
  fileprivate func open(drainLimit: Duration = .milliseconds(50)) throws -> LPChannel {
    try LPChannel.open(path: path, drainLimit: drainLimit)
  }
}

/// A pseudo-terminal as the printer: its line blocks a writer whose bytes nobody takes, as usblp does. What only the driver
/// itself does (one-way printers, port status, being pulled out) is tried in the kernel lab.
@Suite(.timeLimit(.minutes(1))) struct LPChannelTests {
  let limit = Duration.seconds(50)

  @Test func `a long ticket goes through whole`() async throws {
    let printer = try PlayedDevice()
    let port = try printer.open()
    let ticket = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 31 ^ $0 >> 8) }
    async let received = printer.receive(ticket.count)
    try await port.write(ticket, timeout: limit)
    #expect(try await received == ticket)
    await port.close()
  }

  @Test func `the back-channel is read, and nothing on it is a time-out`() async throws {
    let printer = try PlayedDevice()
    let port = try printer.open()
    await #expect(throws: ChannelError.timedOut) { try await port.read(upTo: 64, timeout: .milliseconds(20)) }
    try await printer.controller.write([0x12, 0x16], timeout: limit)
    #expect(try await port.read(upTo: 1, timeout: limit) == [0x12])
    #expect(try await port.read(upTo: 64, timeout: limit) == [0x16])
    await port.close()
  }

  @Test func `a printer that takes no more ends the write in time, counting what it took`() async throws {
    let printer = try PlayedDevice()
    let port = try printer.open()
    let ticket = [UInt8](repeating: 0x55, count: 200_000)
    let error = try #require(
      await #expect(throws: ChannelWriteError.self) {
        try await port.write(ticket, timeout: .milliseconds(100))
      })
    #expect(error.reason == .timedOut)
    #expect(error.written < ticket.count)
    await port.close()
  }

  @Test func `a blocked write ends when its task is cancelled`() async throws {
    let printer = try PlayedDevice()
    let port = try printer.open()
    let writer = Task { try await port.write([UInt8](repeating: 1, count: 200_000), timeout: .seconds(60)) }
    // The first bytes are there: the writer is in the middle.
    _ = try await printer.receive(1)
    writer.cancel()
    let error = try #require(
      await #expect(throws: ChannelWriteError.self) { try await writer.value })
    #expect(error.reason == .cancelled)
    await port.close()
  }

  @Test func `closing ends a blocked write and a waiting read, and may be done twice`() async throws {
    let printer = try PlayedDevice()
    let port = try printer.open()
    let reader = Task { try await port.read(upTo: 1, timeout: .seconds(60)) }
    let writer = Task { try await port.write([UInt8](repeating: 1, count: 200_000), timeout: .seconds(60)) }
    _ = try await printer.receive(1)
    await port.close()
    await port.close()
    await #expect(throws: ChannelError.cancelled) { try await reader.value }
    let error = try #require(await #expect(throws: ChannelWriteError.self) { try await writer.value })
    #expect(error.reason == .cancelled)
    await #expect(throws: ChannelWriteError(written: 0, reason: .cancelled)) {
      try await port.write([1], timeout: limit)
    }
  }

  @Test func `what was not read is thrown away on demand`() async throws {
    let printer = try PlayedDevice()
    let port = try printer.open()
    try await printer.controller.write(Array("stale".utf8), timeout: limit)
    #expect(try await port.read(upTo: 1, timeout: limit) == Array("s".utf8))
    await port.discardInput()
    try await printer.controller.write(Array("fresh".utf8), timeout: limit)
    #expect(try await port.read(upTo: 64, timeout: limit) == Array("fresh".utf8))
    await port.close()
  }

  @Test func `a path without a node is absent`() throws {
    let files = try TemporaryDirectory()
    #expect(throws: ChannelError.absent(files.path("lp0"))) { try LPChannel.open(path: files.path("lp0")) }
  }

  @Test func `a thread that was interrupted and one that was not are gone in the end`() async throws {
    await #expect(processExitsWith: .success) {
      let printer = try PlayedDevice()
      let port = try printer.open()
      let before = await OpenResources.settled()
      for _ in 0..<30 {
        _ = try? await port.write([UInt8](repeating: 1, count: 100_000), timeout: .milliseconds(5))
        async let taken = printer.receive(1)
        _ = try await taken
      }
      await port.close()
      // Threads end a moment after their last call has returned.
      _ = try await Attempts.until("no more threads than before") {
        OpenResources.now().threads <= before.threads + 1 ? true : nil
      }
      #expect(OpenResources.now().descriptors <= before.descriptors)
    }
  }
}
