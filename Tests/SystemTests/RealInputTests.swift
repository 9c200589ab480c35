import Crypto
import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// A scanner of SANE, a printer of CUPS, keys on a serial line, and an intake of somebody else's that is ill half of the
/// time.
@Suite(
  .timeLimit(.minutes(5)),
  .enabled(
    if: PrivateSANE.isExpected && PrivateCUPS.isExpected && PythonIntake.isExpected,
    "needs scanimage, cupsd and python3"))
struct RealInputTests {
  /// What one counter does, and what the agent has acknowledged of it.
  private struct Counter: Sendable {
    let position: Position
    let devices: SimulatedDevices
    let pages = Observed<[String]>([])
    let blobs = Observed<[String]>([])
    let levels = Observed<[Int]>([])

    /// Scans five sheets, in a resolution of their own, so that their images differ from all others.
    func scan(_ number: Int) async throws {
      let answer = try await position.call(
        .scan, ["role": "scanner"],
        body: [
          "requestId": .string("scan-\(number)"), "resolution": .integer(Int64(75 + number)),
          "maximumPages": 5,
          "colour": number % 2 == 0 ? "grey" : "colour", "name": .string("材料 \(number)"),
        ], timeout: .seconds(300))
      #expect(answer["outcome"] == "complete" && answer["scanned"]?.array?.count == 5)
      let stored = answer["material"]?["pages"]?.array ?? []
      pages.update { $0 += stored.compactMap { $0["page"]?.string } }
      blobs.update { $0 += stored.compactMap { $0["blob"]?.string } }
    }

    /// Asks for a rating, and presses when the device asks.
    func rate(_ number: Int) async throws {
      let level = 2 + number % 4
      async let answer = position.call(
        .askRating, ["role": "evaluator"],
        body: [
          "requestId": .string("rating-\(number)"), "serviceNumber": .integer(Int64(number)),
          "timeoutSeconds": 280,
        ],
        timeout: .seconds(300))
      let asked = number
      _ = try await Attempts.until("the evaluator asks") {
        try devices.records(of: "evaluator", "prompt").count >= asked ? true : nil
      }
      try await devices.apply("press \(level)", to: "evaluator")
      let rated = try await answer
      let device = try devices.records(of: "evaluator")
      #expect(rated["outcome"] == "rated", "\(number): \(rated); \(device)")
      levels.update { $0.append(level) }
    }

    /// So many scans of five pages and ratings, both at once.
    func work(scans: ClosedRange<Int>, ratings: ClosedRange<Int>) async throws {
      async let scanned: Void = {
        for number in scans { try await scan(number) }
      }()
      for number in ratings { try await rate(number) }
      try await scanned
    }
  }

  @Test func `pages and ratings arrive whole, once and in order, whatever becomes of the intake`()
    async throws
  {
    let files = try TemporaryDirectory()
    let sane = try PrivateSANE()
    let cups = try await PrivateCUPS(queues: ["Receipt"])
    let intake = PythonIntake(in: files)
    try await intake.start()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files, environment: ["SANE_CONFIG_DIR": sane.directory])
    try position.write(
      """
      [device scanner]
      kind = scanner
      port = sane:\(PrivateSANE.device)
      profile = sane-test
      [device printer]
      kind = printer
      port = cups:Receipt@\(cups.socket)
      profile = cups-generic
      """,
      try devices.section("evaluator"))
    try await position.start()
    try await position.ready("scanner", "printer", "evaluator")
    _ = try await position.call(.openVisit, body: ["requestId": "visit-1", "window": "07"])
    let counter = Counter(position: position, devices: devices)

    // The intake is busy for a while.
    try intake.misbehave("503 1")
    try await counter.work(scans: 1...2, ratings: 1...4)
    try await intake.running.line(containing: " 503", count: 2)
    try intake.misbehave(nil)

    // It is killed while it receives.
    let before = try intake.running.count(" 204")
    async let second: Void = counter.work(scans: 3...4, ratings: 5...8)
    try await intake.running.line(containing: " 204", count: before + 1)
    try await intake.kill()
    try await second
    try await intake.start()

    // It says that it has an error in words that a careless client takes for success.
    try intake.misbehave("code500")
    try await counter.work(scans: 5...6, ratings: 9...12)
    try await intake.running.line(containing: " 200", count: 2)
    try intake.misbehave(nil)

    // It loses its answers, and is killed again while the counter works.
    try intake.misbehave("lose-answers")
    async let fourth: Void = counter.work(scans: 7...10, ratings: 13...20)
    try await intake.running.line(containing: " lost", count: 1)
    try await intake.kill()
    try intake.misbehave(nil)
    try await intake.start()
    try await fourth

    let printed = try await position.print(smallestPDF, role: "printer", request: "print-1")
    #expect(printed["printed"] == "yes")
    _ = try await position.call(
      .closeVisit, ["visit": try await position.call(.listVisits)["visits"]?[0]?["visit"]?.string ?? ""])
    let status = try await position.delivered()
    #expect(status["quarantined"] == 0 && status["intake"] == "reachable", "\(status)")

    let (violations, gaps) = (try intake.violations(), try intake.gaps())
    #expect(violations == [])
    #expect(gaps == [])
    let pages = try intake.events("material.page").compactMap { $0["data"] }
    #expect(pages.count == 50)
    #expect(pages.compactMap { $0["page"]?.string } == counter.pages.value, "in the order they were scanned")
    #expect(pages.compactMap { $0["blob"]?.string } == counter.blobs.value)
    for digest in Set(counter.blobs.value) {
      #expect(SHA256.digest(of: try intake.blob(digest)).hex == digest)
    }
    #expect(Set(counter.blobs.value).count == 10, "each resolution gives a picture of its own")
    #expect(pages.allSatisfy { $0["mediaType"] == "image/jpeg" && $0["device"]?["role"] == "scanner" })

    let told = try intake.events("rating").compactMap { $0["data"] }
    #expect(told.compactMap { $0["chain"]?["number"]?.integer } == Array(1...Int64(told.count)))
    // On a slow machine a press may be told a second time, as what it is; and this citizen may be faster than any person.
    let ratings = told.filter { $0["level"] != .null }
    #expect(told.allSatisfy { $0["level"] != .null || $0["flags"] != nil })
    #expect(ratings.allSatisfy { $0["flags"] == nil || $0["flags"] == ["tooFast"] })
    #expect(ratings.compactMap { $0["level"]?.integer } == counter.levels.value.map(Int64.init))
    #expect(ratings.count == 20 && ratings.allSatisfy { $0["outcome"] == "rated" })
    #expect(ratings.compactMap { $0["requestId"]?.string } == (1...20).map { "rating-\($0)" })
    // The device was told of each press: its lamp went out.
    #expect(try devices.records(of: "evaluator", "acknowledged").count == 20)

    let job = try #require(cups.printedJobs.first)
    #expect(cups.printedJobs == [job] && cups.document(ofJob: job) == smallestPDF)
    #expect(try intake.events("print").map { $0["data"]?["outcome"] } == ["yes"])
    #expect(try await position.stop() == .exited(0))
  }
}
