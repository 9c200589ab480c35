import Crypto

/// Everything the forwarder decides: what is sent next, what an answer leads to, when to try again. It does nothing itself:
/// ``handle(_:now:)`` takes what happened and returns what is to be done.
///
/// The rules (intake API v1; design 6.5 and 6.6):
/// - Events of one source go in order; each waits for the pages it names. One POST of a source is under way at a time.
/// - Four requests are under way at most. Sources take turns: ratings first (three turns, then one for the others), the
///   source with the newest and the one with the oldest waiting event alternately.
/// - An answer that means trouble with the intake stops everything but one probe at a time, which is never the item that failed
///   last if there is another.
/// - An item that is refused is tried again for an hour, then set aside; its source waits so long. So is an item that alone
///   draws no proper answer: a failure is held against it only when the very next answer to another item is an acceptance,
///   so that an intake that is down, or comes and goes, sets nothing aside.
struct ForwarderPolicy: Sendable {
  /// Nanoseconds of the monotonic clock.
  typealias Instant = UInt64

  /// What can be in trouble on its own.
  enum Item: Sendable, Hashable {
    case event(Int64)
    case page(Digest)
  }

  /// An item that was refused: how often, and when it is tried again.
  struct ItemTrouble: Sendable, Equatable {
    var attempts: Int
    var due: Instant
  }

  struct Page: Sendable, Equatable {
    var digest: Digest
    var isAccepted = false
    var trouble: ItemTrouble?
  }

  struct Event: Sendable, Equatable {
    /// Its place in the queue: rises with every event and every retry by hand.
    var number: Int64
    var id: String
    var priority = EventPriority.normal
    /// The size of its JSON.
    var bytes: Int
    var pages: [Page] = []
    var trouble: ItemTrouble?
  }

  /// The next events of one source.
  struct Loaded: Sendable, Equatable {
    var source: Int64
    var events: [Event]
    /// Whether there are no more in the database.
    var isComplete: Bool
  }

  enum Endpoint: Sendable, Equatable {
    /// Nothing has been answered since the start: one request goes out first.
    case untried
    /// The last answer was one that the intake gives when it works.
    case working
    /// The last answer was none, or none that a working intake gives. Nothing goes out before `nextProbe`, then one request.
    case trouble(EndpointTrouble, since: Instant, failures: Int, nextProbe: Instant)
  }

  enum Request: Sendable, Equatable {
    case page(Digest)
    /// The events with these numbers, in this order.
    case events(source: Int64, numbers: [Int64])
  }

  enum Input: Sendable, Equatable {
    /// There may be new events in the database.
    case wake
    /// The answer to ``Action/load(after:)``.
    case loaded([Loaded])
    /// A request was answered, or failed.
    case answer(Int, IntakeVerdict)
    /// A request was not sent: its page cannot be used.
    case unusablePage(Int, QuarantineReason)
    /// A request was not sent: its page could not be read just now.
    case unreadablePage(Int)
    /// A request was not sent: these of its events cannot be used, or are gone (nil).
    case unusableEvents(Int, [Int64: QuarantineReason?])
    /// These events wait no more: they were set aside together with a page.
    case removed([Int64])
    /// The intake seems to be back.
    case appeared
    /// The moment of ``nextWake(now:)`` has come.
    case tick
  }

  enum Action: Sendable, Equatable {
    /// Ask the database for events: of each source those beyond the number given (0 for sources not named), and none of those
    /// sources of which enough are at hand.
    case load(after: [Int64: Int64], except: Set<Int64>)
    /// Send a request; the number is its name until it is answered.
    case send(Int, Request)
    /// The intake has them: erase.
    case erase([Int64])
    /// Set it aside. With a page go the events that name it.
    case setAside(Item, QuarantineReason)
    /// Note that it was refused so often and is tried again after so many seconds.
    case postpone(Item, attempts: Int, seconds: Int)
  }

  static let connections = 4
  static let batchCount = 500
  static let batchBytes = 1024 * 1024
  /// After these minutes an item that was refused is tried again: an hour in all.
  static let retryMinutes = [1, 2, 4, 8, 15, 30]
  /// So many failures while others are accepted put an item in trouble of its own.
  static let strikeLimit = 3
  static let shortestBackOff = 0.2
  static let longestBackOff = 30.0
  /// How many events of a source are looked at for pages to send ahead.
  private static let lookAhead = 16
  /// So many ready events of a source go before its next page does.
  private static let togetherCount = 8
  /// A source's window is filled up when fewer are left in it.
  static let windowLow = 100
  /// How many turns ratings get before the others get one.
  private static let ratingTurns = 3

