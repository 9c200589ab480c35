import Devices
import LocalAPI
import WireJSON

/// Closes visits, each once, whoever asks for it meanwhile and whoever goes away.
///
/// A citizen who was not asked for a rating in the visit is asked at its end, if anything can ask and unless the hall or the
/// caller does not want that. The visit is open until the answer is there: a press counts only within one.
actor VisitClosing {
  private let agent: HallAgent
  private var closing: [String: Task<Result<Visit, Problem>, Never>] = [:]

  init(_ agent: HallAgent) { self.agent = agent }

  /// - Parameter asks: whether the citizen is asked; nil: as configured.
  func close(_ id: String, outcome: String, asks: Bool?, caller: Caller) async throws(Problem) -> Visit {
    let task =
      closing[id]
      ?? Task {
        await agent.askAtClosing(id, outcome: outcome, asks: asks, caller: caller)
        let result: Result<Visit, Problem>
        do throws(Problem) {
          result = .success(try await agent.visits.close(id, outcome: outcome))
        } catch {
          result = .failure(error)
        }
        closing[id] = nil
        return result
      }
    closing[id] = task
    return try await task.value.get()
  }
}

extension HallAgent {
  /// Asks for a rating of a visit in which nobody did. What comes of it is no business of the visit's.
  func askAtClosing(_ id: String, outcome: String, asks: Bool?, caller: Caller) async {
    guard asks ?? asksAtClosing, outcome != "abandoned",
      let visit = await visits.all.first(where: { $0.id == id }), visit.state == "active", !visit.ratingAsked,
      let role = await whereToAsk(), let session = try? await devices.session(role)
    else { return }
    let body: JSONValue = [
      "requestId": .string("closing-\(id)"), "visit": .string(id), "serviceNumber": 1,
    ]
    let (ratings, visits) = (ratings, visits)
    _ = try? await requests.perform(
      .askRating, role: role, request: CommandRequest(body), caller: caller
    ) { context throws(Problem) in
      try await ratings.ask(context, session: session, visit: visit) { await visits.noteRatingAsked($0) }
    }
  }

  /// The device that a citizen is asked on: a screen before keys, and only one that is there.
  private func whereToAsk() async -> String? {
    let views = await devices.views().filter {
      !$0.locked && [.online, .deviceBusy].contains($0.report.state)
    }
    for kind in [DeviceKind.citizenScreen, .evaluator] {
      for view in views where view.slot.kind == kind {
        if await !ratings.isAsking(view.slot.role) { return view.slot.role }
      }
    }
    return nil
  }
}
