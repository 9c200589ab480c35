import Channels
import Devices
import LocalAPI
import Synchronization
import TestKit
import Testing

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct DeviceSessionTests {
  private func fault<Value>(_ body: () async throws(Fault) -> Value) async -> Fault? {
    do throws(Fault) {
      _ = try await body()
      return nil
    } catch {
      return error
    }
  }

  @Test func `a device comes into service, serves, and counts`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let session = bench.session(role: "dispenser", lines: Lines())
    #expect(await session.current.report.state == .starting)
    await session.start()
    await bench.states.wait { $0.last == .online }
    #expect(try await session.perform("tickets") { (_) throws(Fault) in 7 } == 7)
    #expect(
      await fault { () throws(Fault) in
        try await session.perform("tickets") { (_) throws(Fault) in throw Fault(.cutterFailed) }
      }?.code == .cutterFailed)
    let view = await session.current
    #expect(view.counters == ["tickets": 1, "ticketsFailed": 1])
    #expect(view.identity?.serial == "0001" && view.profile == "scripted")
    await session.stop()
  }

  /// Answers its first question when a test lets it.
  private final class SlowDispenser: ScriptedDevice, TicketDispenser {
    let own = ScriptedNotices()
    let asked = Gate()
    let gate = Gate()
    func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
      asked.open()
      await gate.wait()
      return DeviceReport(state: .online)
    }
    func print(_ face: TicketFace, begun: @escaping @Sendable () async -> Bool) async -> EffectOutcome {
      .done
    }
  }

  @Test func `a device takes no command before it has answered how it is`() async throws {
    let device = SlowDispenser()
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in device }
    let session = bench.session(role: "dispenser", lines: Lines())
    await session.start()
    await device.asked.wait()
    let refused = await fault { () throws(Fault) in
      try await session.perform("tickets") { (_) throws(Fault) in }
    }
    #expect(refused?.code == .deviceAbsent)
    device.gate.open()
    await bench.states.wait { $0.last == .online }
    #expect(try await session.perform("tickets") { (_) throws(Fault) in 7 } == 7)
    await session.stop()
  }

  @Test func `commands to one device run one after the other`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let session = bench.session(role: "dispenser", lines: Lines())
    await session.start()
    await bench.states.wait { $0.last == .online }
    let inside = Observed((now: 0, most: 0))
    await withTaskGroup(of: Void.self) { group in
      for _ in 1...20 {
        group.addTask {
          try? await session.perform("tickets") { (_) throws(Fault) in
            inside.update {
              $0.now += 1
              $0.most = max($0.most, $0.now)
            }
            await Task.yield()
            inside.update { $0.now -= 1 }
          }
        }
      }
    }
    #expect(inside.value.most == 1)
    #expect(await session.current.counters == ["tickets": 20])
    await session.stop()
  }

  @Test func `a locked device takes no commands and stays in its state`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let lines = Lines()
    let session = bench.session(role: "dispenser", lines: lines)
    await session.start()
    await bench.states.wait { $0.last == .online }
    await session.setLocked(true)
    await session.setLocked(true)
    #expect(
      await fault { () throws(Fault) in try await session.perform("tickets") { (_) throws(Fault) in } }?.code
        == .deviceLocked)
    #expect(await session.current.report.state == .online)
    await session.setLocked(false)
    #expect(
      await fault { () throws(Fault) in try await session.perform("tickets") { (_) throws(Fault) in } } == nil
    )
    #expect(lines.containing("taken out of service").count == 1)
    await session.stop()
  }

  @Test func `a lost device says so once, refuses meanwhile, and is back when it is plugged in again`()
    async throws
  {
    let present = Mutex(true)
    let first = ScriptedDispenser()
    let second = ScriptedDispenser()
    let attached = Mutex(0)
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in
      guard present.withLock({ $0 }) else { throw Fault(.deviceAbsent, "nothing there") }
      return attached.withLock { count in
        count += 1
        return count == 1 ? first : second
      }
    }
    let lines = Lines()
    let session = bench.session(role: "dispenser", lines: lines)
    await session.start()
    await bench.states.wait { $0.last == .online }
    present.withLock { $0 = false }
    first.own.say.yield(.lost(Fault(.deviceGone, "hung up")))
    await bench.states.wait { $0.last == .noDevice }
    #expect(
      await fault { () throws(Fault) in try await session.perform("tickets") { (_) throws(Fault) in } }?.code
        != nil)
    present.withLock { $0 = true }
    bench.bus.plug()
    await bench.states.wait { $0.last == .online }
    #expect(lines.containing("dispenser: ").count == 2, "\(lines.all)")
    #expect(lines.containing("back in service").count == 1)
    await session.stop()
  }

  @Test func `a command that loses the line takes the device out of service`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let session = bench.session(role: "dispenser", lines: Lines())
    await session.start()
    await bench.states.wait { $0.last == .online }
    let lost = await fault { () throws(Fault) in
      try await session.perform("tickets") { (_) throws(Fault) in throw Fault(.deviceGone) }
    }
    #expect(lost?.code == .deviceGone)
    #expect(bench.states.value.contains(.noDevice))
    // The wait before the next attempt is short, and the device is there.
    await bench.states.wait { $0.last == .online }
    await session.stop()
  }

  /// Has its cover open from the first command on.
  private final class OpenDispenser: ScriptedDevice, TicketDispenser {
    let own = ScriptedNotices()
    let isOpen = Mutex(false)
    private var state: DeviceReport {
      isOpen.withLock { $0 }
        ? DeviceReport(state: .userError, reason: Fault(.coverOpen), cover: .open)
        : DeviceReport(state: .online)
    }
    func open() {
      isOpen.withLock { $0 = true }
      own.say.yield(.report(state))
    }
    func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport { state }
    func print(_ face: TicketFace, begun: @escaping @Sendable () async -> Bool) async -> EffectOutcome {
      .done
    }
  }

  @Test func `what a device says of itself while it works stays when the command ends`() async throws {
    let dispenser = OpenDispenser()
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in dispenser }
    let session = bench.session(role: "dispenser", lines: Lines())
    await session.start()
    await bench.states.wait { $0.last == .online }
    try await session.perform("tickets") { (_) throws(Fault) in
      dispenser.open()
      await bench.states.wait { $0.last == .userError }
    }
    #expect(await session.current.report.reason?.code == .coverOpen)
    await session.stop()
  }

  /// Is off for some checks after a command has failed, and then on again.
  private final class SleepyDispenser: ScriptedDevice, TicketDispenser {
    let own = ScriptedNotices()
    let checks = Mutex<[Result<DeviceState, Fault>]>([.success(.online)])
    func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
      let next = checks.withLock { $0.isEmpty ? .success(.online) : $0.removeFirst() }
      return DeviceReport(state: try next.get())
    }
    func print(_ face: TicketFace, begun: @escaping @Sendable () async -> Bool) async -> EffectOutcome {
      .done
    }
  }

  @Test func `a device with a fault is asked until it is well, without anybody trying it`() async throws {
    let dispenser = SleepyDispenser()
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in dispenser }
    let lines = Lines()
    let session = bench.session(role: "dispenser", lines: lines)
    await session.start()
    await bench.states.wait { $0.last == .online }
    dispenser.checks.withLock { $0 = [.failure(Fault(.deviceSilent)), .failure(Fault(.deviceGarbled))] }
    _ = await fault { () throws(Fault) in
      try await session.perform("tickets") { (_) throws(Fault) in throw Fault(.deviceSilent) }
    }
    await bench.states.wait { $0.suffix(3) == [.powerOff, .offline, .online] }
    #expect(dispenser.checks.withLock { $0.isEmpty })
    #expect(lines.containing("dispenser: ").count == 2, "\(lines.all)")
    await session.stop()
  }

  @Test func `a stopped session refuses commands and ends`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let session = bench.session(role: "dispenser", lines: Lines())
    await session.start()
    await bench.states.wait { $0.last == .online }
    await session.stop()
    #expect(
      await fault { () throws(Fault) in try await session.perform("tickets") { (_) throws(Fault) in } }?.code
        == .deviceGone)
  }
}

