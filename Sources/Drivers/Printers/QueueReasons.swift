internal import Channels
internal import Devices

/// IPP `printer-state-reasons` (RFC 8011 5.4.12, PWG 5100; facts/devices.md E2) in the agent's words.
struct QueueReasons {
  /// The suffix that says how bad it is. Without one it is an error (RFC 8011 5.4.12).
  enum Severity: Comparable { case report, warning, error }

  private static let table: [(reason: String, code: FaultCode)] = [
    ("cover-open", .coverOpen), ("door-open", .coverOpen), ("interlock-open", .coverOpen),
    ("media-jam", .paperJammed), ("media-empty", .paperOut), ("media-needed", .paperOut),
    ("toner-empty", .tonerOut), ("marker-supply-empty", .tonerOut), ("fuser-over-temp", .headOverheated),
    ("paused", .queueStopped), ("moving-to-paused", .queueStopped), ("stopped-partly", .queueStopped),
    ("shutdown", .queueStopped), ("spool-area-full", .queueStopped), ("offline", .deviceOffline),
    ("timed-out", .deviceOffline), ("input-tray-missing", .deviceOffline),
    ("output-area-full", .deviceOffline),
    ("marker-waste-full", .deviceOffline), ("fuser-under-temp", .deviceOffline),
    ("opc-life-over", .deviceOffline), ("developer-empty", .deviceOffline), ("media-low", .paperLow),
  ]
  // The print system's own remarks, which stop nothing.
  private static let remarks = ["connecting-to-device", "other", "none"]

  private let found: [(reason: String, code: FaultCode?, severity: Severity)]
  private let queue: QueueReport

  init(_ report: QueueReport) {
    queue = report
    found = report.reasons.map { reason in
      let (base, severity) = Self.split(reason)
      let isRemark = Self.remarks.contains(base) || base.hasPrefix("cups-")
      let known = Self.table.first { $0.reason == base }?.code
      return (reason, known ?? (severity == .error && !isRemark ? .deviceOffline : nil), severity)
    }
  }

  private static func split(_ reason: String) -> (base: String, severity: Severity) {
    for (suffix, severity) in [("-error", .error), ("-warning", .warning), ("-report", .report)]
      as [(String, Severity)]
    where reason.hasSuffix(suffix) { return (String(reason.dropLast(suffix.count)), severity) }
    return (reason, .error)
  }

  /// Why a document must not be handed over now; nil when it may.
  var blocking: Fault? {
    if let worst = first(where: { $0 != .paperLow }, at: .error) { return worst }
    // The print system calls a printer that is switched off "offline-report".
    if let offline = first(where: { $0 == .deviceOffline }, at: .report) { return offline }
    if queue.state == .stopped { return Fault(.queueStopped, evidence) }
    if !queue.accepting { return Fault(.queueStopped, "the queue accepts no jobs") }
    return nil
  }

  /// What a person should be told although printing goes on.
  var warning: Fault? { first(where: { _ in true }, at: .warning) }

  private func first(where isMeant: (FaultCode) -> Bool, at severity: Severity) -> Fault? {
    for (_, code) in Self.table + [("", .deviceOffline)] where isMeant(code) {
      if found.contains(where: { $0.code == code && $0.severity >= severity }) {
        return Fault(code, evidence)
      }
    }
    return nil
  }

  private var evidence: String { queue.reasons.joined(separator: " ") }

  /// The queue as a device.
  var report: DeviceReport {
    let fault = blocking
    func says(_ code: FaultCode) -> Bool { found.contains { $0.code == code && $0.severity > .report } }
    let paper: PaperState =
      says(.paperJammed) ? .jammed : says(.paperOut) ? .out : says(.paperLow) ? .low : .unknown
    var details = ["queue": queue.state.rawValue]
    if !queue.reasons.isEmpty { details["reasons"] = evidence }
    return DeviceReport(
      state: fault.map { $0.code.impliedState ?? .offline } ?? .online, reason: fault ?? warning,
      paper: paper,
      cover: says(.coverOpen) ? .open : .unknown, details: details)
  }
}
