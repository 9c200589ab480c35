import Channels
import LinuxChannels
import Posix
import Synchronization
import TestKit
import Testing

/// What the `page` closure was given.
private final class Pages: Sendable {
  private let list = Mutex<[(image: [UInt8], number: Int)]>([])
  func add(_ image: [UInt8], _ number: Int) { list.withLock { $0.append((image, number)) } }
  var images: [[UInt8]] { list.withLock { $0.map(\.image) } }
  var numbers: [Int] { list.withLock { $0.map(\.number) } }
}

@Suite(
  .timeLimit(.minutes(5)), .enabled(if: PrivateSANE.isExpected, Comment(rawValue: PrivateSANE.reason)))
struct ScanImageFeedTests {
  let sane: PrivateSANE
  let work: TemporaryDirectory
  let limit = Duration.seconds(280)

  init() throws {
    sane = try PrivateSANE()
    work = try TemporaryDirectory()
  }

  private func feed(
    _ device: String = PrivateSANE.device, program: String = "scanimage", pageLimit: Int = 256 << 20,
    stopLimit: Duration = .seconds(10)
  ) -> ScanImageFeed {
    ScanImageFeed(
      device: device,
      configuration: ScanImageFeed.Configuration(
        program: program, saneDirectory: sane.directory, workDirectory: work.path, pageLimit: pageLimit,
        stopLimit: stopLimit))
  }

  private func request(
    _ format: String = "jpeg", pages: Int? = nil, options: [(name: String, value: String)] = []
  ) -> PageFeedRequest {
    PageFeedRequest(
      options: [(name: "source", value: "Automatic Document Feeder"), (name: "resolution", value: "50")]
        + options,
      format: format, maximumPages: pages)
  }

  /// A page that takes minutes: 53 MB, sent with a pause after every piece.
  private var slowly: [(name: String, value: String)] {
    [
      (name: "resolution", value: "1200"),
      (name: "read-limit", value: "yes"), (name: "read-limit-size", value: "1000"),
      (name: "read-delay", value: "yes"), (name: "read-delay-duration", value: "200000"),
    ]
  }

  private var leftovers: [String] { (try? Files.list(work.path)) ?? ["unreadable"] }

  /// Starts a scan of a page that takes minutes, and waits until it is being written.
  private func scanInMidPage(_ feed: ScanImageFeed) async throws -> Task<PageFeedEnd, any Error> {
    let ends = Pages()
    let scan = Task {
      defer { ends.add([], 0) }
      return try await feed.scan(request(options: slowly), timeout: limit) { _, _ in true }
    }
    return try await Attempts.until("a page that is being written") {
      if !ends.numbers.isEmpty {
        let end = try await scan.value
        throw Programs.Failure(description: "the scan has ended: \(end)")
      }
      let isBegun = leftovers.contains { name in
        name.hasPrefix("hall-scan-") && ((try? Files.list(work.path(name))) ?? []).contains("p1.part")
      }
      return isBegun ? scan : nil
    }
  }

  // MARK: Pages

