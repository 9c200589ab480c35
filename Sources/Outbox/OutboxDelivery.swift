import Crypto
import Store
import Synchronization
import WireJSON

/// What the forwarder needs of the outbox.
extension Outbox {
  /// How many events of a source are looked at at once.
  private static let windowCount: Int64 = 500

  /// The next waiting events of each source beyond those numbers. Events whose pages were set aside are set aside with them on
  /// the way.
  func pending(
    after numbers: [Int64: Int64], except: Set<Int64> = []
  ) async throws(StoreError) -> [ForwarderPolicy.Loaded] {
    let wall = clock.wallMilliseconds
    let now = clock.monotonicNanoseconds
    let (loaded, unusable) = try await database.read { db throws(StoreError) in
      var loaded: [ForwarderPolicy.Loaded] = []
      var unusable: [Int64] = []
      for row in try db.query("SELECT id FROM outbox_source") {
        let source = try row.integer("id")
        if except.contains(source) { continue }
        let rows = try db.query(
          """
          SELECT e.number, e.id, e.priority, e.bytes, e.attempts, e.due, c.digest, b.state AS page_state,
            b.attempts AS page_attempts, b.due AS page_due
          FROM (SELECT number, id, priority, bytes, attempts, due FROM outbox_event
            WHERE state = 0 AND source = ? AND number > ? ORDER BY number LIMIT ?) AS e
          LEFT JOIN outbox_claim AS c ON c.kind = 0 AND c.owner = e.id
          LEFT JOIN outbox_blob AS b ON b.digest = c.digest
          ORDER BY e.number
          """, [.integer(source), .integer(numbers[source] ?? 0), .integer(Self.windowCount)])
        var window = Window(wall: wall, now: now)
        for row in rows { try window.add(row) }
        unusable += window.unusable
        if !rows.isEmpty {
          let isComplete = window.count < Self.windowCount
          loaded.append(.init(source: source, events: window.events, isComplete: isComplete))
        }
      }
      return (loaded, unusable)
    }
    if !unusable.isEmpty {
      try await setAside(events: Dictionary(unusable.map { ($0, .pageSetAside) }) { first, _ in first })
    }
    return loaded
  }

  private struct Window {
    let wall: Int64
    let now: UInt64
    var events: [ForwarderPolicy.Event] = []
    var unusable: [Int64] = []
    var count: Int64 = 0
    private var last: Int64 = 0

    init(wall: Int64, now: UInt64) {
      self.wall = wall
      self.now = now
    }

    mutating func add(_ row: SQLRow) throws(StoreError) {
      let number = try row.integer("number")
      if number != last {
        last = number
        count += 1
        events.append(
          .init(
            number: number, id: try row.text("id"),
            priority: EventPriority(rawValue: Int(try row.integer("priority"))) ?? .normal,
            bytes: Int(try row.integer("bytes")), trouble: trouble(row["attempts"], row["due"])))
      }
      guard let bytes = row["digest"].blob else { return }
      guard let digest = Digest(bytes), let state = row["page_state"].integer, state != 2 else {
        if events.last?.number == number {
          events.removeLast()
          unusable.append(number)
        }
        return
      }
      guard events.last?.number == number else { return }
      events[events.count - 1].pages.append(
        .init(
          digest: digest, isAccepted: state == 1, trouble: trouble(row["page_attempts"], row["page_due"])))
    }

    /// Times on the calendar become times of the monotonic clock; one that was set back must not make an item wait for years.
    private func trouble(_ attempts: SQLValue, _ due: SQLValue) -> ForwarderPolicy.ItemTrouble? {
      guard let attempts = attempts.integer, attempts > 0 else { return nil }
      let longest = Int64(ForwarderPolicy.retryMinutes.max() ?? 0) * 60_000
      let wait = min(max((due.integer ?? 0) - wall, 0), longest)
      return .init(attempts: Int(attempts), due: now + UInt64(wait) * 1_000_000)
    }
  }

  /// An event as it is sent.
  struct Outgoing: Sendable {
    var number: Int64
    var id: String
    var type: String
    var json: [UInt8]
  }

  /// The events with these numbers, in this order, and why others cannot be used (nil: they are gone).
  func outgoing(
    _ numbers: [Int64]
  ) async throws(StoreError) -> (events: [Outgoing], unusable: [Int64: QuarantineReason?]) {
    let rows = try await database.read { db throws(StoreError) in
      try db.query(
        """
        SELECT e.number, e.id, e.epoch, e.sequence, e.body, s.path FROM outbox_event AS e
        JOIN outbox_source AS s ON s.id = e.source
        WHERE e.number IN (SELECT value FROM json_each(?)) AND +e.state = 0 ORDER BY e.number
        """, [.text(Self.list(numbers))])
    }
    var events: [Outgoing] = []
    var unusable: [Int64: QuarantineReason?] = [:]
    for number in numbers { unusable[number] = .some(nil) }
    for row in rows {
      let number = try row.integer("number")
      switch open(row) {
      case .success(let body):
        unusable.removeValue(forKey: number)
        events.append(Outgoing(number: number, id: try row.text("id"), type: body.type, json: body.json))
      case .failure(let reason): unusable[number] = .some(reason.reason)
      }
    }
    return (events, unusable)
  }

