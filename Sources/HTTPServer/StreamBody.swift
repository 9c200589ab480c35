internal import CMicroHTTPD
internal import Posix
internal import Synchronization

/// A streamed body on its way from the handler's stream, through a bounded queue, to libmicrohttpd.
final class StreamBody: Sendable {
  private struct State {
    var pieces: [[UInt8]] = []
    /// Bytes of the first piece that have been sent.
    var sent = 0
    /// No more pieces come.
    var isEnded = false
    /// The client is gone or too slow: what waits is not sent any more.
    var isDropped = false
    /// libmicrohttpd waits to be resumed.
    var isSuspended = false
    var pump: Task<Void, Never>?
    /// The pump waits for room.
    var room: CheckedContinuation<Void, Never>?

    mutating func takeRoom() -> CheckedContinuation<Void, Never>? {
      defer { room = nil }
      return room
    }
  }

  private let connection: Connection
  private let handle: ConnectionHandle
  private let backlog: Int
  private let stall: Duration
  private let state = Mutex(State())

  init(connection: Connection, handle: ConnectionHandle, limits: ServerLimits) {
    self.connection = connection
    self.handle = handle
    backlog = max(limits.streamBacklog, 1)
    stall = limits.streamStall
  }

  /// Begins to take pieces out of the stream.
  func start(_ stream: AsyncStream<[UInt8]>) {
    let pump = Task {
      for await piece in stream where !piece.isEmpty {
        guard await push(piece) else { break }
      }
      end()
      // Cancelled if it did not end by itself: asked once more then, the stream tells its source.
      for await _ in stream { break }
    }
    let isOver = state.withLock { state in
      state.pump = pump
      return state.isDropped || state.isEnded
    }
    if isOver { pump.cancel() }
  }

  /// Waits for room if there is none.
  /// - Returns: whether more is wanted.
  private func push(_ piece: [UInt8]) async -> Bool {
    if let isWanted = pushNow(piece) { return isWanted }
    // A burst is no sign of a slow client; one that takes nothing for so long is.
    let timer = Task { if await Poller.shared.sleep(for: stall) { stalled() } }
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.pieces.count < backlog || state.isDropped || state.isEnded { return true }
        state.room = continuation
        return false
      }
      if isOver { continuation.resume() }
    }
    timer.cancel()
    return pushNow(piece) ?? false
  }

  /// - Returns: whether more is wanted; `nil` when there is no room.
  private func pushNow(_ piece: [UInt8]) -> Bool? {
    state.withLock { state in
      guard !state.isDropped, !state.isEnded else { return false }
      guard state.pieces.count < backlog else { return nil }
      state.pieces.append(piece)
      resume(&state)
      return true
    }
  }

  private func stalled() {
    guard state.withLock({ $0.room != nil }) else { return }
    drop()
    // libmicrohttpd waits for the socket to take more and would wait for ever: only the socket's end wakes
    // it.
    connection.shutDown()
  }

  /// Ends the answer properly once what waits has been sent.
  func end() { finish { $0.isEnded = true } }

  /// Ends the answer at once and without its end, so that the client knows it is not complete.
  func drop() { finish { $0.isDropped = true } }

  private func finish(_ change: (inout State) -> Void) {
    let (pump, room) = state.withLock { state in
      change(&state)
      resume(&state)
      return (state.pump, state.takeRoom())
    }
    room?.resume()
    pump?.cancel()
  }

  private func resume(_ state: inout State) {
    guard state.isSuspended else { return }
    state.isSuspended = false
    handle.resume()
  }

  /// Called by libmicrohttpd on its thread when the socket takes more.
  fileprivate func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let (result, room) = state.withLock { state in
      let result = unsafe fill(buffer, &state)
      return (result, state.pieces.count < backlog ? state.takeRoom() : nil)
    }
    room?.resume()
    return result
  }

  private func fill(_ buffer: UnsafeMutableRawBufferPointer, _ state: inout State) -> Int {
    if state.isDropped { return Self.endWithError }
    var filled = 0
    var taken = 0
    for piece in state.pieces {
      let count = min(piece.count - state.sent, buffer.count - filled)
      guard count > 0 else { break }
      unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<filled + count])
        .copyBytes(from: piece[state.sent..<state.sent + count])
      filled += count
      state.sent += count
      guard state.sent == piece.count else { break }
      state.sent = 0
      taken += 1
    }
    state.pieces.removeFirst(taken)
    if filled > 0 { return filled }
    if state.isEnded { return Self.endOfStream }
    handle.suspend()
    state.isSuspended = true
    return 0
  }

  // The macros of microhttpd.h, which Swift does not import.
  private static let endOfStream = -1
  private static let endWithError = -2

  /// An answer whose body comes from here; it keeps this object until libmicrohttpd has no more use for it.
  func makeResponse() -> OpaquePointer? {
    let context = unsafe Unmanaged.passRetained(self)
    let response = unsafe MHD_create_response_from_callback(
      .max, 16 << 10,
      { context, _, buffer, capacity in
        guard let context = unsafe context, let buffer = unsafe buffer else { return StreamBody.endWithError }
        return unsafe Unmanaged<StreamBody>.fromOpaque(context).takeUnretainedValue()
          .read(into: UnsafeMutableRawBufferPointer(start: buffer, count: capacity))
      }, context.toOpaque(),
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<StreamBody>.fromOpaque(context).takeRetainedValue().drop()
      })
    if unsafe response == nil { unsafe context.release() }
    return unsafe response
  }
}
