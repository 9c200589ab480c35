public import Crypto
import Posix
public import Store
import Synchronization
import WireJSON

/// The agent's promise that no rating and no page is lost: everything that is to reach the intake lies here, durably, from
/// before its author is told "taken" until the intake has accepted it and the visit has closed.
///
/// Events are rows, pages are files with rows (design 6; facts/outbox.md 2.7). A ``Forwarder`` sends them.
public final class Outbox: Sendable {
  /// The technician's work on what was set aside.
  public var quarantine: Quarantine { Quarantine(outbox: self) }

  /// The present epoch: a UUID, renewed when the state was lost or the machine was cloned.
  public let epoch: String
  /// Whether contents are sealed on disk.
  public var isSealed: Bool { key != nil }

  let database: StateDatabase
  let pages: PageDirectory
  let key: SealingKey?
  let identity: OutboxIdentity
  let limits: OutboxLimits
  let clock: any OutboxClock
  let state: Mutex<State>

  struct State {
    /// Pages whose authors have been told "stored" and have not put them into an event yet.
    var fresh: [Digest: FreshPage] = [:]
    var pageBytes: Int64 = 0
    var pageCount = 0
    var endpoint = EndpointStatus.unknown
    var listeners: [Int: AsyncStream<Void>.Continuation] = [:]
    var nextListener = 0
    var reconciling = ReconcilingPlace()
  }

  /// A page that was stored, and protects its row or file from being erased until it is named or an hour has passed.
  struct FreshPage {
    /// Its file, if one was written for it; nil while that is being done, or when there is a row with a good file.
    var file: String?
    var hasRow = false
    var bytes = 0
    var mediaType = ""
    var visits: Set<String> = []
    var storedAt: UInt64
    /// It has been named in a transaction; whether that was committed shows in the database.
    var isNamed = false

    var isStored: Bool { file != nil || hasRow }
  }

  /// How long a stored page waits to be named by an event or retained.
  static let freshNanoseconds: UInt64 = 3_600_000_000_000

  init(
    database: StateDatabase, pages: PageDirectory, key: SealingKey?, identity: OutboxIdentity,
    limits: OutboxLimits, clock: any OutboxClock, epoch: String, state: consuming State
  ) {
    self.database = database
    self.pages = pages
    self.key = key
    self.identity = identity
    self.limits = limits
    self.clock = clock
    self.epoch = epoch
    self.state = Mutex(state)
  }

  // MARK: Pages

  /// Stores a page or attachment durably. Within an hour it is to be named by an event (``insert(_:in:)``) or retained
  /// (``retain(_:visit:owner:in:)``); after that it is removed.
  ///
  /// The same content is stored once, however often it comes.
  /// - Throws: ``OutboxError/full(_:)`` when no more pages are taken; ``OutboxError/tooLarge(bytes:limit:)``;
  ///   ``OutboxError/invalid(_:)`` for no content or a media type the intake does not know; what disk and database say.
  public func storeBlob(_ draft: BlobDraft) async throws(OutboxError) -> StoredBlob {
    guard draft.bytes.count <= PageFile.contentLimit else {
      throw .tooLarge(bytes: draft.bytes.count, limit: PageFile.contentLimit)
    }
    guard !draft.bytes.isEmpty else { throw .invalid("A page without content cannot be stored.") }
    guard BlobDraft.mediaTypes.contains(draft.mediaType) else {
      throw .invalid("The intake takes no content of type \(draft.mediaType).")
    }
    let digest = await pages.digest(of: draft.bytes)
    let stored = StoredBlob(digest: digest, bytes: draft.bytes.count, mediaType: draft.mediaType)
    // The reservation comes first: from here on nothing erases a row with this digest.
    if reserve(digest, draft) { return stored }
    do throws(OutboxError) {
      if try await hasGoodRow(digest) {
        state.withLock { $0.fresh[digest]?.hasRow = true }
        return stored
      }
      try await checkRoom(for: draft.bytes.count)
      let file = try await pages.write(draft, digest: digest, time: clock.wallTime)
      let isFirst = state.withLock { state in
        guard let fresh = state.fresh[digest], !fresh.isStored else { return false }
        state.fresh[digest]?.file = file
        state.pageBytes += Int64(draft.bytes.count)
        state.pageCount += 1
        return true
      }
      // The same page came twice at the same time.
      if !isFirst { await pages.remove([file]) }
      return stored
    } catch {
      state.withLock { state in
        if let fresh = state.fresh[digest], !fresh.isStored { state.fresh[digest] = nil }
      }
      if case .files(let failure) = error, failure.name == "ENOSPC" || failure.name == "EDQUOT" {
        throw .full(.disk(freeBytes: await pages.freeBytes() ?? 0))
      }
      throw error
    }
  }

