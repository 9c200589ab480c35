import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// Who may connect, and who may do what: by the kernel's word on users and groups.
@Suite(
  .timeLimit(.minutes(5)),
  .enabled(
    if: ProcessInfo.userID == 0 && Programs.areExpected("curl", "setpriv"),
    "needs to be root, to run programs as other users, and curl and setpriv"))
struct AccessTests {
  /// Groups of every Debian system stand for the hall's: `users` for its members, `daemon` for technicians.
  private static let member = "100"
  private static let technician = "1"

  private func curl(
    _ position: Position, groups: String?, _ options: String..., path: String
  ) async throws -> (exit: Posix.ExitStatus, status: Int, body: JSONValue, errors: String) {
    let identity =
      ["--reuid", "4711", "--regid", "4711"] + (groups.map { ["--groups", $0] } ?? ["--clear-groups"])
    let result = try await RunningProgram.run(
      "setpriv",
      identity + [
        "curl", "--silent", "--show-error", "--unix-socket", position.socket, "-w", "\n%{http_code}",
      ]
        + options + ["http://localhost" + path])
    let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
    let body = try? JSON.parse(Array(lines.dropLast().joined(separator: "\n").utf8))
    return (result.status, lines.last.flatMap { Int($0) } ?? 0, body ?? .null, result.errors)
  }

  private func start() async throws -> (Position, SimulatedDevices) {
    let files = try TemporaryDirectory()
    // Everybody may get as far as the socket: what keeps them out must be the socket itself.
    try Files.setMode(files.path, 0o711)
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(
      agent: "socket-group = users\ntechnician-group = daemon", try devices.section("dispenser"))
    try await position.start()
    try await position.ready("dispenser")
    return (position, devices)
  }

  @Test func `a user outside the group cannot connect`() async throws {
    let (position, _) = try await start()
    let owner = try Files.owner(of: position.socket)
    #expect(owner.mode & 0o777 == 0o660 && owner.groupID == 100)
    let outsider = try await curl(position, groups: nil, path: "/v1/devices")
    // curl(1): 7, could not connect to host.
    #expect(outsider.exit == .exited(7) && outsider.status == 0)
    let member = try await curl(position, groups: Self.member, path: "/v1/devices")
    #expect(member.exit == .exited(0) && member.status == 200)
    // Nothing else that it keeps is for others either.
    #expect(try Files.owner(of: position.state).mode & 0o077 == 0)
    for file in try position.everythingStored() {
      #expect(try Files.owner(of: file.path).mode & 0o077 == 0, "\(file.path)")
    }
  }

  @Test func `a member does the counter's work, a technician's verb is refused and logged once`() async throws
  {
    let (position, devices) = try await start()
    let ticket = try await curl(
      position, groups: Self.member, "-d", #"{"requestId":"t-1","service":"A"}"#,
      path: "/v1/devices/dispenser/tickets")
    #expect(ticket.status == 201)
    for _ in 1...3 {
      let refused = try await curl(
        position, groups: Self.member, "-X", "PATCH", "-d", #"{"admin":"locked"}"#,
        path: "/v1/devices/dispenser")
      #expect(refused.status == 403 && refused.body["code"] == "access.forbidden")
      #expect(refused.body["actor"] == "administrator")
      #expect(refused.body["detail"] == "needs the role technician; uid 4711 has counter")
    }
    try await position.running.line(containing: "uid 4711 (counter) was refused changeDevice")
    #expect(try position.running.count("uid 4711 (counter) was refused changeDevice") == 1)
    #expect(try await position.call(.showDevice, ["role": "dispenser"])["admin"] == "unlocked")
    let external = try await curl(
      position, groups: Self.member, "-d", #"{"level":"external"}"#,
      path: "/v1/devices/dispenser/health-checks")
    #expect(external.status == 403)
    let harmless = try await curl(
      position, groups: Self.member, "-d", #"{"level":"internal"}"#,
      path: "/v1/devices/dispenser/health-checks")
    #expect(harmless.status == 200)
    #expect(try devices.records(of: "dispenser", "ticket").count == 1)
  }

  @Test func `a technician locks a device, which is audited, and hands out nothing of citizens`() async throws
  {
    let (position, _) = try await start()
    let groups = Self.member + "," + Self.technician
    let locked = try await curl(
      position, groups: groups, "-X", "PATCH", "-d", #"{"admin":"locked"}"#, path: "/v1/devices/dispenser")
    #expect(locked.status == 200 && locked.body["admin"] == "locked")
    let ticket = try await curl(
      position, groups: groups, "-d", #"{"requestId":"t-1","service":"A"}"#,
      path: "/v1/devices/dispenser/tickets")
    #expect(ticket.status == 503 && ticket.body["code"] == "device.locked")
    let audit = String(decoding: try Files.read(position.state + "/audit.log", limit: 1 << 20), as: UTF8.self)
    #expect(audit.contains("uid=4711\ttechnician\tdevice dispenser locked"))
    for path in ["/v1/outbox/items/x/export", "/v1/outbox/items/x/discard"] {
      let refused = try await curl(position, groups: groups, "-d", #"{"reason":"curious"}"#, path: path)
      #expect(refused.status == 403, "\(path)")
    }
    let list = try await curl(position, groups: groups, path: "/v1/outbox/items")
    #expect(list.status == 200 && list.body["items"] == [])
  }
}
