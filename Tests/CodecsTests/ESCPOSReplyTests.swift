import Codecs
import TestKit
import Testing

private func read(_ pieces: [[UInt8]], fullStatus: Bool = false) -> [ESCPOSReply] {
  var parser = ESCPOSReplyParser(fullStatus: fullStatus)
  var found: [ESCPOSReply] = []
  for piece in pieces {
    parser.feed(piece)
    while let reply = parser.next() { found.append(reply) }
  }
  return found
}

private func report(_ text: String) -> ESCPOSReply {
  ESCPOSAutomaticReport(bytes: hex(text)).map { .automaticStatus($0) } ?? .unexpected([])
}

@Suite struct ESCPOSReplyTests {
  static let replies: [(ESCPOSReply, String)] = [
    (.realTimeStatus(0x12), "12"), (.realTimeStatus(0x16), "16"), (.realTimeStatus(0x7E), "7E"),
    (report("10 00 00 0F"), "10 00 00 0F"), (report("3C 6F 0F 0F"), "3C 6F 0F 0F"),
    (.transmitted(0x00), "00"), (.transmitted(0x0C), "0C"), (.transmitted(0x20), "20"),
    (.information(Array("TM-T88".utf8)), "5F 54 4D 2D 54 38 38 00"),
    (.printComplete(ESCPOSVectors.echo), "37 22 41 30 32 33 00"),
    (.offlineCauses([0x41, 0x44]), "37 23 41 44 00"),
    (.bufferCleared, "37 25 00"),
    (.qrSize(width: 210, height: 210, printable: true), "37 36 32 31 30 1F 32 31 30 1F 31 1F 30 00"),
    (.qrSize(width: 7, height: 99_999, printable: false), "37 36 37 1F 39 39 39 39 39 1F 31 1F 31 00"),
    (.block(identifier: 0x41, data: [0x42]), "37 41 42 00"),
    (.block(identifier: 0x22, data: [0x42]), "37 22 42 00"),
    (.block(identifier: 0x36, data: [0x30]), "37 36 30 00"),
    (.flow(accepts: true), "11"), (.flow(accepts: false), "13"),
    (.unexpected([0x80]), "80"), (.unexpected([0x14 | 0x01]), "15"), (.unexpected([0x37, 0x00]), "37 00"),
  ]

  @Test(arguments: replies)
  func `a reply is read from its bytes, split anywhere, and written again`(reply: ESCPOSReply, text: String) {
    let bytes = hex(text)
    #expect(reply.encode() == bytes)
    for cut in 0...bytes.count {
      #expect(read([Array(bytes[..<cut]), Array(bytes[cut...])]) == [reply], "cut at \(cut)")
    }
  }

