private import CLinux
internal import Synchronization

/// How a process ended.
public enum ExitStatus: Sendable, Equatable {
  /// It returned this code; -1 when the system did not keep it (somebody else waited for the process).
  case exited(Int32)
  /// It was ended by this signal.
  case signalled(Int32)
}

/// Another program, run in a process group of its own.
///
/// The child has descriptors 0, 1 and 2 and no others, no blocked signals and every signal's default action. Its
/// group is killed when the object is released before it ended, unless that is declined. That does not help when this
/// process itself is killed: "die with the parent" (`PR_SET_PDEATHSIG`) cannot be asked for through `posix_spawn`, and
/// means the parent's thread, not its process; a service's manager kills what is left of its control group.
public final class ChildProcess: Sendable {
  /// What the child reads.
  public enum Input: Sendable {
    /// Nothing.
    case null
    /// These bytes, then the end. They stay in memory.
    case bytes([UInt8])
    /// What is written to ``ChildProcess/input``.
    case pipe
    /// What this process reads.
    case inherit
    /// From this descriptor, which stays the caller's.
    case descriptor(Int32)
  }

  /// Where the child's output goes.
  public enum Output: Sendable {
    /// Nowhere.
    case null
    /// To ``ChildProcess/output`` or ``ChildProcess/errorOutput``, which must be read, or the child will stand still.
    case pipe
    /// Where this process's goes.
    case inherit
    /// To this descriptor, which stays the caller's.
    case descriptor(Int32)
    /// To the end of this file, which is made with mode 0600 when it is missing.
    case file(String)
  }

  /// The child's process ID, which is its group's too. It may belong to another process once ``wait(timeout:)`` has
  /// returned a status.
  public let processID: Int32
  /// The child's output, with ``Output/pipe``.
  public let output: DescriptorStream?
  /// The child's error output, with ``Output/pipe``.
  public let errorOutput: DescriptorStream?
  /// The child's input, with ``Input/pipe``; closing it is the end of the input.
  public let input: DescriptorStream?

  /// Which of the confinements that a system may refuse hold; nil for a child that is not confined.
  public let confinement: Confinement?

  private let process: SpawnedProcess
  private let isKilledOnRelease: Bool

  private init(
    process: SpawnedProcess, confinement: Confinement? = nil, isKilledOnRelease: Bool,
    input: DescriptorStream?, output: DescriptorStream?,
    errorOutput: DescriptorStream?
  ) {
    self.process = process
    self.confinement = confinement
    self.isKilledOnRelease = isKilledOnRelease
    self.input = input
    self.output = output
    self.errorOutput = errorOutput
    processID = process.id
  }

  deinit {
    guard process.reap() == nil else { return }
    if isKilledOnRelease { process.signal(Signals.kill) }
    // Somebody has to wait for it, or it stays in the process table.
    Task { [process] in _ = await process.wait(deadline: nil) }
  }

  /// Starts a program.
  /// - Parameters:
  ///   - path: looked up in `PATH` when it has no `/`; relative to `workingDirectory` otherwise.
  ///   - arguments: without the program's own name.
  ///   - environment: all of the child's; `nil` for this process's.
  ///   - workingDirectory: `nil` for this process's.
  ///   - isKilledOnRelease: whether the child's group is killed when this object is released before the child ended.
  /// - Throws: what `execve` says: `ENOENT`, `EACCES`, `ENOEXEC`. `EINVAL` for text with a NUL in it.
  public static func spawn(
    _ path: String, arguments: [String] = [], environment: [String: String]? = nil,
    workingDirectory: String? = nil, standardInput: Input = .null, standardOutput: Output = .inherit,
    standardError: Output = .inherit, isKilledOnRelease: Bool = true
  ) throws(SystemError) -> ChildProcess {
    let call = "run \(path)"
    for text in [path, workingDirectory ?? ""] + arguments { try refuseNul(text, call) }
    for (name, value) in environment ?? [:] {
      try refuseNul(name + value, call)
      guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")) else {
        throw SystemError(call: call, code: Errno.invalid)
      }
    }
    var input = try Connection.input(standardInput)
    var output = try Connection.output(standardOutput, 1)
    var error = try Connection.output(standardError, 2)