  @Test(
    arguments: [
      ("jpeg", [0xFF, 0xD8, 0xFF], [0xFF, 0xD9]),
      (
        "png", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A],
        [0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82]
      ),
      ("pnm", [0x50, 0x36, 0x0A], []), ("tiff", [0x4D, 0x4D, 0x00, 0x2A], []),
    ] as [(String, [UInt8], [UInt8])])
  func `a feeder of ten sheets gives ten whole pages in order`(
    _ format: String, _ head: [UInt8], _ tail: [UInt8]
  ) async throws {
    let pages = Pages()
    let feed = feed()
    let end = try await feed.scan(request(format), timeout: limit) { image, number in
      pages.add(image, number)
      return true
    }
    #expect(end == .finished)
    #expect(pages.numbers == Array(1...10))
    for image in pages.images {
      #expect(image.prefix(head.count) == ArraySlice(head))
      #expect(image.suffix(tail.count) == ArraySlice(tail))
    }
    await feed.close()
    #expect(leftovers.isEmpty)
  }

  @Test func `the next sheet is not fed while a page is in the caller's hands`() async throws {
    // A program that says, whenever it is asked, whether it has been told to go on.
    let (question, answer) = (sane.directory + "/question", sane.directory + "/answer")
    try await Programs.run("mkfifo", question, answer)
    let script = try script(
      """
      exec bash -c '
      for argument; do case $argument in --batch=*) pattern=${argument#--batch=} ;; esac; done
      directory=${pattern%/p%d}
      for number in 1 2 3; do
        read line
        printf "image %s" $number > "$directory/p$number"
        printf "%s\\n" "$directory/p$number"
        read asked < "$TMPDIR_OF_TEST/question"
        if read -t 0; then echo fed; else echo waiting; fi > "$TMPDIR_OF_TEST/answer"
      done' bash "$@"
      """)
    let pages = Pages()
    let work = work
    let end = try await feed(program: script).scan(request(pages: 3), timeout: limit) { image, number in
      let said = try? await Programs.run("sh", "-c", "echo > '\(question)'; cat '\(answer)'")
      #expect(said == "waiting\n")
      let here = ((try? Files.list(work.path)) ?? []).flatMap { (try? Files.list(work.path($0))) ?? [] }
      #expect(here == ["lock"])
      pages.add(image, number)
      return true
    }
    #expect(end == .finished)
    #expect(pages.numbers == [1, 2, 3])
  }

  @Test(arguments: [(3, 3), (1, 1), (10, 10), (50, 10)])
  func `a limit ends the feed, and so do fewer sheets`(_ limitOfPages: Int, _ expected: Int) async throws {
    let pages = Pages()
    let end = try await feed().scan(request(pages: limitOfPages), timeout: limit) { image, number in
      pages.add(image, number)
      return true
    }
    #expect(end == .finished)
    #expect(pages.numbers == Array(1...expected))
  }

  @Test func `one feed can scan again after the end`() async throws {
    let feed = feed()
    for _ in 0..<2 {
      #expect(try await feed.scan(request(pages: 1), timeout: limit) { _, _ in true } == .finished)
    }
  }

  // MARK: Ends

  @Test(arguments: [
    ("SANE_STATUS_NO_DOCS", PageFeedEnd.noDocuments), ("SANE_STATUS_JAMMED", .jammed),
    ("SANE_STATUS_COVER_OPEN", .coverOpen), ("SANE_STATUS_DEVICE_BUSY", .deviceBusy),
    ("SANE_STATUS_ACCESS_DENIED", .denied),
    ("SANE_STATUS_UNSUPPORTED", .refused("scanimage: sane_read: Operation not supported")),
    ("SANE_STATUS_INVAL", .refused("scanimage: sane_read: Invalid argument")),
    ("SANE_STATUS_IO_ERROR", .failed("scanimage: sane_read: Error during device I/O")),
    ("SANE_STATUS_NO_MEM", .failed("scanimage: sane_read: Out of memory")),
    ("SANE_STATUS_CANCELLED", .failed("scanimage: sane_read: Operation was canceled")),
  ])
  func `the backend's status is how the feed ends`(_ status: String, _ expected: PageFeedEnd) async throws {
    try sane.answer(status)
    for pages in [nil, 5] {
      let end = try await feed().scan(request(pages: pages), timeout: limit) { _, _ in
        #expect(Bool(false), "there is no page")
        return true
      }
      #expect(end == expected)
    }
    #expect(leftovers.isEmpty)
  }

  @Test func `an option the backend does not know is refused with the program's words`() async throws {
    let end = try await feed().scan(
      request(pages: 1, options: [(name: "staple", value: "yes")]), timeout: limit
    ) { _, _ in true }
    guard case .refused(let text) = end else { return #expect(Bool(false), "\(end)") }
    #expect(text.contains("staple"))
  }

  @Test func `an option of the program itself is refused without starting it`() async throws {
    let end = try await feed(program: "/nowhere/scanimage").scan(
      request(options: [(name: "output-file", value: "/etc/passwd")]), timeout: limit
    ) { _, _ in true }
    guard case .refused(let text) = end else { return #expect(Bool(false), "\(end)") }
    #expect(text.contains("output-file"))
  }

  @Test func `a device nobody has is absent`() async throws {
    await #expect(throws: ChannelError.absent("sane:test:9")) {
      try await feed("test:9").scan(request(), timeout: limit) { _, _ in true }
    }
    await #expect(throws: ChannelError.absent("sane:nosuch:1")) {
      try await feed("nosuch:1").identify(timeout: limit)
    }
  }

  @Test(arguments: ["scanimage-that-is-not-installed", "/nowhere/scanimage"])
  func `without the program the device is absent`(_ program: String) async throws {
    await #expect(throws: ChannelError.absent(program)) {
      try await feed(program: program).scan(request(), timeout: limit) { _, _ in true }
    }
    await #expect(throws: ChannelError.absent(program)) {
      try await feed(program: program).identify(timeout: limit)
    }
    #expect(leftovers.isEmpty)
  }

  // MARK: Stopping

  @Test func `a page refused by the caller ends the feed after it`() async throws {
    let pages = Pages()
    await #expect(throws: ChannelError.cancelled) {
      try await feed().scan(request(), timeout: limit) { image, number in
        pages.add(image, number)
        return number < 2
      }
    }
    #expect(pages.numbers == [1, 2])
    #expect(leftovers.isEmpty)
  }

  @Test func `cancelling in mid-page stops the device and leaves nothing behind`() async throws {
    let scan = try await scanInMidPage(feed())
    scan.cancel()
    await #expect(throws: ChannelError.cancelled) { try await scan.value }
    #expect(leftovers.isEmpty)
    // The device is free again.
    #expect(try await feed().scan(request(pages: 1), timeout: limit) { _, _ in true } == .finished)
  }

  @Test func `closing the channel in mid-page stops the device`() async throws {
    let feed = feed()
    let scan = try await scanInMidPage(feed)
    await feed.close()
    #expect(leftovers.isEmpty)
    await #expect(throws: ChannelError.cancelled) { try await scan.value }
    await #expect(throws: ChannelError.cancelled) {
      try await feed.scan(request(), timeout: limit) { _, _ in true }
    }
  }

  @Test func `a page that takes too long is a time-out`() async throws {
    await #expect(throws: ChannelError.timedOut) {
      try await feed().scan(request(options: slowly), timeout: .milliseconds(300)) { _, _ in true }
    }
    #expect(leftovers.isEmpty)
  }

  @Test func `a second scan meanwhile is busy`() async throws {
    let feed = feed()
    let scan = try await scanInMidPage(feed)
    await #expect(throws: ChannelError.busy("a scan of test:0 is running")) {
      try await feed.scan(request(), timeout: limit) { _, _ in true }
    }
    scan.cancel()
    _ = try? await scan.value
  }

  @Test func `a page above the limit is refused and the feed stopped`() async throws {
    await #expect(throws: ChannelError.malformed("page 1 has more than 500 bytes")) {
      try await feed(pageLimit: 500).scan(request("pnm"), timeout: limit) { _, _ in true }
    }
    #expect(leftovers.isEmpty)
  }

  @Test func `a program that does not stop is killed with all its processes`() async throws {
    let script = try script(
      """
      trap '' INT TERM
      sh -c 'trap "" INT TERM; echo $$ > "$TMPDIR_OF_TEST/inner"; while :; do sleep 60; done' &
      while :; do sleep 60; done
      """)
    let feed = feed(program: script, stopLimit: .milliseconds(200))
    let scan = Task { try await feed.scan(request(), timeout: limit) { _, _ in true } }
    let process = try await Attempts.until("the number of the inner process") {
      let text = (try? Files.read(sane.directory + "/inner", limit: 32)) ?? []
      return text.last == 10 ? Int32(String(decoding: text.dropLast(), as: UTF8.self)) : nil
    }
    scan.cancel()
    await #expect(throws: ChannelError.cancelled) { try await scan.value }
    // Killed with its group; init takes it out of the process table in its own time.
    _ = try await Attempts.until("the end of process \(process)") {
      let state = (try? Files.read("/proc/\(process)/stat", limit: 4096)) ?? []
      return state.isEmpty || String(decoding: state, as: UTF8.self).contains(") Z ") ? true : nil
    }
    #expect(leftovers.isEmpty)
  }

  @Test func `a program that crashes is a failure that says so`() async throws {
    let script = try script("read line; echo 'backend: assertion failed' >&2; kill -SEGV $$")
    let end = try await feed(program: script).scan(request(), timeout: limit) { _, _ in true }
    guard case .failed(let text) = end else { return #expect(Bool(false), "\(end)") }
    #expect(text.contains("signalled(11)"))
    #expect(text.contains("assertion failed"))
  }

  @Test func `what a backend prints among the page names does no harm`() async throws {
    let script = try script(
      """
      for argument; do case $argument in --batch=*) pattern=${argument#--batch=} ;; esac; done
      directory=${pattern%/p%d}
      echo "loading firmware"
      for number in 1 2; do
        read line
        printf 'image %s' $number > "$directory/p$number"
        printf 'debug: done%s\\n' "$directory/p$number"
      done
      """)
    let pages = Pages()
    let end = try await feed(program: script).scan(request(), timeout: limit) { image, number in
      pages.add(image, number)
      return true
    }
    #expect(end == .finished)
    #expect(pages.images == [Array("image 1".utf8), Array("image 2".utf8)])
  }

  private func script(_ body: String) throws -> String {
    let path = sane.directory + "/program"
    let text = "#!/bin/sh\nTMPDIR_OF_TEST='\(sane.directory)'; export TMPDIR_OF_TEST\n\(body)\n"
    try Files.replaceDurable(path, bytes: Array(text.utf8), mode: 0o755)
    return path
  }

  // MARK: Leftovers and identity

  @Test func `pages left by a crash are removed at the next scan, a running scan's are not`() async throws {
    for name in ["hall-scan-crashed", "hall-scan-running", "something-else"] {
      try Files.makeDirectory(work.path(name), mode: 0o700, parents: false)
      try Files.replaceDurable(work.path(name) + "/p1", bytes: [1, 2, 3], mode: 0o600)
    }
    let running = try LockFile(path: work.path("hall-scan-running/lock"))
    #expect(try await feed().scan(request(pages: 1), timeout: limit) { _, _ in true } == .finished)
    #expect(leftovers == ["hall-scan-running", "something-else"])
    withExtendedLifetime(running) {}
  }

  @Test func `a device is described by its options without moving anything`() async throws {
    let text = try await feed().identify(timeout: limit)
    #expect(text.hasPrefix("test:0 ("))
    #expect(text.contains("source Flatbed|Automatic Document Feeder"))
    #expect(text.contains("mode Gray|Color"))
  }

  @Test func `identifying ends in time`() async throws {
    let script = try script("while :; do sleep 60; done")
    await #expect(throws: ChannelError.timedOut) {
      try await feed(program: script, stopLimit: .milliseconds(100)).identify(timeout: .milliseconds(100))
    }
  }
}
