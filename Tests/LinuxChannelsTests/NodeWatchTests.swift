import Posix
import TestKit
import Testing

@testable import LinuxChannels

@Suite(.timeLimit(.minutes(1))) struct NodeWatchTests {
  @Test func `names are told as they appear, change and go`() async throws {
    let files = try TemporaryDirectory()
    let watch = try NodeWatch(directory: files.path)
    var changes = watch.changes.makeAsyncIterator()
    try Files.makeDirectory(files.path("a"), mode: 0o700, parents: false)
    #expect(await changes.next() == "a")
    // Its permissions are set after it was made.
    #expect(await changes.next() == "a")
    try Files.rename(files.path("a"), to: files.path("名"))
    #expect(await changes.next() == "a")
    #expect(await changes.next() == "名")
    Files.removeTree(files.path("名"))
    #expect(await changes.next() == "名")
  }

  @Test func `what happens before anybody listens is told too`() async throws {
    let files = try TemporaryDirectory()
    let watch = try NodeWatch(directory: files.path)
    try Files.makeDirectory(files.path("early"), mode: 0o700, parents: false)
    for await name in watch.changes {
      #expect(name == "early")
      break
    }
  }

  @Test func `the stream ends with its directory`() async throws {
    let files = try TemporaryDirectory()
    try Files.makeDirectory(files.path("d"), mode: 0o700, parents: false)
    let watch = try NodeWatch(directory: files.path("d"))
    Files.removeTree(files.path("d"))
    var names: [String] = []
    for await name in watch.changes { names.append(name) }
    #expect(Set(names) == [""])
  }

  @Test func `the stream ends with the task`() async throws {
    let files = try TemporaryDirectory()
    let watch = try NodeWatch(directory: files.path)
    let listener = Task { for await _ in watch.changes {} }
    listener.cancel()
    await listener.value
  }

  @Test func `only a directory can be watched`() throws {
    let files = try TemporaryDirectory()
    try Files.replaceDurable(files.path("file"), bytes: [1], mode: 0o600)
    #expect(throws: SystemError.self) { _ = try NodeWatch(directory: files.path("file")) }
    #expect(throws: SystemError.self) { _ = try NodeWatch(directory: files.path("none")) }
  }
}
