public import Channels
internal import Glibc
internal import Posix
internal import Synchronization

/// A printer's raw port by the kernel's usblp driver, `/dev/usb/lp0`, held by this process alone.
///
/// The driver tells what became of bytes only to whoever waits in `write` until the printer has them: without blocking it
/// takes them, says that it has, and keeps to itself that the printer was pulled out or refused them (usblp_write). So a
/// write blocks, on a thread of its own and for a limited time, and bytes count as written when the printer has taken them.
public final class LPChannel: PrinterPort {
  private let stream: DescriptorStream
  private let path: String
  /// The printer only takes: the driver has no reading for it.
  private let isOneWay: Bool
  private let drainLimit: Duration
  private let state = Mutex(State())
  private let time = SystemTime()

  private struct State {
    var isClosed = false
    var writing: InterruptibleCall?
    /// A write was interrupted, and its last bytes are still with the driver.
    var isLeftOver = false
  }

  /// What the driver sends at once (`USBLP_BUF_SIZE`): it tells of no part of it.
  private static let writeSize = 8192
  /// How long a printer that was pulled out may pass for one that fails: until its hub has told the kernel.
  private static let unplugging = Duration.seconds(1)

  private init(_ port: consuming Descriptor, path: String, isOneWay: Bool, drainLimit: Duration) {
    let raw = port.raw
    stream = DescriptorStream(port)
    _ = fcntl(raw, F_SETFL, fcntl(raw, F_GETFL) & ~O_NONBLOCK)
    self.path = path
    self.isOneWay = isOneWay
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
      let port = try Files.open(path, .readingAndWriting)
      // Asking for nothing takes nothing; the driver says EINVAL where there is no back-channel.
      var none: UInt8 = 0
      let isOneWay = unsafe Glibc.read(port.raw, &none, 0) < 0 && errno == EINVAL
      return LPChannel(port, path: path, isOneWay: isOneWay, drainLimit: drainLimit)
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
    if isOneWay { throw await end(of: timeout) }
    let deadline = time.now() + timeout
    while true {
      do throws(StreamError) {
        _ = try await stream.ready(for: .read, timeout: max(deadline - time.now(), .zero))
      } catch {
        throw ChannelError(using: error)
      }
      let (bytes, code) = try readNow(max(count, 1))
      // No bytes and no error: an empty packet of the printer's, or somebody discarded them in between.
      if !bytes.isEmpty { return bytes }
      if code != 0 { throw await failure("read", code) }
      guard deadline > time.now() else { throw .timedOut }
    }
  }

  /// Sends all bytes and waits until the printer has taken them.
  ///
  /// When the time is over or the task is cancelled, up to 8192 bytes after those that are counted may be with the
  /// printer or still reach it, as long as the channel is open.
  public func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    let call = InterruptibleCall()
    let isClosed = state.withLock { state in
      if !state.isClosed { state.writing = call }
      return state.isClosed
    }
    guard !isClosed else { throw ChannelWriteError(written: 0, reason: .cancelled) }
    let stream = stream
    let (written, code) = await call.run("usblp write", timeout: timeout) { call in
      stream.withDescriptor { Self.send(bytes, to: $0, call) } ?? (0, ECANCELED)
    }
    let closed = state.withLock { state in
      state.writing = nil
      state.isLeftOver = code == EINTR
      return state.isClosed
    }
    guard code != 0 else { return }
    let reason: ChannelError =
      switch code {
      case ECANCELED: .cancelled
      case EINTR: closed || Task.isCancelled ? .cancelled : .timedOut
      default: await failure("write", code)
      }
    throw ChannelWriteError(written: written, reason: reason)
  }

  /// Throws away what has arrived and was not read.
  public func discardInput() async {
    guard !isOneWay else { return }
    // At most what the driver has buffered and what it fetches meanwhile.
    for _ in 0..<8 {
      guard let (bytes, _) = try? readNow(1024), !bytes.isEmpty else { return }
    }
  }

  /// Ends the channel. What an interrupted write has left with the driver gets ``open(path:drainLimit:)``'s limit to reach
  /// the printer; then the driver throws it away.
  public func close() async {
    let writing = state.withLock { state in
      state.isClosed = true
      return state.writing
    }
    writing?.interrupt()
    // The task that closes is often a cancelled one, and what can still leave shall leave all the same.
    let (stream, limit) = (stream, drainLimit)
    if writing != nil || state.withLock({ $0.isLeftOver }) {
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

  /// Writes until all is taken; how much was, and an errno or 0.
  private static func send(_ bytes: [UInt8], to raw: Int32, _ call: InterruptibleCall) -> (Int, Int32) {
    var written = 0
    while written < bytes.count {
      if call.isInterrupted { return (written, EINTR) }
      let chunk = bytes[written..<min(written + writeSize, bytes.count)]
      let count = unsafe chunk.withUnsafeBytes { unsafe Glibc.write(raw, $0.baseAddress, $0.count) }
      let code = errno
      if count > 0 {
        written += count
      } else if code != EINTR || call.isInterrupted {
        return (written, count == 0 ? EIO : code)
      }
    }
    return (written, 0)
  }

  /// What there is, without waiting: bytes, or an errno.
  private func readNow(_ count: Int) throws(ChannelError) -> ([UInt8], Int32) {
    // Under the lock nobody else can take what poll(2) has seen, so that the read does not block.
    let result = state.withLock { _ in
      stream.withDescriptor { raw -> ([UInt8], Int32) in
        var entry = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&entry, 1, 0) > 0 else { return ([], 0) }
        var code: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
          let result = unsafe Glibc.read(raw, buffer.baseAddress, count)
          code = result < 0 ? errno : 0
          filled = max(result, 0)
        }
        return (bytes, code)
      }
    }
    guard let result else { throw .cancelled }
    return result
  }

  /// What a refusal of the driver means. Transfers fail some time before the kernel knows that the printer has left.
  private func failure(_ call: String, _ code: Int32) async -> ChannelError {
    let error = SystemError(call: "\(call) \(path)", code: code)
    guard code == EIO else { return ChannelError(using: .system(error)) }
    let deadline = time.now() + Self.unplugging
    repeat {
      guard let isThere = stream.withDescriptor({ LinePrinter.isPresent($0) }) else { return .cancelled }
      if !isThere { return .gone }
    } while await time.sleep(for: .milliseconds(20)) && time.now() < deadline
    return .system(call: error.call, code: code)
  }

  /// How a wait for nothing ends: only the node tells that the printer has gone, and the stream that it was closed.
  private func end(of timeout: Duration) async -> ChannelError {
    let (stream, path) = (stream, path)
    let watch = try? NodeWatch(directory: Files.directory(of: path))
    guard Files.exists(path) else { return .gone }
    return await withTaskGroup(of: ChannelError?.self) { group in
      group.addTask {
        do throws(StreamError) {
          _ = try await stream.ready(for: .read, timeout: max(timeout, .zero))
          return .gone
        } catch {
          return ChannelError(using: error)
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
      // The driver waits 5 s for the printer: by now the kernel knows whether it has left.
      let isThere = stream.withDescriptor { LinePrinter.isPresent($0) }
      throw isThere == false ? .gone : .system(call: "\(error.call) \(path)", code: error.code)
    }
    guard let result else { throw .cancelled }
    return result
  }
}
