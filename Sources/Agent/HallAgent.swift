public import Channels
public import Codecs
import Crypto
public import Devices
import HTTPClient
import HTTPServer
public import LocalAPI
import Outbox
import Posix
public import Screens
import Store
import Synchronization
import WireJSON

/// Why the service could not start; each with a sentence that says what to do.
public enum AgentError: Error, Sendable {
  /// Another service runs on this state directory.
  case alreadyRunning(String)
  /// The state directory cannot be used.
  case state(String)
  /// The API's socket cannot be opened.
  case socket(String)
  /// The sealing key cannot be read.
  case key(String)

  /// What is wrong and what to do.
  public func sentence(_ language: Language) -> String {
    switch self {
    case .alreadyRunning(let path):
      language.choose(
        "已有一个服务在使用状态目录 \(path)。", "Another service is already running on the state directory \(path).")
    case .state(let what):
      language.choose(
        "状态目录不可用：\(what)。请检查目录的所有者、磁盘空间和 state 设置。",
        "The state directory cannot be used: \(what). Check its owner, the disk and the setting `state`.")
    case .socket(let what):
      language.choose(
        "无法打开接口套接字：\(what)。请检查 socket 和 socket-group 设置。",
        "The API's socket cannot be opened: \(what). Check the settings `socket` and `socket-group`.")
    case .key(let what):
      language.choose(
        "密钥文件不可用：\(what)。密钥文件应为 32 字节，只允许服务账户读取。",
        "The key file cannot be used: \(what). It has to hold 32 bytes and be readable by the service alone.")
    }
  }
}

/// Everything the composition root hands over.
public struct AgentParts: Sendable {
  /// The configuration, checked.
  public var configuration: Configuration
  /// Profiles of all kinds.
  public var profiles: ProfileSet
  /// The catalog.
  public var drivers: [Driver]
  /// Buses, asked in order.
  public var buses: [any Bus]
  /// The clock.
  public var time: any Timekeeper
  /// Text encodings for drivers.
  public var encodeText: @Sendable (String, CodePage) -> [UInt8]?
  /// Simulated devices of this process.
  public var simulation: SimulationAccess?
  /// The citizens' screens; it serves from when the agent starts, if the configuration has a port for them.
  public var screens: ScreenBus
  /// The log.
  public var log: Log
  /// Version shown by `status`.
  public var version: String
  /// Reads the configuration and the profiles again, for a reload.
  public var reread: @Sendable () async throws(ConfErrors) -> (Configuration, ProfileSet)

  /// Parts.
  public init(
    configuration: Configuration, profiles: ProfileSet, drivers: [Driver], buses: [any Bus],
    time: any Timekeeper,
    encodeText: @escaping @Sendable (String, CodePage) -> [UInt8]?, simulation: SimulationAccess?,
    screens: ScreenBus = ScreenBus(),
    log: Log, version: String,
    reread: @escaping @Sendable () async throws(ConfErrors) -> (Configuration, ProfileSet)
  ) {
    self.configuration = configuration
    self.profiles = profiles
    self.drivers = drivers
    self.buses = buses
    self.time = time
    self.encodeText = encodeText
    self.simulation = simulation
    self.screens = screens
    self.log = log
    self.version = version
    self.reread = reread
  }
}

