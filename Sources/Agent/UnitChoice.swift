import Channels
import Devices

/// What a slot could be served by: a way to open a device, with the profile that fits it best.
struct Offer: Sendable, Equatable {
  let candidate: ChannelCandidate
  let profile: DeviceProfile
  let driver: Driver
  let weight: Int

  static func == (one: Offer, other: Offer) -> Bool {
    one.candidate == other.candidate && one.profile == other.profile && one.weight == other.weight
  }

  /// What no two slots may have at a time: the interface of a unit, whichever way it is opened.
  var claim: String {
    guard let unit = candidate.unit else { return "\(candidate.address)" }
    return unit.place + "#" + (candidate.facts["usb-interface"] ?? "")
  }
}

/// The unit that serves a slot, kept over replugging and restarts, so that no other takes its place unnoticed.
struct UnitMemory: Sendable, Equatable {
  /// The slot's kind and port when the unit was taken: another configuration begins anew.
  var kind: DeviceKind
  var port: ChannelAddress
  /// The unit.
  var unit: DeviceUnit
  /// The profile that fitted it.
  var profile: String
  /// Other units that would have fitted while this one was there. They did not come in its place.
  var bystanders: [DeviceUnit] = []
}

/// What was decided for a slot.
enum UnitChoice: Sendable, Equatable {
  /// This one; `replaced` is the unit that served the slot before, where it is another.
  case offer(Offer, replaced: DeviceUnit?)
  /// None, and why.
  case none(Fault)
}

/// Which of the devices that are plugged in serves a slot. No state, no time: everything it goes by is handed in.
struct UnitChooser: Sendable {
  let profiles: ProfileSet
  let drivers: [Driver]

  /// What a slot is decided by.
  struct Situation: Sendable {
    let slot: Slot
    /// Everything at the slot's address.
    let candidates: [ChannelCandidate]
    /// The unit that served it.
    let memory: UnitMemory?
    /// What other slots have, by ``Offer/claim``: the role.
    let claims: [String: String]
    /// Whether a unit is another slot's by its place, its number or its memory: the role.
    let owner: @Sendable (DeviceUnit) -> String?
    /// True when the slot's own unit has been missed before, so that what is there now and was not then came in its place.
    let isMissed: Bool
  }

  /// Decides.
  /// - Returns: the decision, and the units beside the slot's own from now on.
  func choose(_ situation: Situation) -> (choice: UnitChoice, bystanders: [DeviceUnit]) {
    let slot = situation.slot
    guard !situation.candidates.isEmpty else {
      return (.none(Fault(.deviceAbsent, "nothing at \(slot.port)")), [])
    }
    let groups = grouped(situation.candidates)
    var free: [(unit: DeviceUnit?, offer: Offer)] = []
    var taken: [String] = []
    for group in groups {
      let offers = self.offers(group, slot)
      guard !offers.isEmpty else { continue }
      let owner = group.first?.unit.flatMap(situation.owner)
      if let owner {
        taken.append("\(Self.name(group[0])) belongs to '\(owner)'")
      } else if let offer = offers.first(where: { situation.claims[$0.claim] == nil }) {
        free.append((group.first?.unit, offer))
      } else if let role = situation.claims[offers[0].claim] {
        taken.append("\(Self.name(group[0])) is used by '\(role)'")
      }
    }
    guard case .usb(.any) = slot.port else {
      return (bound(situation, free: free.map(\.offer), taken: taken), [])
    }
    return any(situation, free: free, taken: taken, present: groups.compactMap { $0.first?.unit })
  }

  // MARK: A slot that names its device

  private func bound(_ situation: Situation, free: [Offer], taken: [String]) -> UnitChoice {
    if free.count > 1 { return .none(ambiguous(free)) }
    guard let offer = free.first else { return .none(refusal(situation, taken: taken)) }
    var replaced: DeviceUnit?
    if let before = situation.memory?.unit, let unit = offer.candidate.unit, !unit.isSame(as: before) {
      replaced = before
    }
    return .offer(offer, replaced: replaced)
  }

  // MARK: A slot that takes whatever fits

  private func any(
    _ situation: Situation, free: [(unit: DeviceUnit?, offer: Offer)], taken: [String], present: [DeviceUnit]
  ) -> (UnitChoice, [DeviceUnit]) {
    guard let memory = situation.memory else {
      if free.count > 1 { return (.none(ambiguous(free.map(\.offer))), []) }
      guard let only = free.first else { return (.none(refusal(situation, taken: taken)), []) }
      return (.offer(only.offer, replaced: nil), [])
    }
    let own = free.first { $0.unit?.isSame(as: memory.unit) == true }
    let others = free.filter { $0.unit?.isSame(as: memory.unit) != true }
    // One that was pulled out and put in again afterwards is no bystander any more.
    var bystanders = memory.bystanders.filter { one in present.contains { $0.isSame(as: one) } }
    let isThere = present.contains { $0.isSame(as: memory.unit) }
    if isThere || !situation.isMissed {
      for unit in others.compactMap(\.unit) where !bystanders.contains(where: { $0.isSame(as: unit) }) {
        bystanders.append(unit)
      }
    }
    if let own { return (.offer(own.offer, replaced: nil), bystanders) }
    // It is there and cannot be used: what is wrong with it is to be told, and nothing else to be taken.
    if isThere {
      let itself = situation.candidates.filter { $0.unit?.isSame(as: memory.unit) == true }
      return (.none(refusal(situation, taken: taken, of: itself)), bystanders)
    }
    let fresh = others.filter { other in
      !bystanders.contains { one in other.unit.map { one.isSame(as: $0) } ?? false }
    }
    if fresh.count > 1 { return (.none(ambiguous(fresh.map(\.offer))), bystanders) }
    if let only = fresh.first, only.offer.profile.name == memory.profile {
      return (.offer(only.offer, replaced: memory.unit), bystanders)
    }
    if let other = (fresh.first ?? others.first)?.offer {
      let what = "\(Self.name(other.candidate)) (profile \(other.profile.name)) is there instead of "
      return (
        .none(Fault(.deviceOther, what + "\(memory.unit.name) \(memory.unit.serial ?? memory.unit.port)")),
        bystanders
      )
    }
    return (.none(refusal(situation, taken: taken)), bystanders)
  }

