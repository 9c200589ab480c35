/// A piece of paper that came out of a simulated ticket printer, as structure and not as dots: what is on it can be
/// read, compared and drawn.
public struct PrintedTicket: Sendable, Equatable {
  /// Characters of one appearance.
  public struct Run: Sendable, Equatable {
    /// The characters; `□` for each that the printer's font has not got.
    public var text: String
    /// Width as a multiple of the font's, 1…8.
    public var width: Int
    /// Height as a multiple of the font's, 1…8.
    public var height: Int
    /// Printed twice.
    public var isBold: Bool
    /// With a line below.
    public var isUnderlined: Bool
    /// White on black.
    public var isInverted: Bool
  }

  /// Where on the paper a line stands.
  public enum Alignment: String, Sendable { case left, centre, right }

  /// What follows what down the paper.
  public enum Element: Sendable, Equatable {
    /// A printed line; without runs a blank one.
    case line([Run], Alignment)
    /// Blank paper, in dots.
    case feed(dots: Int)
    /// A QR symbol of these bytes, with modules of that many dots.
    case qr([UInt8], moduleDots: Int, Alignment)
    /// A bar code.
    case barcode(system: String, data: [UInt8], Alignment)
    /// A picture: rows of `rowBytes` bytes, leftmost dot in the highest bit, 1 is black.
    case picture(rowBytes: Int, rows: Int, dots: [UInt8], Alignment)
  }

  /// How the piece came off.
  public enum End: String, Sendable {
    /// Cut through.
    case cut
    /// Cut but for a bridge of paper.
    case partialCut = "partial-cut"
    /// Taken away by hand, unfinished, when the roll had ended.
    case torn
  }

  /// Running number of pieces, 1 for the first one ever.
  public let number: Int
  /// What is on it, from the top.
  public let elements: [Element]
  /// How it came off.
  public let end: End
  /// Columns of the paper in characters of font A.
  public let columns: Int

  /// The text of each printed line that has any, in order.
  public var lines: [String] {
    elements.compactMap { element in
      guard case .line(let runs, _) = element, !runs.isEmpty else { return nil }
      return runs.map(\.text).joined()
    }
  }

  /// The content of each QR symbol, as text where it is UTF-8.
  public var qrTexts: [String] {
    elements.compactMap { element in
      guard case .qr(let bytes, _, _) = element else { return nil }
      return String(validating: bytes, as: UTF8.self) ?? hexadecimal(bytes)
    }
  }

  /// How many pictures are on it.
  public var pictureCount: Int {
    elements.count { if case .picture = $0 { true } else { false } }
  }

  /// A number over everything on the paper (FNV-1a, 64 bits, hexadecimal): equal paper has equal digests.
  public var digest: String {
    var bytes: [UInt8] = []
    func add(_ more: some Sequence<UInt8>) { bytes += more }
    for element in elements {
      switch element {
      case .line(let runs, let alignment):
        add("line \(alignment.rawValue)".utf8)
        for run in runs {
          add(
            "\(run.text) \(run.width) \(run.height) \(run.isBold) \(run.isUnderlined) \(run.isInverted)".utf8)
        }
      case .feed(let dots): add("feed \(dots)".utf8)
      case .qr(let content, let dots, let alignment):
        add("qr \(dots) \(alignment.rawValue)".utf8)
        add(content)
      case .barcode(let system, let data, let alignment):
        add("bar \(system) \(alignment.rawValue)".utf8)
        add(data)
      case .picture(let rowBytes, let rows, let dots, let alignment):
        add("picture \(rowBytes) \(rows) \(alignment.rawValue)".utf8)
        add(dots)
      }
    }
    return fnv1a(bytes)
  }
}

/// FNV-1a of 64 bits as hexadecimal: tells contents apart, protects nothing.
func fnv1a(_ bytes: [UInt8]) -> String {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  return hexadecimal((0..<8).map { UInt8(truncatingIfNeeded: hash >> (56 - 8 * $0)) })
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
}
