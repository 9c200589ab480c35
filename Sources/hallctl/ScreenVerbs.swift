import Console
import LocalAPI
import WireJSON

/// `hallctl screen …`
enum ScreenVerb {
  private static let screen = Option(
    "screen", value: "NAME", zh: "屏幕名称（port = screen:NAME）", en: "its name, as in port = screen:NAME")

  static let pair = Verb(
    "screen pair", ["CODE"], options: [screen], zh: "确认屏幕上显示的配对码",
    en: "let in the screen that shows this code"
  ) { session throws(VerbError) in
    var body: [String: JSONValue] = ["code": .string(session.words[0])]
    if let name = session.arguments["screen"] { body["screen"] = .string(name) }
    session.show(try await session.call(.pairScreen, body: .object(body))) {
      session.language.choose("已配对：屏幕 ", "paired: screen ") + ($0["screen"]?.string ?? "") + "\n"
    }
  }

  static let address = Verb(
    "screen address", ["NAME"], zh: "生成浏览器的启动地址（含新令牌，旧令牌作废）",
    en: "a launch address for the kiosk browser, with a new token; the old one ends"
  ) { session throws(VerbError) in
    session.show(try await session.call(.makeScreenAddress, ["screen": session.words[0]], body: [:])) {
      ($0["url"]?.string ?? "") + "\n"
    }
  }

  static let list = Verb("screen list", zh: "列出已配对的屏幕", en: "list the screens that are let in") {
    session throws(VerbError) in
    session.show(try await session.call(.listScreens)) { value in
      session.table(
        session.language == .chinese ? ["屏幕", "配对时间"] : ["SCREEN", "PAIRED"],
        (value["screens"]?.array ?? []).map { [$0["screen"]?.string ?? "", $0["pairedAt"]?.string ?? ""] })
    }
  }

  static let revoke = Verb("screen revoke", ["NAME"], zh: "取消屏幕的配对", en: "shut a screen out") {
    session throws(VerbError) in
    session.print(try await session.call(.revokeScreen, ["screen": session.words[0]]))
  }

  private static let contentOptions = [
    Common.device, Common.request, Common.visit,
    Option("title", value: "TEXT", zh: "标题", en: "title"),
    Option("text", value: "TEXT", zh: "正文", en: "text"),
    Option("number", value: "NO", zh: "号码（called）", en: "with called: the queue number"),
    Option("window", value: "NO", zh: "窗口（called）", en: "with called: the window"),
    Option("code", value: "TEXT", zh: "二维码内容（qr）", en: "with qr: what the symbol says"),
    Option("url", value: "URL", zh: "网页地址（url）", en: "with url: the page"),
    Option("field", value: "LABEL=VALUE,…", zh: "待核对的字段（fields）", en: "with fields: what is to be checked"),
    Option("timeout", value: "SECONDS", zh: "显示时间", en: "how long it is shown"),
  ]

  static let show = Verb(
    "screen show", ["idle|called|qr|fields|url"], options: contentOptions, zh: "在屏幕上显示内容",
    en: "show something on the citizen's screen"
  ) { session throws(VerbError) in
    var body = session.members([
      ("visit", "visit"), ("title", "title"), ("text", "text"), ("number", "number"), ("window", "window"),
      ("code", "code"), ("url", "url"),
    ])
    body["requestId"] = session.requestID
    body["content"] = .string(session.words[0])
    body["timeoutSeconds"] = try session.integer("timeout")
    if let text = session.arguments["field"] {
      body["fields"] = .array(
        text.split(separator: ",").map { field in
          let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
          return ["label": .string(parts.first ?? ""), "value": .string(parts.count == 2 ? parts[1] : "")]
        })
    }
    try await end(session, .showScreen, .object(body))
  }

  static let sign = Verb(
    "screen sign",
    options: [
      Common.device, Common.request, Common.visit, Option("title", value: "TEXT", zh: "标题", en: "title"),
      Option("document", value: "SHA256", zh: "所签文件的摘要", en: "digest of the document it is bound to"),
      Option("timeout", value: "SECONDS", zh: "等待时间", en: "how long the citizen has"),
    ], zh: "请群众签名", en: "collect a signature"
  ) { session throws(VerbError) in
    var body = session.members([("visit", "visit"), ("title", "title"), ("document", "document")])
    body["requestId"] = session.requestID
    body["timeoutSeconds"] = try session.integer("timeout")
    try await end(session, .collectSignature, .object(body))
  }

  private static func end(_ session: Session, _ route: Route, _ body: JSONValue) async throws(VerbError) {
    let role = try await session.device("citizen-screen")
    let value = try await session.call(route, ["role": role], body: body, timeout: .seconds(3700))
    session.show(value) { outcome($0, session) }
  }

  static let document = Verb(
    "screen document", ["FILE"],
    options: [
      Common.device, Common.request, Common.visit, Option("title", value: "TEXT", zh: "标题", en: "title"),
      Option("timeout", value: "SECONDS", zh: "等待时间", en: "how long the citizen has"),
    ], zh: "请群众阅读并确认文件（PDF、JPEG、PNG）", en: "have the citizen read and agree to a PDF, JPEG or PNG"
  ) { session throws(VerbError) in
    let role = try await session.device("citizen-screen")
    let value = try await session.send(
      session.words[0], .showDocument, to: role,
      options: [("visit", "visit"), ("title", "title"), ("timeout", "timeoutSeconds")],
      timeout: .seconds(3700))
    session.show(value) { outcome($0, session) }
  }

  private static func outcome(_ value: JSONValue, _ session: Session) -> String {
    let word = value["outcome"]?.string ?? "shown"
    let chinese: [String: String] = [
      "shown": "已显示", "confirmed": "已确认", "declined": "未同意", "signed": "已签名", "timeout": "超时",
      "cancelled": "已取消", "closed": "窗口已关闭", "blocked": "浏览器拒绝打开窗口",
    ]
    return session.language.choose(chinese[word] ?? word, word) + "\n"
  }
}
