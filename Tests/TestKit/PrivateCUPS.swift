public import Posix
internal import Synchronization

/// A CUPS server of a test's own, as an ordinary user, on a socket in a private directory, with printers that do what
/// they are told (facts/devices.md E3).
///
/// The printer is a CUPS backend: it takes the document as a device would, and keeps what it was given, so that a test
/// can hold the queue's word against it.
public final class PrivateCUPS: Sendable {
  /// What a printer does with the jobs it gets from now on.
  public enum Plan: String, Sendable, CaseIterable {
    /// Prints one page.
    case print
    /// Says `media-empty-error` and waits for ``refill()``, then prints.
    case mediaEmpty = "media-empty"
    /// Waits for ``refill()`` without saying anything, then prints.
    case wait
    /// Fails: the job is aborted, or the queue stopped, as the queue's error policy says.
    case fail
    /// Stops the queue.
    case stop
    /// Cancels the job.
    case cancel
    /// Holds the job.
    case hold
  }

  /// Whether tests with it are to run.
  public static var isExpected: Bool { Programs.areExpected("cupsd") }
  /// What to say when they are not.
  public static let reason = "cupsd (package cups-daemon) is not installed"

  /// The socket it listens on.
  public var socket: String { files.path("cups.sock") }

  private let files: TemporaryDirectory
  private let server = Mutex<ChildProcess?>(nil)
  // Opened for both directions: the printers that wait find somebody at the other end, and are released when this
  // object, or this process, is gone.
  private let gate: DescriptorStream

  /// Sets up a server with these queues, which print, and starts it.
  /// - Parameters:
  ///   - errorPolicy: what becomes of a job whose printer fails: `abort-job`, `retry-job` or `stop-printer`.
  ///   - remembersAtOnce: whether each job is written down at once, so that a crash loses none. By default a server
  ///     writes after 30 s of rest (`DirtyCleanInterval`, cupsd.conf(5)).
  public init(queues: [String], errorPolicy: String = "abort-job", remembersAtOnce: Bool = false) async throws
  {
    files = try TemporaryDirectory()
    for name in [
      "root", "state", "cache", "spool", "tmp", "data/mime", "bin/backend", "plans", "taken", "printed",
    ] {
      try Files.makeDirectory(files.path(name), mode: 0o755, parents: true)
    }
    try await Programs.run("mkfifo", "-m", "600", files.path("gate"))
    gate = DescriptorStream(try Files.open(files.path("gate"), .readingAndWriting))
    // Backends are started through cups-exec, which is looked for beside them.
    try await Programs.run("ln", "-s", "/usr/lib/cups/daemon", files.path("bin/daemon"))
    try write("bin/backend/simulated", Self.backend(files.path), mode: 0o755)
    try write("data/mime/mime.types", Self.types)
    try write("root/printers.conf", queues.map { Self.printer($0, errorPolicy) }.joined(), mode: 0o600)
    try write("cups-files.conf", Self.fileSettings(files.path))
    try write("cupsd.conf", Self.settings(socket, cleanInterval: remembersAtOnce ? 0 : 30))
    if ProcessInfo.userID == 0 { try await Programs.run("chown", "-R", Self.account, files.path) }
    try await start()
  }

  deinit {
    gate.close()
    server.withLock { $0?.signal(Signals.kill) }
  }

  // MARK: The server

  /// Starts it, and waits until it takes connections. Jobs and queues are as they were when it ended.
  public func start() async throws {
    let arguments = ["-f", "-c", files.path("cupsd.conf"), "-s", files.path("cups-files.conf")]
    let process =
      if ProcessInfo.userID == 0 {
        // As root it would run its printers as another account than itself and refuse this directory.
        try ChildProcess.spawn(
          "setpriv",
          arguments: ["--reuid", "65534", "--regid", "65534", "--clear-groups", "cupsd"] + arguments,
          standardOutput: .null, standardError: .file(files.path("server.log")))
      } else {
        try ChildProcess.spawn(
          "cupsd", arguments: arguments, standardOutput: .null, standardError: .file(files.path("server.log"))
        )
      }
    server.withLock { $0 = process }
    // It tells nobody when it listens.
    try await Attempts.until("cupsd listens") { () -> Bool? in
      if await process.wait(timeout: .zero) != nil {
        throw Programs.Failure(description: "cupsd does not start: \(log)")
      }
      return (try? UnixSocket.connect(path: socket)) != nil ? true : nil
    }
  }

  /// Ends it in good order.
  public func stop() async { await end(Signals.terminate) }

  /// Ends it as a crash would.
  public func kill() async { await end(Signals.kill) }

  private func end(_ signal: Int32) async {
    let process = server.withLock { server in
      defer { server = nil }
      return server
    }
    process?.signal(signal)
    if await process?.wait(timeout: .seconds(10)) == nil { process?.signal(Signals.kill) }
  }

