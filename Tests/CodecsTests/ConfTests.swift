import Codecs
import TestKit
import Testing

private func document(_ text: String, limits: ConfLimits = ConfLimits()) throws -> ConfDocument {
  try ConfDocument.read(Array(text.utf8), file: "t.conf", limits: limits)
}

private func problems(_ bytes: [UInt8], limits: ConfLimits = ConfLimits()) -> [ConfError] {
  do {
    _ = try ConfDocument.read(bytes, file: "t.conf", limits: limits)
    return []
  } catch {
    return error.errors
  }
}

private func value(_ raw: String) throws -> ConfValue {
  try #require(try document("[s]\nk = \(raw)\n").section("s")?.entry("k")?.value)
}

private enum Cut: String, CaseIterable { case full, partial, none }

@Suite struct ConfDocumentTests {
  @Test func `sections, keys and values are read with their places`() throws {
    let conf = try document("# top\n\n[window]\nname = 一号窗口  \n  ; note\n  open=yes\n[device counter 3]\n")
    #expect(conf.sections.map(\.title) == ["window", "device counter 3"])
    let window = try #require(conf.section("window"))
    #expect(window.entries.map(\.key) == ["name", "open"])
    #expect(try window.entries[0].value.text() == "一号窗口")
    #expect(window.entries[0].position == ConfPosition(file: "t.conf", line: 4, column: 1))
    #expect(window.entries[0].value.position == ConfPosition(file: "t.conf", line: 4, column: 8))
    #expect(window.entries[1].position.description == "t.conf:6:3")
    #expect(window.entries[1].value.position.column == 8)
    #expect(conf.sections[1].name == "device")
    #expect(conf.sections[1].argument == "counter 3")
  }

  @Test func `byte order mark, CRLF and a last line without end are tolerated`() throws {
    let bytes: [UInt8] = [0xEF, 0xBB, 0xBF] + Array("[s]\r\nk = v\r\nlast = 1".utf8)
    let conf = try ConfDocument.read(bytes, file: "t.conf")
    #expect(try conf.section("s")?.entry("k")?.value.text() == "v")
    #expect(try conf.section("s")?.entry("last")?.value.text() == "1")
    #expect(conf.sections[0].position == ConfPosition(file: "t.conf", line: 1, column: 1))
  }

