import TestKit
import Testing

@testable import Codecs

@Suite struct HIDReportDescriptorTests {
  /// USB HID 1.11, appendix E.6: the boot keyboard's report descriptor, 63 bytes.
  static let keyboard = hex(
    """
    05 01 09 06 A1 01 05 07 19 E0 29 E7 15 00 25 01 75 01 95 08 81 02 95 01 75 08 81 01 95 05 75 01 05 08 19 01 \
    29 05 91 02 95 01 75 03 91 01 95 06 75 08 15 00 25 65 05 07 19 00 29 65 81 00 C0
    """)
  /// USB HID 1.11, appendix E.10: the boot mouse's, 50 bytes.
  static let mouse = hex(
    """
    05 01 09 02 A1 01 09 01 A1 00 05 09 19 01 29 03 15 00 25 01 95 03 75 01 81 02 95 01 75 05 81 01 05 01 09 30 \
    09 31 15 81 25 7F 75 08 95 02 81 06 C0 C0
    """)
  /// A reader with a vendor's page and 64 bytes each way, as ID-card readers and signing terminals have it.
  static let reader = hex(
    "06 A0 FF 09 01 A1 01 09 03 15 00 26 FF 00 75 08 95 40 81 02 09 04 15 00 26 FF 00 75 08 95 40 91 02 C0")

  @Test func `the boot keyboard of the standard is read`() throws {
    #expect(Self.keyboard.count == 63)
    let descriptor = try HIDReportDescriptor(Self.keyboard)
    #expect(!descriptor.isNumbered)
    #expect(descriptor.applications == [HIDUsage(page: 1, id: 6)])
    #expect(descriptor.reports.map(\.kind) == [.input, .output])
    let input = try #require(descriptor.report(.input, 0))
    #expect(input.bits == 64)
    #expect(input.bytes == 8)
    #expect(input.fields.map(\.offset) == [0, 8, 16])
    #expect(input.fields.map(\.count) == [8, 1, 6])
    #expect(input.fields.map(\.isConstant) == [false, true, false])
    #expect(input.fields.map(\.isVariable) == [true, false, false])
    #expect(input.fields[0].usages == [HIDUsage(page: 7, id: 0xE0)...HIDUsage(page: 7, id: 0xE7)])
    #expect(input.fields[2].usages == [HIDUsage(page: 7, id: 0)...HIDUsage(page: 7, id: 0x65)])
    #expect(input.fields[2].logicalMaximum == 101)
    let output = try #require(descriptor.report(.output, 0))
    #expect(output.bits == 8)
    #expect(output.fields[0].usages == [HIDUsage(page: 8, id: 1)...HIDUsage(page: 8, id: 5)])
    #expect(descriptor.report(.feature, 0) == nil)
    #expect(descriptor.longest(.input) == 8)
    #expect(descriptor.longest(.feature) == 0)
  }

  @Test func `the boot mouse of the standard has signed fields inside an inner collection`() throws {
    #expect(Self.mouse.count == 50)
    let descriptor = try HIDReportDescriptor(Self.mouse)
    #expect(descriptor.applications.map(\.description) == ["0001:0002"])
    let input = try #require(descriptor.report(.input, 0))
    #expect(input.bytes == 3)
    let movement = try #require(input.fields.last)
    #expect(movement.logicalMinimum == -127)
    #expect(movement.logicalMaximum == 127)
    #expect(movement.usages.map(\.lowerBound) == [HIDUsage(page: 1, id: 0x30), HIDUsage(page: 1, id: 0x31)])
    #expect(movement.application == HIDUsage(page: 1, id: 2))
  }

  @Test func `a reader with a vendor's page has 64 bytes each way`() throws {
    let descriptor = try HIDReportDescriptor(Self.reader)
    #expect(descriptor.applications.map(\.description) == ["ffa0:0001"])
    #expect(descriptor.longest(.input) == 64)
    #expect(descriptor.longest(.output) == 64)
    #expect(descriptor.report(.input, 0)?.fields.first?.logicalMaximum == 255)
  }

