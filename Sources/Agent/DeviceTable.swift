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

  /// How a slot is to be attached.
  struct Plan: Sendable {
    let profile: DeviceProfile
    let driver: Driver
    let settings: DriverSettings
    let line: LineSettings
  }

  func bus(for address: ChannelAddress) -> (any Bus)? { buses.first { $0.supplies(address) } }

  func facts(of slot: Slot) async -> [String: String] {
    await bus(for: slot.port)?.facts(of: slot.port) ?? ["transport": slot.port.transport]
  }

  func plan(for slot: Slot) async throws(Fault) -> Plan {
    let found: DeviceProfile?
    if let name = slot.profile {
      found = profiles.named(name)
    } else {
      found = profiles.best(for: slot.kind, facts: await facts(of: slot))
    }
    guard let profile = found, let driver = drivers.first(where: { $0.name == profile.driver }) else {
      throw Fault(.deviceUnmatched, "\(slot.port)")
    }
    let values = profile.settings.merging(slot.settings) { _, own in own }
    let settings = DriverSettings(driver.settings, values: values)
    let baud = settings.integer("baud")
    return Plan(
      profile: profile, driver: driver, settings: settings,
      line: LineSettings(
        baud: baud == 0 ? 9600 : baud,
        flowControl: LineSettings.FlowControl(rawValue: settings.text("flow-control")) ?? .none))
  }

  func open(
    _ address: ChannelAddress, as kind: ChannelKind, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    guard let bus = bus(for: address) else { throw .absent("\(address)") }
    return try await bus.open(address, as: kind, line: line)
  }

  /// True when the address changed before the time was over.
  func waitForChange(at address: ChannelAddress, atMost limit: Duration) async -> Bool {
    let bus = bus(for: address)
    let time = time
    return await withTaskGroup(of: Bool.self) { group in
      if let bus {
        group.addTask {
          await bus.waitForChange(at: address)
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
        slots[slot.role] == slot && before?.profile == after?.profile && before?.settings == after?.settings
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

  func facts(_ slot: Slot) async -> [String: String] { await surroundings.facts(of: slot) }

  func explain(_ slot: Slot) async -> [ProfileConsideration] {
    surroundings.profiles.explain(kind: slot.kind, facts: await surroundings.facts(of: slot)).filter { one in
      if case .otherKind = one.verdict { false } else { true }
    }
  }

  func stop() async {
    await withTaskGroup(of: Void.self) { group in
      for session in sessions.values { group.addTask { await session.stop() } }
    }
    sessions = [:]
  }
}
