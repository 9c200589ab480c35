/// A day of the Gregorian calendar, as cards write it: eight digits YYYYMMDD (facts/idcard.md 4.1).
public struct CardDate: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// 1…9999.
  public let year: Int
  /// 1…12.
  public let month: Int
  /// 1…31, and never more than the month has.
  public let day: Int

  /// A day; nil when the calendar has no such day.
  public init?(year: Int, month: Int, day: Int) {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard (1...9999).contains(year), (1...12).contains(month), (1...lengths[month - 1]).contains(day) else {
      return nil
    }
    self.year = year
    self.month = month
    self.day = day
  }

  /// Reads eight ASCII digits; nil for anything else.
  public init?(digits: some StringProtocol) {
    guard digits.utf8.count == 8, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let number = Int(digits)
    else { return nil }
    self.init(year: number / 10_000, month: number / 100 % 100, day: number % 100)
  }

  /// Eight digits, as on the card.
  public var digits: String {
    let number = String(year * 10_000 + month * 100 + day)
    return String(repeating: "0", count: 8 - number.count) + number
  }

  /// `1990-01-31` (ISO 8601).
  public var description: String {
    let digits = digits
    return "\(digits.prefix(4))-\(digits.dropFirst(4).prefix(2))-\(digits.suffix(2))"
  }

  /// Earlier days are less.
  public static func < (left: CardDate, right: CardDate) -> Bool {
    (left.year, left.month, left.day) < (right.year, right.month, right.day)
  }
}

/// Until when a card is valid.
public enum ValidityEnd: Sendable, Hashable {
  /// The last day.
  case date(CardDate)
  /// 长期: without end (citizens from 46 years on: 居民身份证法, article 5).
  case longTerm

  /// What a card says for "without end".
  static let longTermText = "长期"
}
