import Channels
import Codecs
import Devices
import Testing

@testable import Drivers
@testable import Simulation

private let quick = [
  "find-interval": "1 ms", "retry-pause": "1 ms", "attach-pause": "1 ms", "debounce": "0 ms",
  "additional-address": "yes", "pause-timeout": "50 ms",
]

/// The driver behind a HID interface, in both framings.
@Suite(.timeLimit(.minutes(1))) struct SDTHIDTests {
  private func device(
    _ framing: SDTReportFraming, _ change: (inout SimulatedIDCardReader.Options) -> Void = { _ in }
  ) -> SimulatedDevice {
    var options = SimulatedIDCardReader.Options()
    change(&options)
    // The device's framing is written by itself, from the facts.
    return SimulatedDevice(
      "card", SimulatedIDCardReader(options), usb: USBReportCardReader(framing == .raw ? .raw : .wrapped),
      time: RealTime())
  }

  private func attach(
    _ device: SimulatedDevice, _ framing: SDTReportFraming, _ values: [String: String] = [:]
  ) async throws -> any IDCardReader {
    let bus = SimulatedBus([device])
    let channel = try await bus.open(.simulated(name: "card"), as: .reports, line: LineSettings())
    let settings = quick.merging(["report-framing": framing.rawValue]) { $1 }.merging(values) { $1 }
    return try #require(
      try await Driver.sdtHID.attach(channel, Driver.sdtHID.settings(settings), context) as? any IDCardReader)
  }

  @Test(arguments: SDTReportFraming.allCases, SampleCard.allCases.filter { !$0.makesTrouble })
  func `every kind of card is read`(framing: SDTReportFraming, card: SampleCard) async throws {
    let device = device(framing)
    try await device.apply("card present \(card.rawValue)")
    try await device.apply("additional-address yes")
    let reader = try await attach(device, framing)
    #expect(reader.identity.serial == "05.01-20101129-0001228293-0296863149")
    // Twice, so that what is left of the first would show in the second.
    for _ in 1...2 {
      let reading = try await reader.readCard(timeout: .seconds(30)) { _ in }
      #expect(reading.card.text.reveal() == card.text)
      #expect(reading.card.photo.reveal() == SampleCard.photo)
      #expect(reading.additionalAddress?.reveal() == SampleCard.additionalAddress)
    }
    await reader.detach()
  }

  @Test(arguments: SDTReportFraming.allCases)
  func `a damaged report is told as damage, and the card is read again`(framing: SDTReportFraming)
    async throws
  {
    let device = device(framing)
    let reader = try await attach(device, framing)
    try await device.apply("card present citizen")
    for place in [0, 3, 20, 63] {
      try await device.apply("flip byte \(place) of reply")
      let reading = try await reader.readCard(timeout: .seconds(30)) { _ in }
      #expect(reading.card.text.reveal() == SampleCard.citizen.text)
    }
    await reader.detach()
  }

  @Test(arguments: SDTReportFraming.allCases)
  func `a cable that is pulled is told once`(framing: SDTReportFraming) async throws {
    let device = device(framing)
    let reader = try await attach(device, framing)
    try await device.apply("card present citizen")
    try await device.apply("unplug after 500 reply bytes")
    #expect(
      await fault { () throws(Fault) in try await reader.readCard(timeout: .seconds(30)) { _ in } }?.code
        == .deviceGone)
    #expect(await reader.losses().map(\.code) == [.deviceGone])
    await reader.detach()
  }

  @Test func `the field is switched off after a read where the profile says so`() async throws {
    // A card that is not found again where it lies is found again once it has lost the field.
    let device = device(.wrapped) {
      $0.switchesField = true
      $0.mustReplace = true
    }
    let reader = try await attach(device, .wrapped, ["field-off-after-read": "yes"])
    try await device.apply("card present citizen")
    for _ in 1...3 { _ = try await reader.readCard(timeout: .seconds(30)) { _ in } }
    await reader.detach()
  }

  @Test func `a module that does not know its field reads all the same`() async throws {
    let device = device(.raw)
    let reader = try await attach(device, .raw, ["field-off-after-read": "yes"])
    try await device.apply("card present citizen")
    for _ in 1...2 { _ = try await reader.readCard(timeout: .seconds(30)) { _ in } }
    await reader.detach()
  }

  @Test func `the wrong framing is not taken for a reader`() async throws {
    for (model, driver) in [(SDTReportFraming.raw, SDTReportFraming.wrapped), (.wrapped, .raw)] {
      let device = device(model)
      let settings = ["status-timeout": "100 ms", "attach-tries": "1"]
      do {
        _ = try await attach(device, driver, settings)
        Issue.record("attached")
      } catch let fault as Fault {
        #expect(fault.code == .deviceSilent || fault.code == .deviceGarbled)
      }
    }
  }

  @Test func `a request is one report with a zero before it`() async throws {
    let reports = RecordingReports()
    let stream = SDTReportStream(reports, .wrapped)
    try await stream.write(SDTCommand.find.encode(), timeout: .seconds(1))
    let published = hex("88 00 00 0B 00 B1 AA AA AA 96 69 00 03 20 01 22 FF 03")
    #expect(reports.written.all == [[0] + published + [UInt8](repeating: 0, count: 46)])
  }

  @Test func `another channel is refused`() async {
    let refusal = await fault { () throws(Fault) in
      try await Driver.sdtHID.attach(.byteStream(FakeLine()), Driver.sdtHID.settings(), context)
    }
    #expect(refusal?.code == .deviceUnmatched)
  }
}

extension SampleCard {
  fileprivate var makesTrouble: Bool { [.damaged, .forged, .foreign].contains(self) }
}

/// Keeps what is written.
private final class RecordingReports: ReportChannel {
  let descriptor: [UInt8] = []
  let written = Log<[UInt8]>()
  func read(timeout: Duration) async throws(ChannelError) -> [UInt8] { throw .timedOut }
  func write(_ report: [UInt8], timeout: Duration) async throws(ChannelWriteError) { written.add(report) }
  func feature(_ number: UInt8, upTo count: Int) async throws(ChannelError) -> [UInt8] { throw .gone }
  func setFeature(_ report: [UInt8]) async throws(ChannelError) { throw .gone }
  func discardInput() async {}
  func close() async {}
}
