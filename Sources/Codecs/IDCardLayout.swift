/// A field of an ID card. The raw value is its public name in interfaces; there is no common standard for these names.
///
/// Which card has which field, and where, is in ``IDCard/Kind/keys`` and facts/idcard.md 4.1.
public enum IDCardKey: String, Sendable, CaseIterable {
  /// Name in Chinese characters: 姓名 (GA 450).
  case name
  /// Name in Latin letters, on foreigners' cards.
  case englishName
  /// 性别, one digit of GB/T 2261.1; see ``Sex``.
  case sex
  /// 民族, two digits of GB/T 3304; see ``Ethnicity``.
  case ethnicity = "nation"
  /// 出生, YYYYMMDD (GA 450); see ``CardDate``.
  case birth
  /// 住址 (GA 450).
  case address
  /// 公民身份号码 (GB 11643), or the permit's number; see ``IDNumber``.
  case idNumber
  /// 签发机关 (GA 450).
  case authority
  /// 有效期限 from, YYYYMMDD; on foreigners' cards the day of issue.
  case validFrom
  /// 有效期限 to, YYYYMMDD or 长期; see ``ValidityEnd``.
  case validTo
  /// 通行证号码, on residence permits.
  case passNumber
  /// 签发次数, two digits, on residence permits.
  case issueCount
  /// 换证次数, two digits, on the 2023 foreigner's card.
  case renewalCount
  /// 国籍, three letters of GB/T 2659, on foreigners' cards.
  case nationality
  /// 证件版本号, on the 2017 foreigner's card.
  case version
  /// 申请受理机关代码, on the 2017 foreigner's card.
  case authorityCode
  /// Link to the holder's number on an earlier card, on the 2023 foreigner's card. One source.
  case previousNumberLink
}

extension IDCard {
  /// What kind of card it is, by the two bytes at offset 248 of its text (facts/idcard.md 4.1).
  public enum Kind: Sendable, Hashable {
    /// U+0020: 居民身份证, a citizen's card.
    case citizen
    /// `I`: 外国人永久居留身份证 of 2017.
    case foreigner2017
    /// `Y`: 外国人永久居留身份证 of 2023 (五星卡). Its layout has one source.
    case foreigner2023
    /// `J`: 港澳台居民居住证, residence permit for residents of Hong Kong, Macao and Taiwan.
    case residencePermit
    /// Any other letter, given here; nil when the text is not 256 bytes long and has no such place.
    case unknown(letter: UInt16?)

    /// The kind a letter stands for.
    public init(letter: UInt16?) {
      switch letter {
      case 0x20: self = .citizen
      case 0x49: self = .foreigner2017
      case 0x59: self = .foreigner2023
      case 0x4A: self = .residencePermit
      default: self = .unknown(letter: letter)
      }
    }

    /// The letter on the chip.
    public var letter: UInt16? {
      switch self {
      case .citizen: 0x20
      case .foreigner2017: 0x49
      case .foreigner2023: 0x59
      case .residencePermit: 0x4A
      case .unknown(let letter): letter
      }
    }

    /// The fields this kind has; none for an unknown kind.
    public var keys: Set<IDCardKey> { Set(layout.keys) }

    /// Where the fields are, in bytes of the text block. A field in two pieces is read as one.
    var layout: [IDCardKey: [Range<Int>]] {
      switch self {
      case .citizen: Self.citizenLayout
      case .foreigner2017: Self.foreigner2017Layout
      case .foreigner2023: Self.foreigner2023Layout
      case .residencePermit: Self.residencePermitLayout
      case .unknown: [:]
      }
    }

    private static let citizenLayout: [IDCardKey: [Range<Int>]] = [
      .name: [0..<30], .sex: [30..<32], .ethnicity: [32..<36], .birth: [36..<52], .address: [52..<122],
      .idNumber: [122..<158], .authority: [158..<188], .validFrom: [188..<204], .validTo: [204..<220],
    ]

    private static let residencePermitLayout: [IDCardKey: [Range<Int>]] = [
      .name: [0..<30], .sex: [30..<32], .birth: [36..<52], .address: [52..<122], .idNumber: [122..<158],
      .authority: [158..<188], .validFrom: [188..<204], .validTo: [204..<220], .passNumber: [220..<238],
      .issueCount: [238..<242],
    ]

    private static let foreigner2017Layout: [IDCardKey: [Range<Int>]] = [
      .englishName: [0..<120], .sex: [120..<122], .idNumber: [122..<152], .nationality: [152..<158],
      .name: [158..<188], .validFrom: [188..<204], .validTo: [204..<220], .birth: [220..<236],
      .version: [236..<240], .authorityCode: [240..<248],
    ]

    private static let foreigner2023Layout: [IDCardKey: [Range<Int>]] = [
      .name: [0..<30], .sex: [30..<32], .renewalCount: [32..<36], .birth: [36..<52],
      .englishName: [52..<122, 220..<242], .idNumber: [122..<158], .validFrom: [188..<204],
      .validTo: [204..<220], .nationality: [242..<248], .previousNumberLink: [250..<256],
    ]
  }
}
