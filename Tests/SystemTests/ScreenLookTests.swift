import CitizenBrowser
import Codecs
import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What the citizen's screen looks like to eyes, and to those who have others read it to them.
@Suite(
  .timeLimit(.minutes(15)), .serialized, .enabled(if: BrowserHall.isExpected, "chromium is not installed"))
struct ScreenLookTests {
  private static let sizes = [(1920, 1080), (1024, 600), (800, 1280)]

  /// Views as the agent sends them, with the longest texts that they may hold.
  private static let views: [(name: String, view: JSONValue)] = {
    var views: [(String, JSONValue)] = [
      ("joining", ["kind": "joining"]), ("pairing", ["kind": "pairing", "code": "0427"]),
      (
        "idle",
        [
          "kind": "idle", "content": ["title": ["zh": "示范市政务服务中心", "en": "Example City Service Centre"]],
          "clerk": ["name": "欧阳建国", "number": "S0137"],
        ]
      ),
      ("called", ["kind": "called", "number": "VA1023", "window": "综合受理 07"]),
      ("levels", ["kind": "rating", "level": .null, "service": "不动产登记信息查询及复制打印服务（含历史档案）"]),
      (
        "fields",
        [
          "kind": "confirm",
          "fields": .array(
            (1...6).map { number in
              [
                "label": ["zh": "统一社会信用代码", "en": "Unified social credit code"],
                "value": .string("91330100MA2AXY\(number)Q7K 示范市示范区示范街道示范社区居民委员会"),
              ]
            }),
        ]
      ),
      ("signature", ["kind": "signature"]), ("thanks", ["kind": "thanks", "rated": true]),
      ("url", ["kind": "url", "step": "u", "url": "about:blank"]), ("out", ["kind": "outOfService"]),
      (
        "qr",
        [
          "kind": "qr", "title": ["zh": "办理进度查询", "en": "Follow your case"],
          "modules": .array(
            (0..<29).map { y in .string(String((0..<29).map { ($0 * y) % 3 == 0 ? "1" : "0" })) }),
        ]
      ),
    ]
    for level in 1...5 {
      let reasons = RatingReasons.reasons(of: level).map { reason -> JSONValue in
        ["code": .string(reason.code), "zh": .string(reason.chinese), "en": .string(reason.english)]
      }
      views.append(
        (
          "reasons \(level)",
          [
            "kind": "rating", "level": .integer(Int64(level)), "reasons": .array(reasons),
            "correctable": true,
            "correctableSeconds": 600, "reasonRequired": .bool(level < 3), "secondsLeft": 29,
            "extendable": true,
          ]
        ))
    }
    return views
  }()

  private func draw(_ page: BrowserPage, _ view: JSONValue, english: Bool, large: Bool) async throws {
    var view = view
    view["place"] = "示范市政务服务中心"
    let text = BrowserPage.quote(String(decoding: try JSON.encode(view), as: UTF8.self))
    try await page.evaluate(
      """
      (async () => {
        openWindow = () => {};
        show({ visit: own.visit, ...JSON.parse(\(text)) });
        Object.assign(own, { language: \(english ? "'en'" : "'zh'"), large: \(large) });
        draw(false);
        await document.fonts.ready;
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      })()
      """)
  }

  /// A page of the agent's own that nobody tells anything: what is shown on it is the test's.
  private func quietPage(_ hall: BrowserHall) async throws -> BrowserPage {
    try await hall.page.evaluate("listen = () => new Promise(() => {}); pair = listen;")
    try await hall.position.stop()
    try await hall.seen("joining")
    return hall.page
  }

