import Codecs
import TestKit
import Testing

private func parse(
  _ pieces: [[UInt8]], lengths: ClosedRange<UInt8> = 2...255
) -> (frames: [EvaluatorBusFrame], errors: [EvaluatorBusError], pending: Int) {
  var parser = EvaluatorBusParser(lengths: lengths)
  var frames: [EvaluatorBusFrame] = []
  var errors: [EvaluatorBusError] = []
  for piece in pieces {
    parser.feed(piece)
    var more = true
    while more {
      switch parser.next() {
      case .frame(let frame): frames.append(frame)
      case .error(let error): errors.append(error)
      case .needMore: more = false
      }
    }
  }
  return (frames, errors, parser.pending)
}

private func frame(_ text: String) -> EvaluatorBusFrame? { parse([hex(text)]).frames.first }

@Suite struct EvaluatorBusCommandTests {
  /// The first is the worked example of facts/devices.md C4a, the others follow its rule.
  static let commands: [(EvaluatorBusCommand, String)] = [
    (
      .plate(waiting: .blank, ticket: EvaluatorBusPlaces(23) ?? .blank),
      "FF 68 08 08 68 01 02 0A 0A 0A 00 02 03 26 16"
    ),
    (
      .plate(waiting: EvaluatorBusPlaces(999) ?? .blank, ticket: EvaluatorBusPlaces(107) ?? .blank),
      "FF 68 08 08 68 01 02 09 09 09 01 00 07 26 16"
    ),
    (.stars(.one), "FF 68 03 03 68 01 02 01 04 16"),
    (.stars(.five), "FF 68 03 03 68 01 02 05 08 16"),
    (.startRating, "FF 68 03 03 68 01 01 0B 0D 16"),
    (.beep, "FF 68 02 02 68 01 03 04 16"),
  ]

  @Test(arguments: commands)
  func `a command has the bytes of the rule and is read back from them`(
    command: EvaluatorBusCommand, text: String
  ) throws {
    #expect(command.frame(to: 1).encode() == hex(text))
    let found = parse([hex(text)], lengths: EvaluatorBusParser.fromHost)
    #expect(found.errors == [])
    #expect(found.frames.map { EvaluatorBusCommand($0) } == [command])
  }

  @Test func `a number plate shows three places`() throws {
    #expect(EvaluatorBusPlaces(7)?.text == "007" && EvaluatorBusPlaces.blank.text == "   ")
    #expect(EvaluatorBusPlaces(bytes: [0x0A, 0x0A, 5])?.text == "  5")
    #expect(EvaluatorBusPlaces(1000) == nil && EvaluatorBusPlaces(-1) == nil)
    #expect(EvaluatorBusPlaces(bytes: [0x0B, 0, 0]) == nil && EvaluatorBusPlaces(bytes: [0, 0]) == nil)
  }

  @Test(arguments: [
    "FF 68 03 03 68 01 02 06 09 16", "FF 68 03 03 68 01 01 03 05 16", "FF 68 03 03 68 01 03 00 04 16",
    "FF 68 08 08 68 01 02 0B 0A 0A 00 02 03 27 16",
  ])
  func `what no source names is no command`(text: String) throws {
    #expect(EvaluatorBusCommand(try #require(frame(text))) == nil)
  }
}

@Suite struct EvaluatorBusMessageTests {
  @Test(arguments: EvaluatorBusKey.allCases)
  func `a key is read and acknowledged by its own frame`(key: EvaluatorBusKey) throws {
    let sent = try #require(EvaluatorBusFrame(address: 3, function: 0x01, data: [key.rawValue]))
    let read = try #require(parse([sent.encode()], lengths: EvaluatorBusParser.fromDevice).frames.first)
    #expect(read.message == .key(key, before: []))
    #expect(read.acknowledgement.encode() == sent.encode())
  }

  @Test(arguments: [("06 0F", EvaluatorBusDigit.abandon), ("00 0F", .park), ("03 0F", .callParked)])
  func `a digit before confirm is told`(data: String, digit: EvaluatorBusDigit) throws {
    let frame = try #require(EvaluatorBusFrame(address: 1, function: 0x05, data: hex(data)))
    guard case .key(.confirm, let before) = frame.message else {
      Issue.record("no confirm: \(frame.message)")
      return
    }
    #expect(before.compactMap { EvaluatorBusDigit(rawValue: $0) } == [digit])
  }

  @Test(arguments: 0...3 as ClosedRange<UInt8>)
  func `a rating is acknowledged with function 01 and the check byte less 10`(key: UInt8) throws {
    let bytes = hex("FF 68 03 03 68 02 11") + [key, 0x13 + key, 0x16]
    let frame = try #require(parse([bytes], lengths: EvaluatorBusParser.fromDevice).frames.first)
    #expect(frame.message == .rating(key: key))
    #expect(frame == .rating(address: 2, key: key))
    #expect(frame.acknowledgement.encode() == hex("FF 68 03 03 68 02 01") + [key, 0x03 + key, 0x16])
  }

  @Test func `what no source names is unrecognised, never a level`() throws {
    #expect(EvaluatorBusFrame.rating(address: 1, key: 4).message == .unrecognised)
    #expect(try #require(EvaluatorBusFrame(address: 1, function: 0x11, data: [])).message == .unrecognised)
    #expect(
      try #require(EvaluatorBusFrame(address: 1, function: 0x11, data: [1, 2])).message == .unrecognised)
    #expect(try #require(EvaluatorBusFrame(address: 1, function: 0x01, data: [])).message == .unrecognised)
    #expect(
      try #require(EvaluatorBusFrame(address: 1, function: 0x01, data: [0x14])).message == .unrecognised)
  }
}

