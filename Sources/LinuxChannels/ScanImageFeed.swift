public import Channels
internal import Glibc
internal import Posix
internal import Synchronization

/// Pages from a SANE device through the `scanimage` program.
///
/// A page is in a private directory between the program and ``scan(_:timeout:page:)`` only, and the next sheet is not
/// fed before `page` has returned. Measured with sane-utils 1.2.1: `--batch-prompt` holds the feeder, and
/// `--batch-print` names a page after its file is whole.
public final class ScanImageFeed: PageFeed {
  /// How the program is run.
  public struct Configuration: Sendable {
    /// The program, looked up in `PATH` when it has no `/`.
    public var program: String
    /// `SANE_CONFIG_DIR` for it (sane(7)); nil leaves what this process has.
    public var saneDirectory: String?
    /// Where pages lie for a moment: a directory in memory where there is one.
    public var workDirectory: String
    /// Largest page in bytes. A3 in colour at 600 dpi has 208 MB uncompressed.
    public var pageLimit: Int
    /// How long the program may take to stop the device, before it is killed: a sheet may have to be driven out.
    public var stopLimit: Duration

    /// A configuration; by default what the system has.
    public init(
      program: String = "scanimage", saneDirectory: String? = nil,
      workDirectory: String = Configuration.systemWorkDirectory, pageLimit: Int = 256 << 20,
      stopLimit: Duration = .seconds(10)
    ) {
      self.program = program
      self.saneDirectory = saneDirectory
      self.workDirectory = workDirectory
      self.pageLimit = pageLimit
      self.stopLimit = stopLimit
    }

    /// `RUNTIME_DIRECTORY` (systemd's `RuntimeDirectory=`) or `XDG_RUNTIME_DIR`, which are in memory; else `TMPDIR`, else
    /// `/tmp`.
    public static var systemWorkDirectory: String {
      let runtime = Environment["RUNTIME_DIRECTORY"]?.split(separator: ":").first.map(String.init)
      return [runtime, Environment["XDG_RUNTIME_DIR"], Environment["TMPDIR"]]
        .compactMap { $0 }.first { $0.hasPrefix("/") } ?? "/tmp"
    }
  }

  private struct State {
    var isClosed = false
    var running: Task<Result<PageFeedEnd, ChannelError>, Never>?
  }

  private let device: String
  private let configuration: Configuration
  private let state = Mutex(State())

  /// A feed from the device with that SANE name. Nothing is started before the first call.
  public init(device: String, configuration: Configuration = Configuration()) {
    self.device = device
    self.configuration = configuration
  }

  /// Scans. The whole of it is stopped, by the program itself so that the device comes to rest, when the task is
  /// cancelled, the channel is closed or `page` returns false.
  /// - Parameters:
  ///   - timeout: the longest the device may take for one page, or to say that there is none; what `page` takes does
  ///     not count.
  ///   - page: is given the pages in order, counted from 1.
  /// - Throws: `.absent` when the program or the device is missing, `.busy` while another scan of this channel runs,
  ///   `.timedOut`, `.cancelled`, `.malformed` for a page above the limit.
  public func scan(
    _ request: PageFeedRequest, timeout: Duration,
    page: @escaping @Sendable (_ image: [UInt8], _ number: Int) async -> Bool
  ) async throws(ChannelError) -> PageFeedEnd {
    let task = try state.withLock { state throws(ChannelError) in
      guard !state.isClosed else { throw .cancelled }
      guard state.running == nil else { throw .busy("a scan of \(device) is running") }
      let scan = Scan(
        device: device, configuration: configuration, request: request, timeout: timeout, page: page)
      let task = Task { await scan.run() }
      state.running = task
      return task
    }
    let result = await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
    state.withLock { $0.running = nil }
    return try result.get()
  }

