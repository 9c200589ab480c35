import Crypto
import Testing

@testable import Outbox

private typealias Policy = ForwarderPolicy

private func second(_ seconds: Double) -> UInt64 { UInt64(seconds * 1_000_000_000) }
private func digest(_ number: Int) -> Digest { SHA256.digest(of: [UInt8(number & 255), UInt8(number >> 8)]) }
private func event(
  _ number: Int64, pages: [Int] = [], priority: EventPriority = .normal, bytes: Int = 300,
  trouble: ForwarderPolicy.ItemTrouble? = nil
) -> ForwarderPolicy.Event {
  .init(
    number: number, id: "id-\(number)", priority: priority, bytes: bytes,
    pages: pages.map { .init(digest: digest($0)) }, trouble: trouble)
}

/// A policy with its clock, answered by hand.
private struct Play {
  var policy = Policy(seed: 1)
  var now: UInt64 = second(1000)
  /// Requests under way.
  var open: [Int: Policy.Request] = [:]
  /// Everything else that was to be done.
  var done: [Policy.Action] = []

  /// Loads these events of source 1, or of several sources, as all there are.
  init(_ events: Policy.Event...) { self.init([1: events]) }
  init(_ sources: [Int64: [Policy.Event]]) {
    take(policy.handle(.wake, now: now))
    load(sources)
  }

  mutating func load(_ sources: [Int64: [Policy.Event]]) {
    tell(
      .loaded(
        sources.sorted { $0.key < $1.key }.map { .init(source: $0.key, events: $0.value, isComplete: true) }))
  }

  mutating func take(_ actions: [Policy.Action]) {
    for action in actions {
      if case .send(let id, let request) = action { open[id] = request } else { done.append(action) }
    }
  }
  mutating func tell(_ input: Policy.Input) { take(policy.handle(input, now: now)) }
  mutating func answer(_ request: Policy.Request, _ verdict: IntakeVerdict) {
    guard let id = open.first(where: { $0.value == request })?.key else {
      Issue.record("\(request) is not under way; \(open.values) are")
      return
    }
    open[id] = nil
    tell(.answer(id, verdict))
  }
  /// Answers the only request under way.
  mutating func answer(_ verdict: IntakeVerdict) {
    guard open.count == 1, let request = open.values.first else {
      Issue.record("not one request under way: \(open.values)")
      return
    }
    answer(request, verdict)
  }
  /// Lets the time pass until the policy wants to be woken.
  mutating func wait() -> Double {
    guard let wake = policy.nextWake(now: now) else {
      Issue.record("nothing to wait for")
      return 0
    }
    let waited = wake > now ? wake - now : 0
    now = max(now, wake)
    tell(.tick)
    return Double(waited) / 1e9
  }
  var requests: Set<String> { Set(open.values.map { "\($0)" }) }
  var setAside: [Policy.Action] { done.filter { if case .setAside = $0 { true } else { false } } }
  var erased: [Int64] {
    done.flatMap { action -> [Int64] in if case .erase(let numbers) = action { numbers } else { [] } }
  }
}

private func events(_ numbers: Int64..., source: Int64 = 1) -> ForwarderPolicy.Request {
  .events(source: source, numbers: numbers)
}
private let accepted = IntakeVerdict.accepted(rejected: [])
private let down = IntakeVerdict.endpoint(.notListening, retryAfterSeconds: nil)
private let failing = IntakeVerdict.endpoint(.serverError, retryAfterSeconds: nil)

@Suite struct ForwarderPolicyTests {
  @Test func `nothing is sent and nothing waited for when there is nothing`() {
    let play = Play()
    #expect(play.open.isEmpty)
    #expect(play.policy.nextWake(now: play.now) == nil)
    #expect(play.policy.endpoint == .untried)
  }

  @Test func `the first request goes alone, later ones four at a time`() {
    var play = Play([
      1: [event(1), event(7)], 2: [event(2)], 3: [event(3)], 4: [event(4)], 5: [event(5)], 6: [event(6)],
    ])
    #expect(play.open.count == 1)
    play.answer(accepted)
    #expect(play.open.count == 4)
    #expect(play.policy.endpoint == .working)
  }

  @Test func `events of a source go in one batch, in order, and not while another is under way`() {
    var play = Play(event(1))
    play.load([1: [event(2), event(3)]])
    #expect(Array(play.open.values) == [events(1)])
    play.answer(accepted)
    #expect(Array(play.open.values) == [events(2, 3)])
    play.answer(accepted)
    #expect(play.erased == [1, 2, 3])
    #expect(play.open.isEmpty)
  }

