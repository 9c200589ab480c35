/// An uncompressed picture of a camera: packed 4:2:2, each two pixels of a row as Y Cb Y Cr in four bytes
/// (`V4L2_PIX_FMT_YUYV`; the kernel's Documentation/userspace-api/media/v4l/pixfmt-packed-yuv.rst).
///
/// Its colours are taken as BT.601 of limited range: V4L2's default for the sRGB colour space, that of most webcams, and to
/// which "all current capture hardware supported by the kernel" converts (…/v4l/colorspaces-details.rst).
public struct YUYVPicture: Sendable {
  /// Why bytes are no such picture.
  public enum Failure: Error, Sendable, Equatable, CustomStringConvertible {
    /// Of no pixel, or of more than PNG has.
    case dimensions(width: Int, height: Int)
    /// Too few bytes, or too many.
    case length(expected: Int, found: Int)

    /// One sentence in English.
    public var description: String {
      switch self {
      case .dimensions(let width, let height): "no picture is of \(width)×\(height)"
      case .length(let expected, let found): "\(found) bytes instead of the \(expected) of its format"
      }
    }
  }

  /// In pixels.
  public let width: Int
  /// In pixels.
  public let height: Int
  private let bytes: [UInt8]

  /// Bytes of a row: an odd one ends in a pair of which the second pixel is not part of the picture.
  public static func rowLength(width: Int) -> Int { width / 2 * 4 + (width.isMultiple(of: 2) ? 0 : 4) }

  /// A picture of rows from the top, without anything between or behind them.
  public init(_ bytes: [UInt8], width: Int, height: Int) throws(Failure) {
    // What a PNG may have is far below what could overflow here.
    guard PNGEncoder.length(width: width, height: height) != nil else {
      throw .dimensions(width: width, height: height)
    }
    let expected = Self.rowLength(width: width) * height
    guard bytes.count == expected else { throw .length(expected: expected, found: bytes.count) }
    self.bytes = bytes
    self.width = width
    self.height = height
  }

  /// The picture as a PNG file.
  public var png: [UInt8] {
    let rowLength = Self.rowLength(width: width)
    let file = PNGEncoder.encode(width: width, height: height) { number, row in
      var from = number * rowLength
      var to = 0
      while to < row.count {
        let colour = Colour(bytes[from + 1], bytes[from + 3])
        colour.write(bytes[from], to: &row, at: to)
        if to + 3 < row.count { colour.write(bytes[from + 2], to: &row, at: to + 3) }
        from += 4
        to += 6
      }
    }
    // Only a size that no picture here has, has no file.
    return file ?? []
  }

  /// What the colour of two pixels adds to the lightness of each, in 65536ths.
  ///
  /// Y' = 0.299 R' + 0.587 G' + 0.114 B', of 219 steps from 16; Cb and Cr of 224 steps about 128: solved for R', G' and B' of 255.
  private struct Colour {
    let red: Int32
    let green: Int32
    let blue: Int32

    init(_ cb: UInt8, _ cr: UInt8) {
      let (cb, cr) = (Int32(cb) - 128, Int32(cr) - 128)
      // 255/112 × (1 − 0.299), 255/112 × (1 − 0.114), and their parts in green by 0.299/0.587 and 0.114/0.587.
      red = 104_597 * cr
      green = -25_675 * cb - 53_279 * cr
      blue = 132_201 * cb
    }

    func write(_ lightness: UInt8, to row: inout MutableSpan<UInt8>, at index: Int) {
      // 255/219, and a half for rounding.
      let grey = 76_309 * (Int32(lightness) - 16) + 32_768
      row[index] = UInt8(clamping: (grey + red) >> 16)
      row[index + 1] = UInt8(clamping: (grey + green) >> 16)
      row[index + 2] = UInt8(clamping: (grey + blue) >> 16)
    }
  }
}
