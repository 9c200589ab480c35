import Channels
import Codecs
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// Asks citizens for ratings and takes their presses. What counts is decided by ``RatingPrompt``; this desk stores,
/// shows and tells. A press that does not count is recorded as what it was. No level is ever made up.
actor RatingDesk {
  /// A question that is open on a device.
  private struct Question {
    let rating: String
    let scope: String
    let document: JSONValue
    var prompt: RatingPrompt
    var promptedAt = WallTime.now()
    var timer: (deadline: Duration, task: Task<Void, Never>)?
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let facilities: Facilities
  /// Shows a question's step on a device that has a screen.
  private let show: @Sendable (_ role: String, ScreenStep) async -> Void
  private var questions: [String: Question] = [:]
  private var lastEnded: [String: (rating: String, at: Duration)] = [:]
  private var recent: [String: [Duration]] = [:]
  /// What comes from one device is taken one after the other: a press is on the disk before the next is looked at.
  private var turns: [String: Turnstile] = [:]

  /// What a screen shows of a question.
  enum ScreenStep: Sendable {
    case question(rating: String, visit: String?, service: String?, RatingPrompt, secondsLeft: Int?)
    case thanks(visit: String?, rated: Bool)
    /// Nobody answered: back to the hall's own words.
    case over
  }

  init(
    _ facilities: Facilities,
    show: @escaping @Sendable (_ role: String, ScreenStep) async -> Void = { _, _ in }
  ) {
    self.facilities = facilities
    self.show = show
  }

  // MARK: Asking

  func ask(
    _ context: CommandContext, session: DeviceSession, visit: Visit,
    noteAsked: @Sendable (String) async -> Void
  ) async throws(Problem) -> Completion {
    let body = context.request.body
    let view = await session.current
    let role = view.slot.role
    if view.locked { throw Problem(Fault(.deviceLocked)) }
    let subject = body["case"]?.string ?? visit.id
    let scope = facilities.seal.digest("\(subject)#\(body["serviceNumber"]?.integer ?? 1)")
    if let open = questions[role], open.scope == scope {
      // The caller's page was loaded again: it waits for the question that is open already.
      await ended(role, open.rating)
      return try await outcome(of: open.rating, visit: visit.id)
    }
    if questions[role] != nil || questions.values.contains(where: { $0.scope == scope }) {
      throw Problem(.ratingBusy)
    }
    let rating = Identifier.uuidV4()
    let document = promptDocument(context, visit: visit, view: view)
    let seconds = body["timeoutSeconds"]?.integer ?? 60
    // Taken before anything is awaited: two who ask at once must not both find the device free.
    questions[role] = Question(
      rating: rating, scope: scope, document: document,
      prompt: RatingPrompt(manner(of: view.slot.kind, timeout: .seconds(seconds))))
    do throws(Problem) {
      try await begin(rating, scope, context, document: document, role: role)
    } catch {
      drop(role)
      throw error
    }
    await noteAsked(visit.id)
    await open(role, session: session, request: context.request.id)
    await ended(role, rating)
    return try await conclude(role, rating)
  }

  private func manner(of kind: DeviceKind, timeout: Duration) -> RatingPrompt.Manner {
    let settings = facilities.settings.current.ratings
    var manner = RatingPrompt.Manner(timeout: timeout, correction: settings.correction)
    guard kind == .citizenScreen else { return manner }
    manner.asksReasons = true
    manner.outlivesAbsence = true
    manner.reasons = { level in RatingReasons.reasons(of: level).map(\.code) }
    manner.isReasonRequired = { settings.reasonRequired.contains($0) }
    return manner
  }

  /// Notes that the citizen is about to be asked, unless this service was rated already.
  private func begin(
    _ rating: String, _ scope: String, _ context: CommandContext, document: JSONValue, role: String
  ) async throws(Problem) {
    let rated = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT 1 FROM ratedScope WHERE digest = ?", [.text(scope)]) != nil
    }
    if rated { throw Problem(.alreadyRated) }
    let seal = facilities.seal
    let begun = await context.begin { database throws(StoreError) in
      try database.run(
        "INSERT INTO rating (id, scope, request, role, document, visit) VALUES (?, ?, ?, ?, ?, ?)",
        [
          .text(rating), .text(scope), .text(context.request.id), .text(role),
          try seal.store(document, id: rating), SQLValue(document["visit"]?.string),
        ])
    }
    guard begun else { throw Problem(Fault(.commandCancelled)) }
  }

  private func promptDocument(_ context: CommandContext, visit: Visit, view: DeviceView) -> JSONValue {
    let body = context.request.body
    var cases = context.request.cases
    if let one = body["case"]?.string, !cases.contains(one) { cases.append(one) }
    if cases.isEmpty { cases = visit.cases }
    var data = facilities.deviceData(view, request: context.request, cases: cases)
    for name in ["itemCode", "serviceNumber", "serviceName", "serviceTime", "phase", "staffNumber", "window"]
    {
      data[name] = body[name] ?? (name == "staffNumber" || name == "window" ? visit.facts[name] : nil)
    }
    return [
      "data": .object(data), "visit": .string(visit.id), "role": .string(view.slot.role),
      "kind": .string(view.slot.kind.rawValue), "simulated": .bool(view.slot.simulated),
      "timeoutSeconds": .integer(body["timeoutSeconds"]?.integer ?? 60),
      "cases": .array(cases.map(JSONValue.string)), "promptedAt": .string(WallTime.now().rfc3339),
    ]
  }

  /// Has the device ask.
  private func open(_ role: String, session: DeviceSession, request: String) async {
    guard let rating = questions[role]?.rating else { return }
    questions[role]?.promptedAt = WallTime.now()
    // The clerk may stop asking, or leave the service: the citizen's answer so far stays.
    await withTaskCancellationHandler {
      await take(.opened, role: role)
      await facilities.hub.publish(
        "prompt", ["requestId": .string(request), "role": .string(role), "step": "rating"])
      guard questions[role]?.rating == rating, await session.current.slot.kind == .evaluator else { return }
      do throws(Fault) {
        try await session.perform("ratings") { (device) throws(Fault) in
          guard let evaluator = device as? any Evaluator else { throw Fault(.commandUnsupported) }
          try await evaluator.prompt()
        }
      } catch {
        await take(error.code == .commandCancelled ? .cancelled(by: "clerk") : .deviceLost, role: role)
        await session.report(error)
      }
    } onCancel: {
      Task { await self.cancel(role, rating) }
    }
  }

  private func cancel(_ role: String, _ rating: String) async {
    guard questions[role]?.rating == rating else { return }
    await take(.cancelled(by: "clerk"), role: role)
  }

  private func ended(_ role: String, _ rating: String) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard let question = questions[role], question.rating == rating, !question.prompt.isEnded else {
          continuation.resume()
          return
        }
        questions[role]?.waiters.append(continuation)
      }
    } onCancel: {
      Task { await self.cancel(role, rating) }
    }
  }

  /// What the first caller's end was, for one that joined it.
  private func outcome(of rating: String, visit: String) async throws(Problem) -> Completion {
    let row = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT outcome FROM rating WHERE id = ?", [.text(rating)])
    }
    guard let outcome = row?["outcome"].text ?? pendingOutcome[rating] else { throw Problem(.ratingBusy) }
    return .done(["rating": .string(rating), "outcome": .string(outcome), "visit": .string(visit)])
  }
  /// Outcomes whose commit is still under way.
  private var pendingOutcome: [String: String] = [:]

  private func drop(_ role: String) {
    guard let question = questions.removeValue(forKey: role) else { return }
    question.timer?.task.cancel()
    for waiter in question.waiters { waiter.resume() }
  }

  /// The end of a question: its event, its place in the chain and its answer in one commit.
  private func conclude(_ role: String, _ rating: String) async throws(Problem) -> Completion {
    guard let question = questions[role], question.rating == rating,
      case .ended(let ending) = question.prompt.phase
    else { throw Problem(.stopping) }
    pendingOutcome[rating] = ending.outcome.rawValue
    drop(role)
    lastEnded[role] = (rating, facilities.time.now())
    let visit = question.document["visit"]?.string
    switch ending.outcome {
    case .rated, .declined: await show(role, .thanks(visit: visit, rated: ending.outcome == .rated))
    default: await show(role, .over)
    }
    return complete(
      rating, document: question.document, ending: ending, promptedAt: question.promptedAt, endedAt: .now()
    ).then { await self.stored(rating) }
  }

  private func stored(_ rating: String) { pendingOutcome[rating] = nil }

  private func complete(
    _ rating: String, document: JSONValue, ending: RatingPrompt.Ending, promptedAt: WallTime,
    endedAt: WallTime
  ) -> Completion {
    var data: [String: JSONValue] = document["data"]?.object ?? [:]
    let isScreen = document["kind"]?.string == DeviceKind.citizenScreen.rawValue
    data["rating"] = .string(rating)
    data["outcome"] = .string(ending.outcome.rawValue)
    if let by = ending.cancelledBy { data["cancelledBy"] = .string(by) }
    data["level"] = (ending.press?.level).map { .integer(Int64($0)) } ?? .null
    if let press = ending.press {
      data["rawKey"] = .integer(Int64(press.rawKey))
      data["ratedAt"] = .string(press.ratedAt.rfc3339)
      data["confirmed"] = .bool(ending.isConfirmed)
      if press.isTooFast { data["flags"] = ["tooFast"] }
      if isScreen {
        data["reasons"] = .array(ending.reasons.map(JSONValue.string))
        data["reasonSet"] = .string(RatingReasons.name)
        if !ending.comment.isEmpty { data["comment"] = .string(ending.comment) }
      }
    }
    data["channel"] = isScreen ? "screen" : "key"
    data["scale"] = 5
    data["promptedAt"] = .string(promptedAt.rfc3339)
    let answer: JSONValue = [
      "rating": .string(rating), "outcome": .string(ending.outcome.rawValue),
      "visit": document["visit"] ?? .null,
    ]
    let (facilities, event) = (facilities, data)
    return .done(answer) { database throws(StoreError) in
      try database.run(
        "UPDATE rating SET outcome = ? WHERE id = ?", [.text(ending.outcome.rawValue), .text(rating)])
      if ending.outcome == .rated {
        try database.run(
          "INSERT OR IGNORE INTO ratedScope SELECT scope, ? FROM rating WHERE id = ?",
          [.integer(endedAt.secondsSince1970), .text(rating)])
      }
      try Self.record(event, document: document, time: endedAt, facilities: facilities, in: database)
    }
  }

  /// Chains a rating's data to the one before (``RatingChain``) and puts its event into the outbox.
  private static func record(
    _ data: [String: JSONValue], document: JSONValue, time: WallTime, facilities: Facilities,
    in database: Database
  ) throws(StoreError) {
    let link = try RatingChain.append(data, in: database)
    var chained = data
    chained["chain"] = link
    let cases = document["cases"]?.array?.compactMap(\.string) ?? []
    if let draft = facilities.draft(
      "rating", source: document["role"]?.string.map { .device(role: $0) } ?? .agent,
      visit: document["visit"]?.string, cases: cases, simulated: document["simulated"]?.bool ?? false,
      data: .object(chained), time: time, priority: .rating)
    {
      _ = try facilities.outbox.insert([draft], in: database)
    }
  }

  // MARK: What happens

  /// Hands something to the question that is open on a device, and does what follows from it.
  /// - Returns: false when the press could not be stored: then it has not happened, and the device keeps it.
  @discardableResult
  private func take(_ input: RatingPrompt.Input, role: String) async -> Bool {
    let turn = turns[role] ?? Turnstile(limit: 1000)
    turns[role] = turn
    guard (try? await turn.enter()) != nil else { return false }
    let isTaken = await handle(input, role: role)
    await turn.leave()
    return isTaken
  }

  private func handle(_ input: RatingPrompt.Input, role: String) async -> Bool {
    guard var question = questions[role] else { return true }
    let before = question.prompt
    let actions = question.prompt.handle(input, now: facilities.time.now(), wall: .now())
    questions[role]?.prompt = question.prompt
    for action in actions {
      switch action {
      case .keep(let press):
        guard await keep(press, question) else {
          questions[role]?.prompt = before
          return false
        }
      case .show, .refuse: await present(role)
      case .stray(let flag):
        guard await recordStray(input, flag: flag, role: role, document: question.document) else {
          return false
        }
      case .end:
        let waiters = questions[role]?.waiters ?? []
        questions[role]?.waiters = []
        for waiter in waiters { waiter.resume() }
      }
    }
    arm(role)
    return true
  }

  private func present(_ role: String) async {
    guard let question = questions[role], !question.prompt.isEnded else { return }
    let left = question.prompt.deadline.map {
      max(0, Int((($0 - facilities.time.now()) / .seconds(1)).rounded(.up)))
    }
    await show(
      role,
      .question(
        rating: question.rating, visit: question.document["visit"]?.string,
        service: question.document["data"]?["serviceName"]?.string, question.prompt, secondsLeft: left))
  }

  private func arm(_ role: String) {
    guard let question = questions[role] else { return }
    let deadline = question.prompt.deadline
    if let timer = question.timer, timer.deadline == deadline { return }
    question.timer?.task.cancel()
    questions[role]?.timer = nil
    guard let deadline else { return }
    let (time, rating) = (facilities.time, question.rating)
    let task = Task {
      let left = deadline - time.now()
      if left > .zero, !(await time.sleep(for: left)) { return }
      await self.ring(role, rating)
    }
    questions[role]?.timer = (deadline, task)
  }

  private func ring(_ role: String, _ rating: String) async {
    guard questions[role]?.rating == rating else { return }
    questions[role]?.timer = nil
    await take(.time, role: role)
  }

  /// The press, on the disk before anybody is told of it.
  private func keep(_ press: RatingPrompt.Press, _ question: Question) async -> Bool {
    var document = question.document.object ?? [:]
    document["press"] = [
      "level": .integer(Int64(press.level)), "rawKey": .integer(Int64(press.rawKey)),
      "ratedAt": .string(press.ratedAt.rfc3339), "tooFast": .bool(press.isTooFast),
    ]
    let (seal, kept) = (facilities.seal, JSONValue.object(document))
    do throws(Problem) {
      try await facilities.commit { database throws(StoreError) in
        try database.run(
          "UPDATE rating SET document = ? WHERE id = ?",
          [try seal.store(kept, id: question.rating), .text(question.rating)])
      }
      return true
    } catch {
      facilities.log(
        .error, question.document["role"]?.string ?? "ratings", "a press could not be stored: \(error.detail)"
      )
      return false
    }
  }

  // MARK: Presses

  /// A key was pressed on a device.
  func press(_ press: RatingPress, view: DeviceView, visit: Visit?) async {
    let role = view.slot.role
    note(role)
    let isTaken: Bool
    if let level = press.level, questions[role] != nil {
      isTaken = await take(.press(level: level, rawKey: press.rawKey), role: role)
    } else {
      isTaken = await recordStray(
        .press(level: 0, rawKey: press.rawKey), flag: strayFlag(role), role: role,
        document: strayDocument(view, visit))
    }
    // Not acknowledged: the device keeps the press and sends it again.
    if isTaken { await press.acknowledge() }
  }

  /// Something was done on a citizen's screen that shows a question.
  func input(_ input: RatingPrompt.Input, role: String) async {
    if case .press = input { note(role) }
    await take(input, role: role)
  }

  /// Whether a question is open on the device.
  func isAsking(_ role: String) -> Bool { questions[role] != nil }

  private func note(_ role: String) {
    let now = facilities.time.now()
    recent[role] = (recent[role] ?? []).filter { now - $0 < .seconds(2) } + [now]
  }

  private func strayFlag(_ role: String) -> String {
    if questions[role] != nil { return "duplicate" }
    if let last = lastEnded[role], facilities.time.now() - last.at <= .seconds(60) { return "late" }
    return "noPrompt"
  }

  private func strayDocument(_ view: DeviceView, _ visit: Visit?) -> JSONValue {
    let cases: JSONValue = .array((visit?.cases ?? []).map(JSONValue.string))
    return [
      "data": .object(facilities.deviceData(view, request: nil, cases: visit?.cases ?? [])),
      "role": .string(view.slot.role), "kind": .string(view.slot.kind.rawValue),
      "visit": JSONValue(visit?.id),
      "simulated": .bool(view.slot.simulated), "cases": cases,
    ]
  }

  /// A press that nobody asked for, or that came too late or twice: told as such, and never counted.
  /// - Returns: whether it is on the disk.
  private func recordStray(
    _ input: RatingPrompt.Input, flag: String, role: String, document: JSONValue
  ) async -> Bool {
    guard case .press(_, let rawKey) = input else { return true }
    var data: [String: JSONValue] = document["data"]?.object ?? [:]
    var flags: [JSONValue] = [.string(flag)]
    if (recent[role]?.count ?? 0) >= 5 { flags.append("burst") }
    // The answer to the request is another one: a press that was sent again after a crash must not look like it.
    data["requestId"] = nil
    data["rating"] = .string(Identifier.uuidV4())
    data["outcome"] = "cancelled"
    data["cancelledBy"] = .string(flag)
    data["level"] = .null
    data["rawKey"] = .integer(Int64(rawKey))
    data["channel"] = document["kind"]?.string == DeviceKind.citizenScreen.rawValue ? "screen" : "key"
    data["confirmed"] = false
    data["flags"] = .array(flags)
    let (facilities, event, now) = (facilities, data, WallTime.now())
    do throws(Problem) {
      try await facilities.commit { database throws(StoreError) in
        try Self.record(event, document: document, time: now, facilities: facilities, in: database)
      }
      return true
    } catch {
      facilities.log(.error, role, "a press could not be stored and was not acknowledged: \(error.detail)")
      return false
    }
  }

  /// The device went: whoever waits for a press there learns it, unless the question outlives the absence.
  func deviceLost(_ role: String) async { await take(.deviceLost, role: role) }

  /// The visit was suspended or closed: what was asked in it is over.
  func clear(visit: String, by who: String) async {
    for (role, question) in questions where question.document["visit"]?.string == visit {
      await take(.cancelled(by: who), role: role)
    }
  }

  // MARK: After a crash

  /// The visit of a question that a crash interrupted.
  func visit(ofRequest requestID: String) async -> String? {
    let row = try? await facilities.database.read { database throws(StoreError) in
      try database.queryOne(
        "SELECT id, document FROM rating WHERE request = ? AND outcome IS NULL", [.text(requestID)])
    }
    guard let row = row ?? nil, let id = row["id"].text else { return nil }
    return facilities.seal.open(row["document"], id: id)?["visit"]?.string
  }

  /// Takes up a question that a crash interrupted: the citizen is asked again where there is a screen to ask on, and a
  /// level that was pressed stands. Returns how it ended.
  func resume(_ requestID: String, session: DeviceSession?, stillOpen: Bool) async -> Completion? {
    let seal = facilities.seal
    let row = try? await facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM rating WHERE request = ? AND outcome IS NULL", [.text(requestID)])
    }
    guard let row = row ?? nil, let id = row["id"].text, let scope = row["scope"].text,
      let role = row["role"].text, let document = seal.open(row["document"], id: id)
    else { return nil }
    let press = document["press"].flatMap { press -> RatingPrompt.Press? in
      guard let level = press["level"]?.integer, let rawKey = press["rawKey"]?.integer else { return nil }
      return RatingPrompt.Press(
        level: Int(level), rawKey: Int(rawKey),
        ratedAt: press["ratedAt"]?.string.flatMap { WallTime(rfc3339: $0) } ?? .now(),
        isTooFast: press["tooFast"]?.bool ?? false)
    }
    let prompted = document["promptedAt"]?.string.flatMap { WallTime(rfc3339: $0) } ?? .now()
    let kind = document["kind"]?.string.flatMap { DeviceKind(rawValue: $0) } ?? .evaluator
    guard let session, stillOpen, questions[role] == nil else {
      // A key that was pressed is a rating; that its correction could have come is over.
      let ending =
        press.map {
          RatingPrompt.Ending(outcome: .rated, press: $0, isConfirmed: kind == .evaluator)
        } ?? RatingPrompt.Ending(outcome: .cancelled, cancelledBy: "restart")
      return complete(id, document: document, ending: ending, promptedAt: prompted, endedAt: .now())
    }
    let seconds = document["timeoutSeconds"]?.integer ?? 60
    questions[role] = Question(
      rating: id, scope: scope, document: document,
      prompt: RatingPrompt(manner(of: kind, timeout: .seconds(seconds)), resuming: press),
      promptedAt: prompted)
    await session.untilAttached()
    await open(role, session: session, request: requestID)
    await ended(role, id)
    return try? await conclude(role, id)
  }
}
