internal import CMicroHTTPD
internal import Glibc
internal import Posix
internal import Synchronization

/// libmicrohttpd's daemon, and everything its callbacks need.
///
/// The callbacks are C functions without captures; what they get back as their context is kept with
/// `Unmanaged` and let go in one place each: this object after `MHD_stop_daemon`, a connection when it is
/// closed, an exchange when it is completed.
final class Daemon: Sendable {
  private struct State {
    var exchanges: [ObjectIdentifier: Exchange] = [:]
    var connections: [Int32: Int] = [:]
    var running: RunningDaemon?
    var isStopping = false
    /// Told when the last exchange has ended.
    var drained: AsyncStream<Void>.Continuation?
    /// Told when the daemon has stopped.
    var stopped: [CheckedContinuation<Void, Never>] = []
  }

  let limits: ServerLimits
  let handler: @Sendable (ServerRequest) async -> ServerResponse
  let refuse: @Sendable (Refusal) -> ServerResponse
  private let isUnix: Bool
  private let state = Mutex(State())

  init(
    isUnix: Bool, limits: ServerLimits, refuse: @escaping @Sendable (Refusal) -> ServerResponse,
    handler: @escaping @Sendable (ServerRequest) async -> ServerResponse
  ) {
    self.isUnix = isUnix
    self.limits = limits
    self.refuse = refuse
    self.handler = handler
  }

  // MARK: Start and stop

  /// - Parameter raw: a listening socket, libmicrohttpd's own from now on.
  func start(listening raw: Int32, name: String) throws(HTTPServerError) {
    let running = try RunningDaemon(listening: raw, name: name, limits: limits, context: self)
    state.withLock { $0.running = running }
  }

  var isStopping: Bool { state.withLock { $0.isStopping } }

  func stop(grace: Duration, ending: Duration, sending: Duration) async {
    let isFirst = state.withLock { state in
      defer { state.isStopping = true }
      return !state.isStopping
    }
    guard isFirst, let running = state.withLock({ $0.running }) else { return await stopped() }
    let listening = running.stopAccepting()
    everyExchange { $0.endStream() }
    await drained(within: grace)
    everyExchange { $0.cancel() }
    await drained(within: ending)
    everyExchange { $0.abandon() }
    await drained(within: sending)
    // No connection is suspended now: the running handlers' were resumed, streams are ended, and new ones of
    // either get no further than `register` and `queue`. libmicrohttpd would abort the process otherwise.
    await Joining().stop(running, listening)
    let waiting = state.withLock { state in
      state.running = nil
      defer { state.stopped = [] }
      return state.stopped
    }
    for continuation in waiting { continuation.resume() }
  }

  private func stopped() async {
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.running != nil { state.stopped.append(continuation) }
        return state.running == nil
      }
      if isOver { continuation.resume() }
    }
  }

  /// Waits until no exchange is under way, at most so long.
  private func drained(within limit: Duration) async {
    let (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let isOver = state.withLock { state in
      state.drained = signal
      return state.exchanges.isEmpty
    }
    guard !isOver else { return }
    // Unstructured, so that a cancelled caller's server still gets its time.
    let timer = Task {
      _ = await Poller.shared.sleep(for: limit)
      signal.finish()
    }
    await Task { for await _ in signals { break } }.value
    timer.cancel()
  }

  private func everyExchange(_ body: (Exchange) -> Void) {
    for exchange in state.withLock({ Array($0.exchanges.values) }) { body(exchange) }
  }

  // MARK: Exchanges and connections

  /// - Returns: whether the exchange may go on.
  func register(_ exchange: Exchange) -> Bool {
    state.withLock { state in
      guard !state.isStopping else { return false }
      state.exchanges[ObjectIdentifier(exchange)] = exchange
      return true
    }
  }

  func unregister(_ exchange: Exchange) {
    let signal = state.withLock { state in
      state.exchanges[ObjectIdentifier(exchange)] = nil
      return state.exchanges.isEmpty ? state.drained : nil
    }
    signal?.yield()
  }

  fileprivate func connect(_ raw: Int32) -> Connection? {
    guard let connection = Connection(raw: raw, isUnix: isUnix) else { return nil }
    connection.watch()
    if let process = connection.peer?.processID {
      let count = state.withLock { state in
        state.connections[process, default: 0] += 1
        return state.connections[process, default: 0]
      }
      if count > max(limits.connectionsPerProcess, 1) { connection.shutDown() }
    }
    return connection
  }

  fileprivate func disconnect(_ connection: Connection) {
    connection.closed()
    guard let process = connection.peer?.processID else { return }
    state.withLock { state in
      let count = state.connections[process, default: 0] - 1
      state.connections[process] = count > 0 ? count : nil
    }
  }
}

/// The thread that waits for libmicrohttpd's to end.
private actor Joining {
  private let worker = Worker(name: "http-stop")
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe worker.asUnownedSerialExecutor() }

  func stop(_ daemon: RunningDaemon, _ listening: Int32) { daemon.stop(listening: listening) }
}

/// libmicrohttpd's thread and what it was started with; made once and stopped once.
@safe private struct RunningDaemon: @unchecked Sendable {
  private let daemon: OpaquePointer
  private let face: UnsafeMutablePointer<mhd_face>

