import LocalAPI
import Testing
import WireJSON

@Suite struct ShapeTests {
  private let shape = Shape.object([
    .required("requestId", .identifier, "Id."), .optional("count", .integer(1...5), "Count."),
    .optional("names", .array(.text(max: 4), max: 2), "Names."),
    .optional("context", .opaque(maxBytes: 16), "Own."),
    .optional("visit", .uuid, "Visit."), .optional("colour", .word(["red", "blue"]), "Colour."),
  ])

  @Test(arguments: [
    (#"{"requestId":"a-1"}"#, [String]()),
    (#"{"requestId":"a-1","count":5,"names":["甲乙丙丁"],"visit":"0190c0de-0000-7000-8000-00000000abcd"}"#, []),
    (#"{}"#, ["requestId: missing"]),
    (#"{"requestId":""}"#, ["requestId: expected 1 to 128 characters out of letters, digits and . _ : -"]),
    (#"{"requestId":"a","count":6}"#, ["count: expected a whole number from 1 to 5"]),
    (#"{"requestId":"a","count":1.5}"#, ["count: expected a whole number from 1 to 5"]),
    (#"{"requestId":"a","names":["x","toolong"]}"#, ["names[1]: expected text of 1 to 4 characters"]),
    (#"{"requestId":"a","names":["x","y","z"]}"#, ["names: expected an array of at most 2"]),
    (#"{"requestId":"a","context":{"k":"0123456789"}}"#, ["context: expected JSON of at most 16 bytes"]),
    (
      #"{"requestId":"a","visit":"0190C0DE-0000-7000-8000-00000000ABCD"}"#,
      ["visit: expected a UUID in lower case"]
    ),
    (#"{"requestId":"a","colour":"green"}"#, ["colour: expected one of red, blue"]),
    (#"[1]"#, ["the body: expected an object"]),
  ])
  func `a body is accepted, or each of its mistakes is named with its place`(text: String, expected: [String])
    throws
  {
    #expect(shape.problems(in: try JSON.parse(Array(text.utf8))) == expected)
  }

  @Test func `an unknown member is named together with those that are known`() throws {
    let found = shape.problems(in: ["requestId": "a", "reqestId": "b"])
    #expect(found == ["reqestId: unknown; known here are requestId, count, names, context, visit, colour"])
  }

  @Test func `control characters never get into names that are printed`() {
    #expect(!Shape.text(max: 10).problems(in: "a\u{1B}[2J").isEmpty)
    #expect(Shape.text(max: 10).problems(in: "a\nb").isEmpty)
  }
}
