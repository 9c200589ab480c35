import Codecs
import TestKit
import Testing

/// All tokens of these pieces, with neighbouring runs of text joined.
func tokens(of pieces: [[UInt8]], maximumCommand: Int = 1 << 20) -> (tokens: [ESCPOSToken], pending: Int) {
  var interpreter = ESCPOSInterpreter(maximumCommand: maximumCommand)
  var tokens: [ESCPOSToken] = []
  for piece in pieces {
    interpreter.feed(piece)
    while let token = interpreter.next() {
      if case .command(.text(let more)) = token, case .command(.text(let text)) = tokens.last {
        tokens[tokens.count - 1] = .command(.text(text + more))
      } else {
        tokens.append(token)
      }
    }
  }
  return (tokens, interpreter.pending)
}

@Suite struct ESCPOSInterpreterTests {
  @Test(arguments: ESCPOSVectors.commands)
  func `what a command sends is read as that command, split anywhere`(command: ESCPOSCommand, text: String) {
    let bytes = hex(text)
    for cut in 0...bytes.count {
      let found = tokens(of: [Array(bytes[..<cut]), Array(bytes[cut...])])
      #expect(found.tokens == [.command(command)], "cut at \(cut)")
      #expect(found.pending == 0)
    }
    #expect(tokens(of: bytes.map { [$0] }).tokens == [.command(command)])
  }

