public import Crypto

/// A request to the intake. It cannot be printed: it holds a citizen's page or events.
public enum IntakeRequest: Sendable, CustomStringConvertible, CustomReflectable {
  /// `PUT /v1/blobs/{sha256}`
  case page(digest: Digest, mediaType: String, bytes: [UInt8])
  /// `POST /v1/events`: a JSON array of CloudEvents.
  case events(json: [UInt8])

  /// The kind of request, and never its content.
  public var description: String {
    switch self {
    case .page(let digest, _, let bytes): "page \(digest), \(bytes.count) bytes"
    case .events(let json): "events, \(json.count) bytes"
    }
  }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// How requests reach the intake: over HTTP in service, by script in tests.
public protocol IntakeTransport: Sendable {
  /// Sends one request and waits for its answer, within the transport's own time limit; ends early when the task is cancelled.
  ///
  /// - Parameter connection: 0 or 1: each has one request at a time.
  /// - Throws: ``TransportError`` if there is no proper answer: whether the request was received is not known then.
  func send(_ request: IntakeRequest, connection: Int) async throws(TransportError) -> IntakeReply

  /// A value each time the intake seems to have come (back), so that waiting can be cut short; ends at once where that
  /// cannot be told.
  func appearances() -> AsyncStream<Void>
}

extension IntakeTransport {
  /// None.
  public func appearances() -> AsyncStream<Void> { AsyncStream { $0.finish() } }
}

/// Why there is no answer.
public struct TransportError: Error, Sendable, Equatable {
  /// What that says of the intake.
  public var trouble: EndpointTrouble

  /// There is no answer, for that reason.
  public init(_ trouble: EndpointTrouble) { self.trouble = trouble }
}