  /// - Returns: whether the page is stored already.
  private func reserve(_ digest: Digest, _ draft: BlobDraft) -> Bool {
    let now = clock.monotonicNanoseconds
    return state.withLock { state in
      var fresh = state.fresh[digest] ?? FreshPage(storedAt: now)
      fresh.storedAt = now
      fresh.isNamed = false
      fresh.bytes = draft.bytes.count
      fresh.mediaType = draft.mediaType
      if let visit = draft.visit { fresh.visits.insert(visit) }
      state.fresh[digest] = fresh
      return fresh.isStored
    }
  }

  private func hasGoodRow(_ digest: Digest) async throws(OutboxError) -> Bool {
    do throws(StoreError) {
      return try await database.read { db throws(StoreError) in
        try db.queryOne("SELECT 1 FROM outbox_blob WHERE digest = ? AND state <> 2", [.blob(digest.bytes)])
          != nil
      }
    } catch { throw .store(error) }
  }

  private func checkRoom(for bytes: Int) async throws(OutboxError) {
    let (events, oldest): (Int, WallTime?)
    do throws(StoreError) { (events, oldest) = try await waiting() } catch { throw .store(error) }
    guard events < limits.events else { throw .full(.quotaEvents(limits.events)) }
    if let oldest, clock.wallMilliseconds / 1000 - oldest.secondsSince1970 >= limits.waitSeconds {
      throw .full(.quotaWait(seconds: limits.waitSeconds))
    }
    let (usedBytes, count) = state.withLock { ($0.pageBytes, $0.pageCount) }
    guard usedBytes + Int64(bytes) <= limits.pageBytes else { throw .full(.quotaBytes(limits.pageBytes)) }
    guard count < limits.pages else { throw .full(.quotaItems(limits.pages)) }
    if let free = await pages.freeBytes(), free - Int64(bytes) < limits.keptFreeBytes {
      throw .full(.disk(freeBytes: free))
    }
    // The reserve was given up so that ratings could go on: pages wait until it can be taken again.
    if !database.hasReserve, await !database.restoreReserve() {
      throw .full(.disk(freeBytes: await pages.freeBytes() ?? 0))
    }
  }

  /// The content of a page that is still here, verified against its digest.
  /// - Throws: ``OutboxError/noSuchBlob(_:)``, ``OutboxError/unreadable(_:_:)``, ``OutboxError/files(_:)``.
  public func readBlob(_ digest: Digest) async throws(OutboxError) -> [UInt8] {
    let file: String
    if let fresh = state.withLock({ $0.fresh[digest]?.file }) {
      file = fresh
    } else {
      let row: SQLRow?
      do throws(StoreError) {
        row = try await database.read { db throws(StoreError) in
          try db.queryOne("SELECT file FROM outbox_blob WHERE digest = ?", [.blob(digest.bytes)])
        }
      } catch { throw .store(error) }
      guard let path = row?["file"].text else { throw .noSuchBlob(digest) }
      file = path
    }
    do throws(PageDirectory.ReadFailure) {
      return try await pages.read(file, digest: digest)
    } catch {
      switch error {
      case .unusable(let reason): throw .unreadable(digest, reason)
      case .system(let failure): throw .files(failure)
      }
    }
  }

