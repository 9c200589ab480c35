internal import Channels
internal import Codecs
internal import Devices

/// Evaluators and caller keypads on one serial bus (facts/devices.md C4a).
///
/// The bus has no question that a device would answer: whether anybody is there is known only when a key is pressed.
actor EvaluatorBus: Evaluator {
  nonisolated let identity: DeviceIdentity
  nonisolated let scale: [Int]
  nonisolated var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let stream: any ByteStream
  private let reader: StreamReader
  private let outlet = NoticeOutlet(.oldest)
  private let turns = Turns()
  private let settings: DriverSettings
  private let levels: [Int: Int]
  private let address: UInt8
  private let time: any Timekeeper
  private var parser = EvaluatorBusParser()
  private var presses: [EvaluatorBusFrame: Press] = [:]
  private var ownFrames: [EvaluatorBusFrame] = []
  private var damaged = 0
  private var heard = 0
  private var loss: Fault?
  private static let remembered = 32

  /// A press whose frame may come again.
  private struct Press {
    var number: Int
    var at: Duration
    var isAcknowledged: Bool
  }

  private init(_ stream: any ByteStream, _ settings: DriverSettings, _ context: DriverContext) {
    self.stream = stream
    self.settings = settings
    time = context.time
    reader = StreamReader(stream)
    levels = settings.map("keys")
    scale = Set(levels.values).sorted(by: >)
    address = UInt8(clamping: settings.integer("address"))
    identity = DeviceIdentity(model: "FF 68 bus, address \(address)")
  }

  /// Listens. That the line opened is all there is to find out.
  static func attach(
    _ stream: any ByteStream, _ settings: DriverSettings, _ context: DriverContext
  ) async -> EvaluatorBus {
    let bus = EvaluatorBus(stream, settings, context)
    await stream.discardInput()
    bus.reader.start { bytes in
      await bus.received(bytes)
    } ended: { error in
      await bus.lost(Fault(error))
    }
    return bus
  }

  // MARK: - What the devices say

  private func received(_ bytes: [UInt8]) {
    parser.feed(bytes)
    while true {
      switch parser.next() {
      case .frame(let frame): take(frame)
      case .error: damaged += 1
      case .needMore: return
      }
    }
  }

  private func take(_ frame: EvaluatorBusFrame) {
    if settings.boolean("line-echo"), let own = ownFrames.firstIndex(of: frame) {
      ownFrames.remove(at: own)
      return
    }
    heard += 1
    let now = time.now()
    let window = settings.duration("repeat-window")
    if let press = presses[frame], now - press.at < window {
      // Acknowledged and yet sent again: the acknowledgement was lost on the line. Not acknowledged yet: it will be when
      // the press is stored, and if that never happens the window ends and the press is told anew.
      if press.isAcknowledged {
        presses[frame]?.at = now
        let bus = self
        Task { await bus.acknowledge(frame) }
      }
      return
    }
    // A device sends its presses one after the other: with a new one those before it are over, and the same key pressed
    // again is a press of its own.
    presses = presses.filter { press in
      now - press.value.at < window
        && !(press.key.address == frame.address && press.value.isAcknowledged)
    }
    if presses.count >= Self.remembered, let oldest = presses.min(by: { $0.value.at < $1.value.at }) {
      presses[oldest.key] = nil
    }
    let number = heard
    presses[frame] = Press(number: number, at: now, isAcknowledged: false)
    // A press that found no room is forgotten here, so that the device's next attempt is told.
    if !outlet.send(notice(frame) { await self.stored(frame, number) }) { presses[frame] = nil }
  }

  private func notice(
    _ frame: EvaluatorBusFrame, acknowledge: @escaping @Sendable () async -> Void
  ) -> DeviceNotice {
    let address = Int(frame.address)
    let last = Int(frame.data.last ?? 0)
    if frame.isRating {
      return .rating(
        RatingPress(rawKey: last, level: levels[last], address: address, acknowledge: acknowledge))
    }
    var key = CallPress.Key.other(last)
    var digits = frame.data.dropLast().map { Int($0) }
    if case .key(let pressed, let before) = frame.message {
      switch pressed {
      case .callNext: key = .action(.next)
      case .recall: key = .action(.recall)
      case .transfer: key = .action(.transfer)
      case .pause: key = .action(.pause)
      case .requestRating: key = .requestRating
      case .cancel: key = .cancel
      case .oneMetreLine: break
      case .confirm:
        guard let digit = before.last.flatMap({ EvaluatorBusDigit(rawValue: $0) }) else { break }
        digits = before.dropLast().map { Int($0) }
        switch digit {
        case .park: key = .action(.park)
        // The contract with the queue system has no word of its own for it; this keypad has no other "resume".
        case .callParked: key = .action(.resume)
        case .abandon: key = .action(.pass)
        }
      }
    }
    return .call(
      CallPress(key: key, rawKey: last, digits: digits, address: address, acknowledge: acknowledge))
  }

  private func stored(_ frame: EvaluatorBusFrame, _ number: Int) async {
    if presses[frame]?.number == number {
      presses[frame]?.isAcknowledged = true
      presses[frame]?.at = time.now()
    }
    await acknowledge(frame)
  }

  // Nobody waits for it: a device that missed it sends its frame again.
  private func acknowledge(_ frame: EvaluatorBusFrame) async {
    try? await send(frame.acknowledgement, "acknowledgement")
  }

  private func lost(_ fault: Fault) {
    loss = loss ?? fault
    outlet.lose(fault)
  }

  // MARK: - What the devices are told

  private func send(_ frame: EvaluatorBusFrame, _ what: String) async throws(Fault) {
    if let loss { throw loss }
    if settings.boolean("line-echo") {
      if ownFrames.count >= Self.remembered { ownFrames.removeFirst() }
      ownFrames.append(frame)
    }
    let (stream, timeout) = (stream, settings.duration("write-timeout"))
    do throws(ChannelWriteError) {
      try await turns.take { () async throws(ChannelWriteError) in
        try await stream.write(frame.encode(), timeout: timeout)
      }
    } catch {
      let fault = Fault(error.reason, doing: what)
      if error.reason == .gone { lost(fault) }
      throw fault
    }
  }

  func prompt() async throws(Fault) {
    // A press that was acknowledged may still come again. What comes after the question must be an answer to it.
    let window = settings.duration("repeat-window")
    while let last = presses.filter({ $0.key.address == address && $0.value.isAcknowledged }).values.map(\.at)
      .max(),
      time.now() - last < window
    {
      guard await time.sleep(for: last + window - time.now()) else {
        throw Fault(.commandCancelled, "before the question was asked")
      }
    }
    try await send(EvaluatorBusCommand.startRating.frame(to: address), "prompt")
    if settings.boolean("beep-with-prompt") { try await beep() }
  }

  func show(number: String, waiting: Int) async throws(Fault) {
    guard settings.boolean("plate") else {
      throw Fault(.commandUnsupported, "no number plate in the profile")
    }
    // The plate has three places and digits only: it shows the end of the number (facts/devices.md B).
    let digits = String(number.reversed().prefix { $0.isASCII && $0.isNumber }.prefix(3).reversed())
    guard let ticket = Int(digits).flatMap({ EvaluatorBusPlaces($0) }) else {
      throw Fault(.commandUnsupported, "the plate shows digits, and the number does not end with one")
    }
    let queue = EvaluatorBusPlaces(waiting) ?? .blank
    try await send(
      EvaluatorBusCommand.plate(waiting: queue, ticket: ticket).frame(to: address), "number plate")
  }

  private func beep() async throws(Fault) {
    try await send(EvaluatorBusCommand.beep.frame(to: address), "beep")
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    if let loss { throw loss }
    switch level {
    case .internal: break
    case .external: try await beep()
    case .interactive: throw Fault(.commandUnsupported, "ask for a rating and press a key instead")
    }
    // No answer can be had on this bus, so its absence says nothing; that frames were heard does.
    return DeviceReport(
      state: .online,
      details: [
        "answers": heard > 0 ? "yes" : "unknown", "framesHeard": String(heard),
        "damagedFrames": String(damaged),
      ])
  }

  nonisolated func detach() async {
    await reader.stop()
    outlet.finish()
  }
}

extension EvaluatorBusFrame {
  /// Whether it is a rating key's frame, whatever the key: models may have more keys than the one source tells of.
  fileprivate var isRating: Bool { function == 0x11 && data.count == 1 }
}
