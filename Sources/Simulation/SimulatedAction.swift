/// What a model of the far end does in answer to bytes, to a command or to its own timer.
public enum SimulatedAction: Sendable, Equatable {
  /// Sends bytes to the host, `after` counted from now. One action is one reply: the unit of line faults such as
  /// `drop reply 2`.
  case send([UInt8], after: Duration)
  /// Something really happened: paper was cut, a key was pressed, a card was read.
  case record(SimulationRecord)
  /// Calls the model's `woke(_:)` with the same token after a time. A model drops tokens it no longer waits for.
  case wake(Int, after: Duration)

  /// Sends at once.
  public static func send(_ bytes: [UInt8]) -> SimulatedAction { .send(bytes, after: .zero) }
}

/// A named value, in the order a person would read it.
public struct SimulationField: Sendable, Equatable {
  /// The name, in lower case with hyphens: `paper`, `ticket-number`.
  public let name: String
  /// The value as a word or number.
  public let value: String

  /// A named value.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  /// A named number.
  public init(_ name: String, _ value: Int) { self.init(name, String(value)) }
  /// `yes` or `no`.
  public init(_ name: String, _ value: Bool) { self.init(name, value ? "yes" : "no") }
}

/// One thing that a simulated device really did. Tests hold the agent's word against these.
public struct SimulationRecord: Sendable, Equatable {
  /// What happened, one word: `ticket`, `press`, `card-read`, `page`, `job`, `unplug`, `command` …
  public let event: String
  /// The details, in reading order.
  public let fields: [SimulationField]
  /// The paper itself, for `ticket`.
  public let ticket: PrintedTicket?

  /// A record.
  public init(_ event: String, _ fields: [SimulationField] = [], ticket: PrintedTicket? = nil) {
    self.event = event
    self.fields = fields
    self.ticket = ticket
  }

  /// The value of the first field of that name.
  public subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }
}

/// A record in a device's log.
public struct SimulationEntry: Sendable, Equatable {
  /// 1 for the first record since the device was made, then without gaps.
  public let number: Int
  /// By the device's own clock, counted from the moment it was made.
  public let at: Duration
  /// The device.
  public let device: String
  /// What happened.
  public let record: SimulationRecord

  /// A record with its place in the log.
  public init(number: Int, at: Duration, device: String, record: SimulationRecord) {
    self.number = number
    self.at = at
    self.device = device
    self.record = record
  }
}