  private struct Queue {
    var events: [Event] = []
    var lastLoaded: Int64 = 0
    var isComplete = false
    var isPosting = false
    var batchLimit = ForwarderPolicy.batchCount
    /// The number of the last request made for it.
    var lastTried = 0
  }

  private struct PageState {
    var references = 0
    var isAccepted = false
    var isSending = false
    /// It is being set aside, and the events that name it with it.
    var isSetAside = false
    var trouble: ItemTrouble?
    /// How many acceptances there had been when the intake said that its bytes do not match.
    var mismatchAt: Int?
  }

  private struct InFlight {
    var request: Request
    var isProbe: Bool
  }

  private(set) var endpoint = Endpoint.untried
  private var queues: [Int64: Queue] = [:]
  private var pages: [Digest: PageState] = [:]
  private var inFlight: [Int: InFlight] = [:]
  private var nextRequest = 1
  /// The sources that are not asked for more, while others are; nil while none is.
  private var loadingExcept: Set<Int64>?
  private var mayHaveMore = true
  private var acceptances = 0
  private var strikes: [Item: Int] = [:]
  /// The item whose failure is held against it if the next answer to another one is an acceptance.
  private var suspect: (item: Item, trouble: EndpointTrouble)?
  private var lastFailed: Item?
  private var ratingRun = 0
  private var newestIsNext = true
  private var random: UInt64

  init(seed: UInt64) { random = seed }

  /// How many events are held here.
  var heldCount: Int { queues.values.reduce(0) { $0 + $1.events.count } }
  /// How many requests are under way.
  var inFlightCount: Int { inFlight.count }

  // MARK: What happens

  /// Takes what happened and returns what is to be done, in this order.
  mutating func handle(_ input: Input, now: Instant) -> [Action] {
    var actions: [Action] = []
    switch input {
    case .wake: mayHaveMore = true
    case .loaded(let loaded): take(loaded)
    case .answer(let id, let verdict):
      guard let flight = inFlight.removeValue(forKey: id) else { break }
      settle(flight, verdict, now, &actions)
    case .unusablePage(let id, let reason):
      guard case .page(let digest)? = withdraw(id) else { break }
      setAside(.page(digest), reason, &actions)
    case .unreadablePage(let id):
      guard case .page(let digest)? = withdraw(id) else { break }
      stepTrouble(.page(digest), reason: .damaged, now, &actions)
    case .unusableEvents(let id, let reasons):
      guard case .events(let source, _)? = withdraw(id) else { break }
      for (number, reason) in reasons.sorted(by: { $0.key < $1.key }) {
        if let reason { actions.append(.setAside(.event(number), reason)) }
      }
      remove(Set(reasons.keys), from: source)
    case .removed(let numbers):
      for source in queues.keys { remove(Set(numbers), from: source) }
    case .appeared:
      // Its file is there a moment before it listens: should the first probe be too early, the next ones follow soon.
      if case .trouble(let trouble, let since, _, _) = endpoint, [.notListening, .denied].contains(trouble) {
        endpoint = .trouble(trouble, since: since, failures: 0, nextProbe: now)
      }
    case .tick: break
    }
    schedule(now, &actions)
    return actions
  }

  /// When ``Input/tick`` is due if nothing else happens before; nil if there is nothing to wait for.
  func nextWake(now: Instant) -> Instant? {
    if case .trouble(_, _, _, let nextProbe) = endpoint, nextProbe > now {
      return queues.values.contains { !$0.events.isEmpty } && inFlight.isEmpty ? nextProbe : nil
    }
    var earliest: Instant?
    for queue in queues.values {
      for (index, event) in queue.events.prefix(Self.lookAhead).enumerated() {
        let dues =
          event.pages.map { pages[$0.digest]?.trouble?.due } + [index == 0 ? event.trouble?.due : nil]
        for case .some(let due) in dues where due > now { earliest = min(earliest ?? due, due) }
      }
    }
    return earliest
  }

  private mutating func take(_ loaded: [Loaded]) {
    let except = loadingExcept ?? []
    loadingExcept = nil
    for source in queues.keys where !except.contains(source) { queues[source]?.isComplete = true }
    for load in loaded {
      var queue = queues[load.source] ?? Queue()
      queue.isComplete = load.isComplete
      for event in load.events where event.number > queue.lastLoaded {
        queue.events.append(event)
        queue.lastLoaded = event.number
        for page in event.pages {
          var state = pages[page.digest] ?? PageState(isAccepted: page.isAccepted, trouble: page.trouble)
          state.references += 1
          pages[page.digest] = state
        }
      }
      queues[load.source] = queue
    }
  }

