package import Posix
package import TestKit

/// The programs under test, which were built with the tests.
package enum Built {
  /// The directory in which the package's products lie: that of the program that runs the tests.
  package static let directory: String = {
    let program = (try? Files.realPath("/proc/self/exe")) ?? ""
    return Files.directory(of: program)
  }()

  package static func path(_ program: String) -> String { "\(directory)/\(program)" }

  /// What programs are started with: none of the tests' own surroundings but what they need to run at all.
  package static let environment: [String: String] = {
    var environment = ["LANG": "C.UTF-8"]
    for name in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"] { environment[name] = Environment[name] }
    return environment
  }()
}

/// A program with the lines that it prints.
package final class RunningProgram: Sendable {
  package struct Printed: Sendable {
    package var lines: [String] = []
    package var errors: [String] = []
    package var openStreams = 2
    package var all: [String] { lines + errors }
  }
  /// Standard output and standard error, whole lines.
  package let printed = Observed(Printed())
  package let name: String
  private let process: ChildProcess

  package var processID: Int32 { process.processID }

  /// Starts it; it is killed when this object goes.
  package init(
    _ path: String, _ arguments: [String], environment: [String: String] = [:],
    input: ChildProcess.Input = .null
  ) throws {
    name = path.split(separator: "/").last.map(String.init) ?? path
    process = try ChildProcess.spawn(
      path, arguments: arguments, environment: Built.environment.merging(environment) { $1 },
      standardInput: input, standardOutput: .pipe, standardError: .pipe)
    follow(process.output) { $0.lines.append($1) }
    follow(process.errorOutput) { $0.errors.append($1) }
  }

  private func follow(
    _ stream: DescriptorStream?, _ add: @escaping @Sendable (inout Printed, String) -> Void
  ) {
    let printed = printed
    Task {
      var rest: [UInt8] = []
      while let bytes = try? await stream?.read(upTo: 65_536, timeout: nil), !bytes.isEmpty {
        rest += bytes
        while let end = rest.firstIndex(of: 10) {
          let line = String(decoding: rest[..<end], as: UTF8.self)
          rest.removeFirst(end + 1)
          printed.update { add(&$0, line) }
        }
      }
      let last = String(decoding: rest, as: UTF8.self)
      printed.update {
        if !last.isEmpty { add(&$0, last) }
        $0.openStreams -= 1
      }
    }
  }

  /// Waits until so many lines of either stream contain a text.
  @discardableResult
  package func line(containing text: String, count: Int = 1) async throws -> String {
    let found = await printed.wait { printed in
      printed.openStreams == 0 || printed.all.count { $0.contains(text) } >= count
    }
    let lines = found?.all.filter { $0.contains(text) } ?? []
    guard lines.count >= count, let last = lines.last else {
      throw Programs.Failure(
        description: "\(name) did not say '\(text)' \(count) times:\n"
          + printed.value.all.joined(separator: "\n"))
    }
    return last
  }

  /// How many lines contain a text.
  package func count(_ text: String) -> Int { printed.value.all.count { $0.contains(text) } }

  package func signal(_ signal: Int32) { process.signal(signal) }

  /// Sends a signal, and waits for the end.
  @discardableResult
  package func end(_ signal: Int32) async throws -> Posix.ExitStatus {
    process.signal(signal)
    return try await status()
  }

  /// Waits for its end, however long it takes: only the test's own time is limited.
  package func status() async throws -> Posix.ExitStatus {
    guard let status = await process.wait(timeout: nil) else {
      throw Programs.Failure(
        description: "\(name) did not end:\n" + printed.value.all.joined(separator: "\n"))
    }
    return status
  }

  /// Waits for its end and for all that it printed.
  package func lasting() async throws -> Posix.ExitStatus {
    let status = try await status()
    await printed.wait { $0.openStreams == 0 }
    return status
  }

  /// What a program printed that has run to its end.
  package struct Result: Sendable {
    package var status: Posix.ExitStatus
    package var output: String
    package var errors: String
  }

  /// Runs a program to its end.
  package static func run(
    _ path: String, _ arguments: [String], environment: [String: String] = [:],
    input: ChildProcess.Input = .null
  ) async throws -> Result {
    let program = try RunningProgram(path, arguments, environment: environment, input: input)
    let status = try await program.lasting()
    let printed = program.printed.value
    return Result(
      status: status, output: printed.lines.joined(separator: "\n"),
      errors: printed.errors.joined(separator: "\n"))
  }
}

/// True for the text of a program that broke down instead of saying what is wrong.
package func isCrashReport(_ text: String) -> Bool {
  ["Fatal error", "Stack dump", "Thread 0", "*** Signal", "Backtrace", "Illegal instruction"]
    .contains { text.contains($0) }
}
