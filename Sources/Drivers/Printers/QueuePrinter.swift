internal import Channels
internal import Devices
internal import Synchronization

/// A printer behind a CUPS queue (facts/devices.md E).
final class QueuePrinter: Printer {
  let identity: DeviceIdentity
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let queue: any PrintQueue
  private let settings: DriverSettings
  private let time: any Timekeeper
  private let outlet = NoticeOutlet()
  private let told = Mutex<DeviceReport?>(nil)

  private init(
    _ queue: any PrintQueue, _ settings: DriverSettings, _ time: any Timekeeper, model: String
  ) {
    self.queue = queue
    self.settings = settings
    self.time = time
    identity = DeviceIdentity(model: model.isEmpty ? "print queue" : model)
  }

  /// Asks the queue how it is.
  static func attach(
    _ queue: any PrintQueue, _ settings: DriverSettings, _ context: DriverContext
  ) async throws(Fault) -> QueuePrinter {
    do throws(ChannelError) {
      let report = try await queue.report(timeout: settings.duration("report-timeout"))
      return QueuePrinter(queue, settings, context.time, model: report.makeAndModel)
    } catch {
      throw fault(error, "asking the queue")
    }
  }

  private static func fault(_ error: ChannelError, _ doing: String) -> Fault {
    // The print system is there for everybody: what is absent is the queue, or the system itself.
    if case .absent(let what) = error { return Fault(.queueMissing, "\(doing): nothing at \(what)") }
    return Fault(error, doing: doing)
  }

  // MARK: - Printing

  func print(
    _ document: PrintDocument, timeout: Duration, begun: @escaping @Sendable () async -> Bool
  ) async -> PrintResult {
    do throws(Fault) {
      let reasons = try await ask()
      if let fault = reasons.blocking { return PrintResult(outcome: .notDone(fault)) }
    } catch {
      return PrintResult(outcome: .notDone(error))
    }
    if Task.isCancelled {
      return PrintResult(outcome: .notDone(Fault(.commandCancelled, "before anything was printed")))
    }
    // From here on paper may come out: nobody's loss of interest ends the watch over the job.
    return await uninterrupted { await self.handOver(document, timeout, begun) }
  }

  private func handOver(
    _ document: PrintDocument, _ timeout: Duration, _ begun: @Sendable () async -> Bool
  ) async -> PrintResult {
    let deadline = time.now() + timeout
    var options: [(name: String, value: String)] = [("copies", String(min(max(document.copies, 1), 99)))]
    if !settings.text("media").isEmpty { options.append(("media", settings.text("media"))) }
    if settings.text("sides") != "queue" { options.append(("sides", settings.text("sides"))) }
    let job = PrintJob(
      mediaType: document.mediaType, document: document.bytes, name: document.jobName, options: options)
    guard await begun() else {
      return PrintResult(outcome: .notDone(Fault(.notStored, "nothing was handed to the queue")))
    }
    do throws(ChannelWriteError) {
      let id = try await queue.submit(job, timeout: settings.duration("submit-timeout"))
      return await follow(id, until: deadline)
    } catch {
      tellLoss(error.reason)
      let fault = Self.fault(error.reason, "handing over the document")
      guard error.written > 0 else {
        // What a queue does not understand before a job exists is the document or its options.
        if case .malformed(let what) = error.reason {
          return PrintResult(outcome: .notDone(Fault(.documentRefused, what)))
        }
        return PrintResult(outcome: .notDone(fault))
      }
      return PrintResult(
        outcome: .unknown(
          Fault(.outcomeUnknown, "\(error.written) bytes were handed over: \(fault.evidence)")))
    }
  }

