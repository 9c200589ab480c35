/// What the search for a device's profile thought of one profile.
public struct ProfileConsideration: Sendable, Equatable {
  /// How it ended.
  public enum Verdict: Sendable, Equatable {
    /// It fits and is the most specific that does.
    case chosen(weight: Int)
    /// It fits, but another is more specific, or as specific and first by name.
    case outweighed(weight: Int)
    /// This is the first predicate that does not hold; `actual` is nil when the device does not tell that fact.
    case failed(MatchPredicate, actual: String?)
    /// It is for naming only: it has no `[match]` section, or says `automatic = no`.
    case byNameOnly
    /// It is for another kind of device.
    case otherKind(DeviceKind)

    var rank: Int {
      switch self {
      case .chosen: 0
      case .outweighed: 1
      case .failed: 2
      case .byNameOnly: 3
      case .otherKind: 4
      }
    }

    var weight: Int {
      switch self {
      case .chosen(let weight), .outweighed(let weight): weight
      case .failed, .byNameOnly, .otherKind: 0
      }
    }
  }

  /// The profile's name.
  public let profile: String
  /// The profile's file.
  public let file: String
  /// The kind that was looked for.
  public let wantedKind: DeviceKind
  /// How it ended.
  public let verdict: Verdict

  /// True for a profile that fits, chosen or not.
  public var matched: Bool { verdict.rank < 2 }

  /// One sentence: why, and what would make it match.
  public var chinese: String {
    switch verdict {
    case .chosen: "匹配，并且最具体：采用此档案。"
    case .outweighed: "匹配，但有更具体的档案。"
    case .failed(let predicate, let actual?):
      "\(predicate.fact) 为“\(actual)”，而档案要求\(predicate.wanted(chinese: true))。"
    case .failed(let predicate, nil):
      "设备未提供 \(predicate.fact)，而档案要求"
        + "\(predicate.wanted(chinese: true))。可在设备配置中用 profile = \(profile) 指定。"
    case .byNameOnly: "此档案不自动匹配，只能在设备配置中用 profile = \(profile) 指定。"
    case .otherKind(let kind): "此档案用于\(kind.chineseName)，而不是\(wantedKind.chineseName)。"
    }
  }

  /// The same in English.
  public var english: String {
    switch verdict {
    case .chosen: "It fits and is the most specific: chosen."
    case .outweighed: "It fits, but another profile is more specific."
    case .failed(let predicate, let actual?):
      "\(predicate.fact) is '\(actual)'; the profile wants "
        + predicate.wanted(chinese: false) + "."
    case .failed(let predicate, nil):
      "The device does not tell its \(predicate.fact); the profile wants "
        + predicate.wanted(chinese: false) + ". Name it in the device's configuration: profile = \(profile)."
    case .byNameOnly:
      "It is never chosen by itself. Name it in the device's configuration: profile = \(profile)."
    case .otherKind(let kind): "It is for a \(kind.englishName), not for a \(wantedKind.englishName)."
    }
  }
}
