import HallKit
import Posix
import TestKit

/// Faults of the system in one process under test: Tests/Fixtures/faults.c, compiled here and preloaded there.
///
/// A call fails, or the process is killed at it, at the n-th of the chosen calls after ``arm(_:at:of:in:)``: also while the
/// process runs, and across its restarts.
final class Faults: Sendable {
  /// Which calls count (`enum call` of the library).
  struct Calls: OptionSet, Sendable {
    let rawValue: UInt32
    static let write = Calls(rawValue: 1)
    static let flush = Calls(rawValue: 2)
    static let open = Calls(rawValue: 4)
    static let rename = Calls(rawValue: 8)
    static let unlink = Calls(rawValue: 16)
    static let connect = Calls(rawValue: 32)
    static let send = Calls(rawValue: 64)
    static let size = Calls(rawValue: 128)
    static let makeDirectory = Calls(rawValue: 256)
    static let read = Calls(rawValue: 512)
    static let socket = Calls(rawValue: 1024)
    static let receive = Calls(rawValue: 2048)
    /// Everything that changes what lies on the disk.
    static let store: Calls = [.write, .flush, .open, .rename, .unlink, .size, .makeDirectory]
  }

  /// Which files count (`enum place`).
  struct Places: OptionSet, Sendable {
    let rawValue: UInt32
    static let state = Places(rawValue: 1)
    static let sockets = Places(rawValue: 2)
    static let devices = Places(rawValue: 4)
  }

  enum Action: Sendable, Equatable {
    case count
    case fail(Int32)
    case killBefore
    case killAfter

    fileprivate var words: (action: UInt32, error: UInt32) {
      switch self {
      case .count: (0, 0)
      case .fail(let code): (1, UInt32(bitPattern: code))
      case .killBefore: (2, 0)
      case .killAfter: (3, 0)
      }
    }
  }

  /// What came of an order.
  struct Outcome: Sendable {
    var counted: Int
    /// The call at which it happened, with its path; nil if it did not come to that.
    var what: String?
  }

  /// Whether there is a compiler to make the library with.
  static var isPossible: Bool { compiler != nil || Environment["CI"] == "true" }

  private static let compiler = ["cc", "clang", "gcc"].lazy.compactMap { Programs.path(of: $0) }.first

  private let files: TemporaryDirectory
  private let state: String
  private let order = Observed<UInt32>(0)
  private let standing = Observed(Standing())

  private struct Standing: Sendable {
    var pagesUnflushed = false
    var clockShift: Int32 = 0
  }

  /// Makes the library. Several faults may be used side by side, each for a process of its own.
  init(in files: TemporaryDirectory, state: String) async throws {
    self.files = files
    self.state = state
    try await Self.makeLibrary(files.path("faults.so"))
    try Files.replaceDurable(page, bytes: [UInt8](repeating: 0, count: 4096), mode: 0o600)
  }

  /// Compiles the library.
  static func makeLibrary(_ path: String) async throws {
    try await Programs.run(
      compiler ?? "cc", "-shared", "-fPIC", "-O1", "-o", path,
      Repository.root + "/Tests/Fixtures/faults.c", "-ldl")
  }

  private var page: String { files.path("faults") }

  /// What the process is to be started with.
  var environment: [String: String] {
    ["LD_PRELOAD": files.path("faults.so"), "HALL_FAULTS": page, "HALL_FAULT_STATE": state]
  }

  /// From now on this happens at the n-th of these calls, once.
  func arm(_ action: Action, at nth: Int, of calls: Calls, in places: Places) async throws {
    order.update { $0 += 1 }
    let (word, error) = action.words
    try await write([
      calls.rawValue, places.rawValue, word, UInt32(clamping: nth), error,
      standing.value.pagesUnflushed ? 1 : 0, UInt32(bitPattern: standing.value.clockShift), order.value,
    ])
  }

  /// Nothing happens any more; whether pages are flushed and what the clock says, too, is as it should be.
  func disarm() async throws {
    standing.update { $0 = Standing() }
    try await arm(.count, at: 0, of: [], in: [])
  }

  /// The page files' own flushes do nothing, and say that all is well.
  func leavePagesUnflushed() async throws {
    standing.update { $0.pagesUnflushed = true }
    try await arm(.count, at: 0, of: [], in: [])
  }

  /// The calendar clock goes wrong by so much.
  func shiftClock(seconds: Int32) async throws {
    standing.update { $0.clockShift = seconds }
    try await arm(.count, at: 0, of: [], in: [])
  }

  func outcome() throws -> Outcome {
    let bytes = try Files.read(page, limit: 4096)
    func word(_ index: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[index * 4 + $1]) << (8 * $1) }
    }
    let isOurs = word(18) == order.value
    let hasHappened = word(17) == order.value
    let text = String(decoding: bytes[128...].prefix { $0 != 0 }, as: UTF8.self)
    return Outcome(counted: isOurs ? Int(word(16)) : 0, what: hasHappened ? text : nil)
  }

  private func write(_ words: [UInt32]) async throws {
    let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    // In place: the process has the file mapped.
    try await DescriptorStream(try Files.open(page, .readingAndWriting)).write(bytes, timeout: .seconds(10))
  }
}
