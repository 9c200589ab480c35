/// A press of a rating key.
public struct RatingPress: Sendable {
  /// The key as the device sent it.
  public var rawKey: Int
  /// Level 5 (非常满意) … 1 (非常不满意) by the profile's map; nil for a key that the map does not know.
  public var level: Int?
  /// Address of the evaluator on its bus.
  public var address: Int
  /// Tells the device that the press is stored. Called after the commit, never before.
  public var acknowledge: @Sendable () async -> Void

  /// A press.
  public init(rawKey: Int, level: Int?, address: Int, acknowledge: @escaping @Sendable () async -> Void) {
    self.rawKey = rawKey
    self.level = level
    self.address = address
    self.acknowledge = acknowledge
  }
}

/// Keys of the clerk's caller keypad (叫号器; facts/devices.md C4a).
public enum CallAction: String, Sendable, CaseIterable {
  case next, recall, pass, park, transfer, pause, resume
}

/// A press on the caller keypad.
public struct CallPress: Sendable {
  /// What the clerk asked for; `requestRating` and `cancel` come as their own cases.
  public enum Key: Sendable, Equatable {
    /// A queue action.
    case action(CallAction)
    /// Ask the citizen for a rating.
    case requestRating
    /// Cancel what is going on.
    case cancel
    /// A key this driver does not know.
    case other(Int)
  }
  /// The key.
  public var key: Key
  /// The key as the device sent it.
  public var rawKey: Int
  /// What was keyed in before it, such as the counter to transfer to; mostly nothing.
  public var digits: [Int]
  /// Address of the keypad on its bus.
  public var address: Int
  /// Tells the keypad that the press is stored.
  public var acknowledge: @Sendable () async -> Void

  /// A press.
  public init(
    key: Key, rawKey: Int, digits: [Int] = [], address: Int,
    acknowledge: @escaping @Sendable () async -> Void
  ) {
    self.key = key
    self.rawKey = rawKey
    self.digits = digits
    self.address = address
    self.acknowledge = acknowledge
  }
}

/// An evaluator (评价器): keys for the citizen, often with a number plate and a caller keypad for the clerk.
public protocol Evaluator: AttachedDevice {
  /// The levels its keys can express, highest first.
  var scale: [Int] { get }
  /// Asks the citizen: light, voice or beep, as the model has it. Presses come as notices.
  func prompt() async throws(Fault)
  /// Shows a called number and how many wait, on models with a plate; `command.unsupported` on others.
  func show(number: String, waiting: Int) async throws(Fault)
}
