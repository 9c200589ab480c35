internal import Channels
internal import USB

/// What has arrived from a USB device and was not read, and where the next bytes come from.
struct USBArrivals: Sendable {
  /// The endpoints in use.
  var layout: PipeLayout
  /// In a split layout: that what comes next is the rest of a message whose head has come.
  private(set) var expectsBody = false
  private var head = 0
  private var bytes: [UInt8] = []
  /// How many of `bytes` have been read.
  private var taken = 0

  init(_ layout: PipeLayout) { self.layout = layout }

  /// The endpoint that the next bytes come from; nil for a device that never sends.
  var input: UInt8? { expectsBody ? layout.split?.input : layout.input }

  /// At most `count` bytes, at least one where any have arrived.
  mutating func take(_ count: Int) -> [UInt8] {
    guard taken < bytes.count else { return [] }
    if taken == 0, bytes.count <= count {
      // The whole without another copy, which is the rule.
      defer { bytes = [] }
      return bytes
    }
    let part = Array(bytes[taken..<min(taken + max(count, 1), bytes.count)])
    taken += part.count
    if taken == bytes.count { discard() }
    return part
  }

  /// Adds what a transfer brought that could have brought `size` bytes: fewer are the end of a message.
  mutating func add(_ result: USBTransferResult, shortBelow size: Int) {
    if bytes.isEmpty { bytes = result.bytes } else { bytes += result.bytes }
    guard let split = layout.split else { return }
    if expectsBody {
      if result.failure == nil, result.count < size { beginMessage() }
    } else {
      head += result.count
      if head >= split.headLength { (expectsBody, head) = (true, 0) }
    }
  }

  /// The next bytes begin a message.
  mutating func beginMessage() { (expectsBody, head) = (false, 0) }

  /// Throws away what was not read.
  mutating func discard() { (bytes, taken) = ([], 0) }
}
