import Channels
import Codecs
import Devices
import Testing

@testable import Drivers
@testable import Simulation

private let keys = ["keys": "5:5 4:4 3:3 2:2 1:1 ENTER:next ESC:cancel F1:request-rating 0x3c:other"]

/// Keys by hand.
private final class FakeKeys: InputEvents {
  let name: String
  private let presses = Inbox<KeyPress>(limit: 10_000, time: RealTime())
  /// Each time the next press is asked for.
  let questions: AsyncStream<Void>
  private let question: AsyncStream<Void>.Continuation
  init(name: String = "USB Keypad") {
    self.name = name
    (questions, question) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
  }
  func press(_ code: UInt16) { presses.put(KeyPress(code: code, time: .zero)) }
  func unplug(_ error: ChannelError = .gone) { presses.close(error) }
  func next(timeout: Duration?) async throws(ChannelError) -> KeyPress {
    question.yield()
    switch await presses.take(until: RealTime().now() + (timeout ?? .seconds(3600))) {
    case .element(let press): return press
    case .timedOut: throw .timedOut
    case .cancelled: throw .cancelled
    case .closed(let error): throw error
    }
  }
  func close() async { presses.close(.cancelled) }
}

@Suite(.timeLimit(.minutes(1))) struct KeypadEvaluatorTests {
  private func attach(_ events: any InputEvents, _ values: [String: String] = keys) async throws
    -> any Evaluator
  {
    try #require(
      try await Driver.evaluatorKeys.attach(
        .inputEvents(events), Driver.evaluatorKeys.settings(values), context) as? any Evaluator)
  }

  private func attach(_ device: SimulatedDevice) async throws -> any Evaluator {
    let bus = SimulatedBus([device])
    let channel = try await bus.open(
      .simulated(name: device.name), as: .inputEvents, line: LineSettings())
    return try #require(
      try await Driver.evaluatorKeys.attach(channel, Driver.evaluatorKeys.settings(keys), context)
        as? any Evaluator)
  }

  @Test(arguments: 1...5) func `a key's level is the profile's`(level: Int) async throws {
    let device = SimulatedDevice("keypad", SimulatedKeypad(), time: RealTime())
    let keypad = try await attach(device)
    #expect(keypad.scale == [5, 4, 3, 2, 1])
    try await keypad.prompt()
    try await device.apply("press \(level)")
    let press = await keypad.notice { notice in
      if case .rating(let press) = notice { press } else { nil }
    }
    #expect(press?.level == level)
    // KEY_1 is 2 (linux/input-event-codes.h).
    #expect(press?.rawKey == level + 1)
    await press?.acknowledge()
    await keypad.detach()
  }

  @Test func `keys of the clerk's are told as such, and unknown ones are counted and otherwise nothing`()
    async throws
  {
    let events = FakeKeys()
    let keypad = try await attach(events)
    // A, ENTER, ESC, F1, F2 by its code, 5.
    for code in [30, 28, 1, 59, 60, 6] as [UInt16] { events.press(code) }
    var calls: [CallPress.Key] = []
    var raw: [Int] = []
    for await notice in keypad.notices {
      if case .call(let press) = notice {
        calls.append(press.key)
        raw.append(press.rawKey)
      }
      if case .rating(let press) = notice {
        #expect(press.level == 5)
        break
      }
    }
    #expect(calls == [.action(.next), .cancel, .requestRating, .other(60)])
    #expect(raw == [28, 1, 59, 60])
    let report = try await keypad.check(.internal)
    #expect(report.state == .online)
    #expect(report.details["keysHeard"] == "5")
    #expect(report.details["unknownKeys"] == "1")
    #expect(report.details["lastUnknownKey"] == "30")
    await keypad.detach()
  }

  @Test func `a key that is held is one press`() async throws {
    let device = SimulatedDevice("keypad", SimulatedKeypad(), time: RealTime())
    let keypad = try await attach(device)
    // 22 is the usage of 5; it stays down while 1e, 1, is pressed too.
    try await device.apply("key down 22")
    try await device.apply("key down 1e")
    try await device.apply("key up")
    try await device.apply("key 21")
    var levels: [Int?] = []
    for await notice in keypad.notices {
      guard case .rating(let press) = notice else { continue }
      levels.append(press.level)
      if levels.count == 3 { break }
    }
    #expect(levels == [5, 1, 4])
    await keypad.detach()
  }

  @Test func `a keypad that leaves is told once, and is of no use from then on`() async throws {
    let device = SimulatedDevice("keypad", SimulatedKeypad(), time: RealTime())
    let keypad = try await attach(device)
    try await device.apply("unplug")
    #expect(await keypad.losses().map(\.code) == [.deviceGone])
    #expect(await fault { () async throws(Fault) in try await keypad.prompt() }?.code == .deviceGone)
    #expect(await fault { () async throws(Fault) in try await keypad.check(.internal) }?.code == .deviceGone)
    await keypad.detach()
    // Plugged in again it can be had anew, and nothing is left of the first time.
    try await device.apply("plug")
    let again = try await attach(device)
    try await device.apply("press 2")
    #expect(
      await again.notice { if case .rating(let press) = $0 { press.level } else { nil } } == 2)
    await again.detach()
  }

  @Test func `one keypad has one holder`() async throws {
    let device = SimulatedDevice("keypad", SimulatedKeypad(), time: RealTime())
    let bus = SimulatedBus([device])
    let keypad = try await attach(device)
    await #expect(throws: ChannelError.self) {
      _ = try await bus.open(.simulated(name: "keypad"), as: .inputEvents, line: LineSettings())
    }
    await keypad.detach()
    await (try bus.open(.simulated(name: "keypad"), as: .inputEvents, line: LineSettings())).close()
  }

  @Test func `detaching ends the notices and closes the channel`() async throws {
    let events = FakeKeys()
    let keypad = try await attach(events)
    await keypad.detach()
    #expect(await keypad.losses().isEmpty)
    await #expect(throws: ChannelError.cancelled) { _ = try await events.next(timeout: .seconds(10)) }
  }

  @Test func `of more presses than anybody takes the first are kept and the others counted`() async throws {
    let events = FakeKeys()
    let keypad = try await attach(events)
    for _ in 0..<70 { events.press(6) }
    // With the 71st question all of them have been taken.
    var asked = 0
    for await _ in events.questions {
      asked += 1
      if asked == 71 { break }
    }
    let details = try await keypad.check(.internal).details
    #expect(details["keysHeard"] == "70")
    #expect(details["lostPresses"] == "6")
    await keypad.detach()
    var kept = 0
    for await notice in keypad.notices { if case .rating = notice { kept += 1 } }
    #expect(kept == 64)
  }

  @Test func `a keypad has no plate and no lamp`() async throws {
    let keypad = try await attach(FakeKeys(name: ""))
    #expect(keypad.identity.model == "keypad")
    for level in [HealthLevel.external, .interactive] {
      #expect(
        await fault { () async throws(Fault) in try await keypad.check(level) }?.code == .commandUnsupported)
    }
    #expect(
      await fault { () async throws(Fault) in try await keypad.show(number: "A1", waiting: 0) }?.code
        == .commandUnsupported)
    await keypad.detach()
  }
}
