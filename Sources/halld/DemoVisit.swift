import Codecs
import Console
import HTTPClient
import LocalAPI
import Posix
import WireJSON

/// Why the visit could not be played to its end.
struct DemoFailure: Error {
  let sentence: String
}

/// One citizen's visit, played through the agent's API as a counter application would, while `simulate` plays the
/// citizen's hands.
struct DemoVisit: Sendable {
  let client: AgentClient
  let watcher: AgentClient
  let language: Language
  /// Does something to a simulated device.
  let simulate: @Sendable (_ device: String, _ command: String) async throws(DemoFailure) -> Void
  /// The last ticket that the simulated dispenser cut, drawn in terminal cells.
  let drawnTicket: @Sendable () async -> [String]
  /// Shows a finished step.
  let say: @Sendable (_ line: String) -> Void

  /// What the visit produced, by event type (`page` for images): counted from the agent's answers to the counter.
  private(set) var produced: [String: Int] = [:]
  /// Digests of the images that were scanned.
  private(set) var images: Set<String> = []
  private var step = 0

  init(
    client: AgentClient, watcher: AgentClient, language: Language,
    simulate: @escaping @Sendable (String, String) async throws(DemoFailure) -> Void,
    drawnTicket: @escaping @Sendable () async -> [String], say: @escaping @Sendable (String) -> Void
  ) {
    self.client = client
    self.watcher = watcher
    self.language = language
    self.simulate = simulate
    self.drawnTicket = drawnTicket
    self.say = say
  }

  /// Plays the whole visit.
  mutating func play() async throws(DemoFailure) {
    let number = try await takeTicket()
    let visit = try await openVisit(number)
    try await readCard()
    let (material, images) = try await scan(visit)
    try await giveCaseNumber(visit)
    try await submit(material, pages: images)
    try await printReceipt(number)
    try await rate(visit)
    _ = try await call(.closeVisit, ["visit": visit])
    count("visit")
    done("办理结束", "the visit is closed")
  }

  // MARK: Steps

  private mutating func takeTicket() async throws(DemoFailure) -> String {
    let ticket = try await call(
      .issueTicket, ["role": "dispenser"],
      body: ["requestId": "demo-ticket", "service": "A", "waitingAhead": 3])
    count("ticket")
    let number = ticket["number"]?.string ?? ""
    done(
      "取号：\(number)，已打印：\(ticket["printed"]?.string ?? "")",
      "ticket \(number), printed: \(ticket["printed"]?.string ?? "")")
    for line in await drawnTicket() { say("      " + line) }
    return number
  }

  private mutating func openVisit(_ number: String) async throws(DemoFailure) -> String {
    let visit = try await call(
      .openVisit,
      body: [
        "requestId": "demo-visit", "window": "07", "staffNumber": "S0137", "applicantKind": "person",
        "ticket": ["number": .string(number)],
      ])
    count("visit")
    _ = try await call(
      .showCall, ["role": "evaluator"],
      body: ["requestId": "demo-call", "number": .string(String(number.suffix(3))), "waiting": 2])
    done("叫号：请 \(number) 号到 07 窗口，办理开始", "number \(number) is called to window 07; the visit is open")
    return visit["visit"]?.string ?? ""
  }

  private mutating func readCard() async throws(DemoFailure) {
    try await simulate("idcard", "card present citizen")
    let card = try await call(
      .readCard, ["role": "idcard"], body: ["requestId": "demo-card", "timeoutSeconds": 20],
      timeout: .seconds(60))
    try await simulate("idcard", "card remove")
    let fields = card["fields"]
    let name = Array(fields?["name"]?.string ?? "")
    let number = Sensitive(fields?["idNumber"]?["value"]?.string ?? "").masked
    let masked = String(name.prefix(1)) + String(repeating: "*", count: max(0, name.count - 1))
    let check = fields?["idNumber"]?["checkDigit"]?.string ?? ""
    done(
      "读身份证：\(masked)，\(number)（校验位\(check == "valid" ? "正确" : "错误")）",
      "ID card: \(masked), \(number) (check digit \(check))")
  }

  private mutating func scan(_ visit: String) async throws(DemoFailure) -> (material: String, pages: Int) {
    try await simulate("scanner", "feeder empty; load 3 pages")
    let first = try await call(
      .scan, ["role": "scanner"],
      body: ["requestId": "demo-scan-1", "name": "申请表", "catalogItem": "SAMPLE-001", "form": "original"],
      timeout: .seconds(120))
    let pages = first["scanned"]?.array?.compactMap(\.string) ?? []
    let material = first["material"]?["material"]?.string ?? ""
    for _ in pages { count("material.page") }
    note(first)
    done("扫描：\(pages.count) 页，\(size(first))", "scanned \(pages.count) pages, \(size(first))")
    guard pages.count == 3 else {
      throw fail("扫描到的页数不对", "the scanner delivered \(pages.count) pages, 3 were loaded")
    }
    _ = try await call(
      .withdrawPage, ["material": material, "page": pages[1]], query: [("reason", "blurred")])
    count("material.page.withdrawn")
    try await simulate("scanner", "load 1 pages")
    let again = try await call(
      .scan, ["role": "scanner"],
      body: ["requestId": "demo-scan-2", "material": .string(material), "replaces": .string(pages[1])],
      timeout: .seconds(120))
    for _ in again["scanned"]?.array ?? [] { count("material.page") }
    note(again)
    done("第 2 页模糊：已撤回并重扫", "page 2 is blurred: withdrawn and scanned again")
    return (material, again["material"]?["pages"]?.array?.count ?? 0)
  }

