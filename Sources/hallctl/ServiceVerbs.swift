import Console
import HTTPClient
import LocalAPI
import Posix
import WireJSON

/// `hallctl request list|show|cancel|settle`
enum RequestVerb {
  static let list = Verb(
    "request list",
    options: [Option("state", value: "running|done|failed|unknown|cancelled", zh: "状态", en: "state")],
    zh: "列出近期请求", en: "list the commands of late"
  ) { session throws(VerbError) in
    session.show(
      try await session.call(.listRequests, query: session.arguments["state"].map { [("state", $0)] } ?? [])
    ) { value in
      session.table(
        session.language == .chinese
          ? ["编号", "操作", "设备", "状态", "时间"] : ["REQUEST", "VERB", "DEVICE", "STATE", "TIME"],
        (value["requests"]?.array ?? []).map {
          [
            $0["requestId"]?.string ?? "", $0["verb"]?.string ?? "", $0["role"]?.string ?? "",
            $0["state"]?.string ?? "", $0["startedAt"]?.string ?? "",
          ]
        })
    }
  }

  static let show = Verb("request show", ["REQUEST"], zh: "显示请求的结果", en: "show a command's outcome") {
    session throws(VerbError) in
    session.print(try await session.call(.showRequest, ["requestId": session.words[0]]))
  }

  static let cancel = Verb(
    "request cancel", ["REQUEST"], zh: "取消尚未生效的请求", en: "cancel a command without effect"
  ) {
    session throws(VerbError) in
    session.print(try await session.call(.cancelRequest, ["requestId": session.words[0]]))
  }

  static let settle = Verb(
    "request settle", ["REQUEST", "reprinted|confirmed|voided"], zh: "查看出纸口后，确定结果“不明”的取号或打印",
    en: "settle a ticket, print job or other command whose outcome is unknown"
  ) { session throws(VerbError) in
    session.print(
      try await session.call(
        .resolveRequest, ["requestId": session.words[0]], body: ["resolution": .string(session.words[1])]))
  }
}

/// `hallctl outbox …`
enum OutboxVerb {
  private static let reason = Option("reason", value: "TEXT", zh: "原因（记入审计日志）", en: "why, for the audit log")

  static let status = Verb("outbox", zh: "待发送数据和收件服务的状态", en: "what waits, and how the intake does") {
    session throws(VerbError) in
    session.show(try await session.call(.outboxStatus)) { text($0, session) }
  }

  static let list = Verb("outbox list", zh: "列出被搁置的数据", en: "list what was set aside") {
    session throws(VerbError) in
    session.show(try await session.call(.listOutbox)) { value in
      session.table(
        session.language == .chinese
          ? ["编号", "类型", "字节", "次数", "搁置于", "到期", "原因"]
          : ["ITEM", "TYPE", "BYTES", "TRIES", "SINCE", "ENDS", "REASON"],
        (value["items"]?.array ?? []).map {
          [
            $0["item"]?.string ?? "", $0["type"]?.string ?? $0["kind"]?.string ?? "",
            "\($0["bytes"]?.integer ?? 0)",
            "\($0["attempts"]?.integer ?? 0)", String(($0["since"]?.string ?? "").prefix(16)),
            String(($0["ends"]?.string ?? "").prefix(10)), $0["reason"]?.string ?? "",
          ]
        })
    }
  }

  static let show = Verb("outbox show", ["ITEM"], zh: "显示一项", en: "show one item") {
    session throws(VerbError) in
    session.print(try await session.call(.showOutboxItem, ["item": session.words[0]]))
  }

  static let retry = Verb("outbox retry", ["ITEM"], zh: "重新发送一项", en: "send an item again") {
    session throws(VerbError) in
    session.print(try await session.call(.retryOutboxItem, ["item": session.words[0]]))
  }

  static let discard = Verb(
    "outbox discard", ["ITEM"], options: [reason], zh: "删除一项", en: "erase an item for good"
  ) {
    session throws(VerbError) in
    session.print(try await session.call(.discardOutboxItem, ["item": session.words[0]], body: why(session)))
  }

  private static let to = Option("to", value: "DIRECTORY", zh: "写入新建的目录", en: "write it into a new directory")

