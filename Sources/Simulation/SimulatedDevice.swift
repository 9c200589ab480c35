public import Channels

/// One simulated device: its model, the faults of its line, the log of what it really did, and whoever has it open.
///
/// All three ways to attach a device end here: ``SimulatedBus`` in process, and the ptys and sockets of the host.
public actor SimulatedDevice {
  /// Where each record goes before anything that follows from it is sent, such as a file.
  public typealias Sink = @Sendable (SimulationEntry) -> Void

  /// Most records that are kept here; older ones are only where the sink put them.
  static let entryLimit = 1000

  /// Its name in configuration, commands and logs.
  public nonisolated let name: String
  /// What it imitates.
  public nonisolated let modelName: String
  /// The channel it is opened as.
  public nonisolated let kind: ChannelKind
  /// Path under which it serves, for a device that speaks HTTP.
  public nonisolated let basePath: String?
  /// Largest request body it takes, in bytes; 0 for a device on a line.
  public nonisolated let bodyLimit: Int
  /// Every command it knows, those of the line first.
  public nonisolated let commandHelp: [CommandHelp]
  /// The events its log may have.
  public nonisolated let events: [String]
  nonisolated let time: any Timekeeper

  var serial: (any SimulatedSerialDevice)?
  var http: (any SimulatedHTTPDevice)?
  var line: LineFaults
  var requests = HTTPFaults()

  // The line's host end (SimulatedDevice+Line.swift).
  var ends: [Int: LineEnd] = [:]
  var attached: Int?
  var lastEnd = 0
  var held: [[UInt8]] = []
  /// The host's speed; nil where it has none.
  var hostBaud: Int?
  /// When the device has received what the host has written, on a line that takes its time.
  var heardUntil = Duration.zero

  // The USB side, for a device that has one (SimulatedDevice+USB.swift).
  var usb: SimulatedUSBDevice?
  var usbHost: USBHost?
  /// How often it was plugged in so far, which counts power that comes back; 1 at first.
  public internal(set) var insertions = 1
  /// What it says of itself on USB; nil for a device without.
  public nonisolated let usbDescription: USBDescription?

  // Requests that wait for the end of a hang (SimulatedDevice+Requests.swift).
  var hanging: [Int: CheckedContinuation<Void, Never>] = [:]
  var lastHang = 0

  /// How often the device was plugged, unplugged or closed so far.
  public private(set) var changes = 0
  var changeWaiters: [Int: CheckedContinuation<Void, Never>] = [:]
  var lastChangeWaiter = 0

  private let started: Duration
  private let sink: Sink?
  private var entries: [SimulationEntry] = []
  private var entryCount = 0
  private var followers: [Int: AsyncStream<SimulationEntry>.Continuation] = [:]
  private var lastFollower = 0

  private enum Event: Sendable {
    case reply([UInt8])
    /// A part of a reply that the line has already done its worst to.
    case piece([UInt8])
    case wake(Int)

    var isReply: Bool { if case .wake = self { false } else { true } }
  }
  private struct Appointment: Sendable {
    let due: Duration
    let event: Event
  }
  private var appointments: [Appointment] = []
  private var lastReplyDue = Duration.zero
  private var clock: Task<Void, Never>?

  /// A device on a line of bytes.
  ///
  /// - Parameters:
  ///   - name: Its name, one word.
  ///   - model: The model.
  ///   - usb: How it is a USB device, if it is one.
  ///   - time: The clock of its delays and timers.
  ///   - seed: What random damage depends on.
  ///   - sink: Called with each record, in order.
  public init(
    _ name: String, _ model: any SimulatedSerialDevice, usb function: (any SimulatedUSBFunction)? = nil,
    time: any Timekeeper, seed: UInt64 = 1, sink: Sink? = nil
  ) {
    self.name = name
    modelName = model.modelName
    kind = (model as? any SimulatedMessageDevice)?.channelKind ?? .byteStream
    basePath = nil
    bodyLimit = 0
    let usbHelp = USBFaults.commands.map { CommandHelp(pattern: $0.pattern, help: $0.help) }
    commandHelp =
      LineFaults.commands.map { CommandHelp(pattern: $0.pattern, help: $0.help) }
      + (function == nil ? [] : usbHelp) + model.help
    events =
      ["command", "plug", "unplug", "power-on", "power-off"]
      + (function == nil ? [] : ["attach", "configured", "detach"]) + model.events
    usb = function.map { SimulatedUSBDevice($0) }
    usbDescription = function?.description
    self.time = time
    serial = model
    line = LineFaults(seed: seed)
    started = time.now()
    self.sink = sink
  }

  /// A device that speaks HTTP.
  ///
  /// - Parameters:
  ///   - name: Its name, one word.
  ///   - model: The model.
  ///   - time: The clock of its delays and timers.
  ///   - sink: Called with each record, in order.
  public init(
    _ name: String, _ model: any SimulatedHTTPDevice, time: any Timekeeper, sink: Sink? = nil
  ) {
    self.name = name
    modelName = model.modelName
    kind = model.channelKind
    basePath = model.basePath
    bodyLimit = model.bodyLimit
    usbDescription = nil
    commandHelp = HTTPFaults.commands.map { CommandHelp(pattern: $0.pattern, help: $0.help) } + model.help
    events = ["command", "plug", "unplug"] + model.events
    self.time = time
    http = model
    line = LineFaults(seed: 0)
    started = time.now()
    self.sink = sink
  }

  deinit {
    clock?.cancel()
    for follower in followers.values { follower.finish() }
  }

  // MARK: Commands and state

  /// Carries out a command such as `paper out`, `press 5` or `unplug after 40 bytes`.
  public func apply(_ text: String) throws(SimulationError) {
    let words = CommandReader.words(text).joined(separator: " ")
    if serial != nil, let command = CommandReader.match(words, LineFaults.commands) {
      note(SimulationRecord("command", [SimulationField("text", words)]))
      apply(command)
    } else if usb != nil, let command = CommandReader.match(words, USBFaults.commands) {
      note(SimulationRecord("command", [SimulationField("text", words)]))
      apply(command)
    } else if http != nil, let command = CommandReader.match(words, HTTPFaults.commands) {
      note(SimulationRecord("command", [SimulationField("text", words)]))
      apply(command)
    } else if let actions = try applyToModel(words) {
      note(SimulationRecord("command", [SimulationField("text", words)]))
      perform(actions)
      pump()
    } else {
      throw CommandReader.error(words, patterns: commandHelp.map(\.pattern))
    }
  }

  private func applyToModel(_ text: String) throws(SimulationError) -> [SimulatedAction]? {
    if serial != nil { return try serial?.apply(text: text) ?? nil }
    return try http?.apply(text: text) ?? nil
  }

  /// Throws what is wrong with a command's words, without carrying it out. Whether the device is in a state for it shows
  /// only then.
  public nonisolated func check(_ text: String) throws(SimulationError) {
    let words = CommandReader.words(text)
    let isKnown = commandHelp.contains { help in
      CommandReader.match(words.joined(separator: " "), [CommandForm(help.pattern, "") { _ in true }]) != nil
    }
    guard isKnown else {
      throw CommandReader.error(words.joined(separator: " "), patterns: commandHelp.map(\.pattern))
    }
  }

  /// The model's state and the faults in force, as names and words.
  public var state: [SimulationField] {
    let model = serial?.state ?? http?.state ?? []
    let isOpen = attached != nil || usbHost != nil
    let faults = serial == nil ? requests.state : line.state + [SimulationField("open", isOpen)]
    return [SimulationField("model", modelName)] + model + faults + (usb?.state ?? [])
  }

  /// False after `unplug`, and for a USB device after `power off`, which a host cannot tell from it.
  public var isPlugged: Bool {
    serial == nil ? requests.isPlugged : line.isPlugged && (usb == nil || line.isPowered)
  }

  // MARK: Records

  /// What it did so far, the newest last; at most the last 1000 records.
  public var records: [SimulationEntry] { entries }

  /// Every record after that number, those already made first, then each as it is made. Ends only when the device does
  /// or the caller stops iterating.
  public func records(after number: Int) -> AsyncStream<SimulationEntry> {
    let (stream, continuation) = AsyncStream.makeStream(of: SimulationEntry.self)
    for entry in entries where entry.number > number { continuation.yield(entry) }
    lastFollower += 1
    let follower = lastFollower
    followers[follower] = continuation
    continuation.onTermination = { [weak self] _ in
      Task { await self?.forget(follower) }
    }
    return stream
  }

  private func forget(_ follower: Int) { followers[follower] = nil }

  func note(_ record: SimulationRecord) {
    assert(events.contains(record.event), "'\(record.event)' is not listed by the model")
    entryCount += 1
    let entry = SimulationEntry(number: entryCount, at: time.now() - started, device: name, record: record)
    sink?(entry)
    entries.append(entry)
    if entries.count > Self.entryLimit { entries.removeFirst(entries.count - Self.entryLimit) }
    for follower in followers.values { follower.yield(entry) }
  }

  // MARK: Actions and timers

  func perform(_ actions: [SimulatedAction]) {
    for action in actions {
      switch action {
      case .record(let record): note(record)
      case .wake(let token, let after): appoint(.wake(token), at: time.now() + after)
      case .send(let bytes, let after): answer(bytes, after: after)
      }
    }
  }

  private func answer(_ bytes: [UInt8], after: Duration) {
    let now = time.now()
    // A line keeps its order: what is sent later does not arrive before what was sent earlier.
    let begin = max(now, heardUntil) + after + line.delay
    if line.isPaced, let baud = serial?.baud ?? hostBaud {
      return appoint(paced: bytes, from: max(begin, lastReplyDue), baud: baud)
    }
    let due = max(begin, lastReplyDue)
    lastReplyDue = due
    let isFirst = !appointments.contains(where: \.event.isReply)
    if due <= now, isFirst { deliver(bytes) } else { appoint(.reply(bytes), at: due) }
  }

  /// Lets the bytes arrive as a line of this speed carries them, 8N1, in pieces of some milliseconds: a clock that wakes up
  /// for every byte would keep none of its times.
  private func appoint(paced reply: [UInt8], from begin: Duration, baud: Int) {
    var place = 0
    for piece in line.pass(reply) {
      for start in stride(from: 0, to: piece.count, by: Self.pacedPiece) {
        let bytes = Array(piece[start..<min(start + Self.pacedPiece, piece.count)])
        place += bytes.count
        lastReplyDue = begin + Self.wireTime(place, baud)
        appoint(.piece(bytes), at: lastReplyDue)
      }
    }
  }

  private static let pacedPiece = 48

  /// How long a serial line needs for so many bytes.
  static func wireTime(_ count: Int, _ baud: Int) -> Duration {
    .nanoseconds(Int64(count) * 10_000_000_000 / Int64(max(1, baud)))
  }

  private func appoint(_ event: Event, at due: Duration) {
    let index = appointments.firstIndex { $0.due > due } ?? appointments.count
    appointments.insert(Appointment(due: due, event: event), at: index)
    if index == 0 { setClock() }
  }

  private func setClock() {
    clock?.cancel()
    guard let first = appointments.first else {
      clock = nil
      return
    }
    let wait = max(.zero, first.due - time.now())
    clock = Task { [time, weak self] in
      guard await time.sleep(for: wait) else { return }
      await self?.keepAppointments()
    }
  }

  private func keepAppointments() {
    while let first = appointments.first, first.due <= time.now() {
      appointments.removeFirst()
      switch first.event {
      case .reply(let bytes): deliver(bytes)
      case .piece(let bytes): deliver(piece: bytes)
      case .wake(let token):
        perform(serial?.woke(token) ?? http?.woke(token) ?? [])
        pump()
      }
    }
    setClock()
  }

  /// Forgets replies that are still on their way; timers of the model go on.
  func dropReplies() {
    appointments.removeAll(where: \.event.isReply)
    lastReplyDue = .zero
    heardUntil = .zero
    held = []
    setClock()
  }

  // MARK: Changes

  /// Something that matters to whoever waits to open the device.
  func changed() {
    changes += 1
    let waiting = changeWaiters.values
    changeWaiters = [:]
    for waiter in waiting { waiter.resume() }
  }

  /// Returns once ``changes`` is more than that, or when the task is cancelled. Whoever reads it before trying to open the
  /// device, and waits with it afterwards, misses nothing.
  public func waitForChange(after count: Int) async {
    guard changes <= count else { return }
    lastChangeWaiter += 1
    let waiter = lastChangeWaiter
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if Task.isCancelled { continuation.resume() } else { changeWaiters[waiter] = continuation }
      }
    } onCancel: {
      Task { await self.giveUp(changeWaiter: waiter) }
    }
  }

  private func giveUp(changeWaiter waiter: Int) { changeWaiters.removeValue(forKey: waiter)?.resume() }
}
