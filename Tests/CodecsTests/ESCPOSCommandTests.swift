import Codecs
import Testing

/// Commands and their bytes, from facts/devices.md A1 and A4: at least one of every kind.
enum ESCPOSVectors {
  static let echo = ESCPOSEchoID(bytes: Array("A023".utf8)) ?? ESCPOSEchoID(number: 0)

  static let commands: [(ESCPOSCommand, String)] = [
    (.text(hex("41 D5 C5 31")), "41 D5 C5 31"),
    (.lineFeed, "0A"), (.carriageReturn, "0D"), (.horizontalTab, "09"),
    (.initialise, "1B 40"),
    (.align(.left), "1B 61 00"), (.align(.centre), "1B 61 01"), (.align(.right), "1B 61 02"),
    (.characterSize(width: 1, height: 1), "1D 21 00"), (.characterSize(width: 2, height: 3), "1D 21 12"),
    (.characterSize(width: 8, height: 8), "1D 21 77"),
    (.bold(true), "1B 45 01"), (.bold(false), "1B 45 00"),
    (.underline(dots: 0), "1B 2D 00"), (.underline(dots: 1), "1B 2D 01"), (.underline(dots: 2), "1B 2D 02"),
    (.invert(true), "1D 42 01"), (.invert(false), "1D 42 00"),
    (.font(.a), "1B 4D 00"), (.font(.b), "1B 4D 01"),
    (.printMode([]), "1B 21 00"), (.printMode([.fontB, .bold]), "1B 21 09"),
    (.printMode([.doubleHeight, .doubleWidth, .underline]), "1B 21 B0"),
    (.feedLines(3), "1B 64 03"), (.feedDots(80), "1B 4A 50"),
    (.defaultLineSpacing, "1B 32"), (.lineSpacing(40), "1B 33 28"),
    (.leftMargin(0x0123), "1D 4C 23 01"), (.printWidth(576), "1D 57 40 02"),
    (.chineseMode(true), "1C 26"), (.chineseMode(false), "1C 2E"),
    (.chinesePrintMode([.doubleWidth, .doubleHeight]), "1C 21 0C"),
    (.chinesePrintMode(.underline), "1C 21 80"),
    (.chineseQuadSize(true), "1C 57 01"), (.chineseQuadSize(false), "1C 57 00"),
    (.chineseUnderline(dots: 2), "1C 2D 02"), (.chineseCodeSystem(1), "1C 43 01"),
    (.codeTable(16), "1B 74 10"),
    (.barcodeHeight(80), "1D 68 50"), (.barcodeModuleWidth(3), "1D 77 03"),
    (.barcodeText(.none), "1D 48 00"), (.barcodeText(.both), "1D 48 03"), (.barcodeFont(.b), "1D 66 01"),
    (.barcode(.upcA, Array("01234567890".utf8)), "1D 6B 41 0B 30 31 32 33 34 35 36 37 38 39 30"),
    (.barcode(.upcE, Array("012345".utf8)), "1D 6B 42 06 30 31 32 33 34 35"),
    (.barcode(.ean13, Array("690123456789".utf8)), "1D 6B 43 0C 36 39 30 31 32 33 34 35 36 37 38 39"),
    (.barcode(.ean8, Array("6901234".utf8)), "1D 6B 44 07 36 39 30 31 32 33 34"),
    (.barcode(.code39, Array("*A-1*".utf8)), "1D 6B 45 05 2A 41 2D 31 2A"),
    (.barcode(.itf, Array("0123".utf8)), "1D 6B 46 04 30 31 32 33"),
    (.barcode(.codabar, Array("A1B".utf8)), "1D 6B 47 03 41 31 42"),
    (.barcode(.code93, Array("A 1".utf8)), "1D 6B 48 03 41 20 31"),
    (.barcode(.code128, hex("7B 42 4E 6F 2E 7B 43 0C 22 38")), "1D 6B 49 0A 7B 42 4E 6F 2E 7B 43 0C 22 38"),
    (.qrModel(.one), "1D 28 6B 04 00 31 41 31 00"), (.qrModel(.two), "1D 28 6B 04 00 31 41 32 00"),
    (.qrModuleSize(6), "1D 28 6B 03 00 31 43 06"),
    (.qrErrorCorrection(.low), "1D 28 6B 03 00 31 45 30"),
    (.qrErrorCorrection(.high), "1D 28 6B 03 00 31 45 33"),
    (.qrStore(hex("41 0A 1B")), "1D 28 6B 06 00 31 50 30 41 0A 1B"),
    (.qrPrint, "1D 28 6B 03 00 31 51 30"), (.qrSizeQuery, "1D 28 6B 03 00 31 52 30"),
    (
      .rasterImage(scale: .normal, rowBytes: 2, rows: 3, dots: hex("80 01 0A 1B 10 04")),
      "1D 76 30 00 02 00 03 00 80 01 0A 1B 10 04"
    ),
    (.rasterImage(scale: .quadruple, rowBytes: 1, rows: 1, dots: [0xFF]), "1D 76 30 03 01 00 01 00 FF"),
    (.cut(.full), "1D 56 00"), (.cut(.partial), "1D 56 01"),
    (.cut(.feedAndFull(5)), "1D 56 41 05"), (.cut(.feedAndPartial(0)), "1D 56 42 00"),
    (.cut(.reserveFull(1)), "1D 56 61 01"), (.cut(.reservePartial(2)), "1D 56 62 02"),
    (.cut(.feedCutReturnFull(3)), "1D 56 67 03"), (.cut(.feedCutReturnPartial(4)), "1D 56 68 04"),
    (.cut(.oldPartial), "1B 69"), (.cut(.oldThreePoint), "1B 6D"),
    (.pulse(.pin2, on: 50, off: 100), "1B 70 00 32 64"), (.pulse(.pin5, on: 1, off: 2), "1B 70 01 01 02"),
    (.realTimeStatus(1), "10 04 01"), (.realTimeStatus(4), "10 04 04"), (.realTimeStatus(20), "10 04 14"),
    (.realTimeRecover(clearingBuffers: false), "10 05 01"),
    (.realTimeRecover(clearingBuffers: true), "10 05 02"),
    (.realTimePulse(.pin5, time: 8), "10 14 01 01 08"),
    (.realTimeClearBuffer, "10 14 08 01 03 14 01 06 02 08"),
    (.automaticStatus([]), "1D 61 00"),
    (.automaticStatus([.drawer, .online, .error, .paper, .panel]), "1D 61 4F"),
    (.transmitStatus(.paper), "1D 72 01"), (.transmitStatus(.drawer), "1D 72 02"),
    (.transmitIdentity(.model), "1D 49 01"), (.transmitIdentity(.serialNumber), "1D 49 44"),
    (.printCompleteEcho(echo), "1D 28 48 06 00 30 30 41 30 32 33"),
    (.ejector(.function(5)), "1D 65 05"), (.ejector(.present(steps: 12)), "1D 65 03 0C"),
    (.ejector(.presentWithTimeout(steps: 12, time: 30)), "1D 65 20 0C 1E"),
    (.automaticFullStatus(15), "1D E0 0F"),
    (.retract(afterSeconds: nil), "1D 52 30"), (.retract(afterSeconds: 20), "1D 52 31 14"),
    (.hardwareReset, "1C C0 18 10 14 1A"),
  ]
}

