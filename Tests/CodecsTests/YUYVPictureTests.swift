import Codecs
import Testing

@Suite struct YUYVPictureTests {
  /// Red, green and blue of a small picture's pixels: they stand in the file as they are, behind headers of 48 bytes and a
  /// filter in front of each row.
  private func pixels(_ bytes: [UInt8], _ width: Int, _ height: Int) throws -> [[Int]] {
    let png = try YUYVPicture(bytes, width: width, height: height).png
    #expect(
      try PNGInspector.inspect(png)
        == PageFormat(mediaType: "image/png", width: width, height: height, dpi: nil, colour: .colour))
    return (0..<width * height).map { number in
      let start = 48 + number / width * (1 + 3 * width) + 1 + number % width * 3
      return png[start..<start + 3].map(Int.init)
    }
  }

  /// Colour bars of Rec. ITU-R BT.801, full and of three quarters: Y, Cb and Cr of each, what is in it of its parts, and
  /// which of red, green and blue these are.
  private static let bars: [(code: [UInt8], lightness: Int, parts: [Int])] = [
    ([235, 128, 128], 255, [1, 1, 1]), ([210, 16, 146], 255, [1, 1, 0]), ([170, 166, 16], 255, [0, 1, 1]),
    ([145, 54, 34], 255, [0, 1, 0]), ([106, 202, 222], 255, [1, 0, 1]), ([81, 90, 240], 255, [1, 0, 0]),
    ([41, 240, 110], 255, [0, 0, 1]), ([16, 128, 128], 255, [0, 0, 0]),
    ([180, 128, 128], 191, [1, 1, 1]), ([162, 44, 142], 191, [1, 1, 0]), ([131, 156, 44], 191, [0, 1, 1]),
    ([112, 72, 58], 191, [0, 1, 0]), ([84, 184, 198], 191, [1, 0, 1]), ([65, 100, 212], 191, [1, 0, 0]),
    ([35, 212, 114], 191, [0, 0, 1]),
  ]

  @Test(arguments: bars.indices) func `the colour bars have their colours`(index: Int) throws {
    let (code, lightness, parts) = Self.bars[index]
    let found = try pixels([code[0], code[1], code[0], code[2]], 2, 1)
    #expect(found[0] == found[1])
    // The codes are whole numbers themselves.
    for (found, part) in zip(found[0], parts) {
      #expect(abs(found - part * lightness) <= 1, "\(code): \(found)")
    }
  }

  @Test
  func `each pixel has its own lightness, two have one colour, and what is out of range ends at its ends`()
    throws
  {
    #expect(
      try pixels(hex("10 80 EB 80 51 5A 91 F0"), 4, 1)
        == [[0, 0, 0], [255, 255, 255], [254, 0, 0], [255, 74, 74]])
    #expect(try pixels([0, 0x80, 255, 0x80], 2, 1) == [[0, 0, 0], [255, 255, 255]])
    #expect(try pixels([255, 0, 0, 0], 2, 1).count == 2)
  }

  @Test func `an odd row ends in half a pair`() throws {
    let row = hex("10 80 EB 80 51 5A 77 F0")
    #expect(YUYVPicture.rowLength(width: 3) == 8)
    #expect(YUYVPicture.rowLength(width: 4) == 8)
    #expect(
      try pixels(row + row, 3, 2)
        == [[0, 0, 0], [255, 255, 255], [254, 0, 0], [0, 0, 0], [255, 255, 255], [254, 0, 0]])
  }

  @Test func `what is not as long as its size says is refused`() {
    for count in [0, 7, 9, 16] {
      #expect(throws: YUYVPicture.Failure.length(expected: 8, found: count)) {
        try YUYVPicture(Array(repeating: 0x80, count: count), width: 2, height: 2)
      }
    }
    for (width, height) in [(0, 4), (4, 0), (-4, -4), (.max, 2), (2, .max), (.max, .max), (50_000, 50_000)] {
      #expect(throws: YUYVPicture.Failure.dimensions(width: width, height: height)) {
        try YUYVPicture([1, 2, 3, 4], width: width, height: height)
      }
    }
  }
}
