import Crypto
import HTTPClient
import HallKit
import Posix
import TestKit
import Testing
import WireJSON

/// The far end of the other tests is as strict as it says: what it does not complain about is right.
@Suite(.timeLimit(.minutes(5)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct PythonIntakeTests {
  private func start() async throws -> PythonIntake {
    let intake = PythonIntake(in: try TemporaryDirectory())
    try await intake.start()
    return intake
  }

  private func put(
    _ intake: PythonIntake, _ bytes: [UInt8], as digest: String? = nil, type: String = "image/png"
  )
    async throws -> Int
  {
    let client = HTTPClient(target: .unix(path: intake.socket))
    let response = try await client.send(
      .put, "/v1/blobs/" + (digest ?? SHA256.digest(of: bytes).hex), body: bytes, contentType: type,
      timeout: .seconds(300))
    await client.close()
    return response.status
  }

  private func post(
    _ intake: PythonIntake, _ events: [JSONValue], type: String = "application/cloudevents-batch+json"
  )
    async throws -> (status: Int, body: JSONValue)
  {
    let client = HTTPClient(target: .unix(path: intake.socket))
    let response = try await client.send(
      .post, "/v1/events", body: try JSON.encode(JSONValue.array(events)), contentType: type,
      timeout: .seconds(300),
      idempotent: false)
    await client.close()
    return (response.status, (try? JSON.parse(response.body)) ?? .null)
  }

  private func event(_ sequence: Int, _ changes: [String: JSONValue?] = [:]) -> JSONValue {
    let digits = String(sequence)
    var event: JSONValue = [
      "specversion": "1.0", "id": .string(Identifier.uuidV7()), "time": "2026-10-05T09:00:00+08:00",
      "datacontenttype": "application/json", "source": "/halls/h/positions/p/devices/dispenser",
      "epoch": "0e984725-c51c-4bf4-9960-e1c80e27aba0",
      "sequence": .string(String(repeating: "0", count: 20 - digits.count) + digits),
      "type": "gov.hall.ticket.v1",
      "data": [
        "ticket": "0190c0de-0000-7000-8000-00000000abcd", "number": "A001", "businessDay": "2026-10-05",
        "issuedAt": "2026-10-05T09:00:00+08:00", "printed": "yes", "device": ["role": "dispenser"],
      ],
    ]
    for (name, value) in changes { event[name] = value }
    return event
  }

  @Test func `what it has accepted outlives it, and comes again without harm`() async throws {
    let intake = try await start()
    let page = Array("a page".utf8)
    #expect(try await put(intake, page) == 201)
    #expect(try await put(intake, page) == 204)
    let first = event(1)
    #expect(try await post(intake, [first]).status == 204)
    try await intake.kill()
    try await intake.start()
    #expect(try await put(intake, page) == 204)
    #expect(try await post(intake, [first, event(2)]).status == 204)
    #expect(try intake.events().count == 2)
    #expect(try intake.blob(SHA256.digest(of: page).hex) == page)
    #expect(try intake.violations() == [])
    #expect(try intake.gaps() == [])
  }

  @Test func `it refuses what the document does not allow, and keeps a list`() async throws {
    let intake = try await start()
    #expect(try await put(intake, [1, 2, 3], as: String(repeating: "0", count: 64)) == 400)
    #expect(try await put(intake, [1, 2, 3], type: "text/html") == 415)
    #expect(try await post(intake, []).status == 400)
    #expect(try await post(intake, [event(1)], type: "application/json").status == 400)
    let wrong: [(String, JSONValue?)] = [
      ("specversion", "1.1"), ("id", "0e984725-c51c-4bf4-9960-e1c80e27aba0"), ("time", "2026-10-05T09:00:00"),
      ("source", "/halls/h/devices/dispenser"), ("epoch", "1"), ("sequence", "7"),
      ("type", "gov.hall.unknown.v1"),
      ("simulated", "true"), ("subject", ""), ("clock", "fast"), ("extra", 1),
      ("datacontenttype", Optional.none),
      ("data", ["number": "A001"]),
    ]
    for (name, value) in wrong {
      let answer = try await post(intake, [event(1, [name: value])])
      #expect(answer.status == 200 && answer.body["rejected"]?.array?.count == 1, "\(name): \(answer)")
    }
    var data = event(1)["data"]
    data?["printed"] = "perhaps"
    #expect(try await post(intake, [event(1, ["data": data])]).body["rejected"]?.array?.count == 1)
    #expect(try intake.events().isEmpty)
    #expect(try intake.violations().count == 4 + wrong.count + 1)
  }

  @Test func `it notices events out of order, changed ones, and pages that come too late`() async throws {
    let intake = try await start()
    let second = event(2)
    #expect(try await post(intake, [second]).status == 204)
    #expect(try intake.gaps().count == 1)
    #expect(try await post(intake, [event(1)]).status == 204)
    var changed = second
    changed["time"] = "2026-10-05T09:00:01+08:00"
    #expect(try await post(intake, [changed]).status == 204)
    let page: JSONValue = [
      "material": "m", "page": "p", "order": 1, "sheet": 1, "side": "front", "mediaType": "image/png",
      "bytes": 3,
      "blob": .string(SHA256.digest(of: [1, 2, 3]).hex), "device": ["role": "dispenser"],
    ]
    let early = event(3, ["type": "gov.hall.material.page.v1", "data": page])
    #expect(try await post(intake, [early]).body["rejected"]?.array?.count == 1)
    #expect(try await put(intake, [1, 2, 3]) == 201)
    #expect(try await post(intake, [early]).status == 204)
    let found = try intake.violations()
    #expect(
      found.count == 3 && found[0].contains(" after ") && found[1].contains("other contents"), "\(found)")
    #expect(found.last?.contains("was not accepted before") == true)
  }

  @Test func `it is ill when it is told to be, and stores nothing then`() async throws {
    let intake = try await start()
    try intake.misbehave("503 7")
    #expect(try await post(intake, [event(1)]).status == 503)
    try intake.misbehave("code500")
    let answer = try await post(intake, [event(1)])
    #expect(answer.status == 200 && answer.body == ["code": 500])
    #expect(try await put(intake, [1]) == 200)
    #expect(try intake.events().isEmpty && intake.blobs().isEmpty)
    try intake.misbehave("lose-answers")
    await #expect(throws: HTTPClientError.self) { try await post(intake, [event(1)]) }
    try intake.misbehave(nil)
    #expect(try intake.events().count == 1)
    #expect(try await post(intake, [event(2)]).status == 204)
  }
}
