import Codecs
import TestKit
import Testing

private let whole = ImageVectors.colourJPEG

/// Offset of the first segment with this marker.
private func segment(_ marker: UInt8, in bytes: [UInt8] = whole) throws -> Int {
  try #require(bytes.indices.dropLast().first { bytes[$0] == 0xFF && bytes[$0 + 1] == marker })
}

private func without(_ marker: UInt8, _ bytes: [UInt8] = whole) -> [UInt8] {
  var bytes = bytes
  while let start = bytes.indices.dropLast().first(where: { bytes[$0] == 0xFF && bytes[$0 + 1] == marker }) {
    let length = Int(bytes[start + 2]) << 8 | Int(bytes[start + 3])
    bytes.removeSubrange(start..<(start + 2 + length))
  }
  return bytes
}

private func replacing(_ index: Int, by byte: UInt8) -> [UInt8] {
  var bytes = whole
  bytes[index] = byte
  return bytes
}

@Suite struct JPEGInspectorTests {
  @Test func `a whole image tells its size, density and colour`() throws {
    #expect(
      try ImageInspector.inspect(whole)
        == PageFormat(mediaType: "image/jpeg", width: 32, height: 24, dpi: 300, colour: .colour))
    let frame = try JPEGInspector.inspect(whole)
    #expect(frame.components == 3)
    #expect(!frame.isProgressive)
    #expect(frame.length == 737)
    let grey = ImageVectors.progressiveJPEG
    #expect(
      try ImageInspector.inspect(grey)
        == PageFormat(mediaType: "image/jpeg", width: 9, height: 7, dpi: nil, colour: .grey))
    #expect(try JPEGInspector.inspect(grey).isProgressive)
  }

  @Test(arguments: 0..<ImageVectors.colourJPEG.count)
  func `an image cut off anywhere is refused`(length: Int) {
    #expect(throws: ImageError.self) { try ImageInspector.inspect(Array(whole[..<length])) }
    if length >= 4 {
      #expect(throws: ImageError.truncated(offset: length)) {
        try JPEGInspector.inspect(Array(whole[..<length]))
      }
    }
  }

  @Test(arguments: 0..<ImageVectors.progressiveJPEG.count)
  func `a progressive image cut off anywhere is refused`(length: Int) {
    #expect(throws: ImageError.self) {
      try ImageInspector.inspect(Array(ImageVectors.progressiveJPEG[..<length]))
    }
  }

  @Test func `zeros after the end are padding, anything else is not`() throws {
    let padded = whole + [0, 0, 0]
    #expect(try JPEGInspector.inspect(padded).length == whole.count)
    #expect(throws: ImageError.corrupt(.trailingData, offset: whole.count + 1)) {
      try JPEGInspector.inspect(whole + [0, 1])
    }
  }

  @Test func `a lost restart interval is found though the image ends well`() throws {
    let first = try segment(0xD0)
    let second = try segment(0xD1)
    var bytes = whole
    bytes.removeSubrange(first..<second)
    #expect(throws: ImageError.corrupt(.restartMarkers, offset: first)) { try JPEGInspector.inspect(bytes) }
    let last = try segment(0xD2)
    bytes = whole
    bytes.removeSubrange(last..<(whole.count - 2))
    #expect(throws: ImageError.corrupt(.restartMarkers, offset: last)) { try JPEGInspector.inspect(bytes) }
  }

  @Test func `restart markers without an announced interval are refused`() throws {
    #expect(throws: ImageError.self) { try JPEGInspector.inspect(without(0xDD)) }
  }

  @Test func `what belongs before a scan must be there`() throws {
    for marker: UInt8 in [0xDB, 0xC0] {
      #expect(throws: ImageError.self) { try JPEGInspector.inspect(without(marker)) }
    }
    let scan = try segment(0xDA)
    #expect(throws: ImageError.corrupt(.order, offset: scan)) {
      try JPEGInspector.inspect(whole[..<scan] + [0xFF, 0xD9])
    }
  }

  @Test func `impossible and unusual frames are refused`() throws {
    let frame = try segment(0xC0)
    #expect(throws: ImageError.corrupt(.dimensions, offset: frame + 5)) {
      var bytes = replacing(frame + 5, by: 0)
      bytes[frame + 6] = 0
      return try JPEGInspector.inspect(bytes)
    }
    #expect(throws: ImageError.unsupported(offset: frame + 4)) {
      try JPEGInspector.inspect(replacing(frame + 4, by: 12))
    }
    #expect(throws: ImageError.corrupt(.segment, offset: frame + 2)) {
      try JPEGInspector.inspect(replacing(frame + 9, by: 2))
    }
    #expect(throws: ImageError.corrupt(.segment, offset: frame + 10)) {
      try JPEGInspector.inspect(replacing(frame + 11, by: 0))
    }
    for marker: UInt8 in [0xC3, 0xC9, 0xCA, 0xCC] {
      #expect(throws: ImageError.unsupported(offset: frame)) {
        try JPEGInspector.inspect(replacing(frame + 1, by: marker))
      }
    }
    #expect(throws: ImageError.corrupt(.marker, offset: frame)) {
      try JPEGInspector.inspect(replacing(frame + 1, by: 0x01))
    }
  }

  @Test func `density in dots per centimetre is converted, and a mere ratio is none`() throws {
    #expect(try JPEGInspector.inspect(replacing(13, by: 2)).dpi == 762)
    #expect(try JPEGInspector.inspect(replacing(13, by: 0)).dpi == nil)
    #expect(try JPEGInspector.inspect(replacing(17, by: 0x2D)).dpi == nil)
  }

  @Test func `a camera frame without Huffman tables is recognised and completed with the standard ones`()
    throws
  {
    let bare = without(0xC4)
    #expect(try !JPEGInspector.inspect(bare).hasHuffmanTables)
    #expect(throws: ImageError.missingHuffmanTables) { try ImageInspector.inspect(bare) }
    let completed = JPEGInspector.addingStandardTables(bare)
    #expect(try ImageInspector.inspect(completed).width == 32)
    // The encoder of the vector uses the standard tables too: four segments there, one here, the same content.
    var tables: [UInt8] = []
    var index = try segment(0xC4)
    while whole[index + 1] == 0xC4 {
      let length = Int(whole[index + 2]) << 8 | Int(whole[index + 3])
      tables += whole[(index + 4)..<(index + 2 + length)]
      index += 2 + length
    }
    #expect(completed == bare[..<2] + [0xFF, 0xC4, 0x01, 0xA2] + tables + bare[2...])
    #expect(JPEGInspector.addingStandardTables(whole) == whole)
    #expect(JPEGInspector.addingStandardTables([1, 2]) == [1, 2])
  }

  @Test(
    arguments: [
      [], [0xFF], [0xFF, 0xD8], [0xFF, 0xD8, 0xFF, 0xD9], Array("%PDF-1.4".utf8), [0x42, 0x4D, 0, 0],
    ] as [[UInt8]])
  func `what is no image is refused`(bytes: [UInt8]) {
    #expect(throws: ImageError.self) { try ImageInspector.inspect(bytes) }
  }

  @Test func `damaged images end in a format or in an error`() {
    var random = SeededRandom(seed: 4)
    for image in [whole, ImageVectors.progressiveJPEG, ImageVectors.bitmapPNG, ImageVectors.palettePNG] {
      for _ in 0..<2000 {
        var bytes = image
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let index = Int.random(in: bytes.indices, using: &random)
          if Bool.random(using: &random) {
            bytes[index] = UInt8.random(in: 0...255, using: &random)
          } else {
            bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...40, using: &random)))
          }
          if bytes.isEmpty { bytes = [0xFF] }
        }
        _ = try? ImageInspector.inspect(bytes)
      }
    }
  }
}
