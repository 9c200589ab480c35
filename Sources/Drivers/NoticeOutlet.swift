internal import Devices
internal import Synchronization

/// Where a device's notices come out. The loss of the device is told once, and nothing after it.
final class NoticeOutlet: Sendable {
  /// What is kept when nobody listens fast enough.
  enum Keeping {
    /// The newest: the last report of a state makes the earlier ones worthless.
    case newest
    /// The oldest: presses, of which none may be dropped unseen.
    case oldest
  }

  /// The notices, for the one who listens.
  let stream: AsyncStream<DeviceNotice>
  private let continuation: AsyncStream<DeviceNotice>.Continuation
  private let isLost = Mutex(false)
  private static let limit = 64

  init(_ keeping: Keeping = .newest) {
    let policy: AsyncStream<DeviceNotice>.Continuation.BufferingPolicy =
      switch keeping {
      case .newest: .bufferingNewest(Self.limit)
      case .oldest: .bufferingOldest(Self.limit)
      }
    (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: policy)
  }

  /// Sends a notice; false when it, or an older one, found no room.
  @discardableResult
  func send(_ notice: DeviceNotice) -> Bool {
    guard !isLost.withLock({ $0 }), case .enqueued = continuation.yield(notice) else { return false }
    return true
  }

  /// Tells the loss of the device, the first time it is called, and ends the notices.
  func lose(_ fault: Fault) {
    let isFirst = isLost.withLock { lost in
      defer { lost = true }
      return !lost
    }
    // With no room left the end of the stream alone tells it.
    if isFirst { continuation.yield(.lost(fault)) }
    continuation.finish()
  }

  /// Ends the notices.
  func finish() { continuation.finish() }
}
