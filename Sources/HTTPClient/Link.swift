internal import CCups
internal import Glibc
internal import Posix

/// Why an exchange on a connection failed.
enum LinkFailure: Error {
  /// The connection ended before the first byte of an answer: if it had been kept alive, the server may have
  /// closed it before it saw the request.
  case nothingReceived
  case failed(HTTPClientError)
}

/// Ends a connection from any thread, whatever its own thread is waiting for.
///
/// libcups limits single waits and not the whole: a byte now and then keeps it waiting for ever
/// (facts/devices.md E4). The end of the socket is what ends every wait.
final class Breaker: Sendable {
  private let descriptor: Descriptor

  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  func shutDown() { _ = shutdown(descriptor.raw, Int32(SHUT_RDWR)) }
}

/// One connection of libcups' HTTP client, used by the client's thread alone.
///
/// libcups by itself reconnects to whoever listens by then, on the request after a status of 400 or more or
/// after an error (http.c, `http_send`); a connection that had either is therefore never used again.
@safe final class Link {
  /// How the end of a body is known.
  private enum Framing {
    case length(Int)
    case chunked
    case untilClose
    /// There may be one, but libcups does not read it: without a length, after a status of 300 or more.
    case unread
  }

  let breaker: Breaker
  private let http: OpaquePointer
  private var framing = Framing.length(0)
  /// Whether another request may be sent on it.
  private(set) var isReusable = false

  // MARK: Connecting

  /// - Parameter ownerCheck: told the listener's user; `false` refuses.
  init(
    _ target: HTTPTarget, timeout: Duration, ownerCheck: (@Sendable (UInt32) -> Bool)?
  ) throws(HTTPClientError) {
    let (host, port): (String, UInt16) =
      switch target {
      case .unix(let path): (path, 0)
      case .loopback(let port): ("127.0.0.1", port)
      }
    // Anything but an absolute path libcups takes for the name of a machine, and a longer one it cuts.
    if case .unix(let path) = target {
      guard path.utf8.first == UInt8(ascii: "/"), path.utf8.count <= UnixSocket.longestPath,
        !path.utf8.contains(0)
      else { throw .unreachable(.noSocket) }
    }
    // Before as well as after: the check is about the port, and between the two the listener may change.
    if case .loopback(let port) = target, let ownerCheck {
      try Self.check(Self.owner(ofPort: port), ownerCheck)
    }
    guard
      let http = unsafe httpConnect2(
        host, Int32(port), nil, AF_UNSPEC, HTTP_ENCRYPTION_NEVER, 1, 0, nil)
    else { throw .unreachable(.other(SystemError(call: "httpConnect2", code: ENOMEM))) }
    do throws(HTTPClientError) {
      // For port 443 it would encrypt nevertheless.
      _ = unsafe httpEncryption(http, HTTP_ENCRYPTION_NEVER)
      try unsafe Self.connect(http, target, Int32(clamping: max(timeout.milliseconds, 1)))
      let borrowed = unsafe Descriptor(adopting: httpGetFd(http))
      let duplicate = try? borrowed.duplicate()
      let raw = borrowed.release()
      guard let duplicate else {
        throw .unreachable(.other(SystemError(call: "duplicate descriptor", code: EMFILE)))
      }
      if let ownerCheck {
        switch target {
        case .unix: try Self.check((try? UnixSocket.peer(of: raw))?.userID, ownerCheck)
        case .loopback(let port): try Self.check(Self.owner(ofPort: port), ownerCheck)
        }
      }
      breaker = Breaker(duplicate)
      unsafe self.http = http
    } catch {
      unsafe httpClose(http)
      throw error
    }
  }

  deinit { unsafe httpClose(http) }

  private static func connect(_ http: OpaquePointer, _ target: HTTPTarget, _ milliseconds: Int32)
    throws(HTTPClientError)
  {
    for _ in 0..<2 {
      if unsafe httpReconnect2(http, milliseconds, nil) == 0 { break }
      // libcups says EHOSTDOWN whatever the reason; asking once more tells it.
      do throws(SystemError) {
        switch target {
        case .unix(let path): _ = try UnixSocket.connect(path: path)
        case .loopback(let port): _ = try Loopback.connect(port: port)
        }
      } catch {
        throw .unreachable(.init(error))
      }
    }
    let raw = unsafe httpGetFd(http)
    guard raw >= 0 else {
      throw .unreachable(.other(SystemError(call: "connect \(target)", code: unsafe httpError(http))))
    }
    // A connection to a port of the ephemeral range without a listener can meet itself.
    if case .loopback(let port) = target, localPort(raw) == port { throw .unreachable(.refused) }
  }

