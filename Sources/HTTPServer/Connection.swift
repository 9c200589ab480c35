internal import CMicroHTTPD
internal import Glibc
internal import Posix
internal import Synchronization

/// One client's connection, from accept to close.
///
/// While libmicrohttpd waits for a handler or for a stream's next piece it looks at the socket no more and
/// misses that the peer has gone (facts/outbox.md 5). A second descriptor of the socket, watched by the
/// poller, does not.
final class Connection: Sendable {
  let peer: PeerCredentials?
  private let descriptor: Descriptor
  private let state = Mutex(State())

  private struct State {
    var exchange: Exchange?
    var watch: Task<Void, Never>?
    var isGone = false
    var isClosed = false
  }

  /// - Parameter raw: the socket, which stays libmicrohttpd's. `nil` comes back when there is no descriptor
  ///   left.
  init?(raw: Int32, isUnix: Bool) {
    let borrowed = Descriptor(adopting: raw)
    let duplicate = try? borrowed.duplicate()
    _ = borrowed.release()
    guard let duplicate else { return nil }
    descriptor = duplicate
    if isUnix {
      guard let credentials = try? UnixSocket.peer(of: raw) else { return nil }
      peer = credentials
    } else {
      peer = nil
    }
  }

  /// Begins to watch for the peer's going away.
  func watch() {
    let task = Task {
      if await Poller.shared.wait(for: .hangup, on: descriptor.raw, timeout: nil) == .hangup { peerGone() }
    }
    let isClosed = state.withLock { state in
      state.watch = task
      return state.isClosed
    }
    if isClosed { task.cancel() }
  }

  /// Makes the exchange the one that is told of the peer's going away.
  func begin(_ exchange: Exchange) {
    let isGone = state.withLock { state in
      state.exchange = exchange
      return state.isGone
    }
    if isGone { exchange.peerGone() }
  }

  func end(_ exchange: Exchange) {
    state.withLock { if $0.exchange === exchange { $0.exchange = nil } }
  }

  /// Breaks the connection at once, whatever libmicrohttpd is waiting for on it; it sees a hang-up and closes
  /// it.
  func shutDown() { _ = shutdown(descriptor.raw, Int32(SHUT_RDWR)) }

  /// libmicrohttpd has closed its descriptor.
  func closed() {
    let watch = state.withLock { state in
      state.isClosed = true
      return state.watch
    }
    watch?.cancel()
  }

  private func peerGone() {
    let exchange = state.withLock { state in
      state.isGone = true
      return state.exchange
    }
    exchange?.peerGone()
  }
}

/// libmicrohttpd's handle of a connection.
///
/// It is valid as long as the connection lives, which is longer than any exchange on it, and a suspended
/// connection cannot end: whoever suspends it keeps a note of it under a lock, and only who takes that note
/// away resumes it.
@safe struct ConnectionHandle: @unchecked Sendable {
  private let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) { unsafe self.pointer = pointer }

  /// On libmicrohttpd's thread only, inside of one of its callbacks.
  func suspend() { unsafe MHD_suspend_connection(pointer) }

  /// On any thread.
  func resume() { unsafe MHD_resume_connection(pointer) }

  /// On libmicrohttpd's thread only, inside of the callback for the request.
  func queue(_ response: OpaquePointer, status: UInt32) -> Bool {
    unsafe mhd_queue(pointer, status, response) != 0
  }
}
