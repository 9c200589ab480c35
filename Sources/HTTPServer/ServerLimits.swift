/// What a server allows its clients.
public struct ServerLimits: Sendable {
  /// The largest body in bytes of a request with this method and path (escaped, without the query). Asked
  /// when the header has been read, on the server's own thread: it must answer at once.
  public var maximumBodyBytes: @Sendable (_ method: String, _ path: String) -> Int
  /// Connections at one time; more wait in the listening queue.
  public var connections: Int
  /// Connections at one time of one process, on a Unix socket; more are closed as they come.
  public var connectionsPerProcess: Int
  /// Seconds after which a connection that neither sends nor receives is closed; 0 for never. A running
  /// handler and a stream that is silent do not count.
  public var idleSeconds: UInt32
  /// Memory for the header of one request in bytes; a longer one is answered with 414 or 431. Half of it is
  /// the buffer through which bodies are read.
  public var headerBytes: Int
  /// Pieces of a streamed body that are kept for the client; further ones stay in the handler's stream
  /// meanwhile.
  public var streamBacklog: Int
  /// A client that takes none of these pieces for so long is dropped as too slow.
  public var streamStall: Duration

  /// Limits; those not given suit a local API.
  public init(
    maximumBodyBytes: @escaping @Sendable (_ method: String, _ path: String) -> Int = { _, _ in 1 << 20 },
    connections: Int = 256, connectionsPerProcess: Int = 64, idleSeconds: UInt32 = 60,
    headerBytes: Int = 64 << 10,
    streamBacklog: Int = 256, streamStall: Duration = .seconds(10)
  ) {
    self.maximumBodyBytes = maximumBodyBytes
    self.connections = connections
    self.connectionsPerProcess = connectionsPerProcess
    self.idleSeconds = idleSeconds
    self.headerBytes = headerBytes
    self.streamBacklog = streamBacklog
    self.streamStall = streamStall
  }
}

/// Why the server itself answers a request, before any handler sees it. The connection is closed after the
/// answer.
///
/// An overlong request line or header (414, 431) and a `Content-Length` that is no number (400) are answered
/// by libmicrohttpd in words of its own.
public enum Refusal: Error, Sendable, Equatable {
  /// The request breaks RFC 9112 in a way that lets two readers disagree about it; the text says how.
  case malformed(String)
  /// The body is longer than ``ServerLimits/maximumBodyBytes`` allows.
  case bodyTooLarge(limit: Int)
  /// The server is stopping.
  case stopping

  /// The status it is answered with: 400, 413 or 503.
  public var status: Int {
    switch self {
    case .malformed: 400
    case .bodyTooLarge: 413
    case .stopping: 503
    }
  }

  /// The answer in plain text.
  public var plainText: ServerResponse {
    switch self {
    case .malformed(let reason): .text(status, "Bad request: \(reason).\n")
    case .bodyTooLarge(let limit): .text(status, "The body is larger than \(limit) bytes.\n")
    case .stopping: .text(status, "The service is stopping.\n")
    }
  }
}

/// Why a server could not be started.
public enum HTTPServerError: Error, Sendable, Equatable {
  /// libmicrohttpd refused: the descriptor is no listening socket, or memory, descriptors or threads have run
  /// out.
  case startFailed
}
