public import Posix
import Store
import Synchronization

/// How much may wait, and how much room the disk keeps.
public struct OutboxLimits: Sendable, Equatable {
  /// The most bytes of pages; default 20 GB.
  public var pageBytes: Int64
  /// The most pages; default 200 000.
  public var pages: Int
  /// Bytes that pages leave free on the file system; default 512 MB.
  public var keptFreeBytes: Int64

  /// At this share of a limit a warning is due.
  public static let warningShare = 0.8

  /// Limits.
  public init(
    pageBytes: Int64 = 20_000_000_000, pages: Int = 200_000, keptFreeBytes: Int64 = 512_000_000
  ) {
    self.pageBytes = pageBytes
    self.pages = pages
    self.keptFreeBytes = keptFreeBytes
  }
}

/// How the intake does, as far as the forwarder can tell.
public enum EndpointStatus: Sendable, Equatable {
  /// Nothing has been sent since the start.
  case unknown
  /// The last answer was a proper one.
  case reachable
  /// What is wrong, since when, and when it is tried next (nil while it is being tried or nothing waits).
  case trouble(EndpointTrouble, since: WallTime, nextProbe: WallTime?)
}

/// How full the outbox is with pages. Events are always taken.
public enum OutboxFill: Sendable, Equatable {
  /// Below ``OutboxLimits/warningShare`` of the limits.
  case normal
  /// Above it: have the intake looked at now.
  case warning
  /// No more pages are taken.
  case full
}

/// What waits in the outbox, and how its delivery goes.
public struct OutboxStatus: Sendable, Equatable {
  /// Events that wait.
  public var pendingEvents = 0
  /// Pages that the intake has not accepted, or whose event it has not.
  public var pendingBlobs = 0
  /// Pages that are kept here and that no event has named yet.
  public var heldBlobs = 0
  /// Bytes of the events and pages that wait.
  public var pendingBytes: Int64 = 0
  /// When the oldest waiting event was put in (to the millisecond, in UTC).
  public var oldest: WallTime?
  /// Events and pages that were set aside.
  public var quarantined = 0
  /// How full it is.
  public var fill = OutboxFill.normal
  /// How the intake does.
  public var endpoint = EndpointStatus.unknown
  /// Whether contents are sealed on disk.
  public var isSealed = false
  /// How many events have been delivered since the state was new, by type.
  public var delivered: [String: Int] = [:]
  /// Why the database takes nothing any more; nil while it does.
  public var failure: StoreFailure?

  /// The database's state in words.
  public struct StoreFailure: Sendable, Equatable {
    /// One English sentence.
    public var sentence: String
    /// What a person does about it.
    public var advice: String
  }
}

extension Outbox {
  /// What waits, and how its delivery goes.
  public func status() async -> OutboxStatus {
    var status = OutboxStatus()
    status.isSealed = isSealed
    status.endpoint = state.withLock { $0.endpoint }
    status.fill = await fill()
    do throws(StoreError) {
      let counts = try await database.read { db throws(StoreError) in try Counts(db) }
      status.pendingEvents = counts.pendingEvents
      status.pendingBlobs = counts.pendingBlobs
      status.heldBlobs = counts.heldBlobs
      status.pendingBytes = counts.pendingBytes
      status.quarantined = counts.quarantined
      status.delivered = counts.delivered
      status.oldest = counts.oldest.flatMap(Self.time(ofID:))
    } catch {
      status.failure = OutboxStatus.StoreFailure(sentence: error.description, advice: error.advice)
    }
    return status
  }

  /// The status now and after each change, at most four times a second.
  public func statusUpdates() -> AsyncStream<OutboxStatus> {
    let changes = changes()
    let (stream, continuation) = AsyncStream<OutboxStatus>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let task = Task { [weak self] in
      for await _ in changes {
        guard let self else { break }
        continuation.yield(await status())
        await clock.sleep(untilNanoseconds: clock.monotonicNanoseconds + 250_000_000)
      }
      continuation.finish()
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  private func fill() async -> OutboxFill {
    let (bytes, count) = state.withLock { ($0.pageBytes, $0.pageCount) }
    let free = await pages.freeBytes() ?? .max
    // Given up when the disk was full; there may be room for it again.
    let hasReserve = database.hasReserve ? true : await database.restoreReserve()
    if bytes >= limits.pageBytes || count >= limits.pages || free < limits.keptFreeBytes
      || !hasReserve
    {
      return .full
    }
    let share = max(
      Double(bytes) / Double(limits.pageBytes), Double(count) / Double(limits.pages),
      Double(limits.keptFreeBytes) / Double(free))
    return share >= OutboxLimits.warningShare ? .warning : .normal
  }

  func noteEndpoint(_ endpoint: EndpointStatus) {
    let changed = state.withLock { state in
      defer { state.endpoint = endpoint }
      return state.endpoint != endpoint
    }
    if changed { wake() }
  }

  /// When an id was made: a UUIDv7 begins with the milliseconds since 1970.
  static func time(ofID id: String) -> WallTime? {
    let digits = id.utf8.filter { $0 != UInt8(ascii: "-") }.prefix(12)
    guard digits.count == 12,
      let milliseconds = Int64(String(decoding: digits, as: UTF8.self), radix: 16)
    else { return nil }
    return WallTime(
      secondsSince1970: milliseconds / 1000, nanoseconds: Int32(milliseconds % 1000) * 1_000_000)
  }

  private struct Counts: Sendable {
    var pendingEvents = 0
    var pendingBlobs = 0
    var heldBlobs = 0
    var pendingBytes: Int64 = 0
    var quarantined = 0
    var oldest: String?
    var delivered: [String: Int] = [:]

    init(_ db: Database) throws(StoreError) {
      for row in try db.query("SELECT kind, state, count, bytes FROM outbox_total") {
        let count = Int(try row.integer("count"))
        switch (try row.text("kind"), try row.integer("state")) {
        case ("event", 0):
          pendingEvents = count
          pendingBytes += try row.integer("bytes")
        case ("blob", 0):
          pendingBlobs = count
          pendingBytes += try row.integer("bytes")
        case ("blob", 3): heldBlobs = count
        case (_, 2): quarantined += count
        default: break
        }
      }
      // The first of each source, of which there are a few.
      let heads = try db.query(
        """
        SELECT (SELECT number FROM outbox_event AS e WHERE e.state = 0 AND e.source = s.id ORDER BY number LIMIT 1) AS number
        FROM outbox_source AS s
        """)
      if let first = heads.compactMap({ $0["number"].integer }).min() {
        oldest = try db.queryOne("SELECT id FROM outbox_event WHERE number = ?", [.integer(first)])?["id"]
          .text
      }
      for row in try db.query("SELECT type, count FROM outbox_delivered") {
        delivered[try row.text("type")] = Int(try row.integer("count"))
      }
    }
  }
}
