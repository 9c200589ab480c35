public import Channels

/// The host's end of a line, from its opening to its closing; it outlives the cable.
struct LineEnd {
  struct Piece {
    var bytes: [UInt8]
    let isAlone: Bool
  }
  struct Reader {
    let id: Int
    let count: Int
    let done: CheckedContinuation<Result<[UInt8], ChannelError>, Never>
    let timer: Task<Void, Never>

    func finish(_ result: Result<[UInt8], ChannelError>) {
      timer.cancel()
      done.resume(returning: result)
    }
  }
  struct Writer {
    let id: Int
    let bytes: [UInt8]
    var taken: Int
    let done: CheckedContinuation<Result<Void, ChannelWriteError>, Never>
    let timer: Task<Void, Never>

    func finish(_ error: ChannelError?) {
      timer.cancel()
      done.resume(
        returning: error.map { .failure(ChannelWriteError(written: taken, reason: $0)) } ?? .success(()))
    }
  }
  var arrived: [Piece] = []
  var readers: [Reader] = []
  var writers: [Writer] = []
  var isGone = false
  var lastWaiter = 0
}

extension SimulatedDevice {
  /// Opens the line. One holder at a time; `.absent` while the cable is out, `.busy` while somebody has it.
  ///
  /// - Parameter baud: the host's speed; nil where the far end is no serial line.
  public func openLine(baud: Int? = nil) throws(ChannelError) -> SimulatedLine {
    guard serial != nil else { throw .malformed("\(name) is not a device on a line of bytes") }
    guard line.isPlugged else { throw .absent("simulated:\(name)") }
    guard attached == nil, usbHost == nil else { throw .busy("simulated:\(name) is already open") }
    lastEnd += 1
    ends[lastEnd] = LineEnd()
    attached = lastEnd
    hostBaud = baud
    return SimulatedLine(device: self, end: lastEnd)
  }

  func apply(_ command: LineFaults.Command) {
    let (wasPlugged, wasPowered) = (line.isPlugged, line.isPowered)
    switch command {
    case .unplug: unplug()
    case .noise(let count): deliver(line.noise(count))
    default: line.arm(command)
    }
    if command == .clear { usb?.faults = USBFaults() }
    if !wasPlugged, line.isPlugged {
      note(SimulationRecord("plug"))
      insertions += 1
      changed()
    }
    if wasPowered, !line.isPowered {
      note(SimulationRecord("power-off"))
      dropReplies()
      if usb != nil {
        disconnectUSB()
        changed()
      }
      perform(serial?.powerLost() ?? [])
    } else if !wasPowered, line.isPowered {
      note(SimulationRecord("power-on"))
      if usb != nil {
        insertions += 1
        changed()
      }
    }
    if line.writable == 0 || line.answerable == 0 { unplug() }
    if !line.isStalled { flush() }
    pump()
  }

  func unplug() {
    guard line.isPlugged else { return }
    line.isPlugged = false
    line.writable = nil
    line.answerable = nil
    note(SimulationRecord("unplug"))
    dropReplies()
    disconnectUSB()
    if let id = attached {
      attached = nil
      ends[id]?.isGone = true
      end(id, with: .gone)
    }
    if serial?.isBusPowered == true { perform(serial?.powerLost() ?? []) }
    changed()
  }

  // MARK: Device to host

  func deliver(_ reply: [UInt8]) { for piece in line.pass(reply) { deliver(piece: piece) } }

  func deliver(piece: [UInt8]) {
    guard line.isPlugged, line.isPowered else { return }
    let bytes = misheard(piece)
    if line.isStalled { held.append(bytes) } else { hand(over: bytes) }
  }

  /// What arrives when both ends have not the same speed: something of about the right length.
  func misheard(_ bytes: [UInt8], byDevice: Bool = false) -> [UInt8] {
    guard let device = serial?.baud, let host = hostBaud, device != host else { return bytes }
    let (sender, hearer) = byDevice ? (host, device) : (device, host)
    return line.noise(max(1, bytes.count * hearer / sender))
  }

  /// The host's speed from now on.
  public func setBaud(_ baud: Int) { hostBaud = baud }

  private func flush() {
    let waiting = held
    held = []
    for piece in waiting { hand(over: piece) }
  }

  private func hand(over piece: [UInt8]) {
    guard line.isPlugged else { return }
    if usbHost != nil { return handToUSB(piece) }
    var bytes = piece
    if let left = line.answerable {
      bytes = Array(bytes.prefix(left))
      line.answerable = left - bytes.count
    }
    // Nobody has the line open: a port throws away what arrives.
    if let id = attached, !bytes.isEmpty {
      let isMessage = serial is any SimulatedMessageDevice
      let isAlone = line.isSplit || isMessage
      if isMessage, ends[id]?.arrived.count ?? 0 >= 64 {
        // As many as the kernel's hidraw keeps; a camera loses what comes then, too.
      } else if let last = ends[id]?.arrived.indices.last, ends[id]?.arrived[last].isAlone == false, !isAlone
      {
        ends[id]?.arrived[last].bytes += bytes
      } else {
        ends[id]?.arrived.append(LineEnd.Piece(bytes: bytes, isAlone: isAlone))
      }
      feedReaders(id)
    }
    if line.answerable == 0 { unplug() }
  }

  private func feedReaders(_ id: Int) {
    while let reader = ends[id]?.readers.first, let bytes = take(upTo: reader.count, from: id) {
      ends[id]?.readers.removeFirst()
      reader.finish(.success(bytes))
    }
  }

