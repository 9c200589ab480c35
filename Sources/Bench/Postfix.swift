import HTTPClient
import Outbox
import Posix

extension Measurement {
  /// `postfix [COUNT]`
  static let postfix = Measurement(
    summary: "300 kB items, durable from end to end; floor: Postfix, with LMTP to a Unix socket"
  ) { options in
    guard ProcessInfo.userID == 0, Files.exists("/usr/lib/postfix/sbin/master") else {
      StandardStreams.writeOut("  skipped: needs root and Debian's postfix\n")
      return []
    }
    let count = option(options, 0, 400)
    let postfix = try await PostfixPeer(bytes: 300_000).deliver(count)
    let own = try await ownDelivery(count)
    let plain = try await plainCopies(count)
    return [
      Figure(
        name: "\(count) items of 300 kB, put in and delivered", value: Double(count) / own.seconds,
        unit: "items/s", floor: Double(count) / postfix.seconds, bound: .ratioAtLeast(3)),
      Figure(
        name: "the same, against two plain durable copies of each", value: Double(count) / own.seconds,
        unit: "items/s", floor: Double(count) / plain.seconds),
    ]
  }

  /// What the disk allows at most: each item is flushed to it twice, here and at the far end.
  private static func plainCopies(_ count: Int) async throws -> Duration {
    let directory = try Files.makeTemporaryDirectory(prefix: "hall-bench-")
    defer { Files.removeTree(directory) }
    let receiver = try await Receiver(directory: directory + "/receiver")
    let files = try (0..<count).map { number in
      let path = "\(directory)/\(number)"
      try Files.replaceDurable(path, bytes: OutboxRig.page(bytes: 300_000, number: number), mode: 0o600)
      return path
    }
    return try await receiver.copyPlainly(files) + receiver.copyPlainly(files)
  }

  /// The same with the outbox: pages put in by two producers while the forwarder sends them.
  private static func ownDelivery(_ count: Int) async throws -> Duration {
    let rig = try await OutboxRig.make()
    defer { rig.remove() }
    let receiver = try await Receiver(directory: rig.directory + "/receiver")
    let outbox = rig.outbox
    let transport = HTTPIntakeTransport(
      target: .unix(path: receiver.socket), ownerCheck: { $0 == ProcessInfo.userID })
    let forwarder = Forwarder(outbox: outbox, transport: transport)
    let taken = try await ContinuousClock().measure {
      let run = Task { await forwarder.run() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for part in 0..<2 {
          group.addTask {
            for number in stride(from: part, to: count, by: 2) {
              let content = OutboxRig.page(bytes: 300_000, number: number)
              let stored = try await outbox.storeBlob(
                BlobDraft(bytes: content, mediaType: "image/jpeg", visit: nil))
              _ = try await outbox.append([OutboxRig.material(stored, number: number)])
            }
          }
        }
        try await group.waitForAll()
      }
      while await outbox.status().pendingEvents > 0 {
        guard await Poller.shared.sleep(for: .milliseconds(10)) else { break }
      }
      run.cancel()
      _ = await run.value
    }
    let (events, pages) = (try await receiver.events(), try receiver.pages())
    await rig.close()
    guard events == count, pages == count else {
      throw Backlog.Failure(description: "of \(count) items \(pages) pages and \(events) events came")
    }
    return taken
  }
}

/// Postfix with a configuration and a queue of its own, which delivers to a receiver here.
///
/// Both ends are durable: Postfix flushes each message to its queue before it answers, the receiver to its directory.
private struct PostfixPeer {
  let directory: String
  let bytes: Int
  let port: UInt16

  private static let sessions = 2

  init(bytes: Int) throws {
    self.bytes = bytes
    directory = try Files.makeTemporaryDirectory(prefix: "hall-postfix-")
    // Postfix' own user has to pass.
    try Files.setMode(directory, 0o711)
    for name in ["etc", "queue", "received"] {
      try Files.makeDirectory("\(directory)/\(name)", mode: 0o755, parents: false)
    }
    // A port that is free now.
    port = try Loopback.listen(port: 0).port
    try configure()
  }

