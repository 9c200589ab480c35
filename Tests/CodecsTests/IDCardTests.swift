import Codecs
import TestKit
import Testing

/// The invented persons of facts/idcard.md 8.
enum SampleCard: String, CaseIterable, CustomTestStringConvertible {
  case citizen, residencePermit, foreigner2017, foreigner2023

  var testDescription: String { rawValue }

  var kind: IDCard.Kind {
    switch self {
    case .citizen: .citizen
    case .residencePermit: .residencePermit
    case .foreigner2017: .foreigner2017
    case .foreigner2023: .foreigner2023
    }
  }

  var fields: [IDCardKey: String] {
    switch self {
    case .citizen:
      [
        .name: "张测试", .sex: "2", .ethnicity: "01", .birth: "19491231", .address: "北京市朝阳区样例路1号",
        .idNumber: "11010519491231002X", .authority: "样例公安局", .validFrom: "20200101", .validTo: "长期",
      ]
    case .residencePermit:
      [
        .name: "样例港人", .sex: "1", .birth: "19900101", .address: "广东省深圳市样例路2号",
        .idNumber: "810000199001010019", .authority: "样例公安局", .validFrom: "20200101", .validTo: "20250101",
        .passNumber: "H00000000", .issueCount: "01",
      ]
    case .foreigner2017:
      [
        .englishName: "SAMPLE, PERSON", .sex: "1", .idNumber: "AAA110090010100", .nationality: "UTO",
        .name: "样例", .validFrom: "20200101", .validTo: "20300101", .birth: "19900101", .version: "01",
        .authorityCode: "1500",
      ]
    case .foreigner2023:
      [
        .name: "样例", .sex: "1", .renewalCount: "00", .birth: "19900101", .englishName: "SAMPLE, PERSON",
        .idNumber: "911000199001010013", .validFrom: "20240101", .validTo: "20340101", .nationality: "UTO",
        .previousNumberLink: "01",
      ]
    }
  }

  func card(fingerprints: Int? = nil) throws -> IDCard {
    try IDCard(
      kind: kind, fields: fields.mapValues { IDCardString($0) }, photo: Array(repeating: 0, count: 1024),
      fingerprints: fingerprints.map { Array(repeating: 0, count: $0) })
  }

  var digest: String {
    switch self {
    case .citizen: "ba9d7ccc26dc0b306116826d68902cd7202a095ca0794c5db09188bebec95003"
    case .residencePermit: "2da77e99dbf3d6ddaa209fb884b75bf115815371798e072d18e7adbc72d5471d"
    case .foreigner2017: "9c6588f5306253f3981e79c79e4153b27569c373f1a940a0e706f39949cc83c5"
    case .foreigner2023: "a4d0769765bd03ce7dcefa2074754a4261a77b44b2909b3db03184a308964cc6"
    }
  }

  /// Check bytes of the frames with text and photo, and with 1024, 512 and 0 bytes of fingerprints.
  var checks: [UInt8] {
    switch self {
    case .citizen: [0x18, 0x12, 0x1A, 0x1A]
    case .residencePermit: [0x06, 0x0C, 0x04, 0x04]
    case .foreigner2017: [0x67, 0x6D, 0x65, 0x65]
    case .foreigner2023: [0x11, 0x1B, 0x13, 0x13]
    }
  }
}

@Suite struct IDCardReplyTests {
  @Test(arguments: SampleCard.allCases)
  func `the reply with text and photo is the published one`(sample: SampleCard) throws {
    let bytes = try #require(try sample.card().readReply).encode()
    #expect(bytes.count == 1295)
    #expect(Array(bytes[..<14]) == hex("AA AA AA 96 69 05 08 00 00 90 01 00 04 00"))
    #expect(bytes.last == sample.checks[0])
    #expect(ReferenceSHA256.hexDigest(bytes) == sample.digest)
  }

