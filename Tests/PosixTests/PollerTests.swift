import Glibc
import TestKit
import Testing

@testable import Posix

@Suite(.timeLimit(.minutes(5)))
struct PollerTests {
  private static func send(_ bytes: [UInt8], to descriptor: borrowing Descriptor) {
    #expect(unsafe Glibc.write(descriptor.raw, bytes, bytes.count) == bytes.count)
  }

  /// A waiter in a task of its own, which is in the poller's table when this returns.
  private static func waiter(
    for interest: Poller.Interest, on raw: Int32, timeout: Duration? = nil, poller: Poller = .shared
  ) async -> Task<Readiness, Never> {
    let before = poller.newestWaiter(on: raw)
    let task = Task { await poller.wait(for: interest, on: raw, timeout: timeout) }
    while poller.newestWaiter(on: raw) == before { await Task.yield() }
    return task
  }

  @Test func `what can be read already is ready at once`() async throws {
    let pair = try UnixSocket.pair()
    Self.send([1], to: pair.second)
    #expect(await Poller.shared.wait(for: .read, on: pair.first.raw, timeout: nil) == .ready)
  }

  @Test func `a waiter is woken by what arrives later`() async throws {
    let pair = try UnixSocket.pair()
    let task = await Self.waiter(for: .read, on: pair.first.raw)
    Self.send([1], to: pair.second)
    #expect(await task.value == .ready)
  }

  @Test func `a timeout is not early and leaves no waiter behind`() async throws {
    let pair = try UnixSocket.pair()
    let start = SystemClockState.monotonicNanoseconds()
    #expect(await Poller.shared.wait(for: .read, on: pair.first.raw, timeout: .milliseconds(30)) == .timedOut)
    #expect(SystemClockState.monotonicNanoseconds() - start >= 30_000_000)
    #expect(Poller.shared.waiterCount(on: pair.first.raw) == 0)
  }

  @Test func `a timeout of nothing only asks`() async throws {
    let pair = try UnixSocket.pair()
    #expect(await Poller.shared.wait(for: .read, on: pair.first.raw, timeout: .zero) == .timedOut)
    #expect(await Poller.shared.wait(for: .write, on: pair.first.raw, timeout: .zero) == .ready)
    Self.send([1], to: pair.second)
    #expect(await Poller.shared.wait(for: .read, on: pair.first.raw, timeout: .seconds(-1)) == .ready)
  }

  @Test func `a later and shorter timeout ends before an earlier and longer one`() async throws {
    let pair = try UnixSocket.pair()
    let long = await Self.waiter(for: .read, on: pair.first.raw, timeout: .seconds(600))
    #expect(await Poller.shared.wait(for: .read, on: pair.first.raw, timeout: .milliseconds(10)) == .timedOut)
    Poller.shared.forget(pair.first.raw)
    #expect(await long.value == .cancelled)
  }

