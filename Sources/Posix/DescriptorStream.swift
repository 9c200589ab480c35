private import CLinux
internal import Synchronization

/// Why reading or writing ended.
public enum StreamError: Error, Sendable, Equatable {
  /// This side was closed with ``DescriptorStream/close()``.
  case closed
  /// The time was over.
  case timedOut
  /// The task was cancelled.
  case cancelled
  /// The call failed. A tty whose other side is gone gives `EIO`, a device that was unplugged `ENODEV` or `ENXIO`.
  case system(SystemError)
}

/// Why writing ended, and how far it got.
public struct StreamWriteError: Error, Sendable, Equatable {
  /// The bytes the system took before. What happened to them after that is not known.
  public let written: Int
  /// The reason.
  public let reason: StreamError

  /// A failure after `written` bytes.
  public init(written: Int, reason: StreamError) {
    self.written = written
    self.reason = reason
  }
}

/// Reading and writing a pollable descriptor without holding a thread.
///
/// One task reads and one task writes at a time: bytes of two writers may mix.
public final class DescriptorStream: Sendable {
  /// Keeps the descriptor open until the last operation on it has ended, so that none of them can meet its number
  /// in the hands of another file.
  private final class Open: Sendable {
    let descriptor: Descriptor
    let isClosed = Atomic(false)
    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
  }

  private let open: Mutex<Open?>

  /// Takes the descriptor over and makes it non-blocking, for everyone who shares the open file.
  public init(_ descriptor: consuming Descriptor) {
    Signals.ignoreBrokenPipe()
    // Fails only for a number that is not open; the first operation says so.
    _ = clinux_set_nonblocking(descriptor.raw)
    open = Mutex(Open(descriptor))
  }

  /// Reads what there is, waiting for the first byte.
  /// - Parameters:
  ///   - count: the most to read at once, at least 1.
  ///   - timeout: for the first byte; `nil` waits without limit.
  /// - Returns: 1 to `count` bytes; none at the end of the file.
  public func read(upTo count: Int, timeout: Duration?) async throws(StreamError) -> [UInt8] {
    let open = try current()
    let deadline = Poller.shared.deadline(after: timeout)
    while true {
      if Task.isCancelled { throw .cancelled }
      let (bytes, result) = Self.readNow(open, max(count, 1))
      if result >= 0 { return bytes }
      guard result == -Int(Errno.again) else {
        throw failure(open, SystemError(call: "read", code: Int32(clamping: -result)))
      }
      try await wait(.read, open, deadline)
    }
  }

  /// Writes all of the bytes.
  /// - Parameter timeout: for all of them; `nil` waits without limit.
  /// - Throws: how many were taken and why no more. The system error is `EPIPE` when nobody reads any more.
  public func write(_ bytes: [UInt8], timeout: Duration?) async throws(StreamWriteError) {
    var written = 0
    do throws(StreamError) {
      let open = try current()
      let deadline = Poller.shared.deadline(after: timeout)
      while written < bytes.count {
        if Task.isCancelled { throw .cancelled }
        if open.isClosed.load(ordering: .acquiring) { throw .closed }
        let result = unsafe bytes[written...].withUnsafeBytes { bytes in
          unsafe clinux_write(open.descriptor.raw, bytes.baseAddress, bytes.count)
        }
        if result >= 0 {
          written += result
        } else if result == -Int(Errno.again) {
          try await wait(.write, open, deadline)
        } else {
          throw failure(open, SystemError(call: "write", code: Int32(clamping: -result)))
        }
      }
    } catch {
      throw StreamWriteError(written: written, reason: error)
    }
  }

  /// Waits until the descriptor is ready or its other side has gone, for calls this type does not have (`ioctl`).
  public func ready(
    for interest: Poller.Interest, timeout: Duration?
  ) async throws(StreamError) -> Readiness {
    let open = try current()
    if Task.isCancelled { throw .cancelled }
    return try await wait(interest, open, Poller.shared.deadline(after: timeout))
  }

  /// Lends the number for calls this type does not have; `nil` when the stream is closed. It stays open meanwhile.
  public func withDescriptor<Value, Failure: Error>(
    _ body: (Int32) throws(Failure) -> Value
  ) throws(Failure) -> Value? {
    guard let open = open.withLock({ $0 }) else { return nil }
    return try body(open.descriptor.raw)
  }

  /// Ends reading and writing with `.closed`, those in progress too. Closing again does nothing.
  ///
  /// The descriptor itself is closed as soon as the operations in progress have returned.
  public func close() {
    let open = open.withLock { open in
      defer { open = nil }
      return open
    }
    guard let open else { return }
    // The flag first: a wait that begins after `forget` sees it under the poller's lock.
    open.isClosed.store(true, ordering: .releasing)
    Poller.shared.forget(open.descriptor.raw)
  }

  private func current() throws(StreamError) -> Open {
    guard let open = open.withLock({ $0 }) else { throw .closed }
    return open
  }

  @discardableResult
  private func wait(
    _ interest: Poller.Interest, _ open: Open, _ deadline: UInt64?
  ) async throws(StreamError) -> Readiness {
    let outcome = await Poller.shared.outcome(
      for: interest, on: open.descriptor.raw, deadline: deadline,
      unless: { open.isClosed.load(ordering: .acquiring) })
    switch outcome {
    case .readiness(.ready): return .ready
    case .readiness(.hangup): return .hangup
    case .readiness(.timedOut): throw .timedOut
    case .readiness(.cancelled): throw open.isClosed.load(ordering: .acquiring) ? .closed : .cancelled
    case .failed(let error): throw .system(error)
    }
  }

  private func failure(_ open: Open, _ error: SystemError) -> StreamError {
    open.isClosed.load(ordering: .acquiring) ? .closed : .system(error)
  }

  private static func readNow(_ open: Open, _ count: Int) -> ([UInt8], Int) {
    var result = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      result = unsafe clinux_read(open.descriptor.raw, buffer.baseAddress, count)
      filled = max(result, 0)
    }
    return (bytes, result)
  }
}
