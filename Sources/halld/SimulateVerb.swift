import Codecs
import Console
import LinuxChannels
import LocalAPI
import Posix
import Simulation
import SimulationHost

/// `halld simulate`: the simulated devices alone, for other programs.
enum SimulateVerb {
  static let options = [
    Option("pty", value: "DIR", zh: "在此目录提供设备", en: "where to attach the devices"),
    Option("hall", value: "FILE", zh: "模拟设备的配置文件", en: "which devices; the five standard ones unless given"),
    Option("timeline", value: "FILE", zh: "时间线文件", en: "what happens to them, and when"),
  ]

  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: options)
    if let word = arguments.words.first { throw UsageError(.superfluousWord(word)) }
    guard let directory = arguments["pty"] else { throw UsageError(.missingWord("--pty DIR")) }
    let language = Halld.language
    let signals = Signals.stream([Signals.terminate, Signals.interrupt])
    do throws(SimulationStartError) {
      let hall = try await RunningSimulation.hall(arguments["hall"] ?? "builtin", logs: directory)
      let control: SimulationControl
      do throws(SimulatedHallError) {
        try await hall.attach(to: directory)
        control = try SimulationControl(hall, socket: directory + "/control.sock")
      } catch {
        throw SimulationStartError.hall(error)
      }
      let timeline = try play(arguments["timeline"], hall)
      StandardStreams.writeOut(
        language.choose("模拟设备已就绪：\(directory)\n", "simulated devices are in \(directory)\n"))
      for await _ in signals { break }
      timeline?.cancel()
      await control.stop()
      await hall.stop()
      return ExitCode.ok
    } catch {
      StandardStreams.writeError(error.sentence(language) + "\n")
      if case .configuration = error { return ExitCode.configuration }
      return ExitCode.failed
    }
  }

  private static func play(_ file: String?, _ hall: SimulatedHall) throws(SimulationStartError) -> Task<
    Void, Never
  >? {
    guard let file else { return nil }
    do throws(ConfErrors) {
      return try RunningSimulation.timeline(try ConfigurationFiles.text(file), file: file, hall)
    } catch {
      throw .configuration(error)
    }
  }
}
