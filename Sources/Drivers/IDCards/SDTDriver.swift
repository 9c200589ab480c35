internal import Channels
internal import Codecs
public import Devices

extension Driver {
  /// ID-card readers with a SAM_V module that speak "SDT" over a serial line or the pipes of a USB interface
  /// (facts/idcard.md).
  public static let sdt = Driver(
    name: "sdt", kind: .idCardReader, channel: .byteStream, settings: sdtLineSettings + sdtSettings
  ) { channel, settings, context throws(Fault) in
    guard case .byteStream(let stream) = channel else {
      throw Fault(.deviceUnmatched, "sdt needs a byte stream")
    }
    return try await SDTReader.attach(stream, settings, context)
  }

  /// The same readers behind a HID interface (facts/idcard.md 2.3 and 2.4).
  public static let sdtHID = Driver(
    name: "sdt-hid", kind: .idCardReader, channel: .reports,
    settings: [
      SettingSpec(
        "report-framing", .word(SDTReportFraming.allCases.map(\.rawValue)), standard: "raw",
        "How a report carries a frame: as it is, or wrapped in packets of 54 bytes.")
    ] + sdtSettings
  ) { channel, settings, context throws(Fault) in
    guard case .reports(let reports) = channel else {
      throw Fault(.deviceUnmatched, "sdt-hid needs a HID interface")
    }
    let framing = SDTReportFraming(rawValue: settings.text("report-framing")) ?? .raw
    return try await SDTReader.attach(SDTReportStream(reports, framing), settings, context)
  }

  /// What only byte streams have: the speed of a serial line, the pipes of a USB interface.
  private static let sdtLineSettings =
    SettingSpec.line(baud: 115_200).map { spec in
      guard spec.name == "baud" else { return spec }
      return SettingSpec(
        "baud", .word(["auto"] + SDTProbe.speeds.map(String.init)), standard: "115200",
        "Bits a second on a serial line; auto: every speed is tried until the module answers.")
    } + [
      SettingSpec(
        "module-baud", .word(["keep"] + SDTProbe.speeds.map(String.init)), standard: "keep",
        "The speed that the module is told to use once it has answered: command 60; keep: none."),
      SettingSpec(
        "usb-layout", .word(["auto", "single", "split"]), standard: "auto",
        "The pipes of a USB interface: one each way, or two; auto: two are tried first where they are there."),
      SettingSpec(
        "probe-timeout", .duration(milliseconds: 10...10_000), standard: "300 ms",
        "How long a module may take to answer at a speed or on pipes that are tried."),
    ]

  /// What every reader has. All times are the host-side waits of facts/idcard.md 3.1.
  private static let sdtSettings = [
    SettingSpec(
      "write-timeout", .duration(milliseconds: 10...60_000), standard: "2 s",
      "How long the line may take to accept a command."),
    SettingSpec(
      "pause-timeout", .duration(milliseconds: 10...60_000), standard: "500 ms",
      "How long a reply that has begun may pause before what came of it is given up."),
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
      "fingerprint-timeout", .duration(milliseconds: 10...60_000), standard: "5 s",
      "How long the module may take to read text, photo and fingerprints; the reply's time is added."),
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
      "debounce", .duration(milliseconds: 0...10_000), standard: "500 ms",
      "How long after a card was read none is looked for: a card being taken away is not read again."),
    SettingSpec(
      "fingerprints", .boolean, standard: "no",
      "Whether fingerprints are read too: command 30 10, or 30 01 where the module refuses that."),
    SettingSpec(
      "card-number", .boolean, standard: "no",
      "Whether the number of the card's body is read too: command 30 05."),
    SettingSpec(
      "additional-address", .boolean, standard: "no",
      "Whether the additional address is read too: command 30 03, or 30 02 where the module refuses that."),
    SettingSpec(
      "must-lift", .boolean, standard: "no",
      "Whether a card that was read is found again only after it was lifted."),
    SettingSpec(
      "select-when-not-found", .boolean, standard: "no",
      "Whether a card that is not found is selected all the same: some models do not find a card left in place."
    ),
    SettingSpec(
      "reset-after-failed-read", .boolean, standard: "no",
      "Whether the module is reset after a read that failed."),
    SettingSpec(
      "field-off-after-read", .boolean, standard: "no",
      "Whether the radio field is switched off after a read: command FA 11, which one maker's modules have."),
    SettingSpec(
      "presence-command", .word(["none", "card-number", "additional-address"]), standard: "none",
      "The command that a card which was read still answers while it lies there, for models that have one."),
    SettingSpec(
      "presence-interval", .duration(milliseconds: 50...60_000), standard: "200 ms",
      "Pause between two of these."),
    SettingSpec(
      "presence-limit", .duration(milliseconds: 0...600_000), standard: "60 s",
      "How long after a read it is watched whether the card is taken back; then that is unknown."),
  ]
}
