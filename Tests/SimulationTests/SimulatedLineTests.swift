import Channels
import Testing

@testable import Simulation

/// Answers every byte with three: itself, and its two successors.
private struct Echo: SimulatedSerialDevice {
  enum Command: Sendable { case room(Int), say, explode, later }
  static let commands: [CommandForm<Command>] = [
    CommandForm("room <n>", "take so many bytes") { $0.number().map { .room($0) } },
    CommandForm("say", "send three bytes", .say),
    CommandForm("explode", "refuse", .explode),
    CommandForm("later", "send three bytes in a second", .later),
  ]
  static let events: [String] = []
  var isBusPowered = true
  var left = Int.max
  var powerCuts = 0
  var received: [UInt8] = []
  var modelName: String { "echo" }
  var room: Int { left }
  var state: [SimulationField] {
    [SimulationField("power-cuts", powerCuts), SimulationField("received", received.count)]
  }
  mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    left -= bytes.count
    received += bytes
    return bytes.map { .send([$0, $0 &+ 1, $0 &+ 2]) }
  }
  mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .room(let count):
      left = count
      return []
    case .say: return [.send([7, 8, 9])]
    case .explode: throw .impossible("no", chinese: "不")
    case .later: return [.wake(5, after: .seconds(1))]
    }
  }
  mutating func woke(_ token: Int) -> [SimulatedAction] { token == 5 ? [.send([7, 8, 9])] : [] }
  mutating func powerLost() -> [SimulatedAction] {
    powerCuts += 1
    return []
  }
}

