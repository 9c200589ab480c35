import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What a start finds after something worse than a crash.
@Suite(.timeLimit(.minutes(5)), .enabled(if: PythonIntake.isExpected, "needs python3")) struct RecoveryTests {
  /// An intake, simulated devices, and an agent with these of them in service.
  private func hall(_ names: String..., in files: TemporaryDirectory) async throws
    -> (intake: PythonIntake, devices: SimulatedDevices, position: Position)
  {
    let intake = PythonIntake(in: files)
    try await intake.start()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try names.map { try devices.section($0) }.joined())
    try await position.start()
    for name in names { try await position.ready(name) }
    return (intake, devices, position)
  }

  private func number(_ position: Position, _ request: String) async throws -> String? {
    try await position.call(
      .issueTicket, ["role": "dispenser"], body: ["requestId": .string(request), "service": "A"])["number"]?
      .string
  }

  @Test func `when the database is lost numbers go on under another letter and events under another epoch`()
    async throws
  {
    let files = try TemporaryDirectory()
    let (intake, devices, position) = try await hall("dispenser", in: files)
    #expect(try await number(position, "t-1") == "A001")
    #expect(try await number(position, "t-2") == "A002")
    try await position.delivered()
    try await position.kill()
    for name in try Files.list(position.state) where name.hasPrefix("hall.db") {
      try Files.unlink(position.state + "/" + name)
    }
    let program = try await position.start()
    try await position.ready("dispenser")
    try await program.line(containing: "The database is gone")
    #expect(program.count("The database is gone") == 1)
    #expect(try await number(position, "t-3") == "AR001")
    try await position.delivered()
    try await position.stop()

    // The same once more, by damage this time.
    let database = position.state + "/hall.db"
    var bytes = try Files.read(database, limit: 1 << 28)
    for index in 0..<min(bytes.count, 4096) { bytes[index] = UInt8(truncatingIfNeeded: index &* 31) }
    try Files.replaceDurable(database, bytes: bytes, mode: 0o600)
    for name in ["-wal", "-shm"] where Files.exists(database + name) { try Files.unlink(database + name) }
    let repaired = try await position.start()
    try await position.ready("dispenser")
    try await repaired.line(containing: "The database was damaged")
    #expect(repaired.count("The database was damaged") == 1)
    #expect(try await number(position, "t-4") == "AS001")
    try await position.delivered()
    #expect(try await position.stop() == .exited(0))

    #expect(try intake.violations() == [])
    let tickets = try intake.events("ticket")
    #expect(tickets.compactMap { $0["data"]?["number"]?.string } == ["A001", "A002", "AR001", "AS001"])
    #expect(Set(tickets.compactMap { $0["epoch"]?.string }).count == 3)
    let printed = try devices.records(of: "dispenser", "ticket").compactMap { $0["qr"] }
    #expect(Set(printed).count == 4)
  }

  @Test func `a ticket that a crash caught in mid-print is unknown, and a person settles it`() async throws {
    let files = try TemporaryDirectory()
    let (intake, devices, position) = try await hall("dispenser", in: files)
    // The printer says nothing of the ticket's end for as long as it stalls.
    try await devices.apply("echo off", to: "dispenser")
    let caller = Task { try? await number(position, "t-1") }
    _ = try await Attempts.until("the paper is cut") {
      try devices.records(of: "dispenser", "ticket").isEmpty ? nil : true
    }
    try await position.kill()
    _ = await caller.value
    try await devices.apply("echo on", to: "dispenser")
    let program = try await position.start()
    try await position.ready("dispenser")
    try await program.line(containing: "ticket A001: it is not known whether it was printed")
    #expect(program.count("ticket A001: it is not known whether it was printed") == 1)

    let answer = try await position.call(
      .issueTicket, ["role": "dispenser"], body: ["requestId": "t-1", "service": "A"])
    #expect(answer["number"] == "A001" && answer["printed"] == "unknown")
    let list = try await RunningProgram.run(
      Built.path("hallctl"), ["--socket", position.socket, "request", "list", "--state", "unknown"])
    #expect(list.status == .exited(0) && list.output.contains("t-1"))
    let settled = try await RunningProgram.run(
      Built.path("hallctl"), ["--socket", position.socket, "request", "settle", "t-1", "confirmed"])
    #expect(settled.status == .exited(0))
    #expect(try await position.call(.showRequest, ["requestId": "t-1"])["resolution"] == "confirmed")
    try await position.delivered()
    let told = try intake.events("ticket").compactMap { $0["data"] }
    #expect(told.map { $0["printed"] } == ["unknown", "yes"])
    #expect(told.last?["resolution"] == "confirmed")
    #expect(try devices.records(of: "dispenser", "ticket").count == 1)
    #expect(try intake.violations() == [])
  }

  @Test
  func `a print job of which the queue tells nothing after a crash is unknown, and a person settles it`()
    async throws
  {
    let files = try TemporaryDirectory()
    let (intake, devices, position) = try await hall("printer", in: files)
    // Without paper the job waits in the queue.
    try await devices.apply("idle faults hidden; paper out", to: "printer")
    let caller = Task { try? await position.print(smallestPDF, role: "printer", request: "p-1") }
    _ = try await Attempts.until("the job is in the queue") {
      try await devices.state(of: "printer")["jobs-waiting"] == "1" ? true : nil
    }
    try await position.kill()
    _ = await caller.value
    try await devices.apply("unplug", to: "printer")
    try await position.start()
    _ = try await Attempts.until("the job's end is unknown") {
      try await position.call(.showRequest, ["requestId": "p-1"])["state"] == "unknown" ? true : nil
    }
    func hallctl(_ words: String...) async throws -> RunningProgram.Result {
      try await RunningProgram.run(Built.path("hallctl"), ["--socket", position.socket] + words)
    }
    let wrong = try await hallctl("request", "settle", "p-1", "lost")
    #expect(wrong.status == .exited(1) || wrong.status == .exited(64))
    let settled = try await hallctl("request", "settle", "p-1", "voided")
    #expect(settled.status == .exited(0), "\(settled.errors)")
    let shown = try await position.call(.showRequest, ["requestId": "p-1"])
    #expect(shown["state"] == "done" && shown["resolution"] == "voided")
    // Once is enough.
    #expect(try await hallctl("request", "settle", "p-1", "confirmed").status == .exited(1))
    try await position.delivered()
    let told = try intake.events("print").compactMap { $0["data"] }
    #expect(told.map { $0["outcome"] } == ["unknown", "no"])
    let audit = String(decoding: try Files.read(position.state + "/audit.log", limit: 1 << 20), as: UTF8.self)
    #expect(audit.contains("request p-1 settled as voided"))
    let violations = try intake.violations()
    #expect(violations == [])
  }

  @Test func `what waits is delivered after any number of starts, when the intake comes at last`()
    async throws
  {
    let files = try TemporaryDirectory()
    let intake = PythonIntake(in: files)
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try devices.section("dispenser"), try devices.section("scanner"))
    for number in 1...3 {
      try await position.start()
      try await position.ready("dispenser", "scanner")
      #expect(try await self.number(position, "t-\(number)") == "A00\(number)")
      try await devices.apply("feeder empty; load 1 pages", to: "scanner")
      try await position.call(.scan, ["role": "scanner"], body: ["requestId": .string("s-\(number)")])
      let status = try await position.call(.outboxStatus)
      #expect(status["intake"] == "trouble" && (status["pendingEvents"]?.integer ?? 0) >= Int64(2 * number))
      try await position.kill()
    }
    try await position.start()
    try await intake.start()
    try await position.delivered()
    #expect(
      try intake.events("ticket").compactMap { $0["data"]?["number"]?.string } == ["A001", "A002", "A003"])
    #expect(try intake.events("material.page").count == 3)
    let (violations, gaps) = (try intake.violations(), try intake.gaps())
    #expect(violations == [] && gaps == [])
    // When the visit closes too, the pages are gone from here.
    let visit = try await position.call(.listVisits)["visits"]?[0]?["visit"]?.string ?? ""
    try await position.call(.closeVisit, ["visit": visit])
    try await position.delivered()
    _ = try await Attempts.until("the pages are erased") {
      try position.everythingStored().contains { $0.path.contains("/pages/") && !$0.bytes.isEmpty }
        ? nil : true
    }
  }
}
