import Agent
import Channels
import Codecs
import LinuxChannels
import LocalAPI
import Posix
import Simulation
import SimulationHost
import WireJSON

/// Why the simulated devices could not be started.
enum SimulationStartError: Error {
  case configuration(ConfErrors)
  case hall(SimulatedHallError)

  func sentence(_ language: Language) -> String {
    switch self {
    case .configuration(let errors): errors.text(chinese: language == .chinese)
    case .hall(let error): "\(error)"
    }
  }
}

/// The simulated devices of this process.
struct RunningSimulation: Sendable {
  let hall: SimulatedHall

  /// Starts what `[simulation] hall` names: a file, or `builtin` for the five devices; nothing for an empty name. `logs` is
  /// the directory of the devices' own logs.
  static func start(_ file: String, logs: String?) async throws(SimulationStartError) -> RunningSimulation? {
    file.isEmpty ? nil : RunningSimulation(hall: try await hall(file, logs: logs))
  }

  /// The devices of a file, or the five of this program (`builtin`), or its USB devices (`usb`).
  static func hall(_ file: String, logs: String?) async throws(SimulationStartError) -> SimulatedHall {
    let configuration: SimulationConfiguration
    do throws(ConfErrors) {
      switch file {
      case "builtin": configuration = SimulationConfiguration.standard.at(.instant)
      case "usb": configuration = SimulationConfiguration.usb.at(.instant)
      default: configuration = try SimulationConfiguration.read(try ConfigurationFiles.text(file), file: file)
      }
    } catch {
      throw .configuration(error)
    }
    do throws(SimulatedHallError) {
      return try await SimulatedHall(configuration, time: SystemTime(), logs: logs)
    } catch {
      throw .hall(error)
    }
  }

  func stop() async { await hall.stop() }

  /// Plays a timeline on the devices until the task is cancelled.
  static func timeline(_ text: [UInt8], file: String, _ hall: SimulatedHall) throws(ConfErrors) -> Task<
    Void, Never
  > {
    let timeline = try Timeline.read(text, file: file, devices: hall.devices)
    let runner = TimelineRunner(timeline, devices: hall.devices, time: SystemTime()) { _ in }
    return Task { await runner.run() }
  }

  /// What the API reaches.
  var access: SimulationAccess {
    let hall = hall
    return SimulationAccess(
      list: { await hall.descriptions() },
      apply: { name, text throws(Problem) in
        do throws(SimulationError) {
          try await hall.apply(text, to: name)
          return try await hall.description(of: name)
        } catch {
          if case .unknownDevice = error { return nil }
          throw Problem(.invalid, "command: \(error)")
        }
      },
      play: { text throws(Problem) in
        do throws(ConfErrors) {
          _ = try Self.timeline(Array(text.utf8), file: "timeline", hall)
        } catch {
          throw Problem(
            .invalid, error.errors.first?.description ?? "",
            members: ["errors": .array(error.errors.map { .string($0.description) })])
        }
      })
  }
}