  // MARK: Answers

  private mutating func settle(
    _ flight: InFlight, _ verdict: IntakeVerdict, _ now: Instant, _ actions: inout [Action]
  ) {
    release(flight.request)
    switch (flight.request, verdict) {
    case (let request, .endpoint(let trouble, let retryAfter)):
      failed(request, trouble, retryAfter, isProbe: flight.isProbe, now)
    case (.page(let digest), .accepted), (.page(let digest), .alreadyThere):
      pages[digest]?.isAccepted = true
      pages[digest]?.trouble = nil
      accepted([.page(digest)], now, &actions)
    case (.page(let digest), .mismatch):
      endpoint = .working
      mismatched(digest, now, &actions)
    case (.page(let digest), .refused(let status)):
      endpoint = .working
      stepTrouble(.page(digest), reason: .refused(status: status), now, &actions)
    case (.events(let source, let numbers), .accepted(let rejected)):
      acceptedEvents(source, numbers, rejected, now, &actions)
      if let limit = queues[source]?.batchLimit, numbers.count >= limit {
        queues[source]?.batchLimit = min(limit * 2, Self.batchCount)
      }
    case (.events(let source, let numbers), .alreadyThere):
      if numbers.count == 1 {
        acceptedEvents(source, numbers, [], now, &actions)
      } else {
        endpoint = .working
        split(source, numbers.count)
      }
    case (.events(let source, let numbers), .refused(let status)):
      endpoint = .working
      if numbers.count == 1 {
        stepTrouble(.event(numbers[0]), reason: .refused(status: status), now, &actions)
      } else {
        split(source, numbers.count)
      }
    case (.events(let source, let numbers), .mismatch):
      // A verdict of pages only; for events it would mean the same as 400.
      endpoint = .working
      split(source, numbers.count)
    }
  }

  private mutating func acceptedEvents(
    _ source: Int64, _ numbers: [Int64], _ rejected: [Rejection], _ now: Instant, _ actions: inout [Action]
  ) {
    let reasons = Dictionary(rejected.map { ($0.id, $0.reason) }) { first, _ in first }
    let sent = Set(numbers)
    var erased: [Int64] = []
    for event in queues[source]?.events ?? [] where sent.contains(event.number) {
      if let reason = reasons[event.id] {
        actions.append(.setAside(.event(event.number), .rejected(reason)))
      } else {
        erased.append(event.number)
      }
    }
    if !erased.isEmpty { actions.append(.erase(erased)) }
    remove(sent, from: source)
    accepted(numbers.map(Item.event), now, &actions)
  }

  /// Other items' acceptance clears the intake, and confirms the suspicion against an item that failed just before.
  private mutating func accepted(_ items: [Item], _ now: Instant, _ actions: inout [Action]) {
    endpoint = .working
    acceptances += 1
    lastFailed = nil
    for item in items { strikes[item] = nil }
    guard let (item, trouble) = suspect else { return }
    suspect = nil
    guard !items.contains(item), exists(item) else { return }
    if isInTrouble(item) {
      stepTrouble(item, reason: .noAnswer(trouble), now, &actions)
    } else {
      strikes[item, default: 0] += 1
      if strikes[item, default: 0] >= Self.strikeLimit {
        stepTrouble(item, reason: .noAnswer(trouble), now, &actions)
      }
    }
  }

  private mutating func failed(
    _ request: Request, _ trouble: EndpointTrouble, _ retryAfter: Int?, isProbe: Bool, _ now: Instant
  ) {
    let item: Item
    switch request {
    case .page(let digest):
      item = .page(digest)
      suspect = (item, trouble)
    case .events(let source, let numbers):
      item = .event(numbers.first ?? 0)
      if numbers.count > 1 {
        // Which of them it was, if any, shows when they go in smaller numbers.
        split(source, numbers.count)
        suspect = nil
      } else {
        suspect = (item, trouble)
      }
    }
    lastFailed = item
    var since = now
    var failures = 1
    if case .trouble(_, let began, let before, let nextProbe) = endpoint {
      since = began
      failures = before + 1
      if !isProbe {
        // Sent before the trouble was known: it says nothing new.
        endpoint = .trouble(trouble, since: since, failures: before, nextProbe: nextProbe)
        return
      }
    }
    let wait = max(backOff(failures), Double(retryAfter ?? 0))
    endpoint = .trouble(
      trouble, since: since, failures: failures, nextProbe: now + UInt64(wait * 1_000_000_000))
  }

