import Crypto
import LocalAPI
import Posix
import Screens
import Store
import WireJSON

/// Which screens are let in. A screen's token is known here by its digest alone; a new one ends the old.
struct ScreenKeys: Sendable {
  let facilities: Facilities
  let bus: ScreenBus

  /// The screen that has the token with this digest.
  func screen(of digest: Digest) async -> String? {
    let row = try? await facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT screen FROM screenKey WHERE digest = ?", [.blob(digest.bytes)])
    }
    return (row ?? nil)?["screen"].text
  }

  /// Makes a token for a screen, in place of the one it had.
  func make(for screen: String) async throws(Problem) -> String {
    let (token, digest) = ScreenServer.makeToken()
    try await facilities.commit { database throws(StoreError) in
      try database.run("DELETE FROM screenKey WHERE screen = ?", [.text(screen)])
      try database.run(
        "INSERT INTO screenKey (digest, screen, created) VALUES (?, ?, ?)",
        [.blob(digest.bytes), .text(screen), .text(WallTime.now().rfc3339)])
    }
    bus.end(screen)
    return token
  }

  /// Lets in the screen that shows this code.
  func pair(code: String, screen: String) async throws(Problem) {
    guard bus.isServing else { throw Problem(.notFound, "[screens] port is not configured") }
    guard bus.shows(code: code) else {
      throw Problem(.notFound, "no screen shows the code \(code); a code is good for five minutes")
    }
    let token = try await make(for: screen)
    guard bus.pair(code: code, token: token, screen: screen) else {
      throw Problem(.notFound, "the screen with the code \(code) has gone")
    }
  }

  /// The address that a kiosk browser is started with.
  func address(for screen: String) async throws(Problem) -> String {
    guard let port = bus.port else { throw Problem(.notFound, "[screens] port is not configured") }
    return "http://127.0.0.1:\(port)/#token=\(try await make(for: screen))"
  }

  /// Shuts a screen out.
  func revoke(_ screen: String) async throws(Problem) {
    try await facilities.commit { database throws(StoreError) in
      try database.run("DELETE FROM screenKey WHERE screen = ?", [.text(screen)])
    }
    bus.end(screen)
  }

  /// Screens that are let in, and since when.
  func list() async throws(Problem) -> JSONValue {
    let rows = try await facilities.read { database throws(StoreError) in
      try database.query("SELECT screen, created FROM screenKey ORDER BY screen")
    }
    return .array(
      rows.map {
        ["screen": .string($0["screen"].text ?? ""), "pairedAt": .string($0["created"].text ?? "")]
      })
  }
}
