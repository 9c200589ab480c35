internal import Channels
public import Devices

extension Driver {
  /// ID-card readers with a SAM_V module that speak "SDT" natively over a serial line or a USB bulk pair
  /// (facts/idcard.md). All times are the host-side waits of facts/idcard.md 3.1.
  public static let sdt = Driver(
    name: "sdt", kind: .idCardReader, channel: .byteStream,
    settings: SettingSpec.line(baud: 115_200) + [
      SettingSpec(
        "write-timeout", .duration(milliseconds: 10...60_000), standard: "2 s",
        "How long the line may take to accept a command."),
      SettingSpec(
        "status-timeout", .duration(milliseconds: 10...60_000), standard: "1 s",
        "How long the module may take to tell its status or its number."),
      SettingSpec(
        "find-timeout", .duration(milliseconds: 10...60_000), standard: "1 s",
        "How long the module may take to look for a card once."),
      SettingSpec(
        "select-timeout", .duration(milliseconds: 10...60_000), standard: "1500 ms",
        "How long the module may take to select a card."),
      SettingSpec(
        "read-timeout", .duration(milliseconds: 10...60_000), standard: "3 s",
        "How long the module may take to read text and photo; the reply's time on a slow line is added."),
      SettingSpec(
        "address-timeout", .duration(milliseconds: 10...60_000), standard: "1500 ms",
        "How long the module may take to read the additional address or the card's number."),
      SettingSpec(
        "interactive-timeout", .duration(milliseconds: 10...600_000), standard: "20 s",
        "How long an interactive health check waits for somebody to put a card on the reader."),
      SettingSpec(
        "attach-tries", .integer(1...20), standard: "3", "How often a silent module is asked for its status."),
      SettingSpec(
        "attach-pause", .duration(milliseconds: 1...60_000), standard: "1 s",
        "Pause between these: a module takes up to 2 s after its power came."),
      SettingSpec(
        "number-tries", .integer(2...10), standard: "3",
        "How often the module is asked for its number; the number counts that came twice."),
      SettingSpec(
        "find-interval", .duration(milliseconds: 1...10_000), standard: "300 ms",
        "Pause between two looks for a card."),
      SettingSpec(
        "retry-pause", .duration(milliseconds: 1...10_000), standard: "200 ms",
        "Pause before a card that could not be selected or read is looked for again."),
      SettingSpec(
        "read-tries", .integer(1...20), standard: "5",
        "How often a card is tried before its fault is reported."),
      SettingSpec(
        "additional-address", .boolean, standard: "no",
        "Whether the additional address is read too: command 30 03, or 30 02 where the module refuses that."),
      SettingSpec(
        "select-when-not-found", .boolean, standard: "no",
        "Whether a card that is not found is selected all the same: some models do not find a card left in place."
      ),
      SettingSpec(
        "reset-after-failed-read", .boolean, standard: "no",
        "Whether the module is reset after a read that failed."),
      SettingSpec(
        "presence-command", .word(["none", "card-number", "additional-address"]), standard: "none",
        "The command that a card which was read still answers while it lies there, for models that have one."),
    ]
  ) { channel, settings, context throws(Fault) in
    guard case .byteStream(let stream) = channel else {
      throw Fault(.deviceUnmatched, "sdt needs a byte stream")
    }
    return try await SDTReader.attach(stream, settings, context)
  }
}
