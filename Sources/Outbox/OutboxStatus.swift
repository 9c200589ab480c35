public import Posix
public import Store
import Synchronization

/// How much may wait, how long, and how much room the disk keeps.
///
/// At a limit no more pages are taken; ratings and all other events always are, as long as the disk takes them. Nothing that was
/// taken is ever given up for want of room or for its age, save what lay in quarantine longer than ``quarantineSeconds``.
public struct OutboxLimits: Sendable, Equatable {
  /// The most bytes of pages; default 20 GB.
  public var pageBytes: Int64
  /// The most pages; default 200 000.
  public var pages: Int
  /// Bytes that pages leave free on the file system, for ratings; default 512 MB.
  public var keptFreeBytes: Int64
  /// So many waiting events are the limit beyond which no more pages are taken; default 1 000 000.
  public var events: Int
  /// How old the oldest waiting event may get before no more pages are taken, in seconds; default 7 days.
  public var waitSeconds: Int64
  /// How long an item may lie in quarantine, in seconds; default 90 days.
  public var quarantineSeconds: Int64

  /// At this share of a limit a warning is due.
  public static let warningShare = 0.8

  /// Limits.
  public init(
    pageBytes: Int64 = 20_000_000_000, pages: Int = 200_000, keptFreeBytes: Int64 = 512_000_000,
    events: Int = 1_000_000, waitSeconds: Int64 = 7 * 86_400, quarantineSeconds: Int64 = 90 * 86_400
  ) {
    self.pageBytes = pageBytes
    self.pages = pages
    self.keptFreeBytes = keptFreeBytes
    self.events = events
    self.waitSeconds = waitSeconds
    self.quarantineSeconds = quarantineSeconds
  }
}

/// How far one limit is used up.
public struct OutboxQuota: Sendable, Equatable {
  /// Which limit.
  public enum Kind: String, Sendable, CaseIterable {
    /// Bytes of pages.
    case pageBytes
    /// Pages.
    case pages
    /// Events that wait.
    case events
    /// Seconds that the oldest event has waited.
    case waitSeconds
    /// Bytes of the file system that are to stay free: used up when no more than these are.
    case keptFreeBytes
    /// The room that was set aside for accepting and erasing on a full disk: 1 when it had to be given up.
    case reserve
  }

  /// Which limit.
  public var kind: Kind
  /// What is there now, in the limit's unit; of ``Kind/keptFreeBytes`` what is free.
  public var used: Int64
  /// The limit.
  public var limit: Int64

