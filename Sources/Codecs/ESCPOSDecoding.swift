extension ESCPOSCommand {
  /// Reads a sequence whose length ``ESCPOSSequence`` has told; nil for one this type has no case for, or with a
  /// parameter that printers ignore. Where printers take a number or its ASCII digit, both are read.
  init?(sequence bytes: [UInt8]) {
    guard let command = Self.read(bytes) else { return nil }
    self = command
  }

  private static func read(_ bytes: [UInt8]) -> ESCPOSCommand? {
    guard let first = bytes.first else { return nil }
    switch first {
    case 0x09: return .horizontalTab
    case 0x0A: return .lineFeed
    case 0x0D: return .carriageReturn
    default: break
    }
    guard bytes.count >= 2 else { return nil }
    switch first {
    case ESCPOSByte.dle: return realTime(bytes)
    case ESCPOSByte.esc: return escape(bytes[1], Array(bytes[2...]))
    case ESCPOSByte.fs: return field(bytes)
    case ESCPOSByte.gs: return group(bytes[1], Array(bytes[2...]))
    default: return nil
    }
  }

  private static func realTime(_ bytes: [UInt8]) -> ESCPOSCommand? {
    if bytes == ESCPOSByte.clearBuffer { return .realTimeClearBuffer }
    switch (bytes[1], bytes.count) {
    case (0x04, 3): return .realTimeStatus(bytes[2])
    case (0x05, 3) where bytes[2] == 1 || bytes[2] == 2:
      return .realTimeRecover(clearingBuffers: bytes[2] == 2)
    case (0x14, 5) where bytes[2] == 1 && (1...8).contains(bytes[4]):
      return Connector(rawValue: bytes[3]).map { .realTimePulse($0, time: bytes[4]) }
    default: return nil
    }
  }

  private static func escape(_ function: UInt8, _ parameters: [UInt8]) -> ESCPOSCommand? {
    switch (function, parameters.count) {
    case (0x40, 0): return .initialise
    case (0x32, 0): return .defaultLineSpacing
    case (0x69, 0): return .cut(.oldPartial)
    case (0x6D, 0): return .cut(.oldThreePoint)
    case (0x61, 1): return Alignment(rawValue: plain(parameters[0])).map { .align($0) }
    case (0x45, 1): return .bold(parameters[0] & 1 == 1)
    case (0x2D, 1): return plain(parameters[0]) <= 2 ? .underline(dots: Int(plain(parameters[0]))) : nil
    case (0x4D, 1): return Font(rawValue: plain(parameters[0])).map { .font($0) }
    case (0x21, 1): return .printMode(PrintMode(rawValue: parameters[0]))
    case (0x64, 1): return .feedLines(parameters[0])
    case (0x4A, 1): return .feedDots(parameters[0])
    case (0x33, 1): return .lineSpacing(parameters[0])
    case (0x74, 1): return .codeTable(parameters[0])
    case (0x70, 3):
      return Connector(rawValue: plain(parameters[0])).map {
        .pulse($0, on: parameters[1], off: parameters[2])
      }
    default: return nil
    }
  }

  private static func field(_ bytes: [UInt8]) -> ESCPOSCommand? {
    if bytes == ESCPOSByte.hardwareReset { return .hardwareReset }
    let value = bytes.count == 3 ? bytes[2] : 0
    switch (bytes[1], bytes.count) {
    case (0x26, 2): return .chineseMode(true)
    case (0x2E, 2): return .chineseMode(false)
    case (0x21, 3): return .chinesePrintMode(ChinesePrintMode(rawValue: value))
    case (0x57, 3): return .chineseQuadSize(value & 1 == 1)
    case (0x2D, 3): return plain(value) <= 2 ? .chineseUnderline(dots: Int(plain(value))) : nil
    case (0x43, 3): return .chineseCodeSystem(value)
    default: return nil
    }
  }

  private static func group(_ function: UInt8, _ parameters: [UInt8]) -> ESCPOSCommand? {
    guard let first = parameters.first else { return nil }
    switch (function, parameters.count) {
    case (0x21, 1):
      return first & 0x88 == 0 ? .characterSize(width: Int(first >> 4) + 1, height: Int(first & 7) + 1) : nil
    case (0x42, 1): return .invert(first & 1 == 1)
    case (0x4C, 2): return .leftMargin(number(parameters, 0))
    case (0x57, 2): return .printWidth(number(parameters, 0))
    case (0x68, 1): return first > 0 ? .barcodeHeight(first) : nil
    case (0x77, 1): return (2...6).contains(first) ? .barcodeModuleWidth(first) : nil
    case (0x48, 1): return BarcodeText(rawValue: plain(first)).map { .barcodeText($0) }
    case (0x66, 1): return Font(rawValue: plain(first)).map { .barcodeFont($0) }
    case (0x6B, 2...): return barcode(first, parameters)
    case (0x28, 3...): return counted(first, Array(parameters[3...]))
    case (0x76, 6...):
      let rowBytes = Int(number(parameters, 2))
      let rows = Int(number(parameters, 4))
      guard first == 0x30, rowBytes > 0, rows > 0, let scale = RasterScale(rawValue: plain(parameters[1]))
      else {
        return nil
      }
      return .rasterImage(scale: scale, rowBytes: rowBytes, rows: rows, dots: Array(parameters[6...]))
    case (0x56, 1): return .cut(plain(first) == 0 ? .full : .partial)
    case (0x56, 2): return cut(first, parameters[1])
    case (0x61, 1): return .automaticStatus(AutomaticStatus(rawValue: first))
    case (0x72, 1): return TransmittedStatus(rawValue: plain(first)).map { .transmitStatus($0) }
    case (0x49, 1): return Identity(rawValue: plain(first)).map { .transmitIdentity($0) }
    case (0x65, 1): return .ejector(.function(first))
    case (0x65, 2): return .ejector(.present(steps: parameters[1]))
    case (0x65, 3): return .ejector(.presentWithTimeout(steps: parameters[1], time: parameters[2]))
    case (0xE0, 1): return .automaticFullStatus(first)
    case (0x52, 1): return .retract(afterSeconds: nil)
    case (0x52, 2): return .retract(afterSeconds: parameters[1])
    default: return nil
    }
  }

  /// Both forms of a bar code: A (systems 0…6, ended by NUL) and B (systems from 65, counted).
  private static func barcode(_ system: UInt8, _ parameters: [UInt8]) -> ESCPOSCommand? {
    let isFormA = system <= 6
    let data = isFormA ? Array(parameters[1...].dropLast()) : Array(parameters[2...])
    guard let system = BarcodeSystem(rawValue: isFormA ? system + 65 : system), system.accepts(data) else {
      return nil
    }
    return .barcode(system, data)
  }

  /// `GS (` with its function letter; what follows the count.
  private static func counted(_ letter: UInt8, _ content: [UInt8]) -> ESCPOSCommand? {
    if letter == 0x48 {
      guard content.count == 6, content[0] == 0x30, content[1] == 0x30 else { return nil }
      return ESCPOSEchoID(bytes: content[2...]).map { .printCompleteEcho($0) }
    }
    guard letter == 0x6B, content.count >= 3, content[0] == 0x31 else { return nil }
    switch (content[1], content.count) {
    case (0x41, 4): return content[3] == 0 ? QRModel(rawValue: content[2]).map { .qrModel($0) } : nil
    case (0x43, 3): return (1...16).contains(content[2]) ? .qrModuleSize(content[2]) : nil
    case (0x45, 3): return QRErrorCorrection(rawValue: content[2]).map { .qrErrorCorrection($0) }
    case (0x50, 4...ESCPOSByte.qrLimit + 3): return content[2] == 0x30 ? .qrStore(Array(content[3...])) : nil
    case (0x51, 3): return content[2] == 0x30 ? .qrPrint : nil
    case (0x52, 3): return content[2] == 0x30 ? .qrSizeQuery : nil
    default: return nil
    }
  }

  private static func cut(_ function: UInt8, _ feed: UInt8) -> ESCPOSCommand? {
    switch function {
    case 65: .cut(.feedAndFull(feed))
    case 66: .cut(.feedAndPartial(feed))
    case 97: .cut(.reserveFull(feed))
    case 98: .cut(.reservePartial(feed))
    case 103: .cut(.feedCutReturnFull(feed))
    case 104: .cut(.feedCutReturnPartial(feed))
    default: nil
    }
  }

  /// Many parameters may be sent as a number or as its ASCII digit.
  private static func plain(_ value: UInt8) -> UInt8 { (0x30...0x39).contains(value) ? value - 0x30 : value }

  private static func number(_ bytes: [UInt8], _ place: Int) -> UInt16 {
    UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
  }
}
