public import Crypto
public import Posix
import Store
public import WireJSON

/// An item that was set aside.
public struct QuarantinedItem: Sendable, Equatable {
  /// What it is.
  public enum Kind: Sendable, Equatable {
    /// An event; its id is the item's.
    case event
    /// A page; its digest is the item's id.
    case page
  }

  /// The event's id or the page's digest: what the other calls take.
  public var id: String
  /// What it is.
  public var kind: Kind
  /// The event's `source`.
  public var source: String?
  /// The event's `epoch`.
  public var epoch: String?
  /// The event's `sequence`.
  public var sequence: Int64?
  /// The event's `type`; nil if it cannot be read.
  public var type: String?
  /// How many bytes it has.
  public var bytes: Int
  /// The pages that the event names.
  public var blobs: [Digest]
  /// How often it was refused before it was set aside.
  public var attempts: Int
  /// When it was set aside.
  public var since: WallTime?
  /// When it is erased for good, if nobody sees to it.
  public var ends: WallTime?
  /// Why.
  public var reason: QuarantineReason
}

/// What became of one item.
public enum QuarantineOutcome: Sendable, Equatable {
  /// It waits to be sent again, or it is erased.
  case done
  /// There is no such item in quarantine.
  case noSuchItem
  /// A page that no event names cannot be sent: export it and hand it over by hand.
  case noEvent
  /// The page is named by these events: see to them, the page goes with them.
  case named(by: [String])
}

/// An item with its content, to be handed over by hand. It cannot be printed.
public struct ExportedItem: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  /// What it is and why it was set aside.
  public var item: QuarantinedItem
  /// The CloudEvent; nil for a page, or if it cannot be read. Pages are read with ``Outbox/readBlob(_:)``.
  public var event: JSONValue?
  /// The event as `POST /v1/events` takes it, byte by byte as the forwarder would send it: a JSON array of one.
  public var batch: [UInt8]?
  /// The kind of a page's content.
  public var mediaType: String?

  /// The id, and never the content.
  public var description: String { "exported \(item.id)" }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The technician's work on what was set aside. Who may do what, and noting that it was done, is the caller's.
public struct Quarantine: Sendable {
  let outbox: Outbox

  /// What was set aside, the oldest first.
  /// - Parameter limit: how many of each kind at most.
  public func list(limit: Int = 1000) async throws(OutboxError) -> [QuarantinedItem] {
    let limit = SQLValue(max(0, limit))
    do throws(StoreError) {
      let (events, pages) = try await outbox.database.read { db throws(StoreError) in
        (
          // Of two indexes by state SQLite takes the wrong one for want of statistics.
          try db.query(
            Self.selectEvents(by: "INDEXED BY outbox_event_aside")
              + " WHERE e.state = 2 ORDER BY e.since, e.number LIMIT ?", [limit]),
          try db.query(Self.selectPages + " WHERE state = 2 ORDER BY since, digest LIMIT ?", [limit])
        )
      }
      return try events.map { row throws(StoreError) in try eventItem(row).item }
        + pages.map { row throws(StoreError) in try pageItem(row) }
    } catch { throw .store(error) }
  }

  /// One item that was set aside.
  /// - Throws: ``OutboxError/noSuchItem(_:)``
  public func show(_ id: String) async throws(OutboxError) -> QuarantinedItem {
    try await export(id).item
  }

