import Channels
import LinuxChannels
import Posix
import TestKit
import Testing

@Suite(
  .timeLimit(.minutes(5)), .enabled(if: PrivateCUPS.isExpected, Comment(rawValue: PrivateCUPS.reason)))
struct CUPSQueueTests {
  let limit = Duration.seconds(200)
  let document = Array("%PDF-1.4\n% a receipt\n%%EOF\n".utf8)

  private func job(_ name: String, options: [(name: String, value: String)] = []) -> PrintJob {
    PrintJob(mediaType: "application/pdf", document: document, name: name, options: options)
  }

  /// CUPS has no way to be waited for: its own clients ask again and again (facts/devices.md E2).
  private func wait<Value>(
    until isSo: (Value) -> Bool, _ ask: () async throws -> Value
  ) async throws -> Value {
    try await Attempts.until("a state of CUPS") {
      let value = try await ask()
      return isSo(value) ? value : nil
    }
  }

  private func ended(_ id: Int32, on queue: CUPSQueue) async throws -> JobReport {
    try #require(
      try await wait(until: { $0?.state.isFinal ?? true }) { try await queue.job(id, timeout: limit) })
  }

  // MARK: Printing

  @Test(arguments: ["Receipt", "收据"]) func `a document is printed and the job says so`(_ name: String)
    async throws
  {
    let server = try await PrivateCUPS(queues: [name])
    let queue = CUPSQueue(queue: name, server: server.socket)
    #expect(
      try await queue.report(timeout: limit)
        == QueueReport(state: .idle, reasons: [], accepting: true, makeAndModel: "Local Raw Printer"))
    let id = try await queue.submit(job("request-办理-1"), timeout: limit)
    let report = try await ended(id, on: queue)
    #expect(report.state == .completed)
    #expect(report.name == "request-办理-1")
    // CUPS 2.4.2 leaves the first; later versions say the second.
    #expect([["processing-to-stop-point"], ["job-completed-successfully"]].contains(report.reasons))
    #expect(report.impressions == 1)
    #expect(server.printedJobs == [id])
    #expect(server.document(ofJob: id) == document)
    await queue.close()
    await server.stop()
  }

  @Test func `a large document arrives whole`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    let queue = CUPSQueue(queue: "q", server: server.socket)
    var large = document + [UInt8](repeating: 0x20, count: 8_000_000)
    for (count, index) in stride(from: document.count, to: large.count, by: 4099).enumerated() {
      large[index] = UInt8(truncatingIfNeeded: count)
    }
    let id = try await queue.submit(
      PrintJob(mediaType: "application/pdf", document: large, name: "large", options: []), timeout: limit)
    #expect(try await ended(id, on: queue).state == .completed)
    #expect(server.document(ofJob: id) == large)
    await server.stop()
  }

  @Test func `an empty tray is a reason until it is refilled`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    try server.plan(.mediaEmpty, for: "q")
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let id = try await queue.submit(job("j"), timeout: limit)
    let report = try await wait(until: { !$0.reasons.isEmpty }) { try await queue.report(timeout: limit) }
    #expect(report.reasons == ["media-empty-error"])
    #expect(report.state == .processing)
    #expect(try await queue.job(id, timeout: limit)?.state == .processing)
    #expect(server.printedJobs == [])
    try await server.refill()
    #expect(try await ended(id, on: queue).state == .completed)
    #expect(server.printedJobs == [id])
    let after = try await wait(until: { $0.reasons.isEmpty && $0.state == .idle }) {
      try await queue.report(timeout: limit)
    }
    #expect(after.accepting)
    await server.stop()
  }

  @Test func `a printer that fails aborts the job`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    try server.plan(.fail, for: "q")
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let id = try await queue.submit(job("j"), timeout: limit)
    #expect(try await ended(id, on: queue).state == .aborted)
    #expect(server.printedJobs == [])
    await server.stop()
  }

  @Test func `a printer that stops leaves the queue stopped and the job waiting`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    try server.plan(.stop, for: "q")
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let id = try await queue.submit(job("j"), timeout: limit)
    let report = try await wait(until: { $0.state == .stopped }) { try await queue.report(timeout: limit) }
    #expect(report.reasons.contains("paused"))
    #expect(try await queue.job(id, timeout: limit)?.state.isFinal == false)
    await server.stop()
  }

  @Test func `a printer that cancels or holds a job is told apart`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    let queue = CUPSQueue(queue: "q", server: server.socket)
    try server.plan(.cancel, for: "q")
    let cancelled = try await queue.submit(job("cancelled"), timeout: limit)
    #expect(try await ended(cancelled, on: queue).state == .cancelled)
    try server.plan(.hold, for: "q")
    let held = try await queue.submit(job("held"), timeout: limit)
    let report = try await wait(until: { $0?.state == .held }) { try await queue.job(held, timeout: limit) }
    #expect(report?.name == "held")
    await server.stop()
  }

  // MARK: Finding and cancelling

  @Test func `a job in work is cancelled, an ended or unknown one is not`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    try server.plan(.wait, for: "q")
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let id = try await queue.submit(job("j"), timeout: limit)
    _ = try await wait(until: { $0?.state == .processing }) { try await queue.job(id, timeout: limit) }
    #expect(try await queue.cancel(id, timeout: limit))
    #expect(try await ended(id, on: queue).state == .cancelled)
    #expect(try await queue.cancel(id, timeout: limit) == false)
    #expect(try await queue.cancel(id + 100, timeout: limit) == false)
    #expect(try await queue.job(id + 100, timeout: limit) == nil)
    #expect(server.printedJobs == [])
    await server.stop()
  }

  @Test func `cancelling job 0 does not cancel the one that prints`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    try server.plan(.wait, for: "q")
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let id = try await queue.submit(job("j"), timeout: limit)
    #expect(try await queue.cancel(0, timeout: limit) == false)
    #expect(try await queue.job(0, timeout: limit) == nil)
    try await server.refill()
    #expect(try await ended(id, on: queue).state == .completed)
    await server.stop()
  }

  @Test func `jobs are found by name, the newest first, also those that have ended`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    let queue = CUPSQueue(queue: "q", server: server.socket)
    var wanted: [Int32] = []
    for number in 0..<60 {
      let isWanted = number.isMultiple(of: 20)
      let id = try await queue.submit(job(isWanted ? "request-7" : "request-\(number + 100)"), timeout: limit)
      if isWanted { wanted.append(id) }
    }
    for id in wanted { #expect(try await ended(id, on: queue).state == .completed) }
    let found = try await queue.jobs(named: "request-7", timeout: limit)
    #expect(found.map(\.id) == wanted.reversed())
    #expect(found.allSatisfy { $0.name == "request-7" })
    #expect(try await queue.jobs(named: "request-8", timeout: limit) == [])
    await server.stop()
  }

  @Test func `another user's jobs are not found by name and cannot be cancelled`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    try server.plan(.wait, for: "q")
    let mine = CUPSQueue(queue: "q", server: server.socket, user: "hall")
    let other = CUPSQueue(queue: "q", server: server.socket, user: "somebody")
    let id = try await mine.submit(job("private"), timeout: limit)
    #expect(try await mine.jobs(named: "private", timeout: limit).map(\.id) == [id])
    #expect(try await other.jobs(named: "private", timeout: limit) == [])
    await #expect(throws: ChannelError.denied("queue q: Cancel-Job for user somebody")) {
      try await other.cancel(id, timeout: limit)
    }
    #expect(try await mine.cancel(id, timeout: limit))
    await server.stop()
  }

  // MARK: Refusals

  @Test func `a queue that is missing is absent`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    let queue = CUPSQueue(queue: "none", server: server.socket)
    await #expect(throws: ChannelError.absent("queue none")) { try await queue.report(timeout: limit) }
    await #expect(throws: ChannelWriteError(written: 0, reason: .absent("queue none"))) {
      try await queue.submit(job("j"), timeout: limit)
    }
    await #expect(throws: ChannelError.absent("queue none")) {
      try await queue.jobs(named: "j", timeout: limit)
    }
    await server.stop()
  }

  @Test func `a server that is missing is absent`() async throws {
    let files = try TemporaryDirectory()
    let queue = CUPSQueue(queue: "q", server: files.path("cups.sock"))
    let absent = ChannelError.absent("CUPS server unix:\(files.path("cups.sock"))")
    await #expect(throws: absent) { try await queue.report(timeout: limit) }
    await #expect(throws: ChannelWriteError(written: 0, reason: absent)) {
      try await queue.submit(job("j"), timeout: limit)
    }
  }

  @Test func `a document type the queue does not take leaves no job behind`() async throws {
    let server = try await PrivateCUPS(queues: ["q"])
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let error = await #expect(throws: ChannelWriteError.self) {
      try await queue.submit(
        PrintJob(mediaType: "application/x-unknown", document: document, name: "j", options: []),
        timeout: limit)
    }
    #expect(error?.written == 0)
    guard case .malformed(let text) = error?.reason else {
      return #expect(Bool(false), "\(String(describing: error))")
    }
    #expect(text.contains("client-error-document-format-not-supported"))
    for report in try await queue.jobs(named: "j", timeout: limit) { #expect(report.state.isFinal) }
    #expect(server.printedJobs == [])
    await server.stop()
  }

  @Test(arguments: ["", String(repeating: "名", count: 86)]) func `a name IPP cannot carry is refused`(
    _ name: String
  ) async throws {
    let queue = CUPSQueue(queue: "q", server: "/nowhere")
    let error = await #expect(throws: ChannelWriteError.self) {
      try await queue.submit(job(name), timeout: limit)
    }
    #expect(
      error == ChannelWriteError(written: 0, reason: .malformed("queue q: a job's name has 1 to 255 bytes")))
  }

  // MARK: Crashes

  @Test(arguments: [true, false])
  func `a server killed in mid-job is absent, and knows the job afterwards only if it had written it down`(
    _ remembers: Bool
  ) async throws {
    let server = try await PrivateCUPS(queues: ["q"], remembersAtOnce: remembers)
    try server.plan(.wait, for: "q")
    let queue = CUPSQueue(queue: "q", server: server.socket)
    let id = try await queue.submit(job("request-1"), timeout: limit)
    _ = try await wait(until: { $0?.state == .processing }) { try await queue.job(id, timeout: limit) }
    await server.kill()
    await #expect(throws: ChannelError.absent("CUPS server unix:\(server.socket)")) {
      try await queue.job(id, timeout: limit)
    }
    try server.plan(.print, for: "q")
    try await server.start()
    let found = try await queue.jobs(named: "request-1", timeout: limit)
    #expect(found.map(\.id) == (remembers ? [id] : []))
    if remembers {
      #expect(try await ended(id, on: queue).state == .completed)
    } else {
      #expect(try await queue.job(id, timeout: limit) == nil)
    }
    await server.stop()
  }

  @Test func `a server that dies while it gets the document leaves the outcome open`() async throws {
    let server = try ScriptedIPPServer()
    let queue = CUPSQueue(queue: "q", server: server.path)
    async let served: Void = server.serve([.jobCreated(5), .closeWithoutAnswer])
    let error = await #expect(throws: ChannelWriteError.self) {
      try await queue.submit(job("j"), timeout: limit)
    }
    try await served
    #expect(error == ChannelWriteError(written: document.count, reason: .gone))
  }

  @Test(arguments: [
    (ScriptedIPPServer.Answer.job(5, state: 7, timeAtProcessing: nil), true),
    (.job(5, state: 7, timeAtProcessing: 1_700_000_000), false),
    (.job(5, state: 5, timeAtProcessing: nil), false),
    (.notFound, false),
  ])
  func `a document of unknown fate counts as not printed only if the job was never in work`(
    _ state: ScriptedIPPServer.Answer, _ isUntouched: Bool
  ) async throws {
    let server = try ScriptedIPPServer()
    let queue = CUPSQueue(queue: "q", server: server.path)
    async let served: Void = server.serve([.jobCreated(5), .closeWithoutAnswer, .done, state])
    let error = await #expect(throws: ChannelWriteError.self) {
      try await queue.submit(job("j"), timeout: limit)
    }
    try await served
    #expect(error == ChannelWriteError(written: isUntouched ? 0 : document.count, reason: .gone))
    #expect(await server.operations == [0x0005, 0x0006, 0x0008, 0x0009])
  }

  @Test func `a job that was not created is not withdrawn`() async throws {
    let server = try ScriptedIPPServer()
    let queue = CUPSQueue(queue: "q", server: server.path)
    async let served: Void = server.serve([.closeWithoutAnswer])
    let error = await #expect(throws: ChannelWriteError.self) {
      try await queue.submit(job("j"), timeout: limit)
    }
    try await served
    #expect(error == ChannelWriteError(written: 0, reason: .gone))
    #expect(await server.operations == [0x0005])
  }

  @Test func `a server that does not answer times out, and a cancelled task ends at once`() async throws {
    let server = try ScriptedIPPServer()
    let queue = CUPSQueue(queue: "q", server: server.path)
    let serving = Task { try await server.serve([.never]) }
    await #expect(throws: ChannelError.timedOut) { try await queue.report(timeout: .milliseconds(200)) }
    let asking = Task { try await queue.report(timeout: .seconds(60)) }
    asking.cancel()
    await #expect(throws: ChannelError.cancelled) { try await asking.value }
    serving.cancel()
    await queue.close()
  }

  @Test(arguments: [
    (
      ScriptedIPPServer.Answer.http(401), ChannelError.denied("queue q: Get-Printer-Attributes for user hall")
    ),
    (.http(503), .busy("queue q")), (.http(404), .absent("queue q")),
    (.garbage, .malformed("queue q: not an IPP answer")),
    (.done, .malformed("queue q: no printer-state")),
  ])
  func `other answers have their own errors`(
    _ answer: ScriptedIPPServer.Answer, _ expected: ChannelError
  ) async throws {
    let server = try ScriptedIPPServer()
    let queue = CUPSQueue(queue: "q", server: server.path, user: "hall")
    async let served: Void = server.serve([answer])
    await #expect(throws: expected) { try await queue.report(timeout: limit) }
    try await served
  }
}
