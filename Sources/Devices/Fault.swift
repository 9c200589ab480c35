/// What has to be done about a fault (XFS4IoT error actions).
public enum FaultAction: String, Sendable, CaseIterable {
  /// Doing it again is enough.
  case reset
  /// Somebody at the counter can clear it: paper, cover, card.
  case clear
  /// A setting of this machine or of the agent has to change.
  case configuration
  /// A technician has to look at the device.
  case maintenance
  /// Take the device out of service.
  case suspend
  /// A defect in a program.
  case softwareError
}

/// Who has to act.
public enum Actor: String, Sendable, CaseIterable {
  case citizen, clerk, technician, administrator, vendor

  /// The word in Chinese.
  public var chineseName: String {
    switch self {
    case .citizen: "办事群众"
    case .clerk: "窗口人员"
    case .technician: "运维人员"
    case .administrator: "系统管理员"
    case .vendor: "设备厂商"
    }
  }
}

/// What a stable code stands for: who must act and how, in both languages.
public struct Advice: Sendable, Equatable {
  /// What has to be done.
  public let action: FaultAction
  /// Who has to do it.
  public let actor: Actor
  /// True when the same command may succeed if it is given again.
  public let retry: Bool
  /// What is wrong and what to do, one or two sentences, Chinese.
  public let chinese: String
  /// The same in English.
  public let english: String

  /// Advice.
  public init(_ action: FaultAction, _ actor: Actor, retry: Bool, zh chinese: String, en english: String) {
    self.action = action
    self.actor = actor
    self.retry = retry
    self.chinese = chinese
    self.english = english
  }
}

/// A device that could not do what it was asked, or is not fit to be asked.
public struct Fault: Error, Sendable, Equatable {
  /// Stable code; the wording comes from its ``FaultCode/advice``.
  public let code: FaultCode
  /// Technical detail for the log and the technician: bytes of a status, an errno, a queue's reason. Never citizen data.
  public let evidence: String

  /// A fault.
  public init(_ code: FaultCode, _ evidence: String = "") {
    self.code = code
    self.evidence = evidence
  }
}

/// Outcome of a physical effect. `unknown` is reported, never guessed, never silently repeated.
public enum EffectOutcome: Sendable, Equatable {
  /// It happened; the device said so, or nothing speaks against it on a device that cannot say.
  case done
  /// It did not happen.
  case notDone(Fault)
  /// It may have happened.
  case unknown(Fault)

  /// `yes`, `no` or `unknown`: the words of the intake API.
  public var word: String {
    switch self {
    case .done: "yes"
    case .notDone: "no"
    case .unknown: "unknown"
    }
  }
  /// The fault of the last two.
  public var fault: Fault? {
    switch self {
    case .done: nil
    case .notDone(let fault), .unknown(let fault): fault
    }
  }
}
