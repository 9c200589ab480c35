public import Posix

/// One request, complete with its body.
public struct ServerRequest: Sendable {
  /// The method as the client wrote it, such as `GET`; methods are case-sensitive (RFC 9110, 9.1).
  public let method: String
  /// The path as the client wrote it, still escaped, without the query; begins with `/`.
  public let path: String
  /// The path's segments, percent-decoded: `/v1/devices/%E7%A5%A8` is `v1`, `devices`, `票`. None for `/`.
  public let pathSegments: [String]
  /// The pairs of the query, percent-decoded, `+` being a space, in their order.
  public let query: [(name: String, value: String)]
  /// The header fields in the order they came in, names as the client wrote them.
  public let headers: [(name: String, value: String)]
  /// The body; empty when there is none.
  public let body: [UInt8]
  /// Who sent it, on a Unix socket; `nil` on TCP, where the kernel does not say.
  public let peer: PeerCredentials?

  /// A request, for tests of handlers.
  /// - Parameter target: path and query as on the wire; `nil` comes back when no server would take it.
  public init?(
    method: String, target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    peer: PeerCredentials? = nil
  ) {
    guard let target = RequestTarget(Array(target.utf8)) else { return nil }
    self.init(method: method, target: target, headers: headers, body: body, peer: peer)
  }

  init(
    method: String, target: RequestTarget, headers: [(name: String, value: String)], body: [UInt8],
    peer: PeerCredentials?
  ) {
    self.method = method
    path = target.path
    pathSegments = target.segments
    query = target.query
    self.headers = headers
    self.body = body
    self.peer = peer
  }

  /// The value of a header field, whatever the case of its name; several fields of one name come joined by `,
  /// ` (RFC 9110, 5.2).
  public func header(_ name: String) -> String? {
    let values = headers.filter { $0.name.equalsIgnoringCase(name) }
    return values.isEmpty ? nil : values.map(\.value).joined(separator: ", ")
  }
}

extension String {
  /// Whether two names are the same but for the case of ASCII letters.
  func equalsIgnoringCase(_ other: String) -> Bool {
    utf8.count == other.utf8.count && zip(utf8, other.utf8).allSatisfy { Self.lower($0) == Self.lower($1) }
  }

  private static func lower(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
  }
}

/// Whether the bytes are a token (RFC 9110, 5.6.2), as methods and field names must be.
func isToken(_ bytes: some Sequence<UInt8>) -> Bool {
  var isEmpty = true
  for byte in bytes {
    isEmpty = false
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      continue
    default:
      guard "!#$%&'*+-.^_`|~".utf8.contains(byte) else { return false }
    }
  }
  return !isEmpty
}
