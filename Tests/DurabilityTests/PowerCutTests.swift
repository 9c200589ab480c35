import HallKit
import LabKit
import Posix
import TestKit
import Testing
import WireJSON

/// The power goes at any moment while the service works on its disk: a virtual machine with Debian's kernel and ext4, whose disk
/// loses what was not flushed.
///
/// This process is the counter application and the witness: an answer that has come out of the machine is a promise. The
/// intake's store, too, lies outside.
///
/// `HALL_CUTS` says how often (4 unless given; 500 is the full size), `HALL_LANES` at how many machines side by side (1),
/// `HALL_SEED` from which numbers the moments come.
@Suite(
  .serialized, .timeLimit(.minutes(240)),
  .enabled(if: Lab.isExpected && PythonIntake.isExpected, Comment(rawValue: Lab.reason)))
struct PowerCutTests {
  @Test func `nothing acknowledged is lost or torn when the power goes`() async throws {
    let cuts = size("HALL_CUTS", usually: 4)
    let lanes = max(1, min(size("HALL_LANES", usually: 1), cuts))
    let seed = SeededRandom.seed()
    print("Power cut: \(cuts) cuts of \(lanes) machines, HALL_SEED=\(seed)")
    let work = Work(Array(0..<cuts))
    let total = try await withThrowingTaskGroup(of: Report.self) { group in
      for lane in 0..<lanes {
        group.addTask { try await run(work, seed: seed &+ UInt64(lane)) }
      }
      var total = Report()
      for try await report in group {
        total.acknowledged += report.acknowledged
        total.pages += report.pages
        total.lostSectors += report.lostSectors
        total.wrong += report.wrong
      }
      return total
    }
    #expect(total.acknowledged > cuts, "it was working")
    print(
      "FIGURE power cut: \(cuts) cuts, \(total.acknowledged) acknowledged (\(total.pages) pages), "
        + "\(total.wrong) lost or torn; "
        + "\(total.lostSectors) sectors lost by the disk")
  }

  private struct Report: Sendable {
    var acknowledged = 0
    var pages = 0
    var lostSectors = 0
    var wrong = 0
  }

  /// One machine, which is cut as long as there is anything left to cut.
  private func run(_ work: Work<Int>, seed: UInt64) async throws -> Report {
    let rig = try await PowerRig(seed: seed)
    while work.next() != nil { try await rig.cut() }
    let outcome = try await rig.finish()
    for violation in outcome.wrong { print("VIOLATION \(violation)") }
    #expect(outcome.wrong.isEmpty, "\(outcome.wrong)")
    #expect(outcome.quarantined == 0)
    return Report(
      acknowledged: rig.done.value.count, pages: rig.done.value.pages.count,
      lostSectors: rig.disk.counts.lostSectors,
      wrong: outcome.wrong.count + Int(clamping: outcome.quarantined))
  }

  @Test(.enabled(if: Faults.isPossible, "needs a C compiler"))
  func `the rig finds losses when pages are not flushed`() async throws {
    let rig = try await PowerRig(seed: 1, leavingPagesUnflushed: true)
    var cuts = 0
    var outcome = PowerRig.Outcome()
    var lost = 0
    // A page or two may get to the disk by chance.
    repeat {
      for _ in 0..<2 {
        try await rig.cut(afterPages: 3, and: .zero, losing: .everything, withIntake: false)
      }
      cuts += 2
      outcome = try await rig.finish()
      lost = outcome.wrong.count { $0.hasPrefix("page ") }
    } while lost == 0 && cuts < 8
    #expect(lost > 0, "the rig cannot fail: \(outcome)")
    print(
      "FIGURE power cut with unflushed pages: \(cuts) cuts, \(rig.done.value.pages.count) pages acknowledged, "
        + "\(lost) lost: the rig can fail")
  }
}

