import CitizenBrowser
import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// A position with a citizen's screen in Debian's Chromium, and an intake.
struct BrowserHall {
  let files: TemporaryDirectory
  let intake: PythonIntake
  let position: Position
  let port: UInt16
  let browser: Browser
  let page: BrowserPage

  static let isExpected = Environment["CI"] == "true" || Browser.isInstalled

  /// Starts them; the screen is let in by its launch address, as the packaged unit does it.
  static func start(_ ratings: String = "correction = 3 s\nask-at-closing = no") async throws -> BrowserHall {
    let files = try TemporaryDirectory()
    let intake = PythonIntake(in: files)
    try await intake.start()
    let position = Position(in: files)
    let port = try CitizenPage.freePort()
    try position.write(
      """
      [ratings]
      \(ratings)
      [screens]
      port = \(port)
      [device screen]
      kind = citizen-screen
      port = screen:1
      """, forward: ", signature")
    try await position.start()
    let browser = try await Browser.start(in: files.path, patience: .seconds(240))
    let address = try await position.call(.makeScreenAddress, ["screen": "1"], body: [:])["url"]?.string ?? ""
    let page = try await browser.open(address)
    let hall = BrowserHall(
      files: files, intake: intake, position: position, port: port, browser: browser, page: page)
    try await hall.seen("idle")
    try await position.ready("screen")
    return hall
  }

  func seen(_ view: String) async throws { try await page.seen(view) }

  /// Asks the citizen something; for ten minutes unless it says how long, as the machine may be busy.
  @discardableResult
  func call(_ route: Route, _ id: String, _ members: JSONValue = [:]) async throws -> JSONValue {
    var body = members
    body["requestId"] = .string(id)
    body["timeoutSeconds"] = members["timeoutSeconds"] ?? 600
    return try await position.call(route, ["role": "screen"], body: body, timeout: .seconds(700))
  }

  /// The data of the ratings that the intake has, once everything is delivered.
  func ratings() async throws -> [JSONValue] {
    try await position.delivered()
    return try intake.events("rating").compactMap { $0["data"] }
  }

  /// Ends it, and holds what every test has to hold: the page complained of nothing and asked nobody but the agent.
  func end(besides: [String] = []) async throws {
    let here = ["http://127.0.0.1:\(port)/", "blob:http://127.0.0.1:\(port)/", "data:", "about:"] + besides
    let requested = await browser.requested.map(\.url)
    #expect(requested.count > 3)
    #expect(requested.filter { url in !here.contains { url.hasPrefix($0) } } == [])
    // While the agent is away its addresses cannot be loaded, which the browser itself says.
    let complaints = await browser.complaints.filter {
      !$0.contains("Failed to load resource: net::ERR") && (besides.isEmpty || !$0.contains("404"))
    }
    #expect(complaints == [])
    #expect(try intake.violations() == [])
    await browser.stop()
  }
}
