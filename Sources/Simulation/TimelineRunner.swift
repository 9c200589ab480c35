public import Channels

/// Plays a timeline on simulated devices.
public actor TimelineRunner {
  /// Something that was done, or could not be.
  public struct Deed: Sendable, Equatable {
    /// Since the start.
    public let at: Duration
    /// The device.
    public let device: String
    /// The command.
    public let command: String
    /// Why it was refused; nil when it was carried out.
    public let error: SimulationError?
  }

  private let timeline: Timeline
  private let devices: [SimulatedDevice]
  private let time: any Timekeeper
  private let report: @Sendable (Deed) -> Void

  /// A player; `report` is called with each deed.
  public init(
    _ timeline: Timeline, devices: [SimulatedDevice], time: any Timekeeper,
    report: @escaping @Sendable (Deed) -> Void = { _ in }
  ) {
    self.timeline = timeline
    self.devices = devices
    self.time = time
    self.report = report
  }

  /// Plays from the beginning. Returns when every step is done, so never with an `every` in it, or when the task is
  /// cancelled.
  public func run() async {
    let start = time.now()
    var once: [(due: Duration, step: Int)] = []
    var followed: [(step: Int, entries: AsyncStream<SimulationEntry>)] = []
    for (index, step) in timeline.steps.enumerated() {
      switch step.trigger {
      case .at(let range): once.append((moment(range, index, 0), index))
      case .every: break
      case .when(let name, _, _, _):
        guard let device = devices.first(where: { $0.name == name }) else { continue }
        // From now on, before anything of this timeline happens.
        let last = await device.records.last?.number ?? 0
        followed.append((index, await device.records(after: last)))
      }
    }
    // Steps of one time keep the order of the file.
    once.sort { ($0.due, $0.step) < ($1.due, $1.step) }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [once] in
        for (due, step) in once {
          guard await self.wait(until: start + due) else { return }
          await self.perform(step, 0, start)
        }
      }
      for (index, step) in timeline.steps.enumerated() {
        guard case .every(let range) = step.trigger else { continue }
        group.addTask { await self.repeat(index, range, start) }
      }
      for (index, entries) in followed {
        guard case .when(_, let event, let occurrence, let after) = timeline.steps[index].trigger else {
          continue
        }
        group.addTask { await self.follow(entries, index, event, occurrence, after, start) }
      }
    }
  }

  private func wait(until due: Duration) async -> Bool {
    let left = due - time.now()
    return left <= .zero ? !Task.isCancelled : await time.sleep(for: left)
  }

  private func `repeat`(_ step: Int, _ range: ClosedRange<Duration>, _ start: Duration) async {
    var due = start
    var occurrence = 0
    while !Task.isCancelled {
      due += moment(range, step, occurrence)
      guard await wait(until: due) else { return }
      await perform(step, occurrence, start)
      occurrence += 1
    }
  }

  private func follow(
    _ entries: AsyncStream<SimulationEntry>, _ step: Int, _ event: String, _ occurrence: Int?,
    _ after: Duration,
    _ start: Duration
  ) async {
    var count = 0
    for await entry in entries where entry.record.event == event {
      count += 1
      guard occurrence == nil || occurrence == count else { continue }
      if after > .zero, await !time.sleep(for: after) { return }
      await perform(step, count, start)
      if occurrence != nil { return }
    }
  }

  /// A moment between two, by the seed, the step and its occurrence alone.
  private func moment(_ range: ClosedRange<Duration>, _ step: Int, _ occurrence: Int) -> Duration {
    let span = range.upperBound - range.lowerBound
    let milliseconds =
      Int(span.components.seconds) * 1000 + Int(span.components.attoseconds / 1_000_000_000_000_000)
    guard milliseconds > 0 else { return range.lowerBound }
    var random = generator(step, occurrence)
    return range.lowerBound + .milliseconds(Int.random(in: 0...milliseconds, using: &random))
  }

  private func generator(_ step: Int, _ occurrence: Int) -> SeededGenerator {
    var mixed = SeededGenerator(seed: timeline.seed &+ UInt64(clamping: step) &* 0x1_0000_0001)
    return SeededGenerator(seed: mixed.next() &+ UInt64(clamping: occurrence))
  }

  private func perform(_ step: Int, _ occurrence: Int, _ start: Duration) async {
    var random = generator(step, occurrence)
    // The first number chose the moment.
    _ = random.next()
    for action in timeline.steps[step].actions {
      guard let device = devices.first(where: { $0.name == action.device }),
        let command = action.choices.randomElement(using: &random)
      else { continue }
      var failure: SimulationError?
      do throws(SimulationError) {
        try await device.apply(command)
      } catch {
        failure = error
      }
      report(Deed(at: time.now() - start, device: action.device, command: command, error: failure))
    }
  }
}
