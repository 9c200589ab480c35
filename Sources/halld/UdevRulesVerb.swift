import Agent
import Channels
import Codecs
import Console
import Devices
import Drivers
import Posix

/// `halld udev-rules`
enum UdevRulesVerb {
  static let options = [
    Option(
      "config", value: "FILE", zh: "另为该配置中绑定到接口或序列号的设备生成规则",
      en: "also rules for the slots of this configuration that name a port or a serial number")
  ]

  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: options)
    if let word = arguments.words.first { throw UsageError(.superfluousWord(word)) }
    do throws(ConfErrors) {
      guard let path = arguments["config"] else {
        let (profiles, errors) = try ConfigurationFiles.profiles(in: ConfigurationFiles.shippedProfiles)
        if !errors.isEmpty { throw ConfErrors(errors) }
        StandardStreams.writeOut(UdevRules.text(profiles))
        return ExitCode.ok
      }
      let (configuration, profiles) = try ConfigurationFiles.read(path)
      StandardStreams.writeOut(UdevRules.text(profiles, more: rules(configuration, profiles)))
      return ExitCode.ok
    } catch {
      return ConfigurationFiles.refuse(error, Halld.language)
    }
  }

  /// A slot that names its device may have any profile that its kind has, or the one it names.
  private static func rules(_ configuration: Configuration, _ profiles: ProfileSet) -> [String] {
    configuration.slots.compactMap { slot in
      guard case .usb(let place) = slot.port else { return nil }
      let drivers = Catalog.drivers.filter { driver in
        slot.profile.flatMap { profiles.named($0)?.driver }.map { $0 == driver.name }
          ?? (driver.kind == slot.kind)
      }
      let transports = drivers.flatMap { driver in
        DeviceFact.transports.filter { $0.channel == driver.channel }.map(\.word)
      }
      let flags = UdevRules.flags(transports)
      return switch place {
      case .any: nil
      case .port(let port): UdevRules.rule(place: "port", value: port, flags: flags)
      case .serial(let serial): UdevRules.rule(place: "serial", value: serial, flags: flags)
      }
    }
  }
}
