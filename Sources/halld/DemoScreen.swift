import Agent
import CitizenBrowser
import Codecs
import Console
import Intake
import LocalAPI
import PageImages
import Posix
import WireJSON

/// `halld demo --screen DIR`: a citizen's visit at a citizen's screen in a real browser, with a picture of every view in both
/// languages and three sizes.
struct DemoScreen: Sendable {
  static let sizes = [(1920, 1080), (1024, 600), (800, 1280)]

  private let client: AgentClient
  private let page: BrowserPage
  private let pictures: String
  private let language: Language
  private let taken = Pictures()

  private actor Pictures {
    var names: [String] = []
    func add(_ name: String) { names.append(name) }
  }

  /// Plays it; everything but the pictures lies in `directory`.
  static func run(_ directory: String, pictures: String, language: Language) async throws -> Int32 {
    try Files.makeDirectory(pictures, mode: 0o755, parents: true)
    let intake = try await ReceivingIntake(
      directory: directory + "/intake", socketPath: directory + "/intake.sock")
    let hall = try await DemoHall.start(directory: directory)
    let port = try Loopback.listen(port: 0).port
    let (configuration, profiles) = try await hall.configuration(language: language, screens: port)
    let log = Log { line in
      if let file = try? AppendLog(path: directory + "/agent.log", mode: 0o600) { try? file.append(line) }
    }
    let agent = try await HallAgent.start(
      RunVerb.parts(
        configuration, profiles, simulation: hall.simulation, log: log,
        reread: { () throws(ConfErrors) in (configuration, profiles) }))
    let browser = try await Browser.start(in: directory)
    let page = try await browser.open("http://127.0.0.1:\(port)/")
    let demo = DemoScreen(
      client: AgentClient(socket: configuration.socket, language: language), page: page, pictures: pictures,
      language: language)
    try await demo.pair()
    try await demo.visit(elsewhere: await hall.scanner)
    try await demo.lock()
    await demo.client.close()
    await agent.stop()
    try await page.seen("joining")
    try await demo.take("joining")
    let complaints = await browser.complaints.filter { !$0.contains("Failed to load resource") }
    let strangers = await browser.requested.map(\.url).filter { !isHere($0) }
    await browser.stop()
    await hall.stop()
    await intake.stop(grace: .seconds(1))
    let names = await demo.taken.names
    StandardStreams.writeOut(
      language.choose("\(names.count) 张截图保存在 ", "\(names.count) pictures are in ") + pictures + "\n")
    for problem in complaints + strangers { StandardStreams.writeError("halld demo: \(problem)\n") }
    return complaints.isEmpty && strangers.isEmpty ? ExitCode.ok : ExitCode.failed
  }

  /// Whether an address leads nowhere but to this machine.
  private static func isHere(_ url: String) -> Bool {
    ["http://127.0.0.1:", "blob:http://127.0.0.1:", "data:", "about:"].contains { url.hasPrefix($0) }
  }

  // MARK: The visit

  private func pair() async throws {
    try await page.seen("pairing")
    try await take("pairing")
    let code = try await page.evaluate("shown.code")
    _ = try await client.call(.pairScreen, body: ["code": code])
    try await page.seen("idle")
    try await show([
      "content": "idle", "title": "示范市政务服务中心", "titleEnglish": "Example City Service Centre",
      "text": "请留意叫号，到 07 号窗口办理业务。", "textEnglish": "Please come to window 07 when your number is called.",
      "clerkName": "王敏", "clerkNumber": "S0137",
    ])
    try await page.wait(until: "document.body.innerText.includes('S0137')")
    try await take("idle")
  }

  private func visit(elsewhere: String) async throws {
    _ = try await client.call(
      .openVisit, body: ["requestId": "screen-visit", "window": "07", "staffNumber": "S0137"])
    try await show(["content": "called", "number": "A023"])
    try await page.seen("called")
    try await take("called")

    async let fields = show([
      "content": "fields",
      "fields": [
        ["label": "申请人", "labelEnglish": "Applicant", "value": "张测试"],
        ["label": "证件号码", "labelEnglish": "ID number", "value": "1101**********002X"],
        ["label": "办理事项", "labelEnglish": "Item", "value": "居住证签注"],
        ["label": "联系电话", "labelEnglish": "Telephone", "value": "138****0000"],
        ["label": "领取方式", "labelEnglish": "Collection", "value": "邮寄到家"],
      ], "timeoutSeconds": 600,
    ])
    try await page.seen("confirm")
    try await take("fields")
    try await page.touch("#view button.first")
    _ = try await fields

    async let document = client.raw(
      .showDocument, ["role": "screen"],
      query: [
        ("requestId", "screen-document"), ("title", "居住证签注申请表"), ("titleEnglish", "Application form"),
        ("timeoutSeconds", "600"),
      ], body: PageImages.all[0], contentType: "image/jpeg", timeout: .seconds(700))
    try await page.wait(until: "document.querySelector('#accept:enabled')")
    try await take("document")
    try await page.touch("#accept")
    _ = try await document
    try await sign()

    try await rate(1, level: 5, choosing: ["510", "517"], saying: nil, take: ["rating", "reasons-5"])
    try await take("thanks")
    try await rate(2, level: 1, choosing: ["108"], saying: "等了很久。", take: ["rating-service", "reasons-1"])

    try await show([
      "content": "qr", "code": "https://example.invalid/case/330100-2026-0815", "title": "办理进度查询",
      "titleEnglish": "Follow your case", "text": "请用手机扫描二维码查询办理进度。",
      "textEnglish": "Scan the code with your phone to follow your case.",
    ])
    try await page.seen("qr")
    try await take("qr")
    async let elsewhere = show([
      "content": "url", "url": .string(elsewhere), "rating": true, "timeoutSeconds": 600,
    ])
    try await page.seen("url")
    try await take("url")
    let own = page.target
    try await page.browser.wait { $0.windows.keys.contains { $0 != own } }
    for window in await page.browser.windows.keys where window != own {
      _ = try await page.browser.call("Target.closeTarget", ["targetId": .string(window)])
    }
    _ = try await elsewhere
    let visits = try await client.call(.listVisits)["visits"]?.array ?? []
    for visit in visits {
      _ = try await client.call(.closeVisit, ["visit": visit["visit"]?.string ?? ""])
    }
  }

