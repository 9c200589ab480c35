/// Why a document was refused, and where.
public struct XMLError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Problem: Sendable, Equatable {
    /// Larger than the limit, in bytes.
    case tooLarge
    /// Nested deeper than the limit.
    case tooDeep
    /// More elements, or attributes of one element, than the limit.
    case tooMany
    /// A name longer than the limit.
    case nameTooLong
    /// Not UTF-8, or declared as something else.
    case notUTF8
    /// A character XML does not allow.
    case forbiddenCharacter
    /// Document type declarations are refused: no protocol document needs one, and they are how small documents grow large.
    case documentType
    /// An entity other than `amp lt gt quot apos` or a numeric one.
    case unknownEntity
    /// The document ends inside something.
    case unexpectedEnd
    /// Not well-formed at this place.
    case malformed
    /// An end tag that closes another element.
    case mismatchedTag
    /// The same attribute twice.
    case duplicateAttribute
    /// A prefix that was not declared.
    case unboundPrefix
  }

  /// What is wrong.
  public let problem: Problem
  /// Byte offset from the start of the document.
  public let offset: Int

  /// A problem at a byte of the document.
  public init(problem: Problem, offset: Int) {
    self.problem = problem
    self.offset = offset
  }

  /// The problem and its offset.
  public var description: String { "XML: \(problem) at byte \(offset)" }
}

/// What a document may cost before it is refused.
public struct XMLLimits: Sendable {
  /// Largest document, in bytes.
  public var bytes: Int
  /// Deepest nesting.
  public var depth: Int
  /// Number of elements.
  public var elements: Int
  /// Attributes of one element, namespace declarations included.
  public var attributes: Int
  /// Longest name, in bytes.
  public var name: Int

  /// Fits every eSCL document seen (the largest are about 30 kB): 1 MiB, 32 levels, 20 000 elements.
  public init(
    bytes: Int = 1 << 20, depth: Int = 32, elements: Int = 20_000, attributes: Int = 64, name: Int = 256
  ) {
    self.bytes = bytes
    self.depth = depth
    self.elements = elements
    self.attributes = attributes
    self.name = name
  }
}

/// A strict reader for small protocol documents: XML 1.0 with namespaces, UTF-8 only, without document types.
public struct XMLReader {
  /// Reads a whole document and returns its root.
  public static func read(
    _ bytes: [UInt8], limits: XMLLimits = XMLLimits()
  ) throws(XMLError) -> XMLElement {
    guard bytes.count <= limits.bytes else { throw XMLError(problem: .tooLarge, offset: limits.bytes) }
    try checkEncoding(bytes)
    var reader = XMLReader(bytes: bytes, limits: limits)
    return try reader.document()
  }

  private struct Open {
    var element: XMLElement
    // The tag as written, which its end tag must repeat.
    let tag: ArraySlice<UInt8>
    let offset: Int
    let bindings: Int
    var text: [UInt8] = []
  }

  private let bytes: [UInt8]
  private let limits: XMLLimits
  private var index = 0
  private var bindings: [(prefix: String, namespace: String)] = [
    ("xml", "http://www.w3.org/XML/1998/namespace")
  ]
  private var elements = 0

  private init(bytes: [UInt8], limits: XMLLimits) {
    self.bytes = bytes
    self.limits = limits
  }

  static func isCharacter(_ code: UInt32) -> Bool {
    switch code {
    case 0x09, 0x0A, 0x0D, 0x20...0xD7FF, 0xE000...0xFFFD, 0x1_0000...0x10_FFFF: true
    default: false
    }
  }

  private static func checkEncoding(_ bytes: [UInt8]) throws(XMLError) {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var offset = 0
    while true {
      switch decoder.decode(&iterator) {
      case .scalarValue(let scalar):
        guard isCharacter(scalar.value) else {
          throw XMLError(problem: .forbiddenCharacter, offset: offset)
        }
        offset += UTF8.width(scalar)
      case .emptyInput: return
      case .error: throw XMLError(problem: .notUTF8, offset: offset)
      }
    }
  }

  // MARK: - The document