  /// One item with its content: an event, or a page that was set aside or that such an event names, so that an event can be
  /// handed over with all that belongs to it.
  /// - Throws: ``OutboxError/noSuchItem(_:)``
  public func export(_ id: String) async throws(OutboxError) -> ExportedItem {
    let page = Digest(hex: id)
    let found: ExportedItem?
    do throws(StoreError) {
      let row = try await outbox.database.read { db throws(StoreError) in
        if let page {
          return try db.queryOne(
            Self.selectPages + """
               WHERE digest = ?1 AND (state = 2 OR EXISTS (
                SELECT 1 FROM outbox_claim AS c JOIN outbox_event AS e ON e.id = c.owner
                WHERE c.digest = ?1 AND c.kind = 0 AND +e.state = 2))
              """, [.blob(page.bytes)])
        }
        return try db.queryOne(Self.selectEvents() + " WHERE e.state = 2 AND e.id = ?", [.text(id)])
      }
      found = try row.map { row throws(StoreError) in
        if page != nil {
          return ExportedItem(item: try pageItem(row), event: nil, mediaType: row["media_type"].text)
        }
        let (item, body) = try eventItem(row)
        return ExportedItem(
          item: item, event: body.flatMap { try? JSON.parse($0.json) },
          batch: body.map { [UInt8(ascii: "[")] + $0.json + [UInt8(ascii: "]")] })
      }
    } catch { throw .store(error) }
    guard let found else { throw .noSuchItem(id) }
    return found
  }

  /// Puts items back at the end of their sources' queues, with the pages that they name.
  /// - Returns: what became of each.
  public func retry(_ ids: [String]) async throws(OutboxError) -> [String: QuarantineOutcome] {
    do throws(StoreError) {
      let outcomes = try await outbox.database.write(erasing: true) { db throws(StoreError) in
        var outcomes: [String: QuarantineOutcome] = [:]
        for id in ids {
          if let page = Digest(hex: id) {
            outcomes[id] = try self.retry(page: page, in: db)
          } else {
            outcomes[id] = try self.retry(event: id, in: db)
          }
        }
        return outcomes
      }
      outbox.wake()
      return outcomes
    } catch { throw .store(error) }
  }

  /// Erases items for good, undelivered.
  /// - Returns: what became of each.
  public func discard(_ ids: [String]) async throws(OutboxError) -> [String: QuarantineOutcome] {
    do throws(StoreError) {
      let outbox = outbox
      let (outcomes, loose) = try await outbox.database.write(erasing: true) { db throws(StoreError) in
        var outcomes: [String: QuarantineOutcome] = [:]
        for id in ids {
          if let page = Digest(hex: id) {
            outcomes[id] = try Self.discard(page: page, in: db)
          } else {
            outcomes[id] = try Self.discard(event: id, in: db)
          }
        }
        return (outcomes, try outbox.takeLoose(in: db))
      }
      await outbox.remove(loose)
      outbox.wake()
      return outcomes
    } catch { throw .store(error) }
  }

  // MARK: Rows

  static func selectEvents(by index: String = "") -> String {
    """
    SELECT e.id, e.epoch, e.sequence, e.bytes, e.attempts, e.since, e.reason, e.words, e.body, s.path
    FROM outbox_event AS e \(index) JOIN outbox_source AS s ON s.id = e.source
    """
  }
  static let selectPages = "SELECT digest, bytes, attempts, since, reason, state, media_type FROM outbox_blob"

  func eventItem(_ row: SQLRow) throws(StoreError) -> (item: QuarantinedItem, body: EventBody?) {
    let id = try row.text("id")
    let body = try? outbox.open(row).get()
    let words = outbox.openedWords(row["words"].blob, id: id)
    let item = QuarantinedItem(
      id: id, kind: .event, source: row["path"].text, epoch: row["epoch"].text,
      sequence: row["sequence"].integer, type: body?.type, bytes: Int(row["bytes"].integer ?? 0),
      blobs: body?.blobs ?? [], attempts: Int(row["attempts"].integer ?? 0), since: time(row["since"]),
      ends: end(row["since"]), reason: QuarantineReason(code: row["reason"].text ?? "", words: words))
    return (item, body)
  }

  func pageItem(_ row: SQLRow) throws(StoreError) -> QuarantinedItem {
    QuarantinedItem(
      id: Hex.encode(try row.blob("digest")), kind: .page, source: nil, epoch: nil, sequence: nil, type: nil,
      bytes: Int(row["bytes"].integer ?? 0), blobs: [], attempts: Int(row["attempts"].integer ?? 0),
      since: time(row["since"]), ends: end(row["since"]),
      reason: row["state"].integer == 2
        ? QuarantineReason(code: row["reason"].text ?? "", words: nil) : .eventSetAside)
  }

