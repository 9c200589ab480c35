internal import Channels
internal import Codecs
internal import Devices
internal import Synchronization

/// A keypad that types: every key the profile knows is a press, every other is counted and otherwise nothing.
///
/// Nothing can be shown or asked on it; that its channel is open is all that can be known of it.
final class KeypadEvaluator: Evaluator {
  let identity: DeviceIdentity
  let scale: [Int]
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let events: any InputEvents
  private let meanings: [UInt16: String]
  private let outlet = NoticeOutlet(.oldest)
  private let state = Mutex<(count: KeyCount, loss: Fault?)>((KeyCount(), nil))
  private let reading = Mutex<Task<Void, Never>?>(nil)

  private init(_ events: any InputEvents, _ meanings: [UInt16: String]) {
    self.events = events
    self.meanings = meanings
    scale = KeyMeaning.scale(meanings.values)
    identity = DeviceIdentity(model: events.name.isEmpty ? "keypad" : events.name)
  }

  /// Listens. That the device could be taken is all there is to find out.
  static func attach(_ events: any InputEvents, _ settings: DriverSettings) -> KeypadEvaluator {
    let keypad = KeypadEvaluator(events, settings.keys("keys"))
    let task = Task { [weak keypad] in
      while !Task.isCancelled {
        do throws(ChannelError) {
          let press = try await events.next(timeout: nil)
          keypad?.take(press)
        } catch .timedOut {
          continue
        } catch {
          if !Task.isCancelled { keypad?.lost(Fault(error)) }
          return
        }
      }
    }
    keypad.reading.withLock { $0 = task }
    return keypad
  }

  private func take(_ press: KeyPress) {
    let code = Int(press.code)
    guard let meaning = meanings[press.code].flatMap({ KeyMeaning($0) }) else {
      return state.withLock { state in
        state.count.unknown += 1
        state.count.lastUnknown = code
      }
    }
    state.withLock { $0.count.known += 1 }
    if !outlet.send(meaning.notice(rawKey: code)) { state.withLock { $0.count.lost += 1 } }
  }

  private func lost(_ fault: Fault) {
    state.withLock { $0.loss = $0.loss ?? fault }
    outlet.lose(fault)
  }

  /// There is nothing to light or to sound: the question stands on a screen, or is asked by the clerk.
  func prompt() async throws(Fault) { if let loss = state.withLock({ $0.loss }) { throw loss } }

  func show(number: String, waiting: Int) async throws(Fault) {
    throw Fault(.commandUnsupported, "a keypad has no number plate")
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    let (count, loss) = state.withLock { $0 }
    if let loss { throw loss }
    guard level == .internal else {
      throw Fault(.commandUnsupported, "ask for a rating and press a key instead")
    }
    return DeviceReport(state: .online, details: count.details)
  }

  func detach() async {
    let task = reading.withLock { $0 }
    task?.cancel()
    await events.close()
    await task?.value
    outlet.finish()
  }
}
