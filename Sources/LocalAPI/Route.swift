/// Every route of the agent API v1. The server switches over these cases, so that a route without a handler does not
/// compile, and the OpenAPI document is printed from ``specification``.
public enum Route: String, Sendable, CaseIterable {
  case status, listDevices, showDevice, changeDevice, explainDevice, forgetUnit, listPlugged, checkHealth
  case openVisit, listVisits, showVisit, changeVisit, closeVisit
  case issueTicket, showCall, readCard, scan, askRating, print
  case showScreen, showDocument, collectSignature
  case listScreens, pairScreen, makeScreenAddress, revokeScreen, verifyRatings
  case listMaterials, showMaterial, changeMaterial, submitMaterial, readPage, withdrawPage
  case listRequests, showRequest, cancelRequest, resolveRequest
  case watchEvents
  case outboxStatus, listOutbox, showOutboxItem, retryOutboxItem, discardOutboxItem, exportOutboxItem
  case metrics, listSimulated, simulate, playTimeline, reload, openAPI

  /// Method, path, role, what is sent and what comes back.
  public struct Specification: Sendable {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    public let method: String
    /// Path with `{name}` for parameters.
    public let path: String
    /// The least role that may call it.
    public let role: Role
    /// One sentence.
    public let summary: String
    /// Form of the JSON body; nil for none.
    public var body: Shape?
    /// Query parameters.
    public var query: [Shape.Field] = []
    /// Media types of the body, where it is not JSON.
    public var bodyTypes: [String] = []
    /// Status of success.
    public var success = 200
    /// Form of the JSON answer; nil when it is not JSON or empty.
    public var answer: Shape?
    /// Media type of the answer, where it is not JSON.
    public var answerType: String?

    /// Segments of the path.
    public var segments: [Substring] { path.split(separator: "/") }
  }

  /// The route for a method and path and the values of its parameters.
  public enum Match: Sendable, Equatable {
    /// This route.
    case route(Route, parameters: [String: String])
    /// The path exists, with these methods only.
    case methodNotAllowed([String])
    /// There is no such path.
    case notFound
  }

  /// Finds the route. `POST` is taken for `PATCH` where the path has no `POST` of its own: libcups and other old HTTP
  /// libraries cannot send `PATCH`. `HEAD` is taken for `GET`.
  public static func match(method: String, segments: [String]) -> Match {
    var allowed: [(String, Route, [String: String])] = []
    for (route, template) in templates where template.count == segments.count {
      var parameters: [String: String] = [:]
      let fits = zip(template, segments).allSatisfy { part, segment in
        if part.hasPrefix("{") {
          parameters[String(part.dropFirst().dropLast())] = segment
          return true
        }
        return part == segment
      }
      if fits { allowed.append((route.specification.method, route, parameters)) }
    }
    guard !allowed.isEmpty else { return .notFound }
    let wanted = method == "HEAD" ? "GET" : method
    if let exact = allowed.first(where: { $0.0 == wanted }) { return .route(exact.1, parameters: exact.2) }
    if wanted == "POST", let patch = allowed.first(where: { $0.0 == "PATCH" }) {
      return .route(patch.1, parameters: patch.2)
    }
    return .methodNotAllowed(allowed.map(\.0).sorted())
  }

  private static let templates: [(Route, [String])] = allCases.map {
    ($0, $0.specification.segments.map(String.init))
  }

  /// What the route is.
  public var specification: Specification { Self.specifications[self] ?? declared }

  /// Made once: a command asks for its own several times.
  private static let specifications = Dictionary(uniqueKeysWithValues: allCases.map { ($0, $0.declared) })

