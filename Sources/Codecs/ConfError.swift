/// A place in a `.conf` file: what an editor's status line shows.
public struct ConfPosition: Hashable, Sendable, CustomStringConvertible {
  /// The file's name as it was given to the reader.
  public let file: String
  /// Line, from 1.
  public let line: Int
  /// Column in characters (Unicode scalars), from 1.
  public let column: Int

  /// A place in `file`; lines and columns count from 1.
  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// `file:line:column`, the form editors and terminals make clickable.
  public var description: String { "\(file):\(line):\(column)" }

  func moved(by characters: Int) -> ConfPosition {
    ConfPosition(file: file, line: line, column: column + characters)
  }
}

/// What a value should have looked like, in both languages of the technicians who read it.
public struct ConfExpected: Sendable, Equatable {
  /// Completes "expected …", for example `a whole number from 1 to 99`.
  public let english: String
  /// Completes "应为…", for example `1 到 99 的整数`.
  public let chinese: String

  /// Both forms say the same.
  public init(english: String, chinese: String) {
    self.english = english
    self.chinese = chinese
  }
}

/// A line the reader cannot make sense of.
public enum ConfSyntax: Sendable, Equatable {
  /// A line that is neither comment, `[section]` nor `key = value`.
  case missingEquals
  /// `= value`.
  case missingKey
  /// `[section` without `]`.
  case missingBracket
  /// `[]`.
  case missingSectionName
  /// Something follows the `]` or the closing quote; comments need a line of their own.
  case textAfterEnd
  /// A `"` that is not closed on its line.
  case unterminatedQuote
  /// `\` followed by anything but `"`, `\`, `n`, `t` or `xHH`.
  case badEscape
  /// An invisible control character, given as its code point.
  case controlCharacter(UInt32)
  /// A full-width sign (`＝`, `“`, `，` …) where the ASCII one is meant: a Chinese input method was on.
  case fullWidth(found: String, wanted: String)
  /// An empty element between two commas.
  case emptyElement
}

/// What is wrong at a place of a `.conf` file.
public enum ConfProblem: Sendable, Equatable {
  /// Bytes that are not UTF-8, as when an editor saved the file as GBK.
  case notUTF8
  /// The file is larger than the reader takes, in bytes.
  case fileTooLarge(limit: Int)
  /// The line is longer than the reader takes, in bytes.
  case lineTooLong(limit: Int)
  /// More mistakes follow, which are not listed.
  case tooManyErrors(limit: Int)
  /// The line cannot be read.
  case syntax(ConfSyntax)
  /// A key stands before the first `[section]`.
  case keyOutsideSection(String)
  /// No section of that name is known.
  case unknownSection(String, nearest: String?)
  /// The section must occur and does not.
  case missingSection(String)
  /// `[name]` where `[name something]` is needed.
  case missingSectionArgument(String)
  /// `[name something]` where `[name]` is needed.
  case unexpectedSectionArgument(String)
  /// The section occurred before.
  case duplicateSection(String, firstLine: Int)
  /// No key of that name is known in this section; `belongsTo` names a section that has it.
  case unknownKey(String, nearest: String?, belongsTo: String?)
  /// The key occurred before in this section.
  case duplicateKey(String, firstLine: Int)
  /// The section lacks a key it must have.
  case missingKey(String, section: String)
  /// The value is not of the key's type or out of its range.
  case wrongValue(found: String, expected: ConfExpected, nearest: String?)
  /// A rule between several values is broken; the sentence says which.
  case contradiction(ConfExpected)
}

/// One mistake in a `.conf` file, with its place and what to do.
public struct ConfError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The place of the mistake.
  public let position: ConfPosition
  /// The mistake.
  public let problem: ConfProblem

  /// A mistake at a place.
  public init(_ problem: ConfProblem, at position: ConfPosition) {
    self.problem = problem
    self.position = position
  }

  /// The file's name.
  public var file: String { position.file }
  /// Line, from 1.
  public var line: Int { position.line }
  /// Column in characters, from 1.
  public var column: Int { position.column }

  /// `file:line:column: sentence`, in English.
  public var description: String { text(chinese: false) }

  /// `file:line:column: sentence` in the language asked for.
  public func text(chinese: Bool) -> String { "\(position): \(message(chinese: chinese))" }

  /// The sentence without the place, in Chinese or English.
  public func message(chinese: Bool) -> String {
    chinese ? ConfMessages.chinese(problem) : ConfMessages.english(problem)
  }
}

/// Everything wrong in one file, in the order of its lines; never empty.
public struct ConfErrors: Error, Sendable, Equatable, CustomStringConvertible {
  /// The mistakes, first line first.
  public let errors: [ConfError]

  /// Sorts `errors` by place.
  public init(_ errors: [ConfError]) {
    self.errors = errors.enumerated().sorted { a, b in
      (a.element.line, a.element.column, a.offset) < (b.element.line, b.element.column, b.offset)
    }.map(\.element)
  }

  /// One line for each mistake, in English.
  public var description: String { text(chinese: false) }

  /// One line for each mistake.
  public func text(chinese: Bool) -> String {
    errors.map { $0.text(chinese: chinese) }.joined(separator: "\n")
  }
}