  /// The end of the server's own log.
  public var log: String {
    let texts = ["server.log", "error_log"].map { name in
      String(
        decoding: ((try? Files.read(files.path(name), limit: 1 << 24)) ?? []).suffix(4000), as: UTF8.self)
    }
    return texts.joined(separator: "\n")
  }

  // MARK: The printers

  /// What the queue's printer does with the next jobs.
  public func plan(_ plan: Plan, for queue: String) throws(SystemError) {
    try Files.replaceDurable(files.path("plans/\(queue)"), bytes: Array(plan.rawValue.utf8), mode: 0o644)
  }

  /// Puts paper in: one printer that waits, or will wait, goes on.
  public func refill() async throws { try await gate.write([UInt8(ascii: "\n")], timeout: .seconds(5)) }

  /// The jobs that printers have printed to the end, by number.
  public var printedJobs: [Int32] {
    ((try? Files.list(files.path("printed"))) ?? []).compactMap { Int32($0) }.sorted()
  }

  /// The document that a printer was given for a job; nil when it was given none.
  public func document(ofJob job: Int32) -> [UInt8]? {
    try? Files.read(files.path("taken/\(job)"), limit: 1 << 30)
  }

  // MARK: Files

  private static let account = "65534:65534"

  private func write(_ name: String, _ text: String, mode: UInt32 = 0o644) throws(SystemError) {
    try Files.replaceDurable(files.path(name), bytes: Array(text.utf8), mode: mode)
  }

  private static func backend(_ directory: String) -> String {
    """
    #!/bin/sh
    if [ $# -eq 0 ]; then echo 'direct simulated "Unknown" "Simulated printer"'; exit 0; fi
    dir='\(directory)'
    if [ $# -ge 6 ]; then cat "$6"; else cat; fi > "$dir/taken/$1"
    plan=print
    if [ -f "$dir/plans/$PRINTER" ]; then plan=$(cat "$dir/plans/$PRINTER"); fi
    case $plan in
      fail) echo 'ERROR: the printer has failed' >&2; exit 1 ;;
      stop) exit 4 ;;
      cancel) exit 5 ;;
      hold) exit 3 ;;
      media-empty)
        echo 'STATE: +media-empty-error' >&2
        read line < "$dir/gate" || exit 1
        echo 'STATE: -media-empty-error' >&2 ;;
      wait) read line < "$dir/gate" || exit 1 ;;
    esac
    echo 'PAGE: 1 1' >&2
    : > "$dir/printed/$1"
    exit 0

    """
  }

  // cupsd 2.4.2 ends with a segmentation fault when it has to guess the type of a document and knows none that fits.
  private static let types = """
    application/pdf pdf string(0,%PDF)
    text/plain txt printable(0,1024)
    application/octet-stream
    application/vnd.cups-raw

    """

  private static func printer(_ name: String, _ errorPolicy: String) -> String {
    """
    <Printer \(name)>
    MakeModel Simulated printer
    DeviceURI simulated:/
    State Idle
    Accepting Yes
    JobSheets none none
    ErrorPolicy \(errorPolicy)
    </Printer>

    """
  }

  private static func fileSettings(_ directory: String) -> String {
    let group = (try? ProcessInfo.groupID(named: "nogroup")) == nil ? "nobody" : "nogroup"
    return """
      SystemGroup \(group)
      User nobody
      Group \(group)
      FileDevice Yes
      Sandboxing Off
      SyncOnClose No
      ServerRoot \(directory)/root
      StateDir \(directory)/state
      CacheDir \(directory)/cache
      RequestRoot \(directory)/spool
      TempDir \(directory)/tmp
      DataDir \(directory)/data
      ServerBin \(directory)/bin
      AccessLog \(directory)/access_log
      ErrorLog \(directory)/error_log
      PageLog \(directory)/page_log

      """
  }

  // Who may do what is as in the configuration that CUPS comes with: a job belongs to the user that created it.
  private static func settings(_ socket: String, cleanInterval: Int) -> String {
    """
    Listen \(socket)
    LogLevel info
    Browsing Off
    WebInterface No
    DefaultAuthType None
    MaxJobs 0
    DirtyCleanInterval \(cleanInterval)
    <Location />
      Order allow,deny
      Allow all
    </Location>
    <Policy default>
      JobPrivateAccess default
      JobPrivateValues default
      <Limit Create-Job Print-Job Print-URI Validate-Job>
        Order deny,allow
      </Limit>
      <Limit Send-Document Hold-Job Release-Job Restart-Job Cancel-Job Close-Job>
        Require user @OWNER @SYSTEM
        Order deny,allow
      </Limit>
      <Limit All>
        Order deny,allow
      </Limit>
    </Policy>

    """
  }
}
