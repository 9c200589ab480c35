import Console
import Devices
import LocalAPI
import Posix
import WireJSON

/// One run of a verb: its words, the agent, and how to print.
struct Session: Sendable {
  let client: AgentClient
  let language: Language
  let json: Bool
  let words: [String]
  let arguments: Arguments

  /// Calls the agent.
  func call(
    _ route: Route, _ parameters: [String: String] = [:], query: [(String, String)] = [],
    body: JSONValue? = nil,
    timeout: Duration = .seconds(60)
  ) async throws(VerbError) -> JSONValue {
    do throws(AgentCallError) {
      return try await client.call(route, parameters, query: query, body: body, timeout: timeout)
    } catch {
      throw .call(error)
    }
  }

  /// Sends a file as the body of a request to a device.
  /// - Parameters:
  ///   - options: those that become members of the query, and as what.
  ///   - timeout: for the answer.
  func send(
    _ file: String, _ route: Route, to role: String, options: [(option: String, member: String)],
    timeout: Duration
  ) async throws(VerbError) -> JSONValue {
    let document: [UInt8]
    do throws(SystemError) {
      document = try Files.read(file, limit: 64 << 20)
    } catch {
      throw .failed("\(file): \(error)")
    }
    var query = [("requestId", requestID.string ?? "")]
    for (option, member) in options { if let value = arguments[option] { query.append((member, value)) } }
    do {
      return try JSON.parse(
        try await client.raw(
          route, ["role": role], query: query, body: document, contentType: "application/pdf",
          timeout: timeout))
    } catch let error as AgentCallError {
      throw .call(error)
    } catch {
      throw .failed("\(error)")
    }
  }

  /// The one device of a kind, or the one named by `--device`.
  func device(_ kind: String) async throws(VerbError) -> String {
    if let role = arguments["device"] { return role }
    let devices = try await call(.listDevices)["devices"]?.array ?? []
    let roles = devices.filter { $0["kind"]?.string == kind }.compactMap { $0["role"]?.string }
    if roles.count == 1 { return roles[0] }
    if roles.isEmpty {
      throw .failed(language.choose("没有这种设备（\(kind)）。", "There is no \(kind) here."))
    }
    throw .failed(
      language.choose(
        "有多台这种设备，请用 --device 指定：", "There are several; choose one with --device: ")
        + roles.joined(separator: ", "))
  }

  /// The idempotency key: the caller's, or a new one.
  var requestID: JSONValue { .string(arguments["request"] ?? Identifier.uuidV7()) }

  /// Members for the options given, as text.
  func members(_ names: [(option: String, member: String)]) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    for (option, member) in names { if let value = arguments[option] { members[member] = .string(value) } }
    return members
  }

  /// A whole number given as an option.
  func integer(_ option: String) throws(VerbError) -> JSONValue? {
    guard let text = arguments[option] else { return nil }
    guard let number = Int64(text) else {
      throw .usage(UsageError(.wrongValue(text, expected: language.choose("整数", "a whole number"))))
    }
    return .integer(number)
  }

  /// Prints JSON on one line.
  func print(_ value: JSONValue) {
    StandardStreams.writeOut(String(decoding: (try? JSON.encode(value)) ?? [], as: UTF8.self) + "\n")
  }

  /// Prints text, or the JSON when that was asked for.
  func show(_ value: JSONValue, _ text: (JSONValue) -> String) {
    if json { print(value) } else { StandardStreams.writeOut(text(value)) }
  }

  /// A problem document in words: what, the detail, who has to act.
  func sentences(_ problem: JSONValue) -> String {
    var text = problem["title"]?.string ?? language.choose("失败", "failed")
    if let detail = problem["detail"]?.string { text += " (\(detail))" }
    if let actor = problem["actor"]?.string.flatMap({ Actor(rawValue: $0) }) {
      text += language.choose(" 处理人：\(actor.name(.chinese))。", " To act: \(actor.name(.english)).")
    }
    return text
  }

  /// A table with a heading.
  func table(_ heading: [String], _ rows: [[String]]) -> String {
    rows.isEmpty ? language.choose("（无）\n", "(none)\n") : Cells.table([heading] + rows)
  }
}

/// Options that several verbs take.
enum Common {
  static let device = Option("device", value: "ROLE", zh: "设备角色", en: "the device's role")
  static let request = Option("request", value: "ID", zh: "请求编号（幂等键）", en: "idempotency key")
  static let visit = Option("visit", value: "ID", zh: "办理编号", en: "the visit")
}
