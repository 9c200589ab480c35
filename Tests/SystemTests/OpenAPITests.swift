import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// The document that the agent serves is valid, and what it answers is what the document says.
@Suite(
  .timeLimit(.minutes(5)),
  .enabled("needs the Python packages openapi-spec-validator and jsonschema") {
    // In the continuous integration they have to be there (.ci/setup).
    if Environment["CI"] == "true" { return true }
    guard Programs.path(of: "python3") != nil else { return false }
    let result = try await RunningProgram.run("python3", ["-c", "import jsonschema, openapi_spec_validator"])
    return result.status == .exited(0)
  })
struct OpenAPITests {
  @Test func `the document is OpenAPI and every answer is of its schema, as other programs read them`()
    async throws
  {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    let page = CitizenPage(port: try CitizenPage.freePort())
    try position.write(
      try SimulatedDevices.all.map { try devices.section($0) }.joined(),
      """
      [simulation]
      hall = builtin
      [device screen]
      kind = citizen-screen
      port = screen:1
      [screens]
      port = \(page.port)
      """)
    try await position.start()
    try await position.ready("idcard", "dispenser", "scanner", "evaluator", "printer")
    try await visit(position, devices, page)

    let document = try await position.call(.openAPI)
    let path = files.path("openapi.json")
    try Files.replaceDurable(path, bytes: try JSON.encode(document), mode: 0o600)
    var lines: [UInt8] = []
    for answer in position.answers.value where answer.route != .openAPI {
      lines += try JSON.encode(
        [
          "operation": .string(answer.route.rawValue), "status": .integer(Int64(answer.status)),
          "answer": answer.body,
        ] as JSONValue)
      lines.append(10)
    }
    let observed = files.path("answers.jsonl")
    try Files.replaceDurable(observed, bytes: lines, mode: 0o600)
    let result = try await RunningProgram.run(
      "python3", [Repository.root + "/Tests/Fixtures/check_openapi.py", path, observed])
    #expect(result.status == .exited(0), "\(result.output)\n\(result.errors)")

    // Every route that answers with JSON was asked, save those that need somebody's trouble first.
    let needsTrouble: Set<Route> = [
      .showOutboxItem, .retryOutboxItem, .discardOutboxItem, .exportOutboxItem, .resolveRequest,
    ]
    let asked = Set(position.answers.value.filter { $0.status < 300 }.map(\.route))
    for route in Route.allCases where route.specification.answer != nil && !needsTrouble.contains(route) {
      #expect(asked.contains(route), "\(route.rawValue) was not asked")
    }
  }

