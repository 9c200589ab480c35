import Channels
import Codecs
import Devices
import Synchronization
import TestKit
import Testing

@testable import Agent

/// The devices of a bench: readers and printers in sockets.
struct Plugs {
  static func unit(_ port: String, model: String = "0400:c35a", serial: String? = nil) -> DeviceUnit {
    DeviceUnit(
      model: model, serial: serial, place: "c:\(port.dropFirst(2))", port: port, name: "Maker Device")
  }

  /// A reader of the vendor class: one interface.
  static func reader(_ port: String, serial: String? = nil, model: String = "0400:c35a") -> [ChannelCandidate]
  {
    let unit = unit(port, model: model, serial: serial)
    return [raw(unit, classes: "ff/00/00")]
  }

  static func raw(
    _ unit: DeviceUnit, _ number: UInt8 = 0, classes: String, driver: String? = nil
  ) -> ChannelCandidate {
    var facts = [
      "transport": "usb", "usb-id": unit.model, "usb-port": unit.port, "usb-class": classes,
      "usb-interface": "\(number)",
    ]
    facts["usb-serial"] = unit.serial
    facts["driver"] = driver
    return ChannelCandidate(
      address: .usbInterface(port: unit.port, configuration: 1, interface: number), facts: facts, unit: unit)
  }

  static func node(_ address: ChannelAddress, on raw: ChannelCandidate) -> ChannelCandidate {
    ChannelCandidate(
      address: address, facts: raw.facts.merging(["transport": address.transport]) { $1 }, unit: raw.unit)
  }

  static func slot(_ role: String, _ port: String, kind: DeviceKind = .idCardReader, profile: String? = nil)
    -> Slot
  {
    var slot = Slot(role: role)
    slot.kind = kind
    slot.port = ChannelAddress(port) ?? .simulated(name: "wrong")
    slot.profile = profile
    return slot
  }

  static func driver(_ name: String, _ kind: DeviceKind, _ channel: ChannelKind) -> Driver {
    Driver(name: name, kind: kind, channel: channel, settings: []) { _, _, _ throws(Fault) in
      throw Fault(.deviceAbsent)
    }
  }

  static func profile(
    _ name: String, _ kind: DeviceKind, _ driver: String, automatic: Bool = true,
    _ match: [[(String, [String])]]
  ) -> DeviceProfile {
    DeviceProfile(
      name: name, kind: kind, driver: driver, maker: "", model: "",
      match: match.map { $0.map { MatchPredicate(fact: $0.0, patterns: $0.1) } }, isAutomatic: automatic,
      settings: [:], file: "\(name).conf")
  }

  static let chooser = UnitChooser(
    profiles: ProfileSet([
      profile(
        "reader", .idCardReader, "sdt", [[("transport", ["usb"]), ("usb-id", ["0400:c35a"])]]),
      profile(
        "other-reader", .idCardReader, "sdt", [[("transport", ["usb"]), ("usb-id", ["0316:5020"])]]),
      profile("reader-serial", .idCardReader, "sdt", [[("transport", ["tty"])]]),
      profile(
        "printer", .ticketDispenser, "escpos",
        [[("transport", ["usblp", "usb"]), ("usb-class", ["07/01/02"])]]),
      profile("printer-raw", .ticketDispenser, "escpos", automatic: false, [[("transport", ["usb"])]]),
      profile(
        "printer-lp", .printer, "escpos-lp",
        [[("transport", ["usblp"]), ("usb-class", ["07/01/02"])]]),
      profile(
        "serial-evaluator", .evaluator, "bus", [[("transport", ["tty"]), ("usb-id", ["1a86:55d4"])]]),
      profile("keys", .evaluator, "keys", []),
    ]),
    drivers: [
      driver("sdt", .idCardReader, .byteStream), driver("escpos", .ticketDispenser, .byteStream),
      driver("escpos-lp", .printer, .byteStream), driver("bus", .evaluator, .byteStream),
      driver("keys", .evaluator, .inputEvents),
    ])
}

