/// Bytes both ways: a serial line, a USB bulk pair, a printer's raw port.
///
/// One reader and one writer at a time; a driver serialises its own commands.
public protocol ByteStream: Sendable {
  /// Waits for at least one byte and returns at most `count` of them; throws `.timedOut` after `timeout`, and `.gone`
  /// when the far end has left. Never returns an empty array.
  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8]
  /// Hands over all bytes or throws with the number that were; `timeout` is for the whole.
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError)
  /// Throws away what has arrived and was not read.
  func discardInput() async
  /// Ends the channel; pending reads and writes end with `.cancelled`. May be called more than once.
  func close() async
}
