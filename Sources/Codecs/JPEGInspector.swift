/// What a JPEG image says about itself.
public struct JPEGFrame: Sendable, Equatable {
  /// Width in pixels, at least 1.
  public let width: Int
  /// Height in lines, at least 1.
  public let height: Int
  /// 1 for grey, 3 for colour, 4 for ink colours.
  public let components: Int
  /// Whether the picture comes in several passes.
  public let isProgressive: Bool
  /// Dots per inch from the JFIF header, if it has them and they are the same in both directions.
  public let dpi: Int?
  /// False for camera frames that leave the standard tables out.
  public let hasHuffmanTables: Bool
  /// Length of the image in bytes, without the zeros some cameras send after it.
  public let length: Int
}

/// Checks that a JPEG image is whole and sound by its markers (ITU-T T.81 annex B; the truncation test of
/// facts/devices.md D1), without decoding the picture.
///
/// A lost piece inside the coded data is found where the image has restart markers, by their number and turn. Without
/// them, a decoder would be needed.
public enum JPEGInspector {
  /// Walks all markers from start to end of image.
  public static func inspect(_ bytes: [UInt8]) throws(ImageError) -> JPEGFrame {
    guard bytes.count >= 4 else { throw .truncated(offset: bytes.count) }
    guard bytes[0] == 0xFF, bytes[1] == 0xD8 else { throw .unknownFormat }
    var walk = Walk(bytes)
    return try walk.run()
  }

  /// The image with the standard Huffman tables (ITU-T T.81, K.3) put in front of its first scan, for frames of
  /// cameras that leave them out (facts/devices.md D1). An image that has tables, or is no JPEG, is returned as it is.
  public static func addingStandardTables(_ bytes: [UInt8]) -> [UInt8] {
    guard let frame = try? inspect(bytes), !frame.hasHuffmanTables else { return bytes }
    return bytes[..<2] + StandardHuffmanTables.segment + bytes[2...]
  }

  private struct Frame {
    var width = 0
    var height = 0
    var isProgressive = false
    // Identifier and sampling factors of each component.
    var components: [(id: UInt8, horizontal: Int, vertical: Int)] = []

    // Number of coding units in a scan of these components (T.81, A.2).
    func units(_ ids: [UInt8]) -> Int {
      let widest = components.map(\.horizontal).max() ?? 1
      let tallest = components.map(\.vertical).max() ?? 1
      func over(_ size: Int, _ part: Int) -> Int { (size + part - 1) / part }
      guard ids.count == 1, let one = components.first(where: { $0.id == ids[0] }) else {
        return over(width, 8 * widest) * over(height, 8 * tallest)
      }
      return over(over(width * one.horizontal, widest), 8) * over(over(height * one.vertical, tallest), 8)
    }
  }

  private struct Walk {
    let bytes: [UInt8]
    var index = 2
    var frame: Frame?
    var dpi: Int?
    var restartInterval = 0
    var hasQuantisation = false
    var hasHuffman = false
    var hasScan = false

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func run() throws(ImageError) -> JPEGFrame {
      while true {
        let start = index
        let marker = try nextMarker()
        switch marker {
        case 0xD9:
          guard let frame, hasScan else { throw .corrupt(.order, offset: start) }
          let length = index
          while index < bytes.count {
            guard bytes[index] == 0 else { throw .corrupt(.trailingData, offset: index) }
            index += 1
          }
          return JPEGFrame(
            width: frame.width, height: frame.height, components: frame.components.count,
            isProgressive: frame.isProgressive, dpi: dpi, hasHuffmanTables: hasHuffman, length: length)
        case 0xC0, 0xC1, 0xC2: try startOfFrame(marker)
        case 0xC4:
          hasHuffman = true
          _ = try segment(atLeast: 17)
        case 0xDB:
          hasQuantisation = true
          _ = try segment(atLeast: 65)
        case 0xDD: restartInterval = bytes.bigEndian16(try segment(atLeast: 2).lowerBound)
        case 0xDA: try scan()
        case 0xE0: density(try segment(atLeast: 0))
        case 0xE1...0xEF, 0xFE: _ = try segment(atLeast: 0)
        // Lossless, hierarchical and arithmetic processes.
        case 0xC3, 0xC5...0xC7, 0xC8...0xCF: throw .unsupported(offset: start)
        default: throw .corrupt(.marker, offset: start)
        }
      }
    }

    private mutating func nextMarker() throws(ImageError) -> UInt8 {
      guard index < bytes.count else { throw .truncated(offset: index) }
      guard bytes[index] == 0xFF else { throw .corrupt(.marker, offset: index) }
      // Any number of FF may fill the space before a marker.
      while index < bytes.count, bytes[index] == 0xFF { index += 1 }
      guard index < bytes.count else { throw .truncated(offset: index) }
      index += 1
      return bytes[index - 1]
    }