  private static func localPort(_ raw: Int32) -> UInt16? {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = unsafe withUnsafeMutableBytes(of: &address) { bytes in
      unsafe getsockname(raw, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &size)
    }
    return result == 0 ? UInt16(bigEndian: address.sin_port) : nil
  }

  private static func owner(ofPort port: UInt16) throws(HTTPClientError) -> UInt32? {
    let owner: UInt32?
    do throws(SystemError) { owner = try Loopback.ownerOfListener(port: port) } catch { return nil }
    guard let owner else { throw .unreachable(.refused) }
    return owner
  }

  private static func check(_ owner: UInt32?, _ isExpected: (UInt32) -> Bool) throws(HTTPClientError) {
    guard let owner, isExpected(owner) else { throw .wrongOwner(userID: owner) }
  }

  // MARK: One exchange

  /// Whether the connection, idle since its last answer, is still as it was left: neither closed nor with
  /// bytes nobody asked for.
  var isIdle: Bool {
    var one = unsafe pollfd(fd: httpGetFd(http), events: Int16(POLLIN), revents: 0)
    return unsafe poll(&one, 1, 0) == 0
  }

  /// Sends the request as far as the server takes it. Whether it did shows in the answer.
  func send(_ request: OutgoingRequest) {
    isReusable = false
    // Waits are ended by the breaker alone: what libcups does when a wait of its own is over cannot be told,
    // in the middle of a body, from the body's end.
    unsafe httpSetTimeout(http, 3600, { _, _ in 1 }, nil)
    unsafe httpClearFields(http)
    for (field, value) in request.fields { unsafe httpSetField(http, field, value) }
    let result =
      switch request.method {
      case .get: unsafe httpGet(http, request.uri)
      case .head: unsafe httpHead(http, request.uri)
      case .post: unsafe httpPost(http, request.uri)
      case .put: unsafe httpPut(http, request.uri)
      case .delete: unsafe httpDelete(http, request.uri)
      case .options: unsafe httpOptions(http, request.uri)
      }
    // The header fields of the answer take the place of this one, so that it shows whether there was a status
    // line at all.
    unsafe httpSetField(http, Self.sentinel, "none")
    isReusable = result == 0 && sendBody(request.body)
  }

  private static let sentinel = HTTP_FIELD_REFERER