@Suite(.timeLimit(.minutes(5))) struct DeviceTableTests {
  private func slot(_ role: String, _ settings: [String: String] = [:]) -> Slot {
    var slot = Slot(role: role)
    slot.port = .simulated(name: role)
    slot.profile = "scripted"
    slot.settings = settings
    return slot
  }

  @Test func `slots that did not change are not touched, the others are added, removed or attached anew`()
    async throws
  {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let table = DeviceTable(bench.surroundings(Lines()) { _ in })
    #expect(await table.apply([slot("one"), slot("two"), slot("three")]) == ["one", "two", "three"])
    let kept = try await table.session("one")
    let moved = try await table.session("two")
    var changed = slot("two")
    changed.port = .simulated(name: "elsewhere")
    #expect(await table.apply([slot("four"), changed, slot("one")]) == ["three", "four", "two"])
    #expect(try await table.session("one") === kept)
    #expect(try await table.session("two") !== moved)
    #expect(await table.views().map(\.slot.role) == ["four", "two", "one"])
    #expect(
      await problem { () throws(Problem) in try await table.session("three") }?.detail
        == "no device has the role 'three'; there are: four, two, one")
    await table.stop()
  }

  @Test func `a device that is attached anew stays locked`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let table = DeviceTable(bench.surroundings(Lines()) { _ in })
    await table.apply([slot("one")])
    try await table.session("one").setLocked(true)
    var changed = slot("one")
    changed.port = .simulated(name: "elsewhere")
    await table.apply([changed])
    #expect(try await table.session("one").current.locked)
    await table.stop()
  }

  @Test func `configurations that come at the same time leave one session for each device`() async throws {
    let bench = Bench(kind: .ticketDispenser) { () throws(Fault) in ScriptedDispenser() }
    let table = DeviceTable(bench.surroundings(Lines()) { _ in })
    let added = await withTaskGroup(of: [String].self) { group in
      for _ in 1...8 { group.addTask { await table.apply([slot("one"), slot("two")]) } }
      var added: [String] = []
      for await roles in group { added += roles }
      return added
    }
    #expect(added.sorted() == ["one", "two"])
    await table.stop()
  }
}
