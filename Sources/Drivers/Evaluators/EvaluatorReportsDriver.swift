internal import Channels
public import Devices

extension Driver {
  /// Keypads with HID reports of their maker's own form (facts/devices.md C4: no maker's form is public).
  public static let evaluatorReports = Driver(
    name: "evaluator-reports", kind: .evaluator, channel: .reports,
    settings: [
      SettingSpec(
        "reports", .reports(meanings: KeyMeaning.words), standard: "",
        "Which report means what, as 1=05:5: byte 1 is 05. The first that fits counts; what fits none is ignored."
      ),
      SettingSpec(
        "release-reports", .boolean, standard: "no",
        "Whether it also reports that a key comes up, so that a report that goes on meaning the same is one press."
      ),
      SettingSpec(
        "prompt-report", .bytes(most: 4096), standard: "",
        "Output report that asks the citizen, its number (or 00) first; filled up with zeros. Empty: there is none."
      ),
      SettingSpec(
        "write-timeout", .duration(milliseconds: 10...60_000), standard: "2 s",
        "How long the device may take to accept a report."),
    ]
  ) { channel, settings, _ throws(Fault) in
    guard case .reports(let reports) = channel else {
      throw Fault(.deviceUnmatched, "evaluator-reports needs reports")
    }
    return await ReportEvaluator.attach(reports, settings)
  }
}
