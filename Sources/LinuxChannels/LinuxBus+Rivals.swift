public import Channels
internal import Hotplug
internal import Posix

/// Who else wants a device, and how it is made to start anew.
extension LinuxBus {
  /// The kernel's driver where the bare interface is wanted, programs that have its node open, and those that run and are
  /// known to take such devices: whether they have it cannot be seen of another account's programs.
  public func rivals(of candidate: ChannelCandidate) async -> [Rival] {
    let address = candidate.address
    var rivals: [Rival] = []
    var nodes: [String] = []
    var candidate = candidate
    switch address {
    case .usbInterface(let port, let configuration, let interface):
      let unit = await watch.units().first { $0.port == port }
      let here = unit?.interfaces.first { $0.configuration == configuration && $0.number == interface }
      let driver = (try? USBInterfaceNode(port: port, configuration: configuration, interface: interface))
        .flatMap(\.currentDriver)
      if let driver, driver != "usbfs" {
        rivals.append(
          Rival(form: .kernelDriver, name: driver, device: "\(port):\(configuration).\(interface)"))
      }
      nodes = (here?.nodes.map(\.path) ?? []) + [unit?.node].compactMap(\.self)
    case .tty(let path), .lp(let path), .hidraw(let path), .evdev(let path), .video(let path):
      nodes = [(try? Files.realPath(path)) ?? path]
      // A plain address may be asked about before anything was known of it.
      if candidate.facts.count < 3 { candidate = await candidates(at: address).first ?? candidate }
    case .http, .sane, .cups, .usb, .screen, .simulated: return []
    }
    let (asked, known) = (nodes, Self.suspects(candidate.facts))
    let (holders, suspects) = await onOwnThread("rivals") { () throws(Never) in
      Self.look(for: asked, suspects: known)
    }
    return rivals + holders + suspects.filter { one in !holders.contains { $0.process == one.process } }
  }

  private static func look(for nodes: [String], suspects names: [String]) -> ([Rival], [Rival]) {
    let own = ProcessInfo.processID
    let holders = nodes.flatMap { node in
      DeviceHolder.processes(holding: node).filter { $0 != own }.map {
        Rival(form: .holder, name: DeviceHolder.name(of: $0), process: Int($0), device: node)
      }
    }
    guard !names.isEmpty else { return (holders, []) }
    let suspects = DeviceHolder.programs().filter { names.contains($0.name) }.map {
      Rival(form: .suspect, name: $0.name, process: Int($0.process), device: nodes.first ?? "")
    }
    return (holders, suspects)
  }

  /// Programs of Debian and its like that take devices of a kind by themselves (facts/peers.md, facts/devices.md A7).
  static func suspects(_ facts: [String: String]) -> [String] {
    switch facts["transport"] {
    // ModemManager asks each serial line on USB whether it is a modem, brltty whether it is a Braille display.
    case "tty": facts["usb-id"] == nil ? [] : ["ModemManager", "brltty"]
    case "hidraw", "evdev": ["brltty"]
    case "usb", "usblp":
      switch facts["usb-class"] {
      case "07/01/04"?: ["ipp-usb"]
      // CUPS' backend for USB printers runs under its own name while it prints.
      case let classes? where classes.hasPrefix("07/"): ["usb", "ipp-usb"]
      default: []
      }
    default: []
    }
  }

  /// The running kernel's modules for a USB interface.
  public func modules(for candidate: ChannelCandidate) async -> [String]? {
    guard case .usbInterface(let port, let configuration, let interface) = candidate.address,
      let unit = await watch.units().first(where: { $0.port == port }),
      let here = unit.interfaces.first(where: { $0.configuration == configuration && $0.number == interface }
      ),
      let modalias = here.modalias
    else { return nil }
    return await onOwnThread("modules") { () throws(Never) in KernelModules.names(for: modalias) }
  }

  /// Resets the port of the USB device that a candidate is a part of. Every interface of it is lost and comes back.
  /// - Throws: `.absent` for what is not on USB or not there any more, `.denied`.
  public func restart(_ candidate: ChannelCandidate) async throws(ChannelError) {
    guard let port = candidate.unit?.port else { throw .absent("a USB port of \(candidate.address)") }
    guard let node = await watch.units().first(where: { $0.port == port })?.node else { throw .absent(port) }
    do throws(SystemError) {
      try await USBPort.reset(node: node)
    } catch {
      throw ChannelError(opening: node, error)
    }
  }
}
