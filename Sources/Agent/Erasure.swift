import Channels
import Outbox
import Posix
import Store
import WireJSON

/// Erases what the desks keep of a visit when it has closed and the intake has everything of it: its facts, its materials,
/// its ratings, in one commit. The pages themselves are the outbox's to erase.
///
/// What is left of a rating is its link of the chain (``RatingChain``) and, for half a year, the keyed digest of the case
/// and service that were rated: so that nobody rates the same service a second time in another visit. What is left of a
/// visit is that it was and how it ended, for a day: a caller that closes it again is told so.
struct Erasure: Sendable {
  let facilities: Facilities
  private static let day: Int64 = 86_400

  /// Works until it is cancelled; wakes only when something about the outbox changes.
  func run() async {
    for await _ in facilities.outbox.changes() {
      await eraseDelivered()
      // A burst of deliveries is one piece of work.
      guard await facilities.time.sleep(for: .milliseconds(500)) else { return }
    }
  }

  /// Erases what is due.
  func eraseDelivered() async {
    let outbox = facilities.outbox
    let due = try? await facilities.database.read { database throws(StoreError) in
      let rows = try database.query(
        """
        SELECT kept.id FROM (
          SELECT id FROM visit WHERE state = 'closed' AND erased = 0
          UNION SELECT visit FROM material
          UNION SELECT visit FROM rating WHERE outcome IS NOT NULL AND visit IS NOT NULL
        ) AS kept WHERE NOT EXISTS (SELECT 1 FROM visit WHERE visit.id = kept.id AND state <> 'closed')
        """)
      var due: [String] = []
      for row in rows {
        let visit = try row.text("id")
        if try !outbox.hasEvents(of: visit, in: database) { due.append(visit) }
      }
      return due
    }
    guard let due, !due.isEmpty else { return }
    let seal = facilities.seal
    do throws(StoreError) {
      try await facilities.database.write(erasing: true) { database throws(StoreError) in
        for visit in due where try !outbox.hasEvents(of: visit, in: database) {
          try Self.erase(visit, seal: seal, in: database)
        }
      }
    } catch {
      facilities.log(.error, "store", "delivered visits could not be erased: \(error) \(error.advice)")
    }
  }

  private static func erase(_ id: String, seal: DocumentSeal, in database: Database) throws(StoreError) {
    let key = [SQLValue.text(id)]
    let materials = "(SELECT id FROM material WHERE visit = ?)"
    try database.run("DELETE FROM page WHERE material IN \(materials)", key)
    try database.run("DELETE FROM withdrawnPage WHERE material IN \(materials)", key)
    try database.run("DELETE FROM material WHERE visit = ?", key)
    try database.run("DELETE FROM rating WHERE visit = ? AND outcome IS NOT NULL", key)
    // Answers that lie open name their visit, and with it cases, staff and materials. Sealed ones stay for their day; of these
    // whoever asks again is told that there was one.
    if seal.key == nil {
      try database.run(
        """
        UPDATE request SET document = NULL
        WHERE state IN ('done', 'failed', 'cancelled') AND instr(document, CAST(? AS BLOB)) > 0
        """, key)
    }
    guard let row = try database.queryOne("SELECT * FROM visit WHERE id = ? AND erased = 0", key) else {
      return
    }
    // A row that cannot be read says no more than that its visit was.
    let rest = Visit(row: row, seal: seal)?.withoutFacts.document ?? [:]
    try database.run(
      "UPDATE visit SET erased = 1, document = ? WHERE id = ?", [try seal.store(rest, id: id), .text(id)])
  }

  /// Forgets what is kept for a time: answers to requests, tickets and the ends of visits for a day, longer than any caller
  /// waits; what was rated for half a year.
  func forgetOld() async {
    let now = WallTime.now()
    let dayStarts = facilities.settings.current.dayStarts
    let yesterday = TicketDesk.businessDay(
      WallTime(
        secondsSince1970: now.secondsSince1970 - Self.day, utcOffsetSeconds: now.utcOffsetSeconds),
      starts: dayStarts)
    _ = try? await facilities.database.write(erasing: true) { database throws(StoreError) in
      let aDayAgo = SQLValue.integer(now.secondsSince1970 - Self.day)
      try database.run(
        "DELETE FROM request WHERE state IN ('done', 'failed', 'cancelled') AND startedSeconds < ?", [aDayAgo]
      )
      // A ticket is looked for by its request, so that no second number is given; one that nobody knows printed or not
      // waits for a person.
      try database.run(
        """
        DELETE FROM ticket WHERE businessDay < ? AND printed <> 'unknown'
          AND NOT EXISTS (SELECT 1 FROM request WHERE request.id = ticket.request)
        """, [.text(yesterday)])
      try database.run("DELETE FROM visit WHERE erased = 1 AND touchedSeconds < ?", [aDayAgo])
      try database.run(
        "DELETE FROM ratedScope WHERE seconds < ?", [.integer(now.secondsSince1970 - 183 * Self.day)])
    }
  }
}
