import Crypto
public import Posix
import Store
import Synchronization

/// Sends what lies in the outbox to the intake, as ``ForwarderPolicy`` decides.
public struct Forwarder: Sendable {
  /// Why ``run()`` returned.
  public enum End: Sendable, Equatable {
    /// The task was cancelled.
    case cancelled
    /// The database takes nothing any more: what the intake accepted could not be noted. The agent has to be restarted.
    case storeFailed(String)
  }

  private let outbox: Outbox
  private let transport: any IntakeTransport
  private let clock: any OutboxClock
  private let seed: UInt64
  private let stopSeconds: Int

  /// A forwarder of that outbox over that transport.
  /// - Parameters:
  ///   - clock: for waiting.
  ///   - seed: for the spread of waiting times.
  ///   - stopSeconds: how long ``run()`` waits for answers after it was cancelled.
  public init(
    outbox: Outbox, transport: any IntakeTransport, clock: any OutboxClock = SystemOutboxClock(),
    seed: UInt64 = SystemClockState.monotonicNanoseconds(), stopSeconds: Int = 5
  ) {
    self.outbox = outbox
    self.transport = transport
    self.clock = clock
    self.seed = seed
    self.stopSeconds = stopSeconds
  }

  /// Sends until the task is cancelled; then waits a little for the answers that are still to come.
  @discardableResult public func run() async -> End {
    let (signals, mailbox) = AsyncStream<Session.Signal>.makeStream()
    let changes = outbox.changes()
    let appearances = transport.appearances()
    let stopFlag = StopFlag()
    // Apart from this task, as its cancellation would end the session in the middle of an answer.
    let session = Task {
      await Session(
        outbox: outbox, transport: transport, clock: clock, mailbox: mailbox, seed: seed,
        stopSeconds: stopSeconds, stopFlag: stopFlag
      ).run(signals)
    }
    let listeners = [
      Task { for await _ in changes { mailbox.yield(.input(.wake)) } },
      Task { for await _ in appearances { mailbox.yield(.input(.appeared)) } },
    ]
    defer { for listener in listeners { listener.cancel() } }
    return await withTaskCancellationHandler {
      await session.value
    } onCancel: {
      stopFlag.set()
      mailbox.yield(.stop)
    }
  }
}

/// Set when the run is to end, for what cannot wait for its turn in the mailbox.
private final class StopFlag: Sendable {
  private let flag = Atomic(false)
  var isSet: Bool { flag.load(ordering: .acquiring) }
  func set() { flag.store(true, ordering: .releasing) }
}

