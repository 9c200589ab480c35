import Testing
import WireJSON

@Suite struct JSONTests {
  @Test func `members are sorted and slashes stay slashes`() throws {
    let value: JSONValue = ["b": 1, "a": "/halls/1", "c": [true, .null, 2.5]]
    #expect(
      String(decoding: try JSON.encode(value), as: UTF8.self)
        == #"{"a":"/halls/1","b":1,"c":[true,null,2.5]}"#)
  }

  @Test(arguments: [
    "null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.5", "\"\"",
    "\"满意 \\u0000 \\\" \\\\ \"", "[]", "{}", "[1,[2,{\"a\":[]}]]", "{\"\":{\"a\":null}}",
  ])
  func `what is written reads back as it was`(text: String) throws {
    let value = try JSON.parse(Array(text.utf8))
    #expect(try JSON.parse(JSON.encode(value)) == value)
  }

  @Test func `whole numbers stay exact to 64 bits`() throws {
    #expect(try JSON.parse(Array("9007199254740993".utf8)) == .integer(9_007_199_254_740_993))
    #expect(try JSON.parse(Array("9223372036854775808".utf8)) == .number(9_223_372_036_854_775_808))
    #expect(try JSON.parse(Array("true".utf8)) == .bool(true))
    #expect(try JSON.parse(Array("1".utf8)) == .integer(1))
  }

  @Test(arguments: [
    "", " ", "{", "}", "[1,]", "{\"a\":}", "{a:1}", "'a'", "nul", "01", "1.", ".5", "+1", "\"a", "[1] x",
    "NaN",
    "\"\u{1}\"", "\"\\x\"", "{\"a\":1,}", "// c\n1",
  ])
  func `what is not JSON is a syntax error`(text: String) {
    let error = #expect(throws: JSONError.self) { try JSON.parse(Array(text.utf8)) }
    #expect(error?.kind == .syntax)
  }