  // MARK: Offers

  private func grouped(_ candidates: [ChannelCandidate]) -> [[ChannelCandidate]] {
    var groups: [(key: String, candidates: [ChannelCandidate])] = []
    for candidate in candidates {
      let key = candidate.unit?.place ?? "\(candidate.address)"
      if let index = groups.firstIndex(where: { $0.key == key }) {
        groups[index].candidates.append(candidate)
      } else {
        groups.append((key, [candidate]))
      }
    }
    return groups.map(\.candidates)
  }

  /// What a unit offers a slot, the best first: the most specific profile; among equals a node of the kernel's driver
  /// before the bare interface, whose driver would have to be sent away.
  private func offers(_ candidates: [ChannelCandidate], _ slot: Slot) -> [Offer] {
    candidates.compactMap { offer($0, slot) }.enumerated().sorted { one, other in
      let isRaw = (
        one.element.candidate.address.transport == "usb", other.element.candidate.address.transport == "usb"
      )
      return (-one.element.weight, isRaw.0 ? 1 : 0, one.offset) < (
        -other.element.weight, isRaw.1 ? 1 : 0, other.offset
      )
    }.map(\.element)
  }

  private func offer(_ candidate: ChannelCandidate, _ slot: Slot) -> Offer? {
    guard candidate.canBeOpened else { return nil }
    let profile: DeviceProfile?
    if let name = slot.profile {
      profile = profiles.named(name)
    } else {
      // That a device is a serial adapter does not make it the one a slot without a place is for.
      profile = profiles.best(for: slot.kind, facts: candidate.facts, least: slot.port == .usb(.any) ? 2 : 0)
    }
    guard let profile, let driver = drivers.first(where: { $0.name == profile.driver }),
      driver.channel.transports.contains(candidate.address.transport)
    else { return nil }
    let weight = profile.weight(for: candidate.facts)
    switch slot.port {
    // Who names place and profile knows better than the facts; who names no place is held to them.
    case .usb(.any): if weight == nil { return nil }
    case .usb:
      if weight == nil, !profile.match.isEmpty, !transports(profile).contains(candidate.address.transport) {
        return nil
      }
    default: break
    }
    return Offer(candidate: candidate, profile: profile, driver: driver, weight: weight ?? 0)
  }

  private func transports(_ profile: DeviceProfile) -> [String] {
    profile.match.flatMap { $0 }.filter { $0.fact == "transport" }.flatMap(\.patterns)
  }

  // MARK: Refusals

  private func ambiguous(_ offers: [Offer]) -> Fault {
    let names = offers.map { "\(Self.name($0.candidate))" }
    return Fault(.deviceAmbiguous, "\(names.count) units fit: " + names.joined(separator: "; "))
  }

  private func refusal(
    _ situation: Situation, taken: [String], of itself: [ChannelCandidate]? = nil
  ) -> Fault {
    let candidates = itself ?? situation.candidates
    if let missing = MissingModule.find(candidates, slot: situation.slot, profiles: profiles) {
      return Fault(.driverMissing, missing.evidence)
    }
    if !taken.isEmpty { return Fault(.deviceTaken, taken.joined(separator: "; ")) }
    let isAny = situation.slot.port == .usb(.any)
    guard isAny, itself == nil else {
      let names = Set(candidates.map { Self.name($0) + ($0.canBeOpened ? "" : " (it shows no interface)") })
        .sorted()
      return Fault(.deviceUnmatched, "\(situation.slot.port): " + names.joined(separator: "; "))
    }
    return Fault(
      .deviceAbsent, "none of the devices on USB is a \(situation.slot.kind.englishName) that is known")
  }

  /// `Xprinter POS-58 [0483:070b] in 1-1.2, serial A0042`.
  static func name(_ candidate: ChannelCandidate) -> String {
    guard let unit = candidate.unit else { return "\(candidate.address)" }
    return "\(unit.name.isEmpty ? "" : unit.name + " ")[\(unit.model)] in \(unit.port)"
      + (unit.serial.map { ", serial \($0)" } ?? "")
  }
}

extension ChannelCandidate {
  /// False for a USB device that shows nothing to open.
  var canBeOpened: Bool { if case .usb = address { false } else { true } }
}
