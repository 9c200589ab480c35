import Posix
import QRSymbol
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct QRSymbolTests {
  /// What `zbarimg` reads in a picture; nil when it finds nothing.
  private static func read(_ picture: [UInt8]) async throws -> [UInt8]? {
    let directory = try TemporaryDirectory()
    let path = directory.path("symbol.pgm")
    try Files.replaceDurable(path, bytes: picture, mode: 0o600)
    let zbar = try ChildProcess.spawn(
      "zbarimg", arguments: ["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", "-Sbinary", path],
      standardOutput: .pipe, standardError: .null)
    var output: [UInt8] = []
    while let bytes = try await zbar.output?.read(upTo: 65536, timeout: nil), !bytes.isEmpty {
      output += bytes
    }
    return await zbar.wait(timeout: nil) == .exited(0) ? output : nil
  }

  /// A picture of three pixels a module with the quiet zone of the standard, some modules inverted.
  private static func picture(of symbol: QRSymbol, soiling: (Int, Int) -> Bool = { _, _ in false }) -> [UInt8]
  {
    let scale = 3
    let places = -4..<symbol.side + 4
    var pixels = Array("P5 \(places.count * scale) \(places.count * scale) 255\n".utf8)
    for y in places {
      let row = places.flatMap { x in
        [UInt8](repeating: symbol[x, y] != soiling(x, y) ? 0 : 255, count: scale)
      }
      for _ in 0..<scale { pixels += row }
    }
    return pixels
  }

  static let contents: [[UInt8]] = [
    Array("https://hall.example/rate?t=0123456789".utf8), Array("评价：非常满意".utf8), [0, 1, 2, 0xFF, 0x80, 0],
    [0x41],
    (0..<1200).map { UInt8(truncatingIfNeeded: $0 &* 37) },
  ]

  @Test(
    .enabled(if: Programs.areExpected("zbarimg"), "zbarimg (package zbar-tools) is not installed"),
    arguments: contents, QRSymbol.Correction.allCases)
  func `what was encoded is read by a program of others`(_ bytes: [UInt8], _ correction: QRSymbol.Correction)
    async throws
  {
    let symbol = try #require(QRSymbol.encode(bytes, correction: correction))
    #expect(symbol.side >= 21 && symbol.side <= 177 && (symbol.side - 17).isMultiple(of: 4))
    #expect(try await Self.read(Self.picture(of: symbol)) == bytes)
  }

  @Test(.enabled(if: Programs.areExpected("zbarimg"), "zbarimg (package zbar-tools) is not installed"))
  func `more correction survives more dirt`() async throws {
    let bytes = Array("https://hall.example/rate?ticket=A0123456789".utf8)
    var read: [Bool] = []
    for correction in [QRSymbol.Correction.low, .high] {
      let symbol = try #require(QRSymbol.encode(bytes, correction: correction))
      // A tenth of the modules inverted, in a block away from the finders.
      let side = symbol.side / 3
      let dirty = Self.picture(of: symbol) { x, y in
        (12..<12 + side).contains(x) && (12..<12 + side).contains(y)
      }
      read.append(try await Self.read(dirty) == bytes)
    }
    #expect(read == [false, true])
  }

  @Test func `what no symbol can hold is none`() throws {
    #expect(QRSymbol.encode([], correction: .low) == nil)
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 2954), correction: .low) == nil)
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 100_000), correction: .high) == nil)
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 1274), correction: .high) == nil)
    // ISO/IEC 18004, table 7: the capacities of version 40.
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 2953), correction: .low)?.side == 177)
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 1273), correction: .high)?.side == 177)
    // Version 1 holds 17 bytes at L and 7 at H.
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 17), correction: .low)?.side == 21)
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 18), correction: .low)?.side == 25)
    #expect(QRSymbol.encode([UInt8](repeating: 65, count: 7), correction: .high)?.side == 21)
  }

  @Test func `a symbol has its finders, and nothing is dark around it`() throws {
    let symbol = try #require(QRSymbol.encode(Array("hall".utf8), correction: .medium))
    let finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for (left, top) in [(0, 0), (symbol.side - 7, 0), (0, symbol.side - 7)] {
      for (y, row) in finder.enumerated() {
        #expect((0..<7).map { symbol[left + $0, top + y] ? "1" : "0" }.joined() == row)
      }
    }
    for place in [-1, symbol.side, Int.min, Int.max] {
      #expect(!symbol[place, 0])
      #expect(!symbol[0, place])
    }
  }

  @Test(arguments: [0, 1, 2, 4]) func `the lines for a terminal show the modules, light ones drawn`(
    _ quietZone: Int
  ) throws {
    let symbol = try #require(QRSymbol.encode(Array("hall".utf8), correction: .low))
    let lines = symbol.halfBlocks(quietZone: quietZone)
    let side = symbol.side + 2 * quietZone
    #expect(lines.count == (side + 1) / 2)
    for (index, line) in lines.enumerated() {
      #expect(line.count == side)
      for (column, character) in line.enumerated() {
        let (x, y) = (column - quietZone, 2 * index - quietZone)
        #expect(["█", "▀"].contains(character) == !symbol[x, y])
        #expect(["█", "▄"].contains(character) == (!symbol[x, y + 1] && 2 * index + 1 < side))
      }
    }
    #expect(symbol.halfBlocks(quietZone: -3) == symbol.halfBlocks(quietZone: 0))
  }
}
