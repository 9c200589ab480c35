/// The text of one field of an ID card's text block: UTF-16LE, padded with U+0020 (facts/idcard.md 4.1).
///
/// The code units are kept exactly, because names hold rare characters: from the private use area, from extension B as
/// surrogate pairs, and on faulty cards lone surrogates, which no `String` can hold.
public struct IDCardString: Sendable, Equatable {
  /// The code units without the padding, exactly as they stand on the card.
  public let codeUnits: Sensitive<[UInt16]>

  /// A field as a card holds it; trailing U+0020 are padding and go.
  public init(codeUnits: [UInt16]) {
    let padding = codeUnits.reversed().prefix { $0 == 0x20 }.count
    self.codeUnits = Sensitive(codeUnits.dropLast(padding))
  }

  /// A field with this text; trailing spaces go.
  public init(_ text: String) { self.init(codeUnits: Array(text.utf16)) }

  /// Reads little-endian bytes. An odd last byte, which no field has, is dropped.
  public init(bytes: [UInt8]) {
    self.init(
      codeUnits: stride(from: 0, to: bytes.count - 1, by: 2).map {
        UInt16(bytes[$0 + 1]) << 8 | UInt16(bytes[$0])
      })
  }

  /// The text for people and programs: without trailing padding of either kind (U+0020, U+0000), and with U+FFFD for
  /// every code unit that is no text; see ``isWellFormed``.
  public var text: Sensitive<String> {
    let units = codeUnits.reveal()
    let padding = units.reversed().prefix { $0 == 0x20 || $0 == 0 }.count
    return Sensitive(String(decoding: units.dropLast(padding), as: UTF16.self))
  }

  /// Whether ``text`` says all that is on the card; false with a lone surrogate, when only ``codeUnits`` does.
  public var isWellFormed: Bool { String(validating: codeUnits.reveal(), as: UTF16.self) != nil }

  /// Whether nothing but padding is there.
  public var isEmpty: Bool { codeUnits.reveal().allSatisfy { $0 == 0x20 || $0 == 0 } }

  /// The field's bytes, padded to `count` code units; nil when it does not fit.
  func bytes(paddedTo count: Int) -> [UInt8]? {
    let units = codeUnits.reveal()
    guard units.count <= count else { return nil }
    var bytes: [UInt8] = []
    for unit in units + Array(repeating: 0x20, count: count - units.count) {
      bytes.append(littleEndian: unit)
    }
    return bytes
  }

  /// The text when it is made of `count` ASCII digits, else nil.
  func digits(_ count: Int) -> String? {
    let units = codeUnits.reveal()
    guard units.count == count, units.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return String(decoding: units, as: UTF16.self)
  }
}

/// A field that the standard gives a form: its value, or what stands there instead. Nothing read is thrown away.
public enum IDCardValue<Value: Sendable & Equatable>: Sendable, Equatable {
  /// The field has the form the standard gives it.
  case valid(Value)
  /// It has not; this is what the card says, possibly nothing.
  case malformed(IDCardString)

  init(_ field: IDCardString, _ read: (IDCardString) -> Value?) {
    if let value = read(field) { self = .valid(value) } else { self = .malformed(field) }
  }

  /// The value; nil when the field is malformed.
  public var value: Value? { if case .valid(let value) = self { value } else { nil } }
}
