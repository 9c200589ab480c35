/// What is peculiar to a device model, as a file: which driver speaks to it, how it is recognised, and in which
/// settings it differs from the driver's standard (design: oddities are data).
public struct DeviceProfile: Sendable, Equatable {
  /// The profile's name, unique in a set, such as `snbc-bt-t080`.
  public let name: String
  /// The kind of device.
  public let kind: DeviceKind
  /// Name of the driver.
  public let driver: String
  /// Maker, as a technician knows it; `generic` where it stands for many.
  public let maker: String
  /// Model or family.
  public let model: String
  /// What must hold of the device, all of it. Empty: never chosen by itself, only by name.
  public let match: [MatchPredicate]
  /// Settings that differ from the driver's standard; checked against its specifications.
  public let settings: [String: String]
  /// The file it was read from.
  public let file: String

  /// A profile.
  public init(
    name: String, kind: DeviceKind, driver: String, maker: String, model: String, match: [MatchPredicate],
    settings: [String: String], file: String
  ) {
    self.name = name
    self.kind = kind
    self.driver = driver
    self.maker = maker
    self.model = model
    self.match = match
    self.settings = settings
    self.file = file
  }

  /// How specific it is: the sum of its predicates' weights.
  public var weight: Int { match.reduce(0) { $0 + $1.weight } }

  /// Whether the device fits: the kind is right and every predicate holds. False for a profile chosen by name only.
  public func fits(kind: DeviceKind, facts: [String: String]) -> Bool {
    self.kind == kind && !match.isEmpty && match.allSatisfy { $0.holds(facts) }
  }
}

/// All profiles the agent knows, by name.
public struct ProfileSet: Sendable, Equatable {
  /// In order of name.
  public let profiles: [DeviceProfile]

  /// A set; of several profiles of one name the last stays.
  public init(_ profiles: [DeviceProfile]) {
    var byName: [String: DeviceProfile] = [:]
    for profile in profiles { byName[profile.name] = profile }
    self.profiles = byName.values.sorted { $0.name < $1.name }
  }

  /// Every name, in order.
  public var names: [String] { profiles.map(\.name) }

  /// The profile of that name.
  public func named(_ name: String) -> DeviceProfile? { profiles.first { $0.name == name } }

  /// The most specific profile that fits; of equally specific ones the first by name. Nil when none fits.
  public func best(for kind: DeviceKind, facts: [String: String]) -> DeviceProfile? {
    var best: DeviceProfile?
    for profile in profiles where profile.fits(kind: kind, facts: facts) {
      if let found = best, profile.weight <= found.weight { continue }
      best = profile
    }
    return best
  }

  /// What was thought of every profile: the chosen one first, then the others that fit, then those of the kind that do
  /// not, then those of other kinds.
  public func explain(kind: DeviceKind, facts: [String: String]) -> [ProfileConsideration] {
    let chosen = best(for: kind, facts: facts)?.name
    let all = profiles.map { profile in
      let verdict: ProfileConsideration.Verdict
      if profile.kind != kind {
        verdict = .otherKind(profile.kind)
      } else if let failed = profile.match.first(where: { !$0.holds(facts) }) {
        verdict = .failed(failed, actual: facts[failed.fact])
      } else if profile.match.isEmpty {
        verdict = .byNameOnly
      } else {
        verdict =
          profile.name == chosen ? .chosen(weight: profile.weight) : .outweighed(weight: profile.weight)
      }
      return ProfileConsideration(
        profile: profile.name, file: profile.file, wantedKind: kind, verdict: verdict)
    }
    return all.enumerated().sorted { one, other in
      let (first, second) = (one.element.verdict, other.element.verdict)
      return (first.rank, -first.weight, one.offset) < (second.rank, -second.weight, other.offset)
    }.map(\.element)
  }
}