  @Test func `a batch has 500 events and 1 MiB at most`() {
    var play = Play([1: [event(1)] + (2...700).map { event($0) }])
    play.answer(events(1), accepted)
    #expect(Array(play.open.values) == [.events(source: 1, numbers: Array(2...501))])
    // Brackets, commas and four events of 256 KiB less a little fit; a byte more does not.
    let quarter = (1024 * 1024 - 2) / 4 - 1
    for (bytes, count) in [(quarter, 4), (quarter + 1, 3)] {
      var play = Play([1: [event(1)] + (2...9).map { event($0, bytes: bytes) }])
      play.answer(events(1), accepted)
      guard case .events(_, let numbers)? = play.open.values.first else {
        Issue.record("no batch")
        return
      }
      #expect(numbers.count == count)
    }
  }

  @Test func `an event waits for its pages, and those behind it wait with it`() {
    var play = Play(event(1, pages: [1, 2]), event(2), event(3, pages: [3]))
    #expect(Array(play.open.values) == [.page(digest(1))])
    play.answer(accepted)
    // Pages may be sent ahead: they have no order.
    #expect(
      Set(play.open.values.map { "\($0)" }) == [
        "\(Policy.Request.page(digest(2)))", "\(Policy.Request.page(digest(3)))",
      ])
    play.answer(.page(digest(3)), accepted)
    #expect(Array(play.open.values) == [.page(digest(2))])
    play.answer(.page(digest(2)), accepted)
    #expect(Array(play.open.values) == [events(1, 2, 3)])
  }

  @Test func `a page that two events name is sent once`() {
    var play = Play([1: [event(1, pages: [1])], 2: [event(2, pages: [1])]])
    play.answer(.page(digest(1)), accepted)
    #expect(play.open.count == 2)
    #expect(play.requests == ["\(events(1))", "\(events(2, source: 2))"])
  }

  @Test func `ratings come first, and every fourth turn is another source's`() {
    var play = Play([
      1: (0..<12).map { event(10 + $0, pages: [Int($0)]) },
      2: [event(1, priority: .rating)], 3: [event(2, priority: .rating)], 4: [event(3, priority: .rating)],
      5: [event(4, priority: .rating)], 6: [event(5, priority: .rating)],
    ])
    var order: [Int64] = []
    play.answer(accepted)
    while let request = play.open.min(by: { $0.key < $1.key })?.value, order.count < 6 {
      if case .events(let source, _) = request { order.append(source) } else { order.append(1) }
      play.answer(request, accepted)
    }
    #expect(order.prefix(6).count { $0 != 1 } >= 4)
    #expect(order.prefix(4).contains(1))
  }

  @Test func `the newest and the oldest source take turns`() {
    var sources: [Int64: [Policy.Event]] = [:]
    // Each with many pages to send before its event, so that all of them always have something to send.
    for source in 1...5 as ClosedRange<Int64> {
      sources[source] = [event(source, pages: (0..<40).map { Int(source) * 100 + $0 })]
    }
    var play = Play(sources)
    play.answer(accepted)
    var turns: [Int: Int] = [:]
    for _ in 0..<40 {
      guard let (_, request) = play.open.min(by: { $0.key < $1.key }) else { break }
      for source in 1...5 {
        for page in 0..<40 where request == .page(digest(source * 100 + page)) {
          turns[source, default: 0] += 1
        }
      }
      play.answer(request, accepted)
    }
    #expect(turns[1, default: 0] >= 15)
    #expect(turns[5, default: 0] >= 15)
  }

  // MARK: The intake in trouble

  @Test(arguments: [
    EndpointTrouble.notListening, .denied, .stranger, .timedOut, .broken, .busy, .unauthorised, .notFound,
    .redirect,
    .serverError, .unexpectedAnswer,
  ])
  func `an intake in trouble sets nothing aside, however long`(trouble: EndpointTrouble) {
    var play = Play([1: [event(1, pages: [1]), event(2)], 2: [event(3)], 3: [event(4, pages: [2])]])
    for _ in 0..<1000 {
      #expect(play.open.count == 1)
      play.answer(.endpoint(trouble, retryAfterSeconds: nil))
      #expect(play.open.isEmpty)
      _ = play.wait()
    }
    #expect(play.setAside.isEmpty)
    #expect(play.erased.isEmpty)
    #expect(!play.done.contains { if case .postpone = $0 { true } else { false } })
    // And everything is there when it is back.
    while !play.open.isEmpty { for request in play.open.values { play.answer(request, accepted) } }
    #expect(play.erased.sorted() == [1, 2, 3, 4])
  }

  @Test func `waiting doubles from a fifth of a second to half a minute, with jitter`() {
    var play = Play(event(1))
    var full = 0.2
    for _ in 0..<20 {
      play.answer(down)
      let waited = play.wait()
      #expect(waited >= full / 2 - 0.001 && waited <= full + 0.001)
      full = min(full * 2, 30)
    }
  }

  @Test func `positions do not come back in step`() {
    let waits = (0..<20).map { seed -> Double in
      var play = Play(event(1))
      play.policy = Policy(seed: UInt64(seed))
      play.open = [:]
      play.tell(.wake)
      play.load([1: [event(1)]])
      for _ in 0..<8 {
        play.answer(down)
        _ = play.wait()
      }
      return Double(play.now) / 1e9
    }
    #expect(Set(waits.map { Int($0 * 1000) }).count > 15)
  }

  @Test func `the intake's own waiting time is kept`() {
    var play = Play(event(1))
    play.answer(.endpoint(.busy, retryAfterSeconds: 120))
    #expect(play.wait() == 120)
    play.answer(.endpoint(.busy, retryAfterSeconds: 0))
    #expect(play.wait() <= 0.4)
  }

  @Test func `the probe is never the item that failed last if there is another`() {
    var play = Play([1: [event(1)], 2: [event(2)], 3: [event(3)]])
    var last: Policy.Request?
    var probed: Set<String> = []
    for _ in 0..<30 {
      guard let request = play.open.values.first else { break }
      #expect(play.open.count == 1)
      #expect(request != last)
      probed.insert("\(request)")
      last = request
      play.answer(down)
      _ = play.wait()
    }
    #expect(probed.count == 3)
  }

  @Test func `with one source the probe is another of its pages`() {
    var play = Play(event(1, pages: [1]), event(2, pages: [2]))
    play.answer(.page(digest(1)), down)
    _ = play.wait()
    #expect(Array(play.open.values) == [.page(digest(2))])
  }

  @Test func `the only item is its own probe`() {
    var play = Play(event(1))
    play.answer(down)
    _ = play.wait()
    #expect(Array(play.open.values) == [events(1)])
  }

  @Test func `a probe of events is one event`() {
    var play = Play([1: (1...600).map { event($0) }])
    #expect(Array(play.open.values) == [events(1)])
    play.answer(accepted)
    guard case .events(_, let numbers)? = play.open.values.first else {
      Issue.record("no batch")
      return
    }
    #expect(numbers.count == 500)
    play.answer(down)
    _ = play.wait()
    #expect(Array(play.open.values) == [events(2)])
  }

  @Test func `an intake whose socket appears is asked at once`() {
    var play = Play(event(1))
    for _ in 0..<12 {
      play.answer(down)
      _ = play.wait()
    }
    play.answer(down)
    #expect(play.open.isEmpty)
    play.tell(.appeared)
    #expect(Array(play.open.values) == [events(1)])
    // It did not listen yet: the next probe follows soon, not in half a minute.
    play.answer(down)
    #expect(play.wait() <= 0.2)
  }

  @Test func `one that said how long it is busy is not asked before, though its socket appears`() {
    var play = Play(event(1))
    play.answer(.endpoint(.busy, retryAfterSeconds: 60))
    play.tell(.appeared)
    #expect(play.open.isEmpty)
  }

  @Test func `a request that was under way when the trouble began does not lengthen the wait`() {
    var play = Play([1: [event(1), event(2)], 2: [event(3)]])
    play.answer(accepted)
    #expect(play.open.count == 2)
    for request in play.open.values { play.answer(request, down) }
    guard case .trouble(_, _, let failures, _) = play.policy.endpoint else {
      Issue.record("\(play.policy.endpoint)")
      return
    }
    #expect(failures == 1)
  }

  // MARK: An item in trouble

  @Test func `an event that is refused is tried again for an hour and then set aside`() {
    var play = Play(event(1), event(2))
    var minutes: [Double] = []
    for _ in 0..<6 {
      play.answer(events(1), .refused(status: 422))
      #expect(play.setAside.isEmpty)
      minutes.append(play.wait() / 60)
    }
    #expect(minutes == [1, 2, 4, 8, 15, 30])
    play.answer(events(1), .refused(status: 422))
    #expect(play.setAside == [.setAside(.event(1), .refused(status: 422))])
    // Then the source goes on.
    play.answer(events(2), accepted)
    #expect(play.erased == [2])
    #expect(play.policy.nextWake(now: play.now) == nil)
  }

  @Test(arguments: [413, 415, 422])
  func `a page that is refused is tried again for an hour and then set aside`(status: Int) {
    var play = Play([1: [event(1, pages: [1]), event(2)], 2: [event(3)]])
    if let request = play.open.values.first {
      play.answer(request, request == .page(digest(1)) ? .refused(status: status) : accepted)
    }
    if play.open.values.contains(.page(digest(1))) { play.answer(.page(digest(1)), .refused(status: status)) }
    // The other source goes on, this one waits.
    if play.open.values.contains(events(3, source: 2)) { play.answer(events(3, source: 2), accepted) }
    #expect(play.erased == [3])
    #expect(play.open.isEmpty)
    for _ in 0..<5 {
      _ = play.wait()
      play.answer(.page(digest(1)), .refused(status: status))
    }
    #expect(play.setAside.isEmpty)
    _ = play.wait()
    play.answer(.page(digest(1)), .refused(status: status))
    #expect(play.setAside == [.setAside(.page(digest(1)), .refused(status: status))])
    // Until the database has set its event aside with it, nothing of it is sent again.
    #expect(play.open.isEmpty)
    play.tell(.removed([1]))
    play.answer(events(2), accepted)
    #expect(play.erased == [3, 2])
  }

  @Test func `how often it was refused outlives a restart`() {
    var play = Play(event(1, trouble: .init(attempts: 5, due: second(1100))))
    #expect(play.open.isEmpty)
    #expect(play.wait() == 100)
    play.answer(.refused(status: 422))
    #expect(play.done.last == .postpone(.event(1), attempts: 6, seconds: 1800))
    _ = play.wait()
    play.answer(.refused(status: 422))
    #expect(play.setAside.count == 1)
  }

  @Test(arguments: [1, 2, 17, 256, 499, 500] as [Int64])
  func `the offender in a batch is found, and all others are accepted in order`(offender: Int64) {
    var play = Play([1: (0...500).map { event($0 + 1) }])
    play.answer(accepted)
    var steps = 0
    while play.setAside.isEmpty, steps < 200 {
      steps += 1
      guard case .events(_, let numbers)? = play.open.values.first else {
        if play.open.isEmpty { _ = play.wait() }
        continue
      }
      play.answer(numbers.contains(offender + 1) ? .refused(status: 400) : accepted)
    }
    #expect(play.setAside == [.setAside(.event(offender + 1), .refused(status: 400))])
    while let request = play.open.values.first { play.answer(request, accepted) }
    #expect(play.erased == (1...501).filter { $0 != offender + 1 })
    #expect(steps < 60)
  }

  @Test func `events that the intake names as rejected are set aside with its words, the others accepted`() {
    var play = Play(event(1))
    play.load([1: [event(2), event(3), event(4)]])
    play.answer(accepted)
    play.answer(.accepted(rejected: [Rejection(id: "id-3", reason: "no such case")]))
    #expect(play.erased == [1, 2, 4])
    #expect(play.setAside == [.setAside(.event(3), .rejected("no such case"))])
  }

  @Test func `409 to one event is acceptance, to a batch it is not`() {
    var play = Play(event(1))
    play.load([1: [event(2), event(3), event(4)]])
    play.answer(.alreadyThere)
    #expect(play.erased == [1])
    play.answer(events(2, 3, 4), .alreadyThere)
    #expect(play.erased == [1])
    while let request = play.open.values.first { play.answer(request, .alreadyThere) }
    #expect(play.erased == [1, 2, 3, 4])
    #expect(play.setAside.isEmpty)
  }

  @Test func `a page whose bytes do not match is tried once more and set aside if the intake takes others`() {
    var play = Play([1: [event(1, pages: [1])], 2: [event(2, pages: [2])], 3: [event(3)]])
    var mismatches = 0
    while play.setAside.isEmpty, !play.open.isEmpty {
      // The others first, so that the intake is known to take some.
      let request = play.open.values.first { $0 != .page(digest(1)) } ?? .page(digest(1))
      if request == .page(digest(1)) { mismatches += 1 }
      play.answer(request, request == .page(digest(1)) ? .mismatch : accepted)
    }
    #expect(mismatches == 2)
    #expect(play.setAside == [.setAside(.page(digest(1)), .mismatch)])
  }

  @Test func `an intake that says 400 to every page sets none aside within the hour`() {
    var play = Play(
      (1...20).map { event($0, pages: [Int($0)]) }.reduce(into: [1: []]) { $0[1, default: []].append($1) })
    let start = play.now
    while play.setAside.isEmpty {
      if let request = play.open.values.first { play.answer(request, .mismatch) } else { _ = play.wait() }
    }
    #expect(play.now - start >= second(3600))
    #expect(play.setAside.count == 1)
  }

  @Test func `one that alone draws no proper answer is in trouble itself`() {
    // The intake fails on event 1 and takes everything else.
    var play = Play([1: [event(1), event(2)], 2: (10...400).map { event($0, pages: [Int($0)]) }])
    let start = play.now
    var steps = 0
    var next: Int64 = 1000
    while play.setAside.isEmpty, steps < 5000 {
      steps += 1
      if let request = play.open.min(by: { $0.key < $1.key })?.value {
        play.answer(request, request == events(1) || request == events(1, 2) ? failing : accepted)
      } else {
        // Others keep coming, one every five seconds.
        next += 1
        play.now += second(5)
        play.tell(.wake)
        play.load([2: [event(next)]])
        if play.open.isEmpty { _ = play.wait() }
      }
    }
    #expect(play.setAside == [.setAside(.event(1), .noAnswer(.serverError))])
    #expect(play.now - start >= second(3600))
    #expect(!play.erased.contains(1))
  }

  @Test func `one that fails while nothing else is there is never set aside`() {
    var play = Play(event(1))
    let start = play.now
    for _ in 0..<10_000 {
      play.answer(failing)
      _ = play.wait()
    }
    #expect(play.now - start > second(24 * 3600))
    #expect(play.setAside.isEmpty)
  }

  @Test func `two items that fail do not keep the probe from a third`() {
    for numbers in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] as [[Int64]] {
      // Source 1 and 2 fail, source 3 is good; in every order of age.
      var play = Play([1: [event(numbers[0])], 2: [event(numbers[1])], 3: [event(numbers[2])]])
      for _ in 0..<20 where !play.erased.contains(numbers[2]) {
        guard let request = play.open.values.first else { break }
        play.answer(request, request == events(numbers[2], source: 3) ? accepted : failing)
        if play.open.isEmpty, !play.erased.contains(numbers[2]) { _ = play.wait() }
      }
      #expect(play.erased == [numbers[2]])
    }
  }

  // MARK: What cannot be sent

  @Test func `a page that cannot be used is set aside, and the event behind goes on`() {
    var play = Play(event(1, pages: [1]), event(2))
    let id = play.open.keys.first ?? 0
    play.open = [:]
    play.tell(.unusablePage(id, .damaged))
    #expect(play.setAside == [.setAside(.page(digest(1)), .damaged)])
    #expect(play.open.isEmpty)
    play.tell(.removed([1]))
    #expect(Array(play.open.values) == [events(2)])
  }

  @Test func `events that cannot be used are set aside, gone ones forgotten, and the rest is sent`() {
    var play = Play(event(1), event(2), event(3), event(4))
    play.answer(accepted)
    let id = play.open.keys.first ?? 0
    play.open = [:]
    play.tell(.unusableEvents(id, [2: .otherKey, 3: nil]))
    #expect(play.setAside == [.setAside(.event(2), .otherKey)])
    #expect(Array(play.open.values) == [events(4)])
  }

  @Test func `a page that cannot be read just now is tried again later`() {
    var play = Play(event(1, pages: [1]))
    let id = play.open.keys.first ?? 0
    play.open = [:]
    play.tell(.unreadablePage(id))
    #expect(play.setAside.isEmpty)
    #expect(play.wait() == 60)
    #expect(Array(play.open.values) == [.page(digest(1))])
  }

  // MARK: Loading

  @Test func `more is loaded before a source's window is empty`() {
    var play = Play()
    play.done = []
    play.tell(.wake)
    #expect(play.done == [.load(after: [1: 0], except: [])])
    play.done = []
    play.tell(.loaded([.init(source: 1, events: (1...500).map { event($0) }, isComplete: false)]))
    #expect(play.done == [])
    play.answer(accepted)
    play.answer(accepted)
    #expect(play.done.contains(.load(after: [1: 500], except: [])))
    // An answer that overlaps what is known already is no harm.
    play.tell(.loaded([.init(source: 1, events: (490...510).map { event($0) }, isComplete: true)]))
    while let request = play.open.values.first { play.answer(request, accepted) }
    #expect(play.erased == Array(1...510))
  }

  @Test func `what comes while loading is loaded after it`() {
    var play = Play()
    play.tell(.wake)
    play.done = []
    play.tell(.wake)
    #expect(play.done == [])
    play.tell(.loaded([]))
    #expect(play.done == [.load(after: [1: 0], except: [])])
  }
}
