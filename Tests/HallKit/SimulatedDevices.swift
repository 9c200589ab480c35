import HTTPClient
import Posix
import Synchronization
package import TestKit
import WireJSON

/// `halld simulate --pty`: the simulated devices in a process of their own, with durable logs.
package final class SimulatedDevices: Sendable {
  package let directory: String
  private let files: TemporaryDirectory
  private let program: RunningProgram

  /// Starts them, and waits until they can be reached.
  package init(in files: TemporaryDirectory, hall: String? = nil) async throws {
    self.files = files
    directory = files.path("devices")
    var arguments = ["simulate", "--pty", directory]
    if let hall {
      try Files.replaceDurable(files.path("devices.conf"), bytes: Array(hall.utf8), mode: 0o600)
      arguments += ["--hall", files.path("devices.conf")]
    }
    program = try RunningProgram(Built.path("halld"), arguments)
    try await program.line(containing: "simulated devices are in")
  }

  /// Where the agent finds a device.
  package func port(of name: String) throws -> String {
    switch name {
    case "scanner":
      let text = try Files.read(directory + "/scanner.url", limit: 4096)
      return String(decoding: text.prefix { $0 != 10 }, as: UTF8.self)
    case "printer": return "cups:Printer@\(directory)/cups.sock"
    default: return "tty:\(directory)/\(name).tty"
    }
  }

  /// The device as a section of the agent's configuration.
  package func section(_ name: String) throws -> String {
    let (kind, profile) =
      switch name {
      case "idcard": ("id-card-reader", "sdt-serial")
      case "dispenser": ("ticket-dispenser", "escpos-simulated")
      case "scanner": ("scanner", "escl-generic")
      case "evaluator": ("evaluator", "evaluator-ff68")
      default: ("printer", "cups-generic")
      }
    return
      "[device \(name)]\nkind = \(kind)\nport = \(try port(of: name))\nprofile = \(profile)\nsimulated = yes\n"
  }

  package static let all = ["idcard", "dispenser", "scanner", "evaluator", "printer"]

  // MARK: What a person does

  /// Carries out one or more commands, and gives the device's state after them.
  @discardableResult
  package func apply(_ command: String, to name: String) async throws -> [String: String] {
    try await exchange(.post, name, try JSON.encode(["command": .string(command)] as JSONValue))
  }

  /// The device's state: names and words.
  package func state(of name: String) async throws -> [String: String] { try await exchange(.get, name, []) }

  private func exchange(_ method: HTTPMethod, _ name: String, _ body: [UInt8]) async throws -> [String:
    String]
  {
    let client = HTTPClient(target: .unix(path: directory + "/control.sock"))
    let response = try await client.send(
      method, "/v1/simulation/\(name)", body: body, contentType: method == .post ? "application/json" : nil,
      timeout: .seconds(300), idempotent: false)
    await client.close()
    let answer = try JSON.parse(response.body)
    guard response.status == 200 else { throw Programs.Failure(description: "\(name): \(answer)") }
    return (answer["state"]?.object ?? [:]).compactMapValues(\.string)
  }

  // MARK: What a device really did

  package struct Record: Sendable {
    package var event: String
    package var fields: [(name: String, value: String)]
    package subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }
  }

  /// Everything in a device's own durable log.
  package func records(of name: String) throws -> [Record] {
    let text = String(decoding: try Files.read("\(directory)/\(name).log", limit: 1 << 28), as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
      guard parts.count >= 3 else { return nil }
      return Record(
        event: String(parts[2]),
        fields: parts.dropFirst(3).map { field in
          let sides = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
          return (String(sides[0]), sides.count == 2 ? String(sides[1]) : "")
        })
    }
  }

  package func records(of name: String, _ event: String) throws -> [Record] {
    try records(of: name).filter { $0.event == event }
  }

  package func stop() async throws { try await program.end(Signals.terminate) }
}
