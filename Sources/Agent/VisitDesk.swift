import Channels
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// A citizen's visit to this position.
struct Visit: Sendable {
  var id: String
  /// `active`, `suspended` or `closed`.
  var state: String
  var openedAt: String
  var closedAt: String?
  var outcome: String?
  var implicit: Bool
  var ratingAsked = false
  /// Members `cases`, `window`, `staffNumber`, `ticket`, `applicantKind`, `agentHandling` as they are known.
  var facts: [String: JSONValue]
  var touched: Int64

  /// The id of the visit that a request opens.
  static func id(for requestID: String) -> String {
    var bytes = Array(SHA256.digest(of: Array("visit \(requestID)".utf8)).bytes.prefix(16))
    // Version 8 (RFC 9562 5.8): made from what the application chooses.
    bytes[6] = bytes[6] & 0x0F | 0x80
    bytes[8] = bytes[8] & 0x3F | 0x80
    let hex = Array(Hex.encode(bytes))
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(hex[$0]) }.joined(separator: "-")
  }

  var cases: [String] { facts["cases"]?.array?.compactMap { $0["case"]?.string } ?? [] }

  var json: JSONValue {
    var value = facts
    value["visit"] = .string(id)
    value["state"] = .string(state)
    value["openedAt"] = .string(openedAt)
    if let closedAt { value["closedAt"] = .string(closedAt) }
    if let outcome { value["outcome"] = .string(outcome) }
    value["implicit"] = .bool(implicit)
    value["ratingAsked"] = .bool(ratingAsked)
    return .object(value)
  }

  /// What may stay when everything of it has been delivered.
  var withoutFacts: Visit {
    var rest = self
    rest.facts = [:]
    return rest
  }

  var document: JSONValue {
    ["json": json, "facts": .object(facts)]
  }

  init(id: String, openedAt: String, implicit: Bool, facts: [String: JSONValue], touched: Int64) {
    self.id = id
    state = "active"
    self.openedAt = openedAt
    self.implicit = implicit
    self.facts = facts
    self.touched = touched
  }

  init?(row: SQLRow, seal: DocumentSeal) {
    guard let id = row["id"].text, let document = seal.open(row["document"], id: id),
      let json = document["json"]
    else {
      return nil
    }
    self.id = id
    state = row["state"].text ?? "suspended"
    openedAt = json["openedAt"]?.string ?? ""
    closedAt = json["closedAt"]?.string
    outcome = json["outcome"]?.string
    implicit = json["implicit"]?.bool ?? false
    ratingAsked = json["ratingAsked"]?.bool ?? false
    facts = document["facts"]?.object ?? [:]
    touched = row["touchedSeconds"].integer ?? 0
  }
}

