import QRSymbol
public import Simulation

/// A printed ticket as text for a terminal: its lines at their places, large letters spaced, QR symbols in half blocks that
/// a phone can read from the screen, pictures in Braille dots.
public struct TicketDrawing: Sendable {
  /// Whether bold, underlined and inverted text is marked with ECMA-48 sequences.
  public enum Style: Sendable {
    /// Text alone.
    case plain
    /// With sequences.
    case terminal
  }

  private let ticket: PrintedTicket
  private let style: Style
  /// Height of a line with its default spacing, in dots.
  private static let lineDots = 34

  /// A drawing of this ticket.
  public init(_ ticket: PrintedTicket, style: Style = .plain) {
    self.ticket = ticket
    self.style = style
  }

  /// The lines, all of one width in cells; a wide (East Asian) character takes two.
  public var lines: [String] {
    var content: [Cells] = []
    for element in ticket.elements { content += draw(element) }
    // A QR symbol may be wider than the paper has columns.
    let width = max(ticket.columns, content.map(\.width).max() ?? 0)
    let edge = String(repeating: "─", count: width + 2)
    var lines = ["┌\(edge)┐"]
    for cells in content {
      lines.append("│ " + cells.text + String(repeating: " ", count: width - cells.width) + " │")
    }
    switch ticket.end {
    case .cut: lines.append("└\(edge)┘")
    case .partialCut: lines.append("└" + String(repeating: "╌", count: width + 2) + "┘")
    case .torn: lines.append("╰" + String(repeating: "~", count: width + 2) + "╯")
    }
    return lines
  }

  /// A piece of a line and how many cells it takes.
  private struct Cells {
    var text = ""
    var width = 0

    static func spaces(_ count: Int) -> Cells {
      Cells(text: String(repeating: " ", count: max(0, count)), width: max(0, count))
    }
    static func + (left: Cells, right: Cells) -> Cells {
      Cells(text: left.text + right.text, width: left.width + right.width)
    }
  }

  private func draw(_ element: PrintedTicket.Element) -> [Cells] {
    switch element {
    case .line(let runs, let alignment):
      let line = place(runs.reduce(Cells()) { $0 + draw($1) }, alignment)
      let height = runs.map(\.height).max() ?? 1
      return [line] + Array(repeating: Cells(), count: max(0, height - 1))
    case .feed(let dots):
      return Array(repeating: Cells(), count: min(20, (dots + Self.lineDots / 2) / Self.lineDots))
    case .qr(let bytes, _, let alignment):
      guard let symbol = QRSymbol.encode(bytes, correction: .medium) else {
        return [place(label("QR"), alignment)]
      }
      return symbol.halfBlocks(quietZone: 2).map { place(Cells(text: $0, width: $0.count), alignment) }
    case .barcode(let system, let data, let alignment):
      let bars = Cells(text: "║▌║│▌║│║▌│║║▌│║", width: 15)
      return [
        place(bars, alignment), place(label("\(system) \(String(decoding: data, as: UTF8.self))"), alignment),
      ]
    case .picture(let rowBytes, let rows, let dots, let alignment):
      return braille(rowBytes, rows, dots).map { place($0, alignment) }
    }
  }

  private func label(_ text: String) -> Cells {
    let clean = String(
      String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }))
    return Cells(text: clean, width: Self.width(clean))
  }

  private func place(_ cells: Cells, _ alignment: PrintedTicket.Alignment) -> Cells {
    let free = max(0, ticket.columns - cells.width)
    switch alignment {
    case .left: return cells
    case .centre: return Cells.spaces(free / 2) + cells
    case .right: return Cells.spaces(free) + cells
    }
  }

  private func draw(_ run: PrintedTicket.Run) -> Cells {
    var cells = Cells()
    for character in run.text {
      let width = Self.width(String(character))
      cells = cells + Cells(text: String(character), width: width) + .spaces(width * (run.width - 1))
    }
    guard style == .terminal else { return cells }
    var codes: [String] = []
    if run.isBold || run.width > 1 || run.height > 1 { codes.append("1") }
    if run.isUnderlined { codes.append("4") }
    if run.isInverted { codes.append("7") }
    guard !codes.isEmpty else { return cells }
    return Cells(text: "\u{1B}[\(codes.joined(separator: ";"))m\(cells.text)\u{1B}[0m", width: cells.width)
  }

  /// A picture with six by six dots in each Braille dot: a character of 24 dots is still legible.
  private func braille(_ rowBytes: Int, _ rows: Int, _ dots: [UInt8]) -> [Cells] {
    let step = 6
    let bits: [[UInt32]] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]]
    func isDark(_ x: Int, _ y: Int) -> Bool {
      var count = 0
      for row in y..<min(y + step, rows) {
        for column in x..<min(x + step, rowBytes * 8) {
          let index = row * rowBytes + column / 8
          if dots.indices.contains(index), dots[index] & (0x80 >> UInt8(column % 8)) != 0 { count += 1 }
        }
      }
      return count * 4 >= step * step
    }
    guard rowBytes > 0, rows > 0 else { return [] }
    return stride(from: 0, to: rows, by: 4 * step).map { top in
      var text = ""
      for left in stride(from: 0, to: rowBytes * 8, by: 2 * step) {
        var pattern: UInt32 = 0x2800
        for row in 0..<4 {
          for column in 0..<2 where isDark(left + column * step, top + row * step) {
            pattern |= bits[row][column]
          }
        }
        text.unicodeScalars.append(Unicode.Scalar(pattern) ?? " ")
      }
      return Cells(text: text, width: text.count)
    }
  }

  /// Cells of a terminal that a text takes (Unicode Standard Annex 11: wide and full-width characters take two).
  static func width(_ text: String) -> Int {
    text.unicodeScalars.reduce(0) { sum, scalar in
      switch scalar.value {
      case 0x0300...0x036F, 0x200B...0x200F, 0xFE00...0xFE0F: sum
      case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0xA4CF,
        0xAC00...0xD7A3,
        0xF900...0xFAFF, 0xFE30...0xFE4F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF,
        0x20000...0x3FFFD:
        sum + 2
      default: sum + 1
      }
    }
  }
}
