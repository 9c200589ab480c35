public import Channels

/// A model of one kind of device as it is seen from the far end of its line: a state machine without clock or thread.
///
/// A model knows nothing of the drivers that talk to it. It answers what it is sent, has a state that a person can
/// change by commands, and reports what it really did as records.
public protocol SimulatedModel: Sendable {
  /// What a person can do to it.
  associatedtype Command: Sendable
  /// How its commands are written.
  static var commands: [CommandForm<Command>] { get }
  /// The events of its records.
  static var events: [String] { get }
  /// What it imitates, as it would stand on the type plate.
  var modelName: String { get }
  /// Its state as names and words, for technicians.
  var state: [SimulationField] { get }
  /// Carries out a command.
  mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction]
  /// A timer that a `.wake` action started has run out.
  mutating func woke(_ token: Int) -> [SimulatedAction]
  /// Its power went away; what is not stored in it is lost.
  mutating func powerLost() -> [SimulatedAction]
}

extension SimulatedModel {
  /// Ignores every token.
  public mutating func woke(_ token: Int) -> [SimulatedAction] { [] }
  /// Loses nothing.
  public mutating func powerLost() -> [SimulatedAction] { [] }
  /// Its commands for people.
  static var help: [CommandHelp] { commands.map { CommandHelp(pattern: $0.pattern, help: $0.help) } }
  // Here the existential is opened, so that the owner of any model can pass on the words as they came.
  mutating func apply(text: String) throws(SimulationError) -> [SimulatedAction]? {
    guard let command = CommandReader.match(text, Self.commands) else { return nil }
    return try apply(command)
  }
  var help: [CommandHelp] { Self.help }
  var events: [String] { Self.events }
}

/// A device on a line of bytes.
public protocol SimulatedSerialDevice: SimulatedModel {
  /// True when the cable also feeds it, so that `unplug` is a loss of power.
  var isBusPowered: Bool { get }
  /// Bits a second of its serial line; nil where it has none, or takes any speed.
  var baud: Int? { get }
  /// Bytes it takes now without making the host wait; 0 when it holds the line (USB NAK, hardware flow control).
  var room: Int { get }
  /// Takes bytes, never more than ``room``; they may come in any pieces.
  mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction]
}

extension SimulatedSerialDevice {
  /// Fed by the cable.
  public var isBusPowered: Bool { true }
  /// Any speed.
  public var baud: Int? { nil }
  /// Takes anything.
  public var room: Int { Int.max }
}

/// A device's answer to an HTTP request.
public struct SimulatedAnswer: Sendable, Equatable {
  /// The answer.
  public var response: HTTPResponse
  /// How long the device takes before it begins to send.
  public var after: Duration
  /// What it did.
  public var actions: [SimulatedAction]

  /// An answer.
  public init(_ response: HTTPResponse, after: Duration = .zero, actions: [SimulatedAction] = []) {
    self.response = response
    self.after = after
    self.actions = actions
  }
}

/// A device that speaks HTTP.
public protocol SimulatedHTTPDevice: SimulatedModel {
  /// Path under which it serves, without a trailing slash.
  var basePath: String { get }
  /// Largest request body it takes, in bytes.
  var bodyLimit: Int { get }
  /// The channel its clients open: `httpExchange`, or `printQueue` for a print service.
  var channelKind: ChannelKind { get }
  /// Answers one request.
  mutating func respond(_ request: HTTPRequest) -> SimulatedAnswer
}

extension SimulatedHTTPDevice {
  /// Requests and answers.
  public var channelKind: ChannelKind { .httpExchange }
}
