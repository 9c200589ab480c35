import Channels
import Posix
import Simulation
import TestKit

@testable import SimulationHost

/// The real clock.
struct RealTime: Timekeeper {
  private static let start = ContinuousClock.now
  func now() -> Duration { ContinuousClock.now - Self.start }
  func sleep(for duration: Duration) async -> Bool { await Poller.shared.sleep(for: duration) }
}

/// A hall of devices that take no time, attached in a directory of its own.
struct TestHall {
  let hall: SimulatedHall
  let directory: TemporaryDirectory

  /// - Parameter text: the configuration's devices; the standard ones unless given.
  init(_ text: String? = nil, logs: Bool = false) async throws {
    directory = try TemporaryDirectory()
    let configuration = try text.map { try SimulationConfiguration.read(Array($0.utf8), file: "test.conf") }
    hall = try await SimulatedHall(
      (configuration ?? .standard).at(.instant), time: RealTime(), logs: logs ? directory.path("logs") : nil)
    try await hall.attach(to: directory.path("devices"))
  }

  func path(_ name: String) -> String { directory.path("devices/" + name) }
}

/// How a program ended and what it said.
struct ProgramResult {
  /// The exit code; nil for any other end.
  let code: Int32?
  let output: [UInt8]
  let errors: String
  var text: String { String(decoding: output, as: UTF8.self) }
}

/// Runs a program to its end, however long it takes: only the test's own time is limited.
func run(
  _ program: String, _ arguments: [String], environment: [String: String]? = nil
) async throws -> ProgramResult {
  let process = try ChildProcess.spawn(
    program, arguments: arguments, environment: environment, standardOutput: .pipe, standardError: .pipe)
  async let output = readAll(process.output)
  async let errors = readAll(process.errorOutput)
  let (bytes, text) = await (output, errors)
  var code: Int32?
  if case .exited(let number) = await process.wait(timeout: nil) { code = number }
  return ProgramResult(code: code, output: bytes, errors: String(decoding: text, as: UTF8.self))
}

private func readAll(_ stream: DescriptorStream?) async -> [UInt8] {
  var bytes: [UInt8] = []
  while let more = try? await stream?.read(upTo: 1 << 20, timeout: nil), !more.isEmpty {
    bytes += more
  }
  return bytes
}

/// The first record of that event, already made or still to come.
func record(_ event: String, of device: SimulatedDevice, after number: Int = 0) async -> SimulationRecord? {
  for await entry in await device.records(after: number) where entry.record.event == event {
    return entry.record
  }
  return nil
}

/// Bytes from hexadecimal.
func hex(_ text: String) -> [UInt8] { text.split(separator: " ").compactMap { UInt8($0, radix: 16) } }
