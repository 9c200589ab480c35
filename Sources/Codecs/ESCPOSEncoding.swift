/// Why a command has no bytes.
public enum ESCPOSEncodingError: Error, Sendable, Equatable {
  /// A number is not one the command takes.
  case outOfRange(value: Int, allowed: ClosedRange<Int>)
  /// Text holds a control byte, which the printer would take for a command.
  case controlByte(UInt8, offset: Int)
  /// The bar code system does not take this data; see ``ESCPOSCommand/BarcodeSystem/accepts(_:)``.
  case barcodeData(ESCPOSCommand.BarcodeSystem)
  /// A picture's dots are not `rowBytes` times `rows` bytes.
  case rasterSize(expected: Int, found: Int)
  /// This ejector function needs its parameters: use the case that has them.
  case ejectorParameters(function: UInt8)
}

/// Bytes that begin commands.
enum ESCPOSByte {
  static let dle: UInt8 = 0x10
  static let esc: UInt8 = 0x1B
  static let fs: UInt8 = 0x1C
  static let gs: UInt8 = 0x1D
  /// The tail of "clear buffer": fixed, so that no picture is taken for it.
  static let clearBuffer: [UInt8] = [0x10, 0x14, 0x08, 0x01, 0x03, 0x14, 0x01, 0x06, 0x02, 0x08]
  static let hardwareReset: [UInt8] = [0x1C, 0xC0, 0x18, 0x10, 0x14, 0x1A]
  /// Most bytes in the QR symbol store.
  static let qrLimit = 7089
}

extension ESCPOSCommand {
  /// The bytes of a whole list, in order.
  public static func encode(_ commands: some Sequence<ESCPOSCommand>) throws(ESCPOSEncodingError) -> [UInt8] {
    var bytes: [UInt8] = []
    for command in commands { bytes += try command.encode() }
    return bytes
  }

