import Channels
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// How a rating prompt ended.
enum RatingOutcome: String, Sendable { case rated, timeout, declined, cancelled, deviceLost }

/// Asks citizens for ratings and takes their presses. A press counts only while its device asks; every other press is
/// recorded as what it was, and never counted. No level is ever made up.
actor RatingDesk {
  /// A prompt that waits for the citizen.
  private struct Prompt {
    let rating: String
    let scope: String
    /// False until the device asks: a press before that is no answer.
    var isOpen = false
    var ended: (RatingOutcome, RatingPress?, WallTime)?
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let facilities: Facilities
  private var prompts: [String: Prompt] = [:]
  private var lastEnded: [String: (rating: String, at: WallTime)] = [:]

  init(_ facilities: Facilities) { self.facilities = facilities }

  // MARK: Asking

  func ask(
    _ context: CommandContext, session: DeviceSession, visit: Visit,
    noteAsked: @Sendable (String) async -> Void
  ) async throws(Problem) -> Completion {
    let body = context.request.body
    let view = await session.current
    let role = view.slot.role
    let subject = body["case"]?.string ?? visit.id
    let scope = "\(subject)#\(body["serviceNumber"]?.integer ?? 1)"
    if prompts[role] != nil || prompts.values.contains(where: { $0.scope == scope }) {
      throw Problem(.ratingBusy)
    }
    let rating = Identifier.uuidV4()
    // Taken before anything is awaited: two who ask at once must not both find the device free.
    prompts[role] = Prompt(rating: rating, scope: scope)
    let document: JSONValue
    do throws(Problem) {
      document = try await begin(rating, scope, context, visit: visit, view: view)
    } catch {
      prompts[role] = nil
      throw error
    }
    await noteAsked(visit.id)
    let promptedAt = WallTime.now()
    prompts[role]?.isOpen = true
    await facilities.hub.publish(
      "prompt", ["requestId": .string(context.request.id), "role": .string(role), "step": "rating"])
    do throws(Fault) {
      try await session.perform("ratings") { (device) throws(Fault) in
        guard let evaluator = device as? any Evaluator else { throw Fault(.commandUnsupported) }
        try await evaluator.prompt()
      }
    } catch {
      end(role, rating, error.code == .commandCancelled ? .cancelled : .deviceLost, nil)
      await session.report(error)
    }
    await wait(role, rating, timeout: .seconds(body["timeoutSeconds"]?.integer ?? 60))
    let (outcome, press, at) = prompts[role]?.ended ?? (.cancelled, nil, WallTime.now())
    prompts[role] = nil
    lastEnded[role] = (rating, at)
    let completion = complete(
      rating, document: document, outcome: outcome, press: press, promptedAt: promptedAt, endedAt: at,
      cancelledBy: outcome == .cancelled ? "clerk" : nil)
    guard let press else { return completion }
    // The device is told only when the press is on the disk: then its lamp goes out.
    return completion.then { await press.acknowledge() }
  }

  /// Notes that the citizen is about to be asked, unless this service was rated already.
  private func begin(
    _ rating: String, _ scope: String, _ context: CommandContext, visit: Visit, view: DeviceView
  ) async throws(Problem) -> JSONValue {
    let rated = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT 1 FROM rating WHERE scope = ? AND outcome = 'rated'", [.text(scope)])
        != nil
    }
    if rated { throw Problem(.alreadyRated) }
    let document = promptDocument(context, visit: visit, view: view)
    let seal = facilities.seal
    let begun = await context.begin { database throws(StoreError) in
      try database.run(
        "INSERT INTO rating (id, scope, request, role, document) VALUES (?, ?, ?, ?, ?)",
        [
          .text(rating), .text(scope), .text(context.request.id), .text(view.slot.role),
          try seal.store(document, id: rating),
        ])
    }
    guard begun else { throw Problem(Fault(.commandCancelled)) }
    return document
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
      "simulated": .bool(view.slot.simulated), "cases": .array(cases.map(JSONValue.string)),
      "promptedAt": .string(WallTime.now().rfc3339),
    ]
  }

  private func wait(_ role: String, _ rating: String, timeout: Duration) async {
    let time = facilities.time
    let timer = Task {
      if await time.sleep(for: timeout) { self.end(role, rating, .timeout, nil) }
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard prompts[role]?.rating == rating, prompts[role]?.ended == nil else {
          continuation.resume()
          return
        }
        if Task.isCancelled {
          prompts[role]?.ended = (.cancelled, nil, .now())
          continuation.resume()
          return
        }
        prompts[role]?.waiter = continuation
      }
    } onCancel: {
      Task { await self.end(role, rating, .cancelled, nil) }
    }
    timer.cancel()
  }

  private func end(_ role: String, _ rating: String, _ outcome: RatingOutcome, _ press: RatingPress?) {
    guard prompts[role]?.rating == rating, prompts[role]?.ended == nil else { return }
    prompts[role]?.ended = (outcome, press, .now())
    let waiter = prompts[role]?.waiter
    prompts[role]?.waiter = nil
    waiter?.resume()
  }

  /// The end of a prompt: its event, its place in the chain and its answer in one commit.
  private func complete(
    _ rating: String, document: JSONValue, outcome: RatingOutcome, press: RatingPress?, promptedAt: WallTime,
    endedAt: WallTime, cancelledBy: String?
  ) -> Completion {
    var data: [String: JSONValue] = document["data"]?.object ?? [:]
    data["rating"] = .string(rating)
    data["outcome"] = .string(outcome.rawValue)
    if let cancelledBy { data["cancelledBy"] = .string(cancelledBy) }
    if let level = press?.level { data["level"] = .integer(Int64(level)) } else { data["level"] = .null }
    if let press {
      data["rawKey"] = .integer(Int64(press.rawKey))
      data["ratedAt"] = .string(endedAt.rfc3339)
      data["confirmed"] = true
    }
    data["channel"] = "key"
    data["scale"] = 5
    data["promptedAt"] = .string(promptedAt.rfc3339)
    let answer: JSONValue = [
      "rating": .string(rating), "outcome": .string(outcome.rawValue), "visit": document["visit"] ?? .null,
    ]
    let (facilities, event) = (facilities, data)
    return .done(answer) { database throws(StoreError) in
      try database.run(
        "UPDATE rating SET outcome = ? WHERE id = ?", [.text(outcome.rawValue), .text(rating)])
      try Self.record(event, document: document, time: endedAt, facilities: facilities, in: database)
    }
  }

  /// Chains a rating's data to the one before (facts/peers.md (e) 11) and puts its event into the outbox.
  private static func record(
    _ data: [String: JSONValue], document: JSONValue, time: WallTime, facilities: Facilities,
    in database: Database
  ) throws(StoreError) {
    let last = try database.queryOne("SELECT number, hash FROM ratingChain ORDER BY number DESC LIMIT 1")
    let number = (last?["number"].integer ?? 0) + 1
    let previous = last?["hash"].blob ?? [UInt8](repeating: 0, count: Digest.byteCount)
    let text: [UInt8]
    do {
      text = try JSON.encode(JSONValue.object(data))
    } catch {
      throw .misuse("a rating has no JSON form: \(error)")
    }
    let hash = SHA256.digest(of: previous + Array("\(number)\n".utf8) + text)
    try database.run(
      "INSERT INTO ratingChain (number, hash) VALUES (?, ?)", [.integer(number), .blob(hash.bytes)])
    var chained = data
    chained["chain"] = [
      "number": .integer(number), "previous": .string(Hex.encode(previous)), "hash": .string(hash.hex),
    ]
    let cases = document["cases"]?.array?.compactMap(\.string) ?? []
    if let draft = facilities.draft(
      "rating", source: document["role"]?.string.map { .device(role: $0) } ?? .agent,
      visit: document["visit"]?.string, cases: cases, simulated: document["simulated"]?.bool ?? false,
      data: .object(chained), time: time, priority: .rating)
    {
      _ = try facilities.outbox.insert([draft], in: database)
    }
  }

  // MARK: Presses

  /// A key was pressed on a device.
  func press(_ press: RatingPress, view: DeviceView, visit: Visit?) async {
    let role = view.slot.role
    if let prompt = prompts[role], prompt.isOpen, prompt.ended == nil, press.level != nil {
      end(role, prompt.rating, .rated, press)
      return
    }
    await recordStray(press, view: view, visit: visit)
  }

  /// A press that nobody asked for, or that came too late or twice: told as such, and never counted.
  private func recordStray(_ press: RatingPress, view: DeviceView, visit: Visit?) async {
    let role = view.slot.role
    let now = WallTime.now()
    var flag = "noPrompt"
    var data = facilities.deviceData(view, request: nil, cases: visit?.cases ?? [])
    if prompts[role]?.isOpen == true {
      flag = "duplicate"
    } else if let last = lastEnded[role], now.secondsSince1970 - last.at.secondsSince1970 <= 60 {
      flag = "late"
    }
    data["rating"] = .string(Identifier.uuidV4())
    data["outcome"] = "cancelled"
    data["cancelledBy"] = .string(flag)
    data["level"] = .null
    data["rawKey"] = .integer(Int64(press.rawKey))
    data["channel"] = "key"
    data["confirmed"] = false
    data["flags"] = [.string(flag)]
    let document: JSONValue = [
      "role": .string(role), "visit": JSONValue(visit?.id), "simulated": .bool(view.slot.simulated),
      "cases": .array((visit?.cases ?? []).map(JSONValue.string)),
    ]
    let (facilities, event) = (facilities, data)
    do throws(Problem) {
      try await facilities.commit { database throws(StoreError) in
        try Self.record(event, document: document, time: now, facilities: facilities, in: database)
      }
      await press.acknowledge()
    } catch {
      // Not acknowledged: the device keeps the press and sends it again.
      facilities.log(.error, role, "a press could not be stored and was not acknowledged: \(error.detail)")
    }
  }

  /// The device went: whoever waits for a press there learns it.
  func deviceLost(_ role: String) {
    if let prompt = prompts[role] { end(role, prompt.rating, .deviceLost, nil) }
  }

  // MARK: After a crash

  /// A prompt that a crash interrupted, without a press on the disk: it was cancelled, and by what.
  func recover(_ requestID: String) async -> Completion? {
    let seal = facilities.seal
    let row = try? await facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM rating WHERE request = ? AND outcome IS NULL", [.text(requestID)])
    }
    guard let row = row ?? nil, let id = row["id"].text, let document = seal.open(row["document"], id: id)
    else {
      return nil
    }
    let prompted = document["promptedAt"]?.string.flatMap { WallTime(rfc3339: $0) } ?? .now()
    return complete(
      id, document: document, outcome: .cancelled, press: nil, promptedAt: prompted, endedAt: .now(),
      cancelledBy: "restart")
  }
}

