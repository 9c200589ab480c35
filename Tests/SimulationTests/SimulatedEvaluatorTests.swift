import Testing

@testable import Simulation

/// Held against the frames of facts/devices.md C4a, computed by its rule and written out here.
@Suite struct SimulatedEvaluatorTests {
  private var evaluator = SimulatedEvaluator()

  @Test(arguments: [(5, "01", "13"), (4, "00", "12"), (3, "02", "14"), (2, "03", "15")])
  func `a level's key is sent as a rating frame`(level: Int, raw: String, check: String) throws {
    var evaluator = SimulatedEvaluator()
    #expect(try evaluator.command("press \(level)").sent == hex("FF 68 03 03 68 01 11 \(raw) \(check) 16"))
  }

  @Test func `a four-key model has no key for level 1`() {
    #expect(throws: SimulationError.self) {
      var evaluator = SimulatedEvaluator()
      try evaluator.command("press 1")
    }
  }

  @Test mutating func `a rating is acknowledged by function 01 with its data`() throws {
    try evaluator.command("press 5")
    let records = evaluator.receive(hex("FF 68 03 03 68 01 01 01 03 16")).records
    #expect(records.map(\.event) == ["acknowledged"])
    #expect(records[0]["attempts"] == "1")
    #expect(records[0]["press-number"] == "1")
  }

  @Test mutating func `an echo does not acknowledge a rating, nor does another key's answer`() throws {
    try evaluator.command("press 5")
    #expect(evaluator.receive(hex("FF 68 03 03 68 01 11 01 13 16")).records.isEmpty)
    #expect(evaluator.receive(hex("FF 68 03 03 68 01 01 02 04 16")).records.isEmpty)
  }

  @Test(arguments: [
    ("next", "FF 68 03 03 68 01 10 0C 1D 16"), ("recall", "FF 68 03 03 68 01 10 0D 1E 16"),
    ("request", "FF 68 03 03 68 01 10 0B 1C 16"), ("cancel", "FF 68 03 03 68 01 10 0E 1F 16"),
    ("pass", "FF 68 04 04 68 01 10 06 0F 26 16"), ("park", "FF 68 04 04 68 01 10 00 0F 20 16"),
    ("call-parked", "FF 68 04 04 68 01 10 03 0F 23 16"), ("one-metre-line", "FF 68 03 03 68 01 10 11 22 16"),
    ("pause", "FF 68 03 03 68 01 10 12 23 16"), ("transfer", "FF 68 03 03 68 01 10 13 24 16"),
  ])
  func `a keypad key is acknowledged by its own echo`(key: String, frame: String) throws {
    var evaluator = SimulatedEvaluator()
    let actions = try evaluator.command("key \(key)")
    #expect(actions.sent == hex(frame))
    #expect(actions.records.map(\.event) == ["key"])
    #expect(evaluator.receive(hex(frame)).records.map(\.event) == ["acknowledged"])
  }

  @Test mutating func `a press is repeated until the device gives up`() throws {
    var actions = try evaluator.command("press 4")
    let frame = actions.sent
    for attempt in 2...4 {
      actions = evaluator.woke(actions.wakes[0].token)
      #expect(actions.sent == frame, "attempt \(attempt)")
    }
    actions = evaluator.woke(actions.wakes[0].token)
    #expect(actions.sent.isEmpty)
    #expect(actions.records.map(\.event) == ["unacknowledged"])
    #expect(actions.records[0]["attempts"] == "4")
  }

  @Test mutating func `an acknowledged press is not repeated`() throws {
    let token = try evaluator.command("press 5").wakes[0].token
    _ = evaluator.receive(hex("FF 68 03 03 68 01 01 01 03 16"))
    #expect(evaluator.woke(token).isEmpty)
  }

  @Test mutating func `a lost acknowledgement makes the device send again`() throws {
    try evaluator.command("ignore 1 acknowledgements")
    let token = try evaluator.command("press 5").wakes[0].token
    #expect(evaluator.receive(hex("FF 68 03 03 68 01 01 01 03 16")).isEmpty)
    #expect(evaluator.woke(token).sent == hex("FF 68 03 03 68 01 11 01 13 16"))
    let records = evaluator.receive(hex("FF 68 03 03 68 01 01 01 03 16")).records
    #expect(records.map(\.event) == ["acknowledged"])
    #expect(records[0]["attempts"] == "2")
  }

  @Test mutating func `a double press waits for the first to be acknowledged`() throws {
    let actions = try evaluator.command("double press 5")
    #expect(actions.records.compactMap { $0["press-number"] } == ["1", "2"])
    #expect(actions.sent == hex("FF 68 03 03 68 01 11 01 13 16"))
    let next = evaluator.receive(hex("FF 68 03 03 68 01 01 01 03 16"))
    #expect(next.sent == hex("FF 68 03 03 68 01 11 01 13 16"))
  }

  @Test mutating func `a corrupt frame has a wrong check byte once`() throws {
    try evaluator.command("corrupt next")
    let actions = try evaluator.command("press 5")
    #expect(actions.sent == hex("FF 68 03 03 68 01 11 01 14 16"))
    #expect(evaluator.woke(actions.wakes[0].token).sent == hex("FF 68 03 03 68 01 11 01 13 16"))
  }

  @Test mutating func `the number plate shows the worked example`() {
    let records = evaluator.receive(hex("FF 68 08 08 68 01 02 0A 0A 0A 00 02 03 26 16")).records
    #expect(records.map(\.event) == ["plate"])
    #expect(records[0]["ticket"] == "023")
    #expect(evaluator.state.contains(SimulationField("plate", "    023")))
  }

  @Test mutating func `stars, prompt and beep are seen in the state`() {
    _ = evaluator.receive(hex("FF 68 03 03 68 01 02 05 08 16"))
    _ = evaluator.receive(hex("FF 68 03 03 68 01 01 0B 0D 16"))
    _ = evaluator.receive(hex("FF 68 02 02 68 01 03 04 16"))
    #expect(evaluator.state.contains(SimulationField("stars", "5")))
    #expect(evaluator.state.contains(SimulationField("prompting", "yes")))
    #expect(evaluator.state.contains(SimulationField("beeps", "1")))
  }

  @Test mutating func `frames for another address and damaged frames are passed over`() {
    #expect(evaluator.receive(hex("FF 68 03 03 68 02 01 0B 0E 16")).isEmpty)
    #expect(evaluator.receive(hex("FF 68 03 03 68 01 01 0B 0E 16")).records.isEmpty)
    #expect(evaluator.receive(hex("FF 68 03 03 68 01 01 0B 0D 16")).records.map(\.event) == ["prompt"])
  }

  @Test mutating func `half a frame does not spoil the next one once its time is over`() {
    let actions = evaluator.receive(hex("FF 68 08 08 68 01 02"))
    _ = evaluator.woke(actions.wakes[0].token)
    #expect(evaluator.receive(hex("FF 68 03 03 68 01 01 0B 0D 16")).records.map(\.event) == ["prompt"])
  }

  @Test func `several devices share the line`() throws {
    var options = SimulatedEvaluator.Options()
    options.addresses = [1, 7]
    var evaluator = SimulatedEvaluator(options)
    #expect(try evaluator.command("press 5 at 7").sent == hex("FF 68 03 03 68 07 11 01 19 16"))
    #expect(throws: SimulationError.self) { try evaluator.command("press 5 at 9") }
  }

  @Test mutating func `losing power loses what was not acknowledged, and says so`() throws {
    try evaluator.command("press 5")
    #expect(evaluator.powerLost().records.map(\.event) == ["lost"])
  }

  @Test mutating func `raw keys are sent as they are`() throws {
    #expect(try evaluator.command("press raw 2").sent == hex("FF 68 03 03 68 01 11 02 14 16"))
    #expect(try evaluator.command("key raw 77").records.map(\.event) == ["key"])
  }
}
