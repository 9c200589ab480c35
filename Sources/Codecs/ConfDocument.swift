/// How much text the reader takes before it refuses; guards a service against a wrong file, such as a log or an image.
public struct ConfLimits: Sendable {
  /// Largest file, in bytes.
  public var fileBytes: Int
  /// Longest line, in bytes.
  public var lineBytes: Int
  /// Mistakes listed before the reader gives up.
  public var errors: Int

  /// Fits every file a person writes by hand: 1 MiB, lines of 8 KiB, 100 mistakes.
  public init(fileBytes: Int = 1 << 20, lineBytes: Int = 8192, errors: Int = 100) {
    self.fileBytes = fileBytes
    self.lineBytes = lineBytes
    self.errors = errors
  }
}

/// `key = value` with its place.
public struct ConfEntry: Sendable, Equatable {
  /// The key as written.
  public let key: String
  /// Place of the key's first character.
  public let position: ConfPosition
  /// The value, still unread.
  public let value: ConfValue
}

/// `[name]` or `[name argument]` with the entries under it.
public struct ConfSection: Sendable, Equatable {
  /// First word of the header; empty for entries before the first header.
  public let name: String
  /// Rest of the header, as `counter-3` in `[device counter-3]`.
  public let argument: String?
  /// Place of the `[`.
  public let position: ConfPosition
  /// Entries in the order of the file.
  public internal(set) var entries: [ConfEntry]

  /// Name and argument as they stand between the brackets.
  public var title: String { argument.map { "\(name) \($0)" } ?? name }

  /// The entry of a key that occurs once; the first one otherwise.
  public func entry(_ key: String) -> ConfEntry? { entries.first { $0.key == key } }
}

/// The text of a `.conf` file taken apart, before a ``ConfSchema`` has judged names and values.
///
/// The format is that of systemd, CUPS and ipp-usb: `[section]` or `[section name]` headers, `key = value` lines, `#` and
/// `;` comments on lines of their own. Spaces around names and values are cut; a value in double quotes keeps them and
/// knows `\"`, `\\`, `\n`, `\t` and `\xHH`. UTF-8, with or without byte order mark, LF or CRLF.
public struct ConfDocument: Sendable, Equatable {
  /// The file's name, as it appears in every position.
  public let file: String
  /// Sections in the order of the file.
  public let sections: [ConfSection]

  /// The first section of that name.
  public func section(_ name: String) -> ConfSection? { sections.first { $0.name == name } }

  /// Every section of that name, as `[device …]` blocks.
  public func sections(_ name: String) -> [ConfSection] { sections.filter { $0.name == name } }

  /// Reads a whole file, or throws every mistake found in its lines.
  ///
  /// - Parameters:
  ///   - bytes: The file's content.
  ///   - file: Its name, for positions.
  ///   - limits: How much text is accepted.
  public static func read(
    _ bytes: [UInt8], file: String, limits: ConfLimits = ConfLimits()
  ) throws(ConfErrors) -> ConfDocument {
    let (document, errors) = parse(bytes, file: file, limits: limits)
    guard errors.isEmpty else { throw ConfErrors(errors) }
    return document
  }

  /// Reads as much of a file as can be read; unreadable lines are left out and listed.
  static func parse(
    _ bytes: [UInt8], file: String, limits: ConfLimits
  ) -> (document: ConfDocument, errors: [ConfError]) {
    guard bytes.count <= limits.fileBytes else {
      let start = ConfPosition(file: file, line: 1, column: 1)
      let error = ConfError(.fileTooLarge(limit: limits.fileBytes), at: start)
      return (ConfDocument(file: file, sections: []), [error])
    }
    var parser = ConfLines(file: file)
    var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var line = 1
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      var text = bytes[start..<end]
      if text.last == 0x0D { text.removeLast() }
      parser.take(text, line: line, limit: limits.lineBytes)
      if parser.errors.count >= limits.errors {
        let place = ConfPosition(file: file, line: line, column: Int(Int32.max))
        parser.errors.append(ConfError(.tooManyErrors(limit: limits.errors), at: place))
        break
      }
      start = end + 1
      line += 1
    }
    return (ConfDocument(file: file, sections: parser.sections), parser.errors)
  }
}

