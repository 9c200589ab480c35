public import Codecs

/// A second-generation ID-card reader with its security module, from the wire's side (facts/idcard.md 2, 3, 11).
///
/// Find, select and read must follow each other. What sources disagree about is a setting.
public struct SimulatedIDCardReader: SimulatedSerialDevice {
  /// What differs between modules.
  public struct Options: Sendable, Equatable {
    /// The module's number; the published one of family 05.01, which reads no fingerprints, unless another is given.
    public var samID = SAMID(
      family: 5, type: 1, date: 20_101_129, serial: 1_228_293, secondSerial: 296_863_149)
    /// Whether `30 10` works; modules of family 05.01 answer 21.
    public var readsFingerprints = false
    /// Parameter byte of "read additional address": 03 by most sources, 02 by two; the other one is answered with 21.
    public var addressParameter: UInt8 = 0x03
    /// Whether a card must be lifted between two reads: find says 80 until then.
    public var mustReplace = false
    /// Whether a second `30 01` needs a new find and select.
    public var readNeedsFind = true
    /// What a command out of order is answered with: 34, or 81 and 41 as if the card had failed.
    public var answersNotFoundYet = true
    /// Photo of every card, 1024 bytes.
    public var photo = SampleCard.photo
    /// How long find, select and read take; real modules need about 0.1 s, 0.1 s and 0.8 s.
    public var findTime = Duration.zero
    /// See ``findTime``.
    public var selectTime = Duration.zero
    /// See ``findTime``.
    public var readTime = Duration.zero
    /// Bits a second of the module's line; nil where it is no serial line or any speed will do.
    public var baud: Int?
    /// Whether the module knows the command for its radio field, as one maker's do.
    public var switchesField = false
    /// Which bytes the module's number has when it is asked the first time after power came; nil: the right ones.
    public var firstNumberIsWrong = false
    /// How long the module waits for the rest of a request before it answers 11.
    public var receiveTimeout = Duration.seconds(1)

    /// A module that answers at once.
    public init() {}
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case present(SampleCard), remove, moved, movedWhileReading, mustReplace(Bool), selfTest(ok: Bool)
    case authorised(Bool), additionalAddress(Bool), fingerprints(Int), fingerprintModule(Bool)
    case answerNext(UInt8), moduleBaud(Int)
  }

