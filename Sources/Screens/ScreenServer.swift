public import Channels
public import Crypto
public import HTTPServer
public import Posix
import Synchronization
import WireJSON

/// Serves the citizen's screens on the loopback: the page, what it shows, and what the citizen does there.
///
/// Loopback only; `Host` is exact on every request and `Origin` on all but `GET`, `Sec-Fetch-Site` is looked at where a
/// browser sends it. Every screen has a token of its own, from a pairing or from the kiosk's launch address; there are no
/// cookies, so that no other page in the browser can speak in its name. Nothing here can be reached by the counter
/// application's API, and nothing there by this one.
public final class ScreenServer: Sendable {
  /// What the agent knows and does for it.
  public struct Backing: Sendable {
    /// Which screen has the token with this digest.
    public var screen: @Sendable (Digest) async -> String?
    /// The hall's name, for the top of every view; nil: a general word.
    public var place: @Sendable () -> String?
    /// A refusal, in words for the log, with what it is the same as.
    public var refused: @Sendable (_ what: String, _ same: String) -> Void
    /// Waits; returns false when the task was cancelled before the time was over.
    public var sleep: @Sendable (Duration) async -> Bool
    /// Time since a fixed moment.
    public var now: @Sendable () -> Duration

    /// The backing.
    public init(
      screen: @escaping @Sendable (Digest) async -> String?,
      place: @escaping @Sendable () -> String? = { nil },
      refused: @escaping @Sendable (_ what: String, _ same: String) -> Void,
      sleep: @escaping @Sendable (Duration) async -> Bool, now: @escaping @Sendable () -> Duration
    ) {
      self.screen = screen
      self.place = place
      self.refused = refused
      self.sleep = sleep
      self.now = now
    }
  }

  /// The TCP port it listens on.
  public let port: UInt16
  private let backing: Backing
  private let pairings = Pairings()
  private let ports = Mutex<[String: ScreenPort]>([:])
  private let server = Mutex<HTTPServer?>(nil)

  /// Begins to serve.
  /// - Parameter listener: a listening socket on the loopback.
  public static func start(
    _ listener: consuming Loopback.Listener, backing: Backing
  ) throws(HTTPServerError) -> ScreenServer {
    let port = listener.port
    let screens = ScreenServer(port: port, backing: backing)
    let limits = ServerLimits(
      maximumBodyBytes: { _, path in path == "/inputs" ? 4 << 20 : 4096 }, connectionsPerProcess: 32,
      idleSeconds: 120)
    let server = try HTTPServer(listening: listener.descriptor, name: "screens", limits: limits) {
      [weak screens] request in
      await screens?.answer(request) ?? ServerResponse.text(503, "stopping")
    }
    screens.server.withLock { $0 = server }
    return screens
  }

  private init(port: UInt16, backing: Backing) {
    self.port = port
    self.backing = backing
  }

  /// Ends every stream and stops.
  public func stop() async {
    for port in ports.withLock({ Array($0.values) }) { port.end() }
    let server = server.withLock { server in
      defer { server = nil }
      return server
    }
    await server?.stop(grace: .seconds(1))
  }

  /// Takes a screen by name; it need not be connected yet.
  public func open(_ screen: String) throws(ChannelError) -> any ScreenLink { try port(of: screen).open() }

  /// Lets in the screen that shows this code, under this name and token. False when none shows it.
  public func pair(code: String, token: String, screen: String) -> Bool {
    pairings.confirm(code: code, token: token, screen: screen, now: backing.now())
  }

  /// Whether a screen shows this code.
  public func shows(code: String) -> Bool { pairings.shows(code, now: backing.now()) }

  /// Ends the streams of a screen's pages.
  public func end(_ screen: String) { ports.withLock { $0[screen] }?.end() }

  /// A token: 32 random bytes in hexadecimal, and the digest it is known by.
  public static func makeToken() -> (token: String, digest: Digest) {
    let token = Hex.encode(Identifier.random(32))
    return (token, SHA256.digest(of: Array(token.utf8)))
  }

  private func port(of screen: String) -> ScreenPort {
    ports.withLock { ports in
      if let port = ports[screen] { return port }
      let port = ScreenPort(now: backing.now, place: backing.place)
      ports[screen] = port
      return port
    }
  }

  // MARK: Requests

