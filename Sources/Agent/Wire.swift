import Channels
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

extension DeviceView {
  /// The device as the API shows it.
  func json(_ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "role": .string(slot.role), "kind": .string(slot.kind.rawValue),
      "state": .string(report.state.rawValue),
      "admin": .string(locked ? "locked" : "unlocked"), "simulated": .bool(slot.simulated),
      "port": .string(slot.port.description), "since": .string(since.rfc3339),
      "counters": .object(counters.mapValues { .integer(Int64($0)) }),
    ]
    if let reason = report.reason { value["reason"] = reason.json(language) }
    if let paper = report.paper { value["paper"] = .string(paper.rawValue) }
    if let cover = report.cover { value["cover"] = .string(cover.rawValue) }
    if let card = report.card { value["card"] = .string(card.rawValue) }
    if let profile { value["profile"] = .string(profile) }
    if let identity {
      if !identity.model.isEmpty { value["model"] = .string(identity.model) }
      if let serial = identity.serial, !serial.isEmpty { value["serial"] = .string(serial) }
      if let firmware = identity.firmware, !firmware.isEmpty { value["firmware"] = .string(firmware) }
    }
    let details = report.details.filter { !$0.value.isEmpty }
    if !details.isEmpty { value["details"] = .object(details.mapValues(JSONValue.string)) }
    return .object(value)
  }
}

/// Small thumbnails by libjpeg-turbo's programs: a decoder that crashes on a damaged page takes only itself with it.
enum Thumbnail {
  static func make(_ image: [UInt8], scale: Int) async throws(Problem) -> [UInt8] {
    let small = try await run("djpeg", ["-scale", "1/\(scale)"], image)
    return try await run("cjpeg", ["-quality", "70"], small)
  }

  private static func run(_ program: String, _ arguments: [String], _ input: [UInt8]) async throws(Problem)
    -> [UInt8]
  {
    let child: ChildProcess
    do throws(SystemError) {
      child = try ChildProcess.spawn(
        program, arguments: arguments, standardInput: .bytes(input), standardOutput: .pipe,
        standardError: .null)
    } catch {
      throw Problem(Fault(.programMissing, "\(program): \(error)"))
    }
    var output: [UInt8] = []
    while let chunk = try? await child.output?.read(upTo: 1 << 16, timeout: .seconds(10)), !chunk.isEmpty {
      output += chunk
      if output.count > 64 << 20 { break }
    }
    guard await child.wait(timeout: .seconds(10)) == .exited(0), !output.isEmpty else {
      throw Problem(Fault(.imageDamaged, "\(program) could not read the page"))
    }
    return output
  }
}

extension OutboxStatus {
  /// The outbox as the API shows it.
  func json(_ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "pendingEvents": .integer(Int64(pendingEvents)), "pendingPages": .integer(Int64(pendingBlobs)),
      "pendingBytes": .integer(pendingBytes), "quarantined": .integer(Int64(quarantined)),
      "sealed": .bool(isSealed), "delivered": .object(delivered.mapValues { .integer(Int64($0)) }),
    ]
    value["fill"] = .string(fill.word)
    if let oldest { value["oldest"] = .string(oldest.rfc3339) }
    if let quarantineEnds { value["quarantineEnds"] = .string(quarantineEnds.rfc3339) }
    value["limits"] = .object(
      Dictionary(
        quotas.map { quota in
          (
            quota.kind.rawValue,
            [
              "used": .integer(quota.used), "limit": .integer(quota.limit),
              "fill": .string(quota.fill.word),
            ]
          )
        }
      ) { first, _ in first })
    switch endpoint {
    case .unknown: value["intake"] = "unknown"
    case .reachable: value["intake"] = "reachable"
    case .trouble(let trouble, _, let nextProbe):
      value["intake"] = "trouble"
      value["trouble"] = .string(trouble.sentence(language))
      if let nextProbe { value["nextProbe"] = .string(nextProbe.rfc3339) }
    }
    if let failure { value["trouble"] = .string(failure.sentence(language)) }
    return .object(value)
  }
}

extension OutboxFill {
  var word: String {
    switch self {
    case .normal: "normal"
    case .warning: "warning"
    case .full: "full"
    }
  }
}

extension StoreError {
  /// What is wrong with the database and what to do, for people.
  func sentence(_ language: Language) -> String {
    guard language == .chinese else { return "\(self) \(advice)" }
    return switch self {
    case .full: "磁盘已满。请清理状态目录所在的磁盘。"
    case .busy: "数据库被其他程序占用。请结束占用它的程序，例如未结束事务的 sqlite3。"
    case .corrupt(let words): "数据库已损坏（\(words)）。请重启服务：损坏的文件会被移开，其余照常；然后检查磁盘。"
    case .io(let code): "数据库读写失败（SQLite \(code)），重启前不再接收数据。请检查磁盘（dmesg、SMART），然后重启服务。"
    case .constraint(let words), .misuse(let words): "程序内部错误（\(words)）。请将支持包交给供应商。"
    case .cannotOpen(let path, let reason): "无法打开数据库 \(path)（\(reason)）。文件和目录应属于服务账户，并位于本机文件系统。"
    case .newer(let component, let found, let known):
      "数据库由更新的版本写入（\(component) \(found)，本版本只到 \(known)）。请装回新版本，或将状态目录移开。"
    }
  }
}

