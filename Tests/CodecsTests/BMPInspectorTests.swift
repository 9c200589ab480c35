import TestKit
import Testing

@testable import Codecs

@Suite struct BMPInspectorTests {
  /// The headers of a 102 × 126 picture of 24 bits, 38 862 bytes long (facts/idcard.md 6; BITMAPFILEHEADER, BITMAPINFOHEADER).
  private static let head = hex(
    "42 4D CE 97 00 00 00 00 00 00 36 00 00 00 28 00 00 00 66 00 00 00 7E 00 00 00 01 00 18 00 00×24")
  private static var whole: [UInt8] { head + [UInt8](repeating: 0x80, count: 308 * 126) }

  @Test func `the picture of a card's photo is read`() throws {
    #expect(Self.head.count == 54 && Self.whole.count == 38862)
    let format = try BMPInspector.inspect(Self.whole)
    #expect(format.width == 102 && format.height == 126 && format.mediaType == "image/bmp")
    var topDown = Self.whole
    topDown.replaceSubrange(22..<26, with: hex("82 FF FF FF"))
    #expect(try BMPInspector.inspect(topDown).height == 126)
  }

  @Test(
    arguments: [
      (0, 0x43, ImageError.unknownFormat), (28, 8, .unsupported(offset: 26)),
      (30, 1, .unsupported(offset: 26)),
      (10, 20, .corrupt(.segment, offset: 10)), (14, 12, .corrupt(.segment, offset: 10)),
      (18, 0, .corrupt(.dimensions, offset: 18)), (23, 0x80, .corrupt(.dimensions, offset: 18)),
      (22, 0x7F, .truncated(offset: 38862)),
    ] as [(Int, UInt8, ImageError)])
  func `another kind of picture, or a damaged one, is refused`(place: Int, byte: UInt8, error: ImageError) {
    var bytes = Self.whole
    bytes[place] = byte
    #expect(throws: error) { try BMPInspector.inspect(bytes) }
  }

  @Test func `a cut picture and one with something behind it are refused`() {
    #expect(throws: ImageError.truncated(offset: 38861)) {
      try BMPInspector.inspect(Array(Self.whole.dropLast()))
    }
    #expect(throws: ImageError.truncated(offset: 30)) {
      try BMPInspector.inspect(Array(Self.head.prefix(30)))
    }
    #expect(throws: ImageError.corrupt(.trailingData, offset: 38862)) {
      try BMPInspector.inspect(Self.whole + [1])
    }
    #expect(throws: Never.self) { try BMPInspector.inspect(Self.whole + [0, 0]) }
  }

  @Test func `any bytes are taken without harm`() {
    var random = SeededRandom(seed: 5)
    for _ in 0..<20_000 {
      var bytes = random.bytes(Int.random(in: 0...80, using: &random))
      if bytes.count > 2 { bytes.replaceSubrange(0..<2, with: hex("42 4D")) }
      _ = try? BMPInspector.inspect(bytes)
    }
  }
}