@Suite struct ESCPOSCommandTests {
  @Test(arguments: ESCPOSVectors.commands)
  func `a command has the bytes of the facts`(command: ESCPOSCommand, text: String) throws {
    #expect(hexText(try command.encode()) == hexText(hex(text)))
  }

  @Test func `a list is its commands one after another`() throws {
    #expect(
      try ESCPOSCommand.encode([.initialise, .text([0x41]), .lineFeed, .cut(.full)])
        == hex("1B 40 41 0A 1D 56 00"))
    #expect(throws: ESCPOSEncodingError.outOfRange(value: 9, allowed: 1...8)) {
      try ESCPOSCommand.encode([.initialise, .characterSize(width: 9, height: 1)])
    }
  }

  @Test(
    arguments: [
      (.text(hex("41 1B 40")), .controlByte(0x1B, offset: 1)),
      (.text([0x0A]), .controlByte(0x0A, offset: 0)),
      (.characterSize(width: 0, height: 1), .outOfRange(value: 0, allowed: 1...8)),
      (.characterSize(width: 1, height: 9), .outOfRange(value: 9, allowed: 1...8)),
      (.underline(dots: 3), .outOfRange(value: 3, allowed: 0...2)),
      (.chineseUnderline(dots: -1), .outOfRange(value: -1, allowed: 0...2)),
      (.barcodeHeight(0), .outOfRange(value: 0, allowed: 1...255)),
      (.barcodeModuleWidth(7), .outOfRange(value: 7, allowed: 2...6)),
      (.barcode(.ean13, Array("69012345678".utf8)), .barcodeData(.ean13)),
      (.barcode(.code128, Array("A023".utf8)), .barcodeData(.code128)),
      (.qrModuleSize(0), .outOfRange(value: 0, allowed: 1...16)),
      (.qrModuleSize(17), .outOfRange(value: 17, allowed: 1...16)),
      (.qrStore([]), .outOfRange(value: 0, allowed: 1...7089)),
      (.qrStore(Array(repeating: 0x41, count: 7090)), .outOfRange(value: 7090, allowed: 1...7089)),
      (
        .rasterImage(scale: .normal, rowBytes: 0, rows: 1, dots: []),
        .outOfRange(value: 0, allowed: 1...65_535)
      ),
      (
        .rasterImage(scale: .normal, rowBytes: 1, rows: 65_536, dots: []),
        .outOfRange(value: 65_536, allowed: 1...65_535)
      ),
      (
        .rasterImage(scale: .normal, rowBytes: 2, rows: 2, dots: [1, 2, 3]),
        .rasterSize(expected: 4, found: 3)
      ),
      (.realTimePulse(.pin2, time: 9), .outOfRange(value: 9, allowed: 1...8)),
      (.ejector(.function(3)), .ejectorParameters(function: 3)),
      (.ejector(.function(32)), .ejectorParameters(function: 32)),
    ] as [(ESCPOSCommand, ESCPOSEncodingError)])
  func `what a printer would not take is refused`(command: ESCPOSCommand, error: ESCPOSEncodingError) {
    #expect(throws: error) { try command.encode() }
  }

  @Test(
    arguments: [
      (.upcA, ["01234567890", "012345678901"], ["0123456789", "0123456789012", "0123456789A"]),
      (.upcE, ["012345", "0123456", "01234567", "01234567890"], ["01234", "012345678"]),
      (.ean13, ["690123456789", "6901234567892"], ["69012345678", "69012345678921"]),
      (.ean8, ["6901234", "69012341"], ["690123", "690123456"]),
      (.code39, ["A 1-", "*A*", "0"], ["a", "", "A*B", "*"]),
      (.itf, ["01", "0123"], ["", "0", "012", "0a"]),
      (.codabar, ["A1B", "a$+c", "AB"], ["A", "1A", "A1", "AXB", ""]),
      (.code93, ["x\u{7F}"], ["", "é"]),
      (.code128, ["{Ba", "{C1", "{B{{", "{A1{B2{C3{SA{14"], ["{B", "{D1", "ABC", "{B{", "{B{x", "{Bé"]),
    ] as [(ESCPOSCommand.BarcodeSystem, [String], [String])])
  func `a bar code system takes its own data`(
    system: ESCPOSCommand.BarcodeSystem, good: [String], bad: [String]
  ) {
    for data in good { #expect(system.accepts(Array(data.utf8)), "\(data)") }
    for data in bad { #expect(!system.accepts(Array(data.utf8)), "\(data)") }
    #expect(!system.accepts(Array(repeating: 0x30, count: 256)))
  }

  @Test func `ASCII becomes CODE128 with its braces doubled`() {
    typealias System = ESCPOSCommand.BarcodeSystem
    #expect(System.code128(Array("A{1".utf8)) == Array("{BA{{1".utf8))
    #expect(
      System.code128(Array("排".utf8)) == nil && System.code128([]) == nil && System.code128([0x0A]) == nil)
    #expect(System.code128(Array(repeating: 0x41, count: 253))?.count == 255)
    #expect(System.code128(Array(repeating: 0x41, count: 254)) == nil)
  }

  @Test func `echo ids are printable and differ`() {
    #expect(ESCPOSEchoID(number: 0).bytes == hex("20×4"))
    #expect(ESCPOSEchoID(number: 95 * 95 * 95 * 95 - 1).bytes == hex("7E×4"))
    #expect(ESCPOSEchoID(number: 95).bytes == hex("20 20 21 20"))
    #expect(Set((0..<10_000).map { ESCPOSEchoID(number: $0) }).count == 10_000)
    #expect(ESCPOSEchoID(bytes: hex("20 20 20 7F")) == nil && ESCPOSEchoID(bytes: hex("20 20 20")) == nil)
    #expect(ESCPOSEchoID(number: .max).bytes.count == 4)
  }
}
