public import Posix

/// Why there is no answer.
public enum HTTPClientError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Why no connection could be made.
  public enum Unreachable: Sendable, Equatable {
    /// There is no such socket: the server was never started, or the path is wrong.
    case noSocket
    /// Nobody listens: the server has ended.
    case refused
    /// This process's user may not connect.
    case denied
    /// The server takes no new connections at present: its queue is full.
    case busy
    /// Another reason.
    case other(SystemError)
  }

  /// No connection.
  case unreachable(Unreachable)
  /// Somebody listens, but as another user than expected; `nil` when the user cannot be told. Nothing was
  /// sent.
  case wrongOwner(userID: UInt32?)
  /// The time was over.
  case timedOut
  /// The task was cancelled, or the client closed.
  case cancelled
  /// The connection ended too early, or what came over it was not HTTP; the text says what.
  case broken(String)
  /// The answer's body is larger than allowed.
  case tooLarge(limit: Int)
  /// Path and query are longer than libcups can send (1023 bytes).
  case uriTooLong
  /// The request cannot be sent so; the text says why. A mistake of the caller's.
  case invalidRequest(String)

  /// For people, in English.
  public var description: String {
    switch self {
    case .unreachable(.noSocket): "there is no such socket: is the service started?"
    case .unreachable(.refused): "nobody listens there: has the service ended?"
    case .unreachable(.denied): "permission to connect was denied"
    case .unreachable(.busy): "the service takes no new connections"
    case .unreachable(.other(let error)): "\(error)"
    case .wrongOwner(let user?): "the listener runs as user \(user), which is not the one expected"
    case .wrongOwner(nil): "the listener's user cannot be told"
    case .timedOut: "no complete answer in time"
    case .cancelled: "cancelled"
    case .broken(let reason): "broken answer: \(reason)"
    case .tooLarge(let limit): "the answer is larger than \(limit) bytes"
    case .uriTooLong: "path and query are longer than 1023 bytes"
    case .invalidRequest(let reason): "the request cannot be sent: \(reason)"
    }
  }
}

extension HTTPClientError.Unreachable {
  init(_ error: SystemError) {
    self =
      switch error.name {
      case "ENOENT", "ENOTDIR": .noSocket
      case "ECONNREFUSED": .refused
      case "EACCES", "EPERM": .denied
      case "EAGAIN", "ETIMEDOUT": .busy
      default: .other(error)
      }
  }
}
