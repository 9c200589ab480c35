import Channels
import Testing

@testable import Simulation

@Suite(.timeLimit(.minutes(1))) struct SimulatedRequestsTests {
  private let clock = TestClock()
  private let device: SimulatedDevice
  private let exchange: any HTTPExchange

  init() async throws {
    device = SimulatedDevice(
      "scanner", SimulatedScanner(SimulatedScanner.Options(pages: PageSamples.all)), time: clock)
    let bus = SimulatedBus([device])
    guard
      case .httpExchange(let exchange) = try await bus.open(.simulated(name: "scanner"), line: LineSettings())
    else { throw ChannelError.absent("scanner") }
    self.exchange = exchange
  }

  private func status(timeout: Duration = .seconds(5)) async throws -> Int {
    try await exchange.exchange(HTTPRequest("GET", "/eSCL/ScannerStatus"), timeout: timeout).status
  }

  @Test func `a request is answered`() async throws {
    #expect(exchange.basePath == "/eSCL")
    #expect(try await status() == 200)
  }

  @Test func `a body beyond the device's limit is refused`() async throws {
    let body = [UInt8](repeating: 0x20, count: 65_537)
    let response = try await exchange.exchange(
      HTTPRequest("POST", "/eSCL/ScanJobs", body: body), timeout: .seconds(5))
    #expect(response.status == 413)
  }

  @Test func `refusals are for so many requests`() async throws {
    try await device.apply("answer 503 2 times")
    #expect(try await status() == 503)
    #expect(try await status() == 503)
    #expect(try await status() == 200)
  }

  @Test func `a dropped connection is gone, and the device has not seen the request`() async throws {
    try await device.apply("load 1 pages")
    try await device.apply("drop")
    await #expect(throws: ChannelError.gone) { try await status() }
    #expect(try await status() == 200)
  }

  @Test func `a connection closed in the reply is gone, and the page is`() async throws {
    try await device.apply("load 1 pages")
    let settings = """
      <scan:ScanSettings xmlns:scan="http://schemas.hp.com/imaging/escl/2011/05/03" \
      xmlns:pwg="http://www.pwg.org/schemas/2010/12/sm"><pwg:Version>2.0</pwg:Version></scan:ScanSettings>
      """
    let job = try await exchange.exchange(
      HTTPRequest("POST", "/eSCL/ScanJobs", body: Array(settings.utf8)), timeout: .seconds(5))
    #expect(job.status == 201)
    try await device.apply("close mid-reply")
    await #expect(throws: ChannelError.gone) {
      try await exchange.exchange(HTTPRequest("GET", "/eSCL/ScanJobs/1/NextDocument"), timeout: .seconds(5))
    }
    #expect(await device.records.contains { $0.record.event == "page" })
  }

  @Test func `a hanging device times out`() async throws {
    try await device.apply("hang")
    let asking = Task { try await status() }
    await clock.waitForSleepers(1)
    clock.advance(.seconds(5))
    await #expect(throws: ChannelError.timedOut) { try await asking.value }
  }

  @Test func `a device that goes on answers what has come meanwhile`() async throws {
    try await device.apply("hang")
    let asking = Task { try await status() }
    await clock.waitForSleepers(1)
    try await device.apply("resume")
    #expect(try await asking.value == 200)
  }

  @Test func `a cancelled request ends`() async throws {
    try await device.apply("hang")
    let asking = Task { try await status() }
    await clock.waitForSleepers(1)
    asking.cancel()
    await #expect(throws: ChannelError.cancelled) { try await asking.value }
  }

  @Test func `a delay is waited for`() async throws {
    try await device.apply("delay 2 s")
    let asking = Task { try await status() }
    await clock.waitForSleepers(2)
    clock.advance(.seconds(2))
    #expect(try await asking.value == 200)
  }

  @Test func `unplugged it is gone, and opening is absent until it is plugged`() async throws {
    try await device.apply("unplug")
    await #expect(throws: ChannelError.gone) { try await status() }
    let bus = SimulatedBus([device])
    await #expect(throws: ChannelError.absent("simulated:scanner")) {
      try await bus.open(.simulated(name: "scanner"), line: LineSettings())
    }
    async let change: Void = bus.waitForChange(at: .simulated(name: "scanner"))
    try await device.apply("plug")
    await change
    #expect(try await status() == 200)
  }

  @Test func `every fault of a connection can be given by its words`() {
    for form in HTTPFaults.commands {
      for text in CommandFormTests.examples(form.pattern) {
        #expect(CommandReader.match(text, HTTPFaults.commands) != nil, "\(text)")
      }
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct SimulatedPrintQueueTests {
  private let clock = TestClock()
  private let device: SimulatedDevice
  private let queue: any PrintQueue
  private let job = PrintJob(
    mediaType: "application/pdf",
    document: Array("%PDF-1.4\n1 0 obj<</Type/Pages/Count 1/Kids[]>>endobj\nstartxref\n9\n%%EOF\n".utf8),
    name: "request-7", options: [("copies", "2"), ("sides", "one-sided")])

  init() async throws {
    device = SimulatedDevice("printer", SimulatedPrinter(), time: clock)
    let bus = SimulatedBus([device])
    guard case .printQueue(let queue) = try await bus.open(.simulated(name: "printer"), line: LineSettings())
    else { throw ChannelError.absent("printer") }
    self.queue = queue
  }

  @Test func `a job is printed with its options and found again by its name`() async throws {
    let id = try await queue.submit(job, timeout: .seconds(5))
    let report = try await queue.job(id, timeout: .seconds(5))
    #expect(report?.state == .completed)
    #expect(report?.impressions == 2)
    #expect(try await queue.jobs(named: "request-7", timeout: .seconds(5)).map(\.id) == [id])
    #expect(try await queue.jobs(named: "other", timeout: .seconds(5)).isEmpty)
    #expect(try await queue.cancel(id, timeout: .seconds(5)) == false)
    #expect(try await queue.job(99, timeout: .seconds(5)) == nil)
  }

  @Test func `the queue tells its reasons, and a waiting job can be cancelled`() async throws {
    try await device.apply("paper out")
    let id = try await queue.submit(job, timeout: .seconds(5))
    let report = try await queue.report(timeout: .seconds(5))
    #expect(
      report
        == QueueReport(
          state: .processing, reasons: ["media-empty-error"], accepting: true,
          makeAndModel: "SIMULATED Laser A4"))
    #expect(try await queue.job(id, timeout: .seconds(5))?.state == .processing)
    #expect(try await queue.cancel(id, timeout: .seconds(5)))
    #expect(try await queue.job(id, timeout: .seconds(5))?.state == .cancelled)
  }

  @Test func `a queue that refuses jobs is busy, and nothing was written`() async throws {
    try await device.apply("accepting no")
    await #expect(throws: ChannelWriteError(written: 0, reason: .busy("server-error-not-accepting-jobs"))) {
      try await queue.submit(job, timeout: .seconds(5))
    }
  }

  @Test func `a connection lost when a job is created has printed nothing`() async throws {
    try await device.apply("close mid-reply")
    await #expect(throws: ChannelWriteError(written: 0, reason: .gone)) {
      try await queue.submit(job, timeout: .seconds(5))
    }
  }
}