/// A caller-keypad's presses, told to the intake as they are.
struct CallDesk: Sendable {
  let facilities: Facilities

  func press(_ press: CallPress, view: DeviceView, visit: Visit?) async {
    var data = facilities.deviceData(view, request: nil, cases: nil)
    switch press.key {
    case .action(let action): data["action"] = .string(action.rawValue)
    case .requestRating, .cancel, .other:
      // Keys that ask the agent itself are not the queue system's: the counter application hears of them.
      await facilities.hub.publish(
        "keypad", ["role": .string(view.slot.role), "key": .string(press.key.word)])
      await press.acknowledge()
      return
    }
    let draft = facilities.draft(
      "call", source: .device(role: view.slot.role), visit: visit?.id, cases: [],
      simulated: view.slot.simulated,
      data: .object(data))
    let outbox = facilities.outbox
    do throws(Problem) {
      try await facilities.commit { database throws(StoreError) in
        _ = try outbox.insert([draft].compactMap { $0 }, in: database)
      }
      await facilities.hub.publish(
        "call", ["role": .string(view.slot.role), "action": data["action"] ?? .null])
      await press.acknowledge()
    } catch {
      facilities.log(.error, view.slot.role, "a keypad press could not be stored: \(error.detail)")
    }
  }
}

extension CallPress.Key {
  fileprivate var word: String {
    switch self {
    case .action(let action): action.rawValue
    case .requestRating: "requestRating"
    case .cancel: "cancel"
    case .other(let raw): "key\(raw)"
    }
  }
}
