import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// `hallctl`: exit 0 done, 1 failed, 2 the device said no, 64 the command line is wrong, 69 the agent does not run.
@Suite(.timeLimit(.minutes(5))) struct HallctlTests {
  private func hallctl(_ position: Position?, _ words: [String], locale: String = "C.UTF-8") async throws
    -> RunningProgram.Result
  {
    let socket = position.map { ["--socket", $0.socket] } ?? []
    return try await RunningProgram.run(Built.path("hallctl"), socket + words, environment: ["LANG": locale])
  }

  private func start(_ names: String...) async throws -> (Position, SimulatedDevices) {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try names.map { try devices.section($0) }.joined())
    try await position.start()
    for name in names { try await position.ready(name) }
    return (position, devices)
  }

  @Test func `a technician sees what is wrong and what to do, in Chinese and in English`() async throws {
    let (position, devices) = try await start("dispenser", "idcard")
    try await devices.apply("paper out", to: "dispenser")
    _ = try await Attempts.until("the dispenser misses its paper") {
      try await position.call(.showDevice, ["role": "dispenser"])["paper"] == "out" ? true : nil
    }
    let english = try await hallctl(position, ["devices"])
    #expect(english.status == .exited(0) && english.errors.isEmpty)
    let row = english.output.split(separator: "\n").first { $0.hasPrefix("dispenser") } ?? ""
    #expect(row.contains("ticket dispenser") && row.contains("needs attention") && row.contains("paper out"))
    #expect(row.contains("simulated"))
    let chinese = try await hallctl(position, ["devices"], locale: "zh_CN.UTF-8")
    #expect(
      chinese.output.contains("角色") && chinese.output.contains("取号机") && chinese.output.contains("纸张：用尽"))
    let status = try await hallctl(position, ["status"], locale: "zh_CN.UTF-8")
    #expect(status.status == .exited(0) && status.output.contains("收件服务") && status.output.contains("身份证读卡器"))

    let refused = try await hallctl(position, ["ticket", "issue", "A"])
    #expect(refused.status == .exited(2))
    #expect(refused.errors.hasPrefix("hallctl: ") && refused.errors.contains("To act: clerk."))
    let again = try await hallctl(position, ["ticket", "issue", "A"], locale: "zh_CN.UTF-8")
    #expect(again.status == .exited(2) && again.errors.contains("处理人：窗口人员。"))
    let machine = try await hallctl(position, ["--json", "ticket", "issue", "A"])
    #expect(machine.status == .exited(2))
    #expect(try JSON.parse(Array(machine.output.utf8))["code"] == "paper.out")
    let check = try await hallctl(position, ["check", "dispenser"])
    #expect(check.status == .exited(2))

    try await devices.apply("paper full", to: "dispenser")
    let issued = try await Attempts.until("the roll is in") {
      let result = try await hallctl(position, ["ticket", "issue", "A", "--waiting", "3"])
      return result.status == .exited(0) ? result : nil
    }
    #expect(issued.output.contains("number A0") && issued.output.contains("printed: yes"))
  }

  @Test func `what cannot be understood exits 64 with the nearest verb`() async throws {
    for (words, says) in [
      (["devises"], "Did you mean devices?"), (["ticket", "isue", "A"], "Did you mean ticket issue?"),
      ([], "A command is missing."), (["device"], "Missing: ROLE."),
      (["device", "a", "b"], "One word too many: b."),
      (["scan", "--resolutoin", "300"], "Did you mean --resolution?"),
      (["scan", "--resolution"], "needs a value"),
      (["scan", "--resolution", "many"], "'many' is not valid"), (["outbox", "discard", "x"], "--reason"),
      (["status", "--json=yes"], "takes no value"),
    ] {
      let result = try await hallctl(nil, words)
      #expect(result.status == .exited(64), "\(words)")
      #expect(
        result.errors.split(separator: "\n").first?.contains(says) == true, "\(words): \(result.errors)")
    }
    let chinese = try await hallctl(nil, ["devises"], locale: "zh_CN.UTF-8")
    #expect(chinese.status == .exited(64) && chinese.errors.contains("是否想输入 devices？"))
    let help = try await hallctl(nil, ["--help"])
    #expect(help.status == .exited(0) && help.output.contains("hallctl ticket issue SERVICE"))
  }

  @Test func `without an agent it exits 69 and says how to find out why`() async throws {
    let files = try TemporaryDirectory()
    let position = Position(in: files)
    let missing = try await hallctl(position, ["status"])
    #expect(missing.status == .exited(69) && missing.errors.contains("systemctl status hall-agent"))
    let chinese = try await hallctl(position, ["status"], locale: "zh_CN.UTF-8")
    #expect(chinese.status == .exited(69) && chinese.errors.contains("服务未运行"))
    // A socket that a service left behind which was killed.
    try position.write()
    try await position.start()
    try await position.kill()
    let dead = try await hallctl(position, ["status"])
    #expect(dead.status == .exited(69) && dead.errors.contains("not running"))
  }

  @Test func `what the agent refuses exits 1 with its reason`() async throws {
    let (position, _) = try await start("dispenser")
    let unknown = try await hallctl(position, ["device", "dispnser"])
    #expect(unknown.status == .exited(1) && unknown.errors.contains("there are: dispenser"))
    let service = try await hallctl(position, ["ticket", "issue", "Z"])
    #expect(service.status == .exited(1) && service.errors.contains("expected one of A, B"))
    let none = try await hallctl(position, ["card", "read"])
    #expect(none.status == .exited(1) && none.errors.contains("There is no id-card-reader here."))
  }

  @Test func `a relative path to the socket, and a locale that is set to nothing, are understood`()
    async throws
  {
    let (position, _) = try await start("dispenser")
    let process = try ChildProcess.spawn(
      Built.path("hallctl"), arguments: ["--socket", "agent.sock", "devices"],
      environment: Built.environment.merging(["LC_ALL": "", "LANG": "zh_CN.UTF-8"]) { $1 },
      workingDirectory: position.files.path, standardOutput: .pipe)
    var output: [UInt8] = []
    while let bytes = try await process.output?.read(upTo: 65_536, timeout: nil), !bytes.isEmpty {
      output += bytes
    }
    #expect(await process.wait(timeout: nil) == .exited(0))
    #expect(String(decoding: output, as: UTF8.self).contains("取号机"))
  }

  @Test func `simulated devices of the service are seen and handled, by hand and by a timeline`() async throws
  {
    let files = try TemporaryDirectory()
    let position = Position(in: files)
    try position.write(
      """
      [simulation]
      hall = builtin
      [device dispenser]
      kind = ticket-dispenser
      port = simulated:dispenser
      """)
    try await position.start()
    try await position.ready("dispenser")
    let list = try await hallctl(position, ["simulate"])
    #expect(list.status == .exited(0))
    for name in ["idcard", "dispenser", "scanner", "evaluator", "printer"] {
      #expect(list.output.contains(name))
    }
    let feed = try await position.events()
    let out = try await hallctl(position, ["simulate", "dispenser", "paper out"])
    #expect(out.status == .exited(0) && out.output.contains("paper"))
    try await feed.wait("device") { $0["role"] == "dispenser" && $0["paper"] == "out" }
    let wrong = try await hallctl(position, ["simulate", "dispenser", "papr full"])
    #expect(wrong.status == .exited(1) && wrong.errors.contains("paper full"), "\(wrong.errors)")
    try Files.replaceDurable(
      files.path("timeline.conf"), bytes: Array("[timeline]\n[at 10 ms]\ndispenser = paper full\n".utf8),
      mode: 0o600)
    let played = try await hallctl(position, ["simulate", "--timeline", files.path("timeline.conf")])
    #expect(played.status == .exited(0), "\(played.errors)")
    try await feed.wait("device") {
      $0["role"] == "dispenser" && $0["paper"] == "full" && $0["state"] == "online"
    }
    let watch = try RunningProgram(Built.path("hallctl"), ["--socket", position.socket, "watch"])
    _ = try await Attempts.until("somebody watches") {
      String(decoding: try await position.metrics(), as: UTF8.self).contains("hall_event_listeners 2")
        ? true : nil
    }
    #expect(try await hallctl(position, ["ticket", "issue", "A"]).status == .exited(0))
    try await watch.line(containing: "issueTicket")
    try await watch.end(Signals.terminate)
  }

  @Test func `a whole visit can be done from the command line`() async throws {
    let (position, devices) = try await start("scanner", "evaluator", "printer", "dispenser")
    let visit = try await hallctl(
      position, ["visit", "open", "--window", "07", "--staff", "S1", "--case", "C-1"])
    let id = visit.output.filter { !$0.isNewline }
    #expect(visit.status == .exited(0) && id.count == 36)
    let scan = try await hallctl(position, ["scan", "--name", "申请表", "--pages", "2", "--json"])
    #expect(scan.status == .exited(0), "\(scan.errors)")
    let material = try JSON.parse(Array(scan.output.utf8))["material"]
    let (name, page) = (material?["material"]?.string ?? "", material?["pages"]?[0]?["page"]?.string ?? "")
    let image = position.files.path("page.jpg")
    #expect(try await hallctl(position, ["material", "page", name, page, image]).status == .exited(0))
    #expect(try Files.read(image, limit: 1 << 24).starts(with: [0xFF, 0xD8]))
    #expect(
      try await hallctl(position, ["material", "withdraw", name, page, "--reason", "blurred"]).status
        == .exited(0))
    #expect(try await hallctl(position, ["material", "submit", name]).status == .exited(0))
    let list = try await hallctl(position, ["material", "list"])
    #expect(list.output.contains("complete") && list.output.contains("申请表"))
    try Files.replaceDurable(position.files.path("receipt.pdf"), bytes: smallestPDF, mode: 0o600)
    let printed = try await hallctl(position, ["print", position.files.path("receipt.pdf"), "--title", "回执"])
    #expect(printed.status == .exited(0) && printed.output == "printed: yes", "\(printed.errors)")
    #expect(try await hallctl(position, ["call", "show", "A007", "--waiting", "3"]).output == "shown")
    let feed = try await position.events()
    async let rating = hallctl(position, ["rating", "request", "--timeout", "30"])
    try await feed.wait("prompt")
    try await devices.apply("press 5", to: "evaluator")
    let rated = try await rating
    #expect(rated.status == .exited(0) && rated.output == "rated")
    let explained = try await hallctl(position, ["explain", "dispenser"])
    #expect(explained.status == .exited(0) && explained.output.contains("profile in use: escpos-simulated"))
    let closed = try await hallctl(position, ["visit", "close", id])
    #expect(closed.status == .exited(0) && closed.output == "\(id) closed completed")
  }
}
