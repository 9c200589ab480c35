import Channels
import Devices
import Synchronization
import Testing

@testable import Drivers
@testable import Simulation

private let simulated = [
  "reports": "0=52+1=11:5 0=52+1=12:4 0=52+1=13:3 0=52+1=14:2 0=52+1=15:1", "release-reports": "yes",
  "prompt-report": "00 41",
]

/// Reports by hand.
private final class FakeReports: ReportChannel {
  let descriptor: [UInt8] = []
  let written = Log<[UInt8]>()
  private let arrived = Inbox<Result<[UInt8], ChannelError>>(limit: 10_000, time: RealTime())
  private let refusal = Mutex<ChannelError?>(nil)

  func deliver(_ report: [UInt8]) { arrived.put(.success(report)) }
  func fail(_ error: ChannelError) { arrived.put(.failure(error)) }
  func refuseWrites(_ error: ChannelError) { refusal.withLock { $0 = error } }

  func read(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    switch await arrived.take(until: RealTime().now() + timeout) {
    case .element(let result): return try result.get()
    case .timedOut: throw .timedOut
    case .cancelled: throw .cancelled
    case .closed(let error): throw error
    }
  }
  func write(_ report: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    if let error = refusal.withLock({ $0 }) { throw ChannelWriteError(written: 0, reason: error) }
    written.add(report)
  }
  func feature(_ number: UInt8, upTo count: Int) async throws(ChannelError) -> [UInt8] { [] }
  func setFeature(_ report: [UInt8]) async throws(ChannelError) {}
  func discardInput() async { arrived.clear() }
  func close() async { arrived.close(.cancelled) }
}

@Suite(.timeLimit(.minutes(1))) struct ReportEvaluatorTests {
  private func attach(_ channel: Channel, _ values: [String: String] = simulated) async throws
    -> any Evaluator
  {
    try #require(
      try await Driver.evaluatorReports.attach(channel, Driver.evaluatorReports.settings(values), context)
        as? any Evaluator)
  }

  private func open(_ device: SimulatedDevice) async throws -> Channel {
    try await SimulatedBus([device]).open(.simulated(name: device.name), as: .reports, line: LineSettings())
  }

  private func presses(_ count: Int, of evaluator: any Evaluator) async -> [RatingPress] {
    var presses: [RatingPress] = []
    for await notice in evaluator.notices {
      if case .rating(let press) = notice { presses.append(press) }
      if presses.count == count { break }
    }
    return presses
  }

  @Test func `the citizen is asked, and the key pressed is told`() async throws {
    let device = SimulatedDevice("terminal", SimulatedReportKeypad(), time: RealTime())
    let evaluator = try await attach(try await open(device))
    #expect(evaluator.scale == [5, 4, 3, 2, 1])
    try await evaluator.prompt()
    #expect(await device.state.contains { $0.name == "lit" && $0.value == "yes" })
    for level in 1...5 { try await device.apply("press \(level)") }
    let presses = await presses(5, of: evaluator)
    #expect(presses.map(\.level) == [1, 2, 3, 4, 5])
    #expect(presses.map(\.rawKey) == [5, 4, 3, 2, 1])
    await evaluator.detach()
  }

  @Test func `a key that is held is one press where releases are told, and each report one where not`()
    async throws
  {
    for (tells, levels) in [("yes", [5, 5, 4]), ("no", [5, 5, 5, 5, 4])] {
      let reports = FakeReports()
      let evaluator = try await attach(
        .reports(reports), ["reports": "1=01:5 1=02:4", "release-reports": tells])
      // Held over three reports, released, pressed again, and another key.
      for key in [1, 1, 1, 0, 1, 2] as [UInt8] { reports.deliver([9, key]) }
      #expect(await presses(levels.count, of: evaluator).map(\.level) == levels)
      await evaluator.detach()
    }
  }

  @Test func `one damaged report, or an unknown one, ends nothing`() async throws {
    let reports = FakeReports()
    let evaluator = try await attach(.reports(reports), ["reports": "0=07+1&0f=01:3 1=02:recall"])
    reports.fail(.malformed("short"))
    reports.deliver([7])
    reports.deliver([6, 1])
    reports.deliver([7, 0xF1])
    #expect(await presses(1, of: evaluator).map(\.level) == [3])
    let details = try await evaluator.check(.internal).details
    #expect(details["malformedReports"] == "1")
    #expect(details["unknownKeys"] == "2")
    #expect(details["keysHeard"] == "1")
    await evaluator.detach()
  }

  @Test func `the cable comes out`() async throws {
    let device = SimulatedDevice("terminal", SimulatedReportKeypad(), time: RealTime())
    let evaluator = try await attach(try await open(device))
    try await device.apply("unplug")
    #expect(await evaluator.losses().map(\.code) == [.deviceGone])
    #expect(await fault { () async throws(Fault) in try await evaluator.prompt() }?.code == .deviceGone)
    await evaluator.detach()
  }

  @Test func `a report that is cut on its way is malformed and the next one counts`() async throws {
    let device = SimulatedDevice("terminal", SimulatedReportKeypad(), time: RealTime())
    let evaluator = try await attach(try await open(device))
    try await device.apply("truncate reply 3")
    try await device.apply("press 5")
    try await device.apply("press 4")
    #expect(await presses(1, of: evaluator).map(\.level) == [4])
    #expect(try await evaluator.check(.internal).details["malformedReports"] == "1")
    await evaluator.detach()
  }

  @Test func `a prompt that is not taken is a fault, and nothing is sent where there is none`() async throws {
    let reports = FakeReports()
    let evaluator = try await attach(.reports(reports), ["reports": "1=01:5", "prompt-report": "01 a0 ff"])
    try await evaluator.prompt()
    #expect(reports.written.all == [[1, 0xA0, 0xFF]])
    #expect(try await evaluator.check(.external).state == .online)
    reports.refuseWrites(.timedOut)
    #expect(await fault { () async throws(Fault) in try await evaluator.prompt() }?.code == .deviceSilent)
    await evaluator.detach()

    let mute = FakeReports()
    let quiet = try await attach(.reports(mute), ["reports": "1=01:5"])
    try await quiet.prompt()
    #expect(mute.written.all.isEmpty)
    #expect(
      await fault { () async throws(Fault) in try await quiet.check(.external) }?.code == .commandUnsupported)
    await quiet.detach()
  }

  @Test func `a keyboard can be had as reports too`() async throws {
    let device = SimulatedDevice("keypad", SimulatedKeypad(), time: RealTime())
    // Boot reports: usage 22 in the third byte is 5.
    let evaluator = try await attach(
      try await open(device), ["reports": "2=22:5 2=21:4", "release-reports": "yes"])
    try await device.apply("press 5")
    try await device.apply("press 4")
    #expect(await presses(2, of: evaluator).map(\.level) == [5, 4])
    await evaluator.detach()
  }
}
