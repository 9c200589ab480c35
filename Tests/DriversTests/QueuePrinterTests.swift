import Channels
import Codecs
import Devices
import Testing

@testable import Drivers
@testable import Simulation

private let quick = ["first-poll": "1 ms", "longest-poll": "2 ms"]
private let document = PrintDocument(
  mediaType: "application/pdf", bytes: PDFDocument(title: "Receipt").bytes, jobName: "hall-42", copies: 2)

private func idle(_ reasons: String..., state: QueueState = .idle, accepting: Bool = true) -> QueueReport {
  QueueReport(state: state, reasons: reasons, accepting: accepting, makeAndModel: "Fake Laser")
}
private func job(
  _ state: JobState, _ reasons: String..., impressions: Int? = nil, hasBegun: Bool? = nil, id: Int32 = 7
) -> JobReport {
  JobReport(
    id: id, name: "hall-42", state: state, reasons: reasons, impressions: impressions, hasBegun: hasBegun)
}

@Suite(.timeLimit(.minutes(1))) struct QueuePrinterTests {
  private func attach(_ queue: any PrintQueue, _ values: [String: String] = quick) async throws -> any Printer
  {
    try #require(
      try await Driver.cups.attach(.printQueue(queue), Driver.cups.settings(values), context) as? any Printer)
  }

  private func print(
    _ printer: any Printer, timeout: Duration = .seconds(30), _ begun: Log<Int> = Log(), may: Bool = true
  ) async -> PrintResult {
    await printer.print(document, timeout: timeout) {
      begun.add(1)
      return may
    }
  }

  // MARK: - Attaching

  @Test func `the queue's own words are its identity`() async throws {
    let queue = FakeQueue()
    let printer = try await attach(queue)
    #expect(printer.identity.model == "Fake Laser")
    await printer.detach()
    #expect(queue.isClosed)
  }

  @Test(arguments: [
    (ChannelError.absent("Receipt"), FaultCode.queueMissing), (.timedOut, .deviceSilent),
    (.denied("x"), .deviceDenied),
  ])
  func `a queue that cannot be asked is not attached`(error: ChannelError, code: FaultCode) async {
    let queue = FakeQueue { $0.reports = [.failure(error)] }
    #expect(
      await fault { () throws(Fault) in
        try await Driver.cups.attach(.printQueue(queue), Driver.cups.settings(quick), context)
      }?.code == code)
  }

  // MARK: - Outcomes

  @Test func `a job is followed to its end`() async throws {
    let queue = FakeQueue {
      $0.jobs = [
        .success(job(.pending)), .success(job(.processing, impressions: 1)),
        .success(job(.completed, impressions: 2)),
      ]
    }
    let printer = try await attach(
      queue, quick.merging(["media": "iso_a4_210x297mm", "sides": "one-sided"]) { $1 })
    let begun = Log<Int>()
    let result = await print(printer, begun)
    #expect(result == PrintResult(outcome: .done, pages: 2, reasons: []))
    #expect(begun.all.count == 1)
    let sent = try #require(queue.submitted.all.first)
    #expect(queue.submitted.all.count == 1)
    #expect(sent.name == "hall-42")
    #expect(sent.document == document.bytes)
    #expect(
      sent.options.map { "\($0.name)=\($0.value)" } == [
        "copies=2", "media=iso_a4_210x297mm", "sides=one-sided",
      ])
  }

  @Test(arguments: [
    (idle("media-empty-error"), FaultCode.paperOut), (idle("media-empty"), .paperOut),
    (idle("media-needed-error"), .paperOut), (idle("media-jam-error"), .paperJammed),
    (idle("cover-open-error"), .coverOpen), (idle("door-open"), .coverOpen),
    (idle("toner-empty-error"), .tonerOut),
    (idle("marker-supply-empty-error"), .tonerOut), (idle("offline-report"), .deviceOffline),
    (idle("paused"), .queueStopped), (idle(state: .stopped), .queueStopped),
    (idle(accepting: false), .queueStopped), (idle("something-new-error"), .deviceOffline),
    (idle("media-low-warning", "cover-open-error"), .coverOpen),
  ])
  func `a queue that is not ready gets no job`(report: QueueReport, code: FaultCode) async throws {
    let queue = FakeQueue { $0.reports = [.success(idle()), .success(report)] }
    let printer = try await attach(queue)
    let begun = Log<Int>()
    let result = await print(printer, begun)
    #expect(result.outcome.word == "no")
    #expect(result.outcome.fault?.code == code)
    #expect(begun.all.isEmpty)
    #expect(queue.submitted.all.isEmpty)
  }

  @Test(arguments: [
    idle("media-low-warning"), idle("toner-low-warning"), idle("media-empty-warning"),
    idle("connecting-to-device"),
    idle("cups-waiting-for-job-completed"), idle("cups-ipp-conformance-failure-report"), idle("other-report"),
    idle(state: .processing),
  ])
  func `a warning stops nothing`(report: QueueReport) async throws {
    let queue = FakeQueue {
      $0.reports = [.success(report)]
      $0.jobs = [.success(job(.completed))]
    }
    #expect(await print(try await attach(queue)).outcome == .done)
  }

  @Test(arguments: [
    (0, ChannelError.timedOut, "no", FaultCode.deviceSilent),
    (0, .malformed("document-format-not-supported"), "no", .documentRefused),
    (0, .absent("queue"), "no", .queueMissing), (0, .gone, "no", .deviceGone),
    (8, .timedOut, "unknown", .outcomeUnknown),
    (8, .gone, "unknown", .outcomeUnknown),
  ])
  func `what was handed over decides between no and unknown`(
    written: Int, reason: ChannelError, word: String, code: FaultCode
  ) async throws {
    let queue = FakeQueue { $0.submission = .failure(ChannelWriteError(written: written, reason: reason)) }
    let result = await print(try await attach(queue))
    #expect(result.outcome.word == word)
    #expect(result.outcome.fault?.code == code)
  }

  @Test(arguments: [
    (job(.completed), "yes", FaultCode?.none),
    (job(.completed, "job-completed-with-errors"), "unknown", .outcomeUnknown),
    (job(.aborted, hasBegun: false), "no", .jobAborted),
    (job(.aborted, impressions: 0), "unknown", .outcomeUnknown),
    (job(.aborted, impressions: 1, hasBegun: true), "unknown", .outcomeUnknown),
    (job(.cancelled, hasBegun: false), "no", .commandCancelled),
    (job(.cancelled), "unknown", .outcomeUnknown),
    (job(.aborted, "document-format-error"), "no", .documentRefused),
  ])
  func `each end of a job has its outcome`(report: JobReport, word: String, code: FaultCode?) async throws {
    let queue = FakeQueue { $0.jobs = [.success(report)] }
    let result = await print(try await attach(queue))
    #expect(result.outcome.word == word)
    #expect(result.outcome.fault?.code == code)
  }

  @Test func `a job that has not ended in time is unknown, with its number`() async throws {
    let queue = FakeQueue { $0.jobs = [.success(job(.processing))] }
    let result = await print(try await attach(queue), timeout: .milliseconds(10))
    #expect(result.outcome == .unknown(Fault(.outcomeUnknown, "job 7: processing")))
    #expect(queue.cancelled.all.isEmpty)
  }

  @Test func `a job that has not begun in time is withdrawn, and only proof of that is a no`() async throws {
    let withdrawn = FakeQueue {
      $0.jobs = [
        .success(job(.pending)), .success(job(.pending)), .success(job(.cancelled, hasBegun: false)),
      ]
    }
    // The time is over at once: the first answer, then the withdrawal.
    withdrawn.change { $0.jobs.removeFirst() }
    let result = await print(try await attach(withdrawn), timeout: .zero)
    #expect(result.outcome.word == "no")
    #expect(result.outcome.fault?.code == .commandTimedOut)
    #expect(withdrawn.cancelled.all == [7])
    let unproven = FakeQueue { $0.jobs = [.success(job(.pending)), .success(job(.cancelled))] }
    #expect(await print(try await attach(unproven), timeout: .zero).outcome.word == "unknown")
    let late = FakeQueue {
      $0.jobs = [.success(job(.pending))]
      $0.isCancellable = false
    }
    #expect(await print(try await attach(late), timeout: .zero).outcome.word == "unknown")
  }

  @Test func `a job that the queue forgets is unknown`() async throws {
    let queue = FakeQueue { $0.jobs = [.success(job(.processing)), .success(nil)] }
    #expect(await print(try await attach(queue)).outcome.word == "unknown")
  }

  @Test func `a print system that is away for a moment does not end the watch`() async throws {
    let queue = FakeQueue {
      $0.jobs = [.failure(.timedOut), .success(job(.processing)), .success(job(.completed))]
    }
    #expect(await print(try await attach(queue)).outcome == .done)
  }

  @Test func `what could not be noted is not handed over`() async throws {
    let queue = FakeQueue()
    let result = await print(try await attach(queue), may: false)
    #expect(result.outcome.fault?.code == .notStored)
    #expect(queue.submitted.all.isEmpty)
  }

  @Test func `paper that runs out while the job waits is told`() async throws {
    let queue = FakeQueue {
      $0.reports = [
        .success(idle()), .success(idle()), .success(idle("media-empty-error", state: .processing)),
        .success(idle()),
      ]
      $0.jobs = [.success(job(.processing)), .success(job(.processing)), .success(job(.completed))]
    }
    let printer = try await attach(queue)
    #expect(await print(printer).outcome == .done)
    await printer.detach()
    var papers: [PaperState?] = []
    for await notice in printer.notices {
      if case .report(let report) = notice { papers.append(report.paper) }
    }
    #expect(papers == [.unknown, .out, .unknown])
  }

  @Test func `a job that has begun is watched though its caller has gone`() async throws {
    let queue = FakeQueue { $0.jobs = [.success(job(.processing)), .success(job(.completed))] }
    let printer = try await attach(queue)
    let begun = Inbox<Int>(time: RealTime())
    let release = Inbox<Int>(time: RealTime())
    let task = Task {
      await printer.print(document, timeout: .seconds(30)) {
        begun.put(1)
        _ = await release.take(until: RealTime().now() + .seconds(30))
        return true
      }
    }
    _ = await begun.take(until: RealTime().now() + .seconds(30))
    task.cancel()
    release.put(1)
    #expect(await task.value.outcome == .done)
    #expect(queue.submitted.all.count == 1)
  }

  @Test func `a job cancelled before it began is not handed over`() async throws {
    let queue = FakeQueue()
    let printer = try await attach(queue)
    let task = Task {
      while !Task.isCancelled { await Task.yield() }
      return await self.print(printer)
    }
    task.cancel()
    #expect(await task.value.outcome.fault?.code == .commandCancelled)
    #expect(queue.submitted.all.isEmpty)
  }

  // MARK: - After a crash

  @Test func `a job is found again by its name`() async throws {
    let queue = FakeQueue { $0.remembered = .success([job(.completed, impressions: 3)]) }
    let printer = try await attach(queue)
    #expect(
      await printer.result(ofJobNamed: "hall-42", timeout: .zero) == PrintResult(outcome: .done, pages: 3))
    #expect(await printer.result(ofJobNamed: "hall-43", timeout: .zero) == nil)
    queue.change {
      $0.remembered = .success([job(.processing)])
      $0.jobs = [.success(job(.processing)), .success(job(.completed))]
    }
    #expect(await printer.result(ofJobNamed: "hall-42", timeout: .seconds(30))?.outcome == .done)
    queue.change { $0.remembered = .failure(.timedOut) }
    // Not "remembers none": it could not be asked.
    #expect(await printer.result(ofJobNamed: "hall-42", timeout: .zero)?.outcome.word == "unknown")
  }

  // MARK: - State

  @Test func `a check asks the queue`() async throws {
    let queue = FakeQueue {
      $0.reports = [
        .success(idle()), .success(idle("media-low-warning")),
        .success(idle("media-empty-error", "cover-open-error")),
      ]
    }
    let printer = try await attach(queue)
    let low = try await printer.check(.internal)
    #expect(low.state == .online)
    #expect(low.paper == .low)
    #expect(low.reason?.code == .paperLow)
    let open = try await printer.check(.internal)
    #expect(open.state == .userError)
    #expect(open.reason?.code == .coverOpen)
    #expect(open.paper == .out)
    #expect(open.cover == .open)
    #expect(
      await fault { () throws(Fault) in try await printer.check(.external) }?.code == .commandUnsupported)
  }

  @Test func `a print system that has left is a loss, told once`() async throws {
    let queue = FakeQueue { $0.reports = [.success(idle()), .failure(.gone)] }
    let printer = try await attach(queue)
    #expect(await print(printer).outcome.word == "no")
    _ = await fault { () throws(Fault) in try await printer.check(.internal) }
    #expect(await printer.losses().map(\.code) == [.deviceGone])
  }

  // MARK: - Against the simulated print system

  @Test func `the simulated printer prints the document once`() async throws {
    let model = SimulatedDevice("printer", SimulatedPrinter(), time: RealTime())
    let channel = try await SimulatedBus([model]).open(.simulated(name: "printer"), line: LineSettings())
    let printer = try #require(
      try await Driver.cups.attach(channel, Driver.cups.settings(quick), context) as? any Printer)
    #expect(printer.identity.model == "SIMULATED Laser A4")
    let result = await print(printer)
    #expect(result.outcome == .done)
    #expect(await model.records.filter { $0.record["impressions"] == "2" }.count == 1)
    try await model.apply("paper out")
    #expect(await print(printer).outcome.fault?.code == .paperOut)
    try await model.apply("paper full")
    try await model.apply("stop")
    #expect(await print(printer).outcome.fault?.code == .queueStopped)
    try await model.apply("start")
    #expect(await printer.result(ofJobNamed: "hall-42", timeout: .seconds(5))?.outcome == .done)
    #expect(await printer.result(ofJobNamed: "never", timeout: .zero) == nil)
    await printer.detach()
  }

  @Test func `paper that ends between two pages makes the outcome unknown, and the job is found again`()
    async throws
  {
    let model = SimulatedDevice("printer", SimulatedPrinter(), time: RealTime())
    let channel = try await SimulatedBus([model]).open(.simulated(name: "printer"), line: LineSettings())
    let printer = try #require(
      try await Driver.cups.attach(channel, Driver.cups.settings(quick), context) as? any Printer)
    try await model.apply("paper out after 1 pages")
    let result = await print(printer, timeout: .milliseconds(20))
    #expect(result.outcome.word == "unknown")
    #expect(result.pages == 1)
    #expect(try await printer.check(.internal).reason?.code == .paperOut)
    try await model.apply("paper full")
    #expect(
      await printer.result(ofJobNamed: "hall-42", timeout: .seconds(30))
        == PrintResult(
          outcome: .done, pages: 2, reasons: ["job-completed-successfully"]))
    await printer.detach()
  }

}
