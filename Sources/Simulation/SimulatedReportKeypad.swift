public import Channels

/// A rating keypad with reports of its maker's own form, as those terminals have that are no keyboards. No maker's form is
/// public (facts/devices.md C4), so that this one is made up: eight bytes, the first `52`, the second the key, `00` when it
/// comes up again. An output report that begins with `41` lights it.
public struct SimulatedReportKeypad: SimulatedHIDDevice {
  /// What differs between models.
  public struct Options: Sendable, Equatable {
    /// What the key of a level sends.
    public var keys: [Int: UInt8] = [5: 0x11, 4: 0x12, 3: 0x13, 2: 0x14, 1: 0x15]
    /// Whether it reports that a key comes up.
    public var tellsReleases = true
    /// Number of the first press, so that numbers go on after a restart.
    public var firstPress = 1

    /// Five keys.
    public init() {}
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case press(level: Int), pressRaw(UInt8), hold(level: Int), release
  }

  /// What its records tell.
  public static let events = ["press", "prompt"]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("press <1-5>", "press the rating key of this level: 5 非常满意 … 1 非常不满意") {
      $0.number().map { .press(level: $0) }
    },
    CommandForm("press raw <0-255>", "press a key by the value it sends") { $0.byte().map { .pressRaw($0) } },
    CommandForm("hold <1-5>", "press the rating key of this level and hold it") {
      $0.number().map { .hold(level: $0) }
    },
    CommandForm("release", "let the key go", .release),
  ]

  /// First byte of reports each way.
  private static let keyReport: UInt8 = 0x52
  private static let promptReport: UInt8 = 0x41

  private let options: Options
  private var nextPress: Int
  private var held: UInt8?
  private var isLit = false

  /// A keypad with no key down.
  public init(_ options: Options = Options()) {
    self.options = options
    nextPress = options.firstPress
  }

  /// `rating keypad with 5 keys (HID reports)`.
  public var modelName: String { "rating keypad with \(options.keys.count) keys (HID reports)" }
  /// Reports.
  public var channelKind: ChannelKind { .reports }

  /// Usage page FF00, eight bytes each way, no numbers.
  public var reportDescriptor: [UInt8] {
    [
      0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, 0x08, 0x09,
      0x02, 0x81, 0x02, 0x09, 0x03, 0x91, 0x02, 0xC0,
    ]
  }

  /// How many presses, and whether it is lit.
  public var state: [SimulationField] {
    [
      SimulationField("presses", nextPress - options.firstPress), SimulationField("key-down", held != nil),
      SimulationField("lit", isLit),
    ]
  }

  /// The light goes out and the key comes up.
  public mutating func powerLost() -> [SimulatedAction] {
    held = nil
    isLit = false
    return []
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .press(let level): return down(try key(level), [SimulationField("level", level)]) + up()
    case .pressRaw(let key): return down(key, []) + up()
    case .hold(let level): return down(try key(level), [SimulationField("level", level)])
    case .release: return up()
    }
  }

  private func key(_ level: Int) throws(SimulationError) -> UInt8 {
    if let key = options.keys[level] { return key }
    let all = options.keys.keys.sorted(by: >).map(String.init).joined(separator: ", ")
    throw .impossible(
      "this model has no key for level \(level); there are: \(all)", chinese: "此型号没有 \(level) 级按键，现有：\(all)")
  }

  private mutating func down(_ key: UInt8, _ fields: [SimulationField]) -> [SimulatedAction] {
    let record = SimulationRecord(
      "press",
      [SimulationField("press-number", nextPress)] + fields + [SimulationField("raw", Int(key))])
    nextPress += 1
    held = key
    isLit = false
    return [.record(record), .send(report(key))]
  }

  private mutating func up() -> [SimulatedAction] {
    guard held != nil else { return [] }
    held = nil
    return options.tellsReleases ? [.send(report(0))] : []
  }

  private func report(_ key: UInt8) -> [UInt8] { [Self.keyReport, key, 0, 0, 0, 0, 0, 0] }

  /// Takes an output report.
  public mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    guard bytes.first == Self.promptReport else { return [] }
    isLit = true
    return [.record(SimulationRecord("prompt"))]
  }
}
