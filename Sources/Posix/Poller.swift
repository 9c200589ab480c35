private import CLinux
internal import Synchronization

/// What a wait ended with.
public enum Readiness: Sendable {
  /// The descriptor can be read or written without blocking.
  case ready
  /// The other side is gone, or the descriptor is in error; the next call on it tells which.
  case hangup
  /// The time was over, and the descriptor was still not ready.
  case timedOut
  /// The task was cancelled, or the descriptor is being closed.
  case cancelled
}

/// The one thread that waits for descriptors and deadlines on behalf of every task.
///
/// Tasks wait without holding a thread. At rest the thread sleeps in `epoll_wait` without a timeout and does not wake.
/// It starts with the first wait.
public final class Poller: Sendable {
  /// The process's poller.
  public static let shared = Poller()

  /// What to wait for.
  public enum Interest: Sendable {
    /// Something can be read, or the end of the file has come.
    case read
    /// Something can be written.
    case write
    /// The other side has gone (`EPOLLRDHUP`); data that can be read does not wake it.
    case hangup
  }

  /// Why a wait could not even begin.
  enum Outcome {
    case readiness(Readiness)
    case failed(SystemError)
  }

  // The rules that keep wake-ups from being lost or misdirected:
  //
  // 1. Waiters, registrations and epoll_ctl change together under one lock. Registration is level-triggered: what
  //    became ready between a call's EAGAIN and the registration is reported by the registration itself. The poller's
  //    thread may see that event at once, but it cannot look the waiter up before the lock is released, and the waiter
  //    is in the table by then.
  // 2. A task's cancellation flag is set before its handler runs. Either the handler gets the lock after the waiter was
  //    entered, and finds it; or it came earlier, and the registration, which looks at the flag under the same lock,
  //    sees it. The same holds for a stream's "closed" flag and `forget`.
  // 3. Every registration has a generation of its own, which comes back with its events. An event collected by
  //    epoll_wait before its descriptor was forgotten, closed and opened again as another file carries an old
  //    generation, and is dropped. One-shot registration bounds what such a leftover (a duplicate of the descriptor
  //    keeps it alive in the kernel) can cost to one event.
  // 4. A registration lives only while somebody waits: a descriptor nobody waits for may be closed without a word.
  // 5. The thread publishes, under the lock, until when it is going to sleep; whoever brings an earlier deadline writes
  //    to the eventfd, which is level-triggered too, so that it does not matter whether the thread sleeps already.
  // 6. Continuations are resumed, and the eventfd is written and read, after the lock is released: whoever wakes by it wants
  //    the lock first of all.
  private struct Waiter {
    let descriptor: Int32?
    let interest: Interest
    let deadline: UInt64?
    let continuation: CheckedContinuation<Outcome, Never>
  }

  private struct Registration {
    let generation: UInt32
    var waiters: [UInt64] = []
  }

  private struct State {
    var epoll: Int32 = -1
    var wake: Int32 = -1
    var lastWaiter: UInt64 = 0
    var lastGeneration: UInt32 = 0
    var waiters: [UInt64: Waiter] = [:]
    var registrations: [Int32: Registration] = [:]
    var deadlines = DeadlineHeap()
    var timedWaiters = 0
    /// Until when the thread sleeps: `.max` without a deadline, 0 while it is awake.
    var sleepsUntil: UInt64 = .max
  }

  private typealias Resumption = (continuation: CheckedContinuation<Outcome, Never>, outcome: Outcome)

  /// The token of the eventfd: descriptors' tokens hold a descriptor of 0 or more in the lower half.
  private static let wakeToken = UInt64.max

  private let state = Mutex(State())

  init() {}

  // MARK: Waiting

  /// Waits until the descriptor is ready, the time is over, the task is cancelled or the descriptor is forgotten.
  ///
  /// Any number of tasks may wait for one descriptor. A descriptor that is always ready (a regular file) is
  /// `.ready` at once; one that is not open gives `.hangup`: the next call on it tells why.
  /// - Parameters:
  ///   - descriptor: stays the caller's, who must ``forget(_:)`` it before closing it (``Descriptor`` does).
  ///   - timeout: `nil` waits without limit; zero or less asks only whether it is ready now.
  public func wait(for interest: Interest, on descriptor: Int32, timeout: Duration?) async -> Readiness {
    switch await outcome(for: interest, on: descriptor, deadline: deadline(after: timeout), unless: { false })
    {
    case .readiness(let readiness): readiness
    case .failed(let error): error.code == Errno.badDescriptor ? .hangup : .cancelled
    }
  }

  /// Sleeps; `false` when the task was cancelled before the time was over.
  public func sleep(for duration: Duration) async -> Bool {
    let end = deadline(after: duration)
    if case .readiness(.timedOut) = await outcome(for: .read, on: nil, deadline: end, unless: { false }) {
      return true
    }
    return false
  }