  /// Something of everything.
  private func visit(_ position: Position, _ devices: SimulatedDevices, _ page: CitizenPage) async throws {
    func refused(_ route: Route, _ parameters: [String: String] = [:], body: JSONValue? = nil) async {
      await #expect(throws: AgentCallError.self) { try await position.call(route, parameters, body: body) }
    }
    let opened = try await position.call(
      .openVisit,
      body: [
        "requestId": "v-1", "window": "07", "staffNumber": "S1", "applicantKind": "person",
        "agentHandling": false,
        "ticket": ["number": "A001"],
      ])
    let visit = opened["visit"]?.string ?? ""
    try await position.call(
      .changeVisit, ["visit": visit],
      body: ["cases": [["case": "C-1", "itemName": "居住证", "relation": "new"]]])
    try await position.call(.showVisit, ["visit": visit])
    try await position.call(.issueTicket, ["role": "dispenser"], body: ["requestId": "t-1", "service": "A"])
    try await position.call(
      .showCall, ["role": "evaluator"], body: ["requestId": "call-1", "number": "A001"])
    try await devices.apply("card present citizen", to: "idcard")
    try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "c-1"])
    await refused(.readCard, ["role": "idcard"], body: ["requestId": "c-1"])
    let scanned = try await position.call(
      .scan, ["role": "scanner"],
      body: ["requestId": "s-1", "name": "申请表", "form": "original", "maximumPages": 2])
    let material = scanned["material"]?["material"]?.string ?? ""
    try await position.call(.showMaterial, ["material": material])
    try await position.call(.listMaterials)
    try await position.call(.changeMaterial, ["material": material], body: ["name": "申请表（二）"])
    try await position.call(
      .withdrawPage, ["material": material, "page": scanned["scanned"]?[0]?.string ?? ""],
      query: [("reason", "blurred")])
    try await position.call(.submitMaterial, ["material": material], body: [:])
    await refused(.scan, ["role": "scanner"], body: ["requestId": "s-2", "material": .string(material)])
    try await devices.apply("feeder empty; load 2 pages; jam at page 2", to: "scanner")
    let jammed = try await position.call(.scan, ["role": "scanner"], body: ["requestId": "s-3"])
    #expect(jammed["outcome"] == "interrupted")
    let feed = try await position.events()
    async let rating = position.call(
      .askRating, ["role": "evaluator"], body: ["requestId": "r-1", "serviceNumber": 1, "case": "C-1"])
    try await feed.wait("prompt") { $0["step"] == "rating" }
    try await devices.apply("press 5", to: "evaluator")
    #expect(try await rating["outcome"] == "rated")
    await refused(
      .askRating, ["role": "evaluator"], body: ["requestId": "r-2", "serviceNumber": 1, "case": "C-1"])
    async let cancelled = position.call(
      .askRating, ["role": "evaluator"], body: ["requestId": "r-3", "serviceNumber": 2])
    try await feed.wait("prompt") { $0["requestId"] == "r-3" && $0["step"] == "rating" }
    try await position.call(.cancelRequest, ["requestId": "r-3"])
    #expect(try await cancelled["outcome"] == "cancelled")
    try await screen(position, page)
    _ = try await position.print(smallestPDF, role: "printer", request: "p-1")
    try await devices.apply("paper out", to: "dispenser")
    await refused(.issueTicket, ["role": "dispenser"], body: ["requestId": "t-2", "service": "A"])
    await refused(
      .issueTicket, ["role": "dispenser"], body: ["requestId": "t-3", "service": "A", "unknown": 1])
    try await position.call(.showDevice, ["role": "dispenser"])
    try await position.call(.explainDevice, ["role": "dispenser"])
    try await position.call(.listPlugged)
    try await position.call(.forgetUnit, ["role": "dispenser"])
    try await position.call(.checkHealth, ["role": "idcard"], body: ["level": "internal"])
    try await position.call(.changeDevice, ["role": "printer"], body: ["admin": "locked"])
    try await position.call(.listRequests)
    try await position.call(.showRequest, ["requestId": "t-1"])
    await refused(.showRequest, ["requestId": "nobody"])
    try await position.call(.status)
    try await position.call(.outboxStatus)
    try await position.call(.listOutbox)
    try await position.call(.listSimulated)
    try await position.call(.simulate, ["role": "dispenser"], body: ["command": "paper low"])
    try await position.call(
      .playTimeline, body: ["timeline": "[timeline]\nseed = 1\n[at 1 s]\ndispenser = paper full\n"])
    await refused(.simulate, ["role": "dispenser"], body: ["command": "papr low"])
    await refused(.simulate, ["role": "nobody"], body: ["command": "paper low"])
    try await position.call(.reload, body: [:])
    try await position.call(.listVisits)
    try await position.call(.closeVisit, ["visit": visit], query: [("outcome", "completed")])
    await refused(.showDevice, ["role": "nobody"])
  }

  /// A citizen's screen is let in, and something of everything is done on it.
  private func screen(_ position: Position, _ page: CitizenPage) async throws {
    let pairing = try await page.own("POST", "/pairings").json
    try await position.call(.pairScreen, body: ["code": pairing["code"] ?? .null])
    let paired = try await page.own("GET", "/pairings/\(pairing["pairing"]?.string ?? "")").json
    let token = try #require(paired["token"]?.string)
    let views = try await page.watch(token)
    try await position.ready("screen")
    try await position.call(.listScreens)
    async let checked = position.call(
      .showScreen, ["role": "screen"],
      body: ["requestId": "f-1", "content": "fields", "fields": [["label": "姓名", "value": "张三"]]])
    try await page.act(["type": "confirm", "accepted": true], at: views.view("confirm"), token: token)
    #expect(try await checked["outcome"] == "confirmed")
    async let read = position.show(document: smallestPDF, role: "screen", request: "d-1")
    try await page.act(["type": "confirm", "accepted": true], at: views.view("document"), token: token)
    #expect(try await read["pages"] == 1)
    async let signed = position.call(.collectSignature, ["role": "screen"], body: ["requestId": "g-1"])
    let png = try Files.read(Repository.root + "/Tests/Fixtures/signature.png", limit: 1 << 20)
    try await page.act(
      ["type": "signature", "png": .string(Base64.encode(png)), "strokes": [[[0, 0, 0, 500]]]],
      at: views.view("signature"), token: token)
    #expect(try await signed["outcome"] == "signed")
    async let rated = position.call(
      .askRating, ["role": "screen"], body: ["requestId": "r-4", "serviceNumber": 3])
    try await page.act(["type": "press", "level": 5], at: views.view("rating"), token: token)
    let chosen = await views.seen.wait { $0.views.last?["level"] == 5 }?.views.last
    try await page.act(
      ["type": "reasons", "codes": ["510"], "comment": ""], at: chosen ?? .null, token: token)
    #expect(try await rated["outcome"] == "rated")
    #expect(try await position.call(.verifyRatings)["intact"] == true)
    try await position.call(.makeScreenAddress, ["screen": "1"], body: [:])
    try await position.call(.revokeScreen, ["screen": "1"])
  }
}
