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
  private let digests = DigestMaker()
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
    /// The highest number that an event was given.
    var lastNumber: Int64 = 0
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
    let time = clock.wallTime
    let refusal = await refusal(for: draft.bytes.count)
    // What is sealed is bound to its digest, so that the digest comes first. Otherwise it is made while the content is written.
    let isBegun = key == nil && refusal == nil
    async let beginning = isBegun ? pages.begin(draft, time: time, keeping: limits.keptFreeBytes) : nil
    let digest = await digests.digest(of: draft.bytes)
    let begun = await beginning
    let stored = StoredBlob(digest: digest, bytes: draft.bytes.count, mediaType: draft.mediaType)
    // The reservation comes before the look at the rows: from here on nothing erases the one with this digest.
    if reserve(digest, draft) {
      if let begun { await pages.abandon(begun) }
      return stored
    }
    do throws(OutboxError) {
      try await store(draft, digest, time, begun, refusal)
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

  private func store(
    _ draft: BlobDraft, _ digest: Digest, _ time: WallTime,
    _ begun: Result<PageDirectory.Begun, OutboxError>?,
    _ refusal: OutboxError?
  ) async throws(OutboxError) {
    let looked: Result<Look, OutboxError>
    var written: Result<String, OutboxError>?
    if let begun {
      async let looking = look(digest)
      written = await pages.finish(begun, draft, digest: digest, time: time)
      looked = await looking
    } else {
      looked = await look(digest)
      if refusal == nil, case .success(let look) = looked, !look.isThere, look.refusal == nil {
        written = await pages.write(draft, digest: digest, time: time, keeping: limits.keptFreeBytes)
      }
    }
    do throws(OutboxError) {
      let look = try looked.get()
      if look.isThere {
        state.withLock { $0.fresh[digest]?.hasRow = true }
      } else if let refusal = refusal ?? look.refusal {
        throw refusal
      } else if let file = try written?.get() {
        let isFirst = state.withLock { state in
          guard let fresh = state.fresh[digest], !fresh.isStored else { return false }
          state.fresh[digest]?.file = file
          state.pageBytes += Int64(draft.bytes.count)
          state.pageCount += 1
          return true
        }
        // The same page came twice at the same time.
        if isFirst { return }
      }
    } catch {
      if case .success(let file) = written { await pages.remove([file]) }
      throw error
    }
    if case .success(let file) = written { await pages.remove([file]) }
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

  /// What the database says about a page that is to be stored.
  private struct Look: Sendable {
    /// Whether there is a row with a good file.
    var isThere: Bool
    var refusal: OutboxError?
  }

  private func look(_ digest: Digest) async -> Result<Look, OutboxError> {
    do throws(StoreError) {
      let (isThere, events, oldest) = try await database.read { db throws(StoreError) in
        let row = try db.queryOne(
          "SELECT 1 FROM outbox_blob WHERE digest = ? AND state <> 2", [.blob(digest.bytes)])
        let waiting = try self.waiting(in: db)
        return (row != nil, waiting.events, waiting.oldest)
      }
      var look = Look(isThere: isThere)
      if events >= limits.events { look.refusal = .full(.quotaEvents(limits.events)) }
      if let oldest, clock.wallMilliseconds / 1000 - oldest.secondsSince1970 >= limits.waitSeconds {
        look.refusal = .full(.quotaWait(seconds: limits.waitSeconds))
      }
      return .success(look)
    } catch { return .failure(.store(error)) }
  }

  /// Why no page of that size can be taken, as far as memory and the reserve tell.
  private func refusal(for bytes: Int) async -> OutboxError? {
    let (usedBytes, count) = state.withLock { ($0.pageBytes, $0.pageCount) }
    if usedBytes + Int64(bytes) > limits.pageBytes { return .full(.quotaBytes(limits.pageBytes)) }
    if count >= limits.pages { return .full(.quotaItems(limits.pages)) }
    // The reserve was given up so that ratings could go on: pages wait until it can be taken again.
    if !database.hasReserve, await !database.restoreReserve() {
      return .full(.disk(freeBytes: await pages.freeBytes() ?? 0))
    }
    return nil
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
        INSERT INTO outbox_count VALUES ('sequence', ?, ?, 1, 0)
        ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count
        """, [.integer(source), .text(epoch)])?.integer("count") ?? 1
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
      INSERT INTO outbox_event (number, id, source, epoch, sequence, state, priority, bytes, body, visit)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        nextNumber(), .text(id), .integer(source), .text(epoch), .integer(sequence), RowState.waiting,
        SQLValue(draft.priority.rawValue), SQLValue(json.count), .blob(sealed), SQLValue(draft.visit),
      ])
    for digest in Set(draft.blobs) {
      try ensureRow(digest, state: RowState.waiting, in: db)
      try db.run("UPDATE outbox_blob SET state = 0 WHERE digest = ? AND state = 3", [.blob(digest.bytes)])
      try claim(digest, Claim.event, id, in: db)
    }
    return EventRecord(id: id, sequence: sequence)
  }

  /// The next place in the order of sending. It is not used again as long as this run lasts, even if its transaction is taken
  /// back: the forwarder looks only ahead.
  func nextNumber() -> SQLValue {
    state.withLock { state in
      state.lastNumber += 1
      return .integer(state.lastNumber)
    }
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