  /// Keeps a stored page here, undelivered unless an event names it, until ``release(_:owner:in:)``: a page that is held until
  /// submission.
  ///
  /// - Parameters:
  ///   - visit: also keeps it until that visit closes.
  ///   - owner: the agent's own word for who keeps it; releasing takes the same.
  ///   - db: the transaction in which the agent notes why.
  /// - Throws: ``StoreError/constraint(_:)`` if the page was not stored.
  public func retain(
    _ digest: Digest, visit: String? = nil, owner: String, in db: Database
  ) throws(StoreError) {
    try ensureRow(digest, state: RowState.held, in: db)
    try claim(digest, Claim.agent, owner, in: db)
    if let visit { try claim(digest, Claim.visit, visit, in: db) }
  }

  /// Ends what ``retain(_:visit:owner:in:)`` began. The page is erased if nobody else needs it, once ``wake()`` was called after
  /// the commit.
  public func release(_ digest: Digest, owner: String, in db: Database) throws(StoreError) {
    try db.run(
      "DELETE FROM outbox_claim WHERE kind = ? AND owner = ? AND digest = ?",
      [Claim.agent, .text(owner), .blob(digest.bytes)])
  }

  /// Notes that a visit has closed: its pages are erased as soon as they are delivered, once ``wake()`` was called after the
  /// commit.
  public func visitClosed(_ visit: String, in db: Database) throws(StoreError) {
    try db.run("DELETE FROM outbox_claim WHERE kind = ? AND owner = ?", [Claim.visit, .text(visit)])
  }

  /// Whether an event of a visit is still here: it waits, or was set aside.
  public func hasEvents(of visit: String, in db: Database) throws(StoreError) -> Bool {
    try db.queryOne("SELECT 1 FROM outbox_event WHERE visit = ? LIMIT 1", [.text(visit)]) != nil
  }

  // MARK: Events

  /// Puts events into the outbox in a commit of its own; they are durable when this returns.
  ///
  /// They are taken whether or not there is room for pages.
  public func append(_ drafts: [EventDraft]) async throws(OutboxError) -> [EventRecord] {
    do throws(StoreError) {
      let records = try await database.write { db throws(StoreError) in try self.insert(drafts, in: db) }
      wake()
      return records
    } catch { throw .store(error) }
  }

  /// Puts events into the outbox in the caller's transaction, together with the caller's own rows. ``wake()`` is to be called
  /// after the commit.
  ///
  /// - Throws: ``StoreError/constraint(_:)`` if an event names a page that was not stored, or is larger than the intake takes
  ///   (1 MiB); ``StoreError/misuse(_:)`` if it has no JSON form.
  public func insert(_ drafts: [EventDraft], in db: Database) throws(StoreError) -> [EventRecord] {
    var records: [EventRecord] = []
    for draft in drafts { records.append(try insert(draft, in: db)) }
    return records
  }

