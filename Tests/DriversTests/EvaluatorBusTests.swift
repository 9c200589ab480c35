import Channels
import Codecs
import Devices
import Testing

@testable import Drivers
@testable import Simulation

private let keys = ["keys": "1:5 0:4 2:3 3:2"]

@Suite(.timeLimit(.minutes(1))) struct EvaluatorBusTests {
  private func attach(_ line: any ByteStream, _ values: [String: String] = keys) async throws -> any Evaluator
  {
    try #require(
      try await Driver.evaluatorBus.attach(.byteStream(line), Driver.evaluatorBus.settings(values), context)
        as? any Evaluator)
  }

  private func model(_ change: (inout SimulatedEvaluator.Options) -> Void = { _ in }) -> SimulatedDevice {
    var options = SimulatedEvaluator.Options()
    options.acknowledgeTime = .milliseconds(20)
    change(&options)
    return SimulatedDevice("rating", SimulatedEvaluator(options), time: RealTime())
  }

  private func attach(_ model: SimulatedDevice, _ values: [String: String] = keys) async throws
    -> any Evaluator
  {
    try await attach(try await model.openLine(), values)
  }

  /// The next so many presses, each acknowledged unless told otherwise.
  private func presses(_ count: Int, of evaluator: any Evaluator, acknowledge: Bool = true) async
    -> [RatingPress]
  {
    var presses: [RatingPress] = []
    for await notice in evaluator.notices {
      if case .rating(let press) = notice {
        if acknowledge { await press.acknowledge() }
        presses.append(press)
        if presses.count == count { break }
      }
    }
    return presses
  }

  /// Waits until the model has recorded so many events of a kind.
  private func wait(_ model: SimulatedDevice, for event: String, _ count: Int = 1) async -> [SimulationRecord]
  {
    var found: [SimulationRecord] = []
    for await entry in await model.records(after: 0) where entry.record.event == event {
      found.append(entry.record)
      if found.count == count { break }
    }
    return found
  }

  // MARK: - Presses

  @Test(arguments: [(5, 1), (4, 0), (3, 2), (2, 3)])
  func `a press is told with its level and acknowledged when it is stored`(level: Int, raw: Int) async throws
  {
    let model = model()
    let evaluator = try await attach(model)
    #expect(evaluator.scale == [5, 4, 3, 2])
    try await model.apply("press \(level)")
    let press = try #require(await presses(1, of: evaluator).first)
    #expect(press.level == level)
    #expect(press.rawKey == raw)
    #expect(press.address == 1)
    #expect(await wait(model, for: "acknowledged").first?["press-number"] == "1")
    await evaluator.detach()
  }

  @Test(arguments: [3, 7])
  func `a key that the map does not know has no level`(raw: Int) async throws {
    let model = model()
    let evaluator = try await attach(model, ["keys": "1:5 0:4"])
    try await model.apply("press raw \(raw)")
    let press = try #require(await presses(1, of: evaluator).first)
    #expect(press.level == nil)
    #expect(press.rawKey == raw)
    await evaluator.detach()
  }

  @Test func `a press that is not stored is not acknowledged, and is told anew after the window`()
    async throws
  {
    let model = model { $0.repeats = 1000 }
    let evaluator = try await attach(model, keys.merging(["repeat-window": "100 ms"]) { $1 })
    try await model.apply("press 5")
    let found = await presses(2, of: evaluator, acknowledge: false)
    #expect(found.map(\.level) == [5, 5])
    #expect(await !model.records.contains { $0.record.event == "acknowledged" })
    await found.last?.acknowledge()
    #expect(await wait(model, for: "acknowledged").count == 1)
    await evaluator.detach()
  }

  @Test func `a press whose acknowledgement is lost is told once and acknowledged again`() async throws {
    let model = model { $0.repeats = 1000 }
    let evaluator = try await attach(model, keys.merging(["repeat-window": "30 s"]) { $1 })
    try await model.apply("ignore 3 acknowledgements")
    try await model.apply("press 4")
    let first = await presses(1, of: evaluator)
    #expect(first.map(\.level) == [4])
    let outcome = try #require(await wait(model, for: "acknowledged").first)
    // Three were ignored; a slow machine may see more repeats.
    #expect(outcome["attempts"].flatMap { Int($0) }.map { $0 >= 4 } == true)
    // Nothing but the next press follows.
    try await model.apply("press 2")
    #expect(await presses(1, of: evaluator).map(\.level) == [2])
    await evaluator.detach()
  }

  @Test func `while a press waits to be stored its repeats are not told again`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line, keys.merging(["repeat-window": "30 s"]) { $1 })
    let frame = EvaluatorBusFrame.rating(address: 1, key: 1)
    for _ in 1...3 { line.deliver(frame.encode()) }
    line.deliver(EvaluatorBusFrame.rating(address: 1, key: 0).encode())
    let found = await presses(2, of: evaluator, acknowledge: false)
    #expect(found.map(\.rawKey) == [1, 0])
    #expect(line.written.isEmpty)
    await found[0].acknowledge()
    // FUNC 01, the same data; CS' = CS - 10h (facts/devices.md C4a).
    #expect(line.written == hex("FF 68 03 03 68 01 01 01 03 16"))
    await evaluator.detach()
  }

  @Test func `the same key pressed again after another key is a press of its own`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line, keys.merging(["repeat-window": "30 s"]) { $1 })
    let pressed: [UInt8] = [1, 0, 1, 3, 0, 1]
    for key in pressed {
      line.deliver(EvaluatorBusFrame.rating(address: 1, key: key).encode())
      #expect(await presses(1, of: evaluator).map(\.rawKey) == [Int(key)])
    }
    await evaluator.detach()
  }

  @Test func `the same key pressed again after another question is an answer to it`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line, keys.merging(["repeat-window": "300 ms"]) { $1 })
    let frame = EvaluatorBusFrame.rating(address: 1, key: 1)
    let question = EvaluatorBusCommand.startRating.frame(to: 1).encode()
    for number in 1...3 {
      try await evaluator.prompt()
      #expect(line.writes.filter { $0 == question }.count == number)
      line.deliver(frame.encode())
      #expect(await presses(1, of: evaluator).map(\.rawKey) == [1])
      // Its acknowledgement was lost: the device says it once more, and nobody takes that for another answer.
      line.deliver(frame.encode())
    }
    await evaluator.detach()
  }

  @Test func `several devices on one line are told apart`() async throws {
    let model = model { $0.addresses = [1, 2] }
    let evaluator = try await attach(model)
    try await model.apply("press 5 at 2")
    try await model.apply("press 5 at 1")
    #expect(await presses(2, of: evaluator).map(\.address) == [2, 1])
    await evaluator.detach()
  }

  @Test(arguments: [
    "split replies", "noise 100 bytes", "extra byte", "extra byte ff", "missing byte", "flip byte 3 of reply",
  ])
  func `what a line does to a frame is repaired by the device's repeats`(command: String) async throws {
    let model = model { $0.repeats = 1000 }
    let evaluator = try await attach(model)
    try await model.apply(command)
    try await model.apply("press 5")
    #expect(await presses(1, of: evaluator).map(\.level) == [5])
    #expect(await wait(model, for: "acknowledged").count == 1)
    await evaluator.detach()
  }

  @Test func `a press of which nobody takes notice is not dropped unseen`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line, keys.merging(["repeat-window": "30 s"]) { $1 })
    // More presses than are kept, each from an address of its own; the last ones find no room.
    for address in 0..<80 { line.deliver(EvaluatorBusFrame.rating(address: UInt8(address), key: 1).encode()) }
    while line.isClosed { await Task.yield() }
    var seen = Set<Int>()
    for await notice in evaluator.notices {
      if case .rating(let press) = notice {
        seen.insert(press.address)
        // The device repeats what was not acknowledged.
        if seen.count == 64 {
          for address in 64..<80 {
            line.deliver(EvaluatorBusFrame.rating(address: UInt8(address), key: 1).encode())
          }
        }
        if seen.count == 80 { break }
      }
    }
    #expect(seen.count == 80)
    await evaluator.detach()
  }

  // MARK: - The clerk's keypad

  @Test(arguments: [
    ("next", CallPress.Key.action(.next)), ("recall", .action(.recall)), ("pass", .action(.pass)),
    ("park", .action(.park)), ("call-parked", .action(.resume)), ("transfer", .action(.transfer)),
    ("pause", .action(.pause)), ("request", .requestRating), ("cancel", .cancel),
    ("one-metre-line", .other(0x11)),
    ("raw 2a", .other(0x2A)),
  ])
  func `a keypad key is told and acknowledged by its own frame`(name: String, key: CallPress.Key) async throws
  {
    let model = model()
    let evaluator = try await attach(model)
    try await model.apply("key \(name)")
    let press = try #require(
      await evaluator.notice { notice -> CallPress? in
        if case .call(let press) = notice { press } else { nil }
      })
    #expect(press.key == key)
    #expect(press.digits == [])
    await press.acknowledge()
    #expect(await wait(model, for: "acknowledged").count == 1)
    await evaluator.detach()
  }

  @Test func `digits before a key come with it`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line)
    // Transfer to 12: two digits, then the key.
    line.deliver(hex("FF 68 05 05 68 01 10 01 02 13 27 16"))
    let press = await evaluator.notice { notice -> CallPress? in
      if case .call(let press) = notice { press } else { nil }
    }
    #expect(press?.key == .action(.transfer))
    #expect(press?.digits == [1, 2])
    await press?.acknowledge()
    #expect(line.written == hex("FF 68 05 05 68 01 10 01 02 13 27 16"))
    await evaluator.detach()
  }

  // MARK: - Telling the device

  @Test func `a prompt and a called number are shown`() async throws {
    let model = model()
    let evaluator = try await attach(model, keys.merging(["beep-with-prompt": "yes"]) { $1 })
    try await evaluator.prompt()
    try await evaluator.show(number: "A023", waiting: 5)
    let events = await model.records.map(\.record)
    #expect(events.map(\.event) == ["prompt", "beep", "plate"])
    #expect(events.last?["ticket"] == "023")
    #expect(events.last?["waiting"] == "005")
    await evaluator.detach()
  }

  @Test func `the frames are those of the reference`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line)
    try await evaluator.prompt()
    // Ticket 023 with nobody's number of waiting people that fits (facts/devices.md C4a, worked example).
    try await evaluator.show(number: "023", waiting: 1000)
    _ = try await evaluator.check(.external)
    #expect(
      line.writes == [
        hex("FF 68 03 03 68 01 01 0B 0D 16"), hex("FF 68 08 08 68 01 02 0A 0A 0A 00 02 03 26 16"),
        hex("FF 68 02 02 68 01 03 04 16"),
      ])
    await evaluator.detach()
  }

  @Test(arguments: [("A1023", "023"), ("7", "007"), ("12", "012"), ("V-A012", "012")])
  func `the plate shows the end of the number`(number: String, shown: String) async throws {
    let model = model()
    let evaluator = try await attach(model)
    try await evaluator.show(number: number, waiting: 0)
    #expect(await model.records.last?.record["ticket"] == shown)
    await evaluator.detach()
  }

  @Test func `what the model cannot show is refused`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line)
    #expect(
      await fault { () throws(Fault) in try await evaluator.show(number: "甲", waiting: 0) }?.code
        == .commandUnsupported)
    let plain = try await attach(FakeLine(), keys.merging(["plate": "no"]) { $1 })
    #expect(
      await fault { () throws(Fault) in try await plain.show(number: "1", waiting: 0) }?.code
        == .commandUnsupported)
    #expect(line.written.isEmpty)
    await evaluator.detach()
    await plain.detach()
  }

  @Test func `a line that hears itself does not talk to itself`() async throws {
    let line = FakeLine { line, bytes in line.deliver(bytes) }
    let evaluator = try await attach(line, keys.merging(["line-echo": "yes"]) { $1 })
    try await evaluator.prompt()
    line.deliver(EvaluatorBusFrame.rating(address: 1, key: 1).encode())
    let press = try #require(await presses(1, of: evaluator).first)
    #expect(press.level == 5)
    line.deliver(EvaluatorBusFrame.rating(address: 1, key: 2).encode())
    #expect(await presses(1, of: evaluator).map(\.level) == [3])
    #expect(try await evaluator.check(.internal).details["framesHeard"] == "2")
    await evaluator.detach()
  }

  // MARK: - State and loss

  @Test func `a check says that nothing is known until a frame was heard`() async throws {
    let line = FakeLine()
    let evaluator = try await attach(line)
    let report = try await evaluator.check(.internal)
    #expect(report.state == .online)
    #expect(report.details == ["answers": "unknown", "framesHeard": "0", "damagedFrames": "0"])
    #expect(line.written.isEmpty)
    line.deliver(hex("FF 68 03 03 68 01 11 01 99 16"))
    line.deliver(EvaluatorBusFrame.rating(address: 1, key: 1).encode())
    _ = await presses(1, of: evaluator)
    let heard = try await evaluator.check(.internal)
    #expect(heard.details["answers"] == "yes")
    #expect(heard.details["damagedFrames"] != "0")
    #expect(
      await fault { () throws(Fault) in try await evaluator.check(.interactive) }?.code == .commandUnsupported
    )
    await evaluator.detach()
  }

  @Test(arguments: 1...10)
  func `a cable pulled at any byte is told once, and nothing hangs`(count: Int) async throws {
    let model = model()
    let evaluator = try await attach(model)
    try await model.apply("unplug after \(count) reply bytes")
    try await model.apply("press 5")
    #expect(await evaluator.losses().map(\.code) == [.deviceGone])
    #expect(await fault { () throws(Fault) in try await evaluator.prompt() }?.code == .deviceGone)
    #expect(await fault { () throws(Fault) in try await evaluator.check(.internal) }?.code == .deviceGone)
    await evaluator.detach()
  }

  @Test(arguments: 0..<10)
  func `a cable pulled while a prompt is sent is a fault`(count: Int) async throws {
    let model = model()
    let evaluator = try await attach(model)
    try await model.apply("unplug after \(count) bytes")
    let result = await fault { () throws(Fault) in try await evaluator.prompt() }
    #expect(result?.code == .deviceGone)
    #expect(await evaluator.losses().map(\.code) == [.deviceGone])
    await evaluator.detach()
  }

  @Test func `a line that takes nothing is a fault within its time`() async throws {
    let model = model()
    let evaluator = try await attach(model, keys.merging(["write-timeout": "20 ms"]) { $1 })
    try await model.apply("stall")
    #expect(await fault { () throws(Fault) in try await evaluator.prompt() }?.code == .deviceSilent)
    await evaluator.detach()
    #expect(await evaluator.losses() == [])
  }
}