  @Test(
    arguments: SampleCard.allCases,
    [(1024, 2321, "09 0A", "04 00"), (512, 1809, "07 0A", "02 00"), (0, 1297, "05 0A", "00 00")])
  func `the replies with fingerprints are the published ones`(
    sample: SampleCard, size: (fingerprints: Int, total: Int, length: String, count: String)
  ) throws {
    let bytes = try #require(try sample.card(fingerprints: size.fingerprints).readReply).encode()
    #expect(bytes.count == size.total)
    #expect(Array(bytes[..<16]) == hex("AA AA AA 96 69 \(size.length) 00 00 90 01 00 04 00 \(size.count)"))
    let place = [1024: 1, 512: 2, 0: 3][size.fingerprints] ?? 0
    #expect(bytes.last == sample.checks[place])
  }

  @Test func `the text block begins with the published bytes`() throws {
    let text = try SampleCard.citizen.card().text.reveal()
    let expected = hex(
      """
      20 5F 4B 6D D5 8B 2000×12 32 00 30 00 31 00 31 00 39 00 34 00 39 00 31 00 32 00 33 00 31 00 17 53 AC 4E 02 5E 1D 67 \
      33 96 3A 53
      """)
    #expect(expected.count == 64)
    #expect(Array(text[..<64]) == expected)
  }

  @Test(arguments: SampleCard.allCases, [nil, 0, 512, 1024])
  func `a card is read back from its reply`(sample: SampleCard, fingerprints: Int?) throws {
    let card = try sample.card(fingerprints: fingerprints)
    let reply = try #require(card.readReply)
    let read = try IDCard(readReply: reply.data.reveal(), fingerprints: fingerprints != nil)
    #expect(read == card)
    #expect(read.kind == sample.kind)
    #expect(read.fingerprints?.reveal().count == fingerprints)
    #expect(read.photo.reveal().count == 1024)
    for (key, value) in sample.fields { #expect(read[key]?.text == Sensitive(value)) }
    #expect(read.kind.keys == Set(sample.fields.keys))
  }

  @Test func `lengths are taken from the reply, and bytes behind them are kept`() throws {
    let card = try IDCard(readReply: hex("00 02 00 03 41 00 01 02 03 FF FE"), fingerprints: false)
    #expect(card.kind == .unknown(letter: nil))
    #expect(card.text.reveal() == [0x41, 0])
    #expect(card.photo.reveal() == [1, 2, 3])
    #expect(card.surplus.reveal() == [0xFF, 0xFE])
    #expect(card.readReply?.data.reveal() == hex("00 02 00 03 41 00 01 02 03 FF FE"))
  }

  @Test func `a reply shorter than its lengths is refused`() {
    #expect(throws: IDCardError.truncated(needed: 4 + 256, available: 6)) {
      try IDCard(readReply: hex("01 00 04 00 00 00"), fingerprints: false)
    }
    #expect(throws: IDCardError.truncated(needed: 6, available: 4)) {
      try IDCard(readReply: hex("01 00 04 00"), fingerprints: true)
    }
    #expect(throws: IDCardError.truncated(needed: 2, available: 0)) {
      try IDCard(readReply: [], fingerprints: false)
    }
  }

  @Test func `blocks that do not fit into a frame make no reply`() {
    #expect(
      IDCard(text: Array(repeating: 0, count: 256), photo: Array(repeating: 0, count: 4000)).readReply == nil)
    #expect(IDCard(text: Array(repeating: 0, count: 70_000)).readReply == nil)
  }

  @Test func `the additional address is the published frame`() throws {
    let address = IDCardString("北京市样例区样例街3号")
    let data = try #require(IDCard.additionalAddressData(address))
    let bytes = hex(
      """
      AA AA AA 96 69 00 4A 00 00 90 17 53 AC 4E 02 5E 37 68 8B 4F 3A 53 37 68 8B 4F 57 88 33 00 F7 53 2000×24 01
      """)
    #expect(SDTReply(.ok, data: data)?.encode() == bytes)
    #expect(IDCard.additionalAddresses(in: data) == [address])
    #expect(IDCard.additionalAddresses(in: data + hex("2000×35") + data) == [address, address])
    #expect(IDCard.additionalAddresses(in: []) == [])
    #expect(IDCard.additionalAddressData(IDCardString(String(repeating: "长", count: 36))) == nil)
  }

  @Test func `any blocks come back from the reply they make`() throws {
    var random = SeededRandom(seed: 11)
    for round in 0..<2_000 {
      let card = IDCard(
        text: random.bytes(round % 3 == 0 ? Int.random(in: 0...300, using: &random) : 256),
        photo: random.bytes(Int.random(in: 0...64, using: &random)),
        fingerprints: round % 2 == 0 ? random.bytes(Int.random(in: 0...64, using: &random)) : nil,
        surplus: random.bytes(Int.random(in: 0...2, using: &random)))
      let reply = try #require(card.readReply)
      #expect(try IDCard(readReply: reply.data.reveal(), fingerprints: card.fingerprints != nil) == card)
    }
  }

  @Test func `200 000 random replies are read or refused`() {
    var random = SeededRandom(seed: 13)
    var read = 0
    for _ in 0..<200_000 {
      let lengths = random.next()
      let data =
        [0, UInt8(lengths & 7), 0, UInt8(lengths >> 3 & 7), 0, UInt8(lengths >> 6 & 3)]
        + random.bytes(Int(lengths >> 8 & 15), favouring: [0, 1])
      if let card = try? IDCard(readReply: data, fingerprints: random.next() & 1 == 0) {
        read += 1
        if card.readReply?.data.reveal() != data { Issue.record("not written as read: \(hexText(data))") }
      }
    }
    #expect(read > 10_000)
  }
}