extension UnitChoice {
  var address: String? { if case .offer(let offer, _) = self { "\(offer.candidate.address)" } else { nil } }
  var port: String? { if case .offer(let offer, _) = self { offer.candidate.unit?.port } else { nil } }
  var profile: String? { if case .offer(let offer, _) = self { offer.profile.name } else { nil } }
  var replaced: DeviceUnit? { if case .offer(_, let replaced) = self { replaced } else { nil } }
  var fault: Fault? { if case .none(let fault) = self { fault } else { nil } }
}

@Suite struct UnitChooserTests {
  private func look(
    _ register: UnitRegister, _ slot: Slot, _ candidates: [ChannelCandidate]
  ) async -> UnitChoice {
    await register.choose(slot, among: candidates, by: Plugs.chooser, claiming: true)
  }

  /// Looks, and takes what is offered into service.
  private func attach(
    _ register: UnitRegister, _ slot: Slot, _ candidates: [ChannelCandidate]
  ) async -> UnitChoice {
    let choice = await look(register, slot, candidates)
    if case .offer(let offer, _) = choice { await register.attached(slot, offer) }
    return choice
  }

  @Test func `the one unit that fits is taken`() async {
    let register = UnitRegister()
    let slot = Plugs.slot("idcard", "usb:any")
    await register.configure([slot])
    let keyboard = Plugs.raw(Plugs.unit("1-9", model: "1a2c:0021"), classes: "03/01/01", driver: "usbhid")
    let choice = await attach(register, slot, [keyboard] + Plugs.reader("1-1"))
    #expect(choice.address == "usb-interface:1-1:1.0" && choice.profile == "reader")
    #expect(await look(UnitRegister(), slot, [keyboard]).fault?.code == .deviceAbsent)
    #expect(await look(UnitRegister(), slot, []).fault?.code == .deviceAbsent)
  }

  @Test func `two units that fit are told, and neither is taken`() async {
    let slot = Plugs.slot("idcard", "usb:any")
    let fault = await look(UnitRegister(), slot, Plugs.reader("1-1") + Plugs.reader("1-2")).fault
    #expect(fault?.code == .deviceAmbiguous)
    #expect(fault?.evidence.contains("in 1-1") == true && fault?.evidence.contains("in 1-2") == true)
  }

