internal import Posix

/// Asking again what cannot tell by itself that it has changed.
public enum Attempts {
  /// Asks, with a pause after each time, until there is an answer. This file is the one place where tests wait for a clock.
  /// - Parameters:
  ///   - limit: how long to pause in all: generous, as the machine may be busy. The test's own time may be over before.
  ///   - what: what is waited for, for the message when it does not come.
  /// - Throws: ``Programs/Failure`` when the time is over, and what `ask` throws.
  @discardableResult
  public static func until<Answer>(
    _ what: String, limit: Duration = .seconds(240), _ ask: () async throws -> Answer?
  ) async throws -> Answer {
    var pause = Duration.milliseconds(5)
    var waited = Duration.zero
    while true {
      if let answer = try await ask() { return answer }
      guard waited < limit else { throw Programs.Failure(description: "not within \(limit): \(what)") }
      guard await Poller.shared.sleep(for: pause) else { throw CancellationError() }
      waited += pause
      pause = min(pause * 2, .milliseconds(100))
    }
  }

  /// Lets time pass where time itself is what is tested, as before a crash at any moment.
  public static func pause(_ duration: Duration) async throws {
    guard await Poller.shared.sleep(for: duration) else { throw CancellationError() }
  }
}