  private func time(_ milliseconds: SQLValue) -> WallTime? { milliseconds.integer.map(Outbox.time) }

  private func end(_ since: SQLValue) -> WallTime? {
    since.integer.map { Outbox.time($0 + outbox.limits.quarantineSeconds * 1000) }
  }

  private func retry(event id: String, in db: Database) throws(StoreError) -> QuarantineOutcome {
    // A new number: the forwarder looks only ahead.
    try db.run(
      """
      UPDATE outbox_blob SET state = 0, attempts = 0, due = 0, since = NULL, reason = NULL, warned = NULL
      WHERE state = 2 AND digest IN (SELECT digest FROM outbox_claim WHERE kind = 0 AND owner = ?)
      """, [.text(id)])
    guard
      let row = try db.queryOne(
        """
        DELETE FROM outbox_event WHERE id = ? AND state = 2
        RETURNING source, epoch, sequence, priority, bytes, body, visit
        """, [.text(id)])
    else { return .noSuchItem }
    try db.run(
      """
      INSERT INTO outbox_event (number, id, source, epoch, sequence, state, priority, bytes, body, visit)
      VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?)
      """,
      [
        outbox.nextNumber(), .text(id), row["source"], row["epoch"], row["sequence"], row["priority"],
        row["bytes"],
        row["body"], row["visit"],
      ])
    return .done
  }

  private func retry(page: Digest, in db: Database) throws(StoreError) -> QuarantineOutcome {
    let digest = SQLValue.blob(page.bytes)
    guard try db.queryOne("SELECT 1 FROM outbox_blob WHERE digest = ? AND state = 2", [digest]) != nil else {
      return .noSuchItem
    }
    let events = try db.query(
      """
      SELECT e.id FROM outbox_claim AS c JOIN outbox_event AS e ON e.id = c.owner
      WHERE c.kind = 0 AND c.digest = ? AND e.state = 2 AND e.reason = 'pageSetAside' ORDER BY e.number
      """, [digest])
    guard !events.isEmpty else { return .noEvent }
    for event in events { _ = try retry(event: try event.text("id"), in: db) }
    return .done
  }

  private static func discard(event id: String, in db: Database) throws(StoreError) -> QuarantineOutcome {
    try db.run("DELETE FROM outbox_event WHERE id = ? AND state = 2", [.text(id)])
    guard db.changes > 0 else { return .noSuchItem }
    let pages = try db.query("SELECT digest FROM outbox_claim WHERE kind = 0 AND owner = ?", [.text(id)])
    try db.run("DELETE FROM outbox_claim WHERE kind = 0 AND owner = ?", [.text(id)])
    for page in pages {
      // Kept for another reason, it waits for nothing any more.
      try db.run(
        """
        UPDATE outbox_blob SET state = 3 WHERE digest = ?1 AND state = 0
          AND NOT EXISTS (SELECT 1 FROM outbox_claim WHERE digest = ?1 AND kind = 0)
        """, [page["digest"]])
    }
    return .done
  }

  private static func discard(page: Digest, in db: Database) throws(StoreError) -> QuarantineOutcome {
    let digest = SQLValue.blob(page.bytes)
    guard try db.queryOne("SELECT 1 FROM outbox_blob WHERE digest = ? AND state = 2", [digest]) != nil else {
      return .noSuchItem
    }
    let owners = try db.query("SELECT owner FROM outbox_claim WHERE kind = 0 AND digest = ?", [digest])
    guard owners.isEmpty else {
      return .named(by: try owners.map { row throws(StoreError) in try row.text("owner") })
    }
    try db.run("DELETE FROM outbox_claim WHERE digest = ?", [digest])
    try db.run("INSERT OR IGNORE INTO outbox_loose VALUES (?)", [digest])
    return .done
  }
}