  private func insert(_ draft: EventDraft, in db: Database) throws(StoreError) -> EventRecord {
    guard draft.type.utf8.count <= EventBody.typeLimit, draft.blobs.count <= EventBody.blobLimit else {
      throw .constraint("an event with a type or a list of pages that is too long")
    }
    let path = identity.source(draft.source)
    let source = try sourceID(path, in: db)
    let sequence =
      try db.queryOne(
        """
        INSERT INTO outbox_sequence VALUES (?, ?, 1)
        ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last
        """, [.integer(source), .text(epoch)])?.integer("last") ?? 1
    let id = Identifier.uuidV7()
    let json = try CloudEvent.encode(draft, id: id, source: path, epoch: epoch, sequence: sequence)
    guard json.count + 2 <= ForwarderPolicy.batchBytes else {
      throw .constraint("an event of \(json.count) bytes; the intake takes 1 MiB")
    }
    let body = EventBody(type: draft.type, blobs: draft.blobs, json: json).encoded
    let sealed: [UInt8]
    do throws(CryptoError) {
      let name = EventBody.name(id: id, source: path, epoch: epoch, sequence: sequence)
      sealed = try Envelope.close(body, name: name, key: key)
    } catch { throw .misuse("an event could not be sealed: \(error)") }
    try db.run(
      """
      INSERT INTO outbox_event (id, source, epoch, sequence, state, priority, bytes, body, visit)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        .text(id), .integer(source), .text(epoch), .integer(sequence), RowState.waiting,
        SQLValue(draft.priority.rawValue), SQLValue(json.count), .blob(sealed), SQLValue(draft.visit),
      ])
    for digest in Set(draft.blobs) {
      try ensureRow(digest, state: RowState.waiting, in: db)
      try db.run("UPDATE outbox_blob SET state = 0 WHERE digest = ? AND state = 3", [.blob(digest.bytes)])
      try claim(digest, Claim.event, id, in: db)
    }
    return EventRecord(id: id, sequence: sequence)
  }

  func sourceID(_ path: String, in db: Database) throws(StoreError) -> Int64 {
    if let row = try db.queryOne("SELECT id FROM outbox_source WHERE path = ?", [.text(path)]) {
      return try row.integer("id")
    }
    try db.run("INSERT INTO outbox_source (path) VALUES (?)", [.text(path)])
    return db.lastInsertRowID
  }

  /// Makes sure that a page has its row, and that its open visits keep it.
  private func ensureRow(_ digest: Digest, state rowState: SQLValue, in db: Database) throws(StoreError) {
    let fresh = state.withLock { state -> FreshPage? in
      state.fresh[digest]?.isNamed = true
      return state.fresh[digest]
    }
    if let fresh, let file = fresh.file {
      // A row that was set aside gets the new, good file; any other has it already.
      try db.run(
        """
        INSERT INTO outbox_blob (digest, file, bytes, media_type, state) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET file = ?2, bytes = ?3, media_type = ?4, state = ?5, attempts = 0, due = 0,
          since = NULL, reason = NULL, warned = NULL WHERE state = 2
        """,
        [.blob(digest.bytes), .text(file), SQLValue(fresh.bytes), .text(fresh.mediaType), rowState])
    } else if try db.queryOne("SELECT 1 FROM outbox_blob WHERE digest = ?", [.blob(digest.bytes)]) == nil {
      throw .constraint("page \(digest) was not stored, or longer than an hour ago")
    }
    for visit in fresh?.visits ?? [] { try claim(digest, Claim.visit, visit, in: db) }
  }

  private func claim(
    _ digest: Digest, _ kind: SQLValue, _ owner: String, in db: Database
  ) throws(StoreError) {
    try db.run(
      "INSERT OR IGNORE INTO outbox_claim VALUES (?, ?, ?)", [kind, .text(owner), .blob(digest.bytes)])
  }

  // MARK: Who listens

  /// Tells the forwarder that there may be something new: after a commit of the caller's own with ``insert(_:in:)``,
  /// ``release(_:owner:in:)`` or ``visitClosed(_:in:)`` in it.
  public func wake() {
    for listener in state.withLock({ Array($0.listeners.values) }) { listener.yield() }
  }

  /// A value at each ``wake()`` and change, several of them as one; one at once.
  public func changes() -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let id = state.withLock { state in
      state.nextListener += 1
      state.listeners[state.nextListener] = continuation
      return state.nextListener
    }
    continuation.onTermination = { [weak self] _ in
      _ = self?.state.withLock { $0.listeners.removeValue(forKey: id) }
    }
    continuation.yield()
    return stream
  }
}
