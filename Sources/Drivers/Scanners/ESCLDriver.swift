internal import Channels
internal import Codecs
public import Devices

extension Driver {
  /// Scanners that speak eSCL over HTTP, on loopback through ipp-usb (facts/devices.md D3).
  public static let escl = Driver(
    name: "escl", kind: .scanner, channel: .httpExchange,
    settings: [
      SettingSpec(
        "request-timeout", .duration(milliseconds: 10...600_000), standard: "10 s",
        "How long a question about status or capabilities may take."),
      SettingSpec(
        "page-timeout", .duration(milliseconds: 10...600_000), standard: "60 s",
        "How long the scanner may take until a page is whole."),
      SettingSpec(
        "busy-tries", .integer(1...100), standard: "10",
        "How often a busy scanner (503) is asked again to take a job."),
      SettingSpec(
        "page-tries", .integer(1...100), standard: "30",
        "How often a page that is not ready (503) is asked for."),
      SettingSpec(
        "busy-pause", .duration(milliseconds: 1...60_000), standard: "1 s", "Pause between these."),
      SettingSpec(
        "end-tries", .integer(0...100), standard: "3",
        "How often a page is asked for again when the scanner says there is none and its feeder says there is."
      ),
      SettingSpec(
        "first-page-tries", .integer(0...100), standard: "0",
        "How often the first page is asked for again when the scanner says there is none: some say so while they start."
      ),
      SettingSpec(
        "page-delay", .duration(milliseconds: 0...10_000), standard: "0 ms",
        "Longest pause before the next page is asked for, half the time the last one took: some end a job that is "
          + "asked too early."),
      SettingSpec(
        "check-feeder", .boolean, standard: "yes",
        "Whether the feeder's own word that it is empty is believed before a job is started."),
      SettingSpec(
        "paper", .word(["a4", "largest"]), standard: "a4",
        "The area scanned; cut to what the scanner can take."),
      SettingSpec(
        "intent", .word(["none"] + ESCLIntent.allCases.map(\.rawValue)), standard: "Document",
        "What the scan is said to be for, where the scanner knows that word."),
      SettingSpec(
        "document-format-ext", .word(["automatic", "yes", "no"]), standard: "automatic",
        "Whether the format is named in the newer way too; automatic goes by the scanner's version."),
    ]
  ) { channel, settings, context throws(Fault) in
    guard case .httpExchange(let exchange) = channel else {
      throw Fault(.deviceUnmatched, "escl needs HTTP")
    }
    return try await ESCLScanner.attach(exchange, settings, context)
  }
}
