import Crypto
import HTTPServer
import Posix
import Synchronization

/// The far end of what is sent, in a process of its own: it does nothing but store durably what comes, so that it is not
/// what is measured.
///
/// On `intake.sock` it is an intake; on `plain.sock` it takes bare bytes: eight bytes of length, the content, and answers
/// with one byte when that is on the disk with its name.
final class Receiver {
  let directory: String
  var socket: String { directory + "/intake.sock" }
  private let process: ChildProcess

  /// How many connections plain copying has, and threads that store what comes.
  static let connections = 2

  init(directory: String) async throws {
    self.directory = directory
    try Files.makeDirectory(directory + "/blobs", mode: 0o700, parents: true)
    process = try ChildProcess.spawn(
      "/proc/self/exe", arguments: ["receive", directory], standardOutput: .pipe)
    var output: [UInt8] = []
    while !output.contains(UInt8(ascii: "!")) {
      let bytes = try await process.output?.read(upTo: 4096, timeout: .seconds(30)) ?? []
      guard !bytes.isEmpty else { throw Backlog.Failure(description: "the receiver did not start") }
      output += bytes
    }
  }

  deinit { process.signal(Signals.kill) }

  /// How many events lie in its journal.
  func events() async throws -> Int {
    let file = try Files.open(directory + "/journal", .reading)
    let stream = DescriptorStream(file)
    // The marks of events, in pieces: a journal of a million is no longer read into memory at once.
    let mark = Array(#""specversion":"#.utf8)
    var matched = 0
    var count = 0
    while true {
      let bytes = try await stream.read(upTo: 1 << 20, timeout: nil)
      if bytes.isEmpty { return count }
      for byte in bytes {
        if byte == mark[matched] {
          matched += 1
          if matched == mark.count {
            count += 1
            matched = 0
          }
        } else {
          matched = byte == mark[0] ? 1 : 0
        }
      }
    }
  }

  func pages() throws -> Int { try Files.list(directory + "/blobs").count { !$0.hasPrefix("plain-") } }

  /// Copies files over the plain socket, and tells how long it took.
  func copyPlainly(_ files: [String]) async throws -> Duration {
    let path = directory + "/plain.sock"
    return try await ContinuousClock().measure {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for part in 0..<Self.connections {
          group.addTask {
            let stream = DescriptorStream(try UnixSocket.connect(path: path))
            for index in stride(from: part, to: files.count, by: Self.connections) {
              let bytes = try Files.read(files[index], limit: 1 << 28)
              let count = (0..<8).map { UInt8(truncatingIfNeeded: bytes.count >> (56 - 8 * $0)) }
              try await stream.write(count, timeout: .seconds(60))
              try await stream.write(bytes, timeout: .seconds(60))
              guard try await stream.read(upTo: 1, timeout: .seconds(60)) == [1] else {
                throw Backlog.Failure(description: "a plain copy was not taken")
              }
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }
}

extension Measurement {
  /// `receive DIRECTORY`
  static let receive = Measurement(summary: "(the far end of others; runs until it is killed)") { options in
    guard let directory = options.first else {
      throw Backlog.Failure(description: "receive DIRECTORY")
    }
    let journal = try AppendLog(path: directory + "/journal", mode: 0o600)
    let listener = try UnixSocket.listen(path: directory + "/intake.sock", mode: 0o600, group: nil)
    let limits = ServerLimits(
      maximumBodyBytes: { _, _ in 64 << 20 }, connections: 8, connectionsPerProcess: 8)
    // As many threads as connections, as plain copying has.
    let stores = (0..<Receiver.connections).map { _ in ReceiverStore(directory: directory, journal: journal) }
    let turn = Atomic(0)
    let server = try HTTPServer(listening: listener, name: "receiver", limits: limits) { request in
      await stores[turn.wrappingAdd(1, ordering: .relaxed).newValue % stores.count].take(request)
    }
    let plain = try UnixSocket.listen(path: directory + "/plain.sock", mode: 0o600, group: nil)
    StandardStreams.writeOut("!\n")
    await withTaskGroup(of: Void.self) { group in
      while true {
        guard case .ready = await Poller.shared.wait(for: .read, on: plain.raw, timeout: nil) else { break }
        guard let connection = try? UnixSocket.accept(from: plain.raw) else { continue }
        let stream = DescriptorStream(connection)
        group.addTask { await receivePlainly(stream, directory) }
      }
    }
    await server.stop()
    return []
  }

  private static func receivePlainly(_ stream: DescriptorStream, _ directory: String) async {
    do {
      while true {
        let head = try await exactly(8, stream)
        guard head.count == 8 else { return }
        let bytes = try await exactly(head.reduce(0) { $0 << 8 | Int($1) }, stream)
        try Files.createDurable(
          directory: directory + "/blobs", name: "plain-" + Identifier.uuidV7(), parts: [bytes])
        try await stream.write([1], timeout: .seconds(60))
      }
    } catch { return }
  }

  private static func exactly(_ count: Int, _ stream: DescriptorStream) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let more = try await stream.read(upTo: min(1 << 20, count - bytes.count), timeout: .seconds(600))
      if more.isEmpty { return bytes }
      bytes += more
    }
    return bytes
  }
}

/// What the receiver stores, on threads that may wait for the disk.
private actor ReceiverStore {
  private nonisolated let worker = Worker(name: "receiver-store")
  nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  private let directory: String
  private let journal: AppendLog

  init(directory: String, journal: AppendLog) {
    self.directory = directory
    self.journal = journal
  }

  func take(_ request: ServerRequest) -> ServerResponse {
    do throws(SystemError) {
      if request.method == "PUT", let digest = request.pathSegments.last {
        try Files.createDurable(directory: directory + "/blobs", name: digest, parts: [request.body])
      } else {
        try journal.append(String(decoding: request.body, as: UTF8.self))
      }
      return ServerResponse(status: 204)
    } catch {
      return error.name == "EEXIST" ? ServerResponse(status: 204) : .text(500, "\(error)\n")
    }
  }
}
