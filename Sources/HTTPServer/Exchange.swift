internal import CMicroHTTPD
internal import Posix
internal import Synchronization

/// One request and its answer.
///
/// libmicrohttpd calls ``request(method:header:piece:)`` on its own thread: when the header is there, for
/// each piece of the body, when the body is complete, and once more when it was resumed. The handler runs as
/// a task; while it does the connection is suspended.
final class Exchange: Sendable {
  private enum Phase {
    /// The request line is there.
    case line
    /// The header is there and in order; the body is coming.
    case receiving(Receiving)
    /// The handler has the request.
    case running
    /// The handler has answered; libmicrohttpd does not know yet.
    case answered(ServerResponse)
    /// libmicrohttpd has the answer.
    case queued
    /// libmicrohttpd has no more to do with it.
    case over

    var step: Step {
      switch self {
      case .line: .begin
      case .receiving: .receive
      case .running, .answered: .answer
      case .queued, .over: .nothing
      }
    }
  }

  /// What a call by libmicrohttpd is for.
  private enum Step {
    case begin, receive, answer, nothing
  }

  private struct Receiving {
    let method: String
    let target: RequestTarget
    let headers: [(name: String, value: String)]
    let limit: Int
    var body: [UInt8] = []
    var count = 0
  }

  private struct State {
    var phase = Phase.line
    /// libmicrohttpd waits to be resumed.
    var isSuspended = false
    /// The client will not read the answer.
    var isGone = false
    /// Nobody waits for the handler any more, which may not have begun yet.
    var isCancelled = false
    var isAbandoned = false
    var task: Task<Void, Never>?
    var stream: StreamBody?
  }

  private let daemon: Daemon
  private let connection: Connection
  private let handle: ConnectionHandle
  private let target: [UInt8]
  private let state = Mutex(State())

  init(daemon: Daemon, connection: Connection, handle: ConnectionHandle, target: [UInt8]) {
    self.daemon = daemon
    self.connection = connection
    self.handle = handle
    self.target = target
  }

  // MARK: On libmicrohttpd's thread

  /// - Parameter piece: the next bytes of the body; none at the call for the header and at those after the
  ///   body.
  /// - Returns: `false` to close the connection without an answer.
  func request(
    method: @autoclosure () -> [UInt8], header: @autoclosure () -> RequestHeader,
    piece: UnsafeRawBufferPointer
  ) -> Bool {
    switch state.withLock({ $0.phase.step }) {
    case .begin: begin(method: method(), header: header())
    case .receive: if unsafe piece.isEmpty { dispatch() } else { unsafe receive(piece) }
    case .answer: answerOrWait()
    case .nothing: true
    }
  }

  private func begin(method: [UInt8], header: RequestHeader) -> Bool {
    do throws(Refusal) {
      guard isToken(method), method.count <= 32 else { throw .malformed("the method is not a token") }
      guard let target = RequestTarget(target) else {
        throw .malformed("the target is not an absolute path of proper escapes")
      }
      let length = try header.checkedBodyLength()
      let methodText = String(decoding: method, as: UTF8.self)
      let limit = max(daemon.limits.maximumBodyBytes(methodText, target.path), 0)
      guard length ?? 0 <= limit else { throw .bodyTooLarge(limit: limit) }
      guard daemon.register(self) else { throw .stopping }
      connection.begin(self)
      var receiving = Receiving(method: methodText, target: target, headers: header.fields, limit: limit)
      // What a client announces is not yet sent: it may not cost more than this.
      receiving.body.reserveCapacity(Int(min(length ?? 0, 1 << 20)))
      state.withLock { $0.phase = .receiving(receiving) }
      return true
    } catch {
      return refuse(error)
    }
  }

  private func receive(_ piece: UnsafeRawBufferPointer) -> Bool {
    state.withLock { state in
      guard case .receiving(var receiving) = state.phase else { return false }
      // Taken out meanwhile, or the body would be copied for each piece.
      state.phase = .over
      receiving.count += piece.count
      let isTooLong = receiving.count > receiving.limit
      if isTooLong { receiving.body = [] } else { unsafe receiving.body.append(contentsOf: piece) }
      let excess = receiving.count - receiving.limit
      let limit = receiving.limit
      state.phase = .receiving(receiving)
      // Too long and not refused before: it comes in chunks. An answer can only be given when the body has
      // been read, so as much again is read without being kept; then the connection is closed.
      return !isTooLong || excess <= max(limit, 1 << 20)
    }
  }

  private func dispatch() -> Bool {
    let (found, isAbandoned): (Receiving?, Bool) = state.withLock { state in
      guard case .receiving(let receiving) = state.phase else { return (nil, false) }
      state.phase = .running
      return (receiving, state.isAbandoned)
    }
    guard let receiving = found else { return false }
    guard !isAbandoned else { return refuse(.stopping) }
    guard receiving.count <= receiving.limit else { return refuse(.bodyTooLarge(limit: receiving.limit)) }
    let request = ServerRequest(
      method: receiving.method, target: receiving.target, headers: receiving.headers, body: receiving.body,
      peer: connection.peer)
    let handler = daemon.handler
    // Starts here and now: a handler that needs nobody else has answered when this returns, and costs no
    // change of threads.
    let task = Task.immediate { self.finish(await handler(request)) }
    let isCancelled = state.withLock { state in
      state.task = task
      return state.isCancelled
    }
    if isCancelled { task.cancel() }
    return answerOrWait()
  }

