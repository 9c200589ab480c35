import Codecs
import Posix
import Testing

/// Our commands beside those of python-escpos, an independent program that real tickets are printed with.
///
/// Runs `Tests/Fixtures/escpos_vectors.py` with the `python3` on the path. Needs the package python-escpos 3.x: without
/// it the test is passed over, but not where `CI` is set: there a missing package is a failure.
@Suite struct ESCPOSReferenceTests {
  private static func python(_ arguments: [String]) async throws -> (
    status: Posix.ExitStatus?, output: String
  ) {
    let process = try ChildProcess.spawn(
      "python3", arguments: arguments, standardOutput: .pipe, standardError: .null)
    var output: [UInt8] = []
    while let stream = process.output {
      let piece = try await stream.read(upTo: 65_536, timeout: .seconds(30))
      if piece.isEmpty { break }
      output += piece
    }
    return (await process.wait(timeout: .seconds(30)), String(decoding: output, as: UTF8.self))
  }

  private static func isNeeded() async -> Bool {
    if let ci = Environment["CI"], !ci.isEmpty, ci != "0", ci != "false" { return true }
    return (try? await python(["-c", "import escpos.printer"]))?.status == .exited(0)
  }

  private static let script: String = {
    let folders = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
    return folders.joined(separator: "/") + "/Fixtures/escpos_vectors.py"
  }()