/// Takes a file line by line and goes on after a line it cannot read.
private struct ConfLines {
  let file: String
  var sections: [ConfSection] = []
  var errors: [ConfError] = []

  init(file: String) { self.file = file }

  mutating func take(_ bytes: ArraySlice<UInt8>, line: Int, limit: Int) {
    let start = ConfPosition(file: file, line: line, column: 1)
    guard bytes.count <= limit else {
      errors.append(ConfError(.lineTooLong(limit: limit), at: start))
      return
    }
    do throws(ConfFault) {
      let text = try ConfText.decode(bytes)
      guard let first = text.firstIndex(where: { !ConfText.isSpace($0) }) else { return }
      if text[first] == "#" || text[first] == ";" { return }
      if let index = text.firstIndex(where: { $0.value < 0x20 && $0 != "\t" || $0.value == 0x7F }) {
        throw ConfFault(.syntax(.controlCharacter(text[index].value)), index)
      }
      if text[first] == "[" {
        sections.append(try header(text, first, start))
      } else {
        let entry = try entry(text, first, start)
        if sections.isEmpty {
          sections.append(ConfSection(name: "", argument: nil, position: start, entries: []))
        }
        sections[sections.count - 1].entries.append(entry)
      }
    } catch {
      errors.append(ConfError(error.problem, at: start.moved(by: error.offset)))
    }
  }

  private func header(
    _ text: [Unicode.Scalar], _ bracket: Int, _ start: ConfPosition
  ) throws(ConfFault) -> ConfSection {
    var index = bracket + 1
    func skipSpaces() { while index < text.count, ConfText.isSpace(text[index]) { index += 1 } }
    skipSpaces()
    let nameStart = index
    while index < text.count, text[index] != "]", !ConfText.isSpace(text[index]) { index += 1 }
    let name = ConfText.string(text[nameStart..<index])
    skipSpaces()
    var argument: String?
    if index < text.count, text[index] == "\"" {
      let quoted = try ConfText.quoted(text, from: index)
      guard let decoded = String(validating: quoted.bytes, as: UTF8.self) else {
        throw ConfFault(.notUTF8, index)
      }
      argument = decoded
      index = quoted.end
      skipSpaces()
      guard index < text.count else { throw ConfFault(.syntax(.missingBracket), text.count) }
      guard text[index] == "]" else { throw ConfFault(.syntax(.textAfterEnd), index) }
    } else {
      let argumentStart = index
      while index < text.count, text[index] != "]" { index += 1 }
      guard index < text.count else {
        if let fullWidth = text.firstIndex(of: "】") ?? text.firstIndex(of: "］") {
          let found = String(Character(text[fullWidth]))
          throw ConfFault(.syntax(.fullWidth(found: found, wanted: "]")), fullWidth)
        }
        throw ConfFault(.syntax(.missingBracket), text.count)
      }
      let rest = ConfText.trimmed(text[argumentStart..<index])
      if !rest.isEmpty { argument = ConfText.string(rest) }
    }
    guard !name.isEmpty else { throw ConfFault(.syntax(.missingSectionName), nameStart) }
    index += 1
    skipSpaces()
    guard index == text.count else { throw ConfFault(.syntax(.textAfterEnd), index) }
    return ConfSection(name: name, argument: argument, position: start.moved(by: bracket), entries: [])
  }

