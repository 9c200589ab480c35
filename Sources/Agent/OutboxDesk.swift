import Channels
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// Something about the outbox that a person should see to, as `status`, the log and `hallctl` say it.
struct OutboxWarning: Sendable, Equatable {
  var code: String
  var chinese: String
  var english: String
  var actor: Actor
  var action: FaultAction

  func json(_ language: Language) -> JSONValue {
    [
      "code": .string(code), "title": .string(language.choose(chinese, english)),
      "action": .string(action.rawValue), "actor": .string(actor.rawValue), "retry": false,
    ]
  }
}

extension OutboxStatus {
  /// What somebody should see to, the most urgent first.
  var warnings: [OutboxWarning] {
    var found: [OutboxWarning] = []
    for quota in quotas where quota.fill == .full { found.append(quota.warning(isFull: true)) }
    for quota in quotas where quota.fill == .warning { found.append(quota.warning(isFull: false)) }
    if isQuarantineEnding, let quarantineEnds {
      let day = String(quarantineEnds.rfc3339.prefix(10))
      found.append(
        OutboxWarning(
          code: "outbox.quarantineEnding",
          chinese: "被搁置的数据将于 \(day) 起到期删除。请用 hallctl outbox list 查看，重试或导出。",
          english:
            "What was set aside is erased for its age from \(day) on. See `hallctl outbox list`; retry or export it.",
          actor: .technician, action: .maintenance))
    } else if quarantined > 0 {
      found.append(
        OutboxWarning(
          code: "outbox.quarantine", chinese: "有 \(quarantined) 项数据被搁置。请用 hallctl outbox list 查看。",
          english: "\(quarantined) items were set aside. See `hallctl outbox list`.", actor: .technician,
          action: .maintenance))
    }
    if !isSealed {
      found.append(
        OutboxWarning(
          code: "outbox.unsealed", chinese: "未设置密钥文件（key-file），待发送的材料以明文保存在本机。",
          english:
            "No key file is configured: what waits for the intake lies unsealed on this machine's disk.",
          actor: .administrator, action: .configuration))
    }
    return found
  }
}

extension OutboxQuota {
  fileprivate func warning(isFull: Bool) -> OutboxWarning {
    let percent = share.isFinite ? "\(Int((share * 100).rounded(.down)))" : "100"
    let zh: String
    let en: String
    switch kind {
    case .pageBytes: (zh, en) = ("待发送页的总量已达上限的 \(percent)%", "Undelivered pages use \(percent) % of `quota`")
    case .pages:
      (zh, en) = ("待发送页数已达上限的 \(percent)%", "Undelivered pages are at \(percent) % of `quota-pages`")
    case .events:
      (zh, en) = ("待发送事件数已达上限的 \(percent)%", "Undelivered events are at \(percent) % of `quota-events`")
    case .waitSeconds:
      (zh, en) = (
        "最早的事件已等待 \(used / 3600) 小时，达上限的 \(percent)%",
        "The oldest event has waited for \(used / 3600) hours, \(percent) % of `quota-age`"
      )
    case .keptFreeBytes:
      (zh, en) = (
        "磁盘仅剩 \(used >> 20) MiB，为评价保留 \(limit >> 20) MiB",
        "The disk has \(used >> 20) MiB left; \(limit >> 20) MiB are kept for ratings (`keep-free`)"
      )
    case .reserve:
      (zh, en) = ("磁盘已满，预留空间已启用", "The disk is full, and the reserve had to be given up")
    }
    let isDisk = kind == .keptFreeBytes || kind == .reserve
    let code = isDisk ? "outbox.disk" : "outbox.\(kind.rawValue)"
    return OutboxWarning(
      code: isFull ? code + "Full" : code,
      chinese: zh + (isFull ? "，暂不能扫描；评价照常接收。" : "。") + (isDisk ? "请清理磁盘。" : "请检查收件服务。"),
      english: en + (isFull ? "; no more pages are taken, ratings are. " : ". ")
        + (isDisk ? "Free space on the disk." : "Have the intake service looked at."),
      actor: .administrator, action: .maintenance)
  }
}

extension OutboxLimits {
  init(_ configuration: Configuration) {
    self.init(
      pageBytes: Int64(configuration.quotaBytes), pages: configuration.quotaPages,
      keptFreeBytes: Int64(configuration.keptFree), events: configuration.quotaEvents,
      waitSeconds: configuration.quotaAge.components.seconds,
      quarantineSeconds: configuration.quarantineAge.components.seconds)
  }
}

