private import CLinux
internal import Glibc
internal import Synchronization

/// A thread of its own with its own queue, for the actors whose C library blocks.
///
/// ```swift
/// actor Printing {
///   private let worker = Worker(name: "cups")
///   nonisolated var unownedExecutor: UnownedSerialExecutor { worker.asUnownedSerialExecutor() }
/// }
/// ```
/// The thread starts with the first job, sleeps without waking while there is none, and ends when the worker is
/// released and every job it was given has run.
public final class Worker: SerialExecutor, Sendable {
  private let queue: JobQueue

  /// - Parameters:
  ///   - name: the thread's name as `top -H` and `/proc` show it; Linux keeps the first 15 bytes.
  ///   - stackSize: in bytes; at least 16 KiB.
  public init(name: String, stackSize: Int = 512 * 1024) {
    queue = JobQueue(name: name, stackSize: stackSize)
  }

  deinit { queue.finish() }

  /// Called by the Swift runtime.
  public func enqueue(_ job: consuming ExecutorJob) {
    // The entry keeps this worker alive until its job has run: an actor may be released by its own last job.
    queue.append(JobQueue.Entry(job: UnownedJob(job), executor: self))
  }

  /// Called by the Swift runtime.
  public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  /// For an actor's `unownedExecutor`. Safe as long as the actor holds the worker, as it has to.
  @safe public var executor: UnownedSerialExecutor { unsafe asUnownedSerialExecutor() }

  /// Whether the caller runs on this worker's thread.
  public func isIsolatingCurrentContext() -> Bool? { queue.isCurrentThread }

  /// Traps when the caller does not run on this worker's thread; called by `assumeIsolated`.
  public func checkIsolated() {
    precondition(queue.isCurrentThread, "not on this worker's thread")
  }
}

/// What a worker and its thread share. The thread holds this and not the worker, which can so be released.
private final class JobQueue: Sendable {
  struct Entry: Sendable {
    let job: UnownedJob
    let executor: Worker
  }

  private struct State {
    var entries: [Entry] = []
    var started = false
    var finished = false
    var thread: UInt64 = 0
  }

  private let name: String
  private let stackSize: Int
  private let state = Mutex(State())
  private let semaphore = Semaphore()

  init(name: String, stackSize: Int) {
    self.name = name
    self.stackSize = max(stackSize, 64 * 1024)
  }

  var isCurrentThread: Bool { state.withLock { $0.thread == clinux_thread_identity() } }

  func append(_ entry: Entry) {
    let mustStart = state.withLock { state in
      state.entries.append(entry)
      defer { state.started = true }
      return !state.started
    }
    if mustStart { start() }
    semaphore.signal()
  }

  func finish() {
    state.withLock { $0.finished = true }
    semaphore.signal()
  }

  private func start() {
    let context = unsafe Unmanaged.passRetained(self)
    let result = unsafe clinux_thread_start(name, stackSize, threadMain, context.toOpaque())
    // A job that can never run would leave its caller waiting for ever without a word.
    guard result == 0 else {
      let error = SystemError(call: "start thread \(name)", code: -result)
      StandardStreams.writeError("\(error)\n")
      abort()
    }
  }

  func run() {
    state.withLock { $0.thread = clinux_thread_identity() }
    while true {
      semaphore.wait()
      let (entries, finished) = state.withLock { state in
        defer { state.entries = [] }
        return (state.entries, state.finished)
      }
      for entry in entries {
        unsafe entry.job.runSynchronously(on: entry.executor.asUnownedSerialExecutor())
      }
      if finished && entries.isEmpty { return }
    }
  }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) {
  guard let context = unsafe context else { return }
  unsafe Unmanaged<JobQueue>.fromOpaque(context).takeRetainedValue().run()
}

/// A counting semaphore: sleeping on it costs nothing, and a signal given before the wait is not lost.
@safe private final class Semaphore: @unchecked Sendable {
  private let storage: UnsafeMutablePointer<sem_t>

  init() {
    unsafe storage = .allocate(capacity: 1)
    unsafe sem_init(storage, 0, 0)
  }

  deinit {
    unsafe sem_destroy(storage)
    unsafe storage.deallocate()
  }

  func signal() { unsafe sem_post(storage) }

  func wait() {
    // Fails only by EINTR: the semaphore is valid as long as this object.
    while unsafe sem_wait(storage) != 0 {}
  }
}
