import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What is on a citizen's card goes to whoever asked for it, and nowhere else.
@Suite(.timeLimit(.minutes(5))) struct PrivacyTests {
  private struct Needle {
    var what: String
    var bytes: [UInt8]
  }

  /// The sample persons' data (facts/idcard.md 8) in every form in which it might lie about.
  private static let needles: [Needle] = {
    let texts = [
      "张测试", "11010519491231002X", "北京市朝阳区样例路1号", "11010519491231002x", "样例港人", "810000199001010019",
      "广东省深圳市样例路2号", "SAMPLE, PERSON", "AAA110090010100", "911000199001010013",
    ]
    // WLT head of every sample card's photo (facts/idcard.md 6), then 0, 1, 2 …
    let photo: [UInt8] =
      [0x57, 0x4C, 0x66, 0x00, 0x7E, 0x00, 0x32, 0x00] + (0..<1016).map { UInt8($0 & 255) }
    var needles: [Needle] = []
    for text in texts {
      let utf16 = text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
      needles.append(Needle(what: "\(text) in UTF-8", bytes: Array(text.utf8)))
      needles.append(Needle(what: "\(text) in UTF-16LE", bytes: utf16))
      needles.append(Needle(what: "\(text) in base64", bytes: Array(Base64.encode(Array(text.utf8)).utf8)))
      needles.append(Needle(what: "\(text) in hexadecimal", bytes: Array(hex(Array(text.utf8)).utf8)))
      if let gb = Iconv.encode(text, to: .gb18030) {
        needles.append(Needle(what: "\(text) in GB18030", bytes: gb))
      }
    }
    needles.append(Needle(what: "the photo", bytes: Array(photo.prefix(64))))
    needles.append(
      Needle(what: "the photo in base64", bytes: Array(Base64.encode(Array(photo.prefix(48))).utf8)))
    needles.append(Needle(what: "the photo in hexadecimal", bytes: Array(hex(Array(photo.prefix(48))).utf8)))
    return needles
  }()

  private static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// Looks for the needle's last byte first and moves on by as much as what stands there allows (Horspool 1980): there is
  /// much hay.
  private static func contains(_ bytes: [UInt8], _ needle: [UInt8]) -> Bool {
    guard let last = needle.last, bytes.count >= needle.count else { return false }
    var steps = [Int](repeating: needle.count, count: 256)
    for (index, byte) in needle.dropLast().enumerated() { steps[Int(byte)] = needle.count - 1 - index }
    var end = needle.count - 1
    while end < bytes.count {
      let byte = bytes[end]
      if byte == last, bytes[(end + 1 - needle.count)...end].elementsEqual(needle) { return true }
      end += steps[Int(byte)]
    }
    return false
  }

  private static func commandLines() throws -> [(path: String, bytes: [UInt8])] {
    try Files.list("/proc").filter { $0.allSatisfy(\.isNumber) }.compactMap { process in
      let path = "/proc/\(process)/cmdline"
      return (try? Files.read(path, limit: 1 << 20)).map { (path, $0) }
    }
  }

  @Test func `a card's contents are in no log, no file, no command line and not at the intake`() async throws
  {
    let files = try TemporaryDirectory()
    let intake = PythonIntake(in: files)
    if PythonIntake.isExpected { try await intake.start() }
    let hall = """
      [hall]
      speed = instant
      [device idcard]
      model = id-card-reader
      start = additional-address yes
      """
    let devices = try await SimulatedDevices(in: files, hall: hall)
    let position = Position(in: files)
    try position.write(try devices.section("idcard"))
    try await position.start()
    try await position.ready("idcard")
    let feed = try await position.events()
    try await devices.apply("card present citizen", to: "idcard")

    // The needles are right: the answer itself has them.
    let card = try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "c-1"])
    let text = try JSON.encode(card)
    for needle in Self.needles
    where ["张测试 in UTF-8", "11010519491231002X in UTF-8", "the photo in base64"].contains(needle.what) {
      #expect(Self.contains(text, needle.bytes), "\(needle.what)")
    }

    // Through the technician's tool, while it runs and after; its own output is masked.
    let shown = try RunningProgram(
      Built.path("hallctl"), ["--socket", position.socket, "card", "read", "--timeout", "300"])
    try await feed.wait("prompt") { $0["step"] == "takeCardBack" }
    var found = try Self.commandLines()
    #expect(try await shown.lasting() == .exited(0))
    let output = shown.printed.value.all.joined(separator: "\n")
    #expect(output.contains("110105********002X") && !output.contains("11010519491231002X"))

    // A read that fails tells nothing either; neither does one that is asked for twice.
    try await devices.apply("card present damaged", to: "idcard")
    _ = try? await position.call(
      .readCard, ["role": "idcard"], body: ["requestId": "c-2", "timeoutSeconds": 2])
    _ = try? await position.call(.readCard, ["role": "idcard"], body: ["requestId": "c-1"])
    _ = try await position.call(.listRequests)
    let metrics = try await position.metrics()
    try await devices.apply("card remove", to: "idcard")
    if PythonIntake.isExpected { try await position.delivered() }
    let events = feed.events.value
    let log = try position.running.printed.value.all
    try await position.kill()

    found += try Self.commandLines()
    found += try position.everythingStored()
    found.append(("the log of a run that crashed", Array(log.joined(separator: "\n").utf8)))
    found.append(("the events of the API", Array(events.map { "\($0)" }.joined(separator: "\n").utf8)))
    found.append(("the metrics", metrics))
    if PythonIntake.isExpected { found += try Position.files(under: intake.store) }
    found += try Position.files(under: devices.directory)
    try await position.start()
    try await position.stop()
    found += try position.everythingStored()
    #expect(found.contains { $0.path.hasSuffix("hall.db") } && found.count > 10)
    for (path, bytes) in found {
      // Others of the tests' process wait for processors too.
      await Task.yield()
      for needle in Self.needles {
        #expect(!Self.contains(bytes, needle.bytes), "\(needle.what) is in \(path)")
      }
    }
  }

  /// `HALL_READS=10000` is the full size.
  @Test(.timeLimit(.minutes(120)))
  func `reads that go wrong in every way end in the card or a fault, and leave nothing of a card anywhere`()
    async throws
  {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(
      in: files,
      hall: """
        [hall]
        speed = instant
        seed = 7
        [device idcard]
        model = id-card-reader
        fingerprint-module = yes
        """)
    let position = Position(in: files)
    let settings = """
      find-interval = 1 ms
      retry-pause = 1 ms
      debounce = 0 ms
      attach-pause = 20 ms
      pause-timeout = 50 ms
      additional-address = yes
      """
    try position.write(try devices.section("idcard") + settings)
    try await position.start()
    try await position.ready("idcard")
    let feed = try await position.events()
    // Somebody else's program, in a language of its own: it makes the trouble and judges what comes of it.
    let reads = try await RunningProgram.run(
      "/usr/bin/python3",
      [
        Repository.root + "/Tests/Fixtures/card_reads.py", "--api", position.socket, "--control",
        devices.directory + "/control.sock", "--reads", Environment["HALL_READS"] ?? "40", "--seed", "1",
        "idcard",
      ])
    print(reads.output)
    #expect(reads.status == .exited(0), "\(reads.output)\(reads.errors)")
    var found = [("the metrics", try await position.metrics())]
    let events = feed.events.value
    found.append(("the events of the API", Array(events.map { "\($0)" }.joined(separator: "\n").utf8)))
    let log = try position.running.printed.value.all
    found.append(("the log", Array(log.joined(separator: "\n").utf8)))
    found += try position.everythingStored()
    try await position.stop()
    found += try position.everythingStored()
    found += try Position.files(under: devices.directory)
    for (path, bytes) in found {
      await Task.yield()
      for needle in Self.needles {
        #expect(!Self.contains(bytes, needle.bytes), "\(needle.what) is in \(path)")
      }
    }
  }

  @Test func `with a key nothing of a page or a visit lies open on the disk`() async throws {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try Files.replaceDurable(files.path("key"), bytes: (0..<32).map { UInt8($0 * 7) }, mode: 0o600)
    try position.write(outbox: "key-file = \(files.path("key"))", try devices.section("scanner"))
    try await position.start()
    try await position.ready("scanner")
    let visit = try await position.call(
      .openVisit,
      body: ["requestId": "v-1", "cases": [["case": "CASE-4711-SECRET"]], "staffNumber": "STAFF-0815"])
    let scan = try await position.call(
      .scan, ["role": "scanner"],
      body: [
        "requestId": "s-1", "name": "户口簿首页", "context": ["note": "CONTEXT-SECRET"], "hold": true,
        "visit": visit["visit"] ?? .null,
      ])
    let pages = scan["scanned"]?.array?.compactMap(\.string) ?? []
    #expect(pages.count == 4)
    let material = scan["material"]?["material"]?.string ?? ""
    let image = try await position.page(material, pages[0])
    #expect(image.starts(with: [0xFF, 0xD8]))
    _ = try await position.call(.submitMaterial, ["material": material], body: [:])
    try await position.kill()
    let stored = try position.everythingStored()
    #expect(stored.map(\.bytes.count).reduce(0, +) > image.count)
    let needles = [
      Needle(what: "a case", bytes: Array("CASE-4711-SECRET".utf8)),
      Needle(what: "a clerk's number", bytes: Array("STAFF-0815".utf8)),
      Needle(what: "a material's name", bytes: Array("户口簿首页".utf8)),
      Needle(what: "the caller's context", bytes: Array("CONTEXT-SECRET".utf8)),
      Needle(what: "a page", bytes: Array(image[1000..<1032])),
      Needle(what: "a JPEG's head", bytes: Array(image.prefix(20))),
    ]
    for (path, bytes) in stored {
      for needle in needles { #expect(!Self.contains(bytes, needle.bytes), "\(needle.what) is in \(path)") }
    }
    // And yet it is all there for the next run.
    try await position.start()
    let again = try await position.page(material, pages[0])
    #expect(again == image)
    #expect(try await position.call(.listVisits)["visits"]?[0]?["staffNumber"] == "STAFF-0815")
  }
}
