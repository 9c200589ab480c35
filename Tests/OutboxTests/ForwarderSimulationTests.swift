import Crypto
import Testing

@testable import Outbox

/// A generator that gives the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

/// Plays the policy against an intake model and a queue for hours of its own time, and checks the rules at every step.
private struct Simulation {
  typealias Policy = ForwarderPolicy

  var random: SeededGenerator
  var policy: Policy
  var now: UInt64 = 1_000_000_000_000
  /// What waits, per source, and what the intake has.
  var queue: [Int64: [Policy.Event]] = [:]
  var isAside: [Int64: QuarantineReason] = [:]
  var pagesAside: Set<Digest> = []
  var pagesThere: Set<Digest> = []
  var eventsThere: [Int64: [Int64]] = [:]
  var open: [Int: (request: Policy.Request, answeredAt: UInt64)] = [:]
  var violations: [String] = []
  /// The answer to a request: a model of the intake.
  let model: (Policy.Request, UInt64, inout SeededGenerator) -> IntakeVerdict

  init(
    seed: UInt64, sources: Int64, eventsPerSource: Int64,
    model: @escaping (Policy.Request, UInt64, inout SeededGenerator) -> IntakeVerdict
  ) {
    random = SeededGenerator(seed: seed)
    policy = Policy(seed: seed)
    self.model = model
    for number in 0..<sources * eventsPerSource {
      let source = number % sources + 1
      let pages =
        source.isMultiple(of: 2)
        ? [
          Policy.Page(
            digest: SHA256.digest(of: [
              UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8),
            ]))
        ]
        : []
      queue[source, default: []].append(
        .init(
          number: number + 1, id: "\(number + 1)", priority: source == 1 ? .rating : .normal, bytes: 400,
          pages: pages))
    }
  }

  mutating func feed(_ input: Policy.Input) {
    var inputs = [input]
    while let next = inputs.popLast() {
      for action in policy.handle(next, now: now) {
        switch action {
        case .load(let after, let except):
          inputs.append(
            .loaded(
              queue.filter { !except.contains($0.key) }.map { source, events in
                let rest = events.filter { $0.number > after[source] ?? 0 && isAside[$0.number] == nil }
                return .init(source: source, events: Array(rest.prefix(500)), isComplete: rest.count <= 500)
              }))
        case .send(let id, let request): start(id, request)
        case .erase(let numbers):
          for source in queue.keys { queue[source]?.removeAll { numbers.contains($0.number) } }
        case .setAside(.event(let number), let reason): isAside[number] = reason
        case .setAside(.page(let digest), let reason):
          pagesAside.insert(digest)
          let named = queue.values.joined().filter { $0.pages.contains { $0.digest == digest } }.map(\.number)
          for number in named { isAside[number] = reason }
          inputs.append(.removed(named))
        case .postpone: break
        }
      }
    }
  }

  mutating func start(_ id: Int, _ request: Policy.Request) {
    if open.count >= 4 { violations.append("five requests at once") }
    if open.values.contains(where: { $0.request == request }) {
      violations.append("\(request) twice at once")
    }
    if case .events(let source, let numbers) = request {
      if open.values.contains(where: { if case .events(source, _) = $0.request { true } else { false } }) {
        violations.append("two batches of source \(source) at once")
      }
      let waiting = (queue[source] ?? []).filter { isAside[$0.number] == nil }
      if waiting.prefix(numbers.count).map(\.number) != numbers {
        violations.append("not the head of source \(source)")
      }
      for page in waiting.prefix(numbers.count).flatMap(\.pages) where !pagesThere.contains(page.digest) {
        violations.append("an event before its page")
      }
    }
    open[id] = (request, now + UInt64.random(in: 1_000_000...50_000_000, using: &random))
  }

  /// One step; false when all is done.
  mutating func step() -> Bool {
    if let (id, flight) = open.min(by: { $0.value.answeredAt < $1.value.answeredAt }) {
      now = max(now, flight.answeredAt)
      open[id] = nil
      let verdict = model(flight.request, now, &random)
      if verdict == .accepted(rejected: []) || verdict == .alreadyThere { keep(flight.request) }
      feed(.answer(id, verdict))
      return true
    }
    if let wake = policy.nextWake(now: now) {
      now = max(now, wake)
      feed(.tick)
      return true
    }
    return false
  }

  mutating func keep(_ request: Policy.Request) {
    switch request {
    case .page(let digest): pagesThere.insert(digest)
    case .events(let source, let numbers):
      let new = numbers.filter { !(eventsThere[source]?.contains($0) ?? false) }
      if let last = eventsThere[source]?.last, let first = new.first, first <= last {
        violations.append("source \(source): \(first) after \(last)")
      }
      eventsThere[source, default: []] += new
    }
  }

  mutating func run(steps: Int) -> Bool {
    feed(.wake)
    for _ in 0..<steps { if !step() { return true } }
    return false
  }
}

