/// Checks a Windows bitmap of 24 bits a pixel without compression, as decoders of ID cards' photos give it
/// (facts/idcard.md 6).
public enum BMPInspector {
  /// File header and information header.
  private static let headerLength = 54

  /// Walks the headers and holds the length against them. Nothing of the picture is looked at.
  public static func inspect(_ bytes: [UInt8]) throws(ImageError) -> PageFormat {
    guard bytes.starts(with: [0x42, 0x4D]) else { throw .unknownFormat }
    guard bytes.count >= headerLength else { throw .truncated(offset: bytes.count) }
    func word(_ index: Int) -> Int { Int(bytes[index]) | Int(bytes[index + 1]) << 8 }
    func long(_ index: Int) -> Int { Int(Int32(truncatingIfNeeded: word(index) | word(index + 2) << 16)) }
    let width = long(18)
    // A negative height says that the lines stand from top to bottom.
    let height = abs(long(22))
    guard long(14) >= 40, long(10) >= headerLength else { throw .corrupt(.segment, offset: 10) }
    guard (1...32_767).contains(width), (1...32_767).contains(height) else {
      throw .corrupt(.dimensions, offset: 18)
    }
    guard word(26) == 1, word(28) == 24, long(30) == 0 else { throw .unsupported(offset: 26) }
    // Lines are filled up to whole 32-bit words.
    let needed = long(10) + (width * 3 + 3) / 4 * 4 * height
    guard bytes.count >= needed else { throw .truncated(offset: bytes.count) }
    if bytes[needed...].contains(where: { $0 != 0 }) { throw .corrupt(.trailingData, offset: needed) }
    return PageFormat(mediaType: "image/bmp", width: width, height: height, dpi: nil, colour: .colour)
  }
}
