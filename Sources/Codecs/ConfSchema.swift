/// What the schema needs to know of a key, whatever the type of its value.
public protocol ConfKeyDeclaration: Sendable {
  /// The key as written in the file.
  var name: String { get }
  /// Whether its section is wrong without it.
  var isRequired: Bool { get }
  /// Whether it may occur more than once.
  var isRepeatable: Bool { get }
  /// What a right value looks like.
  var expected: ConfExpected { get }
  /// The value's mistake, if it has one.
  func mistake(in value: ConfValue) -> ConfError?
}

/// A key with the type of its value: the one declaration that both the check of a file and its reading use.
///
/// ```swift
/// static let retries = ConfKey("retries", .integer(in: 0...10), default: 3)
/// let count = try section.value(retries)
/// ```
public struct ConfKey<Value: Sendable>: ConfKeyDeclaration {
  /// The key as written in the file.
  public let name: String
  /// How its value is read.
  public let type: ConfType<Value>
  /// The value when the key is absent.
  public let defaultValue: Value?
  /// Whether its section is wrong without it.
  public let isRequired: Bool
  /// Whether it may occur more than once.
  public let isRepeatable: Bool

  /// A key without a default.
  public init(_ name: String, _ type: ConfType<Value>, required: Bool = false, repeatable: Bool = false) {
    self.name = name
    self.type = type
    self.defaultValue = nil
    self.isRequired = required
    self.isRepeatable = repeatable
  }

  /// A key that may be left out.
  public init(_ name: String, _ type: ConfType<Value>, default value: Value) {
    self.name = name
    self.type = type
    self.defaultValue = value
    self.isRequired = false
    self.isRepeatable = false
  }

  /// What a right value looks like.
  public var expected: ConfExpected { type.expected }

  /// The value's mistake, if it has one.
  public func mistake(in value: ConfValue) -> ConfError? {
    do throws(ConfError) {
      _ = try type.read(value)
      return nil
    } catch {
      return error
    }
  }
}

extension ConfSection {
  /// The key's value, or its default. Throws for a wrong value, and for an absent key without a default.
  public func value<Value>(_ key: ConfKey<Value>) throws(ConfError) -> Value {
    if let value = try optional(key) { return value }
    throw ConfError(.missingKey(key.name, section: title), at: position)
  }

  /// The key's value, or its default, or nil.
  public func optional<Value>(_ key: ConfKey<Value>) throws(ConfError) -> Value? {
    guard let entry = entry(key.name) else { return key.defaultValue }
    return try key.type.read(entry.value)
  }

  /// Every value of a repeatable key, in the order of the file.
  public func values<Value>(_ key: ConfKey<Value>) throws(ConfError) -> [Value] {
    var values: [Value] = []
    for entry in entries where entry.key == key.name { values.append(try key.type.read(entry.value)) }
    return values
  }
}

/// The sections and keys a kind of file may have; checks a whole file and names every mistake at once.
public struct ConfSchema: Sendable {
  /// Whether a header is `[name]` or `[name argument]`.
  public enum Argument: Sendable, Equatable {
    /// `[name]` only.
    case none
    /// `[name]` or `[name argument]`.
    case optional
    /// `[name argument]` only.
    case required
  }

  /// One kind of section.
  public struct Section: Sendable {
    /// First word of the header; empty for entries before the first header.
    public let name: String
    /// What follows the name.
    public let argument: Argument
    /// Whether the file is wrong without it.
    public let isRequired: Bool
    /// Whether a header may occur twice with the same argument.
    public let isRepeatable: Bool
    /// The keys it may have.
    public let keys: [any ConfKeyDeclaration]
    /// Judges an entry whose key is none of `keys`; nil accepts it. Without this such keys are unknown.
    public let otherEntry: (@Sendable (ConfEntry) -> ConfError?)?
    /// Rules between several values, checked when each value by itself is right.
    public let rules: @Sendable (ConfSection) -> [ConfError]

    /// A kind of section.
    public init(
      _ name: String, argument: Argument = .none, required: Bool = false, repeatable: Bool = false,
      keys: [any ConfKeyDeclaration],
      otherEntry: (@Sendable (ConfEntry) -> ConfError?)? = nil,
      rules: @escaping @Sendable (ConfSection) -> [ConfError] = { _ in [] }
    ) {
      self.name = name
      self.argument = argument
      self.isRequired = required
      self.isRepeatable = repeatable
      self.keys = keys
      self.otherEntry = otherEntry
      self.rules = rules
    }
  }

