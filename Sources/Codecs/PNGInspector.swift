/// Checks that a PNG image is whole and sound (W3C PNG specification, third edition): every chunk to its checksum, in an
/// allowed order, to the end chunk. The picture itself is not unpacked.
public enum PNGInspector {
  static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  /// Walks all chunks.
  public static func inspect(_ bytes: [UInt8]) throws(ImageError) -> PageFormat {
    guard bytes.starts(with: signature) else {
      if signature.starts(with: bytes) { throw .truncated(offset: bytes.count) }
      throw .unknownFormat
    }
    var index = signature.count
    var header: Header?
    var palette: Range<Int>?
    var dpi: Int?
    var dataChunks = 0
    var dataEnded = false
    while true {
      guard index + 8 <= bytes.count else { throw .truncated(offset: bytes.count) }
      let length = bytes.bigEndian32(index)
      guard length <= 0x7FFF_FFFF else { throw .corrupt(.segment, offset: index) }
      let content = (index + 8)..<(index + 8 + length)
      guard content.upperBound + 4 <= bytes.count else { throw .truncated(offset: bytes.count) }
      let type = bytes.bigEndian32(index + 4)
      let sum = CRC32.checksum(bytes, (index + 4)..<content.upperBound)
      guard bytes.bigEndian32(content.upperBound) == Int(sum) else {
        throw .corrupt(.checksum, offset: content.upperBound)
      }
      if header == nil, type != Chunk.header { throw .corrupt(.order, offset: index) }
      switch type {
      case Chunk.header:
        guard header == nil else { throw .corrupt(.order, offset: index) }
        header = try Header(bytes, content)
      case Chunk.palette:
        guard palette == nil, dataChunks == 0 else { throw .corrupt(.order, offset: index) }
        guard (3...768).contains(length), length.isMultiple(of: 3) else {
          throw .corrupt(.segment, offset: index)
        }
        palette = content
      case Chunk.physical:
        guard length == 9 else { throw .corrupt(.segment, offset: index) }
        dpi = density(bytes, content.lowerBound)
      case Chunk.data:
        guard !dataEnded, header?.colourType != 3 || palette != nil else {
          throw .corrupt(.order, offset: index)
        }
        dataChunks += 1
      case Chunk.end:
        guard length == 0 else { throw .corrupt(.segment, offset: index) }
        guard let header, dataChunks > 0 else { throw .corrupt(.order, offset: index) }
        if let rest = bytes[content.upperBound.advanced(by: 4)...].firstIndex(where: { $0 != 0 }) {
          throw .corrupt(.trailingData, offset: rest)
        }
        return PageFormat(
          mediaType: "image/png", width: header.width, height: header.height, dpi: dpi,
          colour: header.colour(bytes, palette))
      default:
        // Chunks whose name starts with a capital may not be passed over.
        if bytes[index + 4] & 0x20 == 0 { throw .unsupported(offset: index) }
      }
      if dataChunks > 0, type != Chunk.data { dataEnded = true }
      index = content.upperBound + 4
    }
  }

  private enum Chunk {
    static let header = 0x4948_4452
    static let palette = 0x504C_5445
    static let data = 0x4944_4154
    static let end = 0x4945_4E44
    static let physical = 0x7048_5973
  }

  private struct Header {
    let width: Int
    let height: Int
    let depth: UInt8
    let colourType: UInt8

    init(_ bytes: [UInt8], _ content: Range<Int>) throws(ImageError) {
      let start = content.lowerBound
      guard content.count == 13 else { throw .corrupt(.segment, offset: start) }
      width = bytes.bigEndian32(start)
      height = bytes.bigEndian32(start + 4)
      depth = bytes[start + 8]
      colourType = bytes[start + 9]
      guard (1...0x7FFF_FFFF).contains(width), (1...0x7FFF_FFFF).contains(height) else {
        throw .corrupt(.dimensions, offset: start)
      }
      let depths: [UInt8] =
        switch colourType {
        case 0: [1, 2, 4, 8, 16]
        case 3: [1, 2, 4, 8]
        case 2, 4, 6: [8, 16]
        default: []
        }
      guard depths.contains(depth), bytes[start + 10] == 0, bytes[start + 11] == 0, bytes[start + 12] <= 1
      else { throw .corrupt(.segment, offset: start + 8) }
    }

    func colour(_ bytes: [UInt8], _ palette: Range<Int>?) -> PageFormat.Colour {
      switch colourType {
      case 0: return depth == 1 ? .blackAndWhite : .grey
      case 4: return .grey
      case 3:
        guard let palette else { return .colour }
        var isBlackAndWhite = true
        for index in stride(from: palette.lowerBound, to: palette.upperBound, by: 3) {
          let red = bytes[index]
          guard red == bytes[index + 1], red == bytes[index + 2] else { return .colour }
          if red != 0, red != 0xFF { isBlackAndWhite = false }
        }
        return isBlackAndWhite ? .blackAndWhite : .grey
      default: return .colour
      }
    }
  }

  private static func density(_ bytes: [UInt8], _ start: Int) -> Int? {
    let across = bytes.bigEndian32(start)
    // Unit 1 is the metre; 0 gives a ratio only.
    guard bytes[start + 8] == 1, across > 0, across == bytes.bigEndian32(start + 4) else { return nil }
    return (across * 254 + 5000) / 10_000
  }
}

/// The checksum of PNG, gzip and Ethernet: polynomial 04C11DB7, reflected.
enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { number in
    var value = UInt32(number)
    for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
    return value
  }

  static func checksum(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
    let table = table
    var value: UInt32 = 0xFFFF_FFFF
    for index in range { value = table[Int((value ^ UInt32(bytes[index])) & 0xFF)] ^ (value >> 8) }
    return ~value
  }
}
