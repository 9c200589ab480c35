import Crypto
import Posix
import Store
import Synchronization
import TestKit
import WireJSON

@testable import Outbox

/// The state directory of one position, opened and closed as often as a test wants.
struct Station {
  let directory: TemporaryDirectory
  var key: SealingKey?
  var clock: any OutboxClock = SystemOutboxClock()
  var limits = OutboxLimits(keptFreeBytes: 0)
  var machine = "machine-1"

  init(key: SealingKey? = nil) throws {
    directory = try TemporaryDirectory()
    self.key = key
  }

  var database: String { directory.path("state.db") }
  var pages: String { directory.path("pages") }

  /// A table of the agent's own, to compose commits with.
  static let agent = SchemaComponent(
    name: "agent", migrations: ["CREATE TABLE note (text TEXT NOT NULL) STRICT"])

  struct Opened {
    var database: StateDatabase
    var outbox: Outbox
    var report: StartReport
    /// Lives as long as what lies in it is used.
    var directory: TemporaryDirectory
  }

  func open() async throws -> Opened {
    let database = try await StateDatabase.open(
      path: database, components: [Outbox.schema, Self.agent], reserveBytes: 65_536)
    let (outbox, report) = try await Outbox.open(
      database: database, directory: pages, key: key,
      identity: OutboxIdentity(hall: "厅 1", position: "A03", machine: machine), limits: limits, clock: clock)
    return Opened(database: database, outbox: outbox, report: report, directory: directory)
  }

  /// The files of pages: those with something in them, as some are made in advance.
  func pageFiles() throws -> [String] {
    var files: [String] = []
    guard Files.exists(pages) else { return [] }
    for day in try Files.list(pages) where day != "damaged" {
      files += try Files.list("\(pages)/\(day)").map { "\(pages)/\(day)/\($0)" }
        .filter { try Files.size($0) > 0 }
    }
    return files
  }

  /// Changes the byte in the middle of a file.
  static func damage(_ path: String) throws {
    var bytes = try Files.read(path, limit: 1 << 28)
    bytes[bytes.count / 2] ^= 0x10
    try Files.replaceDurable(path, bytes: bytes, mode: 0o600)
  }

  /// All bytes of all files of the position.
  func everything() throws -> [[UInt8]] {
    var paths = try Files.list(directory.path).map(directory.path(_:))
    var contents: [[UInt8]] = []
    while let path = paths.popLast() {
      if try Files.status(of: path).kind == .directory {
        paths += try Files.list(path).map { "\(path)/\($0)" }
      } else {
        contents.append(try Files.read(path, limit: 1 << 28))
      }
    }
    return contents
  }
}

extension Array where Element == UInt8 {
  func contains(text: String) -> Bool {
    let pattern = Array(text.utf8)
    guard count >= pattern.count, let first = pattern.first else { return false }
    return indices.dropLast(pattern.count - 1).contains {
      self[$0] == first && Array(self[$0..<$0 + pattern.count]) == pattern
    }
  }
}

func page(_ number: Int, visit: String? = nil, size: Int = 5000) -> BlobDraft {
  BlobDraft(
    bytes: Array("page \(number) 身份证复印件 ".utf8) + [UInt8](repeating: UInt8(number & 255), count: size),
    mediaType: "image/jpeg", visit: visit)
}

func rating(_ level: Int64 = 5, device: String = "evaluator") -> EventDraft {
  EventDraft(
    source: .device(role: device), type: "gov.hall.rating.v1", visit: "visit-1",
    data: ["level": .integer(level), "comment": "非常满意"], priority: .rating)
}

func pageEvent(_ blobs: [Digest], device: String = "scanner", visit: String? = nil) -> EventDraft {
  EventDraft(
    source: .device(role: device), type: "gov.hall.material.page.v1", visit: visit,
    data: ["blob": JSONValue(blobs.first?.hex), "pages": .array(blobs.map { ["blob": .string($0.hex)] })],
    blobs: blobs)
}

/// A value that tasks can wait for.
final class Observed<Value: Sendable>: Sendable {
  private struct State {
    var value: Value
    var waiters: [Int: Waiter] = [:]
    var next = 0
    /// Cancelled before it began to wait.
    var cancelled: Set<Int> = []
  }
  private struct Waiter {
    var condition: @Sendable (Value) -> Bool
    var continuation: CheckedContinuation<Value, Never>
  }
  private let state: Mutex<State>

  init(_ value: Value) { state = Mutex(State(value: value)) }

  var value: Value { state.withLock { $0.value } }

  @discardableResult func update<T: Sendable>(_ change: (inout Value) -> T) -> T {
    let (result, ready, value) = state.withLock { state in
      let result = change(&state.value)
      let value = state.value
      let ready = state.waiters.filter { $0.value.condition(value) }
      for id in ready.keys { state.waiters[id] = nil }
      return (result, ready.values.map(\.continuation), value)
    }
    for continuation in ready { continuation.resume(returning: value) }
    return result
  }

  /// Waits for a value of that kind, or until the task is cancelled.
  @discardableResult func wait(until condition: @escaping @Sendable (Value) -> Bool) async -> Value {
    let id = state.withLock { state in
      state.next += 1
      return state.next
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now = state.withLock { state -> Value? in
          if condition(state.value) || state.cancelled.remove(id) != nil { return state.value }
          state.waiters[id] = Waiter(condition: condition, continuation: continuation)
          return nil
        }
        if let now { continuation.resume(returning: now) }
      }
    } onCancel: {
      let (waiter, value) = state.withLock { state in
        let waiter = state.waiters.removeValue(forKey: id)
        if waiter == nil { state.cancelled.insert(id) }
        return (waiter, state.value)
      }
      waiter?.continuation.resume(returning: value)
    }
  }
}

