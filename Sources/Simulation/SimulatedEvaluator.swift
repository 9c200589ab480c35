import Codecs

/// A desk caller with a number plate and rating keys on a multi-drop line (facts/devices.md C4a).
///
/// A press is sent and repeated until the host acknowledges it, or until the device gives up. Presses go out one after the
/// other.
public struct SimulatedEvaluator: SimulatedSerialDevice {
  /// What differs between models.
  public struct Options: Sendable, Equatable {
    /// Addresses on the line; the first is the one that keys are pressed on unless another is named.
    public var addresses: [UInt8] = [1]
    /// Raw value of the key for a level. The source's program ranks 1 best, then 0, 2, and 3 worst; which level the worst
    /// of four keys stands for is not known and taken as 2 (不满意).
    public var keys: [Int: UInt8] = [5: 1, 4: 0, 3: 2, 2: 3]
    /// Function byte of keypad frames. The source says only that it is not `11`.
    public var keyFunction: UInt8 = 0x10
    /// How long it waits for an acknowledgement before it sends again.
    public var acknowledgeTime = Duration.milliseconds(500)
    /// How often it sends again; 0 sends once.
    public var repeats = 3
    /// Number of the first press, so that numbers go on after a restart.
    public var firstPress = 1

    /// One device at address 1.
    public init() {}
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case press(level: Int, address: UInt8?), pressRaw(UInt8), doublePress(level: Int)
    case key([UInt8], name: String), corruptNext, ignoreAcknowledgements(Int)
  }

  private static let keyNames: [(name: String, data: [UInt8])] = [
    ("next", [EvaluatorBusKey.callNext.rawValue]),
    ("recall", [EvaluatorBusKey.recall.rawValue]),
    ("request", [EvaluatorBusKey.requestRating.rawValue]),
    ("cancel", [EvaluatorBusKey.cancel.rawValue]),
    ("pass", [EvaluatorBusDigit.abandon.rawValue, EvaluatorBusKey.confirm.rawValue]),
    ("park", [EvaluatorBusDigit.park.rawValue, EvaluatorBusKey.confirm.rawValue]),
    ("call-parked", [EvaluatorBusDigit.callParked.rawValue, EvaluatorBusKey.confirm.rawValue]),
    ("one-metre-line", [EvaluatorBusKey.oneMetreLine.rawValue]),
    ("pause", [EvaluatorBusKey.pause.rawValue]),
    ("transfer", [EvaluatorBusKey.transfer.rawValue]),
  ]

