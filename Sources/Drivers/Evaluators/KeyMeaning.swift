internal import Devices

/// What a key of a keypad stands for, as a profile writes it.
enum KeyMeaning: Equatable {
  /// A level, 5 (非常满意) … 1 (非常不满意).
  case level(Int)
  /// A key of the clerk's.
  case call(CallPress.Key)

  /// Every word there is for one.
  static let words =
    (1...5).map(String.init) + CallAction.allCases.map(\.rawValue) + ["request-rating", "cancel", "other"]

  /// Reads one of ``words``.
  init?(_ word: String) {
    if let level = Int(word), (1...5).contains(level) {
      self = .level(level)
    } else if let action = CallAction(rawValue: word) {
      self = .call(.action(action))
    } else {
      switch word {
      case "request-rating": self = .call(.requestRating)
      case "cancel": self = .call(.cancel)
      case "other": self = .call(.other(0))
      default: return nil
      }
    }
  }

  /// The notice of a press; there is nobody to acknowledge it to, a keypad sends each press once.
  func notice(rawKey: Int) -> DeviceNotice {
    switch self {
    case .level(let level): .rating(RatingPress(rawKey: rawKey, level: level, address: 0, acknowledge: {}))
    case .call(.other): .call(CallPress(key: .other(rawKey), rawKey: rawKey, address: 0, acknowledge: {}))
    case .call(let key): .call(CallPress(key: key, rawKey: rawKey, address: 0, acknowledge: {}))
    }
  }

  /// The levels that a list of meanings can express, highest first.
  static func scale(_ meanings: some Sequence<String>) -> [Int] {
    Set(
      meanings.compactMap { word in
        if case .level(let level) = KeyMeaning(word) { level } else { nil }
      }
    ).sorted(by: >)
  }
}

/// What a keypad has heard so far, for its check.
struct KeyCount: Sendable {
  /// Presses of keys the profile knows.
  var known = 0
  /// Presses of keys it does not know.
  var unknown = 0
  /// The last of those.
  var lastUnknown: Int?
  /// Presses nobody took in time.
  var lost = 0
  /// Reports that were not of the device's own form.
  var malformed = 0

  /// The counts as a report's details.
  var details: [String: String] {
    var details = ["keysHeard": String(known), "unknownKeys": String(unknown)]
    if let lastUnknown { details["lastUnknownKey"] = String(lastUnknown) }
    if lost > 0 { details["lostPresses"] = String(lost) }
    if malformed > 0 { details["malformedReports"] = String(malformed) }
    return details
  }
}
