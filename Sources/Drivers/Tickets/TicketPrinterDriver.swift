internal import Channels
public import Devices

extension Driver {
  /// Ticket dispensers that print in Epson's ESC/POS language (facts/devices.md A).
  public static let escpos = Driver(
    name: "escpos", kind: .ticketDispenser, channel: .byteStream, settings: TicketPrinterSettings.specs
  ) { channel, settings, context throws(Fault) in
    guard case .byteStream(let stream) = channel else {
      throw Fault(.deviceUnmatched, "escpos needs a byte stream")
    }
    return try await TicketPrinter.attach(stream, settings, context)
  }
}
