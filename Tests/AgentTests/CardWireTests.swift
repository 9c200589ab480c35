import Codecs
import Devices
import LocalAPI
import Testing
import WireJSON

@testable import Agent

/// Fields and letters: facts/idcard.md 8.
@Suite struct CardWireTests {
  private func citizen(_ changed: [IDCardKey: String] = [:], photo: [UInt8] = []) throws -> IDCard {
    let fields: [IDCardKey: String] = [
      .name: "张测试", .sex: "2", .ethnicity: "01", .birth: "19491231", .address: "北京市朝阳区样例路1号",
      .idNumber: "11010519491231002X", .authority: "样例公安局", .validFrom: "20200101", .validTo: "长期",
    ].merging(changed) { _, new in new }
    return try IDCard(kind: .citizen, fields: fields.mapValues { IDCardString($0) }, photo: photo)
  }

  private func json(_ card: IDCard, additionalAddress: String? = nil) -> JSONValue {
    CardWire.json(CardReading(card: card, additionalAddress: additionalAddress.map { Sensitive($0) }))
  }

  @Test func `a citizen's card is given with codes, names and verdicts`() throws {
    let expected: JSONValue = [
      "type": "citizen",
      "fields": [
        "name": "张测试", "sex": ["code": "2", "name": "女"], "nation": ["code": "01", "name": "汉"],
        "birth": "1949-12-31", "address": "北京市朝阳区样例路1号",
        "idNumber": [
          "value": "11010519491231002X", "checkDigit": "valid", "birth": "agrees", "sex": "agrees",
        ],
        "authority": "样例公安局", "validFrom": "2020-01-01", "validTo": "长期",
        "additionalAddress": "北京市样例区样例街3号",
      ],
      "photo": ["format": "wlt", "decoded": false, "data": "V0xmAH4AMgA="],
    ]
    let photo: [UInt8] = [0x57, 0x4C, 0x66, 0x00, 0x7E, 0x00, 0x32, 0x00]
    let value = json(try citizen(photo: photo), additionalAddress: "北京市样例区样例街3号")
    #expect(value == expected)
    #expect(Route.readCard.specification.answer?.problems(in: value) == [])
  }

  @Test func `a residence permit has its pass number and its count`() throws {
    let card = try IDCard(
      kind: .residencePermit,
      fields: [
        .name: "样例港人", .sex: "1", .birth: "19900101", .idNumber: "810000199001010019",
        .passNumber: "H00000000",
        .issueCount: "01", .validFrom: "20200101", .validTo: "20250101",
      ].mapValues { IDCardString($0) })
    let value = json(card)
    #expect(value["type"] == "residencePermit")
    #expect(value["fields"]?["passNumber"] == "H00000000" && value["fields"]?["issueCount"] == "01")
    #expect(value["fields"]?["validTo"] == "2025-01-01")
    #expect(value["fields"]?["nation"] == nil)
    #expect(value["photo"] == .null)
  }

  @Test(arguments: [
    (IDCardKey.sex, "3", "sex"), (.ethnicity, "XX", "nation"), (.birth, "19491331", "birth"),
    (.validFrom, "2020010", "validFrom"), (.validTo, "永久", "validTo"),
  ])
  func `a field without the form of the standard is given as it is and called malformed`(
    key: IDCardKey, text: String, name: String
  ) throws {
    #expect(json(try citizen([key: text]))["fields"]?[name] == ["malformed": .string(text)])
  }

  @Test func `a wrong check digit and disagreements are said, not corrected`() throws {
    let number = json(try citizen([.idNumber: "110105194912310021", .birth: "19500101", .sex: "1"]))[
      "fields"]?[
        "idNumber"]
    #expect(
      number == ["value": "110105194912310021", "checkDigit": "wrong", "birth": "differs", "sex": "differs"])
  }

  @Test func `of a card of an unknown type only its text block is given, without a guess at fields`() throws {
    var text = try citizen().text.reveal()
    text[248] = UInt8(ascii: "Z")
    let value = json(IDCard(text: text))
    #expect(value["type"] == "unknown")
    #expect(value["fields"]?.object?.keys.sorted() == ["letter", "text"])
    #expect(value["fields"]?["letter"] == 0x5A)
    #expect(value["fields"]?["text"]?.string?.hasPrefix("IF9LbdWL") == true)
  }

  @Test func `a truncated text block is an unknown card and no crash`() {
    for length in [0, 1, 2, 100, 255, 257, 1000] {
      #expect(json(IDCard(text: [UInt8](repeating: 0x20, count: length)))["type"] == "unknown")
    }
  }

  @Test func `masked, numbers have their ends only and raw text is not given`() throws {
    let permit = try IDCard(
      kind: .residencePermit,
      fields: [.idNumber: "810000199001010019", .passNumber: "H00000000"].mapValues { IDCardString($0) })
    let reading = CardReading(card: permit, additionalAddress: nil, cardNumber: Sensitive([1, 2, 3]))
    let masked = CardWire.json(reading, isMasked: true)
    #expect(masked["fields"]?["idNumber"]?["value"] == "810000********0019")
    #expect(masked["fields"]?["idNumber"]?["checkDigit"] == "valid")
    #expect(masked["fields"]?["passNumber"] == "*********")
    #expect(masked["cardNumber"] == nil)
    #expect(CardWire.json(reading)["cardNumber"] == "010203")
    var text = try citizen().text.reveal()
    text[248] = UInt8(ascii: "Z")
    let unknown = CardReading(card: IDCard(text: text), additionalAddress: nil)
    #expect(CardWire.json(unknown, isMasked: true)["fields"] == ["letter": 0x5A])
  }

  @Test func `fingerprints are given with what their headers say`() throws {
    let block: [UInt8] = [0x43, 1, 1, 1, 1, 0x0C, 40] + [UInt8](repeating: 9, count: 505)
    let card = IDCard(
      text: try citizen().text.reveal(), fingerprints: block + [UInt8](repeating: 0, count: 512))
    let value = json(card)
    #expect(value["fingerprints"]?[0]?["finger"] == "right-index")
    #expect(
      value["fingerprints"]?[0]?["registration"] == "registered"
        && value["fingerprints"]?[0]?["quality"] == 40)
    #expect(value["fingerprints"]?[1]?["finger"] == nil)
    #expect(value["fingerprints"]?[0]?["data"]?.string?.count == 684)
    #expect(Route.readCard.specification.answer?.problems(in: value) == [])
    #expect(json(try citizen())["fingerprints"] == nil)
  }

  @Test func `a decoded photo stands beside the block`() throws {
    let head: [UInt8] = [
      0x42, 0x4D, 0xCE, 0x97, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 102, 0, 0, 0, 126, 0, 0, 0, 1, 0,
      24, 0,
    ]
    let bitmap = head + [UInt8](repeating: 0, count: 24 + 308 * 126)
    let picture = try PhotoDecoder.check(bitmap)
    let card = try citizen(photo: [0x57, 0x4C, 0x66])
    let value = CardWire.json(CardReading(card: card, additionalAddress: nil), picture: picture)
    #expect(value["photo"]?["decoded"] == true && value["photo"]?["data"] == "V0xm")
    #expect(value["photo"]?["picture"]?["mediaType"] == "image/bmp")
    #expect(Route.readCard.specification.answer?.problems(in: value) == [])
    // One line less is another picture.
    #expect(throws: PhotoDecoder.Failure.self) { try PhotoDecoder.check(Array(bitmap.dropLast(308))) }
    var small = bitmap
    small[18] = 101
    #expect(throws: PhotoDecoder.Failure.self) { try PhotoDecoder.check(small) }
  }
}
