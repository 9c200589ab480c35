import Codecs
import TestKit
import Testing

/// All that a parser says until it needs more.
func drain<Frame>(_ parser: inout SDTFrameParser<Frame>) -> (frames: [Frame], errors: [SDTFrameError]) {
  var frames: [Frame] = []
  var errors: [SDTFrameError] = []
  while true {
    switch parser.next() {
    case .frame(let frame): frames.append(frame)
    case .error(let error): errors.append(error)
    case .needMore: return (frames, errors)
    }
  }
}

private func parse<Frame: SDTFrame>(
  _ type: Frame.Type, _ pieces: [[UInt8]]
) -> (frames: [Frame], errors: [SDTFrameError], pending: Int) {
  var parser = SDTFrameParser<Frame>()
  var frames: [Frame] = []
  var errors: [SDTFrameError] = []
  for piece in pieces {
    parser.feed(piece)
    let found = drain(&parser)
    frames += found.frames
    errors += found.errors
  }
  return (frames, errors, parser.pending)
}

@Suite struct SDTCommandTests {
  /// facts/idcard.md 3 and 8.
  static let frames: [(SDTCommand, String)] = [
    (.status, "AA AA AA 96 69 00 03 11 FF ED"),
    (.reset, "AA AA AA 96 69 00 03 10 FF EC"),
    (.samID, "AA AA AA 96 69 00 03 12 FF EE"),
    (.find, "AA AA AA 96 69 00 03 20 01 22"),
    (.select, "AA AA AA 96 69 00 03 20 02 21"),
    (.readText, "AA AA AA 96 69 00 03 30 01 32"),
    (.readTextAndFingerprint, "AA AA AA 96 69 00 03 30 10 23"),
    (.readAdditionalAddress, "AA AA AA 96 69 00 03 30 03 30"),
    (.readAdditionalAddressAlternative, "AA AA AA 96 69 00 03 30 02 31"),
    (.readCardNumber, "AA AA AA 96 69 00 03 30 05 36"),
    (.setBaud(.bps115200), "AA AA AA 96 69 00 03 60 00 63"),
    (.setBaud(.bps57600), "AA AA AA 96 69 00 03 60 01 62"),
    (.setBaud(.bps38400), "AA AA AA 96 69 00 03 60 02 61"),
    (.setBaud(.bps19200), "AA AA AA 96 69 00 03 60 03 60"),
    (.setBaud(.bps9600), "AA AA AA 96 69 00 03 60 04 67"),
    (.setMaximumRF(0x50), "AA AA AA 96 69 00 04 61 FF 50 CA"),
    (.setMaximumRF(24), "AA AA AA 96 69 00 04 61 FF 18 82"),
    (.setMaximumRF(255), "AA AA AA 96 69 00 04 61 FF FF 65"),
  ]

  @Test(arguments: frames)
  func `a command has the bytes of the facts and is read back from them`(command: SDTCommand, text: String) {
    #expect(command.encode() == hex(text))
    let found = parse(SDTRequest.self, [hex(text)])
    #expect(found.frames.map { SDTCommand($0) } == [command])
    #expect(found.errors == [])
  }

  @Test(
    arguments: [(0x12, 0x00), (0x20, 0x03), (0x30, 0x00), (0x60, 0x05), (0x61, 0xFF), (0x01, 0xFF)]
      as [(UInt8, UInt8)])
  func `a request that no source names is no command`(command: UInt8, parameter: UInt8) {
    #expect(SDTCommand(SDTRequest(command: command, parameter: parameter)) == nil)
  }

  @Test func `data where none belongs make a request no command`() throws {
    #expect(SDTCommand(try #require(SDTRequest(command: 0x11, parameter: 0xFF, data: [0]))) == nil)
    #expect(SDTCommand(try #require(SDTRequest(command: 0x61, parameter: 0xFF, data: [24, 0]))) == nil)
  }

