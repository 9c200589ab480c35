import Glibc
import TestKit
import Testing

@testable import Posix

struct IconvTests {
  @Test(arguments: [
    ("居民身份证", TextEncoding.gbk, [0xbe, 0xd3, 0xc3, 0xf1, 0xc9, 0xed, 0xb7, 0xdd, 0xd6, 0xa4] as [UInt8]),
    ("居民A", .gb18030, [0xbe, 0xd3, 0xc3, 0xf1, 0x41]),
    // Extension B, U+20000, and Extension G, U+30EDD: (code point − 10000h) from 90308130h in steps of 10, 126 and 10.
    ("𠀀", .gb18030, [0x95, 0x32, 0x82, 0x36]),
    ("\u{30EDD}", .gb18030, [0x9a, 0x37, 0x86, 0x37]),
    ("€", .gb18030, [0xa2, 0xe3]), ("€", .gbk, [0x80]),
    ("あ①", .shiftJIS, [0x82, 0xa0, 0x87, 0x40]), ("ｱ\\~", .shiftJIS, [0xb1, 0x5c, 0x7e]),
    ("页", .utf8, [0xe9, 0xa1, 0xb5]), ("", .gb18030, []), ("a\0b", .gbk, [0x61, 0, 0x62]),
  ])
  func `text becomes these bytes and comes back`(text: String, encoding: TextEncoding, bytes: [UInt8]) {
    #expect(Iconv.encode(text, to: encoding) == bytes)
    #expect(Iconv.decode(bytes, from: encoding) == text)
  }

  @Test(arguments: [("𠀀", TextEncoding.gbk), ("abc𠀀def", .gbk), ("汉字과", .shiftJIS), ("🖨", .gbk)])
  func `a character without a place makes the whole text nil, and nothing is replaced`(
    text: String, encoding: TextEncoding
  ) {
    #expect(Iconv.encode(text, to: encoding) == nil)
  }

  @Test(arguments: [
    ([0xbe] as [UInt8], TextEncoding.gbk), ([0xff, 0xff], .gbk), ([0x95, 0x32, 0x82], .gb18030),
    ([0x41, 0x81], .shiftJIS), ([0xc0, 0x80], .utf8), ([0xed, 0xa0, 0x80], .utf8),
  ])
  func `bytes that are cut short or malformed are nil`(bytes: [UInt8], encoding: TextEncoding) {
    #expect(Iconv.decode(bytes, from: encoding) == nil)
  }

  @Test func `every character of Unicode outside the private use area comes back from GB 18030`() throws {
    for start in stride(from: UInt32(0), to: 0x11_0000, by: 0x400) where !(0xe000..<0xf800).contains(start) {
      let text = String(
        String.UnicodeScalarView(
          (start..<(start + 0x400)).compactMap { (0xf800..<0xf900).contains($0) ? nil : Unicode.Scalar($0) }))
      let bytes = try #require(Iconv.encode(text, to: .gb18030), "\(start)")
      let back = try #require(Iconv.decode(bytes, from: .gb18030))
      #expect(Array(back.unicodeScalars) == Array(text.unicodeScalars), "\(start)")
    }
  }

  @Test func `arbitrary bytes never crash`() {
    var state: UInt64 = 1
    for _ in 0..<2000 {
      let bytes = (0..<Int(state >> 33 & 63)).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 40)
      }
      state &+= 1 << 33
      for encoding in TextEncoding.allCases {
        guard let text = Iconv.decode(bytes, from: encoding) else { continue }
        #expect(Iconv.encode(text, to: encoding) != nil)
      }
    }
  }

  @Test func `all encodings are installed here`() {
    for encoding in TextEncoding.allCases { #expect(Iconv.isAvailable(encoding)) }
  }
}

struct WallTimeTests {
  @Test(arguments: [
    "2026-02-03T04:05:06.789+08:00", "1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z",
    "1969-12-31T23:59:59.001-03:30", "2100-03-01T00:00:00.000+05:45", "0001-01-02T00:00:00.000Z",
    "9998-12-31T00:00:00.000-23:59",
  ])
  func `a time comes back as it was written`(text: String) throws {
    #expect(try #require(WallTime(rfc3339: text)).rfc3339 == text)
  }

  @Test(
    arguments: [
      ("2026-02-03T04:05:06Z", 1_770_091_506, 0), ("2026-02-03t04:05:06.5z", 1_770_091_506, 500_000_000),
      ("2026-02-03T12:05:06.123456789999+08:00", 1_770_091_506, 123_456_789),
      ("2016-12-31T23:59:60Z", 1_483_228_800, 0), ("2026-02-03T04:05:06-00:00", 1_770_091_506, 0),
      ("1960-01-01T00:00:00Z", -315_619_200, 0),
    ] as [(String, Int64, Int32)])
  func `other forms of RFC 3339 mean these moments`(text: String, seconds: Int64, nanoseconds: Int32) throws {
    let time = try #require(WallTime(rfc3339: text))
    #expect(time.secondsSince1970 == seconds)
    #expect(time.nanoseconds == nanoseconds)
  }

  @Test(arguments: [
    "", "2026-02-03", "2026-02-03T04:05:06", "2026-02-03 04:05:06Z", "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-04-31T00:00:00Z",
    "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
    "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0800", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00Zx",
    "26-01-01T00:00:00Z", "2026-1-1T00:00:00Z", "２０２６-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
    "+026-01-01T00:00:00Z",
  ])
  func `anything else is no time`(text: String) {
    #expect(WallTime(rfc3339: text) == nil)
  }

