import Channels
import Devices
import LocalAPI
import Synchronization
import TestKit
import Testing

@testable import Agent

/// A USB bus by hand: what is plugged in, why it cannot be opened, who has it.
private final class PlugBus: Bus {
  struct State {
    var candidates: [ChannelCandidate] = []
    var refusal: ChannelError?
    var rivals: [Rival] = []
    var resets = 0
    var changes = 0
    var looks = 0
  }
  let state = Observed(State())

  func plug(_ candidates: [ChannelCandidate], refusing: ChannelError? = nil, rivals: [Rival] = []) {
    state.update {
      $0.candidates = candidates
      $0.refusal = refusing
      $0.rivals = rivals
      $0.changes += 1
    }
  }

  func supplies(_ address: ChannelAddress) -> Bool { true }
  func candidates(at address: ChannelAddress) async -> [ChannelCandidate] {
    state.update { $0.looks += 1 }
    return state.value.candidates
  }
  func facts(of address: ChannelAddress) async -> [String: String] { [:] }
  func rivals(of candidate: ChannelCandidate) async -> [Rival] { state.value.rivals }
  func restart(_ candidate: ChannelCandidate) async throws(ChannelError) { state.update { $0.resets += 1 } }
  func open(
    _ address: ChannelAddress, as kind: ChannelKind?, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    if let refusal = state.value.refusal { throw refusal }
    return .byteStream(DeadLine())
  }
  func waitForChange(at address: ChannelAddress) async {
    let now = state.value.changes
    await state.wait { $0.changes > now }
  }
  func waitForChange(at address: ChannelAddress, from seen: [ChannelCandidate]) async {
    await state.wait { $0.candidates != seen }
  }
}

private struct DeadLine: ByteStream {
  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] { throw .timedOut }
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {}
  func discardInput() async {}
  func close() async {}
}

/// A slot with everything around it.
private final class Position: Sendable {
  let bus = PlugBus()
  let lines = Lines()
  let reports = Observed<[DeviceReport]>([])
  let answers = Mutex(true)
  let devices = Mutex<[ScriptedDispenser]>([])
  let register = UnitRegister()

  func session(_ port: String = "usb:any") async -> DeviceSession {
    var slot = Plugs.slot("dispenser", port, kind: .ticketDispenser)
    slot.simulated = false
    let reports = reports
    let driver = Driver(name: "escpos", kind: .ticketDispenser, channel: .byteStream, settings: []) {
      [self] _, _, _ throws(Fault) in
      guard answers.withLock({ $0 }) else { throw Fault(.deviceSilent, "DLE EOT 1: no answer in time") }
      let device = ScriptedDispenser()
      devices.withLock { $0.append(device) }
      return device
    }
    let surroundings = DeviceSurroundings(
      time: RealTime(), buses: [bus],
      profiles: ProfileSet([
        Plugs.profile(
          "printer", .ticketDispenser, "escpos",
          [[("transport", ["usb", "usblp"]), ("usb-class", ["07/01/02"])]]),
        Plugs.profile(
          "line", .ticketDispenser, "escpos", [[("transport", ["tty"]), ("usb-id", ["1a86:55d4"])]]),
      ]), drivers: [driver], driverContext: DriverContext(time: RealTime()) { text, _ in Array(text.utf8) },
      language: .english, log: lines.log,
      tell: { event in
        if case .changed(let view, _) = event { reports.update { $0.append(view.report) } }
      }, register: register)
    await register.configure([slot])
    let session = DeviceSession(slot: slot, locked: false, surroundings: surroundings)
    await session.start()
    return session
  }

  /// The reason that is shown next.
  func reason(_ code: FaultCode) async -> Fault? {
    await reports.wait { $0.last?.reason?.code == code }?.last?.reason
  }
}