  /// The bytes of this command.
  public func encode() throws(ESCPOSEncodingError) -> [UInt8] {
    let dle = ESCPOSByte.dle
    let esc = ESCPOSByte.esc
    let fs = ESCPOSByte.fs
    let gs = ESCPOSByte.gs
    switch self {
    case .text(let text):
      if let offset = text.firstIndex(where: { $0 < 0x20 }) {
        throw .controlByte(text[offset], offset: offset)
      }
      return text
    case .lineFeed: return [0x0A]
    case .carriageReturn: return [0x0D]
    case .horizontalTab: return [0x09]

    case .initialise: return [esc, 0x40]
    case .align(let alignment): return [esc, 0x61, alignment.rawValue]
    case .characterSize(let width, let height):
      return [gs, 0x21, (try Self.byte(width, 1...8) - 1) << 4 | (try Self.byte(height, 1...8) - 1)]
    case .bold(let on): return [esc, 0x45, on ? 1 : 0]
    case .underline(let dots): return [esc, 0x2D, try Self.byte(dots, 0...2)]
    case .invert(let on): return [gs, 0x42, on ? 1 : 0]
    case .font(let font): return [esc, 0x4D, font.rawValue]
    case .printMode(let mode): return [esc, 0x21, mode.rawValue]
    case .feedLines(let lines): return [esc, 0x64, lines]
    case .feedDots(let dots): return [esc, 0x4A, dots]
    case .defaultLineSpacing: return [esc, 0x32]
    case .lineSpacing(let dots): return [esc, 0x33, dots]
    case .leftMargin(let dots): return [gs, 0x4C] + Self.lowHigh(Int(dots))
    case .printWidth(let dots): return [gs, 0x57] + Self.lowHigh(Int(dots))

    case .chineseMode(let on): return [fs, on ? 0x26 : 0x2E]
    case .chinesePrintMode(let mode): return [fs, 0x21, mode.rawValue]
    case .chineseQuadSize(let on): return [fs, 0x57, on ? 1 : 0]
    case .chineseUnderline(let dots): return [fs, 0x2D, try Self.byte(dots, 0...2)]
    case .chineseCodeSystem(let system): return [fs, 0x43, system]
    case .codeTable(let table): return [esc, 0x74, table]

    case .barcodeHeight(let dots): return [gs, 0x68, try Self.byte(Int(dots), 1...255)]
    case .barcodeModuleWidth(let dots): return [gs, 0x77, try Self.byte(Int(dots), 2...6)]
    case .barcodeText(let place): return [gs, 0x48, place.rawValue]
    case .barcodeFont(let font): return [gs, 0x66, font.rawValue]
    case .barcode(let system, let data):
      guard system.accepts(data) else { throw .barcodeData(system) }
      return [gs, 0x6B, system.rawValue, UInt8(truncatingIfNeeded: data.count)] + data

    case .qrModel(let model): return Self.qr(0x41, [model.rawValue, 0x00])
    case .qrModuleSize(let dots): return Self.qr(0x43, [try Self.byte(Int(dots), 1...16)])
    case .qrErrorCorrection(let level): return Self.qr(0x45, [level.rawValue])
    case .qrStore(let data):
      try Self.check(data.count, 1...ESCPOSByte.qrLimit)
      return Self.qr(0x50, [0x30] + data)
    case .qrPrint: return Self.qr(0x51, [0x30])
    case .qrSizeQuery: return Self.qr(0x52, [0x30])

    case .rasterImage(let scale, let rowBytes, let rows, let dots):
      try Self.check(rowBytes, 1...65_535)
      try Self.check(rows, 1...65_535)
      guard dots.count == rowBytes * rows else {
        throw .rasterSize(expected: rowBytes * rows, found: dots.count)
      }
      return [gs, 0x76, 0x30, scale.rawValue] + Self.lowHigh(rowBytes) + Self.lowHigh(rows) + dots
    case .cut(let cut): return Self.bytes(of: cut)
    case .pulse(let connector, let on, let off): return [esc, 0x70, connector.rawValue, on, off]

    case .realTimeStatus(let kind): return [dle, 0x04, kind]
    case .realTimeRecover(let clearing): return [dle, 0x05, clearing ? 2 : 1]
    case .realTimePulse(let connector, let time):
      return [dle, 0x14, 0x01, connector.rawValue, try Self.byte(Int(time), 1...8)]
    case .realTimeClearBuffer: return ESCPOSByte.clearBuffer
    case .automaticStatus(let kinds): return [gs, 0x61, kinds.rawValue]
    case .transmitStatus(let kind): return [gs, 0x72, kind.rawValue]
    case .transmitIdentity(let kind): return [gs, 0x49, kind.rawValue]
    case .printCompleteEcho(let id): return [gs, 0x28, 0x48, 0x06, 0x00, 0x30, 0x30] + id.bytes

    case .ejector(.function(let function)):
      guard function != Ejector.presentCode, function != Ejector.timeoutCode else {
        throw .ejectorParameters(function: function)
      }
      return [gs, 0x65, function]
    case .ejector(.present(let steps)): return [gs, 0x65, Ejector.presentCode, steps]
    case .ejector(.presentWithTimeout(let steps, let time)):
      return [gs, 0x65, Ejector.timeoutCode, steps, time]
    case .automaticFullStatus(let groups): return [gs, 0xE0, groups]
    case .retract(afterSeconds: nil): return [gs, 0x52, 0x30]
    case .retract(afterSeconds: let seconds?): return [gs, 0x52, 0x31, seconds]
    case .hardwareReset: return ESCPOSByte.hardwareReset
    }
  }

  private static func bytes(of cut: Cut) -> [UInt8] {
    let cutPrefix = [ESCPOSByte.gs, 0x56]
    return switch cut {
    case .full: cutPrefix + [0]
    case .partial: cutPrefix + [1]
    case .feedAndFull(let feed): cutPrefix + [65, feed]
    case .feedAndPartial(let feed): cutPrefix + [66, feed]
    case .reserveFull(let feed): cutPrefix + [97, feed]
    case .reservePartial(let feed): cutPrefix + [98, feed]
    case .feedCutReturnFull(let feed): cutPrefix + [103, feed]
    case .feedCutReturnPartial(let feed): cutPrefix + [104, feed]
    case .oldPartial: [ESCPOSByte.esc, 0x69]
    case .oldThreePoint: [ESCPOSByte.esc, 0x6D]
    }
  }

  private static func qr(_ function: UInt8, _ parameters: [UInt8]) -> [UInt8] {
    [ESCPOSByte.gs, 0x28, 0x6B] + lowHigh(parameters.count + 2) + [0x31, function] + parameters
  }

  private static func check(_ value: Int, _ allowed: ClosedRange<Int>) throws(ESCPOSEncodingError) {
    guard allowed.contains(value) else { throw .outOfRange(value: value, allowed: allowed) }
  }

  private static func byte(_ value: Int, _ allowed: ClosedRange<Int>) throws(ESCPOSEncodingError) -> UInt8 {
    try check(value, allowed)
    return UInt8(truncatingIfNeeded: value)
  }

  private static func lowHigh(_ number: Int) -> [UInt8] {
    [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
  }
}
