public import Crypto
public import Posix
public import Store
import Synchronization
import WireJSON

/// What the outbox found when it was opened, for the log and the technician.
public struct StartReport: Sendable, Equatable {
  /// Why a new epoch began.
  public enum EpochReason: Sendable, Equatable {
    /// There was no state: a new installation, or the state directory was emptied.
    case firstStart
    /// The database was lost or damaged.
    case stateLost
    /// The disk was cloned or moved: the machine's identifier is another one.
    case machineChanged
  }

  /// How contents are kept, compared with last time.
  public enum Sealing: Sendable, Equatable {
    /// Sealed under the same key as before, or for the first time.
    case sealed
    /// Sealed, but under another key than last time: what was sealed before will be set aside.
    case keyChanged
    /// There is a key now, and there was none before.
    case newlySealed
    /// Not sealed: there is no key.
    case unsealed
    /// Not sealed, and it was before: what was sealed will be set aside.
    case keyLost
  }

  /// What happened to the database.
  public var database = DatabaseOpening.opened
  /// Why a new epoch began; nil if the old one goes on.
  public var newEpoch: EpochReason?
  /// How contents are kept.
  public var sealing = Sealing.unsealed
  /// Events that wait.
  public var pendingEvents = 0
  /// Files without a row that were removed: never acknowledged, or delivered already.
  public var orphansRemoved = 0
  /// Pages whose files are gone; they were set aside.
  public var missingPages = 0
  /// Files that are no pages; they were moved to `damaged` in the pages' directory.
  public var damagedFiles = 0
  /// After the database was lost: events that could be read from its remains.
  public var salvagedEvents = 0
  /// After the database was lost: rows of its remains that held no event any more.
  public var unreadableEvents = 0
  /// After the database was lost: pages found again whose event was not. They were set aside.
  public var recoveredPages: [RecoveredPage] = []

  /// A page whose event was lost.
  public struct RecoveredPage: Sendable, Equatable {
    /// SHA-256 of its content.
    public var digest: Digest
    /// Its kind.
    public var mediaType: String
    /// The visit it was scanned in.
    public var visit: String?
    /// When it was stored, RFC 3339.
    public var time: String
  }
}

extension Outbox {
  /// Opens the outbox and brings rows and files together. Old items that cannot be read never stop it: they are set aside,
  /// counted, and the rest goes on.
  ///
  /// - Parameters:
  ///   - database: opened with ``schema`` among its components.
  ///   - directory: where the pages' files lie; made if it is not there.
  ///   - key: contents are sealed under it; nil keeps them plain.
  ///   - identity: the position and machine.
  ///   - files: the file system that the directory is on.
  /// - Throws: ``OutboxError/files(_:)`` if the directory cannot be used, ``OutboxError/store(_:)``.
  ///
  /// Only the first thousand files are looked at; call ``reconcile()`` to have the others looked at while the outbox works.
  public static func open(
    database: StateDatabase, directory: String, key: SealingKey?, identity: OutboxIdentity,
    limits: OutboxLimits = OutboxLimits(), clock: any OutboxClock = SystemOutboxClock(),
    files: any FileSystem = SystemFiles()
  ) async throws(OutboxError) -> (Outbox, StartReport) {
    let pages = PageDirectory(root: directory, key: key, files: files)
    do throws(SystemError) { try await pages.prepare() } catch { throw .files(error) }
    do throws(StoreError) {
      var report = StartReport()
      report.database = await database.opening
      let meta = try await Meta.renew(in: database, key: key, identity: identity, &report)
      let outbox = Outbox(
        database: database, pages: pages, key: key, identity: identity, limits: limits, clock: clock,
        epoch: meta.epoch, state: State())
      if case .firstStart = report.newEpoch, await pages.hasFiles { report.newEpoch = .stateLost }
      if case .stateLost = report.newEpoch {
        try await outbox.rebuild(&report)
      } else {
        let found = try await outbox.reconcile(atMost: Self.filesAtStart)
        report.missingPages = found.missingPages
        report.orphansRemoved = found.orphansRemoved
      }
      try await outbox.numberOn()
      // Claims of a run that is over may have left pages to nobody.
      try await outbox.sweep()
      try await outbox.count(&report)
      return (outbox, report)
    } catch { throw .store(error) }
  }

  /// Epoch, machine and key of the last run.
  private struct Meta: Sendable {
    var epoch: String

