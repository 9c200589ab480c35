import Devices
import LocalAPI
import Outbox
import Store
import WireJSON

/// A caller-keypad's presses, told to the intake as they are.
struct CallDesk: Sendable {
  let facilities: Facilities

  func press(_ press: CallPress, view: DeviceView, visit: Visit?) async {
    var data = facilities.deviceData(view, request: nil, cases: nil)
    switch press.key {
    case .action(let action): data["action"] = .string(action.rawValue)
    case .requestRating, .cancel, .other:
      // Keys that ask the agent itself are not the queue system's: the counter application hears of them.
      await facilities.hub.publish(
        "keypad", ["role": .string(view.slot.role), "key": .string(press.key.word)])
      await press.acknowledge()
      return
    }
    let draft = facilities.draft(
      "call", source: .device(role: view.slot.role), visit: visit?.id, cases: [],
      simulated: view.slot.simulated,
      data: .object(data))
    let outbox = facilities.outbox
    do throws(Problem) {
      try await facilities.commit { database throws(StoreError) in
        _ = try outbox.insert([draft].compactMap { $0 }, in: database)
      }
      await facilities.hub.publish(
        "call", ["role": .string(view.slot.role), "action": data["action"] ?? .null])
      await press.acknowledge()
    } catch {
      facilities.log(.error, view.slot.role, "a keypad press could not be stored: \(error.detail)")
    }
  }
}

extension CallPress.Key {
  fileprivate var word: String {
    switch self {
    case .action(let action): action.rawValue
    case .requestRating: "requestRating"
    case .cancel: "cancel"
    case .other(let raw): "key\(raw)"
    }
  }
}
