internal import Posix
public import WireJSON

/// A Chromium without a window, driven over its own protocol (Chrome DevTools Protocol 1.3): for the demo, and for tests of
/// the citizen's screen.
///
/// The protocol goes over a pipe, as `--remote-debugging-pipe` has it: JSON texts with a NUL after each, to the browser's
/// descriptor 3 and from its descriptor 4. Nobody else on the machine can reach it.
public actor Browser {
  /// How long the browser may take to answer, and a page to become as it is waited for.
  public nonisolated let patience: Duration
  private let process: ChildProcess
  private var lastCall = 0
  private var calls: [Int: CheckedContinuation<Result<JSONValue, BrowserError>, Never>] = [:]
  private var hasGone = false
  /// Every address that a page asked for, in order, by the page's session.
  public private(set) var requested: [(session: String, url: String)] = []
  /// Errors that pages told of on their consoles, and exceptions that nobody caught.
  public private(set) var complaints: [String] = []
  /// Pages and windows that are open, by their targets' ids.
  public private(set) var windows: [String: String] = [:]
  private var watchers: [CheckedContinuation<Void, Never>] = []

  /// Whether the program is installed.
  public static var isInstalled: Bool { path != nil }
  private static var path: String? {
    (Environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
      .flatMap { ["\($0)/chromium", "\($0)/chromium-browser", "\($0)/google-chrome"] }.first {
        Files.exists($0)
      }
  }

  /// Starts Debian's Chromium.
  /// - Parameters:
  ///   - directory: where it may write; its profile goes there.
  ///   - patience: how long it may take to answer, and a page to become as it is waited for.
  public static func start(
    in directory: String, patience: Duration = .seconds(60)
  ) async throws(BrowserError) -> Browser {
    guard let path else { throw .notStarted("chromium is not installed") }
    let words = [
      path, "--headless=new", "--remote-debugging-pipe", "--user-data-dir=\(directory)/browser",
      "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--disable-default-apps",
      "--disable-popup-blocking", "--hide-scrollbars", "--mute-audio", "--disable-gpu",
      "--disable-dev-shm-usage",
      "--force-color-profile=srgb", "--no-default-browser-check", "--password-store=basic",
    ]
    // Chromium's own confinement needs an account that is not root's.
    let sandbox = ProcessInfo.userID == 0 ? ["--no-sandbox"] : []
    let process: ChildProcess
    do throws(SystemError) {
      process = try ChildProcess.spawn(
        "sh",
        arguments: ["-c", "exec 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1; exec \"$@\"", "sh"] + words + sandbox
          + ["about:blank"],
        environment: [
          "PATH": Environment["PATH"] ?? "/usr/bin:/bin", "HOME": directory, "TMPDIR": directory,
          "LANG": "C.UTF-8",
          "XDG_RUNTIME_DIR": directory,
        ],
        standardInput: .pipe, standardOutput: .pipe, standardError: .null)
    } catch {
      throw .notStarted("\(error)")
    }
    let browser = Browser(process, patience)
    await browser.begin()
    _ = try await browser.call("Target.setDiscoverTargets", ["discover": true])
    return browser
  }

  private init(_ process: ChildProcess, _ patience: Duration) {
    self.process = process
    self.patience = patience
  }

  private func begin() {
    let output = process.output
    Task {
      var rest: [UInt8] = []
      while let bytes = try? await output?.read(upTo: 1 << 20, timeout: nil), !bytes.isEmpty {
        rest += bytes
        guard bytes.contains(0) else { continue }
        let parts = rest.split(separator: 0, omittingEmptySubsequences: false)
        for part in parts.dropLast() {
          if let message = try? JSON.parse(Array(part)) { self.take(message) }
        }
        rest = parts.last.map { Array($0) } ?? []
      }
      self.end()
    }
  }

  private func end() {
    hasGone = true
    for call in calls.values { call.resume(returning: .failure(.gone)) }
    calls = [:]
    wake()
  }

  private func take(_ message: JSONValue) {
    if let id = message["id"]?.integer {
      guard let call = calls.removeValue(forKey: Int(id)) else { return }
      if let error = message["error"] {
        call.resume(returning: .failure(.refused(error["message"]?.string ?? "\(error)")))
      } else {
        call.resume(returning: .success(message["result"] ?? [:]))
      }
      return
    }
    let parameters = message["params"] ?? [:]
    let session = message["sessionId"]?.string ?? ""
    switch message["method"]?.string {
    case "Network.requestWillBeSent":
      requested.append((session, parameters["request"]?["url"]?.string ?? ""))
    case "Runtime.exceptionThrown":
      let details = parameters["exceptionDetails"]
      complaints.append(
        details?["exception"]?["description"]?.string ?? details?["text"]?.string ?? "an exception")
    case "Log.entryAdded":
      if parameters["entry"]?["level"] == "error" {
        complaints.append(parameters["entry"]?["text"]?.string ?? "")
      }
    case "Target.targetCreated", "Target.targetInfoChanged":
      if let info = parameters["targetInfo"], info["type"] == "page", let id = info["targetId"]?.string {
        windows[id] = info["url"]?.string ?? ""
      }
    case "Target.targetDestroyed": windows[parameters["targetId"]?.string ?? ""] = nil
    default: return
    }
    wake()
  }

  private func wake() {
    for watcher in watchers { watcher.resume() }
    watchers = []
  }

  /// Waits until what the browser told of its windows, requests and complaints is as wanted.
  public func wait(until condition: @Sendable (isolated Browser) -> Bool) async throws(BrowserError) {
    while !condition(self) {
      if hasGone { throw .gone }
      if Task.isCancelled { throw .timeout("what the browser tells") }
      await withTaskCancellationHandler {
        await withCheckedContinuation { watchers.append($0) }
      } onCancel: {
        Task { await self.wake() }
      }
    }
  }

  /// Sends a command of the protocol, and gives its result.
  /// - Parameters:
  ///   - session: the page's; nil for the browser itself.
  ///   - timeout: how long the answer may take; longer than ``patience`` unless given, as a page says better what it waits
  ///     for.
  public func call(
    _ method: String, _ parameters: JSONValue = [:], session: String? = nil, timeout: Duration? = nil
  ) async throws(BrowserError) -> JSONValue {
    if hasGone { throw .gone }
    lastCall += 1
    let id = lastCall
    var message: [String: JSONValue] = [
      "id": .integer(Int64(id)), "method": .string(method), "params": parameters,
    ]
    if let session { message["sessionId"] = .string(session) }
    let text = ((try? JSON.encode(JSONValue.object(message))) ?? []) + [0]
    let input = process.input
    let timer = Task {
      if await Poller.shared.sleep(for: timeout ?? patience * 1.5) { self.giveUp(id, method) }
    }
    defer { timer.cancel() }
    return try await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        calls[id] = continuation
        Task {
          // Commands of one task follow each other; those of several may mix only whole, as the stream takes one at a time.
          do throws(StreamWriteError) {
            try await input?.write(text, timeout: patience)
          } catch {
            self.giveUp(id, "\(method): \(error.reason)")
          }
        }
      }
    } onCancel: {
      Task { await self.giveUp(id, method) }
    }.get()
  }

  private func giveUp(_ id: Int, _ what: String) {
    calls.removeValue(forKey: id)?.resume(returning: .failure(.timeout(what)))
  }

  /// Opens a page in a window of its own.
  public func open(
    _ url: String, width: Int = 1280, height: Int = 800
  ) async throws(BrowserError) -> BrowserPage {
    let created = try await call("Target.createTarget", ["url": "about:blank"])
    guard let target = created["targetId"]?.string else { throw .refused("no page") }
    let page = try await attach(target)
    try await page.resize(width: width, height: height)
    try await page.go(to: url)
    return page
  }

  /// Takes hold of a page or window that is open.
  public func attach(_ target: String) async throws(BrowserError) -> BrowserPage {
    let attached = try await call(
      "Target.attachToTarget", ["targetId": .string(target), "flatten": true])
    guard let session = attached["sessionId"]?.string else { throw .refused("no session") }
    for domain in ["Network", "Page", "Runtime", "Log"] {
      _ = try await call("\(domain).enable", session: session)
    }
    _ = try await call(
      "Page.addScriptToEvaluateOnNewDocument", ["source": .string(BrowserPage.viewRecorder)], session: session
    )
    _ = try await call("Emulation.setTouchEmulationEnabled", ["enabled": true], session: session)
    return BrowserPage(browser: self, target: target, session: session)
  }

  /// Ends it.
  public func stop() async {
    _ = try? await call("Browser.close", timeout: .seconds(5))
    if await process.wait(timeout: .seconds(5)) == nil {
      process.signal(Signals.kill)
      _ = await process.wait(timeout: .seconds(5))
    }
  }
}
