/// When a device that could not be attached is tried again. A plain state machine: it is told what happened and returns
/// how long to wait.
///
/// The waits double from 200 ms to 30 s. A device that attached and was lost again within 10 s is flapping (a loose
/// cable): its next attempt waits as if it had failed, so that it does not come and go many times a second.
struct AttachPolicy: Sendable, Equatable {
  static let first = Duration.milliseconds(200)
  static let longest = Duration.seconds(30)
  static let stableAfter = Duration.seconds(10)

  private(set) var failures = 0

  /// An attempt failed: how long to wait before the next.
  mutating func failed() -> Duration {
    failures += 1
    return wait
  }

  /// The device was lost after `service` in use: how long to wait before the next attempt.
  mutating func lost(after service: Duration) -> Duration {
    failures = service >= Self.stableAfter ? 1 : failures + 1
    return wait
  }

  /// Something changed at its address (it was plugged in): the next attempt is worth making at once.
  mutating func changed() { failures = max(0, failures - 1) }

  private var wait: Duration {
    var wait = Self.first
    for _ in 1..<max(2, min(failures, 12)) where failures > 1 { wait = min(wait * 2, Self.longest) }
    return wait
  }
}
