import Channels
import Devices

/// Why a slot is served by what serves it, or by nothing.
struct SlotExplanation: Sendable {
  /// One way to open what is there.
  struct Way: Sendable {
    let candidate: ChannelCandidate
    /// Every profile of the slot's kind, the best first.
    let considered: [ProfileConsideration]
    /// Who has it, or is known to take such devices.
    let rivals: [Rival]
  }

  /// The best way first.
  let ways: [Way]
  /// The way that is, or would be taken; nil when none is.
  let chosen: Offer?
  /// Why none is.
  let refusal: Fault?

  static func make(_ slot: Slot, _ surroundings: DeviceSurroundings) async -> SlotExplanation {
    let candidates = await surroundings.candidates(of: slot)
    var chosen: Offer?
    var refusal: Fault?
    do throws(Fault) {
      chosen = try await surroundings.plan(for: slot, among: candidates, claiming: false).offer
    } catch {
      refusal = error
    }
    var ways: [Way] = []
    for candidate in candidates {
      let considered = surroundings.profiles.explain(kind: slot.kind, facts: candidate.facts).filter { one in
        if case .otherKind = one.verdict { false } else { true }
      }
      let rivals = await surroundings.bus(for: candidate.address)?.rivals(of: candidate) ?? []
      ways.append(Way(candidate: candidate, considered: considered, rivals: rivals))
    }
    let order = ways.enumerated().sorted { one, other in
      func rank(_ way: Way) -> Int {
        way.candidate == chosen?.candidate ? 0 : way.considered.first?.matched == true ? 1 : 2
      }
      return (rank(one.element), one.offset) < (rank(other.element), other.offset)
    }
    return SlotExplanation(ways: order.map(\.element), chosen: chosen, refusal: refusal)
  }
}
