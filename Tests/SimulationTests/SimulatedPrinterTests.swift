import Channels
import Testing

@testable import Simulation

/// IPP messages are written out as bytes (RFC 8010); real clients hold the model against themselves in the host's tests.
@Suite struct SimulatedPrinterTests {
  private var printer = SimulatedPrinter()

  private static func attribute(_ tag: UInt8, _ name: String, _ value: [UInt8]) -> [UInt8] {
    [tag, 0, UInt8(name.utf8.count)] + Array(name.utf8) + [
      UInt8(value.count >> 8), UInt8(value.count & 0xFF),
    ] + value
  }

  private static func message(
    _ operation: UInt8, high: UInt8 = 0, _ attributes: [[UInt8]] = [],
    uri: String = "ipp://localhost/printers/Printer",
    job: [[UInt8]] = [], document: String = ""
  ) -> [UInt8] {
    var bytes: [UInt8] = [1, 1, high, operation, 0, 0, 0, 9, 1]
    bytes += attribute(0x47, "attributes-charset", Array("utf-8".utf8))
    bytes += attribute(0x48, "attributes-natural-language", Array("en".utf8))
    bytes += attribute(0x45, "printer-uri", Array(uri.utf8))
    for attribute in attributes { bytes += attribute }
    if !job.isEmpty { bytes += [2] + job.flatMap { $0 } }
    return bytes + [3] + Array(document.utf8)
  }

  private static func job(_ id: UInt8) -> [UInt8] { attribute(0x21, "job-id", [0, 0, 0, id]) }
  private static let pdf = "%PDF-1.4\n1 0 obj<</Type/Pages/Count 2/Kids[]>>endobj\nstartxref\n9\n%%EOF\n"

  private mutating func post(_ body: [UInt8]) -> SimulatedAnswer {
    printer.respond(HTTPRequest("POST", "/printers/Printer", contentType: "application/ipp", body: body))
  }
  private mutating func code(_ body: [UInt8]) -> UInt16 {
    let body = post(body).response.body
    return body.count >= 8 ? UInt16(body[2]) << 8 | UInt16(body[3]) : 0xFFFF
  }
  private mutating func text(_ body: [UInt8]) -> String {
    String(decoding: post(body).response.body, as: UTF8.self)
  }

  private static func print(_ name: String = "slip", copies: UInt8 = 1, document: String = pdf) -> [UInt8] {
    message(
      2,
      [
        attribute(0x42, "job-name", Array(name.utf8)),
        attribute(0x49, "document-format", Array("application/pdf".utf8)),
      ], job: [attribute(0x21, "copies", [0, 0, 0, copies])], document: document)
  }

  /// The state of a job as the enumeration on the wire.
  private mutating func state(_ id: UInt8) -> UInt8? {
    let body = post(Self.message(9, [Self.job(id)])).response.body
    let pattern: [UInt8] = [0x23, 0, 9] + Array("job-state".utf8) + [0, 4, 0, 0, 0]
    guard let place = body.firstRange(of: pattern) else { return nil }
    return body[place.upperBound]
  }

  @Test mutating func `an answer begins with version, status and the request's number`() {
    let body = post(Self.message(0x0B)).response.body
    #expect(body.starts(with: [1, 1, 0, 0, 0, 0, 0, 9, 1]))
    let text = String(decoding: body, as: UTF8.self)
    for word in ["printer-state", "printer-state-reasons", "none", "SIMULATED Laser A4", "media-supported"] {
      #expect(text.contains(word), "\(word)")
    }
  }

  @Test mutating func `only the attributes asked for come`() {
    let wish = Self.attribute(0x44, "requested-attributes", Array("printer-state".utf8))
    let text = text(Self.message(0x0B, [wish]))
    #expect(text.contains("printer-state"))
    #expect(!text.contains("printer-state-reasons"))
    #expect(!text.contains("media-supported"))
  }

  @Test mutating func `a job in one message is printed and recorded`() {
    let answer = post(Self.print("slip-17", copies: 3))
    let record = answer.actions.records.first { $0.event == "job" }
    #expect(record?["name"] == "slip-17")
    #expect(record?["pages"] == "2")
    #expect(record?["copies"] == "3")
    #expect(record?["impressions"] == "6")
    #expect(state(1) == 9)
  }