    static func renew(
      in database: StateDatabase, key: SealingKey?, identity: OutboxIdentity, _ report: inout StartReport
    ) async throws(StoreError) -> Meta {
      let opening = await database.opening
      let keyID = key.map { Hex.encode($0.identifier) } ?? ""
      // machine-id(5) asks not to be stored or shown as it is.
      let machine =
        identity.machine.map { SHA256.digest(of: Array("hall-agent machine\0\($0)".utf8)).hex } ?? ""
      let (meta, reason, sealing) = try await database.write { db throws(StoreError) in
        var values: [String: String] = [:]
        for row in try db.query("SELECT name, value FROM outbox_meta") {
          values[try row.text("name")] = try row.text("value")
        }
        var reason: StartReport.EpochReason?
        if case .replaced = opening { reason = .stateLost }
        // The table holds an epoch as soon as it was opened once, so that a start that broke off is no first start.
        if values["epoch"] == nil, reason == nil { reason = .firstStart }
        if reason == nil, values["machine"] != machine { reason = .machineChanged }
        let epoch = reason == nil ? values["epoch"] ?? Identifier.uuidV4() : Identifier.uuidV4()
        let sealing: StartReport.Sealing =
          switch (values["key"] ?? "", keyID) {
          case ("", ""): .unsealed
          case (_, ""): .keyLost
          case ("", _): values["epoch"] == nil ? .sealed : .newlySealed
          case (let old, let new): old == new ? .sealed : .keyChanged
          }
        for (name, value) in ["epoch": epoch, "machine": machine, "key": keyID] where values[name] != value {
          try db.run(
            "INSERT INTO outbox_meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
            [.text(name), .text(value)])
        }
        return (Meta(epoch: epoch), reason, sealing)
      }
      report.newEpoch = reason
      report.sealing = sealing
      return meta
    }
  }

  /// New events are numbered after all that are there.
  private func numberOn() async throws(StoreError) {
    let last = try await database.read { db throws(StoreError) in
      try db.queryOne("SELECT max(number) FROM outbox_event")?[0].integer ?? 0
    }
    state.withLock { $0.lastNumber = last }
  }

  private func count(_ report: inout StartReport) async throws(StoreError) {
    let totals = try await database.read { db throws(StoreError) in
      try db.query(
        """
        SELECT sum(count) FILTER (WHERE kind = 'event' AND part = 0) AS events,
          sum(count) FILTER (WHERE kind = 'blob') AS pages, sum(bytes) FILTER (WHERE kind = 'blob') AS bytes
        FROM outbox_count
        """)
    }
    report.pendingEvents = Int(totals.first?["events"].integer ?? 0)
    state.withLock { state in
      state.pageCount = Int(totals.first?["pages"].integer ?? 0)
      state.pageBytes = totals.first?["bytes"].integer ?? 0
    }
  }

  // MARK: The database was lost

  /// Makes rows again from the pages' headers and from what can still be read of the old database.
  private func rebuild(_ report: inout StartReport) async throws(StoreError) {
    var found: [Digest: StartReport.RecoveredPage] = [:]
    for directory in await pages.older {
      let names = await pages.names(in: directory)
      for start in stride(from: 0, to: names.count, by: Self.chunk) {
        let files = names[start..<min(start + Self.chunk, names.count)].map { "\(directory)/\($0)" }
        try await rebuild(files, &found, &report)
      }
    }
    if case .replaced(let old, _) = report.database {
      for digest in try await salvage(old, &report) { found[digest] = nil }
    }
    // Whoever has an event again is no longer nobody's.
    let recovered = Array(found.keys)
    try await database.write { db throws(StoreError) in
      try db.run(
        """
        DELETE FROM outbox_claim WHERE kind = 3
          AND digest IN (SELECT digest FROM outbox_claim WHERE kind = 0)
        """)
      for digest in recovered {
        try db.run(
          "UPDATE outbox_blob SET state = 2, since = ?, reason = ? WHERE digest = ?",
          [
            .integer(self.clock.wallMilliseconds), .text(QuarantineReason.eventLost.code),
            .blob(digest.bytes),
          ])
      }
    }
    report.recoveredPages = found.values.sorted { $0.time < $1.time }
  }

  private struct Found: Sendable {
    var file: String
    var digest: Digest
    var header: PageHeader
    var reason: QuarantineReason?
  }

  private func rebuild(
    _ files: [String], _ found: inout [Digest: StartReport.RecoveredPage], _ report: inout StartReport
  ) async throws(StoreError) {
    var pagesFound: [Found] = []
    for file in files {
      if await !pages.isWritten(file) {
        await pages.remove([file])
        continue
      }
      do throws(PageDirectory.ReadFailure) {
        let (header, reason) = try await pages.examine(file)
        guard let digest = Digest(hex: header.sha256) else { throw .unusable(.damaged) }
        pagesFound.append(Found(file: file, digest: digest, header: header, reason: reason))
        found[digest] = .init(
          digest: digest, mediaType: header.mediaType, visit: header.visit, time: header.time)
      } catch {
        // Also if it could not be read just now: a file without a row would count as an orphan.
        await pages.putAside(file)
        report.damagedFiles += 1
      }
    }
    let rows = pagesFound
    let since = SQLValue.integer(clock.wallMilliseconds)
    try await database.write { db throws(StoreError) in
      for page in rows {
        try db.run(
          """
          INSERT OR IGNORE INTO outbox_blob (digest, file, bytes, media_type, state, since, reason)
          VALUES (?, ?, ?, ?, ?, ?, ?)
          """,
          [
            .blob(page.digest.bytes), .text(page.file), SQLValue(page.header.bytes),
            .text(page.header.mediaType), page.reason == nil ? RowState.waiting : RowState.aside, since,
            SQLValue(page.reason?.code),
          ])
        try db.run(
          "INSERT OR IGNORE INTO outbox_claim VALUES (?, '', ?)", [Claim.recovered, .blob(page.digest.bytes)])
      }
    }
  }

