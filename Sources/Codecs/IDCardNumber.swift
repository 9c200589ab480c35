/// The number on a card, with what can be said about it. A number that fails a check is still the number on the card.
public struct IDNumber: Sendable, Equatable {
  /// Verdict on the check digit (GB 11643: ISO 7064 MOD 11-2).
  public enum CheckDigit: Sendable, Hashable {
    /// The 18th character is what the first 17 digits ask for.
    case valid
    /// It is another one.
    case wrong
    /// Not 17 digits and a digit or X, or a kind of number whose check digit no source describes (2017 foreigner's card).
    case notCheckable
  }

  /// Verdict on the first two digits.
  public enum Region: Sendable, Hashable {
    /// A prefix that belongs on this kind of card.
    case expected(RegionPrefix)
    /// 9…: a foreigner's number, on the 2023 foreigner's card.
    case foreigner
    /// Two digits that no list has, or that belong on another kind of card.
    case unexpected(UInt8)
    /// The number does not begin with two digits.
    case notReadable
  }

  /// The number as the card writes it.
  public let asWritten: IDCardString
  /// The number for programs: as written, but with an upper-case X.
  public let normalised: Sensitive<String>
  /// Verdict on the check digit.
  public let checkDigit: CheckDigit
  /// Verdict on the region prefix.
  public let region: Region
  /// The birth day inside the number (digits 7…14); nil where there is none or it is no date.
  public let birth: Sensitive<CardDate>?
  /// The sex inside the number (digit 17: odd is male); nil where there is none.
  public let sex: Sex?

  /// Looks at a number on a card of this kind; `kind` nil for a number that came from elsewhere, such as a keyboard.
  public init(_ field: IDCardString, kind: IDCard.Kind? = nil) {
    asWritten = field
    let text = field.text.reveal()
    normalised = Sensitive(text.last == "x" ? text.dropLast() + "X" : text)
    // The 2017 card has three letters and twelve digits, and nothing inside that a source describes.
    let characters = kind == .foreigner2017 ? [] : Array(normalised.reveal().utf8)
    let digits = characters.prefix(17).map { Int($0) - 0x30 }
    guard characters.count == 18, digits.allSatisfy({ (0...9).contains($0) }) else {
      checkDigit = .notCheckable
      birth = nil
      sex = nil
      region = kind == .foreigner2017 ? .notReadable : Self.region(characters, kind)
      return
    }
    switch characters[17] {
    case Self.checkDigit(of: digits): checkDigit = .valid
    case 0x30...0x39, 0x58: checkDigit = .wrong
    default: checkDigit = .notCheckable
    }
    birth = CardDate(digits: String(decoding: characters[6..<14], as: UTF8.self)).map { Sensitive($0) }
    sex = digits[16] % 2 == 1 ? .male : .female
    region = Self.region(characters, kind)
  }

  /// The 18th character for 17 digits; nil for anything but 17 ASCII digits.
  public static func checkDigit(for first17: String) -> Character? {
    let digits = first17.utf8.map { Int($0) - 0x30 }
    guard digits.count == 17, digits.allSatisfy({ (0...9).contains($0) }) else { return nil }
    return Character(Unicode.Scalar(checkDigit(of: digits)))
  }

  private static func checkDigit(of digits: [Int]) -> UInt8 {
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    let sum = zip(weights, digits).reduce(0) { $0 + $1.0 * $1.1 }
    return Array("10X98765432".utf8)[sum % 11]
  }

  private static func region(_ characters: [UInt8], _ kind: IDCard.Kind?) -> Region {
    guard characters.count >= 2, characters[0...1].allSatisfy({ (0x30...0x39).contains($0) }) else {
      return .notReadable
    }
    let code = (characters[0] - 0x30) * 10 + characters[1] - 0x30
    let foreignerAllowed = kind == nil || kind == .foreigner2023
    if code / 10 == 9 { return foreignerAllowed ? .foreigner : .unexpected(code) }
    guard let prefix = RegionPrefix(code: code), kind?.allows(regionCode: code) ?? true else {
      return .unexpected(code)
    }
    return .expected(prefix)
  }
}

extension IDCard.Kind {
  /// Taiwan permits bear 83 by one source and 71 by another: both are taken (facts/idcard.md 5).
  fileprivate func allows(regionCode code: UInt8) -> Bool {
    switch self {
    case .citizen: code != 83
    case .residencePermit: [71, 81, 82, 83].contains(code)
    case .foreigner2017, .foreigner2023: false
    case .unknown: true
    }
  }
}
