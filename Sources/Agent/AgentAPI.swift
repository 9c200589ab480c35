import Channels
import Crypto
import Devices
import HTTPServer
public import LocalAPI
import Outbox
import Posix
import Store
import Synchronization
public import WireJSON

/// What `POST /v1/simulation/{role}` reaches: the simulated devices of this process, if it has any.
public struct SimulationAccess: Sendable {
  /// Every simulated device: name, state, commands.
  public let list: @Sendable () async -> [JSONValue]
  /// Does something to one; nil when there is none of that name; throws a sentence for a command it does not take.
  public let apply: @Sendable (_ name: String, _ command: String) async throws(Problem) -> JSONValue?

  /// Plays a timeline's text on them from now on; throws what is wrong with it.
  public let play: @Sendable (_ timeline: String) async throws(Problem) -> Void

  /// Access.
  public init(
    list: @escaping @Sendable () async -> [JSONValue],
    apply: @escaping @Sendable (String, String) async throws(Problem) -> JSONValue?,
    play: @escaping @Sendable (String) async throws(Problem) -> Void
  ) {
    self.list = list
    self.apply = apply
    self.play = play
  }
}

/// Answers the agent API's requests.
struct AgentAPI: Sendable {
  let agent: HallAgent
  let facilities: Facilities
  let version: String
  let simulation: SimulationAccess?
  let access: AccessControl
  let closing: VisitClosing

  /// Largest body of a request, asked before it is read.
  static func bodyLimit(method: String, path: String) -> Int {
    path.hasSuffix("/print-jobs") || path.hasSuffix("/documents") ? 64 << 20 : 1 << 20
  }

  func answer(_ request: ServerRequest) async -> ServerResponse {
    let language = Language.negotiated(
      request.header("Accept-Language"), standard: facilities.settings.current.language)
    do throws(Problem) {
      let route: Route
      let parameters: [String: String]
      switch Route.match(method: request.method, segments: request.pathSegments) {
      case .notFound: throw Problem(.notFound, "there is nothing at \(request.path.prefix(200))")
      case .methodNotAllowed(let methods):
        var response = Problem(.methodNotAllowed, "here: " + methods.joined(separator: ", ")).response(
          language)
        response.headers.append(("Allow", methods.joined(separator: ", ")))
        return response
      case .route(let found, let values):
        route = found
        parameters = values
      }
      let caller = try access.caller(of: request, language: language, for: route)
      let call = Call(
        route: route, parameters: parameters, request: request, caller: caller,
        body: try body(of: request, route))
      return try await handle(call)
    } catch {
      return error.response(language)
    }
  }

  /// What the server refuses before any route is looked for, in the API's words.
  func refuse(_ refusal: Refusal) -> ServerResponse {
    let problem =
      switch refusal {
      case .malformed(let why): Problem(.invalid, why)
      case .bodyTooLarge(let limit): Problem(.tooLarge, "at most \(limit) bytes here")
      case .stopping: Problem(.stopping)
      }
    return problem.response(facilities.settings.current.language)
  }

  struct Call: Sendable {
    let route: Route
    let parameters: [String: String]
    let request: ServerRequest
    let caller: Caller
    let body: JSONValue

    var command: CommandRequest { CommandRequest(body) }
    var role: String { parameters["role"] ?? "" }
  }

  // MARK: Bodies

