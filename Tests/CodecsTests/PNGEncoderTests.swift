import Posix
import TestKit
import Testing

@testable import Codecs

@Suite struct PNGEncoderTests {
  /// The file of a picture with these bytes, three a pixel.
  private func file(_ width: Int, _ height: Int, _ pixels: [UInt8]) -> [UInt8]? {
    PNGEncoder.encode(width: width, height: height) { number, row in
      for index in row.indices { row[index] = pixels[number * 3 * width + index] }
    }
  }

  @Test func `a picture of one pixel and a small one are written as another encoder writes them`() {
    // By Python's zlib, level 0, and struct.
    #expect(
      file(1, 1, [0xBF, 0x00, 0x40])
        == hex(
          """
          89504E470D0A1A0A 0000000D49484452 0000000100000001 0802000000 907753DE 0000000F49444154 7801 010400FBFF \
          00BF0040 02810100 C86CB457 0000000049454E44 AE426082
          """))
    #expect(
      file(3, 2, Array(1...18))
        == hex(
          """
          89504E470D0A1A0A 0000000D49484452 0000000300000002 0802000000 1216F14D 0000001F49444154 7801 011400EBFF \
          00010203040506070809 000A0B0C0D0E0F101112 04B500AC 75F65A3E 0000000049454E44 AE426082
          """))
  }

  @Test func `the checksums are those that are published`() {
    func crc(_ text: String) -> UInt32 { CRC32.checksum(Array(text.utf8), 0..<text.utf8.count) }
    func adler(_ bytes: [UInt8]) -> UInt32 {
      var sum = Adler32()
      sum.add(bytes)
      return sum.value
    }
    // The check value of CRC-32, and what stands at the end of every PNG.
    #expect(crc("123456789") == 0xCBF4_3926)
    #expect(crc("IEND") == 0xAE42_6082)
    #expect(adler(Array("Wikipedia".utf8)) == 0x11E6_0398)
    #expect(adler([]) == 1)
    // By zlib: the highest bytes, far more of them than the sums hold without their modulus.
    #expect(adler(Array(repeating: 0xFF, count: 1_000_000)) == 0x3843_E1BE)
    var parts = Adler32()
    for byte in "Wikipedia".utf8 { parts.add([byte]) }
    #expect(parts.value == 0x11E6_0398)
  }

  @Test(
    .timeLimit(.minutes(2)), .enabled(if: Programs.areExpected("python3"), "needs python3"),
    // One block; two; blocks that end with the picture, one and two of them; a row that is longer than a block.
    arguments: [(5, 7), (300, 100), (1456, 15), (1456, 30), (22_000, 2)])
  func `a picture is read by another decoder as it was written`(width: Int, height: Int) async throws {
    var random = SeededRandom(seed: UInt64(width * height))
    let pixels = random.bytes(3 * width * height)
    let png = try #require(file(width, height, pixels))
    #expect(png.count == PNGEncoder.length(width: width, height: height))
    #expect(
      try ImageInspector.inspect(png)
        == PageFormat(mediaType: "image/png", width: width, height: height, dpi: nil, colour: .colour))
    let directory = try TemporaryDirectory()
    try Files.replaceDurable(directory.path("page.png"), bytes: png, mode: 0o600)
    let lines = try await Programs.run(
      "python3", "\(Repository.root)/Tests/Fixtures/read_png.py", directory.path("page.png")
    ).split(separator: "\n")
    try #require(lines.count == 1 + height)
    #expect(lines[0] == "\(width) \(height)")
    for (row, line) in lines.dropFirst().enumerated() {
      let wanted = pixels[(row * 3 * width)..<((row + 1) * 3 * width)]
      #expect(line == String(decoding: wanted.flatMap { digits($0) }, as: UTF8.self), "row \(row)")
    }
  }

  private static let sixteen = Array("0123456789abcdef".utf8)
  private func digits(_ byte: UInt8) -> [UInt8] {
    [Self.sixteen[Int(byte >> 4)], Self.sixteen[Int(byte & 15)]]
  }

  @Test func `sizes that no file can have are refused`() {
    #expect(PNGEncoder.length(width: 0, height: 1) == nil)
    #expect(PNGEncoder.length(width: 1, height: -1) == nil)
    #expect(PNGEncoder.length(width: .max, height: .max) == nil)
    #expect(PNGEncoder.length(width: 40_000, height: 40_000) == nil)
    #expect(PNGEncoder.encode(width: 0, height: 5) { _, _ in } == nil)
    // One block, and one byte more than one.
    #expect(PNGEncoder.length(width: 1456, height: 15) == 57 + 6 + 5 + 65_535)
    #expect(PNGEncoder.length(width: 1, height: 16_384) == 57 + 6 + 10 + 65_536)
  }
}
