import Crypto
import HTTPClient
import Intake
import Posix
import Store
import TestKit
import Testing
import WireJSON

@testable import Outbox

/// The outbox, its forwarder and a receiving intake, over a real socket.
@Suite(.timeLimit(.minutes(5))) struct DeliveryTests {
  let station: Station
  let hall: TemporaryDirectory
  var socket: String { hall.path("intake.sock") }

  init() throws {
    station = try Station(key: try SealingKey.generated())
    hall = try TemporaryDirectory()
  }

  func intake() async throws -> ReceivingIntake {
    try await ReceivingIntake(directory: hall.path("received"), socketPath: socket)
  }

  func transport() -> HTTPIntakeTransport {
    let user = ProcessInfo.userID
    return HTTPIntakeTransport(target: .unix(path: socket), ownerCheck: { $0 == user }, timeout: .seconds(10))
  }

  func fill(_ outbox: Outbox, _ range: ClosedRange<Int>) async throws {
    for number in range {
      let first = try await outbox.storeBlob(page(number * 2, size: 20_000))
      let second = try await outbox.storeBlob(page(number * 2 + 1, size: 20_000))
      _ = try await outbox.append([
        pageEvent([first.digest]), rating(Int64(number % 5 + 1)), pageEvent([second.digest]),
        EventDraft(source: .agent, type: "gov.hall.visit.v1", data: ["state": "opened"]),
      ])
    }
  }

  func check(_ intake: ReceivingIntake, _ count: Int, blobs: Int? = nil) async {
    let verification = await intake.verification()
    #expect(verification.problems == [])
    #expect(
      verification.events == [
        "gov.hall.material.page.v1": count * 2, "gov.hall.rating.v1": count, "gov.hall.visit.v1": count,
      ])
    #expect(verification.blobs == blobs ?? count * 2)
  }

  @Test func `everything arrives, whole and in order, and nothing is left here`() async throws {
    let opened = try await station.open()
    let intake = try await intake()
    try await fill(opened.outbox, 1...20)
    try await forwarding(opened.outbox, to: transport()) {
      await opened.outbox.drained()
      try await fill(opened.outbox, 21...30)
      await opened.outbox.drained()
    }
    await check(intake, 30)
    #expect(await intake.verification().duplicates == 0)
    #expect(try station.pageFiles().isEmpty)
    #expect(await opened.outbox.status().delivered.values.reduce(0, +) == 120)
    await intake.stop()
  }

  @Test func `an intake that ends and comes back gets the rest, at once when its socket appears`()
    async throws
  {
    let opened = try await station.open()
    let outbox = opened.outbox
    var intake = try await intake()
    try await forwarding(outbox, to: transport()) {
      for round in 0..<4 {
        try await fill(outbox, (round * 10 + 1)...(round * 10 + 5))
        await intake.stop(grace: .zero)
        try await fill(outbox, (round * 10 + 6)...(round * 10 + 10))
        await outbox.settled { if case .trouble = $0.endpoint { true } else { false } }
        intake = try await self.intake()
        await outbox.drained()
      }
    }
    await check(intake, 40)
    #expect(try station.pageFiles().isEmpty)
    await intake.stop()
  }

  @Test func `an intake that was down when the agent started is found when its directory comes`() async throws
  {
    let late = hall.path("run/intake/intake.sock")
    let user = ProcessInfo.userID
    let opened = try await station.open()
    try await fill(opened.outbox, 1...3)
    let transport = HTTPIntakeTransport(target: .unix(path: late), ownerCheck: { $0 == user })
    try await forwarding(opened.outbox, to: transport) {
      await opened.outbox.settled {
        if case .trouble(.notListening, _, _) = $0.endpoint { true } else { false }
      }
      try Files.makeDirectory(hall.path("run/intake"), mode: 0o700, parents: true)
      let intake = try await ReceivingIntake(directory: hall.path("received"), socketPath: late)
      await opened.outbox.drained()
      await check(intake, 3)
      await intake.stop()
    }
  }

  @Test(
    arguments: [(503, "", "0"), (200, #"{"code":500}"#, nil), (404, "nothing here", nil), (429, "", "0")]
      as [(Int, String, String?)])
  func `an intake that answers nonsense for a while loses nothing`(
    status: Int, body: String, retryAfter: String?
  ) async throws {
    let opened = try await station.open()
    let intake = try await intake()
    await intake.inject(.answer(status: status, body: body, retryAfter: retryAfter, requests: 4))
    try await fill(opened.outbox, 1...5)
    try await forwarding(opened.outbox, to: transport()) { await opened.outbox.drained() }
    await check(intake, 5)
    #expect(await opened.outbox.status().quarantined == 0)
    await intake.stop()
  }

  @Test
  func `an intake that dies between its commit and its answer gets some things twice and keeps them once`()
    async throws
  {
    let opened = try await station.open()
    let intake = try await intake()
    await intake.inject(.takeAndAnswer(status: 500, requests: 3))
    try await fill(opened.outbox, 1...5)
    try await forwarding(opened.outbox, to: transport()) { await opened.outbox.drained() }
    await check(intake, 5)
    await intake.stop()
  }

  @Test func `an agent that ends and starts again at any time loses nothing`() async throws {
    let intake = try await intake()
    for round in 0..<6 {
      let opened = try await station.open()
      #expect(opened.report.missingPages == 0)
      let forwarder = Forwarder(outbox: opened.outbox, transport: transport(), seed: 1, stopSeconds: 0)
      let task = Task { await forwarder.run() }
      try await fill(opened.outbox, (round * 5 + 1)...(round * 5 + 5))
      // In the middle of whatever it does.
      task.cancel()
      _ = await task.value
      await opened.database.close()
    }
    let opened = try await station.open()
    try await forwarding(opened.outbox, to: transport()) { await opened.outbox.drained() }
    await check(intake, 30)
    #expect(try station.pageFiles().isEmpty)
    await intake.stop()
  }

  @Test func `a listener that runs as somebody else gets nothing`() async throws {
    let opened = try await station.open()
    let intake = try await intake()
    try await fill(opened.outbox, 1...2)
    let stranger = HTTPIntakeTransport(target: .unix(path: socket), ownerCheck: { _ in false })
    try await forwarding(opened.outbox, to: stranger) {
      await opened.outbox.settled { if case .trouble(.stranger, _, _) = $0.endpoint { true } else { false } }
    }
    #expect(await intake.verification().eventCount == 0)
    #expect(await intake.verification().blobs == 0)
    #expect(await opened.outbox.status().pendingEvents == 8)
    await intake.stop()
  }

  @Test func `an event that the intake rejects by name is set aside, and only that`() async throws {
    let opened = try await station.open()
    let intake = try await intake()
    await intake.inject(.reject(nth: 2, type: "gov.hall.rating.v1", reason: "办件不存在"))
    try await fill(opened.outbox, 1...5)
    try await forwarding(opened.outbox, to: transport()) { await opened.outbox.drained() }
    let items = try await opened.outbox.quarantine.list()
    #expect(items.map(\.reason) == [.rejected("办件不存在")])
    #expect(await intake.verification().events["gov.hall.rating.v1"] == 4)
    #expect(await intake.verification().problems.count == 1)
    await intake.stop()
  }
}

/// A receiving intake notices what it was made to do wrong: otherwise its word would be worth nothing.
@Suite(.timeLimit(.minutes(5))) struct ReceivingIntakeTests {
  let hall: TemporaryDirectory
  let client: HTTPClient

  init() throws {
    hall = try TemporaryDirectory()
    client = HTTPClient(target: .unix(path: hall.path("i.sock")))
  }

  func intake() async throws -> ReceivingIntake {
    try await ReceivingIntake(directory: hall.path("received"), socketPath: hall.path("i.sock"))
  }

  func put(_ bytes: [UInt8], as digest: String? = nil, type: String = "image/png") async throws -> Int {
    try await client.send(
      .put, "/v1/blobs/\(digest ?? SHA256.digest(of: bytes).hex)", body: bytes, contentType: type,
      timeout: .seconds(10)
    ).status
  }

  func event(_ sequence: Int, _ changes: [String: JSONValue] = [:]) -> JSONValue {
    var event: JSONValue = [
      "specversion": "1.0", "id": .string(Identifier.uuidV7()), "source": "/halls/1/positions/2/devices/a",
      "type": "gov.hall.rating.v1", "time": "2026-02-03T04:05:06Z", "datacontenttype": "application/json",
      "epoch": "0b5e8f9a-96c1-4b3b-9d7e-1a2b3c4d5e6f",
      "sequence": .string(CloudEvent.padded(Int64(sequence))),
      "data": ["level": 5],
    ]
    for (name, value) in changes { event[name] = value == .null ? nil : value }
    return event
  }

  func post(_ events: [JSONValue], type: String = "application/cloudevents-batch+json") async throws -> Int {
    try await client.send(
      .post, "/v1/events", body: try JSON.encode(events), contentType: type, timeout: .seconds(10)
    ).status
  }

  @Test func `a page stored with one byte wrong is found`() async throws {
    let intake = try await intake()
    await intake.inject(.storeOneByteWrong(nth: 2))
    for number in 0..<3 as Range<UInt8> { #expect(try await put([number, 1, 2]) == 204) }
    let problems = await intake.verification().problems
    #expect(problems.count == 1)
    #expect(problems.first?.contains(SHA256.digest(of: [1, 1, 2]).hex) == true)
  }

  @Test func `an event that was thrown away is found by the gap it leaves`() async throws {
    let intake = try await intake()
    await intake.inject(.dropEvent(nth: 2))
    #expect(try await post([event(1), event(2), event(3)]) == 204)
    let verification = await intake.verification()
    #expect(verification.eventCount == 2)
    #expect(
      verification.problems == [
        "/halls/1/positions/2/devices/a, epoch 0b5e8f9a-96c1-4b3b-9d7e-1a2b3c4d5e6f: 2 is missing."
      ])
  }

  @Test func `events in the wrong order are found, and pages that came after their event`() async throws {
    let intake = try await intake()
    let bytes: [UInt8] = [1, 2, 3]
    let named = event(3, ["data": ["pages": [["blob": .string(SHA256.digest(of: bytes).hex)]]]])
    #expect(try await post([event(2), event(1), named]) == 204)
    #expect(try await put(bytes) == 204)
    let problems = await intake.verification().problems
    #expect(problems.count == 2)
    #expect(problems.contains { $0.contains("1 came after 2") })
    #expect(problems.contains { $0.contains("did not come before it") })
  }

  @Test func `an event that comes twice counts once, also after a restart`() async throws {
    var intake = try await intake()
    let event = event(1)
    #expect(try await post([event]) == 204)
    #expect(try await post([event]) == 204)
    #expect(await intake.verification().duplicates == 1)
    await intake.stop()
    intake = try await self.intake()
    #expect(try await post([event]) == 204)
    let verification = await intake.verification()
    #expect(verification.eventCount == 1)
    #expect(verification.duplicates == 1)
    #expect(verification.problems == [])
    // The same id with something else in it is no duplicate.
    var other = event
    other["data"] = ["level": 1]
    #expect(try await post([other]) == 204)
    #expect(await intake.verification().problems.count == 1)
  }

  @Test func `a page that was damaged on the disk is found, and made good when it comes again`() async throws
  {
    let intake = try await intake()
    let bytes = [UInt8](repeating: 7, count: 1000)
    #expect(try await put(bytes) == 204)
    try Station.damage(hall.path("received/blobs/\(SHA256.digest(of: bytes).hex)"))
    #expect(await intake.verification().problems.count == 1)
    #expect(try await put(bytes) == 204)
    #expect(await intake.verification().problems == [])
    #expect(await intake.verification().blobs == 1)
  }

  @Test func `what is not as the API says is refused`() async throws {
    let intake = try await intake()
    #expect(try await put([1], as: SHA256.digest(of: [2]).hex) == 400)
    #expect(try await put([1], as: SHA256.digest(of: [1]).hex.uppercased()) == 400)
    #expect(try await put([1], as: "x") == 400)
    #expect(try await put([1], type: "image/gif") == 415)
    #expect(try await post([]) == 413)
    #expect(try await post((1...501).map { event($0) }) == 413)
    #expect(try await post([event(1)], type: "application/json") == 415)
    for (name, wrong) in [
      ("id", "x"), ("id", "0b5e8f9a-96c1-4b3b-9d7e-1a2b3c4d5e6f"), ("specversion", "0.3"),
      ("source", "halls"),
      ("type", ""), ("time", "yesterday"), ("datacontenttype", "text/plain"), ("epoch", "1"),
      ("sequence", "1"),
      ("sequence", "0000000000000000000x"), ("sequence", "00000000000000000000"), ("data", 5),
      ("clock", "late"), ("simulated", false), ("colour", "red"),
      ("id", .null), ("source", .null), ("data", .null), ("sequence", .null), ("epoch", .null),
    ] as [(String, JSONValue)] {
      #expect(try await post([event(1, [name: wrong])]) == 422, "\(name) \(wrong)")
    }
    #expect(try await client.send(.get, "/v1/events", timeout: .seconds(10)).status == 405)
    #expect(try await client.send(.get, "/v1/nothing", timeout: .seconds(10)).status == 404)
    #expect(await intake.verification().eventCount == 0)
    // And what the client did wrong is remembered.
    #expect(await intake.verification().problems.count == 20)
  }

  @Test func `what it takes is told as it comes`() async throws {
    let intake = try await intake()
    let notices = await intake.notices()
    #expect(try await put([1]) == 204)
    let event = event(1)
    #expect(try await post([event]) == 204)
    var taken: [IntakeNotice] = []
    for await notice in notices {
      taken.append(notice)
      if taken.count == 2 { break }
    }
    #expect(
      taken == [
        .blob(digest: SHA256.digest(of: [1]).hex, mediaType: "image/png", bytes: 1),
        .event(
          type: "gov.hall.rating.v1", id: event["id"]?.string ?? "", source: "/halls/1/positions/2/devices/a"),
      ])
  }
}
