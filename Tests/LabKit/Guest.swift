internal import Posix
internal import Synchronization
internal import TestKit
internal import WireJSON

/// A virtual machine with Debian's stock kernel, udevd and the programs that were built with the tests.
///
/// It is restored from a snapshot of the booted machine, half a second, and never shares anything with the one before.
/// In it: `halld` and `hallctl` in `PATH`, ``shared`` of the host as `/mnt` with `Guest/tools` in it, a ``VolatileDisk`` as `/dev/vdb`; users `root`,
/// `hall-agent` and `clerk` (both in the group `hall`) and `stranger` (in none).
///
/// Only some run at a time (``Lab/turn``): whoever starts another waits. Call ``end()``, or let ``run(disk:_:)`` do it.
public final class Guest: Sendable {
  /// How a command ended.
  public struct Result: Sendable {
    /// Its exit status; negative for the signal that ended it.
    public let status: Int
    /// Standard output.
    public let output: String
    /// Standard error.
    public let errors: String
    /// Whether it was killed because its time was over.
    public let isTimedOut: Bool
  }

  /// The answer of a service in the guest.
  public struct Reply: Sendable {
    /// HTTP's status; 0 when there was no answer, and ``body`` says why.
    public let status: Int
    /// The body.
    public let body: [UInt8]
    /// When it came.
    public let time: Duration
    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }
  }

  /// A directory of the host that is `/mnt` in the guest, for this guest only.
  public let shared: String

  private let files: TemporaryDirectory
  private let machine: ChildProcess
  private let agent: DescriptorStream
  private let disk: VolatileDisk?
  private let state: Observed<State>
  private let writing = Lab.Turn(places: 1)

  private struct State: Sendable {
    var isReady = false
    var isGone = false
    var lastID = 0
    var commands: [Int: GuestCommand] = [:]
    var replies: [Int: Reply] = [:]
  }

  private init(files: TemporaryDirectory, machine: ChildProcess, agent: DescriptorStream, disk: VolatileDisk?)
  {
    self.files = files
    self.machine = machine
    self.agent = agent
    self.disk = disk
    shared = files.path("shared")
    state = Observed(State())
  }

  // MARK: Start and end

  /// Starts a guest, uses it, and ends it whatever happens. What the kernel said goes with an error that is thrown.
  @discardableResult
  public static func run<Value>(
    disk: VolatileDisk? = nil, _ body: (Guest) async throws -> Value
  ) async throws -> Value {
    let guest = try await Guest.start(disk: disk)
    do {
      let value = try await body(guest)
      await guest.end()
      return value
    } catch {
      let kernel = (try? await guest.run("dmesg | tail -n 40", timeout: .seconds(10)).output) ?? ""
      let log = guest.console + kernel
      await guest.end()
      throw Programs.Failure(description: "\(error)\n--- console of the guest:\n\(log)")
    }
  }

  /// Starts a guest from the snapshot, or by booting it when told, and waits until it takes commands.
  /// - Parameters:
  ///   - disk: what `/dev/vdb` is; without one it is a disk that forgets.
  ///   - isBooted: whether it boots from nothing, 3 s and more, instead of being restored.
  public static func start(disk: VolatileDisk? = nil, isBooted: Bool = false) async throws -> Guest {
    await Lab.turn.take()
    do {
      return try await started(disk, isBooted)
    } catch {
      await Lab.turn.pass()
      throw error
    }
  }

  private static func started(_ disk: VolatileDisk?, _ isBooted: Bool) async throws -> Guest {
    let files = try TemporaryDirectory()
    try Files.makeDirectory(files.path("shared"), mode: 0o777, parents: false)
    try await Programs.run(
      "cp", "-r", Files.directory(of: #filePath) + "/Guest/tools", files.path("shared/tools"))
    var device = "file.driver=null-co,file.size=\(VolatileDisk.size),file.read-zeroes=on"
    if let disk {
      let listener = DescriptorStream(
        try UnixSocket.listen(path: files.path("disk.sock"), mode: 0o600, group: nil))
      Task {
        // QEMU connects once, and again only when it has lost the connection.
        if (try? await listener.ready(for: .read, timeout: .seconds(60))) != nil,
          let stream = listener.withDescriptor(accepted) ?? nil
        {
          listener.close()
          await disk.serve(stream)
        }
      }
      device = "file.driver=nbd,file.server.type=unix,file.server.path=\(files.path("disk.sock"))"
    }
    var arguments: [String] = []
    for line in String(decoding: try Files.read("\(Lab.directory)/machine", limit: 1 << 16), as: UTF8.self)
      .split(separator: "\n")
    {
      var text = String(line)
      for (mark, value) in [
        ("@LAB@", Lab.directory), ("@FILES@", files.path), ("@DISK@", device), ("@PROGRAMS@", Lab.programs),
        ("@RUNTIME@", Lab.runtime),
      ] { text = text.split(separator: mark, omittingEmptySubsequences: false).joined(separator: value) }
      arguments.append(text)
    }
    if !isBooted { arguments += ["-incoming", "exec:cat \(Lab.directory)/snapshot"] }
    let machine = try ChildProcess.spawn(
      "qemu-system-x86_64", arguments: arguments, standardOutput: .file(files.path("machine.log")),
      standardError: .file(files.path("machine.log")))
    let agent = try await Attempts.until("the machine's agent socket", limit: .seconds(300)) {
      () -> DescriptorStream? in
      if let socket = try? UnixSocket.connect(path: files.path("agent.sock")) {
        return DescriptorStream(socket)
      }
      guard await machine.wait(timeout: .zero) == nil else {
        throw Programs.Failure(description: "QEMU ended: \(text(files.path("machine.log")))")
      }
      return nil
    }
    let guest = Guest(files: files, machine: machine, agent: agent, disk: disk)
    guest.listen()
    let now = WallTime.now()
    try await guest.say("hello \(now.secondsSince1970) \(Base64.encode(Identifier.random(32)))")
    let ready = await withDeadline(.seconds(300)) {
      await guest.state.wait { $0.isReady || $0.isGone }
    }
    guard ready??.isReady == true else {
      let log = guest.console
      machine.signal(Signals.kill)
      _ = await machine.wait(timeout: .seconds(10))
      throw Programs.Failure(description: "the guest did not start:\n\(log)")
    }
    return guest
  }

  /// Ends the machine, as by pulling the plug; what was written to its disk is kept.
  public func end() async {
    agent.close()
    machine.signal(Signals.kill)
    _ = await machine.wait(timeout: .seconds(30))
    disk?.cut()
    disk?.restore(losing: .nothing)
    await Lab.turn.pass()
  }

  /// Cuts the power at this moment: the disk stops first, then the machine, and what was not flushed meets its fate. A new
  /// guest with the same disk finds what a real one would.
  public func cutPower(losing loss: VolatileDisk.Loss) async {
    disk?.cut()
    machine.signal(Signals.kill)
    agent.close()
    _ = await machine.wait(timeout: .seconds(30))
    disk?.restore(losing: loss)
    await Lab.turn.pass()
  }

  deinit { machine.signal(Signals.kill) }

  /// The end of what the kernel and QEMU said.
  public var console: String {
    Self.text(files.path("machine.log")) + Self.text(files.path("console.log"))
  }

  private static func text(_ path: String) -> String {
    String(decoding: ((try? Files.read(path, limit: 1 << 26)) ?? []).suffix(6000), as: UTF8.self)
  }

  // MARK: Commands

  /// Runs a shell script to its end.
  /// - Parameters:
  ///   - user: whose process it is.
  ///   - timeout: after which it is killed with everything it started; time in the emulator goes three to forty times
  ///     slower than outside.
  public func run(
    _ script: String, as user: String = "root", input: [UInt8] = [], timeout: Duration = .seconds(60)
  ) async throws -> Result {
    try await launch(script, as: user, input: input, timeout: timeout).result()
  }

  /// Runs a shell script that has to succeed.
  /// - Returns: what it printed, without the last line break.
  /// - Throws: `Programs.Failure` with all that it said when its status is not 0.
  @discardableResult
  public func check(
    _ script: String, as user: String = "root", input: [UInt8] = [], timeout: Duration = .seconds(60)
  ) async throws -> String {
    let result = try await run(script, as: user, input: input, timeout: timeout)
    guard result.status == 0 else {
      throw Programs.Failure(
        description:
          "in the guest: \(script)\nstatus \(result.status)\(result.isTimedOut ? ", time over" : "")\n"
          + result.output + result.errors)
    }
    return result.output.hasSuffix("\n") ? String(result.output.dropLast()) : result.output
  }

  /// Starts a shell script that goes on while the test does.
  public func launch(
    _ script: String, as user: String = "root", input: [UInt8] = [], timeout: Duration? = nil
  ) async throws -> GuestCommand {
    let command = GuestCommand(script: script)
    let id = register { id, state in state.commands[id] = command }
    command.attach { [weak self] signal in try await self?.say("signal \(id) \(signal)") }
    let limit = timeout.map { Int($0 / .milliseconds(1)) } ?? 0
    try await say("run \(id) \(user) \(limit) \(coded(Array(script.utf8))) \(coded(input))")
    return command
  }

  /// Asks a service in the guest that listens on a Unix socket; no process is started for it.
  public func request(
    _ method: String, _ target: String, socket: String, body: String = ""
  ) async throws -> Reply {
    let id = register { _, _ in }
    try await say(
      "http \(id) \(coded(Array(socket.utf8))) \(method) \(coded(Array(target.utf8))) \(coded(Array(body.utf8)))"
    )
    let found = await state.wait { $0.replies[id] != nil || $0.isGone }
    guard let reply = found?.replies[id] else { throw gone("\(method) \(target)") }
    state.update { $0.replies[id] = nil }
    return reply
  }

  /// Puts a file into the guest.
  public func write(_ path: String, _ text: String, mode: String = "644") async throws {
    try await check("install -D -m \(mode) /dev/stdin '\(path)'", input: Array(text.utf8))
  }

  // MARK: The agent

  private func register(_ change: @escaping @Sendable (Int, inout State) -> Void) -> Int {
    let id = Identified()
    state.update { state in
      state.lastID += 1
      id.value.withLock { $0 = state.lastID }
      change(state.lastID, &state)
    }
    return id.value.withLock { $0 }
  }

  private final class Identified: Sendable { let value = Mutex(0) }

  private func say(_ line: String) async throws {
    await writing.take()
    do {
      try await agent.write(Array(line.utf8) + [10], timeout: .seconds(60))
    } catch {
      await writing.pass()
      throw gone("\(error)")
    }
    await writing.pass()
  }

  private func gone(_ what: String) -> Programs.Failure {
    Programs.Failure(description: "the guest is gone: \(what)\n\(console)")
  }

  private func listen() {
    let agent = agent
    let state = state
    Task {
      var rest: [UInt8] = []
      while let bytes = try? await agent.read(upTo: 1 << 18, timeout: nil), !bytes.isEmpty {
        rest += bytes
        var start = 0
        while let end = rest[start...].firstIndex(of: 10) {
          Self.take(rest[start..<end].split(separator: 32).map { String(decoding: $0, as: UTF8.self) }, state)
          start = end + 1
        }
        rest.removeFirst(start)
      }
      let left = state.value.commands.values
      state.update {
        $0.isGone = true
        $0.commands = [:]
      }
      for command in left { command.end(status: nil, at: .zero) }
    }
  }

  private static func take(_ words: [String], _ state: Observed<State>) {
    guard let kind = words.first else { return }
    if kind == "ready" { return state.update { $0.isReady = true } }
    guard words.count >= 4, let id = Int(words[1]), let time = Int(words[2]) else { return }
    let moment = Duration.microseconds(time)
    switch kind {
    case "out", "err": state.value.commands[id]?.add(plain(words[3]), isError: kind == "err", at: moment)
    case "exit":
      let command = state.value.commands[id]
      state.update { $0.commands[id] = nil }
      command?.end(status: Int(words[3]), at: moment)
    case "reply" where words.count == 5:
      let reply = Reply(status: Int(words[3]) ?? 0, body: plain(words[4]), time: moment)
      state.update { $0.replies[id] = reply }
    default: break
    }
  }

  private static func plain(_ word: String) -> [UInt8] { word == "-" ? [] : Base64.decode(word) ?? [] }
  private func coded(_ bytes: [UInt8]) -> String { bytes.isEmpty ? "-" : Base64.encode(bytes) }
}

private func accepted(from listener: Int32) -> DescriptorStream? {
  do {
    guard let socket = try UnixSocket.accept(from: listener) else { return nil }
    return DescriptorStream(socket)
  } catch {
    return nil
  }
}

/// What an operation returns, or nil when it took longer; the operation has to end when it is cancelled.
private func withDeadline<Value: Sendable>(
  _ limit: Duration, _ operation: @escaping @Sendable () async -> Value
) async -> Value? {
  await withTaskGroup(of: Value?.self) { group in
    group.addTask { await operation() }
    group.addTask {
      _ = await Poller.shared.sleep(for: limit)
      return nil
    }
    let first = await group.next() ?? nil
    group.cancelAll()
    return first
  }
}
