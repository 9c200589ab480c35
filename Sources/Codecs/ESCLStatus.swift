/// What the scanner as a whole is doing.
public enum ESCLState: Sendable, Equatable {
  /// Ready.
  case idle
  /// Scanning.
  case processing
  /// Warming up or testing itself.
  case testing
  /// An error stopped it.
  case stopped
  /// Out of service.
  case down
  /// A word this codec does not know.
  case other(String)

  /// The word on the wire.
  public var word: String {
    switch self {
    case .idle: "Idle"
    case .processing: "Processing"
    case .testing: "Testing"
    case .stopped: "Stopped"
    case .down: "Down"
    case .other(let word): word
    }
  }

  /// The state a word stands for.
  public init(word: String) {
    let known: [ESCLState] = [.idle, .processing, .testing, .stopped, .down]
    self = known.first { $0.word == word } ?? .other(word)
  }
}

/// What the document feeder is doing (facts/devices.md D3).
public enum ESCLFeederState: Sendable, Equatable {
  /// Feeding.
  case processing
  /// No paper in it.
  case empty
  /// Paper in it.
  case loaded
  /// Paper is stuck.
  case jam
  /// The rollers did not grip a sheet.
  case mispick
  /// The cover is open.
  case hatchOpen
  /// The cover is open, in the word of other makers.
  case doorOpen
  /// A page too short for both sides.
  case duplexPageTooShort
  /// A page too long for both sides.
  case duplexPageTooLong
  /// Two sheets went in together.
  case multipickDetected
  /// The tray does not move.
  case inputTrayFailed
  /// Too many sheets.
  case inputTrayOverloaded
  /// A word this codec does not know.
  case other(String)

  private static let table: [(state: ESCLFeederState, word: String)] = [
    (.processing, "ScannerAdfProcessing"), (.empty, "ScannerAdfEmpty"), (.loaded, "ScannerAdfLoaded"),
    (.jam, "ScannerAdfJam"), (.mispick, "ScannerAdfMispick"), (.hatchOpen, "ScannerAdfHatchOpen"),
    (.doorOpen, "ScannerAdfDoorOpen"), (.duplexPageTooShort, "ScannerAdfDuplexPageTooShort"),
    (.duplexPageTooLong, "ScannerAdfDuplexPageTooLong"),
    (.multipickDetected, "ScannerAdfMultipickDetected"),
    (.inputTrayFailed, "ScannerAdfInputTrayFailed"),
    (.inputTrayOverloaded, "ScannerAdfInputTrayOverloaded"),
  ]

  /// The word on the wire.
  public var word: String {
    if case .other(let word) = self { return word }
    return Self.table.first { $0.state == self }?.word ?? ""
  }

  /// The state a word stands for.
  public init(word: String) {
    self = Self.table.first { $0.word == word }?.state ?? .other(word)
  }
}

/// How far a scan job has come.
public enum ESCLJobState: Sendable, Equatable {
  /// Waiting.
  case pending
  /// Waiting for a person.
  case pendingHeld
  /// Scanning or transferring.
  case processing
  /// All pages were fetched.
  case completed
  /// Ended by the client or at the panel.
  case canceled
  /// Ended by the scanner.
  case aborted
  /// A word this codec does not know.
  case other(String)

  private static let table: [(state: ESCLJobState, word: String)] = [
    (.pending, "Pending"), (.pendingHeld, "PendingHeld"), (.processing, "Processing"),
    (.completed, "Completed"), (.canceled, "Canceled"), (.aborted, "Aborted"),
  ]

  /// The word on the wire.
  public var word: String {
    if case .other(let word) = self { return word }
    return Self.table.first { $0.state == self }?.word ?? ""
  }

  /// The state a word stands for.
  public init(word: String) {
    self = Self.table.first { $0.word == word }?.state ?? .other(word)
  }
}

/// One job in the scanner's status.
public struct ESCLJob: Sendable, Equatable {
  /// Where the job is, as the scanner gives it: a path, or a URI whose authority is not to be trusted.
  public var uri: String
  /// Identity; not always a UUID.
  public var uuid: String?
  /// Seconds since something last happened to it.
  public var age: Int?
  /// Pages scanned.
  public var imagesCompleted: Int?
  /// Pages scanned and not fetched yet.
  public var imagesToTransfer: Int?
  /// Times the current page was fetched again.
  public var transferRetryCount: Int?
  /// How far it has come.
  public var state: ESCLJobState
  /// Why, as `JobCompletedSuccessfully`, `JobScanningAndTransferring`, `JobCanceledByUser`, `AbortedBySystem`.
  public var reasons: [String]

