internal import Glibc
public import Posix

/// An HTTP/1.1 server on one listening socket, by libmicrohttpd on a thread of its own.
///
/// Each request runs the handler as a task of its own, which is cancelled when the client goes away before
/// the answer. The handler begins on the server's thread and stays there until it first waits for something:
/// it must not block.
///
/// Stricter than libmicrohttpd: whatever two readers of a request could understand differently is refused
/// with 400 (lengths given twice or beside chunks, folded lines, names with spaces, NULs, a `Host` that is
/// missing or double), and the connection closed. Routes, methods and their 404 and 405 are the handler's.
public final class HTTPServer: Sendable {
  private let daemon: Daemon

  /// Starts serving.
  /// - Parameters:
  ///   - listening: a listening stream socket, from ``UnixSocket``, ``Loopback`` or systemd.
  ///   - name: the thread's name as `top -H` and `/proc` show it; the first 15 bytes count.
  ///   - limits: what clients may do.
  ///   - refusal: the answers to what no handler gets to see; plain text unless given.
  ///   - handler: answers requests, many at a time.
  public init(
    listening: consuming Descriptor, name: String, limits: ServerLimits,
    refusal: @escaping @Sendable (Refusal) -> ServerResponse = { $0.plainText },
    handler: @escaping @Sendable (ServerRequest) async -> ServerResponse
  ) throws(HTTPServerError) {
    Signals.ignoreBrokenPipe()
    daemon = Daemon(isUnix: isUnixSocket(listening.raw), limits: limits, refuse: refusal, handler: handler)
    // Given away for good: libmicrohttpd closes it in some of its failures and not in others, and a number
    // closed twice may be another file's by then.
    try daemon.start(listening: listening.release(), name: name)
  }

  /// Stops accepting at once, lets handlers finish, and closes every connection. Streams end properly.
  /// Returns when the thread has ended; a second call waits for the first.
  ///
  /// Who connects meanwhile waits until the listening socket is closed at the end, or, if systemd holds it
  /// too, for the next server.
  /// - Parameters:
  ///   - grace: how long handlers may go on. Then they are cancelled.
  ///   - ending: how long cancelled handlers may take to answer. Then they are answered for with 503.
  ///   - sending: how long those answers may take to go out.
  public func stop(
    grace: Duration = .seconds(5), ending: Duration = .seconds(1), sending: Duration = .milliseconds(200)
  ) async { await daemon.stop(grace: grace, ending: ending, sending: sending) }

  deinit {
    // A server that is let go without being stopped: its thread must not outlive it, nor may this wait for
    // it.
    Task.detached { [daemon] in
      await daemon.stop(grace: .zero, ending: .seconds(1), sending: .milliseconds(200))
    }
  }
}

private func isUnixSocket(_ raw: Int32) -> Bool {
  var domain: Int32 = 0
  var size = socklen_t(MemoryLayout<Int32>.size)
  return unsafe getsockopt(raw, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX
}