  /// The share that is used up: 0 nothing, 1 or more all of it.
  public var share: Double {
    switch kind {
    case .keptFreeBytes: limit == 0 ? 0 : used <= 0 ? .infinity : Double(limit) / Double(used)
    case .reserve: Double(used)
    default: limit <= 0 ? .infinity : Double(used) / Double(limit)
    }
  }
  /// What that share means.
  public var fill: OutboxFill {
    share >= 1 ? .full : share >= OutboxLimits.warningShare ? .warning : .normal
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
  /// How full it is: the fullest of ``quotas``.
  public var fill = OutboxFill.normal
  /// How far each limit is used up.
  public var quotas: [OutboxQuota] = []
  /// When the oldest item in quarantine was put there.
  public var quarantinedSince: WallTime?
  /// When the oldest item in quarantine is erased for good.
  public var quarantineEnds: WallTime?
  /// Whether that is so soon that a person has to act now.
  public var isQuarantineEnding = false
  /// How the intake does.
  public var endpoint = EndpointStatus.unknown
  /// Whether contents are sealed on disk.
  public var isSealed = false
  /// How many events have been delivered since the state was new, by type.
  public var delivered: [String: Int] = [:]
  /// Why the database takes nothing any more; nil while it does.
  public var failure: StoreError?
}

extension Outbox {
  /// What waits, and how its delivery goes.
  public func status() async -> OutboxStatus {
    var status = OutboxStatus()
    status.isSealed = isSealed
    status.endpoint = state.withLock { $0.endpoint }
    do throws(StoreError) {
      let counts = try await database.read { db throws(StoreError) in try Counts(db) }
      status.pendingEvents = counts.pendingEvents
      status.pendingBlobs = counts.pendingBlobs
      status.heldBlobs = counts.heldBlobs
      status.pendingBytes = counts.pendingBytes
      status.quarantined = counts.quarantined
      status.delivered = counts.delivered
      status.oldest = counts.oldest.flatMap(Self.time(ofID:))
      if let since = counts.quarantinedSince {
        let age = limits.quarantineSeconds * 1000
        status.quarantinedSince = Self.time(since)
        status.quarantineEnds = Self.time(since + age)
        status.isQuarantineEnding =
          Double(clock.wallMilliseconds - since) >= Double(age) * OutboxLimits.warningShare
      }
    } catch {
      status.failure = error
    }
    status.quotas = await quotas(events: status.pendingEvents, oldest: status.oldest)
    status.fill = Self.fullest(status.quotas)
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

  /// How far each limit is used up.
  func quotas(events: Int, oldest: WallTime?) async -> [OutboxQuota] {
    let (bytes, count) = state.withLock { ($0.pageBytes, $0.pageCount) }
    // Given up when the disk was full; there may be room for it again.
    let hasReserve = database.hasReserve ? true : await database.restoreReserve()
    let now = clock.wallMilliseconds / 1000
    // A clock that went back makes nothing older.
    let age = oldest.map { max(0, now - $0.secondsSince1970) } ?? 0
    var quotas = [
      OutboxQuota(kind: .pageBytes, used: bytes, limit: limits.pageBytes),
      OutboxQuota(kind: .pages, used: Int64(count), limit: Int64(limits.pages)),
      OutboxQuota(kind: .events, used: Int64(events), limit: Int64(limits.events)),
      OutboxQuota(kind: .waitSeconds, used: age, limit: limits.waitSeconds),
      OutboxQuota(kind: .reserve, used: hasReserve ? 0 : 1, limit: 1),
    ]
    if let free = await pages.freeBytes() {
      quotas.append(OutboxQuota(kind: .keptFreeBytes, used: free, limit: limits.keptFreeBytes))
    }
    return quotas
  }

  private static func fullest(_ quotas: [OutboxQuota]) -> OutboxFill {
    let fills = quotas.map(\.fill)
    return fills.contains(.full) ? .full : fills.contains(.warning) ? .warning : .normal
  }

  /// What ``status()`` knows of the events that wait, for taking a page.
  func waiting(in db: Database) throws(StoreError) -> (events: Int, oldest: WallTime?) {
    let events = try db.queryOne(
      "SELECT count FROM outbox_count WHERE kind = 'event' AND part = 0 AND epoch = ''")
    return (Int(events?["count"].integer ?? 0), try Counts.oldest(db).flatMap(Self.time(ofID:)))
  }

  static func time(_ milliseconds: Int64) -> WallTime {
    WallTime(secondsSince1970: milliseconds / 1000, nanoseconds: Int32(milliseconds % 1000) * 1_000_000)
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
    return time(milliseconds)
  }

  private struct Counts: Sendable {
    var pendingEvents = 0
    var pendingBlobs = 0
    var heldBlobs = 0
    var pendingBytes: Int64 = 0
    var quarantined = 0
    var oldest: String?
    var quarantinedSince: Int64?
    var delivered: [String: Int] = [:]

    init(_ db: Database) throws(StoreError) {
      for row in try db.query("SELECT kind, part, count, bytes FROM outbox_count WHERE epoch = ''") {
        let count = Int(try row.integer("count"))
        switch (try row.text("kind"), try row.integer("part")) {
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
      oldest = try Self.oldest(db)
      for sql in [
        "SELECT since FROM outbox_event INDEXED BY outbox_event_aside WHERE state = 2 ORDER BY since LIMIT 1",
        "SELECT since FROM outbox_blob INDEXED BY outbox_blob_aside WHERE state = 2 ORDER BY since LIMIT 1",
      ] {
        guard let since = try db.queryOne(sql)?["since"].integer else { continue }
        quarantinedSince = min(quarantinedSince ?? since, since)
      }
      for row in try db.query("SELECT type, count FROM outbox_delivered") {
        delivered[try row.text("type")] = Int(try row.integer("count"))
      }
    }

    /// The id of the waiting event that was put in first: the first of each source, of which there are a few.
    static func oldest(_ db: Database) throws(StoreError) -> String? {
      let heads = try db.query(
        """
        SELECT (SELECT number FROM outbox_event AS e WHERE e.state = 0 AND e.source = s.id ORDER BY number LIMIT 1)
          AS number
        FROM outbox_source AS s
        """)
      guard let first = heads.compactMap({ $0["number"].integer }).min() else { return nil }
      return try db.queryOne("SELECT id FROM outbox_event WHERE number = ?", [.integer(first)])?["id"].text
    }
  }
}