  @Test func `text fits, nothing lies over anything else, and every key is large enough for a finger`()
    async throws
  {
    let hall = try await BrowserHall.start()
    let page = try await quietPage(hall)
    for (width, height) in Self.sizes {
      try await page.resize(width: width, height: height)
      for (name, view) in Self.views {
        for (english, large) in [(false, false), (true, false), (false, true), (true, true)] {
          try await draw(page, view, english: english, large: large)
          let found = try await page.evaluate(Self.faults)
          #expect(
            found == [],
            "\(name) in \(english ? "English" : "Chinese")\(large ? ", large" : "") at \(width) × \(height): \(found)"
          )
        }
      }
    }
    try await hall.end()
  }

  /// Finds what does not fit. Lists of fields and documents may be scrolled; a list of reasons may not.
  private static let faults = """
    (() => {
      const faults = [];
      const name = (element) => element.id || element.className || element.tagName;
      const scrolls = (element) => element.closest(".fields, .pan, textarea");
      const root = document.documentElement;
      if (root.scrollWidth > innerWidth || root.scrollHeight > innerHeight) faults.push("the page is larger than the screen");
      for (const element of document.querySelectorAll("body *")) {
        if (element.closest("svg, .unseen, noscript") || element.hidden) continue;
        const box = element.getBoundingClientRect();
        if (box.width === 0) continue;
        if (!scrolls(element) && (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1))
          faults.push(`${name(element)} is off the screen`);
        // A line of letters reaches a little beyond its own height; that is no text cut off.
        const spare = element.children.length === 0 ? parseFloat(getComputedStyle(element).fontSize) * 0.3 : 1;
        if (!scrolls(element) && (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + spare) && getComputedStyle(element).display !== "inline")
          faults.push(`${name(element)} holds more than fits: ${element.scrollWidth}x${element.scrollHeight} in ${element.clientWidth}x${element.clientHeight}`);
      }
      const keys = [...document.querySelectorAll("button, textarea")].filter((key) => !key.hidden && key.getBoundingClientRect().width > 0);
      for (const key of keys) {
        const box = key.getBoundingClientRect();
        // WCAG 2.5.5: 44 pixels.
        if (box.width < 44 || box.height < 43.5) faults.push(`${name(key)} is too small: ${box.width}x${box.height}`);
        if (parseFloat(getComputedStyle(key).fontSize) < 14) faults.push(`${name(key)} has small print`);
        for (const other of keys) {
          if (other === key || other.contains(key) || key.contains(other)) continue;
          const its = other.getBoundingClientRect();
          if (box.left < its.right - 1 && its.left < box.right - 1 && box.top < its.bottom - 1 && its.top < box.bottom - 1)
            faults.push(`${name(key)} lies over ${name(other)}`);
        }
      }
      return faults.slice(0, 8);
    })()
    """

  @Test func `an accessibility checker that others wrote finds nothing serious`() async throws {
    let found = try await RunningProgram.run(
      "python3", ["-c", "import axe_core_python, os; print(os.path.dirname(axe_core_python.__file__))"])
    try #require(found.status == .exited(0), "\(found.errors)")
    let axe = String(decoding: try Files.read(found.output + "/axe.min.js", limit: 8 << 20), as: UTF8.self)
    let hall = try await BrowserHall.start()
    let page = try await quietPage(hall)
    try await page.evaluate(axe + "; true")
    var checked = 0
    for (name, view) in Self.views {
      for (english, large) in [(false, false), (true, true)] {
        try await draw(page, view, english: english, large: large)
        let result = try await page.evaluate(
          """
          axe.run(document, { resultTypes: ["violations"] }).then((result) => ({
            passes: result.passes.length,
            violations: result.violations.map((one) => `${one.impact}: ${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`) }))
          """)
        checked += Int(result["passes"]?.integer ?? 0)
        let violations = (result["violations"]?.array ?? []).compactMap(\.string)
        #expect(
          violations.filter { $0.hasPrefix("serious") || $0.hasPrefix("critical") } == [],
          "\(name), \(english ? "English" : "Chinese")")
      }
    }
    #expect(checked > 100)
    try await hall.end()
  }

  @Test func `one command plays the visit and writes a picture of every view`() async throws {
    let files = try TemporaryDirectory()
    let demo = try RunningProgram(
      Built.path("halld"), ["demo", "--screen", files.path("pictures")],
      environment: ["LANG": "C.UTF-8", "TMPDIR": files.path])
    let status = try await demo.lasting()
    #expect(status == .exited(0), "\(demo.printed.value.all)")
    let names = try Files.list(files.path("pictures"))
    let views = [
      "pairing", "idle", "called", "fields", "document", "signature", "rating", "reasons-5", "thanks",
      "reasons-1",
      "qr", "url", "out-of-service", "joining",
    ]
    for view in views {
      for language in ["zh", "en"] {
        for (width, height) in Self.sizes {
          let name = "\(view)-\(language)-\(width)x\(height).png"
          #expect(names.contains(name))
          // PNG 11.2.2: width and height stand at byte 16.
          let head = try Files.read(files.path("pictures/" + name), limit: 16 << 20).prefix(24)
          let sides = [16, 20].map { at in head[at..<at + 4].reduce(0) { $0 << 8 | Int($1) } }
          #expect(sides == [width, height], "\(name)")
        }
      }
    }
  }
}
