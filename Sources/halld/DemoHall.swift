import Agent
import Channels
import Codecs
import Devices
import LocalAPI
import Posix
import Simulation
import SimulationHost

/// The demo's five simulated devices and the configuration of an agent that serves them: the serial ones in process, the
/// scanner over HTTP on loopback and the print service through libcups, as real ones would be.
struct DemoHall: Sendable {
  let simulation: RunningSimulation
  private let directory: String

  static func start(directory: String) async throws(SimulationStartError) -> DemoHall {
    let hall = try await RunningSimulation.hall("builtin", logs: directory + "/devices")
    do throws(SimulatedHallError) {
      try await hall.attach(to: directory + "/devices")
    } catch {
      throw .hall(error)
    }
    return DemoHall(simulation: RunningSimulation(hall: hall), directory: directory)
  }

  /// The agent's configuration, in the directory that the demo is confined to.
  /// - Parameter screens: the port of a citizen's screen; nil: there is none.
  func configuration(
    language: Language, screens: UInt16? = nil
  ) async throws(ConfErrors) -> (Configuration, ProfileSet) {
    var text = """
      [agent]
      hall = demo-hall
      hall-name = 示范市政务服务中心
      position = window-07
      language = \(language.rawValue)
      socket = \(directory)/agent.sock
      socket-group = ""
      state = \(directory)/state
      [intake]
      target = unix:\(directory)/intake.sock
      user = ""
      forward = visit, rating, material.page, material.page.withdrawn, material.completed, ticket, call, print
      [service A]
      name = 综合受理
      prefix = A
      windows = 01-08

      """
    let roles: [(role: String, kind: DeviceKind)] = [
      ("idcard", .idCardReader), ("dispenser", .ticketDispenser), ("scanner", .scanner),
      ("evaluator", .evaluator),
      ("printer", .printer),
    ]
    for (role, kind) in roles {
      let address = await simulation.hall.address(of: role) ?? .simulated(name: role)
      text += "[device \(role)]\nkind = \(kind.rawValue)\nport = \(address)\nsimulated = yes\n"
      // A terminal does not tell what is behind it.
      if kind == .ticketDispenser { text += "profile = escpos-simulated\n" }
    }
    if let screens {
      text += """
        [screens]
        port = \(screens)
        [ratings]
        ask-at-closing = no
        [device screen]
        kind = citizen-screen
        port = screen:1
        simulated = yes

        """
    }
    let configuration = try Configuration.read(Array(text.utf8), file: "demo")
    let (profiles, mistakes) = try ConfigurationFiles.profiles(in: ConfigurationFiles.shippedProfiles)
    if !mistakes.isEmpty { throw ConfErrors(mistakes) }
    return (configuration, profiles)
  }

  /// Does something to a device, as a person would.
  func simulate(_ device: String, _ command: String) async throws(DemoFailure) {
    do throws(SimulationError) {
      try await simulation.hall.apply(command, to: device)
    } catch {
      throw DemoFailure(sentence: "\(device): \(error)")
    }
  }

  /// The last ticket that came out of the dispenser, drawn.
  func lastTicket() async -> [String] {
    guard let device = try? simulation.hall.device("dispenser") else { return [] }
    let ticket = await device.records.last { $0.record.ticket != nil }?.record.ticket
    return ticket.map { TicketDrawing($0, style: StandardStreams.isTerminal(1) ? .terminal : .plain).lines }
      ?? []
  }

  /// The simulated scanner's address on the loopback.
  var scanner: String {
    get async { await simulation.hall.address(of: "scanner").map { "\($0)" } ?? "" }
  }

  func stop() async { await simulation.stop() }
}
