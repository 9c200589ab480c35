internal import Channels
internal import Codecs
internal import Devices

/// Commands and replies with the security module of an ID-card reader, one at a time.
///
/// A reply does not say which command it answers. What was received before a command is thrown away, and a reply that
/// cannot be one to the command at hand is passed over: it is a late one.
actor SDTLine {
  private enum Event {
    case reply(SDTReply)
    case damaged(SDTFrameError)
    /// A frame has begun and is not whole yet.
    case partial
  }

  nonisolated let stream: any ByteStream
  private let reader: StreamReader
  private let inbox: Inbox<Event>
  private let time: any Timekeeper
  private let waits: Waits
  private var parser = SDTReplyParser()
  private var lastReceipt = Duration.zero
  /// A command has ended without its reply, which may still come.
  private var isUnsettled = false
  private static let tries = 3

  /// How long the line itself may take.
  struct Waits: Sendable {
    /// To accept a command.
    let write: Duration
    /// To go on with a reply that has begun.
    let pause: Duration
  }

  init(_ stream: any ByteStream, time: any Timekeeper, waits: Waits) {
    self.stream = stream
    self.time = time
    self.waits = waits
    reader = StreamReader(stream)
    inbox = Inbox(time: time)
  }

  /// Begins to read; `lost` is told once when the line ends by itself.
  nonisolated func start(lost: @escaping @Sendable (Fault) -> Void) {
    reader.start { bytes in
      await self.received(bytes)
    } ended: { error in
      self.inbox.close(error)
      lost(Fault(error))
    }
  }

  /// Closes the channel.
  nonisolated func stop() async {
    inbox.close(.cancelled)
    await reader.stop()
  }

  /// Sends a command and waits for its reply, whatever status it has. Goes on when the caller's task is cancelled: an
  /// unread reply would confuse the next command.
  nonisolated func exchange(_ command: SDTCommand, timeout: Duration) async throws(Fault) -> SDTReply {
    try await uninterrupted { () async throws(Fault) in
      try await self.settle(before: command, timeout: timeout)
      // A request that was damaged on its way to the module has had no effect: it is sent again.
      for _ in 1..<Self.tries {
        let reply = try await self.run(command, timeout: timeout)
        if reply.status != .checksumWrong, reply.status != .lengthWrong { return reply }
      }
      return try await self.run(command, timeout: timeout)
    }
  }

  /// Makes sure that no late reply is left. A module answers in order: once it has told its status, what it says later
  /// answers what is asked later. Without this a card's late data could be taken for the next card's.
  private func settle(before command: SDTCommand, timeout: Duration) async throws(Fault) {
    guard isUnsettled, command != .status else { return }
    for _ in 1..<Self.tries {
      let reply = try await run(.status, timeout: timeout)
      if reply.status == .ok || reply.status == .selfTestFailed || reply.status == .moduleUnauthorised {
        return
      }
    }
    throw Fault(.deviceGarbled, "the module does not tell its status")
  }

  private func run(_ command: SDTCommand, timeout: Duration) async throws(Fault) -> SDTReply {
    isUnsettled = true
    parser.reset()
    inbox.clear()
    do throws(ChannelWriteError) {
      try await stream.write(command.encode(), timeout: waits.write)
    } catch {
      throw Fault(error.reason, doing: "sending \(command)")
    }
    let deadline = time.now() + timeout
    var oddity: String?
    while true {
      let limit = parser.pending > 0 ? min(deadline, lastReceipt + waits.pause) : deadline
      switch await inbox.take(until: limit) {
      case .element(.reply(let reply)):
        if command.canGive(reply) {
          isUnsettled = false
          return reply
        }
        oddity = "\(command): a reply with status \(reply.status) belongs to another command"
      case .element(.damaged(let error)):
        oddity = "\(command): damaged reply, \(error)"
      case .element(.partial): continue
      case .timedOut:
        // A frame whose rest does not come may have swallowed the reply: a damaged length does that.
        if parser.pending > 0 {
          oddity = "\(command): the reply broke off"
          _ = parser.giveUp()
          drain()
        } else if time.now() >= deadline {
          if let oddity { throw Fault(.deviceGarbled, oddity) }
          throw Fault(.timedOut, doing: "\(command)")
        }
      case .cancelled: throw Fault(.cancelled, doing: "\(command)")
      case .closed(let error):
        throw Fault(error, doing: "\(command)")
      }
    }
  }

  private func received(_ bytes: [UInt8]) {
    lastReceipt = time.now()
    parser.feed(bytes)
    drain()
  }

  private func drain() {
    while true {
      switch parser.next() {
      case .frame(let reply): inbox.put(.reply(reply))
      case .error(let error): inbox.put(.damaged(error))
      case .needMore:
        if parser.pending > 0 { inbox.put(.partial) }
        return
      }
    }
  }
}

extension SDTCommand {
  /// Whether a reply can be one to this command: its status is one that the command can end with, and its data has the
  /// size that the command gives (facts/idcard.md 2.2 and 3).
  func canGive(_ reply: SDTReply) -> Bool {
    let count = reply.data.reveal().count
    switch reply.status {
    case .ok:
      switch self {
      case .find: return false
      case .samID: return count == 16
      case .select: return count == 8
      case .readText, .readTextAndFingerprint: return count > 256
      case .readAdditionalAddress, .readAdditionalAddressAlternative: return (70...1000).contains(count)
      case .readCardNumber: return (20...40).contains(count)
      default: return count == 0
      }
    case .found: return self == .find
    case .notFound: return self == .find || self == .select
    case .selectFailed: return self == .select
    case .noItem:
      return self == .readAdditionalAddress || self == .readAdditionalAddressAlternative
        || self == .readCardNumber
    case .readFailed: return self != .find && self != .status && self != .samID
    default: return true
    }
  }
}