  /// A job.
  public init(
    uri: String, uuid: String? = nil, age: Int? = nil, imagesCompleted: Int? = nil,
    imagesToTransfer: Int? = nil, transferRetryCount: Int? = nil, state: ESCLJobState, reasons: [String] = []
  ) {
    self.uri = uri
    self.uuid = uuid
    self.age = age
    self.imagesCompleted = imagesCompleted
    self.imagesToTransfer = imagesToTransfer
    self.transferRetryCount = transferRetryCount
    self.state = state
    self.reasons = reasons
  }
}

/// The answer to `GET /eSCL/ScannerStatus` (Mopria eSCL 9.1; facts/devices.md D3).
public struct ESCLStatus: Sendable, Equatable {
  /// Protocol version.
  public var version: ESCLVersion
  /// What the scanner is doing.
  public var state: ESCLState
  /// What its feeder is doing; nil if it has none or does not say.
  public var feederState: ESCLFeederState?
  /// Its jobs, the newest first on the scanners seen.
  public var jobs: [ESCLJob]

  /// A status.
  public init(
    version: ESCLVersion = ESCLVersion(2, 0), state: ESCLState, feederState: ESCLFeederState? = nil,
    jobs: [ESCLJob] = []
  ) {
    self.version = version
    self.state = state
    self.feederState = feederState
    self.jobs = jobs
  }

  /// Reads a scanner's answer.
  public init(parsing bytes: [UInt8]) throws(ESCLError) {
    let root = try XMLElement.esclRoot(bytes, "ScannerStatus")
    guard let state = root.words(.pwg("State")) else { throw .missingElement("State") }
    self.init(
      version: root.words(.pwg("Version")).flatMap { ESCLVersion(text: $0) } ?? ESCLVersion(2, 0),
      state: ESCLState(word: state),
      feederState: root.words(.scan("AdfState")).map { ESCLFeederState(word: $0) })
    for element in root.child(.scan("Jobs"))?.children(.scan("JobInfo")) ?? [] {
      guard let uri = element.words(.pwg("JobUri")) else { throw .missingElement("JobUri") }
      guard let state = element.words(.pwg("JobState")) else { throw .missingElement("JobState") }
      let reasons = element.child(.pwg("JobStateReasons"))?.children(.pwg("JobStateReason")) ?? []
      jobs.append(
        ESCLJob(
          uri: uri, uuid: element.words(.pwg("JobUuid")), age: try element.number(.scan("Age")),
          imagesCompleted: try element.number(.pwg("ImagesCompleted")),
          imagesToTransfer: try element.number(.pwg("ImagesToTransfer")),
          transferRetryCount: try element.number(.scan("TransferRetryCount")),
          state: ESCLJobState(word: state), reasons: reasons.map(\.trimmedText)))
    }
  }

  /// The document a scanner serves.
  public var document: [UInt8] {
    var children: [XMLElement] = [.pwg("Version", version.description), .pwg("State", state.word)]
    if let feederState { children.append(.scan("AdfState", feederState.word)) }
    if !jobs.isEmpty { children.append(.scan("Jobs", jobs.map(Self.element))) }
    return XMLElement.scan("ScannerStatus", children).esclDocument
  }

  private static func element(_ job: ESCLJob) -> XMLElement {
    var children: [XMLElement] = [.pwg("JobUri", job.uri)]
    if let uuid = job.uuid { children.append(.pwg("JobUuid", uuid)) }
    if let age = job.age { children.append(.scan("Age", age)) }
    if let count = job.imagesCompleted { children.append(.pwg("ImagesCompleted", count)) }
    if let count = job.imagesToTransfer { children.append(.pwg("ImagesToTransfer", count)) }
    if let count = job.transferRetryCount { children.append(.scan("TransferRetryCount", count)) }
    children.append(.pwg("JobState", job.state.word))
    if !job.reasons.isEmpty {
      children.append(.pwg("JobStateReasons", job.reasons.map { .pwg("JobStateReason", $0) }))
    }
    return .scan("JobInfo", children)
  }
}