  static let export = Verb(
    "outbox export", ["ITEM"], options: [reason, to], zh: "导出一项，连同其页", en: "hand out an item, with its pages"
  ) { session throws(VerbError) in
    let body = try why(session)
    let item = session.words[0]
    let exported = try await content(of: item, body, session)
    guard let directory = session.arguments["to"] else {
      session.print(exported)
      return
    }
    var files: [(name: String, sha256: String, bytes: [UInt8])] = []
    if let batch = exported["batch"]?.string, let sha256 = exported["sha256"]?.string {
      files.append(("events.json", sha256, try decoded(batch, session)))
    }
    var missing: [String] = []
    let named = exported["item"]?["pages"]?.array?.compactMap(\.string) ?? []
    for page in exported["content"] == nil ? named : [item] {
      do throws(VerbError) {
        let found = page == item ? exported : try await content(of: page, body, session)
        files.append((page, page, try decoded(found["content"]?.string ?? "", session)))
      } catch .call(.problem(_, let problem)) {
        // The rest is worth having all the same.
        missing.append("\(page): \(session.sentences(problem))")
      }
    }
    try write(files, to: directory, session)
    StandardStreams.writeOut(
      session.language.choose(
        "已写入 \(directory)：\(files.count) 个文件。用 sha256sum -c SHA256SUMS 核对。\n",
        "\(directory): \(files.count) files; check them with `sha256sum -c SHA256SUMS`.\n"))
    guard missing.isEmpty else {
      throw .failed(
        session.language.choose("缺少的页：\n", "pages that are not in it:\n") + missing.joined(separator: "\n"))
    }
  }

  private static func content(
    of item: String, _ body: JSONValue, _ session: Session
  ) async throws(VerbError) -> JSONValue {
    try await session.call(.exportOutboxItem, ["item": item], body: body, timeout: .seconds(120))
  }

  private static func decoded(_ text: String, _ session: Session) throws(VerbError) -> [UInt8] {
    guard let bytes = Base64.decode(text) else {
      throw .failed(session.language.choose("应答无法解码。", "The answer cannot be decoded."))
    }
    return bytes
  }

  /// `SHA256SUMS` comes last: with it the export is whole.
  private static func write(
    _ files: [(name: String, sha256: String, bytes: [UInt8])], to directory: String, _ session: Session
  ) throws(VerbError) {
    do throws(SystemError) {
      if Files.exists(directory) {
        throw SystemError(call: "mkdir \(directory)", code: 17)
      }
      try Files.makeDirectory(directory, mode: 0o700, parents: false)
      for file in files {
        try Files.createDurable(directory: directory, name: file.name, parts: [file.bytes])
      }
      let sums = files.map { "\($0.sha256)  \($0.name)\n" }.joined()
      try Files.createDurable(directory: directory, name: "SHA256SUMS", parts: [Array(sums.utf8)])
    } catch {
      throw .failed("\(error)")
    }
  }

  private static func why(_ session: Session) throws(VerbError) -> JSONValue {
    guard let reason = session.arguments["reason"] else { throw .usage(UsageError(.missingWord("--reason"))) }
    return ["reason": .string(reason)]
  }

  static func text(_ value: JSONValue, _ session: Session) -> String {
    let language = session.language
    var text =
      language.choose("待发送：", "waiting: ")
      + "\(value["pendingEvents"]?.integer ?? 0)" + language.choose(" 个事件，", " events, ")
      + "\(value["pendingPages"]?.integer ?? 0)" + language.choose(" 页，", " pages, ")
      + "\(value["pendingBytes"]?.integer ?? 0)" + language.choose(" 字节", " bytes")
    if let oldest = value["oldest"]?.string { text += language.choose("，最早 ", ", oldest ") + oldest }
    text += "\n"
    let count = value["quarantined"]?.integer ?? 0
    if count > 0 {
      text += language.choose(
        "被搁置：\(count) 项，用 hallctl outbox list 查看。\n", "set aside: \(count); see `hallctl outbox list`.\n")
    }
    switch value["intake"]?.string {
    case "reachable": text += language.choose("收件服务：正常\n", "intake: well\n")
    case "trouble": text += language.choose("收件服务：", "intake: ") + (value["trouble"]?.string ?? "") + "\n"
    default: text += language.choose("收件服务：尚未联系\n", "intake: not asked yet\n")
    }
    switch value["fill"]?.string {
    case "full": text += language.choose("存储已满，暂不能扫描。\n", "The store is full: no pages are taken.\n")
    case "warning": text += language.choose("存储即将用满。\n", "The store is nearly full.\n")
    default: break
    }
    for (name, limit) in (value["limits"]?.object ?? [:]).sorted(by: { $0.key < $1.key })
    where limit["fill"] != "normal" {
      text += "  \(name): \(limit["used"]?.integer ?? 0) / \(limit["limit"]?.integer ?? 0)\n"
    }
    if let ends = value["quarantineEnds"]?.string {
      text += language.choose(
        "被搁置的数据最早于 \(ends) 到期删除。\n", "The first of it is erased for its age at \(ends).\n")
    }
    return text
  }
}

