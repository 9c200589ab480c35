import HallKit
import Posix
import TestKit
import Testing

/// A configuration that cannot work is told before the start: where, what, and what would be right.
@Suite(.timeLimit(.minutes(5))) struct ConfigurationTests {
  private struct Files {
    let directory: TemporaryDirectory
    init() throws { directory = try TemporaryDirectory() }

    /// `$D` in a text is the directory.
    func write(_ name: String, _ text: String) throws {
      let path = directory.path(name)
      try Posix.Files.makeDirectory(Posix.Files.directory(of: path), mode: 0o755, parents: true)
      let filled = text.split(separator: "$D", omittingEmptySubsequences: false).joined(
        separator: directory.path)
      try Posix.Files.replaceDurable(path, bytes: Array(filled.utf8), mode: 0o644)
    }
  }

  private static let agent = "[agent]\nhall = h\nposition = p\nsocket = $D/agent.sock\nstate = $D/state\n"

  struct Mistake: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Files by name.
    var files: [String: String]
    /// `file:line:column`.
    var place: String
    /// What the message says besides, in English: the mistake and the nearest right word.
    var says: [String]

    init(_ description: String, _ files: [String: String], _ place: String, _ says: String...) {
      testDescription = description
      self.files = files
      self.place = place
      self.says = says
    }
  }

  private static func hall(_ more: String) -> [String: String] { ["hall.conf": agent + more] }

  private static func profile(_ text: String, device: String = "") -> [String: String] {
    [
      "hall.conf": agent + "profiles = $D/profiles\n" + device,
      "profiles/mine.conf": "[profile]\nname = mine\n" + text,
    ]
  }

  static let mistakes = [
    Mistake("an unknown key", hall("positon = x"), "hall.conf:6:1", "positon", "position"),
    Mistake("an unknown section", hall("[intakes]\nuser = x"), "hall.conf:6:1", "intakes", "intake"),
    Mistake("a wrong value", hall("language = english"), "hall.conf:6:12", "english", "zh-CN, en"),
    Mistake("a value without its unit", hall("stop-timeout = 20"), "hall.conf:6:16", "20"),
    Mistake("a missing key", ["hall.conf": "[agent]\nhall = h\n"], "hall.conf:1:1", "position"),
    Mistake(
      "an unknown kind", hall("[device d]\nkind = scaner\nport = sane:x"), "hall.conf:7:8", "scaner",
      "scanner"),
    Mistake(
      "a port of no form", hall("[device d]\nkind = scanner\nport = /dev/ttyS1"), "hall.conf:8:8", "tty:/dev/"
    ),
    Mistake(
      "an unknown profile", hall("[device d]\nkind = scanner\nport = sane:x\nprofile = sane-tset"),
      "hall.conf:9:11", "sane-tset", "sane-test"),
    Mistake(
      "an unknown setting of a driver",
      hall("[device d]\nkind = scanner\nport = sane:x\nprofile = sane-test\nmode-color = Color"),
      "hall.conf:10:1",
      "mode-color", "mode-colour"),
    Mistake(
      "a driver that cannot use the port",
      hall("[device d]\nkind = scanner\nport = tty:/dev/ttyS1\nprofile = sane-test"), "hall.conf:8:8", "sane"),
    Mistake(
      "an unknown driver in a profile",
      profile("kind = scanner\ndriver = san\nmaker = m\nmodel = m\n[match]\ntransport = sane"),
      "profiles/mine.conf:4:10", "san", "sane"),
    Mistake(
      "a match that can never be",
      profile("kind = scanner\ndriver = sane\nmaker = m\nmodel = m\n[match]\ntransport = tty"),
      "profiles/mine.conf:8:13", "channel"),
    Mistake(
      "an unknown fact in a match",
      profile("kind = scanner\ndriver = sane\nmaker = m\nmodel = m\n[match]\ntransport = sane\nadress = x"),
      "profiles/mine.conf:9:1", "adress", "address"),
    Mistake(
      "a wrong setting in a profile",
      profile(
        "kind = evaluator\ndriver = evaluator-ff68\nmaker = m\nmodel = m\n[match]\ntransport = tty\n[settings]\nbaud = 9601"
      ),
      "profiles/mine.conf:10:8", "9601", "9600"),
    Mistake(
      "a driver of another kind",
      profile("kind = printer\ndriver = sane\nmaker = m\nmodel = m\n[match]\ntransport = sane"),
      "profiles/mine.conf:4:10", "scanner"),
    Mistake("a missing file", [:], "hall.conf:1:1", "hall.conf"),
    Mistake("a missing directory of profiles", hall("profiles = $D/nowhere"), "hall.conf:6:12", "nowhere"),
    Mistake(
      "a missing file of simulated devices", hall("[simulation]\nhall = $D/nowhere.conf"), "hall.conf:7:8",
      "nowhere.conf"),
    Mistake("a missing key file", hall("[outbox]\nkey-file = $D/key"), "hall.conf:7:12", "/key"),
    Mistake(
      "a wrong model among simulated devices",
      [
        "hall.conf": agent + "[simulation]\nhall = $D/devices.conf",
        "devices.conf": "[device d]\nmodel = evaluater\n",
      ], "devices.conf:2:9", "evaluater", "evaluator"),
    Mistake("a file that is no text", ["hall.conf": "[agent]\nhall = \u{0}\n"], "hall.conf:2:8"),
  ]

  @Test(arguments: mistakes) func `a mistake ends the start with its place and the nearest word`(
    _ mistake: Mistake
  )
    async throws
  {
    let files = try Files()
    for (name, text) in mistake.files { try files.write(name, text) }
    let path = files.directory.path("hall.conf")
    let english = try await RunningProgram.run(Built.path("halld"), ["run", "--config", path])
    #expect(english.status == .exited(78))
    #expect(english.output.isEmpty)
    let place = files.directory.path(mistake.place) + ": "
    let line = english.errors.split(separator: "\n").first { $0.hasPrefix(place) }
    #expect(line != nil, "\(place) is not in: \(english.errors)")
    for word in mistake.says {
      #expect(line?.dropFirst(place.count).contains(word) == true, "\(word): \(english.errors)")
    }
    #expect(!isCrashReport(english.errors))

    let chinese = try await RunningProgram.run(
      Built.path("halld"), ["run", "--config", path], environment: ["LANG": "zh_CN.UTF-8"])
    #expect(chinese.status == .exited(78))
    let same = chinese.errors.split(separator: "\n").first { $0.hasPrefix(place) }
    #expect(same?.unicodeScalars.contains { $0.value > 0x4E00 } == true, "\(chinese.errors)")
  }

  @Test func `all mistakes of all files are told at once`() async throws {
    let files = try Files()
    try files.write("hall.conf", Self.agent + "profiles = $D/profiles\nlanguage = fr\nquota = 3\n")
    try files.write("profiles/a.conf", "[profile]\nname = A!\n")
    let result = try await RunningProgram.run(
      Built.path("halld"), ["check-config", files.directory.path("hall.conf")])
    #expect(result.status == .exited(78))
    #expect(result.errors.contains("hall.conf:7:12: ") && result.errors.contains("hall.conf:8:1: "))
  }

  @Test func `check-config says what is right`() async throws {
    let result = try await RunningProgram.run(
      Built.path("halld"), ["check-config", Repository.root + "/config/hall-agent.conf"])
    // The shipped file names the packaged directories, which need not be on this machine.
    if Posix.Files.exists("/usr/share/hall-agent/profiles") { #expect(result.status == .exited(0)) }
    let files = try Files()
    try files.write("hall.conf", Self.agent)
    let own = try await RunningProgram.run(
      Built.path("halld"), ["check-config", files.directory.path("hall.conf")])
    #expect(own.status == .exited(0) && own.output.contains("correct (0 devices, "))
  }

  @Test(arguments: [
    (["run", "--confg", "x"], "--config"), (["simulte"], "simulate"), ([], "missing"),
    (["run", "--config"], "FILE"),
    (["simulate"], "--pty"), (["run", "--intake", "ftp://x"], "unix:"),
    (["demo", "--fault", "x"], "drop-one-event"),
    (["run", "extra"], "extra"),
  ])
  func `a command line that cannot be understood is told with the nearest word`(words: [String], says: String)
    async throws
  {
    let result = try await RunningProgram.run(Built.path("halld"), words)
    #expect(result.status == .exited(64))
    #expect(result.errors.split(separator: "\n").first?.contains(says) == true, "\(result.errors)")
    #expect(result.errors.contains("Usage:"))
  }

  @Test func `two services do not run on one state directory`() async throws {
    let directory = try TemporaryDirectory()
    let position = Position(in: directory)
    try position.write()
    try await position.start()
    let second = try await RunningProgram.run(
      Built.path("halld"),
      ["run", "--config", position.configurationFile, "--socket", directory.path("other.sock")])
    #expect(second.status == .exited(1))
    #expect(
      second.errors.contains("Another service is already running on the state directory \(position.state)"))
    #expect(try await position.stop() == .exited(0))
  }

  @Test func `a key file that cannot be a key is told, with what it has to be`() async throws {
    let directory = try TemporaryDirectory()
    let position = Position(in: directory)
    try position.write(outbox: "key-file = \(directory.path("key"))")
    try Posix.Files.replaceDurable(directory.path("key"), bytes: [1, 2, 3], mode: 0o600)
    let short = try await RunningProgram.run(
      Built.path("halld"), ["run", "--config", position.configurationFile])
    #expect(short.status == .exited(78) && short.errors.contains(directory.path("key")))
    #expect(short.errors.contains("32 bytes") && !isCrashReport(short.errors))
  }
}
