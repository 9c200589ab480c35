import Posix
import Synchronization

/// Screens that ask to be let in: each shows a code, which a person who stands before it gives to `hallctl screen pair`.
final class Pairings: Sendable {
  private struct Pairing {
    var code: String
    var until: Duration
    var token: (token: String, screen: String)?
    var waiters: [CheckedContinuation<Void, Never>] = []
  }
  private let pairings = Mutex<[String: Pairing]>([:])
  static let lifetime = Duration.seconds(300)
  /// So many at a time: whoever reaches the port can ask.
  static let limit = 8

  /// A new pairing with a code of four digits that no other one has; nil when too many wait.
  func begin(now: Duration) -> (pairing: String, code: String)? {
    pairings.withLock { pairings in
      pairings = pairings.filter { $0.value.until > now }
      guard pairings.count < Self.limit else { return nil }
      let taken = Set(pairings.values.map(\.code))
      let bytes = Identifier.random(4)
      var number = bytes.reduce(0) { ($0 << 8 | Int($1)) % 10000 }
      while taken.contains(Self.text(number)) { number = (number + 1) % 10000 }
      let id = Identifier.uuidV4()
      pairings[id] = Pairing(code: Self.text(number), until: now + Self.lifetime)
      return (id, Self.text(number))
    }
  }

  private static func text(_ number: Int) -> String {
    let digits = "\(number)"
    return String(repeating: "0", count: 4 - digits.count) + digits
  }

  /// Lets in the screen that shows the code.
  /// - Returns: false when none does.
  func confirm(code: String, token: String, screen: String, now: Duration) -> Bool {
    let waiters = pairings.withLock { pairings -> [CheckedContinuation<Void, Never>]? in
      guard
        let id = pairings.first(where: {
          $0.value.code == code && $0.value.until > now && $0.value.token == nil
        })?.key
      else { return nil }
      pairings[id]?.token = (token, screen)
      let waiters = pairings[id]?.waiters ?? []
      pairings[id]?.waiters = []
      return waiters
    }
    for waiter in waiters ?? [] { waiter.resume() }
    return waiters != nil
  }

  /// Whether a screen shows this code.
  func shows(_ code: String, now: Duration) -> Bool {
    pairings.withLock { $0.values.contains { $0.code == code && $0.until > now && $0.token == nil } }
  }

  /// What became of a pairing.
  enum Outcome: Sendable {
    case waiting
    case paired(token: String, screen: String)
    case gone
  }

  /// The outcome as it is; the token is given once.
  func take(_ id: String, now: Duration) -> Outcome {
    pairings.withLock { pairings in
      guard let pairing = pairings[id], pairing.until > now else { return .gone }
      guard let token = pairing.token else { return .waiting }
      pairings[id] = nil
      return .paired(token: token.token, screen: token.screen)
    }
  }

  /// Waits until a pairing is confirmed; returns at once when it is or there is none, and when ``giveUp(_:)`` is called.
  func wait(_ id: String) async {
    await withCheckedContinuation { continuation in
      let waits = pairings.withLock { pairings in
        guard pairings[id] != nil, pairings[id]?.token == nil else { return false }
        pairings[id]?.waiters.append(continuation)
        return true
      }
      if !waits { continuation.resume() }
    }
  }

  /// Lets go whoever waits for a pairing.
  func giveUp(_ id: String) {
    let waiters = pairings.withLock { pairings in
      let waiters = pairings[id]?.waiters ?? []
      pairings[id]?.waiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