@Suite struct ForwarderSimulationTests {
  @Test(arguments: 0..<10 as Range<UInt64>)
  func `an intake that fails every second time gets everything, in order, and nothing is set aside`(
    seed: UInt64
  ) {
    var simulation = Simulation(seed: seed, sources: 6, eventsPerSource: 60) { _, _, random in
      Bool.random(using: &random) ? .accepted(rejected: []) : .endpoint(.busy, retryAfterSeconds: nil)
    }
    let isDone = simulation.run(steps: 200_000)
    #expect(isDone)
    #expect(simulation.violations.isEmpty)
    #expect(simulation.isAside.isEmpty)
    #expect(simulation.eventsThere.values.joined().count == 360)
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `an intake that is away for a day and comes and goes after it gets everything`(seed: UInt64) {
    let start: UInt64 = 1_000_000_000_000
    var simulation = Simulation(seed: seed, sources: 4, eventsPerSource: 200) { _, now, random in
      let hours = Double(now - start) / 3600e9
      if hours < 24 { return .endpoint(.notListening, retryAfterSeconds: nil) }
      // Ten minutes up, five down.
      if hours < 26, Int(hours * 60) % 15 >= 10 { return .endpoint(.serverError, retryAfterSeconds: nil) }
      return UInt8.random(in: 0..<100, using: &random) < 3
        ? .endpoint(.timedOut, retryAfterSeconds: nil) : .accepted(rejected: [])
    }
    let isDone = simulation.run(steps: 200_000)
    #expect(isDone)
    #expect(simulation.violations.isEmpty)
    #expect(simulation.isAside.isEmpty)
    #expect(simulation.eventsThere.values.joined().count == 800)
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `only what is refused is set aside, whatever else goes wrong`(seed: UInt64) {
    // Every 50th event and every 30th page is refused, and a tenth of all answers is trouble.
    func isBad(_ request: ForwarderPolicy.Request) -> Bool {
      switch request {
      case .events(_, let numbers): numbers.contains { $0.isMultiple(of: 50) }
      case .page(let digest): digest.bytes[0] < 9
      }
    }
    var simulation = Simulation(seed: seed, sources: 5, eventsPerSource: 60) { request, _, random in
      if UInt8.random(in: 0..<10, using: &random) == 0 { return .endpoint(.broken, retryAfterSeconds: nil) }
      return isBad(request) ? .refused(status: 422) : .accepted(rejected: [])
    }
    let all = simulation.queue.values.joined()
    let bad = Set(
      all.filter { $0.number.isMultiple(of: 50) || $0.pages.contains { isBad(.page($0.digest)) } }.map(
        \.number))
    let isDone = simulation.run(steps: 500_000)
    #expect(isDone)
    #expect(simulation.violations.isEmpty)
    #expect(Set(simulation.isAside.keys) == bad)
    #expect(simulation.eventsThere.values.joined().count == 300 - bad.count)
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `items that crash the intake are set aside and all others get through`(seed: UInt64) {
    func kills(_ request: ForwarderPolicy.Request) -> Bool {
      if case .events(_, let numbers) = request { return numbers.contains { $0.isMultiple(of: 40) } }
      return false
    }
    var simulation = Simulation(seed: seed, sources: 5, eventsPerSource: 40) { request, _, _ in
      kills(request) ? .endpoint(.broken, retryAfterSeconds: nil) : .accepted(rejected: [])
    }
    // With others to compare with for as long as there are any; the last ones left are kept and tried for ever.
    _ = simulation.run(steps: 50_000)
    #expect(simulation.violations.isEmpty)
    #expect(simulation.isAside.keys.allSatisfy { $0.isMultiple(of: 40) })
    let waiting = simulation.queue.values.joined().filter { simulation.isAside[$0.number] == nil }
    // Whatever still waits, waits behind such an item of its own source.
    for (_, events) in simulation.queue {
      let head = events.first { simulation.isAside[$0.number] == nil }
      if let head { #expect(head.number.isMultiple(of: 40)) }
    }
    #expect(waiting.count <= 5 * 40)
  }
}
