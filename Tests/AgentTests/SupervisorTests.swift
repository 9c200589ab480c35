import Devices
import TestKit
import Testing

@testable import Agent

@Suite struct SupervisorTests {
  @Test(arguments: [FaultCode.deviceDenied, .deviceBusy, .deviceHeld, .driverMissing, .deviceUnmatched])
  func `what has just been plugged in gets two seconds to settle before a fault is shown`(code: FaultCode) {
    var supervisor = Supervisor()
    supervisor.looked(["usb-interface:1-1:1.0"], at: .seconds(100))
    var now = Duration.seconds(100)
    var attempts = 0
    while true {
      let step = supervisor.failed(Fault(code, "x"), at: now)
      attempts += 1
      if let shown = step.shown {
        #expect(shown.code == code)
        break
      }
      #expect(step.wait >= .milliseconds(10) && step.wait <= .milliseconds(400))
      now += step.wait
      // The same is still there: no new arrival.
      supervisor.looked(["usb-interface:1-1:1.0"], at: now)
      #expect(attempts < 20)
    }
    #expect(now == .seconds(102))
    #expect((5...10).contains(attempts))
  }

  @Test func `a fault of what was there before, or that does not pass by itself, is shown at once`() {
    var supervisor = Supervisor()
    supervisor.looked(["a"], at: .zero)
    #expect(supervisor.failed(Fault(.deviceSilent), at: .zero).shown?.code == .deviceSilent)
    #expect(supervisor.failed(Fault(.deviceDenied), at: .seconds(5)).shown?.code == .deviceDenied)
    supervisor.looked([], at: .seconds(6))
    #expect(supervisor.failed(Fault(.deviceAbsent), at: .seconds(6)).shown?.code == .deviceAbsent)
    // A node that comes later, as when a module is loaded, begins the time anew.
    supervisor.looked(["a", "b"], at: .seconds(10))
    #expect(supervisor.failed(Fault(.deviceDenied), at: .seconds(11)).shown == nil)
  }

  @Test func `a silent device's port is reset once, and that is in the evidence of what follows`() {
    var supervisor = Supervisor()
    supervisor.looked(["a"], at: .zero)
    var resets = 0
    for second in 0..<20 {
      let step = supervisor.failed(Fault(.deviceSilent, "no answer"), at: .seconds(second), canRestart: true)
      if step.restart {
        resets += 1
        #expect(second == 2)
        supervisor.restarted(nil)
      }
      #expect((step.shown?.evidence.contains("reset") == true) == (second > 2))
    }
    #expect(resets == 1)
    supervisor.attached()
    #expect(supervisor.failed(Fault(.deviceSilent, "x"), at: .seconds(30)).shown?.evidence == "x")
  }

  @Test func `where the port cannot be reset it is not, and a reset that fails is told`() {
    var supervisor = Supervisor()
    for second in 0..<10 {
      #expect(!supervisor.failed(Fault(.deviceSilent), at: .seconds(second)).restart)
    }
    var other = Supervisor()
    for second in 0..<3 { _ = other.failed(Fault(.deviceSilent), at: .seconds(second), canRestart: true) }
    other.restarted("permission denied")
    #expect(
      other.failed(Fault(.deviceSilent), at: .seconds(9)).shown?.evidence
        == "a reset of its USB port failed: permission denied")
  }

  @Test func `what has been disconnected stays so until something else is known of it`() {
    var supervisor = Supervisor()
    #expect(supervisor.lost(Fault(.deviceGone, "read"), after: .seconds(60)).shown?.code == .deviceGone)
    #expect(
      supervisor.failed(Fault(.deviceAbsent, "nothing at usb:any"), at: .seconds(61)).shown?.code
        == .deviceGone)
    #expect(supervisor.failed(Fault(.deviceOther), at: .seconds(62)).shown?.code == .deviceOther)
    #expect(supervisor.failed(Fault(.deviceAbsent), at: .seconds(63)).shown?.code == .deviceAbsent)
  }

  /// Whatever happens in whatever order: waits stay between 10 ms and 30 s, nothing is hidden for longer than two seconds
  /// after an arrival, and a port is reset at most once between two times in service.
  @Test(arguments: 0..<100) func `no order of events makes it wait too long, hide a fault or reset twice`(
    seed: UInt64
  ) {
    var random = SeededRandom(seed: seed)
    var supervisor = Supervisor()
    var now = Duration.seconds(1)
    var present: Set<String> = []
    var arrived: Duration?
    var resets = 0
    for _ in 0..<500 {
      now += .milliseconds(Int.random(in: 1...3000, using: &random))
      switch Int.random(in: 0..<6, using: &random) {
      case 0:
        let next = Set(["a", "b", "c"].filter { _ in Bool.random(using: &random) })
        supervisor.looked(next, at: now)
        if !next.isSubset(of: present) { arrived = now }
        if next.isEmpty { arrived = nil }
        present = next
      case 1:
        supervisor.attached()
        (resets, arrived) = (0, nil)
      case 2:
        let step = supervisor.lost(
          Fault(.deviceGone), after: .seconds(Int.random(in: 0...20, using: &random)))
        #expect(step.shown != nil && step.wait >= .milliseconds(200) && step.wait <= .seconds(30))
        present = []
      case 3: supervisor.changed()
      default:
        let code = FaultCode.allCases.randomElement(using: &random) ?? .deviceAbsent
        let step = supervisor.failed(Fault(code, "e"), at: now, canRestart: Bool.random(using: &random))
        #expect(step.wait >= .milliseconds(10) && step.wait <= .seconds(30))
        if step.shown == nil {
          #expect(arrived.map { now - $0 < .seconds(2) } ?? false)
        }
        if step.restart {
          resets += 1
          supervisor.restarted(nil)
        }
        #expect(resets <= 1)
      }
    }
  }
}
