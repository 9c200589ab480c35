import HallKit
import LocalAPI
import Posix
import TestKit
import WireJSON

/// One position with all kinds of devices, each process apart from the others with a durable log of its own, an intake that is
/// a program of its own, and a counter that does not give up.
struct Hall: Sendable {
  let files: TemporaryDirectory
  let intake: PythonIntake
  let devices: SimulatedDevices
  let position: Position
  let faults: Faults?
  let counter: Counter

  /// - Parameters:
  ///   - withFaults: whether the agent is to run with ``Faults``; they do nothing at first.
  ///   - outbox: lines of its section of the configuration.
  ///   - intakeUser: the account that the agent expects the intake to run as.
  ///   - runningIntakeAs: the user, by number, as whom it runs.
  init(
    withFaults: Bool = false, outbox: String = "", intakeUser: String = "", runningIntakeAs user: Int? = nil
  ) async throws {
    files = try TemporaryDirectory()
    intake = PythonIntake(in: files)
    try await intake.start(asUser: user)
    // A scanner keeps the job of a client that died until it has had enough: this one loses patience quickly.
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
      number-pages = yes
      [device evaluator]
      model = evaluator
      [device printer]
      model = printer
      """
    devices = try await SimulatedDevices(in: files, hall: hall)
    faults = withFaults ? try await Faults(in: files, state: files.path("state")) : nil
    position = Position(in: files, environment: faults?.environment ?? [:])
    // Citizens come so quickly one after the other that the standard window for repeated frames would slow them down.
    let sections = try SimulatedDevices.all.map { [devices] in
      try devices.section($0) + ($0 == "evaluator" ? "repeat-window = 50 ms\n" : "")
    }
    try position.write(outbox: outbox, intakeUser: intakeUser, sections.joined())
    counter = Counter(position: position, devices: devices)
  }

  /// What the agent says of its outbox, in one of its languages.
  func outboxStatus(_ language: Language = .english) async throws -> JSONValue {
    let client = AgentClient(socket: position.socket, language: language)
    let answer = try await client.call(.outboxStatus)
    await client.close()
    return answer
  }

  /// What does not hold of everything that was acknowledged: lost, damaged, done twice, made up. Empty if all is well.
  func violations() throws -> [String] {
    var wrong: [String] = []
    func hold(_ condition: Bool, _ words: @autoclosure () -> String) {
      if !condition { wrong.append(words()) }
    }
    let done = counter.done.value
    wrong += try intake.violations()
    wrong += try intake.gaps()
    let events = try intake.events()
    hold(Set(events.compactMap { $0["epoch"]?.string }).count <= 1, "the state was lost")
    let byType = Dictionary(grouping: events) { $0["type"]?.string ?? "" }
    func data(_ type: String) -> [JSONValue] {
      byType["gov.hall.\(type).v1"]?.compactMap { $0["data"] } ?? []
    }
    func byRequest(_ type: String) -> [String: [JSONValue]] {
      Dictionary(grouping: data(type)) { $0["requestId"]?.string ?? "" }
    }

    let tickets = byRequest("ticket")
    for (request, ticket) in done.tickets {
      let told = tickets[request] ?? []
      hold(told.count == 1, "\(request): \(told.count) events")
      hold(
        told.first?["ticket"]?.string == ticket.id && told.first?["printed"]?.string == ticket.printed,
        "\(request) was told otherwise")
    }
    hold(
      Set(done.tickets.values.map(\.number)).count == done.tickets.count, "two requests have one number")
    let pieces = try devices.records(of: "dispenser", "ticket")
    var printed: [String: Int] = [:]
    for piece in pieces {
      let symbols = piece.fields.filter { $0.name == "qr" }.map(\.value)
      hold(symbols.count <= 1, "two tickets on one piece of paper: \(symbols)")
      for symbol in symbols {
        // Number and check code are its last two parts.
        printed[symbol.split(separator: ":").suffix(2).joined(separator: ":"), default: 0] += 1
      }
    }
    for (symbol, count) in printed { hold(count == 1, "\(symbol) was printed \(count) times") }
    for (request, ticket) in done.tickets where ticket.printed == "yes" {
      hold(printed["\(ticket.number):\(ticket.code)"] == 1, "\(request) was said to be printed")
    }

    let ratings = byRequest("rating")
    for (request, rating) in done.ratings {
      let told = ratings[request] ?? []
      hold(
        told.count == 1 && told.first?["rating"]?.string == rating.id,
        "\(request): \(told.count) events: \(told)")
      hold(told.first?["outcome"]?.string == rating.outcome, "\(request) ended otherwise")
      hold((told.first?["level"]?.integer == 4) == (rating.outcome == "rated"), "\(request): a level made up")
    }
    let chained = data("rating")
    hold(
      chained.compactMap { $0["chain"]?["number"]?.integer }
        == (chained.isEmpty ? [] : Array(1...Int64(chained.count))), "the chain of ratings has gaps")
    for (one, next) in zip(chained, chained.dropFirst()) {
      hold(next["chain"]?["previous"] == one["chain"]?["hash"], "the chain of ratings is broken")
    }

    let pages = Dictionary(grouping: data("material.page")) { $0["page"]?.string ?? "" }
    let blobs = try intake.blobs()
    for (page, blob) in done.pages {
      hold(
        pages[page]?.count == 1 && pages[page]?.first?["blob"]?.string == blob,
        "page \(page) was not told once"
      )
      hold(blobs.contains(blob), "page \(page) is lost")
    }

    let opened = Set(events.filter { $0["data"]?["state"] == "opened" }.compactMap { $0["visit"]?.string })
    hold(Set(done.visits).isSubset(of: opened), "a visit is lost")
    let names = try devices.records(of: "printer").filter { $0.event == "job" }.compactMap { $0["name"] }
    hold(Set(names).count == names.count, "a job was printed twice")
    let jobs = Set(names)
    let told = byRequest("print")
    for (request, outcome) in done.prints {
      hold(outcome != "yes" || jobs.contains("hall-agent \(request)"), "\(request) was said to be printed")
      hold(
        (told[request]?.count ?? 0) <= 1 && (told[request]?.first?["outcome"]?.string ?? "no") == outcome,
        "\(request) was told otherwise")
    }
    return wrong
  }

  /// Figures for people.
  func summary() throws -> String {
    let done = counter.done.value
    let outcomes = Dictionary(grouping: done.ratings.values, by: \.outcome)
      .map { "\($0.key) \($0.value.count)" }.sorted().joined(separator: ", ")
    return """
      \(done.visits.count) visits; \(done.tickets.count) tickets \
      (\(done.tickets.values.count { $0.printed == "yes" }) printed), ratings: \(outcomes); \(done.pages.count) pages, \
      \(done.cards) cards, \(done.prints.count) print jobs; \(try intake.duplicates()) re-sent
      """
  }
}

/// Keeps the agent running as systemd does: whenever it ends it is started again.
actor Supervisor {
  private let position: Position
  private var task: Task<Void, any Error>?
  /// How it ended each time.
  private(set) var ends: [ExitStatus] = []
  /// The last that it said before it ended the last time.
  private(set) var lastWords = ""
  /// What it printed when it broke down instead of saying what is wrong.
  private(set) var crashes: [String] = []
  private var isStopping = false

  private init(_ position: Position) { self.position = position }

  /// Keeps it running while `body` does its work, and ends it in good order then. After an error nothing goes on running.
  static func run(_ position: Position, _ body: (Supervisor) async throws -> Void) async throws {
    let supervisor = Supervisor(position)
    do {
      try await supervisor.start()
      try await body(supervisor)
      try await supervisor.stop()
    } catch {
      await supervisor.abandon()
      throw error
    }
  }

  /// Starts it; returns when it answers.
  private func start() async throws {
    try await launch()
    task = Task { try await self.watch() }
  }

  private func abandon() async {
    isStopping = true
    // It may just be starting anew.
    task?.cancel()
    try? position.running.signal(Signals.kill)
    _ = try? await task?.value
    try? position.running.signal(Signals.kill)
  }

  private func watch() async throws {
    while true {
      let program = try position.running
      let status = try await program.lasting()
      note(program, status)
      if isStopping { return }
      try await launch()
    }
  }

  /// A start that fails is repeated, as `Restart=on-failure` does.
  private func launch() async throws {
    for _ in 1...20 where !isStopping {
      do {
        try await position.start()
        return
      } catch is Programs.Failure {
        let program = try position.running
        note(program, try await program.status())
      }
    }
    throw Programs.Failure(description: "the agent does not start any more")
  }

  private func note(_ program: RunningProgram, _ status: ExitStatus) {
    ends.append(status)
    let text = program.printed.value.errors.joined(separator: "\n")
    lastWords = program.printed.value.errors.suffix(6).joined(separator: "\n")
    if isCrashReport(text) { crashes.append(text) }
    if case .signalled(let signal) = status, signal != Signals.kill {
      crashes.append("signal \(signal): \(text)")
    }
  }

  private func stop() async throws {
    isStopping = true
    try position.running.signal(Signals.terminate)
    try await task?.value
  }

  /// Kills it; it starts again.
  nonisolated func kill() throws { try position.running.signal(Signals.kill) }
}
