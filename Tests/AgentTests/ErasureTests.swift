import Crypto
import Devices
import LocalAPI
import Store
import TestKit
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct ErasureTests {
  /// A position with a visit in which a case was rated.
  private struct Rated {
    let office: Office
    let visits: VisitDesk
    let ratings: RatingDesk
    let requests: RequestDesk
    let evaluator = ScriptedEvaluator()
    let session: DeviceSession

    init(key: SealingKey? = nil) async throws {
      office = try await Office(key: key) { $0.ratings.correction = .zero }
      visits = VisitDesk(office.facilities) { _ in }
      ratings = RatingDesk(office.facilities)
      requests = RequestDesk(office.facilities)
      session = await office.session(evaluator, role: "evaluator", kind: .evaluator)
    }

    func open() async throws(Problem) -> Visit {
      try await visits.open(facts: ["cases": [["case": "330100-2026-C-0000815"]], "staffNumber": "S0137"])
    }

    func ask(_ id: String, _ visit: Visit) async throws(Problem) -> CommandAnswer {
      let body: JSONValue = ["requestId": .string(id), "case": "330100-2026-C-0000815", "serviceNumber": 1]
      let (ratings, session) = (ratings, session)
      return try await requests.perform(
        .askRating, role: "evaluator", request: CommandRequest(body), caller: clerk
      ) { context throws(Problem) in
        try await ratings.ask(context, session: session, visit: visit) { _ in }
      }
    }

    func rate(_ id: String, _ visit: Visit) async throws {
      let asked = evaluator.prompts.value
      async let answer = ask(id, visit)
      await evaluator.prompts.wait { $0 > asked }
      await ratings.press(evaluator.press(1), view: await session.current, visit: visit)
      _ = try await answer
    }

    func erase() async { await Erasure(facilities: office.facilities).eraseDelivered() }
    func rows() async throws -> [Int64] {
      [try await office.count("rating"), try await office.count("visit WHERE erased = 0")]
    }
  }

  @Test
  func `what is kept of a visit goes when it has closed and everything of it was delivered, not before`()
    async throws
  {
    let rated = try await Rated()
    let visit = try await rated.open()
    try await rated.rate("r-1", visit)
    _ = await rated.office.delivered()
    await rated.erase()
    #expect(try await rated.rows() == [1, 1], "the visit is open")
    _ = try await rated.visits.close(visit.id, outcome: "completed")
    await rated.erase()
    #expect(try await rated.rows() == [1, 1], "its end was not delivered")
    _ = await rated.office.delivered()
    await rated.erase()
    #expect(try await rated.rows() == [0, 0])
    let shown = try await rated.visits.show(visit.id)
    #expect(shown["state"] == "closed" && shown["outcome"] == "completed")
    #expect(shown["cases"] == nil && shown["staffNumber"] == nil)
    #expect(Route.showVisit.specification.answer?.problems(in: shown) == [])
    #expect(
      await problem { () throws(Problem) in try await rated.visits.visit(for: visit.id) }?.code
        == "visit.closed")
  }

  @Test func `of a rating its link of the chain is left, which still verifies`() async throws {
    let rated = try await Rated()
    let visit = try await rated.open()
    try await rated.rate("r-1", visit)
    _ = try await rated.visits.close(visit.id, outcome: "completed")
    _ = await rated.office.delivered()
    await rated.erase()
    #expect(try await rated.office.count("rating") == 0)
    let database = rated.office.facilities.database
    let verdict = try await RatingChain.verify { after in
      try await database.read { database throws(StoreError) in
        try database.query("SELECT * FROM ratingChain WHERE number > ? ORDER BY number LIMIT 1000", after)
      }
    }
    #expect(verdict.isIntact && verdict.links == 1)
  }

  @Test(arguments: [true, false])
  func `no case number stays, and still the case is not rated for the same service twice`(sealed: Bool)
    async throws
  {
    let rated = try await Rated(key: sealed ? try SealingKey.generated() : nil)
    let visit = try await rated.open()
    try await rated.rate("r-1", visit)
    let scopes = try await rated.office.facilities.read { database throws(StoreError) in
      try database.query("SELECT scope FROM rating UNION SELECT digest FROM ratedScope")
    }
    #expect(scopes.count == 1 && scopes.allSatisfy { $0[0].text.flatMap { Digest(hex: $0) } != nil })
    _ = try await rated.visits.close(visit.id, outcome: "completed")
    _ = await rated.office.delivered()
    await rated.erase()
    let another = try await rated.open()
    let again = await problem { () throws(Problem) in try await rated.ask("r-2", another) }
    #expect(again?.code == ProblemCode.alreadyRated.rawValue)
  }

  @Test func `materials of a delivered visit go with it, those of an open one stay`() async throws {
    let office = try await Office()
    let visits = VisitDesk(office.facilities) { _ in }
    let open = try await visits.open(facts: [:])
    let over = try await visits.open(facts: [:])
    for (id, visit) in [("m-1", open.id), ("m-2", over.id)] {
      try await office.execute(
        "INSERT INTO material (id, visit, state, document) VALUES ('\(id)', '\(visit)', 'complete', x'00')")
      try await office.execute(
        "INSERT INTO page (id, material, place, blob, held, document) VALUES ('p-\(id)', '\(id)', 1, '', 0, x'00')"
      )
      try await office.execute("INSERT INTO withdrawnPage (id, material) VALUES ('w-\(id)', '\(id)')")
    }
    _ = try await visits.close(over.id, outcome: "completed")
    _ = await office.delivered()
    await Erasure(facilities: office.facilities).eraseDelivered()
    for table in ["material", "page", "withdrawnPage"] {
      #expect(try await office.count(table) == 1, "\(table)")
    }
    #expect(try await office.count("material WHERE id = 'm-1'") == 1)
  }

  @Test func `tickets go when their requests are forgotten, but for those that a person has to settle`()
    async throws
  {
    let office = try await Office()
    for (id, day, printed) in [
      ("old", "2026-01-05", "yes"), ("asked", "2026-01-05", "unknown"), ("new", "9999-01-01", "yes"),
    ] {
      try await office.execute(
        "INSERT INTO ticket (id, request, number, businessDay, printed, document) "
          + "VALUES ('\(id)', 'q-\(id)', '\(id)', '\(day)', '\(printed)', x'00')")
    }
    await Erasure(facilities: office.facilities).forgetOld()
    #expect(try await office.count("ticket WHERE id = 'old'") == 0)
    #expect(try await office.count("ticket") == 2)
  }

  @Test func `it is erased by itself, whoever delivers`() async throws {
    let rated = try await Rated()
    let visit = try await rated.open()
    try await rated.rate("r-1", visit)
    _ = try await rated.visits.close(visit.id, outcome: "completed")
    let working = Task { await Erasure(facilities: rated.office.facilities).run() }
    _ = await rated.office.delivered()
    _ = try await Attempts.until("the visit is erased") {
      try await rated.rows() == [0, 0] ? true : nil
    }
    working.cancel()
  }
}