  /// - Parameter context: kept until ``stop()``.
  init(listening: Int32, name: String, limits: ServerLimits, context: Daemon) throws(HTTPServerError) {
    unsafe face = .allocate(capacity: 1)
    unsafe face.initialize(to: mhd_face())
    unsafe withUnsafeMutableBytes(of: &face.pointee.name) { buffer in
      unsafe buffer.copyBytes(from: name.utf8.prefix(buffer.count - 1))
    }
    unsafe face.pointee.connected = connected
    unsafe face.pointee.disconnected = disconnected
    unsafe face.pointee.target = targetRead
    unsafe face.pointee.request = requestRead
    unsafe face.pointee.completed = exchangeCompleted
    unsafe face.pointee.context = Unmanaged.passRetained(context).toOpaque()
    let connections = UInt32(clamping: max(limits.connections, 1))
    guard
      let daemon = unsafe mhd_start(
        face, listening, connections, limits.idleSeconds, max(limits.headerBytes, 4096))
    else {
      unsafe Self.dispose(face)
      throw .startFailed
    }
    unsafe self.daemon = daemon
  }

  /// Blocks until the thread has ended.
  /// - Parameter listening: what ``stopAccepting()`` returned.
  func stop(listening: Int32) {
    unsafe MHD_stop_daemon(daemon)
    if listening >= 0 { _ = Descriptor(adopting: listening) }
    unsafe Self.dispose(face)
  }

  /// From now on nobody new gets in.
  /// - Returns: the listening socket. It must stay open until the thread has ended: libmicrohttpd may be
  ///   about to take it out of its epoll set, and aborts the process when it cannot.
  func stopAccepting() -> Int32 { unsafe MHD_quiesce_daemon(daemon) }

  private static func dispose(_ face: UnsafeMutablePointer<mhd_face>) {
    if let context = unsafe face.pointee.context { unsafe Unmanaged<Daemon>.fromOpaque(context).release() }
    unsafe face.deallocate()
  }
}

// MARK: - What libmicrohttpd calls

private func connected(_ context: UnsafeMutableRawPointer?, _ raw: Int32) -> UnsafeMutableRawPointer? {
  guard let context = unsafe context else { return nil }
  let daemon = unsafe Unmanaged<Daemon>.fromOpaque(context).takeUnretainedValue()
  return unsafe daemon.connect(raw).map { unsafe Unmanaged.passRetained($0).toOpaque() }
}

private func disconnected(_ context: UnsafeMutableRawPointer?, _ connection: UnsafeMutableRawPointer?) {
  guard let context = unsafe context, let connection = unsafe connection else { return }
  unsafe Unmanaged<Daemon>.fromOpaque(context).takeUnretainedValue()
    .disconnect(Unmanaged<Connection>.fromOpaque(connection).takeRetainedValue())
}

private func targetRead(
  _ context: UnsafeMutableRawPointer?, _ connection: UnsafeMutableRawPointer?, _ handle: OpaquePointer?,
  _ target: UnsafePointer<CChar>?
) -> UnsafeMutableRawPointer? {
  guard let context = unsafe context, let connection = unsafe connection, let handle = unsafe handle else {
    return nil
  }
  let exchange = unsafe Exchange(
    daemon: Unmanaged<Daemon>.fromOpaque(context).takeUnretainedValue(),
    connection: Unmanaged<Connection>.fromOpaque(connection).takeUnretainedValue(),
    handle: ConnectionHandle(handle), target: bytes(target))
  return unsafe Unmanaged.passRetained(exchange).toOpaque()
}

private func requestRead(
  _ exchange: UnsafeMutableRawPointer?, _ handle: OpaquePointer?, _ method: UnsafePointer<CChar>?,
  _ version: UnsafePointer<CChar>?, _ data: UnsafePointer<CChar>?, _ size: UnsafeMutablePointer<Int>?
) -> Int32 {
  guard let exchange = unsafe exchange, let size = unsafe size else { return 0 }
  let piece = unsafe UnsafeRawBufferPointer(start: data, count: data == nil ? 0 : size.pointee)
  let goesOn = unsafe Unmanaged<Exchange>.fromOpaque(exchange).takeUnretainedValue()
    .request(method: bytes(method), header: header(handle, method, version), piece: piece)
  unsafe size.pointee = 0
  return goesOn ? 1 : 0
}

private func exchangeCompleted(_ exchange: UnsafeMutableRawPointer?) {
  guard let exchange = unsafe exchange else { return }
  unsafe Unmanaged<Exchange>.fromOpaque(exchange).takeRetainedValue().completed()
}

private func header(
  _ handle: OpaquePointer?, _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?
) -> RequestHeader {
  var header = RequestHeader()
  let isWhole = unsafe withUnsafeMutablePointer(to: &header) { header in
    unsafe mhd_header_fields(
      handle, method, version,
      { context, name, nameLength, value, valueLength in
        guard let context = unsafe context else { return }
        unsafe context.assumingMemoryBound(to: RequestHeader.self).pointee.fields.append(
          (text(name, nameLength), text(value, valueLength)))
      }, header)
  }
  header.isWhole = isWhole != 0
  return header
}

private func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
  unsafe String(
    decoding: UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count), as: UTF8.self)
}

private func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8] {
  guard let text = unsafe text else { return [] }
  return unsafe Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
}
