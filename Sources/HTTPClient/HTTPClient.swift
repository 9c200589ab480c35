internal import Posix
internal import Synchronization

/// An HTTP/1.1 client of one server on this machine, by libcups on a thread of its own.
///
/// One request at a time; others wait, and their time runs while they do. The connection is kept open between
/// requests. At every new connection the listener's user is checked before anything is sent.
///
/// libcups ignores `SIGPIPE` for the whole process.
public actor HTTPClient {
  /// The server.
  public nonisolated let target: HTTPTarget
  /// The largest body of an answer in bytes.
  public nonisolated let maximumBodyBytes: Int

  private nonisolated let worker: Worker
  private nonisolated let ownerCheck: (@Sendable (UInt32) -> Bool)?
  private nonisolated let shared = Mutex(Shared())
  private var link: Link?

  private struct Shared {
    var isClosed = false
    /// What is under way or waits for its turn.
    var pending: [ObjectIdentifier: any Breakable] = [:]
  }

  /// The client's thread: libcups keeps state in it.
  public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.asUnownedSerialExecutor() }

  /// A client; it connects with its first request.
  /// - Parameters:
  ///   - ownerCheck: told the listener's user ID at every new connection (`SO_PEERCRED`; on loopback the
  ///     kernel's socket table); `false` refuses it with ``HTTPClientError/wrongOwner(userID:)``. `nil`
  ///     accepts everyone.
  ///   - maximumBodyBytes: the largest body of an answer.
  public init(
    target: HTTPTarget, ownerCheck: (@Sendable (UInt32) -> Bool)? = nil, maximumBodyBytes: Int = 16 << 20
  ) {
    self.target = target
    self.ownerCheck = ownerCheck
    self.maximumBodyBytes = maximumBodyBytes
    worker = Worker(name: "http-client")
  }

  /// Sends a request and reads the whole answer.
  ///
  /// A server that closed the kept connection meanwhile, as at a restart, is asked once more on a new one, if
  /// not a byte of an answer came and the request is idempotent.
  /// - Parameters:
  ///   - path: path and query as on the wire, percent-escaped. Escapes of reserved characters, such as `%2F`,
  ///     cannot be sent.
  ///   - headers: further header fields; only those libcups knows, such as `Accept-Language` and
  ///     `Authorization`.
  ///   - body: for ``HTTPMethod/post`` and ``HTTPMethod/put``, sent with its length, never chunked.
  ///   - timeout: for everything, connecting and waiting for other requests included.
  ///   - idempotent: whether sending it twice does no harm; `nil` takes ``HTTPMethod/isIdempotent``.
  public nonisolated func send(
    _ method: HTTPMethod, _ path: String, headers: [(String, String)] = [], body: [UInt8] = [],
    contentType: String? = nil, timeout: Duration, idempotent: Bool? = nil
  ) async throws(HTTPClientError) -> ClientResponse {
    let request = try OutgoingRequest(
      method, path, headers: headers, body: body, contentType: contentType,
      isIdempotent: idempotent ?? method.isIdempotent)
    return try await run(timeout) { client, pending in
      await client.perform(request, pending) {
        client, link, status, headers throws(LinkFailure) in
        let body = try client.readBody(link)
        pending.end(.success(ClientResponse(status: status, headers: headers, body: body)))
      }
    }
  }

  /// Sends a GET and hands over the body as it comes, without an end to wait for: server-sent events.
  ///
  /// The client is taken until the body ends or its ``ClientStream/pieces`` are let go: other requests need
  /// another client.
  /// - Parameters:
  ///   - path: as in ``send(_:_:headers:body:contentType:timeout:idempotent:)``.
  ///   - headers: likewise.
  ///   - timeout: until the answer's header is there; the body may take for ever.
  public nonisolated func stream(
    _ path: String, headers: [(String, String)] = [], timeout: Duration
  ) async throws(HTTPClientError) -> ClientStream {
    let request = try OutgoingRequest(
      .get, path, headers: headers, body: [], contentType: nil, isIdempotent: true)
    return try await run(timeout) { client, pending in
      await client.perform(request, pending) {
        client, link, status, headers throws(LinkFailure) in
        client.streamBody(link, status, headers, pending)
      }
    }
  }

  /// Ends what is under way with ``HTTPClientError/cancelled`` and closes the connection. Later requests fail
  /// the same way.
  public nonisolated func close() async {
    let pending = shared.withLock { shared in
      shared.isClosed = true
      return Array(shared.pending.values)
    }
    for one in pending { one.abort(.cancelled) }
    await disconnect()
  }

  private func disconnect() { link = nil }

  // MARK: Waiting for an answer

  /// Waits for the outcome, and no longer than the timeout whatever the client's thread is doing.
  private nonisolated func run<Value: Sendable>(
    _ timeout: Duration, _ body: @escaping @Sendable (HTTPClient, Pending<Value>) async -> Void
  ) async throws(HTTPClientError) -> Value {
    // A year is without limit, and cannot overflow.
    let timeout = min(max(timeout, .zero), .seconds(365 * 86400))
    let pending = Pending<Value>(deadline: .now + timeout)
    let isClosed = shared.withLock { shared in
      shared.pending[ObjectIdentifier(pending)] = pending
      return shared.isClosed
    }
    if isClosed { pending.abort(.cancelled) }
    // Both begin on this thread: a task of its own thread's would only be passed on.
    let timer = Task.immediate { if await Poller.shared.sleep(for: timeout) { pending.abort(.timedOut) } }
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard pending.wait(with: continuation) else { return forget(pending) }
        Task.immediate { await body(self, pending) }
      }
    } onCancel: {
      pending.abort(.cancelled)
    }
    timer.cancel()
    return try result.get()
  }

  private nonisolated func forget(_ pending: any Breakable) {
    shared.withLock { _ = $0.pending.removeValue(forKey: ObjectIdentifier(pending)) }
  }

  // MARK: On the client's thread

  /// - Parameter receive: reads the body and ends `pending` with the outcome.
  private func perform<Value>(
    _ request: OutgoingRequest, _ pending: Pending<Value>,
    _ receive: @Sendable (isolated HTTPClient, Link, Int, [String: String]) throws(LinkFailure) -> Void
  ) {
    defer { forget(pending) }
    for mayRetry in [request.isIdempotent, false] {
      guard !pending.isOver else { return }
      var isFresh = false
      do throws(LinkFailure) {
        let link = try currentLink(pending, &isFresh)
        // Kept only for an answer that was read to its end.
        self.link = nil
        guard pending.begin(link.breaker) else { return }
        defer { pending.release() }
        link.send(request)
        let head = try link.readHead(of: request.method)
        try receive(self, link, head.status, head.headers)
        if link.isReusable { self.link = link }
        return
      } catch {
        switch error {
        case .nothingReceived where mayRetry && !isFresh: continue
        case .nothingReceived: pending.end(.failure(.broken("the connection was closed without one")))
        case .failed(let reason): pending.end(.failure(reason))
        }
        return
      }
    }
  }

  private func currentLink<Value>(_ pending: Pending<Value>, _ isFresh: inout Bool) throws(LinkFailure)
    -> Link
  {
    if let link, link.isIdle { return link }
    link = nil
    isFresh = true
    do throws(HTTPClientError) {
      return try Link(target, timeout: pending.remaining, ownerCheck: ownerCheck)
    } catch {
      throw .failed(error)
    }
  }

  private func readBody(_ link: Link) throws(LinkFailure) -> [UInt8] {
    let announced = link.announcedLength ?? 0
    guard announced <= maximumBodyBytes else { throw .failed(.tooLarge(limit: maximumBodyBytes)) }
    var body: [UInt8] = []
    body.reserveCapacity(announced)
    while true {
      let count = try link.readPiece(&buffer)
      guard count > 0 else { return body }
      guard count <= maximumBodyBytes - body.count else { throw .failed(.tooLarge(limit: maximumBodyBytes)) }
      body += buffer[..<count]
    }
  }

  private lazy var buffer = [UInt8](repeating: 0, count: 64 << 10)

  private func streamBody(
    _ link: Link, _ status: Int, _ headers: [String: String], _ pending: Pending<ClientStream>
  ) {
    guard let continuation = Self.begin(link.breaker, status, headers, pending) else { return }
    do throws(LinkFailure) {
      while true {
        let count = try link.readPiece(&buffer)
        guard count > 0 else { break }
        if case .dropped = continuation.yield(.success(Array(buffer[..<count]))) { break }
      }
    } catch {
      if case .failed(let reason) = error { continuation.yield(.failure(pending.abortReason ?? reason)) }
    }
    continuation.finish()
  }

  /// Hands the stream over and keeps nothing of it but the end that fills it, so that its reader can let it
  /// go.
  /// - Returns: `nil` when nobody wants it any more.
  private static func begin(
    _ breaker: Breaker, _ status: Int, _ headers: [String: String], _ pending: Pending<ClientStream>
  ) -> AsyncStream<Result<[UInt8], HTTPClientError>>.Continuation? {
    // A reader a thousand pieces behind has stopped reading.
    let (pieces, continuation) = AsyncStream.makeStream(
      of: Result<[UInt8], HTTPClientError>.self, bufferingPolicy: .bufferingOldest(1024))
    continuation.onTermination = { reason in
      if case .cancelled = reason { breaker.shutDown() }
    }
    let stream = ClientStream(status: status, headers: headers, pieces: ClientStream.Pieces(stream: pieces))
    return pending.end(.success(stream)) ? continuation : nil
  }
}