  private func body(of request: ServerRequest, _ route: Route) throws(Problem) -> JSONValue {
    let specification = route.specification
    if !specification.query.isEmpty || !request.query.isEmpty {
      let value = try query(request, specification)
      if specification.body == nil {
        let types = specification.bodyTypes
        if let given = request.header("Content-Type")?.lowercased(), !types.isEmpty,
          !types.contains(where: { given.hasPrefix($0) })
        {
          throw Problem(.mediaType, "expected " + types.joined(separator: " or "))
        }
        return value
      }
    }
    guard let shape = specification.body else { return .object([:]) }
    if let type = request.header("Content-Type")?.lowercased(),
      !type.hasPrefix("application/json"), !type.hasPrefix("application/x-www-form-urlencoded")
    {
      // curl labels `-d` bodies as a form unless told otherwise; what counts is whether the body is JSON.
      throw Problem(.mediaType, "expected application/json")
    }
    let value: JSONValue
    if request.body.isEmpty {
      value = .object([:])
    } else {
      do throws(JSONError) {
        value = try JSON.parse(request.body)
      } catch {
        throw Problem(.malformed, "\(error)")
      }
    }
    let problems = shape.problems(in: value)
    guard problems.isEmpty else {
      throw Problem(
        .invalid, problems.prefix(10).joined(separator: "; "),
        members: ["errors": .array(problems.prefix(50).map(JSONValue.string))])
    }
    return value
  }

  private func query(_ request: ServerRequest, _ specification: Route.Specification) throws(Problem)
    -> JSONValue
  {
    var members: [String: JSONValue] = [:]
    for (name, text) in request.query {
      let field = specification.query.first { $0.name == name }
      switch field?.shape {
      case .integer: members[name] = Int64(text).map { .integer($0) } ?? .string(text)
      case .boolean: members[name] = text == "true" ? true : text == "false" ? false : .string(text)
      case .array: members[name] = .array(text.split(separator: ",").map { .string(String($0)) })
      case .opaque: members[name] = (try? JSON.parse(Array(text.utf8))) ?? .string(text)
      default: members[name] = .string(text)
      }
    }
    let problems = Shape.object(specification.query).problems(in: .object(members))
    guard problems.isEmpty else {
      throw Problem(
        .invalid, problems.prefix(10).joined(separator: "; "),
        members: ["errors": .array(problems.prefix(50).map(JSONValue.string))])
    }
    return .object(members)
  }

  // MARK: Routes

  private func handle(_ call: Call) async throws(Problem) -> ServerResponse {
    switch call.route {
    case .status: return json(await agent.status(call.caller.language))
    case .listDevices:
      return json(["devices": .array(await agent.devices.views().map { $0.json(call.caller.language) })])
    case .showDevice:
      return json(try await agent.devices.session(call.role).current.json(call.caller.language))
    case .changeDevice: return try await changeDevice(call)
    case .explainDevice: return try await explain(call)
    case .listPlugged: return json(["devices": .array(await agent.devices.plugged().map(\.json))])
    case .forgetUnit: return try await forgetUnit(call)
    case .checkHealth: return try await checkHealth(call)
    case .openVisit, .listVisits, .showVisit, .changeVisit, .closeVisit: return try await visit(call)
    case .issueTicket, .showCall, .readCard, .scan, .askRating, .print, .showScreen, .showDocument,
      .collectSignature:
      return try await command(call)
    case .listScreens, .pairScreen, .makeScreenAddress, .revokeScreen, .verifyRatings:
      return try await screens(call)
    case .listMaterials, .showMaterial, .changeMaterial, .submitMaterial, .readPage, .withdrawPage:
      return try await material(call)
    case .listRequests: return json(try await agent.requests.list(call.body["state"]?.string))
    case .showRequest:
      return json(try await agent.requests.show(call.parameters["requestId"] ?? "", call.caller.language))
    case .cancelRequest:
      let id = call.parameters["requestId"] ?? ""
      try await agent.requests.cancel(id)
      return json((try? await agent.requests.show(id, call.caller.language)) ?? ["requestId": .string(id)])
    case .resolveRequest: return try await resolve(call)
    case .watchEvents:
      let last = (call.request.header("Last-Event-ID") ?? call.body["after"]?.string).flatMap { UInt64($0) }
      return ServerResponse(
        status: 200,
        headers: [
          ("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"),
        ],
        body: .stream(await facilities.hub.subscribe(after: last)))
    case .outboxStatus: return json(await agent.outboxStatus(call.caller.language))
    case .listOutbox, .showOutboxItem, .retryOutboxItem, .discardOutboxItem, .exportOutboxItem:
      return try await outbox(call)
    case .metrics:
      return ServerResponse(
        status: 200,
        headers: [("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")],
        body: .bytes(Array(await agent.metrics().utf8)))
    case .listSimulated: return json(["devices": .array(await simulation?.list() ?? [])])
    case .simulate: return try await simulate(call)
    case .playTimeline:
      guard let simulation else { throw Problem(.notSimulated, "nothing is simulated in this process") }
      try await simulation.play(call.body["timeline"]?.string ?? "")
      return json(["playing": true])
    case .reload:
      return json(["changed": .array(try await agent.reload().map(JSONValue.string))])
    case .openAPI: return json(OpenAPIDocument.make(version: version))
    }
  }

