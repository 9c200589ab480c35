import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// Who can press for the citizen: the citizen.
@Suite(.timeLimit(.minutes(5))) struct ScreenAccessTests {
  private func position(_ more: String = "") async throws -> (Position, CitizenPage, TemporaryDirectory) {
    let files = try TemporaryDirectory()
    let page = CitizenPage(port: try CitizenPage.freePort())
    let position = Position(in: files)
    try position.write(
      agent: more,
      """
      [screens]
      port = \(page.port)
      [device screen]
      kind = citizen-screen
      port = screen:1
      """)
    return (position, page, files)
  }

  @Test func `refusals are logged once each`() async throws {
    let (position, page, _) = try await position()
    let program = try await position.start()
    for _ in 1...3 {
      #expect(try await page.send("GET", "/", host: "hall.example").status == 421)
      #expect(try await page.send("POST", "/inputs", [("Origin", "https://a.example")]).status == 403)
      #expect(try await page.send("POST", "/inputs").status == 403)
      #expect(try await page.send("GET", "/", [("Sec-Fetch-Site", "cross-site")]).status == 403)
      #expect(try await page.own("GET", "/events").status == 401)
    }
    try await position.stop()
    _ = try await program.lasting()
    for word in ["Host ", "Origin ", "Sec-Fetch-Site ", "token"] {
      #expect(
        program.count("a request to the citizen's screen was refused: \(word == "token" ? "no token" : word)")
          == 1)
    }
  }

  @Test func `a token that was replaced or revoked is of no use any more`() async throws {
    let (position, page, _) = try await position()
    try await position.start()
    func token() async throws -> String {
      let url = try await position.call(.makeScreenAddress, ["screen": "1"], body: [:])["url"]?.string ?? ""
      return String(url.split(separator: "=").last ?? "")
    }
    let first = try await token()
    let views = try await page.watch(first)
    _ = try await views.view("idle")
    let second = try await token()
    await views.seen.wait { $0.isOver }
    #expect(try await page.own("GET", "/events", token: first).status == 401)
    let again = try await page.watch(second)
    _ = try await again.view("idle")
    try await position.call(.revokeScreen, ["screen": "1"])
    await again.seen.wait { $0.isOver }
    #expect(try await page.own("GET", "/events", token: second).status == 401)
    // What is kept of a token is not the token.
    for file in try position.everythingStored() {
      #expect(file.bytes.firstRange(of: Array(second.utf8)) == nil, "\(file.path)")
    }
    try await position.stop()
  }

  @Test(
    .enabled(
      if: ProcessInfo.userID == 0 && Programs.areExpected("unshare", "ip", "nsenter", "curl"),
      "needs to be root, to make network namespaces, and iproute2"))
  func `from another network namespace, and at any other address, there is nobody`() async throws {
    let (position, page, _) = try await position()
    let result = try await RunningProgram.run(
      "unshare",
      [
        "--net", Repository.root + "/Tests/Fixtures/namespaces.sh", Built.path("halld"),
        position.configurationFile, "\(page.port)",
      ])
    #expect(result.status == .exited(0), "\(result.output)\n\(result.errors)")
    // curl(1): 7, could not connect to host.
    #expect(
      result.output.split(separator: "\n") == [
        "cable carries", "own 127.0.0.1 200 0", "own 10.213.7.1 000 7", "other 10.213.7.1 000 7",
        "other 127.0.0.1 000 7",
      ])
  }

  @Test func `the counter's role has no way to press, to let a screen in, or to learn a level`() {
    for route in [
      Route.listScreens, .pairScreen, .makeScreenAddress, .revokeScreen, .verifyRatings, .exportOutboxItem,
    ] {
      #expect(route.specification.role > .counter, "\(route.rawValue)")
    }
    // No answer to a counter application has a member that a level could be in.
    for route in Route.allCases where route.specification.role == .counter {
      let shape = route.specification.answer.map { "\($0.schema)" } ?? ""
      for word in ["\"level\"", "\"rawKey\"", "\"reasons\""] {
        // A print job has reasons of its own.
        #expect(!shape.contains(word) || route == .print, "\(route.rawValue) tells \(word)")
      }
      // What it may send has no level either.
      let sent = route.specification.body.map { "\($0.schema)" } ?? ""
      #expect(!sent.contains("\"level\"") || route == .checkHealth, "\(route.rawValue) takes a level")
    }
  }

  @Test(
    .enabled(
      if: ProcessInfo.userID == 0 && Programs.areExpected("curl", "setpriv"),
      "needs to be root, to run programs as other users, and curl and setpriv"))
  func `a counter application can ask for a rating, and neither give one nor read it`() async throws {
    let (position, page, files) = try await position("socket-group = users\ntechnician-group = daemon")
    try Files.setMode(files.path, 0o711)
    try await position.start()
    func counter(_ words: String...) async throws -> (status: Int, body: JSONValue) {
      let result = try await RunningProgram.run(
        "setpriv",
        [
          "--reuid", "4711", "--regid", "4711", "--groups", "100", "curl", "--silent", "--max-time", "300",
          "--unix-socket", position.socket, "-H", "Content-Type: application/json", "-w", "\n%{http_code}",
        ] + words)
      let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
      let body = try? JSON.parse(Array(lines.dropLast().joined(separator: "\n").utf8))
      return (lines.last.flatMap { Int($0) } ?? 0, body ?? .null)
    }
    for words in [
      ["http://localhost/v1/screens"], ["http://localhost/v1/screens", "-d", #"{"code":"0000"}"#],
      ["http://localhost/v1/screens/1/addresses", "-d", "{}"], ["http://localhost/v1/ratings/chain"],
    ] {
      let answer = try await counter(
        words[0], words.count > 1 ? words[1] : "-G", words.count > 2 ? words[2] : "-s")
      #expect(answer.status == 403, "\(words)")
    }
    // Nor through the page's own port.
    #expect(try await page.send("POST", "/inputs", [("Content-Type", "application/json")]).status == 403)
    let url = try await position.call(.makeScreenAddress, ["screen": "1"], body: [:])["url"]?.string ?? ""
    let token = String(url.split(separator: "=").last ?? "")
    let views = try await page.watch(token)
    _ = try await views.view("idle")
    let feed = try await position.events()
    async let asked = counter(
      "http://localhost/v1/devices/screen/ratings", "-d", #"{"requestId":"r-1","serviceNumber":1}"#)
    try await page.act(["type": "press", "level": 2], at: views.view("rating"), token: token)
    let chosen = await views.seen.wait { $0.views.last?["level"] == 2 }?.views.last
    try await page.act(
      ["type": "reasons", "codes": ["214"], "comment": "secret words"], at: chosen ?? .null, token: token)
    let answer = try await asked
    #expect(answer.status == 200 && answer.body["outcome"] == "rated")
    var told = "\(answer.body)" + feed.events.value.map { "\($0.data)" }.joined()
    for path in ["requests/r-1", "devices/screen", "status", "visits", "outbox"] {
      told += "\(try await counter("http://localhost/v1/\(path)").body)"
    }
    for word in ["\"level\"", "\"214\"", "secret words", "rawKey"] {
      #expect(!told.contains(word), "\(word)")
    }
    try await position.stop()
  }

  // MARK: The kiosk

  /// Programs that only write down how they were called.
  private func stubs(_ files: TemporaryDirectory, _ answers: [String: String]) throws {
    try Files.makeDirectory(files.path("bin"), mode: 0o755, parents: true)
    for (name, answer) in answers {
      let script = "#!/bin/sh\necho \"\(name) $*\" >>\"$CALLS\"\ncat <<'ANSWER'\n\(answer)\nANSWER\n"
      try Files.replaceDurable(files.path("bin/\(name)"), bytes: Array(script.utf8), mode: 0o755)
    }
  }

  // As xrandr 1.5.1 writes them.
  private static let outputs = """
    Screen 0: minimum 320 x 200, current 3840 x 1080, maximum 16384 x 16384
    HDMI-1 connected primary 1920x1080+0+0 (normal left inverted right x axis y axis) 527mm x 296mm
       1920x1080     60.00*+
    HDMI-2 connected 1024x600+1920+0 (normal left inverted right x axis y axis) 223mm x 125mm
       1024x600      60.00*+
    DP-1 disconnected (normal left inverted right x axis y axis)
    Monitors: 2
     0: +*HDMI-1 1920/527x1080/296+0+0  HDMI-1
     1: +HDMI-2 1024/223x600/125+1920+0  HDMI-2
    """

  private func kiosk(
    _ settings: String, _ environment: [String: String] = [:], address: String? = nil
  ) async throws -> (result: RunningProgram.Result, calls: [String]) {
    let files = try TemporaryDirectory()
    try stubs(
      files,
      ["xrandr": Self.outputs, "xinput": "", "xset": "", "chromium": "", "firefox-esr": "", "swaymsg": ""])
    try Files.replaceDurable(files.path("settings"), bytes: Array(settings.utf8), mode: 0o600)
    if let address {
      try Files.replaceDurable(files.path("address"), bytes: Array(address.utf8), mode: 0o600)
    }
    let result = try await RunningProgram.run(
      Repository.root + "/config/kiosk/hall-kiosk", ["1"],
      environment: [
        "PATH": files.path("bin") + ":/usr/bin:/bin", "CALLS": files.path("calls"), "HOME": files.path,
        "HALL_KIOSK_SETTINGS": files.path("settings"), "HALL_KIOSK_ADDRESS": files.path("address"),
      ].merging(environment) { $1 })
    let calls = (try? Files.read(files.path("calls"), limit: 1 << 20)) ?? []
    return (result, String(decoding: calls, as: UTF8.self).split(separator: "\n").map(String.init))
  }

  @Test func `on X11 the browser is opened on its output, and the panel is joined to it`() async throws {
    let (result, calls) = try await kiosk("OUTPUT=HDMI-2\nTOUCH='ILITEK ILITEK-TP'\nPORT=9001\n")
    #expect(result.status == .exited(0), "\(result.errors)")
    #expect(calls.contains("xinput map-to-output ILITEK ILITEK-TP HDMI-2"))
    let browser = try #require(calls.last { $0.hasPrefix("chromium ") })
    for word in [
      "--kiosk", "--window-position=1920,0", "--window-size=1024,600", "--disable-popup-blocking",
      "http://127.0.0.1:9001/",
    ] {
      #expect(browser.contains(word), "\(browser)")
    }
  }

  @Test func `Firefox does it too, with an address that was handed over`() async throws {
    let (result, calls) = try await kiosk(
      "OUTPUT=HDMI-2\nBROWSER=firefox-esr\n", address: "http://127.0.0.1:8765/#token=abc\n")
    #expect(result.status == .exited(0), "\(result.errors)")
    let browser = try #require(calls.last { $0.hasPrefix("firefox-esr ") })
    #expect(
      browser.contains("--kiosk --kiosk-monitor 1 ") && browser.hasSuffix(" http://127.0.0.1:8765/#token=abc")
    )
  }

  @Test func `under Sway the compositor is told, and an output that is not there is said`() async throws {
    let (sway, calls) = try await kiosk(
      "OUTPUT=HDMI-A-2\nTOUCH=8746:1:ILITEK_ILITEK-TP\n",
      ["WAYLAND_DISPLAY": "wayland-1", "SWAYSOCK": "/run/sway"])
    #expect(sway.status == .exited(0), "\(sway.errors)")
    #expect(calls.contains("swaymsg input 8746:1:ILITEK_ILITEK-TP map_to_output HDMI-A-2"))
    #expect(
      calls.contains {
        $0.hasPrefix("swaymsg for_window") && $0.contains("move container to output HDMI-A-2")
      })
    let (missing, _) = try await kiosk("OUTPUT=HDMI-9\n")
    #expect(missing.status == .exited(1) && missing.errors.contains("HDMI-1 HDMI-2"))
  }

  @Test(.enabled(if: Programs.areExpected("systemd-analyze"), "systemd-analyze is not installed"))
  func `the units are right`() async throws {
    let files = try TemporaryDirectory()
    for name in ["hall-kiosk@.service", "hall-kiosk-address@.service"] {
      let text = try Repository.text("config/kiosk/\(name)")
        .replacing("/usr/lib/hall-agent/hall-kiosk", with: "/bin/true")
        .replacing("Requires=hall-agent.service\n", with: "")
      let path = files.path(name.replacing("@", with: "@1"))
      try Files.replaceDurable(path, bytes: Array(text.utf8), mode: 0o644)
      let result = try await RunningProgram.run("systemd-analyze", ["verify", "--man=no", path])
      #expect(result.status == .exited(0) && result.errors.isEmpty, "\(name): \(result.errors)")
    }
  }
}
