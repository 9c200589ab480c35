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
}

/// Keeps one device of the configuration in service: opens it, asks it, serves commands one at a time, notices when it
/// goes and attaches it again.
actor DeviceSession {
  private let slot: Slot
  private let surroundings: DeviceSurroundings
  private let turnstile = Turnstile(limit: 32)
  private var device: (any AttachedDevice)?
  private var view: DeviceView
  private var runner: Task<Void, Never>?
  private var stopped = false
  private var troubled = false

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

  /// Lets a running command finish, then detaches. Commands that wait are refused.
  func stop() async {
    stopped = true
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
    var policy = AttachPolicy()
    while !Task.isCancelled, !stopped {
      let began = surroundings.time.now()
      var wait: Duration
      do throws(Fault) {
        let attached = try await attach()
        let report: DeviceReport
        // Before it takes commands: a device answers one question at a time.
        do throws(Fault) {
          report = try await attached.check(.internal)
        } catch {
          report = DeviceReport(state: error.code.impliedState ?? .online, reason: error)
        }
        guard !stopped else {
          await attached.detach()
          return
        }
        device = attached
        await apply(report)
        await serve(attached)
        wait = policy.lost(after: surroundings.time.now() - began)
      } catch {
        wait = policy.failed()
        await apply(DeviceReport(state: error.code.impliedState ?? .offline, reason: error))
      }
      if Task.isCancelled || stopped { return }
      if await surroundings.waitForChange(at: slot.port, atMost: wait) { policy.changed() }
    }
  }

  private func attach() async throws(Fault) -> any AttachedDevice {
    let plan = try await surroundings.plan(for: slot)
    view.profile = plan.profile.name
    let channel: Channel
    do throws(ChannelError) {
      channel = try await surroundings.open(slot.port, as: plan.driver.channel, line: plan.line)
    } catch {
      throw Fault(error, opening: slot.port)
    }
    do throws(Fault) {
      let attached = try await plan.driver.attach(channel, plan.settings, surroundings.driverContext)
      view.identity = attached.identity
      return attached
    } catch {
      await channel.close()
      throw error
    }
  }

  private func serve(_ attached: any AttachedDevice) async {
    notices: for await notice in attached.notices {
      switch notice {
      case .report(let report): await apply(report)
      case .rating(let press):
        view.counters["presses", default: 0] += 1
        await surroundings.tell(.rating(role: slot.role, press))
      case .call(let press): await surroundings.tell(.call(role: slot.role, press))
      case .lost(let fault):
        await lose(fault)
        break notices
      }
    }
    await attached.detach()
    if device != nil, !stopped { await lose(Fault(.deviceGone)) }
  }

  private func lose(_ fault: Fault) async {
    guard let lost = device else { return }
    device = nil
    await lost.detach()
    await apply(DeviceReport(state: fault.code.impliedState ?? .offline, reason: fault))
  }

  private func detach() async {
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
    await publish(previous: previous.state)
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

extension FaultCode {
  /// The channel is of no use any more and the device has to be attached anew.
  var meansLineLost: Bool {
    switch self {
    case .deviceGone, .deviceAbsent, .lineFailed: true
    default: false
    }
  }
}

extension Fault {
  /// A channel could not be opened: what is absent decides who has to act.
  fileprivate init(_ error: ChannelError, opening port: ChannelAddress) {
    switch (error, port) {
    case (.absent(let what), .sane): self.init(.programMissing, "nothing at \(what)")
    case (.absent(let what), .cups): self.init(.queueMissing, "nothing at \(what)")
    default: self.init(error, doing: "opening \(port)")
    }
  }
}
