internal import Channels
public import Devices

extension Driver {
  /// Scanners with a SANE backend, through the `scanimage` program (facts/devices.md D2). What a backend calls its options
  /// and their values is profile data; an empty name or value means that the backend has none.
  public static let sane = Driver(
    name: "sane", kind: .scanner, channel: .pageFeed,
    settings: [
      SettingSpec(
        "source-option", .text, standard: "source", "Name of the option that chooses the paper's source."),
      SettingSpec("source-feeder", .text, standard: "Automatic Document Feeder", "Its value for the feeder."),
      SettingSpec("source-feeder-duplex", .text, standard: "", "Its value for the feeder, both sides."),
      SettingSpec("source-platen", .text, standard: "Flatbed", "Its value for the glass."),
      SettingSpec(
        "duplex-option", .text, standard: "",
        "Name of an option of its own for both sides, where there is one."),
      SettingSpec("duplex-on", .text, standard: "yes", "Its value for both sides."),
      SettingSpec("duplex-off", .text, standard: "no", "Its value for one side."),
      SettingSpec("mode-option", .text, standard: "mode", "Name of the option that chooses colours."),
      SettingSpec("mode-colour", .text, standard: "Color", "Its value for colours."),
      SettingSpec("mode-grey", .text, standard: "Gray", "Its value for grey."),
      SettingSpec("mode-black-and-white", .text, standard: "Lineart", "Its value for black and white."),
      SettingSpec(
        "resolution-option", .text, standard: "resolution", "Name of the option for dots per inch."),
      SettingSpec(
        "more-options", .text, standard: "", "Further options of every scan, name=value with commas between."),
      SettingSpec(
        "format", .word(["jpeg", "png"]), standard: "jpeg", "Form in which pages are handed over."),
      SettingSpec(
        "identify-timeout", .duration(milliseconds: 10...600_000), standard: "30 s",
        "How long the backend may take to find the device."),
      SettingSpec(
        "page-timeout", .duration(milliseconds: 10...3_600_000), standard: "2 min",
        "How long a page may take."),
    ]
  ) { channel, settings, context throws(Fault) in
    guard case .pageFeed(let feed) = channel else { throw Fault(.deviceUnmatched, "sane needs a page feed") }
    return try await SANEScanner.attach(feed, settings)
  }
}
