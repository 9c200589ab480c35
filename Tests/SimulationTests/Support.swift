import Testing

@testable import Simulation

private let listedEvents = Set(
  SimulatedIDCardReader.events + SimulatedTicketPrinter.events + SimulatedEvaluator.events
    + SimulatedScanner.events
    + SimulatedPrinter.events + SimulatedKeypad.events + SimulatedReportKeypad.events
    + SimulatedCamera.events)

extension [SimulatedAction] {
  /// All bytes sent, in order.
  var sent: [UInt8] {
    flatMap { action in if case .send(let bytes, _) = action { bytes } else { [UInt8]() } }
  }
  /// Each reply by itself.
  var replies: [[UInt8]] {
    compactMap { action in if case .send(let bytes, _) = action { bytes } else { nil } }
  }
  var records: [SimulationRecord] {
    let records = compactMap { action -> SimulationRecord? in
      if case .record(let record) = action { record } else { nil }
    }
    // A timeline can wait only for events that a model lists.
    for record in records where !listedEvents.contains(record.event) {
      Issue.record("'\(record.event)' is not in its model's list of events")
    }
    return records
  }
  var wakes: [(token: Int, after: Duration)] {
    compactMap { action in if case .wake(let token, let after) = action { (token, after) } else { nil } }
  }
  var tickets: [PrintedTicket] { records.compactMap(\.ticket) }
}

extension SimulatedModel {
  /// A command as a person writes it.
  @discardableResult
  mutating func command(_ text: String) throws -> [SimulatedAction] {
    guard let actions = try apply(text: text) else {
      throw CommandReader.error(text, patterns: Self.commands.map(\.pattern))
    }
    return actions
  }
}

/// Bytes from hexadecimal, as the facts files have them.
func hex(_ text: String) -> [UInt8] {
  text.split(separator: " ").compactMap { UInt8($0, radix: 16) }
}
