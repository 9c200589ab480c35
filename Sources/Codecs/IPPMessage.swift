/// Why bytes are not an IPP message, or a message cannot be written.
public enum IPPError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The message goes on beyond these bytes: read more, or, at the end of the body, refuse it.
  case incomplete
  /// The attributes take more bytes, or there are more of them, than accepted.
  case tooLarge
  /// Collections nested deeper than accepted.
  case tooDeep
  /// A tag that may not stand here.
  case unexpectedTag(UInt8, offset: Int)
  /// A name that is empty where it may not be, present where it must be empty, or too long.
  case wrongName(offset: Int)
  /// A value whose length or content does not fit its tag.
  case wrongValue(attribute: String, offset: Int)
  /// The same attribute twice in a group.
  case duplicateAttribute(String, offset: Int)
  /// An attribute without values, which cannot be written.
  case noValues(attribute: String)

  /// One sentence in English.
  public var description: String {
    switch self {
    case .incomplete: "the IPP message is incomplete"
    case .tooLarge: "the IPP message has too many attributes"
    case .tooDeep: "the IPP message has collections nested too deeply"
    case .unexpectedTag(let tag, let offset):
      "unexpected IPP tag 0x\(String(tag, radix: 16)) at byte \(offset)"
    case .wrongName(let offset): "wrong IPP attribute name at byte \(offset)"
    case .wrongValue(let name, let offset): "wrong value of IPP attribute '\(name)' at byte \(offset)"
    case .duplicateAttribute(let name, let offset): "IPP attribute '\(name)' again at byte \(offset)"
    case .noValues(let name): "IPP attribute '\(name)' has no value"
    }
  }
}

/// What a message may cost before it is refused.
public struct IPPLimits: Sendable {
  /// Bytes before the document.
  public var bytes: Int
  /// Values, members of collections included.
  public var values: Int
  /// Nesting of collections.
  public var depth: Int

  /// Room for CUPS' own answers, which have some hundred attributes: 256 KiB, 8192 values, 8 levels.
  public init(bytes: Int = 256 << 10, values: Int = 8192, depth: Int = 8) {
    self.bytes = bytes
    self.values = values
    self.depth = depth
  }
}

/// An IPP request or response without the document that may follow it (RFC 8010).
public struct IPPMessage: Sendable, Equatable {
  /// Protocol version.
  public var version: IPPVersion
  /// The operation-id of a request, the status-code of a response.
  public var code: UInt16
  /// Chosen by the client, repeated by the printer.
  public var requestID: Int32
  /// Groups in order; a response about several jobs has several of the same tag.
  public var groups: [IPPGroup]

  /// A message.
  public init(version: IPPVersion = IPPVersion(1, 1), code: UInt16, requestID: Int32, groups: [IPPGroup]) {
    self.version = version
    self.code = code
    self.requestID = requestID
    self.groups = groups
  }

  /// The first group with that tag.
  public func group(_ tag: IPPGroupTag) -> IPPGroup? { groups.first { $0.tag == tag } }

  /// Reads a message from the start of `bytes`.
  ///
  /// - Returns: The message, and the index at which the document begins.
  public static func read(
    _ bytes: [UInt8], limits: IPPLimits = IPPLimits()
  ) throws(IPPError) -> (message: IPPMessage, documentStart: Int) {
    guard bytes.count >= 9 else { throw .incomplete }
    var reader = Reader(bytes: bytes, limits: limits)
    do throws(IPPError) {
      let groups = try reader.groups()
      let message = IPPMessage(
        version: IPPVersion(bytes[0], bytes[1]), code: UInt16(bytes.bigEndian16(2)),
        requestID: Int32(truncatingIfNeeded: bytes.bigEndian32(4)), groups: groups)
      return (message, reader.index)
    } catch {
      // Beyond the limit more bytes would not help.
      if error == .incomplete, bytes.count >= limits.bytes { throw .tooLarge }
      throw error
    }
  }

  /// The message as bytes; a document may be appended.
  public func bytes() throws(IPPError) -> [UInt8] {
    var output: [UInt8] = [version.major, version.minor]
    output.append(bigEndian: code)
    output.append(bigEndian: requestID)
    for group in groups {
      output.append(group.tag.rawValue)
      for attribute in group.attributes { try Self.write(attribute, to: &output) }
    }
    output.append(Tag.end)
    return output
  }

