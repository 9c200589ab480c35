internal import Synchronization
internal import TestKit

/// A command that runs in a guest.
public final class GuestCommand: Sendable {
  /// A line that it printed.
  public struct Line: Sendable {
    /// The line, without its end.
    public let text: String
    /// Whether it came on standard error.
    public let isError: Bool
    /// When it came, by the guest's monotonic clock.
    public let time: Duration
  }

  private struct State: Sendable {
    var lines: [Line] = []
    var output: [UInt8] = []
    var errors: [UInt8] = []
    // How much of each has become lines.
    var outputLines = 0
    var errorLines = 0
    var isOver = false
    var status: Int?
    var time = Duration.zero
  }

  /// What was run, for messages.
  public let script: String
  private let state = Observed(State())
  private let signalling = Mutex<(@Sendable (Int32) async throws -> Void)?>(nil)

  init(script: String) { self.script = script }

  func attach(_ signal: @escaping @Sendable (Int32) async throws -> Void) {
    signalling.withLock { $0 = signal }
  }

  func add(_ bytes: [UInt8], isError: Bool, at time: Duration) {
    state.update { state in
      if isError { state.errors += bytes } else { state.output += bytes }
      let all = isError ? state.errors : state.output
      var start = isError ? state.errorLines : state.outputLines
      while let end = all[start...].firstIndex(of: 10) {
        state.lines.append(
          Line(text: String(decoding: all[start..<end], as: UTF8.self), isError: isError, time: time))
        start = end + 1
      }
      if isError { state.errorLines = start } else { state.outputLines = start }
    }
  }

  func end(status: Int?, at time: Duration) {
    state.update {
      $0.isOver = true
      $0.status = status
      $0.time = time
    }
  }

  /// The lines so far.
  public var lines: [Line] { state.value.lines }

  /// Whether it has ended.
  public var isOver: Bool { state.value.isOver }

  /// Everything that it has printed so far and how it ended, for messages.
  public var text: String {
    let state = state.value
    let end = state.isOver ? ["[ended, status \(state.status.map(String.init) ?? "unknown")]"] : []
    return (state.lines.map(\.text) + end).joined(separator: "\n")
  }

  /// Waits for a line that is as wanted.
  /// - Parameter first: how many lines to pass over: those that were there before something was done.
  /// - Throws: `Programs.Failure` with what it printed when it ends without.
  @discardableResult
  public func line(
    after first: Int = 0, where isWanted: @escaping @Sendable (String) -> Bool
  ) async throws -> Line {
    let found = await state.wait { state in
      state.isOver || state.lines.dropFirst(first).contains { isWanted($0.text) }
    }
    guard let line = found?.lines.dropFirst(first).first(where: { isWanted($0.text) }) else {
      throw Programs.Failure(description: "'\(script)' never said what was waited for:\n\(text)")
    }
    return line
  }

  /// Waits for a line that contains a text.
  @discardableResult
  public func line(containing text: String, after first: Int = 0) async throws -> Line {
    try await line(after: first) { $0.contains(text) }
  }

  /// Sends a signal to its process group.
  public func signal(_ number: Int32) async throws {
    try await signalling.withLock({ $0 })?(number)
  }

  /// Waits for its end.
  /// - Throws: `Programs.Failure` when the guest ended first.
  public func result() async throws -> Guest.Result {
    guard let over = await state.wait(until: { $0.isOver }) else { throw CancellationError() }
    guard let status = over.status else {
      throw Programs.Failure(description: "the guest ended before '\(script)' did:\n\(text)")
    }
    return Guest.Result(
      status: status == -1000 ? -9 : status, output: String(decoding: over.output, as: UTF8.self),
      errors: String(decoding: over.errors, as: UTF8.self), isTimedOut: status == -1000)
  }
}
