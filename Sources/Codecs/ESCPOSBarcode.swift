extension ESCPOSCommand {
  /// Bar code systems of `1D 6B` form B (facts/devices.md A1).
  public enum BarcodeSystem: UInt8, Sendable, CaseIterable {
    /// UPC-A: 11 digits, or 12 with the check digit.
    case upcA = 65
    /// UPC-E: 6…8, 11 or 12 digits.
    case upcE = 66
    /// EAN-13: 12 digits, or 13 with the check digit.
    case ean13 = 67
    /// EAN-8: 7 digits, or 8 with the check digit.
    case ean8 = 68
    /// CODE39: digits, capitals, space, `$ % + - . /`, possibly between `*`.
    case code39 = 69
    /// Interleaved 2 of 5: an even number of digits.
    case itf = 70
    /// CODABAR: digits and `$ + - . / :` between two of A…D.
    case codabar = 71
    /// CODE93: ASCII.
    case code93 = 72
    /// CODE128: beginning with a code set, `{A`, `{B` or `{C`; see ``code128(_:)``.
    case code128 = 73

    /// Whether the printer will print a symbol of this data. Otherwise it stops the command and prints the data as text,
    /// by the makers' manuals.
    public func accepts(_ data: [UInt8]) -> Bool {
      let digits = data.allSatisfy { (0x30...0x39).contains($0) }
      switch self {
      case .upcA: return digits && [11, 12].contains(data.count)
      case .upcE: return digits && [6, 7, 8, 11, 12].contains(data.count)
      case .ean13: return digits && [12, 13].contains(data.count)
      case .ean8: return digits && [7, 8].contains(data.count)
      case .itf: return digits && (2...254).contains(data.count) && data.count % 2 == 0
      case .code39:
        let starred = data.count > 2 && data.first == 0x2A && data.last == 0x2A
        let inner = starred ? data.dropFirst().dropLast() : data[...]
        return (1...255).contains(data.count) && inner.allSatisfy(Self.code39Characters.contains)
      case .codabar:
        guard (2...255).contains(data.count), let first = data.first, let last = data.last else {
          return false
        }
        return Self.codabarEnds.contains(first) && Self.codabarEnds.contains(last)
          && data.dropFirst().dropLast().allSatisfy(Self.codabarCharacters.contains)
      case .code93: return (1...255).contains(data.count) && data.allSatisfy { $0 < 0x80 }
      case .code128: return (3...255).contains(data.count) && Self.isCode128(data)
      }
    }

    private static let code39Characters = Set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%+-./".utf8)
    private static let codabarCharacters = Set("0123456789$+-./:".utf8)
    private static let codabarEnds = Set("ABCDabcd".utf8)

    /// Code sets and special characters are pairs beginning with `{`.
    private static func isCode128(_ data: [UInt8]) -> Bool {
      guard data[0] == 0x7B, (0x41...0x43).contains(data[1]) else { return false }
      let second = Set("SABC1234{".utf8)
      var place = 2
      while place < data.count {
        guard data[place] < 0x80 else { return false }
        if data[place] == 0x7B {
          guard place + 1 < data.count, second.contains(data[place + 1]) else { return false }
          place += 1
        }
        place += 1
      }
      return true
    }

    /// Printable ASCII as CODE128 data in code set B; nil with other bytes, or when it becomes longer than 255.
    public static func code128(_ text: [UInt8]) -> [UInt8]? {
      guard text.allSatisfy({ (0x20...0x7E).contains($0) }) else { return nil }
      let escaped: [UInt8] = text.flatMap { byte -> [UInt8] in byte == 0x7B ? [0x7B, 0x7B] : [byte] }
      let data: [UInt8] = [0x7B, 0x42] + escaped
      return Self.code128.accepts(data) ? data : nil
    }
  }
}