  /// The kinds of section, in the order a manual would list them.
  public let sections: [Section]

  /// A kind of file.
  public init(_ sections: [Section]) { self.sections = sections }

  /// Reads and checks a file, or throws every mistake in it.
  public func read(
    _ bytes: [UInt8], file: String, limits: ConfLimits = ConfLimits()
  ) throws(ConfErrors) -> ConfDocument {
    let (document, syntaxErrors) = ConfDocument.parse(bytes, file: file, limits: limits)
    var errors = syntaxErrors
    errors += mistakes(in: document, isWhole: syntaxErrors.isEmpty)
    guard errors.isEmpty else {
      let sorted = ConfErrors(errors).errors
      guard sorted.count > limits.errors else { throw ConfErrors(sorted) }
      let listed = sorted.prefix(limits.errors).filter { error in
        if case .tooManyErrors = error.problem { false } else { true }
      }
      let place = sorted[limits.errors].position
      throw ConfErrors(listed + [ConfError(.tooManyErrors(limit: limits.errors), at: place)])
    }
    return document
  }

  /// Every mistake in a file whose lines could all be read.
  public func check(_ document: ConfDocument) -> [ConfError] {
    ConfErrors(mistakes(in: document, isWhole: true)).errors
  }

  // With unread lines nothing can be said about what is missing.
  private func mistakes(in document: ConfDocument, isWhole: Bool) -> [ConfError] {
    var errors: [ConfError] = []
    var seen: [String: Int] = [:]
    for section in document.sections {
      guard let kind = sections.first(where: { $0.name == section.name }) else {
        errors.append(unknown(section))
        continue
      }
      switch (kind.argument, section.argument) {
      case (.required, nil):
        errors.append(ConfError(.missingSectionArgument(section.name), at: section.position))
      case (.none, .some):
        errors.append(ConfError(.unexpectedSectionArgument(section.name), at: section.position))
      default: break
      }
      if let line = seen[section.title], !kind.isRepeatable {
        errors.append(ConfError(.duplicateSection(section.title, firstLine: line), at: section.position))
      } else {
        seen[section.title] = section.position.line
      }
      errors += mistakes(in: section, of: kind, isWhole: isWhole)
    }
    if isWhole {
      for kind in sections where kind.isRequired && document.section(kind.name) == nil {
        let start = ConfPosition(file: document.file, line: 1, column: 1)
        errors.append(ConfError(.missingSection(kind.name), at: start))
      }
    }
    return errors
  }

  private func unknown(_ section: ConfSection) -> ConfError {
    if section.name.isEmpty, let first = section.entries.first {
      return ConfError(.keyOutsideSection(first.key), at: first.position)
    }
    let nearest = NearestWord.find(section.name, in: sections.map(\.name))
    return ConfError(.unknownSection(section.title, nearest: nearest), at: section.position)
  }

  private func mistakes(in section: ConfSection, of kind: Section, isWhole: Bool) -> [ConfError] {
    var errors: [ConfError] = []
    var seen: [String: Int] = [:]
    for entry in section.entries {
      guard let key = kind.keys.first(where: { $0.name == entry.key }) else {
        if let other = kind.otherEntry {
          if let error = other(entry) { errors.append(error) }
        } else {
          let nearest = NearestWord.find(entry.key, in: kind.keys.map(\.name))
          let owner = sections.first { $0.keys.contains { $0.name == entry.key } }
          errors.append(
            ConfError(
              .unknownKey(entry.key, nearest: nearest, belongsTo: owner?.name), at: entry.position))
        }
        continue
      }
      if let line = seen[key.name], !key.isRepeatable {
        errors.append(ConfError(.duplicateKey(key.name, firstLine: line), at: entry.position))
        continue
      }
      seen[key.name] = entry.position.line
      if let error = key.mistake(in: entry.value) { errors.append(error) }
    }
    if isWhole {
      for key in kind.keys where key.isRequired && seen[key.name] == nil {
        errors.append(ConfError(.missingKey(key.name, section: section.title), at: section.position))
      }
    }
    if errors.isEmpty, isWhole { errors += kind.rules(section) }
    return errors
  }
}