  @Test func `a waiter whose task is cancelled is woken, before and after it has begun to wait`() async throws
  {
    let pair = try UnixSocket.pair()
    let task = await Self.waiter(for: .read, on: pair.first.raw, timeout: .seconds(600))
    task.cancel()
    #expect(await task.value == .cancelled)
    let raw = pair.first.raw
    let early = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      return await Poller.shared.wait(for: .read, on: raw, timeout: nil)
    }
    #expect(await early.value == .cancelled)
    #expect(Poller.shared.waiterCount(on: raw) == 0)
  }

  @Test func `forgetting a descriptor wakes all of its waiters and nobody else's`() async throws {
    let pair = try UnixSocket.pair()
    let reader = await Self.waiter(for: .read, on: pair.first.raw)
    let second = await Self.waiter(for: .read, on: pair.first.raw)
    let hangup = await Self.waiter(for: .hangup, on: pair.first.raw)
    let other = await Self.waiter(for: .read, on: pair.second.raw)
    Poller.shared.forget(pair.first.raw)
    #expect(await reader.value == .cancelled)
    #expect(await second.value == .cancelled)
    #expect(await hangup.value == .cancelled)
    Self.send([1], to: pair.first)
    #expect(await other.value == .ready)
  }

  @Test func `a descriptor that goes out of scope wakes its waiters`() async throws {
    var pair: UnixSocket.Pair? = try UnixSocket.pair()
    let task = await Self.waiter(for: .read, on: pair?.first.raw ?? -1)
    pair = nil
    #expect(await task.value == .cancelled)
  }

  @Test func `readers, writers and hangup waiters of one descriptor are told apart`() async throws {
    let pair = try UnixSocket.pair()
    let raw = pair.first.raw
    let reader = await Self.waiter(for: .read, on: raw)
    let hangup = await Self.waiter(for: .hangup, on: raw)
    #expect(await Poller.shared.wait(for: .write, on: raw, timeout: nil) == .ready)
    Self.send([1], to: pair.second)
    #expect(await reader.value == .ready)
    #expect(Poller.shared.waiterCount(on: raw) == 1)
    // Half closed: the other side says it will send nothing more.
    #expect(Glibc.shutdown(pair.second.raw, Int32(SHUT_WR)) == 0)
    #expect(await hangup.value == .hangup)
  }

  @Test func `the end of the other side is a hangup for those who cannot read any more`() async throws {
    var pair: UnixSocket.Pair? = try UnixSocket.pair()
    let first = Descriptor(adopting: dup(pair?.first.raw ?? -1))
    let writer = await Self.waiter(for: .hangup, on: first.raw)
    pair = nil
    #expect(await writer.value == .hangup)
    #expect(await Poller.shared.wait(for: .read, on: first.raw, timeout: nil) == .ready)
    #expect(await Poller.shared.wait(for: .write, on: first.raw, timeout: nil) == .hangup)
  }

  @Test func `a regular file is always ready, and a descriptor that is not open hangs up`() async throws {
    let directory = try TemporaryDirectory()
    try Files.replaceDurable(directory.path("f"), bytes: [1], mode: 0o600)
    let file = try Files.open(directory.path("f"), .reading)
    #expect(await Poller.shared.wait(for: .read, on: file.raw, timeout: nil) == .ready)
    #expect(await Poller.shared.wait(for: .read, on: 1_000_000, timeout: nil) == .hangup)
    #expect(await Poller.shared.wait(for: .read, on: -1, timeout: .seconds(1)) == .hangup)
  }

  @Test func `a number that is closed without a word and reused wakes the old waiter, and not the new one`()
    async throws
  {
    // A poller of the test's own: the shared one would be told by Descriptor's deinit.
    let poller = Poller()
    let old = try UnixSocket.pair()
    let new = try UnixSocket.pair()
    let raw = old.first.raw
    let first = await Self.waiter(for: .read, on: raw, poller: poller)
    // In one step the number stops meaning the old socket and means the new one.
    #expect(dup2(new.first.raw, raw) == raw)
    let second = await Self.waiter(for: .read, on: raw, timeout: .seconds(600), poller: poller)
    #expect(await first.value == .cancelled)
    #expect(poller.waiterCount(on: raw) == 1)
    Self.send([1], to: new.second)
    #expect(await second.value == .ready)
  }

  @Test func `an event of a file that lives on under another number wakes nobody who waits for the new file`()
    async throws
  {
    let poller = Poller()
    let old = try UnixSocket.pair()
    let new = try UnixSocket.pair()
    let raw = old.first.raw
    let survivor = try old.first.duplicate()
    let first = await Self.waiter(for: .read, on: raw, poller: poller)
    #expect(dup2(new.first.raw, raw) == raw)
    let second = await Self.waiter(for: .read, on: raw, poller: poller)
    #expect(await first.value == .cancelled)
    // The kernel keeps the old registration for the surviving duplicate, and reports it.
    Self.send([1], to: old.second)
    #expect(await poller.wait(for: .read, on: survivor.raw, timeout: nil) == .ready)
    #expect(poller.waiterCount(on: raw) == 1)
    Self.send([1], to: new.second)
    #expect(await second.value == .ready)
  }

  @Test func `a hundred waiters each get their own byte, many times over`() async throws {
    let count = 100
    var readers: [DescriptorStream] = []
    var writers: [DescriptorStream] = []
    for _ in 0..<count {
      let pair = try UnixSocket.pair()
      readers.append(DescriptorStream(pair.first))
      writers.append(DescriptorStream(pair.second))
    }
    for round in 0..<50 {
      let got = try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { group in
        for (index, reader) in readers.enumerated() {
          group.addTask { (index, try await reader.read(upTo: 1, timeout: .seconds(30))) }
        }
        for index in (0..<count).shuffled() {
          group.addTask { [writer = writers[index]] in
            try await writer.write([UInt8(truncatingIfNeeded: index + round)], timeout: nil)
            return (-1, [])
          }
        }
        return try await group.reduce(into: [Int: [UInt8]]()) { $0[$1.0] = $1.1 }
      }
      for index in 0..<count { #expect(got[index] == [UInt8(truncatingIfNeeded: index + round)]) }
    }
  }

  @Test func `many waiters for one descriptor are all woken`() async throws {
    let pair = try UnixSocket.pair()
    var tasks: [Task<Readiness, Never>] = []
    for _ in 0..<100 {
      tasks.append(await Self.waiter(for: .read, on: pair.first.raw, timeout: .seconds(600)))
    }
    Self.send([1], to: pair.second)
    for task in tasks { #expect(await task.value == .ready) }
  }

  @Test func `no wake-up is lost between would block and await`() async throws {
    let pair = try UnixSocket.pair()
    let one = DescriptorStream(pair.first)
    let other = DescriptorStream(pair.second)
    let rounds = 20_000
    async let echoed: Void = {
      for _ in 0..<rounds { try await other.write(try await other.read(upTo: 1, timeout: nil), timeout: nil) }
    }()
    for round in 0..<rounds {
      try await one.write([UInt8(truncatingIfNeeded: round)], timeout: nil)
      #expect(try await one.read(upTo: 1, timeout: .seconds(50)) == [UInt8(truncatingIfNeeded: round)])
    }
    try await echoed
  }

  @Test func `cancelling, arriving, timing out and forgetting at the same time ends every wait once`()
    async throws
  {
    for round in 0..<2000 {
      let pair = try UnixSocket.pair()
      let raw = pair.first.raw
      let waiting = Task {
        await Poller.shared.wait(
          for: .read, on: raw, timeout: round % 4 == 0 ? .microseconds(round % 100) : nil)
      }
      switch round % 4 {
      case 1: waiting.cancel()
      case 2: Self.send([1], to: pair.second)
      case 3:
        Self.send([1], to: pair.second)
        waiting.cancel()
      default: break
      }
      let readiness = await waiting.value
      switch round % 4 {
      case 0: #expect(readiness == .timedOut)
      case 1: #expect(readiness == .cancelled)
      case 2: #expect(readiness == .ready)
      default: #expect(readiness == .ready || readiness == .cancelled)
      }
      #expect(Poller.shared.waiterCount(on: raw) == 0)
    }
  }

  @Test func `sleep lasts as long as it should, and ends early only when cancelled`() async {
    let start = SystemClockState.monotonicNanoseconds()
    #expect(await Poller.shared.sleep(for: .milliseconds(20)))
    #expect(SystemClockState.monotonicNanoseconds() - start >= 20_000_000)
    let task = Task { await Poller.shared.sleep(for: .seconds(600)) }
    task.cancel()
    #expect(await task.value == false)
    #expect(await Poller.shared.sleep(for: .zero))
    #expect(await Poller.shared.sleep(for: .seconds(-5)))
  }

  @Test func `a duration beyond the clock is no deadline`() {
    #expect(Poller.shared.deadline(after: .seconds(Int64.max)) == nil)
    #expect(Poller.shared.deadline(after: nil) == nil)
    #expect(Poller.shared.deadline(after: .nanoseconds(-1)) == 0)
  }

  @Test func `the thread sleeps through while nothing happens`() async throws {
    await #expect(processExitsWith: .success) {
      let idle = try UnixSocket.pair()
      let raw = idle.first.raw
      let waiting = Task { await Poller.shared.wait(for: .read, on: raw, timeout: nil) }
      _ = await Poller.shared.sleep(for: .milliseconds(1))
      let before = try #require(wakeUpsOfPoller())
      _ = await Poller.shared.sleep(for: .milliseconds(500))
      let after = try #require(wakeUpsOfPoller())
      // One to hear of the new deadline, one at its end; a lock held by somebody else may cost one more.
      #expect(after - before <= 4)
      waiting.cancel()
      _ = await waiting.value
    }
  }

  @Test func `waits and streams leave no descriptor open`() async throws {
    await #expect(processExitsWith: .success) {
      let before = await OpenResources.settled().descriptors
      for _ in 0..<200 {
        let pair = try UnixSocket.pair()
        let stream = DescriptorStream(pair.first)
        let reader = Task { try await stream.read(upTo: 1, timeout: .seconds(30)) }
        await Task.yield()
        stream.close()
        _ = await reader.result
      }
      #expect(OpenResources.now().descriptors <= before)
    }
  }

  @Test func `deadlines come in order and those of ended waits can be dropped`() {
    var heap = DeadlineHeap()
    let deadlines = (0..<1000).map { UInt64($0 * 7919 % 1009) }
    for (index, deadline) in deadlines.enumerated() { heap.insert(deadline, UInt64(index)) }
    heap.removeAll { $0 % 3 == 0 }
    var seen: [UInt64] = []
    while let first = heap.first {
      #expect(deadlines[Int(first.waiter)] == first.deadline && first.waiter % 3 != 0)
      seen.append(first.deadline)
      heap.removeFirst()
    }
    #expect(seen == deadlines.enumerated().filter { $0.offset % 3 != 0 }.map(\.element).sorted())
  }

  @Test func `waits that ended before their deadline do not pile up`() async throws {
    let poller = Poller()
    let pair = try UnixSocket.pair()
    Self.send([1], to: pair.second)
    for _ in 0..<5000 {
      #expect(await poller.wait(for: .read, on: pair.first.raw, timeout: .seconds(3600)) == .ready)
    }
    #expect(poller.heldDeadlines <= 65)
  }
}

/// How often the poller's thread has given up the processor; from `/proc` (proc(5)).
func wakeUpsOfPoller() -> Int? {
  for thread in (try? Files.list("/proc/self/task")) ?? [] {
    let path = "/proc/self/task/\(thread)/"
    guard let name = try? Files.read(path + "comm", limit: 64), name == Array("poller\n".utf8),
      let status = try? Files.read(path + "status", limit: 8192)
    else { continue }
    for line in String(decoding: status, as: UTF8.self).split(separator: "\n")
    where line.hasPrefix("voluntary_ctxt_switches:") {
      return line.split(separator: "\t").last.flatMap { Int($0) }
    }
  }
  return nil
}
