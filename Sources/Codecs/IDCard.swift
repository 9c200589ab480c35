/// Why a card could not be read from a reply, or made from fields.
public enum IDCardError: Error, Sendable, Equatable {
  /// The reply is shorter than its own length fields say.
  case truncated(needed: Int, available: Int)
  /// Fields cannot be placed on a card of an unknown kind; make it from its text block.
  case unknownKind
  /// This kind of card has no such field.
  case noSuchField(IDCardKey)
  /// The field's text has more UTF-16 code units than the card has room for.
  case fieldTooLong(IDCardKey, limit: Int, count: Int)
}

/// What a second-generation ID card holds: a text block, a photo, and possibly fingerprints (facts/idcard.md 4; GA 450).
///
/// The text block is kept as it came, and the fields are read from it on demand: nothing is lost that a later version
/// could understand, and what does not have the form the standard gives it is still there. A field that this kind of card does
/// not have is nil.
public struct IDCard: Sendable, Equatable {
  /// Length of a card's text block in bytes.
  public static let textLength = 256
  /// Where the kind's letter stands in the text block.
  private static let letterOffset = 248

  /// The kind of card.
  public let kind: Kind
  /// The text block as it came: UTF-16LE.
  public let text: Sensitive<[UInt8]>
  /// The photo as it came: 1024 bytes in the WLT format, which has no published decoder; see ``photoIsWLT``.
  public let photo: Sensitive<[UInt8]>
  /// The fingerprint block as it came, 512 bytes for each finger; nil when it was not asked for, empty when the card
  /// has none.
  public let fingerprints: Sensitive<[UInt8]>?
  /// Bytes of the reply behind the blocks that its lengths name; empty on every card that the sources describe.
  public let surplus: Sensitive<[UInt8]>

  /// A card with this text block of any length; the kind is read from it.
  public init(text: [UInt8], photo: [UInt8] = [], fingerprints: [UInt8]? = nil, surplus: [UInt8] = []) {
    let place = Self.letterOffset
    let letter = text.count == Self.textLength ? UInt16(text[place + 1]) << 8 | UInt16(text[place]) : nil
    kind = Kind(letter: letter)
    self.text = Sensitive(text)
    self.photo = Sensitive(photo)
    self.fingerprints = fingerprints.map { Sensitive($0) }
    self.surplus = Sensitive(surplus)
  }

  /// A card of this kind with these fields, for a simulated reader. Fields not given are blank.
  public init(
    kind: Kind, fields: [IDCardKey: IDCardString], photo: [UInt8] = [], fingerprints: [UInt8]? = nil
  ) throws(IDCardError) {
    guard let letter = kind.letter, !kind.keys.isEmpty else { throw .unknownKind }
    var text = [UInt8](repeating: 0, count: Self.textLength)
    for place in stride(from: 0, to: text.count, by: 2) { text[place] = 0x20 }
    text[Self.letterOffset] = UInt8(truncatingIfNeeded: letter)
    text[Self.letterOffset + 1] = UInt8(letter >> 8)
    for (key, value) in fields {
      guard let ranges = kind.layout[key] else { throw .noSuchField(key) }
      let limit = ranges.reduce(0) { $0 + $1.count } / 2
      guard let bytes = value.bytes(paddedTo: limit) else {
        throw .fieldTooLong(key, limit: limit, count: value.codeUnits.reveal().count)
      }
      var used = 0
      for range in ranges {
        text.replaceSubrange(range, with: bytes[used..<used + range.count])
        used += range.count
      }
    }
    self.init(text: text, photo: photo, fingerprints: fingerprints)
  }

  /// Reads the data of the reply to ``SDTCommand/readText`` or, with `fingerprints`, of the one to
  /// ``SDTCommand/readTextAndFingerprint``. Every length is taken from the reply.
  public init(readReply data: [UInt8], fingerprints withFingerprints: Bool) throws(IDCardError) {
    var reader = ByteReader(data)
    do throws(ByteReaderError) {
      let textCount = Int(try reader.bigEndian(UInt16.self))
      let photoCount = Int(try reader.bigEndian(UInt16.self))
      let fingerprintCount = withFingerprints ? Int(try reader.bigEndian(UInt16.self)) : nil
      let text = try reader.bytes(textCount)
      let photo = try reader.bytes(photoCount)
      let fingerprints: [UInt8]? =
        if let fingerprintCount { try reader.bytes(fingerprintCount) } else { nil }
      self.init(text: text, photo: photo, fingerprints: fingerprints, surplus: reader.rest())
    } catch {
      throw .truncated(needed: error.offset + error.needed, available: data.count)
    }
  }

  /// The reply that gives this card, with the fingerprint block if ``fingerprints`` is not nil; nil when the blocks do
  /// not fit into a frame.
  public var readReply: SDTReply? {
    let blocks = [text.reveal(), photo.reveal()] + (fingerprints.map { [$0.reveal()] } ?? [])
    var data: [UInt8] = []
    for block in blocks {
      guard let count = UInt16(exactly: block.count) else { return nil }
      data.append(bigEndian: count)
    }
    return SDTReply(.ok, data: data + blocks.flatMap { $0 } + surplus.reveal())
  }

