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
  /// The ways to recognise the device: all of one of them must hold. Empty: it fits nothing, and is chosen by name.
  public let match: [[MatchPredicate]]
  /// False for a profile that is never chosen by itself, only by name, because nothing tells its devices from others.
  public let isAutomatic: Bool
  /// Settings that differ from the driver's standard; checked against its specifications.
  public let settings: [String: String]
  /// The file it was read from.
  public let file: String

  /// A profile.
  public init(
    name: String, kind: DeviceKind, driver: String, maker: String, model: String, match: [[MatchPredicate]],
    isAutomatic: Bool = true, settings: [String: String], file: String
  ) {
    self.name = name
    self.kind = kind
    self.driver = driver
    self.maker = maker
    self.model = model
    self.match = match
    self.isAutomatic = isAutomatic
    self.settings = settings
    self.file = file
  }

  /// How specific it is for this device: the sum of the predicates' weights, of the most specific way that holds; nil
  /// when none does.
  public func weight(for facts: [String: String]) -> Int? {
    match.filter { way in way.allSatisfy { $0.holds(facts) } }
      .map { way in way.reduce(0) { $0 + $1.weight } }.max()
  }

  /// Whether the device fits: the kind is right and a way to recognise it holds.
  public func fits(kind: DeviceKind, facts: [String: String]) -> Bool {
    self.kind == kind && weight(for: facts) != nil
  }

  /// What speaks against it: of the way that comes nearest the first predicate that does not hold; nil when one holds or
  /// there is none.
  public func obstacle(for facts: [String: String]) -> MatchPredicate? {
    guard weight(for: facts) == nil else { return nil }
    // Nearest is the way with most weight on its side, so that a printer is told which printer it is not, and not that it
    // is no serial line.
    let ways = match.map { way in
      (
        held: way.reduce(0) { $0 + ($1.holds(facts) ? $1.weight : 0) },
        failed: way.first { !$0.holds(facts) }
      )
    }
    return ways.max { $0.held < $1.held }?.failed
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
  ///
  /// - Parameter least: the weight it has to have; 2 asks for more than the right transport.
  public func best(for kind: DeviceKind, facts: [String: String], least: Int = 0) -> DeviceProfile? {
    var best: (profile: DeviceProfile, weight: Int)?
    for profile in profiles where profile.kind == kind && profile.isAutomatic {
      guard let weight = profile.weight(for: facts), weight >= least else { continue }
      if let found = best, weight <= found.weight { continue }
      best = (profile, weight)
    }
    return best?.profile
  }

  /// What was thought of every profile: the chosen one first, then the others that fit, then those of the kind that do
  /// not, then those of other kinds.
  public func explain(kind: DeviceKind, facts: [String: String]) -> [ProfileConsideration] {
    let chosen = best(for: kind, facts: facts)?.name
    let all = profiles.map { profile in
      let verdict: ProfileConsideration.Verdict
      if profile.kind != kind {
        verdict = .otherKind(profile.kind)
      } else if let failed = profile.obstacle(for: facts) {
        verdict = .failed(failed, actual: facts[failed.fact])
      } else if let weight = profile.weight(for: facts), profile.isAutomatic {
        verdict = profile.name == chosen ? .chosen(weight: weight) : .outweighed(weight: weight)
      } else {
        verdict = .byNameOnly
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