  @Test mutating func `a job in two messages waits for its document`() {
    #expect(code(Self.message(5, [Self.attribute(0x42, "job-name", Array("x".utf8))])) == 0)
    #expect(state(1) == 4)
    #expect(text(Self.message(9, [Self.job(1)])).contains("job-incoming"))
    let last = Self.attribute(0x22, "last-document", [1])
    let format = Self.attribute(0x49, "document-format", Array("application/pdf".utf8))
    let sent = post(Self.message(6, [Self.job(1), format, last], document: Self.pdf))
    #expect(sent.actions.records.map(\.event) == ["job"])
    #expect(state(1) == 9)
    #expect(code(Self.message(6, [Self.job(1), format, last], document: Self.pdf)) == 0x0404)
  }

  @Test mutating func `a job whose document does not come is aborted`() {
    let wake = post(Self.message(5)).actions.wakes[0]
    #expect(wake.after == .seconds(900))
    #expect(printer.woke(wake.token).records.map(\.event) == ["job-aborted"])
    #expect(state(1) == 8)
  }

  @Test(arguments: [
    ("paper out", "media-empty-error", "paper full"), ("jam", "media-jam-error", "jam cleared"),
    ("cover open", "cover-open-error", "cover closed"), ("toner empty", "toner-empty-error", "toner full"),
    ("offline", "offline-report", "online"),
  ])
  func `a fault keeps the job in work until it is gone`(fault: String, reason: String, cure: String) throws {
    var printer = SimulatedPrinter()
    try printer.command(fault)
    func ask(_ body: [UInt8]) -> String {
      String(
        decoding: printer.respond(HTTPRequest("POST", "/", contentType: "application/ipp", body: body))
          .response.body,
        as: UTF8.self)
    }
    #expect(ask(Self.message(0x0B)).contains(reason))
    _ = ask(Self.print())
    #expect(printer.queueState == .processing)
    #expect(printer.jobs.map(\.state) == [.processing])
    let done = try printer.command(cure)
    #expect(done.records.map(\.event) == ["job"])
    #expect(!ask(Self.message(0x0B)).contains(reason))
  }

  @Test(arguments: [("paper low", "media-low-warning"), ("toner low", "toner-low-warning")])
  func `a warning does not hold jobs`(fault: String, reason: String) throws {
    var printer = SimulatedPrinter()
    try printer.command(fault)
    #expect(printer.reasons == [reason])
    let answer = printer.respond(
      HTTPRequest("POST", "/", contentType: "application/ipp", body: Self.print()))
    #expect(answer.actions.records.map(\.event) == ["job"])
  }

  @Test mutating func `faults can be hidden while nothing is printed`() throws {
    try printer.command("idle faults hidden")
    try printer.command("paper out")
    #expect(printer.reasons == [])
    _ = post(Self.print())
    #expect(printer.reasons == ["media-empty-error"])
  }

  @Test mutating func `a tray that runs empty in a job stops it at that page`() throws {
    try printer.command("paper out after 1 pages")
    _ = post(Self.print())
    #expect(printer.jobs[0].impressions == 1)
    #expect(try printer.command("paper full").records.map(\.event) == ["job"])
    #expect(printer.jobs[0].impressions == 2)
  }

  @Test mutating func `a stopped queue puts its job back and prints it from the beginning`() throws {
    try printer.command("paper out after 1 pages")
    _ = post(Self.print())
    #expect(try printer.command("stop").records.map(\.event) == ["job-put-back"])
    #expect(printer.queueState == .stopped)
    #expect(printer.reasons.contains("paused"))
    #expect(state(1) == 3)
    try printer.command("paper full")
    let record = try printer.command("start").records[0]
    #expect(record["impressions"] == "3")
    #expect(state(1) == 9)
  }

