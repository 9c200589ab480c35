internal import Channels
internal import Codecs
internal import USB

/// A printer's interface by libusb: the byte stream, and the requests of the printer class beside it (USB printer class 1.1,
/// 4.2; facts/devices.md A5).
final class USBPrinterPort: PrinterPort {
  private let stream: USBByteStream
  private let device: USBDevice
  private let interface: USBInterface
  private let configurationIndex: Int
  /// As the kernel's own driver has it.
  private static let limit = Duration.seconds(5)

  init(_ stream: USBByteStream, device: USBDevice, interface: USBInterface, configurationIndex: Int) {
    self.stream = stream
    self.device = device
    self.interface = interface
    self.configurationIndex = configurationIndex
  }

  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    try await stream.read(upTo: count, timeout: timeout)
  }
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    try await stream.write(bytes, timeout: timeout)
  }
  func discardInput() async { await stream.discardInput() }
  func close() async { await stream.close() }

  func portStatus() async throws(ChannelError) -> PrinterPortStatus {
    let status = try await ask(1, value: 0, index: UInt16(interface.number), length: 1)
    guard let byte = status.first else { throw .malformed("port status of no bytes") }
    return PrinterPortStatus(rawValue: byte)
  }

  func deviceID() async throws(ChannelError) -> String {
    let index = UInt16(interface.number) << 8 | UInt16(interface.alternate)
    return PrinterDeviceID.text(
      try await ask(0, value: UInt16(clamping: configurationIndex), index: index, length: 1024))
  }

  private func ask(
    _ request: UInt8, value: UInt16, index: UInt16, length: UInt16
  ) async throws(ChannelError) -> [UInt8] {
    let setup = USBControlSetup(
      requestType: 0xA1, request: request, value: value, index: index, length: length)
    let result = await device.control(setup, timeout: Self.limit)
    if let failure = result.failure { throw ChannelError(using: failure, "printer request \(request)") }
    return result.bytes
  }
}

/// The IEEE 1284 device id as the printer class sends it.
enum PrinterDeviceID {
  /// The text of an answer: the length before it counts itself and is big-endian; some printers have it the other way
  /// round, or count only the text, and are cut at what came.
  static func text(_ answer: [UInt8]) -> String {
    guard answer.count > 2 else { return "" }
    let big = Int(answer[0]) << 8 | Int(answer[1])
    let little = Int(answer[1]) << 8 | Int(answer[0])
    let said =
      (3...answer.count).contains(big) ? big : (3...answer.count).contains(little) ? little : answer.count
    return String(decoding: answer[2..<said].prefix { $0 != 0 }, as: UTF8.self)
  }
}