  /// Reads the data of the reply to ``SDTCommand/readAdditionalAddress``: one address of 35 characters, or several, as
  /// some libraries join them. Blank ones are left out.
  public static func additionalAddresses(in data: [UInt8]) -> [IDCardString] {
    stride(from: 0, to: data.count, by: 70)
      .map { IDCardString(bytes: Array(data[$0..<min($0 + 70, data.count)])) }
      .filter { !$0.isEmpty }
  }

  /// The data of the reply that gives one additional address; nil when it has more than 35 UTF-16 code units.
  public static func additionalAddressData(_ address: IDCardString) -> [UInt8]? {
    address.bytes(paddedTo: 35)
  }

  /// A field as the card writes it; nil when this kind of card has none. Works for every key the same way.
  public subscript(key: IDCardKey) -> IDCardString? {
    guard let ranges = kind.layout[key] else { return nil }
    let text = text.reveal()
    return IDCardString(bytes: ranges.flatMap { text[$0] })
  }
}

extension IDCard {
  /// ``IDCardKey/name``.
  public var name: IDCardString? { self[.name] }
  /// ``IDCardKey/englishName``.
  public var englishName: IDCardString? { self[.englishName] }
  /// ``IDCardKey/address``.
  public var address: IDCardString? { self[.address] }
  /// ``IDCardKey/authority``.
  public var authority: IDCardString? { self[.authority] }
  /// ``IDCardKey/passNumber``.
  public var passNumber: IDCardString? { self[.passNumber] }
  /// ``IDCardKey/version``.
  public var version: IDCardString? { self[.version] }
  /// ``IDCardKey/authorityCode``.
  public var authorityCode: IDCardString? { self[.authorityCode] }
  /// ``IDCardKey/previousNumberLink``.
  public var previousNumberLink: IDCardString? { self[.previousNumberLink] }

  /// ``IDCardKey/sex``.
  public var sex: IDCardValue<Sex>? {
    read(.sex) { $0.digits(1).flatMap { UInt8($0) }.flatMap(Sex.init) }
  }
  /// ``IDCardKey/ethnicity``.
  public var ethnicity: IDCardValue<Ethnicity>? {
    read(.ethnicity) { $0.digits(2).flatMap { UInt8($0) }.flatMap(Ethnicity.init) }
  }
  /// ``IDCardKey/birth``.
  public var birth: IDCardValue<Sensitive<CardDate>>? {
    read(.birth) { Self.date($0).map { Sensitive($0) } }
  }
  /// ``IDCardKey/validFrom``.
  public var validFrom: IDCardValue<CardDate>? { read(.validFrom, Self.date) }
  /// ``IDCardKey/validTo``.
  public var validTo: IDCardValue<ValidityEnd>? {
    read(.validTo) { field in
      field == IDCardString(ValidityEnd.longTermText) ? .longTerm : Self.date(field).map(ValidityEnd.date)
    }
  }
  /// ``IDCardKey/issueCount``: 0…99.
  public var issueCount: IDCardValue<Int>? { read(.issueCount) { $0.digits(2).flatMap { Int($0) } } }
  /// ``IDCardKey/renewalCount``: 0…99.
  public var renewalCount: IDCardValue<Int>? { read(.renewalCount) { $0.digits(2).flatMap { Int($0) } } }
  /// ``IDCardKey/nationality``: three upper-case letters.
  public var nationality: IDCardValue<String>? {
    read(.nationality) { field in
      let text = field.text.reveal()
      return text.utf8.count == 3 && text.utf8.allSatisfy { (0x41...0x5A).contains($0) } ? text : nil
    }
  }
  /// ``IDCardKey/idNumber``, with its verdicts.
  public var idNumber: IDNumber? { self[.idNumber].map { IDNumber($0, kind: kind) } }

  /// Whether two places of the card that should say the same do.
  public enum Agreement: Sendable, Hashable {
    /// They do.
    case agrees
    /// They do not.
    case differs
    /// One of them is malformed, or this kind of card has it once only.
    case notCheckable

    init<Value: Equatable>(_ one: Value?, _ other: Value?) {
      guard let one, let other else {
        self = .notCheckable
        return
      }
      self = one == other ? .agrees : .differs
    }
  }

  /// The birth day in the number against the field (GB 11643).
  public var birthAgreement: Agreement { Agreement(idNumber?.birth, birth?.value) }
  /// The sex in the number against the field (GB 11643).
  public var sexAgreement: Agreement { Agreement(idNumber?.sex, sex?.value) }

  /// Whether the photo begins as every published WLT photo does (facts/idcard.md 6). Says nothing about what it shows.
  public var photoIsWLT: Bool {
    photo.reveal().starts(with: [0x57, 0x4C, 0x66, 0x00, 0x7E, 0x00, 0x32, 0x00])
  }

  private func read<Value: Sendable & Equatable>(
    _ key: IDCardKey, _ read: (IDCardString) -> Value?
  ) -> IDCardValue<Value>? {
    self[key].map { IDCardValue($0, read) }
  }

  private static func date(_ field: IDCardString) -> CardDate? {
    field.digits(8).flatMap { CardDate(digits: $0) }
  }
}
