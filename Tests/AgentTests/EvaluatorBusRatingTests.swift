import Channels
import Devices
import Drivers
import LocalAPI
import Posix
import Simulation
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Agent

/// From a key on the FF 68 bus to the intake, over a line that loses and damages frames in both directions.
@Suite(.timeLimit(.minutes(5))) struct EvaluatorBusRatingTests {
  /// A line that loses a tenth of what goes over it and damages a twentieth, by a fixed seed.
  private final class BadLine: ByteStream {
    private let line: any ByteStream
    private let state: Mutex<UInt64>
    let lost = Observed(0)
    let damaged = Observed(0)

    init(_ line: any ByteStream, seed: UInt64) {
      self.line = line
      state = Mutex(seed)
    }

    private func next() -> UInt64 {
      state.withLock { state in
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
      }
    }

    /// What arrives of a frame.
    private func pass(_ bytes: [UInt8]) -> [UInt8] {
      let chance = next() % 100
      if chance < 10 {
        lost.update { $0 += 1 }
        return []
      }
      guard chance < 15, !bytes.isEmpty else { return bytes }
      damaged.update { $0 += 1 }
      var bytes = bytes
      bytes[Int(next() % UInt64(bytes.count))] ^= 1 << UInt8(next() % 8)
      return bytes
    }

    func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
      while true {
        let bytes = pass(try await line.read(upTo: count, timeout: timeout))
        if !bytes.isEmpty { return bytes }
      }
    }
    func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
      let bytes = pass(bytes)
      if !bytes.isEmpty { try await line.write(bytes, timeout: timeout) }
    }
    func discardInput() async { await line.discardInput() }
    func close() async { await line.close() }
  }

  @Test
  func
    `each of 200 presses is delivered once and none is invented, though a line loses a tenth of the frames`()
    async throws
  {
    let office = try await Office { $0.ratings.correction = .zero }
    var options = SimulatedEvaluator.Options()
    options.acknowledgeTime = .milliseconds(20)
    options.repeats = 100_000
    let model = SimulatedDevice("evaluator", SimulatedEvaluator(options), time: RealTime())
    let line = BadLine(try await model.openLine(), seed: 0x5EED)
    // What comes again within the window is the same press; on a busy machine it may come late.
    let settings = DriverSettings(
      Driver.evaluatorBus.settings,
      values: ["keys": "1:5 0:4 2:3 3:2", "repeat-window": "200 ms"])
    let context = DriverContext(time: RealTime()) { text, _ in Array(text.utf8) }
    let evaluator = try #require(
      try await Driver.evaluatorBus.attach(.byteStream(line), settings, context) as? any Evaluator)
    let desk = RatingDesk(office.facilities)
    let requests = RequestDesk(office.facilities)
    let visit = Visit(
      id: "0190c0de-0000-7000-8000-00000000abcd", openedAt: "2026-10-05T09:00:00+08:00", implicit: false,
      facts: [:], touched: 0)
    let prompts = Observed(0)
    let device = Prompted(evaluator, prompts)
    let session = await office.session(device, role: "evaluator", kind: .evaluator) { event in
      if case .rating(_, let press) = event {
        await desk.press(press, view: Self.view, visit: visit)
      }
    }
    let levels = (0..<200).map { [5, 4, 3, 2][($0 * 7 + $0 / 4) % 4] }
    for (index, level) in levels.enumerated() {
      let body: JSONValue = [
        "requestId": .string("r-\(index)"), "serviceNumber": .integer(Int64(index)), "timeoutSeconds": 3600,
      ]
      async let answer = requests.perform(
        .askRating, role: "evaluator", request: CommandRequest(body), caller: clerk
      ) { context throws(Problem) in
        try await desk.ask(context, session: session, visit: visit) { _ in }
      }
      await prompts.wait { $0 > index }
      try await model.apply("press \(level)")
      #expect(try await answer.body["outcome"] == "rated")
      var acknowledged = 0
      for await entry in await model.records(after: 0) where entry.record.event == "acknowledged" {
        acknowledged += 1
        if acknowledged == index + 1 { break }
      }
    }
    #expect(line.lost.value > 20 && line.damaged.value > 10, "the line was a good one")
    let events = await office.delivered("rating")
    #expect(events.compactMap { $0["level"]?.integer } == levels.map { Int64($0) })
    #expect(
      events.filter { $0["outcome"] == "rated" }.map { $0["requestId"]?.string }
        == (0..<200).map { "r-\($0)" })
    // A frame that came again after its time is told as what it is, and counts for nothing.
    let others = events.filter { $0["outcome"] != "rated" }
    #expect(others.allSatisfy { $0["level"] == .null && $0["flags"]?.array?.isEmpty == false })
    await evaluator.detach()
  }

  private static let view: DeviceView = {
    var slot = Slot(role: "evaluator")
    slot.kind = .evaluator
    return DeviceView(
      slot: slot, report: DeviceReport(state: .online), identity: nil, profile: nil, locked: false,
      since: .now(),
      counters: [:])
  }()

  /// Tells when the question has gone out.
  private final class Prompted: AttachedDevice, Evaluator {
    private let device: any Evaluator
    private let prompts: Observed<Int>
    init(_ device: any Evaluator, _ prompts: Observed<Int>) {
      self.device = device
      self.prompts = prompts
    }
    var identity: DeviceIdentity { device.identity }
    var notices: AsyncStream<DeviceNotice> { device.notices }
    var scale: [Int] { device.scale }
    func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport { try await device.check(level) }
    func detach() async { await device.detach() }
    func show(number: String, waiting: Int) async throws(Fault) {
      try await device.show(number: number, waiting: waiting)
    }
    func prompt() async throws(Fault) {
      try await device.prompt()
      prompts.update { $0 += 1 }
    }
  }
}
