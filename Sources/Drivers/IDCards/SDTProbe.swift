internal import Channels
internal import Codecs
internal import Devices

/// Finds out how a module is spoken to: the speed of a serial line, the pipes of a USB interface.
struct SDTProbe: Sendable {
  /// The speeds that modules have (facts/idcard.md 1.3), what they start with first.
  static let speeds = SDTBaud.allCases.map(\.bitsPerSecond)

  let line: SDTLine
  let settings: DriverSettings
  let time: any Timekeeper

  /// One way to speak to the module.
  private enum Way: Sendable {
    case asOpened
    case baud(Int)
    case pipes(PipeLayout)
  }

  /// Waits until the module answers and returns the speed of the line. A module takes up to 2 s after its power came
  /// before it answers (facts/idcard.md 3.1).
  func awaitModule() async throws(Fault) -> Int {
    let tries = max(1, settings.integer("attach-tries"))
    let ways = try await ways()
    var last = Fault(.deviceSilent)
    for attempt in 1...tries {
      for way in ways {
        do throws(Fault) {
          try await use(way)
          let timeout = settings.duration(ways.count > 1 ? "probe-timeout" : "status-timeout")
          let reply = try await line.exchange(.status, timeout: timeout)
          if let fault = SDTReader.fault(reply.status, of: .status) { throw fault }
          return try await changeBaud(from: speed(of: way))
        } catch {
          guard error.code == .deviceSilent || error.code == .deviceGarbled else { throw error }
          last = error
        }
      }
      guard attempt < tries else { break }
      guard await time.sleep(for: settings.duration("attach-pause")) else { throw Fault(.commandCancelled) }
    }
    throw last
  }

  private func ways() async throws(Fault) -> [Way] {
    if line.stream is any SerialLine, settings.text("baud") == "auto" {
      return Self.speeds.map { .baud($0) }
    }
    guard let choice = line.stream as? any LayoutChoice else { return [.asOpened] }
    // Two pipes each way first, where they are there: preamble and length through the first (facts/idcard.md 1.2).
    let split = choice.layouts.filter { $0.split != nil }
    let single = choice.layouts.filter { $0.split == nil }
    let layouts =
      switch settings.text("usb-layout") {
      case "single": single
      case "split": split
      default: split + single
      }
    guard !layouts.isEmpty else {
      throw Fault(.deviceUnmatched, "the interface has only the endpoints \(choice.layouts)")
    }
    return layouts.map { .pipes($0) }
  }

  private func use(_ way: Way) async throws(Fault) {
    do throws(ChannelError) {
      switch way {
      case .asOpened: break
      case .baud(let baud): try await (line.stream as? any SerialLine)?.setBaud(baud)
      case .pipes(let layout): try await (line.stream as? any LayoutChoice)?.use(layout)
      }
    } catch {
      throw Fault(error, doing: "preparing the line")
    }
  }

  private func speed(of way: Way) -> Int {
    if case .baud(let baud) = way { baud } else { settings.line.baud }
  }

  /// Tells the module the speed that the settings want, and goes back to the old one where it does not answer then.
  private func changeBaud(from old: Int) async throws(Fault) -> Int {
    guard let serial = line.stream as? any SerialLine, let wanted = Int(settings.text("module-baud")),
      wanted != old, let baud = SDTBaud.allCases.first(where: { $0.bitsPerSecond == wanted })
    else { return old }
    let timeout = settings.duration("status-timeout")
    let reply = try await line.exchange(.setBaud(baud), timeout: timeout)
    guard reply.status == .ok else { return old }
    // A module uses the new speed 5 ms after its reply (facts/idcard.md 3).
    guard await time.sleep(for: .milliseconds(10)) else { throw Fault(.commandCancelled) }
    do throws(ChannelError) {
      try await serial.setBaud(wanted)
      do throws(Fault) {
        _ = try await line.exchange(.status, timeout: timeout)
        return wanted
      } catch {
        guard error.code == .deviceSilent || error.code == .deviceGarbled else { throw ChannelError.gone }
      }
      try await serial.setBaud(old)
    } catch {
      throw Fault(error, doing: "changing the speed of the line")
    }
    _ = try await line.exchange(.status, timeout: timeout)
    return old
  }
}