  private mutating func document() throws(XMLError) -> XMLElement {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { index = 3 }
    if starts("<?xml"), let next = byte(5), Self.isSpace(next) { try declaration() }
    var open: [Open] = []
    var root: XMLElement?
    while index < bytes.count {
      guard bytes[index] == 0x3C else {
        if open.isEmpty {
          guard Self.isSpace(bytes[index]) else { throw fail(.malformed) }
          index += 1
        } else {
          try characters(into: &open[open.count - 1].text)
        }
        continue
      }
      if starts("<!--") {
        try comment()
      } else if starts("<?") {
        try instruction()
      } else if starts("<![CDATA[") {
        guard !open.isEmpty else { throw fail(.malformed) }
        try section(into: &open[open.count - 1].text)
      } else if starts("<!DOCTYPE") {
        throw fail(.documentType)
      } else if starts("</") {
        guard let last = open.popLast() else { throw fail(.malformed) }
        let element = try endTag(of: last)
        if open.isEmpty { root = element } else { open[open.count - 1].element.children.append(element) }
      } else {
        guard root == nil else { throw fail(.malformed) }
        guard open.count < limits.depth else { throw fail(.tooDeep) }
        let (element, isEmpty) = try startTag()
        if !isEmpty {
          open.append(element)
        } else {
          bindings.removeLast(bindings.count - element.bindings)
          if open.isEmpty {
            root = element.element
          } else {
            open[open.count - 1].element.children.append(element.element)
          }
        }
      }
    }
    guard open.isEmpty, let root else { throw fail(.unexpectedEnd) }
    return root
  }

  private mutating func declaration() throws(XMLError) {
    let start = index
    index += 5
    var attributes: [(name: ArraySlice<UInt8>, value: [UInt8], offset: Int)] = []
    while true {
      let spaced = skipSpaces()
      if starts("?>") { break }
      guard spaced, attributes.count < 3 else { throw fail(.malformed) }
      attributes.append(try attribute())
    }
    index += 2
    guard let version = attributes.first, version.name.elementsEqual("version".utf8),
      version.value.starts(with: "1.".utf8)
    else { throw fail(.malformed, at: start) }
    for attribute in attributes.dropFirst() {
      let value = String(decoding: attribute.value, as: UTF8.self).lowercased()
      if attribute.name.elementsEqual("encoding".utf8) {
        guard value == "utf-8" || value == "us-ascii" else { throw fail(.notUTF8, at: attribute.offset) }
      } else {
        guard attribute.name.elementsEqual("standalone".utf8), value == "yes" || value == "no" else {
          throw fail(.malformed, at: attribute.offset)
        }
      }
    }
  }

  private mutating func comment() throws(XMLError) {
    index += 4
    let end = try find("--")
    guard byte(end + 2 - index) == 0x3E else { throw fail(.malformed, at: end) }
    index = end + 3
  }

  private mutating func instruction() throws(XMLError) {
    let start = index
    index += 2
    let target = try name()
    guard String(decoding: target, as: UTF8.self).lowercased() != "xml" else {
      throw fail(.malformed, at: start)
    }
    guard starts("?>") || Self.isSpace(byte(0) ?? 0) else { throw fail(.malformed) }
    index = try find("?>") + 2
  }

  private mutating func section(into text: inout [UInt8]) throws(XMLError) {
    index += 9
    let end = try find("]]>")
    appendNormalised(bytes[index..<end], to: &text)
    index = end + 3
  }

  private mutating func characters(into text: inout [UInt8]) throws(XMLError) {
    let start = index
    while index < bytes.count, bytes[index] != 0x3C, bytes[index] != 0x26 {
      if bytes[index] == 0x3E, index >= start + 2, bytes[index - 1] == 0x5D, bytes[index - 2] == 0x5D {
        throw fail(.malformed)
      }
      index += 1
    }
    appendNormalised(bytes[start..<index], to: &text)
    if byte(0) == 0x26 { try reference(into: &text) }
  }

  // Line ends are LF to the application, whatever the document has (XML 1.0, 2.11).
  private func appendNormalised(_ part: ArraySlice<UInt8>, to text: inout [UInt8]) {
    guard part.contains(0x0D) else {
      text.append(contentsOf: part)
      return
    }
    for position in part.indices {
      if bytes[position] != 0x0D {
        text.append(bytes[position])
      } else if position + 1 == part.endIndex || bytes[position + 1] != 0x0A {
        text.append(0x0A)
      }
    }
  }