  /// Watches a job until it has ended or the time is over.
  private func follow(_ id: Int32, until deadline: Duration) async -> PrintResult {
    var pause = settings.duration("first-poll")
    var last: JobReport?
    var trouble = ""
    while true {
      do throws(ChannelError) {
        guard let job = try await queue.job(id, timeout: settings.duration("report-timeout")) else {
          return unknown(last, "job \(id): the queue does not know it any more")
        }
        if let result = Self.result(of: job) { return result }
        last = job
        trouble = "job \(id): \(job.state.rawValue)"
      } catch {
        tellLoss(error)
        trouble = "job \(id): \(error.summary)"
        if error == .cancelled { return unknown(last, trouble) }
      }
      // Tells what is in the way while the job waits: paper, a cover.
      _ = try? await ask()
      guard time.now() < deadline else { break }
      _ = await time.sleep(for: min(pause, deadline - time.now()))
      pause = min(pause * 2, settings.duration("longest-poll"))
    }
    // A job that has not begun must not come out when somebody has had it printed elsewhere meanwhile.
    if let job = last, job.state == .pending || job.state == .held, await withdraw(id) {
      return PrintResult(
        outcome: .notDone(Fault(.commandTimedOut, "job \(id) had not begun and was withdrawn")), pages: 0,
        reasons: job.reasons)
    }
    return unknown(last, trouble)
  }

  // Withdrawn for certain: the queue says that it is cancelled and never was in work.
  private func withdraw(_ id: Int32) async -> Bool {
    let timeout = settings.duration("report-timeout")
    guard (try? await queue.cancel(id, timeout: timeout)) == true,
      let job = try? await queue.job(id, timeout: timeout)
    else { return false }
    return job.state == .cancelled && job.hasBegun == false
  }

  private func unknown(_ job: JobReport?, _ evidence: String) -> PrintResult {
    PrintResult(
      outcome: .unknown(Fault(.outcomeUnknown, evidence)), pages: job?.impressions,
      reasons: job?.reasons ?? [])
  }

  /// What a job's end means; nil while it has not ended.
  private static func result(of job: JobReport) -> PrintResult? {
    guard job.state.isFinal else { return nil }
    let evidence = (["job \(job.id): \(job.state.rawValue)"] + job.reasons).joined(separator: " ")
    let outcome: EffectOutcome
    switch job.state {
    case .completed where job.reasons.contains("job-completed-with-errors"):
      outcome = .unknown(Fault(.outcomeUnknown, evidence))
    case .completed:
      outcome = .done
    default:
      let refusals = [
        "document-format-error", "document-unprintable-error", "unsupported-document-format",
        "document-password-error", "unsupported-compression",
      ]
      let isRefused = job.reasons.contains { refusals.contains($0) }
      let code: FaultCode =
        isRefused ? .documentRefused : job.state == .cancelled ? .commandCancelled : .jobAborted
      outcome =
        isRefused || job.hasBegun == false
        ? .notDone(Fault(code, evidence)) : .unknown(Fault(.outcomeUnknown, evidence))
    }
    return PrintResult(outcome: outcome, pages: job.impressions, reasons: job.reasons)
  }

  func result(ofJobNamed name: String, timeout: Duration) async -> PrintResult? {
    let deadline = time.now() + timeout
    do throws(ChannelError) {
      let jobs = try await queue.jobs(named: name, timeout: settings.duration("report-timeout"))
      guard let job = jobs.first else { return nil }
      if let result = Self.result(of: job) { return result }
      return await uninterrupted { await self.follow(job.id, until: deadline) }
    } catch {
      tellLoss(error)
      return PrintResult(
        outcome: .unknown(Fault(.outcomeUnknown, Self.fault(error, "looking for the job").evidence)))
    }
  }

  // MARK: - Status

  private func ask() async throws(Fault) -> QueueReasons {
    do throws(ChannelError) {
      let reasons = QueueReasons(try await queue.report(timeout: settings.duration("report-timeout")))
      let report = reasons.report
      let isNew = told.withLock { told in
        defer { told = report }
        return told != report
      }
      if isNew { outlet.send(.report(report)) }
      return reasons
    } catch {
      tellLoss(error)
      throw Self.fault(error, "asking the queue")
    }
  }

  private func tellLoss(_ error: ChannelError) {
    switch error {
    case .gone, .absent: outlet.lose(Self.fault(error, "the print system"))
    default: break
    }
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    // A test page belongs to a person with a document to print; the agent has none of its own.
    guard level == .internal else { throw Fault(.commandUnsupported, "print a document instead") }
    return try await ask().report
  }

  func detach() async {
    await queue.close()
    outlet.finish()
  }
}
