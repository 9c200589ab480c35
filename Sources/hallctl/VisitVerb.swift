import Codecs
import Console
import LocalAPI
import Posix
import WireJSON

/// `hallctl visit open|list|show|update|close`
enum VisitVerb {
  private static let facts = [
    Option("window", value: "NO", zh: "窗口", en: "window"),
    Option("staff", value: "NO", zh: "工号", en: "the clerk's number"),
    Option("case", value: "NO", zh: "办件编号，可用逗号分隔多个", en: "case number; several with commas"),
    Option("ticket", value: "NO", zh: "排队号", en: "queue number"),
  ]

  static let open = Verb("visit open", options: facts + [Common.request], zh: "开始一次办理", en: "open a visit") {
    session throws(VerbError) in
    var body = known(session)
    body["requestId"] = session.requestID
    session.show(try await session.call(.openVisit, body: .object(body))) {
      ($0["visit"]?.string ?? "") + "\n"
    }
  }

  static let list = Verb("visit list", zh: "列出进行中的办理", en: "list the open visits") {
    session throws(VerbError) in
    session.show(try await session.call(.listVisits)) { value in
      session.table(
        session.language == .chinese ? ["编号", "状态", "开始", "办件"] : ["VISIT", "STATE", "OPENED", "CASES"],
        (value["visits"]?.array ?? []).map {
          [
            $0["visit"]?.string ?? "", $0["state"]?.string ?? "", $0["openedAt"]?.string ?? "",
            ($0["cases"]?.array ?? []).compactMap { $0["case"]?.string }.joined(separator: ","),
          ]
        })
    }
  }

  static let show = Verb("visit show", ["VISIT"], zh: "显示一次办理", en: "show a visit") {
    session throws(VerbError) in
    let value = try await session.call(.showVisit, ["visit": session.words[0]])
    session.print(value)
  }

  static let update = Verb(
    "visit update", ["VISIT"],
    options: facts + [Option("state", value: "active|suspended", zh: "挂起或恢复", en: "suspend or resume")],
    zh: "补充办件编号等信息，挂起或恢复", en: "add facts, suspend, resume"
  ) { session throws(VerbError) in
    var body = known(session)
    if let state = session.arguments["state"] { body["state"] = .string(state) }
    let value = try await session.call(.changeVisit, ["visit": session.words[0]], body: .object(body))
    session.show(value) { "\($0["visit"]?.string ?? "") \($0["state"]?.string ?? "")\n" }
  }

  static let close = Verb(
    "visit close", ["VISIT"],
    options: [
      Option("outcome", value: "completed|returned|abandoned", zh: "结果", en: "how it ended"),
      Option("ask", value: "yes|no", zh: "结束前是否请群众评价", en: "whether the citizen is asked for a rating first"),
    ],
    zh: "结束办理", en: "close a visit"
  ) { session throws(VerbError) in
    var query = session.arguments["outcome"].map { [("outcome", $0)] } ?? []
    if let ask = session.arguments["ask"] { query.append(("askRating", ask == "yes" ? "true" : "false")) }
    let value = try await session.call(
      .closeVisit, ["visit": session.words[0]], query: query, timeout: .seconds(3700))
    session.show(value) {
      "\($0["visit"]?.string ?? "") \($0["state"]?.string ?? "") \($0["outcome"]?.string ?? "")\n"
    }
  }

  private static func known(_ session: Session) -> [String: JSONValue] {
    var body = session.members([("window", "window"), ("staff", "staffNumber")])
    if let cases = session.arguments["case"] {
      body["cases"] = .array(cases.split(separator: ",").map { ["case": .string(String($0))] })
    }
    if let ticket = session.arguments["ticket"] { body["ticket"] = ["number": .string(ticket)] }
    return body
  }
}

/// `hallctl card read`
enum CardVerb {
  static let read = Verb(
    "card read",
    options: [
      Common.device, Common.visit, Common.request,
      Option("timeout", value: "SECONDS", zh: "等待放卡的时间", en: "how long to wait for a card"),
      Option("reveal", zh: "显示证件号码全文", en: "show the number in full"),
    ], zh: "读取身份证（号码默认打码）", en: "read an ID card; the number is masked unless --reveal"
  ) { session throws(VerbError) in
    var body = session.members([("visit", "visit")])
    body["requestId"] = session.requestID
    body["timeoutSeconds"] = try session.integer("timeout")
    // The agent masks it, and audits every read without.
    body["masked"] = .bool(!session.arguments.has("reveal"))
    let role = try await session.device("id-card-reader")
    func tell(_ chinese: String, _ english: String) {
      if !session.json { StandardStreams.writeError(session.language.choose(chinese, english) + "\n") }
    }
    tell("请将证件放在读卡区…", "Put the card on the reader …")
    // However it ends, a card may lie there.
    defer { tell("请取回证件。", "Take the card back.") }
    let value = try await session.call(
      .readCard, ["role": role], body: .object(body), timeout: .seconds(330))
    session.show(withoutBlocks(value)) { card in text(card, session.language) }
  }

  /// Photo and fingerprints are of no use on a terminal.
  private static func withoutBlocks(_ card: JSONValue) -> JSONValue {
    var card = card
    if card["photo"]?.isNull == false {
      card["photo"] = ["format": "wlt", "decoded": .bool(card["photo"]?["decoded"]?.bool ?? false)]
    }
    if let prints = card["fingerprints"]?.array {
      card["fingerprints"] = .array(
        prints.map { print in
          var print = print
          print["data"] = nil
          return print
        })
    }
    return card
  }

  private static let labels: [(name: String, zh: String, en: String)] = [
    ("name", "姓名", "name"), ("englishName", "英文姓名", "name (Latin)"), ("sex", "性别", "sex"),
    ("nation", "民族", "ethnicity"), ("birth", "出生", "birth"), ("address", "住址", "address"),
    ("idNumber", "证件号码", "number"), ("authority", "签发机关", "authority"), ("validFrom", "有效期起", "valid from"),
    ("validTo", "有效期止", "valid to"), ("passNumber", "通行证号码", "pass number"), ("issueCount", "签发次数", "issue"),
    ("renewalCount", "换证次数", "renewal"), ("nationality", "国籍", "nationality"), ("version", "证件版本", "version"),
    ("authorityCode", "受理机关代码", "authority code"), ("previousNumberLink", "关联证件", "previous number"),
    ("additionalAddress", "追加住址", "additional address"), ("letter", "证件类型代码", "type letter"),
    ("text", "原始文字块（Base64）", "text block (base64)"),
  ]

  private static func text(_ card: JSONValue, _ language: Language) -> String {
    var rows: [[String]] = []
    for label in labels {
      guard let field = card["fields"]?[label.name] else { continue }
      var value =
        field.string ?? field["value"]?.string ?? field["name"]?.string ?? field["code"]?.string ?? ""
      if let raw = field["malformed"]?.string { value = "? " + raw }
      if field["checkDigit"]?.string == "wrong" {
        value += language.choose("（校验位错误）", " (wrong check digit)")
      }
      rows.append([language.choose(label.zh, label.en), value])
    }
    return Cells.table(rows)
  }
}
