import Codecs

/// A thermal ticket printer that speaks ESC/POS (facts/devices.md A): receive buffer, paper, cover, cutter, sensors, and
/// the ways in which real ones lie.
///
/// What it is sent waits in the receive buffer and is printed line by line while nothing is in the way. Off line it prints
/// nothing; with the buffer full it holds the line (USB NAK, hardware flow control), and goes on where it stopped when the
/// cause is gone: the old ticket comes out first.
public struct SimulatedTicketPrinter: SimulatedPrinterPort {
  /// Which characters its font has, and how it takes bytes for them.
  public enum Font: String, Sendable, CaseIterable {
    /// GB 18030, two-byte characters only; each pair of a four-byte character prints one box (facts/devices.md A1).
    case gb18030TwoByte = "gb18030-two-byte"
    /// GB 18030 with its four-byte characters.
    case gb18030
    /// Shift-JIS, as in some printers sold as Chinese (facts/devices.md A6).
    case shiftJIS = "shift-jis"
    /// UTF-8.
    case utf8 = "utf-8"
  }

  /// What it says of itself.
  public enum Honesty: String, Sendable, CaseIterable {
    /// The truth.
    case honest
    /// Always `16 12 12 12` (facts/devices.md A5, XP-C58K).
    case constant
    /// Nothing at all.
    case silent
  }

  /// What differs between models.
  public struct Options: Sendable {
    /// Text of one character's bytes; nil when the font has not got it.
    public var decodeText: @Sendable ([UInt8]) -> String?
    /// The font.
    public var font = Font.gb18030TwoByte
    /// Dots across the paper: 384 on 58 mm, 576 on 80 mm.
    public var widthDots = 576
    /// Size of the receive buffer in bytes.
    public var bufferBytes = 4096
    /// Whether it also holds the line while it is off line, not only with a full buffer (a switch on real ones).
    public var isBusyWhenOffline = false
    /// Whether Chinese mode is on after power-up.
    public var startsInChineseMode = true
    /// Whether it answers the print-complete echo.
    public var echoes = true
    /// Whether it reports changes by itself when told to.
    public var reportsChanges = true
    /// Whether it is a kiosk printer that holds a ticket at its mouth until somebody takes it, and knows `10 04 14`.
    public var hasPresenter = false
    /// What it says of itself.
    public var honesty = Honesty.honest
    /// How long a line takes; 200 mm/s are about 20 ms.
    public var lineTime = Duration.zero
    /// Number of the first ticket, so that numbers go on after a restart.
    public var firstTicket = 1
    /// Firmware, maker, model and serial number, as `1D 49 65…68` tell them.
    public var identity = ["1.00", "SIMULATED", "TP-80", "SIM00001"]

    /// An 80 mm printer that answers everything. Text other than ASCII is decoded by `decodeText`, which gets the bytes of
    /// one character.
    public init(decodeText: @escaping @Sendable ([UInt8]) -> String?) { self.decodeText = decodeText }
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case paper(Paper), lowAfter(Int), outAfter(Int), jam(Bool), cover(isOpen: Bool), cutter(jams: Bool)
    case head(isHot: Bool), honesty(Honesty), takeTicket, echo(Bool)
  }

  /// The roll.
  public enum Paper: String, Sendable, CaseIterable { case full, low, out }