/// The service: devices, desks, outbox and API, started in order and stopped in reverse.
public actor HallAgent {
  let parts: AgentParts
  let facilities: Facilities
  private let forwarder: Forwarder
  private let lock: LockFile
  private let access: AccessControl
  private let startedAt = WallTime.now()
  private var server: HTTPServer?
  private var forwarding: Task<Void, Never>?
  private var keepAlive: Task<Void, Never>?
  private var resuming: Task<Void, Never>?
  private var housekeeping: Task<Void, Never>?
  private var watching: Task<Void, Never>?
  private var stopping = false
  private nonisolated let outboxDesk: OutboxDesk

  nonisolated let devices: DeviceTable
  nonisolated let requests: RequestDesk
  nonisolated let visits: VisitDesk
  nonisolated let materials: MaterialDesk
  nonisolated let tickets: TicketDesk
  nonisolated let ratings: RatingDesk
  nonisolated let prints: PrintDesk
  nonisolated let cards: CardDesk
  nonisolated let calls: CallDesk
  nonisolated let screens: ScreenDesk
  nonisolated let screenKeys: ScreenKeys

  // MARK: Starting

  /// Opens the state directory, takes up what an earlier run left, and puts the devices into service. The API answers
  /// when this returns.
  public static func start(_ parts: AgentParts) async throws(AgentError) -> HallAgent {
    let configuration = parts.configuration
    let lock: LockFile
    let audit: AuditLog
    do throws(SystemError) {
      try Files.makeDirectory(configuration.state, mode: 0o700, parents: true)
      lock = try LockFile(path: configuration.state + "/lock")
      try Files.makeDirectory(configuration.state + "/pages", mode: 0o700, parents: true)
      audit = AuditLog(file: try AppendLog(path: configuration.state + "/audit.log", mode: 0o600))
    } catch {
      if error.name == "EWOULDBLOCK" || error.name == "EAGAIN" { throw .alreadyRunning(configuration.state) }
      throw .state("\(error)")
    }
    let key = try OutboxDesk.readKey(configuration.keyFile)
    let database: StateDatabase
    do throws(StoreError) {
      database = try await StateDatabase.open(
        path: configuration.state + "/hall.db", components: [Outbox.schema, AgentTables.component])
    } catch {
      throw .state(error.sentence(configuration.language))
    }
    let series = try await numberSeries(configuration, database, parts.log)
    let outbox: Outbox
    let report: StartReport
    do throws(OutboxError) {
      (outbox, report) = try await Outbox.open(
        database: database, directory: configuration.state + "/pages", key: key,
        identity: OutboxIdentity(hall: configuration.hall, position: configuration.position),
        limits: OutboxLimits(configuration))
    } catch {
      throw .state("\(error) \(error.advice)")
    }
    let now = WallTime.now()
    let facilities = Facilities(
      database: database, outbox: outbox,
      hub: EventHub(
        firstID: UInt64(max(0, now.secondsSince1970)) * 1_000_000 + UInt64(now.nanoseconds / 1000)),
      log: parts.log, time: parts.time, seal: DocumentSeal(key: key), audit: audit,
      settings: SettingsBox(configuration))
    let forwarder = try makeForwarder(configuration, outbox, parts)
    let register = await UnitTable.register(database, log: parts.log)
    let agent = HallAgent(
      parts, facilities: facilities, forwarder: forwarder, lock: lock, series: series, register: register)
    agent.outboxDesk.tell(report)
    try await agent.begin()
    return agent
  }

  /// The letter that goes into queue numbers after the database was lost: it is kept beside the database, because what it
  /// guards against is the loss of just that.
  private static func numberSeries(
    _ configuration: Configuration, _ database: StateDatabase, _ log: Log
  ) async throws(AgentError) -> String {
    let language = configuration.language
    let path = configuration.state + "/number-series"
    var count = (try? Files.read(path, limit: 16)).flatMap { Int(String(decoding: $0, as: UTF8.self)) }
    let known = count != nil
    let opening = await database.opening
    switch opening {
    case .opened: break
    case .created where known:
      count = (count ?? 0) + 1
      log(
        .error, "store",
        language.choose(
          "数据库已丢失，未送达的事件随之丢失；开始新的 epoch，排队号码改用新的字母。",
          "The database is gone, and with it the events that were not delivered; a new epoch begins, and queue numbers "
            + "get another letter."))
    case .created: break
    case .replaced(let old, let reason):
      count = (count ?? 0) + 1
      log(
        .error, "store",
        language.choose(
          "数据库已损坏（\(reason)），已移至 \(old)；开始新的 epoch，排队号码改用新的字母。",
          "The database was damaged (\(reason)) and moved to \(old); a new epoch begins, and queue numbers get another "
            + "letter."))
    }
    let value = count ?? 0
    if !known || opening != .opened {
      do throws(SystemError) {
        try Files.replaceDurable(path, bytes: Array("\(value)".utf8), mode: 0o600)
      } catch {
        throw .state("\(error)")
      }
    }
    let letters = Array("RSTUWXZ")
    return value == 0 ? "" : String(letters[(value - 1) % letters.count])
  }

  private static func makeForwarder(
    _ configuration: Configuration, _ outbox: Outbox, _ parts: AgentParts
  ) throws(AgentError) -> Forwarder {
    guard let target = HTTPTarget(text: configuration.intakeTarget) else {
      throw .state("intake target '\(configuration.intakeTarget)' is not unix:/path or http://127.0.0.1:PORT")
    }
    let account =
      configuration.intakeUser.isEmpty ? nil : try? ProcessInfo.userID(named: configuration.intakeUser)
    let anybody = configuration.intakeUser.isEmpty
    let transport = HTTPIntakeTransport(target: target) { user in anybody || user == 0 || user == account }
    return Forwarder(outbox: outbox, transport: transport, stopSeconds: 3)
  }

  private init(
    _ parts: AgentParts, facilities: Facilities, forwarder: Forwarder, lock: LockFile, series: String,
    register: UnitRegister
  ) {
    self.parts = parts
    self.facilities = facilities
    self.forwarder = forwarder
    self.lock = lock
    access = AccessControl(parts.configuration, log: parts.log)
    let events = SessionEvents()
    let table = DeviceTable(
      Self.surroundings(parts, parts.configuration, parts.profiles, events, register))
    self.register = register
    let visitsBox = VisitsBox()
    let materials = MaterialDesk(
      facilities: facilities, visits: { id in await visitsBox.desk?.all.first { $0.id == id } },
      view: { role in try? await table.session(role).current })
    let screens = ScreenDesk(facilities) { role in try? await table.session(role) }
    let ratings = RatingDesk(facilities) { role, step in await screens.rating(role, step) }
    // Nobody is asked for a visit that is over or waits, and nothing of it stays on a screen.
    let clear: @Sendable (String) async -> Void = { id in
      await ratings.clear(visit: id, by: "visit")
      await screens.clear(visit: id)
    }
    let visits = VisitDesk(facilities, suspending: clear) { id in
      await clear(id)
      await materials.close(visit: id)
    }
    visitsBox.set(visits)
    devices = table
    self.materials = materials
    self.visits = visits
    requests = RequestDesk(facilities)
    outboxDesk = OutboxDesk(facilities: facilities)
    tickets = TicketDesk(facilities: facilities, series: series)
    self.screens = screens
    self.ratings = ratings
    screenKeys = ScreenKeys(facilities: facilities, bus: parts.screens)
    prints = PrintDesk(facilities: facilities)
    cards = CardDesk(facilities: facilities)
    calls = CallDesk(facilities: facilities)
    self.events = events
  }

  private let events: SessionEvents
  private let register: UnitRegister
  private let (failed, failure) = AsyncStream<Void>.makeStream()

  /// Returns when the service can only be helped by a new start: its disk failed in the middle of a commit.
  public func untilFailed() async { for await _ in failed { return } }

  private static func surroundings(
    _ parts: AgentParts, _ configuration: Configuration, _ profiles: ProfileSet, _ events: SessionEvents,
    _ register: UnitRegister
  ) -> DeviceSurroundings {
    DeviceSurroundings(
      time: parts.time, buses: parts.buses, profiles: profiles, drivers: parts.drivers,
      driverContext: DriverContext(time: parts.time, encodeText: parts.encodeText),
      language: configuration.language,
      log: parts.log, tell: { event in await events.receive(event) }, register: register)
  }

  private func begin() async throws(AgentError) {
    events.set(self)
    try startScreens()
    do throws(Problem) {
      try await visits.recover()
      let interrupted = try await requests.recover()
      await devices.apply(parts.configuration.slots)
      await settle(interrupted)
    } catch {
      throw .state(error.detail)
    }
    let forwarder = forwarder
    let failure = failure
    let log = parts.log
    forwarding = Task {
      if case .storeFailed(let why) = await forwarder.run() {
        log(
          .error, "outbox",
          "what the intake accepted could not be noted (\(why)); the service has to start anew")
        failure.yield()
      }
    }
    housekeeping = outboxDesk.start()
    // The forwarder may have nothing to do, and would not meet it.
    let failures = facilities.database.failures
    watching = Task {
      for await error in failures {
        log(.error, "store", "\(error) The service has to start anew.")
        failure.yield()
      }
    }
    let hub = facilities.hub
    let time = parts.time
    keepAlive = Task {
      while await time.sleep(for: .seconds(15)) {
        if await hub.listenerCount > 0 { await hub.keepAlive() }
      }
    }
    let devices = devices
    resuming = Task {
      for await slept in SuspendWatch.resumes() {
        log(.notice, "agent", "the machine was suspended for \(slept); devices are opened anew")
        await devices.resumed()
      }
    }
    try openSocket()
    parts.log(
      .notice, "agent",
      "hall agent \(parts.version) serves \(parts.configuration.slots.count) devices on \(parts.configuration.socket)"
    )
  }

  private func openSocket() throws(AgentError) {
    let configuration = parts.configuration
    let api = AgentAPI(
      agent: self, facilities: facilities, version: parts.version, simulation: parts.simulation,
      access: access, closing: VisitClosing(self))
    let limits = ServerLimits(
      maximumBodyBytes: { AgentAPI.bodyLimit(method: $0, path: $1) }, connectionsPerProcess: 64,
      idleSeconds: 120)
    let listener: Descriptor
    do throws(SystemError) {
      listener = try UnixSocket.listen(
        path: configuration.socket, mode: 0o660,
        group: configuration.socketGroup.isEmpty ? nil : configuration.socketGroup)
    } catch {
      throw .socket("\(configuration.socket): \(error)")
    }
    do throws(HTTPServerError) {
      server = try HTTPServer(
        listening: listener, name: "api", limits: limits, refusal: { api.refuse($0) }
      ) { request in
        await api.answer(request)
      }
    } catch {
      throw .socket("\(configuration.socket): \(error)")
    }
  }

  /// Commands that a crash interrupted after they may have had an effect.
  private func settle(_ interrupted: [(id: String, verb: Route, role: String?)]) async {
    for one in interrupted {
      let session = one.role == nil ? nil : try? await devices.session(one.role ?? "")
      let view = await session?.current ?? Self.missing(one.role)
      let request = CommandRequest(["requestId": .string(one.id)])
      let fault = Fault(.outcomeUnknown, "the service was interrupted while the command ran")
      let language = parts.configuration.language
      switch one.verb {
      case .issueTicket:
        guard let ticket = await tickets.ticket(ofRequest: one.id) else { continue }
        parts.log(
          .warning, one.role ?? "tickets", "ticket \(ticket.number): it is not known whether it was printed")
        await requests.settleRecovered(
          one.id,
          tickets.finish(
            ticket, outcome: .unknown(fault), view: view, request: request, visit: nil, language: language))
      case .askRating:
        let (ratings, requests, visits) = (ratings, requests, visits)
        // The citizen may take a minute; nobody waits for this at start.
        Task {
          let visit = await ratings.visit(ofRequest: one.id)
          let isOpen = await visits.all.contains { $0.id == visit && $0.state == "active" }
          let completion = await ratings.resume(one.id, session: session, stillOpen: isOpen)
          if let completion { await requests.settleRecovered(one.id, completion) }
        }
      case .print:
        guard let session else { continue }
        let (prints, requests) = (prints, requests)
        // The queue may take a while to come back; nobody waits for this at start.
        Task {
          let result = await prints.recover(one.id, session: session)
          await requests.settleRecovered(
            one.id,
            prints.finish(
              result, view: await session.current, request: request, visit: nil, language: language))
        }
      default:
        await requests.settleRecovered(
          one.id,
          Completion(
            state: .failed, status: 409,
            body: Problem(
              Fault(.commandCancelled, "the service was interrupted; pages already scanned are safe")
            )
            .json(language)))
      }
    }
  }

  private static func missing(_ role: String?) -> DeviceView {
    DeviceView(
      slot: Slot(role: role ?? "unknown"), report: DeviceReport(state: .noDevice), identity: nil,
      profile: nil,
      locked: false, since: .now(), counters: [:])
  }

  // MARK: Asking

  nonisolated var asksAtClosing: Bool { facilities.settings.current.ratings.asksAtClosing }

  func status(_ language: Language) async -> JSONValue {
    let outbox = await facilities.outbox.status()
    var value: [String: JSONValue] = [
      "version": .string(parts.version), "state": .string(stopping ? "stopping" : "running"),
      "startedAt": .string(startedAt.rfc3339), "hall": .string(facilities.settings.current.hall),
      "position": .string(facilities.settings.current.position),
      "devices": .array(await devices.views().map { $0.json(language) }),
      "outbox": outbox.json(language),
      "warnings": .array(outbox.warnings.map { $0.json(language) }),
    ]
    if let active = await visits.activeID { value["visit"] = .string(active) }
    return .object(value)
  }

  func outboxStatus(_ language: Language) async -> JSONValue {
    await facilities.outbox.status().json(language)
  }

  func metrics() async -> String {
    await Metrics.text(
      version: parts.version, devices: devices.views(), outbox: facilities.outbox.status(),
      listeners: facilities.hub.listenerCount)
  }

  // MARK: Reloading

  /// Reads the configuration again. Devices whose slot and profile did not change stay in service; settings of the
  /// socket, the state directory, the intake and the outbox take effect at the next start, which the log says.
  @discardableResult
  public func reload() async throws(Problem) -> [String] {
    let configuration: Configuration
    let profiles: ProfileSet
    do throws(ConfErrors) {
      (configuration, profiles) = try await parts.reread()
    } catch {
      for one in error.errors { parts.log(.error, "configuration", one.description) }
      throw Problem(
        .configurationInvalid, error.errors.first?.description ?? "",
        members: ["errors": .array(error.errors.map { .string($0.description) })])
    }
    let old = facilities.settings.current
    if configuration.differsBeyondReload(from: old) {
      parts.log(
        .warning, "configuration",
        "settings of [agent], [intake] or [outbox] changed: they take effect at the next start")
    }
    facilities.settings.replace(configuration)
    access.update(configuration)
    let changed = await devices.apply(
      configuration.slots, surroundings: Self.surroundings(parts, configuration, profiles, events, register))
    parts.log(
      .notice, "configuration",
      "read again; " + (changed.isEmpty ? "no device changed" : "changed: " + changed.joined(separator: ", "))
    )
    await facilities.hub.publish("reload", ["changed": .array(changed.map(JSONValue.string))])
    return changed
  }

  // MARK: Stopping

  /// Stops in order: no new commands, running ones end within the limit or are cut short, devices are detached, what is
  /// being delivered is, the database is closed. Says what it left. At most 8 s longer than the limit.
  public func stop() async {
    guard !stopping else { return }
    stopping = true
    let limit = parts.configuration.stopTimeout
    parts.log(.notice, "agent", "stopping")
    let (requests, devices) = (requests, devices)
    if !(await done(within: limit) { await requests.stop() }) {
      parts.log(
        .warning, "agent",
        "commands still running after \(limit): " + (await requests.runningIDs).joined(separator: ", "))
      await requests.cutShort()
      _ = await done(within: .seconds(1)) { await requests.stop() }
    }
    await facilities.hub.finish()
    await server?.stop(grace: .seconds(1))
    await parts.screens.stop()
    keepAlive?.cancel()
    resuming?.cancel()
    watching?.cancel()
    await visits.stop()
    _ = await done(within: .seconds(2)) { await devices.stop() }
    forwarding?.cancel()
    housekeeping?.cancel()
    await forwarding?.value
    let left = await facilities.outbox.status()
    await facilities.database.close()
    parts.log(
      .notice, "agent",
      "stopped; left for the next start: \(left.pendingEvents) events and \(left.pendingBlobs) pages")
    try? Files.unlink(parts.configuration.socket)
  }

  /// Whether the work was done in time. Work that does not heed its cancellation is left to itself: this returns all the
  /// same.
  private func done(within limit: Duration, _ work: @escaping @Sendable () async -> Void) async -> Bool {
    let time = parts.time
    let (ends, end) = AsyncStream.makeStream(of: Bool.self)
    let working = Task {
      await work()
      end.yield(true)
    }
    let timer = Task { if await time.sleep(for: limit) { end.yield(false) } }
    var isDone = false
    for await first in ends {
      isDone = first
      break
    }
    working.cancel()
    timer.cancel()
    return isDone
  }
}

