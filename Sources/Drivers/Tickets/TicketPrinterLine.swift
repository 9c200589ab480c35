internal import Channels
internal import Codecs
internal import Devices
internal import Synchronization

/// Questions to a ticket printer and its answers; what it says by itself becomes notices (facts/devices.md A2, A3).
///
/// An answer does not name its question, so one thing is asked at a time, and after one that was not answered in time the
/// line must have been quiet before the next.
final class TicketPrinterLine: Sendable {
  let outlet = NoticeOutlet()

  private let stream: any ByteStream
  private let reader: StreamReader
  private let inbox: Inbox<ESCPOSReply>
  private let settings: DriverSettings
  private let map: StatusBitMap
  private let questions: [UInt8]
  private let time: any Timekeeper
  private let state: Mutex<State>
  private static let tries = 2

  private struct State {
    var parser: ESCPOSReplyParser
    var status = PrinterStatus()
    var isKnown = false
    var told: DeviceReport?
    var loss: Fault?
    /// A question was not answered in time: its answer may still come.
    var awaitsLateAnswer = false
  }

  init(_ stream: any ByteStream, _ settings: DriverSettings, _ time: any Timekeeper) {
    self.stream = stream
    self.settings = settings
    self.time = time
    reader = StreamReader(stream)
    inbox = Inbox(time: time)
    map = TicketPrinterSettings.bitMap(settings)
    questions = TicketPrinterSettings.questions(map)
    let hasFullStatus = questions.contains(TicketPrinterSettings.fullStatus)
    state = Mutex(State(parser: ESCPOSReplyParser(fullStatus: hasFullStatus)))
  }

  func start() {
    reader.start { bytes in
      self.received(bytes)
    } ended: { error in
      let fault = Fault(error)
      self.state.withLock { $0.loss = fault }
      self.inbox.close(error)
      self.outlet.lose(fault)
    }
  }

  func stop() async {
    inbox.close(.cancelled)
    await reader.stop()
    outlet.finish()
  }

  /// Why the line is of no use any more.
  var loss: Fault? { state.withLock { $0.loss } }

  // MARK: - What the printer says

  private func received(_ bytes: [UInt8]) {
    var replies: [ESCPOSReply] = []
    var isReport = false
    state.withLock { state in
      state.parser.feed(bytes)
      while let reply = state.parser.next() {
        if case .automaticStatus(let report) = reply {
          // A report speaks of everything: what only DLE EOT could say before is out of date.
          state.status = PrinterStatus()
          state.status.apply(report, map: map)
          state.isKnown = true
          isReport = true
        } else {
          replies.append(reply)
        }
      }
    }
    if isReport { tellReport() }
    for reply in replies { inbox.put(reply) }
  }

  /// What the printer last said of itself.
  var report: DeviceReport {
    let (status, isKnown) = state.withLock { ($0.status, $0.isKnown) }
    let fault = status.fault
    let paper: PaperState =
      switch (isKnown, fault?.code, status.paper) {
      case (false, _, _): .unknown
      case (_, .paperJammed, _): .jammed
      case (_, _, .end): .out
      case (_, _, .nearEnd): .low
      case (_, _, .enough): .full
      }
    let isOpen = !status.conditions.isDisjoint(with: [.coverOpen, .headUp])
    let warning = paper == .low ? Fault(.paperLow, PrinterCondition.paperNearEnd.rawValue) : nil
    var details: [String: String] = [:]
    if status.conditions.contains(.ticketAtMouth) { details["ticketAtMouth"] = "yes" }
    return DeviceReport(
      state: fault?.code.impliedState ?? .online, reason: fault ?? warning, paper: paper,
      cover: isKnown ? (isOpen ? .open : .closed) : .unknown, details: details)
  }

  private func tellReport() {
    let report = report
    let isNew = state.withLock { state in
      defer { state.told = report }
      return state.told != report
    }
    if isNew { outlet.send(.report(report)) }
  }

  // MARK: - Questions

  /// Asks everything the status map speaks of.
  @discardableResult
  func ask() async throws(Fault) -> PrinterStatus {
    // Shielded: an answer that nobody takes would be taken for the next one.
    try await uninterrupted { () async throws(Fault) in
      for _ in 1..<Self.tries {
        do throws(Fault) {
          return try await self.askOnce()
        } catch {
          guard error.code == .deviceSilent else { throw error }
        }
      }
      return try await self.askOnce()
    }
  }

