import LocalAPI
import Posix
import Synchronization
import TestKit
import Testing
import WireJSON

/// The service is killed again and again, at any moment of a visit.
///
/// `HALL_KILLS` says how often (15 unless given), `HALL_SEED` from which numbers the moments come.
@Suite(
  .timeLimit(.minutes(20)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct KillTests {
  /// Moments from a seed (SplitMix64).
  private struct Moments: Sendable {
    var state: UInt64
    mutating func next(below limit: Int) -> Int {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return Int((z ^ (z >> 31)) % UInt64(limit))
    }
  }

  /// What the agent has acknowledged: from then on it may not be lost.
  private struct Acknowledged: Sendable {
    /// Tickets by the request that asked for them: number, check code and `printed`.
    var tickets: [String: (id: String, number: String, code: String, printed: String)] = [:]
    var ratings: [String: (id: String, outcome: String)] = [:]
    var pages: [String: String] = [:]
    var visits: [String] = []
    var prints: [String: String] = [:]
    var cards = 0
  }

  /// A counter application that does not give up.
  private struct Counter: Sendable {
    let position: Position
    let devices: SimulatedDevices
    let done = Observed(Acknowledged())

    /// The end of a request: its answer, or a refusal that is final. What is not known yet is asked again with the same id.
    func persist(
      _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [],
      body: JSONValue? = nil
    ) async throws -> Result<JSONValue, AgentCallError> {
      try await Attempts.until("an end of \(route.rawValue)", limit: .seconds(120)) {
        do throws(AgentCallError) {
          return .success(
            try await position.call(route, parameters, query: query, body: body, timeout: .seconds(60)))
        } catch {
          switch error {
          case .unreachable, .garbled: return nil
          case .problem(_, let problem):
            let cancelled = problem["code"] == "command.cancelled"
            return problem["retry"] == true && !cancelled ? nil : .failure(error)
          }
        }
      }
    }

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

    private func ticket(_ number: Int, _ visit: String) async throws {
      let request = "ticket-\(number)"
      let answer = try await persist(
        .issueTicket, ["role": "dispenser"],
        body: ["requestId": .string(request), "service": "A", "visit": .string(visit)]
      ).get()
      let ticket = (
        id: answer["ticket"]?.string ?? "", number: answer["number"]?.string ?? "",
        code: answer["checkCode"]?.string ?? "", printed: answer["printed"]?.string ?? ""
      )
      done.update { $0.tickets[request] = ticket }
    }

    private func card(_ number: Int, _ visit: String) async throws {
      try await devices.apply("card present citizen", to: "idcard")
      let read = try await persist(
        .readCard, ["role": "idcard"],
        body: ["requestId": .string("card-\(number)"), "visit": .string(visit), "timeoutSeconds": 10])
      if case .success(let card) = read {
        #expect(card["fields"]?["idNumber"]?["value"] == "11010519491231002X")
        done.update { $0.cards += 1 }
      }
      try await devices.apply("card remove", to: "idcard")
    }

    private func scan(_ number: Int, _ visit: String) async throws {
      try await devices.apply("feeder empty; load 2 pages", to: "scanner")
      let scanned = try await persist(
        .scan, ["role": "scanner"], body: ["requestId": .string("scan-\(number)"), "visit": .string(visit)])
      guard case .success(let answer) = scanned else { return }
      for page in answer["material"]?["pages"]?.array ?? [] {
        let (id, blob) = (page["page"]?.string ?? "", page["blob"]?.string ?? "")
        done.update { $0.pages[id] = blob }
      }
    }

    /// The citizen presses whenever the device asks.
    private func rate(_ number: Int, _ visit: String) async throws {
      let request = "rating-\(number)"
      let citizen = Task {
        while !Task.isCancelled {
          _ = try await Attempts.until("the device asks", limit: .seconds(180)) {
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

    private func print(_ number: Int, _ visit: String) async throws {
      let request = "print-\(number)"
      let printed: JSONValue? = try await Attempts.until("an end of the print job", limit: .seconds(120)) {
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

  @Test func `nothing acknowledged is lost and nothing is printed twice, whenever the service is killed`()
    async throws
  {
    let kills = Environment["HALL_KILLS"].flatMap { Int($0) } ?? 15
    let seed =
      Environment["HALL_SEED"].flatMap { UInt64($0) } ?? UInt64(bitPattern: WallTime.now().secondsSince1970)
    print("KillTests: \(kills) kills, HALL_SEED=\(seed)")
    let files = try TemporaryDirectory()
    let intake = PythonIntake(in: files)
    try await intake.start()
    // A scanner keeps the job of a client that died until it has had enough: these here lose patience quickly.
    let hall = """
      [hall]
      speed = instant
      [device idcard]
      model = id-card-reader
      [device dispenser]
      model = ticket-dispenser
      [device scanner]
      model = escl-scanner
      job-timeout = 1 s
      [device evaluator]
      model = evaluator
      [device printer]
      model = printer
      """
    let devices = try await SimulatedDevices(in: files, hall: hall)
    let position = Position(in: files)
    // Citizens come so quickly one after the other that the standard window for repeated frames would slow them down.
    try position.write(
      try SimulatedDevices.all.map {
        try devices.section($0) + ($0 == "evaluator" ? "repeat-window = 50 ms\n" : "")
      }
      .joined())
    try await position.start()

    let counter = Counter(position: position, devices: devices)
    let killed = Observed(0)
    let application = Task {
      var number = 0
      while killed.value < kills {
        number += 1
        try await counter.visit(number)
      }
      return number
    }
    let killer = Task {
      var moments = Moments(state: seed)
      for _ in 1...kills {
        // The moments are what is tested: they come by the clock, whatever goes on.
        try await Attempts.pause(.milliseconds(20 + moments.next(below: 900)))
        try await position.kill()
        killed.update { $0 += 1 }
        try await position.start()
      }
    }
    let visits: Int
    do {
      try await killer.value
      visits = try await application.value
    } catch {
      application.cancel()
      killer.cancel()
      throw error
    }
    let status = try await position.delivered()
    #expect(status["quarantined"] == 0, "\(status)")
    print("KillTests: \(visits) visits, killed \(killed.value) times")
    try check(counter.done.value, intake, devices)
    #expect(try await position.stop() == .exited(0))
  }

  private func check(_ done: Acknowledged, _ intake: PythonIntake, _ devices: SimulatedDevices) throws {
    let (violations, gaps) = (try intake.violations(), try intake.gaps())
    #expect(violations == [])
    #expect(gaps == [])
    let events = try intake.events()
    #expect(Set(events.compactMap { $0["epoch"]?.string }).count == 1, "the state was never lost")
    func data(_ type: String) -> [JSONValue] {
      events.filter { $0["type"]?.string == "gov.hall.\(type).v1" }.compactMap { $0["data"] }
    }

    // Tickets.
    let tickets = data("ticket")
    for (request, ticket) in done.tickets {
      let told = tickets.filter { $0["requestId"]?.string == request }
      #expect(told.count == 1, "\(request): \(told.count) events")
      #expect(told.first?["ticket"]?.string == ticket.id && told.first?["printed"]?.string == ticket.printed)
    }
    #expect(
      Set(done.tickets.values.map(\.number)).count == done.tickets.count,
      "every request has a number of its own")
    let pieces = try devices.records(of: "dispenser", "ticket")
    var printed: [String: Int] = [:]
    for piece in pieces {
      let symbols = piece.fields.filter { $0.name == "qr" }.map(\.value)
      #expect(symbols.count <= 1, "two tickets on one piece of paper: \(symbols)")
      for symbol in symbols { printed[symbol, default: 0] += 1 }
    }
    for (symbol, count) in printed { #expect(count == 1, "\(symbol) was printed \(count) times") }
    for (request, ticket) in done.tickets where ticket.printed == "yes" {
      let count = printed.filter { $0.key.hasSuffix(":\(ticket.number):\(ticket.code)") }.count
      #expect(count == 1, "\(request) was said to be printed")
    }

    // Ratings.
    let ratings = data("rating")
    for (request, rating) in done.ratings {
      let told = ratings.filter { $0["requestId"]?.string == request }
      #expect(told.count == 1 && told.first?["rating"]?.string == rating.id)
      #expect(told.first?["outcome"]?.string == rating.outcome)
      #expect((told.first?["level"]?.integer == 4) == (rating.outcome == "rated"), "no level is made up")
    }
    let chain = ratings.compactMap { $0["chain"]?["number"]?.integer }
    #expect(chain == (chain.isEmpty ? [] : Array(1...Int64(chain.count))))
    for (one, next) in zip(ratings, ratings.dropFirst()) {
      #expect(next["chain"]?["previous"] == one["chain"]?["hash"])
    }

    // Pages.
    let pages = data("material.page")
    let told = Dictionary(grouping: pages) { $0["page"]?.string ?? "" }
    let blobs = try intake.blobs()
    for (page, blob) in done.pages {
      #expect(told[page]?.count == 1 && told[page]?.first?["blob"]?.string == blob)
      #expect(blobs.contains(blob))
    }

    // Visits, and print jobs: each one at the most once on paper.
    let opened = Set(events.filter { $0["data"]?["state"] == "opened" }.compactMap { $0["visit"]?.string })
    #expect(Set(done.visits).isSubset(of: opened))
    let jobs = try devices.records(of: "printer").filter { $0.event == "job" }
    let names = jobs.compactMap { $0["name"] }
    #expect(Set(names).count == names.count, "\(names)")
    for (request, outcome) in done.prints where outcome == "yes" {
      #expect(names.contains("hall-agent \(request)"), "\(request) was said to be printed")
    }
    for (request, outcome) in done.prints {
      let told = data("print").filter { $0["requestId"]?.string == request }
      #expect(told.count <= 1 && (told.first?["outcome"]?.string ?? "no") == outcome, "\(request): \(told)")
    }
    print(
      "KillTests: outcomes of ratings: "
        + Dictionary(grouping: done.ratings.values, by: \.outcome).map { "\($0.key) \($0.value.count)" }
        .sorted()
        .joined(separator: ", "))
    print(
      "KillTests: \(done.tickets.count) tickets (\(done.tickets.values.filter { $0.printed == "yes" }.count) printed), "
        + "\(done.ratings.values.filter { $0.outcome == "rated" }.count) of \(done.ratings.count) ratings given, "
        + "\(done.pages.count) pages, \(done.cards) cards, \(done.prints.count) print jobs")
  }
}
