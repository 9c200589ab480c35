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
  }

  @Test func `whichever system call fails, nothing is lost and the service goes on`() async throws {
    let hall = try await Hall(withFaults: true)
    let faults = try #require(hall.faults)
    try await Supervisor.run(hall.position) { try await sweep(hall, faults, $0) }
  }

  private func sweep(_ hall: Hall, _ faults: Faults, _ supervisor: Supervisor) async throws {
    var number = 0
    func visit() async throws {
      number += 1
      try await hall.counter.visit(number)
    }
    // What there is to fail.
    try await visit()
    var points: [Point] = []
    let wantedKinds = Environment["HALL_SWEEP_KINDS"].map { $0.split(separator: " ").map(String.init) }
    for kind in Self.kinds where wantedKinds?.contains(kind.name) ?? true {
      try await faults.arm(.count, at: 0, of: kind.calls, in: kind.places)
      try await visit()
      let count = try faults.outcome().counted
      for nth in stride(from: 1, through: count, by: 1) {
        for error in kind.errors { points.append(Point(kind: kind, error: error, nth: nth)) }
      }
    }
    let wanted = size("HALL_SWEEP", usually: 24)
    let count = wanted == 0 ? points.count : min(wanted, points.count)
    var moments = Moments(seed: Moments.seed())
    var tried = 0
    var restarts: [String: Int] = [:]
    var quarantined: Int64 = 0
    for index in 0..<count {
      // In an order of their own each time, so that many small runs see all of them.
      points.swapAt(index, index + moments.next(below: points.count - index))
      let point = points[index]
      let ends = await supervisor.ends.count
      try await faults.arm(
        .fail(point.error.code), at: point.nth, of: point.kind.calls, in: point.kind.places)
      do {
        try await visit()
      } catch {
        let log = try hall.position.running.printed.value.all.suffix(12).joined(separator: "\n")
        throw Programs.Failure(
          description: "\(point.error.name) at \(try faults.outcome().what ?? "?"): \(error)\n\(log)")
      }
      guard let what = try faults.outcome().what else { continue }
      tried += 1
      // The fault is over: whatever the agent had to say of it, it takes and delivers again by itself.
      let status = try await hall.position.delivered()
      if let count = status["quarantined"]?.integer, count != quarantined {
        quarantined = count
        let list = try await hall.position.call(.listOutbox, query: [("state", "quarantined")])
        Issue.record("\(point.error.name) at \(what): \(list)")
      }
      let ended = await supervisor.ends.dropFirst(ends)
      if !ended.isEmpty { restarts["\(point.kind.name) \(point.error.name)", default: 0] += ended.count }
      // Orderly, if at all: what a broken disk has taken is known only after the log is read again.
      #expect(ended.allSatisfy { $0 == .exited(1) }, "\(point.error.name) at \(what): \(ended)")
    }
    try await faults.disarm()
    #expect(try hall.violations() == [])
    #expect(await supervisor.crashes == [])
    #expect(tried > 0)
    // What passes by itself needs no restart.
    for name in restarts.keys {
      // After a flush that failed, for whatever reason, only the log tells what is on the disk.
      let mayRestart = name.hasSuffix("EIO") || name.hasPrefix("flush")
      #expect(mayRestart, "\(name): \(restarts[name] ?? 0) restarts")
    }
    print("Faults: \(try hall.summary())")
    print(
      "FIGURE every system call fails once: \(tried) of \(points.count) points, 0 lost; restarts: "
        + (restarts.isEmpty
          ? "none"
          : restarts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")))
  }
}
