/// Something that a bit of a printer's status can say. The raw values are the words of device profiles.
public enum PrinterCondition: String, Sendable, CaseIterable {
  /// The printer takes no print data.
  case offline
  /// Off line after an error, until the host or a person sets it right.
  case waitingForRecovery
  /// The cover is open.
  case coverOpen
  /// The print head is lifted.
  case headUp
  /// Someone feeds paper with the key.
  case feedingByButton
  /// The feed key is pressed.
  case feedButtonPressed
  /// The form-feed key is pressed.
  case formFeedButtonPressed
  /// Printing stopped because the paper ended.
  case stoppedByPaperEnd
  /// Some error; another status says which.
  case errorOccurred
  /// A mechanical error that can be recovered from, on models that do not say which.
  case recoverableError
  /// The cutter is stuck.
  case cutterError
  /// An error that only switching off ends.
  case unrecoverableError
  /// An error that ends by itself: the print head is too warm, on some models the cover was opened while printing.
  case autoRecoverableError
  /// Paper is jammed.
  case paperJam
  /// Print head: temperature, voltage or lifted, on models that do not say which.
  case headError
  /// The print head is too warm.
  case headOverheated
  /// The supply voltage is wrong.
  case supplyVoltage
  /// The supply voltage is too low.
  case lowVoltage
  /// The supply voltage is too high.
  case highVoltage
  /// Error of the working memory.
  case memoryError
  /// Error of the program memory's sum.
  case programSumError
  /// Error of the flash memory.
  case flashError
  /// Error of the settings memory.
  case settingsMemoryError
  /// Error of the processor.
  case processorError
  /// Error of the serial line.
  case serialError
  /// A command was not understood.
  case commandNotAcknowledged
  /// Error of the presenter.
  case presenterError
  /// The paper is near its end.
  case paperNearEnd
  /// The paper has ended.
  case paperEnd
  /// The counted length of paper is used up.
  case virtualPaperEnd
  /// The mark between tickets was not found.
  case markNotFound
  /// A ticket is in the presenter or at the mouth: not taken yet.
  case ticketAtMouth
  /// A ticket is being printed from the buffer.
  case spooling
  /// The paper motor runs.
  case motorOn
  /// Pin 3 of the drawer connector is high.
  case drawerPinHigh
}

/// Which status byte is meant.
public enum StatusSource: Sendable, Hashable {
  /// The answer to `10 04 n`, with this n.
  case realTime(UInt8)
  /// Byte 1…4 of an automatic report.
  case automatic(Int)
  /// The answer to `1D 72`.
  case transmitted(ESCPOSCommand.TransmittedStatus)
  /// Byte 3…6 of a kiosk printer's full status, numbered as in facts/devices.md A4.
  case full(Int)

  /// The bits that are always set in this byte.
  var fixedBits: UInt8 {
    switch self {
    case .realTime: 0x12
    case .automatic(1): 0x10
    default: 0
    }
  }

  /// Whether a byte can be what it is taken for.
  func accepts(_ byte: UInt8) -> Bool {
    switch self {
    case .realTime: byte & 0x93 == 0x12
    case .automatic(1): ESCPOSAutomaticReport.canBegin(byte)
    case .automatic, .transmitted: ESCPOSAutomaticReport.canContinue(byte)
    case .full: true
    }
  }
}

/// One bit of one status byte.
public struct StatusBit: Sendable, Hashable {
  /// The byte.
  public let source: StatusSource
  /// 0…7, 0 the lowest.
  public let bit: Int

  /// This bit of this byte.
  public init(_ source: StatusSource, _ bit: Int) {
    self.source = source
    self.bit = bit
  }
}

/// What the bits of a printer's status bytes mean. It differs between models and is therefore a value, made from a profile:
/// one of the maps here, with single bits changed.
public struct StatusBitMap: Sendable, Equatable {
  /// The meaning of every bit that has one. Two bits may mean the same; either of them is enough then.
  public var meanings: [StatusBit: PrinterCondition]

  /// A map of these bits.
  public init(_ meanings: [StatusBit: PrinterCondition]) { self.meanings = meanings }

  private init(_ base: StatusBitMap = StatusBitMap([:]), _ rows: [(StatusSource, [Int: PrinterCondition])]) {
    meanings = base.meanings
    for (source, bits) in rows {
      meanings = meanings.filter { $0.key.source != source }
      for (bit, condition) in bits { meanings[StatusBit(source, bit)] = condition }
    }
  }

  /// What a byte says.
  public func conditions(in byte: UInt8, from source: StatusSource) -> Set<PrinterCondition> {
    Set(meanings.filter { $0.key.source == source && byte >> $0.key.bit & 1 == 1 }.values)
  }

  /// All that a byte could say.
  public func vocabulary(of source: StatusSource) -> Set<PrinterCondition> {
    Set(meanings.filter { $0.key.source == source }.values)
  }

  /// The byte that says these conditions, as far as it can: what a simulated printer answers.
  public func byte(for conditions: Set<PrinterCondition>, from source: StatusSource) -> UInt8 {
    meanings.reduce(source.fixedBits) { byte, meaning in
      meaning.key.source == source && (0...7).contains(meaning.key.bit) && conditions.contains(meaning.value)
        ? byte | 1 << UInt8(meaning.key.bit) : byte
    }
  }

