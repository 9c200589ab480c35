import Devices
import Testing

@Suite struct ProfileMatchTests {
  @Test(arguments: [
    ("TM-T88V", "TM-T88V", true), ("TM-T88V", "tm-t88v", true), ("TM-T88V", "TM-T88*", true),
    ("TM-T88V", "TM-T88V*", true), ("TM-T88V", "*T88*", true), ("TM-T88V", "TM-T8?V", true),
    ("TM-T88V", "TM-T88", false), ("TM-T88V", "T88V", false), ("TM-T88V", "TM-T88V?", false),
    ("TM-T88V", "*", true), ("", "*", true), ("", "?", false), ("", "", true), ("a", "", false),
    ("aXbXc", "a*b*c", true), ("aXbXd", "a*b*c", false),
    ("aaaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*c", false),
    ("身份证读卡器", "身份证*", true), ("Brother MFC", "Brother*", true),
  ])
  func `a pattern is held against the whole value`(value: String, pattern: String, holds: Bool) {
    let predicate = MatchPredicate(fact: "model", patterns: [pattern])
    #expect(predicate.holds(["model": value]) == holds)
  }

  @Test func `one of several patterns is enough, and a fact that is not known holds nothing`() {
    let predicate = MatchPredicate(fact: "usb-id", patterns: ["0416:5011", "0483:*"])
    #expect(predicate.holds(["usb-id": "0483:070b"]))
    #expect(!predicate.holds(["usb-id": "04b8:0202"]))
    #expect(!predicate.holds(["transport": "tty"]))
  }

  @Test func `what must not be is kept out, also where nothing is said`() {
    let predicate = MatchPredicate(fact: "ieee1284-commands", patterns: ["!*PCL*", "!*PJL*"])
    #expect(predicate.holds(["ieee1284-commands": "ESC/POS"]))
    #expect(predicate.holds([:]))
    #expect(!predicate.holds(["ieee1284-commands": "PJL,PCLXL"]))
    let both = MatchPredicate(fact: "usb-id", patterns: ["0483:*", "!0483:df11"])
    #expect(both.holds(["usb-id": "0483:5743"]))
    #expect(!both.holds(["usb-id": "0483:df11"]))
    #expect(!both.holds([:]))
    #expect(predicate.weight == 1 && both.weight > 20)
  }

  @Test func `a fact of several words is held against word by word`() {
    let keyboard = MatchPredicate(fact: "hid-usage", patterns: ["0001/0006"])
    #expect(keyboard.holds(["hid-usage": "0001/0006 000c/0001"]))
    #expect(!keyboard.holds(["hid-usage": "0001/0002"]))
    let keypad = MatchPredicate(fact: "input-keys", patterns: ["keypad", "!letters"])
    #expect(keypad.holds(["input-keys": "keypad enter"]))
    #expect(!keypad.holds(["input-keys": "digits keypad letters enter"]))
  }

  @Test func `any of several ways to match will do, and the nearest is told`() {
    let profile = DeviceProfile(
      name: "p", kind: .ticketDispenser, driver: "escpos", maker: "", model: "",
      match: [
        [MatchPredicate(fact: "transport", patterns: ["tty"])],
        [
          MatchPredicate(fact: "transport", patterns: ["usblp"]),
          MatchPredicate(fact: "usb-class", patterns: ["07/01/*"]),
          MatchPredicate(fact: "ieee1284-model", patterns: ["TM-*"]),
        ],
      ], settings: [:], file: "p.conf")
    #expect(profile.weight(for: ["transport": "tty"]) == 1)
    let printer = ["transport": "usblp", "usb-class": "07/01/02", "ieee1284-model": "TM-T88V"]
    #expect((profile.weight(for: printer) ?? 0) > 1)
    let other = printer.merging(["ieee1284-model": "POS-58"]) { $1 }
    #expect(profile.weight(for: other) == nil)
    #expect(profile.obstacle(for: other)?.fact == "ieee1284-model")
    let set = ProfileSet([profile])
    #expect(set.best(for: .ticketDispenser, facts: ["transport": "tty"], least: 2) == nil)
    #expect(set.best(for: .ticketDispenser, facts: printer, least: 2)?.name == "p")
  }