  @Test(arguments: [
    [0xFF], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE6, 0xBB, 0x22],
  ])
  func `text that is not UTF-8 is refused`(bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try JSON.parse(bytes) }
  }

  @Test func `a syntax error says in which line and column`() {
    let error = #expect(throws: JSONError.self) { try JSON.parse(Array("{\n \"满\": 1,\n}".utf8)) }
    #expect(error?.sentence == "Not valid JSON: a string is expected at line 3, column 1.")
    let other = #expect(throws: JSONError.self) { try JSON.parse(Array("[\"满意\" 1]".utf8)) }
    #expect(other?.sentence.hasSuffix("line 1, column 7.") == true)
  }

  @Test func `nesting to the limit is read and beyond it refused`() throws {
    func nested(_ depth: Int) -> [UInt8] {
      Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
    }
    _ = try JSON.parse(nested(JSON.depthLimit))
    for depth in [JSON.depthLimit + 1, 100_000] {
      let error = #expect(throws: JSONError.self) { try JSON.parse(nested(depth)) }
      #expect(error?.kind == .tooDeep)
    }
    // Brackets inside a string do not nest anything.
    let text = "\"" + String(repeating: "[", count: 1000) + "\\\"[\""
    #expect(try JSON.parse(Array(text.utf8)).string?.count == 1002)
  }

  @Test func `a member's name to the limit is read and a longer one refused`() throws {
    func named(_ count: Int) -> [UInt8] { Array("{\"\(String(repeating: "n", count: count))\": 1}".utf8) }
    #expect(try JSON.parse(named(JSON.nameLimit)).object?.count == 1)
    // A name of a megabyte of combining marks would be sorted for half an hour.
    let marks = "{\"e" + String(repeating: "\u{301}\u{323}", count: 250_000) + "\": 1}"
    for text in [named(JSON.nameLimit + 1), Array(marks.utf8)] {
      let error = #expect(throws: JSONError.self) { try JSON.parse(text) }
      #expect(error?.kind == .invalid)
    }
  }

  struct Case: Codable, Equatable {
    enum Relation: String, Codable { case new, supplement }
    var number: String
    var relation: Relation
  }
  struct Visit: Codable, Equatable {
    var cases: [Case]
    var context: JSONValue?
  }

  @Test func `an error says where and what`() throws {
    func error(_ text: String) -> JSONError? {
      #expect(throws: JSONError.self) { try JSON.decode(Visit.self, from: Array(text.utf8)) }
    }
    let missing = error(#"{"cases":[{"number":"1","relation":"new"},{"relation":"new"}]}"#)
    #expect(missing?.kind == .memberMissing)
    #expect(missing?.path == "cases[1]")
    #expect(missing?.sentence.contains("number") == true)
    let wrong = error(#"{"cases":[{"number":1,"relation":"new"}]}"#)
    #expect(wrong?.kind == .wrongKind)
    #expect(wrong?.path == "cases[0].number")
    let invalid = error(#"{"cases":[{"number":"1","relation":"old"}]}"#)
    #expect(invalid?.kind == .invalid)
    #expect(invalid?.path == "cases[0].relation")
    #expect(error("{")?.kind == .syntax)
    #expect(error("[]")?.kind == .wrongKind)
    #expect("\(try #require(wrong))".hasPrefix("cases[0].number: "))
  }

  @Test func `a caller's own JSON passes through a typed message untouched`() throws {
    let text = #"{"cases":[],"context":{"a":[1,2.5,null,"x"],"b":{"c":true}}}"#
    let visit = try JSON.decode(Visit.self, from: Array(text.utf8))
    #expect(visit.context?["a"]?[1] == 2.5)
    #expect(String(decoding: try JSON.encode(visit), as: UTF8.self) == text)
  }

  @Test func `a value is written with the bytes that the system's encoder gives for it`() throws {
    let characters = (0...0x2F).map { UInt8($0) } + [0x5B, 0x5C, 0x5D, 0x7E, 0x7F]
    let value: JSONValue = [
      "": .null, "a": true, "B": false, "é": .integer(.min), "居住证": .integer(.max), "😀": 0,
      "\u{1}key\"\\/": .string(String(decoding: characters, as: UTF8.self) + "居住证申领 é \u{2028} 😀"),
      "numbers": [
        1.5, -0.0, 0.1, 1e21, 1e-7, 123456789.0, .number(.leastNonzeroMagnitude), 1.7976931348623157e308,
        100000000000000000000.0,
      ],
      "aa": [[], [:], ["x": [1, [2]]]], "a/": "1/2", "a b": "",
    ]
    // In an array of values the system's encoder does it all.
    let theirs = try JSON.encode([value])
    #expect(
      String(decoding: try JSON.encode(value), as: UTF8.self)
        == String(decoding: theirs.dropFirst().dropLast(), as: UTF8.self))
  }

  @Test(arguments: [
    "0", "-0", "1", "-12", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "1.5", "-0.25", "1e21", "1E-7", "1.7976931348623157e308", "5e-324",
    "123456789012345678901234567890", "0.1", "true", "false", "null", #""""#, #""a\u0000b""#,
    #""\"\\\/\b\f\n\r\t""#, #""\u00e9\u5c45\ud83d\ude00\uFFFF""#, "\"居住证 é e\u{301} 😀 \u{2028}\"",
    #""before\nbetween\tafter""#, "[]", "[ ]", "{}", "{ }", "[1, 2 ,[3]]", #"{"a":{"b":[null]},"":"x"}"#,
    #"{"a":1,"a":2}"#, #"{"\u0061":1}"#, " \t\r\n[ 1 , { \"a\" : true } ] \n",
  ])
  func `a text reads as the value that the system's decoder gives for it`(text: String) throws {
    let value = try JSON.parse(Array(text.utf8))
    // In an array of values the system's decoder does it all.
    #expect(try JSON.decode([JSONValue].self, from: Array("[\(text)]".utf8)) == [value])
  }

  @Test(arguments: [
    #""\ud800""#, #""\ud800x""#, #""\ud800\n""#, #""\ud83d\u0041""#, #""\ude00""#, #""\u12""#, #""\u12G4""#,
    "1e400",
    "-1e400",
  ])
  func `what stands for no character or no number is refused`(text: String) {
    #expect(throws: JSONError.self) { try JSON.parse(Array(text.utf8)) }
    #expect(throws: JSONError.self) { try JSON.decode([JSONValue].self, from: Array("[\(text)]".utf8)) }
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity])
  func `a number that is not finite cannot be written`(number: Double) {
    let error = #expect(throws: JSONError.self) { try JSON.encode(JSONValue.number(number)) }
    #expect(error?.kind == .notEncodable)
  }
}

@Suite struct JSONValueTests {
  @Test func `members and elements are reached and changed`() {
    var value: JSONValue = ["a": [1, "b"]]
    #expect(value["a"]?[0]?.integer == 1)
    #expect(value["a"]?[2] == nil)
    #expect(value["a"]?[-1] == nil)
    #expect(value["x"] == nil)
    #expect(value[0] == nil)
    value["x"] = true
    value["a"] = nil
    #expect(value == ["x": true])
  }

  @Test func `an accessor gives its own kind and nothing else`() {
    #expect(JSONValue.integer(5).number == 5)
    #expect(JSONValue.number(5).integer == 5)
    #expect(JSONValue.number(5.5).integer == nil)
    #expect(JSONValue.number(1e300).integer == nil)
    #expect(JSONValue.string("5").integer == nil)
    #expect(JSONValue.integer(1).bool == nil)
    #expect(JSONValue.null.string == nil)
    #expect(JSONValue.null.isNull)
    #expect(JSONValue(nil as String?) == .null)
  }
}

@Suite struct Base64Tests {
  /// RFC 4648 section 10.
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"),
  ])
  func `the examples of the RFC come out both ways`(plain: String, text: String) {
    #expect(Base64.encode(Array(plain.utf8)) == text)
    #expect(Base64.decode(text) == Array(plain.utf8))
  }

  @Test(arguments: ["Zg", "Zg=", "Zm9v!", "Zm9v\n", "Zm-_"])
  func `anything but padded standard base64 is refused`(text: String) {
    #expect(Base64.decode(text) == nil)
  }
}
