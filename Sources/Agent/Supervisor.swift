import Devices

/// What becomes of a slot whose device could not be attached, or was lost: what is shown, when it is tried again, and
/// whether its port is reset before a person is called. A plain state machine; time comes as a parameter.
struct Supervisor: Sendable, Equatable {
  /// What follows from a failure.
  struct Step: Sendable, Equatable {
    /// What the state and its reason become; nil: they stay.
    var shown: Fault?
    /// How long until the next attempt, unless something changes before.
    var wait: Duration
    /// The device's port is to be reset before the next attempt.
    var restart = false
  }

  /// How long a device that has just come may be unusable before that is shown: udev's rules set permissions, programs
  /// that look at every new device let go of it, modules are loaded.
  static let settling = Duration.seconds(2)
  /// Attempts to which a device is silent before its port is reset.
  static let silences = 3

  private var policy = AttachPolicy()
  /// What was there at the last look: the ways to open it.
  private var seen: Set<String> = []
  /// When what is there now came.
  private var arrival: Duration?
  private var hurried = 0
  private var silent = 0
  private var wasReset = false
  private var resetNote = ""
  private var isGone = false

  /// The slot's address was looked at: everything there, by name.
  mutating func looked(_ present: Set<String>, at now: Duration) {
    // What was there before may still be settling; only what is new begins the time anew.
    if !present.isSubset(of: seen) {
      arrival = now
      hurried = 0
    }
    if present.isEmpty { arrival = nil }
    seen = present
  }

  /// An attempt failed.
  /// - Parameter canRestart: whether it has a port of its own that may be reset.
  mutating func failed(_ fault: Fault, at now: Duration, canRestart: Bool = false) -> Step {
    if let arrival, fault.code.maySettle, now - arrival < Self.settling {
      hurried += 1
      let wait = Duration.milliseconds(50 << min(hurried - 1, 3))
      return Step(shown: nil, wait: min(wait, max(arrival + Self.settling - now, .milliseconds(10))))
    }
    var shown = fault
    switch fault.code {
    case .deviceSilent:
      silent += 1
      if !resetNote.isEmpty {
        shown = Fault(fault.code, fault.evidence.isEmpty ? resetNote : "\(fault.evidence); \(resetNote)")
      }
      if silent >= Self.silences, canRestart, !wasReset {
        wasReset = true
        return Step(shown: shown, wait: policy.failed(), restart: true)
      }
    // "It has been disconnected" tells more than "it is not there".
    case .deviceAbsent: if isGone { shown = Fault(.deviceGone, fault.evidence) }
    default: break
    }
    if fault.code != .deviceAbsent { isGone = false }
    return Step(shown: shown, wait: policy.failed())
  }

  /// The port was reset, or why it could not be: goes into the evidence of what follows.
  mutating func restarted(_ failure: String?) {
    resetNote =
      failure.map { "a reset of its USB port failed: \($0)" } ?? "also after a reset of its USB port"
  }

  /// It is in service.
  mutating func attached() {
    arrival = nil
    hurried = 0
    silent = 0
    wasReset = false
    resetNote = ""
    isGone = false
  }

  /// It was lost after `service` in use.
  mutating func lost(_ fault: Fault, after service: Duration) -> Step {
    isGone = fault.code == .deviceGone || fault.code == .deviceAbsent
    seen = []
    return Step(shown: fault, wait: policy.lost(after: service))
  }

  /// Something changed at its address: the next attempt is worth making at once.
  mutating func changed() { policy.changed() }
}

extension FaultCode {
  /// What passes by itself within a moment of a device's arrival.
  fileprivate var maySettle: Bool {
    switch self {
    case .deviceDenied, .deviceBusy, .deviceHeld, .driverMissing, .deviceUnmatched, .deviceGone: true
    default: false
    }
  }
}
