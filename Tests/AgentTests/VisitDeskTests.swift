import LocalAPI
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct VisitDeskTests {
  private func states(_ office: Office) async -> [String] {
    await office.delivered("visit").compactMap { $0["state"]?.string }
  }

  @Test func `of several visits one is active, and opening one suspends the other`() async throws {
    let office = try await Office()
    let desk = VisitDesk(office.facilities) { _ in }
    let first = try await desk.open(facts: ["window": "07"])
    let second = try await desk.open(facts: [:])
    #expect(await desk.activeID == second.id)
    #expect(try await desk.show(first.id)["state"] == "suspended")
    let resumed = try await desk.change(first.id, state: "active", facts: [:])
    #expect(resumed.state == "active")
    #expect(await desk.activeID == first.id)
    #expect(try await desk.show(second.id)["state"] == "suspended")
    _ = try await desk.change(first.id, state: "suspended", facts: [:])
    #expect(await desk.activeID == nil)
    #expect(await states(office) == ["opened", "suspended", "opened", "suspended", "resumed", "suspended"])
  }

  @Test func `facts are added as they become known, and the intake is told each time`() async throws {
    let office = try await Office()
    let desk = VisitDesk(office.facilities) { _ in }
    let visit = try await desk.open(facts: ["window": "07", "staffNumber": "S1"])
    let cases: JSONValue = [["case": "C-1", "relation": "new"]]
    let changed = try await desk.change(visit.id, state: nil, facts: ["cases": cases])
    #expect(changed.cases == ["C-1"] && changed.facts["window"] == "07")
    #expect(Route.changeVisit.specification.answer?.problems(in: changed.json) == [])
    let events = await office.delivered()
    #expect(events.last?["subject"] == "C-1" && events.last?["visit"]?.string == visit.id)
    #expect(events.last?["data"]?["state"] == "updated" && events.last?["data"]?["cases"] == cases)
    #expect(events.first?["subject"] == nil)
  }

  @Test func `closing a visit completes what is open in it, and closing it again gives the same`()
    async throws
  {
    let office = try await Office()
    let closed = Mutex<[String]>([])
    let desk = VisitDesk(office.facilities) { id in closed.withLock { $0.append(id) } }
    let visit = try await desk.open(facts: [:])
    let first = try await desk.close(visit.id, outcome: "returned")
    let second = try await desk.close(visit.id, outcome: "completed")
    #expect(first.outcome == "returned" && second.outcome == "returned")
    #expect(closed.withLock { $0 } == [visit.id])
    #expect(await desk.activeID == nil)
    #expect(await states(office) == ["opened", "closed"])
    #expect(
      await problem { () throws(Problem) in try await desk.visit(for: visit.id) }?.code == "visit.closed")
    let changed = await problem { () throws(Problem) in
      try await desk.change(visit.id, state: "active", facts: [:])
    }
    #expect(changed?.code == "visit.closed")
    #expect(
      await problem { () throws(Problem) in try await desk.show("nobody") }?.code == "resource.notFound")
  }

  @Test func `a command without a visit takes the active one, or opens one that says so`() async throws {
    let office = try await Office()
    let desk = VisitDesk(office.facilities) { _ in }
    #expect(try await desk.visit(for: nil, openIfNeeded: false) == nil)
    let implicit = try #require(try await desk.visit(for: nil))
    #expect(implicit.implicit && implicit.state == "active")
    #expect(try await desk.visit(for: nil)?.id == implicit.id)
  }

  @Test func `the same request opens the same visit, even if a crash came between its two commits`()
    async throws
  {
    let office = try await Office()
    let id = Visit.id(for: "r-1")
    #expect(id == Visit.id(for: "r-1") && id != Visit.id(for: "r-2"))
    let desk = VisitDesk(office.facilities) { _ in }
    _ = try await desk.open(facts: ["window": "07"], id: id)
    let next = VisitDesk(office.facilities) { _ in }
    try await next.recover()
    let again = try await next.open(facts: ["window": "07"], id: id)
    #expect(again.id == id && again.facts["window"] == "07")
    #expect(await states(office) == ["opened"])
  }

  @Test func `a restart takes up the open visits as they were`() async throws {
    let office = try await Office()
    let desk = VisitDesk(office.facilities) { _ in }
    let first = try await desk.open(facts: ["window": "07"])
    let second = try await desk.open(facts: ["window": "08"])
    let third = try await desk.open(facts: [:])
    _ = try await desk.close(third.id, outcome: "completed")
    _ = try await desk.change(first.id, state: "active", facts: [:])
    let next = VisitDesk(office.facilities) { _ in }
    try await next.recover()
    #expect(await next.all.map(\.id).sorted() == [first.id, second.id].sorted())
    #expect(await next.activeID == first.id)
    #expect(try await next.show(second.id) == desk.show(second.id))
  }

  @Test func `a visit that nobody touches is closed as abandoned`() async throws {
    let office = try await Office { $0.visitTimeout = .zero }
    let closed = Observed<[String]>([])
    let desk = VisitDesk(office.facilities) { id in closed.update { $0.append(id) } }
    let visit = try await desk.open(facts: [:])
    await closed.wait { $0 == [visit.id] }
    let shown: JSONValue = try await Attempts.until("the visit is closed") {
      let shown = try await desk.show(visit.id)
      if shown["state"] == "closed" { return shown }
      return Optional.none
    }
    #expect(shown["outcome"] == "abandoned")
    #expect(await office.delivered("visit").last?["outcome"] == "abandoned")
  }
}