/// What can be ended from outside.
private protocol Breakable: AnyObject, Sendable {
  func abort(_ reason: HTTPClientError)
}

/// One request's outcome, which comes from the client's thread, the timer, the caller's cancellation or
/// ``HTTPClient/close()``, whichever is first.
private final class Pending<Value: Sendable>: Breakable {
  typealias Outcome = Result<Value, HTTPClientError>

  private enum Phase {
    /// Nobody waits yet, and there is no outcome.
    case begun
    /// Nobody waits yet.
    case ended(Outcome)
    case waited(CheckedContinuation<Outcome, Never>)
    /// The outcome is delivered, and not kept: a stream must not be held by the thread that fills it.
    case delivered
  }

  private struct State {
    var phase = Phase.begun
    var abortReason: HTTPClientError?
    var breaker: Breaker?

    var isOver: Bool {
      switch phase {
      case .begun, .waited: false
      case .ended, .delivered: true
      }
    }
  }

  private let deadline: ContinuousClock.Instant
  private let state = Mutex(State())

  init(deadline: ContinuousClock.Instant) { self.deadline = deadline }

  var remaining: Duration { max(deadline - .now, .zero) }
  var isOver: Bool { state.withLock { $0.isOver } }
  var abortReason: HTTPClientError? { state.withLock { $0.abortReason } }

