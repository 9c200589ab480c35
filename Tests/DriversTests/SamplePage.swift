/// Small whole JPEG images that differ by a number in a comment.
enum SamplePage {
  /// 8 by 8 pixels of one shade at 300 dpi: baseline, one table each, by hand from ITU-T T.81.
  static func jpeg(_ number: Int = 1, colour: Bool = false) -> [UInt8] {
    let soi: [UInt8] = [0xFF, 0xD8]
    let jfif: [UInt8] = [0xFF, 0xE0, 0, 16, 0x4A, 0x46, 0x49, 0x46, 0, 1, 1, 1, 1, 0x2C, 1, 0x2C, 0, 0]
    let comment: [UInt8] = [
      0xFF, 0xFE, 0, 4, UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number),
    ]
    let quantisation: [UInt8] = [0xFF, 0xDB, 0, 67, 0] + Array(repeating: 1, count: 64)
    let components: [UInt8] = colour ? [1, 2, 3] : [1]
    let frame: [UInt8] =
      [0xFF, 0xC0, 0, UInt8(8 + 3 * components.count), 8, 0, 8, 0, 8, UInt8(components.count)]
      + components.flatMap { [$0, 0x11, 0] }
    // One code of one bit in each table: no difference, and end of block.
    let codes: [UInt8] = [1] + Array(repeating: 0, count: 15) + [0]
    let tables: [UInt8] = [0xFF, 0xC4, 0, 20, 0x00] + codes + [0xFF, 0xC4, 0, 20, 0x10] + codes
    let scan: [UInt8] =
      [0xFF, 0xDA, 0, UInt8(6 + 2 * components.count), UInt8(components.count)]
      + components.flatMap { [$0, 0] } + [0, 63, 0]
    let data: [UInt8] = [colour ? 0x03 : 0x3F]
    return soi + jfif + comment + quantisation + frame + tables + scan + data + [0xFF, 0xD9]
  }
}
