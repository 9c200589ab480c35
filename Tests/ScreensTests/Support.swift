import Channels
import Crypto
import HallKit
import Posix
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Screens

/// A server of screens whose tokens a test gives, on a port of its own.
final class Served: Sendable {
  let bus = ScreenBus()
  let port: UInt16
  let refusals = Observed<[String]>([])

  init() throws {
    let (tokens, refusals, bus) = (SharedTokens(), refusals, bus)
    shared = tokens
    try bus.start(
      port: 0,
      backing: ScreenServer.Backing(
        screen: { tokens.screen(of: $0) }, refused: { what, _ in refusals.update { $0.append(what) } },
        sleep: { await Poller.shared.sleep(for: $0) },
        now: { .nanoseconds(Int64(clamping: SystemClockState.monotonicNanoseconds())) }))
    port = try #require(bus.port)
  }

  private let shared: SharedTokens

  /// A token for a screen, in place of the one it had.
  func token(_ screen: String) -> String {
    let (token, digest) = ScreenServer.makeToken()
    shared.set(screen, digest)
    return token
  }

  func open(_ screen: String) async throws -> any ScreenLink {
    guard case .screen(let link) = try await bus.open(.screen(name: screen), line: LineSettings()) else {
      throw Programs.Failure(description: "no screen")
    }
    return link
  }

  private var page: CitizenPage { CitizenPage(port: port) }
  func send(
    _ method: String, _ path: String, _ headers: [(String, String)] = [], host: String? = nil,
    body: String = ""
  ) async throws -> PageReply {
    try await page.send(method, path, headers, host: host, body: body)
  }
  func own(_ method: String, _ path: String, token: String? = nil, body: JSONValue? = nil) async throws
    -> PageReply
  {
    try await page.own(method, path, token: token, body: body)
  }
  func watch(_ token: String) async throws -> PageViews { try await page.watch(token) }
}

private final class SharedTokens: Sendable {
  private let tokens = Mutex<[Digest: String]>([:])
  func screen(of digest: Digest) -> String? { tokens.withLock { $0[digest] } }
  func set(_ screen: String, _ digest: Digest) {
    tokens.withLock { tokens in
      tokens = tokens.filter { $0.value != screen }
      tokens[digest] = screen
    }
  }
}
