/// A command to a ticket printer in Epson's ESC/POS language, or a run of text (facts/devices.md A1).
///
/// A ticket is a list of these, turned into bytes by ``encode(_:)``. The other way round, ``ESCPOSInterpreter`` finds them in
/// a stream, for a simulated printer. Numbers outside their range are refused when encoding, never cut.
public enum ESCPOSCommand: Sendable, Equatable {
  /// Characters in the printer's code page; no control bytes (below 20). Chinese text is GB18030 on most printers sold in
  /// China, two-byte characters only: the profile says so.
  case text([UInt8])
  /// `0A`: print the line and feed.
  case lineFeed
  /// `0D`: ignored by most printers.
  case carriageReturn
  /// `09`: to the next tab stop.
  case horizontalTab

  /// `1B 40`: clears the print buffer and all modes; not the receive buffer.
  case initialise
  /// `1B 61 n`: only at the start of a line.
  case align(Alignment)
  /// `1D 21 n`: multiples 1…8 of the font.
  case characterSize(width: Int, height: Int)
  /// `1B 45 n`.
  case bold(Bool)
  /// `1B 2D n`: thickness 0 (off), 1 or 2 dots.
  case underline(dots: Int)
  /// `1D 42 n`: white on black.
  case invert(Bool)
  /// `1B 4D n`.
  case font(Font)
  /// `1B 21 n`: several modes at once.
  case printMode(PrintMode)

  /// `1B 64 n`: print and feed n lines.
  case feedLines(UInt8)
  /// `1B 4A n`: print and feed n dots.
  case feedDots(UInt8)
  /// `1B 32`.
  case defaultLineSpacing
  /// `1B 33 n`: in dots.
  case lineSpacing(UInt8)
  /// `1D 4C nL nH`: in dots; only at the start of a line.
  case leftMargin(UInt16)
  /// `1D 57 nL nH`: in dots; only at the start of a line.
  case printWidth(UInt16)

  /// `1C 26` and `1C 2E`: two-byte characters on or off. Makers differ in what is on after power-up: always send it.
  case chineseMode(Bool)
  /// `1C 21 n`: modes of two-byte characters.
  case chinesePrintMode(ChinesePrintMode)
  /// `1C 57 n`: two-byte characters at double width and height.
  case chineseQuadSize(Bool)
  /// `1C 2D n`: underline of two-byte characters, 0 (off), 1 or 2 dots.
  case chineseUnderline(dots: Int)
  /// `1C 43 n`: 0 JIS, 1 Shift-JIS. Some printers sold as Chinese have a Japanese font (facts/devices.md A6).
  case chineseCodeSystem(UInt8)
  /// `1B 74 n`: table of single-byte characters; used for bytes from 80 on while Chinese mode is off.
  case codeTable(UInt8)

  /// `1D 68 n`: 1…255 dots.
  case barcodeHeight(UInt8)
  /// `1D 77 n`: narrow bar, 2…6 dots.
  case barcodeModuleWidth(UInt8)
  /// `1D 48 n`: where the characters stand.
  case barcodeText(BarcodeText)
  /// `1D 66 n`: font of the characters.
  case barcodeFont(Font)
  /// `1D 6B m n d…` (form B). What each system takes is in ``BarcodeSystem/accepts(_:)``.
  case barcode(BarcodeSystem, [UInt8])

  /// `1D 28 6B … 41`.
  case qrModel(QRModel)
  /// `1D 28 6B … 43`: side of a module, 1…16 dots.
  case qrModuleSize(UInt8)
  /// `1D 28 6B … 45`.
  case qrErrorCorrection(QRErrorCorrection)
  /// `1D 28 6B … 50`: 1…7089 bytes into the symbol store.
  case qrStore([UInt8])
  /// `1D 28 6B … 51`: prints what is stored; only at the start of a line. The quiet zone is the sender's business.
  case qrPrint
  /// `1D 28 6B … 52`: asks how large the symbol would be; the answer is ``ESCPOSReply/qrSize(width:height:printable:)``.
  case qrSizeQuery

  /// `1D 76 30 m xL xH yL yH d…`: a picture of `rows` rows of `rowBytes` bytes, leftmost dot in the highest bit, 1 is black.
  case rasterImage(scale: RasterScale, rowBytes: Int, rows: Int, dots: [UInt8])
  /// `1D 56 …` and the two old forms. Only at the start of a line.
  case cut(Cut)
  /// `1B 70 m t1 t2`: drawer or a kiosk's relay; times in 2 ms.
  case pulse(Connector, on: UInt8, off: UInt8)

