import Crypto
public import HTTPClient
import Posix

/// Sends to the intake service over HTTP, on up to four kept connections.
public struct HTTPIntakeTransport: IntakeTransport {
  private let target: HTTPTarget
  private let clients: [HTTPClient]
  private let timeout: Duration

  /// Answers have a few hundred bytes; of one that has more than this, the rest does not matter.
  private static let answerLimit = 1024 * 1024

  /// A transport to that place.
  /// - Parameters:
  ///   - target: `unix:/run/hall-intake/intake.sock`, or a port of 127.0.0.1.
  ///   - ownerCheck: whether the listener may run as that user; asked at every new connection, before anything is sent.
  ///   - timeout: for one request and its answer.
  public init(
    target: HTTPTarget, ownerCheck: @escaping @Sendable (UInt32) -> Bool, timeout: Duration = .seconds(60)
  ) {
    self.target = target
    self.timeout = timeout
    clients = (0..<ForwarderPolicy.connections).map { _ in
      HTTPClient(target: target, ownerCheck: ownerCheck, maximumBodyBytes: Self.answerLimit)
    }
  }

  /// Sends one request and waits for its answer.
  public func send(_ request: IntakeRequest, connection: Int) async throws(TransportError) -> IntakeReply {
    let client = clients[clients.indices.contains(connection) ? connection : 0]
    do throws(HTTPClientError) {
      let response =
        switch request {
        case .page(let digest, let mediaType, let bytes):
          try await client.send(
            .put, "/v1/blobs/\(digest.hex)", body: bytes, contentType: mediaType, timeout: timeout)
        case .events(let json):
          // Every event carries its idempotency key: sending a batch twice does no harm.
          try await client.send(
            .post, "/v1/events", body: json, contentType: "application/cloudevents-batch+json",
            timeout: timeout, idempotent: true)
        }
      return IntakeReply(
        status: response.status, retryAfter: response.header("retry-after"), body: response.body)
    } catch {
      throw TransportError(Self.trouble(error))
    }
  }

  /// A value when the intake's socket appears; none for a port.
  public func appearances() -> AsyncStream<Void> {
    switch target {
    case .unix(let path): DirectoryWatch.appearances(of: path)
    case .loopback: AsyncStream { $0.finish() }
    }
  }

  private static func trouble(_ error: HTTPClientError) -> EndpointTrouble {
    switch error {
    case .unreachable(.denied): .denied
    case .unreachable(.busy): .busy
    case .unreachable: .notListening
    case .wrongOwner: .stranger
    case .timedOut: .timedOut
    case .tooLarge: .unexpectedAnswer
    case .cancelled, .broken, .uriTooLong, .invalidRequest: .broken
    }
  }
}
