import Channels
import Devices
import LocalAPI
import WireJSON

extension SlotExplanation {
  /// The explanation as the API shows it: of the best way in full, and of each way by itself.
  func json(_ view: DeviceView, _ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "role": .string(view.slot.role), "port": .string(view.slot.port.description),
      "facts": .object((ways.first?.candidate.facts ?? [:]).mapValues(JSONValue.string)),
      "considered": .array((ways.first?.considered ?? []).map { $0.json(language) }),
      "candidates": .array(ways.map { $0.json(chosen: chosen, language) }),
    ]
    if let profile = chosen?.profile.name ?? view.profile { value["chosen"] = .string(profile) }
    if let refusal { value["refusal"] = refusal.json(language) }
    value["advice"] = .string(
      view.report.reason?.code.advice.sentence(language)
        ?? language.choose("设备工作正常。", "The device is in service."))
    return .object(value)
  }
}

extension SlotExplanation.Way {
  func json(chosen: Offer?, _ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "address": .string(candidate.address.description),
      "facts": .object(candidate.facts.mapValues(JSONValue.string)),
      "considered": .array(considered.map { $0.json(language) }),
      "rivals": .array(rivals.map { $0.json(language) }),
    ]
    if candidate.unit != nil { value["unit"] = .string(UnitChooser.name(candidate)) }
    if let chosen, chosen.candidate == candidate { value["chosen"] = .string(chosen.profile.name) }
    return .object(value)
  }
}

extension ProfileConsideration {
  func json(_ language: Language) -> JSONValue {
    [
      "profile": .string(profile), "matches": .bool(matched),
      "sentence": .string(language.choose(chinese, english)),
    ]
  }
}

extension Rival {
  func json(_ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "name": .string(name), "device": .string(device),
      "sentence": .string(language.choose(chinese, english)),
    ]
    if let process { value["process"] = .integer(Int64(process)) }
    return .object(value)
  }
}
