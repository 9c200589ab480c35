import Glibc
import Posix
import Testing

@Suite(.timeLimit(.minutes(5)))
struct TerminalTests {
  private static let every = (0...255).map { UInt8($0) }

  @Test(arguments: SerialSettings.speeds, [SerialSettings.FlowControl.none, .hardware])
  func `every byte passes unchanged both ways`(baud: Int, flow: SerialSettings.FlowControl) async throws {
    let terminal = try PseudoTerminal.open()
    let settings = SerialSettings(baud: baud, flowControl: flow)
    let port = DescriptorStream(try SerialPort.open(path: terminal.path, settings: settings))
    let device = DescriptorStream(terminal.controller)
    for (from, to) in [(port, device), (device, port)] {
      try await from.write(Self.every, timeout: .seconds(10))
      var received: [UInt8] = []
      while received.count < 256 { received += try await to.read(upTo: 256, timeout: .seconds(10)) }
      #expect(received == Self.every)
    }
  }

  @Test func `the device is set as asked`() async throws {
    for settings in [
      SerialSettings(baud: 115200), SerialSettings(baud: 9600, flowControl: .software),
      SerialSettings(baud: 57600, flowControl: .hardware),
    ] {
      let terminal = try PseudoTerminal.open()
      let port = try SerialPort.open(path: terminal.path, settings: settings)
      let stty = try ChildProcess.spawn(
        "stty", arguments: ["-a", "-F", terminal.path], standardOutput: .pipe)
      var text: [UInt8] = []
      while let more = try await stty.output?.read(upTo: 4096, timeout: .seconds(30)), !more.isEmpty {
        text += more
      }
      let words = String(decoding: text, as: UTF8.self).split { " \n;".contains($0) }.map(String.init)
      #expect(words.starts(with: ["speed", "\(settings.baud)", "baud"]))
      for word in [
        "cs8", "-parenb", "-cstopb", "clocal", "cread", "-icanon", "-echo", "-isig", "-opost", "-icrnl",
      ] {
        #expect(words.contains(word), "\(word)")
      }
      #expect(words.contains(settings.flowControl == .hardware ? "crtscts" : "-crtscts"))
      #expect(words.contains(settings.flowControl == .software ? "ixon" : "-ixon"))
      #expect(port.raw >= 0)
    }
  }

  // In a process of its own: the test library starts processes at any time (see SpawnWindow).
  @Test func `a port that is open is busy for everyone else, and free again afterwards`() async throws {
    await #expect(processExitsWith: .success) {
      let terminal = try PseudoTerminal.open()
      let settings = SerialSettings(baud: 115200)
      let first = try SerialPort.open(path: terminal.path, settings: settings)
      let error = #expect(throws: SystemError.self) {
        _ = try SerialPort.open(path: terminal.path, settings: settings)
      }
      #expect(error?.name == "EBUSY")
      let other = try ChildProcess.spawn(
        "flock", arguments: ["-n", terminal.path, "true"], standardError: .null)
      #expect(await other.wait(timeout: nil) == .exited(1))
      try first.close()
      _ = try SerialPort.open(path: terminal.path, settings: settings)
    }
  }

  @Test(.enabled(if: ProcessInfo.userID == 0, "only root can become another user"))
  func `a pseudo-terminal can be opened again by a user who is not root`() async {
    await #expect(processExitsWith: .success) {
      let terminal = try PseudoTerminal.open()
      #expect(unsafe chown(terminal.path, 65534, 65534) == 0)
      #expect(setgid(65534) == 0 && setuid(65534) == 0)
      for _ in 0..<3 { _ = try SerialPort.open(path: terminal.path, settings: SerialSettings(baud: 9600)) }
    }
  }

  @Test func `what had come before is thrown away on demand`() async throws {
    let terminal = try PseudoTerminal.open()
    let port = try SerialPort.open(path: terminal.path, settings: SerialSettings(baud: 9600))
    let stale: [UInt8] = [1, 2, 3]
    #expect(unsafe Glibc.write(terminal.controller.raw, stale, 3) == 3)
    #expect(await Poller.shared.wait(for: .read, on: port.raw, timeout: nil) == .ready)
    try SerialPort.discardInput(port.raw)
    #expect(await Poller.shared.wait(for: .read, on: port.raw, timeout: .zero) == .timedOut)
    #expect(try SerialPort.unsentBytes(port.raw) == 0)
  }

  @Test func `what is no serial port, or no speed of ours, is refused with the reason`() throws {
    let settings = SerialSettings(baud: 9600)
    func code(_ path: String, _ settings: SerialSettings) -> String? {
      #expect(throws: SystemError.self) { _ = try SerialPort.open(path: path, settings: settings) }?.name
    }
    #expect(code("/dev/null", settings) == "ENOTTY")
    #expect(code("/no/such/port", settings) == "ENOENT")
    let terminal = try PseudoTerminal.open()
    for baud in [0, -1, 110, 1200, Int.max] {
      #expect(code(terminal.path, SerialSettings(baud: baud)) == "EINVAL")
    }
    let port = try SerialPort.open(path: terminal.path, settings: settings)
    let error = #expect(throws: SystemError.self) { _ = try SerialPort.controlLines(port.raw) }
    #expect(error?.name == "ENOTTY" || error?.name == "EINVAL")
  }

  @Test func `when the device goes, the reader hears of it`() async throws {
    var terminal: PseudoTerminal? = try PseudoTerminal.open()
    let path = terminal?.path ?? ""
    let port = DescriptorStream(try SerialPort.open(path: path, settings: SerialSettings(baud: 9600)))
    async let reading = port.read(upTo: 1, timeout: .seconds(30))
    terminal = nil
    // The line is hung up: end of file, or EIO.
    let result: [UInt8]? = try? await reading
    #expect(result == nil || result == [])
    #expect(!Files.exists(path))
  }
}
