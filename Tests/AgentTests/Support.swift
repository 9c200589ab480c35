import Channels
import Codecs
import Crypto
import Devices
import LocalAPI
import Posix
import Store
import Synchronization
import TestKit
import WireJSON

@testable import Agent
@testable import Outbox

/// The machine's own clock.
struct RealTime: Timekeeper {
  func now() -> Duration { .nanoseconds(Int64(clamping: SystemClockState.monotonicNanoseconds())) }
  func sleep(for duration: Duration) async -> Bool { await Poller.shared.sleep(for: duration) }
}

/// The lines of a log.
final class Lines: Sendable {
  private let lines = Observed<[String]>([])
  var log: Log { Log { [lines] line in lines.update { $0.append(line) } } }
  var all: [String] { lines.value }
  func containing(_ text: String) -> [String] { all.filter { $0.contains(text) } }
}

/// What the agent's desks work with, over a database of a test's own: no socket, no device of this machine.
struct Office: Sendable {
  let directory: TemporaryDirectory
  let facilities: Facilities
  let lines = Lines()

  static let file = """
    [agent]
    hall = hall-1
    hall-name = 示范大厅
    position = window-07
    [service A]
    name = 综合受理
    prefix = A
    windows = 01-08
    [service B]
    name = 社保
    prefix = B
    [device dispenser]
    kind = ticket-dispenser
    port = simulated:dispenser
    profile = scripted
    """

  static func configuration(_ text: String = Office.file) throws -> Configuration {
    try Configuration.read(Array(text.utf8), file: "hall.conf")
  }

  init(
    key: SealingKey? = nil, in directory: TemporaryDirectory? = nil, time: any Timekeeper = RealTime(),
    _ change: (inout Configuration) -> Void = { _ in }
  ) async throws {
    let directory = try directory ?? TemporaryDirectory()
    self.directory = directory
    var configuration = try Self.configuration()
    change(&configuration)
    let database = try await StateDatabase.open(
      path: directory.path("hall.db"), components: [Outbox.schema, AgentTables.component],
      reserveBytes: 65_536)
    let (outbox, _) = try await Outbox.open(
      database: database, directory: directory.path("pages"), key: key,
      identity: OutboxIdentity(hall: configuration.hall, position: configuration.position, machine: "m"),
      limits: OutboxLimits(keptFreeBytes: 0))
    facilities = Facilities(
      database: database, outbox: outbox, hub: EventHub(firstID: 1), log: lines.log, time: time,
      seal: DocumentSeal(key: key),
      audit: AuditLog(file: try AppendLog(path: directory.path("audit.log"), mode: 0o600)),
      settings: SettingsBox(configuration))
  }

  /// Everything that waits for the intake, in the order in which it arrives there.
  func delivered() async -> [JSONValue] {
    let intake = CollectingIntake()
    let forwarder = Forwarder(outbox: facilities.outbox, transport: intake)
    let task = Task { _ = await forwarder.run() }
    for await _ in facilities.outbox.changes() where await facilities.outbox.status().pendingEvents == 0 {
      break
    }
    task.cancel()
    await task.value
    return intake.events.withLock { $0 }
  }

  /// The `data` of the delivered events of a type.
  func delivered(_ type: String) async -> [JSONValue] {
    await delivered().filter { $0["type"]?.string == "gov.hall.\(type).v1" }.compactMap { $0["data"] }
  }

  /// A device in service.
  func session(
    _ device: any AttachedDevice, role: String = "dispenser", kind: DeviceKind = .ticketDispenser,
    tell: @escaping @Sendable (SessionEvent) async -> Void = { _ in }
  ) async -> DeviceSession {
    let bench = Bench(kind: kind) { () throws(Fault) in device }
    let session = bench.session(role: role, lines: lines, tell: tell)
    await session.start()
    await bench.states.wait { $0.contains(.online) }
    return session
  }

  func count(_ table: String) async throws -> Int64 {
    let row = try await facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT count(*) AS n FROM \(table)")
    }
    return row?["n"].integer ?? -1
  }

  func execute(_ statement: String) async throws {
    try await facilities.database.write { database throws(StoreError) in try database.run(statement) }
  }
}

/// An intake that takes everything.
private final class CollectingIntake: IntakeTransport {
  let events = Mutex<[JSONValue]>([])

  func send(_ request: IntakeRequest, connection: Int) async throws(TransportError) -> IntakeReply {
    if case .events(let json) = request, let batch = try? JSON.parse(json).array {
      events.withLock { $0 += batch }
    }
    return IntakeReply(status: 204)
  }
}

/// Where scripted devices are attached: one slot, one driver, a bus that has a line at every address.
final class Bench: Sendable {
  typealias Attach = @Sendable () async throws(Fault) -> any AttachedDevice
  let kind: DeviceKind
  let bus = EmptyBus()
  /// States in the order in which they were told.
  let states = Observed<[DeviceState]>([])
  private let attach: Attach

  init(kind: DeviceKind, _ attach: @escaping Attach) {
    self.kind = kind
    self.attach = attach
  }

