import Channels
import Devices
import LocalAPI
import Outbox
import Posix
import Screens
import Store
import Synchronization
import WireJSON

/// What devices tell by themselves, and who hears of it.
extension HallAgent {
  func received(_ event: SessionEvent) async {
    switch event {
    case .changed(let view, let previous):
      await facilities.hub.publish(
        "device",
        [
          "role": .string(view.slot.role), "state": .string(view.report.state.rawValue),
          "previous": .string(previous.rawValue), "reason": JSONValue(view.report.reason?.code.rawValue),
          "paper": JSONValue(view.report.paper?.rawValue), "card": JSONValue(view.report.card?.rawValue),
        ])
      if view.slot.kind == .evaluator, [.noDevice, .powerOff].contains(view.report.state) {
        await ratings.deviceLost(view.slot.role)
      }
      if view.slot.kind == .citizenScreen, view.report.state == .online {
        await screens.settle(view.slot.role)
      }
      await forwardState(view, previous: previous)
    case .rating(let role, let press):
      guard let view = try? await devices.session(role).current else { return }
      let visit = try? await visits.visit(for: nil, openIfNeeded: false)
      await ratings.press(press, view: view, visit: visit ?? nil)
    case .call(let role, let press):
      guard let view = try? await devices.session(role).current else { return }
      let visit = try? await visits.visit(for: nil, openIfNeeded: false)
      await calls.press(press, view: view, visit: visit ?? nil)
    case .screen(let role, let input): await screenInput(input, role: role)
    }
  }

  /// What a citizen does on a screen goes to the question that is open there.
  private func screenInput(_ input: ScreenInput, role: String) async {
    guard await ratings.isAsking(role) else { return await screens.input(input, role: role) }
    switch input {
    case .press(let level): await ratings.input(.press(level: level, rawKey: level), role: role)
    case .reasons(let codes, let comment):
      await ratings.input(.reasons(codes, comment: comment), role: role)
    case .decline: await ratings.input(.declined, role: role)
    case .moreTime: await ratings.input(.moreTime, role: role)
    case .touched: await ratings.input(.touched, role: role)
    case .confirm, .signature, .window: break
    }
  }

  func startScreens() throws(AgentError) {
    guard let port = parts.configuration.screens.port else { return }
    let (log, time, keys, language) = (parts.log, parts.time, screenKeys, parts.configuration.language)
    let (once, settings) = (OnceEach(), facilities.settings)
    do throws(ScreenBusError) {
      try parts.screens.start(
        port: UInt16(clamping: port),
        backing: ScreenServer.Backing(
          screen: { digest in await keys.screen(of: digest) },
          place: {
            let now = settings.current
            return now.hallName == now.hall ? nil : now.hallName
          },
          refused: { what, same in if once.isFirst(same) { log(.warning, "screens", what) } },
          sleep: { await time.sleep(for: $0) }, now: { time.now() }))
    } catch {
      throw .socket(language.choose("屏幕端口 \(port)：\(error)", "port \(port) of the screens: \(error)"))
    }
  }

  private func forwardState(_ view: DeviceView, previous: DeviceState) async {
    let passing: Set<DeviceState> = [.deviceBusy, .starting]
    guard view.report.state != previous, !passing.contains(view.report.state) else { return }
    guard facilities.settings.current.forwarded.contains("device") else { return }
    var data = facilities.deviceData(view, request: nil, cases: nil)
    data["state"] = .string(view.report.state.rawValue)
    data["previous"] = .string(previous.rawValue)
    if let reason = view.report.reason {
      data["reason"] = .string(reason.code.rawValue)
      data["action"] = .string(reason.code.advice.action.rawValue)
      data["actor"] = .string(reason.code.advice.actor.rawValue)
    }
    if let paper = view.report.paper { data["paper"] = .string(paper.rawValue) }
    guard
      let draft = facilities.draft(
        "device", source: .device(role: view.slot.role), visit: nil, cases: [],
        simulated: view.slot.simulated,
        data: .object(data))
    else { return }
    let outbox = facilities.outbox
    _ = try? await facilities.commit { database throws(StoreError) in
      _ = try outbox.insert([draft], in: database)
    }
  }
}

/// Remembers what was said once already.
private final class OnceEach: Sendable {
  private let said = Mutex<Set<String>>([])
  func isFirst(_ what: String) -> Bool { said.withLock { $0.insert(what).inserted } }
}
