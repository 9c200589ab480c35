import Posix

/// How a rating prompt ended.
enum RatingOutcome: String, Sendable { case rated, timeout, declined, cancelled, deviceLost }

/// One question to one citizen: how was this service? A plain state machine: it is told what happened and when, and
/// returns what is to be done.
///
/// It ends exactly once. A level that was pressed stays: a correction within the first seconds replaces it, and neither a
/// time-out nor the clerk takes it away. Nothing but a press makes a level.
struct RatingPrompt: Sendable {
  /// What differs between keys and screens.
  struct Manner: Sendable, Equatable {
    /// How long the citizen has for the level, and again for its reasons.
    var timeout = Duration.seconds(60)
    /// How long a level can be changed after the first press.
    var correction = Duration.seconds(3)
    /// Whether reasons are asked for after the level: on screens.
    var asksReasons = false
    /// Whether the question outlives the device's absence: a page that is loaded again, a browser that is started again.
    var outlivesAbsence = false
    /// Codes that may be chosen for a level.
    var reasons: @Sendable (Int) -> [String] = { _ in [] }
    /// Whether a level needs a reason or a comment.
    var isReasonRequired: @Sendable (Int) -> Bool = { _ in false }
    /// A press sooner than this after the question is nobody's who has read it (facts/peers.md).
    var fastest = Duration.milliseconds(300)

    static func == (one: Manner, other: Manner) -> Bool {
      one.timeout == other.timeout && one.correction == other.correction
        && one.asksReasons == other.asksReasons
    }
  }

  /// A level that was pressed.
  struct Press: Sendable, Equatable {
    var level: Int
    var rawKey: Int
    var ratedAt: WallTime
    var isTooFast = false
  }

  /// Where the question is.
  enum Phase: Sendable, Equatable {
    /// The device has not been told to ask yet.
    case closed
    /// The citizen is asked.
    case prompted
    /// A level was pressed, and can be changed for a while; on screens its reasons are asked for.
    case rated(Press, correctableUntil: Duration)
    /// Over.
    case ended(Ending)
  }

  /// How it ended.
  struct Ending: Sendable, Equatable {
    var outcome: RatingOutcome
    var press: Press?
    var reasons: [String] = []
    var comment = ""
    /// Whether the citizen finished what was asked.
    var isConfirmed = false
    var cancelledBy: String?
  }

  enum Input: Sendable {
    /// The device asks from now on.
    case opened
    case press(level: Int, rawKey: Int)
    case reasons([String], comment: String)
    case declined
    /// 再等等.
    case moreTime
    /// The citizen is at it.
    case touched
    /// The moment of ``deadline`` may have come.
    case time
    /// By the clerk, the end of the visit, or the end of the service.
    case cancelled(by: String)
    case deviceLost
  }

  enum Action: Sendable, Equatable {
    /// Store the press, then acknowledge it.
    case keep(Press)
    /// What the citizen sees is another step, or has more time.
    case show
    /// A press that does not count, and why.
    case stray(String)
    /// What was sent is not valid here.
    case refuse
    /// Store how it ended.
    case end(Ending)
  }

  let manner: Manner
  private(set) var phase = Phase.closed
  /// When ``Input/time`` is due.
  private(set) var deadline: Duration?
  private var opened = Duration.zero

  init(_ manner: Manner) { self.manner = manner }

  /// A question that was open when the service ended, with the level pressed by then.
  init(_ manner: Manner, resuming press: Press?) {
    self.manner = manner
    if let press { phase = .rated(press, correctableUntil: .zero) }
  }

  var isEnded: Bool { if case .ended = phase { true } else { false } }

  mutating func handle(_ input: Input, now: Duration, wall: WallTime) -> [Action] {
    // What was due before this came has happened before it.
    var actions: [Action] = []
    if case .time = input {
    } else if let deadline, now >= deadline {
      actions = handle(.time, now: now, wall: wall)
    }
    switch (phase, input) {
    case (.closed, .opened):
      phase = .prompted
      opened = now
      deadline = now + manner.timeout
      actions.append(.show)
    case (.prompted, .opened), (.rated, .opened):
      // Asked again after an absence: with all of the time.
      if manner.asksReasons || phase == .prompted { deadline = now + manner.timeout } else { deadline = now }
      actions.append(.show)
    case (.closed, .press): actions.append(.stray("noPrompt"))
    case (.prompted, .press(let level, let rawKey)):
      let press = Press(level: level, rawKey: rawKey, ratedAt: wall, isTooFast: now - opened < manner.fastest)
      rated(press, until: now + manner.correction, now: now)
      actions += [.keep(press), .show]
    case (.rated(let old, let until), .press(let level, let rawKey)):
      guard level != old.level, now < until else {
        actions.append(.stray("duplicate"))
        break
      }
      let press = Press(level: level, rawKey: rawKey, ratedAt: wall, isTooFast: old.isTooFast)
      rated(press, until: until, now: now)
      actions += [.keep(press), .show]
    case (.rated(let press, _), .reasons(let codes, let comment)):
      let allowed = Set(manner.reasons(press.level))
      guard manner.asksReasons, allowed.isSuperset(of: codes), Set(codes).count == codes.count,
        !manner.isReasonRequired(press.level) || !codes.isEmpty || !comment.isEmpty
      else {
        actions.append(.refuse)
        break
      }
      actions.append(
        end(Ending(outcome: .rated, press: press, reasons: codes, comment: comment, isConfirmed: true)))
    case (.prompted, .declined): actions.append(end(Ending(outcome: .declined)))
    case (.prompted, .moreTime), (.prompted, .touched), (.rated, .moreTime), (.rated, .touched):
      guard manner.asksReasons, let old = deadline else { break }
      let more = if case .moreTime = input { manner.timeout } else { manner.timeout / 2 }
      guard now + more > old else { break }
      deadline = now + more
      actions.append(.show)
    case (.closed, .cancelled(let by)), (.prompted, .cancelled(let by)):
      actions.append(end(Ending(outcome: .cancelled, cancelledBy: by)))
    case (.rated(let press, _), .cancelled): actions.append(end(Ending(outcome: .rated, press: press)))
    case (.closed, .deviceLost), (.prompted, .deviceLost):
      if !manner.outlivesAbsence { actions.append(end(Ending(outcome: .deviceLost))) }
    case (.rated(let press, _), .deviceLost):
      if !manner.outlivesAbsence { actions.append(end(Ending(outcome: .rated, press: press))) }
    case (.prompted, .time):
      if let deadline, now >= deadline { actions.append(end(Ending(outcome: .timeout))) }
    case (.rated(let press, _), .time):
      guard let deadline, now >= deadline else { break }
      // A key press that was not changed is all that a keypad can say; on a screen the reasons are missing.
      actions.append(end(Ending(outcome: .rated, press: press, isConfirmed: !manner.asksReasons)))
    case (.ended, .press): actions.append(.stray("late"))
    case (.ended, .reasons), (.ended, .declined), (.prompted, .reasons), (.closed, .reasons),
      (.closed, .declined),
      (.rated, .declined):
      actions.append(.refuse)
    case (.ended, _), (.closed, _): break
    }
    return actions
  }

  private mutating func rated(_ press: Press, until: Duration, now: Duration) {
    phase = .rated(press, correctableUntil: until)
    deadline = manner.asksReasons ? now + manner.timeout : until
  }

  private mutating func end(_ ending: Ending) -> Action {
    phase = .ended(ending)
    deadline = nil
    return .end(ending)
  }
}