  /// What its records tell.
  public static let events = [
    "ticket", "fragment", "blank", "cutter-jam", "pulse", "ticket-taken", "ticket-ejected",
    "ticket-retracted",
  ]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("paper full|low|out", "put a roll in, let it near its end, or take it out") {
      $0.word().flatMap(Paper.init(rawValue:)).map { .paper($0) }
    },
    CommandForm("paper low after <n> tickets", "let the roll near its end after so many more tickets") {
      $0.number().map { .lowAfter($0) }
    },
    CommandForm(
      "paper out after <n> lines", "let the roll end after so many more lines, in the middle of a ticket"
    ) {
      $0.number().map { .outAfter($0) }
    },
    CommandForm("jam", "let the paper jam", .jam(true)),
    CommandForm("jam cleared", "take the jammed paper out", .jam(false)),
    CommandForm("cover open|closed", "open or close the cover") {
      $0.word().map { .cover(isOpen: $0 == "open") }
    },
    CommandForm("cutter jam", "let the cutter stick at its next cut", .cutter(jams: true)),
    CommandForm(
      "cutter free", "free the cutter; the host still has to send the recovery command", .cutter(jams: false)),
    CommandForm("head hot|cool", "let the print head overheat or cool down") {
      $0.word().map { .head(isHot: $0 == "hot") }
    },
    CommandForm(
      "status honest|constant|silent", "answer status questions truly, always with 'fine', or never"
    ) {
      $0.word().flatMap(Honesty.init(rawValue:)).map { .honesty($0) }
    },
    CommandForm("echo on|off", "answer the print-complete echo or not") { $0.flag().map { .echo($0) } },
    CommandForm("ticket take", "take the ticket from the presenter", .takeTicket),
  ]

  var options: Options
  var interpreter = ESCPOSInterpreter()
  private var scanner = ESCPOSRealTimeScanner()
  var modes: PrintModes
  /// Text of the current token that waits for paper.
  var text: ArraySlice<UInt8> = []
  var character: [UInt8] = []
  var line = PrintLine()
  var strip: [PrintedTicket.Element] = []
  /// Waits for the timer with this number: a line is being printed.
  var isBusy = false
  var lineTimer = 0
  /// A kiosk printer takes tickets back that nobody has taken for so long.
  var retractAfter: Duration?
  /// A real-time command may have begun in what came last.
  private var isScanning = false
  var cutWaiting: PrintedTicket.End?
  var paper = Paper.full
  var lowAfter: Int?
  var outAfter: Int?
  private var isJammed = false
  private var isCoverOpen = false
  var cutterJams = false
  var isCutterStuck = false
  private var isHeadHot = false
  var isTicketPresent = false
  var nextTicket: Int
  var unknownCommands = 0
  var reported: ESCPOSCommand.AutomaticStatus = []
  private var lastReport: [UInt8] = []

  /// A printer with a full roll.
  public init(_ options: Options) {
    self.options = options
    modes = PrintModes(isChinese: options.startsInChineseMode)
    nextTicket = options.firstTicket
  }

  /// Maker and model.
  public var modelName: String { "ESC/POS ticket printer, \(columns) columns" }
  /// Has its own supply.
  public var isBusPowered: Bool { false }

  /// What waits in the buffer, and what is in the way.
  public var state: [SimulationField] {
    var fields = [
      SimulationField("paper", isJammed ? "jammed" : paper.rawValue),
      SimulationField("cover", isCoverOpen ? "open" : "closed"),
      SimulationField("online", !isOffline), SimulationField("buffered-bytes", waitingBytes),
      SimulationField("lines-on-strip", strip.count),
      SimulationField("tickets", nextTicket - options.firstTicket),
      SimulationField("status", options.honesty.rawValue),
    ]
    if isCutterStuck || cutterJams { fields.append(SimulationField("cutter", "jammed")) }
    if isHeadHot { fields.append(SimulationField("head", "hot")) }
    if options.hasPresenter { fields.append(SimulationField("ticket-present", isTicketPresent)) }
    if unknownCommands > 0 { fields.append(SimulationField("unknown-commands", unknownCommands)) }
    return fields
  }

  var columns: Int { options.widthDots / 12 }
  private var isOffline: Bool { isCoverOpen || paper == .out || isJammed || isCutterStuck || isHeadHot }
  var isBlocked: Bool { isOffline || isBusy }
  private var waitingBytes: Int { interpreter.pending + text.count + character.count }

  /// Room in the receive buffer.
  public var room: Int {
    if isOffline, options.isBusyWhenOffline { return 0 }
    return isBlocked ? max(0, options.bufferBytes - waitingBytes) : options.bufferBytes
  }

  /// Takes bytes: real-time commands are carried out at once, the rest waits for its turn.
  public mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    var actions: [SimulatedAction] = []
    guard isScanning || bytes.contains(0x10) else {
      interpreter.feed(bytes)
      return finish([])
    }
    // Byte by byte, because "clear buffer" forgets what came before it and not what comes after.
    for byte in bytes {
      interpreter.feed([byte])
      for command in scanner.feed([byte]) { actions += realTime(command) }
    }
    // No real-time command has more bytes than ten.
    isScanning = bytes.suffix(10).contains(0x10) || bytes.count < 10 && isScanning
    return finish(actions)
  }

  /// A line is on the paper, or a ticket was not taken for long.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    if token < 0 {
      // The timer of another ticket has no say over this one.
      guard isTicketPresent, -token == nextTicket - 1 else { return [] }
      var actions: [SimulatedAction] = []
      retract(&actions)
      return finish(actions)
    }
    guard isBusy, token == lineTimer else { return [] }
    isBusy = false
    return finish([])
  }

  /// Forgets buffers and modes; paper, and what is on it, stays.
  public mutating func powerLost() -> [SimulatedAction] {
    interpreter.reset()
    scanner = ESCPOSRealTimeScanner()
    forgetLine()
    modes = PrintModes(isChinese: options.startsInChineseMode)
    isBusy = false
    isScanning = false
    isCutterStuck = false
    cutWaiting = nil
    retractAfter = nil
    reported = []
    lastReport = []
    return []
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    var actions: [SimulatedAction] = []
    switch command {
    case .paper(let paper):
      // Whoever puts a roll in takes the end of the old one away, with what was printed on it.
      if self.paper == .out, paper != .out, !strip.isEmpty {
        actions.append(.record(piece("fragment", .torn)))
      }
      self.paper = paper
      lowAfter = nil
      outAfter = nil
    case .lowAfter(let tickets): lowAfter = tickets
    case .outAfter(let lines): outAfter = lines
    case .jam(let jammed): isJammed = jammed
    case .cover(let isOpen): isCoverOpen = isOpen
    case .cutter(let jams): cutterJams = jams
    case .head(let isHot): isHeadHot = isHot
    case .honesty(let honesty): options.honesty = honesty
    case .echo(let on): options.echoes = on
    case .takeTicket:
      guard isTicketPresent else {
        throw .impossible("there is no ticket at the mouth", chinese: "出口处没有小票")
      }
      isTicketPresent = false
      actions.append(
        .record(SimulationRecord("ticket-taken", [SimulationField("ticket-number", nextTicket - 1)])))
    }
    if outAfter == 0 {
      outAfter = nil
      paper = .out
    }
    return finish(actions)
  }

  /// Prints what can be printed now, then reports what has changed.
  private mutating func finish(_ actions: [SimulatedAction]) -> [SimulatedAction] {
    var actions = actions
    print(&actions)
    if options.honesty == .honest, options.reportsChanges, !reported.isEmpty {
      let report = automaticStatus
      if masked(report) != masked(lastReport) {
        lastReport = report
        actions.append(.send(report))
      }
    }
    return actions
  }

  mutating func forgetLine() {
    text = []
    character = []
    line = PrintLine()
  }

  // MARK: Real time

  private mutating func realTime(_ command: ESCPOSCommand) -> [SimulatedAction] {
    switch command {
    case .realTimeStatus(let kind): return status(kind).map { [.send($0)] } ?? []
    case .realTimeRecover(let clearing):
      guard isCutterStuck else { return [] }
      if clearing { clear() }
      // With the cutter still stuck the next attempt fails again.
      isCutterStuck = false
      return []
    case .realTimeClearBuffer:
      clear()
      return options.honesty == .silent ? [] : [.send([0x37, 0x25, 0x00])]
    case .realTimePulse: return [.record(SimulationRecord("pulse"))]
    default: return []
    }
  }

  /// The USB printer class's word on it: paper empty (20), selected (10), no error (08); `18` is good.
  public var portStatus: UInt8 {
    if options.honesty == .constant { return 0 }
    // An error does not deselect it: hosts would then tell "off line" and not the cause.
    return (paper == .out ? 0x20 : 0) | 0x10 | (isOffline ? 0 : 0x08)
  }

  /// The USB printer class's reset: buffers are forgotten, modes stay.
  public mutating func softReset() -> [SimulatedAction] {
    clear()
    return finish([])
  }

  private mutating func clear() {
    interpreter.reset()
    forgetLine()
    cutWaiting = nil
  }

  // MARK: Status (facts/devices.md A2–A4)

  private func status(_ kind: UInt8) -> [UInt8]? {
    switch options.honesty {
    case .silent: return nil
    case .constant: return (1...4).contains(kind) ? [kind == 1 ? 0x16 : 0x12] : nil
    case .honest: break
    }
    switch kind {
    case 1: return [0x16 | (isOffline ? 0x08 : 0)]
    case 2: return [0x12 | (isCoverOpen ? 0x04 : 0) | (paper == .out ? 0x20 : 0) | (hasError ? 0x40 : 0)]
    case 3: return [0x12 | (isJammed ? 0x04 : 0) | (isCutterStuck ? 0x08 : 0) | (isHeadHot ? 0x40 : 0)]
    case 4: return [0x12 | (paper == .full ? 0 : 0x0C) | (paper == .out ? 0x60 : 0)]
    case 20 where options.hasPresenter: return [0x10, 0x0F] + fullStatus
    default: return nil
    }
  }

  private var hasError: Bool { isJammed || isCutterStuck || isHeadHot }

  private var fullStatus: [UInt8] {
    let supply: UInt8 =
      (paper == .out ? 0x01 : 0) | (paper == .full ? 0 : 0x04) | (isTicketPresent ? 0x20 : 0)
    let cover: UInt8 = isCoverOpen ? 0x03 : 0
    let recoverable: UInt8 = (isHeadHot ? 0x01 : 0) | (isJammed ? 0x40 : 0)
    return [supply, cover, recoverable, isCutterStuck ? 0x01 : 0]
  }

  private var automaticStatus: [UInt8] {
    let first: UInt8 = 0x14 | (isOffline ? 0x08 : 0) | (isCoverOpen ? 0x20 : 0)
    let second: UInt8 = (isJammed ? 0x04 : 0) | (isCutterStuck ? 0x08 : 0) | (isHeadHot ? 0x40 : 0)
    let third: UInt8 = (paper == .full ? 0 : 0x03) | (paper == .out ? 0x0C : 0)
    return [first, second, third, 0]
  }

  /// The parts of a report whose change is worth a new one.
  private func masked(_ report: [UInt8]) -> [UInt8] {
    guard report.count == 4 else { return [] }
    return [
      reported.contains(.online) ? report[0] & 0x28 : 0, reported.contains(.error) ? report[1] : 0,
      reported.contains(.paper) ? report[2] : 0,
    ]
  }

  /// `1D 61 n`.
  mutating func report(_ kinds: ESCPOSCommand.AutomaticStatus) -> [SimulatedAction] {
    reported = kinds
    guard !kinds.isEmpty, options.honesty == .honest, options.reportsChanges else { return [] }
    lastReport = automaticStatus
    return [.send(lastReport)]
  }

  /// `1D 72 n`, when its turn has come.
  func transmitted(_ kind: ESCPOSCommand.TransmittedStatus) -> [SimulatedAction] {
    switch (options.honesty, kind) {
    case (.silent, _): []
    case (.constant, _), (_, .drawer): [.send([0x00])]
    case (.honest, .paper): [.send([(paper == .full ? 0 : 0x03) | (paper == .out ? 0x0C : 0)])]
    }
  }
}
