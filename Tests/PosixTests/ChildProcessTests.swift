import Glibc
import Posix
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ChildProcessTests {
  private static func everything(of stream: DescriptorStream?) async throws -> [UInt8] {
    let stream = try #require(stream)
    var bytes: [UInt8] = []
    while true {
      let more = try await stream.read(upTo: 1 << 16, timeout: .seconds(30))
      if more.isEmpty { return bytes }
      bytes += more
    }
  }

  private static func output(_ script: String, environment: [String: String]? = nil) async throws -> String {
    let child = try ChildProcess.spawn(
      "/bin/sh", arguments: ["-c", script], environment: environment, standardOutput: .pipe)
    let text = String(decoding: try await everything(of: child.output), as: UTF8.self)
    #expect(await child.wait(timeout: nil) == .exited(0))
    return text
  }

  @Test(arguments: [0, 1, 64, 255] as [Int32])
  func `an exit code comes back, to everyone who asks`(code: Int32) async throws {
    let child = try ChildProcess.spawn("sh", arguments: ["-c", "exit \(code)"])
    async let first = child.wait(timeout: nil)
    async let second = child.wait(timeout: .seconds(30))
    #expect(await first == .exited(code))
    #expect(await second == .exited(code))
    #expect(await child.wait(timeout: .zero) == .exited(code))
  }

  @Test func `a signal that ended the child is told from an exit`() async throws {
    let child = try ChildProcess.spawn("sh", arguments: ["-c", "kill -USR1 $$"])
    #expect(await child.wait(timeout: nil) == .signalled(SIGUSR1))
  }

  @Test func `waiting gives up when the time is over or the task is cancelled, and the child lives on`()
    async throws
  {
    let child = try ChildProcess.spawn("cat", standardInput: .pipe)
    #expect(await child.wait(timeout: .milliseconds(10)) == nil)
    let task = Task { await child.wait(timeout: nil) }
    task.cancel()
    #expect(await task.value == nil)
    child.input?.close()
    #expect(await child.wait(timeout: nil) == .exited(0))
  }

  @Test func `a signal reaches the child's whole group`() async throws {
    let child = try ChildProcess.spawn(
      "sh", arguments: ["-c", "sleep 1000 & echo started; wait"], standardOutput: .pipe)
    #expect(try await child.output?.read(upTo: 100, timeout: .seconds(30)) == Array("started\n".utf8))
    child.signal(SIGTERM)
    #expect(await child.wait(timeout: nil) == .signalled(SIGTERM))
    // The grandchild held the pipe open too.
    #expect(try await Self.everything(of: child.output) == [])
    child.signal(SIGTERM)
  }

  @Test func `megabytes on both outputs come through without a deadlock`() async throws {
    let child = try ChildProcess.spawn(
      "sh", arguments: ["-c", "head -c 1048576 /dev/zero; head -c 1048577 /dev/zero >&2"],
      standardOutput: .pipe, standardError: .pipe)
    async let output = Self.everything(of: child.output)
    async let error = Self.everything(of: child.errorOutput)
    #expect(try await output.count == 1_048_576)
    #expect(try await error.count == 1_048_577)
    #expect(await child.wait(timeout: nil) == .exited(0))
  }

  @Test func `megabytes of input are read by the child at its own pace`() async throws {
    let bytes = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 5) }
    let given = try ChildProcess.spawn("cat", standardInput: .bytes(bytes), standardOutput: .pipe)
    #expect(try await Self.everything(of: given.output) == bytes)
    let piped = try ChildProcess.spawn("cat", standardInput: .pipe, standardOutput: .pipe)
    async let echoed = Self.everything(of: piped.output)
    try await piped.input?.write(bytes, timeout: .seconds(30))
    piped.input?.close()
    #expect(try await echoed == bytes)
    #expect(await given.wait(timeout: nil) == .exited(0))
    #expect(await piped.wait(timeout: nil) == .exited(0))
  }

  @Test func `a child that reads none of its input is no harm`() async throws {
    let child = try ChildProcess.spawn("true", standardInput: .bytes([UInt8](repeating: 0, count: 1 << 20)))
    #expect(await child.wait(timeout: nil) == .exited(0))
    let piped = try ChildProcess.spawn("true", standardInput: .pipe)
    #expect(await piped.wait(timeout: nil) == .exited(0))
    let error = await #expect(throws: StreamWriteError.self) {
      try await piped.input?.write([UInt8](repeating: 0, count: 1 << 20), timeout: .seconds(30))
    }
    #expect(error?.reason == .system(SystemError(call: "write", code: EPIPE)))
  }

  @Test func `outputs go to files and descriptors`() async throws {
    let directory = try TemporaryDirectory()
    for word in ["one", "two"] {
      let child = try ChildProcess.spawn(
        "sh", arguments: ["-c", "echo \(word); echo error >&2"], standardOutput: .file(directory.path("log")),
        standardError: .null)
      #expect(await child.wait(timeout: nil) == .exited(0))
    }
    #expect(try Files.read(directory.path("log"), limit: 99) == Array("one\ntwo\n".utf8))
    #expect(try Files.owner(of: directory.path("log")).mode == 0o600)
    let pair = try UnixSocket.pair()
    let child = try ChildProcess.spawn(
      "sh", arguments: ["-c", "cat; echo o; echo e >&2"], standardInput: .null,
      standardOutput: .descriptor(pair.first.raw), standardError: .descriptor(pair.first.raw))
    #expect(await child.wait(timeout: nil) == .exited(0))
    try pair.first.close()
    let reader = DescriptorStream(pair.second)
    #expect(try await Self.everything(of: reader) == Array("o\ne\n".utf8))
  }

  @Test func `arguments, environment and directory arrive as given`() async throws {
    let directory = try TemporaryDirectory()
    let child = try ChildProcess.spawn(
      "sh",
      arguments: ["-c", #"printf '%s|' "$@"; pwd; echo "$A$B"; env | sort"#, "sh", "", "a b", "页'\"$x"],
      environment: ["A": "1", "B": "二 =", "PATH": "/usr/bin:/bin"], workingDirectory: directory.path,
      standardOutput: .pipe)
    let text = String(decoding: try await Self.everything(of: child.output), as: UTF8.self)
    #expect(await child.wait(timeout: nil) == .exited(0))
    let lines = text.split(separator: "\n").map(String.init)
    #expect(lines.first == "|a b|页'\"$x|\(try Files.realPath(directory.path))")
    #expect(lines.dropFirst().first == "1二 =")
    #expect(lines.contains("B=二 =") && !lines.contains { $0.hasPrefix("HOME=") })
    let inherited = try await Self.output("echo $PATH")
    #expect(inherited == (Environment["PATH"] ?? "") + "\n")
  }

  @Test func `a program that cannot be run is an error at once`() throws {
    func code(
      _ path: String, _ arguments: [String] = [], environment: [String: String]? = nil,
      directory: String? = nil
    ) -> Int32? {
      do {
        _ = try ChildProcess.spawn(
          path, arguments: arguments, environment: environment, workingDirectory: directory)
        return nil
      } catch {
        return error.code
      }
    }
    #expect(code("no-such-program-anywhere") == ENOENT)
    #expect(code("/no/such/program") == ENOENT)
    #expect(code("/etc/passwd") == EACCES)
    #expect(code("true", directory: "/no/such/directory") == ENOENT)
    #expect(code("true", ["a\0b"]) == EINVAL)
    #expect(code("true", environment: ["A=B": "c"]) == EINVAL)
    #expect(code("true", environment: ["": "c"]) == EINVAL)
    #expect(code("tr\0ue") == EINVAL)
  }

  @Test func `the child has three descriptors, no blocked and no ignored signals, and its own group`() async {
    await #expect(processExitsWith: .success) {
      Signals.ignoreBrokenPipe()
      // One descriptor without close-on-exec, as a careless library opens it.
      #expect(unsafe Glibc.open("/dev/null", O_RDONLY) >= 0)
      var blocked = sigset_t()
      unsafe sigfillset(&blocked)
      func output(_ program: String, _ arguments: String...) async throws -> [Substring] {
        // The mask is the thread's that spawns.
        unsafe pthread_sigmask(SIG_SETMASK, &blocked, nil)
        let child = try ChildProcess.spawn(program, arguments: arguments, standardOutput: .pipe)
        var bytes: [UInt8] = []
        while let more = try await child.output?.read(upTo: 4096, timeout: .seconds(30)), !more.isEmpty {
          bytes += more
        }
        return (String(decoding: bytes, as: UTF8.self) + "\n\(child.processID)").split(separator: "\n")
      }
      // 3 is the listed directory itself.
      #expect(try await output("ls", "/proc/self/fd").dropLast() == ["0", "1", "2", "3"])
      let status = try await output("cat", "/proc/self/status")
      #expect(status.contains("SigBlk:\t0000000000000000"))
      // glibc's posix_spawn ignores its own two, 32 and 33.
      #expect(status.contains { $0 == "SigIgn:\t0000000000000000" || $0 == "SigIgn:\t0000000180000000" })
      let fields = try await output("cat", "/proc/self/stat").joined(separator: " ").split(separator: " ")
      #expect(fields.count > 5 && fields[4] == fields.last)
    }
  }

  @Test func `standard streams that are closed here do not mix up the child's`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      close(0)
      close(1)
      close(2)
      // The pipes get the numbers 0 to 2 now.
      let child = try ChildProcess.spawn(
        "sh", arguments: ["-c", "cat; echo error >&2"], standardInput: .pipe, standardOutput: .pipe,
        standardError: .file(directory.path("errors")))
      try await child.input?.write(Array("in".utf8), timeout: nil)
      child.input?.close()
      var bytes: [UInt8] = []
      while let more = try await child.output?.read(upTo: 4096, timeout: .seconds(30)), !more.isEmpty {
        bytes += more
      }
      guard bytes == Array("in".utf8), await child.wait(timeout: nil) == .exited(0),
        try Files.read(directory.path("errors"), limit: 99) == Array("error\n".utf8)
      else { exit(1) }
    }
  }

  @Test func `children leave no descriptors, no zombies and, when released, no processes`() async {
    await #expect(processExitsWith: .success) {
      let before = await OpenResources.settled().descriptors
      for _ in 0..<20 {
        let child = try ChildProcess.spawn(
          "cat", standardInput: .bytes([1]), standardOutput: .pipe, standardError: .pipe)
        while try await child.output?.read(upTo: 10, timeout: .seconds(30)).isEmpty == false {}
        #expect(await child.wait(timeout: nil) == .exited(0))
      }
      _ = await (try ChildProcess.spawn("true")).wait(timeout: nil)
      #expect(throws: SystemError.self) {
        _ = try ChildProcess.spawn("/no/such", standardInput: .pipe, standardOutput: .pipe)
      }
      func released() throws -> DescriptorStream? {
        // Without this the pipe's end would come only after 1000 seconds.
        try ChildProcess.spawn("sh", arguments: ["-c", "sleep 1000 & wait"], standardOutput: .pipe).output
      }
      do {
        let output = try released()
        #expect(try await output?.read(upTo: 1, timeout: .seconds(30)) == [])
      }
      // Looks without taking anything: an error (ECHILD) only when no child is left, not even a zombie.
      func hasChildren() -> Bool {
        var found = unsafe siginfo_t()
        return unsafe waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT) == 0
      }
      try await Attempts.until("the end of every child and descriptor") {
        hasChildren() || OpenResources.now().descriptors > before ? nil : true
      }
    }
  }

  @Test func `a child that is not to be killed outlives its object`() async throws {
    func released() throws -> (DescriptorStream?, DescriptorStream?) {
      let child = try ChildProcess.spawn(
        "cat", standardInput: .pipe, standardOutput: .pipe, isKilledOnRelease: false)
      return (child.input, child.output)
    }
    let (input, output) = try released()
    try await input?.write([65], timeout: nil)
    #expect(try await output?.read(upTo: 1, timeout: .seconds(30)) == [65])
    input?.close()
    #expect(try await output?.read(upTo: 1, timeout: .seconds(30)) == [])
  }

  @Test func `what is closed while children are being started is free at once`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      let terminal = try PseudoTerminal.open()
      let path = terminal.path
      try await withThrowingTaskGroup { group in
        group.addTask {
          for _ in 0..<100 {
            let child = try ChildProcess.spawn("true")
            _ = await child.wait(timeout: nil)
          }
        }
        group.addTask {
          for _ in 0..<200 {
            _ = try LockFile(path: directory.path("lock"))
            _ = try UnixSocket.listen(path: directory.path("socket"), mode: 0o600, group: nil)
            _ = try SerialPort.open(path: path, settings: SerialSettings(baud: 9600))
            await Task.yield()
          }
        }
        try await group.waitForAll()
      }
    }
  }
}
