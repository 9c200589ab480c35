/// Why a channel could not be opened or used. Closed, so that a driver maps every case to a fault of its kind.
public enum ChannelError: Error, Sendable, Equatable {
  /// Nothing is at the address: no such node, nobody listens there.
  case absent(String)
  /// The far end was there and has left: unplugged, closed, powered off.
  case gone
  /// This account may not open it; the text names what was refused.
  case denied(String)
  /// Somebody else holds it; the text names the holder where the system tells.
  case busy(String)
  /// Nothing came, or nothing was taken, within the time given.
  case timedOut
  /// The task was cancelled, or the channel was closed from our side.
  case cancelled
  /// What came is not of the channel's form.
  case malformed(String)
  /// The system refused in another way; `code` is the errno value.
  case system(call: String, code: Int32)

  /// A technical sentence for the log and for `evidence`; never content.
  public var summary: String {
    switch self {
    case .absent(let what): "nothing at \(what)"
    case .gone: "the far end has left"
    case .denied(let what): "permission denied: \(what)"
    case .busy(let who): "in use: \(who)"
    case .timedOut: "no answer in time"
    case .cancelled: "cancelled"
    case .malformed(let what): "malformed: \(what)"
    case .system(let call, let code): "\(call) failed with errno \(code)"
    }
  }
}

/// A write that did not go through whole. How much did decides whether a physical effect is *not done* or *unknown*.
public struct ChannelWriteError: Error, Sendable, Equatable {
  /// Bytes that were handed to the device for certain before the failure, 0 or more.
  public let written: Int
  /// Why the rest was not.
  public let reason: ChannelError

  /// A failure after `written` bytes.
  public init(written: Int, reason: ChannelError) {
    self.written = written
    self.reason = reason
  }
}
