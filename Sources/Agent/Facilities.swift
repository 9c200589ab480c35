import Channels
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import Synchronization
import WireJSON

/// What every desk of the agent works with.
struct Facilities: Sendable {
  let database: StateDatabase
  let outbox: Outbox
  let hub: EventHub
  let log: Log
  let time: any Timekeeper
  let seal: DocumentSeal
  let audit: AuditLog
  /// Changes with a reload.
  let settings: SettingsBox

  /// An event of this agent, or nil when its type is not forwarded.
  func draft(
    _ type: String, source: EventSource, visit: String?, cases: [String], simulated: Bool, data: JSONValue,
    blobs: [Digest] = [], time: WallTime = .now(), priority: EventPriority = .normal
  ) -> EventDraft? {
    guard settings.current.forwarded.contains(type) else { return nil }
    return EventDraft(
      source: source, type: "gov.hall.\(type).v1", subject: cases.count == 1 ? cases[0] : nil, visit: visit,
      time: time, simulated: simulated, data: data, blobs: blobs, priority: priority)
  }

  /// The members `device`, `requestId`, `context` and `cases` of an event's data.
  func deviceData(_ view: DeviceView, request: CommandRequest?, cases: [String]?) -> [String: JSONValue] {
    var device: [String: JSONValue] = [
      "role": .string(view.slot.role), "port": .string(view.slot.port.description),
    ]
    if let identity = view.identity {
      device["model"] = .string(identity.model)
      if let serial = identity.serial { device["serial"] = .string(serial) }
    }
    var data: [String: JSONValue] = ["device": .object(device)]
    if let request {
      data["requestId"] = .string(request.id)
      if let context = request.context { data["context"] = context }
    }
    if let cases { data["cases"] = .array(cases.map(JSONValue.string)) }
    return data
  }

  /// Puts events into the outbox with the agent's own rows in one commit, and wakes the forwarder and whoever else follows
  /// what is kept.
  func commit<T: Sendable>(
    _ body: @Sendable (Database) throws(StoreError) -> T
  ) async throws(Problem) -> T {
    let result = try await note(body)
    outbox.wake()
    return result
  }

  /// Writes rows that concern nobody but their desk, in a commit of their own. Whoever is woken reads the database, and what a
  /// caller waits for would have to wait for that.
  func note<T: Sendable>(_ body: @Sendable (Database) throws(StoreError) -> T) async throws(Problem) -> T {
    do throws(StoreError) {
      let result = try await database.write(body)
      // A reserve was given up on a full disk: that is to be told, and to be put right once there is room.
      if !database.hasReserve { outbox.wake() }
      return result
    } catch {
      log(.error, "store", "\(error) \(error.advice)")
      throw Problem(.notStored, "\(error)")
    }
  }

  /// Reads rows.
  func read<T: Sendable>(_ body: @Sendable (Database) throws(StoreError) -> T) async throws(Problem) -> T {
    do throws(StoreError) {
      return try await database.read(body)
    } catch {
      throw Problem(.notStored, "\(error)")
    }
  }
}

/// The part of the configuration that may change while the service runs.
final class SettingsBox: Sendable {
  private let box: Mutex<Configuration>
  init(_ configuration: Configuration) { box = Mutex(configuration) }
  var current: Configuration { box.withLock { $0 } }
  func replace(_ configuration: Configuration) { box.withLock { $0 = configuration } }
}

/// What technicians and administrators did, one durable line each.
struct AuditLog: Sendable {
  let file: AppendLog

  func note(_ who: Caller, _ what: String) throws(SystemError) {
    try file.append("\(WallTime.now().rfc3339)\tuid=\(who.userID)\t\(who.role.name)\t\(what)")
  }

  /// What the service did by itself.
  func noteOwn(_ what: String) throws(SystemError) {
    try file.append("\(WallTime.now().rfc3339)\tuid=\(ProcessInfo.userID)\tservice\t\(what)")
  }
}

/// Who calls.
struct Caller: Sendable, Equatable {
  var userID: UInt32
  var role: Role
  var language: Language
}

/// The members that every command to a device has in common.
struct CommandRequest: Sendable {
  var id: String
  var visit: String?
  var cases: [String]
  var context: JSONValue?
  var body: JSONValue

  init(_ body: JSONValue) {
    self.body = body
    id = body["requestId"]?.string ?? ""
    visit = body["visit"]?.string
    cases = body["cases"]?.array?.compactMap(\.string) ?? []
    context = body["context"]
  }
}

extension Fault {
  /// The fault as the API shows it.
  func json(_ language: Language) -> JSONValue {
    let advice = code.advice
    var value: [String: JSONValue] = [
      "code": .string(code.rawValue), "title": .string(advice.sentence(language)),
      "action": .string(advice.action.rawValue), "actor": .string(advice.actor.rawValue),
      "retry": .bool(advice.retry),
    ]
    if !evidence.isEmpty { value["detail"] = .string(String(evidence.prefix(1000))) }
    return .object(value)
  }
}
