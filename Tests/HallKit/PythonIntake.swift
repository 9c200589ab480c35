import Posix
import Synchronization
package import TestKit
package import WireJSON

/// The intake of Tests/Fixtures/intake.py: written from the Intake API alone, in a process of its own, with a store that
/// outlives it.
package final class PythonIntake: Sendable {
  /// Whether tests with it are to run.
  package static var isExpected: Bool { Programs.areExpected("python3") }

  package let socket: String
  package let store: String
  private let files: TemporaryDirectory
  private let program = Mutex<RunningProgram?>(nil)

  /// An intake whose socket and store are in this directory; not started yet.
  package init(in directory: TemporaryDirectory) {
    files = directory
    socket = directory.path("intake.sock")
    store = directory.path("intake")
  }

  /// Starts it, and waits until it listens. What it has accepted before is still there.
  /// - Parameter user: whose process it is, by number; for tests that run as root.
  package func start(asUser user: Int? = nil) async throws {
    var script = Repository.root + "/Tests/Fixtures/intake.py"
    var (name, words): (String, [String]) = ("python3", [])
    if let user {
      // What another user can reach: not the tree, nor a Python in somebody's home.
      try Files.setMode(files.path, 0o777)
      try Files.replaceDurable(
        files.path("intake.py"), bytes: try Files.read(script, limit: 1 << 20), mode: 0o644)
      script = files.path("intake.py")
      name = "setpriv"
      words = ["--reuid=\(user)", "--regid=\(user)", "--clear-groups", "/usr/bin/python3"]
    }
    words += [script, "--socket", socket, "--store", store, "--end-with-input"]
    let program = try RunningProgram(name, words, input: .pipe)
    try await program.line(containing: "listening")
    self.program.withLock { $0 = program }
  }

  /// The lines of the process that runs now: one for each answer, such as `PUT /v1/blobs/… 201`.
  package var running: RunningProgram {
    get throws {
      guard let program = program.withLock({ $0 }) else {
        throw Programs.Failure(description: "the intake does not run")
      }
      return program
    }
  }

  /// Ends it as a crash would.
  package func kill() async throws {
    let program = program.withLock { program in
      defer { program = nil }
      return program
    }
    try await program?.end(Signals.kill)
  }

  /// What it does wrong from now on (see the fixture); nil to behave.
  package func misbehave(_ mode: String?) throws {
    if let mode {
      try Files.replaceDurable(store + "/mode", bytes: Array(mode.utf8), mode: 0o600)
    } else {
      try Files.unlink(store + "/mode")
    }
  }

  // MARK: What it has accepted

  private func lines(_ name: String) throws -> [JSONValue] {
    try Files.read(store + "/" + name, limit: 1 << 30).split(separator: 10).map { try JSON.parse(Array($0)) }
  }

  /// Every event that it acknowledged, each once, in the order in which they came.
  package func events() throws -> [JSONValue] { try lines("events.jsonl") }

  /// The accepted events of a type.
  package func events(_ type: String) throws -> [JSONValue] {
    try events().filter { $0["type"]?.string == "gov.hall.\(type).v1" }
  }

  /// What the agent did against the document.
  package func violations() throws -> [String] {
    try lines("violations.jsonl").compactMap { $0["violation"]?.string }
  }

  /// How many events came that it had acknowledged before.
  package func duplicates() throws -> Int {
    let path = store + "/duplicates"
    guard Files.exists(path) else { return 0 }
    return try Files.read(path, limit: 1 << 30).count { $0 == 10 }
  }

  /// Pages that it acknowledged, by digest.
  package func blobs() throws -> Set<String> { Set(try Files.list(store + "/blobs")) }

  package func blob(_ digest: String) throws -> [UInt8] {
    try Files.read("\(store)/blobs/\(digest)", limit: 1 << 30)
  }

  /// What is wrong with the order of the accepted events: within a source and epoch the sequence rises from 1 without a gap.
  package func gaps() throws -> [String] {
    var last: [String: Int64] = [:]
    var problems: [String] = []
    for event in try events() {
      let place = "\(event["source"]?.string ?? "") \(event["epoch"]?.string ?? "")"
      let number = Int64(event["sequence"]?.string ?? "") ?? -1
      let expected = (last[place] ?? 0) + 1
      if number != expected { problems.append("\(place): \(number) where \(expected) was to come") }
      last[place] = number
    }
    return problems
  }
}
