import Testing

@testable import Simulation

@Suite struct CommandFormTests {
  @Test(
    arguments: [
      ("250 ms", .milliseconds(250)), ("250ms", .milliseconds(250)), ("3 s", .seconds(3)),
      ("1.5 s", .milliseconds(1500)),
      ("2 min", .seconds(120)), ("0 s", .zero), ("24 h", .seconds(86_400)),
    ] as [(String, Duration)])
  func `times are read with their unit`(text: String, time: Duration) {
    #expect(SimulationTime.read(text) == time)
  }

  @Test(arguments: [
    "3", "s", "-1 s", "1.2345 s", "0.0001 s", "25 h", "99999999999 s", "1..5 s", "1.s", "３ s",
  ])
  func `anything else is no time`(text: String) { #expect(SimulationTime.read(text) == nil) }

  @Test(arguments: [Duration.zero, .milliseconds(250), .seconds(3), .milliseconds(1500), .seconds(7200)])
  func `a time is written as it is read`(time: Duration) {
    #expect(SimulationTime.read(SimulationTime.text(time)) == time)
  }

  @Test func `every command of every model can be given by its words`() throws {
    func check<Model: SimulatedModel>(_ model: Model.Type) {
      for form in Model.commands {
        for text in Self.examples(form.pattern) {
          #expect(CommandReader.match(text, Model.commands) != nil, "\(text)")
        }
      }
    }
    check(SimulatedIDCardReader.self)
    check(SimulatedTicketPrinter.self)
    check(SimulatedEvaluator.self)
    check(SimulatedScanner.self)
    check(SimulatedPrinter.self)
  }

  /// Every choice of words, with a value that fits each placeholder.
  static func examples(_ pattern: String) -> [String] {
    pattern.split(separator: " ").reduce([""]) { lines, part in
      let choices: [String] =
        switch part {
        case "<n>": ["7"]
        case "<time>": ["20 ms"]
        case "<hex>": ["0F"]
        case _ where part.hasPrefix("<"): [String(part.dropFirst().split(separator: "-")[0])]
        default: part.split(separator: "|").map(String.init)
        }
      return lines.flatMap { line in choices.map { line.isEmpty ? $0 : line + " " + $0 } }
    }
  }

  @Test(arguments: [
    ("paper ot", "paper out"), ("papier full", "paper full"), ("cuter jam", "cutter jam"),
    ("tiket take", "ticket take"),
  ])
  func `a slip of the fingers is put right`(typed: String, meant: String) {
    let error = CommandReader.error(typed, patterns: SimulatedTicketPrinter.commands.map(\.pattern))
    #expect(error == .unknownCommand(typed, nearest: meant))
    #expect(error.description.contains(meant))
    #expect(error.chinese.contains(meant))
  }

  @Test func `a known command with a wrong value is answered with its forms`() {
    let error = CommandReader.error("paper", patterns: SimulatedTicketPrinter.commands.map(\.pattern))
    #expect(
      error
        == .wrongWords(
          "paper",
          forms: ["paper full|low|out", "paper low after <n> tickets", "paper out after <n> lines"]))
  }

  @Test func `numbers outside their range and overlong texts fit nothing`() {
    #expect(CommandReader.match("press 6", SimulatedEvaluator.commands) == nil)
    #expect(CommandReader.match("press +5", SimulatedEvaluator.commands) == nil)
    #expect(CommandReader.match("press 99999999999999999999", SimulatedEvaluator.commands) == nil)
    let long = String(repeating: "x", count: 10_000)
    #expect(CommandReader.match(long, SimulatedEvaluator.commands) == nil)
    guard case .unknownCommand(let shown, nil) = CommandReader.error(long, patterns: ["press <1-5>"]) else {
      Issue.record("an overlong text was taken for something")
      return
    }
    #expect(shown.count == 200)
  }

  @Test func `equal seeds give equal numbers`() {
    var one = SeededGenerator(seed: 42)
    var two = SeededGenerator(seed: 42)
    var other = SeededGenerator(seed: 43)
    let numbers = (0..<5).map { _ in one.next() }
    #expect(numbers == (0..<5).map { _ in two.next() })
    #expect(numbers != (0..<5).map { _ in other.next() })
  }
}