  /// `10 04 n`: status at once; see ``StatusSource/realTime(_:)`` and ``ESCPOSReply/realTimeStatus(_:)``.
  case realTimeStatus(UInt8)
  /// `10 05 n`: go on after a recoverable error, `1` reprinting from the line in error, `2` throwing the buffers away.
  case realTimeRecover(clearingBuffers: Bool)
  /// `10 14 01 m t`: pulse at once; time 1…8 in 100 ms (Epson's reference).
  case realTimePulse(Connector, time: UInt8)
  /// `10 14 08 01 03 14 01 06 02 08`: throw receive and print buffer away; answered by ``ESCPOSReply/bufferCleared``.
  /// Nothing may be sent before the answer.
  case realTimeClearBuffer
  /// `1D 61 n`: report changes unasked, see ``ESCPOSReply/automaticStatus(_:)``. With anything enabled the first report
  /// comes at once.
  case automaticStatus(AutomaticStatus)
  /// `1D 72 n`: status when its turn comes, so never while the printer is off line for lack of paper.
  case transmitStatus(TransmittedStatus)
  /// `1D 49 n`: identity, see ``ESCPOSReply/transmitted(_:)`` and ``ESCPOSReply/information(_:)``.
  case transmitIdentity(Identity)
  /// `1D 28 48 06 00 30 30 d1 d2 d3 d4`: answered by ``ESCPOSReply/printComplete(_:)`` when everything before it is on paper.
  /// Many printers never answer.
  case printCompleteEcho(ESCPOSEchoID)

  /// `1D 65 n …`: presenter of a kiosk printer. Makers number the functions differently (facts/devices.md A4).
  case ejector(Ejector)
  /// `1D E0 n`: kiosk printers report ``ESCPOSReply/fullStatus(_:)`` on change of the groups in `n`.
  case automaticFullStatus(UInt8)
  /// `1D 52 30`, `1D 52 31 n`: Citizen presenters take the ticket back, now or after n seconds.
  case retract(afterSeconds: UInt8?)
  /// `1C C0 18 10 14 1A`: kiosk printers start anew.
  case hardwareReset
}

extension ESCPOSCommand {
  /// Place of a line.
  public enum Alignment: UInt8, Sendable, CaseIterable {
    /// At the left margin.
    case left = 0
    /// In the middle.
    case centre = 1
    /// At the right margin.
    case right = 2
  }

  /// Fonts every printer has.
  public enum Font: UInt8, Sendable, CaseIterable {
    /// 12 × 24 dots on most printers.
    case a = 0
    /// 9 × 17 dots on most printers.
    case b = 1
  }

  /// Bits of `1B 21`.
  public struct PrintMode: OptionSet, Sendable, Hashable {
    /// The byte n.
    public let rawValue: UInt8
    /// A set with these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Font B instead of A.
    public static let fontB = PrintMode(rawValue: 0x01)
    /// Bold.
    public static let bold = PrintMode(rawValue: 0x08)
    /// Double height.
    public static let doubleHeight = PrintMode(rawValue: 0x10)
    /// Double width.
    public static let doubleWidth = PrintMode(rawValue: 0x20)
    /// Underlined.
    public static let underline = PrintMode(rawValue: 0x80)
  }

  /// Bits of `1C 21` (manuals of Zijiang ZJ-58, Clover TH82, Microcom 814M agree).
  public struct ChinesePrintMode: OptionSet, Sendable, Hashable {
    /// The byte n.
    public let rawValue: UInt8
    /// A set with these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Double width.
    public static let doubleWidth = ChinesePrintMode(rawValue: 0x04)
    /// Double height.
    public static let doubleHeight = ChinesePrintMode(rawValue: 0x08)
    /// Underlined.
    public static let underline = ChinesePrintMode(rawValue: 0x80)
  }

  /// Where a bar code's characters stand.
  public enum BarcodeText: UInt8, Sendable, CaseIterable {
    /// Nowhere.
    case none = 0
    /// Above the bars.
    case above = 1
    /// Below the bars.
    case below = 2
    /// Above and below.
    case both = 3
  }

  /// Kinds of QR symbol.
  public enum QRModel: UInt8, Sendable, CaseIterable {
    /// The first, smaller capacity.
    case one = 49
    /// The usual one.
    case two = 50
  }

