import TestKit
import Testing

@testable import Codecs

@Suite struct SDTReportFramingTests {
  /// facts/idcard.md 2.4.
  private static let publishedFind = hex("88 00 00 0B 00 B1 AA AA AA 96 69 00 03 20 01 22 FF 03")

  private static func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: 64 - bytes.count)
  }

  @Test func `a wrapped find is the published report`() throws {
    let report = Self.padded(Self.publishedFind)
    #expect(SDTReportFraming.wrapped.reports(request: SDTCommand.find.encode()) == [report])
    let packet = try SDTPacket(report: report)
    #expect(packet.code == 0xB1)
    #expect(packet.data.reveal() == SDTCommand.find.encode())
  }

  @Test func `a raw find is the frame and zeros`() {
    #expect(
      SDTReportFraming.raw.reports(request: SDTCommand.find.encode())
        == [Self.padded(hex("AA AA AA 96 69 00 03 20 01 22"))])
  }

  /// ceil((Len + 7) / 64) and ceil((Len + 7) / 54) for the replies that readers give.
  @Test(arguments: [(11, 1, 1), (27, 1, 1), (81, 2, 2), (1295, 21, 24), (1809, 29, 34), (2321, 37, 43)])
  func `a reply has as many reports as the facts say`(count: Int, raw: Int, wrapped: Int) throws {
    let frame = try #require(SDTReply(.ok, data: [UInt8](repeating: 7, count: count - 11))).encode()
    #expect(frame.count == count)
    #expect(SDTReportFraming.raw.reports(reply: frame).count == raw)
    #expect(SDTReportFraming.wrapped.reports(reply: frame).count == wrapped)
    for report in SDTReportFraming.raw.reports(reply: frame) + SDTReportFraming.wrapped.reports(reply: frame)
    { #expect(report.count == 64) }
  }

  /// 60 and 54 fill their reports to the last byte.
  @Test(arguments: SDTReportFraming.allCases, [0, 1, 43, 44, 53, 54, 97, 1284, 1798, 2310, 4077])
  func `what was put into reports comes out of them`(framing: SDTReportFraming, count: Int) throws {
    var random = SeededRandom(seed: UInt64(count))
    let data = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    let frame = try #require(SDTReply(.ok, data: data)).encode()
    var reader = SDTReportReader(framing, .reply)
    // Twice, so that what is left of the first would show in the second.
    for _ in 1...2 {
      var bytes: [UInt8] = []
      for report in framing.reports(reply: frame) { bytes += try reader.take(report) }
      #expect(bytes == frame)
    }
  }

  @Test func `a request that one wrapped report cannot hold is refused`() throws {
    func frame(_ count: Int) throws -> [UInt8] {
      let data = [UInt8](repeating: 1, count: count - 10)
      return try #require(SDTRequest(command: 0x61, parameter: 0xFF, data: data)).encode()
    }
    #expect(SDTReportFraming.wrapped.reports(request: try frame(56))?.count == 1)
    #expect(SDTReportFraming.wrapped.reports(request: try frame(57)) == nil)
    #expect(SDTReportFraming.raw.reports(request: try frame(65))?.count == 2)
  }

  @Test func `a wrapped reply that is filled up inside its packet is read`() throws {
    // The length of the last packet counts the padding of its segment: hosts go by the frame's own length.
    let frame = SDTReply(.ok).encode()
    let data = [0, 0] + frame + [UInt8](repeating: 0, count: 54 - frame.count)
    let report = try #require(SDTPacket(.reply, code: 0, data: data).report)
    var reader = SDTReportReader(.wrapped, .reply)
    #expect(try reader.take(report) == frame)
    #expect(try reader.take(report) == frame)
  }

  @Test(arguments: [
    ("89 00 00 01 00 00 01 00", SDTPacket.Malformed.mark), ("AA 00 00 00 00 00 00 00", .length),
    ("AA 00 00 3A 00", .length), ("", .mark), ("AA 00 00 01 00 05 05 00", .sum(expected: 6, found: 5)),
    ("AA 00 00 02 00 05 05", .length), ("AA 00 00 01 01 05 07 00", .length),
  ])
  func `a report that is no packet is refused for its reason`(text: String, reason: SDTPacket.Malformed) {
    #expect(throws: reason) { try SDTPacket(report: hex(text)) }
  }

  @Test func `a wrapped report that goes the other way is refused`() throws {
    var reader = SDTReportReader(.wrapped, .reply)
    let report = Self.padded(Self.publishedFind)
    #expect(throws: SDTPacket.Malformed.mark) { try reader.take(report) }
  }

  @Test func `the sum is 16 bits, low byte first`() throws {
    let report = try #require(SDTPacket(.reply, code: 0xFF, data: [UInt8](repeating: 0xFF, count: 56)).report)
    // 57 (length) + 57 × 255.
    #expect(Array(report[62...]) == [0x00, 0x39])
    #expect(try SDTPacket(report: report).data.reveal().count == 56)
  }

  @Test(arguments: SDTReportFraming.allCases)
  func `a lost report costs its frame and no other`(framing: SDTReportFraming) throws {
    let frame = try #require(SDTReply(.ok, data: [UInt8](repeating: 0x31, count: 300))).encode()
    var reports = framing.reports(reply: frame)
    reports.remove(at: 2)
    var reader = SDTReportReader(framing, .reply)
    var parser = SDTReplyParser()
    for report in reports { parser.feed(try reader.take(report)) }
    #expect(parser.next() == .needMore)
    #expect(parser.giveUp() > 0)
    // The host asks again: what was begun is forgotten.
    reader.reset()
    parser.reset()
    for report in framing.reports(reply: frame) { parser.feed(try reader.take(report)) }
    #expect(parser.next() == .frame(try #require(SDTReply(content: Array(frame[7..<frame.count - 1])))))
  }

  @Test(arguments: SDTReportFraming.allCases, 0..<50 as Range<UInt64>)
  func `any reports are taken without harm`(framing: SDTReportFraming, seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var reader = SDTReportReader(framing, .reply)
    for _ in 0..<500 {
      var report = (0..<Int.random(in: 0...70, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random), report.count > 12 {
        report.replaceSubrange(0..<5, with: SDTFraming.preamble)
      }
      let bytes = (try? reader.take(report)) ?? []
      #expect(bytes.count <= report.count)
    }
  }
}
