import HTTPServer
import LocalAPI
import Store
import WireJSON

/// The routes of the citizens' screens and of the chain of ratings.
extension AgentAPI {
  func screens(_ call: Call) async throws(Problem) -> ServerResponse {
    let screen = call.parameters["screen"] ?? call.body["screen"]?.string ?? "1"
    switch call.route {
    case .listScreens: return json(["screens": try await agent.screenKeys.list()])
    case .pairScreen:
      try await agent.screenKeys.pair(code: call.body["code"]?.string ?? "", screen: screen)
      try audit(call, "screen \(screen) paired")
      return json(["screen": .string(screen)])
    case .makeScreenAddress:
      try audit(call, "screen \(screen) given a new address")
      return json(["url": .string(try await agent.screenKeys.address(for: screen))])
    case .revokeScreen:
      try audit(call, "screen \(screen) shut out")
      try await agent.screenKeys.revoke(screen)
      return json(["screen": .string(screen)])
    default:
      let database = facilities.database
      let verdict: RatingChain.Verdict
      do {
        verdict = try await RatingChain.verify { after in
          try await database.read { database throws(StoreError) in
            try database.query(
              "SELECT number, hash, content FROM ratingChain WHERE number > ? ORDER BY number LIMIT 1000",
              after)
          }
        }
      } catch {
        throw Problem(.notStored, "\(error)")
      }
      return json([
        "intact": .bool(verdict.isIntact), "links": .integer(verdict.links), "head": .string(verdict.head),
        "missing": .array(verdict.missing.map(JSONValue.integer)),
        "broken": .array(verdict.broken.map(JSONValue.integer)),
        "unverifiable": .integer(verdict.unverifiable),
      ])
    }
  }
}