  private static func profile(_ name: String, _ match: [(String, [String])], kind: DeviceKind = .scanner)
    -> DeviceProfile
  {
    DeviceProfile(
      name: name, kind: kind, driver: "escl", maker: "", model: "",
      match: match.isEmpty ? [] : [match.map { MatchPredicate(fact: $0.0, patterns: $0.1) }], settings: [:],
      file: name + ".conf")
  }

  private static let set = ProfileSet([
    profile("generic", [("transport", ["http"])]),
    profile("another-generic", [("transport", ["http", "simulated"])]),
    profile("brother", [("transport", ["http"]), ("make-and-model", ["Brother*"])]),
    profile("brother-mfc", [("transport", ["http"]), ("make-and-model", ["Brother MFC*"])]),
    profile("brother-mfc-exact", [("transport", ["http"]), ("make-and-model", ["Brother MFC-L2710DW"])]),
    profile("by-name", []),
    profile("queue", [("transport", ["cups"])], kind: .printer),
  ])

  @Test(arguments: [
    (["transport": "http"], "another-generic"),
    (["transport": "http", "make-and-model": "HP M426"], "another-generic"),
    (["transport": "http", "make-and-model": "Brother DCP"], "brother"),
    (["transport": "http", "make-and-model": "Brother MFC-J1"], "brother-mfc"),
    (["transport": "http", "make-and-model": "brother mfc-l2710dw"], "brother-mfc-exact"),
    (["transport": "sane"], nil), ([:], nil),
  ])
  func `the most specific profile wins, and the first by name among equals`(
    facts: [String: String], name: String?
  ) {
    #expect(Self.set.best(for: .scanner, facts: facts)?.name == name)
  }

  @Test func `a profile of another kind or without a match section is never chosen by itself`() {
    #expect(Self.set.best(for: .printer, facts: ["transport": "http"]) == nil)
    #expect(Self.set.best(for: .printer, facts: ["transport": "cups"])?.name == "queue")
    #expect(Self.set.best(for: .evaluator, facts: ["transport": "http"]) == nil)
    #expect(Self.set.named("by-name")?.match == [])
  }

  @Test func `the explanation tells every profile and what would make it match`() {
    let told = Self.set.explain(
      kind: .scanner, facts: ["transport": "http", "make-and-model": "Brother DCP"])
    #expect(
      told.map(\.profile) == [
        "brother", "another-generic", "generic", "brother-mfc", "brother-mfc-exact", "by-name", "queue",
      ])
    #expect(told.map(\.matched) == [true, true, true, false, false, false, false])
    #expect(
      told.map(\.english) == [
        "It fits and is the most specific: chosen.",
        "It fits, but another profile is more specific.",
        "It fits, but another profile is more specific.",
        "make-and-model is 'Brother DCP'; the profile wants 'Brother MFC*'.",
        "make-and-model is 'Brother DCP'; the profile wants 'Brother MFC-L2710DW'.",
        "It is never chosen by itself. Name it in the device's configuration: profile = by-name.",
        "It is for a printer, not for a scanner.",
      ])
    #expect(told[3].chinese == "make-and-model 为“Brother DCP”，而档案要求“Brother MFC*”。")
    #expect(told[6].chinese == "此档案用于打印机，而不是扫描仪。")
    #expect(told[3].file == "brother-mfc.conf")
  }

  @Test func `a fact that the device does not tell is told as missing`() {
    let told = Self.set.explain(kind: .scanner, facts: ["transport": "http"])
    let brother = told.first { $0.profile == "brother" }
    #expect(
      brother?.english
        == "The device does not tell its make-and-model; the profile wants 'Brother*'. Name it in the device's "
        + "configuration: profile = brother.")
    #expect(told.contains { $0.chinese.contains("设备未提供 make-and-model") })
  }
}
