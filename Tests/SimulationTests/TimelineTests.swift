import Channels
import Codecs
import Synchronization
import Testing

@testable import Simulation

@Suite(.timeLimit(.minutes(1))) struct TimelineTests {
  private let clock = TestClock()
  private let devices: [SimulatedDevice]

  init() {
    devices = [
      SimulatedDevice("ticket", SimulatedTicketPrinter(.init(decodeText: { _ in nil })), time: clock),
      SimulatedDevice("evaluator", SimulatedEvaluator(), time: clock),
    ]
  }

  private func read(_ text: String) throws -> Timeline {
    try Timeline.read(Array(text.utf8), file: "hall.conf", devices: devices)
  }

  private func errors(_ text: String) -> [String] {
    do throws(ConfErrors) {
      _ = try Timeline.read(Array(text.utf8), file: "hall.conf", devices: devices)
      return []
    } catch {
      return error.errors.map { "\($0.position.line):\($0.position.column)" }
    }
  }

  @Test func `steps are read in the order of the file`() throws {
    let timeline = try read(
      """
      [timeline]
      seed = 7
      [at 3 s]
      ticket = paper out; drop reply 2
      [every 10 s to 20 s]
      evaluator = press 5 or press 4
      [when ticket ticket]
      ticket = cover open
      [when ticket ticket 3 after 500 ms]
      ticket = cover closed
      ticket = unplug
      [when evaluator press every]
      evaluator = stall
      """)
    #expect(timeline.seed == 7)
    #expect(
      timeline.steps == [
        Timeline.Step(
          trigger: .at(.seconds(3) ... .seconds(3)),
          actions: [
            .init(device: "ticket", choices: ["paper out"]),
            .init(device: "ticket", choices: ["drop reply 2"]),
          ]),
        Timeline.Step(
          trigger: .every(.seconds(10) ... .seconds(20)),
          actions: [.init(device: "evaluator", choices: ["press 5", "press 4"])]),
        Timeline.Step(
          trigger: .when(device: "ticket", event: "ticket", occurrence: 1, after: .zero),
          actions: [.init(device: "ticket", choices: ["cover open"])]),
        Timeline.Step(
          trigger: .when(device: "ticket", event: "ticket", occurrence: 3, after: .milliseconds(500)),
          actions: [
            .init(device: "ticket", choices: ["cover closed"]), .init(device: "ticket", choices: ["unplug"]),
          ]),
        Timeline.Step(
          trigger: .when(device: "evaluator", event: "press", occurrence: nil, after: .zero),
          actions: [.init(device: "evaluator", choices: ["stall"])]),
      ])
  }

  @Test(arguments: [
    ("[at 3]\nticket = jam", "1:1"), ("[at soon]\nticket = jam", "1:1"),
    ("[at 5 s to 3 s]\nticket = jam", "1:1"),
    ("[every 0 s]\nticket = jam", "1:1"), ("[when ticket]\nticket = jam", "1:1"),
    ("[when nobody ticket]\nticket = jam", "1:1"), ("[when ticket tiket]\nticket = jam", "1:1"),
    ("[when ticket ticket 0]\nticket = jam", "1:1"),
    ("[when ticket ticket 1 after soon]\nticket = jam", "1:1"), ("[at 3 s]\ntiket = jam", "2:1"),
    ("[at 3 s]\nticket = dance", "2:10"), ("[at 3 s]\nticket = jam; dance", "2:15"),
    ("[at 3 s]\nticket = jam or", "2:10"), ("[sometimes]\nticket = jam", "1:1"),
    ("[at]\nticket = jam", "1:1"),
    ("[timeline]\nsed = 3", "2:1"),
  ])
  func `mistakes are named by line and column`(text: String, place: String) {
    #expect(errors(text) == [place])
  }

  @Test func `a misspelt device or command is answered with the nearest one`() {
    do throws(ConfErrors) {
      _ = try Timeline.read(
        Array("[at 3 s]\ntiket = jam\nticket = paper ot\n".utf8), file: "x", devices: devices)
      Issue.record("a wrong file was read")
    } catch {
      let text = error.errors.map { "\($0)" }.joined(separator: "\n")
      #expect(text.contains("ticket"))
      #expect(text.contains("paper out"))
    }
  }

  /// Plays a timeline on the test's clock, one deed at a time.
  private func deeds(_ text: String, count: Int, move: Duration = .milliseconds(100)) async throws
    -> [TimelineRunner.Deed]
  {
    let timeline = try read(text)
    let (stream, continuation) = AsyncStream.makeStream(of: TimelineRunner.Deed.self)
    let runner = TimelineRunner(timeline, devices: devices, time: clock) { continuation.yield($0) }
    let running = Task { await runner.run() }
    defer { running.cancel() }
    let moving = Task {
      while !Task.isCancelled {
        await clock.waitForSleepers(1)
        clock.advance(move)
        await Task.yield()
      }
    }
    defer { moving.cancel() }
    var deeds: [TimelineRunner.Deed] = []
    for await deed in stream {
      deeds.append(deed)
      if deeds.count == count { break }
    }
    return deeds
  }

  @Test func `steps happen at their times, in order`() async throws {
    let deeds = try await deeds(
      "[at 2 s]\nticket = cover open\n[at 1 s]\nticket = paper low; jam\n[at 1 s]\nevaluator = stall\n",
      count: 4)
    #expect(deeds.map(\.command) == ["paper low", "jam", "stall", "cover open"])
    #expect(deeds.map(\.at) == [.seconds(1), .seconds(1), .seconds(1), .seconds(2)])
    #expect(deeds.allSatisfy { $0.error == nil })
    #expect(await devices[0].state.contains(SimulationField("cover", "open")))
  }

  @Test func `a refused command is reported and the rest goes on`() async throws {
    let deeds = try await deeds("[at 1 s]\nevaluator = press 1; press 5\n", count: 2)
    #expect(deeds[0].error != nil)
    #expect(deeds[1].error == nil)
  }

  @Test func `an event starts its step, by its count`() async throws {
    let timeline = try read("[when evaluator press 2]\nevaluator = stall\n")
    let runner = TimelineRunner(timeline, devices: devices, time: clock)
    async let run: Void = runner.run()
    var entries = await devices[1].records(after: 0).makeAsyncIterator()
    // Presses until the step has seen its second one; it cannot have followed before the first.
    var events: [String] = []
    var presses = 0
    while !events.contains("stall") {
      try await devices[1].apply("press raw 1")
      presses += 1
      for _ in 0..<2 {
        guard let entry = await entries.next() else { break }
        events.append(entry.record["text"] ?? entry.record.event)
      }
      await Task.yield()
    }
    await run
    #expect(presses >= 2)
  }

  @Test func `choices depend on the seed alone`() async throws {
    func commands(_ seed: Int) async throws -> [String] {
      let text = (1...12).map { "[at \($0) s]\nevaluator = press 5 or press 4 or press 3 or press 2\n" }
        .joined()
      return try await deeds("[timeline]\nseed = \(seed)\n" + text, count: 12).map(\.command)
    }
    let first = try await commands(3)
    #expect(try await commands(3) == first)
    #expect(try await commands(4) != first)
    #expect(Set(first).count > 1)
  }

  @Test func `moments within a span depend on the seed alone`() async throws {
    func moments(_ seed: Int) async throws -> [Duration] {
      try await deeds(
        "[timeline]\nseed = \(seed)\n[at 1 s to 9 s]\nticket = jam\n[at 1 s to 9 s]\nticket = jam cleared\n",
        count: 2, move: .milliseconds(1)
      ).map(\.at)
    }
    let first = try await moments(5)
    #expect(try await moments(5) == first)
    #expect(first.allSatisfy { (.seconds(1) ... .seconds(9)).contains($0) })
    #expect(first[0] != first[1])
  }

  @Test func `every comes again and again`() async throws {
    // A device without timers of its own: the clock must have this runner alone to wait for.
    let deeds = try await deeds("[every 2 s]\nticket = paper low\n", count: 3)
    #expect(deeds.map(\.at) == [.seconds(2), .seconds(4), .seconds(6)])
  }
}
