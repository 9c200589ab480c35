private import CLinux
internal import Synchronization

/// Signals as a stream of values.
///
/// They are caught by a handler that writes to a pipe. A blocked mask and a signalfd cannot work in a program with an
/// asynchronous `main`: on Linux its main thread ends up in libdispatch's `sigsuspend` with every signal unblocked, and
/// would die of them (tried with Swift 6.3.1; `_dispatch_sigsuspend` in libdispatch's queue.c).
public enum Signals {
  /// `SIGHUP` (signal(7)).
  public static let hangup: Int32 = 1
  /// `SIGINT`.
  public static let interrupt: Int32 = 2
  /// `SIGKILL`, which no process can refuse.
  public static let kill: Int32 = 9
  /// `SIGUSR1`.
  public static let user1: Int32 = 10
  /// `SIGSEGV`: a program has reached for memory that is not its own.
  public static let segmentationViolation: Int32 = 11
  /// `SIGTERM`.
  public static let terminate: Int32 = 15

  /// Keeps the signals from acting on the process from now on; they are kept for ``stream(_:)``.
  ///
  /// To be called at the very start of `main`, so that none comes before. `SIGKILL` and `SIGSTOP` cannot be kept. A child
  /// process starts with the default actions again.
  public static func block(_ signals: [Int32]) { SignalPipe.shared?.catch(signals) }

  /// The signals as they arrive, those since ``block(_:)`` that nobody has taken first, until the stream is dropped.
  ///
  /// Each stream of a signal gets each arrival; arrivals that are close together may come as one. When the system has no
  /// descriptor left for the pipe the stream ends at once.
  public static func stream(_ signals: [Int32]) -> AsyncStream<Int32> {
    guard let pipe = SignalPipe.shared else { return AsyncStream { $0.finish() } }
    pipe.catch(signals)
    return pipe.stream(signals)
  }

  /// Makes writing to a pipe or socket without a reader an error (`EPIPE`) instead of the end of the process.
  ///
  /// A handler the program installed is left alone; a child process starts with the default again.
  public static func ignoreBrokenPipe() { _ = ignored }

  private static let ignored: Void = { _ = clinux_ignore_broken_pipe() }()
}

/// The pipe the handler writes to, and the streams that are fed from it.
private final class SignalPipe: Sendable {
  private struct State {
    var streams: [UInt64: (signals: Set<Int32>, continuation: AsyncStream<Int32>.Continuation)] = [:]
    var lastStream: UInt64 = 0
    var unclaimed: [Int32] = []
    var isRead = false
  }

  static let shared: SignalPipe? = SignalPipe()

  private let reading: DescriptorStream
  private let writing: Descriptor
  private let state = Mutex(State())

  private init?() {
    var reading: Int32 = -1
    var writing: Int32 = -1
    guard unsafe clinux_pipe(&reading, &writing) == 0 else { return nil }
    self.reading = DescriptorStream(Descriptor(adopting: reading))
    self.writing = Descriptor(adopting: writing)
    _ = clinux_set_nonblocking(writing)
  }

  func `catch`(_ signals: [Int32]) {
    _ = unsafe clinux_signals_catch(writing.raw, signals, Int32(signals.count))
  }

  func stream(_ signals: [Int32]) -> AsyncStream<Int32> {
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    let (id, mustStart) = state.withLock { state in
      state.lastStream += 1
      state.streams[state.lastStream] = (Set(signals), continuation)
      for signal in state.unclaimed where signals.contains(signal) { continuation.yield(signal) }
      state.unclaimed.removeAll { signals.contains($0) }
      defer { state.isRead = true }
      return (state.lastStream, !state.isRead)
    }
    continuation.onTermination = { [weak self] _ in
      _ = self?.state.withLock { $0.streams.removeValue(forKey: id) }
    }
    if mustStart { Task { await self.read() } }
    return stream
  }

  private func read() async {
    while let numbers = try? await reading.read(upTo: 64, timeout: nil), !numbers.isEmpty {
      state.withLock { state in
        for signal in numbers.map({ Int32($0) }) {
          let takers = state.streams.values.filter { $0.signals.contains(signal) }
          for taker in takers { taker.continuation.yield(signal) }
          if takers.isEmpty, !state.unclaimed.contains(signal) { state.unclaimed.append(signal) }
        }
      }
    }
  }
}
