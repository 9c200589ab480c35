import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// Changing the configuration of a service that runs, and ending it.
@Suite(.timeLimit(.minutes(5))) struct ReloadTests {
  private func device(_ position: Position, _ role: String) async throws -> JSONValue {
    try await position.call(.showDevice, ["role": role])
  }

  @Test(arguments: ["SIGHUP", "hallctl reload"])
  func `a changed configuration is applied and devices that did not change are left alone`(how: String)
    async throws
  {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    let (dispenser, evaluator) = (try devices.section("dispenser"), try devices.section("evaluator"))
    try position.write(dispenser, evaluator)
    let program = try await position.start()
    try await position.ready("dispenser", "evaluator")
    for number in 1...3 {
      try await position.call(
        .issueTicket, ["role": "dispenser"], body: ["requestId": .string("t-\(number)"), "service": "A"])
    }
    let before = try await device(position, "dispenser")
    #expect(before["counters"]?["tickets"] == 3)

    // The evaluator gets other keys, a reader is added, the evaluator's line stands elsewhere in the file.
    try position.write(
      try devices.section("idcard"), evaluator + "keys = 1:5 0:4 2:2 3:1\n", dispenser)
    if how == "SIGHUP" {
      program.signal(Signals.hangup)
      try await program.line(containing: "read again; changed: idcard, evaluator")
    } else {
      let result = try await RunningProgram.run(
        Built.path("hallctl"), ["--socket", position.socket, "reload"])
      #expect(result.status == .exited(0))
      #expect(result.output.contains("Changed: idcard, evaluator"), "\(result.output)")
    }
    try await position.ready("idcard", "evaluator", "dispenser")
    let after = try await device(position, "dispenser")
    #expect(after["since"] == before["since"] && after["counters"] == before["counters"])
    #expect(
      try await position.call(.listDevices)["devices"]?.array?.map { $0["role"] } == [
        "idcard", "evaluator", "dispenser",
      ])

    // And away again.
    try position.write(dispenser)
    program.signal(Signals.hangup)
    try await program.line(
      containing: "read again; changed: idcard, evaluator", count: how == "SIGHUP" ? 2 : 2)
    #expect(try await position.call(.listDevices)["devices"]?.array?.map { $0["role"] } == ["dispenser"])
    #expect(try await device(position, "dispenser")["since"] == before["since"])
    #expect(try await position.stop() == .exited(0))
  }

  @Test func `a broken file changes nothing and is told with its place`() async throws {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    let dispenser = try devices.section("dispenser")
    try position.write(dispenser)
    let program = try await position.start()
    try await position.ready("dispenser")
    let before = try await device(position, "dispenser")

    try position.write(agent: "positon = x", dispenser)
    program.signal(Signals.hangup)
    let line = try await program.line(containing: "positon")
    #expect(line.contains(position.configurationFile + ":") && line.contains("position"))
    let result = try await RunningProgram.run(Built.path("hallctl"), ["--socket", position.socket, "reload"])
    #expect(result.status == .exited(1))
    #expect(result.errors.contains(position.configurationFile + ":") && result.errors.contains("positon"))
    #expect(result.errors.contains("the old configuration stays in force"))
    #expect(try await device(position, "dispenser") == before)

    try position.write(dispenser)
    #expect(try await position.call(.reload, body: [:])["changed"] == [])
    #expect(try await device(position, "dispenser") == before)
  }

  @Test func `settings that need a new start are named, and the service goes on as it was`() async throws {
    let files = try TemporaryDirectory()
    let position = Position(in: files)
    try position.write()
    let program = try await position.start()
    try position.write(outbox: "quota = 1 GiB")
    program.signal(Signals.hangup)
    try await program.line(containing: "take effect at the next start")
    #expect(try await position.call(.status)["state"] == "running")
  }

  // MARK: Stopping

  @Test func `a stop lets a scan finish and gives its answer`() async throws {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try devices.section("scanner"))
    let program = try await position.start()
    try await position.ready("scanner")
    try await devices.apply("feeder empty; load 4 pages; delay 200 ms", to: "scanner")
    let feed = try await position.events()
    async let scan = position.call(.scan, ["role": "scanner"], body: ["requestId": "s-1"])
    try await feed.wait("page")
    program.signal(Signals.terminate)
    try await program.line(containing: "agent: stopping")
    let answer = try await scan
    #expect(answer["outcome"] == "complete" && answer["scanned"]?.array?.count == 4)
    #expect(try await program.lasting() == .exited(0))
    #expect(program.count("stopped; left for the next start: ") == 1)
    #expect(!Files.exists(position.socket))
    #expect(!isCrashReport(program.printed.value.errors.joined(separator: "\n")))
  }

  @Test func `a stop does not wait longer than it may, and the next start tells what became of it`()
    async throws
  {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(agent: "stop-timeout = 1 s", try devices.section("scanner"))
    let program = try await position.start()
    try await position.ready("scanner")
    try await devices.apply("feeder empty; load 100 pages; delay 200 ms", to: "scanner")
    let feed = try await position.events()
    let scan = Task { try? await position.call(.scan, ["role": "scanner"], body: ["requestId": "s-1"]) }
    try await feed.wait("page")
    try await devices.apply("hang", to: "scanner")
    #expect(
      try await position.stop() == .exited(0), "the scanner answers nothing for ever: it was not waited for")
    try await program.line(containing: "s-1")
    _ = await scan.value

    try await devices.apply("resume; delay 0 s", to: "scanner")
    try await position.start()
    let shown = try await position.call(.showRequest, ["requestId": "s-1"])
    #expect(shown["state"] == "failed" || shown["state"] == "done", "\(shown)")
    let visit = try await position.call(.listVisits)["visits"]?[0]?["visit"]?.string ?? ""
    let materials =
      try await position.call(.listMaterials, query: [("visit", visit)])["materials"]?.array ?? []
    #expect((materials.first?["pages"]?.array?.count ?? 0) >= 1, "the page that was taken is there")
  }

  @Test func `a stop ends a rating that nobody has given`() async throws {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try devices.section("evaluator"))
    let program = try await position.start()
    try await position.ready("evaluator")
    let feed = try await position.events()
    async let rating = position.call(
      .askRating, ["role": "evaluator"],
      body: ["requestId": "r-1", "serviceNumber": 1, "timeoutSeconds": 600])
    try await feed.wait("prompt")
    program.signal(Signals.terminate)
    #expect(try await rating["outcome"] == "cancelled")
    #expect(try await program.status() == .exited(0))
  }
}
