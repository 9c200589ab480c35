import Channels
import Codecs
import Console
import Devices
import LinuxChannels
import LocalAPI
import Posix
import WireJSON

/// `halld devices`: what is plugged in, without the service.
enum DevicesVerb {
  static let options = [
    Option("json", zh: "每台设备一行 JSON", en: "one line of JSON a device"),
    Option("follow", zh: "有变化时再次列出", en: "again whenever something changes"),
    Option("profiles", value: "DIR", zh: "设备档案目录", en: "directory of profiles"),
  ]

  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: options)
    if let word = arguments.words.first { throw UsageError(.superfluousWord(word)) }
    let profiles: ProfileSet
    do throws(ConfErrors) {
      let directories = arguments["profiles"].map { [$0] } ?? ConfigurationFiles.shippedProfiles
      let (set, errors) = try ConfigurationFiles.profiles(in: directories)
      if !errors.isEmpty { throw ConfErrors(errors) }
      profiles = set
    } catch {
      return ConfigurationFiles.refuse(error, Halld.language)
    }
    let json = arguments.has("json")
    guard arguments.has("follow") else {
      show(await LinuxBus().candidates(at: .usb(.any)), profiles, json: json)
      return ExitCode.ok
    }
    let following = Task { await follow(profiles, json: json) }
    for await _ in Signals.stream([Signals.terminate, Signals.interrupt]) { break }
    following.cancel()
    return ExitCode.ok
  }

  private static func follow(_ profiles: ProfileSet, json: Bool) async {
    let bus = LinuxBus()
    let everything = ChannelAddress.usb(.any)
    while !Task.isCancelled {
      let candidates = await bus.candidates(at: everything)
      show(candidates, profiles, json: json)
      await bus.waitForChange(at: everything, from: candidates)
    }
  }

  private static func show(_ candidates: [ChannelCandidate], _ profiles: ProfileSet, json: Bool) {
    if json {
      let all = candidates.map { candidate -> JSONValue in
        var value: [String: JSONValue] = [
          "address": .string(candidate.address.description),
          "facts": .object(candidate.facts.mapValues(JSONValue.string)),
          "fits": .object(fits(candidate, profiles).mapValues(JSONValue.string)),
        ]
        if let unit = candidate.unit { value["place"] = .string(unit.place) }
        return .object(value)
      }
      let value: JSONValue = ["candidates": .array(all)]
      let bytes = (try? JSON.encode(value)) ?? []
      StandardStreams.writeOut(String(decoding: bytes, as: UTF8.self) + "\n")
      return
    }
    var text = ""
    for candidate in candidates {
      text += candidate.address.description + "\n"
      for (name, fact) in candidate.facts.sorted(by: { $0.key < $1.key }) {
        text += "    \(name) = \(fact)\n"
      }
      for (kind, profile) in fits(candidate, profiles).sorted(by: { $0.key < $1.key }) {
        text += "  ✓ \(kind): \(profile)\n"
      }
    }
    StandardStreams.writeOut(
      text.isEmpty ? Halld.language.choose("没有 USB 设备。\n", "There is no USB device.\n") : text)
  }

  /// For each kind the profile that fits best and says more than the transport.
  private static func fits(_ candidate: ChannelCandidate, _ profiles: ProfileSet) -> [String: String] {
    var fits: [String: String] = [:]
    for kind in DeviceKind.allCases {
      fits[kind.rawValue] = profiles.best(for: kind, facts: candidate.facts, least: 2)?.name
    }
    return fits
  }
}
