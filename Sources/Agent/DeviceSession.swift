import Channels
import Devices
import LocalAPI
import Posix

/// A device of the table as others see it.
struct DeviceView: Sendable {
  var slot: Slot
  var report: DeviceReport
  var identity: DeviceIdentity?
  var profile: String?
  var locked: Bool
  var since: WallTime
  var counters: [String: Int]
}

/// What a session tells the agent of its device.
enum SessionEvent: Sendable {
  case changed(DeviceView, previous: DeviceState)
  case rating(role: String, RatingPress)
  case call(role: String, CallPress)
  case screen(role: String, ScreenInput)
}

/// Keeps one device of the configuration in service: opens it, asks it, serves commands one at a time, notices when it
/// goes and attaches it again.
actor DeviceSession {
  /// What of the configuration it serves.
  nonisolated let slot: Slot
  private let surroundings: DeviceSurroundings
  private let turnstile = Turnstile(limit: 32)
  private var device: (any AttachedDevice)?
  private var view: DeviceView
  private var runner: Task<Void, Never>?
  /// The asking again of a device with a fault.
  private var recheck: Task<Void, Never>?
  /// The wait for the next attempt.
  private var waiting: Task<Bool, Never>?
  private var reopening = false
  /// Why the device was lost, where a command found that out.
  private var lostTo: Fault?
  private var supervisor = Supervisor()
  private var stopped = false
  private var troubled = false
  private var attaching: [CheckedContinuation<Void, Never>] = []

  init(slot: Slot, locked: Bool, surroundings: DeviceSurroundings) {
    self.slot = slot
    self.surroundings = surroundings
    view = DeviceView(
      slot: slot, report: DeviceReport(state: .starting), identity: nil, profile: nil, locked: locked,
      since: WallTime.now(), counters: [:])
  }

  var current: DeviceView { view }

  /// Begins attaching. Called once.
  func start() {
    guard runner == nil, !stopped else { return }
    runner = Task { await self.run() }
  }

  /// Shows a view on a citizen's screen; on other devices nothing.
  func show(_ view: ScreenView) async {
    await (device as? any CitizenScreen)?.show(view)
  }

  /// Returns when the device is attached, or never will be.
  func untilAttached() async {
    guard device == nil, !stopped else { return }
    await withCheckedContinuation { attaching.append($0) }
  }

  private func wakeAttaching() {
    for one in attaching { one.resume() }
    attaching = []
  }

  /// Lets a running command finish, then detaches. Commands that wait are refused.
  func stop() async {
    stopped = true
    wakeAttaching()
    await turnstile.close()
    await detach()
    runner?.cancel()
    await runner?.value
    runner = nil
  }

  /// Admin state; a locked device takes no commands.
  func setLocked(_ locked: Bool) async {
    guard view.locked != locked else { return }
    view.locked = locked
    surroundings.log(.notice, slot.role, locked ? "taken out of service" : "put back into service")
    await publish(previous: view.report.state)
  }

  // MARK: Commands

  /// Does one thing with the device, alone, in order of arrival.
  func perform<T: Sendable>(
    _ counter: String, _ body: @Sendable (any AttachedDevice) async throws(Fault) -> T
  ) async throws(Fault) -> T {
    do throws(Turnstile.Refusal) {
      try await turnstile.enter()
    } catch {
      switch error {
      case .full: throw Fault(.queueFull, "32 commands wait already")
      case .cancelled: throw Fault(.commandCancelled)
      case .closed: throw Fault(.deviceGone, "the device is being taken out of the table")
      }
    }
    let result: Result<T, Fault>
    if view.locked {
      result = .failure(Fault(.deviceLocked))
    } else if let device {
      await enter(.deviceBusy)
      do throws(Fault) {
        result = .success(try await body(device))
      } catch {
        result = .failure(error)
      }
    } else {
      result = .failure(view.report.reason ?? Fault(.deviceAbsent, "not attached yet"))
    }
    await settle(after: result, counter: counter)
    await turnstile.leave()
    return try result.get()
  }

  private func settle<T>(after result: Result<T, Fault>, counter: String) async {
    switch result {
    case .success:
      view.counters[counter, default: 0] += 1
      await leaveBusy(DeviceReport(state: .online))
    case .failure(let fault):
      view.counters[counter + "Failed", default: 0] += 1
      guard device != nil else { return }
      if fault.code.meansLineLost {
        await lose(fault)
      } else if let state = fault.code.impliedState {
        await leaveBusy(DeviceReport(state: state, reason: fault))
      } else {
        await leaveBusy(DeviceReport(state: .online))
      }
    }
  }

  /// A fault that a command met outlasts it only if the driver does not tell better by a notice.
  func report(_ fault: Fault) async {
    guard let state = fault.code.impliedState, device != nil, !fault.code.meansLineLost else { return }
    await apply(DeviceReport(state: state, reason: fault))
  }

  private func enter(_ state: DeviceState) async {
    let previous = view.report.state
    view.report.state = state
    await publish(previous: previous)
  }

  private func leaveBusy(_ report: DeviceReport) async {
    // What the device said of itself meanwhile is better than what follows from how the command ended.
    guard device != nil, view.report.state == .deviceBusy else { return }
    var next = view.report
    next.state = report.state
    next.reason =
      report.reason ?? (report.state == .online && next.reason?.code == .paperLow ? next.reason : nil)
    await apply(next)
  }

  // MARK: Attaching

  private func run() async {
    while !Task.isCancelled, !stopped {
      let candidates = await surroundings.candidates(of: slot)
      supervisor.looked(Set(candidates.map { "\($0.address)" }), at: surroundings.time.now())
      let step: Supervisor.Step
      do throws(Fault) {
        let plan = try await surroundings.plan(for: slot, among: candidates, claiming: true)
        step = await serve(plan)
        surroundings.register.release(slot.role)
      } catch {
        step = supervisor.failed(error, at: surroundings.time.now())
      }
      if Task.isCancelled || stopped { break }
      if let fault = step.shown {
        await apply(DeviceReport(state: fault.code.impliedState ?? .offline, reason: fault))
      }
      await wait(step.wait, from: candidates)
    }
    surroundings.register.release(slot.role)
  }

  /// Waits for a change, for the time, or until somebody wants another look.
  private func wait(_ time: Duration, from candidates: [ChannelCandidate]) async {
    guard time > .zero else { return }
    let (surroundings, port) = (surroundings, slot.port)
    let waiting = Task { await surroundings.waitForChange(at: port, from: candidates, atMost: time) }
    self.waiting = waiting
    let changed = await withTaskCancellationHandler {
      await waiting.value
    } onCancel: {
      waiting.cancel()
    }
    self.waiting = nil
    if changed { supervisor.changed() }
  }

  /// Ends a wait for the next attempt.
  func lookAgain() { waiting?.cancel() }

  /// Opens the device anew: after a suspension nothing that was open can be relied on.
  func reopen() async {
    guard let device, !stopped else { return lookAgain() }
    reopening = true
    self.device = nil
    await apply(DeviceReport(state: .starting))
    await device.detach()
  }

  /// Attaches the device and keeps it in service until it is lost.
  private func serve(_ plan: DeviceSurroundings.Plan) async -> Supervisor.Step {
    let time = surroundings.time
    let attached: any AttachedDevice
    do throws(Fault) {
      attached = try await attach(plan)
    } catch {
      let unit = plan.offer.candidate.unit
      let canRestart = unit.map { !surroundings.register.isShared($0, besides: slot.role) } ?? false
      let step = supervisor.failed(error, at: time.now(), canRestart: canRestart)
      if step.restart { await restart(plan) }
      return step
    }
    let report: DeviceReport
    // Before it takes commands: a device answers one question at a time.
    do throws(Fault) {
      report = try await attached.check(.internal)
    } catch {
      report = DeviceReport(state: error.code.impliedState ?? .online, reason: error)
    }
    guard !stopped else {
      await attached.detach()
      return Supervisor.Step(wait: .zero)
    }
    let began = time.now()
    device = attached
    reopening = false
    lostTo = nil
    supervisor.attached()
    await surroundings.register.attached(slot, plan.offer)
    if let replaced = plan.replaced { logReplacement(of: replaced, by: plan.offer) }
    await apply(report)
    wakeAttaching()
    let fault = await follow(attached)
    if reopening {
      reopening = false
      return Supervisor.Step(wait: .zero)
    }
    return supervisor.lost(fault, after: time.now() - began)
  }

  private func attach(_ plan: DeviceSurroundings.Plan) async throws(Fault) -> any AttachedDevice {
    view.profile = plan.offer.profile.name
    let candidate = plan.offer.candidate
    let channel: Channel
    do throws(ChannelError) {
      channel = try await surroundings.open(
        candidate.address, as: plan.offer.driver.channel, line: plan.line)
    } catch {
      throw await surroundings.fault(error, opening: candidate)
    }
    do throws(Fault) {
      let attached = try await plan.offer.driver.attach(channel, plan.settings, surroundings.driverContext)
      view.identity = attached.identity
      return attached
    } catch {
      await channel.close()
      throw error
    }
  }

  private func restart(_ plan: DeviceSurroundings.Plan) async {
    let candidate = plan.offer.candidate
    do throws(ChannelError) {
      try await surroundings.bus(for: candidate.address)?.restart(candidate)
      supervisor.restarted(nil)
    } catch {
      supervisor.restarted(error.summary)
    }
  }

  private func logReplacement(of old: DeviceUnit, by offer: Offer) {
    let new = UnitChooser.name(offer.candidate)
    let before = "[\(old.model)] of port \(old.port)" + (old.serial.map { ", serial \($0)" } ?? "")
    surroundings.log(.notice, slot.role, "\(new) takes the place of \(before)")
  }

  /// What the device says by itself, until it is lost: why it was.
  private func follow(_ attached: any AttachedDevice) async -> Fault {
    var reason: Fault?
    notices: for await notice in attached.notices {
      switch notice {
      case .report(let report): if device != nil { await apply(report) }
      case .rating(let press):
        view.counters["presses", default: 0] += 1
        await surroundings.tell(.rating(role: slot.role, press))
      case .call(let press): await surroundings.tell(.call(role: slot.role, press))
      case .screen(let input): await surroundings.tell(.screen(role: slot.role, input))
      case .lost(let fault):
        reason = fault
        await lose(fault)
        break notices
      }
    }
    await attached.detach()
    if device != nil, !stopped { await lose(reason ?? Fault(.deviceGone)) }
    return lostTo ?? reason ?? Fault(.deviceGone)
  }

  private func lose(_ fault: Fault) async {
    guard let lost = device else { return }
    device = nil
    endRecheck()
    lostTo = fault
    await lost.detach()
    await apply(DeviceReport(state: fault.code.impliedState ?? .offline, reason: fault))
  }

  private func detach() async {
    endRecheck()
    guard let device else { return }
    self.device = nil
    await device.detach()
  }

  // MARK: State

  private func apply(_ report: DeviceReport) async {
    let previous = view.report
    guard report != previous else { return }
    view.report = report
    if report.state != previous.state { view.since = WallTime.now() }
    logOnce(report)
    if report.state == .online { endRecheck() }
    if report.state.isFault, device != nil, !stopped, recheck == nil {
      recheck = Task { await self.askUntilWell() }
    }
    await publish(previous: previous.state)
  }

  private func endRecheck() {
    recheck?.cancel()
    recheck = nil
  }

  /// Asks a device with a fault how it is, with growing pauses. Many tell nothing by themselves: without this, one that
  /// was switched on again would be shown as off until somebody tried it.
  private func askUntilWell() async {
    var policy = AttachPolicy()
    while await surroundings.time.sleep(for: policy.failed()) {
      // A command that runs just now shows it as well.
      if view.locked || view.report.state == .deviceBusy { continue }
      do throws(Turnstile.Refusal) {
        try await turnstile.enter()
      } catch {
        return
      }
      if let device, view.report.state.isFault, !Task.isCancelled {
        do throws(Fault) {
          await apply(try await device.check(.internal))
        } catch {
          await report(error)
          if error.code.meansLineLost { await lose(error) }
        }
      }
      await turnstile.leave()
    }
  }

  /// One line when a device goes out of service and one when it is back, whatever happens in between.
  private func logOnce(_ report: DeviceReport) {
    switch report.state {
    case .online:
      if troubled { surroundings.log(.notice, slot.role, "back in service") }
      troubled = false
    case .starting, .deviceBusy: break
    default:
      guard !troubled else { return }
      troubled = true
      let reason = report.reason
      surroundings.log(
        .warning, slot.role,
        surroundings.language.choose(
          reason?.code.advice.chinese ?? report.state.rawValue,
          reason?.code.advice.english ?? report.state.rawValue)
          + " [\(reason?.code.rawValue ?? report.state.rawValue)] \(reason?.evidence ?? "")")
    }
  }

  private func publish(previous: DeviceState) async {
    await surroundings.tell(.changed(view, previous: previous))
  }
}

