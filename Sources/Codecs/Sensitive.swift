/// A value that must never reach a log, a crash message or a support bundle: a citizen's number, name, address,
/// photo, signature or page.
///
/// Whatever prints or reflects it sees only a placeholder. The content is reached by ``reveal()`` alone, so that every
/// place which hands it on can be found by searching for that word.
public struct Sensitive<Value: Sendable>: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  private let value: Value

  /// Wraps a value that came from a citizen's card, page, hand or face.
  public init(_ value: Value) { self.value = value }

  /// The content, for the one caller it is meant for.
  public func reveal() -> Value { value }

  /// A placeholder; never the content.
  public var description: String { "‹withheld›" }
  /// A placeholder; never the content.
  public var debugDescription: String { "‹withheld›" }
  /// A mirror without children, so that `dump` and string interpolation of an enclosing type show nothing.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension Sensitive: Equatable where Value: Equatable {}

extension Sensitive<String> {
  /// The content with all but the first six and last four characters replaced by `*`: the form in which an ID number
  /// may be shown to staff. Shorter contents are masked whole.
  public var masked: String {
    let characters = Array(value)
    guard characters.count > 10 else { return String(repeating: "*", count: characters.count) }
    return String(characters.prefix(6)) + String(repeating: "*", count: characters.count - 10)
      + String(characters.suffix(4))
  }
}
