import TestKit
import Testing

@testable import Hotplug

@Suite struct HIDUsagesTests {
  /// The keyboard of the HID specification's appendix E.6.
  private static let keyboard: [UInt8] = [
    0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01,
    0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19,
    0x01,
    0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25,
    0x65,
    0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xC0,
  ]
  private static let vendor: [UInt8] = [
    0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x09, 0x02, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95,
    0x40,
    0x81, 0x02, 0xC0,
  ]

  @Test func `top-level collections are told by page and usage`() {
    #expect(HIDUsages.read(Self.keyboard) == ["0001/0006"])
    #expect(HIDUsages.read(Self.vendor) == ["ff00/0001"])
    #expect(HIDUsages.read(Self.keyboard + Self.vendor) == ["0001/0006", "ff00/0001"])
    // A collection within one is not told; a usage of four bytes has its page with it.
    #expect(
      HIDUsages.read([0x0B, 0x02, 0x00, 0x8C, 0x00, 0xA1, 0x01, 0x09, 0x01, 0xA1, 0x00, 0xC0, 0xC0]) == [
        "008c/0002"
      ])
    // A long item is passed over.
    #expect(HIDUsages.read([0xFE, 0x02, 0xF0, 1, 2] + Self.vendor) == ["ff00/0001"])
    #expect(HIDUsages.read([]) == [])
  }

  @Test(arguments: 0..<200) func `no damage to a descriptor does harm`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bytes = Self.keyboard + Self.vendor
    for _ in 0..<Int.random(in: 1...8, using: &random) {
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    #expect(HIDUsages.read(Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))).count <= 32)
  }

  @Test(arguments: [
    // A full keyboard's, a number pad's and a mouse's, as Linux prints them.
    (
      "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe",
      ["digits", "keypad", "letters", "enter", "functions"]
    ),
    ("100000000 0 0 f8e0000000000 0", []),
    ("70000 0 0 0 0", []), ("", []), ("zz", []),
  ])
  func `the groups of keys are those of which all are there`(bitmap: String, groups: [String]) {
    #expect(InputKeys.groups(bitmap) == groups)
  }

  @Test func `a printer's id is read whatever it holds`() {
    let epson = IEEE1284ID("MFG:EPSON;CMD:ESC/POS;MDL:TM-T88V;CLS:PRINTER;DES:EPSON TM-T88V;SN:J1;")
    #expect(epson?.maker == "EPSON" && epson?.model == "TM-T88V" && epson?.serial == "J1")
    let long = IEEE1284ID("MANUFACTURER: HP ;COMMAND SET:PJL,PCL;MODEL:LaserJet M1;")
    #expect(long?.maker == "HP" && long?.commands == "PJL,PCL" && long?.model == "LaserJet M1")
    #expect(IEEE1284ID("") == nil && IEEE1284ID(";;:;") == nil && IEEE1284ID("XYZ") == nil)
    #expect(IEEE1284ID("MFG:\u{1B}[2JA;MFG:B;")?.maker == "[2JA")
  }
}
