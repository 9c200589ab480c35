public import Posix

/// What the outbox knows of time; tests have their own.
public protocol OutboxClock: Sendable {
  /// Nanoseconds that never go back: for waiting.
  var monotonicNanoseconds: UInt64 { get }
  /// The calendar: for what outlives the process.
  var wallTime: WallTime { get }
  /// Returns at that moment of the monotonic clock, or when the task is cancelled.
  func sleep(untilNanoseconds deadline: UInt64) async
}

/// The system's clocks.
public struct SystemOutboxClock: OutboxClock {
  /// The system's clocks.
  public init() {}
  /// `CLOCK_MONOTONIC`
  public var monotonicNanoseconds: UInt64 { SystemClockState.monotonicNanoseconds() }
  /// The system's clock and time zone.
  public var wallTime: WallTime { .now() }
  /// Sleeps without holding a thread.
  public func sleep(untilNanoseconds deadline: UInt64) async {
    let now = monotonicNanoseconds
    if deadline > now { _ = await Poller.shared.sleep(for: .nanoseconds(Int64(clamping: deadline - now))) }
  }
}

extension OutboxClock {
  /// Milliseconds since 1970.
  var wallMilliseconds: Int64 {
    let time = wallTime
    return time.secondsSince1970 * 1000 + Int64(time.nanoseconds) / 1_000_000
  }
}