/// The visits of this position: several may be open, one is active.
actor VisitDesk {
  private let facilities: Facilities
  private var open: [String: Visit] = [:]
  private var active: String?
  /// Told when a visit closes, so that its materials are completed.
  private let closing: @Sendable (String) async -> Void
  /// Told when a visit is suspended, also by another one that is opened: nothing of it stays on a screen.
  private let suspending: @Sendable (String) async -> Void
  private var expiry: Task<Void, Never>?
  private let changes = Turnstile(limit: 1000)

  init(
    _ facilities: Facilities, suspending: @escaping @Sendable (String) async -> Void = { _ in },
    closing: @escaping @Sendable (String) async -> Void
  ) {
    self.facilities = facilities
    self.suspending = suspending
    self.closing = closing
  }

  /// Takes up the visits that were open when the service ended.
  func recover() async throws(Problem) {
    let seal = facilities.seal
    let rows = try await facilities.read { database throws(StoreError) in
      try database.query(
        """
        SELECT *, EXISTS (SELECT 1 FROM rating WHERE rating.visit = visit.id) AS asked FROM visit
        WHERE state <> 'closed' ORDER BY touchedSeconds
        """)
    }
    for row in rows {
      guard var visit = Visit(row: row, seal: seal) else {
        facilities.log(
          .error, "visits", "a visit's row cannot be read (damaged, or sealed under another key)")
        continue
      }
      // Noted with the question, not with the visit.
      if row["asked"].integer == 1 { visit.ratingAsked = true }
      open[visit.id] = visit
      if visit.state == "active" { active = visit.id }
    }
    scheduleExpiry()
  }

  func stop() { expiry?.cancel() }

  var activeID: String? { active }
  var all: [Visit] { open.values.sorted { $0.id < $1.id } }

  // MARK: Changing

  func open(facts: [String: JSONValue], implicit: Bool = false, id: String = Identifier.uuidV7())
    async throws(Problem)
    -> Visit
  {
    let (opened, left) = try await alone { () throws(Problem) -> (Visit, String?) in
      if let there = self.open[id] { return (there, nil) }
      let now = WallTime.now()
      let visit = Visit(
        id: id, openedAt: now.rfc3339, implicit: implicit, facts: facts, touched: now.secondsSince1970)
      var suspended = self.current
      suspended?.state = "suspended"
      try await self.store(
        [suspended, visit].compactMap { $0 },
        events: [suspended.map { ($0, "suspended") }, (visit, "opened")].compactMap { $0 })
      self.replaceActive(visit)
      return (visit, suspended?.id)
    }
    if let left { await suspending(left) }
    return opened
  }

  private var current: Visit? { active.flatMap { open[$0] } }

  private func replaceActive(_ visit: Visit) {
    if let old = active, old != visit.id { open[old]?.state = "suspended" }
    open[visit.id] = visit
    active = visit.id
    scheduleExpiry()
  }

  /// The visit a command belongs to: the one named, else the active one, else a new implicit one.
  func visit(for id: String?, openIfNeeded: Bool = true) async throws(Problem) -> Visit? {
    if let id {
      guard let visit = open[id] else {
        let known = try await exists(id)
        throw known ? Problem(.visitClosed) : Problem(.notFound, "no visit has the id '\(id)'")
      }
      touch(id)
      return visit
    }
    if let current {
      touch(current.id)
      return current
    }
    return openIfNeeded ? try await open(facts: [:], implicit: true) : nil
  }

  private func exists(_ id: String) async throws(Problem) -> Bool {
    try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT 1 FROM visit WHERE id = ?", [.text(id)]) != nil
    }
  }

  func show(_ id: String) async throws(Problem) -> JSONValue {
    if let visit = open[id] { return visit.json }
    let row = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM visit WHERE id = ?", [.text(id)])
    }
    guard let row, let visit = Visit(row: row, seal: facilities.seal) else {
      throw Problem(.notFound, "no visit has the id '\(id)'")
    }
    return visit.json
  }

  func change(_ id: String, state: String?, facts: [String: JSONValue]) async throws(Problem) -> Visit {
    let (changed, left) = try await alone { () throws(Problem) -> (Visit, [String]) in
      guard var visit = self.open[id] else { return (try await self.closedOrMissing(id), []) }
      visit.facts.merge(facts) { _, new in new }
      visit.touched = WallTime.now().secondsSince1970
      var events: [(Visit, String)] = []
      var changed: [Visit] = []
      if let state, state != visit.state {
        if state == "active", var other = self.current {
          other.state = "suspended"
          changed.append(other)
          events.append((other, "suspended"))
        }
        visit.state = state
        events.append((visit, state == "active" ? "resumed" : "suspended"))
      }
      if !facts.isEmpty { events.append((visit, "updated")) }
      try await self.store(changed + [visit], events: events)
      self.adopt(visit)
      return (visit, events.filter { $0.1 == "suspended" }.map(\.0.id))
    }
    for one in left { await suspending(one) }
    return changed
  }

  private func closedOrMissing(_ id: String) async throws(Problem) -> Visit {
    throw try await exists(id) ? Problem(.visitClosed) : Problem(.notFound, "no visit has the id '\(id)'")
  }

  private func adopt(_ visit: Visit) {
    if visit.state == "active" {
      replaceActive(visit)
    } else {
      open[visit.id] = visit
      if active == visit.id { active = nil }
    }
    scheduleExpiry()
  }

  /// The citizen was asked for a rating in this visit.
  func noteRatingAsked(_ id: String) { open[id]?.ratingAsked = true }

  func close(_ id: String, outcome: String) async throws(Problem) -> Visit {
    if let done = try await alreadyClosed(id) { return done }
    await closing(id)
    return try await alone { () throws(Problem) in
      guard var visit = self.open[id] else { return try await self.closedOrMissing(id) }
      let now = WallTime.now()
      visit.state = "closed"
      visit.closedAt = now.rfc3339
      visit.outcome = outcome
      visit.touched = now.secondsSince1970
      let closed = visit
      let outbox = self.facilities.outbox
      try await self.store([closed], events: [(closed, "closed")]) { database throws(StoreError) in
        try outbox.visitClosed(closed.id, in: database)
      }
      self.forget(id)
      return closed
    }
  }

  /// Closing twice is not an error: the second caller gets the first's result.
  private func alreadyClosed(_ id: String) async throws(Problem) -> Visit? {
    guard open[id] == nil else { return nil }
    let row = try await facilities.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM visit WHERE id = ?", [.text(id)])
    }
    guard let row, let visit = Visit(row: row, seal: facilities.seal) else {
      throw Problem(.notFound, "no visit has the id '\(id)'")
    }
    return visit
  }

  private func forget(_ id: String) {
    open[id] = nil
    if active == id { active = nil }
    scheduleExpiry()
  }

  // MARK: Storing

  private func alone<T: Sendable>(_ body: () async throws(Problem) -> T) async throws(Problem) -> T {
    do throws(Turnstile.Refusal) {
      try await changes.enter()
    } catch {
      throw Problem(Fault(error == .cancelled ? .commandCancelled : .queueFull))
    }
    let result: Result<T, Problem>
    do throws(Problem) {
      result = .success(try await body())
    } catch {
      result = .failure(error)
    }
    await changes.leave()
    return try result.get()
  }

  private func store(
    _ visits: [Visit], events: [(Visit, String)],
    also: @escaping @Sendable (Database) throws(StoreError) -> Void = { _ in }
  ) async throws(Problem) {
    let facilities = facilities
    let drafts = events.compactMap { visit, state -> EventDraft? in
      var data = visit.facts
      data["state"] = .string(state)
      if state == "closed" {
        data["outcome"] = JSONValue(visit.outcome)
        data["ratingAsked"] = .bool(visit.ratingAsked)
      }
      return facilities.draft(
        "visit", source: .agent, visit: visit.id, cases: visit.cases, simulated: simulatedOnly,
        data: .object(data))
    }
    try await facilities.commit { database throws(StoreError) in
      for visit in visits {
        try database.run(
          """
          INSERT INTO visit (id, state, touchedSeconds, document) VALUES (?1, ?2, ?3, ?4)
          ON CONFLICT (id) DO UPDATE SET state = ?2, touchedSeconds = ?3, document = ?4
          """,
          [
            .text(visit.id), .text(visit.state), .integer(visit.touched),
            try facilities.seal.store(visit.document, id: visit.id),
          ])
      }
      _ = try facilities.outbox.insert(drafts, in: database)
      try also(database)
    }
    for (visit, state) in events {
      await facilities.hub.publish("visit", ["visit": .string(visit.id), "state": .string(state)])
    }
  }

  /// A visit is simulated when nothing at this position is real.
  private var simulatedOnly: Bool {
    let slots = facilities.settings.current.slots
    return !slots.isEmpty && slots.allSatisfy(\.simulated)
  }

  // MARK: Visits that nobody closes

  private func touch(_ id: String) { open[id]?.touched = WallTime.now().secondsSince1970 }

  /// One sleeping task for the visit that will be the first to run out; none when no visit is open.
  private func scheduleExpiry() {
    expiry?.cancel()
    expiry = nil
    guard let first = open.values.map(\.touched).min() else { return }
    let limit = facilities.settings.current.visitTimeout
    let age = Duration.seconds(max(0, WallTime.now().secondsSince1970 - first))
    let time = facilities.time
    expiry = Task {
      guard await time.sleep(for: max(.zero, limit - age) + .seconds(1)) else { return }
      await self.expire()
    }
  }

  private func expire() async {
    // Closing schedules anew, which cancels the task that waits: it must not be this one.
    expiry = nil
    let limit = facilities.settings.current.visitTimeout
    let now = WallTime.now().secondsSince1970
    for visit in open.values where Duration.seconds(now - visit.touched) >= limit {
      facilities.log(.notice, "visits", "visit \(visit.id) was left open and is closed as abandoned")
      _ = try? await close(visit.id, outcome: "abandoned")
    }
    scheduleExpiry()
  }
}
