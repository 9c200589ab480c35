/// The five kinds of device this agent knows.
public enum DeviceKind: String, Sendable, CaseIterable {
  case idCardReader = "id-card-reader"
  case ticketDispenser = "ticket-dispenser"
  case scanner = "scanner"
  case evaluator = "evaluator"
  case printer = "printer"
  case citizenScreen = "citizen-screen"

  /// 排队取号机, 身份证读卡器 …: what a technician calls it in Chinese.
  public var chineseName: String {
    switch self {
    case .idCardReader: "身份证读卡器"
    case .ticketDispenser: "取号机"
    case .scanner: "扫描仪"
    case .evaluator: "评价器"
    case .printer: "打印机"
    case .citizenScreen: "双屏互动屏"
    }
  }
  /// The name in English.
  public var englishName: String {
    switch self {
    case .idCardReader: "ID-card reader"
    case .ticketDispenser: "ticket dispenser"
    case .scanner: "scanner"
    case .evaluator: "evaluator"
    case .printer: "printer"
    case .citizenScreen: "citizen's screen"
    }
  }
}

/// Operating state of a device (XFS4IoT `DeviceEnum`, without the two fraud values).
public enum DeviceState: String, Sendable, CaseIterable {
  /// Present, answers, ready.
  case online
  /// Present, but says of itself that it cannot work.
  case offline
  /// The line is there and the device does not answer: probably switched off.
  case powerOff
  /// Nothing is connected.
  case noDevice
  /// Broken: an engineer is needed.
  case hardwareError
  /// A person at the counter can put it right: paper, cover, card.
  case userError
  /// Working on a command.
  case deviceBusy
  /// Being opened and asked.
  case starting
}

/// Paper supply (XFS4IoT `PaperSupplyEnum`).
public enum PaperState: String, Sendable, CaseIterable { case full, low, out, jammed, unknown }

/// Cover, kept apart from paper.
public enum CoverState: String, Sendable, CaseIterable { case closed, open, unknown }

/// A card on the reader; `unknown` where the model cannot tell.
public enum CardPresence: String, Sendable, CaseIterable { case present, notPresent, unknown }

/// How deep a health check goes (UnifiedPOS CheckHealth).
public enum HealthLevel: String, Sendable, CaseIterable {
  /// No physical effect, but the device itself is asked.
  case `internal`
  /// Prints, flashes or captures.
  case external
  /// Asks a person to do something.
  case interactive
}

/// What a device says of itself at one moment.
public struct DeviceReport: Sendable, Equatable {
  /// Operating state.
  public var state: DeviceState
  /// Why it is not `online`; also set while `online` for a warning (paper low).
  public var reason: Fault?
  /// Paper, for devices that have any.
  public var paper: PaperState?
  /// Cover, for devices that report it.
  public var cover: CoverState?
  /// Card, for card readers.
  public var card: CardPresence?
  /// Technical facts by name (`firmware`, `samID`); never of a citizen.
  public var details: [String: String]

  /// A report.
  public init(
    state: DeviceState, reason: Fault? = nil, paper: PaperState? = nil, cover: CoverState? = nil,
    card: CardPresence? = nil, details: [String: String] = [:]
  ) {
    self.state = state
    self.reason = reason
    self.paper = paper
    self.cover = cover
    self.card = card
    self.details = details
  }
}

/// What a driver learnt of the unit when it attached.
public struct DeviceIdentity: Sendable, Equatable {
  /// Maker and model as the device or its profile says.
  public var model: String
  /// The unit's own number; nil where the model has none.
  public var serial: String?
  /// Firmware or module version.
  public var firmware: String?

  /// An identity.
  public init(model: String, serial: String? = nil, firmware: String? = nil) {
    self.model = model
    self.serial = serial
    self.firmware = firmware
  }
}
