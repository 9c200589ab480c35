import LabKit
import Posix
import TestKit
import WireJSON

/// A position in a guest: `halld run` as its own account, an intake of somebody else's, simulated devices with durable
/// logs, and the agent's events as they come.
final class GuestHall: Sendable {
  /// A section of the agent's configuration.
  struct Slot: Sendable {
    var role: String
    var kind: String
    var port: String
    /// More lines of the section.
    var more = ""

    /// A slot without a profile of its own: the one that matches is taken.
    init(_ role: String, _ kind: String, at port: String, _ more: String = "") {
      self.role = role
      self.kind = kind
      self.port = port
      self.more = more
    }
  }

  static let socket = "/run/hall-agent/agent.sock"
  let guest: Guest
  let agent: GuestCommand
  let events: GuestCommand

  private init(guest: Guest, agent: GuestCommand, events: GuestCommand) {
    self.guest = guest
    self.agent = agent
    self.events = events
  }

  /// Sets the guest up as the package would: profiles, udev rules, directories, the intake.
  static func prepare(_ guest: Guest) async throws {
    for (from, to) in [
      ("config/profiles", "profiles"), ("udev", "udev"), ("Tests/Fixtures/intake.py", "intake.py"),
    ] where Files.exists("\(Repository.root)/\(from)") {
      try await Programs.run("cp", "-rL", "\(Repository.root)/\(from)", "\(guest.shared)/\(to)")
    }
    try await guest.check(
      """
      install -d /usr/share/hall-agent /etc/hall-agent
      cp -r /mnt/profiles /usr/share/hall-agent/
      install -d -m 750 -o hall-agent -g hall /run/hall-agent
      install -d -m 700 -o hall-agent -g hall-agent /var/lib/hall-agent
      install -d -m 755 /run/hall-intake
      if ls /mnt/udev/*.rules >/dev/null 2>&1; then
        cp /mnt/udev/*.rules /etc/udev/rules.d/
      else
        halld udev-rules > /etc/udev/rules.d/70-hall-agent.rules
      fi
      udevadm control --reload
      """)
    let intake = try await guest.launch(
      "umask 0; exec python3 /mnt/intake.py --socket /run/hall-intake/intake.sock --store /mnt/intake")
    try await intake.line(containing: "listening")
  }

  /// Starts the agent and waits until its API answers.
  static func start(on guest: Guest, _ slots: [Slot], agent more: String = "") async throws -> GuestHall {
    let sections = slots.map { slot in
      "[device \(slot.role)]\nkind = \(slot.kind)\nport = \(slot.port)\n\(slot.more)\n"
    }
    try await guest.write(
      "/etc/hall-agent/hall-agent.conf",
      """
      [agent]
      hall = lab
      position = window-01
      language = en
      socket = \(socket)
      socket-group = hall
      state = /var/lib/hall-agent
      profiles = /usr/share/hall-agent/profiles
      profiles = /etc/hall-agent/profiles
      \(more)
      [intake]
      target = unix:/run/hall-intake/intake.sock
      user = root
      [ratings]
      correction = 0 s
      ask-at-closing = no
      [service A]
      name = 综合受理
      prefix = A
      \(sections.joined())
      """)
    try await guest.check("install -d /etc/hall-agent/profiles")
    let agent = try await guest.launch("exec halld run", as: "hall-agent")
    try await agent.line(containing: "agent: hall agent")
    let events = try await guest.launch(
      "exec curl -sSN --unix-socket \(socket) http://localhost/v1/events", as: "clerk")
    // The greeting: from here on nothing is missed.
    try await events.line { _ in true }
    return GuestHall(guest: guest, agent: agent, events: events)
  }

  /// Gives the service the devices of the kernel's own far ends, as an administrator does for a model that no profile names.
  static func permitGadgets(_ guest: Guest) async throws {
    try await guest.write(
      "/etc/udev/rules.d/90-lab.rules",
      """
      SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{idVendor}=="0525", GROUP="hall", MODE="0660"
      SUBSYSTEM=="usbmisc", KERNEL=="lp*", ATTRS{idVendor}=="0525", GROUP="hall", MODE="0660"
      SUBSYSTEM=="input", KERNEL=="event*", GROUP="hall", MODE="0660"
      SUBSYSTEM=="video4linux", GROUP="hall", MODE="0660"

      """)
    try await guest.check("udevadm control --reload")
  }

  // MARK: Asking

  /// An answer of the API, with its status.
  func call(
    _ method: String, _ target: String, _ body: JSONValue? = nil
  ) async throws -> (status: Int, body: JSONValue, time: Duration) {
    let text = try body.map { String(decoding: try JSON.encode($0), as: UTF8.self) } ?? ""
    let reply = try await guest.request(method, target, socket: Self.socket, body: text)
    guard reply.status != 0, let answer = try? JSON.parse(reply.body) else {
      throw Programs.Failure(description: "\(method) \(target): \(reply.status) \(reply.text)\n\(agent.text)")
    }
    return (reply.status, answer, reply.time)
  }

  /// A device as the API tells it.
  func device(_ role: String) async throws -> JSONValue {
    try await call("GET", "/v1/devices/\(role)").body
  }

  /// The answer in another language than English.
  func chinese(_ target: String) async throws -> JSONValue {
    try JSON.parse(
      Array(
        try await guest.check(
          "curl -sS -H 'Accept-Language: zh-CN' --unix-socket \(Self.socket) http://localhost\(target)",
          as: "clerk"
        ).utf8))
  }