  struct Unusable: Error { var reason: QuarantineReason }

  /// The body of an event's row (with its source's path as `path`).
  func open(_ row: SQLRow) -> Result<EventBody, Unusable> {
    guard let id = row["id"].text, let path = row["path"].text, let epoch = row["epoch"].text,
      let sequence = row["sequence"].integer, let sealed = row["body"].blob
    else { return .failure(Unusable(reason: .damaged)) }
    let name = EventBody.name(id: id, source: path, epoch: epoch, sequence: sequence)
    do throws(Envelope.Failure) {
      guard let body = EventBody(try Envelope.open(sealed, name: name, key: key)) else {
        return .failure(Unusable(reason: .damaged))
      }
      return .success(body)
    } catch {
      switch error {
      case .damaged: return .failure(Unusable(reason: .damaged))
      case .otherKey: return .failure(Unusable(reason: .otherKey))
      case .keyMissing: return .failure(Unusable(reason: .keyMissing))
      }
    }
  }

  /// Where a waiting page lies; nil if it is gone.
  func outgoingPage(_ digest: Digest) async throws(StoreError) -> (file: String, mediaType: String)? {
    let row = try await database.read { db throws(StoreError) in
      try db.queryOne("SELECT file, media_type FROM outbox_blob WHERE digest = ?", [.blob(digest.bytes)])
    }
    guard let row else { return nil }
    return (try row.text("file"), try row.text("media_type"))
  }

  /// The intake has these events and their pages: erases them, in one commit, and then the files of pages nobody needs any
  /// more.
  func delivered(_ numbers: [Int64], types: [String: Int]) async throws(StoreError) {
    let list = Self.list(numbers)
    let pages = try await database.write(erasing: true) { db throws(StoreError) in
      let ids = "(SELECT id FROM outbox_event WHERE number IN (SELECT value FROM json_each(?)))"
      try db.run(
        """
        UPDATE outbox_blob SET state = 1, attempts = 0, due = 0 WHERE state = 0
          AND digest IN (SELECT digest FROM outbox_claim WHERE kind = 0 AND owner IN \(ids))
        """, [.text(list)])
      try db.run("DELETE FROM outbox_claim WHERE kind = 0 AND owner IN \(ids)", [.text(list)])
      try db.run("DELETE FROM outbox_event WHERE number IN (SELECT value FROM json_each(?))", [.text(list)])
      for (type, count) in types {
        try db.run(
          "INSERT INTO outbox_delivered VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2",
          [.text(type), SQLValue(count)])
      }
      return try self.takeLoose(in: db)
    }
    await remove(pages)
  }

  /// Notes that an item was refused so often and is tried again then.
  func postpone(_ item: ForwarderPolicy.Item, attempts: Int, seconds: Int) async throws(StoreError) {
    let due = SQLValue.integer(clock.wallMilliseconds + Int64(seconds) * 1000)
    try await database.write(erasing: true) { db throws(StoreError) in
      switch item {
      case .event(let number):
        try db.run(
          "UPDATE outbox_event SET attempts = ?, due = ? WHERE number = ?",
          [SQLValue(attempts), due, .integer(number)])
      case .page(let digest):
        try db.run(
          "UPDATE outbox_blob SET attempts = ?, due = ? WHERE digest = ?",
          [SQLValue(attempts), due, .blob(digest.bytes)])
      }
    }
  }

  /// Sets events aside.
  func setAside(events: [Int64: QuarantineReason]) async throws(StoreError) {
    let since = SQLValue.integer(clock.wallMilliseconds)
    try await database.write(erasing: true) { db throws(StoreError) in
      for (number, reason) in events {
        guard let row = try db.queryOne("SELECT id FROM outbox_event WHERE number = ?", [.integer(number)])
        else { continue }
        try db.run(
          "UPDATE outbox_event SET state = 2, since = ?, reason = ?, words = ? WHERE number = ?",
          [
            since, .text(reason.code), SQLValue(self.sealedWords(reason, id: try row.text("id"))),
            .integer(number),
          ])
      }
    }
    wake()
  }

