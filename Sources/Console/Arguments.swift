import Codecs

/// One option of a verb.
public struct Option: Sendable {
  /// Long name without the dashes.
  public let name: String
  /// What its value is called in the help; nil for a switch.
  public let value: String?
  /// What it does, one line, Chinese.
  public let chinese: String
  /// The same in English.
  public let english: String

  /// An option; a switch when `value` is nil.
  public init(_ name: String, value: String? = nil, zh chinese: String, en english: String) {
    self.name = name
    self.value = value
    self.chinese = chinese
    self.english = english
  }
}

/// What stands on a command line, taken apart.
public struct Arguments: Sendable, Equatable {
  /// Words that are no options, in order.
  public var words: [String]
  /// Options by name; a switch has the value `""`.
  public var options: [String: String]

  /// True when the option was given.
  public func has(_ name: String) -> Bool { options[name] != nil }
  /// The option's value.
  public subscript(_ name: String) -> String? { options[name] }

  /// Takes a command line apart: `--name value`, `--name=value`, `--switch`, `--` ends the options.
  ///
  /// Throws a sentence with the nearest known option for one that is not known, and for a missing or superfluous value.
  public static func parse(_ arguments: [String], options known: [Option]) throws(UsageError) -> Arguments {
    var result = Arguments(words: [], options: [:])
    var rest = arguments[...]
    var ended = false
    while let argument = rest.popFirst() {
      guard !ended, argument.hasPrefix("-"), argument != "-" else {
        result.words.append(argument)
        continue
      }
      if argument == "--" {
        ended = true
        continue
      }
      let parts = argument.drop { $0 == "-" }.split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts.first ?? "")
      guard argument.hasPrefix("--"), let option = known.first(where: { $0.name == name }) else {
        throw UsageError(
          .unknownOption(argument, nearest: NearestWord.find(name, in: known.map(\.name)).map { "--\($0)" }))
      }
      guard result.options[name] == nil else { throw UsageError(.repeated(name)) }
      if option.value == nil {
        guard parts.count == 1 else { throw UsageError(.superfluousValue(name)) }
        result.options[name] = ""
      } else if parts.count == 2 {
        result.options[name] = String(parts[1])
      } else if let value = rest.popFirst() {
        result.options[name] = value
      } else {
        throw UsageError(.missingValue(name, option.value ?? ""))
      }
    }
    return result
  }
}

/// A command line that cannot be understood. The program ends with 64.
public struct UsageError: Error, Sendable, Equatable {
  /// What is wrong.
  public enum Problem: Sendable, Equatable {
    case unknownOption(String, nearest: String?)
    case unknownVerb(String, nearest: String?)
    case missingVerb
    case missingValue(String, String)
    case superfluousValue(String)
    case repeated(String)
    case missingWord(String)
    case superfluousWord(String)
    case wrongValue(String, expected: String)
  }
  /// What is wrong.
  public let problem: Problem

  /// An error.
  public init(_ problem: Problem) { self.problem = problem }

  /// The sentence.
  public func sentence(chinese: Bool) -> String {
    func nearby(_ word: String?) -> String {
      guard let word else { return "" }
      return chinese ? " 是否想输入 \(word)？" : " Did you mean \(word)?"
    }
    switch problem {
    case .unknownOption(let word, let nearest):
      return (chinese ? "没有选项 \(word)。" : "There is no option \(word).") + nearby(nearest)
    case .unknownVerb(let word, let nearest):
      return (chinese ? "没有命令 \(word)。" : "There is no command \(word).") + nearby(nearest)
    case .missingVerb: return chinese ? "缺少命令。" : "A command is missing."
    case .missingValue(let name, let value):
      return chinese ? "选项 --\(name) 需要一个值（\(value)）。" : "Option --\(name) needs a value (\(value))."
    case .superfluousValue(let name):
      return chinese ? "选项 --\(name) 不带值。" : "Option --\(name) takes no value."
    case .repeated(let name): return chinese ? "选项 --\(name) 重复。" : "Option --\(name) is given twice."
    case .missingWord(let what): return chinese ? "缺少参数：\(what)。" : "Missing: \(what)."
    case .superfluousWord(let word): return chinese ? "多余的参数：\(word)。" : "One word too many: \(word)."
    case .wrongValue(let word, let expected):
      return chinese ? "“\(word)”无效，应为 \(expected)。" : "'\(word)' is not valid; expected \(expected)."
    }
  }
}

/// Exit statuses of both programs (design: Programs).
public enum ExitCode {
  /// All went well.
  public static let ok: Int32 = 0
  /// It failed.
  public static let failed: Int32 = 1
  /// A device said no.
  public static let fault: Int32 = 2
  /// The command line is wrong (sysexits EX_USAGE).
  public static let usage: Int32 = 64
  /// The agent is not running (EX_UNAVAILABLE).
  public static let unavailable: Int32 = 69
  /// The configuration is wrong (EX_CONFIG).
  public static let configuration: Int32 = 78
}
