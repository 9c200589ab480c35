import Crypto
import Devices
import LocalAPI
import Store
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(1))) struct RatingDeskTests {
  /// One evaluator in service and a visit to be rated.
  private struct Position {
    let office: Office
    let desk: RatingDesk
    let requests: RequestDesk
    let evaluator = ScriptedEvaluator()
    let session: DeviceSession
    let visit: Visit

    init() async throws {
      office = try await Office()
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

  @Test func `of two questions at once the second is refused and the first gets its answer`() async throws {
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
    #expect(asked.compactMap(\.0) == ["rated"])
    #expect(asked.compactMap(\.1).allSatisfy { ["rating.inProgress", "rating.alreadyAsked"].contains($0) })
    #expect(asked.compactMap(\.1).count == 7)
    #expect(await position.office.delivered("rating").filter { $0["outcome"] == "rated" }.count == 1)
  }

  @Test func `a press that nobody asked for is told as such and not counted`() async throws {
    let position = try await Position()
    await position.press(5)
    #expect(position.evaluator.acknowledged.value == 1)
    let event = try #require(await position.office.delivered("rating").first)
    #expect(event["flags"] == ["noPrompt"] && event["level"] == .null && event["confirmed"] == false)
    #expect(event["rawKey"] == 1)
  }

  @Test func `a press after the end is late`() async throws {
    let position = try await Position()
    _ = try await position.rate("r-1", 5)
    await position.press(1)
    let events = await position.office.delivered("rating")
    #expect(events.map { $0["flags"] } == [nil, ["late"]])
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
      let text = Array("\(index + 1)\n".utf8) + (try JSON.encode(data))
      let hash = SHA256.digest(of: (Hex.decode(previous) ?? []) + text).hex
      #expect(event["chain"]?["hash"]?.string == hash)
      previous = hash
    }
  }

  @Test func `a question that a crash interrupted was cancelled by the restart`() async throws {
    let position = try await Position()
    let caller = Task { try? await position.ask("r-1") }
    await position.evaluator.prompts.wait { $0 == 1 }
    let next = RequestDesk(position.office.facilities)
    #expect(try await next.recover().map(\.verb) == [.askRating])
    let completion = try #require(await RatingDesk(position.office.facilities).recover("r-1"))
    await next.settleRecovered("r-1", completion)
    #expect(try await next.show("r-1", .english)["result"]?["outcome"] == "cancelled")
    let event = try #require(await position.office.delivered("rating").first)
    #expect(event["outcome"] == "cancelled" && event["cancelledBy"] == "restart" && event["level"] == .null)
    // The first run's own end, long after its crash, belongs to nobody.
    await position.desk.deviceLost("evaluator")
    _ = await caller.value
  }
}
