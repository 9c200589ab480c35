import Codecs
import Console
import Glibc
import HTTPClient
import LocalAPI
import Posix
import WireJSON

/// The technician's and integrator's command line.
@main
struct Hallctl {
  static let globalOptions = [
    Option("socket", value: "PATH", zh: "服务的接口套接字", en: "the agent's socket"),
    Option("json", zh: "输出 JSON", en: "print JSON"),
    Option("help", zh: "显示帮助", en: "show help"),
  ]

  static func main() async {
    Signals.ignoreBrokenPipe()
    exit(await run(Array(Environment.arguments.dropFirst())))
  }

  private static func run(_ words: [String]) async -> Int32 {
    let language = Language(
      locales: Environment["LC_ALL"], Environment["LC_MESSAGES"], Environment["LANG"])
    let chinese = language == .chinese
    // Options of the program may stand before or after the verb; those of the verb are known once it is.
    let verb = Verb.find(words)
    do throws(UsageError) {
      if words.isEmpty { throw UsageError(.missingVerb) }
      let arguments = try Arguments.parse(words, options: globalOptions + (verb?.options ?? []))
      guard !arguments.has("help"), arguments.words.first != "help" else {
        StandardStreams.writeOut(Usage.text(language))
        return ExitCode.ok
      }
      guard let verb else {
        let known = Verb.all.map { $0.words.joined(separator: " ") }
        let typed = arguments.words.prefix(2).joined(separator: " ")
        throw UsageError(
          arguments.words.isEmpty
            ? .missingVerb
            : .unknownVerb(
              typed,
              nearest: NearestWord.find(typed, in: known) ?? NearestWord.find(arguments.words[0], in: known)))
      }
      let rest = Array(arguments.words.dropFirst(verb.words.count))
      guard rest.count <= verb.parameters.count else {
        throw UsageError(.superfluousWord(rest[verb.parameters.count]))
      }
      let needed = verb.parameters.prefix { !$0.hasPrefix("[") }
      guard rest.count >= needed.count else { throw UsageError(.missingWord(needed[rest.count])) }
      let session = Session(
        client: AgentClient(
          socket: absolute(
            arguments["socket"] ?? Environment["HALL_SOCKET"] ?? "/run/hall-agent/agent.sock"),
          language: language),
        language: language, json: arguments.has("json"), words: rest, arguments: arguments)
      do throws(VerbError) {
        try await verb.run(session)
        return ExitCode.ok
      } catch {
        return try report(error, session)
      }
    } catch {
      StandardStreams.writeError("hallctl: \(error.sentence(chinese: chinese))\n" + Usage.text(language))
      return ExitCode.usage
    }
  }

  // libcups knows a socket from a host's name by its first character.
  private static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let here = try? Files.realPath(".") else { return path }
    return here + "/" + path
  }

  private static func report(_ error: VerbError, _ session: Session) throws(UsageError) -> Int32 {
    let language = session.language
    switch error {
    case .usage(let usage): throw usage
    case .failed(let sentence):
      StandardStreams.writeError("hallctl: \(sentence)\n")
      return ExitCode.failed
    case .call(.unreachable(let why)):
      let sentence: String
      switch why {
      case .unreachable(.denied):
        sentence = language.choose(
          "没有连接服务的权限：当前账户不在 hall 组中。", "No permission to connect: this account is not in the group hall.")
      case .timedOut: sentence = language.choose("服务未在限时内应答。", "The agent did not answer in time.")
      default:
        sentence = language.choose(
          "服务未运行（\(why)）。请运行 systemctl status hall-agent 查看原因。",
          "The agent is not running (\(why)). See `systemctl status hall-agent`.")
      }
      StandardStreams.writeError("hallctl: \(sentence)\n")
      return ExitCode.unavailable
    case .call(.garbled(let what)):
      StandardStreams.writeError("hallctl: \(what)\n")
      return ExitCode.failed
    case .call(.problem(_, let problem)):
      if session.json {
        session.print(problem)
      } else {
        StandardStreams.writeError("hallctl: " + session.sentences(problem) + "\n")
      }
      let code = problem["code"]?.string ?? ""
      let device = [
        "device.", "card.", "paper.", "cover.", "cutter.", "feeder.", "line.", "queue.", "toner.", "head.",
        "image.", "screen.", "outcome.", "job.", "text.", "source.", "command.", "document.", "program.",
      ]
      return device.contains { code.hasPrefix($0) } ? ExitCode.fault : ExitCode.failed
    }
  }
}