  @Test func `the calendar shows local time`() throws {
    let time = WallTime(secondsSince1970: 951_782_400 - 1, utcOffsetSeconds: 28_800)
    let date = time.calendar
    #expect(
      [date.year, date.month, date.day, date.hour, date.minute, date.second] == [2000, 2, 29, 7, 59, 59])
    #expect(date.weekday == 2)
    #expect(WallTime(secondsSince1970: 0).calendar.weekday == 4)
    #expect(WallTime(secondsSince1970: -86_400 * 4).calendar.weekday == 7)
    #expect(WallTime(secondsSince1970: -86_400 * 3).calendar.weekday == 1)
  }

  @Test func `the calendar agrees with the C library over the whole range`() throws {
    for seconds in stride(from: -62_135_500_000, through: 253_370_000_000, by: 86_400 * 37 + 12_345) {
      var time = time_t(seconds)
      var broken = unsafe tm()
      _ = unsafe gmtime_r(&time, &broken)
      let (year, month, day) = unsafe (broken.tm_year, broken.tm_mon, broken.tm_mday)
      let (hour, weekday) = unsafe (broken.tm_hour, broken.tm_wday)
      let date = WallTime(secondsSince1970: Int64(seconds)).calendar
      #expect(date.year == Int(year) + 1900 && date.month == Int(month) + 1)
      #expect(date.day == Int(day) && date.hour == Int(hour))
      #expect(date.weekday % 7 == Int(weekday))
    }
  }

  @Test func `times compare as moments, whatever the offset`() throws {
    let here = try #require(WallTime(rfc3339: "2026-02-03T12:00:00+08:00"))
    let there = try #require(WallTime(rfc3339: "2026-02-03T04:00:00Z"))
    #expect(here == there && !(here < there) && Set([here, there]).count == 1)
    #expect(there < WallTime(secondsSince1970: there.secondsSince1970, nanoseconds: 1))
  }

  @Test func `values out of range are brought to its ends and can be shown`() {
    let last = WallTime(secondsSince1970: .max, nanoseconds: .max, utcOffsetSeconds: .max)
    #expect(last.rfc3339 == "9999-01-01T23:58:59.999+23:59")
    let first = WallTime(secondsSince1970: .min, nanoseconds: -1, utcOffsetSeconds: .min)
    #expect(first.rfc3339 == "0000-12-31T00:01:00.000-23:59")
  }

  @Test func `now is in the system's zone, also when that is changed`() async {
    await #expect(processExitsWith: .success) {
      // POSIX notation: no table of zones is needed.
      unsafe setenv("TZ", "CST-8", 1)
      let before = Int64(time(nil))
      let now = WallTime.now()
      // time(2) may be read from a coarser clock.
      #expect((before - 1...Int64(time(nil)) + 1).contains(now.secondsSince1970))
      #expect(now.utcOffsetSeconds == 28_800 && now.rfc3339.hasSuffix("+08:00"))
      unsafe setenv("TZ", "NST3:30", 1)
      #expect(WallTime.now().utcOffsetSeconds == -12_600)
    }
  }

  @Test func `monotonic and boot time go forward and boot has a name`() {
    let first = SystemClockState.monotonicNanoseconds()
    #expect(SystemClockState.monotonicNanoseconds() >= first && first > 0)
    #expect(SystemClockState.bootTimeNanoseconds() >= first)
    #expect(SystemClockState.bootID?.count == 36)
    _ = SystemClockState.isSynchronised
  }
}

struct IdentifierTests {
  @Test func `version 7 has its form, its time, and rises within a millisecond`() throws {
    var last = ""
    for _ in 0..<10_000 {
      let next = Identifier.uuidV7()
      #expect(next > last)
      last = next
    }
    #expect(last.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
    let milliseconds = try #require(Int64(last.filter { $0 != "-" }.prefix(12), radix: 16))
    #expect(abs(milliseconds / 1000 - WallTime.now().secondsSince1970) <= 10)
  }

  @Test func `many tasks get identifiers that differ, and each sees its own rise`() async {
    let all = await withTaskGroup(of: [String].self) { group in
      for _ in 0..<8 { group.addTask { (0..<2000).map { _ in Identifier.uuidV7() } } }
      return await group.reduce(into: [String]()) { all, own in
        #expect(own == own.sorted())
        all += own
      }
    }
    #expect(Set(all).count == 16_000)
  }

  @Test func `a clock that stands still, goes back or a counter that is full do not make it fall`() {
    var rising = RisingTime()
    var last: (UInt64, UInt16) = (0, 0)
    for now in [UInt64](repeating: 1000, count: 10_000) + [500, 999, 1000, 1001, 5000, 4999, 5000] {
      let next = rising.next(at: now, seed: 0x7ff)
      #expect(next > last && next.counter <= 0xfff)
      last = next
    }
    #expect(last.0 == 5000)
  }

  @Test func `version 4 and random bytes differ each time`() {
    let identifier = Identifier.uuidV4()
    #expect(
      identifier.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
    #expect(Identifier.uuidV4() != identifier)
    #expect(Identifier.random(1000).count == 1000 && Identifier.random(32) != Identifier.random(32))
    #expect(Identifier.random(0) == [] && Identifier.random(-1) == [])
  }
}

@Suite struct SuspendWatchTests {
  @Test func `only time that the machine slept counts, not what the clocks are read apart`() {
    #expect(SuspendWatch.slept(from: 1_000, to: 1_000) == nil)
    #expect(SuspendWatch.slept(from: 0, to: 99_000_000) == nil)
    #expect(SuspendWatch.slept(from: 5_000_000_000, to: 4_000_000_000) == nil)
    #expect(SuspendWatch.slept(from: 1_000_000_000, to: 3_601_000_000_000) == .seconds(3600))
  }

  @Test(.timeLimit(.minutes(1))) func `the watch ends with the one who listens`() async {
    let listening = Task { for await _ in SuspendWatch.resumes() {} }
    listening.cancel()
    await listening.value
  }
}