  @Test(arguments: [
    ("\"a b \"", "a b "), (#""say \"5\" \\ now""#, #"say "5" \ now"#), (#""a\nb\tc""#, "a\nb\tc"),
    (#""\xe8\xaf\x84价""#, "评价"), ("\"\"", ""), ("", ""), ("a = b # c", "a = b # c"),
    ("请按“5”键", "请按“5”键"), ("\u{3000}宽\u{A0}", "宽"),
  ])
  func `quotes and escapes are resolved`(raw: String, text: String) throws {
    #expect(try value(raw).text() == text)
  }

  @Test(arguments: [
    ("[s]\nhello\n", ConfProblem.syntax(.missingEquals), 2, 1),
    ("[s]\n  = 5\n", .syntax(.missingKey), 2, 3),
    ("[s\n", .syntax(.missingBracket), 1, 3),
    ("[s】\n", .syntax(.fullWidth(found: "】", wanted: "]")), 1, 3),
    ("[]\n", .syntax(.missingSectionName), 1, 2),
    ("[ ]\n", .syntax(.missingSectionName), 1, 3),
    ("[s] # c\n", .syntax(.textAfterEnd), 1, 5),
    ("[s \"a\" b]\n", .syntax(.textAfterEnd), 1, 8),
    ("[s \"a]\n", .syntax(.unterminatedQuote), 1, 4),
    ("[s]\nk = \"abc\n", .syntax(.unterminatedQuote), 2, 5),
    ("[s]\nk = \"abc\\\n", .syntax(.unterminatedQuote), 2, 5),
    ("[s]\nk = \"a\"b\n", .syntax(.textAfterEnd), 2, 8),
    ("[s]\nk = \"a\\q\"\n", .syntax(.badEscape), 2, 7),
    ("[s]\nk = \"\\x4\"\n", .syntax(.badEscape), 2, 6),
    ("[s]\nk = a\u{7}b\n", .syntax(.controlCharacter(7)), 2, 6),
    ("[s]\nk = a\rb\n", .syntax(.controlCharacter(13)), 2, 6),
    ("[s]\n键 ＝ 5\n", .syntax(.fullWidth(found: "＝", wanted: "=")), 2, 3),
    ("[s]\n键：5\n", .syntax(.fullWidth(found: "：", wanted: "=")), 2, 2),
    ("[s]\nk = “5”\n", .syntax(.fullWidth(found: "“", wanted: "\"")), 2, 5),
  ])
  func `an unreadable line is refused with its place`(
    text: String, problem: ConfProblem, line: Int, column: Int
  ) {
    let found = problems(Array(text.utf8))
    #expect(
      found == [ConfError(problem, at: ConfPosition(file: "t.conf", line: line, column: column))])
  }

  @Test func `every unreadable line of a file is listed`() {
    let found = problems(Array("[a\n[b]\nx\nk = 1\ny\n".utf8))
    #expect(found.map(\.line) == [1, 3, 5])
  }

  @Test func `text saved as GBK is refused at its first wrong byte`() {
    // 窗口 in GBK.
    let found = problems(Array("[s]\nk = a".utf8) + [0xB4, 0xB0, 0xBF, 0xDA] + Array("\nj = 1\n".utf8))
    #expect(found.map(\.problem) == [.notUTF8])
    #expect(found.first?.position == ConfPosition(file: "t.conf", line: 2, column: 6))
    #expect(found.first?.text(chinese: true).contains("UTF-8") == true)
  }

  @Test(
    arguments: [
      [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE8, 0xAF], [0x80],
    ] as [[UInt8]])
  func `overlong, surrogate, too large and cut sequences are not UTF-8`(bytes: [UInt8]) {
    #expect(problems(bytes).map(\.problem) == [.notUTF8])
  }

  @Test func `limits on file, line and number of mistakes hold`() {
    let limits = ConfLimits(fileBytes: 40, lineBytes: 10, errors: 3)
    #expect(
      problems(Array(repeating: 0x20, count: 41), limits: limits).map(\.problem)
        == [.fileTooLarge(limit: 40)])
    #expect(
      problems(Array("[s]\nk = 4567890\n".utf8), limits: limits).map(\.problem)
        == [.lineTooLong(limit: 10)])
    let many = problems(Array("a\nb\nc\nd\ne\n".utf8), limits: limits)
    #expect(many.count == 4)
    #expect(many.last?.problem == .tooManyErrors(limit: 3))
  }

  @Test func `any bytes end in a document or in mistakes`() {
    var random = SeededRandom(seed: 1)
    let pieces: [[UInt8]] = [
      Array("[s]\n".utf8), Array("k = ".utf8), Array("\"".utf8), Array("\\x".utf8), [0x0A], [0x0D],
      Array("，".utf8), Array(", ".utf8), [0xEF, 0xBB, 0xBF], [0xFF], Array("]".utf8), Array("#".utf8),
    ]
    for _ in 0..<5000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 0..<24, using: &random) {
        if Bool.random(using: &random) {
          bytes += pieces.randomElement(using: &random) ?? []
        } else {
          bytes.append(UInt8.random(in: 0...255, using: &random))
        }
      }
      guard let conf = try? ConfDocument.read(bytes, file: "t.conf") else { continue }
      for entry in conf.sections.flatMap(\.entries) {
        _ = try? entry.value.text()
        _ = try? ConfType.hexBytes().read(entry.value)
        _ = try? ConfType.duration().list().read(entry.value)
      }
    }
  }
}

