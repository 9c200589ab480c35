import Codecs

/// The modes that `1B 40` puts back.
struct PrintModes: Sendable {
  var alignment = PrintedTicket.Alignment.left
  var width = 1
  var height = 1
  var isBold = false
  var isUnderlined = false
  var isInverted = false
  var isFontB = false
  var isChinese: Bool
  var chinese: ESCPOSCommand.ChinesePrintMode = []
  var marginDots = 0
  var widthDots: Int?
  var qrModuleDots = 3
  var qrData: [UInt8] = []

  init(isChinese: Bool) { self.isChinese = isChinese }
}

/// The print buffer: characters that wait for the end of their line.
struct PrintLine: Sendable {
  var runs: [PrintedTicket.Run] = []
  var dots = 0
  var isEmpty: Bool { runs.isEmpty }
}

extension SimulatedTicketPrinter {
  private static let missingGlyph = "□"
  /// Height of a line of font A with its default spacing of 1/6 inch, at 203 dots an inch.
  private static let lineDots = 34

  /// Prints until something is in the way or nothing is left.
  mutating func print(_ actions: inout [SimulatedAction]) {
    while !isBlocked {
      if let end = cutWaiting {
        cut(end, &actions)
        continue
      }
      if !text.isEmpty {
        printText(&actions)
        continue
      }
      guard let token = interpreter.next() else { return }
      switch token {
      case .command(let command): execute(command, &actions)
      case .unknown, .oversized: unknownCommands += 1
      }
    }
  }

  private mutating func execute(_ command: ESCPOSCommand, _ actions: inout [SimulatedAction]) {
    if case .text(let bytes) = command {
      text = bytes[...]
      return
    }
    endCharacter(&actions)
    switch command {
    case .lineFeed: endLine(&actions)
    case .initialise:
      modes = PrintModes(isChinese: options.startsInChineseMode)
      forgetLine()
    case .align(let alignment):
      // Only at the start of a line.
      guard line.isEmpty else { break }
      modes.alignment = alignment == .left ? .left : alignment == .centre ? .centre : .right
    case .characterSize(let width, let height): (modes.width, modes.height) = (width, height)
    case .bold(let on): modes.isBold = on
    case .underline(let dots): modes.isUnderlined = dots > 0
    case .invert(let on): modes.isInverted = on
    case .font(let font): modes.isFontB = font == .b
    case .printMode(let mode):
      modes.isFontB = mode.contains(.fontB)
      modes.isBold = mode.contains(.bold)
      modes.isUnderlined = mode.contains(.underline)
      modes.width = mode.contains(.doubleWidth) ? 2 : 1
      modes.height = mode.contains(.doubleHeight) ? 2 : 1
    case .chineseMode(let on): modes.isChinese = on
    case .chinesePrintMode(let mode): modes.chinese = mode
    case .chineseQuadSize(let on): modes.chinese = on ? [.doubleWidth, .doubleHeight] : []
    case .chineseUnderline(let dots):
      if dots > 0 { modes.chinese.insert(.underline) } else { modes.chinese.remove(.underline) }
    case .leftMargin(let dots) where line.isEmpty: modes.marginDots = Int(dots)
    case .printWidth(let dots) where line.isEmpty: modes.widthDots = Int(dots)
    case .feedLines(let lines): feed(lines: Int(lines), &actions)
    case .feedDots(let dots):
      if !line.isEmpty { endLine(&actions) }
      if dots > 0 { strip.append(.feed(dots: Int(dots))) }
    case .cut(let cut): request(cut, &actions)
    case .automaticStatus(let kinds): actions += report(kinds)
    case .transmitStatus(let kind): actions += transmitted(kind)
    case .transmitIdentity(let kind): actions += identity(kind)
    case .printCompleteEcho(let id):
      guard options.echoes, options.honesty != .silent else { break }
      actions.append(.send([0x37, 0x22] + id.bytes + [0x00]))
    case .pulse: actions.append(.record(SimulationRecord("pulse")))
    case .hardwareReset: actions += powerLost()
    case .ejector(let function): eject(function, &actions)
    case .retract(let seconds):
      // Without a time now, with one from now on.
      if let seconds { retractAfter = .seconds(Int(seconds)) } else { retract(&actions) }
    default: symbol(command)
    }
  }

