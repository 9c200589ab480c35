internal import Codecs
internal import Devices

/// Lays a ticket's face out for one model of printer and turns it into bytes.
///
/// What the printer could not show as meant is refused here, before a byte is sent: a character outside its font, a
/// symbol wider than its paper.
struct TicketEncoder: Sendable {
  private let settings: DriverSettings
  private let page: CodePage
  private let encodeText: @Sendable (String, CodePage) -> [UInt8]?

  init(_ settings: DriverSettings, encodeText: @escaping @Sendable (String, CodePage) -> [UInt8]?) {
    self.settings = settings
    self.encodeText = encodeText
    page = CodePage(rawValue: settings.text("code-page")) ?? .gb18030
  }

  /// The ticket from "initialise" to the cut, and `last` behind it.
  func encode(_ face: TicketFace, last: [ESCPOSCommand] = []) throws(Fault) -> [UInt8] {
    var commands = opening
    for (index, element) in face.elements.enumerated() { commands += try lay(element, number: index + 1) }
    commands += closing
    return try bytes(commands + last)
  }

  private var opening: [ESCPOSCommand] {
    var commands: [ESCPOSCommand] = [.initialise]
    switch settings.text("chinese-code-system") {
    case "jis": commands.append(.chineseCodeSystem(0))
    case "shift-jis": commands.append(.chineseCodeSystem(1))
    default: break
    }
    // Makers differ in what is on after "initialise" (facts/devices.md A1).
    if settings.boolean("chinese-mode") { commands.append(.chineseMode(true)) }
    // "Initialise" takes the automatic reports back on some models.
    if settings.boolean("automatic-status") { commands.append(.automaticStatus(Self.reported)) }
    return commands
  }

  private var closing: [ESCPOSCommand] {
    let lines = UInt8(clamping: settings.integer("feed-before-cut"))
    let feed: [ESCPOSCommand] = lines > 0 ? [.feedLines(lines)] : []
    switch settings.text("cut") {
    case "full": return feed + [.cut(.full)]
    case "partial": return feed + [.cut(.partial)]
    case "feed-full": return feed + [.cut(.feedAndFull(0))]
    case "feed-partial": return feed + [.cut(.feedAndPartial(0))]
    case "esc-i": return feed + [.cut(.oldPartial)]
    case "esc-m": return feed + [.cut(.oldThreePoint)]
    default: return feed
    }
  }

  /// Ends what an earlier ticket left on the paper and cuts it off.
  var severing: [UInt8] { (try? ESCPOSCommand.encode([.initialise, .lineFeed] + closing)) ?? [] }

  /// What automatic reports are about.
  static let reported: ESCPOSCommand.AutomaticStatus = [.online, .error, .paper]

  private func lay(_ element: TicketElement, number: Int) throws(Fault) -> [ESCPOSCommand] {
    switch element {
    case .text(let text, let width, let height, let bold, let align):
      guard (1...8).contains(width), (1...8).contains(height) else {
        throw Fault(.textUnprintable, "element \(number): sizes are 1 to 8, not \(width) by \(height)")
      }
      return try lines(text, width: width, height: height, bold: bold, align: align, number: number)
    case .qr(let data, let module): return try symbol(data, module: module, number: number)
    case .barcode(let text): return try barcode(text, number: number)
    case .rule:
      return [.align(.left), .text(Array(repeating: 0x2D, count: settings.integer("columns"))), .lineFeed]
    case .feed(let lines): return lines > 0 ? [.feedLines(UInt8(clamping: lines))] : []
    }
  }

  private func lines(
    _ text: String, width: Int, height: Int, bold: Bool, align: TicketElement.Alignment, number: Int
  ) throws(Fault) -> [ESCPOSCommand] {
    let alignment: ESCPOSCommand.Alignment =
      switch align {
      case .left: .left
      case .centre: .centre
      case .right: .right
      }
    var commands: [ESCPOSCommand] = [
      .align(alignment), .characterSize(width: width, height: height), .bold(bold),
    ]
    let places = max(1, settings.integer("columns") / width)
    var line: [UInt8] = []
    var used = 0
    for (index, character) in text.enumerated() {
      if character.isNewline {
        commands += [.text(line), .lineFeed]
        (line, used) = ([], 0)
        continue
      }
      let bytes = try encode(character, "element \(number), character \(index + 1)")
      let needed =
        page == .utf8 ? character.unicodeScalars.reduce(0) { $0 + ($1.isASCII ? 1 : 2) } : bytes.count
      if used + needed > places, !line.isEmpty {
        commands += [.text(line), .lineFeed]
        (line, used) = ([], 0)
      }
      line += bytes
      used += needed
    }
    commands += [.text(line), .lineFeed, .characterSize(width: 1, height: 1), .bold(false)]
    return commands
  }

