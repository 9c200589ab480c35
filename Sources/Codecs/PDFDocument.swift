/// A small text document as PDF 1.4, for receipts and test pages: Chinese and Latin text in the standard Chinese font
/// STSong-Light, which every PDF reader brings or replaces, so nothing is embedded.
///
/// Text is coded as UCS-2 with the predefined CMap UniGB-UCS2-H (ISO 32000-1, 9.7.5.2); characters outside the basic
/// multilingual plane, which that cannot carry, are shown as 〓.
public struct PDFDocument: Sendable {
  /// Paper size in points (1/72 inch).
  public enum Paper: Sendable, Equatable {
    /// 210 mm by 297 mm.
    case a4
    /// 148 mm by 210 mm.
    case a5
    /// A strip of the given width, as long as its text: receipts on a roll.
    case roll(millimetres: Int)

    var width: Double {
      switch self {
      case .a4: 595.28
      case .a5: 419.53
      case .roll(let millimetres): Double(min(max(millimetres, 40), 210)) * 72 / 25.4
      }
    }

    var height: Double? {
      switch self {
      case .a4: 841.89
      case .a5: 595.28
      case .roll: nil
      }
    }

    var margin: Double {
      switch self {
      case .a4: 56
      case .a5: 40
      case .roll: 10
      }
    }
  }

  /// Where a line of text stands.
  public enum Alignment: Sendable, Equatable {
    /// At the left margin.
    case left
    /// In the middle.
    case centre
    /// At the right margin.
    case right
  }

  /// One piece of the document, from top to bottom.
  public enum Block: Sendable, Equatable {
    /// A paragraph, wrapped to the paper's width; size in points.
    case text(String, size: Double = 10.5, alignment: Alignment = .left)
    /// A thin line across the page.
    case rule
    /// Empty space, in points.
    case space(Double)
  }

  /// Title shown by readers.
  public var title: String
  /// Paper.
  public var paper: Paper
  /// Content.
  public var blocks: [Block]

  /// A document.
  public init(title: String, paper: Paper = .a5, blocks: [Block] = []) {
    self.title = title
    self.paper = paper
    self.blocks = blocks
  }

