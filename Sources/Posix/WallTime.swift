private import CLinux

/// A moment on the calendar, with the offset from UTC of the place it was noted at.
///
/// Two times are equal when they are the same moment, whatever their offsets.
public struct WallTime: Sendable, Equatable, Comparable, Hashable, CustomStringConvertible {
  /// Seconds since 1970-01-01T00:00:00Z without leap seconds; from year 0 to year 9999.
  public let secondsSince1970: Int64
  /// 0 to 999 999 999.
  public let nanoseconds: Int32
  /// East of Greenwich is positive; 28 800 in China.
  public let utcOffsetSeconds: Int32

  /// The first second of year 1 and the last of year 9998: one year less than RFC 3339 has, for the offset.
  private static let range: ClosedRange<Int64> = -62_135_596_800...253_370_764_799

  /// A moment; values out of range are brought to the nearest one in it (offsets to whole minutes within a day).
  public init(secondsSince1970: Int64, nanoseconds: Int32 = 0, utcOffsetSeconds: Int32 = 0) {
    self.secondsSince1970 = min(max(secondsSince1970, Self.range.lowerBound), Self.range.upperBound)
    self.nanoseconds = min(max(nanoseconds, 0), 999_999_999)
    self.utcOffsetSeconds = min(max(utcOffsetSeconds, -86_340), 86_340) / 60 * 60
  }

  /// The system's clock, in the system's time zone, which is looked up anew each time.
  public static func now() -> WallTime {
    var seconds: Int64 = 0
    var nanoseconds: Int32 = 0
    unsafe clinux_now(&seconds, &nanoseconds)
    return WallTime(
      secondsSince1970: seconds, nanoseconds: nanoseconds, utcOffsetSeconds: clinux_utc_offset(seconds))
  }

  /// Reads `2026-02-03T04:05:06.789+08:00` (RFC 3339); `nil` for anything else.
  ///
  /// A fraction may have any number of digits; those beyond nanoseconds are dropped. Second 60 (a leap second) is the
  /// first of the next minute. `-00:00` is taken for `Z`.
  public init?(rfc3339 text: String) {
    var scanner = Scanner(text)
    guard let year = scanner.digits(4), scanner.take("-"), let month = scanner.digits(2), scanner.take("-"),
      let day = scanner.digits(2), scanner.take("T") || scanner.take("t"), let hour = scanner.digits(2),
      scanner.take(":"), let minute = scanner.digits(2), scanner.take(":"), let second = scanner.digits(2),
      let fraction = scanner.fraction(), let offset = scanner.offset(), scanner.isAtEnd,
      (1...12).contains(month), (1...Self.days(in: month, of: year)).contains(day),
      hour < 24, minute < 60, second < 61
    else { return nil }
    let local = Self.daysSince1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    let seconds = Int64(local - offset)
    guard Self.range.contains(seconds) else { return nil }
    self.init(secondsSince1970: seconds, nanoseconds: Int32(fraction), utcOffsetSeconds: Int32(offset))
  }

  /// `2026-02-03T04:05:06.789+08:00`: local time, milliseconds (cut, not rounded) and offset; `Z` for none.
  public var rfc3339: String {
    let date = calendar
    var text = "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T"
    text += "\(padded(date.hour, 2)):\(padded(date.minute, 2)):\(padded(date.second, 2))"
    text += ".\(padded(Int(nanoseconds) / 1_000_000, 3))"
    guard utcOffsetSeconds != 0 else { return text + "Z" }
    let minutes = abs(Int(utcOffsetSeconds)) / 60
    return text + "\(utcOffsetSeconds < 0 ? "-" : "+")\(padded(minutes / 60, 2)):\(padded(minutes % 60, 2))"
  }

  /// The same as ``rfc3339``.
  public var description: String { rfc3339 }

  /// The fields as a clock on the wall of the place shows them; `weekday` is 1 for Monday to 7 for Sunday (ISO 8601).
  public var calendar: (year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, weekday: Int) {
    let local = Int(secondsSince1970) + Int(utcOffsetSeconds)
    let second = local.modulo(86_400)
    let days = (local - second) / 86_400
    // Days to a date of the Gregorian calendar in years that begin in March, so that the leap day comes last.
    let shifted = days + 719_468
    let era = (shifted - shifted.modulo(146_097)) / 146_097
    let dayOfEra = shifted.modulo(146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (
      yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1,
      second / 3600, second / 60 % 60, second % 60, (days + 3).modulo(7) + 1
    )
  }

  /// Whether both are the same moment.
  public static func == (left: WallTime, right: WallTime) -> Bool {
    left.secondsSince1970 == right.secondsSince1970 && left.nanoseconds == right.nanoseconds
  }

  /// Whether `left` came before `right`.
  public static func < (left: WallTime, right: WallTime) -> Bool {
    (left.secondsSince1970, left.nanoseconds) < (right.secondsSince1970, right.nanoseconds)
  }

  /// The moment, without the offset.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(secondsSince1970)
    hasher.combine(nanoseconds)
  }

  private static func days(in month: Int, of year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted - shifted.modulo(400)) / 400
    let yearOfEra = shifted.modulo(400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(width - digits.count, 0)) + digits
  }
}

private struct Scanner {
  private var rest: Substring.UTF8View

  init(_ text: String) { rest = Substring(text).utf8 }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard let first = rest.first, UInt32(first) == character.value else { return false }
    rest.removeFirst()
    return true
  }

  mutating func digit() -> Int? {
    guard let first = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return nil }
    rest.removeFirst()
    return Int(first - UInt8(ascii: "0"))
  }

  mutating func digits(_ count: Int) -> Int? {
    var number = 0
    for _ in 0..<count {
      guard let digit = digit() else { return nil }
      number = number * 10 + digit
    }
    return number
  }

  /// In nanoseconds; 0 when there is none, `nil` for a point without digits.
  mutating func fraction() -> Int? {
    guard take(".") else { return 0 }
    guard let first = digit() else { return nil }
    var number = first * 100_000_000
    var unit = 10_000_000
    while let digit = digit() {
      number += digit * unit
      unit /= 10
    }
    return number
  }

  /// In seconds.
  mutating func offset() -> Int? {
    if take("Z") || take("z") { return 0 }
    let isWest = take("-")
    guard isWest || take("+"), let hours = digits(2), take(":"), let minutes = digits(2), hours < 24,
      minutes < 60
    else { return nil }
    return (isWest ? -1 : 1) * (hours * 3600 + minutes * 60)
  }
}

extension Int {
  /// The remainder that is never negative.
  fileprivate func modulo(_ divisor: Int) -> Int {
    let remainder = self % divisor
    return remainder < 0 ? remainder + divisor : remainder
  }
}