    let argumentList = CStrings([path] + arguments)
    let environmentList = environment.map { CStrings($0.map { "\($0.key)=\($0.value)" }) }
    var pidfd: Int32 = -1
    let id = try unsafe check(
      withOptionalCString(workingDirectory) { directory in
        SpawnWindow.spawn {
          unsafe clinux_spawn(
            path, argumentList.pointers, environmentList?.pointers, directory, input.childSide,
            output.childSide,
            error.childSide, &pidfd)
        }
      }, call)
    return ChildProcess(
      process: SpawnedProcess(id: id, pidfd: Descriptor(adopting: pidfd)),
      isKilledOnRelease: isKilledOnRelease,
      input: input.takeOwnSide(), output: output.takeOwnSide(), errorOutput: error.takeOwnSide())
  }

  /// Starts a program that is not trusted with anything but its input: an empty environment, no descriptors beside its
  /// standard streams, no new privileges, no core dump, no file that grows, limits to processor time and memory; the account
  /// `nobody` where this process is root; and, as far as the system permits (``confinement``), no network and no files but
  /// the system's programs and libraries and `workingDirectory`, all of them for reading only.
  /// - Parameters:
  ///   - path: an absolute path.
  ///   - workingDirectory: what the program may read beside the system's own.
  ///   - seconds: of processor time, before it is killed.
  ///   - memory: bytes of address space.
  public static func spawnConfined(
    _ path: String, arguments: [String] = [], workingDirectory: String, seconds: UInt32, memory: UInt64,
    standardInput: Input, standardOutput: Output
  ) throws(SystemError) -> ChildProcess {
    let call = "run \(path) confined"
    for text in [path, workingDirectory] + arguments { try refuseNul(text, call) }
    var input = try Connection.input(standardInput)
    var output = try Connection.output(standardOutput, 1)
    let error = try Connection.output(.null, 2)
    let argumentList = CStrings([path] + arguments)
    let environmentList = CStrings([])
    var pidfd: Int32 = -1
    var layers: UInt32 = 0
    let id = try check(
      SpawnWindow.spawn {
        unsafe clinux_spawn_sandboxed(
          path, argumentList.pointers, environmentList.pointers, workingDirectory, input.childSide,
          output.childSide, error.childSide, seconds, memory, &pidfd, &layers)
      }, call)
    return ChildProcess(
      process: SpawnedProcess(id: id, pidfd: Descriptor(adopting: pidfd)),
      confinement: Confinement(rawValue: layers), isKilledOnRelease: true,
      input: input.takeOwnSide(), output: output.takeOwnSide(), errorOutput: nil)
  }

  /// What a system may refuse to confine, by its kernel or by the rules that this process itself is under.
  public struct Confinement: OptionSet, Sendable {
    /// The bits of `CLINUX_SANDBOX_…`.
    public let rawValue: UInt32
    /// Confinements from bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// A network namespace of its own, with nothing in it (unshare(2)).
    public static let network = Confinement(rawValue: UInt32(CLINUX_SANDBOX_NETWORK))
    /// Files for reading only, and few (landlock(7)).
    public static let files = Confinement(rawValue: UInt32(CLINUX_SANDBOX_FILES))
    /// Another account than this process's.
    public static let account = Confinement(rawValue: UInt32(CLINUX_SANDBOX_ACCOUNT))
  }

  /// Waits for the end of the child; `nil` when the time is over or the task was cancelled before.
  ///
  /// Any number of tasks may wait, and those that come later get the same answer. Processes the child left behind may
  /// still run, and hold its output open.
  public func wait(timeout: Duration?) async -> ExitStatus? {
    await process.wait(deadline: Poller.shared.deadline(after: timeout))
  }

  /// Sends a signal to the child's process group; nothing happens when the child has been waited for.
  public func signal(_ signal: Int32) { process.signal(signal) }
}

/// The process and what is known of its end.
private final class SpawnedProcess: Sendable {
  let id: Int32
  private let pidfd: Descriptor
  private let status = Mutex<ExitStatus?>(nil)

  init(id: Int32, pidfd: consuming Descriptor) {
    self.id = id
    self.pidfd = pidfd
  }

  func wait(deadline: UInt64?) async -> ExitStatus? {
    while true {
      if let status = reap() { return status }
      switch await Poller.shared.outcome(for: .read, on: pidfd.raw, deadline: deadline, unless: { false }) {
      case .readiness(.ready), .readiness(.hangup): continue
      default: return reap()
      }
    }
  }

  /// The status, if the process has ended; takes it out of the process table the first time.
  func reap() -> ExitStatus? {
    status.withLock { status in
      if let status { return status }
      var code: Int32 = 0
      switch unsafe clinux_pidfd_reap(pidfd.raw, 0, &code) {
      case 0: return nil
      case 1: status = .exited(code)
      case 2: status = .signalled(code)
      default: status = .exited(-1)
      }
      return status
    }
  }

  func signal(_ signal: Int32) {
    // Under the lock: between "not waited for yet" and the signal nobody may take the process out of the table, or the
    // number could be another's.
    status.withLock { status in
      if status == nil { _ = clinux_kill(-id, signal) }
    }
  }
}

/// The time between the start of a child and its `exec`, when it has a copy of every descriptor of this process: what
/// is closed here meanwhile is still open there, with its locks.
enum SpawnWindow {
  private static let lock = Mutex(())
  private static let started = Atomic(0)
  private static let finished = Atomic(0)