  @Test(arguments: 0..<100 as Range<UInt64>)
  func `any list of commands is read back, split anywhere`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var list: [ESCPOSCommand] = []
    for _ in 0..<60 {
      let command = ESCPOSVectors.commands[Int(random.next() % UInt64(ESCPOSVectors.commands.count))].0
      if case .text = command, case .text = list.last { continue }
      list.append(command)
    }
    let bytes = try ESCPOSCommand.encode(list)
    let found = tokens(of: random.pieces(of: bytes, most: 12))
    #expect(found.tokens == list.map { .command($0) })
    #expect(found.pending == 0)
  }

  @Test func `text is given as it comes, without waiting for its end`() {
    var interpreter = ESCPOSInterpreter()
    interpreter.feed(hex("CE C4"))
    #expect(interpreter.next() == .command(.text(hex("CE C4"))))
    #expect(interpreter.next() == nil && interpreter.pending == 0)
  }

  /// Numbers that printers take as ASCII digits too, and form A of bar codes (facts/devices.md A1).
  @Test(
    arguments: [
      ("1B 61 31", .align(.centre)), ("1D 56 30", .cut(.full)), ("1D 56 31", .cut(.partial)),
      ("1B 2D 32", .underline(dots: 2)), ("1B 4D 31", .font(.b)), ("1D 48 32", .barcodeText(.below)),
      ("1D 72 31", .transmitStatus(.paper)), ("1D 49 32", .transmitIdentity(.type)),
      ("1B 45 FF", .bold(true)),
      ("1B 70 31 01 02", .pulse(.pin5, on: 1, off: 2)), ("1C 2D 30", .chineseUnderline(dots: 0)),
      ("1D 76 30 33 01 00 01 00 FF", .rasterImage(scale: .quadruple, rowBytes: 1, rows: 1, dots: [0xFF])),
      ("1D 6B 02 36 39 30 31 32 33 34 35 36 37 38 39 00", .barcode(.ean13, Array("690123456789".utf8))),
      ("1D 6B 06 41 31 42 00", .barcode(.codabar, Array("A1B".utf8))),
    ] as [(String, ESCPOSCommand)])
  func `other spellings of a command are read`(text: String, command: ESCPOSCommand) {
    #expect(tokens(of: [hex(text)]).tokens == [.command(command)])
  }

  /// Commands of Epson's reference that this type has no case for: their parameters are not text.
  @Test(arguments: [
    "1B 20 05", "1B 24 41 42", "1B 5C 41 42", "1B 25 41", "1B 3D 01", "1B 3F 41", "1B 42 41 42", "1B 47 01",
    "1B 4B 41",
    "1B 4C", "1B 52 41", "1B 53", "1B 54 41", "1B 56 41", "1B 57 41×8", "1B 63 35 41", "1B 65 41", "1B 72 41",
    "1B 7B 01",
    "1B 44 08 10 18 00", "1B 2A 00 03 00 41 42 43", "1B 2A 21 02 00 41×6", "1B 28 41 02 00 41 42", "1B 0C",
    "1C 53 41 42", "1C 70 41 42", "1C 28 41 02 00 41 42",
    "1D 24 41 42", "1D 2F 41", "1D 3A", "1D 50 41 42", "1D 54 41", "1D 5E 41 42 43", "1D 62 01", "1D 63",
    "1D 67 30 41 42 43",
    "1D 7C 41", "1D 2A 02 01 41×16", "1D 28 4C 02 00 30 32", "1D 28 4C 05 00 30 70 41 42 43",
    "1D 38 4C 03 00 00 00 41 42 43", "1D 51 30 00 02 00 02 00 41×4", "1D 28 48 03 00 31 31 41",
    "1D 28 6B 03 00 31 43 11", "1D 28 6B 03 00 30 43 05", "1D 28 6B 00 00", "1D 6B 4A 04 7B 42 41 42",
    "1D 21 88", "1B 61 07", "1D 77 09", "1D 68 00", "1D 76 30 07 01 00 01 00 41", "1D 56 07", "10 05 07",
    "10 14 02 01 08",
    "10 14 01 05 01", "00", "0C", "18",
  ])
  func `a command without a case of its own is unknown as a whole`(text: String) {
    let bytes = hex(text)
    for cut in 0...bytes.count {
      let found = tokens(of: [Array(bytes[..<cut]), Array(bytes[cut...]) + hex("5A 0A")])
      #expect(
        found.tokens == [.unknown(bytes), .command(.text([0x5A])), .command(.lineFeed)], "cut at \(cut)")
    }
  }

  @Test(
    arguments: [
      ("1B 01", ["1B", "01"]), ("1D 1B 40", ["1D"]), ("1B 7E", ["1B 7E"]), ("1C 7A", ["1C 7A"]),
      ("1D F0", ["1D F0"]),
      ("10 41", ["10"]), ("10 14 08 01 04", ["10 14 08", "01", "04"]), ("1D 38 4D", ["1D 38"]),
      ("1D 76 31", ["1D 76"]),
      ("1B 2A 07 01 00", ["1B 2A 07", "01", "00"]), ("1D 6B 20", ["1D 6B 20"]), ("1D 52 41", ["1D 52"]),
    ] as [(String, [String])])
  func `bytes that begin nothing known are unknown, and no more than those`(text: String, unknown: [String]) {
    let found = tokens(of: [hex(text) + hex("1B 40")]).tokens
    #expect(
      found.compactMap { if case .unknown(let bytes) = $0 { bytes } else { nil } } == unknown.map { hex($0) })
    #expect(found.last == .command(.initialise))
  }

  @Test func `data a bar code cannot have are printed as text`() {
    #expect(
      tokens(of: [hex("1D 6B 49 04 41 30 32 33 0A")]).tokens
        == [.unknown(hex("1D 6B 49 04")), .command(.text(hex("41 30 32 33"))), .command(.lineFeed)])
    #expect(
      tokens(of: [hex("1D 6B 02 41 00")]).tokens
        == [.unknown(hex("1D 6B 02")), .command(.text([0x41])), .unknown([0])])
    let endless = tokens(of: [hex("1D 6B 02 30×300")]).tokens
    #expect(endless == [.unknown(hex("1D 6B 02")), .command(.text(hex("30×300")))])
  }

  @Test func `commands inside a picture are dots`() throws {
    let dots = try ESCPOSCommand.encode([.realTimeStatus(1), .cut(.full), .initialise, .lineFeed])
    let picture = ESCPOSCommand.rasterImage(scale: .normal, rowBytes: dots.count, rows: 1, dots: dots)
    #expect(tokens(of: [try picture.encode() + [0x0A]]).tokens == [.command(picture), .command(.lineFeed)])
  }

  @Test func `a command with more data than allowed is passed over in bounded memory`() {
    var interpreter = ESCPOSInterpreter(maximumCommand: 1000)
    interpreter.feed(hex("1D 76 30 00 FF 00 FF 00"))
    #expect(interpreter.next() == .oversized(head: hex("1D 76 30 00 FF 00 FF 00"), total: 8 + 255 * 255))
    for _ in 0..<255 {
      interpreter.feed(Array(repeating: 0x41, count: 255))
      #expect(interpreter.next() == nil && interpreter.pending == 0)
    }
    interpreter.feed(hex("42 0A"))
    #expect(interpreter.next() == .command(.text([0x42])))
    let largest = tokens(of: [hex("1D 38 4C FF FF FF FF")]).tokens
    #expect(largest == [.oversized(head: hex("1D 38 4C FF FF FF FF"), total: 7 + 0xFFFF_FFFF)])
    interpreter.feed(hex("1D 76 30 00 FF 00 FF 00 41"))
    _ = interpreter.next()
    interpreter.reset()
    interpreter.feed([0x0A])
    #expect(interpreter.next() == .command(.lineFeed))
  }

  @Test func `any 200 000 pieces are read in bounded memory, and what is read writes itself again`() throws {
    var random = SeededRandom(seed: 3)
    var interpreter = ESCPOSInterpreter(maximumCommand: 64)
    let leads: [UInt8] = [0x1B, 0x1D, 0x1C, 0x10, 0x28, 0x6B, 0x56, 0x00, 0x01, 0x41]
    var counts = (command: 0, unknown: 0, oversized: 0)
    for _ in 0..<200_000 {
      interpreter.feed(random.bytes(Int(random.next() % 8), favouring: leads))
      while let token = interpreter.next() {
        switch token {
        case .command(let command):
          counts.command += 1
          if case .text = command { continue }
          if tokens(of: [try command.encode()]).tokens != [token] {
            Issue.record("not read as written: \(token)")
          }
        case .unknown(let bytes):
          counts.unknown += 1
          if bytes.isEmpty { Issue.record("an empty token") }
        case .oversized(_, let total):
          counts.oversized += 1
          if total <= 64 { Issue.record("not oversized: \(total)") }
          // Otherwise most of the run would be passed over.
          interpreter.reset()
        }
      }
      // An unfinished bar code of form A is the longest thing held: 3 + 256 bytes.
      if interpreter.pending > 260 { Issue.record("\(interpreter.pending) bytes held") }
    }
    #expect(counts.command > 100_000 && counts.unknown > 50_000 && counts.oversized > 1_000)
  }
}

