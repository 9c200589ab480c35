import Crypto
import Store

/// The end of what lies in quarantine: after ``OutboxLimits/quarantineSeconds`` it is erased for good, since a citizen's data may
/// not lie about for ever (PIPL, Art. 19 and 47).
///
/// A warning comes first, at four fifths of that time, and nothing is erased before the last fifth has passed since the warning:
/// a clock that leaps ahead cannot erase anything at once.
extension Quarantine {
  /// What came to its end, and what soon will.
  public struct Ageing: Sendable, Equatable {
    /// Items that will be erased, and of which nobody was told yet.
    public var warned: [QuarantinedItem] = []
    /// Items that are to be erased now.
    public var ended: [QuarantinedItem] = []
  }

  /// How many items are looked at in one go.
  private static let agedAtOnce = 500

  /// Looks for items that have lain here for long. Those in ``Ageing/warned`` count as told when this returns. Those in
  /// ``Ageing/ended`` are still here: note them where it has to be noted, then ``discard(_:)`` them.
  ///
  /// - Parameter clockTrusted: whether the machine's clock is; without it nothing ends.
  public func ageing(clockTrusted: Bool) async throws(OutboxError) -> Ageing {
    guard clockTrusted else { return Ageing() }
    let now = outbox.clock.wallMilliseconds
    let age = outbox.limits.quarantineSeconds * 1000
    let notice = Int64(Double(age) * (1 - OutboxLimits.warningShare))
    let warnBefore = SQLValue.integer(now - (age - notice))
    let endBefore = SQLValue.integer(now - age)
    let warnedBefore = SQLValue.integer(now - notice)
    let limit = SQLValue(Self.agedAtOnce)
    do throws(StoreError) {
      let rows = try await outbox.database.write { db throws(StoreError) in
        let rows = AgedRows(
          warnedEvents: try db.query(
            Self.selectEvents(by: "INDEXED BY outbox_event_aside")
              + " WHERE e.state = 2 AND e.since <= ? AND e.warned IS NULL ORDER BY e.since, e.number LIMIT ?",
            [warnBefore, limit]),
          warnedPages: try db.query(
            Self.selectPages
              + " WHERE state = 2 AND since <= ? AND warned IS NULL ORDER BY since, digest LIMIT ?",
            [warnBefore, limit]),
          endedEvents: try db.query(
            Self.selectEvents(by: "INDEXED BY outbox_event_aside")
              + " WHERE e.state = 2 AND e.since <= ? AND e.warned <= ? ORDER BY e.since, e.number LIMIT ?",
            [endBefore, warnedBefore, limit]),
          endedPages: try db.query(
            Self.selectPages
              + " WHERE state = 2 AND since <= ? AND warned <= ? ORDER BY since, digest LIMIT ?",
            [endBefore, warnedBefore, limit]))
        for row in rows.warnedEvents {
          try db.run("UPDATE outbox_event SET warned = ? WHERE id = ?", [.integer(now), row["id"]])
        }
        for row in rows.warnedPages {
          try db.run("UPDATE outbox_blob SET warned = ? WHERE digest = ?", [.integer(now), row["digest"]])
        }
        return rows
      }
      var ageing = Ageing()
      ageing.warned =
        try rows.warnedEvents.map { row throws(StoreError) in try eventItem(row).item }
        + rows.warnedPages.map { row throws(StoreError) in try pageItem(row) }
      ageing.ended =
        try rows.endedEvents.map { row throws(StoreError) in try eventItem(row).item }
        + rows.endedPages.map { row throws(StoreError) in try pageItem(row) }
      return ageing
    } catch { throw .store(error) }
  }

  private struct AgedRows: Sendable {
    var warnedEvents: [SQLRow]
    var warnedPages: [SQLRow]
    var endedEvents: [SQLRow]
    var endedPages: [SQLRow]
  }
}
