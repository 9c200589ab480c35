/// Reports of a HID interface, both ways (USB HID 1.11, 5.6 and 8).
///
/// Where the device numbers its reports, the first byte of each is the number; where it does not, there is no such byte
/// on input, and 0 stands there on output and for features (Linux hidraw).
public protocol ReportChannel: Sendable {
  /// The report descriptor, as the device gave it.
  var descriptor: [UInt8] { get }
  /// Waits for the next input report; throws `.timedOut` after `timeout`.
  func read(timeout: Duration) async throws(ChannelError) -> [UInt8]
  /// Sends one output report, number first.
  func write(_ report: [UInt8], timeout: Duration) async throws(ChannelWriteError)
  /// Asks for a feature report of at most `count` bytes, its number included.
  func feature(_ number: UInt8, upTo count: Int) async throws(ChannelError) -> [UInt8]
  /// Sends a feature report, number first.
  func setFeature(_ report: [UInt8]) async throws(ChannelError)
  /// Throws away what has arrived and was not read.
  func discardInput() async
  /// Ends the channel; pending reads and writes end with `.cancelled`. May be called more than once.
  func close() async
}