  /// Takes over the events that the old database still gives, under their old numbers. Each is bound to its id, source,
  /// epoch and sequence by its seal or digest, so that none is made up from damage.
  /// - Returns: the pages that they name.
  private func salvage(_ old: String, _ report: inout StartReport) async throws(StoreError) -> Set<Digest> {
    var sources: [Int64: String] = [:]
    try await database.salvage(path: old, table: "outbox_source") { rows in
      for row in rows { if let id = row["id"].integer { sources[id] = row["path"].text } }
    }
    var named: Set<Digest> = []
    var counts = (good: 0, bad: 0)
    try await database.salvage(path: old, table: "outbox_event") { rows async throws(StoreError) in
      var salvaged: [Salvaged] = []
      for row in rows {
        // A lost table of sources is made good by trying: there are few, and the seal tells which is right.
        let paths = row["source"].integer.flatMap { sources[$0] }.map { [$0] } ?? Array(sources.values)
        if let event = openSalvaged(row, paths) {
          salvaged.append(event)
          named.formUnion(event.body?.blobs ?? [])
        }
      }
      try await insert(salvaged)
      counts.good += salvaged.count
      counts.bad += rows.count - salvaged.count
    }
    report.salvagedEvents = counts.good
    report.unreadableEvents = counts.bad
    return named
  }

  /// An event from a damaged database.
  private struct Salvaged: Sendable {
    var row: SQLRow
    var path: String
    /// nil if it cannot be opened now, for that reason.
    var body: EventBody?
    var reason: QuarantineReason?
  }

  private func openSalvaged(_ row: SQLRow, _ paths: [String]) -> Salvaged? {
    guard let id = row["id"].text, let epoch = row["epoch"].text, let sequence = row["sequence"].integer,
      let sealed = row["body"].blob
    else { return nil }
    for path in paths {
      let name = EventBody.name(id: id, source: path, epoch: epoch, sequence: sequence)
      do throws(Envelope.Failure) {
        if let body = EventBody(try Envelope.open(sealed, name: name, key: key)) {
          return Salvaged(row: row, path: path, body: body)
        }
      } catch {
        switch error {
        case .damaged: continue
        case .otherKey: return Salvaged(row: row, path: path, reason: .otherKey)
        case .keyMissing: return Salvaged(row: row, path: path, reason: .keyMissing)
        }
      }
    }
    return nil
  }

  private func insert(_ events: [Salvaged]) async throws(StoreError) {
    let since = SQLValue.integer(clock.wallMilliseconds)
    try await database.write { db throws(StoreError) in
      for event in events { try self.insert(event, since: since, in: db) }
    }
  }

  private func insert(_ event: Salvaged, since: SQLValue, in db: Database) throws(StoreError) {
    let row = event.row
    // What had been set aside before stays so.
    let wasAside = row["state"].integer == 2
    let source = try sourceID(event.path, in: db)
    try db.run(
      """
      INSERT OR IGNORE INTO outbox_event
        (number, id, source, epoch, sequence, state, priority, bytes, since, reason, words, body, visit)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """,
      [
        row["number"], row["id"], .integer(source), row["epoch"], row["sequence"],
        event.reason != nil || wasAside ? RowState.aside : RowState.waiting,
        .integer(row["priority"].integer ?? 1), SQLValue(event.body?.json.count ?? 0), since,
        event.reason.map { .text($0.code) } ?? (wasAside ? row["reason"] : .null),
        wasAside && row["words"].blob != nil ? row["words"] : .null, row["body"],
        row["visit"],
      ])
    for digest in event.body?.blobs ?? [] {
      let key = SQLValue.blob(digest.bytes)
      if try db.queryOne("SELECT 1 FROM outbox_blob WHERE digest = ?", [key]) == nil {
        // Its page is gone, or the intake has it: which, only the intake knows. A person decides.
        try db.run(
          """
          INSERT INTO outbox_blob (digest, file, bytes, media_type, state, since, reason)
          VALUES (?, '', 0, '', 2, ?, ?)
          """, [key, since, .text(QuarantineReason.missing.code)])
      }
      try db.run("INSERT OR IGNORE INTO outbox_claim VALUES (?, ?, ?)", [Claim.event, row["id"], key])
    }
  }
}