  func json(_ value: JSONValue, status: Int = 200) -> ServerResponse {
    ServerResponse(
      status: status, headers: [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
      body: .bytes((try? JSON.encode(value)) ?? []))
  }

  // MARK: Devices

  private func changeDevice(_ call: Call) async throws(Problem) -> ServerResponse {
    let session = try await agent.devices.session(call.role)
    let locked = call.body["admin"]?.string == "locked"
    try audit(call, "device \(call.role) \(locked ? "locked" : "unlocked")")
    await session.setLocked(locked)
    return json(await session.current.json(call.caller.language))
  }

  private func forgetUnit(_ call: Call) async throws(Problem) -> ServerResponse {
    let view = try await agent.devices.session(call.role).current
    try audit(call, "device \(call.role): its unit is forgotten")
    await agent.devices.forget(view.slot)
    return json(try await agent.devices.session(call.role).current.json(call.caller.language))
  }

  private func explain(_ call: Call) async throws(Problem) -> ServerResponse {
    let session = try await agent.devices.session(call.role)
    let view = await session.current
    let language = call.caller.language
    return json(await agent.devices.explain(view.slot).json(view, language))
  }

  private func checkHealth(_ call: Call) async throws(Problem) -> ServerResponse {
    let level = HealthLevel(rawValue: call.body["level"]?.string ?? "") ?? .internal
    if level != .internal { try access.require(.technician, call.caller, for: call.route) }
    let session = try await agent.devices.session(call.role)
    do throws(Fault) {
      let report = try await session.perform("healthChecks") { (device) throws(Fault) in
        try await device.check(level)
      }
      var view = await session.current
      view.report = report
      return json(view.json(call.caller.language))
    } catch {
      throw Problem(error)
    }
  }

  // MARK: Visits

  private func visit(_ call: Call) async throws(Problem) -> ServerResponse {
    let id = call.parameters["visit"] ?? ""
    var facts = call.body.object ?? [:]
    facts["requestId"] = nil
    facts["state"] = nil
    switch call.route {
    case .openVisit:
      let opening = facts
      let answer = try await agent.requests.perform(
        .openVisit, role: nil, request: call.command, caller: call.caller
      ) {
        context throws(Problem) in
        // The id follows from the request's: should a crash come between the two commits, the same request finds its visit.
        .done(
          try await agent.visits.open(facts: opening, id: Visit.id(for: context.request.id)).json, status: 201
        )
      }
      return json(answer.body, status: answer.status)
    case .listVisits: return json(["visits": .array(await agent.visits.all.map(\.json))])
    case .showVisit: return json(try await agent.visits.show(id))
    case .changeVisit:
      let state = call.body["state"]?.string
      let visit = try await agent.visits.change(id, state: state, facts: facts)
      return json(visit.json)
    default:
      return json(
        try await closing.close(
          id, outcome: call.body["outcome"]?.string ?? "completed", asks: call.body["askRating"]?.bool,
          caller: call.caller
        ).json)
    }
  }

  // MARK: Commands

  private func command(_ call: Call) async throws(Problem) -> ServerResponse {
    let session = try await agent.devices.session(call.role)
    let kinds: [DeviceKind] =
      switch call.route {
      case .issueTicket: [.ticketDispenser]
      case .readCard: [.idCardReader]
      case .scan: [.scanner]
      case .print: [.printer]
      case .showScreen, .showDocument, .collectSignature: [.citizenScreen]
      case .showCall: [.evaluator]
      default: [.evaluator, .citizenScreen]
      }
    guard kinds.contains(session.slot.kind) else {
      throw Problem(.wrongKind, "\(call.role) is not a \(kinds[0].englishName)")
    }
    let document = call.request.body
    let extra = call.route == .print || call.route == .showDocument ? SHA256.digest(of: document).bytes : []
    let answer = try await agent.requests.perform(
      call.route, role: call.role, request: call.command, fingerprint: extra, caller: call.caller
    ) { context throws(Problem) in
      let request = context.request
      switch call.route {
      case .issueTicket:
        let visit = try await agent.visits.visit(for: request.visit, openIfNeeded: false)
        return try await agent.tickets.issue(context, session: session, visit: visit)
      case .showCall:
        let number = request.body["number"]?.string ?? ""
        let waiting = Int(request.body["waiting"]?.integer ?? 0)
        do throws(Fault) {
          try await session.perform("calls") { (device) throws(Fault) in
            guard let evaluator = device as? any Evaluator else { throw Fault(.commandUnsupported) }
            try await evaluator.show(number: number, waiting: waiting)
          }
        } catch {
          throw Problem(error)
        }
        return .done(["shown": true])
      case .readCard:
        let isKiosk = facilities.settings.current.isKiosk
        let visit = try await agent.visits.visit(for: request.visit, openIfNeeded: !isKiosk)
        if isKiosk, visit == nil { throw Problem(.visitRequired) }
        return try await agent.cards.read(context, session: session, visit: visit)
      case .scan:
        guard let visit = try await agent.visits.visit(for: request.visit) else {
          throw Problem(.visitClosed)
        }
        return try await agent.materials.scan(context, session: session, visit: visit)
      case .print:
        let visit = try await agent.visits.visit(for: request.visit, openIfNeeded: false)
        return try await agent.prints.print(context, document: document, session: session, visit: visit)
      case .showScreen:
        let visit = try await agent.visits.visit(for: request.visit, openIfNeeded: false)
        return try await agent.screens.show(context, session: session, visit: visit)
      case .showDocument:
        let visit = try await agent.visits.visit(for: request.visit)
        return try await agent.screens.document(context, bytes: document, session: session, visit: visit)
      case .collectSignature:
        guard let visit = try await agent.visits.visit(for: request.visit) else {
          throw Problem(.visitClosed)
        }
        return try await agent.screens.sign(context, session: session, visit: visit)
      default:
        guard let visit = try await agent.visits.visit(for: request.visit) else {
          throw Problem(.visitClosed)
        }
        return try await agent.ratings.ask(context, session: session, visit: visit) { id in
          await agent.visits.noteRatingAsked(id)
        }
      }
    }
    return json(answer.body, status: answer.status)
  }

  private func resolve(_ call: Call) async throws(Problem) -> ServerResponse {
    let id = call.parameters["requestId"] ?? ""
    let resolution = call.body["resolution"]?.string ?? ""
    let shown = try await agent.requests.show(id, call.caller.language)
    var view: DeviceView?
    if let role = shown["role"]?.string { view = try? await agent.devices.session(role).current }
    try audit(call, "request \(id) settled as \(resolution)")
    switch shown["verb"]?.string.flatMap({ Route(rawValue: $0) }) {
    case .issueTicket:
      try await agent.tickets.resolve(id, resolution: resolution, caller: call.caller, view: view)
    case .print:
      try await agent.prints.resolve(
        id, resolution: resolution, desk: agent.requests, caller: call.caller, view: view)
    default:
      // No event told of it: the answer alone is settled.
      let caller = call.caller
      try await agent.requests.resolve(id, resolution: resolution) { answer in
        var settled = answer
        settled["resolvedBy"] = .string(caller.role.name)
        return settled
      } also: { _ in
      }
    }
    return json(try await agent.requests.show(id, call.caller.language))
  }

  // MARK: Materials

  private func material(_ call: Call) async throws(Problem) -> ServerResponse {
    let id = call.parameters["material"] ?? ""
    let page = call.parameters["page"] ?? ""
    switch call.route {
    case .listMaterials:
      return json([
        "materials": .array(try await agent.materials.list(visit: call.body["visit"]?.string).map(\.json))
      ])
    case .showMaterial: return json(try await agent.materials.load(id).json)
    case .changeMaterial: return json(try await agent.materials.change(id, call.body).json)
    case .submitMaterial: return json(try await agent.materials.complete(id, outcome: "complete").json)
    case .withdrawPage:
      return json(
        try await agent.materials.withdraw(id, page, by: call.caller, reason: call.body["reason"]?.string)
          .json)
    default:
      let scale = Int(call.body["scale"]?.integer ?? 1)
      let image = try await agent.materials.image(id, page)
      guard scale > 1 else { return self.image(image.bytes, image.mediaType) }
      guard [2, 4, 8].contains(scale), image.mediaType == "image/jpeg" else {
        throw Problem(.invalid, "scale: 2, 4 or 8, of a JPEG page")
      }
      return self.image(try await Thumbnail.make(image.bytes, scale: scale), "image/jpeg")
    }
  }

  private func image(_ bytes: [UInt8], _ type: String) -> ServerResponse {
    ServerResponse(
      status: 200, headers: [("Content-Type", type), ("Cache-Control", "no-store")], body: .bytes(bytes))
  }

  // MARK: Simulation

  private func simulate(_ call: Call) async throws(Problem) -> ServerResponse {
    guard let simulation,
      let state = try await simulation.apply(call.role, call.body["command"]?.string ?? "")
    else {
      throw Problem(.notSimulated, "'\(call.role)' is not simulated in this process")
    }
    return json(state)
  }

  func audit(_ call: Call, _ what: String) throws(Problem) {
    do throws(SystemError) {
      try facilities.audit.note(call.caller, what)
    } catch {
      throw Problem(.notStored, "the audit log: \(error)")
    }
  }

  // MARK: Outbox

  private func outbox(_ call: Call) async throws(Problem) -> ServerResponse {
    let id = call.parameters["item"] ?? ""
    switch call.route {
    case .listOutbox:
      let limit = Int(call.body["limit"]?.integer ?? 100)
      let items = try await quarantine { (items) throws(OutboxError) in try await items.list(limit: limit) }
      return json(["items": .array(items.map { $0.json(call.caller.language) })])
    case .showOutboxItem:
      let item = try await quarantine { (items) throws(OutboxError) in try await items.show(id) }
      return json(item.json(call.caller.language))
    case .retryOutboxItem:
      try audit(call, "outbox item \(id) retried")
      try accept(await quarantine { (items) throws(OutboxError) in try await items.retry([id]) }[id])
      facilities.outbox.wake()
      return json(["item": .string(id), "state": "pending"])
    case .discardOutboxItem:
      try audit(call, "outbox item \(id) discarded: \(call.body["reason"]?.string ?? "")")
      try accept(await quarantine { (items) throws(OutboxError) in try await items.discard([id]) }[id])
      return json(["item": .string(id), "state": "discarded"])
    default:
      let exported = try await quarantine { (items) throws(OutboxError) in try await items.export(id) }
      try audit(call, "outbox item \(id) exported: \(call.body["reason"]?.string ?? "")")
      var value: [String: JSONValue] = ["item": exported.item.json(call.caller.language)]
      if let event = exported.event { value["event"] = event }
      if let batch = exported.batch {
        value["batch"] = .string(Base64.encode(batch))
        value["sha256"] = .string(SHA256.digest(of: batch).hex)
      }
      if let digest = Digest(hex: id) {
        let outbox = facilities.outbox
        let bytes = try await quarantine { (_) throws(OutboxError) in try await outbox.readBlob(digest) }
        value["content"] = .string(Base64.encode(bytes))
        if let mediaType = exported.mediaType { value["mediaType"] = .string(mediaType) }
      }
      return json(.object(value))
    }
  }

  /// Works on the quarantine and says its errors in the API's words.
  private func quarantine<T: Sendable>(
    _ body: (Quarantine) async throws(OutboxError) -> T
  ) async throws(Problem) -> T {
    do throws(OutboxError) {
      return try await body(facilities.outbox.quarantine)
    } catch {
      if case .noSuchItem = error { throw Problem(.notFound, "\(error)") }
      throw Problem(.notStored, "\(error)")
    }
  }
}

extension AgentAPI {
  private func accept(_ outcome: QuarantineOutcome?) throws(Problem) {
    switch outcome {
    case .done: return
    case .noSuchItem, nil: throw Problem(.notFound, "there is no such item in quarantine")
    case .noEvent: throw Problem(.invalid, "no event names this page: export it and hand it over by hand")
    case .named(let events):
      throw Problem(.invalid, "events name this page; see to them: " + events.joined(separator: ", "))
    }
  }
}

/// Who may do what: by the kernel's word on the caller (SO_PEERCRED, SO_PEERGROUPS), never by the caller's own.
final class AccessControl: Sendable {
  private struct Groups { var technician: UInt32?, administrator: UInt32?, refused: Set<String> = [] }
  private let groups: Mutex<Groups>
  private let log: Log

