import Codecs
import Testing

@Suite struct PNGInspectorTests {
  @Test func `a whole image tells its size, density and colour`() throws {
    #expect(
      try ImageInspector.inspect(ImageVectors.bitmapPNG)
        == PageFormat(mediaType: "image/png", width: 32, height: 24, dpi: 300, colour: .blackAndWhite))
    #expect(
      try ImageInspector.inspect(ImageVectors.colourPNG)
        == PageFormat(mediaType: "image/png", width: 2, height: 2, dpi: nil, colour: .colour))
    #expect(try ImageInspector.inspect(ImageVectors.palettePNG).colour == .colour)
  }

  @Test(arguments: 0..<ImageVectors.bitmapPNG.count)
  func `an image cut off anywhere is refused`(length: Int) {
    #expect(throws: ImageError.truncated(offset: length)) {
      try PNGInspector.inspect(Array(ImageVectors.bitmapPNG[..<length]))
    }
  }

  @Test(arguments: 8..<ImageVectors.palettePNG.count)
  func `any flipped bit is found`(index: Int) {
    var bytes = ImageVectors.palettePNG
    bytes[index] ^= 0x10
    #expect(throws: ImageError.self) { try PNGInspector.inspect(bytes) }
  }

  @Test func `chunks out of order and bytes behind the end are refused`() {
    let image = ImageVectors.colourPNG
    // Signature 8, IHDR 25, then IDAT, and IEND in the last 12.
    let header = image[8..<33]
    let end = image.suffix(12)
    let data = image[33..<(image.count - 12)]
    let signature = image[..<8]
    let wrong: [[ArraySlice<UInt8>]] = [
      [data, end], [header, end], [header, header, data, end], [header, data, end, [7]],
    ]
    for parts in wrong {
      #expect(throws: ImageError.self) { try PNGInspector.inspect(Array(signature) + parts.joined()) }
    }
    #expect(throws: Never.self) { try PNGInspector.inspect(image + [0, 0]) }
  }
}
