public import Channels
internal import Codecs
internal import Posix
internal import Synchronization
internal import USB

/// Bytes through the bulk or interrupt endpoints of a USB interface, by libusb.
///
/// The device is asked for bytes only while somebody reads. Bytes count as written when the device has taken them: the
/// host controller has its acknowledgement.
public final class USBByteStream: LayoutChoice {
  /// The layouts that the endpoints allow; the first is in use at the beginning.
  public let layouts: [PipeLayout]
  private let device: USBDevice
  private let name: String
  private let endpoints: [UInt8: USBEndpoint]
  private let line: USBLine
  private let time = SystemTime()
  private let state: Mutex<State>

  private struct State {
    var isClosed = false
    var arrivals: USBArrivals
    /// Changes with every new beginning, so that what a transfer from before it brings is known as old.
    var turn = 0
    var reading: Task<USBTransferResult, Never>?
  }

  /// One transfer to the device has at most so many bytes: what the kernel always finds memory for.
  private static let writeSize = 16384
  /// How long a device that has something to say needs at most to say it when it is asked (facts/idcard.md 2.4).
  private static let drainTime = Duration.milliseconds(5)

  init(
    device: USBDevice, name: String, endpoints: [USBEndpoint], layouts: [PipeLayout], line: USBLine
  ) {
    self.device = device
    self.name = name
    self.endpoints = Dictionary(endpoints.map { ($0.address, $0) }) { first, _ in first }
    self.layouts = layouts
    self.line = line
    state = Mutex(
      State(arrivals: USBArrivals(layouts.first ?? PipeLayout(input: nil, output: nil))))
  }

