import Crypto
import Devices
import LocalAPI
import Posix
import Store
import WireJSON

/// Where a command is. Stored, so that the same `requestId` never does the same thing twice, whatever crashes.
enum RequestState: String, Sendable {
  /// Taken; nothing physical has happened. After a crash it may be done anew.
  case accepted
  /// Something physical may have happened.
  case begun
  case done, failed, unknown, cancelled

  var isFinal: Bool { self != .accepted && self != .begun }
  /// The word of the API.
  var word: String { isFinal ? rawValue : "running" }
}

/// How a command ended and what else belongs into the same commit.
struct Completion: Sendable {
  var state: RequestState
  var status: Int
  var body: JSONValue
  /// False for a card's contents, which are given to the caller and nowhere else.
  var keepsBody = true
  /// Rows and events of the same commit; nil when there are none.
  var also: (@Sendable (Database) throws(StoreError) -> Void)?
  /// What is told to the device once all that is on the disk.
  var afterwards: @Sendable () async -> Void = {}

  /// The same completion, with something to be done after its commit.
  func then(_ action: @escaping @Sendable () async -> Void) -> Completion {
    var copy = self
    copy.afterwards = action
    return copy
  }

  static func done(
    _ body: JSONValue, status: Int = 200,
    also: (@Sendable (Database) throws(StoreError) -> Void)? = nil
  ) -> Completion {
    Completion(state: .done, status: status, body: body, also: also)
  }
}

/// The answer of a command, as given to the first caller and to every later one with the same id.
struct CommandAnswer: Sendable {
  var status: Int
  var body: JSONValue
}

/// What a running command is given.
struct CommandContext: Sendable {
  let request: CommandRequest
  let caller: Caller
  let desk: RequestDesk

  /// To be called immediately before a physical effect: commits that it may happen, together with `also`. False when it
  /// could not be noted, or when the command has been cancelled: then the effect must not happen.
  func begin(also: @escaping @Sendable (Database) throws(StoreError) -> Void = { _ in }) async -> Bool {
    await desk.begin(request.id, also: also)
  }
}

