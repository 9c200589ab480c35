public import Channels
import HTTPServer
import Posix
import Synchronization

/// Why the screens cannot be served.
public enum ScreenBusError: Error, Sendable, CustomStringConvertible {
  /// The port cannot be listened on.
  case listen(String)

  /// What the system said.
  public var description: String {
    switch self {
    case .listen(let what): what
    }
  }
}

/// The citizens' screens as a bus: `screen:NAME` for each.
public final class ScreenBus: Bus {
  private let server = Mutex<ScreenServer?>(nil)

  /// A bus that serves from ``start(port:backing:)`` on.
  public init() {}

  /// Begins to serve on this port of the loopback; 0 lets the system choose.
  public func start(port: UInt16, backing: ScreenServer.Backing) throws(ScreenBusError) {
    let started: ScreenServer
    do {
      started = try ScreenServer.start(Loopback.listen(port: port), backing: backing)
    } catch {
      throw .listen("\(error)")
    }
    server.withLock { $0 = started }
  }

  /// Ends serving.
  public func stop() async {
    let stopped = server.withLock { server in
      defer { server = nil }
      return server
    }
    await stopped?.stop()
  }

  private var current: ScreenServer? { server.withLock { $0 } }
  /// Whether screens can connect.
  public var isServing: Bool { current != nil }
  /// The port, while it serves.
  public var port: UInt16? { current?.port }
  /// Whether a screen shows this pairing code.
  public func shows(code: String) -> Bool { current?.shows(code: code) ?? false }
  /// Lets in the screen that shows the code; false when none does.
  public func pair(code: String, token: String, screen: String) -> Bool {
    current?.pair(code: code, token: token, screen: screen) ?? false
  }
  /// Ends the streams of a screen's pages: they have to show their token again.
  public func end(_ screen: String) { current?.end(screen) }

  // MARK: Bus

  /// True for `screen:` addresses.
  public func supplies(_ address: ChannelAddress) -> Bool {
    if case .screen = address { true } else { false }
  }

  /// Takes a screen; a page need not show it yet.
  public func open(
    _ address: ChannelAddress, as kind: ChannelKind?, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    guard case .screen(let name) = address, let server = current else {
      throw .absent("\(address): [screens] port is not configured")
    }
    return .screen(try server.open(name))
  }

  /// `transport` and `address`.
  public func facts(of address: ChannelAddress) async -> [String: String] {
    guard case .screen(let name) = address else { return [:] }
    return ["transport": address.transport, "address": name]
  }

  /// Only on cancellation: what comes and goes is the page, and the screen itself tells of that.
  public func waitForChange(at address: ChannelAddress) async {
    let (never, continuation) = AsyncStream.makeStream(of: Never.self)
    for await _ in never {}
    continuation.finish()
  }
}
