import Agent
import Channels
import Codecs
import Devices
import Drivers
import LinuxChannels
import LocalAPI
import Posix
import Simulation
import SimulationHost
import WireJSON

extension Measurement {
  /// `card-agent [COUNT]`
  static let cardAgent = Measurement(
    summary: "a card read through the agent's API; floor: the same commands on the bare simulated line"
  ) { options in
    let count = option(options, 0, 100)
    let rig = try await CardRig.make()
    defer { rig.remove() }
    let clock = ContinuousClock()
    var reads: [Duration] = []
    var floor: [Duration] = []
    for number in 0..<count + 5 {
      let read = try await clock.measure { try await rig.readThroughAgent(number) }
      let bare = try await clock.measure { try await rig.readBare() }
      // The first ones open connections and prepare statements.
      if number >= 5 {
        reads.append(read)
        floor.append(bare)
      }
    }
    await rig.stop()
    let (read, bare) = (Durations(reads), Durations(floor))
    return [
      Figure(
        name: "card read, median", value: read.median, unit: "ms", floor: bare.median,
        bound: .aboveFloorAtMost(2)),
      Figure(name: "card read, 95 %", value: read.quantile(0.95), unit: "ms", floor: bare.quantile(0.95)),
    ]
  }

  /// `card-wire [COUNT]`
  static let cardWire = Measurement(
    summary: "a card read at 115200 baud on a pseudo-terminal; floor: the time its bytes need on such a line"
  ) { options in
    let count = option(options, 0, 30)
    let directory = try Files.makeTemporaryDirectory(prefix: "hall-bench-")
    defer { Files.removeTree(directory) }
    let text = """
      [hall]
      speed = instant
      [device idcard]
      model = id-card-reader
      module-baud = 115200
      start = card present citizen; wire speed
      """
    let configuration = try SimulationConfiguration.read(Array(text.utf8), file: "bench")
    let hall = try await SimulatedHall(configuration, time: SystemTime(), logs: nil)
    try await hall.attach(to: directory)
    let settings = DriverSettings(Driver.sdt.settings, values: ["debounce": "0 ms"])
    let line = try await LinuxBus().open(.tty(path: directory + "/idcard.tty"), line: settings.line)
    let context = DriverContext(time: SystemTime()) { text, _ in Array(text.utf8) }
    let attached = try await Driver.sdt.attach(line, settings, context)
    guard let reader = attached as? any IDCardReader else { return [] }
    let clock = ContinuousClock()
    var reads: [Duration] = []
    for _ in 0..<count {
      reads.append(try await clock.measure { _ = try await reader.readCard(timeout: .seconds(10)) { _ in } })
    }
    await reader.detach()
    await hall.stop()
    // Find, select and read, each way (facts/idcard.md 3).
    let bytes = 10 + 15 + 10 + 19 + 10 + 1295
    let wire = Double(bytes) * 10 / 115_200 * 1000
    let times = Durations(reads)
    return [
      Figure(
        name: "read at 115200, median", value: times.median, unit: "ms", floor: wire,
        bound: .ratioAtMost(1.05)),
      Figure(name: "read at 115200, 95 %", value: times.quantile(0.95), unit: "ms", floor: wire),
    ]
  }
}

/// An agent with a simulated reader, and a second reader of the same kind that is spoken to without it.
private struct CardRig: Sendable {
  private let directory: String
  private let agent: HallAgent
  private let client: AgentClient
  private let bare: SimulatedLine

  /// About a tenth of what real modules need, so that many can be measured.
  private static func device(_ name: String) -> SimulatedDevice {
    var options = SimulatedIDCardReader.Options()
    options.findTime = .milliseconds(10)
    options.selectTime = .milliseconds(10)
    options.readTime = .milliseconds(60)
    return SimulatedDevice(name, SimulatedIDCardReader(options), time: SystemTime())
  }

  static func make() async throws -> CardRig {
    let directory = try Files.makeTemporaryDirectory(prefix: "hall-bench-")
    let profile = """
      [profile]
      name = bench
      kind = id-card-reader
      driver = sdt
      maker = none
      model = none
      [match]
      transport = simulated
      [settings]
      debounce = 0 ms
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
      [device idcard]
      kind = id-card-reader
      port = simulated:idcard
      """
    let configuration = try Configuration.read(Array(text.utf8), file: "bench")
    let (profiles, _) = ProfileSet.read([("bench.conf", Array(profile.utf8))], drivers: Catalog.drivers)
    let devices = [device("idcard"), device("bare")]
    for device in devices { try await device.apply("card present citizen") }
    let agent = try await HallAgent.start(
      AgentParts(
        configuration: configuration, profiles: profiles, drivers: Catalog.drivers,
        buses: [SimulatedBus(devices)], time: SystemTime(), encodeText: { text, _ in Array(text.utf8) },
        simulation: nil, log: Log { _ in }, version: "bench", reread: { (configuration, profiles) }))
    let client = AgentClient(socket: directory + "/agent.sock", language: .english)
    while try await client.call(.showDevice, ["role": "idcard"])["state"] != "online" {
      try await Task.sleep(for: .milliseconds(20))
    }
    return CardRig(
      directory: directory, agent: agent, client: client, bare: try await devices[1].openLine())
  }

  func readThroughAgent(_ number: Int) async throws {
    let card = try await client.call(
      .readCard, ["role": "idcard"], body: ["requestId": .string("bench-\(number)"), "masked": true])
    guard card["type"] == "citizen" else { throw BenchFailure(sentence: "\(card)") }
  }

  /// The commands that a host cannot do without.
  func readBare() async throws {
    for command in [SDTCommand.find, .select, .readText] {
      try await bare.write(command.encode(), timeout: .seconds(5))
      var parser = SDTReplyParser()
      exchange: while true {
        parser.feed(try await bare.read(upTo: 4096, timeout: .seconds(5)))
        switch parser.next() {
        case .needMore: continue
        case .frame(let reply) where reply.status == command.success: break exchange
        case .frame, .error: throw BenchFailure(sentence: "\(command) failed")
        }
      }
    }
  }

  func stop() async {
    await client.close()
    await bare.close()
    await agent.stop()
  }

  func remove() { Files.removeTree(directory) }
}

struct BenchFailure: Error { let sentence: String }
