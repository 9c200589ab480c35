import HTTPClient
package import LocalAPI
package import Posix
import Synchronization
package import TestKit
import Testing
package import WireJSON

/// `halld run` at one position: its configuration, its state, its socket, and the calls that are made to it.
///
/// Every JSON answer of every system test goes through ``call(_:_:query:body:timeout:)``, where it is held against the
/// form that the API declares for it.
package final class Position: Sendable {
  /// An answer of the API, with the route that gave it.
  package struct Answer: Sendable {
    package var route: Route
    package var status: Int
    package var body: JSONValue
  }

  package let files: TemporaryDirectory
  package let socket: String
  package let state: String
  package let intakeTarget: String
  /// Every JSON answer so far.
  package let answers = Observed<[Answer]>([])
  private let environment: [String: String]
  private let program = Mutex<RunningProgram?>(nil)

  package init(in files: TemporaryDirectory, environment: [String: String] = [:]) {
    self.files = files
    self.environment = environment
    socket = files.path("agent.sock")
    state = files.path("state")
    intakeTarget = "unix:" + files.path("intake.sock")
  }

  // MARK: The configuration

  package var configurationFile: String { files.path("hall.conf") }

  /// A rating ends with its key, and a visit without one: citizens who correct themselves, and those who are asked at the
  /// end, are tested by themselves.
  package static let ratings = "[ratings]\ncorrection = 0 s\nask-at-closing = no"

  /// Lines of the sections `[agent]` and `[outbox]` besides the places, and the account that the intake has to run as.
  package func write(
    agent: String = "", outbox: String = "", intakeUser: String = "", _ sections: String...,
    forward more: String = ""
  ) throws {
    let text = """
      [agent]
      hall = test-hall
      position = window-07
      language = en
      socket = \(socket)
      \(agent.contains("socket-group") ? "" : "socket-group = \"\"")
      state = \(state)
      profiles = \(Repository.root)/config/profiles
      \(agent)
      [intake]
      target = \(intakeTarget)
      user = "\(intakeUser)"
      forward = visit, rating, material.page, material.page.withdrawn, material.completed, ticket, call, print\(more)
      [outbox]
      \(outbox)
      [service A]
      name = 综合受理
      prefix = A
      [service B]
      name = 社保
      prefix = B
      \(sections.contains { $0.contains("[ratings]") } ? "" : Self.ratings)
      \(sections.joined(separator: "\n"))
      """
    try Files.replaceDurable(configurationFile, bytes: Array(text.utf8), mode: 0o644)
  }

  // MARK: The process

  /// The process that runs now.
  package var running: RunningProgram {
    get throws {
      guard let program = program.withLock({ $0 }) else {
        throw Programs.Failure(description: "the agent does not run")
      }
      return program
    }
  }

  /// Starts it, and waits until the API answers.
  @discardableResult
  package func start() async throws -> RunningProgram {
    let program = try RunningProgram(
      Built.path("halld"), ["run", "--config", configurationFile], environment: environment)
    self.program.withLock { $0 = program }
    try await program.line(containing: "agent: hall agent")
    return program
  }

  /// Ends it as a crash would.
  package func kill() async throws {
    let program = try running
    self.program.withLock { $0 = nil }
    let status = try await program.end(Signals.kill)
    guard status == .signalled(Signals.kill) else {
      throw Programs.Failure(
        description: "the agent ended by itself, \(status):\n"
          + program.printed.value.all.joined(separator: "\n"))
    }
  }

  /// Ends it in good order.
  @discardableResult
  package func stop() async throws -> Posix.ExitStatus {
    let program = try running
    let status = try await program.end(Signals.terminate)
    self.program.withLock { $0 = nil }
    return status
  }

  // MARK: Calls

  /// Calls a route, and holds its answer against the declared form.
  /// - Throws: ``AgentCallError``; a refusal is `.problem`.
  @discardableResult
  package func call(
    _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [],
    body: JSONValue? = nil,
    timeout: Duration = .seconds(300)
  ) async throws(AgentCallError) -> JSONValue {
    let client = AgentClient(socket: socket, language: .english)
    do throws(AgentCallError) {
      let answer = try await client.call(route, parameters, query: query, body: body, timeout: timeout)
      await client.close()
      check(Answer(route: route, status: route.specification.success, body: answer))
      return answer
    } catch {
      await client.close()
      if case .problem(let status, let problem) = error {
        check(Answer(route: route, status: status, body: problem))
      }
      throw error
    }
  }

  /// Prints a document.
  package func print(_ document: [UInt8], role: String, request: String) async throws -> JSONValue {
    let client = AgentClient(socket: socket, language: .english)
    let bytes = try await client.raw(
      .print, ["role": role], query: [("requestId", request)], body: document, contentType: "application/pdf",
      timeout: .seconds(300))
    await client.close()
    let answer = try JSON.parse(bytes)
    check(Answer(route: .print, status: 200, body: answer))
    return answer
  }

  /// Has the citizen read a document.
  package func show(document: [UInt8], role: String, request: String) async throws -> JSONValue {
    let client = AgentClient(socket: socket, language: .english)
    let bytes = try await client.raw(
      .showDocument, ["role": role], query: [("requestId", request)], body: document,
      contentType: "application/pdf", timeout: .seconds(300))
    await client.close()
    let answer = try JSON.parse(bytes)
    check(Answer(route: .showDocument, status: 200, body: answer))
    return answer
  }

  /// The bytes of an answer that is not JSON.
  private func raw(_ route: Route, _ parameters: [String: String] = [:]) async throws -> [UInt8] {
    let client = AgentClient(socket: socket, language: .english)
    let bytes = try await client.raw(route, parameters)
    await client.close()
    return bytes
  }

  /// A page's image.
  package func page(_ material: String, _ page: String) async throws -> [UInt8] {
    try await raw(.readPage, ["material": material, "page": page])
  }

  package func metrics() async throws -> [UInt8] { try await raw(.metrics) }

  private static let problem = Shape.object([
    .required("type", .text(max: 200), ""), .required("status", .integer(400...599), ""),
    .required("code", .text(max: 64), ""), .required("title", .text(max: 400), ""),
    .optional("detail", .text(max: 4000), ""),
    .required(
      "action", .word(["reset", "clear", "configuration", "maintenance", "suspend", "softwareError"]), ""),
    .required("actor", .word(["citizen", "clerk", "technician", "administrator", "vendor"]), ""),
    .required("retry", .boolean, ""),
    // What a refusal may carry besides.
    .optional("errors", .array(.text(max: 4000), max: 50), ""), .optional("number", .text(max: 16), ""),
    .optional("printed", .word(["no"]), ""),
  ])

  /// The one place where answers are checked.
  package func check(_ answer: Answer) {
    answers.update { $0.append(answer) }
    let isSuccess = (200...299).contains(answer.status)
    let shape = isSuccess ? answer.route.specification.answer : Self.problem
    let problems = shape?.problems(in: answer.body) ?? []
    if !problems.isEmpty { Issue.record("\(answer.route.rawValue): \(problems) in \(answer.body)") }
    if !isSuccess, answer.body["status"]?.integer != Int64(answer.status) {
      Issue.record("\(answer.route.rawValue): the problem says another status than \(answer.status)")
    }
  }

  /// Waits until these devices are in service.
  package func ready(_ roles: String...) async throws {
    _ = try await Attempts.until("\(roles) online") {
      let devices = try await call(.listDevices)["devices"]?.array ?? []
      let online = devices.filter { $0["state"] == "online" }.compactMap { $0["role"]?.string }
      return roles.allSatisfy(online.contains) ? true : nil
    }
  }

  /// Waits until everything has been delivered, and gives the outbox's status. An agent that just stops and starts again is
  /// asked again.
  @discardableResult
  package func delivered(limit: Duration = .seconds(240)) async throws -> JSONValue {
    var last = "no answer"
    do {
      return try await Attempts.until("everything delivered", limit: limit) { () -> JSONValue? in
        let status: JSONValue
        do {
          status = try await call(.outboxStatus)
        } catch {
          last = "\(error)"
          return nil
        }
        last = "\(status)"
        guard status["pendingEvents"] == 0, status["pendingPages"] == 0 else { return Optional.none }
        return status
      }
    } catch {
      throw Programs.Failure(description: "\(error); the outbox: \(last)")
    }
  }

  /// The agent's events from now on, until ``EventFeed`` goes.
  package func events() async throws -> EventFeed { try await EventFeed(socket) }

  /// All bytes of all files of the state directory, save the room that is kept free for a full disk.
  package func everythingStored() throws -> [(path: String, bytes: [UInt8])] {
    try Self.files(under: state).filter { file in
      if file.path.hasSuffix("-reserve") { return file.bytes.contains { $0 != 0 } }
      return true
    }
  }

  package static func files(under directory: String) throws -> [(path: String, bytes: [UInt8])] {
    var found: [(path: String, bytes: [UInt8])] = []
    for name in try Files.list(directory) {
      let path = directory + "/" + name
      switch try Files.status(of: path, followingLinks: false).kind {
      case .directory: found += try files(under: path)
      case .file: found.append((path, try Files.read(path, limit: 1 << 30)))
      default: break
      }
    }
    return found
  }
}

