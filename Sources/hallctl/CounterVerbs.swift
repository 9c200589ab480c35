import Console
import LocalAPI
import Posix
import WireJSON

/// `hallctl ticket issue SERVICE`
enum TicketVerb {
  static let issue = Verb(
    "ticket issue", ["SERVICE"],
    options: [
      Common.device, Common.request, Common.visit,
      Option("class", value: "normal|priority|appointment", zh: "类别", en: "class"),
      Option("waiting", value: "N", zh: "前面等待人数", en: "how many wait"),
    ], zh: "取号并打印", en: "issue a queue ticket"
  ) { session throws(VerbError) in
    var body = session.members([("visit", "visit"), ("class", "class")])
    body["requestId"] = session.requestID
    body["service"] = .string(session.words[0])
    body["waitingAhead"] = try session.integer("waiting")
    let role = try await session.device("ticket-dispenser")
    let ticket = try await session.call(
      .issueTicket, ["role": role], body: .object(body), timeout: .seconds(120))
    session.show(ticket) { ticket in
      let printed = ticket["printed"]?.string ?? ""
      return session.language.choose("号码 ", "number ") + (ticket["number"]?.string ?? "")
        + session.language.choose("  校验码 ", "  check code ") + (ticket["checkCode"]?.string ?? "")
        + session.language.choose("  已打印：", "  printed: ") + printed + "\n"
    }
    if let fault = ticket["fault"] { throw .call(.problem(status: 409, fault)) }
  }
}

/// `hallctl call show NUMBER`
enum CallVerb {
  static let show = Verb(
    "call show", ["NUMBER"],
    options: [Common.device, Common.request, Option("waiting", value: "N", zh: "等待人数", en: "how many wait")],
    zh: "在评价器上显示叫号", en: "show a called number on the evaluator"
  ) { session throws(VerbError) in
    var body: [String: JSONValue] = ["requestId": session.requestID, "number": .string(session.words[0])]
    body["waiting"] = try session.integer("waiting")
    let role = try await session.device("evaluator")
    session.show(try await session.call(.showCall, ["role": role], body: .object(body))) { _ in
      session.language.choose("已显示\n", "shown\n")
    }
  }
}

/// `hallctl scan`
enum ScanVerb {
  static let verb = Verb(
    "scan",
    options: [
      Common.device, Common.request, Common.visit,
      Option("material", value: "ID", zh: "追加到的材料", en: "an open material to add to"),
      Option("source", value: "feeder|platen", zh: "进纸方式", en: "paper source"),
      Option("duplex", zh: "双面", en: "both sides"),
      Option("resolution", value: "DPI", zh: "分辨率", en: "dots per inch"),
      Option("colour", value: "colour|grey|blackAndWhite", zh: "颜色", en: "colour"),
      Option("pages", value: "N", zh: "最多页数", en: "pages at most"),
      Option("hold", zh: "提交前不发送", en: "keep here until submission"),
      Option("name", value: "TEXT", zh: "材料名称", en: "what it is"),
    ], zh: "扫描材料", en: "scan pages into a material"
  ) { session throws(VerbError) in
    var body = session.members([
      ("visit", "visit"), ("material", "material"), ("source", "source"), ("colour", "colour"),
      ("name", "name"),
    ])
    body["requestId"] = session.requestID
    if session.arguments.has("duplex") { body["duplex"] = true }
    if session.arguments.has("hold") { body["hold"] = true }
    body["resolution"] = try session.integer("resolution")
    body["maximumPages"] = try session.integer("pages")
    let role = try await session.device("scanner")
    let result = try await session.call(.scan, ["role": role], body: .object(body), timeout: .seconds(1800))
    session.show(result) { MaterialVerb.text($0["material"] ?? .null, session) }
    if let fault = result["fault"] { throw .call(.problem(status: 409, fault)) }
  }
}

/// `hallctl material list|show|submit|page|withdraw`
enum MaterialVerb {
  static let list = Verb(
    "material list", options: [Common.visit], zh: "列出进行中办理的材料", en: "list the materials of open visits"
  ) { session throws(VerbError) in
    let value = try await session.call(
      .listMaterials, query: session.arguments["visit"].map { [("visit", $0)] } ?? [])
    session.show(value) { value in
      session.table(
        session.language == .chinese ? ["材料", "状态", "页数", "名称"] : ["MATERIAL", "STATE", "PAGES", "NAME"],
        (value["materials"]?.array ?? []).map {
          [
            $0["material"]?.string ?? "", $0["state"]?.string ?? "", "\($0["pages"]?.array?.count ?? 0)",
            $0["name"]?.string ?? "",
          ]
        })
    }
  }

  static let show = Verb("material show", ["MATERIAL"], zh: "显示材料的各页", en: "show a material's pages") {
    session throws(VerbError) in
    session.show(try await session.call(.showMaterial, ["material": session.words[0]])) { text($0, session) }
  }

  static let submit = Verb("material submit", ["MATERIAL"], zh: "提交材料", en: "complete a material") {
    session throws(VerbError) in
    session.show(
      try await session.call(.submitMaterial, ["material": session.words[0]], body: .object([:]))
    ) { text($0, session) }
  }