enum ConfMessages {
  static func english(_ problem: ConfProblem) -> String {
    switch problem {
    case .notUTF8:
      "not UTF-8 text; save the file as UTF-8 (not GBK, ANSI or UTF-16)"
    case .fileTooLarge(let limit): "the file is larger than \(limit) bytes"
    case .lineTooLong(let limit): "the line is longer than \(limit) bytes"
    case .tooManyErrors(let limit): "more than \(limit) mistakes; the rest is not listed"
    case .syntax(let syntax): english(syntax)
    case .keyOutsideSection(let key): "key '\(shown(key))' stands before the first [section]"
    case .unknownSection(let name, let nearest):
      "unknown section [\(shown(name))]" + (nearest.map { "; did you mean [\($0)]?" } ?? "")
    case .missingSection(let name): "section [\(name)] is missing"
    case .missingSectionArgument(let name): "section [\(name)] needs a name: write [\(name) NAME]"
    case .unexpectedSectionArgument(let name): "section [\(name)] takes no name"
    case .duplicateSection(let name, let line):
      "section [\(shown(name))] was already given in line \(line)"
    case .unknownKey(let name, let nearest, let owner):
      "unknown key '\(shown(name))'"
        + (owner.map { "; it belongs to section [\($0)]" }
          ?? nearest.map { "; did you mean '\($0)'?" } ?? "")
    case .duplicateKey(let name, let line): "key '\(shown(name))' was already given in line \(line)"
    case .missingKey(let name, let section): "section [\(shown(section))] lacks the key '\(name)'"
    case .wrongValue(let found, let expected, let nearest):
      "'\(shown(found))' is not right; expected \(expected.english)"
        + (nearest.map { "; did you mean '\($0)'?" } ?? "")
        + (hasTrailingComment(found) ? "; a comment needs a line of its own" : "")
    case .contradiction(let rule): rule.english
    }
  }

  static func chinese(_ problem: ConfProblem) -> String {
    switch problem {
    case .notUTF8: "不是 UTF-8 文本；请将文件另存为 UTF-8（不要用 GBK、ANSI 或 UTF-16）"
    case .fileTooLarge(let limit): "文件超过 \(limit) 字节"
    case .lineTooLong(let limit): "此行超过 \(limit) 字节"
    case .tooManyErrors(let limit): "错误超过 \(limit) 处，其余未列出"
    case .syntax(let syntax): chinese(syntax)
    case .keyOutsideSection(let key): "键“\(shown(key))”出现在第一个 [节] 之前"
    case .unknownSection(let name, let nearest):
      "未知的节 [\(shown(name))]" + (nearest.map { "；是否应为 [\($0)]？" } ?? "")
    case .missingSection(let name): "缺少节 [\(name)]"
    case .missingSectionArgument(let name): "节 [\(name)] 需要名称：请写成 [\(name) 名称]"
    case .unexpectedSectionArgument(let name): "节 [\(name)] 不能带名称"
    case .duplicateSection(let name, let line): "节 [\(shown(name))] 在第 \(line) 行已出现过"
    case .unknownKey(let name, let nearest, let owner):
      "未知的键“\(shown(name))”"
        + (owner.map { "；它属于节 [\($0)]" } ?? nearest.map { "；是否应为“\($0)”？" } ?? "")
    case .duplicateKey(let name, let line): "键“\(shown(name))”在第 \(line) 行已出现过"
    case .missingKey(let name, let section): "节 [\(shown(section))] 缺少键“\(name)”"
    case .wrongValue(let found, let expected, let nearest):
      "值“\(shown(found))”不正确，应为\(expected.chinese)"
        + (nearest.map { "；是否应为“\($0)”？" } ?? "")
        + (hasTrailingComment(found) ? "；注释须单独成行" : "")
    case .contradiction(let rule): rule.chinese
    }
  }

  private static func english(_ syntax: ConfSyntax) -> String {
    switch syntax {
    case .missingEquals: "expected 'key = value' or '[section]'"
    case .missingKey: "a key is missing before '='"
    case .missingBracket: "the closing ']' is missing"
    case .missingSectionName: "the section has no name"
    case .textAfterEnd: "unexpected text here; a comment needs a line of its own"
    case .unterminatedQuote: "the closing '\"' is missing"
    case .badEscape: "after '\\' only \\\" \\\\ \\n \\t and \\xHH are known"
    case .controlCharacter(let code): "control character U+\(hexadecimal(code)) in the text"
    case .fullWidth(let found, let wanted): "full-width '\(found)'; write '\(wanted)'"
    case .emptyElement: "an element is missing between two commas"
    }
  }

  private static func chinese(_ syntax: ConfSyntax) -> String {
    switch syntax {
    case .missingEquals: "应为“键 = 值”或“[节]”"
    case .missingKey: "“=”前缺少键"
    case .missingBracket: "缺少右方括号“]”"
    case .missingSectionName: "节没有名称"
    case .textAfterEnd: "此处有多余内容；注释须单独成行"
    case .unterminatedQuote: "缺少右引号“\"”"
    case .badEscape: "“\\”之后只能是 \\\"、\\\\、\\n、\\t 或 \\xHH"
    case .controlCharacter(let code): "文本中有控制字符 U+\(hexadecimal(code))"
    case .fullWidth(let found, let wanted): "全角符号“\(found)”；请改用半角“\(wanted)”"
    case .emptyElement: "两个逗号之间缺少内容"
    }
  }

  // Keeps one mistake to one line, however long the offending text is.
  private static func shown(_ text: String) -> String {
    let scalars = text.unicodeScalars
    guard scalars.count > 60 else { return text }
    return String(String.UnicodeScalarView(scalars.prefix(60))) + "…"
  }

  private static func hasTrailingComment(_ text: String) -> Bool {
    text.contains(" #") || text.contains(" ;") || text.contains("\t#") || text.contains("\t;")
  }

  private static func hexadecimal(_ code: UInt32) -> String {
    let digits = String(code, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}