  /// What its records tell.
  public static let events = ["card-present", "card-removed", "card-read", "address-read"]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm(
      "card present " + SampleCard.allCases.map(\.rawValue).joined(separator: "|"), "put a card on the reader"
    ) { $0.word().flatMap(SampleCard.init(rawValue:)).map { .present($0) } },
    CommandForm("card remove", "take the card away", .remove),
    CommandForm("card moved", "shift the card after the next find, so that select fails with 81", .moved),
    CommandForm(
      "card moved while reading", "shift the card during the next read, so that it fails with 41",
      .movedWhileReading),
    CommandForm("must-re-place on|off", "find a card again only after it was lifted") {
      $0.flag().map { .mustReplace($0) }
    },
    CommandForm("self-test failed|ok", "let the module fail its self-test: everything is answered with 60") {
      $0.word().map { .selfTest(ok: $0 == "ok") }
    },
    CommandForm(
      "authorised yes|no", "without authorisation everything but reset and number is answered with 66"
    ) {
      $0.flag().map { .authorised($0) }
    },
    CommandForm("additional-address yes|no", "whether cards have an additional address; otherwise 91") {
      $0.flag().map { .additionalAddress($0) }
    },
    CommandForm("fingerprints <0-2>", "how many fingerprints cards hold") {
      $0.number().map { .fingerprints($0) }
    },
    CommandForm("fingerprint-module yes|no", "whether the module reads fingerprints; otherwise 21") {
      $0.flag().map { .fingerprintModule($0) }
    },
    CommandForm(
      "module-baud " + SDTBaud.allCases.map { "\($0.bitsPerSecond)" }.joined(separator: "|"),
      "let the module use this speed; a host with another hears noise"
    ) {
      $0.word().flatMap { Int($0) }.map { .moduleBaud($0) }
    },
    CommandForm("next answer <hex>", "answer the next command with this status (SW3) and without data") {
      $0.byte().map { .answerNext($0) }
    },
  ]

  private enum Stage: Sendable, Equatable {
    case idle
    case found
    case selected
    case read
  }
  private static let receiveToken = 1

  private var options: Options
  private var parser = SDTRequestParser()
  private var stage = Stage.idle
  private var card: SampleCard?
  /// Counts placements, so that a card swapped between two commands is not taken for the one found.
  private var placement = 0
  private var placementFound = 0
  private var placementRead: Int?
  private var isMoved = false
  private var isMovedWhileReading = false
  private var isSelfTestOK = true
  private var isAuthorised = true
  private var hasAdditionalAddress = false
  private var fingerprints = 0
  private var nextStatus: UInt8?
  private var reads = 0
  private var receipts = 0
  private var waitingSince: Int?
  private var isFieldOn = true
  private var numberWasAsked = false
  private var nextBaud: Int?
  private static let baudToken = 2

  /// A reader without a card.
  public init(_ options: Options = Options()) { self.options = options }

  /// As the options have it, or as the host or a person has changed it since.
  public var baud: Int? { options.baud }

  /// `SAM_V module 05.01` and the like.
  public var modelName: String { "SDT ID-card reader, module \(options.samID.description)" }

  /// Card and module.
  public var state: [SimulationField] {
    [
      SimulationField("card", card?.rawValue ?? "none"),
      SimulationField("stage", "\(stage)"),
      SimulationField("reads", reads),
      SimulationField("must-re-place", options.mustReplace),
      SimulationField("self-test", isSelfTestOK ? "ok" : "failed"),
      SimulationField("authorised", isAuthorised),
      SimulationField("additional-address", hasAdditionalAddress),
      SimulationField("fingerprint-module", options.readsFingerprints),
    ] + (options.baud.map { [SimulationField("module-baud", $0)] } ?? [])
  }

  /// Forgets the card found and a half-received request; what lies on the reader stays there.
  public mutating func powerLost() -> [SimulatedAction] {
    stage = .idle
    isFieldOn = true
    numberWasAsked = false
    parser.reset()
    waitingSince = nil
    return []
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .present(let card):
      self.card = card
      placement += 1
      isMoved = false
      isMovedWhileReading = false
      return [.record(SimulationRecord("card-present", [SimulationField("card", card.rawValue)]))]
    case .remove:
      guard card != nil else {
        throw .impossible("there is no card on the reader", chinese: "读卡器上没有卡")
      }
      card = nil
      return [.record(SimulationRecord("card-removed"))]
    case .moved: isMoved = true
    case .movedWhileReading: isMovedWhileReading = true
    case .mustReplace(let on): options.mustReplace = on
    case .selfTest(let ok): isSelfTestOK = ok
    case .authorised(let yes): isAuthorised = yes
    case .additionalAddress(let yes): hasAdditionalAddress = yes
    case .fingerprints(let count): fingerprints = count
    case .fingerprintModule(let yes): options.readsFingerprints = yes
    case .answerNext(let status): nextStatus = status
    case .moduleBaud(let baud): options.baud = baud
    }
    return []
  }

  /// Takes request bytes; answers each whole request, and damaged ones with 10 or 11.
  public mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    parser.feed(bytes)
    var actions = drain()
    receipts += 1
    if parser.pending > 0 {
      waitingSince = receipts
      actions.append(.wake(Self.receiveToken, after: options.receiveTimeout))
    } else {
      waitingSince = nil
    }
    return actions
  }

  /// The rest of a request has not come.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    if token == Self.baudToken {
      if let nextBaud { options.baud = nextBaud }
      nextBaud = nil
      return []
    }
    // Only silence since the last byte counts.
    guard token == Self.receiveToken, let since = waitingSince, since == receipts, parser.pending > 0 else {
      return []
    }
    waitingSince = nil
    var actions = [reply(.lengthWrong)]
    while parser.pending > 0 {
      _ = parser.giveUp()
      actions += drain()
    }
    return actions
  }

  private mutating func drain() -> [SimulatedAction] {
    var actions: [SimulatedAction] = []
    while true {
      switch parser.next() {
      case .needMore: return actions
      case .frame(let request): actions += answer(request)
      case .error(.checksum): actions.append(reply(.checksumWrong))
      case .error(.length): actions.append(reply(.lengthWrong))
      // A module looks for the preamble and says nothing about what comes before it.
      case .error(.noise): break
      }
    }
  }

  private func reply(_ status: SDTStatus, _ data: [UInt8] = [], after: Duration = .zero) -> SimulatedAction {
    .send((SDTReply(status, data: data) ?? SDTReply(.informationLengthWrong)).encode(), after: after)
  }

  private mutating func answer(_ request: SDTRequest) -> [SimulatedAction] {
    guard isSelfTestOK else { return [reply(.selfTestFailed)] }
    let command = SDTCommand(request)
    if !isAuthorised, command != .reset, command != .samID { return [reply(.moduleUnauthorised)] }
    if let status = nextStatus {
      nextStatus = nil
      return [reply(SDTStatus(code: status))]
    }
    switch command {
    case .status: return [reply(.ok)]
    case .reset:
      stage = .idle
      return [reply(.ok)]
    case .samID:
      defer { numberWasAsked = true }
      let isWrong = options.firstNumberIsWrong && !numberWasAsked
      return [reply(.ok, isWrong ? options.samID.data.reversed() : options.samID.data)]
    case .find: return find()
    case .select: return select()
    case .readText: return read(withFingerprints: false)
    case .readTextAndFingerprint:
      return options.readsFingerprints ? read(withFingerprints: true) : [reply(.commandWrong)]
    case .readAdditionalAddress: return address(parameter: 0x03)
    case .readAdditionalAddressAlternative: return address(parameter: 0x02)
    case .readCardNumber: return cardNumber()
    case .setBaud(let baud):
      // The new speed is valid 5 ms after the reply (facts/idcard.md 3).
      nextBaud = baud.bitsPerSecond
      return [reply(.ok), .wake(Self.baudToken, after: .milliseconds(5))]
    case .setField(let on):
      guard options.switchesField else { return [reply(.commandWrong)] }
      isFieldOn = on
      // A card that loses the field forgets that it was read.
      stage = .idle
      placementRead = nil
      return [reply(.ok)]
    case .setMaximumRF(let count):
      return [reply(SDTCommand.maximumRFRange.contains(count) ? .ok : .commandWrong)]
    case nil: return [reply(.commandWrong)]
    }
  }

  private mutating func find() -> [SimulatedAction] {
    // A command to a card switches the field on.
    isFieldOn = true
    guard card != nil, !options.mustReplace || placementRead != placement else {
      stage = .idle
      return [reply(.notFound, after: options.findTime)]
    }
    stage = .found
    placementFound = placement
    return [reply(.found, [0, 0, 0, 0], after: options.findTime)]
  }

  private mutating func select() -> [SimulatedAction] {
    guard stage != .idle else { return [reply(options.answersNotFoundYet ? .notFoundYet : .selectFailed)] }
    guard let card, placement == placementFound, !isMoved else {
      isMoved = false
      stage = .idle
      return [reply(.selectFailed, after: options.selectTime)]
    }
    if card == .foreign {
      stage = .idle
      return [reply(.unknownCard, after: options.selectTime)]
    }
    stage = .selected
    return [reply(.ok, [0, 0, 0, 0, 0, 0, 0, 0], after: options.selectTime)]
  }

  private mutating func read(withFingerprints: Bool) -> [SimulatedAction] {
    guard stage == .selected || stage == .read && !options.readNeedsFind else {
      return [reply(options.answersNotFoundYet ? .notFoundYet : .readFailed)]
    }
    guard let card, placement == placementFound, !isMovedWhileReading, card != .damaged else {
      isMovedWhileReading = false
      stage = .idle
      return [reply(.readFailed, after: options.readTime)]
    }
    guard card != .forged else {
      stage = .idle
      return [reply(.moduleRejectedCard, after: options.readTime)]
    }
    stage = .read
    placementRead = placement
    reads += 1
    let fingerprints = withFingerprints ? (0..<fingerprints).flatMap(Self.fingerprint) : nil
    let content = IDCard(text: card.text, photo: options.photo, fingerprints: fingerprints)
    let frame = (content.readReply ?? SDTReply(.informationLengthWrong)).encode()
    let record = SimulationRecord(
      "card-read",
      [
        SimulationField("read-number", reads), SimulationField("card", card.rawValue),
        SimulationField("fingerprints", withFingerprints ? self.fingerprints : 0),
      ])
    return [.record(record), .send(frame, after: options.readTime)]
  }

  private mutating func address(parameter: UInt8) -> [SimulatedAction] {
    guard parameter == options.addressParameter else { return [reply(.commandWrong)] }
    guard stage == .selected || stage == .read else {
      return [reply(options.answersNotFoundYet ? .notFoundYet : .readFailed)]
    }
    guard card != nil, placement == placementFound else {
      stage = .idle
      return [reply(.readFailed)]
    }
    guard hasAdditionalAddress,
      let data = IDCard.additionalAddressData(IDCardString(SampleCard.additionalAddress))
    else { return [reply(.noItem)] }
    return [.record(SimulationRecord("address-read")), reply(.ok, data)]
  }

  private mutating func cardNumber() -> [SimulatedAction] {
    guard stage == .selected || stage == .read else {
      return [reply(options.answersNotFoundYet ? .notFoundYet : .readFailed)]
    }
    guard card != nil, placement == placementFound else {
      stage = .idle
      return [reply(.readFailed)]
    }
    // Four bytes IIN and eight SN are zero in every published example; the sixteen of the DN are invented.
    return [reply(.ok, [UInt8](repeating: 0, count: 12) + (1...16).map { UInt8($0) })]
  }

  /// A block that says "not registered" and holds nothing of a finger (facts/idcard.md 4.2).
  private static func fingerprint(_ index: Int) -> [UInt8] {
    [0x43, 0x01, 0x01, 0x01, 0x03, index == 0 ? 0x0B : 0x10, 0x00] + [UInt8](repeating: 0, count: 505)
  }
}
