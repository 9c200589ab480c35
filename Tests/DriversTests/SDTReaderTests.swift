import Channels
import Codecs
import Devices
import Testing

@testable import Drivers
@testable import Simulation

/// Waits that end at once, so that nothing is slow but what is meant to be.
private let quick = [
  "find-interval": "1 ms", "retry-pause": "1 ms", "attach-pause": "1 ms", "additional-address": "yes",
]
private let impatient = quick.merging(
  [
    "status-timeout": "200 ms", "find-timeout": "200 ms", "select-timeout": "200 ms",
    "read-timeout": "200 ms",
    "address-timeout": "200 ms", "write-timeout": "200 ms",
  ]
) { $1 }

@Suite(.timeLimit(.minutes(1))) struct SDTReaderTests {
  private let model: SimulatedDevice
  private let bus: SimulatedBus

  init() {
    model = SimulatedDevice("card", SimulatedIDCardReader(), time: RealTime())
    bus = SimulatedBus([model])
  }

  private func attach(_ values: [String: String] = quick) async throws -> any IDCardReader {
    let channel = try await bus.open(.simulated(name: "card"), line: LineSettings())
    return try #require(
      try await Driver.sdt.attach(channel, Driver.sdt.settings(values), context) as? any IDCardReader)
  }

  private func read(
    _ reader: any IDCardReader, timeout: Duration = .seconds(30), _ log: Log<CardReadStep> = Log()
  ) async throws(Fault) -> CardReading {
    try await reader.readCard(timeout: timeout) { log.add($0) }
  }

  // MARK: - Attaching

  @Test func `the module's number is the reader's serial number`() async throws {
    let reader = try await attach()
    #expect(reader.identity.serial == "05.01-20101129-0001228293-0296863149")
    #expect(reader.identity.model == "SDT 05.01")
    await reader.detach()
  }

  @Test(arguments: [
    ("self-test failed", FaultCode.deviceBroken), ("authorised no", .deviceNotAuthorised),
    ("power off", .deviceSilent), ("next answer 24", .deviceGarbled), ("next answer 21", .commandRefused),
  ])
  func `a module that is not fit is told when it is attached`(command: String, code: FaultCode) async throws {
    // "24" passes after one answer, so that only one try is allowed.
    try await model.apply(command)
    let settings = impatient.merging(["attach-tries": "1"]) { $1 }
    do {
      _ = try await attach(settings)
      Issue.record("attached")
    } catch let fault as Fault {
      #expect(fault.code == code)
    }
    // The line was let go.
    try await model.apply("clear faults")
    _ = try await bus.open(.simulated(name: "card"), line: LineSettings())
  }

  @Test func `a module that starts slowly is waited for`() async throws {
    try await model.apply("drop 2 replies")
    let reader = try await attach(impatient)
    #expect(reader.identity.serial?.isEmpty == false)
    await reader.detach()
  }

  @Test func `a number counts only when it came twice`() async throws {
    let numbers = [SAMID(family: 9, type: 9, date: 1, serial: 1, secondSerial: 1), Self.number, Self.number]
    let asked = Log<Int>()
    let line = FakeLine { line, bytes in
      switch bytes {
      case SDTCommand.status.encode(): line.deliver(SDTReply(.ok).encode())
      case SDTCommand.samID.encode():
        asked.add(1)
        line.deliver(SDTReply(.ok, data: numbers[(asked.all.count - 1) % 3].data)?.encode() ?? [])
      default: break
      }
    }
    let reader = try await Driver.sdt.attach(.byteStream(line), Driver.sdt.settings(quick), context)
    #expect(reader.identity.serial == Self.number.description)
    #expect(asked.all.count == 3)
    await reader.detach()
    #expect(line.isClosed)
  }

  private static let number = SAMID(
    family: 5, type: 1, date: 20_101_129, serial: 1_228_293, secondSerial: 296_863_149)

  @Test func `another channel is refused`() async {
    let queue = FakeQueue()
    let refusal = await fault { () throws(Fault) in
      try await Driver.sdt.attach(.printQueue(queue), Driver.sdt.settings(), context)
    }
    #expect(refusal?.code == .deviceUnmatched)
  }

  // MARK: - Reading

  @Test(arguments: [
    (SampleCard.citizen, IDCard.Kind.citizen, "张测试", "11010519491231002X"),
    (.residencePermit, .residencePermit, "样例港人", "810000199001010019"),
    (.foreigner2017, .foreigner2017, "样例", "AAA110090010100"),
    (.foreigner2023, .foreigner2023, "样例", "911000199001010013"),
  ])
  func `every kind of card is read`(card: SampleCard, kind: IDCard.Kind, name: String, number: String)
    async throws
  {
    let reader = try await attach()
    try await model.apply("card present \(card.rawValue)")
    let log = Log<CardReadStep>()
    let reading = try await read(reader, log)
    #expect(reading.card.kind == kind)
    #expect(reading.card.name?.text.reveal() == name)
    #expect(reading.card[.idNumber]?.text.reveal() == number)
    #expect(reading.card.photo.reveal() == SampleCard.photo)
    #expect(reading.additionalAddress == nil)
    #expect(log.all == [.waitingForCard, .reading, .takeCardBack])
    await reader.detach()
  }

  @Test func `a card of an unknown kind is read as it is`() async throws {
    let reader = try await attach()
    try await model.apply("card present unknown-type")
    let reading = try await read(reader)
    #expect(reading.card.kind == .unknown(letter: UInt16(UInt8(ascii: "Z"))))
    #expect(reading.card.text.reveal().count == 256)
    await reader.detach()
  }

  @Test func `a card that comes later is waited for`() async throws {
    let reader = try await attach()
    let log = Log<CardReadStep>()
    let model = model
    let reading = try await reader.readCard(timeout: .seconds(30)) { step in
      log.add(step)
      if step == .waitingForCard { Task { try? await model.apply("card present citizen") } }
    }
    #expect(reading.card.name?.text.reveal() == "张测试")
    #expect(log.all == [.waitingForCard, .reading, .takeCardBack])
    await reader.detach()
  }

  @Test(arguments: ["03", "02"])
  func `the additional address is read by whichever command the module knows`(parameter: String) async throws
  {
    var options = SimulatedIDCardReader.Options()
    options.addressParameter = try #require(UInt8(parameter, radix: 16))
    let device = SimulatedDevice("card", SimulatedIDCardReader(options), time: RealTime())
    try await device.apply("card present citizen")
    try await device.apply("additional-address yes")
    let channel = try await SimulatedBus([device]).open(.simulated(name: "card"), line: LineSettings())
    let reader = try #require(
      try await Driver.sdt.attach(channel, Driver.sdt.settings(quick), context) as? any IDCardReader)
    for _ in 1...2 {
      #expect(try await read(reader).additionalAddress?.reveal() == SampleCard.additionalAddress)
    }
    await reader.detach()
  }

  @Test func `the additional address is not asked for unless the profile says so`() async throws {
    let reader = try await attach(["find-interval": "1 ms"])
    try await model.apply("card present citizen")
    try await model.apply("additional-address yes")
    #expect(try await read(reader).additionalAddress == nil)
    #expect(await !model.records.contains { $0.record.event == "address-read" })
    await reader.detach()
  }

  @Test func `without a card the time runs out`() async throws {
    let reader = try await attach()
    let log = Log<CardReadStep>()
    #expect(
      await fault { () throws(Fault) in try await read(reader, timeout: .milliseconds(30), log) }?.code
        == .cardAbsent)
    // A card that was not found may lie there all the same.
    #expect(log.all == [.waitingForCard, .takeCardBack])
    await reader.detach()
  }

  @Test(arguments: [
    ("damaged", FaultCode.cardUnreadable, 3), ("forged", .cardNotAuthenticated, 3),
    ("bank-card", .cardUnknown, 1),
  ])
  func `a card that makes trouble is told as what it is`(card: String, code: FaultCode, tries: Int)
    async throws
  {
    let reader = try await attach(quick.merging(["read-tries": "3"]) { $1 })
    try await model.apply("card present \(card)")
    let log = Log<CardReadStep>()
    #expect(await fault { () throws(Fault) in try await read(reader, log) }?.code == code)
    #expect(log.all == [.waitingForCard, .reading, .takeCardBack])
    await reader.detach()
  }

  @Test(arguments: ["card moved", "card moved while reading"])
  func `a card that moved is looked for again`(command: String) async throws {
    let reader = try await attach()
    try await model.apply("card present citizen")
    try await model.apply(command)
    #expect(try await read(reader).card.name?.text.reveal() == "张测试")
    await reader.detach()
  }

  @Test func `a card taken away too early is waited for again`() async throws {
    let reader = try await attach()
    let model = model
    try await model.apply("card present citizen")
    try await model.apply("card moved while reading")
    let log = Log<CardReadStep>()
    let reading = try await reader.readCard(timeout: .seconds(30)) { step in log.add(step) }
    #expect(reading.card.kind == .citizen)
    #expect(log.all.last == .takeCardBack)
    await reader.detach()
  }

  @Test(arguments: SDTStatus.known.filter { ![.ok, .found, .checksumWrong, .lengthWrong].contains($0) })
  func `every status of a failed read has its fault`(status: SDTStatus) async throws {
    let line = FakeLine { line, bytes in
      switch bytes {
      case SDTCommand.readText.encode(): line.deliver(SDTReply(status).encode())
      default: line.deliver(Self.answer(bytes))
      }
    }
    let values = impatient.merging(["read-tries": "1"]) { $1 }
    let reader = try #require(
      try await Driver.sdt.attach(.byteStream(line), Driver.sdt.settings(values), context)
        as? any IDCardReader)
    let found = await fault { () throws(Fault) in try await read(reader, timeout: .seconds(30)) }
    let expected: FaultCode =
      switch status {
      case .selfTestFailed: .deviceBroken
      case .moduleUnauthorised, .notAuthorised, .loginFailed: .deviceNotAuthorised
      case .commandWrong: .commandRefused
      case .cardRejectedModule, .moduleRejectedCard, .verificationFailed: .cardNotAuthenticated
      case .unknownCard: .cardUnknown
      case .notFoundYet: .cardMoved
      // These belong to other commands: a late reply, and the one that is waited for never comes.
      case .notFound, .selectFailed, .noItem: .deviceGarbled
      default: .cardUnreadable
      }
    #expect(found?.code == expected)
    await reader.detach()
  }

  // MARK: - The line

  /// A reader with a citizen's card on it.
  private static func answer(_ bytes: [UInt8]) -> [UInt8] {
    switch bytes {
    case SDTCommand.status.encode(): SDTReply(.ok).encode()
    case SDTCommand.samID.encode(): SDTReply(.ok, data: number.data)?.encode() ?? []
    case SDTCommand.find.encode(): SDTReply(.found, data: [0, 0, 0, 0])?.encode() ?? []
    case SDTCommand.select.encode(): SDTReply(.ok, data: [0, 0, 0, 0, 0, 0, 0, 0])?.encode() ?? []
    case SDTCommand.readText.encode(): card.readReply?.encode() ?? []
    default: SDTReply(.commandWrong).encode()
    }
  }
  private static let card = IDCard(text: Array(repeating: 0x20, count: 256), photo: SampleCard.photo)

  @Test(arguments: ["split replies", "extra byte", "extra byte aa", "missing byte", "noise 300 bytes"])
  func `what a line does to a reply does not matter`(command: String) async throws {
    let reader = try await attach()
    try await model.apply("card present citizen")
    try await model.apply(command)
    #expect(try await read(reader).card.name?.text.reveal() == "张测试")
    await reader.detach()
  }

  @Test(arguments: [0, 1, 4, 6, 9])
  func `a damaged or cut reply to a find is asked for again`(place: Int) async throws {
    let reader = try await attach(impatient)
    try await model.apply("card present citizen")
    try await model.apply("flip byte \(place) of reply")
    #expect(try await read(reader).card.kind == .citizen)
    try await model.apply("card remove")
    try await model.apply("card present citizen")
    try await model.apply("truncate reply \(place)")
    #expect(try await read(reader).card.kind == .citizen)
    await reader.detach()
  }

  @Test func `a request that arrives damaged is sent again`() async throws {
    let refusals = Log<Int>()
    let line = FakeLine { line, bytes in
      if bytes == SDTCommand.readText.encode(), refusals.all.count < 2 {
        refusals.add(1)
        line.deliver(SDTReply(refusals.all.count == 1 ? .checksumWrong : .lengthWrong).encode())
      } else {
        line.deliver(Self.answer(bytes))
      }
    }
    let reader = try #require(
      try await Driver.sdt.attach(.byteStream(line), Driver.sdt.settings(["find-interval": "1 ms"]), context)
        as? any IDCardReader)
    #expect(try await read(reader).card == Self.card)
    #expect(line.writes.filter { $0 == SDTCommand.readText.encode() }.count == 3)
    // The card was not looked for anew.
    #expect(line.writes.filter { $0 == SDTCommand.find.encode() }.count == 1)
    await reader.detach()
  }

  @Test func `late replies are never taken for the present ones`() async throws {
    // Before each true reply comes one that belongs to the command before it.
    let earlier = Log<[UInt8]>()
    let line = FakeLine { line, bytes in
      let reply = Self.answer(bytes)
      if let late = earlier.all.last { line.deliver(late) }
      line.deliver(reply)
      earlier.add(reply)
    }
    let reader = try #require(
      try await Driver.sdt.attach(.byteStream(line), Driver.sdt.settings(["find-interval": "1 ms"]), context)
        as? any IDCardReader)
    #expect(try await read(reader).card == Self.card)
    await reader.detach()
  }

  @Test func `stale bytes are thrown away before a command`() async throws {
    let line = FakeLine { line, bytes in line.deliver(Self.answer(bytes)) }
    let reader = try await Driver.sdt.attach(.byteStream(line), Driver.sdt.settings(), context)
    // The start of a frame that is never ended would swallow the next reply.
    line.deliver(Array(SDTReply(.ok).encode().dropLast(3)))
    #expect(try await reader.check(.internal).state == .online)
    await reader.detach()
  }

  @Test func `a reader that falls silent while it waits is told as silent`() async throws {
    let reader = try await attach(impatient)
    try await model.apply("power off")
    #expect(await fault { () throws(Fault) in try await read(reader) }?.code == .deviceSilent)
    await reader.detach()
  }

  @Test func `a reader that stalls in the middle of a reply is told, and works when it goes on`() async throws
  {
    let reader = try await attach(impatient.merging(["read-tries": "1"]) { $1 })
    try await model.apply("card present citizen")
    try await model.apply("stall")
    #expect(await fault { () throws(Fault) in try await read(reader) } != nil)
    try await model.apply("resume")
    #expect(try await read(reader).card.kind == .citizen)
    await reader.detach()
  }

  @Test(arguments: Array(0...60) + Array(stride(from: 100, through: 1400, by: 100)))
  func `a cable pulled at any byte of a reply ends the read and is told once`(count: Int) async throws {
    let reader = try await attach()
    try await model.apply("card present citizen")
    try await model.apply("unplug after \(count) reply bytes")
    let result = await fault { () throws(Fault) in try await read(reader) }
    // A read takes 15 + 19 + 1295 + 11 bytes; what came whole before the cable was out is good.
    if count < 1330 { #expect(result?.code == .deviceGone) }
    if count < 1340 { #expect(await reader.losses().map(\.code) == [.deviceGone]) }
    await reader.detach()
  }

  @Test(arguments: 0...40)
  func `a cable pulled at any byte of a command ends the read and is told once`(count: Int) async throws {
    let reader = try await attach()
    try await model.apply("card present citizen")
    try await model.apply("unplug after \(count) bytes")
    let result = await fault { () throws(Fault) in try await read(reader) }
    if count < 30 { #expect(result?.code == .deviceGone) }
    #expect(await reader.losses().map(\.code) == [.deviceGone])
    #expect(await fault { () throws(Fault) in try await reader.check(.internal) }?.code == .deviceGone)
    await reader.detach()
  }

  @Test func `a cable pulled while nothing is asked is told at once`() async throws {
    let reader = try await attach()
    try await model.apply("unplug")
    #expect(await reader.losses().map(\.code) == [.deviceGone])
    await reader.detach()
  }

  // MARK: - Cancelling, checking

  @Test func `a cancelled wait ends, and the reader is fit for the next`() async throws {
    let reader = try await attach()
    let waiting = Inbox<Int>(time: RealTime())
    let task = Task { () async -> Fault? in
      await fault { () throws(Fault) in
        try await reader.readCard(timeout: .seconds(60)) { _ in waiting.put(1) }
      }
    }
    _ = await waiting.take(until: RealTime().now() + .seconds(30))
    task.cancel()
    #expect(await task.value?.code == .commandCancelled)
    try await model.apply("card present citizen")
    #expect(try await read(reader).card.kind == .citizen)
    await reader.detach()
  }

  @Test func `a task cancelled before it begins reads nothing`() async throws {
    let reader = try await attach()
    try await model.apply("card present citizen")
    let task = Task { () async -> Fault? in
      while !Task.isCancelled { await Task.yield() }
      return await fault { () throws(Fault) in try await self.read(reader) }
    }
    task.cancel()
    #expect(await task.value?.code == .commandCancelled)
    #expect(await !model.records.contains { $0.record.event == "card-read" })
    await reader.detach()
  }

  @Test func `a check asks the module and says what cannot be known`() async throws {
    let reader = try await attach()
    let report = try await reader.check(.internal)
    #expect(report.state == .online)
    #expect(report.card == .unknown)
    #expect(report.details["samID"] == "05.01-20101129-0001228293-0296863149")
    #expect(try await reader.check(.external).card == .unknown)
    try await model.apply("card present citizen")
    #expect(try await reader.check(.external).card == .present)
    #expect(try await reader.check(.interactive).card == .present)
    try await model.apply("self-test failed")
    #expect(await fault { () throws(Fault) in try await reader.check(.internal) }?.code == .deviceBroken)
    await reader.detach()
  }

  @Test func `a card that was read is known to be there as long as it answers`() async throws {
    let reader = try await attach(quick.merging(["presence-command": "card-number"]) { $1 })
    #expect(try await reader.check(.internal).card == .unknown)
    try await model.apply("card present citizen")
    _ = try await read(reader)
    #expect(try await reader.check(.internal).card == .present)
    try await model.apply("card remove")
    #expect(try await reader.check(.internal).card == .unknown)
    await reader.detach()
  }

  @Test func `a card left in place is read again only where the profile allows it`() async throws {
    var options = SimulatedIDCardReader.Options()
    options.mustReplace = true
    let device = SimulatedDevice("card", SimulatedIDCardReader(options), time: RealTime())
    try await device.apply("card present citizen")
    let channel = try await SimulatedBus([device]).open(.simulated(name: "card"), line: LineSettings())
    let reader = try #require(
      try await Driver.sdt.attach(channel, Driver.sdt.settings(quick), context) as? any IDCardReader)
    _ = try await read(reader)
    #expect(
      await fault { () throws(Fault) in try await read(reader, timeout: .milliseconds(50)) }?.code
        == .cardAbsent)
    try await device.apply("card remove")
    try await device.apply("card present citizen")
    #expect(try await read(reader).card.kind == .citizen)
    await reader.detach()
  }

  @Test func `detaching ends the notices without a loss`() async throws {
    let reader = try await attach()
    await reader.detach()
    #expect(await reader.losses() == [])
  }
}
