import Agent
import CitizenBrowser
import Codecs
import Console
import Devices
import Drivers
import Glibc
import Intake
import LinuxChannels
import LocalAPI
import Posix
import Simulation
import Synchronization
import WireJSON

/// `halld demo`: a simulated hall, a receiving intake and one citizen's visit.
enum DemoVerb {
  static let options = [
    Option("once", zh: "演示一次后退出", en: "end after one visit"),
    Option("json", zh: "只输出 JSON 报告", en: "print a JSON report and nothing else"),
    Option("timeline", value: "FILE", zh: "演示期间播放的时间线", en: "what happens to the devices meanwhile"),
    Option(
      "screen", value: "DIR", zh: "在真实浏览器中演示群众屏，并保存每个界面的截图",
      en: "play the citizen's screen in a real browser, and write a picture of every view"),
    Option(
      "fault", value: "store-one-byte-wrong|drop-one-event", zh: "让收件服务出错", en: "let the intake do wrong"),
  ]

  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: options)
    if let word = arguments.words.first { throw UsageError(.superfluousWord(word)) }
    let fault = try intakeFault(arguments["fault"])
    let json = arguments.has("json")
    let language = Halld.language
    do {
      let directory = try Files.makeTemporaryDirectory(prefix: "hall-demo-")
      defer { _ = Files.removeTree(directory) }
      if let pictures = arguments["screen"] {
        return try await DemoScreen.run(directory, pictures: pictures, language: language)
      }
      return try await play(
        directory, fault: fault, timeline: arguments["timeline"], once: arguments.has("once") || json,
        json: json, language: language)
    } catch let failure as DemoFailure {
      StandardStreams.writeError("halld demo: \(failure.sentence)\n")
    } catch let error as AgentError {
      StandardStreams.writeError("halld demo: \(error.sentence(language))\n")
    } catch let error as SimulationStartError {
      StandardStreams.writeError("halld demo: \(error.sentence(language))\n")
    } catch let error as BrowserError {
      StandardStreams.writeError("halld demo: \(error)\n")
    } catch let errors as ConfErrors {
      return ConfigurationFiles.refuse(errors, language)
    } catch {
      StandardStreams.writeError("halld demo: \(error)\n")
    }
    return ExitCode.failed
  }

  private static func intakeFault(_ name: String?) throws(UsageError) -> IntakeFault? {
    switch name {
    case nil: return nil
    case "store-one-byte-wrong": return .storeOneByteWrong(nth: 2)
    case "drop-one-event": return .dropEvent(nth: 3)
    case let other?:
      throw UsageError(.wrongValue(other, expected: "store-one-byte-wrong, drop-one-event"))
    }
  }

  // MARK: One visit

  private static func play(
    _ directory: String, fault: IntakeFault?, timeline: String?, once: Bool, json: Bool, language: Language
  ) async throws -> Int32 {
    let say: @Sendable (String) -> Void = { line in if !json { StandardStreams.writeOut(line + "\n") } }
    let signals = Signals.stream([Signals.terminate, Signals.interrupt])
    let playing = Mutex(true)
    let (ends, end) = AsyncStream<Void>.makeStream()
    let listening = Task {
      for await _ in signals {
        if playing.withLock({ $0 }) {
          // In the middle of the visit there is nothing to finish: everything is in this directory.
          _ = Files.removeTree(directory)
          exit(130)
        }
        end.yield()
      }
    }
    defer { listening.cancel() }
    say(
      language.choose(
        "模拟大厅：取号、读证、扫描、打印、评价，全部送达收件服务并核对",
        "A simulated hall: ticket, card, scans, print, rating, all delivered to an intake and verified"))
    let intake = try await ReceivingIntake(
      directory: directory + "/intake", socketPath: directory + "/intake.sock")
    if let fault { await intake.inject(fault) }
    let hall = try await DemoHall.start(directory: directory)
    let timeline = try timeline.map { file throws(ConfErrors) in
      try RunningSimulation.timeline(try ConfigurationFiles.text(file), file: file, hall.simulation.hall)
    }
    defer { timeline?.cancel() }
    let log = Log { line in
      if let file = try? AppendLog(path: directory + "/agent.log", mode: 0o600) { try? file.append(line) }
    }
    let (configuration, profiles) = try await hall.configuration(language: language)
    let agent = try await HallAgent.start(
      RunVerb.parts(
        configuration, profiles, simulation: hall.simulation, log: log,
        reread: { () throws(ConfErrors) in (configuration, profiles) }))
    let client = AgentClient(socket: configuration.socket, language: language)
    try await ready(client, language)
    say(language.choose("五台模拟设备已就绪\n", "five simulated devices are in service\n"))
    var visit = DemoVisit(
      client: client, watcher: AgentClient(socket: configuration.socket, language: language),
      language: language,
      simulate: { device, command throws(DemoFailure) in try await hall.simulate(device, command) },
      drawnTicket: { await hall.lastTicket() }, say: say)
    var failure: DemoFailure?
    do throws(DemoFailure) {
      try await visit.play()
    } catch {
      failure = error
    }
    let report = await report(visit, failure, client, intake, hall)
    if json {
      StandardStreams.writeOut(String(decoding: try JSON.encode(report.json), as: UTF8.self) + "\n")
    } else {
      say(report.text(language))
    }
    if !once {
      say(
        language.choose(
          """
          服务仍在运行，可在另一个终端中试用：
            export HALL_SOCKET=\(configuration.socket)
            hallctl status
            hallctl simulate dispenser "paper out"
            curl --unix-socket $HALL_SOCKET http://localhost/v1/devices
          按 Ctrl-C 结束。
          """,
          """
          The service stays up. In another terminal:
            export HALL_SOCKET=\(configuration.socket)
            hallctl status
            hallctl simulate dispenser "paper out"
            curl --unix-socket $HALL_SOCKET http://localhost/v1/devices
          Ctrl-C ends it.
          """))
      playing.withLock { $0 = false }
      for await _ in ends { break }
    }
    await client.close()
    await agent.stop()
    await hall.stop()
    await intake.stop(grace: .seconds(1))
    if let failure {
      StandardStreams.writeError("halld demo: \(failure.sentence)\n")
      return ExitCode.failed
    }
    return report.good ? ExitCode.ok : ExitCode.failed
  }

  /// Waits until every device is online, at most 20 s.
  private static func ready(_ client: AgentClient, _ language: Language) async throws(DemoFailure) {
    for _ in 0..<400 {
      let devices = (try? await client.call(.listDevices))?["devices"]?.array ?? []
      if !devices.isEmpty, devices.allSatisfy({ $0["state"]?.string == "online" }) { return }
      _ = await Poller.shared.sleep(for: .milliseconds(50))
    }
    let devices = (try? await client.call(.listDevices))?["devices"]?.array ?? []
    let waiting = devices.filter { $0["state"]?.string != "online" }.map {
      "\($0["role"]?.string ?? ""): \($0["reason"]?["title"]?.string ?? $0["state"]?.string ?? "")"
    }
    throw DemoFailure(
      sentence: language.choose("设备未就绪：", "devices are not ready: ") + waiting.joined(separator: "; "))
  }

  // MARK: The report

  /// What was produced, delivered and verified, and what does not agree.
  struct Report: Sendable {
    var rows: [(type: String, produced: Int, delivered: Int, verified: Int)]
    var problems: [String]
    var good: Bool {
      problems.isEmpty && rows.allSatisfy { $0.produced == $0.delivered && $0.delivered == $0.verified }
    }

    var json: JSONValue {
      func column(_ value: (Int, Int, Int) -> Int) -> JSONValue {
        .object(
          Dictionary(
            uniqueKeysWithValues: rows.map {
              ($0.type, .integer(Int64(value($0.produced, $0.delivered, $0.verified))))
            }))
      }
      return [
        "produced": column { produced, _, _ in produced },
        "delivered": column { _, delivered, _ in delivered },
        "verified": column { _, _, verified in verified }, "problems": .array(problems.map(JSONValue.string)),
        "ok": .bool(good),
      ]
    }

    func text(_ language: Language) -> String {
      let heading =
        language == .chinese ? ["", "产生", "送达", "核对"] : ["", "produced", "delivered", "verified"]
      let table = Cells.table(
        [heading] + rows.map { ["  " + $0.type, "\($0.produced)", "\($0.delivered)", "\($0.verified)"] })
      let end =
        good
        ? language.choose("全部送达并核对无误。\n", "Everything was delivered and verified.\n")
        : language.choose("有差错：\n", "Something is wrong:\n") + problems.map { "  \($0)\n" }.joined()
      return "\n" + table + "\n" + end
    }
  }

  private static func report(
    _ visit: DemoVisit, _ failure: DemoFailure?, _ client: AgentClient, _ intake: ReceivingIntake,
    _ hall: DemoHall
  ) async -> Report {
    var outbox = JSONValue.null
    // Everything is delivered within a moment; an intake that lies about it does not make this wait longer.
    for _ in 0..<200 {
      outbox = (try? await client.call(.outboxStatus)) ?? .null
      if outbox["pendingEvents"]?.integer == 0, outbox["pendingPages"]?.integer == 0 { break }
      _ = await Poller.shared.sleep(for: .milliseconds(50))
    }
    let verification = await intake.verification()
    var problems = verification.problems
    if let failure { problems.append(failure.sentence) }
    var rows: [(type: String, produced: Int, delivered: Int, verified: Int)] = []
    let delivered = outbox["delivered"]?.object ?? [:]
    let counted = visit.produced
    let names = Set(counted.keys).union(delivered.keys.map(short)).union(verification.events.keys.map(short))
    for name in names.sorted() {
      let long = "gov.hall.\(name).v1"
      let row = (
        name, counted[name] ?? 0, Int(delivered[long]?.integer ?? 0), verification.events[long] ?? 0
      )
      rows.append(row)
      if row.1 != row.2 { problems.append("\(name): \(row.1) produced, \(row.2) delivered") }
      if row.2 != row.3 { problems.append("\(name): \(row.2) delivered, \(row.3) verified at the intake") }
    }
    let waiting = Int(outbox["pendingPages"]?.integer ?? 0) + Int(outbox["quarantined"]?.integer ?? 0)
    rows.append(("image", visit.images.count, visit.images.count - waiting, verification.blobs))
    if waiting > 0 { problems.append("image: \(waiting) not delivered") }
    return Report(rows: rows, problems: problems)
  }

  private static func short(_ type: String) -> String {
    type.hasPrefix("gov.hall.") && type.hasSuffix(".v1") ? String(type.dropFirst(9).dropLast(3)) : type
  }
}
