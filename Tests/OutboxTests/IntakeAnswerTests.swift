import Crypto
import Outbox
import Testing

@Suite struct IntakeAnswerTests {
  static let page = SHA256.digest(of: [1])
  static let ids: Set = ["a", "b"]

  static let pageAnswers: [(Int, String, IntakeVerdict)] = [
    (201, "", .accepted(rejected: [])),
    (201, "anything", .accepted(rejected: [])),
    (204, "", .accepted(rejected: [])),
    (200, #"{"stored":"\#(page.hex)"}"#, .accepted(rejected: [])),
    (200, " {\"stored\" : \"\(page.hex)\"}\n", .accepted(rejected: [])),
    (200, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"code":500}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"code":0,"msg":"success"}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, "<html>login</html>", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (
      200, #"{"stored":"\#(SHA256.digest(of: [2]).hex)"}"#,
      .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)
    ),
    (200, #"{"stored":"\#(page.hex.uppercased())"}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"stored":true}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"stored":"\#(page.hex)","code":500}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (202, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (206, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (400, "", .mismatch),
    (413, "", .refused(status: 413)), (415, "", .refused(status: 415)), (422, "", .refused(status: 422)),
    (409, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
  ]

  @Test(arguments: pageAnswers)
  func `an answer to a page means what the table says`(status: Int, body: String, verdict: IntakeVerdict) {
    #expect(
      IntakeVerdict.page(IntakeReply(status: status, body: Array(body.utf8)), digest: Self.page, now: 0)
        == verdict)
  }

  static let eventAnswers: [(Int, String, IntakeVerdict)] = [
    (204, "", .accepted(rejected: [])),
    (200, #"{"rejected":[]}"#, .accepted(rejected: [])),
    (
      200, #"{"rejected":[{"id":"b","reason":"no such case"}]}"#,
      .accepted(rejected: [Rejection(id: "b", reason: "no such case")])
    ),
    (200, #"{"rejected":[{"id":"c","reason":"x"}]}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"rejected":[{"id":"a"}]}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"rejected":{"a":"x"}}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"rejected":[],"code":500}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"rejected":[]} x"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, #"{"code":500}"#, .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (200, "[]", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (201, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (202, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
    (409, "", .alreadyThere),
    (400, "", .refused(status: 400)), (413, "", .refused(status: 413)), (422, "", .refused(status: 422)),
    (415, "", .endpoint(.unexpectedAnswer, retryAfterSeconds: nil)),
  ]

  @Test(arguments: eventAnswers)
  func `an answer to events means what the table says`(status: Int, body: String, verdict: IntakeVerdict) {
    #expect(
      IntakeVerdict.events(IntakeReply(status: status, body: Array(body.utf8)), ids: Self.ids, now: 0)
        == verdict)
  }

  @Test(arguments: [
    (429, EndpointTrouble.busy), (503, .busy), (500, .serverError), (502, .serverError), (504, .serverError),
    (507, .serverError), (301, .redirect), (302, .redirect), (307, .redirect), (401, .unauthorised),
    (403, .unauthorised), (404, .notFound), (405, .notFound), (408, .unexpectedAnswer),
    (418, .unexpectedAnswer),
    (100, .unexpectedAnswer), (0, .unexpectedAnswer), (999, .unexpectedAnswer), (-1, .unexpectedAnswer),
  ])
  func `every other status is trouble with the intake`(status: Int, trouble: EndpointTrouble) {
    let reply = IntakeReply(status: status, body: Array(#"{"stored":"\#(Self.page.hex)"}"#.utf8))
    let verdict = IntakeVerdict.endpoint(trouble, retryAfterSeconds: nil)
    #expect(IntakeVerdict.page(reply, digest: Self.page, now: 0) == verdict)
    #expect(IntakeVerdict.events(reply, ids: Self.ids, now: 0) == verdict)
  }

  /// RFC 9110, 5.6.7 has this date: Sun, 06 Nov 1994 08:49:37 GMT is 784 111 777 s.
  @Test(
    arguments: [
      ("120", 120), (" 0 ", 0), ("99999999999999999999", nil), ("18446744073709551615", 3600), ("4000", 3600),
      ("-5", nil), ("1.5", nil), ("soon", nil), ("", nil), ("１２", nil),
      ("Sun, 06 Nov 1994 08:49:37 GMT", 37), ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
      ("Mon, 07 Nov 1994 08:49:37 GMT", 3600), ("Sun, 06 Nov 1994 08:49:37", nil),
      ("Sunday, 06-Nov-94 08:49:37 GMT", nil), ("Sun, 99 Nov 1994 08:49:37 GMT", nil),
      ("Sun, 06 Nov 1994 08:49 GMT", nil),
    ] as [(String, Int?)])
  func `retry-after is read as seconds or as a date`(text: String, seconds: Int?) {
    let reply = IntakeReply(status: 503, retryAfter: text)
    #expect(
      IntakeVerdict.events(reply, ids: [], now: 784_111_740) == .endpoint(.busy, retryAfterSeconds: seconds))
  }
}
