import Agent
import Channels
import Codecs
import Devices
import Drivers
import HTTPClient
import Intake
import LinuxChannels
import LocalAPI
import Posix
import Simulation
import SimulationHost
import WireJSON

extension Measurement {
  /// `rating [COUNT]`
  static let rating = Measurement(
    summary:
      "from a key to its press being durable and acknowledged to the device, and to the intake having it; floors: "
      + "one flushed append, and one round trip to that intake with it"
  ) { options in
    let count = option(options, 0, 300)
    let rig = try await RatingRig.make()
    let log = try AppendLog(path: rig.directory + "/floor.log", mode: 0o600)
    let clock = ContinuousClock()
    var durable: [Duration] = []
    var accepted: [Duration] = []
    var appends: [Duration] = []
    var trips: [Duration] = []
    let line = String(repeating: "x", count: 1200)
    // In turns, as the machine's speed changes from moment to moment; the first ones find everything cold.
    for number in 0..<count + 20 {
      let press = try await rig.rate(number)
      let append = try clock.measure { try log.append(line) }
      let trip = try await clock.measure { try await rig.roundTrip(number) }
      await rig.skipNotice()
      guard number >= 20 else { continue }
      durable.append(press.durable)
      accepted.append(press.accepted)
      appends.append(append)
      trips.append(append + trip)
    }
    await rig.stop()
    let (press, plain) = (Durations(durable), Durations(appends))
    let (whole, trip) = (Durations(accepted), Durations(trips))
    return [
      Figure(name: "key to durable, median", value: press.median, unit: "ms", floor: plain.median),
      Figure(
        name: "key to durable, 99 %", value: press.quantile(0.99), unit: "ms", floor: plain.quantile(0.99)),
      Figure(name: "key to the intake's yes, median", value: whole.median, unit: "ms", floor: trip.median),
      Figure(
        name: "key to the intake's yes, 99 %", value: whole.quantile(0.99), unit: "ms",
        floor: trip.quantile(0.99)),
    ]
  }
}

/// An agent with a key evaluator in process and a receiving intake behind a Unix socket.
private struct RatingRig: Sendable {
  let directory: String
  let agent: HallAgent
  let client: AgentClient
  let asking: AgentClient
  let evaluator: SimulatedDevice
  let intake: ReceivingIntake
  let plain: HTTPClient
  let notices: AsyncStream<IntakeNotice>
  let epoch = Identifier.uuidV4()

  static func make() async throws -> RatingRig {
    let directory = try Files.makeTemporaryDirectory(prefix: "hall-bench-")
    let intake = try await ReceivingIntake(
      directory: directory + "/intake", socketPath: directory + "/intake.sock")
    let notices = await intake.notices()
    let profile = """
      [profile]
      name = bench
      kind = evaluator
      driver = evaluator-ff68
      maker = none
      model = none
      [match]
      transport = simulated
      [settings]
      keys = 1:5 0:4 2:3 3:2
      repeat-window = 10 ms
      """
    let text = """
      [agent]
      hall = bench
      position = bench
      socket = \(directory)/agent.sock
      socket-group = ""
      state = \(directory)/state
      [intake]
      target = unix:\(directory)/intake.sock
      user = ""
      forward = rating
      [ratings]
      correction = 0 s
      [device evaluator]
      kind = evaluator
      port = simulated:evaluator
      profile = bench
      """
    let configuration = try Configuration.read(Array(text.utf8), file: "bench")
    let (profiles, mistakes) = ProfileSet.read(
      [("bench.conf", Array(profile.utf8))], drivers: Catalog.drivers)
    if let mistake = mistakes.first { throw BenchFailure(sentence: mistake.description) }
    let evaluator = SimulatedDevice("evaluator", SimulatedEvaluator(), time: SystemTime())
    let agent = try await HallAgent.start(
      AgentParts(
        configuration: configuration, profiles: profiles, drivers: Catalog.drivers,
        buses: [SimulatedBus([evaluator])], time: SystemTime(), encodeText: { text, _ in Array(text.utf8) },
        simulation: nil, log: Log { _ in }, version: "bench", reread: { (configuration, profiles) }))
    let client = AgentClient(socket: directory + "/agent.sock", language: .english)
    while try await client.call(.showDevice, ["role": "evaluator"])["state"] != "online" {
      try await Task.sleep(for: .milliseconds(20))
    }
    guard let target = HTTPTarget(text: "unix:\(directory)/intake.sock") else {
      throw BenchFailure(sentence: "no target")
    }
    return RatingRig(
      directory: directory, agent: agent, client: client,
      asking: AgentClient(socket: directory + "/agent.sock", language: .english), evaluator: evaluator,
      intake: intake, plain: HTTPClient(target: target), notices: notices)
  }

  /// Asks, presses a key when the device asks, and waits for both ends.
  func rate(_ number: Int) async throws -> (durable: Duration, accepted: Duration) {
    let prompts = await evaluator.records.count { $0.record.event == "prompt" }
    let visit = try await client.call(.openVisit, body: ["requestId": .string("v-\(number)")])["visit"]
    async let rated = asking.call(
      .askRating, ["role": "evaluator"],
      body: ["requestId": .string("r-\(number)"), "visit": visit ?? .null, "serviceNumber": 1])
    var seen = 0
    var last = 0
    for await entry in await evaluator.records(after: 0) {
      last = entry.number
      if entry.record.event == "prompt" { seen += 1 }
      if seen > prompts { break }
    }
    let clock = ContinuousClock()
    let began = clock.now
    try await evaluator.apply("press 5")
    for await entry in await evaluator.records(after: last) where entry.record.event == "acknowledged" {
      break
    }
    let durable = clock.now - began
    for await notice in notices {
      if case .event = notice { break }
    }
    let accepted = clock.now - began
    guard try await rated["outcome"] == "rated" else {
      throw BenchFailure(sentence: "rating \(number) was not rated")
    }
    _ = try await client.call(.closeVisit, ["visit": visit?.string ?? ""], query: [("askRating", "false")])
    return (durable, accepted)
  }

  /// One event of a rating's size, given to that intake by hand: a request, a flush there, an answer.
  func roundTrip(_ number: Int) async throws {
    let digits = String(number + 1)
    let event: JSONValue = [
      "specversion": "1.0", "id": .string(Identifier.uuidV7()), "time": .string(WallTime.now().rfc3339),
      "datacontenttype": "application/json", "source": "/halls/bench/positions/bench/devices/floor",
      "epoch": .string(epoch), "sequence": .string(String(repeating: "0", count: 20 - digits.count) + digits),
      "type": "gov.hall.call.v1",
      "data": ["action": "next", "context": .string(String(repeating: "x", count: 900))],
    ]
    let answer = try await plain.send(
      .post, "/v1/events", body: try JSON.encode([event] as JSONValue),
      contentType: "application/cloudevents-batch+json", timeout: .seconds(30))
    guard answer.status == 204 || (answer.status == 200 && answer.body.isEmpty) else {
      throw BenchFailure(
        sentence: "the intake answered \(answer.status) \(String(decoding: answer.body, as: UTF8.self))")
    }
  }

  /// Leaves out what the floor itself brought to the intake.
  func skipNotice() async {
    for await notice in notices {
      if case .event = notice { break }
    }
  }

  func stop() async {
    await client.close()
    await asking.close()
    await plain.close()
    await agent.stop()
    await intake.stop(grace: .seconds(1))
    _ = Files.removeTree(directory)
  }
}