  @Test mutating func `pages take their time, and a job can be cancelled between them`() {
    var options = SimulatedPrinter.Options()
    options.pageTime = .seconds(2)
    printer = SimulatedPrinter(options)
    let actions = post(Self.print(copies: 2)).actions
    let wake = actions.wakes.last
    #expect(wake?.after == .seconds(2))
    #expect(state(1) == 5)
    let next = printer.woke(wake?.token ?? 0)
    #expect(printer.jobs[0].impressions == 1)
    let answer = post(Self.message(8, [Self.job(1)]))
    #expect(answer.actions.records.map(\.event) == ["job-cancelled"])
    #expect(answer.actions.records[0]["impressions"] == "1")
    #expect(printer.woke(next.wakes[0].token).isEmpty)
    #expect(state(1) == 7)
    #expect(code(Self.message(8, [Self.job(1)])) == 0x0404)
  }

  @Test mutating func `jobs print in their order`() throws {
    try printer.command("stop")
    _ = post(Self.print("first"))
    _ = post(Self.print("second"))
    #expect(try printer.command("start").records.compactMap { $0["name"] } == ["first", "second"])
  }

  @Test mutating func `a damaged document is aborted`() {
    let records = post(Self.print(document: "%PDF-1.4 cut off")).actions.records
    #expect(records.map(\.event) == ["job-aborted"])
    #expect(text(Self.message(9, [Self.job(1)])).contains("document-format-error"))
  }

  @Test mutating func `abort next fails one job`() throws {
    try printer.command("abort next")
    #expect(post(Self.print()).actions.records.map(\.event) == ["job-aborted"])
    #expect(post(Self.print()).actions.records.map(\.event) == ["job"])
  }

  @Test mutating func `a queue that accepts nothing says so`() throws {
    try printer.command("accepting no")
    #expect(code(Self.print()) == 0x0506)
    #expect(code(Self.message(5)) == 0x0506)
    try printer.command("accepting yes")
    #expect(code(Self.print()) == 0)
  }

  @Test mutating func `unknown formats, jobs, queues and operations are refused by their codes`() {
    let format = Self.attribute(0x49, "document-format", Array("image/x-unknown".utf8))
    #expect(code(Self.message(2, [format], document: "x")) == 0x040A)
    #expect(code(Self.message(9, [Self.job(77)])) == 0x0406)
    #expect(code(Self.message(0x0B, uri: "ipp://localhost/printers/Other")) == 0x0406)
    #expect(code(Self.message(0x3A)) == 0x0501)
    #expect(code(Self.message(2)) == 0x0400)
  }

  @Test mutating func `jobs are listed by what is asked for`() throws {
    _ = post(Self.print("done"))
    try printer.command("stop")
    _ = post(Self.print("waiting"))
    let name = Self.attribute(0x44, "requested-attributes", Array("job-name".utf8))
    func which(_ word: String) -> [UInt8] { Self.attribute(0x44, "which-jobs", Array(word.utf8)) }
    let open = text(Self.message(0x0A, [which("not-completed"), name], uri: "ipp://localhost/"))
    #expect(open.contains("waiting") && !open.contains("done"))
    let ended = text(Self.message(0x0A, [which("completed"), name]))
    #expect(ended.contains("done") && !ended.contains("waiting"))
    let all = text(Self.message(0x0A, [which("all"), name]))
    #expect(all.contains("done") && all.contains("waiting") && !all.contains("job-uri"))
    #expect(code(Self.message(0x0A, [which("nonsense")])) == 0x040B)
  }

  @Test mutating func `CUPS' own questions are answered`() {
    #expect(text(Self.message(1, high: 0x40)).contains("printer-name"))
    #expect(text(Self.message(2, high: 0x40)).contains("printer-name"))
  }

  @Test func `what is no IPP is refused by HTTP`() {
    var printer = SimulatedPrinter()
    func status(_ request: HTTPRequest) -> Int { printer.respond(request).response.status }
    #expect(status(HTTPRequest("GET", "/")) == 404)
    #expect(status(HTTPRequest("PUT", "/")) == 405)
    #expect(status(HTTPRequest("POST", "/", contentType: "text/plain")) == 415)
    #expect(status(HTTPRequest("POST", "/", contentType: "application/ipp", body: [1, 1, 0])) == 400)
  }
}
