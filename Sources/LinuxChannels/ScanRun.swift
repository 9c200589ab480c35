internal import Channels
internal import Posix
internal import Synchronization

/// A run of `scanimage`: its process group, its pipes, and the end of what it said on standard error.
final class ScanRun: Sendable {
  private let process: ChildProcess
  private let said: Said
  private let listener: Task<Void, Never>
  /// What came on standard output after the last line that was taken.
  private let pending = Mutex<[UInt8]>([])

  /// Bytes of standard error that are kept: its end, where the reason is.
  static let diagnosticsLimit = 4096
  /// Bytes of standard output that are kept of one answer: an option listing has about 10 kB.
  private static let outputLimit = 1 << 20

  /// Starts the program; `.absent` when it is not there.
  static func start(
    _ arguments: [String], _ configuration: ScanImageFeed.Configuration
  ) throws(ChannelError) -> ScanRun {
    do throws(SystemError) {
      return ScanRun(
        try ChildProcess.spawn(
          configuration.program, arguments: arguments, environment: environment(configuration),
          standardInput: .pipe,
          standardOutput: .pipe, standardError: .pipe))
    } catch {
      throw ChannelError(opening: configuration.program, error)
    }
  }

  /// What the program and its backends need, and nothing of this service's own.
  private static func environment(_ configuration: ScanImageFeed.Configuration) -> [String: String] {
    var environment = ["LC_ALL": "C"]
    for name in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SANE_CONFIG_DIR", "XDG_RUNTIME_DIR"] {
      environment[name] = Environment[name]
    }
    if let directory = configuration.saneDirectory { environment["SANE_CONFIG_DIR"] = directory }
    return environment
  }

  private init(_ process: ChildProcess) {
    self.process = process
    let said = Said()
    self.said = said
    let errorOutput = process.errorOutput
    listener = Task {
      while let bytes = try? await errorOutput?.read(upTo: 4096, timeout: nil), !bytes.isEmpty {
        said.append(bytes)
      }
    }
  }

  /// The end of what it said on standard error: all of it after ``finish(stopping:limit:)``.
  var diagnostics: String { said.text }

  /// Lets it take the next page and waits until it names that page's file; false when it ends instead.
  func askForPage(_ path: String, timeout: Duration) async throws(ChannelError) -> Bool {
    let time = SystemTime()
    let deadline = time.now() + timeout
    // It may have ended already: then there is nobody to ask, and its output tells.
    try? await process.input?.write([UInt8(ascii: "\n")], timeout: timeout)
    while true {
      while let line = takeLine() {
        // Backends print to standard output too, and not always whole lines.
        if line.hasSuffix(path) { return true }
      }
      guard let more = try await read(timeout: deadline - time.now()) else { return false }
      let size = pending.withLock { pending in
        pending += more
        return pending.count
      }
      guard size <= Self.outputLimit else { throw .malformed("scanimage prints without end") }
    }
  }

  /// All it prints, without what is beyond a limit; nil when the time was over or the task was cancelled first.
  func wholeOutput(timeout: Duration) async -> String? {
    let time = SystemTime()
    let deadline = time.now() + timeout
    var all: [UInt8] = []
    do throws(ChannelError) {
      while let more = try await read(timeout: deadline - time.now()) {
        if all.count < Self.outputLimit { all += more }
      }
    } catch {
      return nil
    }
    return String(decoding: all, as: UTF8.self)
  }

  /// Waits for its end and takes the last of its words; ends it by force after `limit`.
  ///
  /// Goes on when the caller's task has been cancelled: the device has to come to rest in any case.
  /// - Parameter stopping: tell it to stop (SIGINT: it cancels the scan at the device and closes it).
  func finish(stopping: Bool, limit: Duration) async -> ExitStatus {
    await Task { await end(stopping, limit) }.value
  }

  private func end(_ stopping: Bool, _ limit: Duration) async -> ExitStatus {
    if stopping { process.signal(Signals.interrupt) }
    process.input?.close()
    var status = await process.wait(timeout: limit)
    if status == nil {
      process.signal(Signals.kill)
      // A process inside a system call that does not return (a USB transfer) cannot be waited for.
      status = await process.wait(timeout: limit)
    }
    // All that it said is there to be read. The end may be long in coming: a backend's own helper processes may hold
    // standard error open.
    listener.cancel()
    await listener.value
    // No more than a pipe holds: they may go on speaking.
    for _ in 0..<16 {
      guard let bytes = try? await process.errorOutput?.read(upTo: 4096, timeout: .zero), !bytes.isEmpty
      else {
        break
      }
      said.append(bytes)
    }
    process.errorOutput?.close()
    return status ?? .signalled(Signals.kill)
  }

  /// What came next; nil at the end of the output.
  private func read(timeout: Duration) async throws(ChannelError) -> [UInt8]? {
    do throws(StreamError) {
      let bytes = try await process.output?.read(upTo: 4096, timeout: timeout) ?? []
      return bytes.isEmpty ? nil : bytes
    } catch {
      throw ChannelError(using: error)
    }
  }

  private func takeLine() -> String? {
    pending.withLock { pending in
      guard let end = pending.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
      let line = String(decoding: pending[..<end], as: UTF8.self)
      pending.removeFirst(end + 1)
      return line
    }
  }
}

/// The end of a stream of text.
private final class Said: Sendable {
  private let bytes = Mutex<[UInt8]>([])
  func append(_ more: [UInt8]) {
    bytes.withLock { $0 = Array(($0 + more).suffix(ScanRun.diagnosticsLimit)) }
  }
  var text: String { bytes.withLock { String(decoding: $0, as: UTF8.self) } }
}
