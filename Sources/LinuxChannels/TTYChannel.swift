public import Channels
internal import Glibc
internal import Posix
internal import Synchronization

/// A serial line or pseudo-terminal, held by this process alone.
///
/// Bytes count as written when the kernel has taken them. They may still wait in the line's output queue (4 KiB on most
/// ports: four seconds at 9600 baud), and with flow control for as long as the device holds the line; ``close()`` gives
/// them time to leave.
public final class TTYChannel: SerialLine {
  private let stream: DescriptorStream
  /// The same open line once more, for ``close()``; nil when it is closed.
  private let line: Mutex<Line?>
  /// How long the output queue may stand still before ``close()`` gives it up.
  private let drainLimit: Duration
  private let flow: SerialSettings.FlowControl

  private final class Line: Sendable {
    let descriptor: Descriptor
    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
  }

  private init(
    _ port: consuming Descriptor, flow: SerialSettings.FlowControl, drainLimit: Duration
  ) throws(SystemError) {
    line = Mutex(Line(try port.duplicate()))
    stream = DescriptorStream(port)
    self.drainLimit = drainLimit
    self.flow = flow
  }

  /// Opens a line: raw, 8 data bits, no parity, 1 stop bit, what had arrived before thrown away.
  /// - Parameters:
  ///   - path: the device's node or a link to it.
  ///   - drainLimit: how long ``close()`` waits for a device that takes nothing more.
  /// - Throws: `.absent` (no such node, or no port behind it), `.denied`, `.busy` with the program and process that
  ///   have it where this account may see them, `.malformed` for what is no terminal and for a speed it does not take.
  public static func open(
    path: String, line: LineSettings, drainLimit: Duration = .seconds(2)
  ) throws(ChannelError) -> TTYChannel {
    let flow: SerialSettings.FlowControl =
      switch line.flowControl {
      case .none: .none
      case .hardware: .hardware
      case .software: .software
      }
    guard SerialSettings.speeds.contains(line.baud) else {
      throw .malformed("\(path): \(line.baud) baud is none of \(SerialSettings.speeds)")
    }
    do throws(SystemError) {
      return try TTYChannel(
        SerialPort.open(
          path: path,
          settings: SerialSettings(
            baud: line.baud, flowControl: flow, raisesDTR: line.raisesDTR, raisesRTS: line.raisesRTS)),
        flow: flow, drainLimit: drainLimit)
    } catch {
      switch error.code {
      case EBUSY: throw .busy(DeviceHolder.describe(path))
      case EACCES, EPERM: throw .denied(DeviceHolder.permissions(path))
      case EINVAL:
        throw .malformed("\(path) does not take \(line.baud) baud, flow control \(line.flowControl)")
      default: throw ChannelError(opening: path, error)
      }
    }
  }

  /// Waits for at least one byte. `.gone` when the line was hung up, unplugged or closed by its far end.
  public func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let bytes: [UInt8]
    do throws(StreamError) {
      bytes = try await stream.read(upTo: count, timeout: timeout)
    } catch {
      throw ChannelError(using: error)
    }
    // A terminal in raw mode has no other end of file than a hang-up.
    guard !bytes.isEmpty else { throw .gone }
    return bytes
  }

  /// Hands all bytes to the kernel, or throws with the number it took: those are on their way to the device.
  public func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    do throws(StreamWriteError) {
      try await stream.write(bytes, timeout: timeout)
    } catch {
      throw ChannelWriteError(written: error.written, reason: ChannelError(using: error.reason))
    }
  }

  /// Throws away what has arrived and was not read.
  public func discardInput() async {
    // Fails only on a line that is gone, which the next read says.
    _ = stream.withDescriptor { try? SerialPort.discardInput($0) }
  }

  /// Changes the speed, once what was written has left. `.malformed` for a speed that the device does not take.
  public func setBaud(_ baud: Int) async throws(ChannelError) {
    guard SerialSettings.speeds.contains(baud) else { throw .malformed("\(baud) baud") }
    guard let line = line.withLock({ $0 }) else { throw .cancelled }
    await Self.drain(line, limit: drainLimit)
    do throws(SystemError) {
      try SerialPort.configure(line.descriptor.raw, SerialSettings(baud: baud, flowControl: flow))
      try SerialPort.discardInput(line.descriptor.raw)
    } catch {
      if error.code == EINVAL { throw .malformed("the line does not take \(baud) baud") }
      throw error.code == EIO ? .gone : .system(call: error.call, code: error.code)
    }
  }

  /// Ends the channel. Output that is still queued gets the time it needs as long as the device goes on taking it.
  public func close() async {
    let taken = line.withLock { line in
      defer { line = nil }
      return line
    }
    guard let taken else { return }
    stream.close()
    // The task that closes is often a cancelled one, and the bytes of a finished ticket must leave all the same.
    await Task { [drainLimit] in await Self.drain(taken, limit: drainLimit) }.value
  }

  /// Without this the kernel itself would wait in close(2), up to 30 s and on a thread others need, for a device that
  /// holds the line (`closing_wait`, setserial(8)).
  private static func drain(_ line: Line, limit: Duration) async {
    let time = SystemTime()
    var unsent = Int.max
    var progress = time.now()
    while let left = try? SerialPort.unsentBytes(line.descriptor.raw), left > 0 {
      if left < unsent { progress = time.now() }
      unsent = left
      guard time.now() - progress < limit else {
        tcflush(line.descriptor.raw, TCOFLUSH)
        return
      }
      _ = await time.sleep(for: .milliseconds(20))
    }
  }
}