  private func configure() throws {
    let main = """
      compatibility_level = 3.6
      queue_directory = \(directory)/queue
      data_directory = \(directory)/data
      command_directory = /usr/sbin
      daemon_directory = /usr/lib/postfix/sbin
      mail_owner = postfix
      setgid_group = postdrop
      myhostname = bench.invalid
      mydestination =
      alias_maps =
      alias_database =
      inet_interfaces = loopback-only
      inet_protocols = ipv4
      mynetworks = 127.0.0.0/8
      virtual_mailbox_domains = bench.invalid
      virtual_mailbox_maps = static:x
      virtual_transport = lmtp:unix:\(directory)/lmtp.sock
      lmtp_destination_concurrency_limit = \(Self.sessions)
      smtpd_client_connection_count_limit = 0
      in_flow_delay = 0
      maillog_file_prefixes = \(directory)
      maillog_file = \(directory)/log
      """
    let services = [
      "127.0.0.1:\(port) inet n - n - - smtpd", "cleanup unix n - n - 0 cleanup",
      "qmgr unix n - n 300 1 qmgr",
      "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce",
      "trace unix - - n - 0 bounce", "verify unix - - n - 1 verify", "proxymap unix - - n - - proxymap",
      "lmtp unix - - n - - lmtp", "error unix - - n - - error", "retry unix - - n - - error",
      "scache unix - - n - 1 scache", "anvil unix - - n - 1 anvil", "postlog unix-dgram n - n - 1 postlogd",
      "flush unix n - n 1000? 0 flush", "showq unix n - n - - showq",
    ]
    try Files.replaceDurable(directory + "/etc/main.cf", bytes: Array((main + "\n").utf8), mode: 0o644)
    try Files.replaceDurable(
      directory + "/etc/master.cf", bytes: Array((services.joined(separator: "\n") + "\n").utf8), mode: 0o644)
  }

  private func postfix(_ verb: String) async throws {
    let process = try ChildProcess.spawn(
      "/usr/sbin/postfix", arguments: ["-c", directory + "/etc", verb], standardOutput: .null,
      standardError: .null)
    guard await process.wait(timeout: .seconds(60)) == .exited(0) else {
      throw Backlog.Failure(description: "postfix \(verb) failed; see \(directory)/log")
    }
  }

  /// Puts messages in on two connections, and waits until the receiver has them.
  func deliver(_ count: Int) async throws -> Duration {
    let listener = try UnixSocket.listen(path: directory + "/lmtp.sock", mode: 0o666, group: nil)
    let receiver = LMTPReceiver(directory: directory + "/received")
    let listening = DescriptorStream(listener)
    let serving = Task { await receiver.serve(listening) }
    try await postfix("start")
    let body = Array((String(repeating: String(repeating: "x", count: 76) + "\r\n", count: bytes / 78)).utf8)
    let port = port
    let taken: Duration
    do {
      taken = try await ContinuousClock().measure {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for session in 0..<Self.sessions {
            group.addTask {
              try await Self.send(
                count / Self.sessions + (session < count % Self.sessions ? 1 : 0), body, port)
            }
          }
          try await group.waitForAll()
        }
        while await receiver.count < count {
          guard await Poller.shared.sleep(for: .milliseconds(10)) else { break }
        }
      }
    } catch {
      try? await postfix("abort")
      throw error
    }
    try await postfix("stop")
    serving.cancel()
    listening.close()
    Files.removeTree(directory)
    return taken
  }

  /// One SMTP session (RFC 5321).
  private static func send(_ count: Int, _ body: [UInt8], _ port: UInt16) async throws {
    var opened: DescriptorStream?
    for _ in 0..<100 where opened == nil {
      opened = try? DescriptorStream(Loopback.connect(port: port))
      if opened == nil { _ = await Poller.shared.sleep(for: .milliseconds(50)) }
    }
    guard let stream = opened else { throw Backlog.Failure(description: "Postfix does not listen") }
    stream.withDescriptor { Loopback.sendAtOnce($0) }
    let lines = Lines(stream)
    func reply(_ wanted: String) async throws {
      while true {
        guard let line = try await lines.next() else { throw Backlog.Failure(description: "Postfix hung up") }
        // All lines of an answer but the last have a hyphen after the code.
        if line.dropFirst(3).first == "-" { continue }
        guard line.hasPrefix(wanted) else { throw Backlog.Failure(description: "Postfix: \(line)") }
        return
      }
    }
    func say(_ text: String) async throws {
      try await stream.write(Array((text + "\r\n").utf8), timeout: .seconds(60))
    }
    try await reply("220")
    try await say("EHLO bench.invalid")
    try await reply("250")
    for _ in 0..<count {
      try await say("MAIL FROM:<sender@bench.invalid>\r\nRCPT TO:<page@bench.invalid>\r\nDATA")
      try await reply("250")
      try await reply("250")
      try await reply("354")
      try await stream.write(body, timeout: .seconds(60))
      try await say(".")
      try await reply("250")
    }
    try await say("QUIT")
  }
}

