import Codecs
import TestKit
import Testing

private let receipt = PDFDocument(
  title: "回执", paper: .a5,
  blocks: [
    .text("示范市政务服务中心", size: 16, alignment: .centre), .rule,
    .text("编号 A001 样例 SAMPLE"), .space(12), .text("右", alignment: .right),
  ])

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct PDFDocumentTests {
  @Test func `a receipt is one page with its text as UCS-2 in the standard Chinese font`() throws {
    let file = text(receipt.bytes)
    #expect(file.hasPrefix("%PDF-1.4\n%"))
    #expect(file.hasSuffix("%%EOF\n"))
    #expect(file.contains("/BaseFont/STSong-Light/"))
    #expect(file.contains("/Encoding/UniGB-UCS2-H"))
    #expect(file.contains("/MediaBox[0 0 419.53 595.28]"))
    // 示范市政务服务中心, nine characters of 16 points in the middle of 419.53.
    #expect(
      file.contains("BT/F1 16 Tf 137.76 541.20 Td <793A83035E02653F52A1670D52A14E2D5FC3>Tj ET"))
    #expect(file.contains("<7F1653F7"))
    #expect(file.contains("/Title<FEFF56DE6267>"))
    let summary = try PDFInspector.inspect(receipt.bytes)
    #expect(summary.version == "1.4")
    #expect(summary.pageCount == 1)
    #expect(!summary.isEncrypted)
  }

  @Test func `the cross-reference table points at every object`() throws {
    let bytes = receipt.bytes
    let file = text(bytes)
    let start = try #require(
      file.split(separator: "startxref\n").last?.split(separator: "\n").first.flatMap { Int($0) })
    let table = text(Array(bytes[start...])).split(separator: "\n")
    #expect(table[0] == "xref")
    #expect(table[1] == "0 9")
    for number in 1..<9 {
      #expect(table[2 + number].utf8.count == 19)
      let offset = try #require(Int(table[2 + number].prefix(10)))
      #expect(text(Array(bytes[offset...].prefix(8))).hasPrefix("\(number) 0 obj\n"))
    }
  }

  @Test func `a roll is as long as its text`() throws {
    let short = PDFDocument(title: "t", paper: .roll(millimetres: 80), blocks: [.text("一")])
    let long = PDFDocument(
      title: "t", paper: .roll(millimetres: 80), blocks: Array(repeating: .text("一"), count: 60))
    #expect(text(short.bytes).contains("/MediaBox[0 0 226.77 72]"))
    #expect(text(long.bytes).contains("/MediaBox[0 0 226.77 933.50]"))
    #expect(try PDFInspector.inspect(long.bytes).pageCount == 1)
  }

  @Test func `long text is wrapped and goes on to further pages`() throws {
    let words = String(repeating: "样例 SAMPLE-0001 ", count: 400)
    let document = PDFDocument(title: "t", paper: .a5, blocks: [.text(words)])
    // Seven repetitions take two lines of 32.3 characters, and 33 lines make a page.
    #expect(try PDFInspector.inspect(document.bytes).pageCount == 4)
    // No word of Latin letters is torn apart.
    #expect(text(document.bytes).ranges(of: "00530041004D0050004C0045002D0030003000300031").count == 400)
  }

  @Test func `characters the font's coding cannot carry are shown as a mark`() {
    let document = PDFDocument(title: "t", blocks: [.text("a𠮷\tb")])
    #expect(text(document.bytes).contains("<0061301300200062>"))
  }
}

@Suite struct PDFInspectorTests {
  private func file(_ body: String, version: String = "1.7") -> [UInt8] {
    Array("%PDF-\(version)\n\(body)\nxref\n0 1\ntrailer\n<</Size 1>>\nstartxref\n9\n%%EOF\n".utf8)
  }

  @Test(arguments: [
    ("1 0 obj\n<</Type/Pages/Count 3/Kids[]>>\nendobj", 3),
    ("1 0 obj\n<< /Count 12 /Kids [] /Type  /Pages >>\nendobj", 12),
    (
      "1 0 obj\n<</Type /Pages /Parent 2 0 R /Count 2>>\nendobj\n2 0 obj\n<</Type /Pages /Count 7>>\nendobj",
      7
    ),
    ("1 0 obj\n<</Type/Pages/Count 3>>\nendobj\n1 0 obj\n<</Type/Pages/Count 4>>\nendobj", 4),
  ])
  func `pages are counted by the root of the page tree, the last one after a revision`(
    body: String, count: Int
  ) throws {
    #expect(try PDFInspector.inspect(file(body)).pageCount == count)
  }

  @Test func `where the page tree is packed away the count is not guessed`() throws {
    let body = "1 0 obj\n<</Type/ObjStm>>\nendobj\n1 0 obj\n<</Type/Pages/Count 3>>\nendobj"
    #expect(try PDFInspector.inspect(file(body)).pageCount == nil)
    #expect(try PDFInspector.inspect(file("")).pageCount == nil)
  }

  @Test func `encryption is seen, and metadata about it is none`() throws {
    #expect(try PDFInspector.inspect(file("<</Encrypt 5 0 R>>")).isEncrypted)
    #expect(try !PDFInspector.inspect(file("<</EncryptMetadata false>>")).isEncrypted)
    #expect(try PDFInspector.inspect(file("", version: "2.0")).version == "2.0")
  }

  @Test func `a cut-off file and other files are refused`() {
    let bytes = file("x")
    #expect(throws: PDFError.truncated) { try PDFInspector.inspect(Array(bytes.dropLast(4))) }
    #expect(throws: PDFError.notPDF) { try PDFInspector.inspect(Array(bytes.dropFirst(3))) }
    #expect(throws: PDFError.notPDF) { try PDFInspector.inspect([]) }
    #expect(throws: PDFError.corrupt) {
      try PDFInspector.inspect(Array("%PDF-1.4\nstartxref\n999\n%%EOF".utf8))
    }
    #expect(throws: PDFError.corrupt) { try PDFInspector.inspect(Array("%PDF-1.4\n%%EOF".utf8)) }
    #expect(throws: Never.self) { try PDFInspector.inspect(bytes + Array(repeating: 0x20, count: 900)) }
  }

  @Test func `damaged files end in a summary or in an error`() {
    var random = SeededRandom(seed: 5)
    let whole = receipt.bytes
    for _ in 0..<300 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let lower = Int.random(in: 0...20, using: &random)
      _ = try? PDFInspector.inspect(Array(bytes[lower...].dropLast(Int.random(in: 0...40, using: &random))))
    }
  }
}