  /// Wakes every waiter of the descriptor with `.cancelled` and ends its registration; to be called before it is closed.
  public func forget(_ descriptor: Int32) {
    let resumptions = state.withLock { state -> [Resumption] in
      guard let registration = state.registrations.removeValue(forKey: descriptor) else { return [] }
      _ = clinux_epoll_control(state.epoll, Int32(CLINUX_EPOLL_DELETE), descriptor, 0, 0, 0)
      return registration.waiters.compactMap { Self.take($0, from: &state, as: .readiness(.cancelled)) }
    }
    Self.resume(resumptions)
  }

  /// The moment the timeout ends, on the monotonic clock; `nil` without a timeout.
  func deadline(after timeout: Duration?) -> UInt64? {
    guard let timeout else { return nil }
    let parts = timeout.components
    guard parts.seconds >= 0, parts.attoseconds >= 0 else { return 0 }
    let (seconds, tooLong) = UInt64(parts.seconds).multipliedReportingOverflow(by: 1_000_000_000)
    // Beyond 290 years a deadline is none.
    guard !tooLong, seconds < UInt64.max / 2 else { return nil }
    return clinux_monotonic() + seconds + UInt64(parts.attoseconds) / 1_000_000_000
  }

  /// Waits until `deadline`; `isClosed` is asked under the lock, so that a descriptor whose owner set its flag and then
  /// called ``forget(_:)`` is never waited for.
  func outcome(
    for interest: Interest, on descriptor: Int32?, deadline: UInt64?, unless isClosed: @Sendable () -> Bool
  ) async -> Outcome {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waiter = Waiter(
          descriptor: descriptor, interest: interest, deadline: deadline, continuation: continuation)
        let (resumptions, wake) = state.withLock { state -> ([Resumption], Int32?) in
          if Task.isCancelled || isClosed() { return ([(continuation, .readiness(.cancelled))], nil) }
          let resumptions = enter(waiter, as: id, in: &state)
          return (resumptions, Self.wakeForDeadline(of: id, in: &state))
        }
        if let wake {
          var one: UInt64 = 1
          _ = unsafe clinux_write(wake, &one, 8)
        }
        Self.resume(resumptions)
      }
    } onCancel: {
      let resumption = state.withLock { state in
        Self.remove(id, from: &state, as: .readiness(.cancelled))
      }
      if let resumption { Self.resume([resumption]) }
    }
  }

  // MARK: For tests

  func waiterCount(on descriptor: Int32) -> Int {
    state.withLock { $0.registrations[descriptor]?.waiters.count ?? 0 }
  }

  func newestWaiter(on descriptor: Int32) -> UInt64 {
    state.withLock { $0.registrations[descriptor]?.waiters.max() ?? 0 }
  }

  var heldDeadlines: Int { state.withLock { $0.deadlines.count } }

  // MARK: Under the lock

  private func enter(_ waiter: Waiter, as id: UInt64, in state: inout State) -> [Resumption] {
    if let error = startIfNeeded(&state) { return [(waiter.continuation, .failed(error))] }
    var resumptions: [Resumption] = []
    if let descriptor = waiter.descriptor {
      var registration = state.registrations[descriptor] ?? Self.newRegistration(&state)
      registration.waiters.append(id)
      state.waiters[id] = waiter
      var result = Self.arm(
        descriptor, registration,
        with: state.registrations[descriptor] == nil ? CLINUX_EPOLL_ADD : CLINUX_EPOLL_MODIFY,
        in: state)
      if result == -Errno.noEntry {
        // The number was closed without `forget` and means another file now: whoever waited for the old one is told.
        let stale = registration.waiters.dropLast()
        resumptions += stale.compactMap { Self.take($0, from: &state, as: .readiness(.cancelled)) }
        registration = Self.newRegistration(&state)
        registration.waiters = [id]
        result = Self.arm(descriptor, registration, with: CLINUX_EPOLL_ADD, in: state)
      }
      guard result == 0 else {
        state.waiters[id] = nil
        registration.waiters.removeAll { $0 == id }
        state.registrations[descriptor] = registration.waiters.isEmpty ? nil : registration
        // EPERM: the file cannot be polled because it is never waited for (epoll_ctl(2)).
        let outcome: Outcome =
          result == -Errno.notPermitted
          ? .readiness(.ready) : .failed(SystemError(call: "watch descriptor \(descriptor)", code: -result))
        return resumptions + [(waiter.continuation, outcome)]
      }
      state.registrations[descriptor] = registration
    } else {
      state.waiters[id] = waiter
    }
    if let deadline = waiter.deadline {
      state.timedWaiters += 1
      state.deadlines.insert(deadline, id)
    }
    return resumptions
  }

  /// The eventfd to write to, if the thread would sleep longer than a waiter that was entered.
  private static func wakeForDeadline(of id: UInt64, in state: inout State) -> Int32? {
    guard let deadline = state.waiters[id]?.deadline, deadline < state.sleepsUntil else { return nil }
    state.sleepsUntil = deadline
    return state.wake
  }

  private static func newRegistration(_ state: inout State) -> Registration {
    state.lastGeneration &+= 1
    return Registration(generation: state.lastGeneration)
  }

  /// Tells the kernel what the registration's waiters wait for; 0 or a negative errno.
  private static func arm(
    _ descriptor: Int32, _ registration: Registration, with operation: Int, in state: State
  ) -> Int32 {
    var events = 0
    for id in registration.waiters {
      switch state.waiters[id]?.interest {
      case .read: events |= CLINUX_IN
      case .write: events |= CLINUX_OUT
      case .hangup: events |= CLINUX_RDHUP
      case nil: break
      }
    }
    let token = UInt64(registration.generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
    return clinux_epoll_control(state.epoll, Int32(operation), descriptor, UInt32(events), 1, token)
  }

  /// Takes the waiter out of the table alone; its registration is the caller's business.
  private static func take(_ id: UInt64, from state: inout State, as outcome: Outcome) -> Resumption? {
    guard let waiter = state.waiters.removeValue(forKey: id) else { return nil }
    if waiter.deadline != nil {
      state.timedWaiters -= 1
      // Deadlines of waits that ended early stay in the heap until they are due or outnumber the others.
      if state.deadlines.count > 64, state.deadlines.count > 2 * state.timedWaiters {
        let waiters = state.waiters
        state.deadlines.removeAll { waiters[$0] == nil }
      }
    }
    return (waiter.continuation, outcome)
  }

  /// Takes the waiter out of the table and out of its registration.
  private static func remove(_ id: UInt64, from state: inout State, as outcome: Outcome) -> Resumption? {
    guard let waiter = state.waiters[id] else { return nil }
    if let descriptor = waiter.descriptor, var registration = state.registrations[descriptor] {
      registration.waiters.removeAll { $0 == id }
      update(descriptor, registration, in: &state)
    }
    return take(id, from: &state, as: outcome)
  }

  /// Stores a registration whose waiters have become fewer, and tells the kernel.
  private static func update(_ descriptor: Int32, _ registration: Registration, in state: inout State) {
    if registration.waiters.isEmpty {
      state.registrations[descriptor] = nil
      _ = clinux_epoll_control(state.epoll, Int32(CLINUX_EPOLL_DELETE), descriptor, 0, 0, 0)
    } else {
      state.registrations[descriptor] = registration
      _ = arm(descriptor, registration, with: CLINUX_EPOLL_MODIFY, in: state)
    }
  }

  private static func resume(_ resumptions: [Resumption]) {
    for resumption in resumptions { resumption.continuation.resume(returning: resumption.outcome) }
  }

  // MARK: The thread

  private func startIfNeeded(_ state: inout State) -> SystemError? {
    guard state.epoll < 0 else { return nil }
    let epoll = clinux_epoll_create()
    guard epoll >= 0 else { return SystemError(call: "epoll_create1", code: -epoll) }
    let wake = clinux_eventfd()
    guard wake >= 0 else {
      _ = clinux_close(epoll)
      return SystemError(call: "eventfd", code: -wake)
    }
    var result = clinux_epoll_control(
      epoll, Int32(CLINUX_EPOLL_ADD), wake, UInt32(CLINUX_IN), 0, Self.wakeToken)
    if result == 0 {
      let context = unsafe Unmanaged.passRetained(self)
      result = unsafe clinux_thread_start("poller", 256 * 1024, pollerMain, context.toOpaque())
      if result != 0 { unsafe context.release() }
    }
    guard result == 0 else {
      _ = clinux_close(wake)
      _ = clinux_close(epoll)
      return SystemError(call: "start thread poller", code: -result)
    }
    state.epoll = epoll
    state.wake = wake
    return nil
  }

  fileprivate func run() {
    let (epoll, wake) = state.withLock { ($0.epoll, $0.wake) }
    let capacity = 64
    var events = [UInt32](repeating: 0, count: capacity)
    var tokens = [UInt64](repeating: 0, count: capacity)
    while true {
      let count = unsafe Int(
        clinux_epoll_wait(epoll, &events, &tokens, Int32(capacity), nextTimeout()))
      let happened = 0..<max(count, 0)
      if happened.contains(where: { tokens[$0] == Self.wakeToken }) {
        var drained: UInt64 = 0
        _ = unsafe clinux_read(wake, &drained, 8)
      }
      let resumptions = state.withLock { state -> [Resumption] in
        state.sleepsUntil = 0
        var resumptions: [Resumption] = []
        for index in happened where tokens[index] != Self.wakeToken {
          Self.deliver(events[index], tokens[index], in: &state, to: &resumptions)
        }
        Self.expire(in: &state, to: &resumptions)
        return resumptions
      }
      Self.resume(resumptions)
    }
  }

  /// The time to sleep in nanoseconds, -1 without a deadline; published for rule 5.
  private func nextTimeout() -> Int64 {
    state.withLock { state in
      // The first may belong to a wait that has ended. It stays: a task that reads again and again with the same timeout
      // would else bring the earliest deadline each time, and wake the thread each time to hear of it. The price is one
      // wake-up for nothing when the last of such waits would have been due.
      guard let first = state.deadlines.first else {
        state.sleepsUntil = .max
        return -1
      }
      state.sleepsUntil = first.deadline
      let now = clinux_monotonic()
      guard first.deadline > now else { return 0 }
      return Int64(clamping: first.deadline - now)
    }
  }

  private static func deliver(
    _ events: UInt32, _ token: UInt64, in state: inout State, to resumptions: inout [Resumption]
  ) {
    let descriptor = Int32(truncatingIfNeeded: token)
    guard var registration = state.registrations[descriptor],
      registration.generation == UInt32(truncatingIfNeeded: token >> 32)
    else { return }
    var remaining: [UInt64] = []
    for id in registration.waiters {
      guard let interest = state.waiters[id]?.interest else { continue }
      if let readiness = readiness(for: interest, Int(events)) {
        if let resumption = take(id, from: &state, as: .readiness(readiness)) {
          resumptions.append(resumption)
        }
      } else {
        remaining.append(id)
      }
    }
    registration.waiters = remaining
    update(descriptor, registration, in: &state)
  }

  private static func readiness(for interest: Interest, _ events: Int) -> Readiness? {
    let gone = events & (CLINUX_HUP | CLINUX_ERR) != 0
    return switch interest {
    case .read: events & CLINUX_IN != 0 ? .ready : gone ? .hangup : nil
    case .write: events & CLINUX_OUT != 0 && !gone ? .ready : gone ? .hangup : nil
    case .hangup: gone || events & CLINUX_RDHUP != 0 ? .hangup : nil
    }
  }

  private static func expire(in state: inout State, to resumptions: inout [Resumption]) {
    let now = clinux_monotonic()
    guard let first = state.deadlines.first, first.deadline <= now else { return }
    while let first = state.deadlines.first {
      guard let waiter = state.waiters[first.waiter] else {
        state.deadlines.removeFirst()
        continue
      }
      guard first.deadline <= now else { return }
      state.deadlines.removeFirst()
      var outcome = Readiness.timedOut
      if let descriptor = waiter.descriptor {
        // One last look: the event may still be in the kernel, behind the 64 that were collected, or have come since.
        let mask =
          waiter.interest == .read ? CLINUX_IN : waiter.interest == .write ? CLINUX_OUT : CLINUX_RDHUP
        let events = clinux_poll(descriptor, Int32(mask), 0)
        if events > 0, let found = readiness(for: waiter.interest, Int(events)) { outcome = found }
      }
      if let resumption = remove(first.waiter, from: &state, as: .readiness(outcome)) {
        resumptions.append(resumption)
      }
    }
  }
}

