import Channels
import Codecs
import Posix
import Simulation
import TestKit
import Testing

@testable import SimulationHost

@Suite(.timeLimit(.minutes(1))) struct SimulatedHallTests {
  private func errors(_ text: String) -> [String] {
    do throws(ConfErrors) {
      _ = try SimulationConfiguration.read(Array(text.utf8), file: "hall.conf")
      return []
    } catch {
      return error.errors.map { "\($0.position.line):\($0.position.column)" }
    }
  }

  @Test func `the standard hall has one device of each model`() async throws {
    #expect(
      SimulationConfiguration.standard.devices.map(\.model) == [
        .idCardReader, .ticketDispenser, .esclScanner, .evaluator, .printer,
      ])
    let hall = try await SimulatedHall(.standard, time: RealTime(), logs: nil)
    #expect(hall.devices.map(\.name) == ["idcard", "dispenser", "scanner", "evaluator", "printer"])
    #expect(hall.devices.map(\.kind) == [.byteStream, .byteStream, .httpExchange, .byteStream, .printQueue])
    #expect(await hall.devices[2].state.contains(SimulationField("sheets", 4)))
  }

  @Test func `every key of every model is read`() async throws {
    let text = """
      [hall]
      speed = instant
      seed = 9
      [device a]
      model = id-card-reader
      must-re-place = yes
      fingerprint-module = yes
      address-command = 02
      out-of-order = 81-41
      read-needs-find = no
      start = card present citizen
      [device b]
      model = ticket-dispenser
      paper-width = 58 mm
      font = utf-8
      buffer = 1 KiB
      busy-when-offline = yes
      chinese-at-start = no
      echo = no
      automatic-status = no
      presenter = yes
      status = silent
      [device c]
      model = escl-scanner
      pages-per-minute = 200
      job-timeout = 5 s
      cover-word = HatchOpen
      start = load 2 pages
      start = jam at page 2; busy on
      [device d]
      model = evaluator
      addresses = 3, 4
      keys = 5:9, 1:8
      acknowledge-time = 100 ms
      repeats = 0
      [device e]
      model = printer
      queue = Front_Desk
      pages-per-minute = 10
      idle-faults = no
      """
    let configuration = try SimulationConfiguration.read(Array(text.utf8), file: "hall.conf")
    #expect(configuration.speed == .instant)
    #expect(configuration.seed == 9)
    let hall = try await SimulatedHall(configuration, time: RealTime(), logs: nil)
    func state(_ index: Int) async -> [SimulationField] { await hall.devices[index].state }
    #expect(await state(0).contains(SimulationField("card", "citizen")))
    #expect(await state(0).contains(SimulationField("must-re-place", "yes")))
    #expect(await state(1).contains(SimulationField("status", "silent")))
    #expect(await state(2).contains(SimulationField("sheets", 2)))
    #expect(await state(2).contains(SimulationField("busy", "yes")))
    #expect(await state(3).contains { $0.name == "4-plate" })
    #expect(await state(4).contains(SimulationField("queue", "Front_Desk")))
    await #expect(throws: SimulationError.self) { try await hall.apply("press 4", to: "d") }
    try await hall.apply("press 1", to: "d")
  }

  @Test(arguments: [
    ("", "1:1"), ("[device a]\nmodel = camera", "2:9"), ("[device a]", "1:1"),
    ("[device Café]\nmodel = printer", "1:1"), ("[device a]\nmodel = printer\nkeys = 5:1", "3:1"),
    ("[device a]\nmodel = evaluator\nkeys = 6:1", "3:8"), ("[device a]\nmodel = printer\nqueue = a b", "3:9"),
    ("[device a]\nmodel = printer\nstart = dance", "3:9"), ("[device a]\nmodle = printer", "2:1"),
    ("[device a]\nmodel = printer\n[device a]\nmodel = printer", "3:1"),
  ])
  func `mistakes are named by line and column`(text: String, place: String) {
    #expect(errors(text).contains(place), "\(errors(text))")
  }

  @Test func `a log has a line for each record, and numbers go on after a restart`() async throws {
    let directory = try TemporaryDirectory()
    for round in 1...2 {
      let hall = try await SimulatedHall(
        SimulationConfiguration.standard.at(.instant), time: RealTime(), logs: directory.path)
      try await hall.apply("press 5; press 4", to: "evaluator")
      let line = try await hall.device("dispenser").openLine()
      try await line.write(Array("A00\(round)\tx\\y\n".utf8) + hex("1D 56 00"), timeout: .seconds(50))
      await line.close()
    }
    let presses = String(
      decoding: try Files.read(directory.path("evaluator.log"), limit: 65_536), as: UTF8.self
    )
    .split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
    #expect(
      presses.map { $0[2] } == [
        "command", "press", "command", "press", "command", "press", "command", "press",
      ])
    #expect(presses.filter { $0[2] == "press" }.map { $0[3] } == (1...4).map { "press-number=\($0)" })
    #expect(presses.allSatisfy { $0[1] == "evaluator" && $0[0].contains("T") })
    let tickets = String(
      decoding: try Files.read(directory.path("dispenser.log"), limit: 65_536), as: UTF8.self
    )
    .split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
    #expect(tickets.map { $0[3] } == ["ticket-number=1", "ticket-number=2"])
    #expect(tickets[0].contains("lines=A001x\\\\y"))
  }

  @Test func `a ticket is in the log when the printer says that it is printed`() async throws {
    let directory = try TemporaryDirectory()
    let hall = try await SimulatedHall(
      SimulationConfiguration.standard.at(.instant), time: RealTime(), logs: directory.path)
    let line = try await hall.device("dispenser").openLine()
    for number in 1...20 {
      let echo = hex("1D 28 48 06 00 30 30 41 42 43 44")
      try await line.write(Array("A\(number)\n".utf8) + hex("1D 56 00") + echo, timeout: .seconds(50))
      #expect(try await line.read(upTo: 7, timeout: .seconds(50)) == hex("37 22 41 42 43 44 00"))
      let log = String(
        decoding: try Files.read(directory.path("dispenser.log"), limit: 65_536), as: UTF8.self)
      #expect(log.contains("ticket-number=\(number)\tend=cut\tlines=A\(number)\t"), "\(number)")
    }
  }

  @Test func `values in a log cannot make one line look like two`() {
    let record = SimulationRecord("job", [SimulationField("name", "a\tb\nc\\d\r")])
    let entry = SimulationEntry(number: 1, at: .zero, device: "printer", record: record)
    #expect(RecordLog.line(entry, at: "T") == "T\tprinter\tjob\tname=a\\tb\\nc\\\\d\\r")
  }

  @Test func `a directory that cannot be made is an error`() async {
    await #expect(throws: SimulatedHallError.self) {
      try await SimulatedHall(.standard, time: RealTime(), logs: "/dev/null/logs")
    }
  }

  @Test func `an unknown device is answered with the nearest one`() async throws {
    let hall = try await SimulatedHall(.standard, time: RealTime(), logs: nil)
    await #expect(throws: SimulationError.unknownDevice("idcar", nearest: "idcard")) {
      try await hall.apply("card remove", to: "idcar")
    }
  }

  @Test func `the example timelines are right for the standard hall`() async throws {
    let hall = try await SimulatedHall(.standard, time: RealTime(), logs: nil)
    let files = try Repository.files(under: "config/timelines", suffix: ".conf")
    #expect(files.count >= 2)
    for file in files {
      let timeline = try Timeline.read(
        Array(try Repository.text(file).utf8), file: file, devices: hall.devices)
      #expect(!timeline.steps.isEmpty, "\(file)")
    }
  }
}