  @Test(
    .timeLimit(.minutes(5)),
    .enabled("python3 cannot import escpos.printer: install python-escpos 3.x", { await isNeeded() }))
  func `every command is the same as python-escpos' and is read back from its bytes`() async throws {
    let result = try await Self.python([Self.script])
    try #require(
      result.status == .exited(0), "python3 \(Self.script) failed: is python-escpos 3.x installed?")
    var seen: Set<String> = []
    for line in result.output.split(separator: "\n") {
      let parts = line.split(separator: " ")
      try #require(parts.count == 2, "\(line)")
      let name = String(parts[0])
      let bytes = hex(String(parts[1]))
      seen.insert(String(name.split(separator: ",").first ?? ""))
      guard let expected = Self.expectation(name) else {
        Issue.record("no counterpart for \(name)")
        continue
      }
      switch expected {
      case .same(let commands):
        #expect(try ESCPOSCommand.encode(commands) == bytes, "\(name)")
        #expect(tokens(of: [bytes]).tokens == commands.map { .command($0) }, "\(name)")
      case .read(let commands):
        #expect(tokens(of: [bytes]).tokens == commands.map { .command($0) }, "\(name)")
      case .tokens(let expected):
        #expect(tokens(of: [bytes]).tokens.map(Self.outline) == expected, "\(name)")
      }
    }
    #expect(
      seen == [
        "init", "size", "align", "bold", "invert", "underline", "font", "double-height", "double-width",
        "double-both",
        "spacing", "feed", "cut", "drawer", "qr", "qr-long", "barcodeA", "barcodeB", "raster", "graphics",
        "column",
        "tabs", "buzzer",
      ])
  }

  private enum Expectation {
    /// The bytes are ours, and are read as these commands.
    case same([ESCPOSCommand])
    /// Another spelling, read as these commands.
    case read([ESCPOSCommand])
    /// Commands we do not send: lengths as the interpreter must find them.
    case tokens([String])
  }

  private static func outline(_ token: ESCPOSToken) -> String {
    switch token {
    case .command(let command): "\(command)"
    case .unknown(let bytes): "unknown \(hexText(bytes.prefix(2))) \(bytes.count)"
    case .oversized(_, let total): "oversized \(total)"
    }
  }

  private static func expectation(_ name: String) -> Expectation? {
    let parts = name.split(separator: ",").map(String.init)
    let numbers = parts.dropFirst().compactMap { Int($0) }
    switch parts[0] {
    case "init": return .same([.initialise])
    case "size":
      return numbers.count == 2 ? .same([.characterSize(width: numbers[0], height: numbers[1])]) : nil
    case "align":
      let alignments: [String: ESCPOSCommand.Alignment] = ["left": .left, "center": .centre, "right": .right]
      return alignments[parts[1]].map { .same([.align($0)]) }
    case "bold": return .same([.bold(numbers == [1])])
    case "invert": return .same([.invert(numbers == [1])])
    case "underline": return numbers.first.map { .same([.underline(dots: $0)]) }
    case "font": return .same([.font(parts[1] == "a" ? .a : .b)])
    // python-escpos goes back to normal size twice before every other size.
    case "double-height": return .same([.printMode([]), .printMode([]), .printMode(.doubleHeight)])
    case "double-width": return .same([.printMode([]), .printMode([]), .printMode(.doubleWidth)])
    case "double-both":
      return .same([.printMode([]), .printMode([]), .printMode([.doubleHeight, .doubleWidth])])
    case "spacing":
      return .same([numbers.first.map { .lineSpacing(UInt8(clamping: $0)) } ?? .defaultLineSpacing])
    case "feed": return .same([.feedLines(3)])
    // python-escpos feeds six lines before every cut, and has no way of cutting without feeding but form 66.
    case "cut" where parts[1] == "full": return .same([.feedLines(6), .cut(.full)])
    case "cut" where parts[1] == "part": return .same([.feedLines(6), .cut(.partial)])
    case "cut": return .same([.cut(.feedAndPartial(0))])
    case "drawer": return .same([.pulse(numbers == [2] ? .pin2 : .pin5, on: 50, off: 50)])
    case "qr":
      guard numbers.count == 3 else { return nil }
      return qr(numbers[0], numbers[1], numbers[2], "https://example.org/A023?票=1")
    case "qr-long": return qr(2, 3, 0, String(repeating: "0123456789", count: 30))
    case "barcodeA", "barcodeB": return barcode(parts)
    case "raster":
      return .same([.rasterImage(scale: .normal, rowBytes: 3, rows: 5, dots: picture(width: 19, height: 5))])
    case "graphics": return .tokens(["unknown 1d 28 30", "unknown 1d 28 7"])
    case "column":
      let strip = "unknown 1b 2a \(5 + 19 * 3)"
      return .tokens(["lineSpacing(16)", strip, "lineFeed", strip, "lineFeed", "defaultLineSpacing"])
    case "tabs": return .tokens(["unknown 1b 44 7"])
    case "buzzer": return .tokens(["unknown 1b 42 4"])
    default: return nil
    }
  }

  private static func qr(_ model: Int, _ size: Int, _ level: Int, _ text: String) -> Expectation {
    .same([
      .qrModel(model == 1 ? .one : .two), .qrModuleSize(UInt8(clamping: size)),
      .qrErrorCorrection(ESCPOSCommand.QRErrorCorrection.allCases[level]), .qrStore(Array(text.utf8)),
      .qrPrint,
    ])
  }

  private static func barcode(_ parts: [String]) -> Expectation? {
    let systems: [String: ESCPOSCommand.BarcodeSystem] = [
      "UPC-A": .upcA, "UPC-E": .upcE, "EAN13": .ean13, "EAN8": .ean8, "CODE39": .code39, "ITF": .itf,
      "CODABAR": .codabar, "CODE93": .code93, "CODE128": .code128,
    ]
    let places: [String: ESCPOSCommand.BarcodeText] = [
      "OFF": .none, "ABOVE": .above, "BELOW": .below, "BOTH": .both,
    ]
    guard parts.count == 4, let system = systems[parts[1]], let place = places[parts[3]] else { return nil }
    let data = parts[2].utf8.map { $0 == UInt8(ascii: "_") ? UInt8(ascii: " ") : $0 }
    let commands: [ESCPOSCommand] = [
      .barcodeHeight(80), .barcodeModuleWidth(2), .barcodeFont(.b), .barcodeText(place),
      .barcode(system, data),
    ]
    return parts[0] == "barcodeA" ? .read(commands) : .same(commands)
  }

  /// Black where x + y is a multiple of three; the row's last bits are white.
  private static func picture(width: Int, height: Int) -> [UInt8] {
    (0..<height).flatMap { y in
      stride(from: 0, to: width, by: 8).map { left in
        (0..<8).reduce(UInt8(0)) { byte, bit in
          let x = left + bit
          return byte << 1 | (x < width && (x + y) % 3 == 0 ? 1 : 0)
        }
      }
    }
  }
}