  /// What its records tell.
  public static let events = [
    "press", "key", "acknowledged", "unacknowledged", "lost", "plate", "stars", "prompt", "beep",
  ]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("press <1-5>", "press the rating key of this level: 5 非常满意 … 1 非常不满意") {
      $0.number().map { .press(level: $0, address: nil) }
    },
    CommandForm("press <1-5> at <1-255>", "press it on the device with this address") { values in
      guard let level = values.number(0), let address = values.byte(1) else { return nil }
      return .press(level: level, address: address)
    },
    CommandForm("press raw <0-255>", "press a rating key by the value it sends") {
      $0.byte().map { .pressRaw($0) }
    },
    CommandForm("double press <1-5>", "press a rating key twice in a moment") {
      $0.number().map { .doublePress(level: $0) }
    },
    CommandForm("key " + keyNames.map(\.name).joined(separator: "|"), "press a key of the clerk's keypad") {
      values in
      keyNames.first { $0.name == values.word() }.map { .key($0.data, name: $0.name) }
    },
    CommandForm("key raw <hex>", "press a keypad key by the value it sends") {
      $0.byte().map { .key([$0], name: "raw") }
    },
    CommandForm(
      "corrupt next", "send the next frame with a wrong check byte; repeats are right", .corruptNext),
    CommandForm(
      "ignore <1-1000> acknowledgements", "be deaf to the next acknowledgements, so that presses repeat"
    ) {
      $0.number().map { .ignoreAcknowledgements($0) }
    },
  ]

  private struct Press: Sendable {
    let number: Int
    let frame: EvaluatorBusFrame
    var sent = 0
  }
  private struct Plate: Sendable {
    var waiting = "   "
    var ticket = "   "
    var stars = 0
    var isPrompting = false
    var beeps = 0
  }

  private let options: Options
  private var parser = EvaluatorBusParser(lengths: EvaluatorBusParser.fromHost)
  private var plates: [UInt8: Plate] = [:]
  private var queue: [Press] = []
  private var nextPress: Int
  private var isNextCorrupt = false
  private var ignored = 0
  /// Distinguishes the timer of the current attempt from earlier ones.
  private var attempt = 0
  /// Counts what arrives; negative in timers, which so differ from those of attempts.
  private var receipts = 0
  private static let frameTimeout = Duration.milliseconds(200)

  /// A device with dark plates.
  public init(_ options: Options = Options()) {
    self.options = options
    nextPress = options.firstPress
  }

  /// `desk caller with rating keys (FF 68)`.
  public var modelName: String { "desk caller with \(options.keys.count) rating keys (FF 68)" }

  /// Has its own supply, as devices on a shared line do.
  public var isBusPowered: Bool { false }

  /// The plates, and presses that wait for their acknowledgement.
  public var state: [SimulationField] {
    options.addresses.flatMap { address in
      let plate = plates[address] ?? Plate()
      let prefix = options.addresses.count > 1 ? "\(address)-" : ""
      return [
        SimulationField(prefix + "plate", "\(plate.waiting) \(plate.ticket)"),
        SimulationField(prefix + "stars", plate.stars),
        SimulationField(prefix + "prompting", plate.isPrompting),
        SimulationField(prefix + "beeps", plate.beeps),
      ]
    } + [SimulationField("unacknowledged", queue.count)]
  }

  /// Plates go dark and presses that were not acknowledged are forgotten.
  public mutating func powerLost() -> [SimulatedAction] {
    plates = [:]
    parser.reset()
    attempt += 1
    let lost = queue
    queue = []
    return lost.map { .record(outcome("lost", $0)) }
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .press(let level, let address):
      let address = try known(address)
      let key = try key(level)
      return press(.rating(address: address, key: key), [SimulationField("level", level)])
    case .doublePress(let level):
      let address = try known(nil)
      let frame = EvaluatorBusFrame.rating(address: address, key: try key(level))
      return press(frame, [SimulationField("level", level)]) + press(frame, [SimulationField("level", level)])
    case .pressRaw(let key): return press(.rating(address: try known(nil), key: key), [])
    case .key(let data, let name):
      let address = try known(nil)
      guard let frame = EvaluatorBusFrame(address: address, function: options.keyFunction, data: data) else {
        return []
      }
      return press(frame, [SimulationField("name", name)])
    case .corruptNext: isNextCorrupt = true
    case .ignoreAcknowledgements(let count): ignored = count
    }
    return []
  }

  private func known(_ address: UInt8?) throws(SimulationError) -> UInt8 {
    guard let address = address ?? options.addresses.first, options.addresses.contains(address) else {
      let all = options.addresses.map(String.init).joined(separator: ", ")
      throw .impossible("no device has that address; there are: \(all)", chinese: "没有该地址的设备，现有：\(all)")
    }
    return address
  }

  private func key(_ level: Int) throws(SimulationError) -> UInt8 {
    if let key = options.keys[level] { return key }
    let all = options.keys.keys.sorted(by: >).map(String.init).joined(separator: ", ")
    throw .impossible(
      "this model has no key for level \(level); there are: \(all)", chinese: "此型号没有 \(level) 级按键，现有：\(all)")
  }

  private mutating func press(_ frame: EvaluatorBusFrame, _ fields: [SimulationField]) -> [SimulatedAction] {
    let press = Press(number: nextPress, frame: frame)
    nextPress += 1
    queue.append(press)
    let record = SimulationRecord(
      frame.function == options.keyFunction ? "key" : "press",
      [SimulationField("press-number", press.number)] + fields
        + [
          SimulationField("raw", frame.data.map { String($0) }.joined(separator: " ")),
          SimulationField("address", Int(frame.address)),
        ])
    return [.record(record)] + (queue.count == 1 ? sendFirst() : [])
  }

  private mutating func sendFirst() -> [SimulatedAction] {
    guard !queue.isEmpty else { return [] }
    queue[0].sent += 1
    attempt += 1
    var bytes = queue[0].frame.encode()
    if isNextCorrupt {
      isNextCorrupt = false
      // The check byte stands before the closing 16.
      bytes[bytes.count - 2] &+= 1
    }
    return [.send(bytes), .wake(attempt, after: options.acknowledgeTime)]
  }

  /// No acknowledgement came in time.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    if token < 0 { return token == -receipts ? giveUpFrame() : [] }
    guard token == attempt, let first = queue.first else { return [] }
    if first.sent <= options.repeats { return sendFirst() }
    queue.removeFirst()
    return [.record(outcome("unacknowledged", first))] + sendFirst()
  }

  /// Takes the host's frames: commands to its plates, and acknowledgements.
  public mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    parser.feed(bytes)
    receipts += 1
    let actions = drain()
    return parser.pending > 0 ? actions + [.wake(-receipts, after: Self.frameTimeout)] : actions
  }

  /// The rest of a frame has not come: the next one must not be taken for it.
  private mutating func giveUpFrame() -> [SimulatedAction] {
    var actions: [SimulatedAction] = []
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
      // A device on a shared line says nothing to frames it cannot read.
      case .error: break
      case .frame(let frame): actions += take(frame)
      }
    }
  }

  private mutating func take(_ frame: EvaluatorBusFrame) -> [SimulatedAction] {
    guard options.addresses.contains(frame.address) else { return [] }
    if let first = queue.first, first.sent > 0, frame == first.frame.acknowledgement {
      if ignored > 0 {
        ignored -= 1
        return []
      }
      queue.removeFirst()
      attempt += 1
      plates[frame.address, default: Plate()].isPrompting = false
      return [.record(outcome("acknowledged", first))] + sendFirst()
    }
    switch EvaluatorBusCommand(frame) {
    case .plate(let waiting, let ticket):
      plates[frame.address, default: Plate()].waiting = waiting.text
      plates[frame.address, default: Plate()].ticket = ticket.text
      return [
        .record(
          SimulationRecord(
            "plate",
            [
              SimulationField("address", Int(frame.address)), SimulationField("waiting", waiting.text),
              SimulationField("ticket", ticket.text),
            ]))
      ]
    case .stars(let stars):
      plates[frame.address, default: Plate()].stars = Int(stars.rawValue)
      return [.record(SimulationRecord("stars", [SimulationField("count", Int(stars.rawValue))]))]
    case .startRating:
      plates[frame.address, default: Plate()].isPrompting = true
      return [.record(SimulationRecord("prompt", [SimulationField("address", Int(frame.address))]))]
    case .beep:
      plates[frame.address, default: Plate()].beeps += 1
      return [.record(SimulationRecord("beep", [SimulationField("address", Int(frame.address))]))]
    case nil: return []
    }
  }

  private func outcome(_ event: String, _ press: Press) -> SimulationRecord {
    SimulationRecord(
      event, [SimulationField("press-number", press.number), SimulationField("attempts", press.sent)])
  }
}
