public import Channels
internal import Hotplug
internal import Posix
internal import Synchronization

/// This machine's own devices: whatever is on USB, serial lines, HID devices, cameras, eSCL scanners on loopback, SANE
/// devices and CUPS queues.
public final class LinuxBus: Bus {
  private let scanning: ScanImageFeed.Configuration
  let watch = DeviceWatch()
  /// What stood at a path when it was last to be opened, so that a change between a failed opening and the wait for one
  /// is not missed.
  private let seen = Mutex<[String: NodeState]>([:])

  /// The bus.
  /// - Parameter scanning: how `scanimage` is run for SANE devices.
  public init(scanning: ScanImageFeed.Configuration = ScanImageFeed.Configuration()) {
    self.scanning = scanning
  }

  /// True for everything but `screen:` and `simulated:`.
  public func supplies(_ address: ChannelAddress) -> Bool {
    switch address {
    case .screen, .simulated: false
    default: true
    }
  }

  /// What the device at an address can be opened by. For `usb:` every interface and node of every device that fits, by
  /// port; for a node, or a link to one, that node, with the unit it is a part of; empty while nothing is there.
  public func candidates(at address: ChannelAddress) async -> [ChannelCandidate] {
    switch address {
    case .usb(let place):
      let units = await watch.units()
      return units.filter(place.admits).flatMap { $0.candidates(among: units) }
    case .usbInterface(let port, _, _):
      let units = await watch.units()
      return units.filter { $0.port == port }.flatMap { $0.candidates(among: units) }
        .filter { $0.address == address }
    case .tty(let path), .lp(let path), .hidraw(let path), .evdev(let path), .video(let path):
      guard let node = try? Files.realPath(path) else { return [] }
      let units = await watch.units()
      let found = await watch.node(at: node)
      var facts = found?.node.facts(on: found?.unit, found?.interface) ?? [:]
      facts["transport"] = address.transport
      facts["address"] = path
      return [
        ChannelCandidate(address: address, facts: facts, unit: found?.unit?.deviceUnit(among: units))
      ]
    case .http, .sane, .cups: return [ChannelCandidate(address: address, facts: await facts(of: address))]
    case .screen, .simulated: return []
    }
  }

  /// Opens a channel. For a SANE device only the program is looked for, for a queue only its server: what they know of
  /// the device itself is the driver's to ask.
  public func open(
    _ address: ChannelAddress, as kind: ChannelKind?, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    switch address {
    case .tty(let path):
      remember(path)
      return .byteStream(try TTYChannel.open(path: path, line: line))
    case .http(let port, let path):
      return .httpExchange(try HTTPChannel.open(port: port, basePath: path))
    case .sane(let name):
      guard isInstalled(scanning.program) else { throw .absent(scanning.program) }
      return .pageFeed(ScanImageFeed(device: name, configuration: scanning))
    case .cups(let queue, let server):
      let socket = server ?? CUPSQueue.systemSocket
      remember(socket)
      do throws(SystemError) {
        _ = try UnixSocket.connect(path: socket)
      } catch {
        switch error.name {
        case "ECONNREFUSED": throw .absent("CUPS server \(socket)")
        case "EAGAIN": throw .busy("CUPS server \(socket)")
        default: throw ChannelError(opening: "CUPS server \(socket)", error)
        }
      }
      return .printQueue(CUPSQueue(queue: queue, server: server))
    case .usbInterface(let port, let configuration, let interface):
      return .byteStream(
        try await USBByteStream.open(
          port: port, configuration: configuration, interface: interface, line: line.usb))
    case .lp(let path):
      remember(path)
      return .byteStream(try LPChannel.open(path: path))
    case .hidraw(let path):
      remember(path)
      return .reports(try await HIDRawChannel.open(path: path))
    case .evdev(let path):
      remember(path)
      return .inputEvents(try await EvdevChannel.open(path: path))
    case .video(let path):
      remember(path)
      return .frames(try await V4L2Channel.open(path: path))
    case .usb, .screen, .simulated:
      throw .absent("\(address)")
    }
  }

