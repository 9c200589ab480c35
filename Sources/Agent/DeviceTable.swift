import Channels
import Devices
import LocalAPI
import Posix
import Synchronization

/// What a device session is given by the agent.
struct DeviceSurroundings: Sendable {
  let time: any Timekeeper
  let buses: [any Bus]
  let profiles: ProfileSet
  let drivers: [Driver]
  let driverContext: DriverContext
  let language: Language
  let log: Log
  let tell: @Sendable (SessionEvent) async -> Void

  /// Which slot has which unit.
  let register: UnitRegister

  /// How a slot is to be attached.
  struct Plan: Sendable {
    let offer: Offer
    /// The unit that served the slot before, where it is another.
    let replaced: DeviceUnit?
    let settings: DriverSettings
    let line: LineSettings
  }

  func bus(for address: ChannelAddress) -> (any Bus)? { buses.first { $0.supplies(address) } }

  /// Everything at a slot's address. An address that is named in full is worth an attempt also while nothing is known to be
  /// there: the attempt tells what is wrong.
  func candidates(of slot: Slot) async -> [ChannelCandidate] {
    let found = await bus(for: slot.port)?.candidates(at: slot.port) ?? []
    switch slot.port {
    case .usb: return found
    default:
      return found.isEmpty
        ? [ChannelCandidate(address: slot.port, facts: ["transport": slot.port.transport])] : found
    }
  }

  /// What the slot is to be served by.
  /// - Parameter claiming: keeps it for the slot, so that no other takes it.
  func plan(
    for slot: Slot, among candidates: [ChannelCandidate], claiming: Bool
  ) async throws(Fault) -> Plan {
    let chooser = UnitChooser(profiles: profiles, drivers: drivers)
    switch await register.choose(slot, among: candidates, by: chooser, claiming: claiming) {
    case .none(let fault): throw await naming(fault, slot, candidates)
    case .offer(let offer, let replaced):
      let values = offer.profile.settings.merging(slot.settings) { _, own in own }
      let settings = DriverSettings(offer.driver.settings, values: values)
      return Plan(
        offer: offer, replaced: replaced, settings: settings,
        line: settings.line)
    }
  }

  /// A device that nothing fits may only lack its kernel module: the kernel knows which.
  private func naming(_ fault: Fault, _ slot: Slot, _ candidates: [ChannelCandidate]) async -> Fault {
    guard fault.code == .driverMissing || fault.code == .deviceUnmatched else { return fault }
    var kernel: [ChannelAddress: [String]] = [:]
    for candidate in candidates where candidate.address.transport == "usb" && candidate.canBeOpened {
      kernel[candidate.address] = await bus(for: candidate.address)?.modules(for: candidate)
    }
    let missing = MissingModule.find(candidates, slot: slot, profiles: profiles, kernel: kernel)
    return missing.map { Fault(.driverMissing, $0.evidence) } ?? fault
  }

  /// The same without keeping anything.
  func plan(for slot: Slot) async throws(Fault) -> Plan {
    try await plan(for: slot, among: await candidates(of: slot), claiming: false)
  }

  func open(
    _ address: ChannelAddress, as kind: ChannelKind, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    guard let bus = bus(for: address) else { throw .absent("\(address)") }
    return try await bus.open(address, as: kind, line: line)
  }

  /// True when the address changed, from what was seen there, before the time was over.
  func waitForChange(
    at address: ChannelAddress, from seen: [ChannelCandidate], atMost limit: Duration
  ) async -> Bool {
    let bus = bus(for: address)
    let time = time
    return await withTaskGroup(of: Bool.self) { group in
      if let bus {
        group.addTask {
          await bus.waitForChange(at: address, from: seen)
          return !Task.isCancelled
        }
      }
      group.addTask {
        _ = await time.sleep(for: limit)
        return false
      }
      let changed = await group.next() ?? false
      group.cancelAll()
      return changed
    }
  }
}

/// The devices of this position, by role.
actor DeviceTable {
  private var sessions: [String: DeviceSession] = [:]
  private var order: [String] = []
  private var slots: [String: Slot] = [:]
  private var surroundings: DeviceSurroundings
  /// One configuration at a time: a second that came in between would make a second session for a device.
  private let applying = Turnstile(limit: 100)

  init(_ surroundings: DeviceSurroundings) { self.surroundings = surroundings }

  /// Brings the table to these slots. Devices whose slot and profile did not change are not touched.
  /// - Returns: the roles that were added, removed or attached anew.
  @discardableResult
  func apply(_ newSlots: [Slot], surroundings new: DeviceSurroundings? = nil) async -> [String] {
    guard (try? await applying.enter()) != nil else { return [] }
    let changed = await change(to: newSlots, surroundings: new)
    await applying.leave()
    return changed
  }

  private func change(to newSlots: [Slot], surroundings new: DeviceSurroundings?) async -> [String] {
    let old = surroundings
    if let new { surroundings = new }
    await surroundings.register.configure(newSlots)
    var changed: [String] = []
    for role in order where !newSlots.contains(where: { $0.role == role }) {
      await sessions.removeValue(forKey: role)?.stop()
      slots[role] = nil
      changed.append(role)
    }
    for slot in newSlots {
      let before = try? await old.plan(for: slot)
      let after = try? await surroundings.plan(for: slot)
      let same =
        slots[slot.role] == slot && before?.offer.profile == after?.offer.profile
        && before?.settings == after?.settings
      if same, sessions[slot.role] != nil { continue }
      let locked = await sessions[slot.role]?.current.locked ?? false
      await sessions.removeValue(forKey: slot.role)?.stop()
      let session = DeviceSession(slot: slot, locked: locked, surroundings: surroundings)
      sessions[slot.role] = session
      slots[slot.role] = slot
      changed.append(slot.role)
      await session.start()
    }
    order = newSlots.map(\.role)
    return changed
  }

  func session(_ role: String) throws(Problem) -> DeviceSession {
    guard let session = sessions[role] else {
      throw Problem(
        .notFound, "no device has the role '\(role)'; there are: \(order.joined(separator: ", "))")
    }
    return session
  }

  func slot(_ role: String) -> Slot? { slots[role] }

  func views() async -> [DeviceView] {
    var views: [DeviceView] = []
    for role in order { if let session = sessions[role] { views.append(await session.current) } }
    return views
  }

  /// The machine has been suspended: whatever was open is opened anew.
  func resumed() async {
    await withTaskGroup(of: Void.self) { group in
      for session in sessions.values { group.addTask { await session.reopen() } }
    }
  }

  /// Forgets which unit served a slot: whatever fits may take its place.
  func forget(_ slot: Slot) async {
    await surroundings.register.forget(slot.role)
    await sessions[slot.role]?.lookAgain()
  }

  /// Every USB device that is plugged in, whether or not a slot uses it.
  func plugged() async -> [PluggedDevice] {
    let everything = ChannelAddress.usb(.any)
    let candidates = await surroundings.bus(for: everything)?.candidates(at: everything) ?? []
    let register = surroundings.register
    return PluggedDevice.list(candidates, profiles: surroundings.profiles) { register.roles(of: $0) }
  }

  /// What was thought of every way to open what is at a slot's address, the one that is or would be taken first.
  func explain(_ slot: Slot) async -> SlotExplanation {
    await SlotExplanation.make(slot, surroundings)
  }

  func stop() async {
    await withTaskGroup(of: Void.self) { group in
      for session in sessions.values { group.addTask { await session.stop() } }
    }
    sessions = [:]
  }
}