@Suite struct IDCardFieldTests {
  @Test func `a citizen's fields are typed`() throws {
    let card = try SampleCard.citizen.card()
    #expect(card.sex == .valid(.female))
    #expect(card.ethnicity?.value?.name == "汉")
    #expect(card.birth?.value?.reveal() == CardDate(year: 1949, month: 12, day: 31))
    #expect(card.validFrom?.value == CardDate(year: 2020, month: 1, day: 1))
    #expect(card.validTo == .valid(.longTerm))
    #expect(card.idNumber?.checkDigit == .valid)
    #expect(card.idNumber?.region == RegionPrefix(code: 11).map { .expected($0) })
    #expect(card.birthAgreement == .agrees && card.sexAgreement == .agrees)
    #expect(
      card.passNumber == nil && card.issueCount == nil && card.englishName == nil && card.nationality == nil)
    #expect(card.idNumber?.normalised.masked == "110105********002X")
  }

  @Test func `a residence permit's fields are typed`() throws {
    let card = try SampleCard.residencePermit.card()
    #expect(card.sex == .valid(.male) && card.ethnicity == nil)
    #expect(card.validTo?.value == CardDate(digits: "20250101").map { .date($0) })
    #expect(card.passNumber?.text == Sensitive("H00000000"))
    #expect(card.issueCount == .valid(1))
    #expect(card.idNumber?.checkDigit == .valid)
    #expect(card.idNumber?.region == RegionPrefix(code: 81).map { .expected($0) })
    #expect(card.birthAgreement == .agrees && card.sexAgreement == .agrees)
  }

  @Test func `the foreigners' cards' fields are typed`() throws {
    let old = try SampleCard.foreigner2017.card()
    #expect(old.englishName?.text == Sensitive("SAMPLE, PERSON") && old.name?.text == Sensitive("样例"))
    #expect(old.nationality == .valid("UTO") && old.address == nil && old.authority == nil)
    #expect(old.idNumber?.checkDigit == .notCheckable && old.idNumber?.region == .notReadable)
    #expect(old.birthAgreement == .notCheckable && old.sexAgreement == .notCheckable)
    #expect(old.version?.text == Sensitive("01") && old.authorityCode?.text == Sensitive("1500"))
    let new = try SampleCard.foreigner2023.card()
    #expect(new.renewalCount == .valid(0) && new.previousNumberLink?.text == Sensitive("01"))
    #expect(new.idNumber?.checkDigit == .valid && new.idNumber?.region == .foreigner)
    #expect(new.birthAgreement == .agrees && new.sexAgreement == .agrees)
  }

  @Test func `a long English name runs on in its second piece`() throws {
    let name = "ABCDEFGHIJKLMNOPQRSTUVWXYZ ABCDEFGH IJKLMNOPQR"
    #expect(name.count == 46)
    let card = try IDCard(kind: .foreigner2023, fields: [.englishName: IDCardString(name)])
    #expect(card.englishName?.text == Sensitive(name))
    let text = card.text.reveal()
    #expect(IDCardString(bytes: Array(text[52..<122])).text == Sensitive(String(name.prefix(35))))
    #expect(IDCardString(bytes: Array(text[220..<242])).text == Sensitive(String(name.suffix(11))))
    let spaced = "ABCDEFGHIJKLMNOPQRSTUVWXYZ ABCDEFG LAST"
    #expect(Array(spaced)[34] == " ")
    let broken = try IDCard(kind: .foreigner2023, fields: [.englishName: IDCardString(spaced)])
    #expect(broken.englishName?.text == Sensitive(spaced))
  }

  @Test func `fields that have not their form are kept with that verdict`() throws {
    let card = try IDCard(
      kind: .citizen,
      fields: [
        .sex: IDCardString("男"), .ethnicity: IDCardString("1"), .birth: IDCardString("19490229"),
        .validFrom: IDCardString("2020010"), .validTo: IDCardString("长久"), .idNumber: IDCardString("１２"),
      ])
    #expect(card.sex == .malformed(IDCardString("男")))
    #expect(card.ethnicity == .malformed(IDCardString("1")))
    #expect(card.birth == .malformed(IDCardString("19490229")))
    #expect(card.validFrom == .malformed(IDCardString("2020010")))
    #expect(card.validTo == .malformed(IDCardString("长久")))
    #expect(card.idNumber?.checkDigit == .notCheckable && card.idNumber?.region == .notReadable)
    #expect(card.idNumber?.asWritten == IDCardString("１２"))
    #expect(card.birthAgreement == .notCheckable)
    #expect(card.name?.isEmpty == true && card.address?.text == Sensitive(""))
  }

  @Test func `an unknown letter gives the text and no guesses`() throws {
    var text = try SampleCard.citizen.card().text.reveal()
    text[248] = 0x51
    let card = IDCard(text: text)
    #expect(card.kind == .unknown(letter: 0x51))
    #expect(card.kind.keys.isEmpty)
    for key in IDCardKey.allCases { #expect(card[key] == nil) }
    #expect(card.sex == nil && card.idNumber == nil && card.birth == nil && card.validTo == nil)
    #expect(card.text.reveal() == text)
  }

  @Test func `a field too long or foreign to the card is refused`() {
    #expect(throws: IDCardError.fieldTooLong(.name, limit: 15, count: 16)) {
      try IDCard(kind: .citizen, fields: [.name: IDCardString(String(repeating: "长", count: 16))])
    }
    #expect(throws: IDCardError.noSuchField(.passNumber)) {
      try IDCard(kind: .citizen, fields: [.passNumber: IDCardString("H")])
    }
    for letter in [nil, 0x51] as [UInt16?] {
      #expect(throws: IDCardError.unknownKind) { try IDCard(kind: .unknown(letter: letter), fields: [:]) }
    }
  }

  @Test func `any text block keeps every field through reading and writing`() throws {
    var random = SeededRandom(seed: 17)
    for round in 0..<4_000 {
      let kind = SampleCard.allCases[round % 4].kind
      var text = random.bytes(256, favouring: [0, 0x20, 0x30, 0x31])
      text[248] = UInt8(truncatingIfNeeded: kind.letter ?? 0)
      text[249] = 0
      let card = IDCard(text: text)
      #expect(card.kind == kind)
      var fields: [IDCardKey: IDCardString] = [:]
      for key in kind.keys { fields[key] = card[key] }
      let again = try IDCard(kind: kind, fields: fields)
      if !kind.keys.allSatisfy({ again[$0] == card[$0] }) { Issue.record("not kept: \(hexText(text))") }
      // All typed views are total.
      _ = (
        card.sex, card.ethnicity, card.birth, card.validFrom, card.validTo, card.issueCount, card.renewalCount
      )
      _ = (card.nationality, card.idNumber, card.birthAgreement, card.sexAgreement, card.photoIsWLT)
    }
  }

  @Test(
    arguments: [
      [0x5F20, 0xD842, 0xDFB7], [0xE000, 0xE863], [0xD842], [0xDFB7, 0x5F20], [0xF900], [0x0041, 0x0000],
    ] as [[UInt16]])
  func `rare characters and lone surrogates survive exactly`(units: [UInt16]) throws {
    let card = try IDCard(kind: .citizen, fields: [.name: IDCardString(codeUnits: units)])
    let reply = try #require(card.readReply)
    let read = try IDCard(readReply: reply.data.reveal(), fingerprints: false)
    #expect(read.name?.codeUnits.reveal() == units)
  }

  @Test func `text is Unicode where the card's is, and says where it is not`() {
    let extensionB = IDCardString(codeUnits: [0xD842, 0xDFB7, 0x20, 0x20])
    #expect(extensionB.text.reveal() == "𠮷" && extensionB.isWellFormed)
    let lone = IDCardString(codeUnits: [0x5F20, 0xD842])
    #expect(lone.text.reveal() == "张\u{FFFD}" && !lone.isWellFormed)
    #expect(IDCardString(codeUnits: [0xF900]) != IDCardString(codeUnits: [0x8C48]))
    let nulPadded = IDCardString(codeUnits: [0x5F20, 0, 0])
    #expect(nulPadded.text.reveal() == "张" && nulPadded.codeUnits.reveal().count == 3)
    #expect(IDCardString(codeUnits: [0, 0x20, 0]).isEmpty)
    #expect(IDCardString(" 张 三 ").text.reveal() == " 张 三")
    #expect(IDCardString(bytes: [0x41]).isEmpty && IDCardString(bytes: []).isEmpty)
  }

  @Test(arguments: SampleCard.allCases)
  func `printing a card shows nothing of the person`(sample: SampleCard) throws {
    let card = try sample.card()
    var dumped = ""
    dump(card, to: &dumped)
    dump(card.idNumber, to: &dumped)
    dump(card.birth, to: &dumped)
    dump(card.name, to: &dumped)
    let shown = "\(card) \(String(reflecting: card)) \(String(describing: card.idNumber)) \(dumped)"
    for key in [IDCardKey.name, .englishName, .address, .idNumber, .passNumber] {
      guard let value = sample.fields[key] else { continue }
      #expect(!shown.contains(value))
    }
    #expect(!shown.contains("1990") && !shown.contains("1949") && !shown.contains("24352"))
  }

  @Test func `a photo is known by how it begins`() throws {
    let wlt = hex("57 4C 66 00 7E 00 32 00 01")
    #expect(IDCard(text: [], photo: wlt).photoIsWLT)
    #expect(try SampleCard.citizen.card().photoIsWLT == false)
  }

  @Test func `public names are those of the facts`() {
    #expect(IDCardKey.ethnicity.rawValue == "nation")
    #expect(
      Set(IDCardKey.allCases.map(\.rawValue)).isSuperset(of: [
        "name", "sex", "nation", "birth", "address", "idNumber", "authority", "validFrom", "validTo",
        "passNumber",
        "issueCount",
      ]))
  }
}

