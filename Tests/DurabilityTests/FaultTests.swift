import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// Every system call fails once.
///
/// `HALL_SWEEP` says how many points of failure are tried (24 unless given; 0 means all of them), `HALL_SWEEP_KINDS` of which
/// kinds of calls (`write device`; all unless given).
@Suite(
  .timeLimit(.minutes(60)),
  .enabled(if: PythonIntake.isExpected && Faults.isPossible, "needs python3 and a C compiler"))
struct FaultTests {
  /// A kind of call, where, and the errors with which it can fail there.
  private struct Kind {
    var name: String
    var calls: Faults.Calls
    var places: Faults.Places
    var errors: [(name: String, code: Int32)]
  }

  private static let noSpace = (name: "ENOSPC", code: Int32(28))
  private static let broken = (name: "EIO", code: Int32(5))
  private static let interrupted = (name: "EINTR", code: Int32(4))
  private static let noDescriptor = (name: "EMFILE", code: Int32(24))

  private static let kinds = [
    Kind(name: "write", calls: .write, places: .state, errors: [broken, noSpace, interrupted]),
    Kind(name: "flush", calls: .flush, places: .state, errors: [broken, noSpace, interrupted]),
    Kind(name: "open", calls: .open, places: .state, errors: [noDescriptor, broken, noSpace, interrupted]),
    Kind(name: "rename", calls: .rename, places: .state, errors: [broken, noSpace]),
    Kind(name: "unlink", calls: .unlink, places: .state, errors: [broken, noSpace, interrupted]),
    Kind(name: "size", calls: .size, places: .state, errors: [broken, noSpace, interrupted]),
    Kind(name: "mkdir", calls: .makeDirectory, places: .state, errors: [broken, noSpace]),
    Kind(name: "read", calls: .read, places: .state, errors: [broken, interrupted]),
    Kind(name: "socket", calls: .socket, places: .sockets, errors: [noDescriptor]),
    Kind(name: "connect", calls: .connect, places: .sockets, errors: [interrupted, broken]),
    Kind(name: "send", calls: [.send, .write], places: .sockets, errors: [interrupted, broken]),
    Kind(name: "receive", calls: [.receive, .read], places: .sockets, errors: [interrupted, broken]),
    Kind(name: "device", calls: [.write, .read, .open], places: .devices, errors: [interrupted, broken]),
  ]

  private struct Point {
    var kind: Kind
    var error: (name: String, code: Int32)
    var nth: Int

    var name: String { "\(kind.name) \(error.name)" }
    /// After a flush that failed, for whatever reason, and after a write that did, only the log tells what is on the disk. What
    /// passes by itself needs no restart.
    var mayRestart: Bool { kind.name == "flush" || error.name == "EIO" }
  }

  private struct Outcome: Sendable {
    var tried = 0
    var violations = 0
    /// How often the agent started anew, by what had failed.
    var restarts: [String: Int] = [:]
  }

  @Test func `whichever system call fails, nothing is lost and the service goes on`() async throws {
    // In an order of their own each time, so that many small runs see all of them.
    var moments = SeededRandom(seed: SeededRandom.seed())
    let points = try await points().shuffled(using: &moments)
    let wanted = size("HALL_SWEEP", usually: 24)
    let chosen = wanted == 0 ? points : Array(points.prefix(wanted))
    let work = Work(chosen)
    let total = try await withThrowingTaskGroup(of: Outcome.self) { group in
      for _ in 0..<max(1, min(size("HALL_LANES", usually: 2), chosen.count)) {
        group.addTask { try await lane(work) }
      }
      var total = Outcome()
      for try await outcome in group {
        total.tried += outcome.tried
        total.violations += outcome.violations
        total.restarts.merge(outcome.restarts) { $0 + $1 }
      }
      return total
    }
    #expect(total.tried > 0)
    print(
      "FIGURE every system call fails once: \(total.tried) of \(points.count) points, "
        + "\(total.violations) lost or done twice; restarts: "
        + (total.restarts.isEmpty
          ? "none"
          : total.restarts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(
            separator: ", ")))
  }

  /// What there is to fail in a visit.
  private func points() async throws -> [Point] {
    let hall = try await Hall(withFaults: true)
    let faults = try #require(hall.faults)
    try await hall.position.start()
    var number = 1
    try await hall.counter.visit(number)
    var points: [Point] = []
    let wanted = Environment["HALL_SWEEP_KINDS"].map { $0.split(separator: " ").map(String.init) }
    for kind in Self.kinds where wanted?.contains(kind.name) ?? true {
      number += 1
      try await faults.arm(.count, at: 0, of: kind.calls, in: kind.places)
      try await hall.counter.visit(number)
      for nth in stride(from: 1, through: try faults.outcome().counted, by: 1) {
        for error in kind.errors { points.append(Point(kind: kind, error: error, nth: nth)) }
      }
    }
    try await hall.position.kill()
    return points
  }

  /// One position, at which one point after the other fails.
  private func lane(_ work: Work<Point>) async throws -> Outcome {
    let hall = try await Hall(withFaults: true)
    let faults = try #require(hall.faults)
    let outcome = Observed(Outcome())
    try await Supervisor.run(hall.position) { supervisor in
      var (number, quarantined) = (1, Int64(0))
      try await hall.counter.visit(number)
      while let point = work.next() {
        number += 1
        let ends = await supervisor.ends.count
        try await faults.arm(
          .fail(point.error.code), at: point.nth, of: point.kind.calls, in: point.kind.places)
        do {
          try await hall.counter.visit(number)
        } catch {
          let log = try hall.position.running.printed.value.all.suffix(12).joined(separator: "\n")
          throw Programs.Failure(
            description: "\(point.error.name) at \(try faults.outcome().what ?? "?"): \(error)\n\(log)")
        }
        let met = try faults.outcome().what
        if point.mayRestart, await supervisor.ends.count == ends {
          // It may have met, or may yet meet, what the agent does by itself: then it is on its way out, and the next point has
          // no part in that.
          try await faults.arm(.count, at: 0, of: [], in: [])
          number += 1
          try await hall.counter.visit(number)
        }
        guard let what = met else { continue }
        // The fault is over: whatever the agent had to say of it, it takes and delivers again by itself.
        let status = try await hall.position.delivered()
        if let count = status["quarantined"]?.integer, count != quarantined {
          quarantined = count
          let list = try await hall.position.call(.listOutbox, query: [("state", "quarantined")])
          Issue.record("\(point.error.name) at \(what): \(list)")
        }
        let ended = await supervisor.ends.dropFirst(ends)
        outcome.update {
          $0.tried += 1
          if !ended.isEmpty {
            $0.restarts[point.name, default: 0] += ended.count
          }
        }
        let words = await supervisor.lastWords
        #expect(ended.isEmpty || point.mayRestart, "\(point.error.name) at \(what): \(words)")
        // Orderly, if at all: what a broken disk has taken is known only after the log is read again.
        #expect(ended.allSatisfy { $0 == .exited(1) }, "\(point.error.name) at \(what): \(ended)")
      }
      try await faults.disarm()
      let violations = try hall.violations()
      for violation in violations { print("VIOLATION \(violation)") }
      #expect(violations.isEmpty, "\(violations)")
      outcome.update { $0.violations = violations.count }
      #expect(await supervisor.crashes == [])
    }
    print("Faults: \(try hall.summary())")
    return outcome.value
  }
}
