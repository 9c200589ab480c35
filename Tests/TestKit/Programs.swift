import Posix

/// Programs of the system that tests use as the far end of something.
public enum Programs {
  /// Where the program is; nil when `PATH` has none of that name.
  public static func path(of name: String) -> String? {
    (Environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map { "\($0)/\(name)" }
      .first { Files.exists($0) }
  }

  /// Whether tests that need these programs are to run: all of them are there, or it is the continuous integration
  /// (`CI=true`), where a missing one has to be a failure.
  public static func areExpected(_ names: String...) -> Bool {
    Environment["CI"] == "true" || names.allSatisfy { path(of: $0) != nil }
  }

  /// A program that a fixture runs has failed.
  public struct Failure: Error, CustomStringConvertible {
    /// What was run, and how it ended.
    public let description: String

    /// A failure in words.
    public init(description: String) { self.description = description }
  }

  /// Runs a program to its end.
  /// - Returns: what it printed.
  @discardableResult
  public static func run(_ name: String, _ arguments: String...) async throws -> String {
    try await run(name, arguments)
  }

  /// The same with arguments that are a list already.
  @discardableResult
  public static func run(_ name: String, _ arguments: [String]) async throws -> String {
    let process = try ChildProcess.spawn(name, arguments: arguments, standardOutput: .pipe)
    var output: [UInt8] = []
    while let bytes = try await process.output?.read(upTo: 65536, timeout: nil), !bytes.isEmpty {
      output += bytes
    }
    let status = await process.wait(timeout: nil)
    guard status == .exited(0) else {
      throw Failure(
        description: "\(name) \(arguments.joined(separator: " ")): \(status.map { "\($0)" } ?? "no end")")
    }
    return String(decoding: output, as: UTF8.self)
  }
}
