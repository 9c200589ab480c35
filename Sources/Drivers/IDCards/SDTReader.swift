internal import Channels
internal import Codecs
internal import Devices
internal import Synchronization

/// An ID-card reader with a SAM_V security module, behind a byte stream (facts/idcard.md).
final class SDTReader: IDCardReader {
  let identity: DeviceIdentity
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let line: SDTLine
  private let outlet: NoticeOutlet
  private let settings: DriverSettings
  private let time: any Timekeeper
  private let memory = Mutex(Memory())

  private struct Memory {
    /// The command that gives the additional address; the sources disagree, and the module decides.
    var addressCommand = SDTCommand.readAdditionalAddress
    /// A card was read and has answered ever since.
    var cardIsSelected = false
  }

  private init(
    line: SDTLine, identity: DeviceIdentity, settings: DriverSettings, time: any Timekeeper,
    outlet: NoticeOutlet
  ) {
    self.line = line
    self.identity = identity
    self.settings = settings
    self.time = time
    self.outlet = outlet
  }

  /// Asks whether the module is there and well, and for its number.
  static func attach(
    _ stream: any ByteStream, _ settings: DriverSettings, _ context: DriverContext
  ) async throws(Fault) -> SDTReader {
    let time = context.time
    let line = SDTLine(stream, time: time, writeTimeout: settings.duration("write-timeout"))
    let outlet = NoticeOutlet()
    await stream.discardInput()
    line.start { fault in outlet.lose(fault) }
    do throws(Fault) {
      try await awaitModule(line, settings, time)
      let number = try await moduleNumber(line, settings)
      let identity = DeviceIdentity(
        model: "SDT \(number.description.prefix(5))", serial: number.description)
      return SDTReader(line: line, identity: identity, settings: settings, time: time, outlet: outlet)
    } catch {
      await line.stop()
      throw error
    }
  }

  // A module takes up to 2 s after its power came before it answers (facts/idcard.md 3.1).
  private static func awaitModule(
    _ line: SDTLine, _ settings: DriverSettings, _ time: any Timekeeper
  ) async throws(Fault) {
    let tries = max(1, settings.integer("attach-tries"))
    for attempt in 1...tries {
      do throws(Fault) {
        let reply = try await line.exchange(.status, timeout: settings.duration("status-timeout"))
        if let fault = fault(reply.status, of: .status) { throw fault }
        return
      } catch {
        let mayPass = error.code == .deviceSilent || error.code == .deviceGarbled
        guard mayPass, attempt < tries else { throw error }
        guard await time.sleep(for: settings.duration("attach-pause")) else { throw Fault(.commandCancelled) }
      }
    }
  }

  // Some modules give a wrong number the first time they are asked (facts/idcard.md 10): only one that came twice counts.
  private static func moduleNumber(_ line: SDTLine, _ settings: DriverSettings) async throws(Fault) -> SAMID {
    var numbers: [SAMID] = []
    var last = Fault(.deviceGarbled, "the module gave a different number each time")
    for _ in 1...max(2, settings.integer("number-tries")) {
      do throws(Fault) {
        let reply = try await line.exchange(.samID, timeout: settings.duration("status-timeout"))
        if let fault = fault(reply.status, of: .samID) { throw fault }
        guard let number = SAMID(reply.data.reveal()) else { continue }
        if numbers.contains(number) { return number }
        numbers.append(number)
      } catch {
        guard error.code == .deviceSilent || error.code == .deviceGarbled else { throw error }
        last = error
      }
    }
    throw last
  }

  func readCard(
    timeout: Duration, step: @escaping @Sendable (CardReadStep) -> Void
  ) async throws(Fault) -> CardReading {
    let deadline = time.now() + timeout
    let steps = Steps(step)
    defer { steps.end() }
    steps.reached(.waitingForCard)
    var failures = 0
    var last = Fault(.cardAbsent, "no card within \(timeout)")
    while true {
      guard try await findCard(until: deadline, steps) else { throw last }
      steps.reached(.reading)
      do throws(Fault) {
        return try await readFoundCard()
      } catch {
        // The line's own faults end the read; a card's lead back to find, which a moved card needs (facts/idcard.md 10).
        failures += 1
        last = error
        guard error.isOfCard, error.code != .cardUnknown, failures < settings.integer("read-tries") else {
          throw error
        }
        guard await time.sleep(for: settings.duration("retry-pause")) else { throw Fault(.commandCancelled) }
      }
    }
  }

  /// Looks for a card until there is one; false when the time is over.
  private func findCard(until deadline: Duration, _ steps: Steps) async throws(Fault) -> Bool {
    var bad = 0
    while true {
      if Task.isCancelled { throw Fault(.commandCancelled) }
      guard time.now() < deadline else { return false }
      do throws(Fault) {
        let reply = try await line.exchange(.find, timeout: settings.duration("find-timeout"))
        bad = 0
        if reply.status == .found { return true }
        guard reply.status == .notFound else {
          throw Self.fault(reply.status, of: .find) ?? Fault(.deviceGarbled)
        }
        if settings.boolean("select-when-not-found"), try await select() == nil { return true }
        steps.reached(.waitingForCard)
      } catch {
        bad += 1
        guard error.code == .deviceSilent || error.code == .deviceGarbled, bad < 3 else { throw error }
      }
      let pause = min(settings.duration("find-interval"), deadline - time.now())
      if pause > .zero, await !time.sleep(for: pause) { throw Fault(.commandCancelled) }
    }
  }

  /// Selects the card found; the fault when that failed.
  private func select() async throws(Fault) -> Fault? {
    memory.withLock { $0.cardIsSelected = false }
    let reply = try await line.exchange(.select, timeout: settings.duration("select-timeout"))
    return Self.fault(reply.status, of: .select)
  }