/// The server-sent events of an agent, as they come.
package final class EventFeed: Sendable {
  package struct Event: Sendable {
    package var name: String
    package var data: JSONValue
  }
  package let events = Observed<[Event]>([])
  private let client: AgentClient
  private let task: Task<Void, Never>

  package init(_ socket: String) async throws {
    client = AgentClient(socket: socket, language: .english)
    let stream = try await client.events()
    let events = events
    let first = Observed(false)
    task = Task {
      var rest: [UInt8] = []
      do {
        for try await piece in stream.pieces {
          first.update { $0 = true }
          rest += piece
          while let end = rest.firstRange(of: [10, 10]) {
            let event = Self.event(String(decoding: rest[..<end.lowerBound], as: UTF8.self))
            rest.removeFirst(end.upperBound)
            if let event { events.update { $0.append(event) } }
          }
        }
      } catch {}
    }
    // The greeting: from here on nothing is missed.
    await first.wait { $0 }
  }

  private static func event(_ text: String) -> Event? {
    var name = ""
    var data = ""
    for line in text.split(separator: "\n") {
      if line.hasPrefix("event: ") { name = String(line.dropFirst(7)) }
      if line.hasPrefix("data: ") { data = String(line.dropFirst(6)) }
    }
    return name.isEmpty ? nil : Event(name: name, data: (try? JSON.parse(Array(data.utf8))) ?? .null)
  }

  /// Waits for an event.
  package func wait(_ name: String, _ condition: @escaping @Sendable (JSONValue) -> Bool = { _ in true })
    async throws
  {
    let found = await events.wait { events in events.contains { $0.name == name && condition($0.data) } }
    if found == nil { throw CancellationError() }
  }

  deinit { task.cancel() }
}

/// A PDF of one empty page.
package let smallestPDF: [UInt8] = {
  let objects = [
    "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
  ]
  var text = "%PDF-1.4\n"
  var offsets: [Int] = []
  for (index, object) in objects.enumerated() {
    offsets.append(text.utf8.count)
    text += "\(index + 1) 0 obj\n\(object)\nendobj\n"
  }
  let table = text.utf8.count
  text += "xref\n0 4\n0000000000 65535 f \n"
  for offset in offsets {
    let digits = String(offset)
    text += String(repeating: "0", count: 10 - digits.count) + digits + " 00000 n \n"
  }
  text += "trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n\(table)\n%%EOF\n"
  return Array(text.utf8)
}()
