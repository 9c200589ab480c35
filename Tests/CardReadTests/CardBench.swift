import Channels
import Codecs
import Devices
import Drivers
import LinuxChannels
import Posix
import Simulation
import SimulationHost
import Synchronization
import TestKit
import Testing

/// How the reader is reached.
enum Transport: String, CaseIterable, CustomTestStringConvertible {
  case bus, terminal, rawReports, wrappedReports
  var testDescription: String { rawValue }
}

/// One simulated reader and the driver on it, for reads with faults.
final class CardBench: Sendable {
  private let transport: Transport
  private let device: SimulatedDevice
  private let hall: SimulatedHall?
  private let directory: TemporaryDirectory
  private let state = Mutex((reader: (any IDCardReader)?.none, outcomes: [String: Int]()))

  var outcomes: [String: Int] { state.withLock { $0.outcomes } }

  init(_ transport: Transport) async throws {
    self.transport = transport
    directory = try TemporaryDirectory()
    let usb =
      switch transport {
      case .bus, .terminal: ""
      case .rawReports: "usb = hid"
      case .wrappedReports: "usb = hid-wrapped"
      }
    let text = """
      [hall]
      speed = instant
      seed = 7
      [device idcard]
      model = id-card-reader
      fingerprint-module = yes
      \(usb)
      """
    let configuration = try SimulationConfiguration.read(Array(text.utf8), file: "card")
    let hall = try await SimulatedHall(configuration, time: SystemTime(), logs: nil)
    device = try #require(hall.devices.first)
    if transport == .terminal { try await hall.attach(to: directory.path) }
    self.hall = hall
  }

  // MARK: One read

  private enum Trouble: CaseIterable {
    case none, flip, truncate, drop, extra, missing, noise, split, moved, movedWhileReading, answer, swap,
      unplug
    case damaged, forged, foreign, delay
  }

  private static let cards: [SampleCard] = [
    .citizen, .residencePermit, .foreigner2017, .foreigner2023, .unknownType,
  ]
  /// Faults of the line that any damage may end in when it comes often enough.
  private static let line: Set<FaultCode> = [.deviceGarbled, .deviceSilent]

  func read(_ seed: UInt64) async throws {
    var random = SeededRandom(seed: seed)
    let card = Self.cards.randomElement(using: &random) ?? .citizen
    var allowed: Set<SampleCard> = [card]
    var faults: Set<FaultCode> = []
    let trouble =
      Int.random(in: 0..<10, using: &random) < 4
      ? .none : Trouble.allCases.randomElement(using: &random) ?? .none
    try await device.apply("card present \(card.rawValue)")
    var swap: SampleCard?
    switch trouble {
    case .none: break
    case .flip: try await device.apply("flip byte")
    case .truncate: try await device.apply("truncate reply \(Int.random(in: 0...1300, using: &random))")
    case .drop: try await device.apply("drop reply \(Int.random(in: 1...4, using: &random))")
    case .extra: try await device.apply("extra byte")
    case .missing: try await device.apply("missing byte")
    case .noise: try await device.apply("noise \(Int.random(in: 1...64, using: &random)) bytes")
    // A report is not cut by what carries it.
    case .split where transport != .bus && transport != .terminal: break
    case .split: try await device.apply("split replies")
    case .delay: try await device.apply("delay \(Int.random(in: 1...30, using: &random)) ms")
    case .moved: try await device.apply("card moved")
    case .movedWhileReading: try await device.apply("card moved while reading")
    case .answer:
      let status = SDTStatus.known.randomElement(using: &random) ?? .ok
      try await device.apply("next answer \(String(status.code, radix: 16))")
      // A module's word of its own state ends the read; so does a refusal of the command.
      switch status {
      case .selfTestFailed: faults = [.deviceBroken]
      case .moduleUnauthorised, .notAuthorised, .loginFailed: faults = [.deviceNotAuthorised]
      case .commandWrong: faults = [.commandRefused]
      case .unknownCard: faults = [.cardUnknown]
      case .cardRejectedModule, .moduleRejectedCard, .verificationFailed: faults = [.cardNotAuthenticated]
      default: faults = [.cardUnreadable, .cardMoved, .deviceGarbled]
      }
    case .swap:
      swap = Self.cards.randomElement(using: &random)
      if let swap { allowed.insert(swap) }
    case .unplug:
      try await device.apply("unplug after \(Int.random(in: 1...1400, using: &random)) reply bytes")
      faults = [.deviceGone, .lineFailed]
    case .damaged, .forged, .foreign:
      let (name, code): (SampleCard, FaultCode) =
        switch trouble {
        case .damaged: (.damaged, .cardUnreadable)
        case .forged: (.forged, .cardNotAuthenticated)
        default: (.foreign, .cardUnknown)
        }
      try await device.apply("card present \(name.rawValue)")
      (allowed, faults) = ([], [code])
    }
    try await end(trouble, seed, allowed, faults, swap)
    try await device.apply("clear faults")
  }

