import Channels
import Devices
import LocalAPI
import WireJSON

/// A USB device that is plugged in, whether or not a slot uses it: a technician's first question.
struct PluggedDevice: Sendable {
  /// The unit and everything it can be opened by.
  let unit: DeviceUnit
  let candidates: [ChannelCandidate]
  /// The roles that have a part of it open.
  let roles: [String]
  /// For each kind the profile that fits best, if one does.
  let fits: [(kind: DeviceKind, profile: String, address: ChannelAddress)]

  /// Everything that these candidates are parts of, in their order.
  /// - Parameter role: who has a part of a unit open.
  static func list(
    _ candidates: [ChannelCandidate], profiles: ProfileSet, roles: (DeviceUnit) -> [String]
  ) -> [PluggedDevice] {
    var units: [DeviceUnit] = []
    for unit in candidates.compactMap(\.unit) where !units.contains(unit) { units.append(unit) }
    return units.map { unit in
      let own = candidates.filter { $0.unit == unit }
      let fits = DeviceKind.allCases.compactMap { kind -> (DeviceKind, String, ChannelAddress)? in
        let found = own.filter(\.canBeOpened).compactMap {
          one -> (profile: DeviceProfile, weight: Int, address: ChannelAddress)? in
          guard let profile = profiles.best(for: kind, facts: one.facts, least: 2) else { return nil }
          return (profile, profile.weight(for: one.facts) ?? 0, one.address)
        }
        // Of equals the kernel's node, as a slot would have it.
        let best = found.max {
          ($0.weight, $0.address.transport == "usb" ? 0 : 1) < (
            $1.weight, $1.address.transport == "usb" ? 0 : 1
          )
        }
        return best.map { (kind, $0.profile.name, $0.address) }
      }
      return PluggedDevice(unit: unit, candidates: own, roles: roles(unit), fits: fits)
    }
  }

  var json: JSONValue {
    var value: [String: JSONValue] = [
      "port": .string(unit.port), "id": .string(unit.model), "name": .string(unit.name),
      "roles": .array(roles.map(JSONValue.string)),
      "addresses": .array(
        candidates.map { one in
          [
            "address": .string(one.address.description),
            "facts": .object(one.facts.mapValues(JSONValue.string)),
          ]
        }),
      "fits": .array(
        fits.map {
          [
            "kind": .string($0.kind.rawValue), "profile": .string($0.profile),
            "address": .string($0.address.description),
          ]
        }),
    ]
    if let serial = candidates.first?.facts["usb-serial"] { value["serial"] = .string(serial) }
    return .object(value)
  }
}