  private func answerOrWait() -> Bool {
    let answer: ServerResponse? = state.withLock { state in
      if case .answered(let response) = state.phase {
        state.phase = .queued
        return response
      }
      handle.suspend()
      state.isSuspended = true
      return nil
    }
    return answer.map(queue) ?? true
  }

  private func refuse(_ refusal: Refusal) -> Bool {
    state.withLock { $0.phase = .queued }
    var response = daemon.refuse(refusal)
    response.headers.append(("Connection", "close"))
    return queue(response)
  }

  private func queue(_ response: ServerResponse) -> Bool {
    let made: OpaquePointer?
    switch response.body {
    case .bytes(let bytes):
      unsafe made = mhd_response(bytes, bytes.count)
    case .stream(let stream):
      let body = StreamBody(connection: connection, handle: handle, limits: daemon.limits)
      unsafe made = body.makeResponse()
      let isGone = state.withLock { state in
        state.stream = body
        return state.isGone
      }
      if isGone { body.drop() } else if daemon.isStopping { body.end() }
      body.start(stream)
    }
    guard let made = unsafe made else { return false }
    defer { unsafe MHD_destroy_response(made) }
    for (name, value) in response.sendableHeaders { unsafe mhd_add_field(made, name, value) }
    let status = (200...599).contains(response.status) ? UInt32(response.status) : 500
    return unsafe handle.queue(made, status: status)
  }

  /// libmicrohttpd has sent the answer, or given up.
  func completed() {
    let (task, stream) = state.withLock { state in
      state.phase = .over
      state.isSuspended = false
      return (state.task, state.stream)
    }
    task?.cancel()
    stream?.drop()
    connection.end(self)
    daemon.unregister(self)
  }

  // MARK: On any thread

  private func finish(_ response: ServerResponse) {
    state.withLock { state in
      guard case .running = state.phase else { return }
      state.phase = .answered(response)
      resume(&state)
    }
  }

  private func resume(_ state: inout State) {
    guard state.isSuspended else { return }
    state.isSuspended = false
    handle.resume()
  }

  /// The client will not read the answer.
  func peerGone() {
    let (task, stream) = state.withLock { state in
      state.isGone = true
      state.isCancelled = true
      return (state.task, state.stream)
    }
    task?.cancel()
    stream?.drop()
  }

  /// Tells the handler that nobody waits for its answer any more.
  func cancel() {
    let task = state.withLock { state in
      state.isCancelled = true
      return state.task
    }
    task?.cancel()
  }

  /// Ends a streamed answer.
  func endStream() { state.withLock { $0.stream }?.end() }

  /// Answers in place of the handler, which may go on but is not listened to. If the body is still coming, no
  /// handler will see it: from now on the connection cannot be suspended any more.
  func abandon() {
    state.withLock { $0.isAbandoned = true }
    finish(daemon.refuse(.stopping))
  }
}

/// The header fields of a request as libmicrohttpd found them.
struct RequestHeader {
  var fields: [(name: String, value: String)] = []
  /// Whether the fields are all that is in the header, as opposed to folded lines and NULs.
  var isWhole = true

  /// Refuses what two readers could understand differently; libmicrohttpd itself accepts a length beside
  /// chunks, and the first of several lengths (facts/outbox.md 5).
  /// - Returns: the body's length; `nil` when it comes in chunks.
  func checkedBodyLength() throws(Refusal) -> UInt64? {
    guard isWhole else { throw .malformed("a header line is folded or contains a NUL") }
    var host = 0
    var lengths: [String] = []
    var codings: [String] = []
    for (name, value) in fields {
      guard isToken(name.utf8) else { throw .malformed("a field name is not a token") }
      guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
        throw .malformed("a field value contains a control character")
      }
      if name.equalsIgnoringCase("Host") {
        host += 1
        guard !value.isEmpty else { throw .malformed("Host is empty") }
      } else if name.equalsIgnoringCase("Content-Length") {
        lengths.append(value)
      } else if name.equalsIgnoringCase("Transfer-Encoding") {
        codings.append(value)
      }
    }
    guard host == 1 else { throw .malformed("there must be one Host field") }
    guard lengths.count <= 1 else { throw .malformed("Content-Length is given twice") }
    guard codings.isEmpty || lengths.isEmpty else {
      throw .malformed("Content-Length and Transfer-Encoding exclude each other")
    }
    guard codings.isEmpty || codings.count == 1 && codings[0].equalsIgnoringCase("chunked") else {
      throw .malformed("the only transfer coding is chunked")
    }
    if !codings.isEmpty { return nil }
    guard let text = lengths.first else { return 0 }
    guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let length = UInt64(text)
    else { throw .malformed("Content-Length is not a number") }
    return length
  }
}
