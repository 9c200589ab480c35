private import CLinux
internal import Synchronization

/// A call that blocks without a timeout of its own, on a thread of its own, until it is over or interrupted.
///
/// For drivers that tell what became of the bytes only to whoever blocks in `write`. One object is for one call.
public final class InterruptibleCall: Sendable {
  private struct State {
    var thread: Int32?
    var isInterrupted = false
    var isOver = false
  }
  private let state = Mutex(State())
  /// A signal that comes just before the thread enters the kernel is lost: it is sent again so often.
  private static let insistence = Duration.milliseconds(10)

  /// A call to come.
  public init() {}

  /// Whether the call shall end: to be looked at before each system call.
  public var isInterrupted: Bool { state.withLock { $0.isInterrupted } }

  /// Makes the system call on a thread of its own.
  /// - Parameters:
  ///   - name: the thread's name; Linux keeps the first 15 bytes.
  ///   - timeout: after which the call is interrupted; so it is when the task is cancelled. System calls return `EINTR` then.
  public func run<Value: Sendable>(
    _ name: String, timeout: Duration, _ body: @escaping @Sendable (InterruptibleCall) -> Value
  ) async -> Value {
    let timer = Task { if await Poller.shared.sleep(for: timeout) { await self.insist() } }
    defer { timer.cancel() }
    return await withTaskCancellationHandler {
      await onOwnThread(name) { () throws(Never) in
        let thread = clinux_thread_interruptible()
        self.state.withLock { $0.thread = thread }
        defer { self.state.withLock { $0.isOver = true } }
        return body(self)
      }
    } onCancel: {
      interrupt()
    }
  }

  /// Makes the call end; does not wait for it.
  public func interrupt() {
    Task { await insist() }
  }

  private func insist() async {
    while true {
      let isOver = state.withLock { state in
        state.isInterrupted = true
        // Under the lock the thread is still this call's: it says that it is over under it too.
        if !state.isOver, let thread = state.thread { _ = clinux_thread_interrupt(thread) }
        return state.isOver
      }
      guard !isOver, await Poller.shared.sleep(for: Self.insistence) else { return }
    }
  }
}