  /// `transport`, and what is known of the device: its node's path, for what is on USB its ids, texts and class, for a
  /// queue whose server answers `make-and-model`.
  public func facts(of address: ChannelAddress) async -> [String: String] {
    var facts = ["transport": address.transport]
    switch address {
    case .sane(let name): facts["address"] = name
    case .cups(let queue, let server):
      facts["address"] = queue
      let channel = CUPSQueue(queue: queue, server: server)
      if let model = try? await channel.report(timeout: .seconds(2)).makeAndModel, !model.isEmpty {
        facts["make-and-model"] = model
      }
      await channel.close()
    case .tty(let path), .lp(let path), .hidraw(let path), .evdev(let path), .video(let path):
      facts["address"] = path
      facts.merge(await candidates(at: address).first?.facts ?? [:]) { first, _ in first }
    case .usb, .usbInterface:
      facts.merge(await candidates(at: address).first?.facts ?? [:]) { first, _ in first }
    case .http, .screen, .simulated: break
    }
    return facts
  }

  /// Returns when a node, or a link to it, may have appeared, gone or changed its permissions; for a queue its server's
  /// socket; for USB and SANE devices when something happened to a device that may be the one. For an HTTP device only
  /// on cancellation.
  public func waitForChange(at address: ChannelAddress) async {
    switch address {
    case .tty(let path), .lp(let path), .hidraw(let path), .evdev(let path), .video(let path):
      await waitForChange(ofPath: path)
    case .cups(_, let server): await waitForChange(ofPath: server ?? CUPSQueue.systemSocket)
    case .usb, .usbInterface, .sane: await waitForDevices(at: address) { false }
    case .http, .screen, .simulated: await waitForCancellation()
    }
  }

  /// For `usb:` addresses nothing is missed between ``candidates(at:)`` and this.
  public func waitForChange(at address: ChannelAddress, from seen: [ChannelCandidate]) async {
    switch address {
    case .usb, .usbInterface:
      await waitForDevices(at: address) { await self.candidates(at: address) != seen }
    default: await waitForChange(at: address)
    }
  }

  private func waitForDevices(
    at address: ChannelAddress, unless isOver: @Sendable () async -> Bool
  ) async {
    let changes = await watch.changes()
    if await isOver() { return }
    for await change in changes {
      switch address {
      case _ where change.isWhole: return
      case .usb(.port(let port)), .usbInterface(let port, _, _): if change.ports.contains(port) { return }
      default: if !change.ports.isEmpty { return }
      }
    }
  }

  // MARK: Waiting

  private func remember(_ path: String) {
    let state = NodeState(path)
    seen.withLock { $0[path] = state }
  }

  private func waitForChange(ofPath path: String) async {
    while !Task.isCancelled {
      // The directory of the path as given, not of what it leads to: links are made and removed there (udev's by-id, a
      // simulator's link to its pseudo-terminal). Where that directory is missing, the nearest one above that exists.
      var directory = Files.directory(of: path)
      var name = Self.lastName(of: path)
      while !Files.exists(directory), directory != "/" {
        name = Self.lastName(of: directory)
        directory = Files.directory(of: directory)
      }
      let watch: NodeWatch
      do throws(SystemError) {
        watch = try NodeWatch(directory: directory)
      } catch {
        if error.name == "ENOENT" { continue }
        return await waitForCancellation()
      }
      if let before = seen.withLock({ $0[path] }), before != NodeState(path) { return }
      if directory != Files.directory(of: path), Files.exists("\(directory)/\(name)") { continue }
      for await changed in watch.changes where changed == name || changed.isEmpty { return }
    }
  }

  private static func lastName(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? ""
  }

  private func waitForCancellation() async {
    let (never, continuation) = AsyncStream.makeStream(of: Never.self)
    for await _ in never {}
    continuation.finish()
  }

  private func isInstalled(_ program: String) -> Bool {
    if program.contains("/") { return Files.exists(program) }
    return (Environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").contains {
      Files.exists("\($0)/\(program)")
    }
  }
}

/// What stands at a path, as far as it decides whether opening it can succeed.
private struct NodeState: Equatable {
  private let identity: [UInt64]

  init(_ path: String) {
    identity =
      (try? Files.status(of: path)).map {
        [$0.device, $0.inode, $0.deviceNumber, UInt64($0.mode), UInt64($0.userID), UInt64($0.groupID)]
      } ?? []
  }
}
