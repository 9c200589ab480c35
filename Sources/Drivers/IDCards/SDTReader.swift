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
  /// Bits a second of a serial line.
  private let baud: Int
  private let memory = Mutex(Memory())

  private struct Memory {
    /// The command that gives the additional address; the sources disagree, and the module decides.
    var addressCommand = SDTCommand.readAdditionalAddress
    /// The module has refused to read fingerprints; modules of the first generation do.
    var refusesFingerprints = false
    /// The module does not know the command for its radio field.
    var refusesField = false
    /// A card was read and has answered ever since.
    var cardIsSelected = false
    /// A card was read, and nothing says that it was taken back.
    var mayLieThere = false
    var lastRead: Duration?
    var watch: Task<Void, Never>?
  }

  private init(
    line: SDTLine, identity: DeviceIdentity, settings: DriverSettings, baud: Int, time: any Timekeeper,
    outlet: NoticeOutlet
  ) {
    self.line = line
    self.identity = identity
    self.settings = settings
    self.baud = baud
    self.time = time
    self.outlet = outlet
  }

  /// Asks whether the module is there and well, and for its number.
  static func attach(
    _ stream: any ByteStream, _ settings: DriverSettings, _ context: DriverContext
  ) async throws(Fault) -> SDTReader {
    let time = context.time
    let waits = SDTLine.Waits(
      write: settings.duration("write-timeout"), pause: settings.duration("pause-timeout"))
    let line = SDTLine(stream, time: time, waits: waits)
    let outlet = NoticeOutlet()
    await stream.discardInput()
    line.start { fault in outlet.lose(fault) }
    do throws(Fault) {
      let baud = try await SDTProbe(line: line, settings: settings, time: time).awaitModule()
      let number = try await moduleNumber(line, settings)
      let identity = DeviceIdentity(
        model: "SDT \(number.description.prefix(5))", serial: number.description)
      return SDTReader(
        line: line, identity: identity, settings: settings, baud: baud, time: time, outlet: outlet)
    } catch {
      await line.stop()
      throw error
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
        guard error.isOfLine else { throw error }
        last = error
      }
    }
    throw last
  }

  // MARK: Reading

  func readCard(
    timeout: Duration, step: @escaping @Sendable (CardReadStep) -> Void
  ) async throws(Fault) -> CardReading {
    let deadline = time.now() + timeout
    await stopWatching()
    let steps = Steps(step)
    defer { steps.reached(.takeCardBack) }
    let mustLift = settings.boolean("must-lift") && memory.withLock { $0.mayLieThere }
    let waiting = mustLift ? CardReadStep.liftCard : .waitingForCard
    steps.reached(waiting)
    try await debounce(until: deadline)
    var failures = 0
    var silences = 0
    var last = Fault(.cardAbsent, "no card within \(timeout)")
    while true {
      guard try await findCard(until: deadline, { steps.reached(waiting) }) else { throw last }
      steps.reached(.reading)
      do throws(Fault) {
        let reading = try await readFoundCard()
        await switchFieldOff()
        watchCard()
        return reading
      } catch {
        // Back to find, which a moved card needs (facts/idcard.md 10) and a damaged reply too: it left the card in a
        // stage that nobody knows. A reader that stays silent is not asked again and again.
        failures += 1
        if error.code == .deviceSilent { silences += 1 }
        last = error
        let mayPass = error.isOfCard && error.code != .cardUnknown || error.isOfLine && silences < 2
        guard mayPass, failures < settings.integer("read-tries") else {
          if error.isOfCard { await switchFieldOff() }
          throw error
        }
        guard await time.sleep(for: settings.duration("retry-pause")) else { throw Fault(.commandCancelled) }
      }
    }
  }

  /// A card that is being taken away after a read is not read again.
  private func debounce(until deadline: Duration) async throws(Fault) {
    guard let last = memory.withLock({ $0.lastRead }) else { return }
    let rest = min(last + settings.duration("debounce"), deadline) - time.now()
    if rest > .zero, await !time.sleep(for: rest) { throw Fault(.commandCancelled) }
  }

  /// Looks for a card until there is one; false when the time is over. `none` is told when there was none.
  private func findCard(until deadline: Duration, _ none: () -> Void = {}) async throws(Fault) -> Bool {
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
        none()
      } catch {
        bad += 1
        guard error.isOfLine, bad < 3 else { throw error }
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
    let number = try await cardNumber()
    let (reply, withFingerprints) = try await readText()
    let card: IDCard
    do throws(IDCardError) {
      card = try IDCard(readReply: reply.data.reveal(), fingerprints: withFingerprints)
    } catch {
      throw Fault(.cardUnreadable, "the reply's lengths do not fit: \(error)")
    }
    let now = time.now()
    memory.withLock { memory in
      memory.cardIsSelected = true
      memory.mayLieThere = true
      memory.lastRead = now
    }
    return CardReading(card: card, additionalAddress: try await additionalAddress(), cardNumber: number)
  }

  /// The reply with the text, and whether it has a fingerprint block.
  private func readText() async throws(Fault) -> (SDTReply, Bool) {
    var command = SDTCommand.readText
    if settings.boolean("fingerprints"), !memory.withLock({ $0.refusesFingerprints }) {
      command = .readTextAndFingerprint
    }
    var reply = try await line.exchange(command, timeout: readTimeout(command))
    if command == .readTextAndFingerprint, reply.status == .commandWrong {
      // Modules with numbers beginning 05.01 (facts/idcard.md 3).
      memory.withLock { $0.refusesFingerprints = true }
      command = .readText
      reply = try await line.exchange(command, timeout: readTimeout(command))
    }
    if let fault = Self.fault(reply.status, of: command) {
      if settings.boolean("reset-after-failed-read") {
        _ = try await line.exchange(.reset, timeout: settings.duration("status-timeout"))
      }
      throw fault
    }
    return (reply, command == .readTextAndFingerprint)
  }

  // At 9600 baud the reply alone takes longer than a module at 115200 needs in all.
  private func readTimeout(_ command: SDTCommand) -> Duration {
    let (name, count) =
      command == .readText ? ("read-timeout", 1295) : ("fingerprint-timeout", 2321)
    return settings.duration(name) + .milliseconds(10 * count * 1000 / max(1, baud))
  }

  // The card has been selected: that it does not give its number is no fault.
  private func cardNumber() async throws(Fault) -> Sensitive<[UInt8]>? {
    guard settings.boolean("card-number") else { return nil }
    let reply = try await line.exchange(.readCardNumber, timeout: settings.duration("address-timeout"))
    return reply.status == .ok ? reply.data : nil
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
      guard error.isOfLine else { throw error }
      return nil
    }
  }

  // What was read is read, whatever the module says to this.
  private func switchFieldOff() async {
    guard settings.boolean("field-off-after-read"), !memory.withLock({ $0.refusesField }) else { return }
    memory.withLock { $0.cardIsSelected = false }
    let reply = try? await line.exchange(.setField(on: false), timeout: settings.duration("status-timeout"))
    if reply?.status == .commandWrong { memory.withLock { $0.refusesField = true } }
  }

  // MARK: Presence

  /// The command that a card which was read still answers; nil when the model has none.
  private var presenceCommand: SDTCommand? {
    switch settings.text("presence-command") {
    case "card-number": .readCardNumber
    case "additional-address": memory.withLock { $0.addressCommand }
    default: nil
    }
  }

  /// Watches whether the card that was read is taken back, and tells it. The reader does not say so by itself: the card
  /// is asked, but only while it lies there.
  private func watchCard() {
    guard let command = presenceCommand, memory.withLock({ $0.cardIsSelected }) else { return }
    let deadline = time.now() + settings.duration("presence-limit")
    let task = Task { [weak self] in
      self?.tell(.present)
      var misses = 0
      while let self, await self.time.sleep(for: self.settings.duration("presence-interval")) {
        guard self.time.now() < deadline else { return self.tell(.unknown) }
        guard let answers = try? await self.answers(command) else { return self.tell(.unknown) }
        misses = answers ? 0 : misses + 1
        // Twice: a card that is shifted does not answer for a moment.
        if misses == 2 { return self.tell(.notPresent) }
      }
    }
    memory.withLock { $0.watch = task }
  }

  private func stopWatching() async {
    let watch = memory.withLock { memory in
      defer { memory.watch = nil }
      return memory.watch
    }
    watch?.cancel()
    await watch?.value
  }

  private func tell(_ presence: CardPresence) {
    if presence != .present { memory.withLock { $0.cardIsSelected = false } }
    if presence == .notPresent { memory.withLock { $0.mayLieThere = false } }
    outlet.send(.report(report(presence)))
  }

  private func answers(_ command: SDTCommand) async throws(Fault) -> Bool {
    let reply = try await line.exchange(command, timeout: settings.duration("address-timeout"))
    return reply.status == .ok || reply.status == .noItem
  }

  private func report(_ card: CardPresence) -> DeviceReport {
    DeviceReport(state: .online, card: card, details: ["samID": identity.serial ?? "", "baud": "\(baud)"])
  }

  // MARK: Health

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    await stopWatching()
    let reply = try await line.exchange(.status, timeout: settings.duration("status-timeout"))
    if let fault = Self.fault(reply.status, of: .status) { throw fault }
    var card = CardPresence.unknown
    switch level {
    case .internal:
      // Only a card that was read can be asked whether it is still there, and only its answer proves anything.
      if let command = presenceCommand, memory.withLock({ $0.cardIsSelected }) {
        if try await answers(command) {
          card = .present
          watchCard()
        } else {
          memory.withLock { $0.cardIsSelected = false }
        }
      }
    case .external:
      let found = try await line.exchange(.find, timeout: settings.duration("find-timeout"))
      memory.withLock { $0.cardIsSelected = false }
      // A card left in place is not found again by some models (facts/idcard.md 10): only "found" proves something.
      if found.status == .found { card = .present }
    case .interactive:
      let deadline = time.now() + settings.duration("interactive-timeout")
      guard try await findCard(until: deadline) else {
        throw Fault(.cardAbsent, "nobody put a card on it")
      }
      if let fault = try await select() { throw fault }
      card = .present
    }
    return report(card)
  }

  func detach() async {
    await stopWatching()
    await line.stop()
    outlet.finish()
  }

  /// Reports a step when it is another than the last.
  private final class Steps: Sendable {
    private let report: @Sendable (CardReadStep) -> Void
    private let last = Mutex<CardReadStep?>(nil)

    init(_ report: @escaping @Sendable (CardReadStep) -> Void) { self.report = report }

    func reached(_ step: CardReadStep) {
      let isNew = last.withLock { last in
        defer { last = step }
        return last != step
      }
      if isNew { report(step) }
    }
  }
}
