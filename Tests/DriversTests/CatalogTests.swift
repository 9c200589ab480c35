import Codecs
import Devices
import Posix
import TestKit
import Testing

@testable import Drivers

@Suite struct CatalogTests {
  /// The profiles of `config/profiles`, as the agent reads them.
  private static func shipped() throws -> (profiles: ProfileSet, errors: [ConfError]) {
    let files = try Repository.files(under: "config/profiles", suffix: ".conf")
    return ProfileSet.read(
      try files.map { ($0, Array(try Repository.text($0).utf8)) }, drivers: Catalog.drivers)
  }

  @Test func `every shipped profile is right`() throws {
    let (profiles, errors) = try Self.shipped()
    #expect(errors.map(\.description) == [])
    #expect(
      profiles.profiles.count == (try Repository.files(under: "config/profiles", suffix: ".conf").count))
  }

  @Test func `a profile's name is its file's, and a comment above it says where its facts are from`() throws {
    for profile in try Self.shipped().profiles.profiles {
      #expect(profile.file.hasSuffix("/\(profile.name).conf"))
      let text = try Repository.text(profile.file)
      #expect(text.hasPrefix("# "))
      let comment = text.prefix { $0 != "[" }
      #expect(comment.contains("facts/") || comment.contains("design"), "\(profile.name)")
    }
  }

  @Test(arguments: Catalog.drivers.map(\.name))
  func `a driver has a profile, a page with all its settings, and settings that are right`(name: String)
    throws
  {
    let driver = try #require(Catalog.driver(named: name))
    #expect(try Self.shipped().profiles.profiles.contains { $0.driver == name && $0.kind == driver.kind })
    let page = try Repository.text("Sources/Drivers/Drivers.docc/\(name).md")
    for spec in driver.settings {
      #expect(spec.form.accepts(spec.standard), "\(spec.name) = \(spec.standard)")
      #expect(spec.summary.hasSuffix("."), "\(spec.name)")
      #expect(page.contains("`\(spec.name)`"), "\(spec.name) is not on the page")
    }
    #expect(Set(driver.settings.map(\.name)).count == driver.settings.count)
    for row in [
      "identified", "simulated", "traced", "hot-unplug", "timeouts", "retries classified", "log-once",
      "real unit seen",
    ] {
      // A row says yes, no, or exempt with the reason.
      let line = page.split(separator: "\n").first { $0.hasPrefix("| \(row) |") }
      let answer = line?.split(separator: "|").dropFirst().first.map { $0.drop { $0 == " " } } ?? ""
      #expect(
        answer.hasPrefix("yes") || answer.hasPrefix("no") || answer.hasPrefix("exempt: "), "\(row) of \(name)"
      )
    }
  }

  @Test func `names are unique and every kind has a driver`() {
    #expect(Set(Catalog.drivers.map(\.name)).count == Catalog.drivers.count)
    #expect(Set(Catalog.drivers.map(\.kind)) == Set(DeviceKind.allCases))
    #expect(Catalog.driver(named: "nobody") == nil)
  }

  private static let devices: [(kind: DeviceKind, facts: [String: String], name: String?)] = [
    (.idCardReader, ["transport": "tty"], "sdt-serial"),
    (.idCardReader, ["transport": "simulated", "model": "SDT ID-card reader"], "sdt-serial"),
    (.ticketDispenser, ["transport": "tty"], "escpos-generic-80"),
    (
      .ticketDispenser, ["transport": "simulated", "model": "ESC/POS ticket printer, 48 columns"],
      "escpos-simulated"
    ),
    (
      .ticketDispenser, ["transport": "tty", "usb-id": "0483:070b", "usb-product": "XP-C58K"],
      "xprinter-xp-c58k"
    ),
    // The id alone proves nothing: other printers have it too.
    (.ticketDispenser, ["transport": "tty", "usb-id": "0483:070b"], "escpos-generic-80"),
    (.ticketDispenser, ["transport": "tty", "ieee1284-model": "BT-T080"], "snbc-bt-t080"),
    (
      .ticketDispenser, ["transport": "tty", "ieee1284-maker": "EPSON", "ieee1284-model": "TM-T88V"],
      "escpos-epson"
    ),
    (.scanner, ["transport": "http"], "escl-generic"),
    (.scanner, ["transport": "http", "make-and-model": "Brother MFC-L2710DW"], "escl-brother"),
    (.scanner, ["transport": "http", "make-and-model": "Xerox B205"], "escl-xerox-b205"),
    (.scanner, ["transport": "http", "make-and-model": "Canon MF410 Series"], "escl-canon-mf410"),
    (.scanner, ["transport": "http", "make-and-model": "Xerox WorkCentre 3345"], "escl-xerox-wc3345"),
    (.scanner, ["transport": "sane", "address": "fujitsu:fi-8170:123"], "sane-generic"),
    (.scanner, ["transport": "sane", "address": "test:0"], "sane-test"),
    (.scanner, ["transport": "simulated", "model": "SIMULATED eSCL Scanner"], "escl-generic"),
    (.evaluator, ["transport": "tty"], "evaluator-ff68"),
    (.evaluator, ["transport": "simulated"], "evaluator-ff68"),
    (
      .evaluator, ["transport": "simulated", "model": "rating keypad with 5 keys (HID keyboard)"],
      "keypad-simulated"
    ),
    (
      .evaluator, ["transport": "simulated", "model": "rating keypad with 5 keys (HID reports)"],
      "report-keypad-simulated"
    ),
    (
      .evaluator, ["transport": "evdev", "usb-maker": "Simulated", "usb-product": "Rating keypad"],
      "keypad-simulated"
    ),
    // The clerk's keyboard is nobody's evaluator.
    (.evaluator, ["transport": "evdev", "usb-maker": "Logitech", "usb-product": "USB Keyboard"], nil),
    (.evaluator, ["transport": "hidraw"], nil), (.scanner, ["transport": "video"], "camera-generic"),
    (.scanner, ["transport": "simulated", "model": "document camera, 2480 × 3508"], "camera-simulated"),
    (.printer, ["transport": "cups"], "cups-generic"), (.printer, ["transport": "simulated"], "cups-generic"),
    (.printer, ["transport": "tty"], nil),
  ]

  @Test(arguments: devices)
  func `a device gets the profile that was made for it`(
    kind: DeviceKind, facts: [String: String], name: String?
  ) throws {
    #expect(try Self.shipped().profiles.best(for: kind, facts: facts)?.name == name)
  }
}