  private func end(
    _ trouble: Trouble, _ seed: UInt64, _ allowed: Set<SampleCard>, _ faults: Set<FaultCode>,
    _ swap: SampleCard?
  ) async throws {
    do {
      let reader = try await attached()
      let reading = try await reader.readCard(timeout: .seconds(30)) { [device] step in
        guard step == .reading, let swap else { return }
        Task { try? await device.apply("card present \(swap.rawValue)") }
      }
      count("card")
      let texts = allowed.map { $0.content }
      #expect(texts.contains(reading.card.text.reveal()), "seed \(seed), \(trouble): another card")
      #expect(reading.card.photo.reveal() == SampleCard.photo, "seed \(seed), \(trouble): another photo")
    } catch let fault as Fault {
      count(fault.code.rawValue)
      let isRight = faults.contains(fault.code) || (trouble != .none && Self.line.contains(fault.code))
      #expect(isRight, "seed \(seed), \(trouble): \(fault)")
      if [.deviceGone, .lineFailed, .deviceAbsent].contains(fault.code) { await detach() }
    }
  }

  private func count(_ outcome: String) { state.withLock { $0.outcomes[outcome, default: 0] += 1 } }

  // MARK: Attaching

  private static let settings = [
    "find-interval": "1 ms", "retry-pause": "1 ms", "debounce": "0 ms", "attach-pause": "20 ms",
    "pause-timeout": "50 ms", "status-timeout": "1 s", "find-timeout": "1 s", "select-timeout": "1 s",
    "read-timeout": "1 s", "additional-address": "yes", "card-number": "yes",
  ]

  private func attached() async throws -> any IDCardReader {
    if let reader = state.withLock({ $0.reader }) { return reader }
    try await device.apply("clear faults")
    let driver: Driver = transport == .bus || transport == .terminal ? .sdt : .sdtHID
    var values = Self.settings
    if transport == .wrappedReports { values["report-framing"] = "wrapped" }
    let settings = DriverSettings(driver.settings, values: values)
    let context = DriverContext(time: SystemTime()) { text, _ in Array(text.utf8) }
    let channel = try await Attempts.until("the line can be opened") { () -> Channel? in
      do throws(ChannelError) {
        if self.transport == .terminal {
          let path = self.directory.path("idcard.tty")
          return try await LinuxBus().open(.tty(path: path), line: settings.line)
        }
        let kind = driver.channel
        return try await SimulatedBus([self.device]).open(
          .simulated(name: "idcard"), as: kind, line: settings.line)
      } catch {
        return nil
      }
    }
    let reader = try #require(try await driver.attach(channel, settings, context) as? any IDCardReader)
    state.withLock { $0.reader = reader }
    return reader
  }

  private func detach() async {
    let reader = state.withLock { state in
      defer { state.reader = nil }
      return state.reader
    }
    await reader?.detach()
  }

  func stop() async {
    await detach()
    await hall?.stop()
  }
}

extension SampleCard {
  /// The text block, as the simulated reader gives it: found by asking the model itself.
  fileprivate var content: [UInt8] {
    var reader = SimulatedIDCardReader()
    _ = try? reader.apply(.present(self))
    let requests = [SDTCommand.find, .select, .readText].flatMap { $0.encode() }
    for case .send(let bytes, _) in reader.receive(requests) where bytes.count > 1000 {
      return Array(bytes[14..<270])
    }
    return []
  }
}
