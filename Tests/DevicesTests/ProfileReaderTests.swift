import Codecs
import Devices
import Testing

@Suite struct ProfileReaderTests {
  @Test func `a profile file is read whole`() throws {
    let (profiles, errors) = read(
      (
        "/p/one.conf",
        profileText(
          match: "transport = tty, simulated\nusb-id = 0483:*\nmake-and-model = HP LaserJet M4*",
          settings: "columns = 32\nsettle = 300 ms\nkeys = 1:5 0:4\nsource = \"\"")
      ))
    #expect(errors == [])
    let profile = try #require(profiles.named("one"))
    #expect(
      profile
        == DeviceProfile(
          name: "one", kind: .ticketDispenser, driver: "escpos", maker: "Maker", model: "Model",
          match: [
            [
              MatchPredicate(fact: "transport", patterns: ["tty", "simulated"]),
              MatchPredicate(fact: "make-and-model", patterns: ["HP LaserJet M4*"]),
              MatchPredicate(fact: "usb-id", patterns: ["0483:*"]),
            ]
          ],
          settings: ["columns": "32", "settle": "300 ms", "keys": "1:5 0:4", "source": ""],
          file: "/p/one.conf"))
  }

  @Test func `a profile may have several ways to match, and may be for naming only`() throws {
    let text = profileText(match: "transport = tty\n[match]\ntransport = usblp\nusb-class = 07/01/*")
      .replacing("model = Model", with: "model = Model\nautomatic = no")
    let (profiles, errors) = read(("/p/one.conf", text))
    #expect(errors == [])
    let profile = try #require(profiles.named("one"))
    #expect(profile.match.map { $0.map(\.fact) } == [["transport"], ["transport", "usb-class"]])
    #expect(!profile.isAutomatic)
    #expect(profiles.best(for: .ticketDispenser, facts: ["transport": "tty"]) == nil)
    #expect(
      profiles.explain(kind: .ticketDispenser, facts: ["transport": "tty"]).map(\.verdict) == [.byNameOnly])
  }

  private static let wrongKind =
    "f:3:8: 'scaner' is not right; expected one of id-card-reader, ticket-dispenser, scanner, evaluator, printer, "
    + "citizen-screen; did you mean 'scanner'?"

  private static let wrongTransport =
    "f:8:13: 'ttty' is not right; expected one or more of tty, http, sane, cups, simulated, usb, usblp, hidraw, "
    + "evdev, video, screen; did you mean 'tty'?"

  @Test(arguments: [
    (
      profileText(driver: "escpo"),
      "f:4:10: 'escpo' is not right; expected one of escpos, escl; did you mean 'escpos'?"
    ),
    (
      profileText(kind: "scaner"),
      wrongKind
    ),
    (profileText(kind: "scanner"), "f:4:10: driver 'escpos' is for a ticket dispenser, not for a scanner"),
    (profileText(settings: "colums = 32"), "f:10:1: unknown key 'colums'; did you mean 'columns'?"),
    (
      profileText(settings: "columns = 12"),
      "f:10:11: '12' is not right; expected a whole number from 16 to 96"
    ),
    (
      profileText(settings: "settle = 300"),
      "f:10:10: '300' is not right; expected a time from 10 ms to 60000 ms with its unit, as 300 ms or 5 s"
    ),
    (
      profileText(settings: "cut = ful"),
      "f:10:7: 'ful' is not right; expected one of none, full, partial; did you mean 'full'?"
    ),
    (profileText(settings: "status = maybe"), "f:10:10: 'maybe' is not right; expected yes or no"),
    (
      profileText(settings: "keys = 1:6"),
      "f:10:8: '1:6' is not right; expected pairs such as 1:5 0:4, a number from 0 to 255 and one from 1 to 5, no "
        + "first number twice"
    ),
    (
      profileText(settings: "bits = 7.1:offline"),
      "f:10:8: '7.1:offline' is not right; expected bits such as 3.2:paperJam: a status number from 1 to 6, a bit "
        + "from 0 to 7, and none or one of paperJam, offline"
    ),
    (profileText(settings: "status = yes\nstatus = no"), "f:11:1: key 'status' was already given in line 10"),
    (profileText(match: "transprot = tty"), "f:8:1: unknown key 'transprot'; did you mean 'transport'?"),
    (
      profileText(match: "transport = ttty"),
      wrongTransport
    ),
    (
      profileText(match: "transport = tty, http"),
      "f:8:13: the driver needs a byte-stream channel, which 'http' does not give"
    ),
    (profileText(match: "usb-id = 0483:070b"), "f:7:1: section [match] lacks the key 'transport'"),
    (
      profileText(match: "transport ="),
      "f:8:12: '' is not right; expected a value or several with commas, * for any text, ? for one character, ! before what must not be"
    ),
    (
      profileText(name: "One"),
      "f:2:8: 'One' is not right; expected a name of lower-case letters, digits and hyphens"
    ),
    (profileText() + "\n[quirk a]\n", "f:11:1: unknown section [quirk a]"),
    ("[match]\ntransport = tty\n", "f:1:1: section [profile] is missing"),
    (
      "[profile]\nname = a\nkind = scanner\ndriver = escl\nmaker = x\n",
      "f:1:1: section [profile] lacks the key 'model'"
    ),
  ])
  func `a mistake is told with its place and what is right`(text: String, sentence: String) {
    let (profiles, errors) = read(("f", text))
    #expect(errors == [sentence])
    #expect(profiles.profiles == [])
  }

  @Test func `every mistake of a file is told at once`() {
    let text = profileText(kind: "scaner", match: "transprot = tty", settings: "colums = 32\ncut = ful")
    #expect(read(("f", text)).errors.count == 4)
  }

  @Test func `settings of an unknown driver are not judged`() {
    let errors = read(("f", profileText(driver: "nobody", settings: "anything = 1"))).errors
    #expect(errors.count == 1)
    #expect(errors.first?.contains("'nobody'") == true)
  }

  @Test func `the administrator's file takes the place of the agent's own`() {
    let (profiles, errors) = read(
      ("/usr/share/p/one.conf", profileText(settings: "columns = 32")),
      ("/usr/share/p/two.conf", profileText(name: "two")),
      ("/etc/p/mine.conf", profileText(settings: "columns = 40")))
    #expect(errors == [])
    #expect(profiles.names == ["one", "two"])
    #expect(profiles.named("one")?.settings == ["columns": "40"])
    #expect(profiles.named("one")?.file == "/etc/p/mine.conf")
  }

  @Test func `a wrong file takes nobody's place`() {
    let (profiles, errors) = read(
      ("/usr/share/p/one.conf", profileText(settings: "columns = 32")),
      ("/etc/p/one.conf", profileText(settings: "columns = 1")))
    #expect(errors.count == 1)
    #expect(profiles.named("one")?.settings == ["columns": "32"])
  }

  @Test func `two files of one directory may not share a name`() {
    let (profiles, errors) = read(
      ("/p/a.conf", profileText(settings: "columns = 32")),
      ("/p/b.conf", profileText(settings: "columns = 40")))
    #expect(errors == ["/p/b.conf:2:8: /p/a.conf already has a profile of that name"])
    #expect(profiles.named("one")?.settings == ["columns": "32"])
  }

  @Test func `a file that is no text gets an error and no crash`() {
    let (profiles, errors) = ProfileSet.read(
      [("f", [0xFF, 0xFE, 0x00, 0x41]), ("g", []), ("h", Array(repeating: 0x5B, count: 5000))],
      drivers: SampleDrivers.all)
    #expect(profiles.profiles == [])
    #expect(errors.map(\.file) == ["f", "g", "h"])
  }

  @Test func `mistakes are told in Chinese too`() {
    let (_, errors) = ProfileSet.read(
      [("f", Array(profileText(kind: "scanner").utf8))], drivers: SampleDrivers.all)
    #expect(errors.map { $0.text(chinese: true) } == ["f:4:10: 驱动“escpos”用于取号机，而不是扫描仪"])
  }
}
