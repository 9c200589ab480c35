public import Codecs

/// A script of what happens to simulated devices, from a `.conf` file:
///
/// ```
/// [timeline]
/// seed = 7
///
/// [at 3 s]
/// dispenser = paper out; drop reply 2
///
/// [at 5 s to 8 s]
/// evaluator = press 5 or press 4
///
/// [every 30 s]
/// idcard = card remove
///
/// [when dispenser ticket 3 after 500 ms]
/// dispenser = unplug after 40 bytes
/// ```
///
/// `;` separates commands that follow each other, ` or ` commands of which the seed chooses one. `when` names a device and
/// an event of its log, and which occurrence since the start: a number, the first if there is none, or `every`. Equal seeds
/// give equal choices, whatever else happens.
public struct Timeline: Sendable, Equatable {
  /// When a step is due.
  public enum Trigger: Sendable, Equatable {
    /// Once, so long after the start; between the two the seed chooses.
    case at(ClosedRange<Duration>)
    /// Again and again, the first time after one interval.
    case every(ClosedRange<Duration>)
    /// After that occurrence of an event of a device's log; nil for every one.
    case when(device: String, event: String, occurrence: Int?, after: Duration)
  }

  /// Something that is done to a device: one of several commands.
  public struct Action: Sendable, Equatable {
    /// The device.
    public let device: String
    /// The commands the seed chooses from; one in most cases.
    public let choices: [String]
  }

  /// What is done at one time.
  public struct Step: Sendable, Equatable {
    /// When.
    public let trigger: Trigger
    /// What, in this order.
    public let actions: [Action]
  }

  /// What all choices depend on.
  public let seed: UInt64
  /// The steps in the order of the file.
  public let steps: [Step]

  /// A script.
  public init(seed: UInt64, steps: [Step]) {
    self.seed = seed
    self.steps = steps
  }

  // MARK: Reading

  private static let seedKey = ConfKey("seed", .integer(in: 0...Int(Int32.max)), default: 1)

  /// Reads a file and holds it against the devices there are: every mistake, with its line and column.
  public static func read(
    _ bytes: [UInt8], file: String, devices: [SimulatedDevice]
  ) throws(ConfErrors) -> Timeline {
    let entry: @Sendable (ConfEntry) -> ConfError? = { mistake(in: $0, devices) }
    let trigger: @Sendable (ConfSection) -> [ConfError] = { mistakes(in: $0, devices) }
    func section(_ name: String) -> ConfSchema.Section {
      ConfSchema.Section(
        name, argument: .required, repeatable: true, keys: [], otherEntry: entry, rules: trigger)
    }
    let schema = ConfSchema([
      ConfSchema.Section("timeline", keys: [seedKey]), section("at"), section("every"), section("when"),
    ])
    let document = try schema.read(bytes, file: file)
    do throws(ConfError) {
      var seed = 1
      if let section = document.section("timeline") { seed = try section.value(seedKey) }
      var steps: [Step] = []
      for section in document.sections where section.name != "timeline" {
        guard let trigger = Self.trigger(section.name, section.argument ?? "") else { continue }
        var actions: [Action] = []
        for entry in section.entries {
          for part in parts(try entry.value.text()) {
            actions.append(Action(device: entry.key, choices: choices(part.text)))
          }
        }
        steps.append(Step(trigger: trigger, actions: actions))
      }
      return Timeline(seed: UInt64(seed), steps: steps)
    } catch {
      throw ConfErrors([error])
    }
  }

  private static func parts(_ text: String) -> [(text: String, offset: Int)] {
    var parts: [(String, Int)] = []
    var offset = 0
    for piece in text.split(separator: ";", omittingEmptySubsequences: false) {
      let start = piece.prefix { $0 == " " || $0 == "\t" }.count
      let words = CommandReader.words(String(piece)).joined(separator: " ")
      if !words.isEmpty { parts.append((words, offset + start)) }
      offset += piece.count + 1
    }
    return parts
  }

  private static func choices(_ text: String) -> [String] {
    var choices: [[String]] = [[]]
    for word in CommandReader.words(text) {
      if word == "or" { choices.append([]) } else { choices[choices.count - 1].append(word) }
    }
    return choices.map { $0.joined(separator: " ") }
  }