  /// Sets a page aside, and the waiting events that name it.
  /// - Returns: the numbers of those events.
  func setAside(page digest: Digest, reason: QuarantineReason) async throws(StoreError) -> [Int64] {
    let since = SQLValue.integer(clock.wallMilliseconds)
    let numbers = try await database.write(erasing: true) { db throws(StoreError) in
      try db.run(
        "UPDATE outbox_blob SET state = 2, since = ?, reason = ? WHERE digest = ?",
        [since, .text(reason.code), .blob(digest.bytes)])
      let rows = try db.query(
        """
        SELECT number FROM outbox_event WHERE +state = 0
          AND id IN (SELECT owner FROM outbox_claim WHERE kind = 0 AND digest = ?)
        """, [.blob(digest.bytes)])
      var numbers: [Int64] = []
      for row in rows {
        let number = try row.integer("number")
        try db.run(
          "UPDATE outbox_event SET state = 2, since = ?, reason = ? WHERE number = ?",
          [since, .text(QuarantineReason.pageSetAside.code), .integer(number)])
        numbers.append(number)
      }
      return numbers
    }
    wake()
    return numbers
  }

  /// The intake's own words may be about a citizen: sealed like the event. Without a way to seal them they are dropped.
  private func sealedWords(_ reason: QuarantineReason, id: String) -> [UInt8]? {
    guard case .rejected(let words) = reason else { return nil }
    return try? Envelope.close(Array(words.utf8.prefix(4096)), name: "words\n\(id)", key: key)
  }

  /// - Returns: the intake's words about an event that it rejected.
  func openedWords(_ sealed: [UInt8]?, id: String) -> String? {
    guard let sealed, let words = try? Envelope.open(sealed, name: "words\n\(id)", key: key) else {
      return nil
    }
    return String(decoding: words, as: UTF8.self)
  }

  static func list(_ numbers: [Int64]) -> String {
    "[" + numbers.map(String.init).joined(separator: ",") + "]"
  }

  // MARK: Erasing pages

  /// A page whose row is gone.
  struct Loose: Sendable {
    var file: String
    var bytes: Int64
  }

  /// Takes away the rows of pages that nobody needs any more; their files are to be removed after the commit.
  func takeLoose(in db: Database) throws(StoreError) -> [Loose] {
    var loose: [Loose] = []
    let rows = try db.query(
      """
      SELECT l.digest, b.file, b.bytes, EXISTS (SELECT 1 FROM outbox_claim AS c WHERE c.digest = l.digest) AS claimed
      FROM outbox_loose AS l LEFT JOIN outbox_blob AS b ON b.digest = l.digest
      """)
    for row in rows {
      let key = SQLValue.blob(try row.blob("digest"))
      if try row.integer("claimed") == 0, let file = row["file"].text {
        // Its author has just been told "stored": it stays until it is named.
        if let digest = Digest(try row.blob("digest")), isProtected(digest) { continue }
        try db.run("DELETE FROM outbox_blob WHERE digest = ?", [key])
        loose.append(Loose(file: file, bytes: try row.integer("bytes")))
      }
      try db.run("DELETE FROM outbox_loose WHERE digest = ?", [key])
    }
    return loose
  }

  private func isProtected(_ digest: Digest) -> Bool {
    state.withLock { state in
      guard let fresh = state.fresh[digest] else { return false }
      return !fresh.isNamed
    }
  }

  func remove(_ loose: [Loose]) async {
    guard !loose.isEmpty else { return }
    await pages.remove(loose.map(\.file))
    state.withLock { state in
      state.pageCount -= loose.count
      state.pageBytes -= loose.reduce(0) { $0 + $1.bytes }
    }
  }

  /// Erases pages that nobody needs any more, and stored pages that nobody named within an hour.
  func sweep() async throws(StoreError) {
    let hasLoose = try await database.read { db throws(StoreError) in
      try db.queryOne("SELECT 1 FROM outbox_loose LIMIT 1") != nil
    }
    if hasLoose {
      await remove(
        try await database.write(erasing: true) { db throws(StoreError) in try self.takeLoose(in: db) })
    }
    try await sweepFresh()
  }

  private func sweepFresh() async throws(StoreError) {
    let now = clock.monotonicNanoseconds
    let candidates = state.withLock { state in
      state.fresh.filter { $0.value.isNamed || now > $0.value.storedAt + Self.freshNanoseconds }
    }
    guard !candidates.isEmpty else { return }
    let digests = Array(candidates.keys)
    let files = try await database.read { db throws(StoreError) in
      var files: [Digest: String] = [:]
      for digest in digests {
        files[digest] =
          try db.queryOne("SELECT file FROM outbox_blob WHERE digest = ?", [.blob(digest.bytes)])?["file"]
          .text
      }
      return files
    }
    var abandoned: [Loose] = []
    state.withLock { state in
      for (digest, page) in candidates {
        // Stored again meanwhile: leave it.
        guard let current = state.fresh[digest], current.storedAt == page.storedAt,
          current.isNamed == page.isNamed
        else { continue }
        let isOld = now > page.storedAt + Self.freshNanoseconds
        if let file = page.file, files[digest] != file {
          guard isOld else { continue }
          abandoned.append(Loose(file: file, bytes: Int64(page.bytes)))
        }
        state.fresh[digest] = nil
      }
    }
    await remove(abandoned)
  }
}
