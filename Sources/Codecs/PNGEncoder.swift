/// Writes pictures as PNG (ISO/IEC 15948, RFC 2083) of 8 bits each of red, green and blue.
///
/// The rows stand in stored blocks of deflate (RFC 1951, 3.2.4), so that a file is a little larger than its pixels. To
/// compress well is a library's business; this is the form for what few devices deliver, and not worth one.
public enum PNGEncoder {
  /// Signature, IHDR, IDAT without its content, IEND.
  private static let frameLength = 8 + (12 + 13) + 12 + 12
  /// Of the zlib stream (RFC 1950): two bytes of header, and the checksum.
  private static let zlibLength = 2 + 4
  /// What a chunk, and with it this encoder's only IDAT, holds at the most.
  private static let chunkLimit = 0x7FFF_FFFF

  /// How many bytes the file of a picture has; nil for a size of nothing, and for one that is too large.
  public static func length(width: Int, height: Int) -> Int? {
    guard (1...chunkLimit / 4).contains(width), (1...chunkLimit).contains(height) else { return nil }
    let (raw, overflows) = (1 + 3 * width).multipliedReportingOverflow(by: height)
    guard !overflows, raw <= chunkLimit else { return nil }
    let blocks = (raw + StoredBlocks.limit - 1) / StoredBlocks.limit
    let stream = zlibLength + raw + 5 * blocks
    return stream <= chunkLimit ? frameLength + stream : nil
  }

  /// The file of a picture; nil where ``length(width:height:)`` is.
  /// - Parameter row: fills the row of that number, 0 for the top one: three bytes a pixel, red first.
  public static func encode(
    width: Int, height: Int, row fill: (_ number: Int, _ row: inout MutableSpan<UInt8>) -> Void
  ) -> [UInt8]? {
    guard let length = length(width: width, height: height) else { return nil }
    var file: [UInt8] = []
    file.reserveCapacity(length)
    file += PNGInspector.signature
    chunk("IHDR", to: &file) {
      // 8 bits, red green blue; deflate; filters by row; not interlaced.
      $0 += bigEndian(width) + bigEndian(height) + [8, 2, 0, 0, 0]
    }
    chunk("IDAT", to: &file) { file in
      // Deflate with a window of 32 KiB, no dictionary; the second byte makes both a multiple of 31.
      file += [0x78, 0x01]
      var blocks = StoredBlocks(length: (1 + 3 * width) * height)
      var sum = Adler32()
      var row = [UInt8](repeating: 0, count: 3 * width)
      // Each row says its filter first.
      let noFilter: [UInt8] = [0]
      for number in 0..<height {
        var pixels = row.mutableSpan
        fill(number, &pixels)
        for part in [noFilter, row] {
          blocks.add(part, to: &file)
          sum.add(part)
        }
      }
      file += bigEndian(Int(sum.value))
    }
    chunk("IEND", to: &file) { _ in }
    return file
  }

  /// Length, name, content, and the checksum of the latter two.
  private static func chunk(_ name: StaticString, to file: inout [UInt8], content: (inout [UInt8]) -> Void) {
    let start = file.count
    file += [0, 0, 0, 0]
    file += Array(name.description.utf8)
    content(&file)
    file.replaceSubrange(start..<start + 4, with: bigEndian(file.count - start - 8))
    file += bigEndian(Int(CRC32.checksum(file, start + 4..<file.count)))
  }

  private static func bigEndian(_ number: Int) -> [UInt8] {
    stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) }
  }
}

/// Deflate's blocks of bytes as they are (RFC 1951, 3.2.4).
private struct StoredBlocks {
  /// What one holds at the most, behind five bytes of header.
  static let limit = 0xFFFF
  /// What is not in a block yet.
  private var left: Int
  /// What the present block still takes.
  private var room = 0

  /// - Parameter length: of all bytes together.
  init(length: Int) { left = length }

  mutating func add(_ bytes: [UInt8], to file: inout [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      if room == 0 {
        room = min(left, Self.limit)
        left -= room
        // The last one is marked; the length and its complement, low byte first.
        let (low, high) = (UInt8(truncatingIfNeeded: room), UInt8(truncatingIfNeeded: room >> 8))
        file += [left == 0 ? 1 : 0, low, high, ~low, ~high]
      }
      let piece = rest.prefix(room)
      file += piece
      room -= piece.count
      rest = rest.dropFirst(piece.count)
    }
  }
}

/// The checksum of zlib (RFC 1950, 8.2): the sum of the bytes and the sum of those sums, each modulo 65521.
struct Adler32 {
  private static let modulus: UInt32 = 65_521
  /// So many bytes can be added before the sums may pass 32 bits (RFC 1950, 9).
  private static let most = 5552
  private var first: UInt32 = 1
  private var second: UInt32 = 0

  var value: UInt32 { second << 16 | first }

  mutating func add(_ bytes: [UInt8]) {
    for start in stride(from: 0, to: bytes.count, by: Self.most) {
      for index in start..<min(start + Self.most, bytes.count) {
        first += UInt32(bytes[index])
        second += first
      }
      first %= Self.modulus
      second %= Self.modulus
    }
  }
}
