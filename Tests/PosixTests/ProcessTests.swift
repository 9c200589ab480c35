import Glibc
import Posix
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ProcessTests {
  @Test func `signals come as values, and the process lives`() async {
    await #expect(processExitsWith: .success) {
      Signals.block([SIGUSR1, SIGTERM])
      var arrivals = Signals.stream([SIGUSR1, SIGTERM]).makeAsyncIterator()
      for signal in [SIGUSR1, SIGTERM, SIGTERM, SIGUSR1] {
        kill(getpid(), signal)
        #expect(await arrivals.next() == signal)
      }
    }
  }

  @Test func `signals from before anybody listened are kept, for whoever listens for them first`() async {
    await #expect(processExitsWith: .success) {
      Signals.block([SIGUSR1, SIGTERM, SIGHUP])
      kill(getpid(), SIGTERM)
      kill(getpid(), SIGHUP)
      var hangups = Signals.stream([SIGHUP]).makeAsyncIterator()
      #expect(await hangups.next() == SIGHUP)
      var terminations = Signals.stream([SIGTERM]).makeAsyncIterator()
      #expect(await terminations.next() == SIGTERM)
    }
  }

  @Test func `each stream of a signal gets it, and dropped streams are no harm`() async {
    await #expect(processExitsWith: .success) {
      _ = await OpenResources.settled()
      var one = Signals.stream([SIGUSR1]).makeAsyncIterator()
      let before = OpenResources.now().descriptors
      for _ in 0..<20 { _ = Signals.stream([SIGUSR1, SIGUSR2]) }
      var other = Signals.stream([SIGUSR1]).makeAsyncIterator()
      kill(getpid(), SIGUSR1)
      #expect(await one.next() == SIGUSR1)
      #expect(await other.next() == SIGUSR1)
      #expect(OpenResources.now().descriptors <= before)
    }
  }

  @Test func `what this process is agrees with what the system's own tools say`() async throws {
    func tool(_ name: String, _ arguments: String...) async throws -> String {
      let child = try ChildProcess.spawn(name, arguments: arguments, standardOutput: .pipe)
      let bytes = try await child.output?.read(upTo: 4096, timeout: .seconds(30)) ?? []
      #expect(await child.wait(timeout: nil) == .exited(0))
      return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
    }
    #expect(try await tool("id", "-u") == "\(ProcessInfo.userID)")
    #expect(try await tool("id", "-g") == "\(ProcessInfo.groupID)")
    #expect(try await tool("id", "-un") == ProcessInfo.userName(ProcessInfo.userID))
    #expect(try await tool("uname", "-n") == ProcessInfo.hostName)
    #expect(try ProcessInfo.userID(named: try await tool("id", "-un")) == ProcessInfo.userID)
    #expect(try ProcessInfo.groupID(named: try await tool("id", "-gn")) == ProcessInfo.groupID)
  }

  @Test func `users and groups that do not exist`() {
    #expect(ProcessInfo.userName(4_000_000_000) == nil)
    let error = #expect(throws: SystemError.self) { try ProcessInfo.userID(named: "no-such-user") }
    #expect(error == SystemError(call: "look up user no-such-user", code: ENOENT))
    #expect(throws: SystemError.self) { try ProcessInfo.groupID(named: "root\0x") }
  }

  @Test func `memory, descriptors and threads are counted`() async {
    await #expect(processExitsWith: .success) {
      #expect(ProcessInfo.residentBytes >= ProcessInfo.privateBytes)
      #expect(ProcessInfo.privateBytes > 100_000)
      let before = ProcessInfo.openDescriptors
      var open: [DescriptorStream] = []
      for _ in 0..<50 {
        let pair = try UnixSocket.pair()
        open.append(DescriptorStream(pair.first))
        open.append(DescriptorStream(pair.second))
      }
      // The runtime may have closed or opened some of its own meanwhile.
      #expect(abs(ProcessInfo.openDescriptors - before - open.count) <= 3)
      let memory = ProcessInfo.residentBytes
      let block = [UInt8](repeating: 1, count: 32 << 20)
      #expect(ProcessInfo.residentBytes >= memory + (30 << 20))
      #expect(block.last == 1)
      // The main thread, one of the pool at least, and the poller's.
      #expect(ProcessInfo.threads >= 3)
    }
  }

  @Test func `a descriptor is closed once, by its owner`() throws {
    /// The open socket behind a number: the number alone may be somebody else's by now.
    func socket(_ raw: Int32) -> UInt64? {
      var status = stat()
      return unsafe fstat(raw, &status) == 0 ? UInt64(status.st_ino) : nil
    }
    let released: Int32
    let before: [UInt64?]
    let others: [Int32]
    do {
      let pair = try UnixSocket.pair()
      let copy = try pair.first.duplicate()
      #expect(fcntl(copy.raw, F_GETFD) == FD_CLOEXEC)
      others = [pair.second.raw, copy.raw]
      before = others.map(socket)
      #expect(socket(copy.raw) == socket(pair.first.raw))
      released = pair.first.release()
    }
    #expect(socket(released) == before[1])
    for (raw, was) in zip(others, before) { #expect(was != nil && socket(raw) != was) }
    try Descriptor(adopting: released).close()
    #expect(socket(released) != before[1])
    let error = #expect(throws: SystemError.self) { try Descriptor(adopting: 999_999).close() }
    #expect(error?.name == "EBADF")
  }

  @Test func `the environment and the command line`() async {
    #expect(Environment["PATH"] != nil && Environment["NO_SUCH_VARIABLE_HERE"] == nil)
    #expect(!Environment.arguments.isEmpty)
  }

  @Test func `lines of many tasks do not mix on standard output`() async throws {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent, \.standardErrorContent]
    ) {
      await withTaskGroup { group in
        for number in 0..<100 {
          group.addTask {
            StandardStreams.writeOut("<\(String(repeating: "x", count: 2000))\(number)>\n")
            StandardStreams.writeError("e\(number)\n")
          }
        }
      }
    }
    let out = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    let lines = out.split(separator: "\n").filter { $0.hasPrefix("<x") }
    #expect(lines.count == 100 && lines.allSatisfy { $0.hasSuffix(">") })
    let errors = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect((0..<100).allSatisfy { errors.contains("e\($0)\n") })
  }

  @Test func `an output nobody reads is reported, and kills nobody`() async {
    await #expect(processExitsWith: .success) {
      let pair = try UnixSocket.pair()
      let saved = dup(1)
      dup2(pair.first.raw, 1)
      try pair.second.close()
      let written = StandardStreams.writeOut("lost\n")
      dup2(saved, 1)
      #expect(!written)
      #expect(StandardStreams.writeOut(""))
      #expect(!StandardStreams.isTerminal(pair.first.raw))
    }
  }

  @Test func `a full non-blocking output is waited for`() async throws {
    await #expect(processExitsWith: .success) {
      let pair = try UnixSocket.pair()
      let saved = dup(1)
      dup2(pair.first.raw, 1)
      _ = fcntl(1, F_SETFL, O_NONBLOCK)
      let reader = DescriptorStream(pair.second)
      let reading = Task {
        var count = 0
        while count < 4 << 20 { count += try await reader.read(upTo: 1 << 20, timeout: .seconds(30)).count }
        return count
      }
      let written = StandardStreams.writeOut(String(repeating: "y", count: 4 << 20))
      dup2(saved, 1)
      #expect(written)
      #expect(try await reading.value == 4 << 20)
    }
  }

  @Test func `a terminal is known as one, with its width`() async throws {
    await #expect(processExitsWith: .success) {
      let terminal = try PseudoTerminal.open()
      let port = try SerialPort.open(path: terminal.path, settings: SerialSettings(baud: 9600))
      var size = winsize(ws_row: 24, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0)
      #expect(unsafe ioctl(terminal.controller.raw, UInt(TIOCSWINSZ), &size) == 0)
      let saved = dup(1)
      dup2(port.raw, 1)
      let width = StandardStreams.terminalWidth
      let isTerminal = StandardStreams.isTerminal(1)
      dup2(saved, 1)
      #expect(width == 132 && isTerminal)
    }
  }
}