  /// Waits for at least one byte. `.gone` at once when the device is unplugged, `.malformed` when it sends more than a
  /// packet holds.
  public func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let deadline = time.now() + timeout
    var wasStalled = false
    var left = timeout
    while true {
      if Task.isCancelled { throw .cancelled }
      let (isClosed, bytes) = state.withLock { ($0.isClosed, $0.arrivals.take(count)) }
      if !bytes.isEmpty { return bytes }
      if isClosed { throw .cancelled }
      guard left > .zero else { throw .timedOut }
      let result = await receive(timeout: left)
      left = deadline - time.now()
      // What came counts first; a failure that lasts is met again.
      if result.count > 0 { continue }
      switch result.failure {
      case nil: wasStalled = false
      // Interrupted for another layout or message, unless this task or this stream has ended.
      case .cancelled: continue
      case .stalled where !wasStalled:
        wasStalled = true
        try await clearHalt(state.withLock { $0.arrivals.input } ?? 0)
      case .some(let failure): throw ChannelError(using: failure, place(state.withLock { $0.arrivals.input }))
      }
    }
  }

  /// Sends all bytes; one call is one message in a split layout. A stalled endpoint is cleared, and what it had not taken
  /// anything of is sent once more.
  public func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    let deadline = time.now() + timeout
    let (isClosed, layout) = state.withLock { ($0.isClosed, $0.arrivals.layout) }
    var written = 0
    do throws(ChannelError) {
      if isClosed { throw .cancelled }
      guard let output = layout.output else { throw .malformed("\(name) has no endpoint that takes bytes") }
      guard let split = layout.split, bytes.count > split.headLength else {
        return try await send(bytes[...], to: output, deadline, &written)
      }
      // A device that got a new message has done with the one before it.
      beginAnew(keepingArrived: true)
      try await send(bytes.prefix(split.headLength), to: output, deadline, &written)
      try await send(bytes.dropFirst(split.headLength), to: split.output, deadline, &written)
    } catch {
      throw ChannelWriteError(written: written, reason: error)
    }
  }

  /// Throws away what has arrived, and what the device has ready, unless somebody reads just now.
  public func discardInput() async {
    let (isRead, layout) = state.withLock { ($0.reading != nil, $0.arrivals.layout) }
    beginAnew(keepingArrived: false)
    guard !isRead else { return }
    for input in [layout.input, layout.split?.input].compactMap({ $0 }) {
      // A device that never stops sending is not waited for.
      for _ in 0..<64 {
        let result = await device.receive(
          from: input, kind(input), count: packets(input), timeout: Self.drainTime)
        if result.count == 0 { break }
      }
    }
  }

  /// Goes on with another of ``layouts``.
  public func use(_ layout: PipeLayout) async throws(ChannelError) {
    guard layouts.contains(layout) else { throw .malformed("\(name) has no endpoints \(layout)") }
    state.withLock { $0.arrivals.layout = layout }
    beginAnew(keepingArrived: false)
  }

  /// Ends the channel and gives the interface back, to the kernel's driver where one had it.
  public func close() async {
    state.withLock { $0.isClosed = true }
    await device.close()
  }

  // MARK: Receiving

  private func receive(timeout: Duration) async -> USBTransferResult {
    let (task, turn, size) = state.withLock { state -> (Task<USBTransferResult, Never>, Int, Int) in
      let device = device
      guard let input = state.arrivals.input else {
        let task = Task {
          USBTransferResult.nothing(await device.waitUntilGone(timeout: timeout))
        }
        state.reading = task
        return (task, state.turn, 1)
      }
      let (kind, size) = (kind(input), readSize(input))
      let task = Task { await device.receive(from: input, kind, count: size, timeout: timeout) }
      state.reading = task
      return (task, state.turn, size)
    }
    let result = await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
    state.withLock { state in
      state.reading = nil
      if state.turn == turn { state.arrivals.add(result, shortBelow: size) }
    }
    return result
  }

  /// Forgets how far a message had come, and lets a waiting read begin anew where the next one comes.
  private func beginAnew(keepingArrived: Bool) {
    let reading = state.withLock { state -> Task<USBTransferResult, Never>? in
      if !keepingArrived { state.arrivals.discard() }
      // A read that waits at the right place already stays.
      guard !keepingArrived || state.arrivals.expectsBody else { return nil }
      state.arrivals.beginMessage()
      state.turn += 1
      return state.reading
    }
    reading?.cancel()
  }

  // MARK: Sending

  private func send(
    _ bytes: ArraySlice<UInt8>, to output: UInt8, _ deadline: Duration, _ written: inout Int
  ) async throws(ChannelError) {
    var rest = bytes
    var wasStalled = false
    while !rest.isEmpty {
      if Task.isCancelled { throw .cancelled }
      let left = deadline - time.now()
      guard left > .zero else { throw .timedOut }
      let chunk = rest.prefix(Self.writeSize)
      let result = await device.send(
        Array(chunk), to: output, kind(output),
        endsWithZeroPacket: line.endsWithZeroPacket && chunk.count == rest.count, timeout: left)
      written += result.count
      rest = rest.dropFirst(result.count)
      switch result.failure {
      case nil: wasStalled = false
      case .stalled:
        try await clearHalt(output)
        // Of a transfer of which a part was taken nobody knows what the device made of it.
        guard result.count == 0, !wasStalled else { throw ChannelError(using: .stalled, place(output)) }
        wasStalled = true
      case .some(let failure): throw ChannelError(using: failure, place(output))
      }
    }
  }

  private func clearHalt(_ endpoint: UInt8) async throws(ChannelError) {
    do throws(USBError) {
      try await device.clearHalt(endpoint)
    } catch {
      throw ChannelError(using: error, place(endpoint))
    }
  }

  // MARK: Endpoints

  private func kind(_ endpoint: UInt8) -> USBDevice.PipeKind {
    endpoints[endpoint]?.transfer == .interrupt ? .interrupt : .bulk
  }

  private func packets(_ endpoint: UInt8) -> Int { max(endpoints[endpoint]?.packetSize ?? 64, 1) }

  private func readSize(_ endpoint: UInt8) -> Int {
    let packet = packets(endpoint)
    return max((min(line.readSize, 65536) + packet - 1) / packet, 1) * packet
  }

  private func place(_ endpoint: UInt8?) -> String {
    guard let endpoint else { return name }
    return "endpoint \(PipeLayout(input: endpoint, output: nil).description.dropLast()) of \(name)"
  }
}
