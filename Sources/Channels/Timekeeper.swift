/// Time as a parameter: the real clock in service, one moved by hand in tests.
public protocol Timekeeper: Sendable {
  /// Time since an arbitrary fixed moment; never goes back.
  func now() -> Duration
  /// Waits; returns false when the task was cancelled before the time was over.
  func sleep(for duration: Duration) async -> Bool
}
