internal import Channels
internal import Codecs
internal import Devices

/// A ticket printer that speaks ESC/POS (facts/devices.md A).
///
/// A ticket goes out as one run of bytes. Whether it is on paper is asked afterwards as well as the model allows; what
/// cannot be found out is reported as unknown and never sent again from here.
actor TicketPrinter: TicketDispenser {
  nonisolated let identity: DeviceIdentity
  nonisolated var notices: AsyncStream<DeviceNotice> { line.outlet.stream }

  private let line: TicketPrinterLine
  private let encoder: TicketEncoder
  private let settings: DriverSettings
  private let completion: TicketPrinterSettings.Completion
  private let time: any Timekeeper
  private var nextEcho = UInt64.random(in: 0..<81_450_625)
  /// Something may be left in the printer of what was sent before: the end of a command, or of a ticket.
  private var isDirty = true
  /// A ticket of this connection was cut off: what is on the paper must be cut before the next one.
  private var hasFragment = false

  private init(
    line: TicketPrinterLine, identity: DeviceIdentity, settings: DriverSettings, context: DriverContext
  ) {
    self.line = line
    self.identity = identity
    self.settings = settings
    time = context.time
    completion = TicketPrinterSettings.Completion(rawValue: settings.text("completion")) ?? .status
    encoder = TicketEncoder(settings, encodeText: context.encodeText)
  }

  /// Asks the printer how it is, where it can tell. Nothing is printed.
  static func attach(
    _ stream: any ByteStream, _ settings: DriverSettings, _ context: DriverContext
  ) async throws(Fault) -> TicketPrinter {
    let line = TicketPrinterLine(stream, settings, context.time)
    await stream.discardInput()
    line.start()
    do throws(Fault) {
      if settings.boolean("clear-buffer") { await line.clearBuffer() }
      if settings.boolean("status") { try await line.ask() }
      if settings.boolean("automatic-status") {
        try await line.send([.automaticStatus(TicketEncoder.reported)])
      }
      var identity = DeviceIdentity(model: "ESC/POS ticket printer")
      if settings.boolean("identity") {
        let maker = await line.information(.maker)
        let model = await line.information(.modelName)
        let name = [maker, model].compactMap { $0 }.joined(separator: " ")
        if !name.isEmpty { identity.model = name }
        identity.serial = await line.information(.serialNumber)
        identity.firmware = await line.information(.firmware)
      }
      return TicketPrinter(line: line, identity: identity, settings: settings, context: context)
    } catch {
      await line.stop()
      throw error
    }
  }

  func print(_ face: TicketFace, begun: @escaping @Sendable () async -> Bool) async -> EffectOutcome {
    let ticket: [UInt8]
    let echo = ESCPOSEchoID(number: nextEcho)
    do throws(Fault) {
      nextEcho += 1
      ticket = try encoder.encode(face, last: questions(echo))
      if settings.boolean("status") { try await makeReady() }
    } catch {
      return .notDone(error)
    }
    if Task.isCancelled { return .notDone(Fault(.commandCancelled, "before anything was printed")) }
    // From here on paper may move: nobody's loss of interest stops it half-way.
    return await uninterrupted { await self.printed(ticket, echo, begun) }
  }

  /// What is sent behind the ticket, in the same run, to learn that it is on paper.
  private func questions(_ echo: ESCPOSEchoID) -> [ESCPOSCommand] {
    switch completion {
    case .echo: [.printCompleteEcho(echo)]
    case .sequence: [.transmitStatus(.paper)]
    case .status, .none: []
    }
  }

  /// Asks for the status, and brings the printer back from an error that a person has cleared.
  private func makeReady() async throws(Fault) {
    var status = try await line.ask()
    let recoverable: Set<PrinterCondition> = [.cutterError, .recoverableError, .waitingForRecovery]
    if settings.boolean("recover"), !status.conditions.isDisjoint(with: recoverable) {
      try await line.send([.realTimeRecover(clearingBuffers: true)])
      status = try await line.ask()
    }
    if let fault = status.fault { throw fault }
  }

  private func printed(
    _ ticket: [UInt8], _ echo: ESCPOSEchoID, _ begun: @Sendable () async -> Bool
  ) async -> EffectOutcome {
    let filler = isDirty ? [UInt8](repeating: 0, count: settings.integer("resynchronise")) : []
    let fragment = hasFragment ? encoder.severing : []
    guard await begun() else { return .notDone(Fault(.notStored, "nothing was sent to the printer")) }
    line.forgetReplies()
    isDirty = true
    do throws(ChannelWriteError) {
      try await line.write(filler + fragment + ticket)
    } catch {
      // What goes before the ticket only ends what an earlier one left behind.
      let own = error.written - filler.count - fragment.count
      guard own > 0 else { return .notDone(Fault(error.reason, doing: "sending the ticket")) }
      return await unknown("\(own) of \(ticket.count) bytes were accepted: \(error.reason.summary)")
    }
    let outcome = await outcome(after: filler.count + fragment.count + ticket.count, echo)
    if outcome == .done {
      isDirty = false
      hasFragment = false
    }
    return outcome
  }

  private func outcome(after bytes: Int, _ echo: ESCPOSEchoID) async -> EffectOutcome {
    let deadline = time.now() + line.wireTime(bytes) + settings.duration("completion-timeout")
    switch completion {
    case .none:
      return .done
    case .echo:
      do throws(Fault) {
        try await line.awaitEcho(echo, until: deadline)
        return .done
      } catch {
        return await unknown("no print-complete echo: \(error.evidence)")
      }
    case .sequence:
      do throws(Fault) {
        try await line.awaitTransmitted(until: deadline)
      } catch {
        return await unknown("no answer in its turn: \(error.evidence)")
      }
    case .status:
      _ = await time.sleep(for: line.wireTime(bytes) + settings.duration("settle"))
    }
    guard settings.boolean("status") else { return .done }
    do throws(Fault) {
      let status = try await line.ask()
      if let fault = status.fault { throw fault }
      return .done
    } catch {
      return await unknown("after printing: \(error.code.rawValue) \(error.evidence)")
    }
  }

  /// The ticket may be on paper, in part or whole. What is left of it in the printer must not come out later, when
  /// somebody has had it printed again.
  private func unknown(_ evidence: String) async -> EffectOutcome {
    hasFragment = true
    var evidence = evidence
    if settings.boolean("status"), let status = try? await line.ask(), let fault = status.fault {
      evidence += "; \(fault.code.rawValue)"
    }
    if settings.boolean("clear-buffer") {
      evidence += await line.clearBuffer() ? "; its buffer was cleared" : "; its buffer could not be cleared"
    }
    return .unknown(Fault(.outcomeUnknown, evidence))
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    if let loss = line.loss { throw loss }
    switch level {
    case .internal: break
    case .external:
      let outcome = await print(Self.testTicket(encoder)) { true }
      if let fault = outcome.fault { throw fault }
    case .interactive:
      throw Fault(.commandUnsupported, "print a test ticket and look at it")
    }
    guard settings.boolean("status") else {
      return DeviceReport(state: .online, paper: .unknown, cover: .unknown, details: ["answers": "unknown"])
    }
    try await line.ask()
    return line.report
  }

  private static func testTicket(_ encoder: TicketEncoder) -> TicketFace {
    let plain: [TicketElement] = [.text("TEST 0123456789", align: .centre), .rule]
    let chinese = TicketFace([.text("打印测试", width: 2, height: 2, align: .centre)] + plain)
    return (try? encoder.encode(chinese)) == nil ? TicketFace(plain) : chinese
  }

  nonisolated func detach() async { await line.stop() }
}
