import HTTPClient
import Outbox
import Posix

extension Measurement {
  /// `backlog [RATINGS [PAGES-MB]]`
  static let backlog = Measurement(
    summary: "a backlog while the intake is down: putting in, starting with it, sending it, memory"
  ) { options in
    try await Backlog.ratings(option(options, 0, 20_000)) + Backlog.pages(option(options, 1, 100))
  }
}

/// What waits while the intake is down, and how it goes when that comes back.
enum Backlog {
  private static func megabytesResident() -> Double { Double(ProcessInfo.residentBytes) / 1e6 }

  // MARK: Ratings

  static func ratings(_ count: Int) async throws -> [Figure] {
    var rig = try await OutboxRig.make()
    let directory = rig.directory
    defer { Files.removeTree(directory) }
    let log = try AppendLog(path: directory + "/floor.log", mode: 0o600)
    let floorLine = String(repeating: "x", count: 900)
    let clock = ContinuousClock()
    for number in 0..<500 { _ = try await rig.outbox.append([OutboxRig.rating(number)]) }
    let memoryBefore = megabytesResident()
    // The first tenth and the last are compared, each with appends of the same moments: the disk's speed drifts too.
    let tenth = max(1, count / 10)
    var edges: [(events: [Duration], floor: [Duration])] = [([], []), ([], [])]
    var all: [Duration] = []
    for number in 0..<count {
      let draft = OutboxRig.rating(number)
      let taken = try await clock.measure { _ = try await rig.outbox.append([draft]) }
      let edge = number < tenth ? 0 : number >= count - tenth ? 1 : nil
      if let edge {
        edges[edge].events.append(taken)
        if number % 4 == 0 { edges[edge].floor.append(try clock.measure { try log.append(floorLine) }) }
      } else if all.count < 100_000 {
        all.append(taken)
      }
    }
    let memoryFull = megabytesResident()
    func cost(_ edge: Int) -> (own: Double, floor: Double) {
      (Durations(edges[edge].events).median, Durations(edges[edge].floor).median)
    }
    let (first, last) = (cost(0), cost(1))
    await rig.close()

    let served = try await service(directory)
    let ready = try await clock.measure { rig = try await OutboxRig.open(directory) }
    let receiver = try await Receiver(directory: directory + "/receiver")
    let waiting = await rig.outbox.status().pendingEvents
    let drained = try await drain(rig.outbox, receiver)
    let memoryAfter = megabytesResident()
    let received = try await receiver.events()
    await rig.close()
    guard received == waiting else {
      throw Failure(description: "\(waiting) events waited, and \(received) came")
    }
    var figures = [
      Figure(
        name: "putting in the last tenth of \(count) ratings, against the first",
        value: last.own / first.own, unit: "of it", floor: last.floor / first.floor, bound: .ratioAtMost(1.1)),
      Figure(name: "putting in one rating, median", value: Durations(all).median, unit: "ms"),
      Figure(name: "opening the backlog", value: ready.seconds, unit: "s", bound: .atMost(0.5)),
      Figure(
        name: "sending", value: Double(waiting) / drained.seconds, unit: "events/s", bound: .atLeast(10_000)),
      Figure(
        name: "memory with the backlog", value: memoryFull, unit: "MB", floor: memoryBefore,
        bound: .aboveFloorAtMost(16)),
      Figure(
        name: "memory after sending", value: memoryAfter, unit: "MB", floor: memoryBefore,
        bound: .aboveFloorAtMost(32)),
    ]
    if let served {
      figures.append(
        Figure(
          name: "halld with the backlog, from its start to serving", value: served.seconds, unit: "s",
          bound: .atMost(0.5)))
    }
    return figures
  }