  private func askOnce() async throws(Fault) -> PrinterStatus {
    var status = PrinterStatus()
    for question in questions {
      let doing = "DLE EOT \(question)"
      await settle()
      try await send([.realTimeStatus(question)], doing)
      let reply = try await reply(until: time.now() + settings.duration("status-timeout"), doing) { reply in
        switch reply {
        case .realTimeStatus: question != TicketPrinterSettings.fullStatus
        case .fullStatus: question == TicketPrinterSettings.fullStatus
        default: false
        }
      }
      if case .realTimeStatus(let byte) = reply {
        status.apply(byte, from: .realTime(question), map: map)
      } else if case .fullStatus(let bytes) = reply {
        for (index, byte) in bytes.enumerated() { status.apply(byte, from: .full(index + 3), map: map) }
      }
    }
    state.withLock { state in
      state.status = status
      state.isKnown = true
    }
    tellReport()
    return status
  }

  /// Lets a late answer pass before something else is asked.
  private func settle() async {
    if state.withLock({ $0.awaitsLateAnswer }) {
      let deadline = time.now() + settings.duration("status-timeout")
      while case .element = await inbox.take(until: deadline) {}
      state.withLock { $0.awaitsLateAnswer = false }
    }
    forgetReplies()
  }

  /// Forgets what was received and not asked for.
  func forgetReplies() { inbox.clear() }

  private func reply(
    until deadline: Duration, _ doing: String, _ isMeant: (ESCPOSReply) -> Bool
  ) async throws(Fault) -> ESCPOSReply {
    while true {
      switch await inbox.take(until: deadline) {
      case .element(let reply): if isMeant(reply) { return reply }
      case .timedOut:
        state.withLock { state in
          state.awaitsLateAnswer = true
          _ = state.parser.giveUp()
        }
        throw Fault(.timedOut, doing: doing)
      case .cancelled: throw Fault(.commandCancelled, doing)
      case .closed(let error): throw Fault(error, doing: doing)
      }
    }
  }

  /// A text about the printer itself; nil when it does not tell.
  func information(_ kind: ESCPOSCommand.Identity) async -> String? {
    await settle()
    do throws(Fault) {
      try await send([.transmitIdentity(kind)], "GS I")
      let answer = try await reply(until: time.now() + settings.duration("status-timeout"), "GS I") { reply in
        if case .information = reply { true } else { false }
      }
      guard case .information(let bytes) = answer, bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else {
        return nil
      }
      return String(decoding: bytes, as: UTF8.self)
    } catch {
      return nil
    }
  }

  /// Waits for the echo with this id.
  func awaitEcho(_ id: ESCPOSEchoID, until deadline: Duration) async throws(Fault) {
    _ = try await reply(until: deadline, "GS ( H") { $0 == .printComplete(id) }
  }

  /// Waits for the answer to GS r.
  func awaitTransmitted(until deadline: Duration) async throws(Fault) {
    _ = try await reply(until: deadline, "GS r") { reply in
      if case .transmitted = reply { true } else { false }
    }
  }

  /// Empties the printer's buffers; false when it does not confirm that.
  @discardableResult
  func clearBuffer() async -> Bool {
    await settle()
    do throws(Fault) {
      try await send([.realTimeClearBuffer], "DLE DC4 8")
      _ = try await reply(until: time.now() + settings.duration("status-timeout"), "DLE DC4 8") {
        $0 == .bufferCleared
      }
      return true
    } catch {
      return false
    }
  }

  // MARK: - Writing

  /// Sends short commands that print nothing.
  func send(_ commands: [ESCPOSCommand], _ doing: String = "command") async throws(Fault) {
    if let loss { throw loss }
    let bytes: [UInt8]
    do throws(ESCPOSEncodingError) {
      bytes = try ESCPOSCommand.encode(commands)
    } catch {
      throw Fault(.commandRefused, "\(doing): \(error)")
    }
    do throws(ChannelWriteError) {
      // A printer that takes no bytes answers nothing either: no reason to wait longer for the one than for the other.
      try await stream.write(bytes, timeout: settings.duration("status-timeout"))
    } catch {
      throw Fault(error.reason, doing: doing)
    }
  }

  /// Sends a ticket.
  func write(_ bytes: [UInt8]) async throws(ChannelWriteError) {
    try await stream.write(bytes, timeout: settings.duration("write-timeout") + wireTime(bytes.count))
  }

  /// How long so many bytes are on a serial line, ten bits each.
  func wireTime(_ bytes: Int) -> Duration {
    .milliseconds(bytes * 10 * 1000 / max(1, settings.line.baud))
  }
}
