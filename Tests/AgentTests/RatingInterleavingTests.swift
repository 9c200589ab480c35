import Channels
import Crypto
import Devices
import LocalAPI
import Posix
import Store
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Agent

/// What may happen to a question happens in any order: one outcome for each question, one event for each outcome, and a chain
/// that holds.
///
/// Seeds are fixed. `HALL_INTERLEAVINGS=10000` plays all of them; a change is held to a part.
@Suite(.timeLimit(.minutes(20))) struct RatingInterleavingTests {
  static let count = Environment["HALL_INTERLEAVINGS"].flatMap { Int($0) } ?? 600
  /// So many questions are asked at one position, one after the other; then comes another position.
  static let perPosition = 100

  /// A clock that stands still until it is moved.
  private final class HandClock: Timekeeper {
    private struct Sleeper {
      let id: Int
      let until: Duration
      let continuation: CheckedContinuation<Bool, Never>
    }
    private struct State {
      var now = Duration.seconds(1000)
      var sleepers: [Sleeper] = []
      var last = 0
      var cancelled: Set<Int> = []
    }
    private let state = Mutex(State())

    func now() -> Duration { state.withLock { $0.now } }

    func sleep(for duration: Duration) async -> Bool {
      let id = state.withLock { state in
        state.last += 1
        return state.last
      }
      return await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let done = state.withLock { state -> Bool? in
            if state.cancelled.remove(id) != nil { return false }
            if duration <= .zero { return true }
            state.sleepers.append(Sleeper(id: id, until: state.now + duration, continuation: continuation))
            return nil
          }
          if let done { continuation.resume(returning: done) }
        }
      } onCancel: {
        let sleeper = state.withLock { state -> Sleeper? in
          guard let index = state.sleepers.firstIndex(where: { $0.id == id }) else {
            state.cancelled.insert(id)
            return nil
          }
          return state.sleepers.remove(at: index)
        }
        sleeper?.continuation.resume(returning: false)
      }
    }

    func advance(by duration: Duration) {
      let due = state.withLock { state in
        state.now += duration
        let due = state.sleepers.filter { $0.until <= state.now }
        state.sleepers.removeAll { $0.until <= state.now }
        return due
      }
      for sleeper in due { sleeper.continuation.resume(returning: true) }
    }
  }

  /// One run of the service at a position, from its start to its crash.
  private final class Run: Sendable {
    let office: Office
    let clock: HandClock
    let desk: RatingDesk
    let requests: RequestDesk
    let evaluator = ScriptedEvaluator()
    let session: DeviceSession
    let visit: Visit

    init(in directory: TemporaryDirectory, _ clock: HandClock, visit: Visit) async throws {
      self.clock = clock
      self.visit = visit
      office = try await Office(in: directory, time: clock)
      desk = RatingDesk(office.facilities)
      requests = RequestDesk(office.facilities)
      session = await office.session(evaluator, role: "evaluator", kind: .evaluator)
    }

    func ask(_ number: Int) -> Task<String?, Never> {
      let (desk, requests, session, visit) = (desk, requests, session, visit)
      let body: JSONValue = [
        "requestId": .string("r-\(number)"), "serviceNumber": .integer(Int64(number)), "timeoutSeconds": 60,
      ]
      return Task {
        try? await requests.perform(
          .askRating, role: "evaluator", request: CommandRequest(body), caller: clerk
        ) { context throws(Problem) in
          try await desk.ask(context, session: session, visit: visit) { _ in }
        }.body["outcome"]?.string
      }
    }

    func press(_ level: Int) async {
      await desk.press(evaluator.press(level, raw: level), view: await session.current, visit: visit)
    }

    /// Takes up what the run before left.
    func recover() async throws -> [Task<Void, Never>] {
      var tasks: [Task<Void, Never>] = []
      for one in try await requests.recover() {
        let (desk, requests, session) = (desk, requests, session)
        tasks.append(
          Task {
            let completion = await desk.resume(one.id, session: session, stillOpen: true)
            if let completion { await requests.settleRecovered(one.id, completion) }
          })
      }
      return tasks
    }

    /// Nothing reaches the disk from here on, whatever was under way.
    func crash() async { await office.facilities.database.close() }
  }

  @Test(arguments: 0..<max(1, (count + perPosition - 1) / perPosition))
  func `a question has one outcome, whatever comes in whatever order`(position: Int) async throws {
    var random = SeededRandom(seed: UInt64(position) &* 0x9E37_79B9_7F4A_7C15 &+ 7)
    let directory = try TemporaryDirectory()
    let clock = HandClock()
    let visit = Visit(
      id: Identifier.uuidV7(), openedAt: "2026-10-05T09:00:00+08:00", implicit: false, facts: [:], touched: 0)
    var run = try await Run(in: directory, clock, visit: visit)
    var pressed: [Int: [Int]] = [:]
    var presses = 0
    let numbers = 1...min(Self.perPosition, Self.count)
    for number in numbers {
      let asked = run.evaluator.prompts.value
      let caller = run.ask(number)
      let evaluator = run.evaluator
      await evaluator.prompts.wait { $0 > asked }
      var resumed: [Task<Void, Never>] = []
      for _ in 0..<random.next(below: 7) {
        switch random.next(below: 20) {
        case 0..<6:
          let level = 1 + random.next(below: 5)
          pressed[number, default: []].append(level)
          presses += 1
          await run.press(level)
        case 6..<9:
          let level = 1 + random.next(below: 5)
          pressed[number, default: []] += [level, level]
          presses += 2
          let now = run
          async let first: Void = now.press(level)
          async let second: Void = now.press(level)
          _ = await (first, second)
        case 9..<15: clock.advance(by: .milliseconds(100 + random.next(below: 40_000)))
        case 15: try? await run.requests.cancel("r-\(number)")
        case 16, 17: await run.desk.deviceLost("evaluator")
        default:
          await run.crash()
          // What the dead run had begun comes to its end in memory, and nowhere else.
          await run.desk.clear(visit: visit.id, by: "visit")
          run = try await Run(in: directory, clock, visit: visit)
          resumed = try await run.recover()
        }
      }
      // Whatever is still open ends with the visit; a question that is just being taken up first has to be there.
      for task in resumed {
        let (desk, id) = (run.desk, visit.id)
        let ending = Task {
          while !Task.isCancelled {
            await desk.clear(visit: id, by: "visit")
            await Task.yield()
          }
        }
        await task.value
        ending.cancel()
        await ending.value
      }
      await run.desk.clear(visit: visit.id, by: "visit")
      if resumed.isEmpty { _ = await caller.value }
    }
    try await check(run, pressed, presses: presses, numbers: numbers)
  }

  private func check(
    _ run: Run, _ pressed: [Int: [Int]], presses: Int, numbers: ClosedRange<Int>
  ) async throws {
    let events = await run.office.delivered()
    #expect(Set(events.compactMap { $0["id"]?.string }).count == events.count)
    let ratings = events.filter { $0["type"] == "gov.hall.rating.v1" }.compactMap { $0["data"] }
    // A question's end says when it was asked; a press that did not count does not.
    let ends = ratings.filter { $0["promptedAt"] != nil }
    let byRequest = Dictionary(grouping: ends) { $0["requestId"]?.string ?? "" }
    for number in numbers {
      let outcomes = byRequest["r-\(number)"] ?? []
      #expect(outcomes.count == 1, "r-\(number): \(outcomes.map { $0["outcome"] ?? .null })")
      let level = outcomes.first?["level"]?.integer.map { Int($0) }
      if outcomes.first?["outcome"] == "rated" {
        #expect(
          level.map { pressed[number, default: []].contains($0) } == true, "r-\(number): a level made up")
      } else {
        #expect(level == nil)
      }
    }
    // What did not count says so, and no press is told more often than it was pressed.
    let strays = ratings.filter { $0["promptedAt"] == nil }
    #expect(strays.allSatisfy { $0["level"] == .null && $0["flags"]?.array?.isEmpty == false })
    #expect(strays.count <= presses)
    #expect(ratings.count == numbers.count + strays.count)
    #expect(ratings.compactMap { $0["chain"]?["number"]?.integer } == Array(1...Int64(ratings.count)))
    let database = run.office.facilities.database
    let verdict = try await RatingChain.verify { after in
      try await database.read { database throws(StoreError) in
        try database.query("SELECT * FROM ratingChain WHERE number > ? ORDER BY number LIMIT 1000", after)
      }
    }
    #expect(verdict.isIntact && verdict.links == Int64(ratings.count))
  }
}