  private mutating func giveCaseNumber(_ visit: String) async throws(DemoFailure) {
    _ = try await call(
      .changeVisit, ["visit": visit],
      body: ["cases": [["case": "SAMPLE-2026-000123", "itemName": "居住证申领", "relation": "new"]]])
    count("visit")
    done("受理：办件编号 SAMPLE-2026-000123", "accepted: case number SAMPLE-2026-000123")
  }

  private mutating func submit(_ material: String, pages: Int) async throws(DemoFailure) {
    _ = try await call(.submitMaterial, ["material": material], body: [:])
    count("material.completed")
    done("材料提交：\(pages) 页", "the material is complete: \(pages) pages")
  }

  private mutating func printReceipt(_ number: String) async throws(DemoFailure) {
    let receipt = PDFDocument(
      title: "受理回执",
      blocks: [
        .text("示范市政务服务中心", size: 18, alignment: .centre), .text("受 理 回 执", size: 22, alignment: .centre),
        .rule,
        .text("办件编号：SAMPLE-2026-000123"), .text("排队号码：\(number)"), .text("事项名称：居住证申领（样例 SAMPLE）"),
        .space(12), .text("请凭此回执查询办理进度。"),
      ])
    let answer: JSONValue
    do {
      answer = try JSON.parse(
        try await client.raw(
          .print, ["role": "printer"], query: [("requestId", "demo-print"), ("title", "受理回执")],
          body: receipt.bytes,
          contentType: "application/pdf", timeout: .seconds(120)))
    } catch let error as AgentCallError {
      throw refused(error)
    } catch {
      throw fail("打印机的应答无法读取", "the answer cannot be read: \(error)")
    }
    count("print")
    let printed = answer["printed"]?.string ?? ""
    done("打印回执：已打印：\(printed)", "the receipt is printed: \(printed)")
  }

  private mutating func rate(_ visit: String) async throws(DemoFailure) {
    let press = simulate
    // The citizen presses when the evaluator asks, which the agent's event stream tells: it is there before the question
    // is, on a connection of its own, as a stream keeps its client to itself.
    let events: ClientStream
    do throws(AgentCallError) {
      events = try await watcher.events()
    } catch {
      throw refused(error)
    }
    let citizen = Task {
      var text = ""
      do {
        for try await piece in events.pieces {
          text += String(decoding: piece, as: UTF8.self)
          if text.contains("\"step\":\"rating\"") { break }
        }
        try await press("evaluator", "press 5")
      } catch { return }
    }
    defer { citizen.cancel() }
    let answer = try await call(
      .askRating, ["role": "evaluator"],
      body: [
        "requestId": "demo-rating", "serviceNumber": 1, "serviceName": "居住证申领", "phase": "accepting",
        "timeoutSeconds": 30,
      ], timeout: .seconds(60))
    count("rating")
    let outcome = answer["outcome"]?.string ?? ""
    done(
      "评价：群众已按键（窗口只知“\(outcome == "rated" ? "已评价" : "未评价")”）",
      "rating: \(outcome) (the counter is told no more)")
    guard outcome == "rated" else { throw fail("评价未完成：\(outcome)", "the rating ended as \(outcome)") }
  }

  // MARK: Telling

  private mutating func note(_ scan: JSONValue) {
    images.formUnion((scan["material"]?["pages"]?.array ?? []).compactMap { $0["blob"]?.string })
  }

  private mutating func count(_ type: String) { produced[type, default: 0] += 1 }

  private mutating func done(_ chinese: String, _ english: String) {
    step += 1
    say("  \(step < 10 ? " " : "")\(step)  \(language.choose(chinese, english))")
  }

  private func fail(_ chinese: String, _ english: String) -> DemoFailure {
    DemoFailure(sentence: language.choose(chinese, english))
  }

  private func size(_ scan: JSONValue) -> String {
    let bytes = (scan["material"]?["pages"]?.array ?? []).reduce(0) { $0 + ($1["bytes"]?.integer ?? 0) }
    let first = scan["material"]?["pages"]?[0]
    return "\(first?["width"]?.integer ?? 0)×\(first?["height"]?.integer ?? 0), \(bytes / 1024) KiB"
  }

  // MARK: Calling

  private func call(
    _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [],
    body: JSONValue? = nil,
    timeout: Duration = .seconds(30)
  ) async throws(DemoFailure) -> JSONValue {
    do throws(AgentCallError) {
      return try await client.call(route, parameters, query: query, body: body, timeout: timeout)
    } catch {
      throw refused(error)
    }
  }

  private func refused(_ error: AgentCallError) -> DemoFailure {
    switch error {
    case .problem(_, let problem):
      DemoFailure(
        sentence:
          "\(problem["title"]?.string ?? "") [\(problem["code"]?.string ?? "")] \(problem["detail"]?.string ?? "")"
      )
    case .unreachable(let why): fail("无法连接服务：\(why)", "the agent cannot be reached: \(why)")
    case .garbled(let what): fail("应答无法读取：\(what)", "the answer cannot be read: \(what)")
    }
  }
}
