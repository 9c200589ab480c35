import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What a raw search of the whole state directory finds of citizens' data.
@Suite(.timeLimit(.minutes(5)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct SealingTests {
  /// What a visit of these tests has in it that nobody may find. Each is unlike anything else.
  private static let secrets = ["CASE-4711-SECRET", "STAFF-0815-SECRET", "户口簿首页-SECRET", "CONTEXT-SECRET"]

  private func visit(_ hall: Hall, _ number: Int) async throws {
    let opened = try await hall.counter.persist(
      .openVisit,
      body: [
        "requestId": .string("sealed-\(number)"), "cases": [["case": "CASE-4711-SECRET"]],
        "staffNumber": "STAFF-0815-SECRET",
      ]
    ).get()
    let visit = try #require(opened["visit"]?.string)
    try await hall.devices.apply("feeder empty; load 2 pages", to: "scanner")
    _ = try await hall.counter.persist(
      .scan, ["role": "scanner"],
      body: [
        "requestId": .string("sealed-scan-\(number)"), "name": "户口簿首页-SECRET", "visit": .string(visit),
        "context": ["note": "CONTEXT-SECRET"],
      ]
    ).get()
    try await hall.counter.rate(number, visit)
    _ = try await hall.counter.persist(.closeVisit, ["visit": visit]).get()
  }

  /// What is searched for, as a file of lines: the secrets, and a piece out of each page.
  private func needles(_ hall: Hall, _ pages: [[UInt8]]) throws -> [(what: String, bytes: [UInt8])] {
    let pieces = try pages.map { page in
      // A line has neither a line feed nor a zero in it.
      let start = try #require(
        (2000..<page.count - 32).first { start in
          page[start..<start + 32].allSatisfy { ![0, 10].contains($0) }
        })
      return Array(page[start..<start + 32])
    }
    let needles = Self.secrets.map { ($0, Array($0.utf8)) } + pieces.map { ("a page", $0) }
    try Files.replaceDurable(
      hall.files.path("needles"), bytes: Array(needles.map(\.1).joined(separator: [10])) + [10], mode: 0o600)
    return needles
  }

  /// What grep(1) finds where. Files come and go while it looks.
  private func findings(_ hall: Hall) async throws -> [String] {
    let found = try await RunningProgram.run(
      "grep", ["-r", "-a", "-F", "-o", "-H", "-f", hall.files.path("needles"), hall.position.state],
      environment: ["LC_ALL": "C"])
    guard [.exited(0), .exited(1), .exited(2)].contains(found.status) else {
      throw Programs.Failure(description: "grep: \(found.status) \(found.errors)")
    }
    let unexpected = found.errors.split(separator: "\n").filter { !$0.contains("No such file") }
    if !unexpected.isEmpty { throw Programs.Failure(description: "grep: \(unexpected)") }
    return Set(
      found.output.split(separator: "\n").map { line in
        let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
        let what = Self.secrets.contains(parts.last ?? "") ? parts.last ?? "" : "a page"
        return "\(what) in \(parts[0].split(separator: "/").last ?? "")"
      }
    ).sorted()
  }

  /// The images that the scanner has, as it has them.
  private func images() throws -> [[UInt8]] {
    try (1...4).flatMap { number in
      try ["", "-grey"].map {
        try Files.read("\(Repository.root)/Sources/CPages/Pages/page-\(number)\($0).jpg", limit: 1 << 24)
      }
    }
  }

  @Test func `with a key nothing lies open at any time, also while items wait`() async throws {
    let keyFiles = try TemporaryDirectory()
    try Files.replaceDurable(keyFiles.path("key"), bytes: Identifier.random(32), mode: 0o600)
    let hall = try await Hall(outbox: "key-file = \(keyFiles.path("key"))")
    let needles = try needles(hall, try images())
    try await hall.position.start()
    try await hall.intake.kill()
    let isOver = Observed(false)
    let searches = Observed(0)
    let found = Task { () async throws -> Set<String> in
      var found: Set<String> = []
      while !isOver.value {
        found.formUnion(try await findings(hall))
        searches.update { $0 += 1 }
      }
      return found
    }
    for number in 1...3 { try await visit(hall, number) }
    await searches.wait { $0 >= 2 }
    let waiting = try await findings(hall)
    #expect(waiting == [], "while items wait")
    #expect(try await hall.outboxStatus()["pendingEvents"]?.integer ?? 0 > 0)
    try await hall.position.kill()
    let crashed = try await findings(hall)
    #expect(crashed == [], "after a crash")
    try await hall.position.start()
    try await hall.intake.start()
    try await hall.position.delivered()
    isOver.update { $0 = true }
    #expect(try await found.value == [])
    print("FIGURE sealing: \(searches.value) searches of the whole state directory, nothing found")
    // The needles are right: the intake has them.
    let received = try Position.files(under: hall.intake.store).map(\.bytes)
    for needle in needles.prefix(4) where needle.what != "STAFF-0815-SECRET" {
      #expect(received.contains { $0.firstRange(of: needle.bytes) != nil }, "\(needle.what)")
    }
  }

  @Test func `without a key nothing is left after delivery and a full cycle of the log`()
    async throws
  {
    let hall = try await Hall()
    _ = try needles(hall, try images())
    try await hall.position.start()
    try await hall.intake.kill()
    for number in 1...2 { try await visit(hall, number) }
    let open = try await findings(hall)
    #expect(!open.isEmpty, "the search finds what lies open")
    try await hall.intake.start()
    try await hall.position.delivered()
    // A full cycle: what the log was at its longest is written over once.
    let log = try Files.size(hall.position.state + "/hall.db-wal")
    for number in 0..<(log / 4096 / 4 + 300) {
      let opened = try await hall.position.call(.openVisit, body: ["requestId": .string("cycle-\(number)")])
      try await hall.position.call(.closeVisit, ["visit": opened["visit"]?.string ?? ""])
    }
    try await hall.position.delivered()
    let left = try await findings(hall)
    #expect(left == [])
  }
}
