import CitizenBrowser
import Crypto
import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// The citizen's screen in a browser that others wrote, from the citizen's finger to the intake.
@Suite(
  .timeLimit(.minutes(10)), .serialized, .enabled(if: BrowserHall.isExpected, "chromium is not installed"))
struct CitizenScreenTests {
  @Test func `each level is rated with its reasons and a comment, and the counter does not learn which`()
    async throws
  {
    let hall = try await BrowserHall.start()
    let feed = try await hall.position.events()
    let chosen: [Int: [String]] = [5: ["510", "517"], 4: ["406"], 3: [], 2: ["212", "207"], 1: ["112"]]
    for level in [5, 4, 3, 2, 1] {
      async let rated = hall.call(
        .askRating, "r-\(level)", ["serviceNumber": .integer(Int64(level)), "serviceName": "居住证签注"])
      try await hall.page.touch("[data-level=\"\(level)\"]")
      try await hall.page.wait(until: "document.querySelectorAll('[data-code]').length === 8")
      // 差评 has to say why; nothing else has to say anything.
      #expect(try await hall.page.evaluate("document.querySelector('#submit').disabled").bool == (level < 3))
      for code in chosen[level] ?? [] { try await hall.page.touch("[data-code=\"\(code)\"]") }
      if level != 3 {
        try await hall.page.touch("#comment")
        try await hall.page.type("第 \(level) 条意见")
      }
      try await hall.page.touch("#submit")
      let answer = try await rated
      #expect(answer["outcome"] == "rated" && answer["level"] == nil)
    }
    try await hall.seen("thanks")
    let ratings = try await hall.ratings()
    #expect(ratings.map { $0["level"]?.integer } == [5, 4, 3, 2, 1])
    for (rating, level) in zip(ratings, [5, 4, 3, 2, 1]) {
      let reasons = rating["reasons"]?.array?.compactMap(\.string) ?? []
      #expect(Set(reasons) == Set(chosen[level] ?? []) && rating["reasonSet"]?.string == "national-2020")
      #expect(rating["comment"]?.string == (level == 3 ? nil : "第 \(level) 条意见"))
      #expect(
        rating["confirmed"] == true && rating["channel"] == "screen"
          && rating["requestId"]?.string == "r-\(level)")
    }
    let told = feed.events.value.map { "\($0.data)" }.joined()
    #expect(!told.contains("level") && !told.contains("reasons"))
    try await hall.end()
  }

  @Test func `a document is agreed to and signed, and the signature is bound to it`() async throws {
    let hall = try await BrowserHall.start()
    async let read = hall.position.show(document: smallestPDF, role: "screen", request: "d-1")
    try await hall.page.touch("#accept")
    let digest = SHA256.digest(of: smallestPDF).hex
    let agreed = try await read
    #expect(agreed["outcome"] == "confirmed" && agreed["document"]?.string == digest && agreed["pages"] == 1)
    async let signed = hall.call(.collectSignature, "s-1")
    try await hall.seen("signature")
    #expect(try await hall.page.evaluate("document.querySelector('#sign').disabled") == true)
    try await hall.page.draw([(0.2, 0.3), (0.3, 0.5), (0.4, 0.3), (0.5, 0.6)], on: "#pad")
    try await hall.page.touch("#clear")
    #expect(try await hall.page.evaluate("document.querySelector('#sign').disabled") == true)
    try await hall.page.draw([(0.2, 0.3), (0.3, 0.7), (0.4, 0.3), (0.5, 0.7), (0.6, 0.3)], on: "#pad")
    try await hall.page.draw([(0.7, 0.3), (0.7, 0.5), (0.75, 0.7), (0.8, 0.6)], on: "#pad")
    // Another language does not take the signature away.
    try await hall.page.touch("#language")
    try await hall.page.touch("#sign")
    #expect(try await signed["outcome"] == "signed")
    try await hall.position.delivered()
    let event = try #require(try hall.intake.events("signature").first?["data"])
    #expect(event["document"]?.string == digest)
    let picture = try hall.intake.blob(event["blob"]?.string ?? "")
    #expect(picture.starts(with: [0x89, 0x50, 0x4E, 0x47]) && picture.count > 500)
    let strokes = try JSON.parse(try hall.intake.blob(event["strokes"]?.string ?? "")).array ?? []
    #expect(strokes.count == 2)
    let points = strokes.first?.array ?? []
    let first = (points.first?.array ?? []).compactMap(\.integer)
    try #require(first.count == 4)
    // 20 % and 30 % of the pad, in ten-thousandths.
    #expect(abs(first[0] - 2000) < 100 && abs(first[1] - 3000) < 200)
    try await hall.end()
  }

  @Test func `fields are confirmed, or not`() async throws {
    let hall = try await BrowserHall.start()
    let body: JSONValue = ["content": "fields", "fields": [["label": "姓名", "value": "<b>张三</b>"]]]
    async let right = hall.call(.showScreen, "f-1", body)
    try await hall.page.wait(until: "document.querySelector('dd')?.textContent === '<b>张三</b>'")
    try await hall.page.touch("#view button.first")
    #expect(try await right["outcome"] == "confirmed")
    async let wrong = hall.call(.showScreen, "f-2", body)
    try await hall.page.touch("#view button:not(.first)")
    #expect(try await wrong["outcome"] == "declined")
    try await hall.end()
  }

  @Test func `no answer is a time-out, more time is more time, and a level that was pressed stands`()
    async throws
  {
    let hall = try await BrowserHall.start()
    let nobody = try await hall.call(.askRating, "r-1", ["serviceNumber": 1, "timeoutSeconds": 1])
    #expect(nobody["outcome"] == "timeout")
    async let declined = hall.call(.askRating, "r-2", ["serviceNumber": 2])
    try await hall.page.touch("#decline")
    #expect(try await declined["outcome"] == "declined")
    // Time enough for a press also on a busy machine; after it this has to pass.
    async let left = hall.call(.askRating, "r-3", ["serviceNumber": 3, "timeoutSeconds": 20])
    try await hall.page.touch("[data-level=\"4\"]")
    #expect(try await left["outcome"] == "rated")
    async let patient = hall.call(.askRating, "r-4", ["serviceNumber": 4, "timeoutSeconds": 30])
    // The page counts the last 30 s down, second by second.
    try await hall.page.wait(
      until: "shown.kind === 'rating' && (window.firstEnd = endsAt) - performance.now() < 28500")
    try await hall.page.touch("#more")
    try await hall.page.wait(until: "endsAt > window.firstEnd + 1000")
    try await hall.page.touch("[data-level=\"5\"]")
    try await hall.page.touch("#submit")
    #expect(try await patient["outcome"] == "rated")
    let ratings = try await hall.ratings()
    #expect(ratings.map { $0["outcome"]?.string } == ["timeout", "declined", "rated", "rated"])
    #expect(ratings.map { $0["level"]?.integer } == [nil, nil, 4, 5])
    #expect(ratings.map { $0["confirmed"]?.bool } == [nil, nil, false, true])
    try await hall.end()
  }

  @Test func `a level can be changed for a moment, and what was begun outlives another language`()
    async throws
  {
    let hall = try await BrowserHall.start("correction = 10 s\nask-at-closing = no")
    async let rated = hall.call(.askRating, "r-1", ["serviceNumber": 1])
    try await hall.page.touch("[data-level=\"4\"]")
    try await hall.page.touch("#change")
    try await hall.page.touch("[data-level=\"5\"]")
    for code in ["511", "513"] { try await hall.page.touch("[data-code=\"\(code)\"]") }
    try await hall.page.touch("#comment")
    try await hall.page.type("很好")
    try await hall.page.touch("#language")
    try await hall.page.touch("#large")
    try await hall.page.wait(
      until: "document.documentElement.lang === 'en' && document.querySelector('#comment').value === '很好'")
    #expect(
      try await hall.page.evaluate("[...document.querySelectorAll('[data-code][aria-pressed=true]')].length")
        == 2)
    try await hall.page.touch("#submit")
    _ = try await rated
    let rating = try #require(try await hall.ratings().first)
    #expect(rating["level"] == 5 && rating["comment"] == "很好")
    #expect(Set(rating["reasons"]?.array?.compactMap(\.string) ?? []) == ["511", "513"])
    // The next citizen begins in Chinese and in the usual size.
    _ = try await hall.position.call(.openVisit, body: ["requestId": "v-2"])
    async let next = hall.call(.askRating, "r-2", ["serviceNumber": 1])
    try await hall.page.wait(until: "document.querySelectorAll('[data-level]').length === 5")
    #expect(try await hall.page.evaluate("document.documentElement.lang") == "zh-CN")
    #expect(try await hall.page.evaluate("document.documentElement.classList.contains('large')") == false)
    try await hall.page.touch("#decline")
    _ = try await next
    try await hall.end()
  }

  @Test(arguments: [false, true])
  func `a question that is open when the agent is killed is open again, with what was pressed`(pressed: Bool)
    async throws
  {
    let hall = try await BrowserHall.start()
    let asking = Task { try? await hall.call(.askRating, "r-1", ["serviceNumber": 1]) }
    try await hall.page.wait(until: "document.querySelectorAll('[data-level]').length === 5")
    if pressed {
      try await hall.page.touch("[data-level=\"2\"]")
      try await hall.page.wait(until: "document.querySelector('[data-code]')")
    }
    try await hall.position.kill()
    _ = await asking.value
    try await hall.seen("joining")
    try await hall.position.start()
    if !pressed { try await hall.page.touch("[data-level=\"2\"]") }
    try await hall.page.touch("[data-code=\"214\"]")
    try await hall.page.touch("#submit")
    try await hall.seen("thanks")
    let again = try await hall.call(.askRating, "r-1", ["serviceNumber": 1])
    #expect(again["outcome"] == "rated")
    let ratings = try await hall.ratings()
    #expect(ratings.count == 1)
    #expect(
      ratings.first?["level"] == 2 && ratings.first?["reasons"] == ["214"]
        && ratings.first?["confirmed"] == true)
    #expect(try await hall.position.call(.verifyRatings)["intact"] == true)
    try await hall.end()
  }

  @Test func `a page that is loaded anew, and one that is opened beside it, show the question too`()
    async throws
  {
    let hall = try await BrowserHall.start()
    async let rated = hall.call(.askRating, "r-1", ["serviceNumber": 1])
    try await hall.page.wait(until: "document.querySelectorAll('[data-level]').length === 5")
    try await hall.page.reload()
    try await hall.page.touch("[data-level=\"5\"]")
    let second = try await hall.browser.open("http://127.0.0.1:\(hall.port)/")
    try await second.touch("[data-code=\"510\"]")
    try await second.touch("#submit")
    #expect(try await rated["outcome"] == "rated")
    try await hall.seen("thanks")
    #expect(try await hall.ratings().count == 1)
    try await hall.end()
  }

  @Test
  func `another page has a window of its own, is told as shown or closed, and reads nothing of this one`()
    async throws
  {
    let hall = try await BrowserHall.start()
    let site = try CitizenPage.freePort()
    try Files.replaceDurable(
      hall.files.path("index.html"),
      bytes: Array(
        "<title>province</title><script>try { document.title = opener.document.title + opener.localStorage.token } catch (error) { document.title = error.name }</script>"
          .utf8),
      mode: 0o644)
    let server = try RunningProgram(
      "python3",
      ["-u", "-m", "http.server", "\(site)", "--bind", "127.0.0.1", "--directory", hall.files.path])
    try await server.line(containing: "Serving HTTP")
    let url = "http://127.0.0.1:\(site)/index.html"
    let body: JSONValue = [
      "content": "url", "url": .string(url), "rating": true, "timeoutSeconds": 20, "serviceNumber": 1,
    ]
    #expect(try await hall.call(.showScreen, "u-1", body)["outcome"] == "shown")
    // Its time is over, and so is it.
    try await hall.browser.wait { !$0.windows.values.contains(url) }
    var longer = body
    longer["timeoutSeconds"] = 600
    longer["serviceNumber"] = 2
    async let closed = hall.call(.showScreen, "u-2", longer)
    try await hall.browser.wait { $0.windows.values.contains(url) }
    let window = try #require(await hall.browser.windows.first { $0.value == url }?.key)
    let other = try await hall.browser.attach(window)
    try await other.wait(until: "document.title === 'SecurityError' && document.referrer === ''")
    _ = try await hall.browser.call("Target.closeTarget", ["targetId": .string(window)])
    #expect(try await closed["outcome"] == "closed")
    let ratings = try await hall.ratings()
    #expect(ratings.map { $0["outcome"]?.string } == ["urlShown", "urlClosed"])
    #expect(ratings.allSatisfy { $0["level"] == .null && $0["channel"] == "url" })
    try await server.end(Signals.terminate)
    try await hall.end(besides: ["http://127.0.0.1:\(site)/"])
  }

  @Test func `it is used by the keyboard alone, and said to a screen reader`() async throws {
    let hall = try await BrowserHall.start()
    async let rated = hall.call(.askRating, "r-1", ["serviceNumber": 1])
    try await hall.page.wait(until: "document.querySelectorAll('[data-level]').length === 5")
    #expect(try await hall.page.evaluate("document.querySelector('#said').textContent") == "请您评价本次服务")
    #expect(try await hall.page.evaluate("document.querySelector('#said').getAttribute('role')") == "status")
    // The focus is at the view; the second key of the tabulator stands on the second level.
    try await hall.page.press("Tab")
    try await hall.page.press("Tab")
    #expect(try await hall.page.evaluate("document.activeElement.dataset.level") == "4")
    #expect(try await hall.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid")
    try await hall.page.press("Enter")
    try await hall.page.wait(until: "document.querySelector('[data-code]')")
    for _ in 0..<30 {
      if try await hall.page.evaluate("document.activeElement.id") == "submit" { break }
      try await hall.page.press("Tab")
    }
    try await hall.page.press("Enter")
    #expect(try await rated["outcome"] == "rated")
    #expect(try await hall.ratings().first?["level"] == 4)
    try await hall.end()
  }

  @Test func `suspending and closing a visit leave nothing of it on the screen`() async throws {
    let hall = try await BrowserHall.start()
    let visit = try await hall.position.call(.openVisit, body: ["requestId": "v-1"])["visit"]?.string ?? ""
    async let fields = hall.call(
      .showScreen, "f-1", ["content": "fields", "fields": [["label": "姓名", "value": "张三"]]])
    try await hall.page.wait(until: "document.body.innerText.includes('张三')")
    _ = try await hall.position.call(.changeVisit, ["visit": visit], body: ["state": "suspended"])
    #expect(try await fields["outcome"] == "cancelled")
    try await hall.seen("idle")
    #expect(try await hall.page.evaluate("document.documentElement.outerHTML.includes('张三')") == false)
    // A citizen who is let in between sees nothing of the one before.
    _ = try await hall.position.call(.changeVisit, ["visit": visit], body: ["state": "active"])
    async let rating = hall.call(.askRating, "r-1", ["serviceNumber": 1])
    try await hall.seen("rating")
    _ = try await hall.position.call(.openVisit, body: ["requestId": "v-2"])
    #expect(try await rating["outcome"] == "cancelled")
    try await hall.seen("idle")
    try await hall.end()
  }

  @Test func `a citizen whom nobody asked is asked when the visit closes`() async throws {
    let hall = try await BrowserHall.start("correction = 0 s")
    let visit = try await hall.position.call(.openVisit, body: ["requestId": "v-1"])["visit"]?.string ?? ""
    async let closed = hall.position.call(.closeVisit, ["visit": visit], timeout: .seconds(700))
    try await hall.page.touch("[data-level=\"5\"]")
    try await hall.page.touch("#submit")
    #expect(try await closed["ratingAsked"] == true)
    let second = try await hall.position.call(.openVisit, body: ["requestId": "v-2"])["visit"]?.string ?? ""
    let quick = try await hall.position.call(
      .closeVisit, ["visit": second], query: [("askRating", "false")])
    #expect(quick["ratingAsked"] == false)
    #expect(try await hall.ratings().map { $0["level"]?.integer } == [5])
    let ends = try hall.intake.events("visit").compactMap { $0["data"] }.filter { $0["state"] == "closed" }
    #expect(ends.map { $0["ratingAsked"] } == [true, false])
    try await hall.end()
  }
}