  private func take(upTo count: Int, from id: Int) -> [UInt8]? {
    guard let piece = ends[id]?.arrived.first else { return nil }
    let bytes = Array(piece.bytes.prefix(max(1, count)))
    if bytes.count == piece.bytes.count {
      ends[id]?.arrived.removeFirst()
    } else {
      ends[id]?.arrived[0].bytes.removeFirst(bytes.count)
    }
    return bytes
  }

  func read(_ id: Int, upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    guard ends[id] != nil else { throw .cancelled }
    // What arrived before the cable came out is still in the port.
    if ends[id]?.readers.isEmpty == true, let bytes = take(upTo: count, from: id) { return bytes }
    if ends[id]?.isGone == true { throw .gone }
    guard timeout > .zero else { throw .timedOut }
    ends[id]?.lastWaiter += 1
    let waiter = ends[id]?.lastWaiter ?? 0
    let result: Result<[UInt8], ChannelError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard !Task.isCancelled, ends[id] != nil else {
          return continuation.resume(returning: .failure(.cancelled))
        }
        let timer = Task { [time, weak self] in
          guard await time.sleep(for: timeout) else { return }
          await self?.giveUp(reader: waiter, of: id, .timedOut)
        }
        ends[id]?.readers.append(LineEnd.Reader(id: waiter, count: count, done: continuation, timer: timer))
      }
    } onCancel: {
      Task { await self.giveUp(reader: waiter, of: id, .cancelled) }
    }
    return try result.get()
  }

  private func giveUp(reader: Int, of id: Int, _ error: ChannelError) {
    guard let index = ends[id]?.readers.firstIndex(where: { $0.id == reader }) else { return }
    ends[id]?.readers.remove(at: index).finish(.failure(error))
  }

  func discardInput(_ id: Int) { ends[id]?.arrived = [] }

  // MARK: Host to device

  func write(_ id: Int, _ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    guard ends[id] != nil else { throw ChannelWriteError(written: 0, reason: .cancelled) }
    guard attached == id else { throw ChannelWriteError(written: 0, reason: .gone) }
    // Writers that wait already come first.
    let taken = ends[id]?.writers.isEmpty == true ? feed(bytes[...]) : 0
    if taken == bytes.count { return }
    guard attached == id else { throw ChannelWriteError(written: taken, reason: .gone) }
    guard timeout > .zero else { throw ChannelWriteError(written: taken, reason: .timedOut) }
    ends[id]?.lastWaiter += 1
    let waiter = ends[id]?.lastWaiter ?? 0
    let result: Result<Void, ChannelWriteError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard !Task.isCancelled, ends[id] != nil else {
          let failure = ChannelWriteError(written: taken, reason: .cancelled)
          return continuation.resume(returning: .failure(failure))
        }
        let timer = Task { [time, weak self] in
          guard await time.sleep(for: timeout) else { return }
          await self?.giveUp(writer: waiter, of: id, .timedOut)
        }
        ends[id]?.writers.append(
          LineEnd.Writer(id: waiter, bytes: bytes, taken: taken, done: continuation, timer: timer))
      }
    } onCancel: {
      Task { await self.giveUp(writer: waiter, of: id, .cancelled) }
    }
    try result.get()
  }

  private func giveUp(writer: Int, of id: Int, _ error: ChannelError) {
    guard let index = ends[id]?.writers.firstIndex(where: { $0.id == writer }) else { return }
    ends[id]?.writers.remove(at: index).finish(error)
  }

  /// Hands the device what it takes now of what the host waits to write.
  func pump() {
    pumpUSB()
    while let id = attached, var writer = ends[id]?.writers.first {
      ends[id]?.writers.removeFirst()
      writer.taken += feed(writer.bytes[writer.taken...])
      if writer.taken == writer.bytes.count {
        writer.finish(nil)
      } else if attached == id {
        ends[id]?.writers.insert(writer, at: 0)
        return
      } else {
        writer.finish(.gone)
      }
    }
  }

  /// Hands over bytes until the device holds the line or the cable comes out; returns how many it took.
  private func feed(_ bytes: ArraySlice<UInt8>) -> Int {
    var rest = bytes
    while !rest.isEmpty, line.isPlugged, !line.isStalled {
      var count = rest.count
      if line.isPowered { count = min(count, max(0, serial?.room ?? 0)) }
      if let writable = line.writable {
        count = min(count, writable)
        line.writable = writable - count
      }
      guard count > 0 else { break }
      let piece = Array(rest.prefix(count))
      rest = rest.dropFirst(count)
      // Without power nobody listens; a serial port sends into the void without noticing.
      if line.isPowered {
        if line.isPaced, let baud = serial?.baud ?? hostBaud {
          heardUntil = max(heardUntil, time.now()) + Self.wireTime(piece.count, baud)
        }
        let heard = misheard(piece, byDevice: true)
        perform(serial?.receive(heard) ?? [])
      }
      if line.writable == 0 { unplug() }
    }
    return bytes.count - rest.count
  }

  // MARK: Closing

  func close(_ id: Int) {
    guard ends[id] != nil else { return }
    end(id, with: .cancelled)
    ends[id] = nil
    if attached == id {
      attached = nil
      changed()
    }
  }

  /// Lets everybody who waits on an end go.
  private func end(_ id: Int, with error: ChannelError) {
    let (readers, writers) = (ends[id]?.readers ?? [], ends[id]?.writers ?? [])
    ends[id]?.readers = []
    ends[id]?.writers = []
    for reader in readers { reader.finish(.failure(error)) }
    for writer in writers { writer.finish(error) }
  }
}