extension Configuration {
  /// Settings that a running service cannot take over.
  func differsBeyondReload(from old: Configuration) -> Bool {
    socket != old.socket || socketGroup != old.socketGroup || state != old.state || hall != old.hall
      || position != old.position || intakeTarget != old.intakeTarget || intakeUser != old.intakeUser
      || OutboxLimits(self) != OutboxLimits(old) || keyFile != old.keyFile || simulation != old.simulation
  }
}

extension Slot {
  /// A slot that the configuration no longer has, for the events of a command that it once had.
  init(role: String) {
    self.role = role
    kind = .ticketDispenser
    port = .simulated(name: role)
    profile = nil
    simulated = false
    settings = [:]
    entries = []
    position = ConfPosition(file: "", line: 0, column: 0)
  }
}

/// Lets sessions reach the agent that is made after them.
private final class SessionEvents: Sendable {
  private let agent = Mutex<HallAgent?>(nil)
  func set(_ agent: HallAgent) { self.agent.withLock { $0 = agent } }
  func receive(_ event: SessionEvent) async { await agent.withLock { $0 }?.received(event) }
}

/// Lets materials ask for visits, which tell materials when they close.
private final class VisitsBox: Sendable {
  private let box = Mutex<VisitDesk?>(nil)
  var desk: VisitDesk? { box.withLock { $0 } }
  func set(_ desk: VisitDesk) { box.withLock { $0 = desk } }
}
