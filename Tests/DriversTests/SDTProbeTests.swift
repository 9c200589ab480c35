import Channels
import Codecs
import Devices
import Synchronization
import Testing

@testable import Drivers
@testable import Simulation

private let quick = [
  "attach-pause": "1 ms", "probe-timeout": "150 ms", "status-timeout": "300 ms", "pause-timeout": "30 ms",
]

@Suite(.timeLimit(.minutes(1))) struct SDTProbeTests {
  private func device(baud: Int?) -> SimulatedDevice {
    var options = SimulatedIDCardReader.Options()
    options.baud = baud
    options.receiveTimeout = .milliseconds(20)
    return SimulatedDevice("card", SimulatedIDCardReader(options), time: RealTime())
  }

  private func attach(_ device: SimulatedDevice, _ values: [String: String]) async throws
    -> any AttachedDevice
  {
    let settings = Driver.sdt.settings(quick.merging(values) { $1 })
    let channel = try await SimulatedBus([device]).open(.simulated(name: "card"), line: settings.line)
    return try await Driver.sdt.attach(channel, settings, context)
  }

  @Test(arguments: SDTBaud.allCases)
  func `every speed is found`(baud: SDTBaud) async throws {
    let device = device(baud: baud.bitsPerSecond)
    let reader = try await attach(device, ["baud": "auto"])
    let report = try await reader.check(.internal)
    #expect(report.details["baud"] == "\(baud.bitsPerSecond)")
    await reader.detach()
  }

  @Test func `a speed that the settings name is not changed`() async throws {
    let device = device(baud: 9600)
    do {
      _ = try await attach(device, ["baud": "115200", "attach-tries": "2"])
      Issue.record("attached at the wrong speed")
    } catch let fault as Fault {
      #expect(fault.code == .deviceSilent || fault.code == .deviceGarbled)
    }
    let reader = try await attach(device, ["baud": "9600"])
    await reader.detach()
  }

  @Test func `the module is told the speed that the settings want`() async throws {
    let device = device(baud: 9600)
    let reader = try await attach(device, ["baud": "auto", "module-baud": "115200"])
    #expect(try await reader.check(.internal).details["baud"] == "115200")
    #expect(await device.state.first { $0.name == "module-baud" }?.value == "115200")
    await reader.detach()
  }

  @Test func `a module that promises a speed and keeps the old one stays usable`() async throws {
    let line = StubbornLine(speeds: [9600])
    let settings = Driver.sdt.settings(quick.merging(["baud": "9600", "module-baud": "57600"]) { $1 })
    let reader = try await Driver.sdt.attach(.byteStream(line), settings, context)
    #expect(try await reader.check(.internal).details["baud"] == "9600")
    #expect(line.baud == 9600)
    await reader.detach()
  }

  // MARK: Pipes

  private static let split = PipeLayout(heads: (0x81, 0x02), bodies: (0x85, 0x06), headLength: 7)
  private static let pair = PipeLayout(input: 0x81, output: 0x02)
  private static let lastPair = PipeLayout(input: 0x85, output: 0x06)

  @Test(arguments: [
    (split, "auto", [split]), (pair, "auto", [split, pair]), (lastPair, "auto", [split, pair, lastPair]),
    (pair, "single", [pair]), (split, "split", [split]),
  ])
  func `the pipes that the module answers on are found`(
    answering: PipeLayout, setting: String, tried: [PipeLayout]
  ) async throws {
    // The likeliest first as the channel has it: the driver's own order counts.
    let line = PipedLine(answering, layouts: [Self.pair, Self.split, Self.lastPair])
    let settings = Driver.sdt.settings(quick.merging(["usb-layout": setting]) { $1 })
    let reader = try await Driver.sdt.attach(.byteStream(line), settings, context)
    #expect(line.tried.all == tried)
    await reader.detach()
  }

  @Test func `an interface with one pipe each way is not asked for two`() async throws {
    let line = PipedLine(Self.pair, layouts: [Self.pair])
    let reader = try await Driver.sdt.attach(.byteStream(line), Driver.sdt.settings(quick), context)
    #expect(line.tried.all == [Self.pair])
    await reader.detach()
    let settings = Driver.sdt.settings(quick.merging(["usb-layout": "split"]) { $1 })
    let refusal = await fault { () throws(Fault) in
      try await Driver.sdt.attach(.byteStream(PipedLine(Self.pair, layouts: [Self.pair])), settings, context)
    }
    #expect(refusal?.code == .deviceUnmatched)
  }
}

/// Answers status and number.
private func answer(_ line: FakeLine, _ bytes: [UInt8]) {
  switch bytes {
  case SDTCommand.status.encode(), SDTCommand.setBaud(.bps57600).encode():
    line.deliver(SDTReply(.ok).encode())
  case SDTCommand.samID.encode():
    line.deliver(hex("AA AA AA 96 69 00 14 00 00 90 05 00 01 00 09 B8 32 01 05 BE 12 00 AD C5 B1 11 63"))
  default: break
  }
}

/// A serial line whose module answers at some speeds only, whatever it is told.
private final class StubbornLine: SerialLine {
  private let line = FakeLine(answer)
  private let state = Mutex(9600)
  private let speeds: Set<Int>

  init(speeds: Set<Int>) { self.speeds = speeds }
  var baud: Int { state.withLock { $0 } }
  func setBaud(_ baud: Int) async throws(ChannelError) { state.withLock { $0 = baud } }
  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    try await line.read(upTo: count, timeout: timeout)
  }
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    if speeds.contains(baud) { try await line.write(bytes, timeout: timeout) }
  }
  func discardInput() async { await line.discardInput() }
  func close() async { await line.close() }
}

/// A USB interface whose module answers on one layout of its pipes.
private final class PipedLine: LayoutChoice {
  let layouts: [PipeLayout]
  let tried = Log<PipeLayout>()
  private let line = FakeLine(answer)
  private let answering: PipeLayout

  init(_ answering: PipeLayout, layouts: [PipeLayout]) {
    self.answering = answering
    self.layouts = layouts
  }
  func use(_ layout: PipeLayout) async throws(ChannelError) { tried.add(layout) }
  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    try await line.read(upTo: count, timeout: timeout)
  }
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    if tried.all.last == answering { try await line.write(bytes, timeout: timeout) }
  }
  func discardInput() async { await line.discardInput() }
  func close() async { await line.close() }
}
