import Codecs
import Console
import Glibc
import LocalAPI
import Posix

/// The service program. Each verb is a file.
@main
struct Halld {
  static let version = "0.1.0"

  static func main() async {
    // Before anything of a citizen's can be in the memory: a crash leaves no copy of it, and prints none.
    do throws(SystemError) {
      try CoreDumps.forbid()
    } catch {
      StandardStreams.writeError("halld: \(error)\n")
    }
    // Before anything starts a thread: every thread inherits the mask, and the signals come through a descriptor.
    Signals.block([Signals.terminate, Signals.interrupt, Signals.hangup])
    Signals.ignoreBrokenPipe()
    let status = await run(Array(Environment.arguments.dropFirst()))
    exit(status)
  }

  static let language = Language(
    locales: Environment["LC_ALL"], Environment["LC_MESSAGES"], Environment["LANG"])

  private static func run(_ arguments: [String]) async -> Int32 {
    let verbs: [String: ([String]) async throws(UsageError) -> Int32] = [
      "run": RunVerb.run, "demo": DemoVerb.run, "simulate": SimulateVerb.run,
      "check-config": CheckConfigVerb.run, "devices": DevicesVerb.run, "udev-rules": UdevRulesVerb.run,
    ]
    do throws(UsageError) {
      switch arguments.first {
      case "--version":
        StandardStreams.writeOut("halld \(version)\n")
        return ExitCode.ok
      case "--help", "-h", "help":
        StandardStreams.writeOut(Help.text(language))
        return ExitCode.ok
      case nil: throw UsageError(.missingVerb)
      case let name?:
        guard let verb = verbs[name] else {
          throw UsageError(.unknownVerb(name, nearest: NearestWord.find(name, in: verbs.keys.sorted())))
        }
        return try await verb(Array(arguments.dropFirst()))
      }
    } catch {
      StandardStreams.writeError(
        "halld: " + error.sentence(chinese: language == .chinese) + "\n" + Help.text(language))
      return ExitCode.usage
    }
  }
}

enum Help {
  static func text(_ language: Language) -> String {
    language.choose(
      """
      用法：
        halld run  [--config 文件] [--state 目录] [--socket 路径] [--intake 目标]   运行服务
        halld demo [--once] [--json] [--timeline 文件]   模拟大厅和收件服务，演示一位群众的一次办理
        halld demo --screen 目录            在 Chromium 里演示群众屏，每个画面存一张图
        halld simulate --pty 目录 [--timeline 文件] [--hall 文件]   只运行模拟设备
        halld check-config 文件             检查配置文件
        halld devices [--json] [--follow]   列出已连接的 USB 设备及可用的设备档案
        halld udev-rules [--config 文件]    输出 udev 规则
        halld --version

      """,
      """
      Usage:
        halld run  [--config FILE] [--state DIR] [--socket PATH] [--intake TARGET]   the service
        halld demo [--once] [--json] [--timeline FILE]   a simulated hall and intake; one citizen's visit, step by step
        halld demo --screen DIR             the citizen's screen in Chromium, a picture of every view
        halld simulate --pty DIR [--timeline FILE] [--hall FILE]   the simulated devices alone
        halld check-config FILE             check a configuration file
        halld devices [--json] [--follow]   USB devices that are plugged in, and the profiles that fit
        halld udev-rules [--config FILE]    the udev rules
        halld --version

      """)
  }
}
