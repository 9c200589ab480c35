/// What a handler answers.
public struct ServerResponse: Sendable {
  /// The body of an answer.
  public enum Body: Sendable {
    /// All of it at once, with its `Content-Length`.
    case bytes([UInt8])
    /// Pieces, each sent as it comes, chunked; the answer ends when the stream does.
    ///
    /// When the client goes away, reads too slowly or the server stops, the stream's `onTermination` is
    /// called. What a slow client has not taken yet is kept in the stream: give it a bounded buffer.
    case stream(AsyncStream<[UInt8]>)
  }

  /// The status, 200…599; any other is sent as 500.
  public var status: Int
  /// Header fields, sent in this order. `Date`, `Content-Length`, `Transfer-Encoding` and `Keep-Alive` are
  /// the server's own and ignored here. What would break the header (CR, LF, NUL) becomes a space; a name
  /// that is no token is left out.
  public var headers: [(String, String)]
  /// The body. `HEAD` is answered with its length and without it.
  public var body: Body

  /// An answer.
  public init(status: Int, headers: [(String, String)] = [], body: Body = .bytes([])) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// An answer of plain text.
  public static func text(_ status: Int, _ text: String) -> ServerResponse {
    ServerResponse(
      status: status, headers: [("Content-Type", "text/plain; charset=utf-8")], body: .bytes(Array(text.utf8))
    )
  }

  /// The header fields as they may be sent.
  var sendableHeaders: [(String, String)] {
    headers.compactMap { name, value in
      guard isToken(name.utf8), !Self.reserved.contains(where: { $0.equalsIgnoringCase(name) }) else {
        return nil
      }
      let safe = value.utf8.map { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F ? 0x20 : $0 }
      return (name, String(decoding: safe, as: UTF8.self))
    }
  }

  private static let reserved = [
    "Date", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Trailer", "Upgrade",
  ]
}
