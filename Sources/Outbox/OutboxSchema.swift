public import Store

extension Outbox {
  /// The outbox's tables, to be given to ``StateDatabase/open(path:components:reserveBytes:)``.
  ///
  /// In clear stand only what decides where and when something goes: ids, source, epoch, sequence, state, due time, digests and
  /// visits (both random to a reader). Types, data and the intake's words lie sealed.
  ///
  /// A technician may read them with `sqlite3 -readonly`: `SELECT number, id, state, attempts, reason FROM outbox_event`.
  public static let schema = SchemaComponent(
    name: "outbox",
    migrations: [
      """
      CREATE TABLE outbox_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

      CREATE TABLE outbox_source (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE) STRICT;

      -- The last sequence number given, per source and epoch.
      CREATE TABLE outbox_sequence (
        source INTEGER NOT NULL REFERENCES outbox_source, epoch TEXT NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (source, epoch)) STRICT, WITHOUT ROWID;

      -- state: 0 waiting, 2 set aside. number: the order of sending; never used twice (AUTOINCREMENT).
      CREATE TABLE outbox_event (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        source INTEGER NOT NULL REFERENCES outbox_source, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
        state INTEGER NOT NULL, priority INTEGER NOT NULL, bytes INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0, since INTEGER,
        reason TEXT, words BLOB, body BLOB NOT NULL) STRICT;
      CREATE INDEX outbox_event_queue ON outbox_event (state, source, number);

      -- state: 0 waiting, 1 accepted by the intake, 2 set aside, 3 held: no event has named it yet.
      CREATE TABLE outbox_blob (
        digest BLOB PRIMARY KEY, file TEXT NOT NULL, bytes INTEGER NOT NULL, media_type TEXT NOT NULL,
        state INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0,
        since INTEGER, reason TEXT) STRICT, WITHOUT ROWID;
      CREATE INDEX outbox_blob_aside ON outbox_blob (digest) WHERE state = 2;

      -- Who still needs a page. kind: 0 an event (its id), 1 an open visit (its id), 2 the agent (its word), 3 nobody
      -- yet: found again after the database was lost.
      CREATE TABLE outbox_claim (
        kind INTEGER NOT NULL, owner TEXT NOT NULL,
        digest BLOB NOT NULL REFERENCES outbox_blob ON DELETE CASCADE,
        PRIMARY KEY (kind, owner, digest)) STRICT, WITHOUT ROWID;
      CREATE INDEX outbox_claim_blob ON outbox_claim (digest, kind);

      -- Pages that lost a claim: to be erased if it was the last one.
      CREATE TABLE outbox_loose (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
      CREATE TRIGGER outbox_claim_lost AFTER DELETE ON outbox_claim BEGIN
        INSERT OR IGNORE INTO outbox_loose VALUES (old.digest);
      END;

      -- How many there are in each state, kept by the triggers: counting a million rows takes a second.
      CREATE TABLE outbox_total (
        kind TEXT NOT NULL, state INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (kind, state)) STRICT, WITHOUT ROWID;
      INSERT INTO outbox_total VALUES
        ('event', 0, 0, 0), ('event', 2, 0, 0), ('blob', 0, 0, 0), ('blob', 1, 0, 0), ('blob', 2, 0, 0),
        ('blob', 3, 0, 0);
      \(totals("event"))
      \(totals("blob"))

      -- All that remains of what was delivered.
      CREATE TABLE outbox_delivered (type TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      """,
      """
      -- Rows and files are brought together in the order of the files' names, a piece at a time.
      CREATE INDEX outbox_blob_file ON outbox_blob (file);
      -- What was set aside, the oldest first.
      DROP INDEX outbox_blob_aside;
      CREATE INDEX outbox_blob_aside ON outbox_blob (since, digest) WHERE state = 2;
      CREATE INDEX outbox_event_aside ON outbox_event (since, number) WHERE state = 2;
      -- When a person was first warned that it will be erased for its age.
      ALTER TABLE outbox_event ADD COLUMN warned INTEGER;
      ALTER TABLE outbox_blob ADD COLUMN warned INTEGER;
      """,
      """
      -- Whose visit it tells of: what the agent keeps of a visit goes when nothing of it waits here any more.
      ALTER TABLE outbox_event ADD COLUMN visit TEXT;
      CREATE INDEX outbox_event_visit ON outbox_event (visit) WHERE visit IS NOT NULL;
      """,
      // What every commit writes decides how long a press takes to be durable: all counters lie in one page of the file, and
      // the event's number (the order of sending) comes from memory, not from a table of SQLite's own.
      """
      -- kind: event, blob: how many there are in each state (part), and their bytes; sequence: the last number given, per source
      -- (part) and epoch.
      CREATE TABLE outbox_count (
        kind TEXT NOT NULL, part INTEGER NOT NULL, epoch TEXT NOT NULL, count INTEGER NOT NULL,
        bytes INTEGER NOT NULL, PRIMARY KEY (kind, part, epoch)) STRICT, WITHOUT ROWID;
      INSERT INTO outbox_count SELECT kind, state, '', count, bytes FROM outbox_total;
      INSERT INTO outbox_count SELECT 'sequence', source, epoch, last, 0 FROM outbox_sequence;
      \(["event", "blob"].flatMap { kind in ["added", "taken", "changed"].map { "DROP TRIGGER outbox_\(kind)_\($0);" } }.joined(separator: "\n"))
      DROP TABLE outbox_total;
      DROP TABLE outbox_sequence;

      CREATE TABLE outbox_event_4 (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        source INTEGER NOT NULL REFERENCES outbox_source, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
        state INTEGER NOT NULL, priority INTEGER NOT NULL, bytes INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0, since INTEGER,
        reason TEXT, words BLOB, warned INTEGER, visit TEXT, body BLOB NOT NULL) STRICT;
      INSERT INTO outbox_event_4
        SELECT number, id, source, epoch, sequence, state, priority, bytes, attempts, due, since, reason, words, warned,
          visit, body
        FROM outbox_event;
      DROP TABLE outbox_event;
      ALTER TABLE outbox_event_4 RENAME TO outbox_event;
      CREATE INDEX outbox_event_queue ON outbox_event (state, source, number);
      CREATE INDEX outbox_event_aside ON outbox_event (since, number) WHERE state = 2;
      CREATE INDEX outbox_event_visit ON outbox_event (visit) WHERE visit IS NOT NULL;
      \(counts("event"))
      \(counts("blob"))
      """,
    ])