  /// How long the service itself takes to serve with that backlog; nil if it was not built beside this program.
  private static func service(_ directory: String) async throws -> Duration? {
    let program = Files.directory(of: try Files.realPath("/proc/self/exe")) + "/halld"
    guard Files.exists(program) else {
      StandardStreams.writeOut("  the start of halld is skipped: it is not beside this program\n")
      return nil
    }
    let configuration = directory + "/hall.conf"
    let text = """
      [agent]
      hall = bench
      position = window-01
      language = en
      socket = \(directory)/agent.sock
      socket-group = ""
      state = \(directory)
      profiles = \(directory)/profiles
      [intake]
      target = unix:\(directory)/nobody.sock
      user = ""
      """
    try Files.replaceDurable(configuration, bytes: Array(text.utf8), mode: 0o600)
    try Files.makeDirectory(directory + "/profiles", mode: 0o700, parents: false)
    var process: ChildProcess?
    let taken = try await ContinuousClock().measure {
      let started = try ChildProcess.spawn(
        program, arguments: ["run", "--config", configuration], standardOutput: .pipe, standardError: .pipe)
      process = started
      var output = ""
      while !output.contains("agent: hall agent") {
        let bytes = try await started.errorOutput?.read(upTo: 65_536, timeout: .seconds(60)) ?? []
        guard !bytes.isEmpty else { throw Failure(description: "halld did not start: \(output)") }
        output += String(decoding: bytes, as: UTF8.self)
      }
    }
    process?.signal(Signals.terminate)
    guard await process?.wait(timeout: .seconds(60)) == .exited(0) else {
      throw Failure(description: "halld did not end in good order")
    }
    return taken
  }

  // MARK: Pages

  static func pages(_ megabytes: Int) async throws -> [Figure] {
    let bytes = 300_000
    let count = max(20, megabytes * 1_000_000 / bytes)
    let rig = try await OutboxRig.make()
    defer { rig.remove() }
    let memoryBefore = megabytesResident()
    for number in 0..<count {
      let content = OutboxRig.page(bytes: bytes, number: number)
      let stored = try await rig.outbox.storeBlob(
        BlobDraft(bytes: content, mediaType: "image/jpeg", visit: nil))
      _ = try await rig.outbox.append([OutboxRig.material(stored, number: number)])
    }
    let receiver = try await Receiver(directory: rig.directory + "/receiver")
    // A part of them copied plainly before and after: the disk's speed drifts, and new files cost more where many were removed
    // just before.
    let files = try pageFiles(rig.directory + "/pages")
    let before = Array(files.suffix(min(files.count, 1000)))
    var copied = try await receiver.copyPlainly(before)
    let drained = try await drain(rig.outbox, receiver)
    let blobs = receiver.directory + "/blobs"
    let after = try Files.list(blobs).filter { !$0.hasPrefix("plain-") }.prefix(before.count).map {
      "\(blobs)/\($0)"
    }
    copied += try await receiver.copyPlainly(Array(after))
    let plain = Double(before.count + after.count) * Double(bytes) / 1e6 / copied.seconds
    let sent = Double(count) * Double(bytes) / 1e6 / drained.seconds
    let memoryAfter = megabytesResident()
    let (events, pages) = (try await receiver.events(), try receiver.pages())
    await rig.close()
    guard events == count, pages == count else {
      throw Failure(description: "\(count) pages waited; \(pages) pages and \(events) events came")
    }
    return [
      Figure(
        name: "sending \(count) pages of 300 kB", value: sent, unit: "MB/s", floor: plain,
        bound: .ratioAtLeast(0.6)),
      Figure(
        name: "memory after sending pages", value: memoryAfter, unit: "MB", floor: memoryBefore,
        bound: .aboveFloorAtMost(64)),
    ]
  }

  private static func pageFiles(_ root: String) throws -> [String] {
    try Files.list(root).filter { $0.utf8.count == 8 }.flatMap { day in
      try Files.list("\(root)/\(day)").map { "\(root)/\(day)/\($0)" }.filter { try Files.size($0) > 0 }
    }
  }

  // MARK: Sending

  /// Sends everything, and tells how long it took.
  private static func drain(_ outbox: Outbox, _ receiver: Receiver) async throws -> Duration {
    let transport = HTTPIntakeTransport(
      target: .unix(path: receiver.socket), ownerCheck: { $0 == ProcessInfo.userID })
    let forwarder = Forwarder(outbox: outbox, transport: transport)
    return await ContinuousClock().measure {
      let run = Task { await forwarder.run() }
      while await outbox.status().pendingEvents > 0 {
        guard await Poller.shared.sleep(for: .milliseconds(20)) else { break }
      }
      run.cancel()
      _ = await run.value
    }
  }

  struct Failure: Error, CustomStringConvertible { let description: String }
}