  private mutating func reference(into text: inout [UInt8]) throws(XMLError) {
    let start = index
    // The longest reference is &#x10FFFF;
    guard let end = bytes[index...].prefix(12).firstIndex(of: 0x3B) else {
      throw fail(bytes.count - index < 12 ? .unexpectedEnd : .unknownEntity)
    }
    let name = String(decoding: bytes[(index + 1)..<end], as: UTF8.self)
    index = end + 1
    switch name {
    case "amp": text.append(0x26)
    case "lt": text.append(0x3C)
    case "gt": text.append(0x3E)
    case "quot": text.append(0x22)
    case "apos": text.append(0x27)
    default:
      guard name.hasPrefix("#") else { throw fail(.unknownEntity, at: start) }
      let isHex = name.hasPrefix("#x")
      let digits = name.dropFirst(isHex ? 2 : 1)
      guard digits.utf8.first != 0x2B, digits.utf8.first != 0x2D,
        let code = UInt32(digits, radix: isHex ? 16 : 10)
      else { throw fail(.malformed, at: start) }
      guard Self.isCharacter(code), let scalar = Unicode.Scalar(code),
        let encoded = UTF8.encode(scalar)
      else { throw fail(.forbiddenCharacter, at: start) }
      text.append(contentsOf: encoded)
    }
  }

  // MARK: - Tags

  private mutating func startTag() throws(XMLError) -> (open: Open, isEmpty: Bool) {
    let start = index
    elements += 1
    guard elements <= limits.elements else { throw fail(.tooMany) }
    index += 1
    let tag = try name()
    let scope = bindings.count
    var attributes: [(name: ArraySlice<UInt8>, value: [UInt8], offset: Int)] = []
    var isEmpty = false
    while true {
      let spaced = skipSpaces()
      guard let next = byte(0) else { throw fail(.unexpectedEnd) }
      if next == 0x3E {
        index += 1
        break
      }
      if starts("/>") {
        index += 2
        isEmpty = true
        break
      }
      guard spaced else { throw fail(.malformed) }
      guard attributes.count < limits.attributes else { throw fail(.tooMany) }
      let attribute = try attribute()
      if attributes.contains(where: { $0.name == attribute.name }) {
        throw fail(.duplicateAttribute, at: attribute.offset)
      }
      attributes.append(attribute)
    }
    let plain = try attributesAfterBinding(attributes)
    var element = XMLElement(try resolve(tag, usesDefault: true))
    for attribute in plain {
      let name = try resolve(attribute.name, usesDefault: false)
      if element.attributes.contains(where: { $0.name == name }) {
        throw fail(.duplicateAttribute, at: attribute.offset)
      }
      element.attributes.append(XMLAttribute(name, String(decoding: attribute.value, as: UTF8.self)))
    }
    return (Open(element: element, tag: tag, offset: start, bindings: scope), isEmpty)
  }

  // Takes the namespace declarations out and binds them.
  private mutating func attributesAfterBinding(
    _ attributes: [(name: ArraySlice<UInt8>, value: [UInt8], offset: Int)]
  ) throws(XMLError) -> [(name: ArraySlice<UInt8>, value: [UInt8], offset: Int)] {
    var plain: [(name: ArraySlice<UInt8>, value: [UInt8], offset: Int)] = []
    for attribute in attributes {
      let value = String(decoding: attribute.value, as: UTF8.self)
      if attribute.name.elementsEqual("xmlns".utf8) {
        bindings.append(("", value))
      } else if attribute.name.starts(with: "xmlns:".utf8) {
        let prefix = String(decoding: attribute.name.dropFirst(6), as: UTF8.self)
        guard !value.isEmpty, prefix != "xml", prefix != "xmlns" else {
          throw fail(.malformed, at: attribute.offset)
        }
        bindings.append((prefix, value))
      } else {
        plain.append(attribute)
      }
    }
    return plain
  }