  // MARK: - Tags

  enum Tag {
    static let end: UInt8 = 0x03
    static let integer: UInt8 = 0x21
    static let boolean: UInt8 = 0x22
    static let enumeration: UInt8 = 0x23
    static let octets: UInt8 = 0x30
    static let dateTime: UInt8 = 0x31
    static let resolution: UInt8 = 0x32
    static let range: UInt8 = 0x33
    static let collection: UInt8 = 0x34
    static let textWithLanguage: UInt8 = 0x35
    static let nameWithLanguage: UInt8 = 0x36
    static let endCollection: UInt8 = 0x37
    static let text: UInt8 = 0x41
    static let name: UInt8 = 0x42
    static let keyword: UInt8 = 0x44
    static let uri: UInt8 = 0x45
    static let uriScheme: UInt8 = 0x46
    static let charset: UInt8 = 0x47
    static let naturalLanguage: UInt8 = 0x48
    static let mimeMediaType: UInt8 = 0x49
    static let memberName: UInt8 = 0x4A
  }

  // Longest value of a kind in bytes (RFC 8011, 5.1).
  static func longest(_ tag: UInt8) -> Int {
    switch tag {
    case Tag.text, Tag.uri: 1023
    case Tag.name, Tag.keyword, Tag.mimeMediaType, Tag.memberName: 255
    case Tag.uriScheme, Tag.charset, Tag.naturalLanguage: 63
    default: 32_767
    }
  }

  // MARK: - Writing

  private static func write(_ attribute: IPPAttribute, to output: inout [UInt8]) throws(IPPError) {
    guard let first = attribute.values.first else { throw .noValues(attribute: attribute.name) }
    guard (1...255).contains(attribute.name.utf8.count) else { throw .wrongName(offset: output.count) }
    try write(first, name: attribute.name, of: attribute, to: &output)
    for value in attribute.values.dropFirst() { try write(value, name: "", of: attribute, to: &output) }
  }

  private static func write(
    _ value: IPPValue, name: String, of attribute: IPPAttribute, to output: inout [UInt8]
  ) throws(IPPError) {
    let (tag, content) = encoded(value)
    guard content.count <= longest(tag), isWritable(value) else {
      throw .wrongValue(attribute: attribute.name, offset: output.count)
    }
    output.append(tag)
    output.append(bigEndian: UInt16(name.utf8.count))
    output += Array(name.utf8)
    output.append(bigEndian: UInt16(content.count))
    output += content
    guard case .collection(let members) = value else { return }
    for member in members {
      guard !member.values.isEmpty else { throw .noValues(attribute: member.name) }
      guard (1...255).contains(member.name.utf8.count) else { throw .wrongName(offset: output.count) }
      output += [Tag.memberName, 0, 0]
      output.append(bigEndian: UInt16(member.name.utf8.count))
      output += Array(member.name.utf8)
      for value in member.values { try write(value, name: "", of: member, to: &output) }
    }
    output += [Tag.endCollection, 0, 0, 0, 0]
  }

  // A value with a tag of its own must not be mistaken for structure.
  private static func isWritable(_ value: IPPValue) -> Bool {
    switch value {
    case .other(let tag, _):
      tag >= 0x10 && ![Tag.collection, Tag.endCollection, Tag.memberName].contains(tag)
    case .textWithLanguage(let text, let language):
      text.utf8.count <= longest(Tag.text) && language.utf8.count <= longest(Tag.naturalLanguage)
    case .nameWithLanguage(let text, let language):
      text.utf8.count <= longest(Tag.name) && language.utf8.count <= longest(Tag.naturalLanguage)
    default: true
    }
  }

