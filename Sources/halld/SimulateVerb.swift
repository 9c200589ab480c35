import Codecs
import Console
import LinuxChannels
import LocalAPI
import Posix
import Simulation
import SimulationHost

/// `halld simulate`: the simulated devices alone, for other programs and for the kernel.
enum SimulateVerb {
  static let options = [
    Option("pty", value: "DIR", zh: "在此目录提供设备", en: "where to attach devices that are not USB devices"),
    Option(
      "usbip", value: "ADDRESS", zh: "在此地址以 USB/IP 导出 USB 设备，如 127.0.0.1:3240",
      en: "export USB devices by USB/IP at this address, such as 127.0.0.1:3240"),
    Option(
      "vhci", zh: "把 USB 设备插入本机内核的虚拟控制器", en: "plug USB devices into this machine's virtual host controller"),
    Option("devices", value: "NAME,…", zh: "只导出这些 USB 设备", en: "only these USB devices"),
    Option(
      "hall", value: "FILE", zh: "模拟设备的配置文件，或 builtin、usb",
      en: "which devices: a file, or 'builtin', or 'usb' for one in each USB form"),
    Option("timeline", value: "FILE", zh: "时间线文件", en: "what happens to them, and when"),
    Option("control", value: "SOCKET", zh: "控制套接字", en: "where to command them; DIR/control.sock with --pty"),
    Option("logs", value: "DIR", zh: "设备记录的目录", en: "where their records go; DIR with --pty"),
  ]

  static func run(_ words: [String]) async throws(UsageError) -> Int32 {
    let arguments = try Arguments.parse(words, options: options)
    if let word = arguments.words.first { throw UsageError(.superfluousWord(word)) }
    let (directory, isVirtual) = (arguments["pty"], arguments.has("vhci"))
    let port = try arguments["usbip"].map(port)
    guard directory != nil || port != nil || isVirtual else {
      throw UsageError(.missingWord("--pty DIR | --usbip ADDRESS | --vhci"))
    }
    if port != nil, isVirtual { throw UsageError(.superfluousWord("--vhci")) }
    let signals = Signals.stream([Signals.terminate, Signals.interrupt])
    do throws(SimulationStartError) {
      let isUSB = port != nil || isVirtual
      let hall = try await RunningSimulation.hall(
        arguments["hall"] ?? (isUSB ? "usb" : "builtin"), logs: arguments["logs"] ?? directory)
      let names = try chosen(arguments["devices"], hall)
      var (control, server): (SimulationControl?, USBIPServer?)
      do throws(SimulatedHallError) {
        if let directory { try await hall.attach(to: directory) }
        // Commands may come as soon as there is something to command.
        if let socket = arguments["control"] ?? directory.map({ $0 + "/control.sock" }) {
          control = try SimulationControl(hall, socket: socket)
        }
        if let port {
          server = try Self.server(hall.devices.filter { names?.contains($0.name) != false }, port)
        } else if isVirtual {
          try await hall.attachToVirtualHost(names)
        }
      } catch {
        throw SimulationStartError.hall(error)
      }
      let timeline = try play(arguments["timeline"], hall)
      tell(directory, server, isVirtual)
      for await _ in signals { break }
      timeline?.cancel()
      await control?.stop()
      await server?.stop()
      await hall.stop()
      return ExitCode.ok
    } catch {
      StandardStreams.writeError(error.sentence(Halld.language) + "\n")
      if case .configuration = error { return ExitCode.configuration }
      return ExitCode.failed
    }
  }

  /// What is ready, one line each; programs that start this one wait for the last.
  private static func tell(_ directory: String?, _ server: USBIPServer?, _ isVirtual: Bool) {
    let language = Halld.language
    var lines: [String] = []
    if let server {
      lines.append(
        language.choose(
          "USB/IP 已就绪：127.0.0.1:\(server.port)", "USB devices are exported at 127.0.0.1:\(server.port)"))
    }
    if isVirtual { lines.append(language.choose("USB 设备已插入本机", "USB devices are plugged into this machine")) }
    if let directory {
      lines.append(language.choose("模拟设备已就绪：\(directory)", "simulated devices are in \(directory)"))
    }
    StandardStreams.writeOut(lines.joined(separator: "\n") + "\n")
  }

  /// The port of an address. The protocol knows no passwords, so it is offered on the loopback only.
  private static func port(_ address: String) throws(UsageError) -> UInt16 {
    let parts = address.split(separator: ":", omittingEmptySubsequences: false)
    let isLoopback = parts.count == 1 || parts.count == 2 && ["127.0.0.1", "localhost"].contains(parts[0])
    if parts == ["127.0.0.1"] { return 3240 }
    guard isLoopback, let last = parts.last, let port = UInt16(last) else {
      throw UsageError(.wrongValue(address, expected: "127.0.0.1:PORT"))
    }
    return port
  }

  private static func chosen(
    _ list: String?, _ hall: SimulatedHall
  ) throws(SimulationStartError) -> [String]? {
    guard let list else { return nil }
    let names = list.split(separator: ",").map(String.init)
    for name in names {
      do throws(SimulationError) {
        let device = try hall.device(name)
        guard !device.isUSB else { continue }
        throw SimulationError.impossible("'\(name)' is not a USB device", chinese: "“\(name)”不是 USB 设备")
      } catch {
        throw .hall(.start(device: name, error))
      }
    }
    return names
  }

  private static func server(
    _ devices: [SimulatedDevice], _ port: UInt16
  ) throws(SimulatedHallError) -> USBIPServer {
    do throws(SystemError) {
      return try USBIPServer(devices, port: port)
    } catch {
      throw .system(error)
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
