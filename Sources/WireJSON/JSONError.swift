/// Why a text is not the JSON that was expected, or a value cannot be written as JSON.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, by kind.
  public enum Kind: Sendable, Equatable {
    /// Not JSON at all (RFC 8259), or not UTF-8.
    case syntax
    /// Arrays and objects stand in each other deeper than ``JSON/depthLimit``.
    case tooDeep
    /// A member that must be there is missing.
    case memberMissing
    /// A value of another kind stands there, or `null`.
    case wrongKind
    /// The kind is right and the value is not.
    case invalid
    /// The value has no JSON form (a number that is not finite).
    case notEncodable
  }

  /// What is wrong, by kind.
  public let kind: Kind
  /// Where: member names and `[index]`, as in `cases[0].case`; empty for the whole text.
  public let path: String
  /// One English sentence for a developer's eyes, without the path.
  public let sentence: String

  /// An error of that kind at that place.
  public init(_ kind: Kind, path: String = "", sentence: String) {
    self.kind = kind
    self.path = path
    self.sentence = sentence
  }

  /// The place and the sentence.
  public var description: String { path.isEmpty ? sentence : "\(path): \(sentence)" }
}