  /// Epson's meanings (facts/devices.md A2, A3).
  public static let epson = StatusBitMap(
    StatusBitMap([:]),
    [
      (.realTime(1), [2: .drawerPinHigh, 3: .offline, 5: .waitingForRecovery, 6: .feedButtonPressed]),
      (.realTime(2), [2: .coverOpen, 3: .feedingByButton, 5: .stoppedByPaperEnd, 6: .errorOccurred]),
      (
        .realTime(3),
        [2: .recoverableError, 3: .cutterError, 5: .unrecoverableError, 6: .autoRecoverableError]
      ),
      (.realTime(4), [2: .paperNearEnd, 3: .paperNearEnd, 5: .paperEnd, 6: .paperEnd]),
      (.automatic(1), [2: .drawerPinHigh, 3: .offline, 5: .coverOpen, 6: .feedingByButton]),
      (
        .automatic(2),
        [
          0: .waitingForRecovery, 1: .feedButtonPressed, 2: .recoverableError, 3: .cutterError,
          5: .unrecoverableError, 6: .autoRecoverableError,
        ]
      ),
      (.automatic(3), [0: .paperNearEnd, 1: .paperNearEnd, 2: .paperEnd, 3: .paperEnd]),
      (.transmitted(.paper), [0: .paperNearEnd, 1: .paperNearEnd, 2: .paperEnd, 3: .paperEnd]),
      (.transmitted(.drawer), [0: .drawerPinHigh]),
    ])

  /// SNBC BT-T080 (facts/devices.md A2).
  public static let snbc = StatusBitMap(
    epson, [(.realTime(3), [2: .paperJam, 3: .cutterError, 5: .unrecoverableError, 6: .headError])])

  /// Citizen PPU-700, a kiosk printer with a presenter (facts/devices.md A2, A3).
  public static let citizenPPU700 = StatusBitMap(
    epson,
    [
      (.realTime(4), [2: .paperNearEnd, 3: .paperNearEnd, 5: .paperEnd, 6: .ticketAtMouth]),
      (.realTime(5), [2: .coverOpen, 3: .headOverheated, 5: .lowVoltage, 6: .highVoltage]),
      (.realTime(6), [2: .memoryError, 3: .programSumError, 5: .presenterError, 6: .processorError]),
      (.automatic(3), [0: .paperNearEnd, 1: .paperNearEnd, 2: .paperEnd, 3: .ticketAtMouth]),
    ])

  /// Full status of Custom and Pyramid kiosk printers, beside Epson's (facts/devices.md A4).
  public static let custom = StatusBitMap(
    epson,
    [
      (.realTime(17), [2: .motorOn, 5: .paperEnd]),
      (.full(3), [0: .paperEnd, 2: .paperNearEnd, 5: .ticketAtMouth, 6: .virtualPaperEnd, 7: .markNotFound]),
      (
        .full(4),
        [
          0: .headUp, 1: .coverOpen, 2: .spooling, 3: .motorOn, 5: .feedButtonPressed,
          6: .formFeedButtonPressed,
        ]
      ),
      (
        .full(5),
        [0: .headOverheated, 1: .serialError, 3: .supplyVoltage, 5: .commandNotAcknowledged, 6: .paperJam]
      ),
      (.full(6), [0: .cutterError, 1: .flashError, 2: .memoryError, 3: .settingsMemoryError]),
    ])
}

/// How much paper a printer says it has.
public enum PrinterPaper: Sendable, Hashable {
  /// Neither near its end nor at it, as far as the last status says.
  case enough
  /// Near its end.
  case nearEnd
  /// At its end.
  case end
}

/// What a printer has said of itself so far: every status byte replaces what it speaks of and leaves the rest.
public struct PrinterStatus: Sendable, Equatable {
  /// All that holds at the moment.
  public private(set) var conditions: Set<PrinterCondition>

  /// A status with these conditions.
  public init(_ conditions: Set<PrinterCondition> = []) { self.conditions = conditions }

  /// Takes in one status byte. A byte that cannot come from `source`, such as one with the wrong fixed bits, changes
  /// nothing and gives false.
  @discardableResult
  public mutating func apply(_ byte: UInt8, from source: StatusSource, map: StatusBitMap) -> Bool {
    guard source.accepts(byte) else { return false }
    conditions.subtract(map.vocabulary(of: source))
    conditions.formUnion(map.conditions(in: byte, from: source))
    return true
  }

  /// Takes in an automatic report.
  public mutating func apply(_ report: ESCPOSAutomaticReport, map: StatusBitMap) {
    let sources = (1...4).map { StatusSource.automatic($0) }
    for source in sources { conditions.subtract(map.vocabulary(of: source)) }
    for (byte, source) in zip(report.bytes, sources) {
      conditions.formUnion(map.conditions(in: byte, from: source))
    }
  }

  /// Paper.
  public var paper: PrinterPaper {
    if !conditions.isDisjoint(with: [.paperEnd, .stoppedByPaperEnd, .virtualPaperEnd]) { return .end }
    return conditions.contains(.paperNearEnd) ? .nearEnd : .enough
  }

  /// Why the printer is off line, as far as it says.
  public var offlineCauses: Set<PrinterCondition> {
    conditions.intersection([.coverOpen, .feedingByButton, .stoppedByPaperEnd, .errorOccurred])
  }

  /// What is broken, as far as the printer says.
  public var errors: Set<PrinterCondition> { conditions.intersection(Self.errorConditions) }

  private static let errorConditions: Set<PrinterCondition> = [
    .errorOccurred, .recoverableError, .cutterError, .unrecoverableError, .autoRecoverableError, .paperJam,
    .headError, .headOverheated, .supplyVoltage, .lowVoltage, .highVoltage, .memoryError, .programSumError,
    .flashError, .settingsMemoryError, .processorError, .serialError, .presenterError, .markNotFound,
  ]
}
