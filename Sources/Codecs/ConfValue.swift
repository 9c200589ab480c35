/// The right-hand side of `key = value`, with its place; a ``ConfType`` reads it.
public struct ConfValue: Sendable, Equatable {
  /// The value as written, quotes and escapes included, without surrounding spaces.
  public let raw: String
  /// Place of the value's first character.
  public let position: ConfPosition

  init(raw: String, position: ConfPosition) {
    self.raw = raw
    self.position = position
  }

  /// The error that says this value is not what it should be.
  public func error(expected: ConfExpected, nearest: String? = nil) -> ConfError {
    ConfError(.wrongValue(found: raw, expected: expected, nearest: nearest), at: position)
  }

  /// The value's bytes: UTF-8 of the text, and whatever `\xHH` put between.
  public func bytes() throws(ConfError) -> [UInt8] {
    guard raw.unicodeScalars.first == "\"" else { return Array(raw.utf8) }
    let scalars = Array(raw.unicodeScalars)
    do throws(ConfFault) {
      let quoted = try ConfText.quoted(scalars, from: 0)
      guard quoted.end == scalars.count else {
        let rest = scalars[quoted.end...].firstIndex { !ConfText.isSpace($0) } ?? quoted.end
        throw ConfFault(.syntax(.textAfterEnd), rest)
      }
      return quoted.bytes
    } catch {
      throw ConfError(error.problem, at: position.moved(by: error.offset))
    }
  }

  /// The value as text, quotes and escapes resolved.
  public func text() throws(ConfError) -> String {
    guard let text = String(validating: try bytes(), as: UTF8.self) else {
      throw ConfError(.notUTF8, at: position)
    }
    return text
  }

  /// The elements of a list: separated by commas when there is one outside quotes, otherwise by spaces. An empty value
  /// is an empty list. Every element keeps its own place.
  public func elements() throws(ConfError) -> [ConfValue] {
    let text = Array(raw.unicodeScalars)
    do throws(ConfFault) {
      let commas = try separators(text)
      guard !commas.isEmpty else { return try bySpaces(text) }
      var elements: [ConfValue] = []
      var start = 0
      for end in commas + [text.count] {
        let part = ConfText.trimmed(text[start..<end])
        // One comma after the last element does no harm.
        if part.isEmpty, end == text.count { break }
        guard !part.isEmpty else { throw ConfFault(.syntax(.emptyElement), start) }
        elements.append(element(part))
        start = end + 1
      }
      return elements
    } catch {
      throw ConfError(error.problem, at: position.moved(by: error.offset))
    }
  }

  private func element(_ part: ArraySlice<Unicode.Scalar>) -> ConfValue {
    ConfValue(raw: ConfText.string(part), position: position.moved(by: part.startIndex))
  }

  // Offsets of the commas outside quotes.
  private func separators(_ text: [Unicode.Scalar]) throws(ConfFault) -> [Int] {
    var commas: [Int] = []
    var index = 0
    var atStart = true
    while index < text.count {
      switch text[index] {
      case "\"" where atStart:
        index = try ConfText.quoted(text, from: index).end
        atStart = false
        continue
      case ",":
        commas.append(index)
        atStart = true
      case "，", "、":
        let found = String(Character(text[index]))
        throw ConfFault(.syntax(.fullWidth(found: found, wanted: ",")), index)
      case let scalar: atStart = ConfText.isSpace(scalar)
      }
      index += 1
    }
    return commas
  }

  private func bySpaces(_ text: [Unicode.Scalar]) throws(ConfFault) -> [ConfValue] {
    var elements: [ConfValue] = []
    var index = 0
    while index < text.count {
      if ConfText.isSpace(text[index]) {
        index += 1
        continue
      }
      let start = index
      if text[index] == "\"" {
        index = try ConfText.quoted(text, from: index).end
        guard index == text.count || ConfText.isSpace(text[index]) else {
          throw ConfFault(.syntax(.textAfterEnd), index)
        }
      } else {
        while index < text.count, !ConfText.isSpace(text[index]) { index += 1 }
      }
      elements.append(element(text[start..<index]))
    }
    return elements
  }
}
