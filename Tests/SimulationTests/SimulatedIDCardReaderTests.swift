import Codecs
import Testing

@testable import Simulation

/// Held against the literal frames of facts/idcard.md 3 and 8; no codec of ours makes a request here.
@Suite struct SimulatedIDCardReaderTests {
  static let find = "AA AA AA 96 69 00 03 20 01 22"
  static let select = "AA AA AA 96 69 00 03 20 02 21"
  static let read = "AA AA AA 96 69 00 03 30 01 32"
  static let readWithFingerprints = "AA AA AA 96 69 00 03 30 10 23"
  static let readAddress = "AA AA AA 96 69 00 03 30 03 30"

  private var reader = SimulatedIDCardReader()

  private mutating func ask(_ request: String) -> [UInt8] { reader.receive(hex(request)).sent }
  private func status(_ tail: String) -> [UInt8] { hex("AA AA AA 96 69 00 04 00 00 " + tail) }

  @Test mutating func `a healthy module answers its status with 90`() {
    #expect(ask("AA AA AA 96 69 00 03 11 FF ED") == status("90 94"))
  }

  @Test mutating func `the module number is the published one`() {
    #expect(
      ask("AA AA AA 96 69 00 03 12 FF EE")
        == hex("AA AA AA 96 69 00 14 00 00 90 05 00 01 00 09 B8 32 01 05 BE 12 00 AD C5 B1 11 63"))
  }

  @Test mutating func `without a card find answers 80`() { #expect(ask(Self.find) == status("80 84")) }

  @Test mutating func `find, select and read follow each other`() throws {
    try reader.command("card present citizen")
    #expect(ask(Self.find) == hex("AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97"))
    #expect(ask(Self.select) == hex("AA AA AA 96 69 00 0C 00 00 90 00 00 00 00 00 00 00 00 9C"))
    let reply = ask(Self.read)
    #expect(reply.count == 1295)
    #expect(reply.starts(with: hex("AA AA AA 96 69 05 08 00 00 90 01 00 04 00")))
    let fields =
      "20 5F 4B 6D D5 8B" + String(repeating: " 20 00", count: 12) + " 32 00 30 00 31 00 31 00 39 00 34 00"
    #expect(Array(reply[14...]).starts(with: hex(fields)))
  }

  @Test(
    arguments: [
      ("citizen", 0x18), ("residence-permit", 0x06), ("foreigner-2017", 0x67), ("foreigner-2023", 0x11),
    ] as [(String, UInt8)])
  func `each sample card has the published check byte with an empty photo`(card: String, check: UInt8) throws
  {
    var options = SimulatedIDCardReader.Options()
    options.photo = [UInt8](repeating: 0, count: 1024)
    var reader = SimulatedIDCardReader(options)
    try reader.command("card present \(card)")
    _ = reader.receive(hex(Self.find) + hex(Self.select))
    #expect(reader.receive(hex(Self.read)).sent.last == check)
  }

  @Test(arguments: [(0, 1297, 0x1A), (1, 1809, nil), (2, 2321, nil)] as [(Int, Int, UInt8?)])
  func `fingerprints make the frame longer`(count: Int, length: Int, check: UInt8?) throws {
    var options = SimulatedIDCardReader.Options()
    options.photo = [UInt8](repeating: 0, count: 1024)
    var reader = SimulatedIDCardReader(options)
    try reader.command("fingerprint-module yes")
    try reader.command("fingerprints \(count)")
    try reader.command("card present citizen")
    _ = reader.receive(hex(Self.find) + hex(Self.select))
    let reply = reader.receive(hex(Self.readWithFingerprints)).sent
    #expect(reply.count == length)
    if let check { #expect(reply.last == check) }
  }

  @Test mutating func `a module without fingerprints answers 21`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select)
    #expect(ask(Self.readWithFingerprints) == status("21 25"))
  }

  @Test mutating func `the photo begins as a WLT photo and is a plain count`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select)
    let photo = Array(ask(Self.read)[270..<1294])
    #expect(photo.starts(with: hex("57 4C 66 00 7E 00 32 00 00 01 02 03")))
    #expect(photo.count == 1024)
  }

  @Test mutating func `select and read before find answer 34`() throws {
    try reader.command("card present citizen")
    #expect(ask(Self.select) == status("34 30"))
    #expect(ask(Self.read) == status("34 30"))
  }

  @Test func `other modules answer 81 and 41 out of order`() throws {
    var options = SimulatedIDCardReader.Options()
    options.answersNotFoundYet = false
    var reader = SimulatedIDCardReader(options)
    try reader.command("card present citizen")
    #expect(reader.receive(hex(Self.select)).sent == status("81 85"))
    #expect(reader.receive(hex(Self.read)).sent == status("41 45"))
  }

  @Test mutating func `a second read needs a new find`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select) + ask(Self.read)
    #expect(ask(Self.read) == status("34 30"))
    _ = ask(Self.find) + ask(Self.select)
    #expect(ask(Self.read).count == 1295)
  }

  @Test mutating func `a card that must be re-placed is not found again until it was lifted`() throws {
    try reader.command("must-re-place on")
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select) + ask(Self.read)
    #expect(ask(Self.find) == status("80 84"))
    try reader.command("card remove")
    try reader.command("card present citizen")
    #expect(ask(Self.find).count == 15)
  }

  @Test mutating func `a card moved after find fails at select`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find)
    try reader.command("card moved")
    #expect(ask(Self.select) == status("81 85"))
    #expect(ask(Self.find).count == 15)
    #expect(ask(Self.select).count == 19)
  }

  @Test mutating func `a card moved during the read fails with 41`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select)
    try reader.command("card moved while reading")
    #expect(ask(Self.read) == status("41 45"))
  }

  @Test mutating func `a card swapped between find and select is not read as the first`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find)
    try reader.command("card remove")
    try reader.command("card present residence-permit")
    #expect(ask(Self.select) == status("81 85"))
  }

  @Test mutating func `a card taken away after select fails at read`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select)
    try reader.command("card remove")
    #expect(ask(Self.read) == status("41 45"))
  }

  @Test mutating func `the additional address is there or answered with 91`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select) + ask(Self.read)
    #expect(ask(Self.readAddress) == status("91 95"))
    try reader.command("additional-address yes")
    let text = "17 53 AC 4E 02 5E 37 68 8B 4F 3A 53 37 68 8B 4F 57 88 33 00 F7 53"
    let padding = String(repeating: " 20 00", count: 24)
    #expect(ask(Self.readAddress) == hex("AA AA AA 96 69 00 4A 00 00 90 " + text + padding + " 01"))
    #expect(ask("AA AA AA 96 69 00 03 30 02 31") == status("21 25"))
  }

  @Test mutating func `the card number has 28 bytes`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find) + ask(Self.select)
    #expect(ask("AA AA AA 96 69 00 03 30 05 36").count == 10 + 28 + 1)
  }

  @Test(arguments: [
    ("AA AA AA 96 69 00 03 20 01 23", "10 14"), ("AA AA AA 96 69 00 01 20", "11 15"),
    ("AA AA AA 96 69 00 03 77 01 75", "21 25"), ("AA AA AA 96 69 00 03 60 09 6A", "21 25"),
    ("AA AA AA 96 69 00 04 61 FF 10 8A", "21 25"), ("AA AA AA 96 69 00 04 61 FF 18 82", "90 94"),
    ("AA AA AA 96 69 00 03 60 04 67", "90 94"), ("AA AA AA 96 69 00 03 10 FF EC", "90 94"),
  ])
  func `bad requests are answered with 10, 11 or 21, good ones with 90`(request: String, tail: String) {
    var reader = SimulatedIDCardReader()
    #expect(reader.receive(hex(request)).sent.starts(with: status(tail)))
  }

  @Test mutating func `a request may come in any pieces, and two in one piece`() {
    var sent: [UInt8] = []
    for byte in hex(Self.find) { sent += reader.receive([byte]).sent }
    #expect(sent == status("80 84"))
    #expect(reader.receive(hex(Self.find + " " + Self.find)).sent == status("80 84") + status("80 84"))
  }

  @Test mutating func `a request whose rest does not come is answered with 11`() {
    let actions = reader.receive(hex("AA AA AA 96 69 00 03 20"))
    #expect(actions.sent.isEmpty)
    let (token, after) = actions.wakes[0]
    #expect(after == .seconds(1))
    #expect(reader.woke(token).sent == status("11 15"))
    #expect(reader.woke(token).isEmpty)
    #expect(ask(Self.find) == status("80 84"))
  }

  @Test mutating func `a failed self-test answers everything with 60`() throws {
    try reader.command("self-test failed")
    #expect(ask(Self.find) == status("60 64"))
    #expect(ask("AA AA AA 96 69 00 03 11 FF ED") == status("60 64"))
    try reader.command("self-test ok")
    #expect(ask("AA AA AA 96 69 00 03 11 FF ED") == status("90 94"))
  }

  @Test mutating func `a module without authorisation answers 66`() throws {
    try reader.command("authorised no")
    #expect(ask(Self.find) == status("66 62"))
    try reader.command("authorised yes")
    #expect(ask(Self.find) == status("80 84"))
  }

  @Test mutating func `next answer is for one command only`() throws {
    try reader.command("next answer 31")
    #expect(ask(Self.find) == status("31 35"))
    #expect(ask(Self.find) == status("80 84"))
  }

  @Test(arguments: [("bank-card", "40 44"), ("forged", "32 36"), ("damaged", "41 45")])
  func `troublesome cards fail where real ones do`(card: String, tail: String) throws {
    var reader = SimulatedIDCardReader()
    try reader.command("card present \(card)")
    let replies = reader.receive(hex(Self.find) + hex(Self.select) + hex(Self.read)).replies
    #expect(replies.contains(status(tail)))
    #expect(!replies.contains { $0.count == 1295 })
  }

  @Test mutating func `a card of unknown type has another letter at its place`() throws {
    try reader.command("card present unknown-type")
    _ = ask(Self.find) + ask(Self.select)
    let reply = ask(Self.read)
    #expect(Array(reply[262...263]) == hex("5A 00"))
  }

  @Test mutating func `records say which card was read and nothing of the person`() throws {
    try reader.command("card present citizen")
    let actions = reader.receive(hex(Self.find) + hex(Self.select) + hex(Self.read))
    #expect(actions.records.map(\.event) == ["card-read"])
    #expect(actions.records[0]["card"] == "citizen")
    #expect(!actions.records[0].fields.contains { $0.value.contains("11010519491231002X") })
  }

  @Test mutating func `losing power forgets the card that was found`() throws {
    try reader.command("card present citizen")
    _ = ask(Self.find)
    _ = reader.powerLost()
    #expect(ask(Self.select) == status("34 30"))
  }

  @Test func `taking a card away where there is none is refused`() {
    #expect(throws: SimulationError.self) {
      var reader = SimulatedIDCardReader()
      try reader.command("card remove")
    }
  }
}
