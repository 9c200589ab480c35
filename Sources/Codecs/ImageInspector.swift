/// What a scanned page is, as told by the image itself.
public struct PageFormat: Sendable, Equatable {
  /// What its pixels can show.
  public enum Colour: String, Sendable, CaseIterable {
    /// Colours.
    case colour
    /// Shades of grey.
    case grey
    /// Black and white only.
    case blackAndWhite
  }

  /// `image/jpeg` or `image/png`.
  public let mediaType: String
  /// Width in pixels, at least 1.
  public let width: Int
  /// Height in pixels, at least 1.
  public let height: Int
  /// Dots per inch, if the image says so and they are the same in both directions.
  public let dpi: Int?
  /// What its pixels can show.
  public let colour: Colour

  /// A page.
  public init(mediaType: String, width: Int, height: Int, dpi: Int?, colour: Colour) {
    self.mediaType = mediaType
    self.width = width
    self.height = height
    self.dpi = dpi
    self.colour = colour
  }
}

/// Why an image is not a whole, sound page.
public enum ImageError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is damaged.
  public enum Defect: Sendable, Equatable {
    /// A marker where none may be, or none where one must be.
    case marker
    /// A segment or chunk whose length or content is impossible.
    case segment
    /// Width or height of zero, or too large.
    case dimensions
    /// A part that must come before this one is missing.
    case order
    /// Restart markers missing or out of turn: a piece of the picture was lost.
    case restartMarkers
    /// A checksum that does not match.
    case checksum
    /// Bytes other than zero after the end.
    case trailingData
  }

  /// Neither JPEG nor PNG.
  case unknownFormat
  /// The image ends before its end.
  case truncated(offset: Int)
  /// The image is damaged at this byte.
  case corrupt(Defect, offset: Int)
  /// Sound, but of a kind that common viewers do not show (arithmetic coding, 12 bits, lossless).
  case unsupported(offset: Int)
  /// A camera frame without Huffman tables (facts/devices.md D1): complete it with
  /// ``JPEGInspector/addingStandardTables(_:)``.
  case missingHuffmanTables

  /// One sentence in English.
  public var description: String {
    switch self {
    case .unknownFormat: "neither a JPEG nor a PNG image"
    case .truncated(let offset): "the image is cut off at byte \(offset)"
    case .corrupt(let defect, let offset): "the image is damaged (\(defect)) at byte \(offset)"
    case .unsupported(let offset): "an unusual kind of image (byte \(offset)) that viewers do not show"
    case .missingHuffmanTables: "a camera frame without Huffman tables"
    }
  }
}

/// Decides whether bytes are one whole page image, without decoding the picture.
public enum ImageInspector {
  /// Checks an image to its last byte; JPEG and PNG are told apart by their first bytes.
  public static func inspect(_ bytes: [UInt8]) throws(ImageError) -> PageFormat {
    if bytes.starts(with: [0xFF, 0xD8]) {
      let frame = try JPEGInspector.inspect(bytes)
      guard frame.hasHuffmanTables else { throw .missingHuffmanTables }
      return PageFormat(
        mediaType: "image/jpeg", width: frame.width, height: frame.height, dpi: frame.dpi,
        colour: frame.components == 1 ? .grey : .colour)
    }
    if bytes.starts(with: PNGInspector.signature.prefix(4)) { return try PNGInspector.inspect(bytes) }
    if bytes.count < 4 { throw .truncated(offset: bytes.count) }
    throw .unknownFormat
  }
}

extension [UInt8] {
  /// Big-endian; the caller has checked that the bytes are there.
  func bigEndian16(_ index: Int) -> Int { Int(self[index]) << 8 | Int(self[index + 1]) }

  /// Big-endian; the caller has checked that the bytes are there.
  func bigEndian32(_ index: Int) -> Int { bigEndian16(index) << 16 | bigEndian16(index + 2) }
}