  static let withdraw = Verb(
    "material withdraw", ["MATERIAL", "PAGE"],
    options: [Option("reason", value: "TEXT", zh: "原因", en: "why")],
    zh: "撤回一页", en: "withdraw a page"
  ) { session throws(VerbError) in
    session.show(
      try await session.call(
        .withdrawPage, ["material": session.words[0], "page": session.words[1]],
        query: session.arguments["reason"].map { [("reason", $0)] } ?? [])
    ) { text($0, session) }
  }

  static let page = Verb(
    "material page", ["MATERIAL", "PAGE", "FILE"],
    options: [Option("scale", value: "2|4|8", zh: "缩小倍数", en: "how much smaller")],
    zh: "将一页保存为文件", en: "write a page into a file"
  ) { session throws(VerbError) in
    let bytes: [UInt8]
    do throws(AgentCallError) {
      bytes = try await session.client.raw(
        .readPage, ["material": session.words[0], "page": session.words[1]],
        query: session.arguments["scale"].map { [("scale", $0)] } ?? [])
    } catch {
      throw .call(error)
    }
    do throws(SystemError) {
      try Files.replaceDurable(session.words[2], bytes: bytes, mode: 0o600)
    } catch {
      throw .failed("\(error)")
    }
  }

  static func text(_ material: JSONValue, _ session: Session) -> String {
    let heading =
      session.language == .chinese
      ? ["页", "正反", "像素", "字节", "编号", "标记"] : ["PAGE", "SIDE", "PIXELS", "BYTES", "ID", "FLAGS"]
    return (material["material"]?.string ?? "") + "  " + (material["state"]?.string ?? "") + "\n"
      + session.table(
        heading,
        (material["pages"]?.array ?? []).map {
          [
            "\($0["order"]?.integer ?? 0)", $0["side"]?.string ?? "",
            "\($0["width"]?.integer ?? 0)×\($0["height"]?.integer ?? 0)", "\($0["bytes"]?.integer ?? 0)",
            $0["page"]?.string ?? "", ($0["flags"]?.array ?? []).compactMap(\.string).joined(separator: ","),
          ]
        })
  }
}

/// `hallctl print FILE`
enum PrintVerb {
  static let verb = Verb(
    "print", ["FILE"],
    options: [
      Common.device, Common.request, Common.visit, Option("title", value: "TEXT", zh: "标题", en: "title"),
      Option("copies", value: "N", zh: "份数", en: "copies"),
    ], zh: "打印 PDF 文件", en: "print a PDF"
  ) { session throws(VerbError) in
    let role = try await session.device("printer")
    let value = try await session.send(
      session.words[0], .print, to: role,
      options: [("visit", "visit"), ("title", "title"), ("copies", "copies")], timeout: .seconds(700))
    session.show(value) {
      session.language.choose("已打印：", "printed: ") + ($0["printed"]?.string ?? "") + "\n"
    }
    if let fault = value["fault"] { throw .call(.problem(status: 409, fault)) }
  }
}

/// `hallctl rating request`
enum RatingVerb {
  static let request = Verb(
    "rating request",
    options: [
      Common.device, Common.request, Common.visit,
      Option("service", value: "NO", zh: "第几项服务（1–99）", en: "which service, 1–99"),
      Option("case", value: "NO", zh: "办件编号", en: "the case rated"),
      Option("timeout", value: "SECONDS", zh: "等待时间", en: "how long the citizen has"),
    ], zh: "请群众评价（只告知是否已评价）", en: "ask for a rating; tells only whether it was given"
  ) { session throws(VerbError) in
    var body = session.members([("visit", "visit"), ("case", "case")])
    body["requestId"] = session.requestID
    body["serviceNumber"] = try session.integer("service") ?? 1
    body["timeoutSeconds"] = try session.integer("timeout")
    let role = try await session.device("evaluator")
    let value = try await session.call(
      .askRating, ["role": role], body: .object(body), timeout: .seconds(660))
    session.show(value) { value in
      switch value["outcome"]?.string {
      case "rated": session.language.choose("已评价\n", "rated\n")
      case "timeout": session.language.choose("未评价：超时\n", "not rated: timeout\n")
      case "deviceLost": session.language.choose("未评价：评价器断开\n", "not rated: the device was lost\n")
      default: session.language.choose("未评价\n", "not rated\n")
      }
    }
  }

  static let verify = Verb("ratings verify", zh: "校验评价链是否完整", en: "verify the chain of ratings") {
    session throws(VerbError) in
    let value = try await session.call(.verifyRatings)
    session.show(value) { value in
      let links = value["links"]?.integer ?? 0
      let head = value["head"]?.string ?? ""
      func numbers(_ name: String) -> String {
        (value[name]?.array ?? []).prefix(20).compactMap(\.integer).map { "\($0)" }.joined(separator: ", ")
      }
      if value["intact"] == true {
        return session.language.choose(
          "评价链完整：\(links) 条，最新 \(head)\n", "intact: \(links) ratings, newest \(head)\n")
      }
      return session.language.choose(
        "评价链不完整：缺失 [\(numbers("missing"))]，不符 [\(numbers("broken"))]\n",
        "NOT intact: missing [\(numbers("missing"))], not following [\(numbers("broken"))]\n")
    }
    if value["intact"] != true {
      throw .failed(session.language.choose("评价记录曾被删除、插入或改动。", "Ratings were removed, put in or altered."))
    }
  }
}