/// A machine whose power goes, and the counter outside.
private actor PowerRig {
  struct Outcome: Sendable {
    /// What was acknowledged and is lost, damaged or told wrongly.
    var wrong: [String] = []
    var quarantined: Int64 = 0
  }

  let disk = VolatileDisk()
  /// What the machine has answered.
  let done = Observed(Acknowledged())

  private let files: TemporaryDirectory
  private let intake: PythonIntake
  private let isUnflushed: Bool
  private var moments: SeededRandom
  private var boot = 0

  private static let socket = "/run/agent.sock"

  init(seed: UInt64, leavingPagesUnflushed: Bool = false) async throws {
    files = try TemporaryDirectory()
    moments = SeededRandom(seed: seed)
    isUnflushed = leavingPagesUnflushed
    // Not started here: it only reads the store that the one in the machine wrote.
    intake = PythonIntake(in: files)
    try await Programs.run("cp", "-r", Repository.root + "/config/profiles", files.path("profiles"))
    try await Programs.run("cp", Repository.root + "/Tests/Fixtures/intake.py", files.path("intake.py"))
    if leavingPagesUnflushed { try await Faults.makeLibrary(files.path("faults.so")) }
    try write(
      "hall.conf",
      """
      [agent]
      hall = test-hall
      position = window-07
      language = en
      socket = \(Self.socket)
      socket-group = ""
      state = /disk/state
      profiles = /mnt/profiles
      [intake]
      target = unix:/run/intake.sock
      user = ""
      forward = visit, rating, material.page, material.page.withdrawn, material.completed, ticket, call, print
      [ratings]
      correction = 0 s
      ask-at-closing = no
      [simulation]
      hall = /mnt/devices.conf
      [service A]
      name = 综合受理
      prefix = A
      [device dispenser]
      kind = ticket-dispenser
      port = simulated:dispenser
      [device scanner]
      kind = scanner
      port = simulated:scanner
      [device evaluator]
      kind = evaluator
      port = simulated:evaluator
      repeat-window = 50 ms
      """)
    try write(
      "devices.conf",
      """
      [hall]
      speed = instant
      [device dispenser]
      model = ticket-dispenser
      [device scanner]
      model = escl-scanner
      job-timeout = 1 s
      number-pages = yes
      [device evaluator]
      model = evaluator
      """)
    try await Guest.run(disk: disk) { guest in
      try await guest.check("mkfs.ext4 -q -E lazy_itable_init=1,nodiscard /dev/vdb && sync /dev/vdb")
    }
  }

  private nonisolated func write(_ name: String, _ text: String) throws {
    try Files.replaceDurable(files.path(name), bytes: Array(text.utf8), mode: 0o644)
  }

  // MARK: Cuts

  /// Starts the machine, lets the hall work, and cuts the power at some moment: of the work, or of the start.
  func cut() async throws {
    let loss: VolatileDisk.Loss =
      boot % 3 == 0 ? .everything : .some(seed: UInt64(moments.next(below: 1 << 30)))
    try await cut(
      afterPages: moments.next(below: 4) == 0 ? 0 : 1 + moments.next(below: 3),
      and: .milliseconds(moments.next(below: 1500)), losing: loss, withIntake: moments.next(below: 2) == 0)
  }

  /// - Parameters:
  ///   - pages: how many are acknowledged first, so that there is work however slow the machine is.
  ///   - moment: the time from there.
  func cut(
    afterPages pages: Int, and moment: Duration, losing loss: VolatileDisk.Loss, withIntake: Bool
  ) async throws {
    boot += 1
    let guest = try await Guest.start(disk: disk)
    do {
      try await start(guest, withIntake: withIntake)
      let work = Task { await self.work(guest) }
      let wanted = done.value.pages.count + pages
      await done.wait { $0.pages.count >= wanted }
      try await Attempts.pause(moment)
      await guest.cutPower(losing: loss)
      await work.value
      try await keepIntake(of: guest)
    } catch {
      let log = guest.console
      await guest.end()
      throw Programs.Failure(description: "\(error)\n--- console of the guest:\n\(log)")
    }
  }

  private func start(_ guest: Guest, withIntake: Bool) async throws {
    try await Programs.run("cp", "-a", files.path + "/.", guest.shared)
    try await guest.check("mount /dev/vdb /disk && mkdir -p /disk/state")
    if withIntake {
      let intake = try await guest.launch(
        "exec python3 /mnt/intake.py --socket /run/intake.sock --store /mnt/intake")
      try await intake.line(containing: "listening")
    }
    var preload = ""
    if isUnflushed {
      // The word `nosync` of the order (Tests/Fixtures/faults.c).
      try await guest.check(
        "(head -c 20 /dev/zero; printf '\\1'; head -c 4075 /dev/zero) > /run/faults")
      preload = "LD_PRELOAD=/mnt/faults.so HALL_FAULTS=/run/faults HALL_FAULT_STATE=/disk/state "
    }
    let agent = try await guest.launch("\(preload)exec halld run --config /mnt/hall.conf")
    try await agent.line(containing: "agent: hall agent")
  }

  /// What the intake in the machine has accepted goes on in the next.
  private func keepIntake(of guest: Guest) async throws {
    guard Files.exists(guest.shared + "/intake") else { return }
    Files.removeTree(intake.store)
    try await Programs.run("cp", "-a", guest.shared + "/intake", intake.store)
  }

  // MARK: Work

  /// Citizens and clerks, until the machine is gone.
  private func work(_ guest: Guest) async {
    let boot = boot
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.rate(guest, boot) }
      group.addTask { await self.press(guest) }
      group.addTask { await self.scan(guest, boot) }
      group.addTask { await self.issue(guest, boot) }
    }
  }

  /// - Returns: the answer, if it is one of success; nil when it is not, or the machine is gone.
  private nonisolated func call(
    _ guest: Guest, _ method: String, _ path: String, _ body: JSONValue? = nil
  ) async throws -> JSONValue? {
    let text = try body.map { String(decoding: try JSON.encode($0), as: UTF8.self) } ?? ""
    let reply = try await guest.request(method, path, socket: Self.socket, body: text)
    guard (200...299).contains(reply.status) else { return nil }
    return try JSON.parse(reply.body)
  }

  private nonisolated func rate(_ guest: Guest, _ boot: Int) async {
    var number = 0
    do {
      while true {
        number += 1
        guard
          let opened = try await call(
            guest, "POST", "/v1/visits", ["requestId": .string("visit-\(boot)-\(number)"), "window": "07"]),
          let visit = opened["visit"]?.string
        else {
          try await Attempts.pause(.milliseconds(50))
          continue
        }
        done.update { $0.visits.append(visit) }
        let request = "rating-\(boot)-\(number)"
        if let rated = try await call(
          guest, "POST", "/v1/devices/evaluator/ratings",
          [
            "requestId": .string(request), "visit": .string(visit), "serviceNumber": 1, "timeoutSeconds": 20,
          ])
        {
          let rating = (id: rated["rating"]?.string ?? "", outcome: rated["outcome"]?.string ?? "")
          done.update { $0.ratings[request] = rating }
        }
        _ = try await call(guest, "DELETE", "/v1/visits/\(visit)")
      }
    } catch {}
  }

  private nonisolated func press(_ guest: Guest) async {
    do {
      while true {
        let devices = try await call(guest, "GET", "/v1/simulation")?["devices"]?.array ?? []
        let isAsking = devices.contains {
          $0["name"] == "evaluator" && $0["state"]?["prompting"] == "yes"
        }
        if isAsking { _ = try await call(guest, "POST", "/v1/simulation/evaluator", ["command": "press 4"]) }
        try await Attempts.pause(.milliseconds(30))
      }
    } catch {}
  }

  private nonisolated func scan(_ guest: Guest, _ boot: Int) async {
    var number = 0
    do {
      while true {
        number += 1
        _ = try await call(
          guest, "POST", "/v1/simulation/scanner", ["command": "feeder empty; load 1 pages"])
        let scanned = try await call(
          guest, "POST", "/v1/devices/scanner/scans", ["requestId": .string("scan-\(boot)-\(number)")])
        for page in scanned?["material"]?["pages"]?.array ?? [] {
          let (id, blob) = (page["page"]?.string ?? "", page["blob"]?.string ?? "")
          done.update { $0.pages[id] = blob }
        }
      }
    } catch {}
  }

  private nonisolated func issue(_ guest: Guest, _ boot: Int) async {
    var number = 0
    do {
      while true {
        number += 1
        let request = "ticket-\(boot)-\(number)"
        guard
          let answer = try await call(
            guest, "POST", "/v1/devices/dispenser/tickets", ["requestId": .string(request), "service": "A"])
        else {
          try await Attempts.pause(.milliseconds(50))
          continue
        }
        let ticket = (
          id: answer["ticket"]?.string ?? "", number: answer["number"]?.string ?? "",
          code: answer["checkCode"]?.string ?? "", printed: answer["printed"]?.string ?? ""
        )
        done.update { $0.tickets[request] = ticket }
      }
    } catch {}
  }

  // MARK: The end

  /// Starts the machine once more, lets everything be delivered, and compares.
  func finish() async throws -> Outcome {
    boot += 1
    let guest = try await Guest.start(disk: disk)
    do {
      try await start(guest, withIntake: true)
      let status = try await Attempts.until("everything delivered", limit: .seconds(600)) {
        () -> JSONValue? in
        guard let status = try await call(guest, "GET", "/v1/outbox"), status["pendingEvents"] == 0,
          status["pendingPages"] == 0
        else { return Optional.none }
        return status
      }
      await guest.end()
      try await keepIntake(of: guest)
      return Outcome(wrong: try violations(), quarantined: status["quarantined"]?.integer ?? 0)
    } catch {
      let log = guest.console
      await guest.end()
      throw Programs.Failure(description: "\(error)\n--- console of the guest:\n\(log)")
    }
  }

  private func violations() throws -> [String] {
    let done = done.value
    var wrong = try intake.violations()
    wrong += try intake.gaps()
    let events = try intake.events()
    if Set(events.compactMap { $0["epoch"]?.string }).count > 1 { wrong.append("the state was lost") }
    func data(_ type: String) -> [JSONValue] {
      events.filter { $0["type"]?.string == "gov.hall.\(type).v1" }.compactMap { $0["data"] }
    }
    let tickets = Dictionary(grouping: data("ticket")) { $0["ticket"]?.string ?? "" }
    for (request, ticket) in done.tickets where tickets[ticket.id]?.first?["number"]?.string != ticket.number
    {
      wrong.append("\(request) is lost")
    }
    if Set(done.tickets.values.map(\.number)).count != done.tickets.count {
      wrong.append("a number was given twice")
    }
    let ratings = Dictionary(grouping: data("rating")) { $0["rating"]?.string ?? "" }
    for (request, rating) in done.ratings
    where ratings[rating.id]?.first?["outcome"]?.string != rating.outcome {
      wrong.append("\(request) is lost")
    }
    let pages = Dictionary(grouping: data("material.page")) { $0["page"]?.string ?? "" }
    let blobs = try intake.blobs()
    for (page, blob) in done.pages {
      if pages[page]?.first?["blob"]?.string != blob || !blobs.contains(blob) {
        wrong.append("page \(page) is lost")
      }
    }
    let opened = Set(events.filter { $0["data"]?["state"] == "opened" }.compactMap { $0["visit"]?.string })
    for visit in done.visits where !opened.contains(visit) { wrong.append("visit \(visit) is lost") }
    return wrong
  }
}
