import Channels
import Synchronization
import Testing

@testable import Drivers

@Suite(.timeLimit(.minutes(1))) struct InboxTests {
  private let inbox = Inbox<Int>(limit: 3, time: RealTime())
  private func soon(_ time: Duration = .seconds(30)) -> Duration { RealTime().now() + time }

  private func take(until deadline: Duration) async -> String {
    switch await inbox.take(until: deadline) {
    case .element(let number): "\(number)"
    case .timedOut: "timed out"
    case .cancelled: "cancelled"
    case .closed(let error): "closed: \(error)"
    }
  }

  @Test func `what is there is taken in order, and of too much the oldest goes`() async {
    for number in 1...4 { inbox.put(number) }
    #expect(await take(until: soon()) == "2")
    #expect(await take(until: soon()) == "3")
    #expect(await take(until: soon()) == "4")
    #expect(await take(until: soon(.milliseconds(5))) == "timed out")
  }

  @Test func `a waiter gets what comes`() async {
    async let taken = take(until: soon())
    inbox.put(7)
    #expect(await taken == "7")
  }

  @Test func `a cancelled waiter is let go, and what comes later is kept`() async {
    let waiter = Task { await take(until: soon()) }
    waiter.cancel()
    #expect(await waiter.value == "cancelled")
    inbox.put(1)
    #expect(await take(until: soon()) == "1")
  }

  @Test func `after the end what is there can be taken, then the end`() async {
    inbox.put(1)
    inbox.close(.gone)
    #expect(await take(until: soon()) == "1")
    #expect(await take(until: soon()) == "closed: gone")
    #expect(await take(until: soon()) == "closed: gone")
  }

  @Test func `the end lets a waiter go`() async {
    async let taken = take(until: soon())
    inbox.close(.gone)
    #expect(await taken == "closed: gone")
  }

  @Test func `what was cleared is not taken`() async {
    inbox.put(1)
    inbox.clear()
    #expect(await take(until: soon(.milliseconds(5))) == "timed out")
  }

  /// A clock on which every pause is over at once.
  private final class HurriedTime: Timekeeper {
    private let time = Mutex(Duration.zero)
    func now() -> Duration { time.withLock { $0 } }
    func sleep(for duration: Duration) async -> Bool {
      time.withLock { $0 += duration }
      return true
    }
  }

  @Test func `a wait whose time is over before it has quite begun ends all the same`() async {
    for _ in 0..<20_000 {
      let inbox = Inbox<Int>(time: HurriedTime())
      guard case .timedOut = await inbox.take(until: .milliseconds(1)) else {
        Issue.record("not timed out")
        return
      }
    }
  }

  @Test func `many things through many waits arrive each once`() async {
    let wide = Inbox<Int>(limit: 10_000, time: RealTime())
    async let sent: Void = {
      for number in 0..<2000 {
        wide.put(number)
        if number % 7 == 0 { await Task.yield() }
      }
    }()
    var received: [Int] = []
    while received.count < 2000, case .element(let number) = await wide.take(until: soon()) {
      received.append(number)
    }
    await sent
    #expect(received == Array(0..<2000))
  }

  @Test func `what has begun runs to its end though its task is cancelled`() async {
    let log = Log<String>()
    let started = Inbox<Int>(time: RealTime())
    let release = Inbox<Int>(time: RealTime())
    let task = Task {
      await uninterrupted {
        started.put(1)
        _ = await release.take(until: RealTime().now() + .seconds(30))
        log.add(Task.isCancelled ? "cancelled" : "done")
      }
    }
    _ = await started.take(until: soon())
    task.cancel()
    release.put(1)
    await task.value
    #expect(log.all == ["done"])
  }

  @Test func `turns are taken one after another`() async {
    let turns = Turns()
    let log = Log<Int>()
    let first = Inbox<Int>(time: RealTime())
    let isIn = Inbox<Int>(time: RealTime())
    async let one: Void = turns.take {
      isIn.put(1)
      _ = await first.take(until: RealTime().now() + .seconds(30))
      log.add(1)
    }
    _ = await isIn.take(until: soon())
    async let two: Void = turns.take { log.add(2) }
    first.put(1)
    _ = await (one, two)
    #expect(log.all == [1, 2])
  }
}