@Suite struct IDNumberTests {
  /// Published samples and invented ones (facts/idcard.md 5).
  @Test(arguments: [
    "11010519491231002X", "440524188001010014", "810000199001010019", "830000199001010012",
    "820000199001010029",
    "911000199001010013",
  ])
  func `the check digit of a right number is right, and of no other`(number: String) throws {
    #expect(IDNumber(IDCardString(number)).checkDigit == .valid)
    #expect(IDNumber.checkDigit(for: String(number.prefix(17))) == number.last)
    for digit in "0123456789X" where digit != number.last {
      #expect(IDNumber(IDCardString(number.prefix(17) + String(digit))).checkDigit == .wrong)
    }
  }

  @Test func `a lower-case x is read as X, and what is written stays`() {
    let number = IDNumber(IDCardString("11010519491231002x"))
    #expect(number.checkDigit == .valid)
    #expect(number.normalised.reveal() == "11010519491231002X")
    #expect(number.asWritten.text.reveal() == "11010519491231002x")
  }

  @Test(arguments: [
    "", "1", "1101051949123100", "11010519491231002", "11010519491231002Y", "1101051949123100２X",
    "110105194912310022X",
  ])
  func `what has not 17 digits and a check character is not checkable`(text: String) {
    let number = IDNumber(IDCardString(text))
    #expect(number.checkDigit == .notCheckable)
    #expect(number.normalised.reveal() == text)
  }

