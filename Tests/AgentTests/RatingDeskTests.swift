import Crypto
import Devices
import LocalAPI
import Store
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct RatingDeskTests {
  /// One evaluator in service and a visit to be rated.
  private struct Position {
    let office: Office
    let desk: RatingDesk
    let requests: RequestDesk
    let evaluator = ScriptedEvaluator()
    let session: DeviceSession
    let visit: Visit

    init(correction: Duration = .zero) async throws {
      office = try await Office { $0.ratings.correction = correction }
      desk = RatingDesk(office.facilities)
      requests = RequestDesk(office.facilities)
      session = await office.session(evaluator, role: "evaluator", kind: .evaluator)
      visit = Visit(
        id: "0190c0de-0000-7000-8000-00000000abcd", openedAt: "2026-10-05T09:00:00+08:00", implicit: false,
        facts: ["staffNumber": "S1", "window": "07"], touched: 0)
    }

    func ask(_ id: String, _ members: [String: JSONValue] = [:]) async throws(Problem) -> CommandAnswer {
      let body = members.merging(["requestId": .string(id), "serviceNumber": members["serviceNumber"] ?? 1]) {
        _, new in new
      }
      let (desk, session, visit) = (desk, session, visit)
      return try await requests.perform(
        .askRating, role: "evaluator", request: CommandRequest(.object(body)), caller: clerk
      ) { context throws(Problem) in
        try await desk.ask(context, session: session, visit: visit) { _ in }
      }
    }

    func press(_ level: Int?, raw: Int = 1) async {
      await desk.press(evaluator.press(level, raw: raw), view: await session.current, visit: visit)
    }

    /// Asks, and presses when the device has asked the citizen.
    func rate(_ id: String, _ level: Int, _ members: [String: JSONValue] = [:]) async throws -> CommandAnswer
    {
      let asked = evaluator.prompts.value
      async let answer = ask(id, members)
      await evaluator.prompts.wait { $0 > asked }
      await press(level)
      return try await answer
    }
  }

  @Test(arguments: 1...5) func `a press while the device asks is the rating`(level: Int) async throws {
    let position = try await Position()
    let answer = try await position.rate("r-1", level, ["itemCode": "I-1", "phase": "accepting"])
    #expect(answer.body["outcome"] == "rated" && answer.body["visit"]?.string == position.visit.id)
    #expect(
      answer.body.object?.keys.sorted() == ["outcome", "rating", "visit"], "the counter learns no level")
    #expect(Route.askRating.specification.answer?.problems(in: answer.body) == [])
    #expect(position.evaluator.acknowledged.value == 1)
    let event = try #require(await position.office.delivered("rating").first)
    #expect(
      event["level"]?.integer == Int64(level) && event["outcome"] == "rated" && event["channel"] == "key")
    #expect(event["rating"] == answer.body["rating"] && event["requestId"] == "r-1")
    #expect(event["staffNumber"] == "S1" && event["window"] == "07" && event["itemCode"] == "I-1")
    #expect(event["serviceNumber"] == 1 && event["confirmed"] == true)
  }

  @Test func `the device is told only when the press is on the disk`() async throws {
    let position = try await Position()
    let answer = Task { await problem { () throws(Problem) in try await position.ask("r-1") } }
    await position.evaluator.prompts.wait { $0 == 1 }
    await position.office.facilities.database.close()
    await position.press(5)
    #expect(position.evaluator.acknowledged.value == 0)
    await position.desk.deviceLost("evaluator")
    #expect(await answer.value?.code == ProblemCode.notStored.rawValue)
    #expect(position.evaluator.acknowledged.value == 0)
  }

  @Test func `without a press there is no rating, and no level is made up`() async throws {
    let position = try await Position()
    let answer = try await position.ask("r-1", ["timeoutSeconds": 1])
    #expect(answer.body["outcome"] == "timeout")
    let event = try #require(await position.office.delivered("rating").first)
    #expect(event["outcome"] == "timeout" && event["level"] == .null && event["ratedAt"] == nil)
  }

  @Test func `a service to a visit is rated once, another service and another case by themselves`()
    async throws
  {
    let position = try await Position()
    _ = try await position.rate("r-1", 5)
    let again = await problem { () throws(Problem) in try await position.ask("r-2") }
    #expect(again?.code == ProblemCode.alreadyRated.rawValue)
    #expect(try await position.rate("r-3", 4, ["serviceNumber": 2]).body["outcome"] == "rated")
    #expect(try await position.rate("r-4", 3, ["case": "C-1"]).body["outcome"] == "rated")
    // A citizen who did not press may be asked again.
    _ = try await position.ask("r-5", ["serviceNumber": 3, "timeoutSeconds": 1])
    #expect(try await position.rate("r-6", 2, ["serviceNumber": 3]).body["outcome"] == "rated")
  }

  @Test func `a caller whose page was loaded again waits for the question that is open already`() async throws
  {
    let position = try await Position()
    let asked = await withTaskGroup(of: (String?, String?).self) { group in
      for number in 1...8 {
        group.addTask {
          do throws(Problem) {
            return (try await position.ask("r-\(number)").body["outcome"]?.string, nil)
          } catch {
            return (nil, error.code)
          }
        }
      }
      group.addTask {
        await position.evaluator.prompts.wait { $0 == 1 }
        await position.press(5)
        return (nil, nil)
      }
      var ends: [(String?, String?)] = []
      for await end in group { ends.append(end) }
      return ends
    }
    #expect(Set(asked.compactMap(\.0)) == ["rated"])
    // One that comes when all is over finds the service rated.
    #expect(asked.compactMap(\.1).allSatisfy { ["rating.inProgress", "rating.alreadyAsked"].contains($0) })
    #expect(position.evaluator.prompts.value == 1)
    #expect(await position.office.delivered("rating").filter { $0["outcome"] == "rated" }.count == 1)
  }

  @Test func `another service is not asked for while a question is open`() async throws {
    let position = try await Position()
    async let answer = position.ask("r-1")
    await position.evaluator.prompts.wait { $0 == 1 }
    let other = await problem { () throws(Problem) in try await position.ask("r-2", ["serviceNumber": 2]) }
    #expect(other?.code == ProblemCode.ratingBusy.rawValue)
    await position.press(4)
    #expect(try await answer.body["outcome"] == "rated")
  }

  @Test func `a press that nobody asked for is told as such and not counted`() async throws {
    let position = try await Position()
    await position.press(5)
    #expect(position.evaluator.acknowledged.value == 1)
    let event = try #require(await position.office.delivered("rating").first)
    #expect(event["flags"] == ["noPrompt"] && event["level"] == .null && event["confirmed"] == false)
    #expect(event["rawKey"] == 1)
  }

  @Test func `presses faster than anybody means them are flagged as a burst`() async throws {
    let position = try await Position()
    for _ in 1...7 { await position.press(5) }
    let events = await position.office.delivered("rating")
    #expect(
      events.map { $0["flags"]?.array?.contains("burst") } == [false, false, false, false, true, true, true])
    #expect(events.allSatisfy { $0["level"] == .null && $0["flags"]?.array?.contains("noPrompt") == true })
  }

  @Test func `a press after the end is late`() async throws {
    let position = try await Position()
    _ = try await position.rate("r-1", 5)
    await position.press(1)
    let events = await position.office.delivered("rating")
    // Nobody presses so soon after a question; a test does.
    #expect(events.map { $0["flags"] } == [["tooFast"], ["late"]])
    #expect(events.last?["level"] == .null)
  }

  @Test func `a key without a level does not answer the question`() async throws {
    let position = try await Position()
    async let answer = position.ask("r-1")
    await position.evaluator.prompts.wait { $0 == 1 }
    await position.press(nil, raw: 9)
    await position.press(4)
    #expect(try await answer.body["outcome"] == "rated")
    let events = await position.office.delivered("rating")
    #expect(events.compactMap { $0["level"]?.integer } == [4])
  }

  @Test func `a device that is lost ends the question`() async throws {
    let position = try await Position()
    async let answer = position.ask("r-1")
    await position.evaluator.prompts.wait { $0 == 1 }
    await position.desk.deviceLost("evaluator")
    #expect(try await answer.body["outcome"] == "deviceLost")
  }

  @Test func `ratings are chained: each hash covers the one before`() async throws {
    let position = try await Position()
    for number in 1...4 {
      _ = try await position.rate("r-\(number)", 5, ["serviceNumber": .integer(Int64(number))])
    }
    let chain = await position.office.delivered("rating")
    #expect(chain.map { $0["chain"]?["number"]?.integer } == [1, 2, 3, 4])
    var previous = String(repeating: "0", count: 64)
    for (index, event) in chain.enumerated() {
      #expect(event["chain"]?["previous"]?.string == previous)
      var data = event
      data["chain"] = nil
      let content = SHA256.digest(of: try JSON.encode(data)).bytes
      let link = (Hex.decode(previous) ?? []) + Array("\(index + 1)\n".utf8) + content
      let hash = SHA256.digest(of: link).hex
      #expect(event["chain"]?["hash"]?.string == hash)
      previous = hash
    }
  }

  /// What a second run finds after the first one was killed with a question open.
  private func interrupted(
    pressed level: Int?, then: (Position, RequestDesk, RatingDesk) async throws -> Void
  ) async throws {
    let position = try await Position(correction: .seconds(600))
    let caller = Task { try? await position.ask("r-1") }
    await position.evaluator.prompts.wait { $0 == 1 }
    if let level { await position.press(level) }
    let next = RequestDesk(position.office.facilities)
    #expect(try await next.recover().map(\.verb) == [.askRating])
    let ratings = RatingDesk(position.office.facilities)
    #expect(await ratings.visit(ofRequest: "r-1") == position.visit.id)
    try await then(position, next, ratings)
    // The first run's own end, long after its crash, belongs to nobody.
    await position.desk.deviceLost("evaluator")
    _ = await caller.value
  }

  @Test func `a question whose visit is over when the service comes back was cancelled by the restart`()
    async throws
  {
    try await interrupted(pressed: nil) { position, next, ratings in
      let completion = try #require(await ratings.resume("r-1", session: position.session, stillOpen: false))
      await next.settleRecovered("r-1", completion)
      #expect(try await next.show("r-1", .english)["result"]?["outcome"] == "cancelled")
      let event = try #require(await position.office.delivered("rating").first)
      #expect(event["outcome"] == "cancelled" && event["cancelledBy"] == "restart" && event["level"] == .null)
    }
  }

  @Test func `a level that was pressed before the crash is a rating after it`() async throws {
    try await interrupted(pressed: 2) { position, next, ratings in
      let completion = try #require(await ratings.resume("r-1", session: nil, stillOpen: true))
      await next.settleRecovered("r-1", completion)
      let event = try #require(await position.office.delivered("rating").first)
      #expect(event["outcome"] == "rated" && event["level"] == 2 && event["confirmed"] == true)
    }
  }

  @Test func `a question that is still open is asked again after a restart`() async throws {
    try await interrupted(pressed: nil) { position, next, ratings in
      async let completion = ratings.resume("r-1", session: position.session, stillOpen: true)
      await position.evaluator.prompts.wait { $0 == 2 }
      await ratings.press(
        position.evaluator.press(4, raw: 4), view: await position.session.current, visit: nil)
      await ratings.clear(visit: position.visit.id, by: "visit")
      await next.settleRecovered("r-1", try #require(await completion))
      let event = try #require(await position.office.delivered("rating").first)
      #expect(event["outcome"] == "rated" && event["level"] == 4)
    }
  }

  @Test func `an altered, a removed and an inserted link show`() async throws {
    let position = try await Position()
    for number in 1...5 {
      _ = try await position.rate("r-\(number)", 5, ["serviceNumber": .integer(Int64(number))])
    }
    let database = position.office.facilities.database
    func verdict() async throws -> RatingChain.Verdict {
      try await RatingChain.verify { after in
        try await database.read { database throws(StoreError) in
          try database.query(
            "SELECT number, hash, content FROM ratingChain WHERE number > ? ORDER BY number LIMIT 1000", after
          )
        }
      }
    }
    func change(_ sql: String) async throws {
      try await database.write { database throws(StoreError) in try database.run(sql) }
    }
    let whole = try await verdict()
    #expect(whole.isIntact && whole.links == 5)
    try await change("UPDATE ratingChain SET content = zeroblob(32) WHERE number = 3")
    #expect(try await verdict().broken == [3])
    try await change("DELETE FROM ratingChain WHERE number = 3")
    #expect(try await verdict().missing == [3])
    try await change("INSERT INTO ratingChain VALUES (3, randomblob(32), randomblob(32))")
    #expect(try await verdict().broken == [3, 4])
  }
}