/// A clock that moves only when a test says so.
final class ManualClock: OutboxClock {
  private struct Sleeper: Sendable {
    var id: Int
    var deadline: UInt64
  }
  private struct State: Sendable {
    var now: UInt64 = 1_000_000_000_000
    var ticks: UInt64 = 0
    var sleepers: [Sleeper] = []
    var next = 0
    var jump: (looks: Int, to: UInt64)?
  }
  private let state = Observed(State())
  /// Whether each look at it finds it later, by one microsecond to seven, as a real one.
  private let isTicking: Bool
  init(isTicking: Bool = false) { self.isTicking = isTicking }

  static let start = WallTime(secondsSince1970: 1_790_000_000, utcOffsetSeconds: 28_800)

  var monotonicNanoseconds: UInt64 {
    state.update { state in
      if isTicking {
        state.ticks += 1
        state.now += 1000 * (state.ticks % 7 + 1)
      }
      if let jump = state.jump {
        state.jump = jump.looks > 1 ? (jump.looks - 1, jump.to) : nil
        if jump.looks == 1 {
          state.now = max(state.now, jump.to)
          let now = state.now
          state.sleepers.removeAll { $0.deadline <= now }
        }
      }
      return state.now
    }
  }
  var wallTime: WallTime {
    let passed = Int64(monotonicNanoseconds - 1_000_000_000_000)
    return WallTime(
      secondsSince1970: Self.start.secondsSince1970 + passed / 1_000_000_000,
      nanoseconds: Int32(passed % 1_000_000_000), utcOffsetSeconds: 28_800)
  }

  func sleep(untilNanoseconds deadline: UInt64) async {
    let id = state.update { state -> Int? in
      guard deadline > state.now else { return nil }
      state.next += 1
      state.sleepers.append(Sleeper(id: state.next, deadline: deadline))
      return state.next
    }
    guard let id else { return }
    await withTaskCancellationHandler {
      _ = await state.wait { !$0.sleepers.contains { $0.id == id } }
    } onCancel: {
      state.update { $0.sleepers.removeAll { $0.id == id } }
    }
  }

  /// Waits until somebody sleeps, and moves to the end of the shortest sleep when the clock is next looked at so often.
  func advanceToNextSleeper(afterLooks looks: Int) async {
    await state.wait { !$0.sleepers.isEmpty }
    state.update { state in
      if let first = state.sleepers.map(\.deadline).min() { state.jump = (looks, first) }
    }
  }

  func advance(seconds: Double) {
    state.update { state in
      state.now += UInt64(seconds * 1e9)
      let now = state.now
      state.sleepers.removeAll { $0.deadline <= now }
    }
  }

  /// Waits until somebody sleeps, and moves to the end of the shortest sleep.
  func advanceToNextSleeper() async {
    await state.wait { !$0.sleepers.isEmpty }
    state.update { state in
      guard let first = state.sleepers.map(\.deadline).min() else { return }
      state.now = max(state.now, first)
      state.sleepers.removeAll { $0.deadline <= first }
    }
  }
}

/// An intake without a socket: takes everything unless the script says otherwise.
final class ScriptedIntake: IntakeTransport {
  typealias Script = @Sendable (IntakeRequest) -> Result<IntakeReply, TransportError>?

  struct Received: Sendable {
    var requests = 0
    var pages: [Digest] = []
    /// In the order they were accepted.
    var events: [JSONValue] = []
    var sequence: [String] { events.compactMap { $0["sequence"]?.string } }
    var types: [String] { events.compactMap { $0["type"]?.string } }
    var ids: [String] { events.compactMap { $0["id"]?.string } }
  }
  let received = Observed(Received())
  private let script: Mutex<Script>

  init(_ script: @escaping Script = { _ in nil }) { self.script = Mutex(script) }

  func follow(_ script: @escaping Script) { self.script.withLock { $0 = script } }

  func send(_ request: IntakeRequest, connection: Int) async throws(TransportError) -> IntakeReply {
    let script = script.withLock { $0 }
    let scripted = script(request)
    if let scripted {
      received.update { $0.requests += 1 }
      return try scripted.get()
    }
    received.update { received in
      received.requests += 1
      switch request {
      case .page(let digest, _, _): received.pages.append(digest)
      case .events(let json): received.events += (try? JSON.parse(json).array) ?? []
      }
    }
    return IntakeReply(status: 204)
  }
}

extension Outbox {
  /// Waits until nothing waits for delivery any more.
  func drained() async { await settled { $0.pendingEvents == 0 } }

  /// Waits for a status.
  func settled(_ condition: (OutboxStatus) -> Bool) async {
    for await _ in changes() where condition(await status()) { return }
  }
}

/// Runs a forwarder for as long as `body` takes.
@discardableResult func forwarding<T>(
  _ outbox: Outbox, to transport: any IntakeTransport, clock: any OutboxClock = SystemOutboxClock(),
  _ body: () async throws -> T
) async throws -> T {
  let forwarder = Forwarder(outbox: outbox, transport: transport, clock: clock, seed: 1, stopSeconds: 5)
  let task = Task { await forwarder.run() }
  do {
    let result = try await body()
    task.cancel()
    _ = await task.value
    return result
  } catch {
    task.cancel()
    _ = await task.value
    throw error
  }
}
