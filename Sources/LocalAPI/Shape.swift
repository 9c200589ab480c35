public import WireJSON

/// The form of a JSON value. One declaration checks what callers send and is printed in the OpenAPI document, so that
/// the two cannot part.
public indirect enum Shape: Sendable {
  /// Text of 1 to `max` characters.
  case text(max: Int)
  /// Text of 1 to `max` characters with line breaks and tabs.
  case lines(max: Int)
  /// A caller-chosen id: 1 to 128 characters out of letters, digits and `._:-`.
  case identifier
  /// A UUID in lower case.
  case uuid
  /// 64 lower-case hexadecimal digits.
  case digest
  /// RFC 3339 date and time with offset.
  case timestamp
  /// One of these words.
  case word([String])
  /// A whole number within a range.
  case integer(ClosedRange<Int>)
  /// A number.
  case number
  /// true or false.
  case boolean
  /// An object with these members and no others.
  case object([Field])
  /// An object whose members' names are not fixed.
  case table(Shape)
  /// An array of at most `max` elements.
  case array(Shape, max: Int)
  /// Anything, of at most that many bytes as JSON text.
  case opaque(maxBytes: Int)
  /// The shape or null.
  case nullable(Shape)

  /// A member of an object.
  public struct Field: Sendable {
    /// Name.
    public let name: String
    /// Form of its value.
    public let shape: Shape
    /// Whether it must be there.
    public let required: Bool
    /// What it means, one sentence.
    public let summary: String

    /// A member that must be there.
    public static func required(_ name: String, _ shape: Shape, _ summary: String) -> Field {
      Field(name: name, shape: shape, required: true, summary: summary)
    }
    /// A member that may be left out.
    public static func optional(_ name: String, _ shape: Shape, _ summary: String) -> Field {
      Field(name: name, shape: shape, required: false, summary: summary)
    }
  }

  /// What is wrong with a value, one sentence a finding with the place; empty when it is of this shape.
  public func problems(in value: JSONValue, at place: String = "") -> [String] {
    func wrong(_ expected: String) -> [String] {
      ["\(place.isEmpty ? "the body" : place): expected \(expected)"]
    }
    switch self {
    case .text(let max):
      guard let text = value.string, !text.isEmpty, text.count <= max else {
        return wrong("text of 1 to \(max) characters")
      }
      guard !text.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\n" || $0.value == 0x7F }) else {
        return wrong("text without control characters")
      }
    case .lines(let max):
      guard let text = value.string, !text.isEmpty, text.count <= max else {
        return wrong("text of 1 to \(max) characters")
      }
    case .identifier:
      guard let text = value.string, (1...128).contains(text.utf8.count),
        text.utf8.allSatisfy(Self.isIdentifierByte)
      else { return wrong("1 to 128 characters out of letters, digits and . _ : -") }
    case .uuid:
      guard let text = value.string, Self.isUUID(text) else { return wrong("a UUID in lower case") }
    case .digest:
      guard let text = value.string, text.utf8.count == 64, text.utf8.allSatisfy(Self.isLowerHex) else {
        return wrong("64 lower-case hexadecimal digits")
      }
    case .timestamp:
      guard let text = value.string, (20...40).contains(text.utf8.count) else {
        return wrong("an RFC 3339 time")
      }
    case .word(let words):
      guard let text = value.string, words.contains(text) else {
        return wrong("one of " + words.joined(separator: ", "))
      }
    case .integer(let range):
      guard let number = value.integer, range.contains(Int(number)) else {
        return wrong("a whole number from \(range.lowerBound) to \(range.upperBound)")
      }
    case .number:
      guard value.number != nil else { return wrong("a number") }
    case .boolean:
      guard value.bool != nil else { return wrong("true or false") }
    case .object(let fields):
      guard let members = value.object else { return wrong("an object") }
      var found: [String] = []
      let prefix = place.isEmpty ? "" : place + "."
      for field in fields {
        if let member = members[field.name] {
          found += field.shape.problems(in: member, at: prefix + field.name)
        } else if field.required {
          found.append("\(prefix)\(field.name): missing")
        }
      }
      let known = fields.map(\.name)
      for name in members.keys.sorted() where !known.contains(name) {
        found.append("\(prefix)\(name.prefix(40)): unknown; known here are " + known.joined(separator: ", "))
      }
      return found
    case .table(let shape):
      guard let members = value.object else { return wrong("an object") }
      return members.keys.sorted().flatMap { name in
        shape.problems(in: members[name] ?? .null, at: (place.isEmpty ? "" : place + ".") + name)
      }
    case .array(let shape, let max):
      guard let elements = value.array, elements.count <= max else {
        return wrong("an array of at most \(max)")
      }
      return elements.indices.flatMap { shape.problems(in: elements[$0], at: "\(place)[\($0)]") }
    case .opaque(let maxBytes):
      guard let bytes = try? JSON.encode(value), bytes.count <= maxBytes else {
        return wrong("JSON of at most \(maxBytes) bytes")
      }
    case .nullable(let shape):
      return value.isNull ? [] : shape.problems(in: value, at: place)
    }
    return []
  }

  /// The shape as a JSON Schema of the OpenAPI 3.1 dialect.
  public var schema: JSONValue {
    switch self {
    case .text(let max): ["type": "string", "minLength": 1, "maxLength": .integer(Int64(max))]
    case .lines(let max): ["type": "string", "minLength": 1, "maxLength": .integer(Int64(max))]
    case .identifier: ["type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"]
    case .uuid: ["type": "string", "format": "uuid"]
    case .digest: ["type": "string", "pattern": "^[0-9a-f]{64}$"]
    case .timestamp: ["type": "string", "format": "date-time"]
    case .word(let words): ["type": "string", "enum": .array(words.map(JSONValue.string))]
    case .integer(let range):
      [
        "type": "integer", "minimum": .integer(Int64(range.lowerBound)),
        "maximum": .integer(Int64(range.upperBound)),
      ]
    case .number: ["type": "number"]
    case .boolean: ["type": "boolean"]
    case .object(let fields):
      .object([
        "type": "object", "additionalProperties": false,
        "properties": .object(
          Dictionary(
            uniqueKeysWithValues: fields.map { field in
              var schema = field.shape.schema
              schema["description"] = .string(field.summary)
              return (field.name, schema)
            })),
        "required": .array(fields.filter(\.required).map { .string($0.name) }),
      ])
    case .table(let shape): ["type": "object", "additionalProperties": shape.schema]
    case .array(let shape, let max):
      ["type": "array", "items": shape.schema, "maxItems": .integer(Int64(max))]
    case .opaque(let maxBytes): ["description": .string("Any JSON, at most \(maxBytes) bytes.")]
    case .nullable(let shape): ["anyOf": [shape.schema, ["type": "null"]]]
    }
  }

  private static func isIdentifierByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
      UInt8(ascii: "-"):
      true
    default: false
    }
  }
  private static func isLowerHex(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }
  private static func isUUID(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count == 36 else { return false }
    return bytes.indices.allSatisfy { index in
      [8, 13, 18, 23].contains(index) ? bytes[index] == UInt8(ascii: "-") : isLowerHex(bytes[index])
    }
  }
}
