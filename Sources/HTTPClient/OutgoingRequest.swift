internal import CCups

/// The methods libcups can send. There is no `PATCH` among them: its request line comes from a fixed table
/// (http.c, `http_send`).
public enum HTTPMethod: String, Sendable, CaseIterable {
  /// Reads.
  case get = "GET"
  /// Reads the header.
  case head = "HEAD"
  /// Hands something over.
  case post = "POST"
  /// Stores.
  case put = "PUT"
  /// Removes.
  case delete = "DELETE"
  /// Asks what can be done.
  case options = "OPTIONS"

  /// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2).
  public var isIdempotent: Bool { self != .post }
}

/// A request in the form libcups takes.
struct OutgoingRequest: Sendable {
  let method: HTTPMethod
  /// Path and query as a C string, with those escapes decoded that libcups makes again.
  let uri: [CChar]
  let fields: [(field: http_field_t, value: String)]
  let body: [UInt8]
  let isIdempotent: Bool

  init(
    _ method: HTTPMethod, _ path: String, headers: [(String, String)], body: [UInt8], contentType: String?,
    isIdempotent: Bool
  ) throws(HTTPClientError) {
    self.method = method
    uri = try Self.uri(path)
    self.body = body
    self.isIdempotent = isIdempotent
    var fields: [(field: http_field_t, value: String)] = [(HTTP_FIELD_USER_AGENT, "hall-agent")]
    if let contentType { fields.append((HTTP_FIELD_CONTENT_TYPE, try Self.checked(contentType))) }
    switch method {
    case .post, .put:
      // Always a length and never chunks, which simple receivers do not read. Not by httpSetLength: that
      // makes chunks of 0.
      fields.append((HTTP_FIELD_CONTENT_LENGTH, "\(body.count)"))
    case .get, .head, .delete, .options:
      guard body.isEmpty else { throw .invalidRequest("\(method.rawValue) has no body") }
    }
    for (name, value) in headers {
      let field = unsafe httpFieldValue(name)
      guard field != HTTP_FIELD_UNKNOWN else {
        // libcups would leave it out without a word.
        throw .invalidRequest("libcups cannot send the header field \(name)")
      }
      guard !Self.reserved.contains(field) else { throw .invalidRequest("\(name) is the client's own") }
      fields.append((field, try Self.checked(value)))
    }
    self.fields = fields
  }

  private static let reserved: Set<http_field_t> = [
    HTTP_FIELD_HOST, HTTP_FIELD_CONTENT_LENGTH, HTTP_FIELD_TRANSFER_ENCODING, HTTP_FIELD_CONNECTION,
    HTTP_FIELD_UPGRADE, HTTP_FIELD_USER_AGENT, HTTP_FIELD_ACCEPT_ENCODING,
  ]

  private static func checked(_ value: String) throws(HTTPClientError) -> String {
    guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }), value.utf8.count <= 16 << 10 else {
      throw .invalidRequest("a header value has a control character or is too long")
    }
    return value
  }

  /// libcups escapes what it is given, `%` included (http-support.c, `http_copy_encode`): spaces, controls
  /// and bytes from 128 up. An escape of one of these is decoded here so that it leaves as it came; that of
  /// an unreserved character means the same decoded (RFC 3986, 6.2.2.2); any other cannot be sent.
  private static func uri(_ path: String) throws(HTTPClientError) -> [CChar] {
    guard path.utf8.first == UInt8(ascii: "/") else { throw .invalidRequest("the path must begin with /") }
    // libcups cuts without a word what its buffer of 1024 bytes does not hold.
    guard path.utf8.count <= 1023 else { throw .uriTooLong }
    var decoded: [UInt8] = []
    var rest = Substring(path).utf8
    while let byte = rest.popFirst() {
      guard byte > 0x20, byte < 0x7F, byte != UInt8(ascii: "#") else {
        throw .invalidRequest("the path must be escaped")
      }
      guard byte == UInt8(ascii: "%") else {
        decoded.append(byte)
        continue
      }
      let digits = rest.prefix(2)
      guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
      else { throw .invalidRequest("the path has a broken escape") }
      guard value != 0, value <= 0x20 || value >= 0x80 || value == UInt8(ascii: "%") || isUnreserved(value)
      else {
        throw .invalidRequest("libcups cannot send the escape %\(String(decoding: digits, as: UTF8.self))")
      }
      rest = rest.dropFirst(2)
      decoded.append(value)
    }
    return decoded.map { CChar(bitPattern: $0) } + [0]
  }

  private static func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "~"):
      true
    default: false
    }
  }
}
