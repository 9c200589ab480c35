/// A byte stream that is a serial line: its speed can be changed while it is open, for devices whose speed has to be
/// found out or is told to them.
public protocol SerialLine: ByteStream {
  /// Bits a second from now on, both ways: one of ``LineSettings/baud``'s. What has arrived and was not read is thrown
  /// away; what was written before leaves at the old speed.
  func setBaud(_ baud: Int) async throws(ChannelError)
}

/// Which pipes of a USB interface carry a byte stream.
public enum PipeLayout: Sendable, Hashable {
  /// One pipe each way.
  case single
  /// Two pipes each way: the first takes `header` bytes of each write, the second the rest; what is read comes from the
  /// first and the second in turn, one transfer each.
  case split(header: Int)
}

/// A byte stream over a USB interface whose descriptors allow more than one layout.
public protocol PipedStream: ByteStream {
  /// Whether the interface has a second pipe each way.
  var canSplit: Bool { get }
  /// Uses this layout from now on; what has arrived and was not read is thrown away.
  /// - Throws: `.malformed` when the interface has not the pipes.
  func use(_ layout: PipeLayout) async throws(ChannelError)
}
