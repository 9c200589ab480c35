/// A byte stream that is a serial line: its speed can be changed while it is open, for devices whose speed has to be
/// found out or is told to them.
public protocol SerialLine: ByteStream {
  /// Bits a second from now on, both ways: one of ``LineSettings/baud``'s. What has arrived and was not read is thrown
  /// away; what was written before leaves at the old speed.
  func setBaud(_ baud: Int) async throws(ChannelError)
}
