/// Why the database did not do what was asked.
public enum StoreError: Error, Sendable, Equatable, CustomStringConvertible {
  /// No room left on the file system, the reserve included.
  case full
  /// Another program held the database longer than the agent waits (5 s).
  case busy
  /// The database file is damaged; with SQLite's words. The next start moves it aside.
  case corrupt(String)
  /// Reading or writing the file failed, with SQLite's extended code. Nothing is accepted any more until a restart, since
  /// what reached the disk is not known.
  case io(Int)
  /// A rule of the tables was broken (unique, foreign key, not null, type); with SQLite's words.
  case constraint(String)
  /// The statement or its values are wrong: an error in this program.
  case misuse(String)
  /// The file cannot be opened as this program's database.
  case cannotOpen(path: String, reason: String)
  /// The database was written by a newer version of this program.
  case newer(component: String, found: Int, known: Int)

  /// One English sentence.
  public var description: String {
    switch self {
    case .full: "The disk is full."
    case .busy: "The database is held by another program."
    case .corrupt(let words): "The database is damaged: \(words)."
    case .io(let code): "Reading or writing the database failed (SQLite \(code))."
    case .constraint(let words): "A rule of the database was broken: \(words)."
    case .misuse(let words): "A wrong use of the database: \(words)."
    case .cannotOpen(let path, let reason): "The database \(path) cannot be opened: \(reason)."
    case .newer(let component, let found, let known):
      "The database was written by a newer version (\(component) \(found), known here up to \(known))."
    }
  }

  /// What a technician or administrator does about it; one English sentence.
  public var advice: String {
    switch self {
    case .full: "Free space on the file system that holds the agent's state."
    case .busy: "End whatever else has the database open, such as a sqlite3 shell with a transaction."
    case .corrupt: "Restart the agent: it moves the damaged file aside and goes on; then check the disk."
    case .io: "Check the disk (dmesg, SMART), then restart the agent."
    case .constraint, .misuse: "Report this to the vendor with the support bundle."
    case .cannotOpen: "Make file and directory belong to the agent's user, on a local file system."
    case .newer: "Install the newer version again, or move the state directory aside."
    }
  }
}