  // The place is named, never the character: a ticket may bear a citizen's name.
  private func encode(_ character: Character, _ place: String) throws(Fault) -> [UInt8] {
    let text = character == "\t" ? " " : String(character)
    guard !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else {
      throw Fault(.textUnprintable, "\(place): a control character")
    }
    guard let bytes = encodeText(text, page), !bytes.isEmpty, !bytes.contains(where: { $0 < 0x20 }) else {
      throw Fault(.textUnprintable, "\(place): not in \(page.rawValue)")
    }
    // Printers have fonts for the two-byte areas only and print a four-byte character as garbage (facts/devices.md A1).
    if page == .gb18030 || page == .gbk, !settings.boolean("four-byte-characters"),
      bytes.count > 1,
      bytes.indices.dropLast().contains(where: { bytes[$0] >= 0x81 && (0x30...0x39).contains(bytes[$0 + 1]) })
    {
      throw Fault(.textUnprintable, "\(place): four bytes in GB18030, which is not in the printer's font")
    }
    return bytes
  }

  private func symbol(_ data: [UInt8], module: Int, number: Int) throws(Fault) -> [ESCPOSCommand] {
    guard settings.boolean("qr") else {
      throw Fault(.commandUnsupported, "element \(number): no QR symbols in the profile")
    }
    // A printer carries out real-time commands wherever their bytes stand (facts/devices.md A2).
    let isCommand = zip(data, data.dropFirst()).contains { $0 == 0x10 && [0x04, 0x05, 0x14].contains($1) }
    guard !data.isEmpty, !isCommand else {
      throw Fault(.textUnprintable, "element \(number): the symbol's data hold a printer command, or nothing")
    }
    guard let side = QRCapacity.side(forBytes: data.count) else {
      throw Fault(.textUnprintable, "element \(number): \(data.count) bytes are too many for a QR symbol")
    }
    // A symbol that does not fit is left out without a word, so it is made smaller. Four modules each side stay white.
    let fitting = min(max(module, 1), 16, settings.integer("dots-per-line") / (side + 8))
    guard fitting >= 2 else {
      throw Fault(
        .textUnprintable, "element \(number): \(data.count) bytes make the QR symbol wider than the paper")
    }
    return [
      .align(.centre), .qrModel(.two), .qrModuleSize(UInt8(clamping: fitting)), .qrErrorCorrection(.medium),
      .qrStore(data), .qrPrint, .feedDots(UInt8(clamping: 4 * fitting)),
    ]
  }

  private func barcode(_ text: String, number: Int) throws(Fault) -> [ESCPOSCommand] {
    guard let data = ESCPOSCommand.BarcodeSystem.code128(Array(text.utf8)), !text.isEmpty else {
      throw Fault(.textUnprintable, "element \(number): a CODE128 symbol holds printable ASCII")
    }
    // Start, check and stop characters, and ten modules of white on each side.
    let modules = 11 * (text.utf8.count + 2) + 13 + 20
    let module = min(3, settings.integer("dots-per-line") / modules)
    guard module >= 2 else {
      throw Fault(
        .textUnprintable, "element \(number): \(text.utf8.count) characters are wider than the paper")
    }
    return [
      .align(.centre), .barcodeHeight(80), .barcodeModuleWidth(UInt8(clamping: module)), .barcodeText(.below),
      .barcode(.code128, data), .lineFeed,
    ]
  }

  private func bytes(_ commands: [ESCPOSCommand]) throws(Fault) -> [UInt8] {
    do throws(ESCPOSEncodingError) {
      return try ESCPOSCommand.encode(commands)
    } catch {
      throw Fault(.textUnprintable, "\(error)")
    }
  }
}

/// How large a QR symbol becomes.
enum QRCapacity {
  /// Bytes that versions 1…40 hold at error correction M (ISO/IEC 18004, table 7).
  private static let bytes = [
    14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412, 450, 504, 560, 624, 666, 711, 779,
    857,
    911, 997, 1059, 1125, 1190, 1264, 1370, 1452, 1538, 1628, 1722, 1809, 1911, 1989, 2099, 2213, 2331,
  ]

  /// Modules along one side; nil when no symbol holds that many.
  static func side(forBytes count: Int) -> Int? {
    bytes.firstIndex { $0 >= count }.map { 21 + 4 * $0 }
  }
}