@Suite struct ConfTypeTests {
  @Test(arguments: [
    ("250 ms", Duration.milliseconds(250)), ("250ms", .milliseconds(250)), ("30 s", .seconds(30)),
    ("1.5 s", .milliseconds(1500)), ("5 min", .seconds(300)), ("2 h", .seconds(7200)),
    ("1 d", .seconds(86_400)), ("0 s", .zero), ("20 us", .microseconds(20)), ("\"3 s\"", .seconds(3)),
  ])
  func `a duration needs a number and a unit`(raw: String, duration: Duration) throws {
    #expect(try ConfType.duration().read(value(raw)) == duration)
  }

  @Test(arguments: [
    "30", "s", "5 m", "-1 s", "1 S", "1.", "1. s", ".5 s", "1..5 s", "1e3 s", "9999999999999 d",
    "99999999999999999999 s", "0.0000000001 s", "5 s x", "５ s", "367 d",
  ])
  func `what is no duration is refused`(raw: String) throws {
    let value = try value(raw)
    #expect(throws: ConfError.self) { try ConfType.duration().read(value) }
  }

  @Test(arguments: [
    ("64 MiB", 64 << 20), ("300 kB", 300_000), ("300 KB", 300_000), ("1.5 GiB", 3 << 29), ("12 B", 12),
    ("1KiB", 1024), ("2 TB", 2_000_000_000_000), ("0 B", 0),
  ])
  func `a size needs a number and a unit`(raw: String, bytes: Int) throws {
    #expect(try ConfType.size().read(value(raw)) == bytes)
  }

  @Test(arguments: ["64", "64 mib", "1.5 B", "1 PB", "9000000 TiB", "-1 B"])
  func `what is no size is refused`(raw: String) throws {
    let value = try value(raw)
    #expect(throws: ConfError.self) { try ConfType.size().read(value) }
  }

  @Test func `whole numbers are held to their range, in decimal or hexadecimal`() throws {
    let type = ConfType.integer(in: -5...70_000)
    #expect(try type.read(value("-5")) == -5)
    #expect(try type.read(value("0x0416")) == 0x416)
    for wrong in ["-6", "70001", "1 2", "0x", "0x-1", "0xZZ", "", "５", "99999999999999999999"] {
      let value = try value(wrong)
      #expect(throws: ConfError.self) { try type.read(value) }
    }
  }

  @Test func `yes and no have three spellings each`() throws {
    for word in ["yes", "true", "on", "Yes"] { #expect(try ConfType.boolean.read(value(word))) }
    for word in ["no", "false", "off"] { #expect(try !ConfType.boolean.read(value(word))) }
    #expect(throws: ConfError.self) { try ConfType.boolean.read(value("1")) }
  }

  @Test func `a word outside the table is answered with the nearest one`() throws {
    let type: ConfType<Cut> = .word
    #expect(try type.read(value("partial")) == .partial)
    let wrong = try value("partail")
    let error = #expect(throws: ConfError.self) { try type.read(wrong) }
    #expect(
      error?.description
        == "t.conf:2:5: 'partail' is not right; expected one of full, partial, none; did you mean 'partial'?")
    #expect(
      error?.text(chinese: true) == "t.conf:2:5: 值“partail”不正确，应为以下之一：full、partial、none；是否应为“partial”？")
  }

  @Test(arguments: ["1B 40 ff", "1b40FF", "0x1B, 0x40, 0xFF", "1B:40:FF", "1B-40-FF", "\"1B 40 FF\""])
  func `hexadecimal bytes are taken in the usual spellings`(raw: String) throws {
    #expect(try ConfType.hexBytes().read(value(raw)) == [0x1B, 0x40, 0xFF])
  }

  @Test(arguments: ["1B 4", "XX", "1B 40 FF 00", "", "0x", "１B"])
  func `what is no hexadecimal, or of another length, is refused`(raw: String) throws {
    let value = try value(raw)
    #expect(throws: ConfError.self) { try ConfType.hexBytes(count: 1...3).read(value) }
  }

