import HallKit
import Posix
import TestKit
import Testing

/// `halld simulate --usbip` as a person starts it.
@Suite(.timeLimit(.minutes(5))) struct USBExportTests {
  @Test func `the exported devices do their work for a client that knows nothing of this program`()
    async throws
  {
    let directory = try TemporaryDirectory()
    let timeline = directory.path("timeline.conf")
    try Files.replaceDurable(
      timeline, bytes: Array("[when reader configured]\nreader = card present citizen; card remove\n".utf8),
      mode: 0o600)
    let program = try RunningProgram(
      Built.path("halld"),
      [
        "simulate", "--usbip", "127.0.0.1:0", "--control", directory.path("control.sock"), "--logs",
        directory.path("logs"), "--timeline", timeline, "--devices", "reader,dispenser,keypad",
      ])
    let line = try await program.line(containing: "exported at 127.0.0.1:")
    let port = try #require(line.split(separator: ":").last)
    let said = try await Programs.run(
      "python3", "\(Repository.root)/Tests/Fixtures/usbip_client.py", "--port", "\(port)", "--control",
      directory.path("control.sock"), "dispenser", "keypad", "unlink")
    #expect(said == "dispenser: ok\nkeypad: ok\nunlink: ok\n")
    // What the printer really printed is in its log.
    let log = String(
      decoding: try Files.read(directory.path("logs/dispenser.log"), limit: 1 << 20), as: UTF8.self)
    #expect(log.contains("A023"))
    #expect(try await program.end(Signals.terminate) == .exited(0))
  }

  @Test(arguments: [
    (["--usbip", "0.0.0.0:3240"], "127.0.0.1:PORT"), (["--usbip", "127.0.0.1:99999"], "127.0.0.1:PORT"),
    (["--usbip", "127.0.0.1:0", "--devices", "raeder"], "reader"),
  ])
  func `an address that others could reach, or a device that is not there, is refused`(
    arguments: [String], named: String
  ) async throws {
    let result = try await RunningProgram.run(Built.path("halld"), ["simulate"] + arguments)
    #expect(result.status != .exited(0))
    #expect(result.errors.contains(named), "\(result.errors)")
  }
}