  init(_ configuration: Configuration, log: Log) {
    self.log = log
    groups = Mutex(Self.resolve(configuration))
  }

  func update(_ configuration: Configuration) {
    let new = Self.resolve(configuration)
    groups.withLock { $0 = new }
  }

  private static func resolve(_ configuration: Configuration) -> Groups {
    func id(_ name: String) -> UInt32? { name.isEmpty ? nil : try? ProcessInfo.groupID(named: name) }
    return Groups(
      technician: id(configuration.technicianGroup), administrator: id(configuration.administratorGroup))
  }

  func caller(of request: ServerRequest, language: Language, for route: Route) throws(Problem) -> Caller {
    guard let peer = request.peer else { throw Problem(.forbidden, "the kernel does not say who calls") }
    let caller = Caller(userID: peer.userID, role: role(of: peer), language: language)
    try require(route.specification.role, caller, for: route)
    return caller
  }

  func require(_ role: Role, _ caller: Caller, for route: Route) throws(Problem) {
    guard caller.role < role else { return }
    let key = "\(caller.userID) \(route.rawValue)"
    let first = groups.withLock { $0.refused.count < 1000 && $0.refused.insert(key).inserted }
    if first {
      log(
        .warning, "access",
        "uid \(caller.userID) (\(caller.role.name)) was refused \(route.rawValue): needs \(role.name)")
    }
    throw Problem(.forbidden, "needs the role \(role.name); uid \(caller.userID) has \(caller.role.name)")
  }

  private func role(of peer: PeerCredentials) -> Role {
    if peer.userID == 0 || peer.userID == ProcessInfo.userID { return .administrator }
    let mine = [peer.groupID] + peer.supplementaryGroups
    return groups.withLock { groups in
      if let group = groups.administrator, mine.contains(group) { return .administrator }
      if let group = groups.technician, mine.contains(group) { return .technician }
      return .counter
    }
  }
}