  /// How much of a QR symbol may be damaged.
  public enum QRErrorCorrection: UInt8, Sendable, CaseIterable {
    /// L: about 7 %.
    case low = 48
    /// M: about 15 %.
    case medium = 49
    /// Q: about 25 %.
    case quartile = 50
    /// H: about 30 %.
    case high = 51
  }

  /// How a picture is enlarged.
  public enum RasterScale: UInt8, Sendable, CaseIterable {
    /// One dot for each bit.
    case normal = 0
    /// Twice as wide.
    case doubleWidth = 1
    /// Twice as high.
    case doubleHeight = 2
    /// Both.
    case quadruple = 3
  }

  /// Ways of cutting. Feeds are in vertical motion units. SNBC BT-T080 knows `full`, `partial` and `feedAndPartial` only.
  public enum Cut: Sendable, Hashable {
    /// `1D 56 00`.
    case full
    /// `1D 56 01`: a bridge of paper remains.
    case partial
    /// `1D 56 41 n`: feed the print to the cutter and n more, cut.
    case feedAndFull(UInt8)
    /// `1D 56 42 n`.
    case feedAndPartial(UInt8)
    /// `1D 56 61 n`: cut later, when the place has come to the cutter.
    case reserveFull(UInt8)
    /// `1D 56 62 n`.
    case reservePartial(UInt8)
    /// `1D 56 67 n`: feed, cut, feed back.
    case feedCutReturnFull(UInt8)
    /// `1D 56 68 n`.
    case feedCutReturnPartial(UInt8)
    /// `1B 69`: old form, one point left.
    case oldPartial
    /// `1B 6D`: old form, three points left.
    case oldThreePoint
  }

  /// Pins of the drawer connector.
  public enum Connector: UInt8, Sendable, CaseIterable {
    /// Pin 2.
    case pin2 = 0
    /// Pin 5.
    case pin5 = 1
  }

  /// What is reported unasked: bits of `1D 61`.
  public struct AutomaticStatus: OptionSet, Sendable, Hashable {
    /// The byte n.
    public let rawValue: UInt8
    /// A set with these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The drawer connector's pin 3.
    public static let drawer = AutomaticStatus(rawValue: 0x01)
    /// On line or off line.
    public static let online = AutomaticStatus(rawValue: 0x02)
    /// Errors.
    public static let error = AutomaticStatus(rawValue: 0x04)
    /// Paper sensors.
    public static let paper = AutomaticStatus(rawValue: 0x08)
    /// The panel's keys.
    public static let panel = AutomaticStatus(rawValue: 0x40)
  }

  /// What `1D 72` asks.
  public enum TransmittedStatus: UInt8, Sendable, CaseIterable {
    /// Paper sensors.
    case paper = 1
    /// Drawer connector.
    case drawer = 2
  }

  /// What `1D 49` asks. The first three are answered by one byte, the others by a block of text.
  public enum Identity: UInt8, Sendable, CaseIterable {
    /// Model number.
    case model = 1
    /// Type: cutter, two-byte characters.
    case type = 2
    /// Version of the ROM.
    case rom = 3
    /// Firmware version as text.
    case firmware = 65
    /// Maker's name.
    case maker = 66
    /// Model's name.
    case modelName = 67
    /// Serial number.
    case serialNumber = 68
  }

  /// Forms of `1D 65` (facts/devices.md A4). Which number does what is in the profile.
  public enum Ejector: Sendable, Hashable {
    /// A function without parameters, such as 5 (eject) on Custom printers. Not 3 and not 32.
    case function(UInt8)
    /// `3 m`: present m steps; 7 mm each on one maker's printers, 0.625 mm on another's.
    case present(steps: UInt8)
    /// `20 m t`: present m steps, then retract or eject after t.
    case presentWithTimeout(steps: UInt8, time: UInt8)

    static let presentCode: UInt8 = 3
    static let timeoutCode: UInt8 = 32
  }
}

/// The four bytes of a print-complete echo, each 20…7E: what a host sends with a ticket to know it again.
public struct ESCPOSEchoID: Sendable, Hashable {
  /// Four printable bytes.
  public let bytes: [UInt8]

  /// These four bytes; nil unless there are four and all are in 20…7E.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 4, bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else { return nil }
    self.bytes = Array(bytes)
  }

  /// The number's last four digits to base 95: consecutive numbers differ for 81 million tickets.
  public init(number: UInt64) {
    var rest = number
    var bytes: [UInt8] = []
    for _ in 0..<4 {
      bytes.insert(0x20 + UInt8(rest % 95), at: 0)
      rest /= 95
    }
    self.bytes = bytes
  }
}