  /// Bar codes, QR symbols and pictures: at the start of a line only.
  private mutating func symbol(_ command: ESCPOSCommand) {
    switch command {
    case .qrModuleSize(let dots): modes.qrModuleDots = Int(dots)
    case .qrStore(let data): modes.qrData = data
    case .qrPrint where line.isEmpty && !modes.qrData.isEmpty:
      strip.append(.qr(modes.qrData, moduleDots: modes.qrModuleDots, modes.alignment))
    case .barcode(let system, let data) where line.isEmpty:
      strip.append(.barcode(system: "\(system)", data: data, modes.alignment))
    case .rasterImage(_, let rowBytes, let rows, let dots) where line.isEmpty:
      strip.append(.picture(rowBytes: rowBytes, rows: rows, dots: dots, modes.alignment))
    default: break
    }
  }

  // MARK: Text

  private mutating func printText(_ actions: inout [SimulatedAction]) {
    while let byte = text.first, !isBlocked {
      text.removeFirst()
      character.append(byte)
      guard let length = characterLength(character) else { continue }
      guard character.count >= length else { continue }
      let bytes = character
      character = []
      place(bytes, &actions)
    }
  }

  /// How many bytes the character has that begins like this; nil when the next byte decides.
  private func characterLength(_ bytes: [UInt8]) -> Int? {
    guard let first = bytes.first, first >= 0x80 else { return 1 }
    guard modes.isChinese else { return 1 }
    switch options.font {
    case .gb18030TwoByte: return (0x81...0xFE).contains(first) ? 2 : 1
    case .gb18030:
      guard (0x81...0xFE).contains(first) else { return 1 }
      guard bytes.count >= 2 else { return nil }
      return (0x30...0x39).contains(bytes[1]) ? 4 : 2
    case .shiftJIS: return (0xA0...0xDF).contains(first) || first == 0x80 || first >= 0xFD ? 1 : 2
    case .utf8: return first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1
    }
  }

  /// A character that something else cut short is lost; a box shows it.
  private mutating func endCharacter(_ actions: inout [SimulatedAction]) {
    guard !character.isEmpty else { return }
    let bytes = character
    character = []
    place(bytes, &actions)
  }

  private mutating func place(_ bytes: [UInt8], _ actions: inout [SimulatedAction]) {
    let isWide = bytes.count > 1
    var run = PrintedTicket.Run(
      text: glyph(bytes), width: modes.width, height: modes.height, isBold: modes.isBold,
      isUnderlined: modes.isUnderlined, isInverted: modes.isInverted)
    if isWide {
      if modes.chinese.contains(.doubleWidth) { run.width = max(run.width, 2) }
      if modes.chinese.contains(.doubleHeight) { run.height = max(run.height, 2) }
      if modes.chinese.contains(.underline) { run.isUnderlined = true }
    }
    let dots = (isWide ? 24 : modes.isFontB ? 9 : 12) * run.width
    let available = min(modes.widthDots ?? options.widthDots, options.widthDots - modes.marginDots)
    if line.dots + dots > available, !line.isEmpty { endLine(&actions) }
    line.dots += dots
    if var last = line.runs.last, last.looks(like: run) {
      last.text += run.text
      line.runs[line.runs.count - 1] = last
    } else {
      line.runs.append(run)
    }
  }

