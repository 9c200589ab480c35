import Crypto
import Devices
import LocalAPI
import TestKit
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct MaterialDeskTests {
  private struct Counter {
    let office: Office
    let desk: MaterialDesk
    let visit: Visit

    init() async throws {
      let visit = Visit(
        id: "0190c0de-0000-7000-8000-00000000abcd", openedAt: "2026-10-05T09:00:00+08:00", implicit: false,
        facts: ["cases": [["case": "C-1"]]], touched: 0)
      self.visit = visit
      office = try await Office()
      desk = MaterialDesk(
        facilities: office.facilities, visits: { $0 == visit.id ? visit : nil }, view: { _ in nil })
    }

    func scan(
      _ id: String, _ scanner: ScriptedScanner, _ members: [String: JSONValue] = [:]
    ) async throws(Problem) -> JSONValue {
      let session = await office.session(scanner, role: "scanner", kind: .scanner)
      let body = members.merging(["requestId": .string(id)]) { _, new in new }
      let (desk, visit) = (desk, visit)
      return try await RequestDesk(office.facilities).perform(
        .scan, role: "scanner", request: CommandRequest(.object(body)), caller: clerk
      ) { context throws(Problem) in
        try await desk.scan(context, session: session, visit: visit)
      }.body
    }
  }

  private func page(_ number: Int) -> [UInt8] { Array("page \(number)".utf8) }
  private func hex(_ number: Int) -> String { SHA256.digest(of: page(number)).hex }

  @Test func `each page is stored and told in order`() async throws {
    let counter = try await Counter()
    let answer = try await counter.scan("s-1", ScriptedScanner([page(1), page(2)]), ["name": "申请表"])
    #expect(answer["outcome"] == "complete")
    #expect(Route.scan.specification.answer?.problems(in: answer) == [])
    let events = await counter.office.delivered("material.page")
    #expect(events.map { $0["blob"]?.string } == [hex(1), hex(2)])
    #expect(events.map { $0["order"]?.integer } == [1, 2])
    #expect(events.first?["name"] == "申请表" && events.first?["cases"] == ["C-1"])
    let id = try #require(answer["material"]?["material"]?.string)
    let scanned = answer["scanned"]?.array?.compactMap(\.string) ?? []
    #expect(try await counter.desk.image(id, scanned[1]).bytes == page(2))
  }

  @Test func `held pages are told when the material is submitted, in their final order`() async throws {
    let counter = try await Counter()
    let answer = try await counter.scan("s-1", ScriptedScanner([page(1), page(2), page(3)]), ["hold": true])
    let id = try #require(answer["material"]?["material"]?.string)
    let pages = answer["scanned"]?.array?.compactMap(\.string) ?? []
    #expect(await counter.office.delivered().isEmpty)
    _ = try await counter.desk.withdraw(id, pages[1], by: clerk, reason: nil)
    _ = try await counter.desk.change(id, ["order": [.string(pages[2]), .string(pages[0])]])
    _ = try await counter.desk.complete(id, outcome: "complete")
    let events = await counter.office.delivered()
    #expect(events.compactMap { $0["data"]?["blob"]?.string } == [hex(3), hex(1)])
    #expect(
      events.last?["data"]?["pages"] == [
        ["page": .string(pages[2]), "blob": .string(hex(3))],
        ["page": .string(pages[0]), "blob": .string(hex(1))],
      ])
    #expect(
      !events.contains { $0["type"] == "gov.hall.material.page.withdrawn.v1" }, "the intake never had it")
  }

  @Test func `a page that was told is withdrawn, and may be replaced`() async throws {
    let counter = try await Counter()
    let first = try await counter.scan("s-1", ScriptedScanner([page(1), page(2)]))
    let id = try #require(first["material"]?["material"])
    let blurred = try #require(first["scanned"]?[1]?.string)
    _ = try await counter.desk.withdraw(id.string ?? "", blurred, by: clerk, reason: "blurred")
    let second = try await counter.scan(
      "s-2", ScriptedScanner([page(3)]), ["material": id, "replaces": .string(blurred)])
    #expect(second["material"]?["pages"]?.array?.count == 2)
    let events = await counter.office.delivered()
    #expect(
      events.compactMap {
        $0["type"]?.string?.split(separator: ".").dropFirst(2).dropLast().joined(separator: ".")
      }
        == ["material.page", "material.page", "material.page.withdrawn", "material.page"])
    #expect(events[2]["data"]?["page"]?.string == blurred && events[2]["data"]?["reason"] == "blurred")
    #expect(events[3]["data"]?["replaces"]?.string == blurred)
  }

  @Test func `a jam keeps the pages before it, and the next page says so`() async throws {
    let counter = try await Counter()
    let first = try await counter.scan("s-1", ScriptedScanner([page(1)], fault: Fault(.feederJammed)))
    #expect(first["outcome"] == "interrupted" && first["fault"]?["code"] == "feeder.jammed")
    #expect(Route.scan.specification.answer?.problems(in: first) == [])
    let id = try #require(first["material"]?["material"])
    let second = try await counter.scan("s-2", ScriptedScanner([page(2), page(3)]), ["material": id])
    let flags = second["material"]?["pages"]?.array?.map { $0["flags"] }
    #expect(flags == [nil, ["afterJam"], nil])
  }

  @Test func `a scan that ended before its first page leaves nothing behind`() async throws {
    let counter = try await Counter()
    let refused = await problem { () throws(Problem) in
      try await counter.scan("s-1", ScriptedScanner([], fault: Fault(.feederEmpty)))
    }
    #expect(refused?.code == "feeder.empty")
    #expect(try await counter.office.count("material") == 0)
    #expect(try await counter.scan("s-1", ScriptedScanner([page(1)]))["outcome"] == "complete")
  }

  @Test func `the same page twice in a visit is marked, not dropped`() async throws {
    let counter = try await Counter()
    _ = try await counter.scan("s-1", ScriptedScanner([page(1)]))
    let second = try await counter.scan("s-2", ScriptedScanner([page(1)]))
    #expect(second["material"]?["pages"]?[0]?["flags"] == ["possibleDuplicate"])
    #expect(await counter.office.delivered("material.page").map { $0["blob"]?.string } == [hex(1), hex(1)])
  }

  @Test func `a material is completed once, however many submit it`() async throws {
    let counter = try await Counter()
    let answer = try await counter.scan("s-1", ScriptedScanner([page(1)]), ["hold": true])
    let id = try #require(answer["material"]?["material"]?.string)
    let states = await withTaskGroup(of: String?.self) { group in
      for _ in 1...8 {
        group.addTask { try? await counter.desk.complete(id, outcome: "complete").state }
      }
      var states: [String?] = []
      for await state in group { states.append(state) }
      return states
    }
    #expect(states == Array(repeating: "complete", count: 8))
    #expect(await counter.office.delivered("material.completed").count == 1)
    let closed = await problem { () throws(Problem) in
      try await counter.scan("s-2", ScriptedScanner([page(2)]), ["material": .string(id)])
    }
    #expect(closed?.code == "material.closed")
  }

  @Test func `what is open when the visit closes is told as abandoned, without its held pages`() async throws
  {
    let counter = try await Counter()
    _ = try await counter.scan("s-1", ScriptedScanner([page(1)]), ["hold": true])
    await counter.desk.close(visit: counter.visit.id)
    let events = await counter.office.delivered()
    #expect(events.map { $0["data"]?["outcome"] } == ["abandoned"])
    #expect(events.first?["data"]?["pages"] == [])
  }

  @Test func `an order has to name each page once, and pages move only within their visit`() async throws {
    let counter = try await Counter()
    let answer = try await counter.scan("s-1", ScriptedScanner([page(1), page(2)]))
    let id = try #require(answer["material"]?["material"]?.string)
    let pages = answer["scanned"]?.array ?? []
    for order in [[pages[0]], [pages[0], pages[0]], [pages[0], pages[1], pages[1]]] {
      let refused = await problem { () throws(Problem) in
        try await counter.desk.change(id, ["order": .array(order)])
      }
      #expect(refused?.code == "request.invalid")
    }
    let other = try await counter.scan("s-2", ScriptedScanner([page(3)]))["material"]?["material"]
    let target = try #require(other)
    _ = try await counter.desk.change(id, ["move": ["pages": [pages[0]], "to": target]])
    #expect(try await counter.desk.load(target.string ?? "").pages.last?.id == pages[0].string)
    #expect(try await counter.desk.load(id).pages.map(\.id) == [pages[1].string ?? ""])
  }
}