/// `hallctl watch`
enum WatchVerb {
  static let verb = Verb(
    "watch", zh: "实时显示事件；服务重启后自动续接", en: "show events as they happen, across restarts of the agent"
  ) {
    session throws(VerbError) in
    var last: String?
    while true {
      do throws(VerbError) {
        try await follow(session, &last)
      } catch {
        // The first connection has to work; later ones wait for the agent to come back.
        guard last != nil, case .call(.unreachable) = error else { throw error }
      }
      _ = await Poller.shared.sleep(for: .seconds(1))
    }
  }

  private static func follow(_ session: Session, _ last: inout String?) async throws(VerbError) {
    let stream: ClientStream
    do throws(AgentCallError) {
      stream = try await session.client.events(after: last)
    } catch {
      throw .call(error)
    }
    last = last ?? "0"
    var buffer = ""
    do throws(HTTPClientError) {
      for try await piece in stream.pieces {
        buffer += String(decoding: piece, as: UTF8.self)
        while let end = buffer.firstRange(of: "\n\n") {
          let event = String(buffer[..<end.lowerBound])
          buffer = String(buffer[end.upperBound...])
          if let id = event.split(separator: "\n").first(where: { $0.hasPrefix("id: ") }) {
            last = String(id.dropFirst(4))
          }
          line(event).map { _ = StandardStreams.writeOut($0 + "\n") }
        }
      }
    } catch {
      throw .call(.unreachable(error))
    }
  }

  private static func line(_ event: String) -> String? {
    var name = ""
    var data = ""
    for line in event.split(separator: "\n") {
      if line.hasPrefix("event: ") { name = String(line.dropFirst(7)) }
      if line.hasPrefix("data: ") { data = String(line.dropFirst(6)) }
    }
    return name.isEmpty ? nil : "\(WallTime.now().rfc3339)  \(Cells.padded(name, to: 14))\(data)"
  }
}

/// `hallctl simulate [DEVICE COMMAND]`
enum SimulateVerb {
  static let verb = Verb(
    "simulate", ["[DEVICE", "COMMAND]"],
    options: [Option("timeline", value: "FILE", zh: "播放时间线文件", en: "play a timeline file")],
    zh: "列出模拟设备，或操作其一：simulate idcard 'card present citizen'",
    en: "list the simulated devices, or act on one: simulate idcard 'card present citizen'"
  ) { session throws(VerbError) in
    if let file = session.arguments["timeline"] {
      let text: [UInt8]
      do throws(SystemError) {
        text = try Files.read(file, limit: 65_536)
      } catch {
        throw .failed("\(file): \(error)")
      }
      let body: JSONValue = ["timeline": .string(String(decoding: text, as: UTF8.self))]
      _ = try await session.call(.playTimeline, body: body)
      return
    }
    guard let device = session.words.first else {
      session.show(try await session.call(.listSimulated)) {
        ($0["devices"]?.array ?? []).map(text).joined(separator: "\n")
      }
      return
    }
    guard session.words.count == 2 else { throw .usage(UsageError(.missingWord("COMMAND"))) }
    session.show(
      try await session.call(.simulate, ["role": device], body: ["command": .string(session.words[1])])
    ) { state($0) }
  }

  private static func text(_ device: JSONValue) -> String {
    (device["name"]?.string ?? "") + "\n" + state(device)
      + (device["commands"]?.array ?? []).compactMap { $0.string.map { "    \($0)\n" } }.joined()
  }

  private static func state(_ device: JSONValue) -> String {
    Cells.table(
      (device["state"]?.object ?? [:]).sorted { $0.key < $1.key }.map {
        ["  \($0.key)", $0.value.string ?? ""]
      })
  }
}