@Suite struct ESCPOSRealTimeScannerTests {
  private static let realTime: [ESCPOSCommand] = [
    .realTimeStatus(1), .realTimeStatus(20), .realTimeRecover(clearingBuffers: true),
    .realTimePulse(.pin2, time: 1),
    .realTimeClearBuffer,
  ]

  @Test func `real-time commands are found inside a picture, split anywhere`() throws {
    let dots = try ESCPOSCommand.encode(Self.realTime)
    let bytes = try ESCPOSCommand.rasterImage(scale: .normal, rowBytes: dots.count, rows: 1, dots: dots)
      .encode()
    for cut in 0...bytes.count {
      var scanner = ESCPOSRealTimeScanner()
      #expect(scanner.feed(Array(bytes[..<cut])) + scanner.feed(Array(bytes[cut...])) == Self.realTime)
    }
    var scanner = ESCPOSRealTimeScanner()
    #expect(bytes.flatMap { scanner.feed([$0]) } == Self.realTime)
  }

  @Test func `a broken sequence hides nothing behind it`() {
    var scanner = ESCPOSRealTimeScanner()
    #expect(scanner.feed(hex("10 14 08 01 03 10 04 02")) == [.realTimeStatus(2)])
    #expect(scanner.feed(hex("10 10 10 04 03")) == [.realTimeStatus(3)])
    #expect(scanner.feed(hex("10 05 10 04 04")) == [.realTimeStatus(4)])
    #expect(scanner.feed(hex("10 14 01 07 10 04 01")) == [.realTimeStatus(1)])
    #expect(scanner.feed(hex("1C C0 18 10 14 1A")) == [])
  }

  @Test(arguments: 0..<50 as Range<UInt64>)
  func `what is found does not depend on how the stream is cut`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let stream = random.bytes(2_000, favouring: [0x10, 0x04, 0x14, 0x05, 0x01, 0x08])
    var whole = ESCPOSRealTimeScanner()
    var cut = ESCPOSRealTimeScanner()
    let found = whole.feed(stream)
    #expect(found.count > 4)
    #expect(random.pieces(of: stream, most: 5).flatMap { cut.feed($0) } == found)
  }
}
