import Channels
import Codecs
import Devices
import Synchronization
import Testing

@testable import Drivers
@testable import Simulation

private let full = [
  "completion": "echo", "automatic-status": "yes", "clear-buffer": "yes", "recover": "yes", "settle": "1 ms",
]
private let face = TicketFace([
  .text("户口业务", align: .centre), .text("A012", width: 4, height: 4, bold: true, align: .centre), .rule,
  .text("前方等待3人"), .qr(Array("https://hall.example/A012".utf8), module: 6), .feed(1),
])

@Suite(.timeLimit(.minutes(1))) struct TicketPrinterTests {
  private func device(
    _ change: (inout SimulatedTicketPrinter.Options) -> Void = { _ in }
  ) -> SimulatedDevice {
    var options = SimulatedTicketPrinter.Options(decodeText: Text.decode)
    change(&options)
    return SimulatedDevice("ticket", SimulatedTicketPrinter(options), time: RealTime())
  }

  private func attach(
    _ model: SimulatedDevice, _ values: [String: String] = full
  ) async throws -> any TicketDispenser {
    let channel = try await SimulatedBus([model]).open(.simulated(name: "ticket"), line: LineSettings())
    return try #require(
      try await Driver.escpos.attach(channel, Driver.escpos.settings(values), context) as? any TicketDispenser
    )
  }

  private func tickets(_ model: SimulatedDevice) async -> [PrintedTicket] {
    await model.records.compactMap(\.record.ticket)
  }

  private func print(_ printer: any TicketDispenser, _ begun: Log<Int> = Log(), may: Bool = true) async
    -> EffectOutcome
  {
    await printer.print(face) {
      begun.add(1)
      return may
    }
  }

  // MARK: - Good tickets

  @Test(arguments: ["echo", "sequence", "status", "none"])
  func `a ticket is printed once, however its end is found out`(completion: String) async throws {
    let model = device()
    let printer = try await attach(model, full.merging(["completion": completion]) { $1 })
    let begun = Log<Int>()
    #expect(await print(printer, begun) == .done)
    let printed = await tickets(model)
    #expect(printed.count == 1)
    #expect(printed.first?.lines.first == "户口业务")
    #expect(printed.first?.lines.contains("A012") == true)
    #expect(printed.first?.lines.contains("前方等待3人") == true)
    #expect(printed.first?.qrTexts == ["https://hall.example/A012"])
    #expect(printed.first?.end == .partialCut)
    #expect(begun.all.count == 1)
    await printer.detach()
  }

  @Test func `tickets follow each other, each cut off by itself`() async throws {
    let model = device()
    let printer = try await attach(model)
    for _ in 1...3 { #expect(await print(printer) == .done) }
    let printed = await tickets(model)
    #expect(printed.count == 3)
    #expect(Set(printed.map(\.digest)).count == 1)
    await printer.detach()
  }

  @Test func `a printer that prints slowly is waited for`() async throws {
    let model = device { $0.lineTime = .milliseconds(5) }
    let printer = try await attach(model)
    #expect(await print(printer) == .done)
    #expect(await tickets(model).count == 1)
    await printer.detach()
  }

  @Test func `the printer's own words are its identity`() async throws {
    let printer = try await attach(device(), full.merging(["identity": "yes"]) { $1 })
    #expect(
      printer.identity == DeviceIdentity(model: "SIMULATED TP-80", serial: "SIM00001", firmware: "1.00"))
    await printer.detach()
  }

  // MARK: - Not before the printer is ready

  @Test(arguments: [
    ("paper out", FaultCode.paperOut), ("cover open", .coverOpen), ("head hot", .headOverheated),
    ("power off", .deviceSilent), ("status silent", .deviceSilent), ("unplug", .deviceGone),
  ])
  func `a printer that is not ready gets no byte of the ticket`(command: String, code: FaultCode) async throws
  {
    let model = device()
    let printer = try await attach(model, full.merging(["status-timeout": "100 ms"]) { $1 })
    try await model.apply(command)
    let begun = Log<Int>()
    let outcome = await print(printer, begun)
    guard case .notDone(let fault) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(fault.code == code)
    #expect(begun.all == [])
    #expect(await tickets(model) == [])
    await printer.detach()
  }

  @Test func `a jam is told in the words of the profile's map`() async throws {
    let model = device()
    try await model.apply("jam")
    let values = full.merging(["status-map": "snbc", "recover": "no", "automatic-status": "no"]) { $1 }
    let printer = try await attach(model, values)
    #expect(await print(printer).fault?.code == .paperJammed)
    #expect(try await printer.check(.internal).paper == .jammed)
    await printer.detach()
  }

  @Test func `single bits of the map can be changed by the profile`() async throws {
    let model = device()
    try await model.apply("jam")
    let values = full.merging(["status-bits": "3.2:paperJam", "recover": "no", "automatic-status": "no"]) {
      $1
    }
    let printer = try await attach(model, values)
    #expect(await print(printer).fault?.code == .paperJammed)
    await printer.detach()
  }

  @Test func `text that cannot be printed is refused before the printer is asked`() async throws {
    let model = device()
    let printer = try await attach(model)
    let begun = Log<Int>()
    let outcome = await printer.print(TicketFace([.text("张𠮷")])) {
      begun.add(1)
      return true
    }
    #expect(outcome.fault?.code == .textUnprintable)
    #expect(outcome.word == "no")
    #expect(begun.all == [])
    await printer.detach()
  }

  @Test func `what could not be noted is not printed`() async throws {
    let model = device()
    let printer = try await attach(model)
    #expect(
      await print(printer, may: false) == .notDone(Fault(.notStored, "nothing was sent to the printer")))
    #expect(await tickets(model) == [])
    #expect(await print(printer) == .done)
    #expect(await tickets(model).count == 1)
    await printer.detach()
  }

  @Test func `paper that runs low is a warning and no fault`() async throws {
    let model = device()
    let printer = try await attach(model)
    try await model.apply("paper low")
    #expect(await print(printer) == .done)
    let report = try await printer.check(.internal)
    #expect(report.state == .online)
    #expect(report.paper == .low)
    #expect(report.reason?.code == .paperLow)
    await printer.detach()
  }

  @Test func `a cutter that was freed is brought back before the next ticket`() async throws {
    let model = device()
    let printer = try await attach(model, full.merging(["completion-timeout": "100 ms"]) { $1 })
    try await model.apply("cutter jam")
    let first = await print(printer)
    #expect(first.word == "unknown")
    #expect(first.fault?.evidence.contains("cutter.failed") == true)
    try await model.apply("cutter free")
    #expect(await print(printer) == .done)
    await printer.detach()
  }

  // MARK: - Outcomes that cannot be known

  @Test func `paper that ends in the middle makes the outcome unknown, and the rest never comes out`()
    async throws
  {
    let model = device()
    let printer = try await attach(model, full.merging(["completion-timeout": "100 ms"]) { $1 })
    try await model.apply("paper out after 2 lines")
    let outcome = await print(printer)
    #expect(outcome.word == "unknown")
    #expect(outcome.fault?.code == .outcomeUnknown)
    #expect(outcome.fault?.evidence.contains("paper.out") == true)
    #expect(outcome.fault?.evidence.contains("buffer was cleared") == true)
    try await model.apply("paper full")
    #expect(await print(printer) == .done)
    // One whole ticket by itself: what was left of the first did not come out with the new roll, and what was printed of
    // it was cut off before.
    let whole = await tickets(model).filter { $0.lines.contains("前方等待3人") }
    #expect(whole.count == 1)
    #expect(whole.first?.lines.count { $0 == "户口业务" } == 1)
    await printer.detach()
  }

  @Test(arguments: ["sequence", "status"])
  func `paper that ends in the middle is found out without the echo too`(completion: String) async throws {
    let model = device()
    let values = [
      "completion": completion, "settle": "1 ms", "completion-timeout": "100 ms", "status-timeout": "300 ms",
    ]
    let printer = try await attach(model, values)
    try await model.apply("paper out after 2 lines")
    let outcome = await print(printer)
    #expect(outcome.word == "unknown")
    await printer.detach()
  }

  @Test func `a printer that does not answer the echo leaves the outcome unknown`() async throws {
    let model = device()
    let printer = try await attach(model, full.merging(["completion-timeout": "100 ms"]) { $1 })
    try await model.apply("echo off")
    let outcome = await print(printer)
    #expect(outcome.word == "unknown")
    await printer.detach()
  }

  @Test func `a printer that falls silent after the ticket leaves the outcome unknown`() async throws {
    let model = device()
    let values = ["completion": "status", "settle": "1 ms", "status-timeout": "100 ms"]
    let printer = try await attach(model, values)
    let outcome = await printer.print(face) {
      try? await model.apply("status silent")
      return true
    }
    #expect(outcome.word == "unknown")
    #expect(await tickets(model).count == 1)
    await printer.detach()
  }

  @Test func `a printer that takes no byte has printed nothing, one that took some may have`() async throws {
    let line = FakeLine { line, bytes in
      for index in bytes.indices.dropLast(2) where bytes[index] == 0x10 && bytes[index + 1] == 0x04 {
        line.deliver([0x12])
      }
    }
    let values = [
      "completion": "status", "settle": "1 ms", "resynchronise": "10", "status-timeout": "100 ms",
    ]
    let attached = try await Driver.escpos.attach(.byteStream(line), Driver.escpos.settings(values), context)
    let printer = try #require(attached as? any TicketDispenser)
    for (room, word) in [(0, "no"), (10, "no"), (11, "unknown"), (40, "unknown")] {
      line.acceptAll()
      let outcome = await printer.print(face) {
        line.accept(room, then: .timedOut)
        return true
      }
      #expect(outcome.word == word)
    }
    line.acceptAll()
    #expect(await print(printer) == .done)
    // What was cut off is filled up with zeros and cut off the paper; a good ticket needs neither.
    let ticket = try #require(line.writes.last { $0.count > 3 })
    #expect(ticket.starts(with: Array(repeating: 0, count: 10) + hex("1B 40 0A 1D 56 42 00 1B 40 1C 26")))
    #expect(await print(printer) == .done)
    #expect(line.writes.last { $0.count > 3 }?.starts(with: hex("1B 40 1C 26")) == true)
    await printer.detach()
  }

  @Test(arguments: Array(stride(from: 0, through: 480, by: 7)))
  func `a cable pulled at any byte never gives two tickets or a wrong word`(count: Int) async throws {
    let model = device()
    let printer = try await attach(model, full.merging(["resynchronise": "16"]) { $1 })
    try await model.apply("unplug after \(count) bytes")
    let begun = Log<Int>()
    let outcome = await print(printer, begun)
    let printed = await tickets(model)
    #expect(printed.count <= 1)
    switch outcome {
    case .done: #expect(printed.count == 1)
    case .notDone: #expect(printed.isEmpty)
    case .unknown(let fault): #expect(fault.code == .outcomeUnknown)
    }
    #expect(begun.all.count <= 1)
    if await !model.isPlugged { #expect(await printer.losses().map(\.code) == [.deviceGone]) }
    await printer.detach()
  }

  @Test(arguments: 0..<24)
  func `a cable pulled at any byte of an answer never gives a wrong word`(count: Int) async throws {
    let model = device()
    let printer = try await attach(model, full)
    try await model.apply("unplug after \(count) reply bytes")
    let outcome = await print(printer)
    let printed = await tickets(model)
    #expect(printed.count <= 1)
    if case .notDone = outcome { #expect(printed.isEmpty) }
    if outcome == .done { #expect(printed.count == 1) }
    await printer.detach()
  }

  @Test(arguments: [
    "split replies", "noise 200 bytes", "flip byte", "extra byte", "missing byte", "drop reply 1",
  ])
  func `what a line does to an answer gives no wrong word`(command: String) async throws {
    let model = device()
    let printer = try await attach(
      model, full.merging(["status-timeout": "200 ms", "completion-timeout": "500 ms"]) { $1 })
    try await model.apply(command)
    let outcome = await print(printer)
    let printed = await tickets(model).count
    switch outcome {
    case .done: #expect(printed == 1)
    case .notDone: #expect(printed == 0)
    case .unknown: #expect(printed <= 1)
    }
    await printer.detach()
  }

  // MARK: - Cancelling

  @Test func `a ticket that has begun is finished though its caller has gone`() async throws {
    let model = device()
    let printer = try await attach(model)
    let begun = Inbox<Int>(time: RealTime())
    let release = Inbox<Int>(time: RealTime())
    let task = Task {
      await printer.print(face) {
        begun.put(1)
        _ = await release.take(until: RealTime().now() + .seconds(30))
        return true
      }
    }
    _ = await begun.take(until: RealTime().now() + .seconds(30))
    task.cancel()
    release.put(1)
    #expect(await task.value == .done)
    #expect(await tickets(model).count == 1)
    await printer.detach()
  }

  @Test func `a ticket cancelled before it began is not printed`() async throws {
    let model = device()
    let printer = try await attach(model)
    let begun = Log<Int>()
    let task = Task {
      while !Task.isCancelled { await Task.yield() }
      return await self.print(printer, begun)
    }
    task.cancel()
    let outcome = await task.value
    #expect(outcome.fault?.code == .commandCancelled)
    #expect(outcome.word == "no")
    #expect(begun.all == [])
    #expect(await tickets(model) == [])
    await printer.detach()
  }

  // MARK: - Reports

  @Test func `a change is told by itself where the printer does so`() async throws {
    let model = device()
    let printer = try await attach(model)
    try await model.apply("cover open")
    let open = await printer.notice { notice -> DeviceReport? in
      if case .report(let report) = notice, report.cover == .open { report } else { nil }
    }
    #expect(open?.state == .userError)
    #expect(open?.reason?.code == .coverOpen)
    await printer.detach()
  }

  /// What is told of the paper until it is told as full after something else.
  private static func papers(of printer: any TicketDispenser) async -> [PaperState] {
    var seen: [PaperState] = []
    for await notice in printer.notices {
      if case .report(let report) = notice, let paper = report.paper, seen.last != paper {
        seen.append(paper)
      }
      if seen.count > 1, seen.last == .full { break }
    }
    return seen
  }

  @Test func `a roll that was changed is told as full again`() async throws {
    let model = device()
    let printer = try await attach(model)
    async let papers = Self.papers(of: printer)
    try await model.apply("paper out")
    _ = try? await printer.check(.internal)
    try await model.apply("paper full")
    #expect(await papers.suffix(2) == [.out, .full])
    await printer.detach()
  }

  @Test func `an answer that comes too late is not taken for the next one`() async throws {
    // A printer that gives its first answer only when it has been given up, and the others at once. Bit 2 is the drawer's pin
    // in the answer to question 1 and would be an open cover in the one to question 2.
    let asked = Log<UInt8>()
    let time = SteppedTime()
    let line = FakeLine { line, bytes in
      guard bytes.count == 3, bytes.starts(with: [0x10, 0x04]) else { return }
      asked.add(bytes[2])
      if asked.all.count > 1 { line.deliver([bytes[2] == 1 ? 0x16 : 0x12]) }
    }
    let values = ["status-timeout": "600 ms", "completion": "none"]
    async let attached = Driver.escpos.attach(
      .byteStream(line), Driver.escpos.settings(values),
      DriverContext(time: time, encodeText: Text.encode))
    // The first answer does not come in time.
    await time.pass(waits: 1, of: .milliseconds(600))
    // While late answers are let pass, it comes; and nothing more after it.
    await time.waited(2)
    line.deliver([0x16])
    await time.pass(waits: 3, of: .milliseconds(600))
    let printer = try await attached
    let report = try #require(
      await printer.notice { notice -> DeviceReport? in
        if case .report(let report) = notice { report } else { nil }
      })
    #expect(report.cover == .closed)
    #expect(report.state == .online)
    #expect(asked.all == [1, 1, 2, 3, 4])
    await printer.detach()
  }

  @Test func `a printer that cannot be asked says so`() async throws {
    let model = device { $0.honesty = .silent }
    let printer = try await attach(model, ["status": "no", "completion": "none"])
    let report = try await printer.check(.internal)
    #expect(report.state == .online)
    #expect(report.paper == .unknown)
    #expect(report.details["answers"] == "unknown")
    #expect(await print(printer) == .done)
    await printer.detach()
  }

  @Test func `an external check prints a test ticket`() async throws {
    let model = device()
    let printer = try await attach(model)
    #expect(try await printer.check(.external).state == .online)
    #expect(
      await tickets(model).first?.lines == ["打印测试", "TEST 0123456789", String(repeating: "-", count: 48)])
    #expect(
      await fault { () throws(Fault) in try await printer.check(.interactive) }?.code == .commandUnsupported)
    await printer.detach()
  }

  @Test func `a silent printer is not attached, and its line is let go`() async throws {
    let model = device { $0.honesty = .silent }
    let values = ["status-timeout": "50 ms"]
    do {
      _ = try await attach(model, values)
      Issue.record("attached")
    } catch let fault as Fault {
      #expect(fault.code == .deviceSilent)
    }
    _ = try await SimulatedBus([model]).open(.simulated(name: "ticket"), line: LineSettings())
  }

  @Test func `a printer that always says fine is believed as far as its profile says`() async throws {
    let model = device { $0.honesty = .constant }
    let printer = try await attach(model, ["completion": "status", "settle": "1 ms"])
    #expect(await print(printer) == .done)
    #expect(try await printer.check(.internal).paper == .full)
    await printer.detach()
  }

  @Test func `a presenter's full status is asked where the map speaks of it`() async throws {
    let model = device { $0.hasPresenter = true }
    let values = [
      "status-map": "custom", "completion": "status", "settle": "1 ms", "status-timeout": "200 ms",
    ]
    let printer = try await attach(model, values)
    #expect(try await printer.check(.internal).details["ticketAtMouth"] == nil)
    #expect(await print(printer) == .done)
    #expect(try await printer.check(.internal).details["ticketAtMouth"] == "yes")
    try await model.apply("ticket take")
    #expect(try await printer.check(.internal).details["ticketAtMouth"] == nil)
    try await model.apply("paper out")
    #expect(await print(printer).fault?.code == .paperOut)
    await printer.detach()
  }
}

