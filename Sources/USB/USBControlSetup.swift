/// The eight bytes that begin a control transfer (USB 2.0, 9.3).
public struct USBControlSetup: Sendable, Equatable {
  /// Direction (bit 7: to the host), kind (bits 6, 5) and recipient (bits 4…0).
  public var requestType: UInt8
  /// The request.
  public var request: UInt8
  /// `wValue`.
  public var value: UInt16
  /// `wIndex`: the interface or endpoint, where that is the recipient.
  public var index: UInt16
  /// Bytes that follow, or that are wanted.
  public var length: UInt16

  /// A setup packet.
  public init(requestType: UInt8, request: UInt8, value: UInt16 = 0, index: UInt16 = 0, length: UInt16 = 0) {
    self.requestType = requestType
    self.request = request
    self.value = value
    self.index = index
    self.length = length
  }

  /// Whether the device sends the data.
  public var isInput: Bool { requestType & 0x80 != 0 }
}