  private static func encoded(_ value: IPPValue) -> (tag: UInt8, content: [UInt8]) {
    var content: [UInt8] = []
    switch value {
    case .outOfBand(let reason): return (reason.rawValue, [])
    case .integer(let number):
      content.append(bigEndian: number)
      return (Tag.integer, content)
    case .boolean(let flag): return (Tag.boolean, [flag ? 1 : 0])
    case .enumeration(let number):
      content.append(bigEndian: number)
      return (Tag.enumeration, content)
    case .octets(let bytes): return (Tag.octets, bytes)
    case .dateTime(let time): return (Tag.dateTime, time.octets)
    case .resolution(let x, let y, let perCentimetre):
      content.append(bigEndian: x)
      content.append(bigEndian: y)
      return (Tag.resolution, content + [perCentimetre ? 4 : 3])
    case .range(let lower, let upper):
      content.append(bigEndian: lower)
      content.append(bigEndian: upper)
      return (Tag.range, content)
    case .collection: return (Tag.collection, [])
    case .textWithLanguage(let text, let language): return (Tag.textWithLanguage, pair(language, text))
    case .nameWithLanguage(let text, let language): return (Tag.nameWithLanguage, pair(language, text))
    case .text(let text): return (Tag.text, Array(text.utf8))
    case .name(let text): return (Tag.name, Array(text.utf8))
    case .keyword(let text): return (Tag.keyword, Array(text.utf8))
    case .uri(let text): return (Tag.uri, Array(text.utf8))
    case .uriScheme(let text): return (Tag.uriScheme, Array(text.utf8))
    case .charset(let text): return (Tag.charset, Array(text.utf8))
    case .naturalLanguage(let text): return (Tag.naturalLanguage, Array(text.utf8))
    case .mimeMediaType(let text): return (Tag.mimeMediaType, Array(text.utf8))
    case .other(let tag, let bytes): return (tag, bytes)
    }
  }

  private static func pair(_ language: String, _ text: String) -> [UInt8] {
    var content: [UInt8] = []
    content.append(bigEndian: UInt16(clamping: language.utf8.count))
    content += Array(language.utf8)
    content.append(bigEndian: UInt16(clamping: text.utf8.count))
    return content + Array(text.utf8)
  }

  // MARK: - Reading

  private struct Reader {
    let bytes: [UInt8]
    let limits: IPPLimits
    var index = 8
    var values = 0

    mutating func groups() throws(IPPError) -> [IPPGroup] {
      var groups: [IPPGroup] = []
      var names: Set<String> = []
      while true {
        let start = index
        let tag = try byte()
        switch tag {
        case Tag.end: return groups
        case 0x01...0x0F:
          guard groups.count < limits.values else { throw .tooLarge }
          groups.append(IPPGroup(IPPGroupTag(rawValue: tag)))
          names = []
        case 0x10...:
          let last = groups.count - 1
          guard last >= 0, tag != Tag.memberName, tag != Tag.endCollection else {
            throw .unexpectedTag(tag, offset: start)
          }
          let name = try self.name()
          if name.isEmpty {
            let open = groups[last].attributes.count - 1
            guard open >= 0 else { throw .wrongName(offset: start) }
            let value = try value(tag, of: groups[last].attributes[open].name, depth: 0)
            groups[last].attributes[open].values.append(value)
          } else {
            guard names.insert(name).inserted else { throw .duplicateAttribute(name, offset: start) }
            groups[last].attributes.append(IPPAttribute(name, try value(tag, of: name, depth: 0)))
          }
        default: throw .unexpectedTag(tag, offset: start)
        }
      }
    }

    private mutating func byte() throws(IPPError) -> UInt8 {
      guard index < limits.bytes else { throw .tooLarge }
      guard index < bytes.count else { throw .incomplete }
      defer { index += 1 }
      return bytes[index]
    }

    private mutating func piece() throws(IPPError) -> ArraySlice<UInt8> {
      guard index + 2 <= bytes.count else { throw .incomplete }
      let length = bytes.bigEndian16(index)
      guard index + 2 + length <= limits.bytes else { throw .tooLarge }
      guard index + 2 + length <= bytes.count else { throw .incomplete }
      defer { index += 2 + length }
      return bytes[(index + 2)..<(index + 2 + length)]
    }

    private mutating func name() throws(IPPError) -> String {
      let start = index
      let piece = try piece()
      guard piece.count <= 255, let name = String(validating: piece, as: UTF8.self) else {
        throw .wrongName(offset: start)
      }
      return name
    }

    private mutating func value(_ tag: UInt8, of name: String, depth: Int) throws(IPPError) -> IPPValue {
      let start = index
      let content = try piece()
      values += 1
      guard values <= limits.values else { throw .tooLarge }
      if tag == Tag.collection {
        guard depth < limits.depth else { throw .tooDeep }
        return .collection(try members(depth: depth + 1))
      }
      guard content.count <= IPPMessage.longest(tag), let value = Self.decoded(tag, content) else {
        throw .wrongValue(attribute: name, offset: start)
      }
      return value
    }