@Suite(.timeLimit(.minutes(5))) struct SlotStatesTests {
  private static let unit = Plugs.unit("1-3", model: "0416:5011", serial: "P0042")
  private static let raw = Plugs.raw(unit, classes: "07/01/02")

  @Test func `six things that can be wrong are six states with six sentences in both languages`() async {
    let position = Position()
    let session = await position.session()
    var told: [Fault] = []
    func note(_ code: FaultCode) async { if let fault = await position.reason(code) { told.append(fault) } }

    await note(.deviceAbsent)
    let held = Plugs.raw(Self.unit, classes: "07/01/02", driver: "usblp")
    position.bus.plug(
      [held], refusing: .busy("1-3:1.0 is held by the kernel's driver usblp"),
      rivals: [Rival(form: .kernelDriver, name: "usblp", device: "1-3:1.0")])
    await note(.deviceHeld)
    position.bus.plug([])
    await position.reports.wait { $0.last?.state == .noDevice }
    position.bus.plug(
      [Self.raw], refusing: .busy("1-3:1.0"),
      rivals: [Rival(form: .holder, name: "cups-usb", process: 812, device: "/dev/bus/usb/001/004")])
    await note(.deviceBusy)
    position.bus.plug([])
    await position.reports.wait { $0.last?.state == .noDevice }
    position.bus.plug([Self.raw], refusing: .denied("/dev/bus/usb/001/004 (mode 664, user root, group 0)"))
    await note(.deviceDenied)
    position.bus.plug([Plugs.raw(Plugs.unit("1-5", model: "1a86:55d4"), classes: "02/02/01")])
    await note(.driverMissing)
    position.answers.withLock { $0 = false }
    position.bus.plug([Self.raw])
    await note(.deviceSilent)
    position.answers.withLock { $0 = true }
    await position.reports.wait { $0.last?.state == .online }
    position.bus.plug([])
    position.devices.withLock { $0.last }?.own.say.yield(.lost(Fault(.deviceGone, "the far end has left")))
    await note(.deviceGone)
    await session.stop()

    #expect(
      told.map(\.code) == [
        .deviceAbsent, .deviceHeld, .deviceBusy, .deviceDenied, .driverMissing, .deviceSilent, .deviceGone,
      ])
    #expect(Set(told.map(\.code.advice.chinese)).count == told.count)
    #expect(Set(told.map(\.code.advice.english)).count == told.count)
    #expect(told[1].evidence.contains("usblp"))
    #expect(told[2].evidence.contains("cups-usb (process 812)"))
    #expect(told[3].evidence.contains("mode 664"))
    #expect(told[4].evidence.contains("cdc_acm"))
  }

  @Test func `what another program lets go of within two seconds is never shown`() async {
    let position = Position()
    let session = await position.session()
    await position.reports.wait { $0.last?.state == .noDevice }
    position.bus.plug([Self.raw], refusing: .busy("ModemManager"))
    position.bus.state.update { $0.refusal = nil }
    await position.reports.wait { $0.last?.state == .online }
    #expect(!position.reports.value.contains { $0.reason?.code == .deviceBusy })
    #expect(position.lines.containing("dispenser: ").count <= 2)
    await session.stop()
  }

  @Test func `a silent device's port is reset once before a person is called`() async {
    let position = Position()
    position.answers.withLock { $0 = false }
    position.bus.plug([Self.raw])
    let session = await position.session()
    let reported = await position.reports.wait { $0.last?.reason?.evidence.contains("reset") == true }
    #expect(reported?.last?.state == .powerOff)
    #expect(position.bus.state.value.resets == 1)
    position.answers.withLock { $0 = true }
    await position.reports.wait { $0.last?.state == .online }
    await session.stop()
  }

  @Test func `after a suspension the device is opened anew, and no trouble is told`() async {
    let position = Position()
    position.bus.plug([Self.raw])
    let session = await position.session()
    await position.reports.wait { $0.last?.state == .online }
    await session.reopen()
    await position.reports.wait { $0.contains { $0.state == .starting } && $0.last?.state == .online }
    #expect(position.devices.withLock { $0.count } == 2)
    #expect(position.lines.all == [])
    #expect(position.register.roles(of: Self.unit) == ["dispenser"])
    await session.stop()
    #expect(position.register.roles(of: Self.unit) == [])
  }

  @Test func `an identical replacement takes the role and is told by one line`() async {
    let position = Position()
    position.bus.plug([Self.raw])
    let session = await position.session()
    await position.reports.wait { $0.last?.state == .online }
    position.bus.plug([])
    position.devices.withLock { $0.last }?.own.say.yield(.lost(Fault(.deviceGone)))
    await position.reports.wait { $0.last?.state == .noDevice }
    // Missed at least once, as each look is judged before the next: what comes now comes in its place.
    let looks = position.bus.state.value.looks
    await position.bus.state.wait { $0.looks >= looks + 2 }
    position.bus.plug([Plugs.raw(Plugs.unit("1-3", model: "0416:5011", serial: "P0099"), classes: "07/01/02")]
    )
    await position.reports.wait { $0.last?.state == .online }
    #expect(position.lines.containing("takes the place of").count == 1)
    #expect(position.lines.containing("P0042").count == 1)
    #expect(position.register.memory("dispenser")?.unit.serial == "P0099")
    await session.stop()
  }
}