  /// - Returns: `false` when it is over already.
  func wait(with continuation: CheckedContinuation<Outcome, Never>) -> Bool {
    let outcome = state.withLock { state -> Outcome? in
      guard case .ended(let outcome) = state.phase else {
        state.phase = .waited(continuation)
        return nil
      }
      state.phase = .delivered
      return outcome
    }
    if let outcome { continuation.resume(returning: outcome) }
    return outcome == nil
  }

  /// The client's thread begins to use the connection. `false` when it is over already.
  func begin(_ breaker: Breaker) -> Bool {
    state.withLock { state in
      if !state.isOver { state.breaker = breaker }
      return !state.isOver
    }
  }

  /// The client's thread uses the connection no more.
  func release() { state.withLock { $0.breaker = nil } }

  /// - Returns: whether this is the outcome.
  @discardableResult
  func end(_ outcome: Outcome) -> Bool {
    let (isFirst, continuation) = state.withLock { state -> (Bool, CheckedContinuation<Outcome, Never>?) in
      switch state.phase {
      case .begun:
        state.phase = .ended(outcome)
        return (true, nil)
      case .waited(let continuation):
        state.phase = .delivered
        return (true, continuation)
      case .ended, .delivered:
        return (false, nil)
      }
    }
    continuation?.resume(returning: outcome)
    return isFirst
  }

  func abort(_ reason: HTTPClientError) {
    let breaker = state.withLock { state -> Breaker? in
      // The time is for the outcome: a stream that has begun goes on.
      if state.isOver, reason == .timedOut { return nil }
      state.abortReason = state.abortReason ?? reason
      return state.breaker
    }
    end(.failure(reason))
    breaker?.shutDown()
  }
}
