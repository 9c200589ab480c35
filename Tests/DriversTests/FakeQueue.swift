import Channels
import Synchronization

/// A print queue whose answers are set by the test, one after the other; the last one stays.
final class FakeQueue: PrintQueue {
  struct Script {
    var reports: [Result<QueueReport, ChannelError>] = [
      .success(QueueReport(state: .idle, reasons: [], accepting: true, makeAndModel: "Fake Laser"))
    ]
    var submission: Result<Int32, ChannelWriteError> = .success(7)
    var jobs: [Result<JobReport?, ChannelError>] = []
    var remembered: Result<[JobReport], ChannelError> = .success([])
    var isCancellable = true
    var isClosed = false
  }
  private let script: Mutex<Script>
  let submitted = Log<PrintJob>()
  let cancelled = Log<Int32>()

  init(_ change: (inout Script) -> Void = { _ in }) {
    var script = Script()
    change(&script)
    self.script = Mutex(script)
  }

  func change(_ change: (inout Script) -> Void) { script.withLock { change(&$0) } }
  var isClosed: Bool { script.withLock { $0.isClosed } }

  func report(timeout: Duration) async throws(ChannelError) -> QueueReport {
    try script.withLock { Self.next(&$0.reports) ?? .failure(.gone) }.get()
  }
  func submit(_ job: PrintJob, timeout: Duration) async throws(ChannelWriteError) -> Int32 {
    submitted.add(job)
    return try script.withLock { $0.submission }.get()
  }
  func job(_ id: Int32, timeout: Duration) async throws(ChannelError) -> JobReport? {
    try script.withLock { Self.next(&$0.jobs) ?? .success(nil) }.get()
  }
  func jobs(named name: String, timeout: Duration) async throws(ChannelError) -> [JobReport] {
    try script.withLock { $0.remembered }.get().filter { $0.name == name }
  }
  func cancel(_ id: Int32, timeout: Duration) async throws(ChannelError) -> Bool {
    cancelled.add(id)
    return script.withLock { $0.isCancellable }
  }
  func close() async { script.withLock { $0.isClosed = true } }

  private static func next<Element>(_ elements: inout [Element]) -> Element? {
    elements.count > 1 ? elements.removeFirst() : elements.first
  }
}