  /// Starts a child, one at a time.
  static func spawn(_ body: () -> Int32) -> Int32 {
    lock.withLock { _ in
      started.add(1, ordering: .sequentiallyConsistent)
      defer { finished.add(1, ordering: .sequentiallyConsistent) }
      return body()
    }
  }

  /// Attempts something that needs what was closed before to be free; once more, after the children have been started,
  /// if it failed while one was.
  static func retried<Failure: Error>(_ attempt: () throws(Failure) -> Bool) throws(Failure) -> Bool {
    let before = finished.load(ordering: .sequentiallyConsistent)
    if try attempt() { return true }
    guard started.load(ordering: .sequentiallyConsistent) != before else { return false }
    lock.withLock { _ in }
    return try attempt()
  }
}

/// One of the child's standard streams: the descriptor it gets, and this process's end of a pipe.
private struct Connection: ~Copyable {
  private var child: Descriptor?
  private var own: Descriptor?

  private init(child: consuming Descriptor?, own: consuming Descriptor?) {
    self.child = child
    self.own = own
  }

  /// -1 lets the child inherit this process's.
  var childSide: Int32 {
    switch child {
    case .some(let descriptor): descriptor.raw
    case nil: -1
    }
  }

  mutating func takeOwnSide() -> DescriptorStream? {
    switch own.take() {
    case .some(let descriptor): DescriptorStream(descriptor)
    case nil: nil
    }
  }

  static func input(_ input: ChildProcess.Input) throws(SystemError) -> Connection {
    switch input {
    case .null: return Connection(child: try above(try Files.open("/dev/null", flags: 0, mode: 0)), own: nil)
    case .inherit: return Connection(child: nil, own: nil)
    case .descriptor(let raw): return Connection(child: try copy(raw), own: nil)
    case .bytes(let bytes):
      // A file in memory needs nobody to feed it, and cannot stand still however much it is.
      let file = Descriptor(adopting: try check(unsafe clinux_memory_file("standard-input"), "memfd_create"))
      try Files.write(bytes, to: file, "standard input")
      try check(clinux_seek(file.raw, 0, 0), "seek in standard input")
      return Connection(child: try above(file), own: nil)
    case .pipe:
      var reading: Int32 = -1
      var writing: Int32 = -1
      try check(unsafe clinux_pipe(&reading, &writing), "pipe")
      let own = Descriptor(adopting: writing)
      return Connection(child: try above(Descriptor(adopting: reading)), own: own)
    }
  }

  static func output(_ output: ChildProcess.Output, _ stream: Int32) throws(SystemError) -> Connection {
    switch output {
    case .null:
      return Connection(
        child: try above(try Files.open("/dev/null", flags: Files.Flags.writeOnly, mode: 0)), own: nil)
    case .inherit: return Connection(child: nil, own: nil)
    case .descriptor(let raw): return Connection(child: try copy(raw), own: nil)
    case .file(let path):
      let flags = Files.Flags.writeOnly | Files.Flags.create | Files.Flags.append
      return Connection(child: try above(try Files.open(path, flags: flags, mode: 0o600)), own: nil)
    case .pipe:
      var reading: Int32 = -1
      var writing: Int32 = -1
      try check(unsafe clinux_pipe(&reading, &writing), "pipe")
      let own = Descriptor(adopting: reading)
      return Connection(child: try above(Descriptor(adopting: writing)), own: own)
    }
  }

  /// A copy with a number of 3 or more, as `clinux_spawn` needs it.
  private static func copy(_ raw: Int32) throws(SystemError) -> Descriptor {
    Descriptor(adopting: try check(clinux_duplicate(raw, 3), "duplicate descriptor \(raw)"))
  }

  private static func above(_ descriptor: consuming Descriptor) throws(SystemError) -> Descriptor {
    if descriptor.raw >= 3 { return descriptor }
    return try copy(descriptor.raw)
  }
}

/// A NULL-terminated list of C strings.
@safe private final class CStrings {
  let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [String]) {
    count = strings.count
    unsafe pointers = .allocate(capacity: count + 1)
    unsafe pointers.initialize(repeating: nil, count: count + 1)
    for (index, string) in strings.enumerated() {
      let bytes = string.utf8CString
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
      for (offset, byte) in bytes.enumerated() { unsafe copy[offset] = byte }
      unsafe pointers[index] = copy
    }
  }

  deinit {
    for index in 0..<count { unsafe pointers[index]?.deallocate() }
    unsafe pointers.deallocate()
  }
}

private func withOptionalCString(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Int32) -> Int32 {
  guard let text else { return body(nil) }
  return unsafe text.withCString { unsafe body($0) }
}
