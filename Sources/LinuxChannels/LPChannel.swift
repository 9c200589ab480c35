public import Channels
internal import Glibc
internal import Posix
internal import Synchronization

/// A printer's raw port by the kernel's usblp driver, `/dev/usb/lp0`, held by this process alone.
///
/// The driver takes at most 8192 bytes at a time and says that it has them while they are still on their way; it is ready
/// for more when the printer has taken them (facts/devices.md A5). Bytes count as written only then, and closing waits for
/// it: else the end of a ticket would be cut off. That the printer refused bytes (a stalled endpoint) the driver tells
/// nobody who does not block; a printer that does that is better opened by its USB interface.
public final class LPChannel: PrinterPort {
  private let stream: DescriptorStream
  private let path: String
  private let drainLimit: Duration
  private let state = Mutex(State())

  private struct State {
    var isClosed = false
    /// Bytes may be on their way, so that closing has to wait.
    var isSending = false
    /// The printer only takes: the driver has no reading for it.
    var isOneWay = false
  }

  /// Bytes that the driver takes at once (`USBLP_BUF_SIZE`).
  private static let writeSize = 8192

  private init(_ port: consuming Descriptor, path: String, drainLimit: Duration) {
    stream = DescriptorStream(port)
    self.path = path
    self.drainLimit = drainLimit
  }

  /// Opens a port.
  /// - Parameters:
  ///   - path: the node or a link to it.
  ///   - drainLimit: how long ``close()`` waits for a printer that takes nothing more.
  /// - Throws: `.absent`, `.denied` with the node's owner and permissions, `.busy` with the program that has it.
  public static func open(path: String, drainLimit: Duration = .seconds(2)) throws(ChannelError) -> LPChannel
  {
    do throws(SystemError) {
      return LPChannel(try Files.open(path, .readingAndWriting), path: path, drainLimit: drainLimit)
    } catch {
      switch error.code {
      case EBUSY: throw .busy(DeviceHolder.describe(path))
      case EACCES, EPERM: throw .denied(DeviceHolder.permissions(path))
      // The driver could not even begin to read: the printer left, or fails on the bus.
      case EIO: throw .system(call: error.call, code: error.code)
      default: throw ChannelError(opening: path, error)
      }
    }
  }