  private func readFoundCard() async throws(Fault) -> CardReading {
    if let fault = try await select() { throw fault }
    let reply = try await line.exchange(.readText, timeout: readTimeout)
    if let fault = Self.fault(reply.status, of: .readText) {
      if settings.boolean("reset-after-failed-read") {
        _ = try await line.exchange(.reset, timeout: settings.duration("status-timeout"))
      }
      throw fault
    }
    let card: IDCard
    do throws(IDCardError) {
      card = try IDCard(readReply: reply.data.reveal(), fingerprints: false)
    } catch {
      throw Fault(.cardUnreadable, "the reply's lengths do not fit: \(error)")
    }
    memory.withLock { $0.cardIsSelected = true }
    return CardReading(card: card, additionalAddress: try await additionalAddress())
  }

  // At 9600 baud the reply alone takes longer than a module at 115200 needs in all.
  private var readTimeout: Duration {
    let bits = 10 * 1295
    return settings.duration("read-timeout") + .milliseconds(bits * 1000 / max(1, settings.line.baud))
  }

  // The card has been read: that it has no such item, or that the module does not know the command, is no fault.
  private func additionalAddress() async throws(Fault) -> Sensitive<String>? {
    guard settings.boolean("additional-address") else { return nil }
    let timeout = settings.duration("address-timeout")
    do throws(Fault) {
      var reply = try await line.exchange(memory.withLock { $0.addressCommand }, timeout: timeout)
      if reply.status == .commandWrong, memory.withLock({ $0.addressCommand }) == .readAdditionalAddress {
        memory.withLock { $0.addressCommand = .readAdditionalAddressAlternative }
        reply = try await line.exchange(.readAdditionalAddressAlternative, timeout: timeout)
      }
      guard reply.status == .ok else { return nil }
      let addresses = IDCard.additionalAddresses(in: reply.data.reveal())
      guard !addresses.isEmpty else { return nil }
      return Sensitive(addresses.map { $0.text.reveal() }.joined(separator: "\n"))
    } catch {
      guard error.code == .deviceSilent || error.code == .deviceGarbled else { throw error }
      return nil
    }
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    let reply = try await line.exchange(.status, timeout: settings.duration("status-timeout"))
    if let fault = Self.fault(reply.status, of: .status) { throw fault }
    var card = try await presence()
    switch level {
    case .internal: break
    case .external:
      let found = try await line.exchange(.find, timeout: settings.duration("find-timeout"))
      // A card left in place is not found again by some models (facts/idcard.md 10): only "found" proves something.
      if found.status == .found { card = .present }
    case .interactive:
      let deadline = time.now() + settings.duration("interactive-timeout")
      let steps = Steps { _ in }
      guard try await findCard(until: deadline, steps) else {
        throw Fault(.cardAbsent, "nobody put a card on it")
      }
      if let fault = try await select() { throw fault }
      card = .present
    }
    return DeviceReport(state: .online, card: card, details: ["samID": identity.serial ?? ""])
  }

  // Only a card that was read can be asked whether it is still there, and only its answer proves anything.
  private func presence() async throws(Fault) -> CardPresence {
    let command: SDTCommand
    switch settings.text("presence-command") {
    case "card-number": command = .readCardNumber
    case "additional-address": command = memory.withLock { $0.addressCommand }
    default: return .unknown
    }
    guard memory.withLock({ $0.cardIsSelected }) else { return .unknown }
    let reply = try await line.exchange(command, timeout: settings.duration("address-timeout"))
    if reply.status == .ok || reply.status == .noItem { return .present }
    memory.withLock { $0.cardIsSelected = false }
    return .unknown
  }

  func detach() async {
    await line.stop()
    outlet.finish()
  }

  /// What a status means when it ends a command; nil for success.
  static func fault(_ status: SDTStatus, of command: SDTCommand) -> Fault? {
    guard status != command.success else { return nil }
    let readsCard = command == .select || command == .readText
    let code: FaultCode =
      switch status {
      case .selfTestFailed: .deviceBroken
      case .moduleUnauthorised, .notAuthorised: .deviceNotAuthorised
      case .commandWrong: .commandRefused
      case .cardRejectedModule, .moduleRejectedCard, .verificationFailed: .cardNotAuthenticated
      case .unknownCard: .cardUnknown
      case .notFound, .notFoundYet, .selectFailed: .cardMoved
      case .readFailed, .randomFailed, .informationLengthWrong: .cardUnreadable
      default: readsCard ? .cardUnreadable : .deviceGarbled
      }
    return Fault(code, "\(command): SW3 \(status)")
  }

  /// Reports steps when they change; the last is `.takeCardBack` once a card was found.
  private final class Steps: Sendable {
    private let report: @Sendable (CardReadStep) -> Void
    private let state = Mutex<(last: CardReadStep?, found: Bool)>((nil, false))

    init(_ report: @escaping @Sendable (CardReadStep) -> Void) { self.report = report }

    func reached(_ step: CardReadStep) {
      let isNew = state.withLock { state in
        defer { state = (step, state.found || step == .reading) }
        return state.last != step
      }
      if isNew { report(step) }
    }

    func end() {
      if state.withLock({ $0.found }) { report(.takeCardBack) }
    }
  }
}

extension Fault {
  /// Whether the card, and not the reader or the line, is at fault: it may go well the next time.
  fileprivate var isOfCard: Bool {
    switch code {
    case .cardMoved, .cardUnreadable, .cardNotAuthenticated, .cardUnknown, .cardAbsent: true
    default: false
    }
  }
}
