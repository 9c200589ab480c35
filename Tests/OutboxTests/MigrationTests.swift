import Crypto
import Posix
import TestKit
import Testing
import WireJSON

@testable import Outbox
@testable import Store

/// Databases of every earlier version are taken over with everything that waits in them.
@Suite(.timeLimit(.minutes(5))) struct MigrationTests {
  /// A text that has been released is never changed: databases out there were made by it.
  @Test func `released steps of the schema are as they were released`() {
    let digests = Outbox.schema.migrations.map { SHA256.digest(of: Array($0.utf8)).hex.prefix(16) }
    #expect(
      digests == [
        "3615252be5d78955", "b15521e1bcf72358", "4f3a5a27079e57f6", "635f07bfb02deed5",
      ])
  }

  @Test(arguments: 1..<Outbox.schema.migrations.count)
  func `what waits in a database of an earlier version is delivered`(version: Int) async throws {
    let station = try Station()
    let old = SchemaComponent(name: "outbox", migrations: Array(Outbox.schema.migrations.prefix(version)))
    let database = try await StateDatabase.open(
      path: station.database, components: [old, Station.agent], reserveBytes: 65_536)
    // As that version wrote it: an event that waits, one that was set aside, and a page with its file.
    let content = page(1).bytes
    let digest = SHA256.digest(of: content)
    let source = "/halls/h/positions/p/devices/evaluator"
    let file = "20260203/0196f0c2-0000-7000-8000-000000000009"
    try Files.makeDirectory(station.pages + "/20260203", mode: 0o700, parents: true)
    let header = PageHeader(
      id: "0196f0c2-0000-7000-8000-000000000009", mediaType: "image/jpeg", time: "2026-02-03T09:00:00+08:00",
      bytes: content.count, sha256: digest.hex, visit: nil)
    // Its digest was that of header and content together: the header is today's without the present one.
    let front = Array(
      try PageFile.encode(header, content: content, digest: digest, key: nil)[0].dropLast(
        1 + Digest.byteCount))
    let envelope = try Envelope.close(content, name: SHA256.digest(of: front).hex, key: nil)
    try Files.createDurable(
      directory: station.pages + "/20260203", name: "0196f0c2-0000-7000-8000-000000000009",
      parts: [front, envelope])
    try await database.write { db throws(StoreError) in
      try db.run(
        "INSERT INTO outbox_meta VALUES ('epoch', 'old-epoch'), ('machine', ?), ('key', '')",
        [.text(SHA256.digest(of: Array("hall-agent machine\0machine-1".utf8)).hex)])
      try db.run("INSERT INTO outbox_source VALUES (7, ?)", [.text(source)])
      try db.run("INSERT INTO outbox_sequence VALUES (7, 'old-epoch', 2)")
      try db.run(
        "INSERT INTO outbox_blob (digest, file, bytes, media_type, state) VALUES (?, ?, ?, 'image/jpeg', 0)",
        [.blob(digest.bytes), .text(file), SQLValue(content.count)])
      for (sequence, state) in [(1, 0), (2, 2)] as [(Int64, Int64)] {
        let id = "0196f0c2-0000-7000-8000-00000000000\(sequence)"
        let json = Array(
          #"{"id":"\#(id)","source":"\#(source)","epoch":"old-epoch","sequence":"\#(sequence)"}"#.utf8)
        let body = EventBody(type: "gov.hall.rating.v1", blobs: sequence == 1 ? [digest] : [], json: json)
        let name = EventBody.name(id: id, source: source, epoch: "old-epoch", sequence: sequence)
        let sealed = (try? Envelope.close(body.encoded, name: name, key: nil)) ?? []
        try db.run(
          """
          INSERT INTO outbox_event (id, source, epoch, sequence, state, priority, bytes, since, reason, body)
          VALUES (?, 7, 'old-epoch', ?, ?, 0, ?, ?, ?, ?)
          """,
          [
            .text(id), .integer(sequence), .integer(state), SQLValue(json.count),
            state == 2 ? 1_770_000_000_000 : .null, state == 2 ? "refused:422" : .null, .blob(sealed),
          ])
        if sequence == 1 {
          try db.run("INSERT INTO outbox_claim VALUES (0, ?, ?)", [.text(id), .blob(digest.bytes)])
        }
      }
    }
    await database.close()

    let opened = try await station.open()
    #expect(opened.report.newEpoch == nil)
    #expect(opened.outbox.epoch == "old-epoch")
    #expect(opened.report.missingPages == 0)
    #expect(await opened.outbox.status().pendingEvents == 1)
    let items = try await opened.outbox.quarantine.list()
    #expect(items.map(\.reason) == [.refused(status: 422)])
    _ = try await opened.outbox.quarantine.retry(items.map(\.id))
    let intake = ScriptedIntake()
    try await forwarding(opened.outbox, to: intake) { await opened.outbox.drained() }
    #expect(intake.received.value.pages == [digest])
    #expect(intake.received.value.sequence == ["1", "2"])
    #expect(try station.pageFiles().isEmpty)
  }

  @Test func `a database of a newer version is left alone`() async throws {
    let station = try Station()
    await (try await station.open()).database.close()
    let newer = SchemaComponent(
      name: "outbox",
      migrations: Outbox.schema.migrations + [
        "CREATE TABLE future (x) STRICT".replacing("(x)", with: "(x INTEGER)")
      ])
    await
      (try await StateDatabase.open(
        path: station.database, components: [newer, Station.agent], reserveBytes: 0)).close()
    let known = Outbox.schema.migrations.count
    await #expect(throws: StoreError.newer(component: "outbox", found: known + 1, known: known)) {
      _ = try await station.open()
    }
  }
}
