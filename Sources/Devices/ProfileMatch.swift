/// One line of a profile's `[match]` section: a fact and the values it may have.
public struct MatchPredicate: Sendable, Equatable {
  /// Name of the fact, a raw value of ``DeviceFact``.
  public let fact: String
  /// Values any of which will do: `*` stands for any text, `?` for one character; letters of either case. A value with `!`
  /// before it must not be. Never empty.
  public let patterns: [String]

  /// A predicate.
  public init(fact: String, patterns: [String]) {
    self.fact = fact
    self.patterns = patterns
  }

  /// True when the fact has one of the values and none that must not be. A fact that is not known holds only where
  /// nothing but unwanted values are given.
  public func holds(_ facts: [String: String]) -> Bool {
    let wanted = patterns.filter { !$0.hasPrefix("!") }
    guard let value = facts[fact] else { return wanted.isEmpty }
    let values =
      DeviceFact(rawValue: fact)?.isList == true ? value.split(separator: " ").map(String.init) : [value]
    func matches(_ pattern: some StringProtocol) -> Bool {
      values.contains { Self.matches($0, pattern: String(pattern)) }
    }
    if patterns.contains(where: { $0.hasPrefix("!") && matches($0.dropFirst()) }) { return false }
    return wanted.isEmpty || wanted.contains { matches($0) }
  }

  /// What it asks for, for people: `'A*' or 'B'`, `neither 'C' nor 'D'`.
  func wanted(chinese: Bool) -> String {
    func quoted(_ text: some StringProtocol) -> String { chinese ? "“\(text)”" : "'\(text)'" }
    let wanted = patterns.filter { !$0.hasPrefix("!") }.map { quoted($0) }
    let unwanted = patterns.filter { $0.hasPrefix("!") }.map { quoted($0.dropFirst()) }
    var parts: [String] = []
    if !wanted.isEmpty { parts.append(wanted.joined(separator: chinese ? "或" : " or ")) }
    if !unwanted.isEmpty {
      parts.append((chinese ? "不是" : "not ") + unwanted.joined(separator: chinese ? "或" : " or "))
    }
    return parts.joined(separator: chinese ? "，且" : ", and ")
  }

  /// How much a match says: the fact's own worth, and one for every fixed character of the loosest pattern.
  ///
  /// A value spelt out outweighs the same value with a `*` behind it.
  public var weight: Int {
    let fixed = patterns.filter { !$0.hasPrefix("!") }.map { pattern in
      let wildcards = pattern.count { $0 == "*" || $0 == "?" }
      return min(100, (pattern.count - wildcards) * 2 + (wildcards == 0 ? 1 : 0))
    }
    // `transport` only keeps devices apart that could never share a profile: its spelling counts for nothing.
    // So does what a device must not be: it sets nothing apart.
    guard let known = DeviceFact(rawValue: fact), known.base > 0, !patterns.allSatisfy({ $0.hasPrefix("!") })
    else { return 1 }
    return known.base + (fixed.min() ?? 0)
  }

  /// Glob match of a whole value; `*` any text, `?` one character, ASCII letters of either case.
  static func matches(_ value: String, pattern: String) -> Bool {
    let text = Array(value.lowercased())
    let glob = Array(pattern.lowercased())
    var (at, place) = (0, 0)
    var star: (place: Int, at: Int)?
    while at < text.count {
      if place < glob.count, glob[place] == "*" {
        star = (place, at)
        place += 1
      } else if place < glob.count, glob[place] == "?" || glob[place] == text[at] {
        at += 1
        place += 1
      } else if let last = star {
        star = (last.place, last.at + 1)
        at = last.at + 1
        place = last.place + 1
      } else {
        return false
      }
    }
    return glob[place...].allSatisfy { $0 == "*" }
  }
}