  @Test func `only find succeeds with a status of its own`() {
    for (command, _) in Self.frames { #expect(command.success == (command == .find ? .found : .ok)) }
    #expect(SDTBaud.allCases.map(\.bitsPerSecond) == [115_200, 57_600, 38_400, 19_200, 9_600])
  }
}

@Suite struct SDTReplyTests {
  /// facts/idcard.md 3 and 8: replies without data.
  static let replies: [(SDTStatus, String)] = [
    (.ok, "90 94"), (.notFound, "80 84"), (.selectFailed, "81 85"), (.readFailed, "41 45"),
    (.checksumWrong, "10 14"), (.lengthWrong, "11 15"), (.commandWrong, "21 25"), (.notFoundYet, "34 30"),
    (.noItem, "91 95"), (.selfTestFailed, "60 64"), (.moduleUnauthorised, "66 62"), (.unknownCard, "40 44"),
    (.cardRejectedModule, "31 35"), (.moduleRejectedCard, "32 36"),
  ]

  @Test(arguments: replies)
  func `a status has the bytes of the facts and is read back from them`(status: SDTStatus, tail: String) {
    let bytes = hex("AA AA AA 96 69 00 04 00 00 " + tail)
    #expect(SDTReply(status).encode() == bytes)
    #expect(parse(SDTReply.self, [bytes]).frames == [SDTReply(status)])
  }

  @Test func `find and select give their numbers`() throws {
    let found = try #require(SDTReply(.found, data: [0, 0, 0, 0]))
    #expect(found.encode() == hex("AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97"))
    let selected = try #require(SDTReply(.ok, data: Array(repeating: 0, count: 8)))
    #expect(selected.encode() == hex("AA AA AA 96 69 00 0C 00 00 90 00×8 9C"))
  }

  @Test func `every code stays itself, known or not`() {
    for code in UInt8.min...UInt8.max { #expect(SDTStatus(code: code).code == code) }
    #expect(SDTStatus.known.count == 23)
    #expect(SDTStatus(code: 0x77) == .unknown(0x77))
    #expect(!SDTStatus.known.contains { if case .unknown = $0 { true } else { false } })
  }

  @Test func `arbitrary first status bytes are kept`() {
    let bytes = hex("AA AA AA 96 69 00 04 12 34 31 13")
    let reply = parse(SDTReply.self, [bytes]).frames.first
    #expect(reply?.sw1 == 0x12 && reply?.sw2 == 0x34 && reply?.status == .cardRejectedModule)
    #expect(reply?.encode() == bytes)
  }

  @Test func `a reply cannot be longer than hosts take, and its data do not show`() throws {
    #expect(SDTReply(.ok, data: Array(repeating: 0, count: 4085))?.encode().count == 4096)
    #expect(SDTReply(.ok, data: Array(repeating: 0, count: 4086)) == nil)
    #expect(
      SDTRequest(command: 1, parameter: 2, data: Array(repeating: 0, count: 4086))?.encode().count == 4096)
    #expect(SDTRequest(command: 1, parameter: 2, data: Array(repeating: 0, count: 4087)) == nil)
    let reply = try #require(SDTReply(.ok, data: [201, 202]))
    var parser = SDTReplyParser()
    parser.feed(reply.encode().dropLast())
    var shown = "\(reply) \(parser) \(ByteReader([201]))"
    dump(reply, to: &shown)
    dump(parser, to: &shown)
    #expect(!shown.contains("201"))
  }

  @Test func `the module's number is read as it is printed`() throws {
    let bytes = hex("AA AA AA 96 69 00 14 00 00 90 05 00 01 00 09 B8 32 01 05 BE 12 00 AD C5 B1 11 63")
    let reply = try #require(parse(SDTReply.self, [bytes]).frames.first)
    let id = try #require(SAMID(reply.data.reveal()))
    #expect(id.description == "05.01-20101129-0001228293-0296863149")
    #expect(SDTReply(.ok, data: id.data)?.encode() == bytes)
    #expect(
      SAMID(family: 12, type: 345, date: 1, serial: .max, secondSerial: 0).description
        == "12.345-00000001-4294967295-0000000000")
    #expect(SAMID(Array(repeating: 0, count: 15)) == nil)
  }
}

@Suite struct SDTFrameParserTests {
  private static func randomRequest(_ random: inout SeededRandom) -> SDTRequest {
    let data = random.bytes(Int.random(in: 0...24, using: &random), favouring: [0xAA, 0x96, 0x69, 0])
    return SDTRequest(content: [UInt8.random(in: 0...255, using: &random), 0xAA] + data)
      ?? SDTRequest(command: 0, parameter: 0)
  }

