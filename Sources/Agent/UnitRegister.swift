import Channels
import Devices
import Synchronization

/// Which slot has which unit: what is open now, and what served each slot before. One for the whole service, so that two
/// slots that look at the same moment cannot both take the same device.
final class UnitRegister: Sendable {
  private struct State {
    var slots: [Slot] = []
    var claims: [String: String] = [:]
    var memories: [String: UnitMemory] = [:]
    var missed: Set<String> = []
  }

  private let state: Mutex<State>
  private let store: @Sendable (_ role: String, UnitMemory?) async -> Void

  /// A register.
  /// - Parameters:
  ///   - memories: what an earlier run kept, by role.
  ///   - store: keeps what serves a slot from now on; nil: forgets it.
  init(
    memories: [String: UnitMemory] = [:],
    store: @escaping @Sendable (_ role: String, UnitMemory?) async -> Void = { _, _ in }
  ) {
    // What is missing at the start may have been replaced while the service did not run.
    state = Mutex(State(memories: memories, missed: Set(memories.keys)))
    self.store = store
  }

  /// Takes over the configuration's slots; what a slot had under another kind or port is forgotten.
  func configure(_ slots: [Slot]) async {
    let stale = state.withLock { state -> [String] in
      state.slots = slots
      let stale = state.memories.filter { role, memory in
        !slots.contains { $0.role == role && $0.kind == memory.kind && $0.port == memory.port }
      }.map(\.key)
      for role in stale { state.memories[role] = nil }
      return stale
    }
    for role in stale { await store(role, nil) }
  }

  /// What served a slot.
  func memory(_ role: String) -> UnitMemory? { state.withLock { $0.memories[role] } }

  /// Forgets what served a slot: whatever fits may take its place.
  func forget(_ role: String) async {
    state.withLock { $0.memories[role] = nil }
    await store(role, nil)
  }

  /// Decides, and with `claiming` holds what was chosen for the slot until ``release(_:)``.
  func choose(
    _ slot: Slot, among candidates: [ChannelCandidate], by chooser: UnitChooser, claiming: Bool
  ) async -> UnitChoice {
    let (choice, changed) = state.withLock { state -> (UnitChoice, UnitMemory?) in
      let role = slot.role
      let others = state.slots.filter { $0.role != role && $0.kind == slot.kind }
      let memories = state.memories
      let situation = UnitChooser.Situation(
        slot: slot, candidates: candidates, memory: memories[role],
        claims: state.claims.filter { $0.value != role },
        owner: { unit in Self.owner(of: unit, slot: slot, others: others, memories: memories) },
        isMissed: state.missed.contains(role))
      let (choice, bystanders) = chooser.choose(situation)
      guard claiming else { return (choice, nil) }
      state.claims = state.claims.filter { $0.value != role }
      var changed: UnitMemory?
      if var memory = state.memories[role], memory.bystanders != bystanders {
        memory.bystanders = bystanders
        state.memories[role] = memory
        changed = memory
      }
      switch choice {
      case .offer(let offer, _): state.claims[offer.claim] = role
      case .none: if state.memories[role] != nil { state.missed.insert(role) }
      }
      return (choice, changed)
    }
    if let changed { await store(slot.role, changed) }
    return choice
  }

  /// The device answered: from now on it is this slot's.
  func attached(_ slot: Slot, _ offer: Offer) async {
    guard let unit = offer.candidate.unit else { return }
    let changed = state.withLock { state -> UnitMemory? in
      state.missed.remove(slot.role)
      let old = state.memories[slot.role]
      let new = UnitMemory(
        kind: slot.kind, port: slot.port, unit: unit, profile: offer.profile.name,
        bystanders: old?.bystanders.filter { !$0.isSame(as: unit) } ?? [])
      guard new != old else { return nil }
      state.memories[slot.role] = new
      return new
    }
    if let changed { await store(slot.role, changed) }
  }

  /// The slot has nothing open any more.
  func release(_ role: String) { state.withLock { $0.claims = $0.claims.filter { $0.value != role } } }

  /// Whether somebody but this slot has a part of the unit open.
  func isShared(_ unit: DeviceUnit, besides role: String) -> Bool {
    state.withLock { state in
      state.claims.contains { $0.value != role && $0.key.hasPrefix(unit.place + "#") }
    }
  }

  /// The slots that have a part of a unit open.
  func roles(of unit: DeviceUnit) -> [String] {
    state.withLock { state in
      Set(state.claims.filter { $0.key.hasPrefix(unit.place + "#") }.values).sorted()
    }
  }

  /// The other slot of the same kind that a unit is meant for. A slot that names a place or a number is not asked for its
  /// memory: the place decides.
  private static func owner(
    of unit: DeviceUnit, slot: Slot, others: [Slot], memories: [String: UnitMemory]
  ) -> String? {
    guard case .usb(.any) = slot.port else { return nil }
    return others.first { other in
      switch other.port {
      case .usb(.port(let port)): unit.port == port
      case .usb(.serial(let serial)): unit.serial == serial
      default: memories[other.role].map { $0.unit.isSame(as: unit) } ?? false
      }
    }?.role
  }
}