  private var declared: Specification {
    switch self {
    case .status:
      .init(
        method: "GET", path: "/v1/status", role: .counter,
        summary: "The agent, its backlog and a line for every device.", answer: .object(Shapes.status))
    case .listDevices:
      .init(
        method: "GET", path: "/v1/devices", role: .counter,
        summary: "Every device with state, reason, paper and card.",
        answer: .object([.required("devices", .array(.object(Shapes.device), max: 256), "By role.")]))
    case .showDevice:
      .init(
        method: "GET", path: "/v1/devices/{role}", role: .counter, summary: "One device.",
        answer: .object(Shapes.device))
    case .changeDevice:
      .init(
        method: "PATCH", path: "/v1/devices/{role}", role: .technician,
        summary: "Take a device out of service or put it back (admin state).",
        body: .object([
          .required("admin", .word(["locked", "unlocked"]), "Admin state, apart from the operating state.")
        ]),
        answer: .object(Shapes.device))
    case .explainDevice:
      .init(
        method: "GET", path: "/v1/devices/{role}/explanation", role: .counter,
        summary: "Every profile considered for this device and the first predicate that failed.",
        answer: .object(Shapes.explanation))
    case .forgetUnit:
      .init(
        method: "DELETE", path: "/v1/devices/{role}/unit", role: .technician,
        summary: "Forget which unit served the role, so that whatever fits may take its place.",
        answer: .object(Shapes.device))
    case .listPlugged:
      .init(
        method: "GET", path: "/v1/usb-devices", role: .counter,
        summary: "Every USB device that is plugged in, who uses it, and which profiles would fit.",
        answer: .object([
          .required("devices", .array(.object(Shapes.plugged), max: 256), "By port.")
        ]))
    case .checkHealth:
      .init(
        method: "POST", path: "/v1/devices/{role}/health-checks", role: .counter,
        summary: "Ask the device itself how it is. `external` and `interactive` need the technician's role.",
        body: .object([.required("level", .word(["internal", "external", "interactive"]), "How deep.")]),
        answer: .object(Shapes.device))
    case .openVisit:
      .init(
        method: "POST", path: "/v1/visits", role: .counter,
        summary: "Open a citizen's visit; an active one is suspended.",
        body: .object([.required("requestId", .identifier, Shapes.requestIDSummary)] + Shapes.visitFacts),
        success: 201, answer: .object(Shapes.visit))
    case .listVisits:
      .init(
        method: "GET", path: "/v1/visits", role: .counter, summary: "The visits that are open.",
        answer: .object([.required("visits", .array(.object(Shapes.visit), max: 1000), "Open visits.")]))
    case .showVisit:
      .init(
        method: "GET", path: "/v1/visits/{visit}", role: .counter, summary: "One visit.",
        answer: .object(Shapes.visit))
    case .changeVisit:
      .init(
        method: "PATCH", path: "/v1/visits/{visit}", role: .counter,
        summary: "Add cases and facts as they become known, suspend, resume.",
        body: .object(
          [.optional("state", .word(["active", "suspended"]), "Suspend or resume.")] + Shapes.visitFacts),
        answer: .object(Shapes.visit))
    case .closeVisit:
      .init(
        method: "DELETE", path: "/v1/visits/{visit}", role: .counter,
        summary:
          "Close a visit, once the citizen has been asked for a rating. Materials still open are completed as "
          + "abandoned.",
        query: [
          .optional(
            "askRating", .boolean,
            "Whether a citizen who was not asked in this visit is asked before it closes; the hall's setting unless "
              + "given. The answer waits for that."),
          .optional(
            "outcome", .word(["completed", "returned", "abandoned"]), "How it ended; completed unless given."),
        ],
        answer: .object(Shapes.visit))
    case .issueTicket:
      .init(
        method: "POST", path: "/v1/devices/{role}/tickets", role: .counter,
        summary: "Allocate a queue number and print its ticket.",
        body: .object(
          Shapes.command + [
            .required("service", .identifier, "A service of the configuration, such as `A`."),
            .optional("class", .word(["normal", "priority", "appointment"]), "Class; normal unless given."),
            .optional("waitingAhead", .integer(0...9999), "How many wait, as the queue system knows it."),
            .optional("windows", .text(max: 60), "Windows to watch, as printed."),
          ]),
        success: 201, answer: .object(Shapes.ticket))
    case .showCall:
      .init(
        method: "POST", path: "/v1/devices/{role}/calls", role: .counter,
        summary: "Show a called number on the evaluator's plate.",
        body: .object(
          Shapes.command + [
            .required("number", .identifier, "The number called."),
            .optional("waiting", .integer(0...999), "How many wait."),
          ]),
        answer: .object([.required("shown", .boolean, "It was sent to the device.")]))
    case .readCard:
      .init(
        method: "POST", path: "/v1/devices/{role}/card-reads", role: .counter,
        summary: "Read the ID card, waiting up to `timeoutSeconds` for one.",
        body: .object(
          Shapes.command + [
            .optional("timeoutSeconds", .integer(1...300), "How long to wait for a card; 30 unless given."),
            .optional(
              "masked", .boolean,
              "Whether numbers are given with their middle masked. A read that gives them in full is audited."
            ),
          ]),
        answer: .object(Shapes.cardReading))
    case .scan:
      .init(
        method: "POST", path: "/v1/devices/{role}/scans", role: .counter,
        summary: "Scan pages into a new or an open material; each page is stored before the next is taken.",
        body: .object(Shapes.command + Shapes.scanRequest), answer: .object(Shapes.scanResult))
    case .askRating:
      .init(
        method: "POST", path: "/v1/devices/{role}/ratings", role: .counter,
        summary: "Ask the citizen for a rating. The answer says whether it was rated, never the level.",
        body: .object(Shapes.command + Shapes.ratingRequest), answer: .object(Shapes.ratingResult))
    case .showScreen:
      .init(
        method: "POST", path: "/v1/devices/{role}/screens", role: .counter,
        summary: "Show something on the citizen's screen; `fields` are confirmed by the citizen.",
        body: .object(Shapes.command + Shapes.screenContent), answer: .object(Shapes.screenResult))
    case .showDocument:
      .init(
        method: "POST", path: "/v1/devices/{role}/documents", role: .counter,
        summary: "Show the PDF, JPEG or PNG that is the body, page by page, and ask for consent.",
        query: Shapes.command + [
          .optional("title", .text(max: 120), "Title."),
          .optional("titleEnglish", .text(max: 120), "Title in English."),
          .optional("confirm", .boolean, "Whether consent is asked for; true unless given."),
          .optional(
            "timeoutSeconds", .integer(1...3600), "How long the citizen has; 300 unless given."),
        ],
        bodyTypes: ["application/pdf", "image/jpeg", "image/png"], answer: .object(Shapes.screenResult))
    case .collectSignature:
      .init(
        method: "POST", path: "/v1/devices/{role}/signatures", role: .counter,
        summary: "Collect a signature, bound to the document that was shown.",
        body: .object(
          Shapes.command + [
            .optional("title", .text(max: 120), "Title."),
            .optional("titleEnglish", .text(max: 120), "Title in English."),
            .optional(
              "document", .digest,
              "Digest of the document it is bound to; the one agreed to last unless given."),
            .optional("signerRole", .text(max: 64), "As whom: `applicant` unless given."),
            .optional("timeoutSeconds", .integer(1...3600), "How long the citizen has; 120 unless given."),
          ]), answer: .object(Shapes.screenResult))
    case .listScreens:
      .init(
        method: "GET", path: "/v1/screens", role: .technician, summary: "Screens that are let in.",
        answer: .object([
          .required(
            "screens",
            .array(
              .object([
                .required("screen", .text(max: 64), "Its name, as in the port `screen:NAME`."),
                .required("pairedAt", .timestamp, "Since when."),
              ]), max: 64), "By name.")
        ]))
    case .pairScreen:
      .init(
        method: "POST", path: "/v1/screens", role: .technician,
        summary: "Let in the screen that shows this code.",
        body: .object([
          .required("code", .text(max: 8), "The four digits on the screen."),
          .optional("screen", .text(max: 64), "Its name; `1` unless given."),
        ]), answer: .object([.required("screen", .text(max: 64), "Its name.")]))
    case .makeScreenAddress:
      .init(
        method: "POST", path: "/v1/screens/{screen}/addresses", role: .technician,
        summary: "A launch address for a kiosk browser, with a new token in it; the old one ends.",
        answer: .object([.required("url", .text(max: 200), "The address; whoever has it is the screen.")]))
    case .revokeScreen:
      .init(
        method: "DELETE", path: "/v1/screens/{screen}", role: .technician, summary: "Shut a screen out.",
        answer: .object([.required("screen", .text(max: 64), "Its name.")]))
    case .verifyRatings:
      .init(
        method: "GET", path: "/v1/ratings/chain", role: .technician,
        summary: "Verify the chain of ratings: whether any was removed, put in or altered.",
        answer: .object([
          .required("intact", .boolean, "Whether every link follows from the one before."),
          .required("links", .integer(0...Int.max), "How many."),
          .required("head", .text(max: 64), "The newest link's hash, to be held against the intake's."),
          .required("missing", .array(.integer(0...Int.max), max: 1000), "Numbers that are missing."),
          .required("broken", .array(.integer(0...Int.max), max: 100_000), "Numbers that do not follow."),
          .required(
            "unverifiable", .integer(0...Int.max), "Links of an older version, of which only the order shows."
          ),
        ]))
    case .print:
      .init(
        method: "POST", path: "/v1/devices/{role}/print-jobs", role: .counter,
        summary: "Print the PDF that is the body.",
        query: Shapes.command + [
          .optional("title", .text(max: 120), "Title of the job."),
          .optional("copies", .integer(1...99), "Copies; 1 unless given."),
          .optional(
            "timeoutSeconds", .integer(1...600), "How long to wait for the printer; 120 unless given."),
        ],
        bodyTypes: ["application/pdf"], answer: .object(Shapes.printResult))
    case .listMaterials:
      .init(
        method: "GET", path: "/v1/materials", role: .counter, summary: "Materials of the open visits.",
        query: [.optional("visit", .uuid, "Only this visit's.")],
        answer: .object([.required("materials", .array(.object(Shapes.material), max: 10000), "Materials.")]))
    case .showMaterial:
      .init(
        method: "GET", path: "/v1/materials/{material}", role: .counter,
        summary: "One material and its pages.",
        answer: .object(Shapes.material))
    case .changeMaterial:
      .init(
        method: "PATCH", path: "/v1/materials/{material}", role: .counter,
        summary: "Name it, put its pages in order, move pages to another material.",
        body: .object([
          .optional("name", .text(max: 200), "What the material is."),
          .optional("catalogItem", .text(max: 100), "Its code in the catalogue (材料编码)."),
          .optional("form", .word(["original", "copy"]), "What was scanned."),
          .optional("order", .array(.uuid, max: 2000), "All its pages in their new order."),
          .optional(
            "move",
            .object([
              .required("pages", .array(.uuid, max: 2000), "Pages to move."),
              .required("to", .uuid, "An open material of the same visit."),
            ]), "Moves pages."),
        ]),
        answer: .object(Shapes.material))
    case .submitMaterial:
      .init(
        method: "POST", path: "/v1/materials/{material}/submission", role: .counter,
        summary: "Complete the material: held pages are forwarded, the final order is told.",
        body: .object([.optional("requestId", .identifier, Shapes.requestIDSummary)]),
        answer: .object(Shapes.material))
    case .readPage:
      .init(
        method: "GET", path: "/v1/materials/{material}/pages/{page}", role: .counter,
        summary:
          "The page's image, until the visit closes. `scale=8` gives a thumbnail of a JPEG page, an eighth the size, `2` and `4` "
          + "likewise.",
        query: [.optional("scale", .integer(1...8), "1, 2, 4 or 8.")], answerType: "image/*")
    case .withdrawPage:
      .init(
        method: "DELETE", path: "/v1/materials/{material}/pages/{page}", role: .counter,
        summary: "Withdraw a page; the intake is told if it has it.",
        query: [.optional("reason", .text(max: 200), "Why.")], answer: .object(Shapes.material))
    case .listRequests:
      .init(
        method: "GET", path: "/v1/requests", role: .technician,
        summary: "Commands of late, and all whose outcome is unknown.",
        query: [.optional("state", .word(Shapes.requestStates), "Only those.")],
        answer: .object([.required("requests", .array(.object(Shapes.request), max: 1000), "Newest first.")]))
    case .showRequest:
      .init(
        method: "GET", path: "/v1/requests/{requestId}", role: .counter, summary: "Outcome of a command.",
        answer: .object(Shapes.request))
    case .cancelRequest:
      .init(
        method: "DELETE", path: "/v1/requests/{requestId}", role: .counter,
        summary: "Cancel a command while it has had no effect.", answer: .object(Shapes.request))
    case .resolveRequest:
      .init(
        method: "POST", path: "/v1/requests/{requestId}/resolution", role: .counter,
        summary: "Settle a ticket whose printing is unknown, after looking at the outlet.",
        body: .object([
          .required(
            "resolution", .word(["reprinted", "confirmed", "voided"]), "What a person found or decided.")
        ]),
        answer: .object(Shapes.request))
    case .watchEvents:
      .init(
        method: "GET", path: "/v1/events", role: .counter,
        summary: "Server-sent events: device states, progress, prompts; resumes by `Last-Event-ID`.",
        query: [
          .optional(
            "after", .identifier, "The last id seen, for HTTP libraries that cannot send `Last-Event-ID`.")
        ],
        answerType: "text/event-stream")
    case .outboxStatus:
      .init(
        method: "GET", path: "/v1/outbox", role: .counter,
        summary: "What waits for the intake, and how the intake does.",
        answer: .object(Shapes.outbox))
    case .listOutbox:
      .init(
        method: "GET", path: "/v1/outbox/items", role: .technician,
        summary: "Items that were set aside, and why.",
        query: [.optional("limit", .integer(1...1000), "At most so many; 100 unless given.")],
        answer: .object([.required("items", .array(.object(Shapes.outboxItem), max: 1000), "Oldest first.")]))
    case .showOutboxItem:
      .init(
        method: "GET", path: "/v1/outbox/items/{item}", role: .technician,
        summary: "One item, without its content.",
        answer: .object(Shapes.outboxItem))
    case .retryOutboxItem:
      .init(
        method: "POST", path: "/v1/outbox/items/{item}/retry", role: .technician,
        summary: "Send a quarantined item again (audited).", answer: .object(Shapes.outboxResult))
    case .discardOutboxItem:
      .init(
        method: "POST", path: "/v1/outbox/items/{item}/discard", role: .administrator,
        summary: "Erase a quarantined item for good (audited).",
        body: .object([.required("reason", .text(max: 400), "Why, for the audit log.")]),
        answer: .object(Shapes.outboxResult))
    case .exportOutboxItem:
      .init(
        method: "POST", path: "/v1/outbox/items/{item}/export", role: .administrator,
        summary:
          "Hand out a quarantined item, or a page that such an event names, with its content (audited).",
        body: .object([.required("reason", .text(max: 400), "Why, for the audit log.")]),
        answer: .table(.opaque(maxBytes: 128 << 20)))
    case .metrics:
      .init(
        method: "GET", path: "/metrics", role: .counter, summary: "OpenMetrics.",
        answerType: "application/openmetrics-text")
    case .listSimulated:
      .init(
        method: "GET", path: "/v1/simulation", role: .technician,
        summary: "The simulated devices of this process, their state and their commands.",
        answer: .object([.required("devices", .array(.object(Shapes.simulated), max: 64), "By name.")]))
    case .simulate:
      .init(
        method: "POST", path: "/v1/simulation/{role}", role: .technician,
        summary: "Do something to a simulated device: present a card, take the paper away, press 5, unplug.",
        body: .object([.required("command", .text(max: 400), "One or more commands, `;` between them.")]),
        answer: .object(Shapes.simulated))
    case .playTimeline:
      .init(
        method: "POST", path: "/v1/simulation", role: .technician,
        summary: "Play a timeline on the simulated devices from now on.",
        body: .object([.required("timeline", .lines(max: 65_536), "The text of a timeline file.")]),
        answer: .object([.required("playing", .boolean, "It has begun.")]))
    case .reload:
      .init(
        method: "POST", path: "/v1/reload", role: .technician,
        summary: "Read the configuration again; devices that did not change stay in service.",
        answer: .object([
          .required(
            "changed", .array(.text(max: 64), max: 256), "Roles that were attached anew, added or removed.")
        ]))
    case .openAPI:
      .init(
        method: "GET", path: "/v1/openapi.json", role: .counter, summary: "This document.",
        answer: .table(.opaque(maxBytes: 1 << 20)))
    }
  }
}
