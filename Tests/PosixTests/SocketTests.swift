import Glibc
import TestKit
import Testing

@testable import Posix

// Tests in which a listener is closed run in a process of their own: the test library starts processes at any time, and
// until their `exec` these keep what is closed here open (see SpawnWindow).
@Suite(.timeLimit(.minutes(5)))
struct SocketTests {
  @Test func `a second listener on a live socket is refused, and the first goes on`() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("agent.sock")
    let listener = try UnixSocket.listen(path: path, mode: 0o660, group: nil)
    let error = #expect(throws: SystemError.self) { try listen(path) }
    #expect(error?.code == EADDRINUSE)
    // Whether anyone listens was found out by connecting once or twice, and hanging up at once.
    var probes = 0
    while let probe = try UnixSocket.accept(from: listener.raw) {
      #expect(try await DescriptorStream(probe).read(upTo: 1, timeout: nil) == [])
      probes += 1
    }
    #expect((1...2).contains(probes))
    let client = DescriptorStream(try UnixSocket.connect(path: path))
    let accepted = try accept(from: listener.raw)
    try await client.write([1, 2, 3], timeout: nil)
    #expect(try await accepted.read(upTo: 10, timeout: nil) == [1, 2, 3])
    let next = try UnixSocket.accept(from: listener.raw)
    let isNobodyWaiting = next == nil
    #expect(isNobodyWaiting)
  }

  @Test func `the socket file of a listener that has gone is replaced`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      let path = directory.path("agent.sock")
      try listen(path)
      #expect(try Files.status(of: path).kind == .socket)
      let refused = #expect(throws: SystemError.self) { _ = try UnixSocket.connect(path: path) }
      #expect(refused?.code == ECONNREFUSED)
      let second = try UnixSocket.listen(path: path, mode: 0o660, group: nil)
      _ = try UnixSocket.connect(path: path)
      #expect(second.raw >= 0)
    }
  }

  @Test func `a file that is no socket is not replaced`() throws {
    let directory = try TemporaryDirectory()
    try Files.createDurable(directory: directory.path, name: "agent.sock", parts: [[1]])
    let error = #expect(throws: SystemError.self) { try listen(directory.path("agent.sock")) }
    #expect(error?.code == EADDRINUSE)
    #expect(try Files.read(directory.path("agent.sock"), limit: 9) == [1])
  }

  @Test func `of many listeners that start at once on a stale socket exactly one gets it, and is reachable`()
    async throws
  {
    await #expect(processExitsWith: .success) {
      for _ in 0..<20 {
        let directory = try TemporaryDirectory()
        let path = directory.path("agent.sock")
        try listen(path)
        let listeners = await withTaskGroup(of: DescriptorStream?.self) { group in
          for _ in 0..<8 {
            group.addTask {
              guard let one = try? UnixSocket.listen(path: path, mode: 0o600, group: nil) else { return nil }
              return DescriptorStream(one)
            }
          }
          return await group.reduce(into: [DescriptorStream]()) { if let one = $1 { $0.append(one) } }
        }
        #expect(listeners.count == 1)
        let client = try UnixSocket.connect(path: path)
        let ready = try await listeners.first?.ready(for: .read, timeout: .seconds(10))
        #expect(ready == .ready && client.raw >= 0)
      }
    }
  }

  @Test(arguments: [0o660, 0o600, 0o666, 0o777] as [UInt32])
  func `permissions are the ones asked for whatever the umask`(mode: UInt32) async throws {
    await #expect(processExitsWith: .success) { [mode] in
      let directory = try TemporaryDirectory()
      for mask in [0o000, 0o077, 0o777] as [mode_t] {
        umask(mask)
        let path = directory.path("s\(mask)")
        let listener = try UnixSocket.listen(path: path, mode: mode, group: nil)
        #expect(try Files.owner(of: path).mode == mode)
        #expect(listener.raw >= 0)
      }
    }
  }

  @Test func `an unknown group is an error that names it, and leaves no socket behind`() throws {
    let directory = try TemporaryDirectory()
    let error = #expect(throws: SystemError.self) {
      _ = try UnixSocket.listen(path: directory.path("s"), mode: 0o660, group: "no-such-group")
    }
    #expect(error?.description == "look up group no-such-group: No such file or directory (ENOENT)")
    #expect(try Files.list(directory.path) == [])
  }

  @Test(.enabled(if: ProcessInfo.userID == 0, "only root may give a file to any group"))
  func `the socket belongs to the group`() throws {
    let directory = try TemporaryDirectory()
    let group = try ProcessInfo.groupID(named: "daemon")
    let listener = try UnixSocket.listen(path: directory.path("s"), mode: 0o660, group: "daemon")
    let owner = try Files.owner(of: directory.path("s"))
    #expect(owner.groupID == group && owner.userID == ProcessInfo.userID && owner.mode == 0o660)
    #expect(listener.raw >= 0)
  }

  @Test func `the longest path is bound, and a longer one refused instead of cut`() throws {
    let directory = try TemporaryDirectory()
    let room = UnixSocket.longestPath - directory.path.utf8.count - 1
    let longest = directory.path(String(repeating: "x", count: room))
    try listen(longest)
    #expect(Files.exists(longest))
    let error = #expect(throws: SystemError.self) { try listen(longest + "x") }
    #expect(error?.code == ENAMETOOLONG)
    #expect(#expect(throws: SystemError.self) { try listen("") }?.code == EINVAL)
    #expect(#expect(throws: SystemError.self) { try listen(directory.path("a\0b")) }?.code == EINVAL)
  }

  @Test func `the peer's user, groups and process are our own`() throws {
    let directory = try TemporaryDirectory()
    let listener = try UnixSocket.listen(path: directory.path("s"), mode: 0o600, group: nil)
    let client = try UnixSocket.connect(path: directory.path("s"))
    let accepted = try accept(from: listener.raw)
    for peer in [try accepted.withDescriptor(UnixSocket.peer), try UnixSocket.peer(of: client.raw)] {
      let peer = try #require(peer)
      #expect(peer.processID == ProcessInfo.processID)
      #expect(peer.userID == ProcessInfo.userID)
      #expect(peer.groupID == ProcessInfo.groupID)
      #expect(Set(peer.supplementaryGroups) == Set(ProcessInfo.groups))
    }
    let file = try Files.open("/dev/null", .reading)
    #expect(#expect(throws: SystemError.self) { try UnixSocket.peer(of: file.raw) }?.code == ENOTSOCK)
  }

  @Test(.enabled(if: ProcessInfo.userID == 0, "only root may change its groups"))
  func `more groups than fit the first buffer are all reported`() async {
    await #expect(processExitsWith: .success) {
      let groups = (1...1000).map { gid_t($0 + 5000) }
      #expect(unsafe setgroups(groups.count, groups) == 0)
      let pair = try UnixSocket.pair()
      #expect(try UnixSocket.peer(of: pair.first.raw).supplementaryGroups.sorted() == groups)
      #expect(ProcessInfo.groups.sorted() == groups)
    }
  }

  @Test func `a loopback listener is reachable, is ours, and its port is then in use`() async throws {
    let listener = try Loopback.listen(port: 0)
    let port = listener.port
    #expect(port != 0)
    let client = DescriptorStream(try Loopback.connect(port: port))
    #expect(await Poller.shared.wait(for: .read, on: listener.descriptor.raw, timeout: nil) == .ready)
    let accepted = try accept(from: listener.descriptor.raw)
    try await client.write([42], timeout: nil)
    #expect(try await accepted.read(upTo: 1, timeout: nil) == [42])
    #expect(try Loopback.ownerOfListener(port: port) == ProcessInfo.userID)
    #expect(#expect(throws: SystemError.self) { _ = try Loopback.listen(port: port) }?.code == EADDRINUSE)
  }

  @Test func `nobody on a port is refused and has no owner`() async {
    await #expect(processExitsWith: .success) {
      var port: UInt16 = 0
      do {
        let listener = try Loopback.listen(port: 0)
        port = listener.port
      }
      #expect(
        #expect(throws: SystemError.self) { _ = try Loopback.connect(port: port) }?.code == ECONNREFUSED)
      #expect(try Loopback.ownerOfListener(port: port) == nil)
    }
  }

  @Test func `the owner is that of the listener a connection would reach`() {
    // Lines as in proc(5) and /proc/net/tcp of Linux 6.1.
    let header =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    func line(_ local: String, _ state: String, _ user: Int) -> String {
      "   0: \(local) 00000000:0000 \(state) 00000000:00000000 00:00000000 00000000  \(user)        0 12345 1\n"
    }
    let six = "00000000000000000000000000000000"
    let loopbackSix = "00000000000000000000000001000000"
    func owner(_ lines: String...) -> UInt32? {
      Loopback.owner(ofListenerOn: 8080, in: header + lines.joined())
    }
    #expect(owner(line("0100007F:1F90", "0A", 1000)) == 1000)
    #expect(owner(line("00000000:1F90", "0A", 33)) == 33)
    #expect(owner(line("\(six):1F90", "0A", 7)) == 7)
    #expect(owner(line("\(loopbackSix):1F90", "0A", 8)) == 8)
    #expect(owner(line("\(loopbackSix):1F90", "0A", 8), line("0100007F:1F90", "0A", 9)) == 9)
    #expect(owner(line("0100007F:1F90", "01", 1000)) == nil)
    #expect(owner(line("0100007F:1F91", "0A", 1000)) == nil)
    #expect(owner(line("0200A8C0:1F90", "0A", 1000)) == nil)
    #expect(owner("garbage\n", "a b c 0A\n", line("0100007F", "0A", 5)) == nil)
  }
}

private func accept(from raw: Int32) throws -> DescriptorStream {
  guard let accepted = try UnixSocket.accept(from: raw) else {
    throw SystemError(call: "nobody is waiting", code: EAGAIN)
  }
  return DescriptorStream(accepted)
}

/// A listener that is closed again at once; its socket file stays.
private func listen(_ path: String) throws {
  _ = try UnixSocket.listen(path: path, mode: 0o660, group: nil)
}
