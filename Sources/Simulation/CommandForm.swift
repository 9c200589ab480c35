import Codecs

/// How one command is written, what it is for, and what it stands for.
///
/// A pattern is words, of which `a|b` stands for one of several and these for a value: `<n>` a whole number from 0 to
/// 1 000 000, `<2-5>` one in that range, `<time>` a length of time such as `800 ms`, `<hex>` a byte as two hexadecimal
/// digits.
public struct CommandForm<Command: Sendable>: Sendable {
  /// The pattern, as it is shown to people.
  public let pattern: String
  /// What the command does, one English sentence without a full stop.
  public let help: String
  let make: @Sendable (CommandValues) -> Command?

  /// A command; `make` gets the values in the order of the pattern and returns nil for a combination it refuses.
  public init(
    _ pattern: String, _ help: String, make: @escaping @Sendable (_ values: CommandValues) -> Command?
  ) {
    self.pattern = pattern
    self.help = help
    self.make = make
  }

  /// A command without values.
  public init(_ pattern: String, _ help: String, _ command: Command) {
    self.init(pattern, help) { _ in command }
  }
}

/// The values that stood in a command.
public struct CommandValues: Sendable, Equatable {
  var values: [CommandValue] = []

  /// The value at an index if it is a number or a byte.
  public func number(_ index: Int = 0) -> Int? {
    guard values.indices.contains(index), case .number(let number) = values[index] else { return nil }
    return number
  }
  /// The value at an index if it is a byte.
  public func byte(_ index: Int = 0) -> UInt8? { number(index).flatMap { UInt8(exactly: $0) } }
  /// The value at an index if it is a length of time.
  public func time(_ index: Int = 0) -> Duration? {
    guard values.indices.contains(index), case .time(let time) = values[index] else { return nil }
    return time
  }
  /// The value at an index if it is one of several words.
  public func word(_ index: Int = 0) -> String? {
    guard values.indices.contains(index), case .word(let word) = values[index] else { return nil }
    return word
  }
  /// True when the word at an index is `on` or `yes`; nil when it is neither that nor `off` or `no`.
  public func flag(_ index: Int = 0) -> Bool? {
    switch word(index) {
    case "on", "yes": true
    case "off", "no": false
    default: nil
    }
  }
}

enum CommandValue: Sendable, Equatable {
  case number(Int)
  case time(Duration)
  case word(String)
}

/// A command and what it does, for a person.
public struct CommandHelp: Sendable, Equatable {
  /// How it is written.
  public let pattern: String
  /// What it does.
  public let help: String
}

/// Reads commands by their forms.
enum CommandReader {
  /// Longest command that is looked at, in characters.
  static let longest = 200

  /// The command a text stands for, or nil when no form fits.
  static func match<Command>(_ text: String, _ forms: [CommandForm<Command>]) -> Command? {
    guard text.count <= longest else { return nil }
    let words = words(text)
    for form in forms {
      var values = CommandValues()
      if match(words, self.words(form.pattern), &values), let command = form.make(values) { return command }
    }
    return nil
  }

  /// Why a text that no form fits is wrong.
  static func error(_ text: String, patterns: [String]) -> SimulationError {
    let shown = String(text.prefix(longest))
    let typed = words(shown)
    let same = patterns.filter { pattern in
      guard let first = typed.first, let known = words(pattern).first else { return false }
      return known.split(separator: "|").contains { $0 == first }
    }
    let expanded = patterns.flatMap(expand)
    if let nearest = NearestWord.find(typed.joined(separator: " "), in: expanded) {
      return .unknownCommand(shown, nearest: nearest)
    }
    if !same.isEmpty { return .wrongWords(shown, forms: same) }
    let firsts = expanded.compactMap { words($0).first }
    let nearest = typed.first.flatMap { NearestWord.find($0, in: firsts) }
    return .unknownCommand(shown, nearest: nearest)
  }

  static func words(_ text: String) -> [String] {
    text.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
  }

  private static func match(_ words: [String], _ pattern: [String], _ values: inout CommandValues) -> Bool {
    var index = 0
    for part in pattern {
      guard index < words.count else { return false }
      let word = words[index]
      index += 1
      if part == "<time>" {
        if let time = SimulationTime.read(word) {
          values.values.append(.time(time))
        } else if index < words.count, let time = SimulationTime.read(word + " " + words[index]) {
          values.values.append(.time(time))
          index += 1
        } else {
          return false
        }
      } else if part == "<hex>" {
        guard word.utf8.count == 2, word.utf8.first != 0x2B, let byte = UInt8(word, radix: 16) else {
          return false
        }
        values.values.append(.number(Int(byte)))
      } else if let range = range(part) {
        guard word.utf8.first != 0x2B, let number = Int(word), range.contains(number) else { return false }
        values.values.append(.number(number))
      } else if part.contains("|") {
        guard part.split(separator: "|").contains(where: { $0 == word }) else { return false }
        values.values.append(.word(word))
      } else if part != word {
        return false
      }
    }
    return index == words.count
  }

  private static func range(_ part: String) -> ClosedRange<Int>? {
    guard part.hasPrefix("<"), part.hasSuffix(">") else { return nil }
    let inner = part.dropFirst().dropLast()
    if inner == "n" { return 0...1_000_000 }
    let bounds = inner.split(separator: "-").compactMap { Int($0) }
    guard bounds.count == 2, bounds[0] <= bounds[1] else { return nil }
    return bounds[0]...bounds[1]
  }

  /// Every way to write a pattern with `a|b` in it.
  private static func expand(_ pattern: String) -> [String] {
    words(pattern).reduce(into: [""]) { lines, part in
      let choices = part.hasPrefix("<") ? [part] : part.split(separator: "|").map(String.init)
      lines = lines.flatMap { line in choices.map { line.isEmpty ? $0 : line + " " + $0 } }
    }
  }
}

/// Lengths of time as people write them.
public enum SimulationTime {
  /// Reads `250 ms`, `3 s`, `1.5 s` or `2 min`, the space being optional; nil for anything else and beyond a day.
  public static func read(_ text: String) -> Duration? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    let factors: [Substring: Int] = ["ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000]
    guard let factor = factors[unit] else { return nil }
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts[0].count <= 8, let whole = Int(parts[0]) else { return nil }
    var milliseconds = whole * factor
    if parts.count == 2 {
      guard (1...3).contains(parts[1].count), let fraction = Int(parts[1]) else { return nil }
      let scale = [10, 100, 1000][parts[1].count - 1]
      guard (fraction * factor).isMultiple(of: scale) else { return nil }
      milliseconds += fraction * factor / scale
    }
    return milliseconds <= 86_400_000 ? .milliseconds(milliseconds) : nil
  }

  /// The form that ``read(_:)`` takes, with the largest unit that gives a whole number.
  public static func text(_ time: Duration) -> String {
    let parts = time.components
    let milliseconds = Int(parts.seconds) * 1000 + Int(parts.attoseconds / 1_000_000_000_000_000)
    if milliseconds == 0 { return "0 s" }
    for (unit, factor) in [("h", 3_600_000), ("min", 60_000), ("s", 1000)]
    where milliseconds.isMultiple(of: factor) {
      return "\(milliseconds / factor) \(unit)"
    }
    return "\(milliseconds) ms"
  }
}