/// Keeps house for the outbox: tells what its start found, looks through what earlier runs left, says when a limit comes near,
/// and ends what lay in quarantine too long.
struct OutboxDesk: Sendable {
  let facilities: Facilities

  /// The key of that file, or nil when none is configured.
  static func readKey(_ path: String) throws(AgentError) -> SealingKey? {
    guard !path.isEmpty else { return nil }
    do {
      return try SealingKey(bytes: try Files.read(path, limit: 4096))
    } catch {
      throw .key("\(path): \(error)")
    }
  }

  private var language: Language { facilities.settings.current.language }

  /// Says what the start found.
  func tell(_ report: StartReport) {
    for sentence in report.sentences(language) { facilities.log(.warning, "outbox", sentence) }
  }

  /// Works until it is cancelled.
  func start() -> Task<Void, Never> {
    Task {
      await withDiscardingTaskGroup { group in
        group.addTask { await reconcile() }
        group.addTask { await watch() }
        group.addTask { await Erasure(facilities: facilities).run() }
        group.addTask {
          repeat {
            await age()
            await Erasure(facilities: facilities).forgetOld()
          } while await facilities.time.sleep(for: .seconds(3600))
        }
      }
    }
  }

  private func reconcile() async {
    do throws(OutboxError) {
      let found = try await facilities.outbox.reconcile()
      guard found.missingPages > 0 else { return }
      facilities.log(
        .error, "outbox",
        language.choose(
          "又有 \(found.missingPages) 页的文件丢失，已搁置。",
          "The files of \(found.missingPages) more pages are gone; they were set aside."))
    } catch {
      facilities.log(.error, "outbox", "the pages could not be looked through: \(error) \(error.advice)")
    }
  }

  /// Logs each warning once when it comes, and once when it goes.
  private func watch() async {
    var known: Set<String> = []
    for await status in facilities.outbox.statusUpdates() {
      let warnings = status.warnings
      for warning in warnings where known.insert(warning.code).inserted {
        facilities.log(.warning, "outbox", language.choose(warning.chinese, warning.english))
      }
      let gone = known.subtracting(warnings.map(\.code))
      guard !gone.isEmpty else { continue }
      known.subtract(gone)
      facilities.log(
        .notice, "outbox",
        language.choose("已恢复正常：", "well again: ") + gone.sorted().joined(separator: ", "))
    }
  }

  /// Ends what lay in quarantine too long: warned of before, and noted in the audit log before it is erased.
  func age(clockTrusted: Bool = SystemClockState.isSynchronised) async {
    do throws(OutboxError) {
      while true {
        let ageing = try await facilities.outbox.quarantine.ageing(clockTrusted: clockTrusted)
        for item in ageing.warned {
          facilities.log(
            .warning, "outbox",
            language.choose(
              "被搁置的 \(item.id) 将于 \(item.ends?.rfc3339 ?? "") 到期删除：\(item.reason.sentence(.chinese))",
              "what was set aside as \(item.id) is erased at \(item.ends?.rfc3339 ?? ""): \(item.reason)"))
        }
        var noted: [String] = []
        for item in ageing.ended where note(item) { noted.append(item.id) }
        if !noted.isEmpty { _ = try await facilities.outbox.quarantine.discard(noted) }
        if ageing.warned.isEmpty && noted.isEmpty { return }
      }
    } catch {
      facilities.log(.error, "outbox", "the quarantine could not be looked through: \(error) \(error.advice)")
    }
  }

  /// - Returns: whether the end of the item could be noted; what cannot be is kept.
  private func note(_ item: QuarantinedItem) -> Bool {
    do throws(SystemError) {
      try facilities.audit.noteOwn(
        "outbox item \(item.id) erased for its age, set aside \(item.since?.rfc3339 ?? "") (\(item.reason.code))"
      )
    } catch {
      facilities.log(.error, "outbox", "the audit log cannot be written, \(item.id) is kept: \(error)")
      return false
    }
    facilities.log(
      .warning, "outbox",
      language.choose(
        "被搁置的 \(item.id) 已到期删除（\(item.bytes) 字节）。",
        "what was set aside as \(item.id) was erased for its age (\(item.bytes) bytes)"))
    return true
  }
}