    // The content after the two length bytes.
    private mutating func segment(atLeast least: Int) throws(ImageError) -> Range<Int> {
      guard index + 2 <= bytes.count else { throw .truncated(offset: bytes.count) }
      let length = bytes.bigEndian16(index)
      guard length >= least + 2 else { throw .corrupt(.segment, offset: index) }
      guard index + length <= bytes.count else { throw .truncated(offset: bytes.count) }
      defer { index += length }
      return (index + 2)..<(index + length)
    }

    private mutating func density(_ content: Range<Int>) {
      let start = content.lowerBound
      guard content.count >= 12, bytes[start..<(start + 5)].elementsEqual([0x4A, 0x46, 0x49, 0x46, 0]) else {
        return
      }
      let across = bytes.bigEndian16(start + 8)
      guard across > 0, across == bytes.bigEndian16(start + 10) else { return }
      switch bytes[start + 7] {
      case 1: dpi = across
      // Dots per centimetre.
      case 2: dpi = (across * 254 + 50) / 100
      default: break
      }
    }

    private mutating func startOfFrame(_ marker: UInt8) throws(ImageError) {
      let start = index
      let content = try segment(atLeast: 6).lowerBound
      guard self.frame == nil else { throw .corrupt(.order, offset: start) }
      guard bytes[content] == 8 else { throw .unsupported(offset: content) }
      var frame = Frame()
      frame.isProgressive = marker == 0xC2
      frame.height = bytes.bigEndian16(content + 1)
      frame.width = bytes.bigEndian16(content + 3)
      let count = Int(bytes[content + 5])
      guard frame.width > 0, frame.height > 0 else { throw .corrupt(.dimensions, offset: content + 1) }
      guard [1, 3, 4].contains(count), index - content == 6 + 3 * count else {
        throw .corrupt(.segment, offset: start)
      }
      for number in 0..<count {
        let place = content + 6 + 3 * number
        let horizontal = Int(bytes[place + 1] >> 4)
        let vertical = Int(bytes[place + 1] & 0x0F)
        guard (1...4).contains(horizontal), (1...4).contains(vertical) else {
          throw .corrupt(.segment, offset: place)
        }
        frame.components.append((bytes[place], horizontal, vertical))
      }
      self.frame = frame
    }

    private mutating func scan() throws(ImageError) {
      let start = index
      let content = try segment(atLeast: 4).lowerBound
      guard let frame, hasQuantisation else { throw .corrupt(.order, offset: start) }
      let count = Int(bytes[content])
      guard (1...4).contains(count), index - content == 4 + 2 * count else {
        throw .corrupt(.segment, offset: start)
      }
      let ids = (0..<count).map { bytes[content + 1 + 2 * $0] }
      guard ids.allSatisfy({ id in frame.components.contains { $0.id == id } }) else {
        throw .corrupt(.segment, offset: start)
      }
      hasScan = true
      let restarts = try codedData()
      guard restartInterval > 0 else { return }
      let expected = (frame.units(ids) + restartInterval - 1) / restartInterval - 1
      // Some encoders put one more before the end.
      guard restarts == expected || restarts == expected + 1 else {
        throw .corrupt(.restartMarkers, offset: index)
      }
    }

    // Goes to the marker that ends the coded data and counts the restart markers within.
    private mutating func codedData() throws(ImageError) -> Int {
      let count = bytes.count
      var position = index
      var restarts = 0
      while true {
        while position < count, bytes[position] != 0xFF { position += 1 }
        guard position + 1 < count else { throw .truncated(offset: count) }
        switch bytes[position + 1] {
        case 0x00: position += 2
        case 0xFF: position += 1
        case let marker where marker & 0xF8 == 0xD0:
          guard Int(marker & 7) == restarts & 7, restartInterval > 0 else {
            throw .corrupt(.restartMarkers, offset: position)
          }
          restarts += 1
          position += 2
        default:
          index = position
          return restarts
        }
      }
    }
  }
}

/// The tables most encoders use (ITU-T T.81, K.3), as one DHT segment.
enum StandardHuffmanTables {
  static let segment: [UInt8] = {
    let tables =
      [0x00] + directLuminance + directValues + [0x10] + alternatingLuminance + luminanceValues + [0x01]
      + directChrominance + directValues + [0x11] + alternatingChrominance + chrominanceValues
    let length = tables.count + 2
    return [0xFF, 0xC4, UInt8(length >> 8), UInt8(length & 0xFF)] + tables
  }()

  private static let directLuminance: [UInt8] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
  private static let directChrominance: [UInt8] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
  private static let directValues: [UInt8] = Array(0...11)
  private static let alternatingLuminance: [UInt8] = [
    0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D,
  ]
  private static let alternatingChrominance: [UInt8] = [
    0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77,
  ]
  private static let luminanceValues: [UInt8] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
  ]
  private static let chrominanceValues: [UInt8] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0,
    0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26,
    0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5,
    0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3,
    0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA,
    0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
  ]
}