@Suite(.timeLimit(.minutes(1))) struct SimulatedLineTests {
  private let clock = TestClock()
  private let device: SimulatedDevice
  private let bus: SimulatedBus
  private let address = ChannelAddress.simulated(name: "echo")

  init() {
    device = SimulatedDevice("echo", Echo(), time: clock, seed: 3)
    bus = SimulatedBus([device])
  }

  private func open() async throws -> any ByteStream {
    guard case .byteStream(let stream) = try await bus.open(address, line: LineSettings()) else {
      throw ChannelError.absent("echo")
    }
    return stream
  }

  /// What has arrived; nothing when a reader would have to wait.
  private func pending(_ stream: any ByteStream) async -> [UInt8] {
    (try? await stream.read(upTo: 4096, timeout: .zero)) ?? []
  }

  @Test func `bytes go there and back`() async throws {
    let stream = try await open()
    try await stream.write([1], timeout: .seconds(1))
    #expect(try await stream.read(upTo: 2, timeout: .seconds(1)) == [1, 2])
    #expect(try await stream.read(upTo: 2, timeout: .seconds(1)) == [3])
  }

  @Test func `a read waits for bytes that come later`() async throws {
    let stream = try await open()
    async let bytes = stream.read(upTo: 10, timeout: .seconds(60))
    await clock.waitForSleepers(1)
    try await device.apply("say")
    #expect(try await bytes == [7, 8, 9])
  }

  @Test func `a read that gets nothing times out`() async throws {
    let stream = try await open()
    let reading = Task { try await stream.read(upTo: 10, timeout: .seconds(5)) }
    await clock.waitForSleepers(1)
    clock.advance(.seconds(5))
    await #expect(throws: ChannelError.timedOut) { try await reading.value }
  }

  @Test func `a cancelled read ends`() async throws {
    let stream = try await open()
    let reading = Task { try await stream.read(upTo: 10, timeout: .seconds(5)) }
    await clock.waitForSleepers(1)
    reading.cancel()
    await #expect(throws: ChannelError.cancelled) { try await reading.value }
  }

  @Test func `a line has one holder at a time`() async throws {
    let first = try await open()
    await #expect(throws: ChannelError.busy("simulated:echo is already open")) { try await open() }
    await first.close()
    _ = try await open()
    await #expect(throws: ChannelError.cancelled) { try await first.read(upTo: 1, timeout: .seconds(1)) }
  }

  @Test func `an unknown name is absent`() async {
    await #expect(throws: ChannelError.absent("simulated:nobody")) {
      try await bus.open(.simulated(name: "nobody"), line: LineSettings())
    }
  }

  @Test func `unplugging ends reads and writes with gone, and opening with absent until it is plugged`()
    async throws
  {
    let stream = try await open()
    let reading = Task { try await stream.read(upTo: 10, timeout: .seconds(60)) }
    await clock.waitForSleepers(1)
    try await device.apply("unplug")
    await #expect(throws: ChannelError.gone) { try await reading.value }
    await #expect(throws: ChannelWriteError(written: 0, reason: .gone)) {
      try await stream.write([1], timeout: .seconds(1))
    }
    await #expect(throws: ChannelError.absent("simulated:echo")) { try await open() }
    try await device.apply("plug")
    let second = try await open()
    try await second.write([1], timeout: .seconds(1))
    #expect(await pending(second) == [1, 2, 3])
    await #expect(throws: ChannelError.gone) { try await stream.read(upTo: 1, timeout: .seconds(1)) }
    #expect(await device.state.contains(SimulationField("power-cuts", 1)))
  }

  @Test func `whoever waits to open is told when the cable is back`() async throws {
    try await device.apply("unplug")
    await #expect(throws: ChannelError.self) { try await open() }
    async let change: Void = bus.waitForChange(at: address)
    try await device.apply("plug")
    await change
    _ = try await open()
  }

  @Test func `a change between a failed opening and the waiting is not missed`() async throws {
    try await device.apply("unplug")
    await #expect(throws: ChannelError.self) { try await open() }
    try await device.apply("plug")
    await bus.waitForChange(at: address)
  }

  @Test func `waiting for a change ends when it is cancelled`() async throws {
    _ = try await open()
    let waiting = Task { await bus.waitForChange(at: address) }
    waiting.cancel()
    await waiting.value
    let nobody = Task { await bus.waitForChange(at: .simulated(name: "nobody")) }
    nobody.cancel()
    await nobody.value
  }

  @Test func `a device that holds the line makes the writer wait, and tells how much it took`() async throws {
    let stream = try await open()
    try await device.apply("room 3")
    let writing = Task { () async -> ChannelWriteError? in
      do throws(ChannelWriteError) {
        try await stream.write([1, 2, 3, 4, 5], timeout: .seconds(5))
        return nil
      } catch { return error }
    }
    await clock.waitForSleepers(1)
    clock.advance(.seconds(5))
    #expect(await writing.value == ChannelWriteError(written: 3, reason: .timedOut))
  }

  @Test func `a writer goes on when there is room again`() async throws {
    let stream = try await open()
    try await device.apply("room 3")
    async let writing: Void = stream.write([1, 2, 3, 4, 5], timeout: .seconds(5))
    await clock.waitForSleepers(1)
    try await device.apply("room 100")
    try await writing
    #expect(await device.state.contains(SimulationField("received", 5)))
  }

  @Test func `unplug after N bytes lets the host know how many went through`() async throws {
    let stream = try await open()
    try await device.apply("unplug after 2 bytes")
    await #expect(throws: ChannelWriteError(written: 2, reason: .gone)) {
      try await stream.write([1, 2, 3], timeout: .seconds(1))
    }
    #expect(await device.isPlugged == false)
  }

  @Test func `unplug after N reply bytes cuts a reply in the middle`() async throws {
    let stream = try await open()
    try await device.apply("unplug after 2 reply bytes")
    try await stream.write([1], timeout: .seconds(1))
    #expect(try await stream.read(upTo: 10, timeout: .seconds(1)) == [1, 2])
    await #expect(throws: ChannelError.gone) { try await stream.read(upTo: 10, timeout: .seconds(1)) }
  }

  @Test func `a stalled line takes and gives nothing until it resumes`() async throws {
    let stream = try await open()
    try await device.apply("stall")
    try await device.apply("say")
    #expect(await pending(stream) == [])
    async let writing: Void = stream.write([1], timeout: .seconds(60))
    await clock.waitForSleepers(1)
    #expect(await device.state.contains(SimulationField("received", 0)))
    try await device.apply("resume")
    try await writing
    #expect(await pending(stream) == [7, 8, 9, 1, 2, 3])
  }

  @Test func `without power bytes vanish and nothing is answered`() async throws {
    let stream = try await open()
    try await device.apply("power off")
    try await stream.write([1], timeout: .seconds(1))
    try await device.apply("say")
    #expect(await pending(stream) == [])
    try await device.apply("power on")
    try await stream.write([1], timeout: .seconds(1))
    #expect(await pending(stream) == [1, 2, 3])
    #expect(await device.state.contains(SimulationField("received", 1)))
    #expect(await device.state.contains(SimulationField("power-cuts", 1)))
  }

  @Test(
    arguments: [
      ("drop reply 2", [1, 2, 3, 3, 4, 5]), ("drop 2 replies", [3, 4, 5]),
      ("truncate reply 1", [1, 2, 3, 4, 3, 4, 5]),
      ("extra byte", [1, 1, 2, 3, 2, 3, 4, 3, 4, 5]), ("extra byte EE", [0xEE, 1, 2, 3, 2, 3, 4, 3, 4, 5]),
      ("missing byte", [2, 3, 2, 3, 4, 3, 4, 5]), ("truncate reply 0", [2, 3, 4, 3, 4, 5]),
    ] as [(String, [UInt8])])
  func `a fault damages the reply it names and no other`(command: String, arrived: [UInt8]) async throws {
    let stream = try await open()
    try await device.apply(command)
    try await stream.write([1, 2, 3], timeout: .seconds(1))
    #expect(await pending(stream) == arrived)
  }

  @Test func `a flipped byte differs in one bit, at the place given`() async throws {
    let stream = try await open()
    try await device.apply("flip byte 1 of reply")
    try await stream.write([1], timeout: .seconds(1))
    let bytes = await pending(stream)
    #expect(bytes[0] == 1 && bytes[2] == 3)
    #expect((bytes[1] ^ 2).nonzeroBitCount == 1)
  }

  @Test func `a byte flipped by the seed is the same in every run`() async throws {
    func run(_ seed: UInt64) async throws -> [UInt8] {
      let device = SimulatedDevice("echo", Echo(), time: clock, seed: seed)
      let stream = try await device.openLine()
      try await device.apply("flip byte")
      try await stream.write([1], timeout: .seconds(1))
      return await pending(stream)
    }
    let first = try await run(9)
    #expect(try await run(9) == first)
    #expect(first != [1, 2, 3])
  }

  @Test func `split replies arrive byte by byte`() async throws {
    let stream = try await open()
    try await device.apply("split replies")
    try await stream.write([1], timeout: .seconds(1))
    for byte in [1, 2, 3] as [UInt8] {
      #expect(try await stream.read(upTo: 10, timeout: .seconds(1)) == [byte])
    }
    try await device.apply("whole replies")
    try await stream.write([1], timeout: .seconds(1))
    #expect(await pending(stream) == [1, 2, 3])
  }

  @Test func `a delay postpones replies and keeps their order`() async throws {
    let stream = try await open()
    try await device.apply("delay 800 ms")
    try await stream.write([1], timeout: .seconds(1))
    try await device.apply("delay 0 s")
    try await stream.write([5], timeout: .seconds(1))
    #expect(await pending(stream) == [])
    async let bytes = stream.read(upTo: 6, timeout: .seconds(60))
    await clock.waitForSleepers(2)
    clock.advance(.milliseconds(800))
    #expect(try await bytes == [1, 2, 3])
    #expect(try await stream.read(upTo: 6, timeout: .seconds(60)) == [5, 6, 7])
  }

  @Test func `a model's timer runs by the clock`() async throws {
    let stream = try await open()
    try await device.apply("later")
    async let bytes = stream.read(upTo: 6, timeout: .seconds(60))
    await clock.waitForSleepers(2)
    clock.advance(.seconds(1))
    #expect(try await bytes == [7, 8, 9])
  }

  @Test func `noise is what nobody asked for`() async throws {
    let stream = try await open()
    try await device.apply("noise 5 bytes")
    #expect(await pending(stream).count == 5)
  }

  @Test func `clear faults makes the line good again`() async throws {
    for fault in ["stall", "delay 1 s", "drop reply 1", "power off", "split replies", "unplug"] {
      try await device.apply(fault)
    }
    try await device.apply("clear faults")
    let stream = try await open()
    try await stream.write([1], timeout: .seconds(1))
    #expect(await pending(stream) == [1, 2, 3])
  }

  @Test func `input that nobody read can be thrown away`() async throws {
    let stream = try await open()
    try await stream.write([1], timeout: .seconds(1))
    await stream.discardInput()
    #expect(await pending(stream) == [])
  }

  @Test func `bytes for a line that nobody has open are lost`() async throws {
    try await device.apply("say")
    #expect(await pending(try await open()) == [])
  }

  @Test func `the log numbers commands and changes without gaps`() async throws {
    try await device.apply("  unplug ")
    await #expect(throws: SimulationError.self) { try await device.apply("explode") }
    try await device.apply("plug")
    let records = await device.records
    #expect(records.map(\.record.event) == ["command", "unplug", "command", "plug"])
    #expect(records.map(\.number) == [1, 2, 3, 4])
    #expect(records[0].record["text"] == "unplug")
  }

  @Test func `a follower gets what was before and what comes`() async throws {
    try await device.apply("unplug")
    var stream = await device.records(after: 1).makeAsyncIterator()
    try await device.apply("plug")
    #expect(await stream.next()?.record.event == "unplug")
    #expect(await stream.next()?.number == 3)
    #expect(await stream.next()?.record.event == "plug")
  }

  @Test func `commands that nobody knows are refused with the nearest one`() async {
    await #expect(throws: SimulationError.unknownCommand("unplugg", nearest: "unplug")) {
      try await device.apply("unplugg")
    }
    await #expect(throws: SimulationError.unknownCommand("dance", nearest: nil)) {
      try await device.apply("dance")
    }
    await #expect(throws: SimulationError.wrongWords("delay soon", forms: ["delay <time>"])) {
      try await device.apply("delay soon")
    }
    #expect(throws: SimulationError.self) { try device.check("dance") }
    #expect(throws: Never.self) { try device.check("delay 3 s") }
  }

  @Test func `every fault of a line can be given by its words`() throws {
    for form in LineFaults.commands {
      let text = form.pattern.replacing("<n>", with: "7").replacing("<time>", with: "20 ms")
        .replacing("<hex>", with: "0F").replacing("<1-1000>", with: "2").replacing("<1-4096>", with: "2")
      #expect(CommandReader.match(text, LineFaults.commands) != nil, "\(form.pattern)")
    }
  }
}
