internal import Codecs
internal import Devices

/// What a profile says of a ticket printer: settings, and the bit map made of them.
enum TicketPrinterSettings {
  /// How it is found out that a ticket is on paper.
  enum Completion: String, CaseIterable {
    /// The print-complete echo `GS ( H`: the printer says so itself.
    case echo
    /// `GS r 1` behind the ticket is answered in its turn; then the status must be fine.
    case sequence
    /// The status is fine when the ticket must have been printed.
    case status
    /// Nothing can be found out: what was accepted counts as printed.
    case none
  }

  static let maps: [(word: String, map: StatusBitMap)] = [
    ("epson", .epson), ("snbc", .snbc), ("citizen-ppu-700", .citizenPPU700), ("custom", .custom),
  ]

  static let specs: [SettingSpec] =
    SettingSpec.line(baud: 9600) + [
      SettingSpec(
        "code-page", .word(CodePage.allCases.map(\.rawValue)), standard: "gb18030", "Encoding of its text."),
      SettingSpec(
        "four-byte-characters", .boolean, standard: "no",
        "Whether its font has the four-byte characters of GB18030; without them a rare name cannot be printed."
      ),
      SettingSpec(
        "chinese-mode", .boolean, standard: "yes", "Whether two-byte characters are switched on with 1C 26."),
      SettingSpec(
        "chinese-code-system", .word(["none", "jis", "shift-jis"]), standard: "none",
        "Code system chosen with 1C 43, on printers with a Japanese font."),
      SettingSpec("columns", .integer(16...96), standard: "48", "Characters of the smallest size in a line."),
      SettingSpec("dots-per-line", .integer(128...1024), standard: "576", "Dots in a line."),
      SettingSpec("qr", .boolean, standard: "yes", "Whether it draws QR symbols itself."),
      SettingSpec(
        "cut", .word(["none", "full", "partial", "feed-full", "feed-partial", "esc-i", "esc-m"]),
        standard: "feed-partial", "The command that cuts."),
      SettingSpec(
        "feed-before-cut", .integer(0...20), standard: "0",
        "Empty lines before the cut, for cuts that do not feed to the cutter themselves."),
      SettingSpec("status", .boolean, standard: "yes", "Whether it answers DLE EOT."),
      SettingSpec(
        "status-map", .word(maps.map(\.word)), standard: "epson", "What the bits of its status bytes mean."),
      SettingSpec(
        "status-bits", .bits(of: 1...6, meanings: PrinterCondition.allCases.map(\.rawValue)), standard: "",
        "Single bits of DLE EOT that differ from the map."),
      SettingSpec(
        "automatic-status", .boolean, standard: "no", "Whether it reports changes by itself after GS a."),
      SettingSpec(
        "completion", .word(Completion.allCases.map(\.rawValue)), standard: "status",
        "How it is found out that a ticket is on paper: print-complete echo, GS r in its turn, status afterwards, not."
      ),
      SettingSpec(
        "clear-buffer", .boolean, standard: "no",
        "Whether DLE DC4 8 empties its buffers, so that a ticket of unknown outcome does not come out later."),
      SettingSpec(
        "recover", .boolean, standard: "no",
        "Whether DLE ENQ 2 brings it back after a cutter error that was cleared."),
      SettingSpec(
        "identity", .boolean, standard: "no", "Whether it tells model, firmware and serial number to GS I."),
      SettingSpec(
        "status-timeout", .duration(milliseconds: 10...60_000), standard: "500 ms",
        "How long an answer to DLE EOT may take."),
      SettingSpec(
        "write-timeout", .duration(milliseconds: 10...600_000), standard: "10 s",
        "How long it may take to accept a ticket; the ticket's time on a slow line is added."),
      SettingSpec(
        "completion-timeout", .duration(milliseconds: 10...600_000), standard: "15 s",
        "How long the echo, or the answer in its turn, may take after the ticket was accepted."),
      SettingSpec(
        "settle", .duration(milliseconds: 0...60_000), standard: "2 s",
        "How long printing a ticket takes after it was accepted, where only the status tells."),
      SettingSpec(
        "resynchronise", .integer(0...8192), standard: "256",
        "Zero bytes before the first ticket after opening and after a broken one: they fill up a command cut off before."
      ),
    ]

  static func bitMap(_ settings: DriverSettings) -> StatusBitMap {
    var map = maps.first { $0.word == settings.text("status-map") }?.map ?? .epson
    for bit in settings.bits("status-bits") {
      guard let status = UInt8(exactly: bit.status) else { continue }
      map.meanings[StatusBit(.realTime(status), bit.bit)] = bit.meaning.flatMap {
        PrinterCondition(rawValue: $0)
      }
    }
    return map
  }

  /// The numbers to ask with DLE EOT so that every bit of the map is heard of: 20 gives a kiosk printer's full status.
  static func questions(_ map: StatusBitMap) -> [UInt8] {
    var questions: Set<UInt8> = []
    for bit in map.meanings.keys {
      switch bit.source {
      // Higher numbers are makers' own, and what they say is in the full status too.
      case .realTime(let number): if number <= 6 { questions.insert(number) }
      case .full: questions.insert(fullStatus)
      case .automatic, .transmitted: break
      }
    }
    return questions.sorted()
  }

  static let fullStatus: UInt8 = 20
}

extension PrinterStatus {
  /// Why the printer must not be given a ticket now; nil when it may.
  var fault: Fault? {
    let order: [(PrinterCondition, FaultCode)] = [
      (.coverOpen, .coverOpen), (.headUp, .coverOpen), (.paperJam, .paperJammed),
      (.paperEnd, .paperOut), (.stoppedByPaperEnd, .paperOut), (.virtualPaperEnd, .paperOut),
      (.cutterError, .cutterFailed), (.headOverheated, .headOverheated), (.headError, .headOverheated),
      (.unrecoverableError, .deviceBroken), (.memoryError, .deviceBroken), (.programSumError, .deviceBroken),
      (.flashError, .deviceBroken), (.settingsMemoryError, .deviceBroken), (.processorError, .deviceBroken),
      (.supplyVoltage, .deviceBroken), (.lowVoltage, .deviceBroken), (.highVoltage, .deviceBroken),
      (.autoRecoverableError, .headOverheated), (.presenterError, .paperJammed),
      (.markNotFound, .paperJammed),
      (.recoverableError, .deviceOffline), (.errorOccurred, .deviceOffline),
      (.waitingForRecovery, .deviceOffline), (.feedingByButton, .deviceOffline), (.offline, .deviceOffline),
    ]
    guard let first = order.first(where: { conditions.contains($0.0) }) else { return nil }
    return Fault(first.1, conditions.map(\.rawValue).sorted().joined(separator: " "))
  }
}
