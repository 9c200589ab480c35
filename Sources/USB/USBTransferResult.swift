/// What a transfer moved, and why no more.
///
/// Failure and bytes are not exclusive: a transfer that timed out or was cancelled may have moved some before.
public struct USBTransferResult: Sendable, CustomStringConvertible {
  /// What was received; empty for transfers to the device.
  public let bytes: [UInt8]
  /// How many bytes were moved, in either direction.
  public let count: Int
  /// Why the transfer ended early; nil when it went through, which for a transfer from the device includes a short packet.
  public let failure: USBError?

  /// A result.
  public init(bytes: [UInt8] = [], count: Int = 0, failure: USBError?) {
    self.bytes = bytes
    self.count = count
    self.failure = failure
  }

  /// What ended without moving a byte.
  public static func nothing(_ failure: USBError) -> USBTransferResult { USBTransferResult(failure: failure) }

  /// The count and the failure, never the bytes: they may be a citizen's.
  public var description: String {
    failure.map { "\(count) bytes, then \($0)" } ?? "\(count) bytes"
  }
}