  @Test(arguments: 0..<100 as Range<UInt64>)
  func `replies mixed and cut in any way are told apart`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let sent = (0..<60).map { _ in Self.replies[Int(random.next() % UInt64(Self.replies.count))].0 }
    #expect(read(random.pieces(of: sent.flatMap { $0.encode() }, most: 9)) == sent)
  }

  @Test func `XOFF inside a report or a block is flow control`() {
    #expect(read([hex("18 13 20 00 00")]) == [.flow(accepts: false), report("18 20 00 00")])
    #expect(
      read([hex("37 22 41 13 30 32 11 33 00")])
        == [.flow(accepts: false), .flow(accepts: true), .printComplete(ESCPOSVectors.echo)])
  }

  @Test func `a report that breaks off does not swallow what follows`() {
    #expect(
      read([hex("10 00 12 12")]) == [.unexpected(hex("10 00")), .realTimeStatus(0x12), .realTimeStatus(0x12)])
    #expect(read([hex("10 10 00 00 00")]) == [.unexpected([0x10]), report("10 00 00 00")])
  }

  @Test func `full status is read where the printer has it`() {
    #expect(
      read([hex("10 0F 20 00 13 80 12")], fullStatus: true) == [
        .fullStatus(hex("20 00 13 80")), .realTimeStatus(0x12),
      ])
    #expect(
      read(hex("10 0F 20 00 00 80").map { [$0] }, fullStatus: true) == [.fullStatus(hex("20 00 00 80"))])
    #expect(read([hex("10 00 00 0F")], fullStatus: true) == [report("10 00 00 0F")])
    #expect(read([hex("18 0F 00 0F")], fullStatus: true) == [report("18 0F 00 0F")])
    #expect(read([hex("10 0F 00 0F")]) == [report("10 0F 00 0F")])
    #expect(ESCPOSReply.fullStatus([1, 2, 3, 4]).encode() == hex("10 0F 01 02 03 04"))
  }

  @Test func `a block without an end is given up, by length or by the host`() {
    let found = read([hex("37 41×300 00")])
    #expect(found.first == .unexpected(hex("37 41×256")))
    var parser = ESCPOSReplyParser()
    parser.feed(hex("37 22 41"))
    #expect(parser.next() == nil)
    #expect(parser.giveUp() == hex("37 22 41"))
    #expect(parser.giveUp() == [])
    parser.feed([0x12])
    #expect(parser.next() == .realTimeStatus(0x12))
    parser.feed(hex("10 00"))
    #expect(parser.next() == nil)
    parser.reset()
    parser.feed([0x12])
    #expect(parser.next() == .realTimeStatus(0x12))
  }

  @Test(arguments: [false, true])
  func `any 200 000 pieces are read, and no byte is lost`(fullStatus: Bool) {
    var random = SeededRandom(seed: 23)
    var parser = ESCPOSReplyParser(fullStatus: fullStatus, maximumBlock: 16)
    var fed = 0
    var read = 0
    var kinds: Set<String> = []
    for round in 0..<200_000 {
      let piece = random.bytes(
        Int(random.next() % 6), favouring: [0x10, 0x0F, 0x12, 0x37, 0x22, 0x00, 0x13, 0x41])
      fed += piece.count
      parser.feed(piece)
      while let reply = parser.next() {
        read += reply.encode().count
        if round < 2_000 { kinds.insert(String("\(reply)".prefix { $0 != "(" })) }
      }
    }
    read += parser.giveUp().count
    #expect(fed == read)
    #expect(kinds.count >= 7)
  }
}

@Suite struct StatusBitMapTests {
  /// facts/devices.md A2: what the bytes mean on a printer with Epson's bits.
  @Test(
    arguments: [
      (1, 0x12, []), (1, 0x16, [.drawerPinHigh]), (1, 0x1A, [.offline]), (1, 0x32, [.waitingForRecovery]),
      (1, 0x52, [.feedButtonPressed]), (2, 0x16, [.coverOpen]), (2, 0x1A, [.feedingByButton]),
      (2, 0x32, [.stoppedByPaperEnd]), (2, 0x52, [.errorOccurred]), (3, 0x16, [.recoverableError]),
      (3, 0x1A, [.cutterError]), (3, 0x32, [.unrecoverableError]), (3, 0x52, [.autoRecoverableError]),
      (4, 0x12, []), (4, 0x1E, [.paperNearEnd]), (4, 0x72, [.paperEnd]),
      (4, 0x7E, [.paperNearEnd, .paperEnd]),
    ] as [(UInt8, UInt8, Set<PrinterCondition>)])
  func `real-time status means what the facts say`(
    kind: UInt8, byte: UInt8, conditions: Set<PrinterCondition>
  ) {
    #expect(StatusBitMap.epson.conditions(in: byte, from: .realTime(kind)) == conditions)
    #expect(StatusBitMap.epson.byte(for: conditions, from: .realTime(kind)) == byte)
  }