  private static func mistake(in entry: ConfEntry, _ devices: [SimulatedDevice]) -> ConfError? {
    guard let device = devices.first(where: { $0.name == entry.key }) else {
      let nearest = NearestWord.find(entry.key, in: devices.map(\.name))
      return ConfError(.unknownKey(entry.key, nearest: nearest, belongsTo: nil), at: entry.position)
    }
    do throws(ConfError) {
      for part in parts(try entry.value.text()) {
        for choice in choices(part.text) {
          do throws(SimulationError) {
            try device.check(choice)
          } catch {
            let expected = ConfExpected(
              english: "a command of '\(device.name)' (\(error.description))",
              chinese: "“\(device.name)”的命令（\(error.chinese)）")
            let column = entry.value.position.column + part.offset
            let place = ConfPosition(
              file: entry.value.position.file, line: entry.value.position.line, column: column)
            throw ConfError(.wrongValue(found: choice, expected: expected, nearest: nil), at: place)
          }
        }
      }
      return nil
    } catch {
      return error
    }
  }

  private static func mistakes(in section: ConfSection, _ devices: [SimulatedDevice]) -> [ConfError] {
    // That the time is missing is said by the schema.
    guard let argument = section.argument else { return [] }
    let expected: ConfExpected
    switch trigger(section.name, argument) {
    case .when(let name, let event, _, _)?:
      if let device = devices.first(where: { $0.name == name }) {
        if device.events.contains(event) { return [] }
        let events = device.events.joined(separator: ", ")
        expected = ConfExpected(
          english: "an event of '\(name)': \(events)", chinese: "“\(name)”的事件：\(events)")
        let nearest = NearestWord.find(event, in: device.events)
        return [
          ConfError(.wrongValue(found: event, expected: expected, nearest: nearest), at: section.position)
        ]
      }
      let nearest = NearestWord.find(name, in: devices.map(\.name))
      let names = devices.map(\.name).joined(separator: ", ")
      expected = ConfExpected(english: "one of the devices \(names)", chinese: "以下设备之一：\(names)")
      return [ConfError(.wrongValue(found: name, expected: expected, nearest: nearest), at: section.position)]
    case .some: return []
    case nil:
      expected =
        section.name == "when"
        ? ConfExpected(
          english: "a device, an event, and perhaps a number or 'every', and 'after TIME'",
          chinese: "设备、事件，之后可加序号或 every，以及 after 时长")
        : ConfExpected(
          english: "a time as 3 s or 500 ms, or two as 3 s to 5 s", chinese: "时长，如 3 s、500 ms，或 3 s to 5 s")
      return [ConfError(.wrongValue(found: argument, expected: expected, nearest: nil), at: section.position)]
    }
  }

  private static func trigger(_ name: String, _ argument: String) -> Trigger? {
    var words = CommandReader.words(argument)
    guard name == "when" else {
      guard let range = range(words) else { return nil }
      if name == "at" { return .at(range) }
      // An interval of nothing would never let anything else happen.
      return range.lowerBound > .zero ? .every(range) : nil
    }
    var delay = Duration.zero
    if let after = words.firstIndex(of: "after") {
      guard let time = SimulationTime.read(words[(after + 1)...].joined(separator: " ")) else { return nil }
      delay = time
      words.removeSubrange(after...)
    }
    guard (2...3).contains(words.count) else { return nil }
    var occurrence: Int? = 1
    if words.count == 3 {
      if words[2] == "every" {
        occurrence = nil
      } else {
        guard let number = Int(words[2]), (1...1_000_000).contains(number) else { return nil }
        occurrence = number
      }
    }
    return .when(device: words[0], event: words[1], occurrence: occurrence, after: delay)
  }

  private static func range(_ words: [String]) -> ClosedRange<Duration>? {
    let parts = words.split(separator: "to", omittingEmptySubsequences: false)
    let times = parts.compactMap { SimulationTime.read($0.joined(separator: " ")) }
    guard times.count == parts.count, let first = times.first, let last = times.last, times.count <= 2,
      first <= last
    else { return nil }
    return first...last
  }
}