/// A clock that moves only when a test says so, and tells how often somebody has begun to wait.
private final class SteppedTime: Timekeeper {
  private struct State {
    var now = Duration.zero
    var waits = 0
    var sleepers: [Int: (until: Duration, continuation: CheckedContinuation<Bool, Never>)] = [:]
    var cancelled: Set<Int> = []
  }
  private let state = Mutex(State())
  private let begun = Inbox<Int>(limit: 10_000, time: RealTime())

  func now() -> Duration { state.withLock { $0.now } }

  func sleep(for duration: Duration) async -> Bool {
    let id = state.withLock { state in
      state.waits += 1
      return state.waits
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isCancelled = state.withLock { state in
          if state.cancelled.remove(id) != nil { return true }
          state.sleepers[id] = (state.now + duration, continuation)
          return false
        }
        if isCancelled { continuation.resume(returning: false) }
        begun.put(id)
      }
    } onCancel: {
      let sleeper = state.withLock { state in
        let sleeper = state.sleepers.removeValue(forKey: id)
        if sleeper == nil { state.cancelled.insert(id) }
        return sleeper
      }
      sleeper?.continuation.resume(returning: false)
    }
  }

  /// Returns when somebody has begun to wait for that many times.
  func waited(_ times: Int) async {
    while state.withLock({ $0.waits }) < times {
      if case .cancelled = await begun.take(until: RealTime().now() + .seconds(30)) { return }
    }
  }

  /// Lets so much time pass once somebody waits for that many times.
  func pass(waits: Int, of duration: Duration) async {
    await waited(waits)
    let due = state.withLock { state in
      state.now += duration
      let due = state.sleepers.filter { $0.value.until <= state.now }
      for id in due.keys { state.sleepers[id] = nil }
      return due.values.map(\.continuation)
    }
    for continuation in due { continuation.resume(returning: true) }
  }
}