  /// Waits for at least one byte of the back-channel. A printer that only takes never sends: `.timedOut`, or `.gone` when
  /// it is unplugged.
  public func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let time = SystemTime()
    let deadline = time.now() + timeout
    while true {
      if state.withLock({ $0.isOneWay }) { return try await waitUntilGone(deadline - time.now()) }
      do throws(StreamError) {
        let bytes = try await stream.read(upTo: count, timeout: deadline - time.now())
        // An empty packet of the printer's, not an end.
        if !bytes.isEmpty { return bytes }
        guard deadline > time.now() else { throw .timedOut }
      } catch {
        guard case .system(let system) = error, system.code == EINVAL else { throw Self.error(error) }
        state.withLock { $0.isOneWay = true }
      }
    }
  }

  /// Sends all bytes and waits until the printer has taken them.
  public func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    let deadline = SystemTime().now() + timeout
    var written = 0
    do throws(ChannelError) {
      try await untilTaken(deadline)
      while written < bytes.count {
        let end = min(written + Self.writeSize, bytes.count)
        let taken = try submit(bytes[written..<end]) ?? 0
        // Taken by the driver is not taken by the printer.
        if taken > 0 { state.withLock { $0.isSending = true } }
        try await untilTaken(deadline)
        written += taken
      }
    } catch {
      throw ChannelWriteError(written: written, reason: error)
    }
  }

  /// Throws away what has arrived and was not read.
  public func discardInput() async {
    // At most what the driver has buffered (`USBLP_BUF_SIZE_IN`) and what it fetches meanwhile.
    for _ in 0..<8 {
      guard let bytes = try? await stream.read(upTo: 1024, timeout: .zero), !bytes.isEmpty else { return }
    }
  }

  /// Ends the channel. What is on its way to the printer gets ``open(path:drainLimit:)``'s limit to arrive; after that the
  /// driver throws it away.
  public func close() async {
    let isSending = state.withLock { state in
      defer { state.isClosed = true }
      return state.isSending && !state.isClosed
    }
    if isSending {
      // The task that closes is often a cancelled one, and the end of a finished ticket must leave all the same.
      let (stream, limit) = (stream, drainLimit)
      await Task { _ = try? await stream.ready(for: .write, timeout: limit) }.value
    }
    stream.close()
  }

  /// Asks the printer, which may take up to 5 s to say nothing.
  public func portStatus() async throws(ChannelError) -> PrinterPortStatus {
    PrinterPortStatus(rawValue: try await control { raw throws(SystemError) in try LinePrinter.status(raw) })
  }

  /// The id as the driver keeps it or asks for it.
  public func deviceID() async throws(ChannelError) -> String {
    PrinterDeviceID.text(try await control { raw throws(SystemError) in try LinePrinter.deviceID(raw) })
  }

  // MARK: The driver

  /// How many bytes the driver took: none while it has others on their way. With no bytes only whether it has.
  private func submit(_ bytes: ArraySlice<UInt8>) throws(ChannelError) -> Int? {
    let result = stream.withDescriptor { descriptor -> (Int, Int32) in
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      return (count, errno)
    }
    guard let (count, code) = result else { throw .cancelled }
    if count >= 0 { return count }
    if code == EAGAIN || code == EINTR { return nil }
    throw Self.error(.system(SystemError(call: "write \(path)", code: code)))
  }

  /// Waits until the driver has nothing on its way any more.
  private func untilTaken(_ deadline: Duration) async throws(ChannelError) {
    repeat {
      do throws(StreamError) {
        _ = try await stream.ready(for: .write, timeout: max(deadline - SystemTime().now(), .zero))
      } catch {
        throw Self.error(error)
      }
      // A printer that is unplugged is "ready" too (usblp_disconnect): a write of nothing tells.
    } while try submit([]) == nil
    state.withLock { $0.isSending = false }
  }

  /// Nothing is ever to be read: only the node tells that the printer has gone, and the stream that it was closed.
  private func waitUntilGone(_ left: Duration) async throws(ChannelError) -> [UInt8] {
    let directory = Files.directory(of: path)
    let watch = try? NodeWatch(directory: directory)
    guard Files.exists(path) else { throw .gone }
    let (stream, path) = (stream, path)
    let error = await withTaskGroup(of: ChannelError?.self) { group in
      group.addTask {
        do throws(StreamError) {
          _ = try await stream.ready(for: .read, timeout: max(left, .zero))
          return .gone
        } catch {
          return Self.error(error)
        }
      }
      if let watch {
        group.addTask {
          for await _ in watch.changes where !Files.exists(path) { return .gone }
          return nil
        }
      }
      while let ended = await group.next() {
        guard let ended else { continue }
        group.cancelAll()
        return ended
      }
      return .gone
    }
    throw error
  }

  /// A call that may wait for the printer, on a thread of its own.
  private func control<Value: Sendable>(
    _ body: @escaping @Sendable (Int32) throws(SystemError) -> Value
  ) async throws(ChannelError) -> Value {
    let stream = stream
    let result: Value?
    do throws(SystemError) {
      result = try await onOwnThread("usblp control") { () throws(SystemError) in
        try stream.withDescriptor { raw throws(SystemError) in try body(raw) }
      }
    } catch {
      throw Self.error(.system(error))
    }
    guard let result else { throw .cancelled }
    return result
  }

  private static func error(_ error: StreamError) -> ChannelError {
    // Unlike a serial line's, the driver's EIO is a transfer that failed while the printer is there.
    if case .system(let system) = error, system.code == EIO { return .system(call: system.call, code: EIO) }
    return ChannelError(using: error)
  }
}
