import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// Card reads through the programs: who may, what is masked, what a crash leaves, and the hall's own photo decoder.
@Suite(.timeLimit(.minutes(5))) struct CardReadingTests {
  private static let number = "11010519491231002X"

  private func start(
    agent: String = "", sections: String = "", hall: String = "", in files: TemporaryDirectory
  ) async throws -> (Position, SimulatedDevices) {
    let devices = try await SimulatedDevices(
      in: files,
      hall: """
        [hall]
        speed = instant
        [device idcard]
        model = id-card-reader
        \(hall)
        """)
    let position = Position(in: files)
    try position.write(agent: agent, try devices.section("idcard"), sections)
    try await position.start()
    try await position.ready("idcard")
    return (position, devices)
  }

  // MARK: - Who sees the number

  @Test func `the number is masked unless it is asked for, and then it is audited`() async throws {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(in: files)
    try await devices.apply("card present citizen", to: "idcard")
    func hallctl(_ words: String...) async throws -> RunningProgram.Result {
      try await RunningProgram.run(Built.path("hallctl"), ["--socket", position.socket] + words)
    }
    func audit() throws -> String {
      String(decoding: try Files.read(position.state + "/audit.log", limit: 1 << 20), as: UTF8.self)
    }
    for words in [["card", "read"], ["--json", "card", "read"]] {
      let masked = try await RunningProgram.run(Built.path("hallctl"), ["--socket", position.socket] + words)
      #expect(masked.status == .exited(0))
      #expect(masked.output.contains("110105********002X") && !masked.output.contains(Self.number))
    }
    #expect(try !audit().contains("card read"))
    let full = try await hallctl("card", "read", "--reveal")
    #expect(full.output.contains(Self.number))
    #expect(full.errors.contains("Take the card back."))
    #expect(
      try audit().contains("uid=\(ProcessInfo.userID)") && audit().contains("card read in full at idcard"))
    // Who goes by the API is audited as well.
    let answer = try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "full-1"])
    #expect(answer["fields"]?["idNumber"]?["value"]?.string == Self.number)
    #expect(try audit().contains("request full-1"))
    #expect(try !audit().contains(Self.number))
    try await position.stop()
  }

  @Test(arguments: [
    ("zh_CN.UTF-8", ["姓名", "证件号码", "请取回证件。"]), ("C.UTF-8", ["name", "number", "Take the card back."]),
  ])
  func `labels are in the technician's language`(locale: String, labels: [String]) async throws {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(in: files)
    try await devices.apply("card present citizen", to: "idcard")
    let read = try await RunningProgram.run(
      Built.path("hallctl"), ["--socket", position.socket, "card", "read"], environment: ["LANG": locale])
    for label in labels { #expect((read.output + read.errors).contains(label), "\(label)") }
    // A read that fails ends with it too.
    try await devices.apply("card remove", to: "idcard")
    let none = try await RunningProgram.run(
      Built.path("hallctl"), ["--socket", position.socket, "card", "read", "--timeout", "1"],
      environment: ["LANG": locale])
    #expect(none.status == .exited(2))
    #expect(none.errors.contains(labels[2]))
    try await position.stop()
  }

  @Test func `a kiosk reads a card only within a visit`() async throws {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(agent: "position-kind = kiosk", in: files)
    try await devices.apply("card present citizen", to: "idcard")
    let refusal = await refusal(of: "k-1", at: position)
    #expect(
      refusal?["code"] == "visit.required" && refusal?["actor"] == "citizen" && refusal?["status"] == 409)
    #expect(try devices.records(of: "idcard", "card-read").isEmpty)
    _ = try await position.call(.openVisit, body: ["requestId": "v-1"])
    let card = try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "k-2"])
    #expect(card["type"] == "citizen")
    try await position.stop()
  }

  /// Why a card is not read; nil when it is.
  private func refusal(of request: String, at position: Position) async -> JSONValue? {
    do throws(AgentCallError) {
      try await position.call(.readCard, ["role": "idcard"], body: ["requestId": .string(request)])
    } catch {
      if case .problem(_, let problem) = error { return problem }
    }
    return nil
  }

  @Test func `two who read at once each get a whole card`() async throws {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(in: files)
    try await devices.apply("card present citizen", to: "idcard")
    let names = try await withThrowingTaskGroup(of: String?.self) { group in
      for client in 0..<6 {
        group.addTask {
          try await position.call(
            .readCard, ["role": "idcard"], body: ["requestId": .string("two-\(client)")])[
              "fields"]?["name"]?.string
        }
      }
      var names: [String?] = []
      for try await name in group { names.append(name) }
      return names
    }
    #expect(names == [String?](repeating: "张测试", count: 6))
    #expect(try devices.records(of: "idcard", "card-read").count == 6)
    try await position.stop()
  }

  // MARK: - A crash

  @Test func `a crash in the middle of a read leaves no core file and tells nothing of the card`()
    async throws
  {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(in: files)
    try await devices.apply("card present citizen", to: "idcard")
    // Every byte of the card arrives and the agent has most of it when it is hit.
    try await devices.apply("split replies", to: "idcard")
    try await devices.apply("delay 400 ms", to: "idcard")
    let feed = try await position.events()
    let program = try position.running
    let before = Set(try Files.list("."))
    let read = Task { try? await position.call(.readCard, ["role": "idcard"], body: ["requestId": "c-1"]) }
    try await feed.wait("prompt") { $0["step"] == "reading" }
    let limits = String(
      decoding: try Files.read("/proc/\(program.processID)/limits", limit: 1 << 16), as: UTF8.self)
    let core = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") }
    #expect(core?.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
    #expect(try await program.end(Signals.segmentationViolation) == .signalled(Signals.segmentationViolation))
    _ = await read.value
    let left = Set(try Files.list(".")).subtracting(before).filter { $0.hasPrefix("core") }
    #expect(left.isEmpty)
    let printed = program.printed.value.all.joined(separator: "\n")
    #expect(!printed.contains("Registers") && !printed.contains(Self.number) && !isCrashReport(printed))
  }

  @Test(.enabled(if: ProcessInfo.userID == 0, "another program's memory is root's to read"))
  func `nothing of a card is left in the agent's memory`() async throws {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(in: files)
    let program = try position.running
    try await devices.apply("card present citizen", to: "idcard")
    func findings() throws -> Int {
      try WritableMemory.count(of: needles, in: program.processID)
    }
    #expect(try findings() == 0)
    for read in 1...3 {
      let card = try await position.call(
        .readCard, ["role": "idcard"], body: ["requestId": .string("m-\(read)")])
      #expect(card["fields"]?["idNumber"]?["value"]?.string == Self.number)
    }
    // Connections and tasks end a little later than the answer.
    _ = try await Attempts.until("the card is forgotten") { try findings() == 0 ? true : nil }
    // What the test looks for can be found: this process has it.
    let kept = needles.map { $0 + [0] }
    #expect(try WritableMemory.count(of: needles, in: ProcessInfo.processID) >= kept.count)
    try await position.stop()
  }

  /// The number and the address in both codes: long enough that nothing else is like them.
  private var needles: [[UInt8]] {
    [Self.number, "北京市朝阳区样例路1号"].flatMap { text in
      [Array(text.utf8), text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }]
    }
  }

  // MARK: - The photo

  /// Writes a program that stands for a decoder: it looks at the photo's head and gives a grey picture.
  private func decoder(
    _ script: String, timeout: String = "30 s", in files: TemporaryDirectory
  ) throws -> String {
    try Files.makeDirectory(files.path("decoder"), mode: 0o755, parents: false)
    let path = files.path("decoder/decode")
    try Files.replaceDurable(path, bytes: Array(("#!/bin/sh\n" + script).utf8), mode: 0o755)
    try Files.setMode(files.path, 0o755)
    return "[photo-decoder]\nprogram = \(path)\ntimeout = \(timeout)\n"
  }

  private static let bitmap = #"""
    head=$(head -c 3)
    [ "$head" = WLf ] || exit 3
    cat > /dev/null
    printf 'BM\316\227\0\0\0\0\0\0\066\0\0\0\050\0\0\0\146\0\0\0\176\0\0\0\1\0\030\0'
    head -c 24 /dev/zero
    head -c 38808 /dev/zero | tr '\0' '\200'
    """#

  @Test func `a decoder that the hall names gives a picture beside the block`() async throws {
    let files = try TemporaryDirectory()
    let (position, devices) = try await start(sections: try decoder(Self.bitmap, in: files), in: files)
    try await devices.apply("card present citizen", to: "idcard")
    let card = try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "p-1"])
    #expect(card["photo"]?["decoded"] == true)
    #expect(
      card["photo"]?["format"] == "wlt" && card["photo"]?["data"]?.string?.hasPrefix("V0xmAH4AMgA") == true)
    #expect(card["photo"]?["picture"]?["mediaType"] == "image/bmp")
    #expect(card["photo"]?["picture"]?["data"]?.string?.count == 38862 / 3 * 4)
    try await position.stop()
  }

  @Test(arguments: [
    ("cat > /dev/null; echo not a picture", "does not give a picture"), ("exit 7", "ended with 7"),
    ("while :; do :; done", "takes too long"), ("head -c 99999999 /dev/zero", "gives more than"),
    ("kill -9 $$", "ended by signal 9"),
    (
      "cat > /dev/null; printf 'BM\\072\\0\\0\\0\\0\\0\\0\\0\\066\\0\\0\\0\\050\\0\\0\\0\\1\\0\\0\\0\\1\\0\\0\\0\\1\\0\\030\\0'; head -c 28 /dev/zero",
      "a picture of 1 × 1"
    ),
  ])
  func `what is no photo is not passed on`(script: String, reason: String) async throws {
    let files = try TemporaryDirectory()
    // Only where its end is what is tested: a decoder may be slow on a busy machine.
    let isEndless = script.contains("while :")
    let sections = try decoder(script, timeout: isEndless ? "500 ms" : "30 s", in: files)
    let (position, devices) = try await start(sections: sections, in: files)
    try await devices.apply("card present citizen", to: "idcard")
    let card = try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "p-1"])
    #expect(card["photo"]?["decoded"] == false && card["photo"]?["picture"] == nil)
    #expect(card["fields"]?["name"] == "张测试")
    let told = try await position.running.line(containing: "photo not decoded")
    #expect(told.contains(reason))
    try await position.stop()
  }

  @Test func `fingerprints are given only where the device's settings ask for them`() async throws {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(
      in: files,
      hall: """
        [hall]
        speed = instant
        [device idcard]
        model = id-card-reader
        fingerprint-module = yes
        start = fingerprints 2; card present citizen
        """)
    let position = Position(in: files)
    try position.write(try devices.section("idcard") + "fingerprints = yes\ncard-number = yes\n")
    try await position.start()
    try await position.ready("idcard")
    let card = try await position.call(.readCard, ["role": "idcard"], body: ["requestId": "f-1"])
    #expect(card["fingerprints"]?.array?.map { $0["finger"]?.string } == ["right-thumb", "left-thumb"])
    #expect(card["fingerprints"]?[0]?["registration"] == "notRegistered")
    #expect(card["cardNumber"]?.string?.count == 56)
    try await position.stop()
  }
}

/// The memory that a program has made itself.
enum WritableMemory {
  static func count(of needles: [[UInt8]], in process: Int32) throws -> Int {
    let maps = String(decoding: try Files.read("/proc/\(process)/maps", limit: 1 << 22), as: UTF8.self)
    var found = 0
    for line in maps.split(separator: "\n") {
      let words = line.split(separator: " ")
      // What a file backs are the program's own constants, the simulated card's among them.
      guard words.count >= 5, words[1].hasPrefix("rw"), words[4] == "0" else { continue }
      let bounds = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
      guard bounds.count == 2 else { continue }
      // A thread's stack or an arena may have gone since.
      guard
        let bytes = try? Files.readPart(
          "/proc/\(process)/mem", from: bounds[0], count: Int(bounds[1] - bounds[0]))
      else { continue }
      for needle in needles { found += occurrences(of: needle, in: bytes) }
    }
    return found
  }

  private static func occurrences(of needle: [UInt8], in bytes: [UInt8]) -> Int {
    guard let last = needle.last, bytes.count >= needle.count else { return 0 }
    var steps = [Int](repeating: needle.count, count: 256)
    for (index, byte) in needle.dropLast().enumerated() { steps[Int(byte)] = needle.count - 1 - index }
    var end = needle.count - 1
    var count = 0
    while end < bytes.count {
      let byte = bytes[end]
      if byte == last, bytes[(end + 1 - needle.count)...end].elementsEqual(needle) { count += 1 }
      end += steps[Int(byte)]
    }
    return count
  }
}