  /// Half to all of 0.2 s, doubled with each failure up to 30 s.
  private mutating func backOff(_ failures: Int) -> Double {
    let full = min(Self.shortestBackOff * Double(1 << min(failures - 1, 16)), Self.longestBackOff)
    // SplitMix64 (Steele, Lea, Flood 2014): positions that lost the same intake do not come back in step.
    random &+= 0x9E37_79B9_7F4A_7C15
    var bits = random
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    bits ^= bits >> 31
    return full * (0.5 + Double(bits >> 11) / Double(1 << 54))
  }

  /// The bytes were verified before they were sent. A second such answer sets the page aside if the intake takes others;
  /// otherwise it may be one that says 400 to everything, and the page is treated as any that is refused.
  private mutating func mismatched(_ digest: Digest, _ now: Instant, _ actions: inout [Action]) {
    guard let first = pages[digest]?.mismatchAt else {
      pages[digest]?.mismatchAt = acceptances
      return
    }
    if acceptances > first {
      setAside(.page(digest), .mismatch, &actions)
    } else {
      stepTrouble(.page(digest), reason: .mismatch, now, &actions)
    }
  }

  private mutating func stepTrouble(
    _ item: Item, reason: QuarantineReason, _ now: Instant, _ actions: inout [Action]
  ) {
    let attempts = (trouble(of: item)?.attempts ?? 0) + 1
    guard attempts <= Self.retryMinutes.count else {
      setAside(item, reason, &actions)
      return
    }
    let seconds = Self.retryMinutes[attempts - 1] * 60
    let trouble = ItemTrouble(attempts: attempts, due: now + UInt64(seconds) * 1_000_000_000)
    strikes[item] = nil
    switch item {
    case .page(let digest): pages[digest]?.trouble = trouble
    case .event(let number):
      for (source, queue) in queues {
        guard let index = queue.events.firstIndex(where: { $0.number == number }) else { continue }
        queues[source]?.events[index].trouble = trouble
      }
    }
    actions.append(.postpone(item, attempts: attempts, seconds: seconds))
  }

  private mutating func setAside(_ item: Item, _ reason: QuarantineReason, _ actions: inout [Action]) {
    actions.append(.setAside(item, reason))
    switch item {
    case .page(let digest): pages[digest]?.isSetAside = true
    case .event(let number): for source in queues.keys { remove([number], from: source) }
    }
  }

  private func trouble(of item: Item) -> ItemTrouble? {
    switch item {
    case .page(let digest): pages[digest]?.trouble
    case .event(let number):
      queues.values.lazy.compactMap { $0.events.first { $0.number == number } }.first?.trouble
    }
  }

  private func isInTrouble(_ item: Item) -> Bool { trouble(of: item) != nil }

  private func exists(_ item: Item) -> Bool {
    switch item {
    case .page(let digest): pages[digest] != nil
    case .event(let number): queues.values.contains { $0.events.contains { $0.number == number } }
    }
  }

  private mutating func split(_ source: Int64, _ count: Int) {
    queues[source]?.batchLimit = max(1, count / 2)
  }

  // MARK: Bookkeeping

  private mutating func withdraw(_ id: Int) -> Request? {
    guard let flight = inFlight.removeValue(forKey: id) else { return nil }
    release(flight.request)
    return flight.request
  }

  private mutating func release(_ request: Request) {
    switch request {
    case .page(let digest):
      pages[digest]?.isSending = false
      forgetUnlessNamed(digest)
    case .events(let source, _): queues[source]?.isPosting = false
    }
  }

  private mutating func forgetUnlessNamed(_ digest: Digest) {
    guard let state = pages[digest], state.references <= 0, !state.isSending else { return }
    pages[digest] = nil
    strikes[.page(digest)] = nil
  }

  private mutating func remove(_ numbers: Set<Int64>, from source: Int64) {
    guard let events = queues[source]?.events, events.contains(where: { numbers.contains($0.number) }) else {
      return
    }
    for event in events where numbers.contains(event.number) {
      strikes[.event(event.number)] = nil
      for page in event.pages {
        pages[page.digest]?.references -= 1
        forgetUnlessNamed(page.digest)
      }
    }
    queues[source]?.events.removeAll { numbers.contains($0.number) }
  }

  // MARK: Whose turn it is

