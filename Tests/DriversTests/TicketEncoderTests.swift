import Devices
import Testing

@testable import Drivers

@Suite struct TicketEncoderTests {
  private func encode(_ elements: [TicketElement], _ values: [String: String] = [:]) throws(Fault) -> [UInt8]
  {
    let plain = ["cut": "none", "chinese-mode": "no"].merging(values) { $1 }
    return try TicketEncoder(Driver.escpos.settings(plain), encodeText: Text.encode).encode(
      TicketFace(elements))
  }

  private func refusal(_ elements: [TicketElement], _ values: [String: String] = [:]) -> Fault? {
    do throws(Fault) {
      _ = try encode(elements, values)
      return nil
    } catch {
      return error
    }
  }

  // Bytes by facts/devices.md A1.
  @Test func `a ticket is the bytes of the reference`() throws {
    #expect(
      try encode(
        [.text("A012", width: 4, height: 4, bold: true, align: .centre), .text("户口"), .feed(2)],
        ["chinese-mode": "yes", "cut": "feed-partial"])
        == hex("1B 40 1C 26 1B 61 01 1D 21 33 1B 45 01 41 30 31 32 0A 1D 21 00 1B 45 00")
        + hex("1B 61 00 1D 21 00 1B 45 00 BB A7 BF DA 0A 1D 21 00 1B 45 00 1B 64 02 1D 56 42 00"))
  }

  @Test(arguments: [
    ("none", ""), ("full", "1D 56 00"), ("partial", "1D 56 01"), ("feed-full", "1D 56 41 00"),
    ("feed-partial", "1D 56 42 00"), ("esc-i", "1B 69"), ("esc-m", "1B 6D"),
  ])
  func `each cut is its own command, at the start of a line`(word: String, bytes: String) throws {
    #expect(try encode([], ["cut": word]) == hex("1B 40 " + bytes))
    #expect(try encode([], ["cut": word, "feed-before-cut": "3"]) == hex("1B 40 1B 64 03 " + bytes))
  }

  @Test func `a QR symbol is model two, error correction M, with its white margin`() throws {
    #expect(
      try encode([.qr(Array("hi".utf8), module: 6)])
        == hex("1B 40 1B 61 01 1D 28 6B 04 00 31 41 32 00 1D 28 6B 03 00 31 43 06 1D 28 6B 03 00 31 45 31")
        + hex("1D 28 6B 05 00 31 50 30 68 69 1D 28 6B 03 00 31 51 30 1B 4A 18"))
  }

  @Test func `a bar code is CODE128 with its text below`() throws {
    #expect(
      try encode([.barcode("A{1")])
        == hex("1B 40 1B 61 01 1D 68 50 1D 77 03 1D 48 02 1D 6B 49 06 7B 42 41 7B 7B 31 0A"))
  }

  @Test func `a rule crosses the paper`() throws {
    #expect(
      try encode([.rule], ["columns": "32"])
        == hex("1B 40 1B 61 00") + Array(repeating: 0x2D, count: 32) + [0x0A])
  }

  @Test(arguments: [
    // Chinese characters take two places; of an odd number of places one stays empty.
    ("一二三四五六七八九", "16", ["一二三四五六七八", "九"]),
    ("a一二三四五六七八", "16", ["a一二三四五六七", "八"]),
    ("abcdefghijklmnopq", "16", ["abcdefghijklmnop", "q"]),
    ("one\ntwo", "16", ["one", "two"]), ("", "16", [""]), ("a\tb", "16", ["a b"]),
  ])
  func `lines end where the paper ends`(text: String, columns: String, lines: [String]) throws {
    let bytes = try encode([.text(text)], ["columns": columns])
    let head = hex("1B 40 1B 61 00 1D 21 00 1B 45 00")
    let tail = hex("1D 21 00 1B 45 00")
    #expect(bytes.starts(with: head))
    #expect(Array(bytes.suffix(tail.count)) == tail)
    let content = bytes.dropFirst(head.count).dropLast(tail.count)
    let found = content.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast()
    #expect(found.map { Text.decode(Array($0)) } == lines)
  }

  @Test func `wide characters take more places`() throws {
    let bytes = try encode([.text("12345678901234567", width: 3)], ["columns": "48"])
    #expect(bytes.contains(0x0A))
    #expect(bytes.split(separator: 0x0A).count == 3)
  }

  @Test func `the Japanese font is chosen by its own command`() throws {
    #expect(
      try encode([], ["code-page": "shift-jis", "chinese-code-system": "shift-jis", "chinese-mode": "yes"])
        == hex("1B 40 1C 43 01 1C 26"))
  }

  @Test func `automatic reports are asked for again after initialise`() throws {
    #expect(try encode([], ["automatic-status": "yes"]) == hex("1B 40 1D 61 0E"))
  }

  @Test(arguments: [
    // 𠮷 and 㐂 are four bytes in GB18030, 🙂 too; ESC would be a command.
    ("张𠮷", "gb18030", "element 1, character 2: four bytes in GB18030, which is not in the printer's font"),
    ("㐂", "gb18030", "element 1, character 1: four bytes in GB18030, which is not in the printer's font"),
    ("ab🙂", "gbk", "element 1, character 3: not in gbk"),
    ("简", "shift-jis", "element 1, character 1: not in shift-jis"),
    ("a\u{1B}@", "gb18030", "element 1, character 2: a control character"),
    ("a\u{7F}", "utf8", "element 1, character 2: a control character"),
  ])
  func `a character that the printer cannot print is refused by its place alone`(
    text: String, page: String, evidence: String
  ) {
    let fault = refusal([.text(text)], ["code-page": page])
    #expect(fault == Fault(.textUnprintable, evidence))
  }

  @Test func `four-byte characters are sent where the profile says that the font has them`() throws {
    let bytes = try encode([.text("𠮷")], ["four-byte-characters": "yes"])
    #expect(bytes.suffix(11).starts(with: Self.rareBytes))
  }
  private static let rareBytes: [UInt8] = [0x95, 0x34, 0xB2, 0x35]

  @Test func `what would not fit the paper or would be a command is refused`() {
    #expect(refusal([.qr([], module: 4)])?.code == .textUnprintable)
    #expect(refusal([.qr(hex("41 10 04 01"), module: 4)])?.code == .textUnprintable)
    #expect(refusal([.qr(hex("10 14 08 01 03 14 01 06 02 08"), module: 4)])?.code == .textUnprintable)
    #expect(refusal([.qr(Array(repeating: 65, count: 2332), module: 4)])?.code == .textUnprintable)
    #expect(
      refusal([.qr(Array(repeating: 65, count: 1200), module: 4)], ["dots-per-line": "200"])?.code
        == .textUnprintable)
    #expect(refusal([.qr([65], module: 4)], ["qr": "no"])?.code == .commandUnsupported)
    #expect(refusal([.barcode("号")])?.code == .textUnprintable)
    #expect(refusal([.barcode("")])?.code == .textUnprintable)
    #expect(
      refusal([.barcode(String(repeating: "1", count: 40))], ["dots-per-line": "384"])?.code
        == .textUnprintable)
    #expect(refusal([.text("a", width: 9)])?.code == .textUnprintable)
    #expect(refusal([.text("a", height: 0)])?.code == .textUnprintable)
  }

  @Test(arguments: [(14, 21), (15, 25), (62, 33), (213, 57), (2331, 177)])
  func `the side of a QR symbol follows from its content`(bytes: Int, side: Int) {
    #expect(QRCapacity.side(forBytes: bytes) == side)
  }

  @Test func `a symbol too wide for its module is drawn with smaller ones`() throws {
    // 62 bytes need 33 modules and a margin of 8: 41 times 16 is more than 384.
    let bytes = try encode([.qr(Array(repeating: 65, count: 62), module: 16)], ["dots-per-line": "384"])
    let place = try #require(bytes.firstIndex(of: 0x43))
    #expect(bytes[place + 1] == 9)
  }
}
