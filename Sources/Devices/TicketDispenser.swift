/// One thing on a ticket, from top to bottom.
public enum TicketElement: Sendable, Equatable {
  /// Where a line stands.
  public enum Alignment: String, Sendable { case left, centre, right }
  /// A line of text. `width` and `height` are multiples 1…8 of the font's size.
  case text(String, width: Int = 1, height: Int = 1, bold: Bool = false, align: Alignment = .left)
  /// A QR symbol of these bytes, centred; `module` is the side of a module in dots, 1…16.
  case qr([UInt8], module: Int)
  /// A CODE128 bar code of printable ASCII, centred, with its text below.
  case barcode(String)
  /// A line across the ticket.
  case rule
  /// Empty lines.
  case feed(Int)
}

/// A ticket's face, in order.
public struct TicketFace: Sendable, Equatable {
  /// What is on it.
  public var elements: [TicketElement]
  /// A face.
  public init(_ elements: [TicketElement]) { self.elements = elements }
}

/// A ticket dispenser (排队取号机): a thermal printer with a cutter.
public protocol TicketDispenser: AttachedDevice {
  /// Prints and cuts one ticket. The device is asked before and after.
  ///
  /// `begun` is awaited once, immediately before the first byte that can mark paper goes out; when it returns false
  /// (the agent could not note that), nothing is printed and the outcome is `.notDone`.
  func print(
    _ face: TicketFace, begun: @escaping @Sendable () async -> Bool
  ) async -> EffectOutcome
}
