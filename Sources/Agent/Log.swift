import Posix

/// The service's log: one line an event, to standard error, which systemd takes to the journal.
///
/// Lines are written by this program's own sentences and technical values; citizen data cannot get in, as it travels in
/// `Sensitive`, which prints as a placeholder.
public struct Log: Sendable {
  /// Syslog severity.
  public enum Level: Int, Sendable {
    /// A person has to act.
    case error = 3
    /// A person should look.
    case warning = 4
    /// Something that a person may want to find later.
    case notice = 5
    /// The rest.
    case info = 6
  }

  private let sink: @Sendable (String) -> Void
  private let prefixed: Bool

  /// The log of a service: with `<N>` severities when standard error goes to the journal, else with the time of day.
  public init() {
    prefixed = Environment["JOURNAL_STREAM"] != nil
    sink = { line in StandardStreams.writeError(line + "\n") }
  }

  /// A log into a function, for tests.
  public init(sink: @escaping @Sendable (String) -> Void) {
    prefixed = false
    self.sink = sink
  }

  /// Writes one line. `topic` is a role or a part of the service.
  public func callAsFunction(_ level: Level, _ topic: String, _ sentence: String) {
    let clean = String(sentence.map { $0.isNewline ? " " : $0 })
    if prefixed {
      sink("<\(level.rawValue)>\(topic): \(clean)")
    } else {
      sink("\(WallTime.now().rfc3339) \(topic): \(clean)")
    }
  }
}
