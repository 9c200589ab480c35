import QRSymbol
import Simulation
import Testing

@testable import SimulationHost

@Suite struct TicketDrawingTests {
  /// A ticket as a printer of 32 columns makes it.
  private func ticket(_ bytes: [UInt8], columns: Int = 32) async throws -> PrintedTicket {
    var options = SimulatedTicketPrinter.Options { bytes in
      // 票 = C6 B1 in GB 18030.
      bytes == [0xC6, 0xB1] ? "票" : nil
    }
    options.widthDots = columns * 12
    let device = SimulatedDevice("ticket", SimulatedTicketPrinter(options), time: RealTime())
    let line = try await device.openLine()
    try await line.write(bytes, timeout: .seconds(50))
    return try #require(await device.records.compactMap(\.record.ticket).first)
  }

  @Test func `lines stand where they are on the paper`() async throws {
    let bytes =
      Array("left\n".utf8) + hex("1B 61 01") + Array("centre\n".utf8) + hex("1B 61 02") + hex("C6 B1 0A")
    let lines = TicketDrawing(try await ticket(bytes + hex("1D 56 00"))).lines
    #expect(
      lines == [
        "┌──────────────────────────────────┐",
        "│ left                             │",
        "│              centre              │",
        "│                               票 │",
        "└──────────────────────────────────┘",
      ])
  }

  @Test func `large letters are spaced and take two rows`() async throws {
    let bytes = hex("1D 21 11") + Array("A1".utf8) + hex("C6 B1 0A 1D 21 00") + Array("x\n".utf8)
    let lines = TicketDrawing(try await ticket(bytes + hex("1D 56 01"))).lines
    #expect(
      lines == [
        "┌──────────────────────────────────┐",
        "│ A 1 票                           │",
        "│                                  │",
        "│ x                                │",
        "└╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘",
      ])
  }

  @Test func `bold, underlined and inverted text is marked on a terminal only`() async throws {
    let bytes = hex("1B 45 01 1B 2D 01") + Array("x\n".utf8) + hex("1D 56 00")
    let ticket = try await ticket(bytes)
    #expect(TicketDrawing(ticket, style: .terminal).lines[1].hasPrefix("│ \u{1B}[1;4mx\u{1B}[0m "))
    #expect(TicketDrawing(ticket).lines[1].hasPrefix("│ x "))
  }

  @Test func `a QR symbol is drawn as the symbol of its content`() async throws {
    let text = "http://example.invalid/A001"
    let length = text.utf8.count + 3
    let bytes =
      [0x1D, 0x28, 0x6B, UInt8(length), 0, 0x31, 0x50, 0x30] + Array(text.utf8)
      + hex("1D 28 6B 03 00 31 51 30 1D 56 00")
    let drawn = TicketDrawing(try await ticket(bytes)).lines.dropFirst().dropLast()
    let symbol = try #require(QRSymbol.encode(Array(text.utf8), correction: .medium)).halfBlocks(quietZone: 2)
    #expect(drawn.count == symbol.count)
    for (line, part) in zip(drawn, symbol) { #expect(line.contains(part)) }
  }

  @Test func `a picture is drawn in dots`() async throws {
    // 48 by 24 dots, the left half black: four characters, two of them full.
    let row = hex("FF FF FF 00 00 00")
    let bytes = hex("1D 76 30 00 06 00 18 00") + (0..<24).flatMap { _ in row } + hex("1D 56 00")
    let lines = TicketDrawing(try await ticket(bytes)).lines
    #expect(lines[1].hasPrefix("│ ⣿⣿⠀⠀ "))
  }

  @Test func `all lines of a drawing are of one width`() async throws {
    let bytes = hex("1D 21 22 C6 B1 C6 B1 0A 1D 21 00") + Array("narrow\n".utf8) + hex("1B 64 02 1D 56 41 40")
    let lines = TicketDrawing(try await ticket(bytes)).lines
    #expect(Set(lines.map { TicketDrawing.width($0) }).count == 1)
  }
}
