/// One request to a device that speaks HTTP on loopback (eSCL, ipp-usb).
public struct HTTPRequest: Sendable, Equatable {
  /// `GET`, `POST`, `PUT` or `DELETE`.
  public var method: String
  /// Path and query, starting with `/`.
  public var path: String
  /// Media type of the body; nil when there is none.
  public var contentType: String?
  /// Body bytes; empty for none.
  public var body: [UInt8]

  /// A request; without a body unless one is given.
  public init(_ method: String, _ path: String, contentType: String? = nil, body: [UInt8] = []) {
    self.method = method
    self.path = path
    self.contentType = contentType
    self.body = body
  }
}

/// The answer to an ``HTTPRequest``.
public struct HTTPResponse: Sendable, Equatable {
  /// Status code, 100…599.
  public var status: Int
  /// Header fields in lower case; only those that devices are known to send (Content-Type, Location, Retry-After …).
  public var headers: [String: String]
  /// Body bytes.
  public var body: [UInt8]

  /// An answer.
  public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// Requests and answers of HTTP/1.1 with one device.
public protocol HTTPExchange: Sendable {
  /// Path under which the device serves, without a trailing slash, such as `/eSCL`.
  var basePath: String { get }
  /// Sends one request and waits for the whole answer, at most `timeout`.
  func exchange(_ request: HTTPRequest, timeout: Duration) async throws(ChannelError) -> HTTPResponse
  /// Ends the channel.
  func close() async
}
