public import Channels
public import Codecs
import PageImages
public import Posix
public import Simulation

/// Why a hall could not be set up.
public enum SimulatedHallError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A log, a directory, a terminal or a socket could not be made.
  case system(SystemError)
  /// The configuration is wrong.
  case configuration(ConfError)
  /// A command of the configuration was refused by its device.
  case start(device: String, SimulationError)
  /// No server could be started for the device.
  case server(device: String)

  /// One sentence, English.
  public var description: String {
    switch self {
    case .system(let error): "\(error)"
    case .configuration(let error): "\(error)"
    case .start(let device, let error): "\(device): \(error)"
    case .server(let device): "\(device): its HTTP server could not be started"
    }
  }
}

/// The simulated devices of one process: made from a configuration, logging what they do, and attached in process, on
/// pseudo-terminals, on the loopback and on a Unix socket.
public actor SimulatedHall {
  /// The devices, in the order of the configuration.
  public nonisolated let devices: [SimulatedDevice]
  /// The devices for drivers of this process.
  public nonisolated let bus: SimulatedBus

  nonisolated let time: any Timekeeper
  private var attachments: [String: any Attachment] = [:]

  /// Makes the devices and carries out their `start` commands. Nothing is attached yet but ``bus``.
  ///
  /// - Parameters:
  ///   - configuration: Which devices.
  ///   - time: The clock of all their delays.
  ///   - logs: Directory for a log of each device, `NAME.log`, made if it is not there; nil for none. Running numbers go on
  ///     from what is in them.
  ///   - pages: Images in the scanners' feeders; the sample pages unless given.
  public init(
    _ configuration: SimulationConfiguration, time: any Timekeeper, logs: String?, pages: [[UInt8]]? = nil
  ) async throws(SimulatedHallError) {
    self.time = time
    var devices: [SimulatedDevice] = []
    do throws(SystemError) {
      if let logs { try Files.makeDirectory(logs, mode: 0o700, parents: true) }
    } catch {
      throw .system(error)
    }
    for (index, device) in configuration.devices.enumerated() {
      var log: RecordLog?
      do throws(SystemError) {
        if let logs { log = try RecordLog(path: "\(logs)/\(device.name).log") }
      } catch {
        throw .system(error)
      }
      var sink: SimulatedDevice.Sink?
      if let log { sink = { log.append($0) } }
      do throws(ConfError) {
        devices.append(
          try device.make(
            speed: configuration.speed, seed: configuration.seed &+ UInt64(index),
            pages: Self.pages(for: device.model, pages),
            numbers: log?.lastNumbers ?? [:],
            time: time, sink: sink))
      } catch {
        throw .configuration(error)
      }
    }
    self.devices = devices
    bus = SimulatedBus(devices)
    for (device, settings) in zip(devices, configuration.devices) {
      for command in settings.start {
        do throws(SimulationError) {
          try await device.apply(command)
        } catch {
          throw .start(device: device.name, error)
        }
      }
    }
  }

  private static func pages(for model: SimulationConfiguration.Model, _ given: [[UInt8]]?) -> [[UInt8]] {
    switch model {
    case .esclScanner: given ?? PageImages.all + PageImages.grey
    case .documentCamera: given ?? PageImages.all
    default: []
    }
  }

  /// The device of that name.
  public nonisolated func device(_ name: String) throws(SimulationError) -> SimulatedDevice {
    try bus.device(name)
  }

  /// Carries out one or more commands, `;` between them, until one is refused. Returns when the device is where it is to be
  /// after them: after `unplug` nobody can open it any more, after `plug` it is there.
  public func apply(_ commands: String, to name: String) async throws(SimulationError) {
    let device = try device(name)
    let parts = SimulationConfiguration.commands(commands)
    guard !parts.isEmpty else {
      throw .wrongWords(commands, forms: device.commandHelp.map(\.pattern))
    }
    for command in parts {
      try await device.apply(command)
      await attachments[name]?.settle()
    }
  }

  /// Plugs USB devices into this machine's own virtual host controller (Linux `vhci_hcd`; root's business), in this order.
  /// Returns when the kernel has been told of all of them; each is plugged in again when `plug` says so.
  ///
  /// - Parameter names: which; all USB devices unless given.
  public func attachToVirtualHost(_ names: [String]? = nil) async throws(SimulatedHallError) {
    try await attach(names, to: VirtualHostController())
  }

  func attach(_ names: [String]?, to controller: VirtualHostController) async throws(SimulatedHallError) {
    for (index, device) in devices.enumerated()
    where device.isUSB && names?.contains(device.name) != false && attachments[device.name] == nil {
      let attachment = VHCIAttachment(device, number: UInt32(clamping: index + 1), controller: controller)
      attachments[device.name] = attachment
      try await attachment.start()
    }
  }

  /// Attaches every device so that other programs reach it, USB devices excepted: lines as `DIRECTORY/NAME.tty`, a link to a pseudo-terminal;
  /// scanners on the loopback, their address in `DIRECTORY/NAME.url`; the first printer as `DIRECTORY/cups.sock`, others as
  /// `DIRECTORY/NAME.sock`. Returns when all of them can be reached. A device that is unplugged is not there until it is
  /// plugged again, at the same place.
  public func attach(to directory: String) async throws(SimulatedHallError) {
    do throws(SystemError) {
      try Files.makeDirectory(directory, mode: 0o700, parents: true)
    } catch {
      throw .system(error)
    }
    var hasPrinter = false
    for device in devices where attachments[device.name] == nil {
      let attachment: any Attachment
      // A USB device is for a USB host.
      if device.isUSB { continue }
      switch device.kind {
      case .byteStream: attachment = TerminalAttachment(device, link: "\(directory)/\(device.name).tty")
      case .printQueue:
        let name = hasPrinter ? "\(device.name).sock" : "cups.sock"
        hasPrinter = true
        attachment = ServerAttachment(device, .unix(path: "\(directory)/\(name)"), directory: directory)
      case .httpExchange, .pageFeed:
        attachment = ServerAttachment(
          device, .loopback(file: "\(directory)/\(device.name).url"), directory: directory)
      case .reports, .inputEvents, .frames, .screen: continue
      }
      attachments[device.name] = attachment
      try await attachment.start()
    }
  }

  /// Where an attached device is reached by channels of the operating system; nil before ``attach(to:)``.
  public func address(of name: String) async -> ChannelAddress? { await attachments[name]?.address }

  /// Takes every device away from where it was attached.
  public func stop() async {
    for attachment in attachments.values { await attachment.stop() }
    attachments = [:]
  }
}

/// A place where other programs reach a simulated device.
protocol Attachment: Sendable {
  /// The place as drivers name it.
  var address: ChannelAddress? { get async }
  /// Makes the place; returns when the device can be reached there, or at once while it is unplugged.
  func start() async throws(SimulatedHallError)
  /// Returns when the place is as the device has been up to now: there or not.
  func settle() async
  /// Removes it.
  func stop() async
}

/// How far an attachment has followed its device's changes, and who waits for it.
struct AttachmentProgress {
  private var handled = 0
  private var waiters: [(changes: Int, done: CheckedContinuation<Void, Never>)] = []

  /// Everything up to this change is done.
  mutating func reach(_ changes: Int) {
    handled = changes
    for waiter in waiters where waiter.changes <= changes { waiter.done.resume() }
    waiters.removeAll { $0.changes <= changes }
  }

  func hasReached(_ changes: Int) -> Bool { handled >= changes }

  mutating func wait(for changes: Int, _ done: CheckedContinuation<Void, Never>) {
    if hasReached(changes) { done.resume() } else { waiters.append((changes, done)) }
  }
}