  @Test func `birth and sex inside the number are told`() {
    let number = IDNumber(IDCardString("11010519491231002X"))
    #expect(number.birth == CardDate(digits: "19491231").map { Sensitive($0) } && number.sex == .female)
    #expect(IDNumber(IDCardString("110105194913310021")).birth == nil)
    #expect(IDNumber(IDCardString("11010519491231")).sex == nil)
  }

  @Test func `a region belongs to its kind of card`() throws {
    func region(_ number: String, _ kind: IDCard.Kind?) -> IDNumber.Region {
      IDNumber(IDCardString(number), kind: kind).region
    }
    let taiwan = try #require(RegionPrefix(code: 83))
    let beijing = try #require(RegionPrefix(code: 11))
    #expect(region("830000199001010012", .residencePermit) == .expected(taiwan))
    let alternative = try #require(RegionPrefix(code: 71))
    #expect(region("710000199001010012", .residencePermit) == .expected(alternative))
    #expect(region("830000199001010012", .citizen) == .unexpected(83))
    #expect(region("110105194912310021", .residencePermit) == .unexpected(11))
    #expect(region("110105194912310021", .foreigner2023) == .unexpected(11))
    #expect(region("911000199001010013", .foreigner2023) == .foreigner)
    #expect(region("911000199001010013", .citizen) == .unexpected(91))
    #expect(region("911000199001010013", nil) == .foreigner)
    #expect(region("16", .citizen) == .unexpected(16))
    #expect(region("11", .citizen) == .expected(beijing) && region("11", nil) == .expected(beijing))
    #expect(region("1", .citizen) == .notReadable && region("X1", .citizen) == .notReadable)
  }