  @Test func `bytes may be written as text`() throws {
    #expect(try ConfType.byteText().read(value(#""\x1B@\xFF票""#)) == [0x1B, 0x40, 0xFF, 0xE7, 0xA5, 0xA8])
    #expect(throws: ConfError.self) { try ConfType.text().read(value(#""\xFF""#)) }
  }

  @Test func `a list is split by commas, or by spaces if there are none`() throws {
    let words = ConfType.text().list()
    #expect(try words.read(value("a, b,c")) == ["a", "b", "c"])
    #expect(try words.read(value("a  b\tc")) == ["a", "b", "c"])
    #expect(try words.read(value(#""a, b", "c d" , e,"#)) == ["a, b", "c d", "e"])
    #expect(try words.read(value(#""a b" c"#)) == ["a b", "c"])
    #expect(try words.read(value("")) == [])
    #expect(try ConfType.duration().list().read(value("250 ms, 1 s")) == [.milliseconds(250), .seconds(1)])
  }

  @Test func `a wrong element of a list is shown at its own place`() throws {
    let type = ConfType.integer(in: 1...5).list(count: 1...3)
    let wrong = try value("1, 9, 3")
    #expect(#expect(throws: ConfError.self) { try type.read(wrong) }?.column == 8)
    let empty = try value("1,,3")
    #expect(
      #expect(throws: ConfError.self) { try type.read(empty) }?.problem == .syntax(.emptyElement))
    let chinese = try value("1，2")
    #expect(
      #expect(throws: ConfError.self) { try type.read(chinese) }?.problem
        == .syntax(.fullWidth(found: "，", wanted: ",")))
    let four = try value("1 2 3 4")
    #expect(throws: ConfError.self) { try type.read(four) }
  }

  @Test func `a path is absolute`() throws {
    #expect(try ConfType.path.read(value("/run/hall-agent/agent.sock")) == "/run/hall-agent/agent.sock")
    for wrong in ["run/x", "", "~/x", #""/a\x00b""#] {
      let value = try value(wrong)
      #expect(throws: ConfError.self) { try ConfType.path.read(value) }
    }
  }

  @Test func `a comment behind a value is pointed out`() throws {
    let wrong = try value("5 # five")
    let error = #expect(throws: ConfError.self) { try ConfType.integer(in: 0...9).read(wrong) }
    #expect(error?.description.hasSuffix("a comment needs a line of its own") == true)
  }

  @Test func `text keeps to its length`() throws {
    let short = ConfType.text(longest: 3)
    #expect(try short.read(value("窗口一")) == "窗口一")
    for wrong in ["窗口一号", "", "\"\""] {
      let value = try value(wrong)
      #expect(throws: ConfError.self) { try short.read(value) }
    }
    #expect(try ConfType.text(emptyAllowed: true).read(value("\"\"")) == "")
    #expect(throws: ConfError.self) { try short.read(value("\"a\" b")) }
  }
}

@Suite struct ConfSchemaTests {
  private let window = ConfKey("window", .integer(in: 1...99), required: true)
  private let timeout = ConfKey(
    "timeout", .duration(in: .seconds(1) ... .seconds(300)), default: .seconds(30))
  private let match = ConfKey("match", .text(), repeatable: true)
  private let note = ConfKey("note", .text())

  private var schema: ConfSchema {
    let timeout = timeout
    return ConfSchema([
      ConfSchema.Section(
        "hall", required: true, keys: [window, timeout],
        rules: { section in
          guard (try? section.value(timeout)) == .seconds(13) else { return [] }
          let rule = ConfExpected(english: "no thirteen", chinese: "不能是十三")
          return [ConfError(.contradiction(rule), at: section.position)]
        }),
      ConfSchema.Section("device", argument: .required, keys: [match, note]),
      ConfSchema.Section(
        "timeline", repeatable: true, keys: [],
        otherEntry: { entry in
          entry.key.hasPrefix("at ")
            ? nil : ConfError(.unknownKey(entry.key, nearest: nil, belongsTo: nil), at: entry.position)
        }),
    ])
  }

