/// Which endpoints of a USB interface a byte stream goes through.
///
/// Written as in a profile: `81/02` is one endpoint each way; `81/` only sends to the host, `/02` only takes; `81+85/02+06:7`
/// splits each message after 7 bytes, the head through the first endpoint, the rest through the second
/// (facts/idcard.md 1.2, layout A).
public struct PipeLayout: Sendable, Hashable, CustomStringConvertible {
  /// The endpoint that sends to the host, with bit 7; nil when the device only takes.
  public let input: UInt8?
  /// The endpoint that takes; nil when the device only sends.
  public let output: UInt8?
  /// The split of messages; nil when they go through whole.
  public let split: Split?

  /// How messages are split over two endpoints each way.
  public struct Split: Sendable, Hashable {
    /// The endpoint that sends what follows a head, with bit 7.
    public let input: UInt8
    /// The endpoint that takes what follows a head.
    public let output: UInt8
    /// How many bytes the head of a message has, 1 to 255.
    public let headLength: Int
  }

  /// One endpoint each way, or one way only.
  public init(input: UInt8?, output: UInt8?) {
    self.input = input
    self.output = output
    split = nil
  }

  /// Two endpoints each way: heads of `headLength` bytes through the first of each pair.
  public init(heads: (input: UInt8, output: UInt8), bodies: (input: UInt8, output: UInt8), headLength: Int) {
    input = heads.input
    output = heads.output
    split = Split(input: bodies.input, output: bodies.output, headLength: min(max(headLength, 1), 255))
  }

  /// Reads the forms shown above; nil for anything else, for addresses of the wrong direction, and for one endpoint twice.
  public init?(_ text: String) {
    let sides = text.split(separator: "/", omittingEmptySubsequences: false)
    guard sides.count == 2 else { return nil }
    let outputsAndHead = sides[1].split(separator: ":", omittingEmptySubsequences: false)
    guard let inputs = Self.endpoints(sides[0], 0x81...0x8f),
      let outputs = Self.endpoints(outputsAndHead.first ?? "", 0x01...0x0f)
    else { return nil }
    if outputsAndHead.count == 2 {
      guard inputs.count == 2, outputs.count == 2, let head = Int(outputsAndHead[1]),
        (1...255).contains(head),
        inputs[0] != inputs[1], outputs[0] != outputs[1]
      else { return nil }
      self.init(heads: (inputs[0], outputs[0]), bodies: (inputs[1], outputs[1]), headLength: head)
    } else {
      guard outputsAndHead.count <= 1, inputs.count <= 1, outputs.count <= 1, inputs.count + outputs.count > 0
      else { return nil }
      self.init(input: inputs.first, output: outputs.first)
    }
  }

  /// The form that ``init(_:)`` reads.
  public var description: String {
    func hexadecimal(_ address: UInt8?) -> String {
      address.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) } ?? ""
    }
    guard let split else { return "\(hexadecimal(input))/\(hexadecimal(output))" }
    return "\(hexadecimal(input))+\(hexadecimal(split.input))/\(hexadecimal(output))+"
      + "\(hexadecimal(split.output)):\(split.headLength)"
  }

  private static func endpoints(_ text: some StringProtocol, _ range: ClosedRange<UInt8>) -> [UInt8]? {
    if text.isEmpty { return [] }
    let parts = text.split(separator: "+", omittingEmptySubsequences: false)
    let addresses = parts.compactMap { part in
      part.count <= 2 ? UInt8(part, radix: 16).flatMap { range.contains($0) ? $0 : nil } : nil
    }
    return addresses.count == parts.count && addresses.count <= 2 ? addresses : nil
  }
}

/// A byte stream whose device has endpoints for more than one layout: makers sell the same ids with different ones, and only
/// an answer tells which it is (facts/idcard.md 1.2).
public protocol LayoutChoice: ByteStream {
  /// Every layout the device's endpoints allow, the likeliest first; never empty.
  var layouts: [PipeLayout] { get }
  /// Goes on with another of the layouts: a read that waits goes on there too, and what has arrived and was not read is
  /// thrown away.
  func use(_ layout: PipeLayout) async throws(ChannelError)
}

/// What a printer's port tells of the printer (USB printer class 1.1, 4.2.2; Linux `LPGETSTATUS`).
///
/// Some printers answer 0 whatever happens: no information then (facts/devices.md A5).
public struct PrinterPortStatus: Sendable, Hashable {
  /// The byte as it came.
  public let rawValue: UInt8

  /// A status byte.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// False for printers that do not tell.
  public var isTelling: Bool { rawValue != 0 }
  /// Bit 5: out of paper.
  public var isPaperEmpty: Bool { rawValue & 0x20 != 0 }
  /// Bit 4: selected, which is on line.
  public var isSelected: Bool { rawValue & 0x10 != 0 }
  /// Bit 3, inverted: an error.
  public var hasError: Bool { rawValue & 0x08 == 0 }
}

/// A byte stream to a printer whose port has a status of its own beside the stream.
public protocol PrinterPort: ByteStream {
  /// The port's status now; a printer that is out of paper answers too.
  func portStatus() async throws(ChannelError) -> PrinterPortStatus
  /// The IEEE 1284 device id as text, `MFG:…;MDL:…;`; empty for printers without one.
  func deviceID() async throws(ChannelError) -> String
}