  private func resolve(_ tag: ArraySlice<UInt8>, usesDefault: Bool) throws(XMLError) -> XMLName {
    let parts = tag.split(separator: 0x3A, omittingEmptySubsequences: false)
    switch parts.count {
    case 1:
      let namespace = usesDefault ? bindings.last { $0.prefix.isEmpty }?.namespace ?? "" : ""
      return XMLName(String(decoding: tag, as: UTF8.self), in: namespace)
    case 2 where !parts[0].isEmpty && parts[1].first.map(Self.startsName) == true:
      let prefix = String(decoding: parts[0], as: UTF8.self)
      guard let namespace = bindings.last(where: { $0.prefix == prefix })?.namespace else {
        throw fail(.unboundPrefix, at: tag.startIndex)
      }
      return XMLName(String(decoding: parts[1], as: UTF8.self), in: namespace)
    default: throw fail(.malformed, at: tag.startIndex)
    }
  }

  private mutating func endTag(of open: Open) throws(XMLError) -> XMLElement {
    index += 2
    let start = index
    let tag = try name()
    skipSpaces()
    guard let next = byte(0) else { throw fail(.unexpectedEnd) }
    guard next == 0x3E else { throw fail(.malformed) }
    guard tag == open.tag else { throw fail(.mismatchedTag, at: start) }
    index += 1
    bindings.removeLast(bindings.count - open.bindings)
    var element = open.element
    element.text = String(decoding: open.text, as: UTF8.self)
    // White space between child elements is layout, not text.
    if !element.children.isEmpty, element.trimmedText.isEmpty { element.text = "" }
    return element
  }

  private mutating func attribute() throws(XMLError) -> (name: ArraySlice<UInt8>, value: [UInt8], offset: Int)
  {
    let start = index
    let name = try name()
    skipSpaces()
    guard byte(0) == 0x3D else { throw fail(byte(0) == nil ? .unexpectedEnd : .malformed) }
    index += 1
    skipSpaces()
    guard let quote = byte(0) else { throw fail(.unexpectedEnd) }
    guard quote == 0x22 || quote == 0x27 else { throw fail(.malformed) }
    index += 1
    var value: [UInt8] = []
    while let next = byte(0), next != quote {
      switch next {
      case 0x3C: throw fail(.malformed)
      case 0x26: try reference(into: &value)
      case 0x0D:
        index += 1
        if byte(0) != 0x0A { value.append(0x20) }
      default:
        value.append(Self.isSpace(next) ? 0x20 : next)
        index += 1
      }
    }
    guard byte(0) != nil else { throw fail(.unexpectedEnd) }
    index += 1
    return (name, value, start)
  }

  // MARK: - Pieces

  private func fail(_ problem: XMLError.Problem, at offset: Int? = nil) -> XMLError {
    XMLError(problem: problem, offset: offset ?? index)
  }

  private func byte(_ distance: Int) -> UInt8? {
    index + distance < bytes.count ? bytes[index + distance] : nil
  }

  private func starts(_ text: String) -> Bool {
    bytes[index...].starts(with: text.utf8)
  }

  private func find(_ text: String) throws(XMLError) -> Int {
    let pattern = Array(text.utf8)
    var position = index
    while position + pattern.count <= bytes.count {
      if bytes[position] == pattern[0], bytes[position...].starts(with: pattern) { return position }
      position += 1
    }
    throw fail(.unexpectedEnd)
  }

  @discardableResult
  private mutating func skipSpaces() -> Bool {
    let start = index
    while let next = byte(0), Self.isSpace(next) { index += 1 }
    return index > start
  }

  private mutating func name() throws(XMLError) -> ArraySlice<UInt8> {
    let start = index
    guard let first = byte(0) else { throw fail(.unexpectedEnd) }
    guard Self.startsName(first) else { throw fail(.malformed) }
    while let next = byte(0), Self.startsName(next) || Self.continuesName(next) { index += 1 }
    guard index - start <= limits.name else { throw fail(.nameTooLong, at: start) }
    return bytes[start..<index]
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
  }

  // Every non-ASCII character is taken as part of a name; none occurs in the protocols this reads.
  private static func startsName(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x41...0x5A, 0x61...0x7A, 0x5F, 0x3A, 0x80...0xFF: true
    default: false
    }
  }

  private static func continuesName(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x2D, 0x2E: true
    default: false
    }
  }
}