/// Why a verb did not do what it should.
enum VerbError: Error {
  case usage(UsageError)
  case call(AgentCallError)
  case failed(String)
}

/// One verb of the command line.
struct Verb: Sendable {
  let words: [String]
  /// Names of the words that follow; optional ones in brackets.
  let parameters: [String]
  let options: [Option]
  let chinese: String
  let english: String
  let run: @Sendable (Session) async throws(VerbError) -> Void

  init(
    _ words: String, _ parameters: [String] = [], options: [Option] = [], zh chinese: String,
    en english: String,
    run: @escaping @Sendable (Session) async throws(VerbError) -> Void
  ) {
    self.words = words.split(separator: " ").map(String.init)
    self.parameters = parameters
    self.options = options
    self.chinese = chinese
    self.english = english
    self.run = run
  }

  /// Every verb, in the order of the help.
  static let all: [Verb] = [
    StatusVerb.verb, DevicesVerb.list, DevicesVerb.show, ExplainVerb.verb, ForgetVerb.verb, CheckVerb.verb,
    LockVerb.lock,
    LockVerb.unlock, VisitVerb.open, VisitVerb.list, VisitVerb.show, VisitVerb.update, VisitVerb.close,
    CardVerb.read,
    TicketVerb.issue, CallVerb.show, ScanVerb.verb, MaterialVerb.list, MaterialVerb.show, MaterialVerb.submit,
    MaterialVerb.page, MaterialVerb.withdraw, PrintVerb.verb, RatingVerb.request, RequestVerb.list,
    RequestVerb.show,
    RequestVerb.cancel, RequestVerb.settle, OutboxVerb.status, OutboxVerb.list, OutboxVerb.show,
    OutboxVerb.retry,
    OutboxVerb.discard, OutboxVerb.export, ScreenVerb.pair, ScreenVerb.address, ScreenVerb.list,
    ScreenVerb.revoke,
    ScreenVerb.show, ScreenVerb.document, ScreenVerb.sign, RatingVerb.verify, WatchVerb.verb,
    SimulateVerb.verb, ReloadVerb.verb,
  ]

  /// The verb that the words of a command line name, the longest that fits.
  static func find(_ words: [String]) -> Verb? {
    var bare: [String] = []
    var skip = false
    for word in words {
      if skip {
        skip = false
      } else if word == "--socket" {
        skip = true
      } else if !word.hasPrefix("-") {
        bare.append(word)
      }
    }
    return all.filter { bare.starts(with: $0.words) }.max { $0.words.count < $1.words.count }
  }
}

/// The help, made from the verbs.
enum Usage {
  static func text(_ language: Language) -> String {
    let rows = Verb.all.map { verb in
      [
        "  hallctl " + (verb.words + verb.parameters).joined(separator: " ")
          + verb.options.map { " [--\($0.name)\($0.value.map { " \($0)" } ?? "")]" }.joined(),
        language.choose(verb.chinese, verb.english),
      ]
    }
    // Long lines keep their explanation on the next one, so that the table stays readable.
    var text = language.choose(
      "用法：hallctl [--socket 路径] [--json] 命令 …\n", "Usage: hallctl [--socket PATH] [--json] VERB …\n")
    for row in rows {
      text +=
        Cells.width(row[0]) > 46
        ? row[0] + "\n" + String(repeating: " ", count: 48) + row[1] + "\n"
        : Cells.padded(row[0], to: 48) + row[1] + "\n"
    }
    return text
  }
}