  /// Opens and closes the device through the backend, which moves nothing, and describes it by its options.
  ///
  /// The list of devices (`scanimage -L`) knows makers' names, but asks every backend and the network: seconds, and
  /// traffic at devices that are not meant.
  /// - Throws: `.absent` when the program or the device is missing, `.busy`, `.denied`, `.timedOut`, `.cancelled`.
  public func identify(timeout: Duration) async throws(ChannelError) -> String {
    if state.withLock({ $0.isClosed }) { throw .cancelled }
    let run = try ScanRun.start(["-d", device, "-A"], configuration)
    let listing = await run.wholeOutput(timeout: timeout)
    let status = await run.finish(stopping: listing == nil, limit: configuration.stopLimit)
    guard let listing else { throw Task.isCancelled ? .cancelled : .timedOut }
    if status == .exited(0) { return ScanProgram.description(listing, device: device) }
    switch ScanProgram.openFailure(run.diagnostics) {
    case .busy: throw .busy("sane:\(device)")
    case .denied: throw .denied("sane:\(device)")
    case .absent: throw .absent("sane:\(device)")
    case .other(let text): throw .absent("sane:\(device) (\(text))")
    case nil: throw .malformed("\(configuration.program): \(ScanProgram.gist(run.diagnostics))")
    }
  }

  /// Ends the channel; a running scan is stopped first.
  public func close() async {
    let running = state.withLock { state in
      state.isClosed = true
      return state.running
    }
    running?.cancel()
    _ = await running?.value
  }
}

/// One scan from the start of the program to its end.
private struct Scan: Sendable {
  let device: String
  let configuration: ScanImageFeed.Configuration
  let request: PageFeedRequest
  let timeout: Duration
  let page: @Sendable (_ image: [UInt8], _ number: Int) async -> Bool

  private enum Step {
    case page
    /// The program has no more.
    case end
    /// `page` wants no more; the device is at rest between two pages.
    case unwanted
  }

  func run() async -> Result<PageFeedEnd, ChannelError> {
    let directory: ScanDirectory
    do throws(SystemError) {
      directory = try await ScanDirectory.make(under: configuration.workDirectory)
    } catch {
      return .failure(ChannelError(opening: configuration.workDirectory, error))
    }
    let result = await run(in: directory)
    await directory.remove()
    return result
  }

  private func run(in directory: ScanDirectory) async -> Result<PageFeedEnd, ChannelError> {
    let arguments: [String]
    switch ScanProgram.arguments(device: device, request, pattern: directory.pattern) {
    case .success(let made): arguments = made
    case .failure(let refusal): return .success(.refused(refusal.reason))
    }
    let run: ScanRun
    do throws(ChannelError) {
      run = try ScanRun.start(arguments, configuration)
    } catch {
      return .failure(error)
    }

    var pages = 0
    var step = Step.page
    do throws(ChannelError) {
      while step == .page {
        step = try await next(run, pages + 1, in: directory)
        if step == .page { pages += 1 }
      }
    } catch {
      _ = await run.finish(stopping: true, limit: configuration.stopLimit)
      return .failure(error)
    }
    // The end of its input, which comes with this, is the end of the batch.
    let status = await run.finish(stopping: false, limit: configuration.stopLimit)
    return step == .unwanted ? .failure(.cancelled) : end(status, pages, run.diagnostics)
  }

  private func next(_ run: ScanRun, _ number: Int, in directory: ScanDirectory) async throws(ChannelError)
    -> Step
  {
    guard try await run.askForPage(directory.page(number), timeout: timeout) else { return .end }
    let image: [UInt8]
    do throws(SystemError) {
      image = try await directory.take(number, limit: configuration.pageLimit)
    } catch {
      throw error.code == EFBIG
        ? .malformed("page \(number) has more than \(configuration.pageLimit) bytes")
        : .system(call: error.call, code: error.code)
    }
    if Task.isCancelled { throw .cancelled }
    let isWanted = await page(image, number)
    if Task.isCancelled { throw .cancelled }
    return isWanted ? .page : .unwanted
  }

  private func end(
    _ status: ExitStatus, _ pages: Int, _ diagnostics: String
  ) -> Result<PageFeedEnd, ChannelError> {
    guard case .exited(let code) = status else {
      return .success(
        .failed("\(configuration.program) was ended: \(status); \(ScanProgram.gist(diagnostics))"))
    }
    if code == 1, pages == 0, let failure = ScanProgram.openFailure(diagnostics) {
      switch failure {
      case .absent: return .failure(.absent("sane:\(device)"))
      case .busy: return .success(.deviceBusy)
      case .denied: return .success(.denied)
      case .other(let text): return .success(.failed(text))
      }
    }
    return .success(ScanProgram.end(code: code, pages: pages, diagnostics: diagnostics))
  }
}