extension EndpointTrouble {
  /// What is wrong with the intake, for people.
  func sentence(_ language: Language) -> String {
    guard language == .chinese else { return "\(sentence) \(advice)" }
    return switch self {
    case .notListening: "收件服务未运行。请启动收件服务；数据已保存在本机，恢复后自动发送。"
    case .denied: "服务账户无权连接收件服务的套接字。请检查套接字和目录的权限。"
    case .stranger: "收件服务的位置被其他账户的程序占用，未向其发送任何数据。请检查 [intake] user 设置和该程序。"
    case .timedOut: "收件服务无应答。请检查收件服务；数据已保存在本机。"
    case .broken: "与收件服务的连接中断。请查看收件服务的日志；数据已保存在本机。"
    case .busy: "收件服务忙，稍后自动重试。"
    case .unauthorised: "收件服务拒绝访问。请检查其权限设置。"
    case .notFound: "该地址上应答的不是收件服务。请检查 [intake] target 设置。"
    case .redirect: "收件服务的应答要求跳转，接口不允许跳转。请检查收件服务。"
    case .serverError: "收件服务内部出错。请查看收件服务的日志；数据已保存在本机。"
    case .unexpectedAnswer: "收件服务的应答不符合接口约定，不能视为已收件。请查看收件服务的日志。"
    }
  }
}

extension QuarantinedItem {
  /// The item as the API shows it.
  func json(_ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "item": .string(id), "kind": kind == .event ? "event" : "page", "state": "quarantined",
      "bytes": .integer(Int64(bytes)), "attempts": .integer(Int64(attempts)),
      "reason": .string(reason.sentence(language)), "advice": .string(reason.advice(language)),
    ]
    if let type { value["type"] = .string(type) }
    if let source { value["source"] = .string(source) }
    if let sequence { value["sequence"] = .integer(sequence) }
    if let since { value["since"] = .string(since.rfc3339) }
    if reason != .eventSetAside, let ends { value["ends"] = .string(ends.rfc3339) }
    if !blobs.isEmpty { value["pages"] = .array(blobs.map { .string($0.hex) }) }
    return .object(value)
  }
}

extension QuarantineReason {
  func sentence(_ language: Language) -> String {
    guard language == .chinese else { return description }
    return switch self {
    case .refused(let status): "收件服务拒收（\(status)）。"
    case .rejected(let words): "收件服务拒收：\(words)"
    case .mismatch: "收件服务称内容与校验值不符，而本机核对相符。"
    case .noAnswer(let trouble): "仅此一项得不到正常应答：\(trouble.sentence(.chinese))"
    case .damaged: "内容已损坏。"
    case .otherKey: "以另一密钥加密。"
    case .keyMissing: "已加密，但没有密钥。"
    case .missing: "文件已丢失。"
    case .pageSetAside: "其所含的页已被搁置。"
    case .eventLost: "包含此页的事件已随数据库丢失。"
    case .eventSetAside: "包含此页的事件已被搁置。"
    }
  }

  fileprivate func advice(_ language: Language) -> String {
    guard language == .chinese else { return advice }
    return switch self {
    case .refused, .rejected, .mismatch, .noAnswer: "请在收件服务的日志中查找此编号，然后重试；或导出后删除。"
    case .damaged, .missing: "请检查磁盘；如仍需要请重新采集，然后删除此项。"
    case .otherKey, .keyMissing: "请恢复当时使用的密钥并重启服务，然后重试。"
    case .pageSetAside: "请先处理该页，然后重试。"
    case .eventLost: "请导出该页，人工移交后删除。"
    case .eventSetAside: "请处理该事件，此页随之处理。"
    }
  }
}

extension StartReport {
  /// What a person should know of the start, one sentence each; none when all was as it had been left.
  func sentences(_ language: Language) -> [String] {
    var found: [String] = []
    func say(_ chinese: String, _ english: String) { found.append(language.choose(chinese, english)) }
    switch newEpoch {
    case nil, .firstStart?: break
    case .stateLost?: say("数据库已丢失或损坏，开始新的 epoch。", "The database was lost or damaged; a new epoch begins.")
    case .machineChanged?:
      say("本机标识已变更（克隆或迁移），开始新的 epoch。", "The machine is another one (cloned or moved); a new epoch begins.")
    }
    switch sealing {
    case .sealed, .newlySealed, .unsealed: break
    case .keyChanged:
      say(
        "密钥已更换，此前加密的内容将被搁置。请恢复原密钥。",
        "The key is another one: what was sealed before is set aside. Restore the old key.")
    case .keyLost:
      say("密钥缺失，此前加密的内容将被搁置。请恢复密钥。", "The key is gone: what was sealed is set aside. Restore the key.")
    }
    if missingPages > 0 {
      say("\(missingPages) 页的文件丢失，已搁置。", "The files of \(missingPages) pages are gone; they were set aside.")
    }
    if damagedFiles > 0 {
      say(
        "\(damagedFiles) 个页文件损坏，已移入 damaged 目录。",
        "\(damagedFiles) page files are damaged and were moved to `damaged`.")
    }
    if salvagedEvents > 0 {
      say(
        "从损坏的数据库中找回 \(salvagedEvents) 个事件。",
        "\(salvagedEvents) events were salvaged from the damaged database.")
    }
    if unreadableEvents > 0 {
      say("\(unreadableEvents) 个事件无法找回。", "\(unreadableEvents) events could not be salvaged.")
    }
    if !recoveredPages.isEmpty {
      say(
        "找回 \(recoveredPages.count) 页，其事件已丢失，已搁置。",
        "\(recoveredPages.count) pages were found whose events are lost; they were set aside.")
    }
    return found
  }
}