  private func glyph(_ bytes: [UInt8]) -> String {
    if bytes.count == 1, let byte = bytes.first, byte < 0x7F { return String(UnicodeScalar(byte)) }
    // Pairs that are no two-byte character, such as the halves of a four-byte one.
    if options.font == .gb18030TwoByte, bytes.count == 2,
      !(0x40...0xFE).contains(bytes[1]) || bytes[1] == 0x7F
    {
      return Self.missingGlyph
    }
    guard modes.isChinese, let text = options.decodeText(bytes), text.unicodeScalars.count == 1,
      text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0xFFFD })
    else { return Self.missingGlyph }
    return text
  }

  // MARK: Paper

  private mutating func endLine(_ actions: inout [SimulatedAction]) {
    strip.append(.line(line.runs, modes.alignment))
    line = PrintLine()
    consume(lines: 1, &actions)
  }

  private mutating func feed(lines: Int, _ actions: inout [SimulatedAction]) {
    if lines > 0 || !line.isEmpty { strip.append(.line(line.runs, modes.alignment)) }
    for _ in 0..<max(0, lines - 1) { strip.append(.line([], modes.alignment)) }
    line = PrintLine()
    consume(lines: max(1, lines), &actions)
  }

  /// Paper of so many lines is used up, and their time.
  private mutating func consume(lines: Int, _ actions: inout [SimulatedAction]) {
    if let left = outAfter {
      outAfter = left > lines ? left - lines : nil
      if left <= lines { paper = .out }
    }
    if options.lineTime > .zero {
      isBusy = true
      lineTimer += 1
      actions.append(.wake(lineTimer, after: options.lineTime * lines))
    }
  }

  private mutating func request(_ cut: ESCPOSCommand.Cut, _ actions: inout [SimulatedAction]) {
    // Effective at the start of a line only; in the middle of one printers pass over it.
    guard line.isEmpty else { return }
    switch cut {
    case .full, .reserveFull, .feedCutReturnFull: cutWaiting = .cut
    case .partial, .reservePartial, .feedCutReturnPartial, .oldPartial, .oldThreePoint:
      cutWaiting = .partialCut
    case .feedAndFull(let dots):
      if dots > 0 { strip.append(.feed(dots: Int(dots))) }
      cutWaiting = .cut
    case .feedAndPartial(let dots):
      if dots > 0 { strip.append(.feed(dots: Int(dots))) }
      cutWaiting = .partialCut
    }
  }

  private mutating func cut(_ end: PrintedTicket.End, _ actions: inout [SimulatedAction]) {
    guard !cutterJams else {
      isCutterStuck = true
      actions.append(.record(SimulationRecord("cutter-jam")))
      return
    }
    cutWaiting = nil
    guard strip.contains(where: Self.isInk) else {
      strip = []
      actions.append(.record(SimulationRecord("blank")))
      return
    }
    actions.append(.record(piece("ticket", end)))
    if options.hasPresenter {
      isTicketPresent = true
      if let retractAfter { actions.append(.wake(1 - nextTicket, after: retractAfter)) }
    }
    if let left = lowAfter {
      lowAfter = left > 1 ? left - 1 : nil
      if left <= 1, paper == .full { paper = .low }
    }
  }

  private static func isInk(_ element: PrintedTicket.Element) -> Bool {
    switch element {
    case .feed: false
    case .line(let runs, _): !runs.isEmpty
    default: true
    }
  }

  /// Takes the strip off and makes its record.
  mutating func piece(_ event: String, _ end: PrintedTicket.End) -> SimulationRecord {
    let ticket = PrintedTicket(number: nextTicket, elements: strip, end: end, columns: columns)
    nextTicket += 1
    strip = []
    var fields = [
      SimulationField("ticket-number", ticket.number), SimulationField("end", end.rawValue),
      SimulationField("lines", ticket.lines.joined(separator: " | ")),
    ]
    for text in ticket.qrTexts { fields.append(SimulationField("qr", text)) }
    if ticket.pictureCount > 0 { fields.append(SimulationField("pictures", ticket.pictureCount)) }
    fields.append(SimulationField("digest", ticket.digest))
    return SimulationRecord(event, fields, ticket: ticket)
  }

  // MARK: Presenter (facts/devices.md A4, numbers of Custom KPM)

  private mutating func eject(_ function: ESCPOSCommand.Ejector, _ actions: inout [SimulatedAction]) {
    guard options.hasPresenter else { return }
    switch function {
    case .function(2): retract(&actions)
    case .function(5) where isTicketPresent:
      isTicketPresent = false
      actions.append(
        .record(SimulationRecord("ticket-ejected", [SimulationField("ticket-number", nextTicket - 1)])))
    case .function(6):
      actions.append(.send([(paper == .full ? 0 : 0x01) | (isTicketPresent ? 0x08 : 0)]))
    default: break
    }
  }

  mutating func retract(_ actions: inout [SimulatedAction]) {
    guard options.hasPresenter, isTicketPresent else { return }
    isTicketPresent = false
    actions.append(
      .record(SimulationRecord("ticket-retracted", [SimulationField("ticket-number", nextTicket - 1)])))
  }

  // MARK: Identity

  private func identity(_ kind: ESCPOSCommand.Identity) -> [SimulatedAction] {
    guard options.honesty != .silent else { return [] }
    switch kind {
    case .model: return [.send([0x20])]
    // Bit 0: two-byte characters, bit 1: cutter.
    case .type: return [.send([0x03])]
    case .rom: return [.send([0x01])]
    case .firmware, .maker, .modelName, .serialNumber:
      let index = Int(kind.rawValue) - 65
      guard options.identity.indices.contains(index) else { return [] }
      return [.send([0x5F] + Array(options.identity[index].utf8) + [0x00])]
    }
  }
}

extension PrintedTicket.Run {
  func looks(like other: PrintedTicket.Run) -> Bool {
    width == other.width && height == other.height && isBold == other.isBold
      && isUnderlined == other.isUnderlined && isInverted == other.isInverted
  }
}
