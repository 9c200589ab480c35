import Console
import Devices
import LocalAPI
import WireJSON

/// `hallctl devices`, `hallctl device ROLE`
enum DevicesVerb {
  static let list = Verb(
    "devices",
    options: [
      Option("all", zh: "本机所有 USB 设备，包括未使用的", en: "every USB device that is plugged in, used or not")
    ], zh: "列出设备及其状态", en: "list the devices and their states"
  ) {
    session throws(VerbError) in
    if session.arguments.has("all") {
      session.show(try await session.call(.listPlugged)) { plugged($0["devices"]?.array ?? [], session) }
      return
    }
    session.show(try await session.call(.listDevices)) { table($0["devices"]?.array ?? [], session) }
  }

  static let show = Verb("device", ["ROLE"], zh: "显示一台设备", en: "show one device") {
    session throws(VerbError) in
    session.show(try await session.call(.showDevice, ["role": session.words[0]])) { device in
      var rows: [[String]] = []
      for name in [
        "role", "kind", "state", "admin", "since", "paper", "cover", "card", "model", "serial", "firmware",
        "profile", "port",
      ] {
        if let value = device[name]?.string { rows.append([label(name, session.language), value]) }
      }
      for (name, value) in (device["details"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
        rows.append([name, value.string ?? ""])
      }
      for (name, value) in (device["counters"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
        rows.append([name, "\(value.integer ?? 0)"])
      }
      return Cells.table(rows) + (device["reason"].map { session.sentences($0) + "\n" } ?? "")
    }
  }

  private static func plugged(_ devices: [JSONValue], _ session: Session) -> String {
    let language = session.language
    let rows = devices.map { device -> [String] in
      let fits = (device["fits"]?.array ?? []).map { one in
        let kind = DeviceKind(rawValue: one["kind"]?.string ?? "")?.name(language) ?? ""
        return "\(kind): \(one["profile"]?.string ?? "")"
      }
      let roles = (device["roles"]?.array ?? []).compactMap(\.string)
      return [
        device["port"]?.string ?? "", device["id"]?.string ?? "", device["name"]?.string ?? "",
        device["serial"]?.string ?? "",
        roles.isEmpty ? language.choose("（未使用）", "(unused)") : roles.joined(separator: ", "),
        fits.isEmpty ? language.choose("无匹配档案", "no profile fits") : fits.joined(separator: ", "),
      ]
    }
    return session.table(
      language == .chinese
        ? ["接口", "编号", "名称", "序列号", "角色", "可作为"] : ["PORT", "ID", "NAME", "SERIAL", "ROLE", "COULD BE"], rows)
  }

  static func table(_ devices: [JSONValue], _ session: Session) -> String {
    let language = session.language
    let rows = devices.map { device -> [String] in
      let state = DeviceState(rawValue: device["state"]?.string ?? "")?.name(language) ?? ""
      var remarks: [String] = []
      if device["admin"]?.string == "locked" { remarks.append(language.choose("已停用", "locked")) }
      if let paper = device["paper"]?.string.flatMap({ PaperState(rawValue: $0) }), paper != .full,
        paper != .unknown
      {
        remarks.append(language.choose("纸张：", "paper ") + paper.name(language))
      }
      if device["simulated"]?.bool == true { remarks.append(language.choose("模拟", "simulated")) }
      if let reason = device["reason"]?["title"]?.string { remarks.append(reason) }
      return [
        device["role"]?.string ?? "",
        DeviceKind(rawValue: device["kind"]?.string ?? "")?.name(language) ?? "", state,
        device["model"]?.string ?? "", remarks.joined(separator: language.choose("；", "; ")),
      ]
    }
    return session.table(
      language == .chinese
        ? ["角色", "设备", "状态", "型号", "说明"] : ["ROLE", "DEVICE", "STATE", "MODEL", "REMARKS"], rows)
  }

  private static func label(_ name: String, _ language: Language) -> String {
    let chinese = [
      "role": "角色", "kind": "类型", "state": "状态", "admin": "启停", "since": "始于", "paper": "纸张", "cover": "盖板",
      "card": "证件", "model": "型号", "serial": "序列号", "firmware": "固件", "profile": "档案", "port": "端口",
    ]
    return language == .chinese ? chinese[name] ?? name : name
  }
}

/// `hallctl status`
enum StatusVerb {
  static let verb = Verb("status", zh: "服务、设备和待发送数据的状态", en: "the agent, its devices and its backlog") {
    session throws(VerbError) in
    session.show(try await session.call(.status)) { status in
      let language = session.language
      var text =
        language.choose("服务 ", "agent ") + (status["version"]?.string ?? "") + "  "
        + (status["hall"]?.string ?? "") + " / " + (status["position"]?.string ?? "") + "\n\n"
      text += DevicesVerb.table(status["devices"]?.array ?? [], session) + "\n"
      text += OutboxVerb.text(status["outbox"] ?? .null, session)
      for warning in status["warnings"]?.array ?? [] { text += "! " + session.sentences(warning) + "\n" }
      return text
    }
  }
}

/// `hallctl explain ROLE`
enum ExplainVerb {
  static let verb = Verb(
    "explain", ["ROLE"], zh: "说明设备档案的匹配过程", en: "why this profile, and why not the others"
  ) {
    session throws(VerbError) in
    session.show(try await session.call(.explainDevice, ["role": session.words[0]])) { value in
      let language = session.language
      var text = language.choose("端口：", "port: ") + (value["port"]?.string ?? "") + "\n"
      text +=
        language.choose("采用的档案：", "profile in use: ")
        + (value["chosen"]?.string ?? language.choose("无", "none")) + "\n"
      for way in value["candidates"]?.array ?? [] { text += "\n" + ExplainVerb.way(way, session) }
      if let refusal = value["refusal"] { text += "\n" + session.sentences(refusal) + "\n" }
      return text + "\n" + (value["advice"]?.string ?? "") + "\n"
    }
  }

  private static func way(_ way: JSONValue, _ session: Session) -> String {
    var text = way["chosen"] == nil ? "  " : "▸ "
    text += (way["address"]?.string ?? "") + (way["unit"]?.string.map { "  \($0)" } ?? "") + "\n"
    for (name, fact) in (way["facts"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
      text += "    \(name) = \(fact.string ?? "")\n"
    }
    for rival in way["rivals"]?.array ?? [] { text += "  ! " + (rival["sentence"]?.string ?? "") + "\n" }
    let rows = (way["considered"]?.array ?? []).map {
      [
        $0["matches"]?.bool == true ? "  ✓" : "  ✗", $0["profile"]?.string ?? "",
        $0["sentence"]?.string ?? "",
      ]
    }
    return text + Cells.table(rows)
  }
}

/// `hallctl forget ROLE`
enum ForgetVerb {
  static let verb = Verb(
    "forget", ["ROLE"], zh: "确认更换设备：不再等待原来的那一台",
    en: "accept another unit in place of the one that served the role"
  ) { session throws(VerbError) in
    session.show(try await session.call(.forgetUnit, ["role": session.words[0]])) {
      DevicesVerb.table([$0], session)
    }
  }
}

/// `hallctl check ROLE`
enum CheckVerb {
  static let verb = Verb(
    "check", ["ROLE"],
    options: [
      Option("level", value: "internal|external|interactive", zh: "检查深度", en: "how deep")
    ], zh: "让设备自检", en: "ask the device itself how it is"
  ) { session throws(VerbError) in
    let level = session.arguments["level"] ?? "internal"
    let device = try await session.call(
      .checkHealth, ["role": session.words[0]], body: ["level": .string(level)], timeout: .seconds(120))
    session.show(device) { DevicesVerb.table([$0], session) }
    if device["state"]?.string != "online", let reason = device["reason"] {
      throw .call(.problem(status: 503, reason))
    }
  }
}

/// `hallctl lock ROLE`, `hallctl unlock ROLE`
enum LockVerb {
  static let lock = Verb("lock", ["ROLE"], zh: "停用设备", en: "take a device out of service") {
    session throws(VerbError) in try await change(session, "locked")
  }
  static let unlock = Verb("unlock", ["ROLE"], zh: "启用设备", en: "put a device back into service") {
    session throws(VerbError) in try await change(session, "unlocked")
  }

  private static func change(_ session: Session, _ state: String) async throws(VerbError) {
    session.show(
      try await session.call(.changeDevice, ["role": session.words[0]], body: ["admin": .string(state)])
    ) { DevicesVerb.table([$0], session) }
  }
}

/// `hallctl reload`
enum ReloadVerb {
  static let verb = Verb("reload", zh: "重新读取配置", en: "read the configuration again") {
    session throws(VerbError) in
    do throws(VerbError) {
      session.show(try await session.call(.reload)) { value in
        let changed = value["changed"]?.array?.compactMap(\.string) ?? []
        return session.language.choose("已重新读取配置。", "The configuration was read again. ")
          + (changed.isEmpty
            ? session.language.choose("设备没有变化。", "No device changed.")
            : session.language.choose("变化的设备：", "Changed: ") + changed.joined(separator: ", ")) + "\n"
      }
    } catch {
      // Every mistake of the file, one a line, as the editor wants them.
      if case .call(.problem(_, let problem)) = error, !session.json {
        for mistake in problem["errors"]?.array ?? [] {
          throw .failed("\(session.sentences(problem))\n\(mistakes(problem, mistake))")
        }
      }
      throw error
    }
  }

  private static func mistakes(_ problem: JSONValue, _ first: JSONValue) -> String {
    (problem["errors"]?.array ?? [first]).compactMap(\.string).joined(separator: "\n")
  }
}