private func pollerMain(_ context: UnsafeMutableRawPointer?) {
  guard let context = unsafe context else { return }
  unsafe Unmanaged<Poller>.fromOpaque(context).takeRetainedValue().run()
}

/// Deadlines with the earliest first: a binary heap.
struct DeadlineHeap {
  private var items: [(deadline: UInt64, waiter: UInt64)] = []

  var count: Int { items.count }
  var first: (deadline: UInt64, waiter: UInt64)? { items.first }

  mutating func insert(_ deadline: UInt64, _ waiter: UInt64) {
    items.append((deadline, waiter))
    var index = items.count - 1
    while index > 0 {
      let parent = (index - 1) / 2
      guard items[index].deadline < items[parent].deadline else { return }
      items.swapAt(index, parent)
      index = parent
    }
  }

  mutating func removeFirst() {
    guard let last = items.popLast(), !items.isEmpty else { return }
    items[0] = last
    siftDown(from: 0)
  }

  mutating func removeAll(where isDead: (UInt64) -> Bool) {
    items.removeAll { isDead($0.waiter) }
    for index in stride(from: items.count / 2 - 1, through: 0, by: -1) { siftDown(from: index) }
  }

  private mutating func siftDown(from start: Int) {
    var index = start
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < items.count && items[child].deadline < items[least].deadline { least = child }
      guard least != index else { return }
      items.swapAt(index, least)
      index = least
    }
  }
}