extension DeviceState {
  /// The device is there and cannot do its work.
  fileprivate var isFault: Bool {
    switch self {
    case .online, .deviceBusy, .starting: false
    case .offline, .powerOff, .noDevice, .hardwareError, .userError: true
    }
  }
}

extension FaultCode {
  /// The channel is of no use any more and the device has to be attached anew.
  var meansLineLost: Bool {
    switch self {
    case .deviceGone, .deviceAbsent, .lineFailed: true
    default: false
    }
  }
}

extension DeviceSurroundings {
  /// A channel could not be opened: what is absent and who holds it decide who has to act.
  func fault(_ error: ChannelError, opening candidate: ChannelCandidate) async -> Fault {
    let port = candidate.address
    switch (error, port) {
    case (.absent(let what), .sane): return Fault(.programMissing, "nothing at \(what)")
    case (.absent(let what), .cups): return Fault(.queueMissing, "nothing at \(what)")
    case (.busy, _):
      let rivals = await bus(for: port)?.rivals(of: candidate) ?? []
      let plain = Fault(error, doing: "opening \(port)")
      let named = rivals.map(\.english).filter { !plain.evidence.contains($0) }
      let evidence = ([plain.evidence] + named).joined(separator: "; ")
      // A driver alone would have been sent away, or may not be: a program that has its node open is the one to end.
      let isDriver =
        rivals.first?.form == .kernelDriver && !rivals.contains { $0.form == .holder }
      return Fault(isDriver ? .deviceHeld : .deviceBusy, evidence)
    default: return Fault(error, doing: "opening \(port)")
    }
  }
}

extension Rival {
  /// `ModemManager (process 812) has /dev/ttyACM0 open`
  var english: String {
    let who = name + (process.map { " (process \($0))" } ?? "")
    return switch form {
    case .kernelDriver: "the kernel's driver \(who) is bound to \(device)"
    case .holder: "\(who) has \(device) open"
    case .suspect: "\(who) runs, which takes such devices"
    }
  }
  /// The same in Chinese.
  var chinese: String {
    let who = name + (process.map { "（进程 \($0)）" } ?? "")
    return switch form {
    case .kernelDriver: "内核驱动 \(who) 已绑定 \(device)"
    case .holder: "\(who) 正在使用 \(device)"
    case .suspect: "\(who) 正在运行，它会占用此类设备"
    }
  }
}
