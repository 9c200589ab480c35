import Codecs
import Devices
import LocalAPI
import Posix
import Store
import Synchronization
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct TicketDeskTests {
  private func issue(
    _ office: Office, _ session: DeviceSession, _ id: String, _ members: [String: JSONValue] = [:],
    series: String = "", visit: Visit? = nil
  ) async throws(Problem) -> CommandAnswer {
    let body = members.merging(["requestId": .string(id), "service": members["service"] ?? "A"]) { _, new in
      new
    }
    return try await RequestDesk(office.facilities).perform(
      .issueTicket, role: "dispenser", request: CommandRequest(.object(body)), caller: clerk
    ) { context throws(Problem) in
      try await TicketDesk(facilities: office.facilities, series: series).issue(
        context, session: session, visit: visit)
    }
  }

  // MARK: Days

  @Test(arguments: [
    ("2026-10-05T00:00:00+08:00", 0, "2026-10-05"), ("2026-10-05T23:59:59+08:00", 0, "2026-10-05"),
    ("2026-10-05T03:59:59+08:00", 4, "2026-10-04"), ("2026-10-05T04:00:00+08:00", 4, "2026-10-05"),
    ("2026-01-01T00:30:00+08:00", 1, "2025-12-31"), ("2024-03-01T05:00:00+08:00", 6, "2024-02-29"),
    ("2026-10-05T22:00:00Z", 0, "2026-10-05"),
  ])
  func `a business day begins at its local hour`(time: String, starts: Int, day: String) throws {
    #expect(TicketDesk.businessDay(try #require(WallTime(rfc3339: time)), starts: starts) == day)
  }

  // MARK: Numbers

  @Test func `numbers rise by service and class, each with its own letters`() async throws {
    let office = try await Office()
    let session = await office.session(ScriptedDispenser())
    let asked: [(JSONValue, JSONValue, String)] = [
      ("A", "normal", "A001"), ("A", "normal", "A002"), ("B", "normal", "B001"), ("A", "priority", "VA001"),
      ("A", "appointment", "YA001"), ("A", "priority", "VA002"), ("A", "normal", "A003"),
    ]
    for (index, ask) in asked.enumerated() {
      let answer = try await issue(office, session, "t-\(index)", ["service": ask.0, "class": ask.1])
      #expect(answer.status == 201 && answer.body["number"]?.string == ask.2)
      #expect(Route.issueTicket.specification.answer?.problems(in: answer.body) == [])
    }
  }

  @Test func `after the thousandth number they grow`() async throws {
    let office = try await Office()
    let session = await office.session(ScriptedDispenser())
    _ = try await issue(office, session, "t-1")
    try await office.execute("UPDATE queueCounter SET last = 999")
    #expect(try await issue(office, session, "t-2").body["number"] == "A1000")
  }

  @Test func `after the database was lost numbers go on under another letter`() async throws {
    let office = try await Office()
    let session = await office.session(ScriptedDispenser())
    #expect(try await issue(office, session, "t-1").body["number"] == "A001")
    #expect(try await issue(office, session, "t-2", series: "R").body["number"] == "AR001")
  }

  @Test func `a service that is not configured is refused, with those that are, and takes no number`()
    async throws
  {
    let office = try await Office()
    let session = await office.session(ScriptedDispenser())
    let refused = await problem { () throws(Problem) in
      try await issue(office, session, "t-1", ["service": "C"])
    }
    #expect(refused?.code == "request.invalid" && refused?.detail == "service: expected one of A, B")
    #expect(try await office.count("queueCounter") == 0)
  }

  // MARK: Printing

  @Test func `a ticket is printed with number, service, check code and day, and told to the intake`()
    async throws
  {
    let office = try await Office()
    let dispenser = ScriptedDispenser()
    let session = await office.session(dispenser)
    let answer = try await issue(office, session, "t-1", ["waitingAhead": 3, "context": ["kiosk": 2]]).body
    let code = try #require(answer["checkCode"]?.string)
    #expect(code.count == 4 && code.allSatisfy { "ABCDEFGHJKLMNPQRSTUVWXYZ23456789".contains($0) })
    #expect(
      code
        == Ticket.checkCode(
          id: answer["ticket"]?.string ?? "", number: "A001", day: answer["businessDay"]?.string ?? ""))
    let face = try #require(dispenser.faces.withLock { $0.first })
    #expect(face.elements.contains(.text("A001", width: 4, height: 4, bold: true, align: .centre)))
    #expect(face.elements.contains(.text("前面等待 3 人", align: .centre)))
    #expect(face.elements.contains(.text("校验码 \(code)", align: .centre)))
    let day = answer["businessDay"]?.string ?? ""
    #expect(face.elements.contains(.qr(Array("HALL:\(day):A001:\(code)".utf8), module: 6)))
    let event = try #require(await office.delivered("ticket").first)
    #expect(event["number"] == "A001" && event["printed"] == "yes" && event["requestId"] == "t-1")
    #expect(event["context"] == ["kiosk": 2] && event["device"]?["role"] == "dispenser")
    #expect(event["waitingAhead"] == 3 && event["checkCode"]?.string == code)
    #expect(event["serviceName"] == nil && event["windows"] == nil)
  }

  @Test func `a ticket that was refused keeps its number for the same request`() async throws {
    let office = try await Office()
    let dispenser = ScriptedDispenser { _ in .notDone(Fault(.paperOut)) }
    let session = await office.session(dispenser)
    let refused = await problem { () throws(Problem) in try await issue(office, session, "t-1") }
    #expect(refused?.code == "paper.out" && refused?.members["number"] == "A001")
    #expect(refused?.members["printed"] == "no")
    dispenser.follow { await $0() ? .done : .notDone(Fault(.notStored)) }
    #expect(try await issue(office, session, "t-2").body["number"] == "A002")
    #expect(try await issue(office, session, "t-1").body["number"] == "A001")
    #expect(await office.delivered("ticket").map { $0["number"] } == ["A002", "A001"])
  }

  @Test func `a ticket whose line broke before the first byte may be asked for again`() async throws {
    let office = try await Office()
    let dispenser = ScriptedDispenser { begun in
      _ = await begun()
      return .notDone(Fault(.deviceSilent))
    }
    let session = await office.session(dispenser)
    #expect(
      await problem { () throws(Problem) in try await issue(office, session, "t-1") }?.code == "device.silent"
    )
    dispenser.follow { await $0() ? .done : .notDone(Fault(.notStored)) }
    let answer = try await issue(office, session, "t-1").body
    #expect(answer["number"] == "A001" && answer["printed"] == "yes")
  }

  @Test func `an unknown outcome is an answer, is told, and is not printed again`() async throws {
    let office = try await Office()
    let attempts = Mutex(0)
    let dispenser = ScriptedDispenser { begun in
      _ = await begun()
      attempts.withLock { $0 += 1 }
      return .unknown(Fault(.outcomeUnknown, "no print-complete echo"))
    }
    let session = await office.session(dispenser)
    let answer = try await issue(office, session, "t-1")
    #expect(answer.status == 201 && answer.body["printed"] == "unknown")
    #expect(answer.body["fault"]?["code"] == "outcome.unknown")
    #expect(Route.issueTicket.specification.answer?.problems(in: answer.body) == [])
    #expect(try await issue(office, session, "t-1").body == answer.body)
    #expect(attempts.withLock { $0 } == 1)
    let shown = try await RequestDesk(office.facilities).show("t-1", .english)
    #expect(shown["state"] == "unknown")
  }

  @Test(arguments: [("confirmed", "yes"), ("reprinted", "yes"), ("voided", "no")])
  func `a person settles an unknown ticket once, and the intake is told`(resolution: String, printed: String)
    async throws
  {
    let office = try await Office()
    let session = await office.session(
      ScriptedDispenser { begun in
        _ = await begun()
        return .unknown(Fault(.outcomeUnknown))
      })
    _ = try await issue(office, session, "t-1")
    let desk = TicketDesk(facilities: office.facilities, series: "")
    let technician = Caller(userID: 7, role: .technician, language: .english)
    try await desk.resolve("t-1", resolution: resolution, caller: technician, view: await session.current)
    let events = await office.delivered("ticket")
    #expect(events.count == 2)
    #expect(events.last?["printed"]?.string == printed && events.last?["resolution"]?.string == resolution)
    #expect(events.last?["resolvedBy"] == "technician")
    let shown = try await RequestDesk(office.facilities).show("t-1", .english)
    #expect(shown["state"] == "done" && shown["resolution"]?.string == resolution)
    let again = await problem { () throws(Problem) in
      try await desk.resolve("t-1", resolution: resolution, caller: technician, view: nil)
    }
    #expect(again?.code == "request.invalid")
    #expect(await office.delivered("ticket").isEmpty)
  }

  @Test func `nothing is printed when it could not be noted that it may be`() async throws {
    let office = try await Office()
    let dispenser = ScriptedDispenser()
    let session = await office.session(dispenser)
    let refused = await problem { () throws(Problem) in
      try await RequestDesk(office.facilities).perform(
        .issueTicket, role: "dispenser", request: CommandRequest(["requestId": "t-1", "service": "A"]),
        caller: clerk
      ) { context throws(Problem) in
        // The disk breaks between the number and the paper.
        await office.facilities.database.close()
        return try await TicketDesk(facilities: office.facilities, series: "").issue(
          context, session: session, visit: nil)
      }
    }
    #expect(refused?.code == ProblemCode.notStored.rawValue)
    #expect(dispenser.faces.withLock { $0.isEmpty })
  }
}
