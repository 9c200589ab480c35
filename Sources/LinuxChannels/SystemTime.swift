public import Channels
import Posix

/// The machine's monotonic clock (`CLOCK_MONOTONIC`): stands still while the machine is suspended, and no setting of
/// the wall clock moves it.
public struct SystemTime: Timekeeper {
  /// The clock; all values are the same one.
  public init() {}

  /// Time since the machine was started, suspension not counted.
  public func now() -> Duration { .nanoseconds(Int64(clamping: SystemClockState.monotonicNanoseconds())) }

  /// Waits without holding a thread; false when the task was cancelled before the time was over.
  public func sleep(for duration: Duration) async -> Bool { await Poller.shared.sleep(for: duration) }
}