  private func mistakes(_ text: String) -> [String] {
    do {
      _ = try schema.read(Array(text.utf8), file: "hall-agent.conf")
      return []
    } catch {
      return error.errors.map(\.description)
    }
  }

  @Test func `a right file yields typed values and defaults`() throws {
    let text =
      "[hall]\nwindow = 12\n[device a]\nmatch = x\nmatch = y\n[device b]\n[timeline]\nat 3 s = paper out\n"
    let conf = try schema.read(Array(text.utf8), file: "hall-agent.conf")
    let hall = try #require(conf.section("hall"))
    #expect(try hall.value(window) == 12)
    #expect(try hall.value(timeout) == .seconds(30))
    let devices = conf.sections("device")
    #expect(devices.map(\.argument) == ["a", "b"])
    #expect(try devices[0].values(match) == ["x", "y"])
    #expect(try devices[0].optional(note) == nil)
    #expect(throws: ConfError.self) { try devices[0].value(note) }
  }

  @Test func `all mistakes of a file are named at once, in the order of its lines`() {
    let text = """
      stray = 1
      [hall]
      windw = 5
      window = 120
      timeout = 30
      timeout = 5 s
      match = x
      [hall]
      window = 1
      [devices x]
      any = 1
      [device]
      [device a]
      nonsense
      [device a]
      [timeline x]
      later = 1
      """
    #expect(
      mistakes(text) == [
        "hall-agent.conf:1:1: key 'stray' stands before the first [section]",
        "hall-agent.conf:3:1: unknown key 'windw'; did you mean 'window'?",
        "hall-agent.conf:4:10: '120' is not right; expected a whole number from 1 to 99",
        "hall-agent.conf:5:11: '30' is not right; expected a time from 1 s to 5 min, "
          + "as 250 ms, 30 s, 5 min, 2 h or 1 d",
        "hall-agent.conf:6:1: key 'timeout' was already given in line 5",
        "hall-agent.conf:7:1: unknown key 'match'; it belongs to section [device]",
        "hall-agent.conf:8:1: section [hall] was already given in line 2",
        "hall-agent.conf:10:1: unknown section [devices x]; did you mean [device]?",
        "hall-agent.conf:12:1: section [device] needs a name: write [device NAME]",
        "hall-agent.conf:14:1: expected 'key = value' or '[section]'",
        "hall-agent.conf:15:1: section [device a] was already given in line 13",
        "hall-agent.conf:16:1: section [timeline] takes no name",
        "hall-agent.conf:17:1: unknown key 'later'",
      ])
  }

  @Test func `what is missing is named`() {
    #expect(mistakes("") == ["hall-agent.conf:1:1: section [hall] is missing"])
    #expect(mistakes("\n[hall]\n") == ["hall-agent.conf:2:1: section [hall] lacks the key 'window'"])
  }

  @Test func `rules between values are checked when the values are right`() {
    #expect(mistakes("[hall]\nwindow = 1\ntimeout = 13 s\n") == ["hall-agent.conf:1:1: no thirteen"])
  }

  @Test func `the list of mistakes is bounded`() throws {
    let text = "[hall]\nwindow = 1\n" + String(repeating: "x = 1\n", count: 300)
    let errors = #expect(throws: ConfErrors.self) {
      try schema.read(Array(text.utf8), file: "hall-agent.conf")
    }
    #expect(errors?.errors.count == 101)
    #expect(errors?.errors.last?.problem == .tooManyErrors(limit: 100))
    #expect(errors?.text(chinese: true).split(separator: "\n").count == 101)
  }
}
