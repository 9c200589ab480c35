import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What a technician does with what was set aside.
@Suite(.timeLimit(.minutes(5)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct SetAsideTests {
  @Test
  func
    `what the intake rejected is listed, handed out with its pages, and discarded, with the reasons on record`()
    async throws
  {
    let files = try TemporaryDirectory()
    let intake = PythonIntake(in: files)
    try await intake.start()
    try intake.misbehave("reject gov.hall.material.page.v1")
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try devices.section("scanner"))
    try await position.start()
    try await position.ready("scanner")
    try await devices.apply("feeder empty; load 1 pages", to: "scanner")
    let scanned = try await position.call(.scan, ["role": "scanner"], body: ["requestId": "s-1"])
    let page = try #require(scanned["material"]?["pages"]?[0]?["blob"]?.string)
    _ = try await Attempts.until("the page's event is set aside") {
      (try await position.call(.outboxStatus)["quarantined"]?.integer ?? 0) > 0 ? true : nil
    }
    func hallctl(_ words: String..., locale: String = "C.UTF-8") async throws -> RunningProgram.Result {
      try await RunningProgram.run(
        Built.path("hallctl"), ["--socket", position.socket] + words, environment: ["LANG": locale])
    }
    let list = try await hallctl("--json", "outbox", "list")
    let items = try JSON.parse(Array(list.output.utf8))["items"]?.array ?? []
    let item = try #require(items.first { $0["kind"] == "event" }?["item"]?.string)
    #expect(try await hallctl("outbox", "list").output.contains("not wanted here"))

    let directory = files.path("handed-out")
    let exported = try await hallctl(
      "outbox", "export", item, "--to", directory, "--reason", "for the archive", locale: "zh_CN.UTF-8")
    #expect(exported.status == .exited(0) && exported.output.contains("已写入"), "\(exported.errors)")
    #expect(try Files.list(directory) == ["SHA256SUMS", page, "events.json"].sorted())
    // What others wrote says that it is whole.
    let sums = try await RunningProgram.run("sh", ["-c", "cd '\(directory)' && sha256sum -c SHA256SUMS"])
    #expect(sums.status == .exited(0), "\(sums.output) \(sums.errors)")
    let events = try JSON.parse(try Files.read(directory + "/events.json", limit: 1 << 20))
    #expect(events[0]?["id"]?.string == item && events[0]?["data"]?["blob"]?.string == page)
    #expect(events[0]?["type"] == "gov.hall.material.page.v1" && events[1] == nil)
    // The page lies there as the scanner gave it: the intake has it, too.
    #expect(try Files.read("\(directory)/\(page)", limit: 1 << 26) == intake.blob(page))
    #expect(try Files.status(of: directory).mode == 0o700)
    // Nothing that is there is written over.
    let again = try await hallctl("outbox", "export", item, "--to", directory, "--reason", "again")
    #expect(again.status == .exited(1) && again.errors.contains(directory))

    let discarded = try await hallctl("outbox", "discard", item, "--reason", "handed over on paper")
    #expect(discarded.status == .exited(0), "\(discarded.errors)")
    #expect(try await position.call(.outboxStatus)["quarantined"] == 0)
    let audit = String(decoding: try Files.read(position.state + "/audit.log", limit: 1 << 20), as: UTF8.self)
    #expect(audit.contains("for the archive") && audit.contains("handed over on paper"), "\(audit)")
    #expect(try intake.violations() == [])
  }
}