  private static func counts(_ kind: String) -> String {
    let add = "UPDATE outbox_count SET count = count + 1, bytes = bytes + new.bytes"
    let take = "UPDATE outbox_count SET count = count - 1, bytes = bytes - old.bytes"
    return """
      CREATE TRIGGER outbox_\(kind)_added AFTER INSERT ON outbox_\(kind) BEGIN
        \(add) WHERE kind = '\(kind)' AND part = new.state AND epoch = '';
      END;
      CREATE TRIGGER outbox_\(kind)_taken AFTER DELETE ON outbox_\(kind) BEGIN
        \(take) WHERE kind = '\(kind)' AND part = old.state AND epoch = '';
      END;
      CREATE TRIGGER outbox_\(kind)_changed AFTER UPDATE OF state, bytes ON outbox_\(kind) BEGIN
        \(take) WHERE kind = '\(kind)' AND part = old.state AND epoch = '';
        \(add) WHERE kind = '\(kind)' AND part = new.state AND epoch = '';
      END;
      """
  }

  private static func totals(_ kind: String) -> String {
    let add = "UPDATE outbox_total SET count = count + 1, bytes = bytes + new.bytes"
    let take = "UPDATE outbox_total SET count = count - 1, bytes = bytes - old.bytes"
    return """
      CREATE TRIGGER outbox_\(kind)_added AFTER INSERT ON outbox_\(kind) BEGIN
        \(add) WHERE kind = '\(kind)' AND state = new.state;
      END;
      CREATE TRIGGER outbox_\(kind)_taken AFTER DELETE ON outbox_\(kind) BEGIN
        \(take) WHERE kind = '\(kind)' AND state = old.state;
      END;
      CREATE TRIGGER outbox_\(kind)_changed AFTER UPDATE OF state, bytes ON outbox_\(kind) BEGIN
        \(take) WHERE kind = '\(kind)' AND state = old.state;
        \(add) WHERE kind = '\(kind)' AND state = new.state;
      END;
      """
  }

  enum RowState {
    static let waiting: SQLValue = 0
    static let accepted: SQLValue = 1
    static let aside: SQLValue = 2
    static let held: SQLValue = 3
  }

  enum Claim {
    static let event: SQLValue = 0
    static let visit: SQLValue = 1
    static let agent: SQLValue = 2
    static let recovered: SQLValue = 3
  }
}