  @Test func `a number that contradicts the card is told`() throws {
    let card = try IDCard(
      kind: .citizen,
      fields: [
        .idNumber: IDCardString("11010519491231002X"), .birth: IDCardString("19491230"),
        .sex: IDCardString("1"),
      ])
    #expect(card.birthAgreement == .differs && card.sexAgreement == .differs)
  }
}

@Suite struct CardCodeTests {
  @Test func `the ethnic groups are the 56 of the standard and two more`() {
    let named = (UInt8(0)...99).compactMap { Ethnicity(code: $0) }.filter { $0.name != nil }
    #expect(named.map(\.code) == Array(1...56) + [97, 98])
    #expect(
      Ethnicity(code: 25)?.name == "水" && Ethnicity(code: 46)?.name == "德昂"
        && Ethnicity(code: 56)?.name == "基诺")
    #expect(
      Ethnicity(code: 32)?.name == "仫佬" && Ethnicity(code: 43)?.name == "乌孜别克"
        && Ethnicity(code: 44)?.name == "俄罗斯")
    #expect(
      Ethnicity(code: 81)?.name == nil && Ethnicity(code: 81)?.digits == "81"
        && Ethnicity(code: 1)?.digits == "01")
    #expect(Ethnicity(code: 100) == nil)
  }

  @Test func `the region prefixes are those of the facts`() {
    let codes: [UInt8] = [
      11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
      61, 62,
      63, 64, 65, 71, 81, 82, 83,
    ]
    #expect((UInt8.min...UInt8.max).filter { RegionPrefix(code: $0) != nil } == codes)
  }

  @Test(arguments: ["20200229", "20000229", "19491231", "00010101", "99991231"])
  func `a day of the calendar is a date`(digits: String) throws {
    let date = try #require(CardDate(digits: digits))
    #expect(date.digits == digits)
    #expect(date.description == "\(digits.prefix(4))-\(digits.dropFirst(4).prefix(2))-\(digits.suffix(2))")
  }

  @Test(arguments: [
    "20190229", "19000229", "20200431", "20201301", "20200001", "20200100", "00000101", "2020101", "+2020101",
    "２０２００１０１", "",
  ])
  func `a day that is none is no date`(digits: String) { #expect(CardDate(digits: digits) == nil) }

  @Test func `dates are ordered`() throws {
    let days = try ["19991231", "20000101", "20000201", "20000202"].map { try #require(CardDate(digits: $0)) }
    #expect(days.shuffled().sorted() == days)
  }

  @Test func `sex is coded as the standard has it`() {
    #expect(Sex.allCases.map(\.rawValue) == [0, 1, 2, 9])
  }
}

@Suite struct IDCardFingerprintTests {
  private func block(_ head: String) -> [UInt8] {
    let head = hex(head)
    return head + [UInt8](repeating: 0xEE, count: 512 - head.count)
  }

  @Test(arguments: [
    ("0B", IDCardFingerprint.Finger.right(1)), ("0F", .right(5)), ("10", .left(1)), ("14", .left(5)),
    ("61", .unspecifiedRight), ("62", .unspecifiedLeft), ("63", .unspecified), ("0A", .other(0x0A)),
    ("15", .other(0x15)),
  ])
  func `a header says which finger it is`(code: String, finger: IDCardFingerprint.Finger) {
    #expect(IDCardFingerprint(block: block("43 01 02 03 01 \(code) 32"))?.finger == finger)
  }

  @Test(arguments: [
    ("01", IDCardFingerprint.Registration.registered), ("02", .failed), ("03", .notRegistered),
    ("09", .unknown),
    ("00", .other(0)),
  ])
  func `a header says how the print was taken`(code: String, result: IDCardFingerprint.Registration) throws {
    let header = try #require(IDCardFingerprint(block: block("43 01 02 03 \(code) 0B 64")))
    #expect(header.registration == result)
    #expect([header.algorithm, header.scanner, header.developer] == [1, 2, 3])
    #expect(header.quality == 100)
  }

  @Test func `an unknown quality is no quality`() {
    #expect(IDCardFingerprint(block: block("43 01 02 03 01 0B 00"))?.quality == nil)
    #expect(IDCardFingerprint(block: block("43 01 02 03 01 0B 65"))?.quality == nil)
  }

  @Test func `a block of another form has no header`() {
    #expect(IDCardFingerprint(block: block("44 01 02 03 01 0B 32")) == nil)
    #expect(IDCardFingerprint(block: Array(block("43").dropLast())) == nil)
  }

  @Test(arguments: [nil, 0, 512, 1024, 700] as [Int?])
  func `a card has a header for each of its fingerprints`(count: Int?) {
    let prints = count.map {
      Array((block("43 01 01 01 01 0B 20") + block("43 01 01 01 01 10 20")).prefix($0))
    }
    let headers = IDCard(text: [], fingerprints: prints).fingerprintHeaders
    let fingers: [IDCardFingerprint.Finger?] = [.right(1), count == 700 ? nil : .left(1)]
    #expect(headers.map { $0?.finger } == Array(fingers.prefix(((count ?? 0) + 511) / 512)))
  }
}
