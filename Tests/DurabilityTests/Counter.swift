import HallKit
import LocalAPI
import Posix
import Synchronization
import TestKit
import WireJSON

extension SeededRandom {
  /// The seed that the environment gives, or one of today.
  static func seed() -> UInt64 {
    Environment["HALL_SEED"].flatMap { UInt64($0) } ?? UInt64(bitPattern: WallTime.now().secondsSince1970)
  }
}

/// Work that is shared out: each piece is done once.
final class Work<Piece: Sendable>: Sendable {
  private let left: Mutex<[Piece]>

  init(_ pieces: [Piece]) { left = Mutex(pieces.reversed()) }

  func next() -> Piece? { left.withLock { $0.popLast() } }
}

/// How large a proof is: a number in the environment, or that of the continuous integration.
func size(_ name: String, usually usual: Int) -> Int { Environment[name].flatMap { Int($0) } ?? usual }

/// What the agent has acknowledged: from then on it may not be lost.
struct Acknowledged: Sendable {
  /// Tickets by the request that asked for them: number, check code and `printed`.
  var tickets: [String: (id: String, number: String, code: String, printed: String)] = [:]
  var ratings: [String: (id: String, outcome: String)] = [:]
  /// Digests by page.
  var pages: [String: String] = [:]
  var visits: [String] = []
  /// `printed` by request.
  var prints: [String: String] = [:]
  var cards = 0

  var count: Int { tickets.count + ratings.count + pages.count + visits.count + prints.count }
}

/// A counter application that does not give up: every request is asked again, with the same id, until its end is known.
struct Counter: Sendable {
  let position: Position
  let devices: SimulatedDevices
  let done = Observed(Acknowledged())

  /// What the agent forwards of a whole visit: all device kinds.
  func visit(_ number: Int) async throws {
    let opened = try await persist(
      .openVisit, body: ["requestId": .string("visit-\(number)"), "window": "07"])
    guard let visit = try opened.get()["visit"]?.string else { return }
    done.update { $0.visits.append(visit) }
    try await ticket(number, visit)
    try await card(number, visit)
    try await scan(number, visit)
    try await rate(number, visit)
    try await print(number, visit)
    _ = try await persist(.closeVisit, ["visit": visit]).get()
  }

  /// The end of a request: its answer, or a refusal that is final.
  /// - Parameter mend: what a clerk does when the agent says that it can be asked again, by the problem's code.
  func persist(
    _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [],
    body: JSONValue? = nil, mend: (String) async throws -> Void = { _ in }
  ) async throws -> Result<JSONValue, AgentCallError> {
    var last: AgentCallError?
    do {
      return try await Attempts.until("an end of \(route.rawValue)") {
        do throws(AgentCallError) {
          return .success(
            try await position.call(route, parameters, query: query, body: body, timeout: .seconds(300)))
        } catch {
          last = error
          switch error {
          case .unreachable, .garbled: return nil
          case .problem(_, let problem):
            let code = problem["code"]?.string ?? ""
            guard problem["retry"] == true, code != "command.cancelled" else { return .failure(error) }
            try await mend(code)
            return nil
          }
        }
      }
    } catch let failure as Programs.Failure {
      throw Programs.Failure(description: "\(failure); the last answer: \(last.map { "\($0)" } ?? "none")")
    }
  }

  func ticket(_ number: Int, _ visit: String) async throws {
    let request = "ticket-\(number)"
    let issued = try await persist(
      .issueTicket, ["role": "dispenser"],
      body: ["requestId": .string(request), "service": "A", "visit": .string(visit)])
    guard case .success(let answer) = issued else { return }
    let ticket = (
      id: answer["ticket"]?.string ?? "", number: answer["number"]?.string ?? "",
      code: answer["checkCode"]?.string ?? "", printed: answer["printed"]?.string ?? ""
    )
    done.update { $0.tickets[request] = ticket }
  }

  func card(_ number: Int, _ visit: String) async throws {
    try await devices.apply("card present citizen", to: "idcard")
    let read = try await persist(
      .readCard, ["role": "idcard"],
      body: ["requestId": .string("card-\(number)"), "visit": .string(visit), "timeoutSeconds": 10])
    if case .success(let card) = read, card["fields"]?["idNumber"]?["value"] == "11010519491231002X" {
      done.update { $0.cards += 1 }
    }
    try await devices.apply("card remove", to: "idcard")
  }

  func scan(_ number: Int, _ visit: String) async throws {
    try await devices.apply("feeder empty; load 2 pages", to: "scanner")
    let scanned = try await persist(
      .scan, ["role": "scanner"], body: ["requestId": .string("scan-\(number)"), "visit": .string(visit)]
    ) { code in
      // A kill came between the sheets' being fed and the answer.
      if code == "feeder.empty" { try await devices.apply("feeder empty; load 2 pages", to: "scanner") }
    }
    guard case .success(let answer) = scanned else { return }
    for page in answer["material"]?["pages"]?.array ?? [] {
      let (id, blob) = (page["page"]?.string ?? "", page["blob"]?.string ?? "")
      done.update { $0.pages[id] = blob }
    }
  }

  /// The citizen presses whenever the device asks.
  func rate(_ number: Int, _ visit: String) async throws {
    let request = "rating-\(number)"
    let citizen = Task {
      while !Task.isCancelled {
        _ = try await Attempts.until("the device asks") {
          try await devices.state(of: "evaluator")["prompting"] == "yes" ? true : nil
        }
        try await devices.apply("press 4", to: "evaluator")
      }
    }
    defer { citizen.cancel() }
    let rated = try await persist(
      .askRating, ["role": "evaluator"],
      body: [
        "requestId": .string(request), "visit": .string(visit), "serviceNumber": 1, "timeoutSeconds": 20,
      ])
    guard case .success(let answer) = rated else { return }
    let rating = (id: answer["rating"]?.string ?? "", outcome: answer["outcome"]?.string ?? "")
    done.update { $0.ratings[request] = rating }
  }

  func print(_ number: Int, _ visit: String) async throws {
    let request = "print-\(number)"
    let printed: JSONValue? = try await Attempts.until("an end of the print job") {
      do {
        return try await position.print(smallestPDF, role: "printer", request: request)
      } catch AgentCallError.problem(_, let problem) {
        return problem["retry"] == true ? nil : Optional.some(problem)
      } catch is AgentCallError {
        return nil
      }
    }
    done.update { $0.prints[request] = printed?["printed"]?.string ?? "no" }
  }
}

extension SeededRandom {
  /// Where a sweep with gaps begins: another place each time, so that many small runs see all of it.
  static func firstOffset(below stride: Int) -> Int {
    var moments = SeededRandom(seed: seed())
    return moments.next(below: max(1, stride))
  }
}