  private func entry(
    _ text: [Unicode.Scalar], _ first: Int, _ start: ConfPosition
  ) throws(ConfFault) -> ConfEntry {
    guard let equals = text.firstIndex(of: "=") else {
      for (found, wanted) in [("＝", "="), ("：", "="), ("【", "["), ("［", "[")] as [(Unicode.Scalar, String)] {
        if let index = text.firstIndex(of: found) {
          throw ConfFault(.syntax(.fullWidth(found: String(Character(found)), wanted: wanted)), index)
        }
      }
      throw ConfFault(.syntax(.missingEquals), first)
    }
    let key = ConfText.trimmed(text[first..<equals])
    guard !key.isEmpty else { throw ConfFault(.syntax(.missingKey), first) }
    let raw = ConfText.trimmed(text[(equals + 1)...])
    if raw.first == "\"" {
      let quoted = try ConfText.quoted(text, from: raw.startIndex)
      // What follows a space or comma may be the rest of a list, which only the key's type can tell.
      if quoted.end < raw.endIndex, !ConfText.isSpace(text[quoted.end]), text[quoted.end] != "," {
        throw ConfFault(.syntax(.textAfterEnd), quoted.end)
      }
    } else if raw.first == "“" {
      throw ConfFault(.syntax(.fullWidth(found: "“", wanted: "\"")), raw.startIndex)
    }
    // An empty value is placed where it would start: right after "= ".
    let column = raw.isEmpty ? equals + 1 : raw.startIndex
    return ConfEntry(
      key: ConfText.string(key), position: start.moved(by: first),
      value: ConfValue(raw: ConfText.string(raw), position: start.moved(by: column)))
  }
}

/// A problem at an offset, in characters, from the start of the text at hand.
struct ConfFault: Error {
  let problem: ConfProblem
  let offset: Int

  init(_ problem: ConfProblem, _ offset: Int) {
    self.problem = problem
    self.offset = offset
  }
}

/// The smallest pieces of the format.
enum ConfText {
  static func decode(_ bytes: ArraySlice<UInt8>) throws(ConfFault) -> [Unicode.Scalar] {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(bytes.count)
    while true {
      switch decoder.decode(&iterator) {
      case .scalarValue(let scalar): scalars.append(scalar)
      case .emptyInput: return scalars
      case .error: throw ConfFault(.notUTF8, scalars.count)
      }
    }
  }

  // Invisible in an editor, so never part of an unquoted name or value.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar == " " || scalar == "\t" || scalar.value == 0xA0 || scalar.value == 0x3000
  }

  static func trimmed(_ text: ArraySlice<Unicode.Scalar>) -> ArraySlice<Unicode.Scalar> {
    var text = text
    while let last = text.last, isSpace(last) { text.removeLast() }
    return text.drop(while: isSpace)
  }

  static func string(_ text: ArraySlice<Unicode.Scalar>) -> String {
    var string = ""
    string.unicodeScalars.append(contentsOf: text)
    return string
  }

  /// Reads a quoted piece whose opening quote stands at `start`; `end` is the index after the closing quote.
  static func quoted(
    _ text: [Unicode.Scalar], from start: Int
  ) throws(ConfFault) -> (bytes: [UInt8], end: Int) {
    var bytes: [UInt8] = []
    var index = start + 1
    while index < text.count {
      let scalar = text[index]
      switch scalar {
      case "\"": return (bytes, index + 1)
      case "\\":
        guard index + 1 < text.count else { throw ConfFault(.syntax(.unterminatedQuote), start) }
        switch text[index + 1] {
        case "\"": bytes.append(0x22)
        case "\\": bytes.append(0x5C)
        case "n": bytes.append(0x0A)
        case "t": bytes.append(0x09)
        case "x":
          guard index + 3 < text.count, let high = hexDigit(text[index + 2]),
            let low = hexDigit(text[index + 3])
          else { throw ConfFault(.syntax(.badEscape), index) }
          bytes.append(high << 4 | low)
          index += 2
        default: throw ConfFault(.syntax(.badEscape), index)
        }
        index += 2
      default:
        bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        index += 1
      }
    }
    throw ConfFault(.syntax(.unterminatedQuote), start)
  }

  static func hexDigit(_ scalar: Unicode.Scalar) -> UInt8? {
    guard scalar.isASCII else { return nil }
    return Character(scalar).hexDigitValue.map { UInt8($0) }
  }
}
