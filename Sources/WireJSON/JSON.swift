import FoundationEssentials

/// Reads and writes JSON (RFC 8259), in bytes.
public enum JSON {
  /// How deep arrays and objects may stand in each other. Deeper texts are refused before they are read, so that no
  /// stack is at their mercy.
  public static let depthLimit = 64

  /// How many bytes of UTF-8 a member's name may have. No form has one near it, and telling names apart takes time that grows
  /// with the square of what one may make of combining marks.
  public static let nameLimit = 256

  /// The value as compact JSON: members sorted by name, slashes not escaped, so that equal values give equal bytes.
  /// - Throws: ``JSONError`` of kind ``JSONError/Kind/notEncodable``.
  public static func encode<T: Encodable>(_ value: T) throws(JSONError) -> [UInt8] {
    if let value = value as? JSONValue, let bytes = JSONWriter.write(value) { return bytes }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return [UInt8](try encoder.encode(value))
    } catch let error as EncodingError {
      switch error {
      case .invalidValue(_, let context):
        throw JSONError(.notEncodable, path: path(context.codingPath), sentence: context.debugDescription)
      @unknown default:
        throw JSONError(.notEncodable, sentence: "The value has no JSON form.")
      }
    } catch {
      throw JSONError(.notEncodable, sentence: "The value has no JSON form: \(error)")
    }
  }

  /// A value of that type from JSON text. Members that the type does not know are passed over.
  public static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws(JSONError) -> T {
    // That one lets pass what is not JSON.
    _ = try JSONReader.read(bytes)
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch let error as JSONError {
      throw error
    } catch let error as DecodingError {
      throw translated(error)
    } catch {
      throw JSONError(.invalid, sentence: "\(error)")
    }
  }

  /// Whatever the text says.
  public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
    try JSONReader.read(bytes)
  }

  private static func translated(_ error: DecodingError) -> JSONError {
    switch error {
    case .keyNotFound(let key, let context):
      JSONError(
        .memberMissing, path: path(context.codingPath),
        sentence: "The member “\(key.stringValue)” is missing.")
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      JSONError(.wrongKind, path: path(context.codingPath), sentence: context.debugDescription)
    case .dataCorrupted(let context):
      JSONError(.invalid, path: path(context.codingPath), sentence: context.debugDescription)
    @unknown default:
      JSONError(.invalid, sentence: "\(error)")
    }
  }

  private static func path(_ keys: [any CodingKey]) -> String {
    var path = ""
    for key in keys {
      if let index = key.intValue {
        path += "[\(index)]"
      } else {
        path += path.isEmpty ? key.stringValue : ".\(key.stringValue)"
      }
    }
    return path
  }
}
