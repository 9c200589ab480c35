import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What can be wrong with the machine: its clock, its disk.
@Suite(.timeLimit(.minutes(5)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct MachineTests {
  @Test(.enabled(if: Faults.isPossible, "needs a C compiler"))
  func `a clock that goes back a day loses nothing and gives no number twice`() async throws {
    let hall = try await Hall(withFaults: true)
    let faults = try #require(hall.faults)
    try await hall.position.start()
    try await hall.counter.visit(1)
    try await hall.intake.kill()
    try await faults.shiftClock(seconds: -86_400)
    try await hall.counter.visit(2)
    // Also what waits over a restart.
    try await hall.position.kill()
    try await hall.position.start()
    try await hall.counter.visit(3)
    try await hall.intake.start()
    try await hall.position.delivered()
    try await faults.disarm()
    try await hall.counter.visit(4)
    let status = try await hall.position.delivered()
    #expect(status["quarantined"] == 0, "\(status)")
    #expect(try hall.violations() == [])
    #expect(hall.counter.done.value.tickets.count == 4 && hall.counter.done.value.pages.count == 8)
    #expect(try await hall.position.stop() == .exited(0))
  }

  /// A small file system of its own in a directory, as long as it lives.
  private final class SmallDisk {
    let path: String

    /// Whether this process may mount.
    static var isPossible: Bool {
      get async {
        guard ProcessInfo.userID == 0, let files = try? TemporaryDirectory() else { return false }
        guard let disk = try? await SmallDisk(at: files.path("try"), megabytes: 1) else { return false }
        await disk.remove()
        return true
      }
    }

    init(at path: String, megabytes: Int) async throws {
      self.path = path
      try Files.makeDirectory(path, mode: 0o700, parents: true)
      try await Programs.run("mount", "-t", "tmpfs", "-o", "size=\(megabytes)m,mode=700", "none", path)
    }

    private var filler: String { path + "/filler" }

    /// Leaves so many bytes.
    func fill(leaving bytes: UInt64) throws {
      let free = try Files.freeSpace(path).bytes
      let held = Files.exists(filler) ? UInt64(try Files.size(filler)) : 0
      if free > bytes { try Files.reserve(filler, bytes: held + free - bytes) }
    }

    func empty() throws { try Files.unlink(filler) }

    func remove() async { _ = try? await Programs.run("umount", "-l", path) }
  }

  @Test(.enabled("needs root and mount(2)") { await SmallDisk.isPossible })
  func `on a disk that is full to the last byte pages are refused, ratings are taken, and all is delivered`()
    async throws
  {
    let hall = try await Hall()
    let disk = try await SmallDisk(at: hall.position.state, megabytes: 700)
    do {
      try await play(hall, disk)
    } catch {
      await disk.remove()
      throw error
    }
    await disk.remove()
  }

  private func play(_ hall: Hall, _ disk: SmallDisk) async throws {
    try await hall.position.start()
    try await hall.counter.visit(1)
    try await hall.position.delivered()
    try await hall.intake.kill()
    try await hall.counter.visit(2)

    // Less than what pages leave free: they are refused, and it is said who does what.
    try disk.fill(leaving: 400 << 20)
    try await hall.devices.apply("feeder empty; load 2 pages", to: "scanner")
    let refused = await refusal {
      _ = try await hall.position.call(.scan, ["role": "scanner"], body: ["requestId": "full-1"])
    }
    #expect(refused?["status"] == 507 && refused?["actor"] == "administrator", "\(refused ?? .null)")
    let low = try await hall.outboxStatus()
    #expect(low["fill"] == "full", "\(low)")

    // To the last byte. The reserve goes, ratings are taken.
    try disk.fill(leaving: 0)
    let opened = try await hall.position.call(.openVisit, body: ["requestId": "visit-3", "window": "07"])
    let visit = try #require(opened["visit"]?.string)
    hall.counter.done.update { $0.visits.append(visit) }
    try await hall.counter.rate(3, visit)
    #expect(hall.counter.done.value.ratings["rating-3"]?.outcome == "rated")

    // Again, and now there is no reserve. What is accepted or refused is said; what was accepted is delivered and erased.
    try disk.fill(leaving: 0)
    for number in 4...8 {
      let answer = await refusal {
        let opened = try await hall.position.call(
          .openVisit, body: ["requestId": .string("visit-\(number)"), "window": "07"])
        if let visit = opened["visit"]?.string { hall.counter.done.update { $0.visits.append(visit) } }
      }
      if let answer { #expect(answer["status"] == 507 && answer["actor"] == "administrator", "\(answer)") }
    }
    try await hall.intake.start()
    let delivered = try await hall.position.delivered()
    #expect(delivered["quarantined"] == 0 && delivered["fill"] == "full", "\(delivered)")

    // Room again: no restart is needed.
    try disk.empty()
    try await hall.counter.visit(9)
    let after = try await hall.position.delivered()
    #expect(after["fill"] == "normal", "\(after)")
    #expect(try hall.violations() == [])
    #expect(hall.counter.done.value.pages.count == 6)
    #expect(try await hall.position.stop() == .exited(0))
  }

  /// A disk whose file system finds an error in itself, as a failing one does: from then on nobody can write to it.
  private final class FailingDisk {
    let path: String
    private let image: String
    private let name: String

    static var isPossible: Bool {
      get async {
        guard ProcessInfo.userID == 0, let files = try? TemporaryDirectory() else { return false }
        guard let disk = try? await FailingDisk(at: files.path("try"), image: files.path("image")) else {
          return false
        }
        let canFail = Files.exists(disk.trigger)
        await disk.remove()
        return canFail
      }
    }

    init(at path: String, image: String) async throws {
      self.path = path
      self.image = image
      try Files.makeDirectory(path, mode: 0o700, parents: true)
      // More than pages leave free, in a file with holes.
      try await Programs.run("truncate", "-s", "2G", image)
      try await Programs.run("mkfs.ext4", "-q", "-m", "0", image)
      try await Programs.run("mount", "-o", "loop,errors=remount-ro", image, path)
      let source = try await RunningProgram.run("findmnt", ["-n", "-o", "SOURCE", path]).output
      name = String(source.split(separator: "/").last ?? "")
    }

    private var trigger: String { "/sys/fs/ext4/\(name)/trigger_fs_error" }

    /// The kernel's own way to try it out: the file system is read-only at once, whoever has files open for writing.
    func fail() async throws {
      try await Programs.run("sh", "-c", "echo 1 > \(trigger)")
    }

    /// Repaired and mounted again, as after a start of the machine.
    func repair() async throws {
      try await Programs.run("umount", path)
      // 1: errors were corrected.
      let checked = try await RunningProgram.run("fsck.ext4", ["-f", "-y", image])
      guard checked.status == .exited(0) || checked.status == .exited(1) else {
        throw Programs.Failure(description: "fsck: \(checked.output) \(checked.errors)")
      }
      try await Programs.run("mount", "-o", "loop,errors=remount-ro", image, path)
    }

    func remove() async { _ = try? await Programs.run("umount", "-l", path) }
  }

  @Test(.enabled("needs root, mount(2) and loop devices") { await FailingDisk.isPossible })
  func `a disk that becomes read-only is told, takes nothing with it, and serves again when it is mended`()
    async throws
  {
    let hall = try await Hall()
    let disk = try await FailingDisk(at: hall.position.state, image: hall.files.path("image"))
    do {
      try await play(hall, disk)
    } catch {
      try? await hall.position.kill()
      await disk.remove()
      throw error
    }
    await disk.remove()
  }

  private func play(_ hall: Hall, _ disk: FailingDisk) async throws {
    try await hall.position.start()
    try await hall.counter.visit(1)
    try await hall.position.delivered()
    try await hall.intake.kill()
    try await hall.counter.visit(2)

    try await disk.fail()
    // Nothing is acknowledged any more, and the service ends, for what is in its memory is all that it has.
    let answer = await refusal {
      _ = try await hall.position.call(.openVisit, body: ["requestId": "visit-3", "window": "07"])
    }
    #expect(answer != nil, "a visit was opened on a disk that takes nothing")
    let program = try hall.position.running
    #expect(try await program.lasting() != .exited(0))
    #expect(program.count("The service has to start anew.") > 0, "\(program.printed.value.errors.suffix(5))")
    // Every start says what is wrong.
    let again = try RunningProgram(
      Built.path("halld"), ["run", "--config", hall.position.configurationFile])
    #expect(try await again.lasting() != .exited(0))
    #expect(again.count("The state directory cannot be used") > 0, "\(again.printed.value.errors)")
    #expect(
      again.count("Read-only file system") > 0 || again.count("EROFS") > 0, "\(again.printed.value.errors)")

    try await disk.repair()
    try await hall.position.start()
    try await hall.intake.start()
    try await hall.counter.visit(3)
    let status = try await hall.position.delivered()
    #expect(status["quarantined"] == 0, "\(status)")
    #expect(try hall.violations() == [])
    #expect(hall.counter.done.value.pages.count == 6)
    #expect(try await hall.position.stop() == .exited(0))
  }

  /// The problem that a call ends with; nil if it does not.
  private func refusal(_ call: () async throws -> Void) async -> JSONValue? {
    do {
      try await call()
      return nil
    } catch AgentCallError.problem(_, let problem) {
      return problem
    } catch {
      return .string("\(error)")
    }
  }
}
