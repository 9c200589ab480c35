/// A complete answer.
public struct ClientResponse: Sendable, Equatable {
  /// The status, 200…599.
  public let status: Int
  /// The header fields libcups can read, names in lower case. `Content-Type`, `Content-Length`, `Location`,
  /// `Retry-After`, `Allow`, `Date` and `WWW-Authenticate` are among them; `ETag`, `Content-Disposition` and
  /// every `X-` field are not.
  public let headers: [String: String]
  /// The body, at most as large as the client's limit. Empty for an answer with a status of 300 or more that
  /// gives no length for its body: libcups does not read it.
  public let body: [UInt8]

  /// An answer, for tests of what is made of it.
  public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// The value of a header field, whatever the case of its name; `nil` when it is absent or libcups cannot
  /// read it.
  public func header(_ name: String) -> String? { headers[name.lowercased()] }
}

/// An answer whose body is read as it comes.
public struct ClientStream: Sendable {
  /// The status, 200…599.
  public let status: Int
  /// Header fields, as in ``ClientResponse/headers``.
  public let headers: [String: String]
  /// The body. To be iterated once; ends when the server ends it.
  public let pieces: Pieces

  /// The value of a header field, as ``ClientResponse/header(_:)``.
  public func header(_ name: String) -> String? { headers[name.lowercased()] }

  /// Pieces of a body as they arrive: where they are cut means nothing.
  ///
  /// Iteration throws ``HTTPClientError``: `.broken` when the connection ends before the body, `.cancelled`.
  /// When the iterating task is cancelled, or nobody holds the pieces any more, the connection is closed.
  public struct Pieces: AsyncSequence, Sendable {
    /// Bytes of one piece, at least one.
    public typealias Element = [UInt8]
    /// What iteration throws.
    public typealias Failure = HTTPClientError

    let stream: AsyncStream<Result<[UInt8], HTTPClientError>>

    /// Iterates.
    public func makeAsyncIterator() -> Iterator { Iterator(base: stream.makeAsyncIterator()) }

    /// An iteration.
    public struct Iterator: AsyncIteratorProtocol {
      var base: AsyncStream<Result<[UInt8], HTTPClientError>>.Iterator

      /// The next piece; `nil` at the end.
      public mutating func next() async throws(HTTPClientError) -> [UInt8]? {
        try await next(isolation: #isolation)
      }

      /// The next piece; `nil` at the end.
      public mutating func next(
        isolation actor: isolated (any Actor)?
      ) async throws(HTTPClientError) -> [UInt8]? {
        try await base.next(isolation: actor)?.get()
      }
    }
  }
}
