import HallKit
import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

/// What an intake can do wrong: everything is kept, it is said what is wrong and what to do, and nothing is set aside for it.
@Suite(.timeLimit(.minutes(5)), .enabled(if: PythonIntake.isExpected, "needs python3"))
struct IntakeTests {
  /// A way to misbehave (Tests/Fixtures/intake.py), and what people are told of it.
  struct Misbehaviour: Sendable, CustomTestStringConvertible {
    var mode: String
    var english: String
    var chinese: String
    var testDescription: String { mode }
  }

  static let misbehaviours = [
    Misbehaviour(mode: "garbage", english: "log", chinese: "日志"),
    Misbehaviour(mode: "half", english: "log", chinese: "日志"),
    Misbehaviour(mode: "lose-answers", english: "connection", chinese: "连接"),
    Misbehaviour(mode: "code500", english: "means nothing", chinese: "不符合"),
    Misbehaviour(mode: "503 1", english: "busy", chinese: "忙"),
    Misbehaviour(mode: "500", english: "error of its own", chinese: "内部出错"),
    Misbehaviour(mode: "404", english: "[intake] target", chinese: "[intake] target"),
    Misbehaviour(mode: "401", english: "refuses access", chinese: "拒绝访问"),
    Misbehaviour(mode: "302", english: "redirect", chinese: "跳转"),
    // It takes a minute until that is called an answer that does not come.
    Misbehaviour(mode: "hang", english: "does not answer", chinese: "无应答"),
  ]

  @Test(arguments: misbehaviours)
  func `an intake that misbehaves costs nothing but time`(_ wrong: Misbehaviour) async throws {
    let hall = try await Hall()
    try hall.intake.misbehave(wrong.mode)
    try await hall.position.start()
    try await hall.counter.visit(1)
    let status = try await Attempts.until("the trouble is told") {
      let status = try await hall.outboxStatus()
      return status["intake"] == "trouble" ? status : Optional.none
    }
    #expect(status["trouble"]?.string?.contains(wrong.english) == true, "\(status)")
    let inChinese = try await hall.outboxStatus(.chinese)["trouble"]?.string ?? ""
    #expect(inChinese.contains(wrong.chinese), "\(inChinese)")
    try await hall.counter.visit(2)
    #expect(status["quarantined"] == 0)
    #expect(status["pendingEvents"]?.integer ?? 0 > 0)
    try hall.intake.misbehave(nil)
    let after = try await hall.position.delivered()
    #expect(after["quarantined"] == 0 && after["intake"] == "reachable")
    #expect(try hall.violations() == [])
    #expect(try await hall.position.stop() == .exited(0))
  }

  @Test func `an intake that accepts and dies before it answers has everything once`() async throws {
    let hall = try await Hall()
    try await hall.position.start()
    for number in 1...4 {
      try hall.intake.misbehave("die")
      try await hall.counter.visit(number)
      _ = try await hall.intake.running.lasting()
      try hall.intake.misbehave(nil)
      try await hall.intake.start()
      try await hall.position.delivered()
    }
    #expect(try hall.violations() == [])
    #expect(try hall.intake.duplicates() > 0, "what it had not answered came again")
  }

  @Test func `a stranger in the intake's place is sent nothing`() async throws {
    // As root the intake has to run as somebody else, since root is always trusted.
    let isRoot = ProcessInfo.userID == 0
    let hall = try await Hall(
      intakeUser: isRoot ? "daemon" : "nobody", runningIntakeAs: isRoot ? 65_534 : nil)
    try await hall.position.start()
    try await hall.counter.visit(1)
    let status = try await Attempts.until("the stranger is told") {
      let status = try await hall.outboxStatus()
      return status["intake"] == "trouble" ? status : Optional.none
    }
    #expect(status["trouble"]?.string?.contains("[intake] user") == true, "\(status)")
    #expect(try await hall.outboxStatus(.chinese)["trouble"]?.string?.contains("[intake] user") == true)
    #expect(try hall.intake.events().isEmpty && hall.intake.blobs().isEmpty)
    #expect(try await hall.position.stop() == .exited(0))

    // Put right, everything goes.
    if isRoot {
      try await hall.intake.kill()
      try await hall.intake.start()
    } else {
      let text = String(
        decoding: try Files.read(hall.position.configurationFile, limit: 1 << 20), as: UTF8.self)
      try Files.replaceDurable(
        hall.position.configurationFile,
        bytes: Array(
          text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("user = ") ? "user = \"\"" : String($0) }.joined(separator: "\n").utf8),
        mode: 0o644)
    }
    try await hall.position.start()
    try await hall.position.delivered()
    #expect(try hall.violations() == [])
  }
}