/// The receiving end of LMTP (RFC 2033): each message is a durable file before it is accepted.
private actor LMTPReceiver {
  private(set) var count = 0
  private let directory: String

  init(directory: String) { self.directory = directory }

  func serve(_ listening: DescriptorStream) async {
    await withTaskGroup(of: Void.self) { group in
      while (try? await listening.ready(for: .read, timeout: nil)) != nil {
        guard let stream = listening.withDescriptor(Self.accepted) ?? nil else { continue }
        group.addTask { await self.serve(connection: stream) }
      }
    }
  }

  private static func accepted(_ raw: Int32) -> DescriptorStream? {
    do {
      guard let socket = try UnixSocket.accept(from: raw) else { return nil }
      return DescriptorStream(socket)
    } catch { return nil }
  }

  private nonisolated func serve(connection stream: DescriptorStream) async {
    let lines = Lines(stream)
    func say(_ text: String) async throws {
      try await stream.write(Array((text + "\r\n").utf8), timeout: .seconds(60))
    }
    do {
      try await say("220 bench LMTP")
      while let line = try await lines.next() {
        switch line.prefix(4).uppercased() {
        case "LHLO": try await say("250-bench\r\n250-PIPELINING\r\n250 8BITMIME")
        case "DATA":
          try await say("354 go on")
          let message = try await lines.message()
          try Files.createDurable(directory: directory, name: Identifier.uuidV7(), parts: [message])
          await note()
          try await say("250 stored")
        case "QUIT":
          try await say("221 bye")
          return
        default: try await say("250 ok")
        }
      }
    } catch { return }
  }

  private func note() { count += 1 }
}

/// Lines of a connection, and the messages between them.
private final class Lines {
  private let stream: DescriptorStream
  private var rest: [UInt8] = []

  init(_ stream: DescriptorStream) { self.stream = stream }

  private func more() async throws -> Bool {
    let bytes = try await stream.read(upTo: 1 << 19, timeout: .seconds(60))
    rest += bytes
    return !bytes.isEmpty
  }

  func next() async throws -> String? {
    while true {
      if let end = rest.firstIndex(of: 10) {
        let line = rest[..<end].last == 13 ? rest[..<(end - 1)] : rest[..<end]
        defer { rest.removeFirst(end + 1) }
        return String(decoding: line, as: UTF8.self)
      }
      guard try await more() else { return nil }
    }
  }

  /// Everything up to the line with a dot alone.
  func message() async throws -> [UInt8] {
    // By the dots, of which there are few: what takes time here would count against Postfix.
    let mark = Array("\r\n.\r\n".utf8)
    var searched = 0
    while true {
      while let dot = rest[searched...].firstIndex(of: UInt8(ascii: ".")) {
        guard dot + 3 <= rest.count else { break }
        if dot >= 2, rest[(dot - 2)..<(dot + 3)].elementsEqual(mark) {
          let message = Array(rest[..<(dot - 2)])
          rest.removeFirst(dot + 3)
          return message
        }
        searched = dot + 1
      }
      if !rest[searched...].contains(UInt8(ascii: ".")) { searched = rest.count }
      guard try await more() else { throw Backlog.Failure(description: "a message without an end") }
    }
  }
}