  @Test func `a slot without a place takes no device for being a serial adapter`() async {
    let unit = Plugs.unit("1-1", model: "10c4:ea60")
    let raw = Plugs.raw(unit, classes: "ff/00/00", driver: "cp210x")
    let line = Plugs.node(.tty(path: "/dev/ttyUSB0"), on: raw)
    #expect(
      await look(UnitRegister(), Plugs.slot("idcard", "usb:any"), [raw, line]).fault?.code == .deviceAbsent)
    let bound = await look(UnitRegister(), Plugs.slot("idcard", "usb:port:1-1"), [raw, line])
    #expect(bound.address == "tty:/dev/ttyUSB0" && bound.profile == "reader-serial")
  }

  @Test func `the kernel's node is taken before the bare interface, which is taken where there is none`()
    async
  {
    let slot = Plugs.slot("dispenser", "usb:any", kind: .ticketDispenser)
    let unit = Plugs.unit("1-3", model: "0416:5011")
    let held = Plugs.raw(unit, classes: "07/01/02", driver: "usblp")
    let lp = Plugs.node(.lp(path: "/dev/usb/lp0"), on: held)
    #expect(await look(UnitRegister(), slot, [held, lp]).address == "lp:/dev/usb/lp0")
    let free = Plugs.raw(unit, classes: "07/01/02")
    #expect(await look(UnitRegister(), slot, [free]).address == "usb-interface:1-3:1.0")
  }

  @Test func `slots bound by port name the place, whichever unit is in it`() async {
    let slots = [Plugs.slot("left", "usb:port:1-1"), Plugs.slot("right", "usb:port:1-2")]
    let register = UnitRegister()
    await register.configure(slots)
    func at(_ port: String, _ all: [ChannelCandidate]) -> [ChannelCandidate] {
      all.filter { $0.unit?.port == port }
    }
    let before = Plugs.reader("1-1", serial: "AAA1") + Plugs.reader("1-2", serial: "BBB2")
    #expect(await attach(register, slots[0], at("1-1", before)).port == "1-1")
    #expect(await attach(register, slots[1], at("1-2", before)).port == "1-2")
    register.release("left")
    register.release("right")
    // Swapped: each role stays with its place, and the exchange is told.
    let after = Plugs.reader("1-1", serial: "BBB2") + Plugs.reader("1-2", serial: "AAA1")
    let left = await attach(register, slots[0], at("1-1", after))
    let right = await attach(register, slots[1], at("1-2", after))
    #expect(left.port == "1-1" && left.replaced?.serial == "AAA1")
    #expect(right.port == "1-2" && right.replaced?.serial == "BBB2")
  }

  @Test func `a unit stays with its slot, wherever it is plugged in and after a restart`() async {
    let slot = Plugs.slot("idcard", "usb:any")
    let kept = Kept()
    let register = UnitRegister { role, memory in kept.set(role, memory) }
    await register.configure([slot])
    _ = await attach(register, slot, Plugs.reader("1-1", serial: "AAA1"))
    register.release("idcard")
    let moved = await attach(register, slot, Plugs.reader("1-7", serial: "AAA1"))
    #expect(moved.port == "1-7" && moved.replaced == nil)
    let later = UnitRegister(memories: kept.all)
    await later.configure([slot])
    // A second one beside it is no question any more.
    let both = Plugs.reader("1-1", serial: "BBB2") + Plugs.reader("1-7", serial: "AAA1")
    #expect(await attach(later, slot, both).port == "1-7")
  }

  @Test func `an identical replacement takes the role, once the old one is gone`() async {
    let register = UnitRegister()
    let slot = Plugs.slot("idcard", "usb:any")
    await register.configure([slot])
    _ = await attach(register, slot, Plugs.reader("1-1", serial: "AAA1"))
    register.release("idcard")
    #expect(await look(register, slot, []).fault?.code == .deviceAbsent)
    let choice = await attach(register, slot, Plugs.reader("1-1", serial: "BBB2"))
    #expect(choice.port == "1-1" && choice.replaced?.serial == "AAA1")
    register.release("idcard")
    // From now on it is the new one's.
    let both = Plugs.reader("1-1", serial: "BBB2") + Plugs.reader("1-2", serial: "AAA1")
    #expect(await attach(register, slot, both).port == "1-1")
  }

  @Test func `a second unit that was there all along is never taken when the first is pulled out`() async {
    let register = UnitRegister()
    let slot = Plugs.slot("idcard", "usb:any")
    await register.configure([slot])
    _ = await attach(register, slot, Plugs.reader("1-1", serial: "AAA1"))
    register.release("idcard")
    // It came while the first was in service: nobody looked then.
    let second = Plugs.reader("1-2", serial: "BBB2")
    let fault = await look(register, slot, second).fault
    #expect(fault?.code == .deviceOther && fault?.evidence.contains("BBB2") == true)
    #expect(await look(register, slot, second).fault?.code == .deviceOther)
    // Pulled out and put in again it is meant to be the replacement.
    #expect(await look(register, slot, []).fault?.code == .deviceAbsent)
    #expect(await look(register, slot, second).port == "1-2")
  }

  @Test func `another model is taken only when somebody says so`() async {
    let register = UnitRegister()
    let slot = Plugs.slot("idcard", "usb:any")
    await register.configure([slot])
    _ = await attach(register, slot, Plugs.reader("1-1"))
    register.release("idcard")
    _ = await look(register, slot, [])
    let other = Plugs.reader("1-1", model: "0316:5020")
    #expect(await look(register, slot, other).fault?.code == .deviceOther)
    await register.forget("idcard")
    #expect(await look(register, slot, other).profile == "other-reader")
  }

  @Test func `two slots never have the same device`() async {
    let slots = [Plugs.slot("one", "usb:any"), Plugs.slot("two", "usb:any")]
    let register = UnitRegister()
    await register.configure(slots)
    let only = Plugs.reader("1-1")
    #expect(await look(register, slots[0], only).port == "1-1")
    let fault = await look(register, slots[1], only).fault
    #expect(fault?.code == .deviceTaken && fault?.evidence.contains("'one'") == true)
    // What another slot names by its port is not for one that takes whatever fits.
    let bound = [Plugs.slot("window", "usb:port:1-2"), Plugs.slot("any", "usb:any")]
    let other = UnitRegister()
    await other.configure(bound)
    #expect(await look(other, bound[1], Plugs.reader("1-2")).fault?.code == .deviceTaken)
    #expect(await look(other, bound[1], Plugs.reader("1-1") + Plugs.reader("1-2")).port == "1-1")
  }

  @Test func `another kind of slot may have another interface of the same device`() async {
    let unit = Plugs.unit("1-4", model: "0400:c35a")
    let first = Plugs.raw(unit, classes: "ff/00/00")
    let printer = Plugs.raw(unit, 1, classes: "07/01/02")
    let slots = [Plugs.slot("idcard", "usb:any"), Plugs.slot("dispenser", "usb:any", kind: .ticketDispenser)]
    let register = UnitRegister()
    await register.configure(slots)
    #expect(await look(register, slots[0], [first, printer]).address != nil)
    let second = await look(register, slots[1], [first, printer])
    #expect(second.address == "usb-interface:1-4:1.1")
    #expect(
      register.isShared(unit, besides: "idcard") && register.roles(of: unit) == ["dispenser", "idcard"])
  }

  @Test func `a device that shows no interface is named, not called absent`() async {
    let unit = Plugs.unit("1-4")
    let bare = ChannelCandidate(
      address: .usb(.port("1-4")), facts: ["usb-id": unit.model, "usb-port": "1-4"], unit: unit)
    let register = UnitRegister()
    let bound = await look(register, Plugs.slot("idcard", "usb:port:1-4"), [bare]).fault
    #expect(bound?.code == .deviceUnmatched && bound?.evidence.contains("it shows no interface") == true)
    // A slot that takes whatever fits has nothing to do with it, unless it is the slot's own.
    let any = Plugs.slot("other", "usb:any")
    #expect(await look(register, any, [bare]).fault?.code == .deviceAbsent)
    _ = await attach(register, any, Plugs.reader("1-4"))
    #expect(await look(register, any, [bare]).fault?.code == .deviceUnmatched)
  }

  @Test func `a device that lacks only its kernel driver's node names the module`() async {
    let evaluator = Plugs.slot("evaluator", "usb:any", kind: .evaluator)
    let unit = Plugs.unit("1-5", model: "1a86:55d4")
    let fault = await look(UnitRegister(), evaluator, [Plugs.raw(unit, classes: "02/02/01")]).fault
    #expect(fault?.code == .driverMissing && fault?.evidence.contains("cdc_acm") == true)
    let printer = Plugs.slot("printer", "usb:port:1-3", kind: .printer)
    let raw = Plugs.raw(Plugs.unit("1-3", model: "0416:5011"), classes: "07/01/02")
    let missing = await look(UnitRegister(), printer, [raw]).fault
    #expect(missing?.code == .driverMissing && missing?.evidence.contains("usblp") == true)
    // The kernel knows serial adapters that are in nobody's table; without its word nothing is guessed.
    let reader = Plugs.slot("idcard", "usb:port:1-5")
    let adapter = Plugs.raw(Plugs.unit("1-5", model: "04e2:1410"), classes: "ff/00/00")
    let profiles = Plugs.chooser.profiles
    #expect(MissingModule.find([adapter], slot: reader, profiles: profiles) == nil)
    let known = MissingModule.find(
      [adapter], slot: reader, profiles: profiles, kernel: [adapter.address: ["xr_serial"]])
    #expect(known?.module == "xr_serial")
    let none = MissingModule.find([raw], slot: printer, profiles: profiles, kernel: [raw.address: []])
    #expect(none?.evidence.hasSuffix("this kernel has no module for it") == true)
    // A driver that is there makes no such node for the device: that is no missing module.
    let bound = Plugs.raw(Plugs.unit("1-3", model: "0416:5011"), classes: "07/01/02", driver: "usblp")
    #expect(await look(UnitRegister(), printer, [bound]).fault?.code == .deviceUnmatched)
    // With the node there is nothing to miss.
    let line = Plugs.node(
      .tty(path: "/dev/ttyACM0"), on: Plugs.raw(unit, classes: "02/02/01", driver: "cdc_acm"))
    #expect(await look(UnitRegister(), evaluator, [line]).address == "tty:/dev/ttyACM0")
  }

  @Test func `a profile that is named goes by the place, and without a place by the facts`() async {
    let unit = Plugs.unit("1-6", model: "1a2c:0021")
    let raw = Plugs.raw(unit, classes: "03/01/01", driver: "usbhid")
    let keys = Plugs.node(.evdev(path: "/dev/input/event3"), on: raw)
    let bound = Plugs.slot("evaluator", "usb:port:1-6", kind: .evaluator, profile: "keys")
    #expect(await look(UnitRegister(), bound, [raw, keys]).address == "evdev:/dev/input/event3")
    let any = Plugs.slot("evaluator", "usb:any", kind: .evaluator, profile: "keys")
    #expect(await look(UnitRegister(), any, [raw, keys]).fault?.code == .deviceAbsent)
  }

  /// Readers come, go and change sockets at random, and three slots look at random: no slot has a unit of another's, a slot
  /// without a place never goes over to a unit that was there beside its own, and every refusal has a reason.
  @Test(arguments: 0..<40) func `no order of events mixes the slots up`(seed: UInt64) async {
    var random = SeededRandom(seed: seed)
    let slots = [Plugs.slot("a", "usb:any"), Plugs.slot("b", "usb:port:1-2"), Plugs.slot("c", "usb:any")]
    let register = UnitRegister()
    await register.configure(slots)
    var plugged: [String: String] = [:]
    var serving: [String: String] = [:]
    for _ in 0..<200 {
      let port = "1-\(Int.random(in: 1...4, using: &random))"
      if Bool.random(using: &random) {
        let serial = "S00\(Int.random(in: 1...5, using: &random))"
        if !plugged.values.contains(serial) { plugged[port] = serial }
      } else {
        plugged[port] = nil
      }
      // Whoever has lost its unit notices.
      for (role, serial) in serving where !plugged.values.contains(serial) {
        register.release(role)
        serving[role] = nil
      }
      let all = plugged.sorted { $0.key < $1.key }.flatMap { Plugs.reader($0.key, serial: $0.value) }
      guard let slot = slots.filter({ serving[$0.role] == nil }).randomElement(using: &random) else {
        continue
      }
      let candidates = all.filter { one in
        if case .usb(.port(let port)) = slot.port { one.unit?.port == port } else { true }
      }
      let known = register.memory(slot.role)
      let choice = await look(register, slot, candidates)
      guard case .offer(let offer, let replaced) = choice, let unit = offer.candidate.unit else {
        #expect(choice.fault != nil)
        continue
      }
      #expect(!serving.values.contains(unit.serial ?? ""))
      if let known, case .usb(.any) = slot.port, !unit.isSame(as: known.unit) {
        #expect(replaced == known.unit)
        #expect(!plugged.values.contains(known.unit.serial ?? ""))
      }
      await register.attached(slot, offer)
      serving[slot.role] = unit.serial
    }
  }
}

/// What a register keeps.
final class Kept: Sendable {
  private let memories = Mutex<[String: UnitMemory]>([:])
  func set(_ role: String, _ memory: UnitMemory?) { memories.withLock { $0[role] = memory } }
  var all: [String: UnitMemory] { memories.withLock { $0 } }
}
