/// What a PDF file says about itself.
public struct PDFSummary: Sendable, Equatable {
  /// Version from the first line, as `1.7`.
  public let version: String
  /// Number of pages, if it can be found without unpacking the file.
  public let pageCount: Int?
  /// Whether a password, if only an empty one, stands before its content.
  public let isEncrypted: Bool
}

/// Why bytes are not a whole PDF file.
public enum PDFError: Error, Sendable, Equatable, CustomStringConvertible {
  /// No `%PDF-` in the first 1024 bytes.
  case notPDF
  /// No `%%EOF` in the last 1024 bytes: cut off.
  case truncated
  /// The reference to the cross-reference table is missing or points outside the file.
  case corrupt

  /// One sentence in English.
  public var description: String {
    switch self {
    case .notPDF: "not a PDF file"
    case .truncated: "the PDF file is cut off"
    case .corrupt: "the PDF file is damaged"
    }
  }
}

/// A quick look at a PDF file (ISO 32000-1, 7.5) before it is sent to a printer or taken as a page.
public enum PDFInspector {
  /// Checks head and tail and looks for the number of pages. Trailing bytes up to 1024 are tolerated, as by readers.
  public static func inspect(_ bytes: [UInt8]) throws(PDFError) -> PDFSummary {
    guard let head = find("%PDF-", in: bytes, 0..<min(bytes.count, 1024)) else { throw .notPDF }
    let version = bytes[(head + 5)...].prefix(8).prefix { (0x30...0x39).contains($0) || $0 == 0x2E }
    guard version.first != 0x2E, version.contains(0x2E) else { throw .notPDF }
    let tail = max(head, bytes.count - 1024)..<bytes.count
    guard let end = findLast("%%EOF", in: bytes, tail) else { throw .truncated }
    guard let reference = findLast("startxref", in: bytes, max(head, end - 1024)..<end),
      let offset = number(bytes, reference + 9), offset > 0, offset < reference
    else { throw .corrupt }
    return PDFSummary(
      version: String(decoding: version, as: UTF8.self), pageCount: pageCount(bytes),
      isEncrypted: isEncrypted(bytes))
  }

  // The root of the page tree is the one Pages object without Parent. Of several, as after a revision, the last counts.
  private static func pageCount(_ bytes: [UInt8]) -> Int? {
    // Objects packed into streams cannot be seen from outside.
    if find("/ObjStm", in: bytes, bytes.indices) != nil { return nil }
    var count: Int?
    var position = 0
    while let type = find("/Type", in: bytes, position..<bytes.count) {
      position = type + 5
      let name = afterSpaces(bytes, position)
      guard starts(bytes, name, "/Pages"), !isNamePart(bytes, name + 6) else { continue }
      let lower = findLast(" obj", in: bytes, max(0, type - 65_536)..<type) ?? 0
      let upper = find("endobj", in: bytes, type..<bytes.count) ?? bytes.count
      guard !hasKey("/Parent", bytes, lower..<upper) else { continue }
      var place = lower
      while let key = find("/Count", in: bytes, place..<upper) {
        place = key + 6
        guard !isNamePart(bytes, place), let found = number(bytes, place), found > 0 else { continue }
        count = found
        break
      }
    }
    return count
  }

  private static func isEncrypted(_ bytes: [UInt8]) -> Bool { hasKey("/Encrypt", bytes, bytes.indices) }

  private static func hasKey(_ key: String, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    var position = range.lowerBound
    while let found = find(key, in: bytes, position..<range.upperBound) {
      position = found + key.utf8.count
      if !isNamePart(bytes, position) { return true }
    }
    return false
  }

  private static func find(_ text: String, in bytes: [UInt8], _ range: Range<Int>) -> Int? {
    let pattern = Array(text.utf8)
    guard range.count >= pattern.count else { return nil }
    var position = range.lowerBound
    let last = range.upperBound - pattern.count
    let first = pattern[0]
    while position <= last {
      if bytes[position] == first, bytes[position..<(position + pattern.count)].elementsEqual(pattern) {
        return position
      }
      position += 1
    }
    return nil
  }

  private static func findLast(_ text: String, in bytes: [UInt8], _ range: Range<Int>) -> Int? {
    let pattern = Array(text.utf8)
    guard range.count >= pattern.count else { return nil }
    return (range.lowerBound...(range.upperBound - pattern.count)).last {
      bytes[$0..<($0 + pattern.count)].elementsEqual(pattern)
    }
  }

  private static func starts(_ bytes: [UInt8], _ index: Int, _ text: String) -> Bool {
    index < bytes.count && bytes[index...].starts(with: text.utf8)
  }

  private static func isNamePart(_ bytes: [UInt8], _ index: Int) -> Bool {
    guard index < bytes.count else { return false }
    switch bytes[index] {
    case 0x00, 0x09, 0x0A, 0x0C, 0x0D, 0x20: return false
    case let byte: return !"()<>[]{}/%".utf8.contains(byte)
    }
  }

  private static func afterSpaces(_ bytes: [UInt8], _ index: Int) -> Int {
    var index = index
    while index < bytes.count, [0x00, 0x09, 0x0A, 0x0C, 0x0D, 0x20].contains(bytes[index]) { index += 1 }
    return index
  }

  private static func number(_ bytes: [UInt8], _ index: Int) -> Int? {
    let start = afterSpaces(bytes, index)
    guard start < bytes.count else { return nil }
    let digits = bytes[start...].prefix(16).prefix { (0x30...0x39).contains($0) }
    return Int(String(decoding: digits, as: UTF8.self))
  }
}
