import Codecs

/// The cards a simulated reader can be given: four obviously invented persons (facts/idcard.md 8), and cards that make
/// trouble.
public enum SampleCard: String, Sendable, CaseIterable {
  /// 居民身份证 of 张测试.
  case citizen
  /// 港澳台居民居住证 of 样例港人.
  case residencePermit = "residence-permit"
  /// 外国人永久居留身份证 of 2017 of SAMPLE, PERSON.
  case foreigner2017 = "foreigner-2017"
  /// 外国人永久居留身份证 of 2023 of SAMPLE, PERSON.
  case foreigner2023 = "foreigner-2023"
  /// A card whose type letter (`Z`) no source names; the rest is as on `citizen`.
  case unknownType = "unknown-type"
  /// A card that can be found and selected and fails on every read (41).
  case damaged
  /// A card that the module does not accept (32).
  case forged
  /// A card of the same radio standard that is no identity card (40), such as a bank card.
  case foreign = "bank-card"

  /// The photo of every sample card: the 8 bytes every published WLT photo begins with (facts/idcard.md 6), then a
  /// count from 0 to 255 over and over. It shows nobody, and no decoder gives a picture for it.
  public static let photo: [UInt8] =
    [0x57, 0x4C, 0x66, 0x00, 0x7E, 0x00, 0x32, 0x00] + (0..<1016).map { UInt8(truncatingIfNeeded: $0) }

  /// The text block, 256 bytes.
  var text: [UInt8] {
    switch self {
    case .citizen, .damaged, .forged, .foreign: return Self.text(.citizen, Self.citizenFields)
    case .residencePermit:
      return Self.text(
        .residencePermit,
        [
          .name: "样例港人", .sex: "1", .birth: "19900101", .address: "广东省深圳市样例路2号",
          .idNumber: "810000199001010019", .authority: "样例公安局", .validFrom: "20200101", .validTo: "20250101",
          .passNumber: "H00000000", .issueCount: "01",
        ])
    case .foreigner2017:
      return Self.text(
        .foreigner2017,
        [
          .englishName: "SAMPLE, PERSON", .sex: "1", .idNumber: "AAA110090010100", .nationality: "UTO",
          .name: "样例", .validFrom: "20200101", .validTo: "20300101", .birth: "19900101", .version: "01",
          .authorityCode: "1500",
        ])
    case .foreigner2023:
      return Self.text(
        .foreigner2023,
        [
          .name: "样例", .sex: "1", .renewalCount: "00", .birth: "19900101", .englishName: "SAMPLE, PERSON",
          .idNumber: "911000199001010013", .validFrom: "20240101", .validTo: "20340101", .nationality: "UTO",
          .previousNumberLink: "01 ",
        ])
    case .unknownType:
      var text = Self.text(.citizen, Self.citizenFields)
      // The letter's place on every card (facts/idcard.md 4.1).
      if text.indices.contains(248) { text[248] = UInt8(ascii: "Z") }
      return text
    }
  }

  /// The additional address of the sample citizen, 35 UTF-16 code units at most.
  static let additionalAddress = "北京市样例区样例街3号"

  private static let citizenFields: [IDCardKey: String] = [
    .name: "张测试", .sex: "2", .ethnicity: "01", .birth: "19491231", .address: "北京市朝阳区样例路1号",
    .idNumber: "11010519491231002X", .authority: "样例公安局", .validFrom: "20200101", .validTo: "长期",
  ]

  private static func text(_ kind: IDCard.Kind, _ fields: [IDCardKey: String]) -> [UInt8] {
    // The fields above fit their cards: a test holds all four against published check bytes.
    guard let card = try? IDCard(kind: kind, fields: fields.mapValues { IDCardString($0) }) else { return [] }
    return card.text.reveal()
  }
}