  private mutating func schedule(_ now: Instant, _ actions: inout [Action]) {
    let runsLow = queues.values.contains { !$0.isComplete && $0.events.count < Self.windowLow }
    if loadingExcept == nil, mayHaveMore || runsLow {
      // However long the backlog grows, a window of it is held here.
      let full = Set(queues.keys.filter { queues[$0]?.events.count ?? 0 >= Self.windowLow })
      if mayHaveMore { for source in full { queues[source]?.isComplete = false } }
      loadingExcept = full
      mayHaveMore = false
      actions.append(.load(after: queues.mapValues(\.lastLoaded), except: full))
    }
    while inFlight.count < Self.connections {
      let isProbe: Bool
      switch endpoint {
      case .working: isProbe = false
      case .untried:
        guard inFlight.isEmpty else { return }
        isProbe = true
      case .trouble(_, _, _, let nextProbe):
        guard inFlight.isEmpty, now >= nextProbe else { return }
        isProbe = true
      }
      guard let (source, request) = pick(now, isProbe: isProbe) else { return }
      queues[source]?.lastTried = nextRequest
      switch request {
      case .page(let digest): pages[digest]?.isSending = true
      case .events(let source, _): queues[source]?.isPosting = true
      }
      inFlight[nextRequest] = InFlight(request: request, isProbe: isProbe)
      actions.append(.send(nextRequest, request))
      nextRequest += 1
    }
  }

  private mutating func pick(_ now: Instant, isProbe: Bool) -> (source: Int64, Request)? {
    if isProbe {
      // In turn, so that two items that fail cannot pass the probe to each other for ever.
      var candidates = candidates(now, isProbe: true, avoiding: lastFailed)
      if candidates.isEmpty { candidates = self.candidates(now, isProbe: true, avoiding: nil) }
      return candidates.min { ($0.lastTried, $0.head) < ($1.lastTried, $1.head) }.map {
        ($0.source, $0.request)
      }
    }
    let candidates = candidates(now, isProbe: false, avoiding: nil)
    let ratings = candidates.filter { $0.priority == .rating }
    let others = candidates.filter { $0.priority != .rating }
    let chosen: [Candidate]
    if !ratings.isEmpty, others.isEmpty || ratingRun < Self.ratingTurns {
      chosen = ratings
      ratingRun += 1
    } else {
      chosen = others
      ratingRun = 0
    }
    newestIsNext.toggle()
    let next =
      newestIsNext ? chosen.max { $0.head < $1.head } : chosen.min { $0.head < $1.head }
    return next.map { ($0.source, $0.request) }
  }

  private struct Candidate {
    var source: Int64
    var request: Request
    var priority: EventPriority
    var head: Int64
    var lastTried: Int
  }

  /// What each source would send now: its next events if they are ready, else the next page they wait for.
  private func candidates(_ now: Instant, isProbe: Bool, avoiding avoided: Item?) -> [Candidate] {
    queues.compactMap { source, queue in
      guard let head = queue.events.first,
        let request = request(source, queue, now, isProbe: isProbe, avoiding: avoided)
      else { return nil }
      return Candidate(
        source: source, request: request, priority: head.priority, head: head.number,
        lastTried: queue.lastTried)
    }
  }

  private func request(
    _ source: Int64, _ queue: Queue, _ now: Instant, isProbe: Bool, avoiding avoided: Item?
  ) -> Request? {
    let batch = queue.isPosting ? [] : readyBatch(queue, now, limit: isProbe ? 1 : queue.batchLimit)
    let events = batch.first.flatMap { first in
      avoided == .event(first) ? nil : Request.events(source: source, numbers: batch)
    }
    // In a backlog of pages a few events go together: each request of events costs a flush here and one there.
    if let events, isProbe || batch.count >= Self.togetherCount { return events }
    for event in queue.events.prefix(Self.lookAhead) {
      for page in event.pages {
        guard let state = pages[page.digest], !state.isAccepted, !state.isSending, !state.isSetAside,
          state.trouble.map({ $0.due <= now }) ?? true, avoided != .page(page.digest)
        else { continue }
        return .page(page.digest)
      }
    }
    return events
  }

  /// The events at the head whose pages the intake has. One that was refused goes alone.
  private func readyBatch(_ queue: Queue, _ now: Instant, limit: Int) -> [Int64] {
    var batch: [Int64] = []
    // The brackets, and a comma for each.
    var bytes = 2
    for event in queue.events {
      guard event.pages.allSatisfy({ pages[$0.digest]?.isAccepted ?? false }) else { break }
      if let trouble = event.trouble { return batch.isEmpty && trouble.due <= now ? [event.number] : batch }
      bytes += event.bytes + 1
      guard batch.isEmpty || (bytes <= Self.batchBytes && batch.count < limit) else { break }
      batch.append(event.number)
    }
    return batch
  }
}