  @Test(
    arguments: [
      (StatusBitMap.snbc, .realTime(3), 0x16, [.paperJam]), (.snbc, .realTime(3), 0x52, [.headError]),
      (.snbc, .realTime(4), 0x72, [.paperEnd]),
      (.citizenPPU700, .realTime(4), 0x52, [.ticketAtMouth]),
      (.citizenPPU700, .realTime(4), 0x32, [.paperEnd]),
      (.citizenPPU700, .realTime(5), 0x1A, [.headOverheated]),
      (.citizenPPU700, .realTime(6), 0x32, [.presenterError]),
      (.citizenPPU700, .automatic(3), 0x08, [.ticketAtMouth]),
      (.citizenPPU700, .automatic(3), 0x04, [.paperEnd]),
      (.custom, .full(3), 0x20, [.ticketAtMouth]), (.custom, .full(3), 0x81, [.paperEnd, .markNotFound]),
      (.custom, .full(4), 0x03, [.headUp, .coverOpen]), (.custom, .full(5), 0x40, [.paperJam]),
      (.custom, .full(6), 0x01, [.cutterError]), (.custom, .realTime(17), 0x36, [.motorOn, .paperEnd]),
      (.epson, .automatic(1), 0x38, [.offline, .coverOpen]), (.epson, .automatic(2), 0x08, [.cutterError]),
      (.epson, .transmitted(.paper), 0x0F, [.paperNearEnd, .paperEnd]), (.epson, .realTime(9), 0x7E, []),
    ] as [(StatusBitMap, StatusSource, UInt8, Set<PrinterCondition>)])
  func `models differ in what a bit means`(
    map: StatusBitMap, source: StatusSource, byte: UInt8, conditions: Set<PrinterCondition>
  ) {
    #expect(map.conditions(in: byte, from: source) == conditions)
  }

  @Test func `what a simulated printer answers is read as what it meant`() {
    for map in [StatusBitMap.epson, .snbc, .citizenPPU700, .custom] {
      for source in Set(map.meanings.keys.map(\.source)) {
        for condition in map.vocabulary(of: source) {
          let byte = map.byte(for: [condition], from: source)
          #expect(map.conditions(in: byte, from: source) == [condition])
          var status = PrinterStatus()
          let isTaken = status.apply(byte, from: source, map: map)
          #expect(isTaken, "\(source) \(byte)")
          #expect(status.conditions == [condition])
        }
      }
    }
  }

  @Test func `a profile can change one bit`() {
    var map = StatusBitMap.epson
    map.meanings[StatusBit(.realTime(5), 2)] = .ticketAtMouth
    map.meanings[StatusBit(.realTime(4), 200)] = .paperJam
    #expect(map.conditions(in: 0x16, from: .realTime(5)) == [.ticketAtMouth])
    #expect(map.conditions(in: 0xFF, from: .realTime(4)) == [.paperNearEnd, .paperEnd])
    #expect(map.byte(for: [.paperJam], from: .realTime(4)) == 0x12)
    #expect(PrinterCondition(rawValue: "ticketAtMouth") == .ticketAtMouth)
  }
}

@Suite struct PrinterStatusTests {
  @Test func `the latest word on a condition counts, and others stay`() throws {
    var status = PrinterStatus()
    status.apply(0x7E, from: .realTime(4), map: .epson)
    status.apply(0x1A, from: .realTime(1), map: .epson)
    #expect(status.conditions == [.paperNearEnd, .paperEnd, .offline] && status.paper == .end)
    status.apply(0x1E, from: .realTime(4), map: .epson)
    #expect(status.paper == .nearEnd && status.conditions.contains(.offline))
    status.apply(try #require(ESCPOSAutomaticReport(bytes: hex("10 08 00 0F"))), map: .epson)
    #expect(status.conditions == [.cutterError] && status.errors == [.cutterError] && status.paper == .enough)
    status.apply(0x36, from: .realTime(2), map: .epson)
    #expect(status.offlineCauses == [.coverOpen, .stoppedByPaperEnd] && status.paper == .end)
  }

  @Test(arguments: [0x00, 0x10, 0x13, 0x92, 0xFF] as [UInt8])
  func `a byte that is no status changes nothing`(byte: UInt8) {
    var status = PrinterStatus([.offline])
    let taken = [
      status.apply(byte, from: .realTime(1), map: .epson),
      status.apply(0x10, from: .automatic(2), map: .epson),
      status.apply(0x12, from: .automatic(1), map: .epson),
    ]
    #expect(taken == [false, false, false])
    #expect(status == PrinterStatus([.offline]))
  }

  @Test func `a report has its four forms`() {
    #expect(ESCPOSAutomaticReport(bytes: hex("10 00 00")) == nil)
    #expect(ESCPOSAutomaticReport(bytes: hex("12 00 00 00")) == nil)
    #expect(ESCPOSAutomaticReport(bytes: hex("10 00 10 00")) == nil)
    #expect(ESCPOSAutomaticReport(bytes: hex("10 00 00 80")) == nil)
  }
}