  /// The file. The same document always gives the same bytes.
  public var bytes: [UInt8] {
    let pages = layout()
    let pageIDs = pages.indices.map { 7 + 2 * $0 }
    var objects: [String] = [
      "<</Type/Catalog/Pages 2 0 R/Lang(zh-CN)>>",
      "<</Type/Pages/Count \(pages.count)/Kids[\(pageIDs.map { "\($0) 0 R" }.joined(separator: " "))]>>",
      "<</Type/Font/Subtype/Type0/BaseFont/STSong-Light-UniGB-UCS2-H/Encoding/UniGB-UCS2-H"
        + "/DescendantFonts[4 0 R]>>",
      // CIDs 1 to 95 are the ASCII characters; half as wide as Chinese ones, which `width(of:)` relies on.
      "<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/CIDSystemInfo<</Registry(Adobe)"
        + "/Ordering(GB1)/Supplement 2>>/FontDescriptor 5 0 R/DW 1000/W[1 95 500]>>",
      "<</Type/FontDescriptor/FontName/STSong-Light/Flags 6/FontBBox[-25 -254 1000 880]/ItalicAngle 0"
        + "/Ascent 880/Descent -120/CapHeight 880/StemV 93>>",
      "<</Title<FEFF\(Self.hexadecimal(title.utf16))>/Producer(hall-agent)>>",
    ]
    for (number, page) in pages.enumerated() {
      objects.append(
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 \(Self.decimal(paper.width)) \(Self.decimal(page.height))]"
          + "/Resources<</Font<</F1 3 0 R>>>>/Contents \(8 + 2 * number) 0 R>>")
      objects.append("<</Length \(page.content.utf8.count)>>stream\n\(page.content)endstream")
    }
    // The second line tells transports that the file is binary (ISO 32000-1, 7.5.2).
    var file: [UInt8] = Array("%PDF-1.4\n%".utf8) + [0xE2, 0xE3, 0xCF, 0xD3, 0x0A]
    var table = "xref\n0 \(objects.count + 1)\n0000000000 65535 f \n"
    for (number, object) in objects.enumerated() {
      let offset = String(file.count)
      table += String(repeating: "0", count: max(0, 10 - offset.count)) + offset + " 00000 n \n"
      file += Array("\(number + 1) 0 obj\n\(object)\nendobj\n".utf8)
    }
    let start = file.count
    file += Array(table.utf8)
    file += Array(
      "trailer\n<</Size \(objects.count + 1)/Root 1 0 R/Info 6 0 R>>\nstartxref\n\(start)\n%%EOF\n".utf8)
    return file
  }

  private struct Page {
    var content = ""
    var height = 0.0
  }

  // Distance of the baseline from the top of a line, and of two baselines, in sizes of the font.
  private static let ascent = 0.88
  private static let leading = 1.45

  private func layout() -> [Page] {
    let margin = paper.margin
    let inner = paper.width - 2 * margin
    // Ordinates are first counted down from the top, since a roll's height is not known before its end.
    var pages: [[(down: Double, draw: @Sendable (Double) -> String)]] = [[]]
    var down = margin
    func place(_ height: Double, _ draw: @escaping @Sendable (Double) -> String) {
      if let limit = paper.height, down + height > limit - margin, !pages[pages.count - 1].isEmpty {
        pages.append([])
        down = margin
      }
      pages[pages.count - 1].append((down, draw))
      down += height
    }
    for block in blocks {
      switch block {
      case .text(let text, let size, let alignment):
        let size = min(max(size, 4), 72)
        for line in Self.wrapped(text, width: inner / size) {
          let left: Double =
            switch alignment {
            case .left: margin
            case .centre: margin + (inner - Self.width(of: line) * size) / 2
            case .right: margin + inner - Self.width(of: line) * size
            }
          place(size * Self.leading) { top in
            let baseline = top - size * Self.ascent
            return "BT/F1 \(Self.decimal(size)) Tf \(Self.decimal(left)) \(Self.decimal(baseline)) Td "
              + "<\(Self.hexadecimal(line))>Tj ET\n"
          }
        }
      case .rule:
        place(8) { top in
          "0.5 w \(Self.decimal(margin)) \(Self.decimal(top - 4)) m "
            + "\(Self.decimal(margin + inner)) \(Self.decimal(top - 4)) l S\n"
        }
      case .space(let points): down += min(max(points, 0), 800)
      }
    }
    return pages.map { page in
      let height = paper.height ?? max(down + margin, 72)
      return Page(content: page.map { $0.draw(height - $0.down) }.joined(), height: height)
    }
  }

  private static func codeUnits(_ text: String) -> [UInt16] {
    text.unicodeScalars.map { scalar in
      switch scalar.value {
      case 0..<0x20: 0x20
      case 0x1_0000...: 0x3013
      case let value: UInt16(value)
      }
    }
  }

  // Breaks at line ends and where the width is used up; words of Latin letters are kept whole if they fit at all.
  private static func wrapped(_ text: String, width: Double) -> [[UInt16]] {
    var lines: [[UInt16]] = []
    for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false) {
      var line: [UInt16] = []
      for unit in codeUnits(String(paragraph)) {
        if !line.isEmpty, Self.width(of: line + [unit]) > width + 1e-9 {
          let word = line.reversed().prefix { isWordPart($0) }.count
          if isWordPart(unit), word > 0, word < line.count {
            lines.append(Array(line.dropLast(word)))
            line = Array(line.suffix(word))
          } else {
            lines.append(line)
            line = []
            // The space at which a line ends stands for its end.
            if unit == 0x20 { continue }
          }
        }
        line.append(unit)
      }
      lines.append(line)
    }
    return lines
  }

  private static func isWordPart(_ unit: UInt16) -> Bool {
    switch unit {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x2F, 0x5F: true
    default: false
    }
  }

  // In sizes of the font.
  private static func width(of line: [UInt16]) -> Double {
    line.reduce(0) { $0 + ((0x20...0x7E).contains($1) ? 0.5 : 1) }
  }

  private static func hexadecimal(_ units: some Sequence<UInt16>) -> String {
    units.map { unit in
      let digits = String(unit, radix: 16, uppercase: true)
      return String(repeating: "0", count: 4 - digits.count) + digits
    }.joined()
  }

  // Two places are enough for 1/100 point; PDF knows no exponents.
  private static func decimal(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = abs(hundredths) % 100
    let sign = hundredths < 0 ? "-" : ""
    if fraction == 0 { return "\(sign)\(abs(hundredths) / 100)" }
    return "\(sign)\(abs(hundredths) / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}
