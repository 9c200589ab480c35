public import Devices

/// Refusals of the API itself; a device's refusals are ``FaultCode``.
public enum ProblemCode: String, Sendable, CaseIterable {
  case malformed = "request.malformed"
  case invalid = "request.invalid"
  case tooLarge = "request.tooLarge"
  case mediaType = "request.mediaType"
  case mismatch = "request.mismatch"
  case inProgress = "request.inProgress"
  case resultGone = "request.resultGone"
  case notCancellable = "request.notCancellable"
  case notFound = "resource.notFound"
  case methodNotAllowed = "method.notAllowed"
  case forbidden = "access.forbidden"
  case wrongKind = "device.wrongKind"
  case visitClosed = "visit.closed"
  case visitRequired = "visit.required"
  case materialClosed = "material.closed"
  case alreadyRated = "rating.alreadyAsked"
  case ratingBusy = "rating.inProgress"
  case outboxFull = "outbox.full"
  case notStored = "agent.notStored"
  case notSimulated = "device.notSimulated"
  case stopping = "agent.stopping"
  case configurationInvalid = "configuration.invalid"

  /// HTTP status that goes with it.
  public var status: Int {
    switch self {
    case .malformed, .invalid: 400
    case .forbidden: 403
    case .notFound: 404
    case .methodNotAllowed: 405
    case .mismatch, .inProgress, .notCancellable, .wrongKind, .visitClosed, .visitRequired, .materialClosed,
      .alreadyRated,
      .ratingBusy, .notSimulated:
      409
    case .resultGone: 410
    case .tooLarge: 413
    case .mediaType: 415
    case .configurationInvalid: 422
    case .outboxFull, .notStored: 507
    case .stopping: 503
    }
  }

  /// Who must act, how, and the sentences.
  public var advice: Advice {
    switch self {
    case .malformed:
      Advice(
        .softwareError, .vendor, retry: false, zh: "请求不是有效的 JSON。请检查调用程序。",
        en: "The request is not valid JSON. Correct the calling program.")
    case .invalid:
      Advice(
        .softwareError, .vendor, retry: false, zh: "请求的内容不符合接口约定。请检查调用程序。",
        en: "The request does not keep to the interface. Correct the calling program.")
    case .tooLarge:
      Advice(.softwareError, .vendor, retry: false, zh: "请求过大。", en: "The request is too large.")
    case .mediaType:
      Advice(
        .softwareError, .vendor, retry: false, zh: "请求的 Content-Type 不受支持。",
        en: "The request's Content-Type is not supported.")
    case .mismatch:
      Advice(
        .softwareError, .vendor, retry: false, zh: "该 requestId 已用于另一个请求。请为新请求使用新的编号。",
        en: "This requestId was used for a different request. Use a new one for a new request.")
    case .inProgress:
      Advice(.reset, .clerk, retry: true, zh: "该请求正在执行。", en: "This request is being carried out.")
    case .resultGone:
      Advice(
        .reset, .clerk, retry: false, zh: "该请求已完成，但其内容涉及个人信息，未予保存。请用新的编号重新读取。",
        en:
          "The request has been carried out; its result was personal and is not kept. Read again with a new requestId."
      )
    case .notCancellable:
      Advice(
        .reset, .clerk, retry: false, zh: "该请求已经产生效果或已结束，不能取消。",
        en: "The request has had its effect or has ended; it cannot be cancelled.")
    case .notFound:
      Advice(.softwareError, .vendor, retry: false, zh: "没有这个对象。", en: "There is no such thing here.")
    case .methodNotAllowed:
      Advice(.softwareError, .vendor, retry: false, zh: "不支持该请求方法。", en: "This method is not supported here.")
    case .forbidden:
      Advice(
        .configuration, .administrator, retry: false, zh: "当前账户没有执行此操作的权限。",
        en: "This account may not do that.")
    case .wrongKind:
      Advice(
        .softwareError, .vendor, retry: false, zh: "该设备不是执行此操作的设备类型。",
        en: "This device is not of the kind that does this.")
    case .visitClosed:
      Advice(
        .reset, .clerk, retry: false, zh: "这次办理已经结束。请开始新的办理。",
        en: "This visit has been closed. Open a new one.")
    case .visitRequired:
      Advice(
        .reset, .citizen, retry: false, zh: "请先在自助机上开始办理，再读取证件。",
        en: "Begin a visit at the kiosk before a card is read.")
    case .materialClosed:
      Advice(
        .reset, .clerk, retry: false, zh: "这份材料已经提交，不能再修改。",
        en: "This material has been submitted and cannot be changed.")
    case .alreadyRated:
      Advice(
        .reset, .clerk, retry: false, zh: "这次服务已经评价过（一次一评）。",
        en: "This service has been rated already: one rating for one service.")
    case .ratingBusy:
      Advice(
        .reset, .clerk, retry: true, zh: "评价器正在等待另一项评价。",
        en: "The evaluator is waiting for another rating.")
    case .outboxFull:
      Advice(
        .maintenance, .administrator, retry: true, zh: "待发送的材料已达上限，暂不能扫描。请检查收件服务是否正常。",
        en: "The store for undelivered pages is full; no more can be scanned. Check the intake service.")
    case .notStored:
      Advice(
        .maintenance, .administrator, retry: true, zh: "本机无法保存数据，操作未被接受。请检查磁盘空间和磁盘状态。",
        en:
          "This machine could not store the data, so it was not accepted. Check the disk and its free space.")
    case .notSimulated:
      Advice(
        .softwareError, .vendor, retry: false, zh: "该设备不是模拟设备。", en: "This device is not a simulated one.")
    case .stopping:
      Advice(
        .reset, .technician, retry: true, zh: "服务正在停止，请稍后重试。",
        en: "The service is stopping. Try again shortly.")
    case .configurationInvalid:
      Advice(
        .configuration, .administrator, retry: false, zh: "配置文件有错误，仍使用原来的配置。",
        en: "The configuration file has errors; the old configuration stays in force.")
    }
  }
}
