private import CLinux

/// Tells when the machine has been suspended and runs again. At rest nothing wakes: a timer that is never due is
/// cancelled by the kernel at every resume (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`).
public enum SuspendWatch {
  /// How long the machine slept, each time it did. Setting the clock alone tells nothing: what counts is how far the
  /// clock that runs on in suspension (`CLOCK_BOOTTIME`) has left the one that does not.
  ///
  /// Ends when it is dropped; at once where the system has no such timer.
  public static func resumes() -> AsyncStream<Duration> {
    let (stream, continuation) = AsyncStream<Duration>.makeStream()
    let task = Task {
      await follow(continuation)
      continuation.finish()
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  /// The time spent suspended between two looks at both clocks; nil when there was none worth telling.
  ///
  /// The clocks are not read in one moment: less than 100 ms is noise.
  static func slept(from old: UInt64, to new: UInt64) -> Duration? {
    guard new > old, new - old > 100_000_000 else { return nil }
    return .nanoseconds(Int64(clamping: new - old))
  }

  private static func suspended() -> UInt64 {
    let running = clinux_monotonic()
    let all = clinux_boottime()
    return all > running ? all - running : 0
  }

  private static func follow(_ continuation: AsyncStream<Duration>.Continuation) async {
    let raw = clinux_clock_watch()
    guard raw >= 0 else { return }
    let watch = Descriptor(adopting: raw)
    var known = suspended()
    while !Task.isCancelled {
      switch await Poller.shared.wait(for: .read, on: watch.raw, timeout: nil) {
      case .cancelled, .timedOut: return
      case .ready, .hangup: break
      }
      var count: UInt64 = 0
      _ = unsafe clinux_read(watch.raw, &count, 8)
      guard clinux_clock_watch_again(watch.raw) == 0 else { return }
      let now = suspended()
      if let time = slept(from: known, to: now) { continuation.yield(time) }
      known = now
    }
  }
}