@Suite struct EvaluatorBusParserTests {
  private static let rating = hex("FF 68 03 03 68 02 11 01 14 16")

  @Test func `a frame split anywhere is read`() {
    for cut in 0...Self.rating.count {
      let found = parse([Array(Self.rating[..<cut]), Array(Self.rating[cut...])])
      #expect(found.frames == [.rating(address: 2, key: 1)] && found.errors == [] && found.pending == 0)
    }
    #expect(parse(Self.rating.map { [$0] }).frames.count == 1)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func `frames joined, split anywhere and with garbage before them are all read`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var stream: [UInt8] = []
    var sent: [EvaluatorBusFrame] = []
    var garbage = 0
    for _ in 0..<8 {
      let noise = random.bytes(Int.random(in: 0...64, using: &random)).filter { $0 != 0xFF }
      garbage += noise.count
      let data = random.bytes(Int.random(in: 0...20, using: &random), favouring: [0xFF, 0x68, 0x16])
      let frame = try #require(EvaluatorBusFrame(address: data.first ?? 9, function: 0x11, data: data))
      sent.append(frame)
      stream += noise + frame.encode()
    }
    let found = parse(random.pieces(of: stream, most: 30))
    #expect(found.frames == sent)
    #expect(found.errors.reduce(0) { $0 + $1.dropped } == garbage)
    #expect(found.pending == 0)
  }

  @Test(arguments: [
    ("FF 68 03 04 68 02 11 01 14 16", EvaluatorBusError.lengthsDiffer(3, 4, dropped: 2)),
    ("FF 68 02 02 68 01 03 04 16", .length(2, dropped: 2)),
    ("FF 68 06 06 68 01 02 01 02 03 04 0D 16", .length(6, dropped: 2)),
    ("FF 68 03 03 69 02 11 01 14 16", .head(found: 0x69, dropped: 2)),
    ("FF 68 03 03 68 02 11 01 15 16", .checksum(expected: 0x14, found: 0x15, dropped: 10)),
    ("FF 68 03 03 68 02 11 01 14 17", .tail(found: 0x17, dropped: 9)),
  ])
  func `each thing wrong is told, and the next frame is read`(text: String, error: EvaluatorBusError) {
    let found = parse([hex(text) + Self.rating], lengths: EvaluatorBusParser.fromDevice)
    #expect(found.errors.first == error)
    #expect(found.frames == [.rating(address: 2, key: 1)])
    #expect(found.errors.reduce(0) { $0 + $1.dropped } == hex(text).count)
  }

  @Test func `a good frame behind a cut one is found`() {
    let cut = hex("FF 68 05 05 68 01 05 06 06 0F 21 16")
    for length in 0..<cut.count {
      let found = parse(
        [Array(cut[..<length]), Self.rating, Self.rating], lengths: EvaluatorBusParser.fromDevice)
      #expect(found.frames.last == .rating(address: 2, key: 1), "cut after \(length) bytes")
      #expect(found.frames.count == 2, "cut after \(length) bytes")
    }
  }

  @Test func `giving up a frame frees what came inside it`() {
    var parser = EvaluatorBusParser()
    parser.feed(hex("FF 68 05 05 68 01") + Array(Self.rating.prefix(5)))
    #expect(parser.next() == .needMore)
    #expect(parser.giveUp() == 1)
    parser.feed(Array(Self.rating.dropFirst(5)))
    #expect(parser.next() == .error(.noise(dropped: 5)))
    #expect(parser.next() == .frame(.rating(address: 2, key: 1)))
    #expect(parser.giveUp() == 0 && parser.pending == 0)
    parser.feed([0xFF])
    parser.reset()
    #expect(parser.pending == 0)
  }

  @Test func `a frame holds at most 253 bytes of data`() throws {
    let most = try #require(EvaluatorBusFrame(address: 1, function: 2, data: Array(repeating: 7, count: 253)))
    #expect(parse([most.encode()]).frames == [most])
    #expect(EvaluatorBusFrame(address: 1, function: 2, data: Array(repeating: 7, count: 254)) == nil)
  }

  @Test func `any 200 000 pieces are taken without losing count of a byte`() {
    var random = SeededRandom(seed: 5)
    var parser = EvaluatorBusParser()
    var fed = 0
    var taken = 0
    var frames = 0
    var errors = 0
    for _ in 0..<200_000 {
      var piece: [UInt8]
      switch random.next() % 4 {
      case 0: piece = random.bytes(Int(random.next() % 8), favouring: [0xFF, 0x68, 0x03, 0x16])
      case 1: piece = EvaluatorBusFrame.rating(address: 1, key: UInt8(random.next() % 4)).encode()
      case 2:
        piece = Self.rating
        piece[Int(random.next() % 10)] ^= UInt8(random.next() & 0xFF)
      default: piece = Array(Self.rating.prefix(Int(random.next() % 10)))
      }
      parser.feed(piece)
      fed += piece.count
      var more = true
      while more {
        switch parser.next() {
        case .needMore: more = false
        case .error(let error):
          errors += 1
          taken += error.dropped
        case .frame(let frame):
          frames += 1
          taken += frame.encode().count
        }
      }
      if parser.pending > 12 { Issue.record("\(parser.pending) bytes held") }
      if random.next() % 64 == 0 { taken += parser.giveUp() }
    }
    #expect(frames > 40_000 && errors > 40_000)
    #expect(fed == taken + parser.pending)
  }
}