  /// How many lines the event stream had so far: a mark for what comes after.
  var mark: Int { events.lines.count }

  /// A change that the agent told: what it is now, and when its event came.
  struct Change: Sendable {
    var data: JSONValue
    var time: Duration
  }

  /// Waits until an event says that the device is in one of these states; at once when it is already, unless a mark is given.
  @discardableResult
  func device(_ role: String, is states: String..., after mark: Int? = nil) async throws -> Change {
    try await device(role, "never became \(states)", after: mark) { data in
      data["state"]?.string.map { states.contains($0) } ?? false
    }
  }

  /// Waits until the agent gives this reason for the device's state.
  @discardableResult
  func device(_ role: String, because code: String) async throws -> Change {
    try await device(role, "never was told as \(code)", after: nil) { data in
      (data["reason"]?.string ?? data["reason"]?["code"]?.string) == code
    }
  }

  private func device(
    _ role: String, _ failure: String, after mark: Int?,
    where isWanted: @escaping @Sendable (JSONValue) -> Bool
  ) async throws -> Change {
    let start = mark ?? self.mark
    if mark == nil {
      let now = try await device(role)
      if isWanted(now) { return Change(data: now, time: .zero) }
    }
    do {
      let line = try await withLimit {
        try await self.events.line(after: start) { text in
          guard let data = Self.data(text), data["role"]?.string == role else { return false }
          return isWanted(data)
        }
      }
      return Change(data: Self.data(line.text) ?? .null, time: line.time)
    } catch {
      let now = (try? await device(role)).map { "\($0)" } ?? "no answer"
      let explained = (try? await guest.run("hallctl explain \(role)", as: "clerk").output) ?? ""
      throw Programs.Failure(
        description: "\(role) \(failure): \(now)\n\(explained)\n\(agent.text)\n\(error)")
    }
  }

  /// Waits for so long by the guest's clock, which stands still while a busy host gives the guest no processor.
  private func withLimit<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
      group.addTask { try await body() }
      group.addTask {
        // Most waits are over before it is worth a process.
        try await Attempts.pause(.seconds(15))
        _ = try await self.guest.run("sleep 60", timeout: .seconds(90))
        throw Programs.Failure(description: "a minute is over")
      }
      defer { group.cancelAll() }
      guard let value = try await group.next() else { throw CancellationError() }
      return value
    }
  }

  static func data(_ line: String) -> JSONValue? {
    line.hasPrefix("data: ") ? try? JSON.parse(Array(line.utf8.dropFirst(6))) : nil
  }

  /// Waits for an event of another kind, such as `rating`.
  func event(after mark: Int, where isWanted: @escaping @Sendable (JSONValue) -> Bool) async throws -> Change
  {
    do {
      let line = try await withLimit {
        try await self.events.line(after: mark) { Self.data($0).map(isWanted) ?? false }
      }
      return Change(data: Self.data(line.text) ?? .null, time: line.time)
    } catch {
      let came = events.lines.dropFirst(mark).map(\.text).filter { !$0.isEmpty }.joined(separator: "\n")
      throw Programs.Failure(description: "\(error); of events there came\n\(came)\n\(agent.text)")
    }
  }

  /// Everything the intake has accepted of a type.
  func accepted(_ type: String) throws -> [JSONValue] {
    let path = guest.shared + "/intake/events.jsonl"
    guard Files.exists(path) else { return [] }
    return try Files.read(path, limit: 1 << 28).split(separator: 10).map { try JSON.parse(Array($0)) }
      .filter { $0["type"]?.string == "gov.hall.\(type).v1" }
  }

  /// Waits until the intake has accepted so many of a type.
  func accepted(_ type: String, count: Int) async throws -> [JSONValue] {
    try await Attempts.until("\(count) of \(type) at the intake", limit: .seconds(300)) {
      let events = try accepted(type)
      return events.count >= count ? events : nil
    }
  }

  /// What the agent's process holds.
  struct Resources: Sendable, CustomStringConvertible {
    var descriptors: Int
    var threads: Int
    /// What is its own: not the program's text, which comes in as it is used.
    var privateKilobytes: Int
    var description: String {
      "\(descriptors) descriptors, \(threads) threads, \(privateKilobytes) kB of its own"
    }
  }

  func resources() async throws -> Resources {
    let text = try await guest.check(
      """
      p=$(pgrep -fx 'halld run')
      ls /proc/$p/fd | wc -l; ls /proc/$p/task | wc -l; awk '/^RssAnon/ {print $2}' /proc/$p/status
      """)
    let numbers = text.split(separator: "\n").compactMap { Int($0.split(separator: " ").last ?? "") }
    guard numbers.count == 3 else { throw Programs.Failure(description: "no process: \(text)") }
    return Resources(descriptors: numbers[0], threads: numbers[1], privateKilobytes: numbers[2])
  }

  /// The processor's time that the agent's process has had, all threads of all its life from the first call on.
  func processorTime() async throws -> Duration {
    let text = try await guest.check(
      """
      group=/sys/fs/cgroup/agent
      if [ ! -d $group ]; then
        mount -t cgroup2 none /sys/fs/cgroup && mkdir $group && pgrep -fx 'halld run' >$group/cgroup.procs
      fi
      awk '/^usage_usec/ {print $2}' $group/cpu.stat
      """)
    guard let time = Int(text) else { throw Programs.Failure(description: "no processor time: \(text)") }
    return .microseconds(time)
  }
}
