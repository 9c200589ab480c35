public import Channels
internal import Posix
internal import Synchronization

/// This machine's own devices: serial lines, eSCL scanners on loopback, SANE devices and CUPS queues.
public final class LinuxBus: Bus {
  private let scanning: ScanImageFeed.Configuration
  /// What stood at a path when it was last to be opened, so that a change between a failed opening and the wait for one
  /// is not missed.
  private let seen = Mutex<[String: NodeState]>([:])

  /// The bus.
  /// - Parameter scanning: how `scanimage` is run for SANE devices.
  public init(scanning: ScanImageFeed.Configuration = ScanImageFeed.Configuration()) {
    self.scanning = scanning
  }

  /// True for `tty:`, `http:`, `sane:`, `cups:` addresses and those of USB interfaces and device nodes.
  public func supplies(_ address: ChannelAddress) -> Bool {
    switch address {
    case .tty, .http, .sane, .cups, .usbInterface, .lp, .hidraw, .evdev, .video: true
    case .usb, .simulated: false
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
    case .hidraw(let path): return .reports(try await HIDRawChannel.open(path: path))
    case .evdev(let path): return .inputEvents(try await EvdevChannel.open(path: path))
    case .video(let path): return .frames(try await V4L2Channel.open(path: path))
    case .usb, .simulated:
      throw .absent("\(address)")
    }
  }

  /// `transport` and `address`; for a serial line on USB also `usb-id`, `usb-maker`, `usb-product` and `usb-serial`,
  /// and `driver`, the kernel's; for a queue whose server answers `make-and-model`.
  public func facts(of address: ChannelAddress) async -> [String: String] {
    var facts = ["transport": address.transport]
    switch address {
    case .tty(let path):
      facts["address"] = path
      facts.merge(TTYFacts.read(path)) { first, _ in first }
    case .sane(let name): facts["address"] = name
    case .cups(let queue, let server):
      facts["address"] = queue
      let channel = CUPSQueue(queue: queue, server: server)
      if let model = try? await channel.report(timeout: .seconds(2)).makeAndModel, !model.isEmpty {
        facts["make-and-model"] = model
      }
      await channel.close()
    case .http, .usb, .usbInterface, .lp, .hidraw, .evdev, .video, .simulated: break
    }
    return facts
  }

  /// Returns when a node, or a link to it, may have appeared, gone or changed its permissions; for a queue its server's
  /// socket; for a SANE device anything on the USB. For an HTTP device only on cancellation.
  public func waitForChange(at address: ChannelAddress) async {
    switch address {
    case .tty(let path): await waitForChange(ofPath: path)
    case .cups(_, let server): await waitForChange(ofPath: server ?? CUPSQueue.systemSocket)
    case .sane: await waitForUSB()
    case .http, .usb, .usbInterface, .lp, .hidraw, .evdev, .video, .simulated: await waitForCancellation()
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

  /// The kernel makes a node for every device that is plugged in, in a directory for each bus.
  private func waitForUSB() async {
    let root = "/dev/bus/usb"
    let buses = ((try? Files.list(root)) ?? []).map { "\(root)/\($0)" }
    let watches = buses.compactMap { try? NodeWatch(directory: $0) }
    guard !watches.isEmpty else { return await waitForCancellation() }
    await withTaskGroup { group in
      for watch in watches {
        group.addTask { for await _ in watch.changes { return } }
      }
      await group.next()
      group.cancelAll()
    }
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