  private func sign() async throws {
    async let signature = client.call(
      .collectSignature, ["role": "screen"], body: ["requestId": "screen-signature", "timeoutSeconds": 600],
      timeout: .seconds(700))
    try await page.seen("signature")
    for stroke in Self.strokes { try await page.draw(stroke, on: "#pad") }
    try await take("signature")
    try await page.touch("#sign")
    _ = try await signature
  }

  /// 张, as a finger writes it.
  private static let strokes: [[(x: Double, y: Double)]] = [
    [(0.36, 0.30), (0.44, 0.29), (0.44, 0.42), (0.37, 0.43)],
    [(0.37, 0.43), (0.36, 0.56), (0.44, 0.55), (0.43, 0.72), (0.40, 0.74), (0.38, 0.70)],
    [(0.58, 0.27), (0.54, 0.36), (0.49, 0.43)], [(0.47, 0.52), (0.56, 0.50), (0.66, 0.49)],
    [(0.53, 0.30), (0.53, 0.50), (0.52, 0.74), (0.57, 0.68)], [(0.55, 0.52), (0.60, 0.64), (0.68, 0.74)],
  ]

  private func rate(
    _ service: Int64, level: Int, choosing codes: [String], saying comment: String?, take names: [String]
  ) async throws {
    async let rating = client.call(
      .askRating, ["role": "screen"],
      body: [
        "requestId": .string("screen-rating-\(service)"), "serviceNumber": .integer(service),
        "serviceName": service == 1 ? "居住证签注" : "不动产登记信息查询及复制打印服务",
        // Pictures are taken meanwhile.
        "timeoutSeconds": 600,
      ], timeout: .seconds(700))
    try await page.wait(until: "document.querySelectorAll('[data-level]').length === 5")
    try await take(names[0], large: true)
    try await page.touch("[data-level=\"\(level)\"]")
    try await page.wait(until: "document.querySelector('[data-code]')")
    for code in codes { try await page.touch("[data-code=\"\(code)\"]") }
    if let comment {
      try await page.touch("#comment")
      try await page.type(comment)
    }
    try await take(names[1], large: true)
    try await page.touch("#submit")
    _ = try await rating
    try await page.seen("thanks")
  }

  private func lock() async throws {
    _ = try await client.call(.changeDevice, ["role": "screen"], body: ["admin": "locked"])
    try await page.seen("outOfService")
    try await take("out-of-service")
  }

  // MARK: Steps

  private func show(_ body: JSONValue) async throws {
    var body = body
    body["requestId"] = .string("screen-\(Identifier.uuidV4().prefix(8))")
    _ = try await client.call(.showScreen, ["role": "screen"], body: body, timeout: .seconds(700))
  }

  /// Takes the view's picture in every language and size. The view is held: the agent may have gone on meanwhile.
  private func take(_ name: String, large: Bool = false) async throws {
    let held = try await page.evaluate("JSON.stringify(shown)").string ?? "{}"
    for (width, height) in Self.sizes {
      try await page.resize(width: width, height: height)
      for language in ["zh", "en"] {
        for isLarge in large ? [false, true] : [false] {
          try await page.evaluate(
            """
            (async () => {
              shown = JSON.parse(\(BrowserPage.quote(held)));
              Object.assign(own, { language: \(BrowserPage.quote(language)), large: \(isLarge) });
              draw(false);
              await document.fonts.ready;
              for (let left = 250; left > 0 && [...document.images].some((image) => !image.naturalWidth); left -= 1)
                await new Promise((resolve) => setTimeout(resolve, 20));
              await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
            })()
            """)
          let file = "\(name)-\(language)-\(width)x\(height)\(isLarge ? "-large" : "").png"
          try Files.replaceDurable(pictures + "/" + file, bytes: try await page.picture(), mode: 0o644)
          await taken.add(file)
        }
      }
    }
    try await page.resize(width: 1280, height: 800)
    try await page.evaluate("Object.assign(own, { language: 'zh', large: false }); draw(false)")
  }
}
