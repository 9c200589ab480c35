/// One measurement, by the name it is asked for on the command line.
///
/// What a machine can do differs and changes from minute to minute, so each measurement measures its own floor in the same
/// run (the same work without the agent: the bare wire, the bare disk) and tells both.
struct Measurement: Sendable {
  /// What is measured, one line.
  let summary: String
  /// Measures; the words after the name on the command line are given to it.
  let run: @Sendable (_ options: [String]) async throws -> [Figure]

  /// Every measurement. A new one is a file beside this and a line here.
  static let all: [String: Measurement] = [
    "press": .press,
    "page": .page,
    "rating": .rating,
    "backlog": .backlog,
    "receive": .receive,
    "postfix": .postfix,
    "card-agent": .cardAgent,
    "card-wire": .cardWire,
  ]
}

/// A figure that was measured.
struct Figure: Sendable {
  /// What must hold of a figure.
  enum Bound: Sendable {
    /// The figure itself.
    case atMost(Double)
    /// The figure itself.
    case atLeast(Double)
    /// The figure less its floor.
    case aboveFloorAtMost(Double)
    /// The figure divided by its floor.
    case ratioAtMost(Double)
    /// The figure divided by its floor.
    case ratioAtLeast(Double)
  }

  /// Such as `median of a read`.
  let name: String
  let value: Double
  /// Such as `ms`, `MB/s`, `pages/s`.
  let unit: String
  /// The same quantity without what is measured.
  var floor: Double?
  var bound: Bound?

  /// Whether the bound holds; true without one, and false with one that needs a floor which is not there.
  var holds: Bool {
    switch bound {
    case nil: true
    case .atMost(let limit): value <= limit
    case .atLeast(let limit): value >= limit
    case .aboveFloorAtMost(let limit): floor.map { value - $0 <= limit } ?? false
    case .ratioAtMost(let limit): floor.map { value <= $0 * limit } ?? false
    case .ratioAtLeast(let limit): floor.map { value >= $0 * limit } ?? false
    }
  }

  /// One line for people.
  var line: String {
    var line = "  \(name): \(Self.short(value)) \(unit)"
    if let floor {
      line += "  floor \(Self.short(floor)) \(unit)"
      if floor > 0 { line += "  ratio \(Self.short(value / floor))" }
    }
    switch bound {
    case nil: return line
    case .atMost(let limit): line += "  (at most \(Self.short(limit)) \(unit))"
    case .atLeast(let limit): line += "  (at least \(Self.short(limit)) \(unit))"
    case .aboveFloorAtMost(let limit): line += "  (at most \(Self.short(limit)) \(unit) above the floor)"
    case .ratioAtMost(let limit): line += "  (ratio at most \(Self.short(limit)))"
    case .ratioAtLeast(let limit): line += "  (ratio at least \(Self.short(limit)))"
    }
    return line + (holds ? "  holds" : "  DOES NOT HOLD")
  }

  /// Three decimals; enough for every unit used.
  private static func short(_ number: Double) -> String {
    guard number.isFinite, abs(number) < 1e12 else { return "\(number)" }
    let thousandths = Int((number * 1000).rounded())
    let digits = String(1000 + abs(thousandths) % 1000).dropFirst()
    return (thousandths < 0 ? "-" : "") + "\(abs(thousandths) / 1000).\(digits)"
  }
}

/// Times of many repetitions, in milliseconds.
struct Durations: Sendable {
  private var sorted: [Double]

  init(_ durations: [Duration]) {
    sorted = durations.map { Double($0.components.seconds) * 1e3 + Double($0.components.attoseconds) / 1e15 }
      .sorted()
  }

  /// The least value that this share (0…1) of the repetitions does not exceed; 0 when there are none.
  func quantile(_ share: Double) -> Double {
    guard !sorted.isEmpty else { return 0 }
    return sorted[min(sorted.count - 1, max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1))]
  }

  var median: Double { quantile(0.5) }

  /// 0 when there are none.
  var mean: Double { sorted.isEmpty ? 0 : sorted.reduce(0, +) / Double(sorted.count) }
}
