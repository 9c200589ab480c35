internal import Posix

/// Where an HTTP server listens on this machine; there are no others.
public enum HTTPTarget: Sendable, Hashable, CustomStringConvertible {
  /// A Unix socket, by its absolute path of at most 107 bytes.
  case unix(path: String)
  /// A TCP port of 127.0.0.1.
  case loopback(port: UInt16)

  /// Reads `unix:/path`, `http://127.0.0.1:PORT` or `http://localhost:PORT`, which is 127.0.0.1 too.
  ///
  /// Anything else is `nil`: other machines, names, and `[::1]`, whose listener need not be the one of
  /// 127.0.0.1, so that the check of its owner would look at the wrong one.
  public init?(text: String) {
    if let path = text.dropping(prefix: "unix:") {
      guard path.utf8.first == UInt8(ascii: "/"), path.utf8.count <= UnixSocket.longestPath,
        !path.utf8.contains(0)
      else { return nil }
      self = .unix(path: path)
    } else if let rest = text.dropping(prefix: "http://127.0.0.1:")
      ?? text.dropping(prefix: "http://localhost:")
    {
      let digits = rest.hasSuffix("/") ? String(rest.dropLast()) : rest
      guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
        let port = UInt16(digits), port > 0
      else { return nil }
      self = .loopback(port: port)
    } else {
      return nil
    }
  }

  /// The text ``init(text:)`` reads.
  public var description: String {
    switch self {
    case .unix(let path): "unix:\(path)"
    case .loopback(let port): "http://127.0.0.1:\(port)"
    }
  }
}

extension String {
  fileprivate func dropping(prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}
