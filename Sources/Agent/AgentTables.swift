import Crypto
import Posix
import Store
import WireJSON

/// The agent's own tables, in the same database as the outbox's: one commit can hold an effect, its answer and its event.
///
/// `document` columns are JSON, sealed when there is a key.
enum AgentTables {
  static let component = SchemaComponent(
    name: "agent",
    migrations: [
      """
      CREATE TABLE request (
        id TEXT PRIMARY KEY, verb TEXT NOT NULL, role TEXT, fingerprint BLOB NOT NULL, state TEXT NOT NULL,
        started TEXT NOT NULL, startedSeconds INTEGER NOT NULL, status INTEGER, document BLOB, resolution TEXT
      ) STRICT;
      CREATE INDEX request_state ON request (state);
      CREATE INDEX request_time ON request (startedSeconds);
      CREATE TABLE queueCounter (
        businessDay TEXT NOT NULL, prefix TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (businessDay, prefix)
      ) STRICT;
      CREATE TABLE ticket (
        id TEXT PRIMARY KEY, request TEXT NOT NULL UNIQUE, number TEXT NOT NULL, businessDay TEXT NOT NULL,
        printed TEXT NOT NULL, document BLOB NOT NULL
      ) STRICT;
      CREATE UNIQUE INDEX ticket_number ON ticket (businessDay, number);
      CREATE TABLE visit (
        id TEXT PRIMARY KEY, state TEXT NOT NULL, touchedSeconds INTEGER NOT NULL, document BLOB NOT NULL
      ) STRICT;
      CREATE TABLE material (
        id TEXT PRIMARY KEY, visit TEXT NOT NULL, state TEXT NOT NULL, interrupted INTEGER NOT NULL DEFAULT 0,
        document BLOB NOT NULL
      ) STRICT;
      CREATE INDEX material_visit ON material (visit);
      CREATE TABLE page (
        id TEXT PRIMARY KEY, material TEXT NOT NULL, place INTEGER NOT NULL, blob TEXT NOT NULL,
        held INTEGER NOT NULL, document BLOB NOT NULL
      ) STRICT;
      CREATE INDEX page_material ON page (material, place);
      CREATE INDEX page_blob ON page (blob);
      CREATE TABLE withdrawnPage (id TEXT PRIMARY KEY, material TEXT NOT NULL) STRICT;
      CREATE TABLE rating (
        id TEXT PRIMARY KEY, scope TEXT NOT NULL, request TEXT NOT NULL, role TEXT NOT NULL, outcome TEXT,
        document BLOB NOT NULL
      ) STRICT;
      CREATE INDEX rating_scope ON rating (scope);
      CREATE TABLE ratingChain (number INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
      """,
      // Which unit serves a slot: of the devices themselves only, so never sealed.
      "CREATE TABLE slotUnit (role TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT",
      """
      -- What was rated is kept as a keyed digest alone: a scope may hold a case's number.
      UPDATE rating SET scope = id;
      ALTER TABLE rating ADD COLUMN visit TEXT;
      CREATE TABLE ratedScope (digest TEXT PRIMARY KEY, seconds INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      ALTER TABLE visit ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
      CREATE INDEX visit_state ON visit (state, erased);
      ALTER TABLE ratingChain ADD COLUMN content BLOB;
      CREATE TABLE screenKey (
        digest BLOB PRIMARY KEY, screen TEXT NOT NULL, created TEXT NOT NULL
      ) STRICT;
      """,
      // Every command writes its state twice; the few requests of a day are looked through as fast without it.
      "DROP INDEX request_state",
    ])
}

/// Turns documents into what is stored and back: sealed under the key, with the row's id as associated data.
struct DocumentSeal: Sendable {
  let key: SealingKey?

  func store(_ document: JSONValue, id: String) throws(StoreError) -> SQLValue {
    do {
      let bytes = try JSON.encode(document)
      guard let key else { return .blob([0] + bytes) }
      return .blob([1] + (try AESGCM.seal(bytes, key: key, associatedData: Array(id.utf8))))
    } catch {
      throw .misuse("a document could not be sealed: \(error)")
    }
  }

  /// What stands for a text that must not be read here, but has to be found again: without the key nobody can tell
  /// whether a text that he guesses is the one.
  func digest(_ text: String) -> String {
    SHA256.digest(of: (key?.reveal() ?? []) + Array("scope\n\(text)".utf8)).hex
  }

  /// Nil when the row is damaged or sealed under another key.
  func open(_ value: SQLValue, id: String) -> JSONValue? {
    guard let bytes = value.blob, let form = bytes.first else { return nil }
    let body = Array(bytes.dropFirst())
    if form == 0 { return try? JSON.parse(body) }
    guard form == 1, let key,
      let plain = try? AESGCM.open(body, key: key, associatedData: Array(id.utf8))
    else { return nil }
    return try? JSON.parse(plain)
  }
}