    private mutating func members(depth: Int) throws(IPPError) -> [IPPAttribute] {
      var members: [IPPAttribute] = []
      var names: Set<String> = []
      while true {
        let start = index
        let tag = try byte()
        guard tag >= 0x10 else { throw .unexpectedTag(tag, offset: start) }
        guard try name().isEmpty else { throw .wrongName(offset: start) }
        let last = members.count - 1
        if tag == Tag.memberName || tag == Tag.endCollection {
          if last >= 0, members[last].values.isEmpty {
            throw .wrongValue(attribute: members[last].name, offset: start)
          }
          let content = try piece()
          if tag == Tag.endCollection { return members }
          values += 1
          guard values <= limits.values else { throw .tooLarge }
          guard (1...255).contains(content.count), let name = String(validating: content, as: UTF8.self)
          else {
            throw .wrongName(offset: start)
          }
          guard names.insert(name).inserted else { throw .duplicateAttribute(name, offset: start) }
          members.append(IPPAttribute(name, []))
        } else {
          guard last >= 0 else { throw .unexpectedTag(tag, offset: start) }
          let value = try value(tag, of: members[last].name, depth: depth)
          members[last].values.append(value)
        }
      }
    }

    private static func decoded(_ tag: UInt8, _ content: ArraySlice<UInt8>) -> IPPValue? {
      if let reason = IPPOutOfBand(rawValue: tag) { return .outOfBand(reason) }
      let first = content.startIndex
      func number(_ offset: Int) -> Int32 {
        Int32(
          truncatingIfNeeded: content[(first + offset)..<(first + offset + 4)].reduce(0) { $0 << 8 | Int($1) }
        )
      }
      switch tag {
      case Tag.integer: return content.count == 4 ? .integer(number(0)) : nil
      case Tag.enumeration: return content.count == 4 ? .enumeration(number(0)) : nil
      case Tag.boolean:
        guard content.count == 1, content[first] <= 1 else { return nil }
        return .boolean(content[first] == 1)
      case Tag.octets: return .octets(Array(content))
      case Tag.dateTime: return IPPDateTime(octets: content).map { .dateTime($0) }
      case Tag.resolution:
        guard content.count == 9, content[first + 8] == 3 || content[first + 8] == 4 else { return nil }
        return .resolution(x: number(0), y: number(4), perCentimetre: content[first + 8] == 4)
      case Tag.range: return content.count == 8 ? .range(lower: number(0), upper: number(4)) : nil
      case Tag.textWithLanguage:
        return pair(content, 1023).map { .textWithLanguage($0.text, language: $0.language) }
      case Tag.nameWithLanguage:
        return pair(content, 255).map { .nameWithLanguage($0.text, language: $0.language) }
      case Tag.text, Tag.name, Tag.keyword, Tag.uri, Tag.uriScheme, Tag.charset, Tag.naturalLanguage,
        Tag.mimeMediaType:
        return String(validating: content, as: UTF8.self).map { textual(tag, $0) }
      default: return .other(tag: tag, Array(content))
      }
    }

    private static func textual(_ tag: UInt8, _ text: String) -> IPPValue {
      switch tag {
      case Tag.text: .text(text)
      case Tag.name: .name(text)
      case Tag.keyword: .keyword(text)
      case Tag.uri: .uri(text)
      case Tag.uriScheme: .uriScheme(text)
      case Tag.charset: .charset(text)
      case Tag.naturalLanguage: .naturalLanguage(text)
      default: .mimeMediaType(text)
      }
    }

    private static func pair(_ content: ArraySlice<UInt8>, _ longest: Int) -> (
      language: String, text: String
    )? {
      var rest = content
      func part() -> String? {
        guard let high = rest.popFirst(), let low = rest.popFirst() else { return nil }
        let length = Int(high) << 8 | Int(low)
        guard length <= rest.count else { return nil }
        defer { rest = rest.dropFirst(length) }
        return String(validating: rest.prefix(length), as: UTF8.self)
      }
      guard let language = part(), language.utf8.count <= 63, let text = part(), text.utf8.count <= longest,
        rest.isEmpty
      else { return nil }
      return (language, text)
    }
  }
}