  private func answer(_ request: ServerRequest) async -> ServerResponse {
    if let refusal = refuse(request) { return refusal }
    switch (request.method, request.path) {
    case ("GET", "/"), ("HEAD", "/"): return file(ScreenFiles.page, "text/html; charset=utf-8")
    case ("GET", "/screen.css"): return file(ScreenFiles.style, "text/css; charset=utf-8")
    case ("GET", "/screen.js"): return file(ScreenFiles.script, "text/javascript; charset=utf-8")
    case ("POST", "/pairings"):
      guard let begun = pairings.begin(now: backing.now()) else {
        return json(429, ["title": "too many screens wait to be paired"])
      }
      return json(201, ["pairing": .string(begun.pairing), "code": .string(begun.code)])
    case ("GET", let path) where path.hasPrefix("/pairings/"): return await pairing(request)
    case ("GET", "/events"), ("POST", "/inputs"): return await screen(request)
    case ("GET", let path) where path.hasPrefix("/content/"): return await screen(request)
    default: return json(404, ["title": "there is nothing here"])
    }
  }

  /// Whatever does not come from our own page, opened under our own address.
  private func refuse(_ request: ServerRequest) -> ServerResponse? {
    let hosts = ["127.0.0.1:\(port)", "localhost:\(port)"]
    guard let host = request.header("Host"), hosts.contains(host) else {
      return refusal(421, "Host \(request.header("Host")?.prefix(80) ?? "missing")", "host")
    }
    let site = request.header("Sec-Fetch-Site")
    let isRead = request.method == "GET" || request.method == "HEAD"
    if let site, site != "same-origin", !(isRead && site == "none") {
      return refusal(403, "Sec-Fetch-Site \(site.prefix(40))", "site")
    }
    let origin = request.header("Origin")
    if isRead, origin == nil { return nil }
    guard origin == "http://\(host)" else {
      return refusal(403, "Origin \(origin?.prefix(80) ?? "missing")", "origin")
    }
    return nil
  }

  private func refusal(_ status: Int, _ what: String, _ same: String) -> ServerResponse {
    backing.refused("a request to the citizen's screen was refused: \(what)", same)
    return json(status, ["title": "refused"])
  }

  private func pairing(_ request: ServerRequest) async -> ServerResponse {
    let id = String(request.path.dropFirst("/pairings/".count))
    var outcome = pairings.take(id, now: backing.now())
    if case .waiting = outcome {
      await withTaskCancellationHandler {
        let timer = Task { [backing, pairings] in
          if await backing.sleep(.seconds(25)) { pairings.giveUp(id) }
        }
        await pairings.wait(id)
        timer.cancel()
      } onCancel: {
        pairings.giveUp(id)
      }
      outcome = pairings.take(id, now: backing.now())
    }
    switch outcome {
    case .waiting: return json(200, ["state": "waiting"])
    case .paired(let token, let screen):
      return json(200, ["state": "paired", "token": .string(token), "screen": .string(screen)])
    case .gone: return json(410, ["title": "this pairing is over"])
    }
  }

  private func screen(_ request: ServerRequest) async -> ServerResponse {
    guard let given = request.header("Authorization"), given.hasPrefix("Bearer "),
      let name = await backing.screen(SHA256.digest(of: Array(given.dropFirst(7).utf8)))
    else {
      backing.refused(
        "a request to the citizen's screen was refused: no token, or one that is not valid", "token")
      return json(401, ["title": "not paired"], [("WWW-Authenticate", "Bearer")])
    }
    let port = port(of: name)
    switch request.path {
    case "/events":
      return ServerResponse(
        status: 200, headers: [("Content-Type", "text/event-stream")] + Self.always,
        body: .stream(port.watch()))
    case "/inputs":
      guard request.header("Content-Type")?.lowercased().hasPrefix("application/json") == true,
        let body = try? JSON.parse(request.body), let revision = body["revision"]?.integer,
        let input = ScreenInput(body["input"])
      else { return json(400, ["title": "not an input"]) }
      return port.input(input, revision: Int(clamping: revision))
        ? ServerResponse(status: 204, headers: Self.always) : json(409, ["title": "this step is over"])
    default:
      guard let page = port.picture(String(request.path.dropFirst("/content/".count))) else {
        return json(404, ["title": "not shown"])
      }
      return file(page.image, page.mediaType)
    }
  }

  private static let always: [(String, String)] = [
    ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"), ("X-Frame-Options", "DENY"),
    (
      "Content-Security-Policy",
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
  ]

  private func file(_ bytes: [UInt8], _ type: String) -> ServerResponse {
    ServerResponse(status: 200, headers: [("Content-Type", type)] + Self.always, body: .bytes(bytes))
  }

  private func json(
    _ status: Int, _ value: JSONValue, _ headers: [(String, String)] = []
  ) -> ServerResponse {
    ServerResponse(
      status: status, headers: [("Content-Type", "application/json")] + Self.always + headers,
      body: .bytes((try? JSON.encode(value)) ?? []))
  }
}
