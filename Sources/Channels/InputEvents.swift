/// Keys of an input device that this channel holds for itself alone: while it is open nobody else hears them.
public protocol InputEvents: Sendable {
  /// What the device calls itself.
  var name: String { get }
  /// Waits for the next key that goes down; repeats and releases are not told. Throws `.timedOut` after `timeout`
  /// (nil: waits as long as it takes) and `.gone` when the device has left.
  func next(timeout: Duration?) async throws(ChannelError) -> KeyPress
  /// Lets the device go and ends the channel; a pending ``next(timeout:)`` ends with `.cancelled`. May be called more than once.
  func close() async
}

/// A key that went down.
public struct KeyPress: Sendable, Equatable {
  /// The kernel's key code (`linux/input-event-codes.h`): 2 is `KEY_1`, 79 `KEY_KP1`.
  public var code: UInt16
  /// When, by the kernel's monotonic clock.
  public var time: Duration

  /// A key press.
  public init(code: UInt16, time: Duration) {
    self.code = code
    self.time = time
  }
}
