import Codecs
import Devices
import Drivers
import TestKit
import Testing

@Suite struct UdevRulesTests {
  private static func shipped() throws -> ProfileSet {
    let paths = try Repository.files(under: "config/profiles", suffix: ".conf")
    let files = try paths.map { (path: $0, text: Array(try Repository.text($0).utf8)) }
    let (profiles, errors) = ProfileSet.read(files, drivers: Catalog.drivers)
    #expect(errors.map(\.description) == [])
    return profiles
  }

  @Test func `the rules of the repository are those of the profiles`() throws {
    let text = UdevRules.text(try Self.shipped())
    #expect(
      try Repository.text("udev/70-hall-agent.rules") == text,
      "run: halld udev-rules > udev/70-hall-agent.rules")
  }

  @Test func `a device is the group's and never everybody's`() throws {
    let text = UdevRules.text(try Self.shipped())
    for line in text.split(separator: "\n") where line.contains("MODE=") {
      #expect(line.contains("MODE=\"0660\"") && line.contains("GROUP=\"hall\""), "\(line)")
    }
    #expect(!text.contains("0666") && !text.contains("uaccess"))
    #expect(text.contains("ATTR{power/control}=\"on\"") && text.contains("ENV{ID_MM_DEVICE_IGNORE}=\"1\""))
    // Every jump has its target.
    for part in text.split(separator: "GOTO=\"").dropFirst() {
      let label = part.prefix { $0 != "\"" }
      #expect(text.contains("LABEL=\"\(label)\""), "\(label)")
    }
  }

  private static func rules(_ match: [[(String, [String])]]) -> [String] {
    let profile = DeviceProfile(
      name: "p", kind: .scanner, driver: "d", maker: "", model: "",
      match: match.map { $0.map { MatchPredicate(fact: $0.0, patterns: $0.1) } }, settings: [:], file: "")
    let lines = UdevRules.text(ProfileSet([profile])).split(separator: "\n").map(String.init)
    guard let start = lines.firstIndex(of: "# p") else { return [] }
    return lines[(start + 1)...].prefix { $0.contains("ENV{HALL_DEVICE}=\"1\"") }.map(\.self)
  }

  @Test func `ids, texts and classes become matches, and what says only how it is reached none`() {
    #expect(
      Self.rules([[("transport", ["usb"]), ("usb-id", ["0400:C35A", "1d90:*", "!0483:df11"])]])
        == [
          #"ATTR{idVendor}=="0400", ATTR{idProduct}=="c35a", ENV{HALL_DEVICE}="1", ENV{HALL_USB}="1""#,
          #"ATTR{idVendor}=="1d90", ENV{HALL_DEVICE}="1", ENV{HALL_USB}="1""#,
        ])
    #expect(
      Self.rules([
        [
          ("transport", ["usblp", "usb"]), ("usb-class", ["07/01/01", "07/01/*"]), ("ieee1284-model", ["X*"]),
        ]
      ]) == [
        #"ENV{ID_USB_INTERFACES}=="*:070101:*|*:0701??:*", ENV{HALL_DEVICE}="1", ENV{HALL_USB}="1", ENV{HALL_USBLP}="1""#
      ])
    #expect(
      Self.rules([
        [("transport", ["evdev"]), ("usb-maker", ["Simulated"]), ("usb-product", ["Rating keypad"])]
      ])
        == [
          #"ATTR{manufacturer}=="Simulated", ATTR{product}=="Rating keypad", ENV{HALL_DEVICE}="1", ENV{HALL_EVDEV}="1""#
        ])
    #expect(Self.rules([[("transport", ["tty", "simulated"])]]) == [])
    #expect(Self.rules([[("transport", ["http"]), ("usb-id", ["0400:c35a"])]]) == [])
    #expect(Self.rules([[("transport", ["usb"]), ("usb-product", ["a\", RUN+=\"/bin/sh"])]]) == [])
    #expect(Self.rules([[("transport", ["usb"]), ("usb-product", ["$attr{x}"])]]) == [])
  }

  @Test func `a slot that names its port gets a rule for what is in it`() {
    #expect(
      UdevRules.rule(place: "port", value: "1-1.2", flags: UdevRules.flags(["evdev"]))
        == #"KERNEL=="1-1.2", ENV{HALL_DEVICE}="1", ENV{HALL_EVDEV}="1""#)
    #expect(
      UdevRules.rule(place: "serial", value: "A\"1", flags: UdevRules.flags(["usb"])) == nil)
  }
}
