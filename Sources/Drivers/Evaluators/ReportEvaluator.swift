internal import Channels
internal import Devices
internal import Synchronization

/// A keypad that sends HID reports of its maker's own form: which bytes mean which key is the profile's to say.
///
/// It is not known of any of them whether it tells that a key comes up again. A profile that says so makes a report that goes
/// on meaning the same one press; otherwise every report is a press.
final class ReportEvaluator: Evaluator {
  let identity: DeviceIdentity
  let scale: [Int]
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private struct State {
    var count = KeyCount()
    /// The pattern that the last report had, where reports tell of releases.
    var held: Int?
    var loss: Fault?
  }

  private let reports: any ReportChannel
  private let settings: DriverSettings
  private let patterns: [ReportPattern]
  private let tellsReleases: Bool
  private let outlet = NoticeOutlet(.oldest)
  private let state = Mutex(State())
  private let turns = Turns()
  private let reading = Mutex<Task<Void, Never>?>(nil)
  /// A read that nothing answers is begun anew after this time.
  private static let patience = Duration.seconds(3600)

  private init(_ reports: any ReportChannel, _ settings: DriverSettings) {
    self.reports = reports
    self.settings = settings
    patterns = settings.reports("reports")
    tellsReleases = settings.boolean("release-reports")
    scale = KeyMeaning.scale(patterns.map(\.meaning))
    identity = DeviceIdentity(model: "keypad with reports of its own")
  }

  /// Listens.
  static func attach(_ reports: any ReportChannel, _ settings: DriverSettings) async -> ReportEvaluator {
    let evaluator = ReportEvaluator(reports, settings)
    await reports.discardInput()
    let task = Task { [weak evaluator] in
      while !Task.isCancelled {
        do throws(ChannelError) {
          let report = try await reports.read(timeout: patience)
          evaluator?.take(report)
        } catch .timedOut {
          continue
        } catch .malformed {
          // One damaged report says nothing of the next.
          evaluator?.state.withLock { $0.count.malformed += 1 }
        } catch {
          if !Task.isCancelled { evaluator?.lost(Fault(error)) }
          return
        }
      }
    }
    evaluator.reading.withLock { $0 = task }
    return evaluator
  }

  private func take(_ report: [UInt8]) {
    let found = patterns.firstIndex { $0.matches(report) }
    let isNew = state.withLock { state in
      defer { state.held = found }
      return !tellsReleases || state.held != found
    }
    guard let found else {
      // Releases are reports too.
      if !tellsReleases { state.withLock { $0.count.unknown += 1 } }
      return
    }
    guard isNew, let meaning = KeyMeaning(patterns[found].meaning) else { return }
    // The place in the profile, from 1: what the device sent is a report, not a key.
    state.withLock { $0.count.known += 1 }
    if !outlet.send(meaning.notice(rawKey: found + 1)) { state.withLock { $0.count.lost += 1 } }
  }

  private func lost(_ fault: Fault) {
    state.withLock { $0.loss = $0.loss ?? fault }
    outlet.lose(fault)
  }

  /// Sends the profile's report for it, where there is one.
  func prompt() async throws(Fault) {
    if let loss = state.withLock({ $0.loss }) { throw loss }
    let report = settings.bytes("prompt-report")
    guard !report.isEmpty else { return }
    let (reports, timeout) = (reports, settings.duration("write-timeout"))
    do throws(ChannelWriteError) {
      try await turns.take { () async throws(ChannelWriteError) in
        try await reports.write(report, timeout: timeout)
      }
    } catch {
      let fault = Fault(error.reason, doing: "prompt report")
      if error.reason == .gone { lost(fault) }
      throw fault
    }
  }

  func show(number: String, waiting: Int) async throws(Fault) {
    throw Fault(.commandUnsupported, "no report for a number plate is known")
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    let (count, loss) = state.withLock { ($0.count, $0.loss) }
    if let loss { throw loss }
    switch level {
    case .internal: break
    case .external:
      guard !settings.bytes("prompt-report").isEmpty else {
        throw Fault(.commandUnsupported, "the profile has no prompt-report")
      }
      try await prompt()
    case .interactive: throw Fault(.commandUnsupported, "ask for a rating and press a key instead")
    }
    return DeviceReport(state: .online, details: count.details)
  }

  func detach() async {
    let task = reading.withLock { $0 }
    task?.cancel()
    await reports.close()
    await task?.value
    outlet.finish()
  }
}