  func surroundings(
    _ lines: Lines, tell: @escaping @Sendable (SessionEvent) async -> Void
  ) -> DeviceSurroundings {
    let profile = DeviceProfile(
      name: "scripted", kind: kind, driver: "scripted", maker: "nobody", model: "scripted", match: [],
      settings: [:], file: "scripted.conf")
    let (attach, states) = (attach, states)
    let driver = Driver(name: "scripted", kind: kind, channel: .byteStream, settings: []) {
      _, _, _ throws(Fault) in
      try await attach()
    }
    return DeviceSurroundings(
      time: RealTime(), buses: [bus], profiles: ProfileSet([profile]), drivers: [driver],
      driverContext: DriverContext(time: RealTime()) { text, _ in Array(text.utf8) }, language: .english,
      log: lines.log,
      tell: { event in
        if case .changed(let view, _) = event { states.update { $0.append(view.report.state) } }
        await tell(event)
      }, register: UnitRegister())
  }

  func session(
    role: String, lines: Lines, tell: @escaping @Sendable (SessionEvent) async -> Void = { _ in }
  ) -> DeviceSession {
    var slot = Slot(role: role)
    slot.kind = kind
    slot.port = .simulated(name: role)
    slot.profile = "scripted"
    slot.simulated = true
    return DeviceSession(slot: slot, locked: false, surroundings: surroundings(lines, tell: tell))
  }
}

/// A bus whose lines are silent; a change is told when a test says so.
final class EmptyBus: Bus {
  private let changes = Observed(0)
  func plug() { changes.update { $0 += 1 } }
  func supplies(_ address: ChannelAddress) -> Bool { true }
  func open(
    _ address: ChannelAddress, as kind: ChannelKind?, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    .byteStream(SilentLine())
  }
  func facts(of address: ChannelAddress) async -> [String: String] { ["transport": address.transport] }
  func waitForChange(at address: ChannelAddress) async {
    let now = changes.value
    await changes.wait { $0 > now }
  }
}

private struct SilentLine: ByteStream {
  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] { throw .timedOut }
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {}
  func discardInput() async {}
  func close() async {}
}

/// What scripted devices have in common.
struct ScriptedNotices: Sendable {
  let stream: AsyncStream<DeviceNotice>
  let say: AsyncStream<DeviceNotice>.Continuation
  init() { (stream, say) = AsyncStream.makeStream() }
}

protocol ScriptedDevice: AttachedDevice {
  var own: ScriptedNotices { get }
}

extension ScriptedDevice {
  var identity: DeviceIdentity { DeviceIdentity(model: "scripted", serial: "0001") }
  var notices: AsyncStream<DeviceNotice> { own.stream }
  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport { DeviceReport(state: .online) }
  func detach() async { own.say.finish() }
}

/// A dispenser that prints what it is told, or does what a test says instead.
final class ScriptedDispenser: ScriptedDevice, TicketDispenser {
  typealias Script = @Sendable (_ begun: () async -> Bool) async -> EffectOutcome
  let own = ScriptedNotices()
  let faces = Mutex<[TicketFace]>([])
  private let script: Mutex<Script>

  init(_ script: @escaping Script = { await $0() ? .done : .notDone(Fault(.notStored)) }) {
    self.script = Mutex(script)
  }
  func follow(_ script: @escaping Script) { self.script.withLock { $0 = script } }
  func print(_ face: TicketFace, begun: @escaping @Sendable () async -> Bool) async -> EffectOutcome {
    let outcome = await script.withLock { $0 }(begun)
    if outcome == .done { faces.withLock { $0.append(face) } }
    return outcome
  }
}

/// An evaluator whose keys a test presses.
final class ScriptedEvaluator: ScriptedDevice, Evaluator {
  let own = ScriptedNotices()
  let scale = [5, 4, 3, 2, 1]
  let prompts = Observed(0)
  let acknowledged = Observed(0)
  func prompt() async throws(Fault) { prompts.update { $0 += 1 } }
  func show(number: String, waiting: Int) async throws(Fault) {}
  func press(_ level: Int?, raw: Int = 1) -> RatingPress {
    RatingPress(rawKey: raw, level: level, address: 1) { [acknowledged] in acknowledged.update { $0 += 1 } }
  }
}

/// A scanner with these pages in its feeder; ends badly with `fault` after them.
final class ScriptedScanner: ScriptedDevice, Scanner {
  let own = ScriptedNotices()
  let pages: [[UInt8]]
  let fault: Fault?
  let between: @Sendable (Int) async -> Void

  init(_ pages: [[UInt8]], fault: Fault? = nil, between: @escaping @Sendable (Int) async -> Void = { _ in }) {
    self.pages = pages
    self.fault = fault
    self.between = between
  }

  func scan(
    _ request: ScanRequest, page: @escaping @Sendable (ScannedPage) async -> Bool
  ) async throws(Fault) {
    for (index, bytes) in pages.enumerated() {
      let scanned = ScannedPage(
        image: Sensitive(bytes),
        format: PageFormat(mediaType: "image/jpeg", width: 8, height: 8, dpi: 300, colour: .grey),
        sheet: index + 1, side: .front)
      guard await page(scanned) else { throw Fault(.commandCancelled) }
      await between(index + 1)
    }
    if let fault { throw fault }
  }
}

let clerk = Caller(userID: 1000, role: .counter, language: .english)

/// The problem that a call throws; nil when it throws none.
func problem<Value>(_ body: () async throws(Problem) -> Value) async -> Problem? {
  do throws(Problem) {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}

/// Two events that a test lets happen in an order.
final class Gate: Sendable {
  private let passed = Observed(false)
  func open() { passed.update { $0 = true } }
  func wait() async { await passed.wait { $0 } }
}
