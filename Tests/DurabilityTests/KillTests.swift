import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// The agent and the intake are killed again and again: at any moment, and at each step of the store.
///
/// `HALL_KILLS` says how often at any moment (12 unless given; 2 000 is the full size), `HALL_LANES` at how many positions side
/// by side (2), `HALL_SEED` from which numbers the moments come; `HALL_STEPS` at how many of the store's steps (12; 0 means
/// all of them).
@Suite(.timeLimit(.minutes(60)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct KillTests {
  private struct Report: Sendable {
    var agentKills = 0
    var intakeKills = 0
    var acknowledged = 0
    var duplicates = 0
    var violations = 0
  }

  @Test
  func `nothing acknowledged is lost and nothing is printed twice, whenever agent and intake are killed`()
    async throws
  {
    let kills = size("HALL_KILLS", usually: 12)
    let lanes = max(1, size("HALL_LANES", usually: 2))
    let seed = SeededRandom.seed()
    print("Kill: \(kills) kills at \(lanes) positions, HALL_SEED=\(seed)")
    let work = Work(Array(1...max(1, kills)))
    let total = try await withThrowingTaskGroup(of: Report.self) { group in
      for lane in 0..<lanes {
        group.addTask { try await run(work, seed: seed &+ UInt64(lane)) }
      }
      var total = Report()
      for try await report in group {
        total.agentKills += report.agentKills
        total.intakeKills += report.intakeKills
        total.acknowledged += report.acknowledged
        total.duplicates += report.duplicates
        total.violations += report.violations
      }
      return total
    }
    print(
      "FIGURE kill: \(total.agentKills) SIGKILLs of the agent, \(total.intakeKills) of the intake; "
        + "\(total.acknowledged) acknowledged, \(total.violations) lost or done twice, \(total.duplicates) re-sent"
    )
  }

  private func run(_ work: Work<Int>, seed: UInt64) async throws -> Report {
    let hall = try await Hall()
    try await hall.position.start()
    let isOver = Observed(false)
    let application = Task {
      var number = 0
      while !isOver.value {
        number += 1
        try await hall.counter.visit(number)
      }
    }
    let killer = Task {
      var moments = SeededRandom(seed: seed)
      var report = Report()
      while work.next() != nil {
        // The moments are what is tested: they come by the clock, whatever goes on.
        try await Attempts.pause(.milliseconds(10 + moments.next(below: 500)))
        let victim = moments.next(below: 5)
        if victim <= 1 {
          try await hall.intake.kill()
          report.intakeKills += 1
        }
        if victim >= 1 {
          try await hall.position.kill()
          report.agentKills += 1
          try await hall.position.start()
        }
        if victim <= 1 { try await hall.intake.start() }
      }
      isOver.update { $0 = true }
      return report
    }
    var report: Report
    do {
      report = try await killer.value
      try await application.value
    } catch {
      application.cancel()
      killer.cancel()
      throw error
    }
    let status = try await hall.position.delivered()
    #expect(status["quarantined"] == 0, "\(status)")
    let wrong = try hall.violations()
    for violation in wrong { print("VIOLATION \(violation)") }
    #expect(wrong.isEmpty, "\(wrong)")
    report.violations = wrong.count
    print("Kill: \(try hall.summary())")
    #expect(try await hall.position.stop() == .exited(0))
    report.acknowledged = hall.counter.done.value.count
    report.duplicates = try hall.intake.duplicates()
    return report
  }

  @Test(.enabled(if: Faults.isPossible, "needs a C compiler"))
  func `nothing acknowledged is lost whichever step of the store a kill meets`() async throws {
    let hall = try await Hall(withFaults: true)
    let faults = try #require(hall.faults)
    try await Supervisor.run(hall.position) { try await step(hall, faults, $0) }
  }

  private func step(_ hall: Hall, _ faults: Faults, _ supervisor: Supervisor) async throws {
    var number = 1
    // How many steps there are: of a citizen's visit, and of a start with what that left.
    try await faults.arm(.count, at: 0, of: .store, in: .state)
    try await hall.counter.visit(number)
    let steps = try faults.outcome().counted
    #expect(steps > 50)
    let wanted = size("HALL_STEPS", usually: 12)
    let stride = wanted == 0 ? 1 : max(1, steps / wanted)
    var met = 0
    var names: Set<String> = []
    for step in Swift.stride(from: 1 + SeededRandom.firstOffset(below: stride), through: steps, by: stride) {
      for action in [Faults.Action.killBefore, .killAfter] {
        number += 1
        try await faults.arm(action, at: step, of: .store, in: .state)
        try await hall.counter.visit(number)
        let outcome = try faults.outcome()
        guard let what = outcome.what else { continue }
        met += 1
        if let name = what.split(separator: " ").first { names.insert(String(name)) }
      }
    }
    // The steps of a start.
    var startSteps = 0
    for step in Swift.stride(from: 1, through: 400, by: max(1, stride / 4)) {
      try await faults.arm(.killBefore, at: step, of: .store, in: .state)
      let before = await supervisor.ends.count
      try supervisor.kill()
      _ = try await Attempts.until("the start after step \(step)") {
        let ends = await supervisor.ends.count
        guard ends > before else { return Optional<Bool>.none }
        return (try? await hall.position.call(.status)).map { _ in true }
      }
      if try faults.outcome().what == nil { break }
      startSteps += 1
    }
    try await faults.disarm()
    let status = try await hall.position.delivered()
    #expect(status["quarantined"] == 0, "\(status)")
    let wrong = try hall.violations()
    for violation in wrong { print("VIOLATION \(violation)") }
    #expect(wrong.isEmpty, "\(wrong)")
    #expect(await supervisor.crashes == [])
    #expect(met > 0 && startSteps > 0)
    print("Kill: \(try hall.summary())")
    print(
      "FIGURE kill at each step: \(met) of a visit's \(steps) steps, before and after "
        + "(\(names.sorted().joined(separator: " "))), \(startSteps) of a start; "
        + "\(hall.counter.done.value.count) acknowledged, \(wrong.count) lost or done twice, "
        + "\(try hall.intake.duplicates()) re-sent")
  }
}
