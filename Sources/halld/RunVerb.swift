import Agent
import Channels
import Codecs
import Console
import Devices
import Drivers
import HTTPClient
import LinuxChannels
import LocalAPI
import Posix
import Screens
import SimulationHost

/// `halld run`
enum RunVerb {
  static let options = [
    Option("config", value: "FILE", zh: "配置文件", en: "configuration file"),
    Option("state", value: "DIR", zh: "状态目录", en: "state directory, over the file's"),
    Option("socket", value: "PATH", zh: "接口套接字", en: "the API's socket, over the file's"),
    Option("intake", value: "TARGET", zh: "收件服务", en: "the intake's target, over the file's"),
  ]

  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: options)
    if let word = arguments.words.first { throw UsageError(.superfluousWord(word)) }
    if let target = arguments["intake"], HTTPTarget(text: intakeTarget(target)) == nil {
      throw UsageError(.wrongValue(target, expected: "unix:/PATH, http://127.0.0.1:PORT"))
    }
    let path = arguments["config"] ?? ConfigurationFiles.standard
    do throws(ConfErrors) {
      let (file, profiles) = try ConfigurationFiles.read(path)
      let configuration = overlay(file, arguments)
      return await serve(configuration, profiles) { () throws(ConfErrors) in
        let (again, profiles) = try ConfigurationFiles.read(path)
        return (overlay(again, arguments), profiles)
      }
    } catch {
      return ConfigurationFiles.refuse(error, Halld.language)
    }
  }

  private static func overlay(_ file: Configuration, _ arguments: Arguments) -> Configuration {
    var configuration = file
    if let state = arguments["state"] { configuration.state = state }
    if let socket = arguments["socket"] { configuration.socket = socket }
    if let target = arguments["intake"] { configuration.intakeTarget = intakeTarget(target) }
    return configuration
  }

  /// A bare path is a Unix socket.
  private static func intakeTarget(_ text: String) -> String { text.hasPrefix("/") ? "unix:" + text : text }

  private static func serve(
    _ configuration: Configuration, _ profiles: ProfileSet,
    reread: @escaping @Sendable () async throws(ConfErrors) -> (Configuration, ProfileSet)
  ) async -> Int32 {
    let log = Log()
    let language = configuration.language
    let signals = Signals.stream([Signals.terminate, Signals.interrupt, Signals.hangup])
    let simulation: RunningSimulation?
    do throws(SimulationStartError) {
      simulation = try await RunningSimulation.start(
        configuration.simulation, logs: configuration.state + "/simulation")
    } catch {
      StandardStreams.writeError(error.sentence(language) + "\n")
      return ExitCode.configuration
    }
    do throws(AgentError) {
      let agent = try await HallAgent.start(
        parts(configuration, profiles, simulation: simulation, log: log, reread: reread))
      let (ends, end) = AsyncStream<Int32>.makeStream()
      let failing = Task {
        await agent.untilFailed()
        if !Task.isCancelled { end.yield(ExitCode.failed) }
      }
      let listening = Task {
        for await signal in signals {
          if signal == Signals.hangup { _ = try? await agent.reload() } else { end.yield(ExitCode.ok) }
        }
      }
      var status = ExitCode.ok
      for await code in ends {
        status = code
        break
      }
      failing.cancel()
      listening.cancel()
      await agent.stop()
      await simulation?.stop()
      return status
    } catch {
      StandardStreams.writeError("halld: " + error.sentence(language) + "\n")
      await simulation?.stop()
      // A key file that holds no key is a mistake in the configuration: starting again cannot help.
      if case .key = error { return ExitCode.configuration }
      return ExitCode.failed
    }
  }

  /// The parts of a service: drivers, buses, clock, encodings. The one place that knows all of them.
  static func parts(
    _ configuration: Configuration, _ profiles: ProfileSet, simulation: RunningSimulation?, log: Log,
    reread: @escaping @Sendable () async throws(ConfErrors) -> (Configuration, ProfileSet)
  ) -> AgentParts {
    let time = SystemTime()
    let screens = ScreenBus()
    var buses: [any Bus] = [LinuxBus(), screens]
    if let bus = simulation?.hall.bus { buses.insert(bus, at: 0) }
    return AgentParts(
      configuration: configuration, profiles: profiles, drivers: Catalog.drivers, buses: buses, time: time,
      encodeText: { text, page in Iconv.encode(text, to: page.encoding) }, simulation: simulation?.access,
      screens: screens, log: log,
      version: Halld.version, reread: reread)
  }
}

extension CodePage {
  /// The system's name for it.
  var encoding: TextEncoding {
    switch self {
    case .gb18030: .gb18030
    case .gbk: .gbk
    case .utf8: .utf8
    case .shiftJIS: .shiftJIS
    }
  }
}
