internal import Channels
public import Devices

extension Driver {
  /// Printers behind a CUPS queue (facts/devices.md E).
  public static let cups = Driver(
    name: "cups", kind: .printer, channel: .printQueue,
    settings: [
      SettingSpec(
        "report-timeout", .duration(milliseconds: 10...60_000), standard: "5 s",
        "How long the print system may take to tell a queue's or a job's state."),
      SettingSpec(
        "submit-timeout", .duration(milliseconds: 10...600_000), standard: "30 s",
        "How long the print system may take to accept a document."),
      SettingSpec(
        "first-poll", .duration(milliseconds: 1...60_000), standard: "100 ms",
        "Pause before a job is first asked about; it doubles each time."),
      SettingSpec(
        "longest-poll", .duration(milliseconds: 1...60_000), standard: "1 s",
        "Longest pause between two questions about a job. The print system does not tell by itself."),
      SettingSpec(
        "media", .text, standard: "",
        "IPP media name asked for, such as iso_a4_210x297mm; empty for the queue's own."),
      SettingSpec(
        "sides", .word(["queue", "one-sided", "two-sided-long-edge", "two-sided-short-edge"]),
        standard: "queue", "Sides asked for; queue for the queue's own."),
    ]
  ) { channel, settings, context throws(Fault) in
    guard case .printQueue(let queue) = channel else {
      throw Fault(.deviceUnmatched, "cups needs a print queue")
    }
    return try await QueuePrinter.attach(queue, settings, context)
  }
}