  /// - Returns: whether all of it was sent.
  private func sendBody(_ body: [UInt8]) -> Bool {
    var sent = 0
    while sent < body.count {
      // A server that answers before it has the body does not read the rest: then it is time to read the
      // answer.
      var one = unsafe pollfd(fd: httpGetFd(http), events: Int16(POLLIN | POLLOUT), revents: 0)
      guard unsafe poll(&one, 1, -1) > 0, one.revents & Int16(POLLIN | POLLHUP | POLLERR) == 0 else {
        return false
      }
      let count = min(body.count - sent, 64 << 10)
      let written = unsafe body[sent..<sent + count].withUnsafeBytes { bytes in
        unsafe httpWrite2(http, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), count)
      }
      guard written == count else { return false }
      sent += count
    }
    return true
  }

  /// Reads the status and the header fields, and finds out how the body ends.
  func readHead(of method: HTTPMethod) throws(LinkFailure) -> (status: Int, headers: [String: String]) {
    try readFirstBytes()
    var status: http_status_t
    repeat {
      status = unsafe httpUpdate(http)
      // With the connection ended in the middle of the header it returns the status nevertheless.
      guard unsafe httpError(http) == 0, status != HTTP_STATUS_ERROR else {
        throw .failed(.broken("its header is not complete"))
      }
      // Fields without a status line leave the status of the answer before.
      guard text(Self.sentinel).isEmpty else { throw .failed(.broken("it has no status line")) }
    } while status == HTTP_STATUS_CONTINUE
    let code = Int(status.rawValue)
    let version = unsafe httpGetVersion(http)
    guard (200...599).contains(code), version == HTTP_VERSION_1_0 || version == HTTP_VERSION_1_1 else {
      throw .failed(.broken("its status line is not HTTP/1.1's"))
    }
    var headers: [String: String] = [:]
    for (name, field) in Self.fieldNames {
      let value = text(field)
      if !value.isEmpty { headers[name] = value }
    }
    framing = try framing(method, code, headers)
    let tokens = (headers["connection"] ?? "").lowercased()
    let staysOpen = version == HTTP_VERSION_1_1 ? !tokens.contains("close") : tokens.contains("keep-alive")
    if code >= 400 || !staysOpen { isReusable = false }
    switch framing {
    case .untilClose, .unread: isReusable = false
    case .length, .chunked: break
    }
    return (code, headers)
  }

  /// Waits for the answer's first bytes, which must be those of a status line: libcups would take lines with
  /// a colon that come before it for header fields.
  private func readFirstBytes() throws(LinkFailure) {
    var bytes: [UInt8] = [0, 0, 0, 0, 0]
    let raw = unsafe httpGetFd(http)
    var count: Int
    repeat {
      count = unsafe recv(raw, &bytes, bytes.count, Int32(MSG_PEEK))
    } while count < 0 && (errno == EINTR || errno == EAGAIN)
    guard count > 0 else { throw .nothingReceived }
    guard bytes.prefix(count).elementsEqual("HTTP/".utf8.prefix(count)) else {
      throw .failed(.broken("it is not HTTP"))
    }
  }

  private func framing(
    _ method: HTTPMethod, _ status: Int, _ headers: [String: String]
  ) throws(LinkFailure) -> Framing {
    let length = headers["content-length"]
    let coding = headers["transfer-encoding"]
    // libcups takes a length beside chunks, reads "5x" as 5, and waits for ever on any other coding.
    guard length == nil || coding == nil else {
      throw .failed(.broken("it has a length and a transfer coding"))
    }
    guard coding?.lowercased() ?? "chunked" == "chunked" else {
      throw .failed(.broken("unknown transfer coding"))
    }
    // It would also decompress what nobody asked to be compressed.
    guard headers["content-encoding"]?.lowercased() ?? "identity" == "identity" else {
      throw .failed(.broken("unknown content coding"))
    }
    var count: Int?
    if let length {
      guard length.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
        let value = Int(length)
      else {
        throw .failed(.broken("its length is not a number"))
      }
      count = value
    }
    if method == .head || status == 204 || status == 304 { return .length(0) }
    if coding != nil { return .chunked }
    if let count { return .length(count) }
    return unsafe httpGetRemaining(http) > 0 ? .untilClose : .unread
  }

  /// The length the answer announced, if it did.
  var announcedLength: Int? {
    if case .length(let count) = framing { count } else { nil }
  }

  /// Reads the next bytes of the body; none at its end.
  func readPiece(_ buffer: inout [UInt8]) throws(LinkFailure) -> Int {
    var room = buffer.count
    if case .length(let left) = framing {
      guard left > 0 else { return finish() }
      room = min(room, left)
    }
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      unsafe httpRead2(http, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), room)
    }
    if count > 0 {
      if case .length(let left) = framing { framing = .length(left - count) }
      return count
    }
    let (error, left) = unsafe (httpError(http), httpGetRemaining(http))
    switch framing {
    case .chunked where count == 0 && error == 0 && left == 0: return finish()
    case .untilClose where count == 0 && error == EPIPE: return finish()
    case .unread: return finish()
    default: throw .failed(.broken("its body is not complete"))
    }
  }

  private func finish() -> Int {
    framing = .length(0)
    // Bytes after the end: the two sides do not agree about where it is.
    if unsafe httpGetReady(http) > 0 { isReusable = false }
    return 0
  }

  private func text(_ field: http_field_t) -> String {
    guard let value = unsafe httpGetField(http, field) else { return "" }
    return unsafe String(cString: value)
  }

  /// The header fields an answer can have, in lower case.
  private static let fieldNames: [(String, http_field_t)] =
    ([
      "Accept-Ranges", "Allow", "Authentication-Info", "Connection", "Content-Encoding", "Content-Language",
      "Content-Length", "Content-Location", "Content-Range", "Content-Type", "Date", "Keep-Alive",
      "Last-Modified", "Link",
      "Location", "Retry-After", "Server", "Transfer-Encoding", "Upgrade", "WWW-Authenticate",
    ] as [String]).map { ($0.lowercased(), unsafe httpFieldValue($0)) }
}

extension Duration {
  /// Whole milliseconds, rounded up.
  var milliseconds: Int {
    let (seconds, attoseconds) = components
    let (product, overflow) = Int(seconds).multipliedReportingOverflow(by: 1000)
    return overflow ? .max : product + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}