/// Makes every command idempotent: one row a `requestId`, its answer kept for those who ask again.
actor RequestDesk {
  private struct Running {
    let fingerprint: Digest
    /// The commit of its row: nil, or why it failed. A command waits for it only where its effect begins, or where it ends: what
    /// is lost with a row that says no more than `accepted` may be done anew.
    let accepted: Task<Problem?, Never>
    let task: Task<Result<CommandAnswer, Problem>, Never>
    let verb: Route
    var watchers: Int
    var begun = false
    var cancelled = false
    /// Why its effect could not be noted, and so must not happen.
    var notBegun: Problem?
  }

  private let facilities: Facilities
  /// A command that has ended and whose end could not be stored yet.
  private struct Unsettled {
    let verb: Route
    let role: String?
    let fingerprint: Digest
    let completion: Completion
  }

  private var running: [String: Running] = [:]
  private var unsettled: [String: Unsettled] = [:]
  private var stopping = false
  private var idle: [Int: CheckedContinuation<Void, Never>] = [:]
  private var lastIdle = 0

  init(_ facilities: Facilities) { self.facilities = facilities }

  /// Carries a command out, or gives the answer of the one that had this id.
  ///
  /// The command goes on when its caller leaves, except for a card read that has not found a card yet.
  func perform(
    _ verb: Route, role: String?, request: CommandRequest, fingerprint extra: [UInt8] = [], caller: Caller,
    work: @escaping @Sendable (CommandContext) async throws(Problem) -> Completion
  ) async throws(Problem) -> CommandAnswer {
    var body = request.body
    body["requestId"] = nil
    let text = Array("\(verb.rawValue) \(role ?? "") ".utf8) + ((try? JSON.encode(body)) ?? []) + extra
    let fingerprint = SHA256.digest(of: text)
    if running[request.id] == nil {
      if stopping { throw Problem(.stopping) }
      if unsettled[request.id]?.fingerprint == fingerprint,
        let left = unsettled.removeValue(forKey: request.id)
      {
        return try await conclude(request.id, left)
      }
      if let answer = try await earlier(request.id, fingerprint) { return answer }
    }
    if running[request.id] == nil {
      start(verb, role: role, request: request, fingerprint: fingerprint, caller: caller, work: work)
    }
    guard let entry = running[request.id] else { throw Problem(.inProgress) }
    guard entry.fingerprint == fingerprint else { throw Problem(.mismatch) }
    running[request.id]?.watchers += 1
    let id = request.id
    return try await withTaskCancellationHandler {
      await entry.task.value
    } onCancel: {
      Task { await self.callerLeft(id) }
    }.get()
  }

  private func start(
    _ verb: Route, role: String?, request: CommandRequest, fingerprint: Digest, caller: Caller,
    work: @escaping @Sendable (CommandContext) async throws(Problem) -> Completion
  ) {
    let accepted = Task { await self.accept(verb, role: role, request: request, fingerprint: fingerprint) }
    let task = Task { () -> Result<CommandAnswer, Problem> in
      do throws(Problem) {
        return .success(
          try await self.carryOut(
            verb, role: role, request: request, fingerprint: fingerprint, caller: caller, accepted: accepted,
            work: work))
      } catch {
        return .failure(error)
      }
    }
    running[request.id] = Running(
      fingerprint: fingerprint, accepted: accepted, task: task, verb: verb, watchers: 0)
  }

  private func accept(
    _ verb: Route, role: String?, request: CommandRequest, fingerprint: Digest
  ) async -> Problem? {
    let now = WallTime.now()
    do throws(Problem) {
      try await facilities.note { database throws(StoreError) in
        try database.run(
          """
          INSERT INTO request (id, verb, role, fingerprint, state, started, startedSeconds)
          VALUES (?, ?, ?, ?, 'accepted', ?, ?)
          """,
          [
            .text(request.id), .text(verb.rawValue), SQLValue(role), .blob(fingerprint.bytes),
            .text(now.rfc3339),
            .integer(now.secondsSince1970),
          ])
      }
      return nil
    } catch {
      return error
    }
  }

  private func carryOut(
    _ verb: Route, role: String?, request: CommandRequest, fingerprint: Digest, caller: Caller,
    accepted: Task<Problem?, Never>,
    work: @Sendable (CommandContext) async throws(Problem) -> Completion
  ) async throws(Problem) -> CommandAnswer {
    defer { finished(request.id) }
    await publish(request.id, verb, role, .accepted)
    let completion: Completion
    do throws(Problem) {
      completion = try await work(CommandContext(request: request, caller: caller, desk: self))
      if let problem = await accepted.value { throw problem }
    } catch {
      let problem = await accepted.value ?? running[request.id]?.notBegun ?? error
      await withdraw(request.id, verb, role, problem)
      throw problem
    }
    return try await conclude(
      request.id, Unsettled(verb: verb, role: role, fingerprint: fingerprint, completion: completion))
  }

  private func conclude(_ id: String, _ end: Unsettled) async throws(Problem) -> CommandAnswer {
    do throws(Problem) {
      try await settle(id, end.completion)
    } catch {
      // When the disk is full the next call with this id tries again; a crash leaves the row as `begun`.
      unsettled[id] = end
      throw error
    }
    await end.completion.afterwards()
    await publish(id, end.verb, end.role, end.completion.state)
    return CommandAnswer(status: end.completion.status, body: end.completion.body)
  }

  /// A command that throws has had no effect: it leaves no row, and the caller may send the same id again when the cause
  /// is gone. One that somebody cancelled stays cancelled; one that the end of the service cut short does not.
  private func withdraw(_ id: String, _ verb: Route, _ role: String?, _ error: Problem) async {
    let cancelled = running[id]?.cancelled == true && !stopping
    _ = try? await facilities.note { database throws(StoreError) in
      if cancelled {
        try database.run(
          "UPDATE request SET state = 'cancelled', status = ? WHERE id = ?",
          [SQLValue(error.status), .text(id)])
      } else {
        try database.run("DELETE FROM request WHERE id = ?", [.text(id)])
      }
    }
    await publish(id, verb, role, cancelled ? .cancelled : .failed)
  }

  private func settle(_ id: String, _ completion: Completion) async throws(Problem) {
    let seal = facilities.seal
    let end: @Sendable (Database) throws(StoreError) -> Void = { database throws(StoreError) in
      try completion.also?(database)
      let stored: SQLValue = completion.keepsBody ? try seal.store(completion.body, id: id) : .null
      try database.run(
        "UPDATE request SET state = ?, status = ?, document = ? WHERE id = ?",
        [.text(completion.state.rawValue), SQLValue(completion.status), stored, .text(id)])
    }
    if completion.also == nil { try await facilities.note(end) } else { try await facilities.commit(end) }
  }

  fileprivate func begin(
    _ id: String, also: @escaping @Sendable (Database) throws(StoreError) -> Void
  ) async -> Bool {
    guard let accepted = running[id]?.accepted, await accepted.value == nil else { return false }
    guard let entry = running[id], !entry.cancelled else { return false }
    // Set before the commit is awaited: from here on nobody may take the command for one without effect.
    running[id]?.begun = true
    do throws(Problem) {
      try await facilities.commit { database throws(StoreError) in
        try also(database)
        try database.run("UPDATE request SET state = 'begun' WHERE id = ?", [.text(id)])
      }
      return true
    } catch {
      running[id]?.begun = false
      running[id]?.notBegun = error
      return false
    }
  }

  /// The answer of a command that has ended; nil when there was none with this id.
  private func earlier(_ id: String, _ fingerprint: Digest) async throws(Problem) -> CommandAnswer? {
    let row = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM request WHERE id = ?", [.text(id)])
    }
    guard let row else { return nil }
    guard row["fingerprint"].blob == fingerprint.bytes else { throw Problem(.mismatch) }
    guard let state = RequestState(rawValue: row["state"].text ?? ""), state.isFinal else {
      throw Problem(.inProgress)
    }
    let status = Int(row["status"].integer ?? 200)
    if state == .cancelled { throw Problem(Fault(.commandCancelled)) }
    guard case .blob = row["document"] else { throw Problem(.resultGone) }
    guard let body = facilities.seal.open(row["document"], id: id) else {
      throw Problem(.resultGone, "sealed under another key")
    }
    return CommandAnswer(status: status, body: body)
  }

  private func finished(_ id: String) {
    running[id] = nil
    if running.isEmpty {
      for waiter in idle.values { waiter.resume() }
      idle = [:]
    }
  }

  private func publish(_ id: String, _ verb: Route, _ role: String?, _ state: RequestState) async {
    await facilities.hub.publish(
      "request",
      [
        "requestId": .string(id), "verb": .string(verb.rawValue), "role": JSONValue(role),
        "state": .string(state.word),
      ])
  }

  // MARK: Cancelling

  private func callerLeft(_ id: String) {
    guard let entry = running[id] else { return }
    running[id]?.watchers -= 1
    if entry.watchers <= 1, !entry.begun, entry.verb == .readCard { cancelNow(id) }
  }

  private func cancelNow(_ id: String) {
    running[id]?.cancelled = true
    running[id]?.task.cancel()
  }

  /// Cancels a command that has had no effect, a scan between two pages, or a rating that has not been given.
  func cancel(_ id: String) async throws(Problem) {
    guard let entry = running[id] else {
      _ = try await show(id, .english)
      throw Problem(.notCancellable)
    }
    let stoppable: Set<Route> = [.readCard, .scan, .askRating, .showScreen, .showDocument, .collectSignature]
    guard !entry.begun || stoppable.contains(entry.verb) else { throw Problem(.notCancellable) }
    if entry.begun { entry.task.cancel() } else { cancelNow(id) }
    _ = await entry.task.value
  }

  /// Settles a command whose outcome is unknown, after a person looked: `answer` is what it has told so far, with what is known
  /// now; `also` goes into the same commit.
  func resolve(
    _ id: String, resolution: String, answer: (JSONValue) -> JSONValue,
    also: @escaping @Sendable (Database) throws(StoreError) -> Void
  ) async throws(Problem) {
    let row = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT document FROM request WHERE id = ? AND state = 'unknown'", [.text(id)])
    }
    guard let row else {
      throw Problem(.invalid, "only a command whose outcome is unknown can be settled")
    }
    let seal = facilities.seal
    let settled = answer(seal.open(row["document"], id: id) ?? [:])
    try await facilities.commit { database throws(StoreError) in
      try database.run(
        "UPDATE request SET state = 'done', resolution = ?, document = ? WHERE id = ? AND state = 'unknown'",
        [.text(resolution), try seal.store(settled, id: id), .text(id)])
      if database.changes > 0 { try also(database) }
    }
  }

  // MARK: Asking

  func show(_ id: String, _ language: Language) async throws(Problem) -> JSONValue {
    _ = await running[id]?.accepted.value
    let row = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM request WHERE id = ?", [.text(id)])
    }
    guard let row else { throw Problem(.notFound, "no request has the id '\(id)'") }
    return json(row)
  }

  func list(_ state: String?) async throws(Problem) -> JSONValue {
    for entry in running.values { _ = await entry.accepted.value }
    let stored: [String]
    switch state {
    case nil: stored = ["accepted", "begun", "done", "failed", "unknown", "cancelled"]
    case "running": stored = ["accepted", "begun"]
    case let word?: stored = [word]
    }
    let rows = try await facilities.read { database throws(StoreError) in
      try database.query(
        "SELECT * FROM request WHERE state IN (\(stored.map { "'\($0)'" }.joined(separator: ", "))) "
          + "ORDER BY startedSeconds DESC, rowid DESC LIMIT 200")
    }
    return ["requests": .array(rows.map(json))]
  }

  private func json(_ row: SQLRow) -> JSONValue {
    let id = row["id"].text ?? ""
    let state = RequestState(rawValue: row["state"].text ?? "") ?? .unknown
    var value: [String: JSONValue] = [
      "requestId": .string(id), "verb": .string(row["verb"].text ?? ""), "state": .string(state.word),
      "startedAt": .string(row["started"].text ?? ""),
    ]
    if let role = row["role"].text { value["role"] = .string(role) }
    if let status = row["status"].integer { value["status"] = .integer(status) }
    if let resolution = row["resolution"].text { value["resolution"] = .string(resolution) }
    if case .blob = row["document"], let body = facilities.seal.open(row["document"], id: id) {
      value["result"] = body
    }
    return .object(value)
  }

  // MARK: Starting and stopping

  /// Commands that a crash interrupted: those without effect are forgotten (their callers send them again), those with a
  /// possible effect are returned for their desks to settle.
  func recover() async throws(Problem) -> [(id: String, verb: Route, role: String?)] {
    await Erasure(facilities: facilities).forgetOld()
    let rows = try await facilities.commit { database throws(StoreError) in
      try database.run("DELETE FROM request WHERE state = 'accepted'")
      return try database.query("SELECT id, verb, role FROM request WHERE state = 'begun'")
    }
    return rows.compactMap { row in
      guard let id = row["id"].text, let verb = Route(rawValue: row["verb"].text ?? "") else { return nil }
      return (id, verb, row["role"].text)
    }
  }

  /// Ends a command that a crash interrupted.
  func settleRecovered(_ id: String, _ completion: Completion) async {
    do throws(Problem) {
      try await settle(id, completion)
    } catch {
      facilities.log(.error, "requests", "request \(id) could not be settled: \(error.detail)")
    }
  }

  /// Takes no new commands and waits for the running ones, or until it is cancelled itself; those that can be cancelled
  /// without effect are.
  func stop() async {
    stopping = true
    for (id, entry) in running where !entry.begun { _ = entry; cancelNow(id) }
    for entry in running.values where entry.verb == .askRating { entry.task.cancel() }
    lastIdle += 1
    let id = lastIdle
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if running.isEmpty || Task.isCancelled { continuation.resume() } else { idle[id] = continuation }
      }
    } onCancel: {
      Task { await self.giveUp(id) }
    }
  }

  /// Cancels whatever still runs: a scan ends with the pages it has; what must not be stopped half-way goes on.
  func cutShort() { for entry in running.values { entry.task.cancel() } }

  private func giveUp(_ id: Int) { idle.removeValue(forKey: id)?.resume() }

  /// Ids of the commands that run now.
  var runningIDs: [String] { running.keys.sorted() }
}
