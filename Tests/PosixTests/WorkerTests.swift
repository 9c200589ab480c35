import Glibc
import Posix
import TestKit
import Testing

/// An actor around a call that blocks its thread: `read` of a socket nobody has written to yet.
private actor BlockingReader {
  private let worker: Worker
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.asUnownedSerialExecutor() }
  private(set) var order: [Int] = []

  init(name: String) { worker = Worker(name: name) }

  func read(_ raw: Int32) -> UInt8 {
    var byte: UInt8 = 0
    _ = unsafe Glibc.read(raw, &byte, 1)
    return byte
  }

  func note(_ number: Int) { order.append(number) }

  func threadName() throws -> String {
    String(decoding: try Files.read("/proc/thread-self/comm", limit: 64), as: UTF8.self)
  }

  nonisolated func assumed() -> Bool { assumeIsolated { _ in true } }
  func assumedHere() -> Bool { assumed() }
}

@Suite(.timeLimit(.minutes(5)))
struct WorkerTests {
  @Test func `jobs run on a thread of the given name`() async throws {
    let reader = BlockingReader(name: "printing")
    #expect(try await reader.threadName() == "printing\n")
    #expect(await reader.assumedHere())
  }

  @Test func `twenty blocked actors hold up neither each other nor the rest of the program`() async throws {
    try await withThrowingTaskGroup(of: UInt8.self) { group in
      var writers: [DescriptorStream] = []
      for number in 0..<20 {
        let pair = try UnixSocket.pair()
        writers.append(DescriptorStream(pair.second))
        let raw = pair.first.release()
        group.addTask {
          let byte = await BlockingReader(name: "blocked\(number)").read(raw)
          close(raw)
          return byte
        }
      }
      // More readers are blocked than the pool has threads; these writes need the pool.
      for (number, writer) in writers.enumerated() { try await writer.write([UInt8(number)], timeout: nil) }
      #expect(try await group.reduce(into: Set<UInt8>()) { $0.insert($1) } == Set(0..<20))
    }
  }

  @Test func `jobs of one task run in the order they were given`() async {
    let reader = BlockingReader(name: "order")
    for number in 0..<1000 { await reader.note(number) }
    #expect(await reader.order == Array(0..<1000))
  }

  @Test func `a released worker ends its thread`() async throws {
    await #expect(processExitsWith: .success) {
      _ = await Poller.shared.sleep(for: .milliseconds(1))
      func useAndRelease() async throws { _ = try await BlockingReader(name: "short-lived").threadName() }
      for _ in 0..<50 { try await useAndRelease() }
      func isThere() throws -> Bool {
        try Files.list("/proc/self/task").contains { thread in
          (try? Files.read("/proc/self/task/\(thread)/comm", limit: 64)) == Array("short-lived\n".utf8)
        }
      }
      // A thread's end is no event another can wait for.
      try await Attempts.until("the thread's end") { try isThere() ? nil : true }
    }
  }
}