  @Test func `a frame split anywhere is read`() {
    let bytes = SDTCommand.setMaximumRF(80).encode()
    for cut in 0...bytes.count {
      let found = parse(SDTRequest.self, [Array(bytes[..<cut]), Array(bytes[cut...])])
      #expect(
        found.frames.map { SDTCommand($0) } == [.setMaximumRF(80)] && found.errors == [] && found.pending == 0
      )
    }
    #expect(parse(SDTRequest.self, bytes.map { [$0] }).frames.count == 1)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func `frames joined, split anywhere and with garbage before them are all read`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var stream: [UInt8] = []
    var sent: [SDTRequest] = []
    var garbage = 0
    for _ in 0..<8 {
      var noise = random.bytes(Int.random(in: 0...64, using: &random))
      if noise.last == 0xAA { noise.removeLast() }
      garbage += noise.count
      let request = Self.randomRequest(&random)
      sent.append(request)
      stream += noise + request.encode()
    }
    let found = parse(SDTRequest.self, random.pieces(of: stream, most: 40))
    #expect(found.frames == sent)
    #expect(found.errors.reduce(0) { $0 + $1.dropped } == garbage)
    #expect(found.errors.allSatisfy { if case .noise = $0 { true } else { false } })
    #expect(found.pending == 0)
  }

  /// The longest reply of a reader, split at every place, one piece after the other.
  @Test func `a reply with photo and fingerprints is read wherever it is split`() throws {
    var random = SeededRandom(seed: 3)
    let reply = try #require(SDTReply(.ok, data: random.bytes(2310, favouring: [0xAA, 0x96, 0x69])))
    let bytes = reply.encode()
    #expect(bytes.count == 2321)
    for cut in 0...bytes.count {
      var parser = SDTReplyParser()
      parser.feed(Array(bytes[..<cut]))
      if cut < bytes.count { #expect(parser.next() == .needMore) }
      parser.feed(Array(bytes[cut...]))
      if parser.next() != .frame(reply) { Issue.record("not read when split at \(cut)") }
    }
  }

  /// Garbage that may hold preambles and lengths of its own: what it swallows comes out again when it is given up.
  @Test(arguments: 0..<400 as Range<UInt64>)
  func `a frame behind any garbage is read at the latest when the garbage is given up`(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let count = [0, 4, 8, 16, 70, 1284].randomElement(using: &random) ?? 0
    let reply = try #require(SDTReply(.ok, data: random.bytes(count)))
    let garbage = random.bytes(
      Int.random(in: 0...64, using: &random), favouring: [0xAA, 0xAA, 0x96, 0x69, 0])
    let stream = garbage + reply.encode()
    var parser = SDTReplyParser()
    var frames: [SDTReply] = []
    var told = 0
    func drain() {
      while true {
        let before = parser.pending
        switch parser.next() {
        case .needMore: return
        case .frame(let frame):
          frames.append(frame)
          told += before - parser.pending
        case .error(let error):
          told += error.dropped
          switch error {
          case .noise: break
          case .length(let declared, _): #expect(!(4...4089).contains(declared))
          case .checksum(let expected, let found, _): #expect(expected != found)
          }
        }
      }
    }
    for piece in random.pieces(of: stream, most: 30) {
      parser.feed(piece)
      drain()
    }
    while parser.pending > 0 {
      told += parser.giveUp()
      drain()
    }
    // Garbage that makes a whole frame with a right check byte is one, and none of these seeds has such.
    #expect(frames == [reply], "\(hexText(garbage))")
    #expect(told == stream.count)
  }

  @Test(arguments: [
    ("AA AA 96 69", 0), ("AA AA AA 96 69", 0), ("AA AA AA AA 96 69", 0), ("AA AA AA AA AA AA 96 69", 2),
  ])
  func `a lost or an extra leading AA costs nothing, more are noise`(preamble: String, noise: Int) {
    let found = parse(SDTReply.self, [hex(preamble) + hex("00 04 00 00 90 94")])
    #expect(found.frames == [SDTReply(.ok)])
    #expect(found.errors.reduce(0) { $0 + $1.dropped } == noise)
  }

  @Test func `a preamble that lost two bytes is noise`() {
    let found = parse(SDTReply.self, [hex("AA 96 69 00 04 00 00 90 94") + SDTReply(.noItem).encode()])
    #expect(found.frames == [SDTReply(.noItem)])
    #expect(found.errors == [.noise(dropped: 9)])
  }

  @Test func `a wrong check byte is told with what was right`() {
    var bytes = SDTReply(.ok).encode()
    bytes[10] = 0x95
    let found = parse(SDTReply.self, [bytes + SDTReply(.notFound).encode()])
    #expect(found.errors == [.checksum(expected: 0x94, found: 0x95, dropped: 11)])
    #expect(found.frames == [SDTReply(.notFound)])
  }

  @Test(arguments: [0, 1, 2, 3, 4090, 0xAAAA, 0xFFFF])
  func `a length that no reply has is told`(length: Int) {
    let bytes = SDTFraming.preamble + [UInt8(length >> 8), UInt8(length & 0xFF)]
    let found = parse(SDTReply.self, [bytes])
    #expect(found.errors.first == .length(declared: length, dropped: 5))
    let joined = parse(SDTReply.self, [bytes + SDTReply(.ok).encode()])
    #expect(joined.frames == [SDTReply(.ok)])
  }

  @Test func `requests may be one byte shorter than replies, and both as long as vendors take`() throws {
    let shortest = hex("AA AA AA 96 69 00 03 11 FF ED")
    #expect(parse(SDTRequest.self, [shortest]).frames.count == 1)
    #expect(parse(SDTReply.self, [shortest]).errors.first == .length(declared: 3, dropped: 5))
    let longest = try #require(SDTReply(.ok, data: Array(repeating: 0xAA, count: 4085)))
    #expect(parse(SDTReply.self, [longest.encode()]).frames == [longest])
  }

  @Test func `a good frame behind a cut one is found`() {
    let cut = hex("AA AA AA 96 69 00 0C 00 00 90 00×8 9C")
    let good = hex("AA AA AA 96 69 00 14 00 00 90 05 00 01 00 09 B8 32 01 05 BE 12 00 AD C5 B1 11 63")
    for length in 0..<cut.count {
      var parser = SDTReplyParser()
      parser.feed(Array(cut[..<length]) + good)
      var frames = drain(&parser).frames
      if length == 6 {
        // Cut inside the length, the next frame's AA completes it to 170: only time tells that the rest will not come.
        #expect(frames.isEmpty)
        #expect(parser.giveUp() == 5)
        frames = drain(&parser).frames
      }
      #expect(frames.map { $0.encode() } == [good], "cut after \(length) bytes")
    }
  }

  @Test func `giving up a frame frees what came inside it`() throws {
    var parser = SDTReplyParser()
    let long = try #require(SDTReply(.ok, data: Array(repeating: 1, count: 1000))).encode()
    parser.feed(Array(long[..<20]) + SDTReply(.noItem).encode())
    #expect(drain(&parser).frames == [])
    #expect(parser.giveUp() == 5)
    #expect(drain(&parser).frames == [SDTReply(.noItem)])
    #expect(parser.pending == 0 && parser.giveUp() == 0)
    parser.feed(Array(long[..<20]))
    parser.reset()
    #expect(parser.pending == 0)
  }

  @Test func `any 200 000 pieces are taken without losing count of a byte`() {
    var random = SeededRandom(seed: 7)
    var parser = SDTReplyParser()
    var fed = 0
    var taken = 0
    var frames = 0
    var errors = 0
    for _ in 0..<200_000 {
      var piece: [UInt8]
      switch random.next() % 4 {
      case 0: piece = random.bytes(Int(random.next() % 8), favouring: [0xAA, 0x96, 0x69, 0x00, 0x04])
      case 1: piece = SDTReply(SDTStatus(code: UInt8(random.next() & 0xFF))).encode()
      case 2:
        piece = SDTReply(.ok).encode()
        piece[Int(random.next() % 11)] ^= UInt8(random.next() & 0xFF)
      default: piece = Array(SDTReply(.found).encode().prefix(Int(random.next() % 11)))
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
          taken += frame.content.count + 8
        }
      }
      if parser.pending > 64 { taken += parser.giveUp() }
    }
    #expect(frames > 40_000 && errors > 40_000)
    // A frame's preamble may have been one AA shorter or longer than written.
    #expect(abs(fed - taken - parser.pending) <= frames)
  }
}