/// One run of the forwarder.
private actor Session {
  enum Signal: Sendable {
    case input(ForwarderPolicy.Input)
    /// Stop when all answers have come.
    case stop
    /// Stop now.
    case timeIsUp
  }

  private let outbox: Outbox
  private let transport: any IntakeTransport
  private let clock: any OutboxClock
  private let mailbox: AsyncStream<Signal>.Continuation
  private let stopSeconds: Int
  private let stopFlag: StopFlag

  private var policy: ForwarderPolicy
  private var requests: [Int: (connection: Int, task: Task<Void, Never>)] = [:]
  /// The types of events that are under way, for the tombstone counts.
  private var types: [Int64: String] = [:]
  private var timer: (deadline: UInt64, task: Task<Void, Never>)?
  private var isStopping = false
  /// Moments of the monotonic clock and what the calendar said they were, so that a status is the same until something
  /// happens.
  private var troubleSince: (instant: UInt64, wall: WallTime)?
  private var nextProbe: (instant: UInt64, wall: WallTime)?

  init(
    outbox: Outbox, transport: any IntakeTransport, clock: any OutboxClock,
    mailbox: AsyncStream<Signal>.Continuation, seed: UInt64, stopSeconds: Int, stopFlag: StopFlag
  ) {
    self.outbox = outbox
    self.transport = transport
    self.clock = clock
    self.mailbox = mailbox
    self.stopSeconds = stopSeconds
    self.stopFlag = stopFlag
    policy = ForwarderPolicy(seed: seed)
  }

  func run(_ signals: AsyncStream<Signal>) async -> Forwarder.End {
    defer { timer?.task.cancel() }
    for await signal in signals {
      switch signal {
      case .input(let input):
        do throws(StoreError) {
          try await handle(input)
        } catch {
          await abandon()
          return stopFlag.isSet ? .cancelled : .storeFailed(error.description)
        }
        if isStopping, requests.isEmpty { return .cancelled }
      case .stop:
        isStopping = true
        if requests.isEmpty { return .cancelled }
        let deadline = clock.monotonicNanoseconds + UInt64(max(0, stopSeconds)) * 1_000_000_000
        setTimer(deadline) { $0.yield(.timeIsUp) }
      case .timeIsUp:
        await abandon()
        return .cancelled
      }
    }
    return .cancelled
  }

  /// Gives up the requests under way: the intake may have accepted them; they are sent again by the next run.
  private func abandon() async {
    for request in requests.values { request.task.cancel() }
    for request in requests.values { await request.task.value }
  }

  private func handle(_ input: ForwarderPolicy.Input) async throws(StoreError) {
    switch input {
    case .answer(let id, _), .unusablePage(let id, _), .unreadablePage(let id), .unusableEvents(let id, _):
      requests[id] = nil
    case .wake: try await sturdily { () throws(StoreError) in try await outbox.sweep() }
    default: break
    }
    var inputs = [input]
    // Of the same moment as what was last decided: what falls due in between would be neither done nor waited for.
    var decided = clock.monotonicNanoseconds
    while let next = inputs.popLast() {
      decided = clock.monotonicNanoseconds
      for action in policy.handle(next, now: decided) {
        if let answer = try await perform(action) { inputs.append(answer) }
      }
    }
    report()
    guard !isStopping else { return }
    if let wake = policy.nextWake(now: decided) {
      setTimer(wake) { $0.yield(.input(.tick)) }
    } else {
      timer?.task.cancel()
      timer = nil
    }
  }

  /// - Returns: what the policy is to be told at once.
  private func perform(_ action: ForwarderPolicy.Action) async throws(StoreError) -> ForwarderPolicy.Input? {
    switch action {
    case .load(let numbers, let except):
      return .loaded(
        try await sturdily { () throws(StoreError) in
          try await outbox.pending(after: numbers, except: except)
        })
    case .send(let id, let request):
      if !isStopping { send(id, request) }
    case .erase(let numbers):
      let counts = Dictionary(numbers.compactMap { types[$0].map { ($0, 1) } }, uniquingKeysWith: +)
      try await sturdily { () throws(StoreError) in try await outbox.delivered(numbers, types: counts) }
      for number in numbers { types[number] = nil }
      outbox.wake()
    case .setAside(.event(let number), let reason):
      try await sturdily { () throws(StoreError) in try await outbox.setAside(events: [number: reason]) }
      types[number] = nil
    case .setAside(.page(let digest), let reason):
      return .removed(
        try await sturdily { () throws(StoreError) in try await outbox.setAside(page: digest, reason: reason)
        })
    case .postpone(let item, let attempts, let seconds):
      try await sturdily { () throws(StoreError) in
        try await outbox.postpone(item, attempts: attempts, seconds: seconds)
      }
    }
    return nil
  }

  /// Tries again what the database could not do for the moment (full, held by another program): nothing that the intake has
  /// accepted may be forgotten because of it. What stays broken is thrown.
  private func sturdily<T: Sendable>(
    _ body: () async throws(StoreError) -> T
  ) async throws(StoreError) -> T {
    while true {
      do throws(StoreError) {
        return try await body()
      } catch .full where !stopFlag.isSet {} catch .busy where !stopFlag.isSet {}
      await clock.sleep(untilNanoseconds: clock.monotonicNanoseconds + 1_000_000_000)
    }
  }

  private func report() {
    switch policy.endpoint {
    case .untried: break
    case .working:
      troubleSince = nil
      outbox.noteEndpoint(.reachable)
    case .trouble(let trouble, let since, _, let probe):
      let now = clock.monotonicNanoseconds
      let wall = clock.wallTime
      if troubleSince?.instant != since { troubleSince = (since, wall) }
      if nextProbe?.instant != probe {
        nextProbe = (probe, probe > now ? wall.adding(nanoseconds: probe - now) : wall)
      }
      let isWaiting = policy.inFlightCount == 0 && probe > now
      outbox.noteEndpoint(
        .trouble(trouble, since: troubleSince?.wall ?? wall, nextProbe: isWaiting ? nextProbe?.wall : nil))
    }
  }

  private func setTimer(
    _ deadline: UInt64, _ fire: @escaping @Sendable (AsyncStream<Signal>.Continuation) -> Void
  ) {
    if let timer, timer.deadline == deadline { return }
    timer?.task.cancel()
    let task = Task { [clock, mailbox] in
      await clock.sleep(untilNanoseconds: deadline)
      if !Task.isCancelled { fire(mailbox) }
    }
    timer = (deadline, task)
  }

  // MARK: Requests

  private func send(_ id: Int, _ request: ForwarderPolicy.Request) {
    let taken = Set(requests.values.map(\.connection))
    let connection = (0..<ForwarderPolicy.connections).first { !taken.contains($0) } ?? 0
    let task = Task { [weak self] in
      guard let self else { return }
      let input =
        switch request {
        case .page(let digest): await sendPage(id, digest, connection)
        case .events(_, let numbers): await sendEvents(id, numbers, connection)
        }
      mailbox.yield(.input(input))
    }
    requests[id] = (connection, task)
  }

  private nonisolated func sendPage(_ id: Int, _ digest: Digest, _ connection: Int) async
    -> ForwarderPolicy.Input
  {
    let page: (file: String, mediaType: String)
    do throws(StoreError) {
      guard let found = try await outbox.outgoingPage(digest) else { return .unusablePage(id, .missing) }
      page = found
    } catch { return .unreadablePage(id) }
    // Read and verified anew at every attempt: only what is whole is sent.
    let bytes: [UInt8]
    do throws(PageDirectory.ReadFailure) {
      bytes = try await outbox.pages.read(page.file, digest: digest)
    } catch .unusable(let reason) {
      return .unusablePage(id, reason)
    } catch {
      return .unreadablePage(id)
    }
    do throws(TransportError) {
      let request = IntakeRequest.page(digest: digest, mediaType: page.mediaType, bytes: bytes)
      let reply = try await transport.send(request, connection: connection)
      return .answer(id, .page(reply, digest: digest, now: clock.wallTime.secondsSince1970))
    } catch { return .answer(id, .endpoint(error.trouble, retryAfterSeconds: nil)) }
  }

  private nonisolated func sendEvents(
    _ id: Int, _ numbers: [Int64], _ connection: Int
  ) async -> ForwarderPolicy.Input {
    let events: [Outbox.Outgoing]
    do throws(StoreError) {
      let (usable, unusable) = try await outbox.outgoing(numbers)
      guard unusable.isEmpty else { return .unusableEvents(id, unusable) }
      events = usable
    } catch { return .answer(id, .endpoint(.broken, retryAfterSeconds: nil)) }
    await remember(events)
    var json: [UInt8] = []
    json.reserveCapacity(events.reduce(2) { $0 + $1.json.count + 1 })
    for event in events {
      json.append(json.isEmpty ? UInt8(ascii: "[") : UInt8(ascii: ","))
      json += event.json
    }
    json.append(UInt8(ascii: "]"))
    do throws(TransportError) {
      let reply = try await transport.send(.events(json: json), connection: connection)
      return .answer(
        id, .events(reply, ids: Set(events.map(\.id)), now: clock.wallTime.secondsSince1970))
    } catch { return .answer(id, .endpoint(error.trouble, retryAfterSeconds: nil)) }
  }

  private func remember(_ events: [Outbox.Outgoing]) {
    for event in events { types[event.number] = event.type }
  }
}

extension WallTime {
  fileprivate func adding(nanoseconds more: UInt64) -> WallTime {
    let total = Int64(nanoseconds) + Int64(clamping: more)
    return WallTime(
      secondsSince1970: secondsSince1970 + total / 1_000_000_000,
      nanoseconds: Int32(total % 1_000_000_000), utcOffsetSeconds: utcOffsetSeconds)
  }
}
