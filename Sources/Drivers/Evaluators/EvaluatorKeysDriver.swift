internal import Channels
public import Devices

extension Driver {
  /// Keypads that are keyboards to the system and type digits (facts/devices.md C4f), held so that nobody else hears them.
  public static let evaluatorKeys = Driver(
    name: "evaluator-keys", kind: .evaluator, channel: .inputEvents,
    settings: [
      SettingSpec(
        "keys", .keys(meanings: KeyMeaning.words), standard: "",
        "Which key means what, key:meaning: a level from 5 to 1, a key of the clerk's, or other. What is not listed is ignored."
      )
    ]
  ) { channel, settings, _ throws(Fault) in
    guard case .inputEvents(let events) = channel else {
      throw Fault(.deviceUnmatched, "evaluator-keys needs input events")
    }
    return KeypadEvaluator.attach(events, settings)
  }
}
