import Glibc
import Posix
import TestKit
import Testing

@Suite(.timeLimit(.minutes(5)))
struct FilesTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  private func code(_ body: () throws -> Void) -> Int32? {
    do {
      try body()
      return nil
    } catch {
      return (error as? SystemError)?.code
    }
  }

  @Test func `a durable file holds its parts in turn, with its mode`() throws {
    try Files.createDurable(directory: directory.path, name: "page", parts: [[1, 2], [], [3]])
    #expect(try Files.read(directory.path("page"), limit: 3) == [1, 2, 3])
    #expect(try Files.owner(of: directory.path("page")).mode == 0o600)
    #expect(try Files.size(directory.path("page")) == 3)
  }

  @Test func `a name that is taken is refused, and what has it stays as it was`() throws {
    try Files.createDurable(directory: directory.path, name: "page", parts: [[1]])
    #expect(code { try Files.createDurable(directory: directory.path, name: "page", parts: [[2]]) } == EEXIST)
    #expect(try Files.read(directory.path("page"), limit: 9) == [1])
    #expect(try Files.list(directory.path) == ["page"])
  }

  @Test(arguments: ["", "a/b", "../x", "a\0b"])
  func `a name that is no plain name is refused`(name: String) throws {
    #expect(code { try Files.createDurable(directory: directory.path, name: name, parts: [[1]]) } == EINVAL)
    #expect(try Files.list(directory.path) == [])
  }

  @Test func `a file that cannot be written to the end leaves nothing behind`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      // A disk that is full after 100 000 bytes, as far as this process can tell.
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 100_000, rlim_max: 100_000)
      #expect(unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0)
      let big = [UInt8](repeating: 1, count: 200_000)
      let error = #expect(throws: SystemError.self) {
        try Files.createDurable(directory: directory.path, name: "page", parts: [big])
      }
      #expect(error == SystemError(call: "write \(directory.path("page"))", code: EFBIG))
      #expect(throws: SystemError.self) {
        try Files.replaceDurable(directory.path("settings"), bytes: big, mode: 0o600)
      }
      #expect(try Files.list(directory.path) == [])
    }
  }

  @Test func `modes do not depend on the umask`() async {
    await #expect(processExitsWith: .success) {
      let directory = try TemporaryDirectory()
      umask(0o077)
      try Files.createDurable(directory: directory.path, name: "a", parts: [], mode: 0o644)
      try Files.replaceDurable(directory.path("b"), bytes: [], mode: 0o640)
      try Files.makeDirectory(directory.path("c/d"), mode: 0o755, parents: true)
      _ = try AppendLog(path: directory.path("e"), mode: 0o644)
      #expect(
        try ["a", "b", "c", "c/d", "e"].map { try Files.owner(of: directory.path($0)).mode }
          == [0o644, 0o640, 0o755, 0o755, 0o644])
    }
  }

  @Test func `replacing a file leaves the new one alone in the directory`() throws {
    try Files.replaceDurable(directory.path("settings"), bytes: [1], mode: 0o640)
    try Files.replaceDurable(directory.path("settings"), bytes: [2, 3], mode: 0o600)
    #expect(try Files.read(directory.path("settings"), limit: 9) == [2, 3])
    #expect(try Files.owner(of: directory.path("settings")).mode == 0o600)
    #expect(try Files.list(directory.path) == ["settings"])
    #expect(code { try Files.replaceDurable(directory.path("no/where"), bytes: [], mode: 0o600) } == ENOENT)
  }

  @Test func `reading stops at the limit`() throws {
    try Files.replaceDurable(directory.path("f"), bytes: [UInt8](repeating: 7, count: 100_000), mode: 0o600)
    #expect(try Files.read(directory.path("f"), limit: 100_000).count == 100_000)
    #expect(code { _ = try Files.read(directory.path("f"), limit: 99_999) } == EFBIG)
    #expect(code { _ = try Files.read(directory.path("f"), limit: -1) } == EFBIG)
    #expect(code { _ = try Files.read(directory.path, limit: 9) } == EISDIR)
    #expect(code { _ = try Files.read(directory.path("absent"), limit: 9) } == ENOENT)
    // Files of /proc say they are empty.
    #expect(try !Files.read("/proc/self/status", limit: 1 << 16).isEmpty)
  }

  @Test func `a path with a NUL in it never means the file before the NUL`() throws {
    try Files.replaceDurable(directory.path("f"), bytes: [1], mode: 0o600)
    let path = directory.path("f\0.png")
    #expect(!Files.exists(path))
    #expect(code { _ = try Files.read(path, limit: 9) } == EINVAL)
    #expect(code { try Files.unlink(path) } == EINVAL)
    #expect(!Files.removeTree(path))
    #expect(Files.exists(directory.path("f")))
  }

  @Test func `names are listed sorted`() throws {
    for name in ["b", "a", "页", ".hidden", "B"] {
      try Files.createDurable(directory: directory.path, name: name, parts: [])
    }
    #expect(try Files.list(directory.path) == [".hidden", "B", "a", "b", "页"])
    #expect(code { _ = try Files.list(directory.path("absent")) } == ENOENT)
    #expect(code { _ = try Files.list(directory.path("a")) } == ENOTDIR)
  }

  @Test func `directories are made with their parents, once`() throws {
    #expect(code { try Files.makeDirectory(directory.path("x/y"), mode: 0o700, parents: false) } == ENOENT)
    try Files.makeDirectory(directory.path("x/y/z/"), mode: 0o700, parents: true)
    try Files.makeDirectory(directory.path("x/y/z"), mode: 0o755, parents: false)
    #expect(try Files.owner(of: directory.path("x/y/z")).mode == 0o700)
    try Files.createDurable(directory: directory.path, name: "f", parts: [])
    #expect(code { try Files.makeDirectory(directory.path("f"), mode: 0o700, parents: true) } == EEXIST)
    #expect(code { try Files.makeDirectory(directory.path("f/g"), mode: 0o700, parents: true) } == ENOTDIR)
  }

  @Test func `removing a tree removes links and not what they lead to`() throws {
    let kept = try TemporaryDirectory()
    try Files.createDurable(directory: kept.path, name: "kept", parts: [[1]])
    try Files.makeDirectory(directory.path("tree/a/b/c"), mode: 0o700, parents: true)
    try Files.createDurable(directory: directory.path("tree/a"), name: "f", parts: [[1]])
    #expect(unsafe symlink(kept.path, directory.path("tree/a/link")) == 0)
    #expect(unsafe symlink("nowhere", directory.path("tree/dangling")) == 0)
    #expect(Files.removeTree(directory.path("tree")))
    #expect(!Files.exists(directory.path("tree")))
    #expect(try Files.list(kept.path) == ["kept"])
    #expect(unsafe symlink(kept.path, directory.path("link")) == 0)
    #expect(Files.removeTree(directory.path("link")))
    #expect(try Files.list(kept.path) == ["kept"])
    #expect(Files.removeTree(directory.path("absent")))
    #expect(!Files.removeTree(""))
  }

  @Test func `room is reserved, kept when there is more, and too much is refused without a trace`() throws {
    let path = directory.path("reserve")
    try Files.reserve(path, bytes: 1 << 20)
    #expect(try Files.size(path) == 1 << 20)
    try Files.reserve(path, bytes: 10)
    #expect(try Files.size(path) == 1 << 20)
    #expect(code { try Files.reserve(directory.path("huge"), bytes: 1 << 62) } != nil)
    #expect(code { try Files.reserve(directory.path("huge"), bytes: .max) } == EFBIG)
    #expect(try Files.list(directory.path) == ["reserve"])
  }

  @Test func `free space is some of the whole`() throws {
    let space = try Files.freeSpace(directory.path)
    #expect(space.bytes > 0 && space.bytes <= space.totalBytes)
    #expect(code { _ = try Files.freeSpace(directory.path("absent")) } == ENOENT)
  }

  @Test func `kinds, owners and real paths`() throws {
    try Files.createDurable(directory: directory.path, name: "f", parts: [])
    #expect(unsafe symlink("f", directory.path("link")) == 0)
    #expect(try Files.status(of: directory.path("link")).kind == .file)
    #expect(try Files.status(of: directory.path("link"), followingLinks: false).kind == .link)
    #expect(try Files.status(of: directory.path).kind == .directory)
    #expect(try Files.status(of: "/dev/null").kind == .characterDevice)
    #expect(try Files.owner(of: directory.path("f")).userID == ProcessInfo.userID)
    #expect(try Files.realPath(directory.path("link")) == Files.realPath(directory.path) + "/f")
    #expect(code { _ = try Files.realPath(directory.path("absent")) } == ENOENT)
  }

  @Test func `a link is made, and pointed elsewhere, but replaces nothing that is no link`() throws {
    let link = directory.path("link")
    for target in ["a", "/no/where"] {
      try Files.makeLink(link, to: target)
      var buffer = [CChar](repeating: 0, count: 100)
      let count = unsafe readlink(link, &buffer, buffer.count)
      #expect(buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) } == Array(target.utf8))
    }
    try Files.createDurable(directory: directory.path, name: "file", parts: [[1]])
    #expect(code { try Files.makeLink(directory.path("file"), to: "a") } == EEXIST)
    #expect(code { try Files.makeLink(directory.path, to: "a") } == EEXIST)
    #expect(try Files.list(directory.path) == ["file", "link"])
  }

  @Test func `a rename replaces in one step`() throws {
    try Files.createDurable(directory: directory.path, name: "a", parts: [[1]])
    try Files.createDurable(directory: directory.path, name: "b", parts: [[2]])
    try Files.rename(directory.path("a"), to: directory.path("b"))
    #expect(try Files.list(directory.path) == ["b"])
    #expect(try Files.read(directory.path("b"), limit: 9) == [1])
  }

  @Test(arguments: [
    ("/a/b", "/a"), ("/a", "/"), ("b", "."), ("/", "/"), ("a/b/", "a"), ("/a//b", "/a"), ("//a", "/"),
  ])
  func `the directory part of a path`(path: String, parent: String) {
    #expect(Files.directory(of: path) == parent)
  }

  @Test func `each line of a log is whole, whoever else writes`() async throws {
    let path = directory.path("audit.log")
    let log = try AppendLog(path: path, mode: 0o640)
    let second = try AppendLog(path: path, mode: 0o640)
    try await withThrowingTaskGroup { group in
      for number in 0..<100 {
        group.addTask {
          try (number % 2 == 0 ? log : second).append("line \(number) " + String(repeating: "x", count: 500))
        }
      }
      try await group.waitForAll()
    }
    let lines = String(decoding: try Files.read(path, limit: 1 << 20), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 100)
    #expect(lines.allSatisfy { $0.hasSuffix(String(repeating: "x", count: 500)) && $0.hasPrefix("line ") })
    #expect(Set(lines).count == 100)
  }

  @Test func `a line cannot look like two, and one cut short is ended before the next`() throws {
    let path = directory.path("audit.log")
    try Files.replaceDurable(path, bytes: Array("cut sho".utf8), mode: 0o600)
    let log = try AppendLog(path: path, mode: 0o600)
    try log.append("a\nforged\r line")
    try log.append("b")
    #expect(
      String(decoding: try Files.read(path, limit: 999), as: UTF8.self)
        == "cut sho\na\\nforged\\r line\nb\n")
  }

  @Test func `a log on a full disk reports it`() throws {
    let log = try AppendLog(path: "/dev/full", mode: 0o600)
    #expect(code { try log.append("x") } == ENOSPC)
  }

  @Test func `a lock has one holder, until it lets go`() throws {
    let path = directory.path("lock")
    do {
      let lock = try LockFile(path: path)
      let error = #expect(throws: SystemError.self) { try LockFile(path: path) }
      #expect(error?.code == EWOULDBLOCK)
      #expect(try Files.read(path, limit: 99) == Array("\(ProcessInfo.processID)\n".utf8))
      withExtendedLifetime(lock) {}
    }
    _ = try LockFile(path: path)
  }

  @Test func `another process sees the lock, and its death frees it`() async throws {
    let path = directory.path("lock")
    let holder = try ChildProcess.spawn(
      "flock", arguments: ["-n", path, "sh", "-c", "echo held; read forever"], standardInput: .pipe,
      standardOutput: .pipe)
    #expect(try await holder.output?.read(upTo: 5, timeout: .seconds(30)) == Array("held\n".utf8))
    #expect(code { _ = try LockFile(path: path) } == EWOULDBLOCK)
    holder.signal(SIGKILL)
    #expect(await holder.wait(timeout: .seconds(30)) == .signalled(SIGKILL))
    // The whole group is gone once nobody holds the output open.
    while try await holder.output?.read(upTo: 100, timeout: .seconds(30)).isEmpty == false {}
    _ = try LockFile(path: path)
  }
}
