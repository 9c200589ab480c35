import Posix
import TestKit
import Testing

/// A confined program is a shell here: what it tries is written as a person would try it.
@Suite(.timeLimit(.minutes(5))) struct ConfinedProcessTests {
  private func run(
    _ script: String, input: [UInt8] = [], seconds: UInt32 = 5, memory: UInt64 = 1 << 30,
    in directory: String = "/usr"
  ) async throws -> (output: String, status: Posix.ExitStatus?, confinement: ChildProcess.Confinement) {
    let child = try ChildProcess.spawnConfined(
      "/bin/sh", arguments: ["-c", script], workingDirectory: directory, seconds: seconds, memory: memory,
      standardInput: .bytes(input), standardOutput: .pipe)
    var output: [UInt8] = []
    while let chunk = try await child.output?.read(upTo: 4096, timeout: .seconds(30)), !chunk.isEmpty {
      output += chunk
    }
    let confinement = try #require(child.confinement)
    return (String(decoding: output, as: UTF8.self), await child.wait(timeout: .seconds(30)), confinement)
  }

  @Test func `it has its input, its output and an empty environment`() async throws {
    let result = try await run(
      "cat; /usr/bin/env | grep -cv '^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD='", input: Array("x\n".utf8))
    #expect(result.output == "x\n0\n")
  }

  @Test func `it has no descriptors but its standard streams`() async throws {
    let result = try await run("for i in 3 4 5 6 7 8 9; do (: <&$i) 2>/dev/null && echo $i; done; echo end")
    #expect(result.output == "end\n")
  }

  @Test func `nothing can be written`() async throws {
    let directory = try TemporaryDirectory()
    try Files.replaceDurable(directory.path("there"), bytes: Array("old".utf8), mode: 0o666)
    try Files.setMode(directory.path, 0o777)
    let result = try await run(
      "(echo new > there) 2>/dev/null; (echo new > /tmp/confined-$$) 2>/dev/null && echo written; cat there",
      in: directory.path)
    if result.confinement.contains(.files) { #expect(result.output == "old") }
    // A file that cannot grow keeps out what the system's rules for files would let through.
    #expect(try Files.read(directory.path("there"), limit: 100) != Array("new\n".utf8))
  }

  @Test func `files outside its directory and the system's are not its business`() async throws {
    let directory = try TemporaryDirectory()
    try Files.replaceDurable(directory.path("secret"), bytes: Array("secret".utf8), mode: 0o644)
    try Files.setMode(directory.path, 0o755)
    let result = try await run("cat '\(directory.path("secret"))' 2>/dev/null; echo end")
    if result.confinement.contains(.files) { #expect(result.output == "end\n") }
  }

  @Test func `it has no network`() async throws {
    let result = try await run(
      "cat /sys/class/net/*/address 2>/dev/null | wc -l; cat /proc/net/dev 2>/dev/null | wc -l")
    if result.confinement.contains(.network) { #expect(!result.output.hasPrefix("2")) }
  }

  @Test func `a confined program of root is nobody's`() async throws {
    let result = try await run("id -u")
    #expect(result.confinement.contains(.account) == (ProcessInfo.userID == 0))
    if result.confinement.contains(.account) { #expect(result.output == "65534\n") }
  }

  @Test func `its processor time ends`() async throws {
    let result = try await run("while :; do :; done", seconds: 1)
    #expect(result.status != .exited(0))
  }

  @Test func `its memory ends`() async throws {
    let result = try await run("x=0123456789abcdef; while :; do x=$x$x; done", memory: 64 << 20)
    #expect(result.status != .exited(0))
  }

  @Test func `a program that is not there is told`() async throws {
    #expect(throws: SystemError.self) {
      try ChildProcess.spawnConfined(
        "/nowhere/program", workingDirectory: "/", seconds: 1, memory: 1 << 28, standardInput: .null,
        standardOutput: .null)
    }
  }
}
