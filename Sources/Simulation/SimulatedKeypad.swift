/// A rating keypad that types: every key is a key of a keyboard, and every report that of the boot protocol (HID 1.11,
/// appendix B.1).
public struct SimulatedKeypad: SimulatedSerialDevice {
  /// What differs between models.
  public struct Options: Sendable, Equatable {
    /// HID usage of the key for a level; the digits of the main block unless given.
    public var keys: [Int: UInt8] = [5: 0x22, 4: 0x21, 3: 0x20, 2: 0x1F, 1: 0x1E]
    /// How long a key is down.
    public var holdTime = Duration.zero
    /// Number of the first press, so that numbers go on after a restart.
    public var firstPress = 1

    /// Keys 1 to 5.
    public init() {}
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case press(level: Int), key(UInt8), down(UInt8), up
  }

  /// What its records tell.
  public static let events = ["press", "key", "lights"]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("press <1-5>", "press the rating key of this level: 5 非常满意 … 1 非常不满意") {
      $0.number().map { .press(level: $0) }
    },
    CommandForm("key <hex>", "press a key by its HID usage: 1e is '1', 28 Enter") {
      $0.byte().map { .key($0) }
    },
    CommandForm("key down <hex>", "press a key by its HID usage and hold it") { $0.byte().map { .down($0) } },
    CommandForm("key up", "let every key go", .up),
  ]

  private let options: Options
  private var nextPress: Int
  private var held: [UInt8] = []
  private var releases = 0
  private var lights: UInt8 = 0

  /// A keypad with no key down.
  public init(_ options: Options = Options()) {
    self.options = options
    nextPress = options.firstPress
  }

  /// `rating keypad (HID keyboard)`.
  public var modelName: String { "rating keypad with \(options.keys.count) keys (HID keyboard)" }

  /// How many presses, and the lights the host has switched on.
  public var state: [SimulationField] {
    [
      SimulationField("presses", nextPress - options.firstPress), SimulationField("keys-down", held.count),
      SimulationField("lights", Int(lights)),
    ]
  }

  /// Lets every key go.
  public mutating func powerLost() -> [SimulatedAction] {
    held = []
    lights = 0
    return []
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .press(let level):
      guard let usage = options.keys[level] else {
        let all = options.keys.keys.sorted(by: >).map(String.init).joined(separator: ", ")
        throw .impossible(
          "this model has no key for level \(level); there are: \(all)",
          chinese: "此型号没有 \(level) 级按键，现有：\(all)")
      }
      return press(usage, "press", [SimulationField("level", level)])
    case .key(let usage): return press(usage, "key", [])
    case .down(let usage):
      guard held.count < 6 || held.contains(usage) else {
        throw .impossible("six keys are down already", chinese: "已按住六个键")
      }
      if !held.contains(usage) { held.append(usage) }
      return [.send(report)]
    case .up:
      held = []
      return [.send(report)]
    }
  }

  private mutating func press(_ usage: UInt8, _ event: String, _ fields: [SimulationField])
    -> [SimulatedAction]
  {
    let record = SimulationRecord(
      event, [SimulationField("press-number", nextPress)] + fields + [SimulationField("usage", Int(usage))])
    nextPress += 1
    held = [usage]
    let down = report
    guard options.holdTime > .zero else {
      held = []
      return [.record(record), .send(down), .send(report)]
    }
    releases += 1
    return [.record(record), .send(down), .wake(releases, after: options.holdTime)]
  }

  /// The key that was pressed last comes up again.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    guard token == releases, !held.isEmpty else { return [] }
    held = []
    return [.send(report)]
  }

  /// Takes an output report: the lights.
  public mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    guard let byte = bytes.first, byte != lights else { return [] }
    lights = byte
    return [.record(SimulationRecord("lights", [SimulationField("lights", Int(byte))]))]
  }

  /// Modifiers, a reserved byte, up to six keys.
  private var report: [UInt8] { [0, 0] + held + [UInt8](repeating: 0, count: max(0, 6 - held.count)) }
}