  @Test func `numbered reports are kept apart, and their number counts into the length`() throws {
    // Report 1: 7 bytes in, 2 out; report 2: 3 bits of feature, 12 bits in. Push and pop save the size.
    let descriptor = try HIDReportDescriptor(
      hex(
        """
        06 00 FF 09 01 A1 01 15 00 26 FF 00 75 08 A4 85 01 95 07 09 02 81 02 95 02 09 03 91 02 85 02 75 01 95 03 \
        09 04 B1 02 75 0C 95 01 09 05 81 02 B4 95 01 09 06 85 03 B1 02 C0
        """))
    #expect(descriptor.isNumbered)
    #expect(descriptor.report(.input, 1)?.bytes == 7)
    #expect(descriptor.report(.output, 1)?.bytes == 2)
    #expect(descriptor.report(.input, 2)?.bits == 12)
    #expect(descriptor.report(.feature, 2)?.bits == 3)
    // The 8 bits from before the push.
    #expect(descriptor.report(.feature, 3)?.bits == 8)
    #expect(descriptor.report(.input, 0) == nil)
    #expect(descriptor.longest(.input) == 8)
  }

  @Test func `a long item is passed over, and of alternative usages the first counts`() throws {
    let descriptor = try HIDReportDescriptor(
      hex("FE 03 F0 AA BB CC 05 0C 09 01 A1 01 A9 01 09 E9 09 EA A9 00 15 00 25 01 75 01 95 01 81 02 C0"))
    let field = try #require(descriptor.report(.input, 0)?.fields.first)
    #expect(field.usages.map(\.lowerBound) == [HIDUsage(page: 0x0C, id: 0xE9)])
  }

  @Test func `a usage of four bytes brings its page, a short one gets the last before its main item`() throws
  {
    let descriptor = try HIDReportDescriptor(
      hex("05 01 0B 02 00 0C 00 A1 01 09 05 05 07 75 08 95 01 81 00 C0"))
    #expect(descriptor.applications.map(\.description) == ["000c:0002"])
    #expect(descriptor.reports.first?.fields.first?.usages.map(\.lowerBound) == [HIDUsage(page: 7, id: 5)])
  }

  static let bad: [(String, HIDDescriptorError)] = [
    ("", .length(0)),
    ("05 01 09 06 A1 01 26 FF", .truncated(offset: 6)),
    ("FE 08 00 01", .truncated(offset: 0)),
    ("FE", .truncated(offset: 0)),
    ("05 01 09 06 A1 01", .unbalanced(offset: 6)),
    ("C0", .unbalanced(offset: 0)),
    ("B4", .unbalanced(offset: 0)),
    ("A4 A4 A4 A4 A4", .tooDeep(offset: 4)),
    ("85 00", .reportNumber(0, offset: 0)),
    ("86 00 01", .reportNumber(256, offset: 0)),
    ("75 08 95 01 81 02", .misplaced(offset: 4)),
    // Report 1 after a field without a number.
    ("A1 01 75 08 95 01 81 02 85 01 81 02 C0", .misplaced(offset: 13)),
    ("76 01 01", .tooLarge(offset: 0)),
    ("97 FF FF FF FF", .tooLarge(offset: 0)),
    // 256 bits 12 288 times.
    ("A1 01 76 00 01 96 00 30 81 02 C0", .tooLarge(offset: 8)),
    ("0C", .reserved(offset: 0)),
    ("C4", .reserved(offset: 0)),
  ]

  @Test(arguments: bad) func `what is wrong is refused with its place`(
    text: String, error: HIDDescriptorError
  ) {
    #expect(throws: error) { _ = try HIDReportDescriptor(hex(text)) }
  }

  @Test func `more than the kernel reads is refused`() {
    #expect(throws: HIDDescriptorError.length(4097)) {
      _ = try HIDReportDescriptor([UInt8](repeating: 0x04, count: 4097))
    }
  }

  @Test(arguments: [UInt64(1), 2, 3, 4]) func `no descriptor harms`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<4000 {
      var bytes =
        [Self.keyboard, Self.mouse, Self.reader, random.bytes(60, favouring: Self.keyboard)].randomElement(
          using: &random) ?? []
      for _ in 0..<Int.random(in: 0...6, using: &random) where !bytes.isEmpty {
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      guard let descriptor = try? HIDReportDescriptor(bytes) else { continue }
      for report in descriptor.reports {
        #expect(report.bytes <= 16_384)
        #expect(report.bits == report.fields.reduce(0) { $0 + $1.size * $1.count })
        #expect(descriptor.isNumbered == (report.number != 0))
      }
    }
  }
}
