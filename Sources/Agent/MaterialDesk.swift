import Codecs
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// One page of a material, as stored.
struct MaterialPage: Sendable {
  var id: String
  var material: String
  var place: Int
  var blob: Digest
  var held: Bool
  /// Members `sheet`, `side`, `mediaType`, `bytes`, `width`, `height`, `dpi`, `colour`, `replaces`, `flags`.
  var facts: [String: JSONValue]

  func json(order: Int) -> JSONValue {
    var value = facts
    value["page"] = .string(id)
    value["order"] = .integer(Int64(order))
    value["blob"] = .string(blob.hex)
    value["held"] = .bool(held)
    return .object(value)
  }
}

/// A material: pages that belong together, such as one form of four sheets.
struct Material: Sendable {
  var id: String
  var visit: String
  var state: String
  /// Members `name`, `catalogItem`, `form`, and `role` of the device it was scanned on.
  var facts: [String: JSONValue]
  var pages: [MaterialPage]

  var json: JSONValue {
    var value = facts
    value["role"] = nil
    value["simulated"] = nil
    value["material"] = .string(id)
    value["visit"] = .string(visit)
    value["state"] = .string(state)
    value["pages"] = .array(pages.enumerated().map { $1.json(order: $0 + 1) })
    return .object(value)
  }
}

/// Scans pages into materials and forwards them.
struct MaterialDesk: Sendable {
  let facilities: Facilities
  let visits: @Sendable (String) async -> Visit?
  let view: @Sendable (String) async -> DeviceView?

  // MARK: Scanning

  func scan(_ context: CommandContext, session: DeviceSession, visit: Visit) async throws(Problem)
    -> Completion
  {
    let body = context.request.body
    let view = await session.current
    let material = try await material(for: body, visit: visit, view: view)
    if let replaced = body["replaces"]?.string { try await requireKnown(page: replaced, visit: visit) }
    let request = ScanRequest(
      source: ScanSource(rawValue: body["source"]?.string ?? "") ?? .feeder,
      duplex: body["duplex"]?.bool ?? false,
      resolution: Int(body["resolution"]?.integer ?? 300),
      colour: ScanColour(rawValue: body["colour"]?.string ?? "") ?? .colour,
      maximumPages: body["maximumPages"]?.integer.map(Int.init))
    let intake = ScanIntake(
      desk: self, context: context, material: material, visit: visit, view: view,
      held: body["hold"]?.bool ?? false,
      replaces: body["replaces"]?.string)
    var ended: Problem?
    do throws(Fault) {
      try await session.perform("scans") { (device) throws(Fault) in
        guard let scanner = device as? any Scanner else { throw Fault(.commandUnsupported) }
        try await scanner.scan(request) { page in await intake.take(page) }
      }
    } catch {
      ended = await intake.refusal ?? Problem(error)
      if let refusal = await intake.refusal {
        facilities.log(
          .error, view.slot.role, "a scan was stopped, its page could not be stored: \(refusal.detail)")
      } else {
        await session.report(error)
      }
      if await intake.pages.isEmpty, let ended { throw ended }
    }
    let scanned = await intake.pages
    let interrupted = ended
    if interrupted != nil { try await note(interruptedIn: material.id) }
    var answer: [String: JSONValue] = [
      "material": try await load(material.id).json,
      "scanned": .array(scanned.map(JSONValue.string)),
      "outcome": .string(interrupted == nil ? "complete" : "interrupted"),
    ]
    if let interrupted { answer["fault"] = interrupted.faultJSON(context.caller.language) }
    return .done(.object(answer))
  }

  private func material(for body: JSONValue, visit: Visit, view: DeviceView) async throws(Problem) -> Material
  {
    if let id = body["material"]?.string {
      let material = try await load(id)
      guard material.visit == visit.id else { throw Problem(.invalid, "material: belongs to another visit") }
      guard material.state == "open" else { throw Problem(.materialClosed) }
      return material
    }
    var facts: [String: JSONValue] = [
      "role": .string(view.slot.role), "simulated": .bool(view.slot.simulated),
    ]
    for name in ["name", "catalogItem", "form"] { facts[name] = body[name] }
    return Material(id: Identifier.uuidV4(), visit: visit.id, state: "open", facts: facts, pages: [])
  }

  private func requireKnown(page: String, visit: Visit) async throws(Problem) {
    let known = try await facilities.read { database throws(StoreError) in
      try database.queryOne(
        "SELECT 1 FROM page WHERE id = ?1 UNION SELECT 1 FROM withdrawnPage WHERE id = ?1", [.text(page)])
        != nil
    }
    guard known else { throw Problem(.notFound, "replaces: no page has the id '\(page)'") }
  }

  private func note(interruptedIn material: String) async throws(Problem) {
    try await facilities.commit { database throws(StoreError) in
      try database.run("UPDATE material SET interrupted = 1 WHERE id = ?", [.text(material)])
    }
  }

  /// Stores one page and, unless it is held, puts its event into the outbox, in one commit.
  fileprivate func take(
    _ page: ScannedPage, into material: Material, number: Int, held: Bool, replaces: String?,
    context: CommandContext,
    visit: Visit, view: DeviceView
  ) async throws(Problem) -> String {
    let stored: StoredBlob
    do throws(OutboxError) {
      stored = try await facilities.outbox.storeBlob(
        BlobDraft(bytes: page.image.reveal(), mediaType: page.format.mediaType, visit: visit.id))
    } catch {
      if case .full = error { throw Problem(.outboxFull, "\(error)") }
      throw Problem(.notStored, "\(error)")
    }
    if number == 1, !(await context.begin()) { throw Problem(Fault(.commandCancelled)) }
    var facts: [String: JSONValue] = [
      "sheet": .integer(Int64(page.sheet)), "side": .string(page.side.rawValue),
      "mediaType": .string(stored.mediaType), "bytes": .integer(Int64(stored.bytes)),
      "width": .integer(Int64(page.format.width)), "height": .integer(Int64(page.format.height)),
      "colour": .string(page.format.colour.rawValue),
    ]
    if let dpi = page.format.dpi { facts["dpi"] = .integer(Int64(dpi)) }
    if number == 1, let replaces { facts["replaces"] = .string(replaces) }
    let id = Identifier.uuidV4()
    let base = facts
    let (seal, outbox, facilities) = (facilities.seal, facilities.outbox, facilities)
    let cases = context.request.cases.isEmpty ? visit.cases : context.request.cases
    try await facilities.commit { database throws(StoreError) in
      var facts = base
      try database.run(
        "INSERT INTO material (id, visit, state, document) VALUES (?, ?, 'open', ?) ON CONFLICT (id) DO NOTHING",
        [
          .text(material.id), .text(material.visit),
          try seal.store(.object(material.facts), id: material.id),
        ])
      var flags: [JSONValue] = []
      let twin = try database.queryOne(
        "SELECT 1 FROM page JOIN material ON material.id = page.material WHERE material.visit = ? AND page.blob = ?",
        [.text(material.visit), .text(stored.digest.hex)])
      if twin != nil { flags.append("possibleDuplicate") }
      let row = try database.queryOne("SELECT interrupted FROM material WHERE id = ?", [.text(material.id)])
      if number == 1, row?[0].integer == 1 {
        flags.append("afterJam")
        try database.run("UPDATE material SET interrupted = 0 WHERE id = ?", [.text(material.id)])
      }
      if !flags.isEmpty { facts["flags"] = .array(flags) }
      let last = try database.queryOne(
        "SELECT coalesce(max(place), 0) FROM page WHERE material = ?", [.text(material.id)])
      let entry = MaterialPage(
        id: id, material: material.id, place: Int(last?[0].integer ?? 0) + 1, blob: stored.digest, held: held,
        facts: facts)
      try Self.insert(entry, seal: seal, in: database)
      if held {
        try outbox.retain(stored.digest, visit: visit.id, owner: id, in: database)
      } else {
        let draft = self.pageDraft(
          entry, material: material, order: entry.place, view: view, request: context.request,
          visit: visit.id,
          cases: cases)
        _ = try outbox.insert([draft].compactMap { $0 }, in: database)
        if draft == nil { try outbox.retain(stored.digest, visit: visit.id, owner: id, in: database) }
      }
    }
    await facilities.hub.publish(
      "page",
      [
        "requestId": .string(context.request.id), "material": .string(material.id), "page": .string(id),
        "number": .integer(Int64(number)),
      ])
    return id
  }

  private static func insert(_ page: MaterialPage, seal: DocumentSeal, in database: Database)
    throws(StoreError)
  {
    try database.run(
      "INSERT INTO page (id, material, place, blob, held, document) VALUES (?, ?, ?, ?, ?, ?)",
      [
        .text(page.id), .text(page.material), SQLValue(page.place), .text(page.blob.hex), SQLValue(page.held),
        try seal.store(.object(page.facts), id: page.id),
      ])
  }

  private func pageDraft(
    _ page: MaterialPage, material: Material, order: Int, view: DeviceView?, request: CommandRequest?,
    visit: String,
    cases: [String]
  ) -> EventDraft? {
    var data = view.map { facilities.deviceData($0, request: request, cases: cases) } ?? [:]
    data.merge(page.facts) { _, new in new }
    data["material"] = .string(material.id)
    data["page"] = .string(page.id)
    data["order"] = .integer(Int64(order))
    data["blob"] = .string(page.blob.hex)
    for name in ["catalogItem", "name", "form"] { data[name] = material.facts[name] }
    return facilities.draft(
      "material.page", source: source(material), visit: visit, cases: cases,
      simulated: material.facts["simulated"]?.bool ?? false, data: .object(data), blobs: [page.blob])
  }

  private func source(_ material: Material) -> EventSource {
    material.facts["role"]?.string.map { .device(role: $0) } ?? .agent
  }

  // MARK: Reading

  func load(_ id: String) async throws(Problem) -> Material {
    let seal = facilities.seal
    let material = try await facilities.read { database throws(StoreError) in
      try Self.load(id, seal: seal, in: database)
    }
    guard let material else { throw Problem(.notFound, "no material has the id '\(id)'") }
    return material
  }

  private static func load(_ id: String, seal: DocumentSeal, in database: Database) throws(StoreError)
    -> Material?
  {
    guard let row = try database.queryOne("SELECT * FROM material WHERE id = ?", [.text(id)]) else {
      return nil
    }
    let pages = try database.query("SELECT * FROM page WHERE material = ? ORDER BY place", [.text(id)])
    return Material(
      id: id, visit: row["visit"].text ?? "", state: row["state"].text ?? "open",
      facts: seal.open(row["document"], id: id)?.object ?? [:],
      pages: pages.compactMap { row in
        guard let page = row["id"].text, let blob = row["blob"].text.flatMap({ Digest(hex: $0) }) else {
          return nil
        }
        return MaterialPage(
          id: page, material: id, place: Int(row["place"].integer ?? 0), blob: blob,
          held: row["held"].integer == 1,
          facts: seal.open(row["document"], id: page)?.object ?? [:])
      })
  }

  func list(visit: String?) async throws(Problem) -> [Material] {
    let seal = facilities.seal
    return try await facilities.read { database throws(StoreError) in
      let rows =
        if let visit {
          try database.query("SELECT id FROM material WHERE visit = ? ORDER BY rowid", [.text(visit)])
        } else {
          try database.query(
            "SELECT material.id FROM material JOIN visit ON visit.id = material.visit "
              + "WHERE visit.state <> 'closed' ORDER BY material.rowid")
        }
      var materials: [Material] = []
      for row in rows {
        if let id = row[0].text, let material = try Self.load(id, seal: seal, in: database) {
          materials.append(material)
        }
      }
      return materials
    }
  }

  func image(_ material: String, _ page: String) async throws(Problem) -> (bytes: [UInt8], mediaType: String)
  {
    let loaded = try await load(material)
    guard let entry = loaded.pages.first(where: { $0.id == page }) else {
      throw Problem(.notFound, "this material has no page '\(page)'")
    }
    guard await visits(loaded.visit) != nil else { throw Problem(.visitClosed) }
    do throws(OutboxError) {
      return (
        try await facilities.outbox.readBlob(entry.blob), entry.facts["mediaType"]?.string ?? "image/jpeg"
      )
    } catch {
      if case .noSuchBlob = error { throw Problem(.notFound, "\(error)") }
      throw Problem(.notStored, "\(error)")
    }
  }

  // MARK: Changing

  func change(_ id: String, _ body: JSONValue) async throws(Problem) -> Material {
    let material = try await load(id)
    guard material.state == "open" else { throw Problem(.materialClosed) }
    var facts = material.facts
    for name in ["name", "catalogItem", "form"] { if let value = body[name] { facts[name] = value } }
    let order = body["order"]?.array?.compactMap(\.string)
    if let order, Set(order) != Set(material.pages.map(\.id)) || order.count != material.pages.count {
      throw Problem(.invalid, "order: has to name each of the material's \(material.pages.count) pages once")
    }
    let move = body["move"]?["pages"]?.array?.compactMap(\.string) ?? []
    var target: Material?
    if let to = body["move"]?["to"]?.string {
      let found = try await load(to)
      guard found.visit == material.visit, found.state == "open", found.id != id else {
        throw Problem(.invalid, "move.to: has to be another open material of the same visit")
      }
      guard move.allSatisfy({ page in material.pages.contains { $0.id == page } }) else {
        throw Problem(.invalid, "move.pages: not all are pages of this material")
      }
      target = found
    }
    let (seal, newFacts, destination) = (facilities.seal, facts, target)
    try await facilities.commit { database throws(StoreError) in
      try database.run(
        "UPDATE material SET document = ? WHERE id = ?",
        [try seal.store(.object(newFacts), id: id), .text(id)])
      for (place, page) in (order ?? []).enumerated() {
        try database.run("UPDATE page SET place = ? WHERE id = ?", [SQLValue(place + 1), .text(page)])
      }
      if let destination {
        var place = destination.pages.last?.place ?? 0
        for page in move {
          place += 1
          try database.run(
            "UPDATE page SET material = ?, place = ? WHERE id = ?",
            [.text(destination.id), SQLValue(place), .text(page)])
        }
      }
    }
    return try await load(id)
  }

  func withdraw(_ material: String, _ page: String, by caller: Caller, reason: String?) async throws(Problem)
    -> Material
  {
    let loaded = try await load(material)
    guard loaded.state == "open" else { throw Problem(.materialClosed) }
    guard let entry = loaded.pages.first(where: { $0.id == page }) else {
      throw Problem(.notFound, "this material has no page '\(page)'")
    }
    var data: [String: JSONValue] = [
      "material": .string(material), "page": .string(page), "by": .string(caller.role.name),
    ]
    if let reason { data["reason"] = .string(reason) }
    let view = await view(loaded.facts["role"]?.string ?? "")
    if let view { data.merge(facilities.deviceData(view, request: nil, cases: nil)) { own, _ in own } }
    let cases = await visits(loaded.visit)?.cases ?? []
    // A page that was held was never told to the intake, so its withdrawal is nobody's business there.
    let draft =
      entry.held
      ? nil
      : facilities.draft(
        "material.page.withdrawn", source: source(loaded), visit: loaded.visit, cases: cases,
        simulated: loaded.facts["simulated"]?.bool ?? false, data: .object(data))
    let outbox = facilities.outbox
    try await facilities.commit { database throws(StoreError) in
      try database.run("DELETE FROM page WHERE id = ?", [.text(page)])
      try database.run(
        "INSERT INTO withdrawnPage (id, material) VALUES (?, ?)", [.text(page), .text(material)])
      try outbox.release(entry.blob, owner: page, in: database)
      _ = try outbox.insert([draft].compactMap { $0 }, in: database)
    }
    await facilities.hub.publish("pageWithdrawn", ["material": .string(material), "page": .string(page)])
    return try await load(material)
  }

  /// Completes a material: what was held is forwarded, then the final order is told.
  func complete(_ id: String, outcome: String, reason: String? = nil) async throws(Problem) -> Material {
    let material = try await load(id)
    if material.state != "open" { return material }
    let view = await view(material.facts["role"]?.string ?? "")
    let cases = await visits(material.visit)?.cases ?? []
    var drafts: [EventDraft] = []
    for (index, page) in material.pages.enumerated() where page.held && outcome != "abandoned" {
      if let draft = pageDraft(
        page, material: material, order: index + 1, view: view, request: nil, visit: material.visit,
        cases: cases)
      {
        drafts.append(draft)
      }
    }
    let told = material.pages.filter { !$0.held || outcome != "abandoned" }
    var data: [String: JSONValue] = view.map { facilities.deviceData($0, request: nil, cases: nil) } ?? [:]
    data["material"] = .string(id)
    data["pages"] = .array(told.map { ["page": .string($0.id), "blob": .string($0.blob.hex)] })
    data["outcome"] = .string(outcome)
    if let reason { data["reason"] = .string(reason) }
    if let draft = facilities.draft(
      "material.completed", source: source(material), visit: material.visit, cases: cases,
      simulated: material.facts["simulated"]?.bool ?? false, data: .object(data))
    {
      drafts.append(draft)
    }
    let (outbox, events) = (facilities.outbox, drafts)
    let state = outcome
    try await facilities.commit { database throws(StoreError) in
      // Somebody else may have completed it since it was loaded.
      let row = try database.queryOne("SELECT 1 FROM material WHERE id = ? AND state = 'open'", [.text(id)])
      guard row != nil else { return }
      try database.run("UPDATE material SET state = ? WHERE id = ?", [.text(state), .text(id)])
      try database.run("UPDATE page SET held = 0 WHERE material = ?", [.text(id)])
      _ = try outbox.insert(events, in: database)
      for page in material.pages where page.held {
        try outbox.release(page.blob, owner: page.id, in: database)
      }
    }
    await facilities.hub.publish("material", ["material": .string(id), "state": .string(state)])
    return try await load(id)
  }

  /// When a visit closes, what is still open in it is told as it is.
  func close(visit: String) async {
    guard let materials = try? await list(visit: visit) else { return }
    for material in materials where material.state == "open" {
      do throws(Problem) {
        _ = try await complete(
          material.id, outcome: "abandoned", reason: "the visit was closed before submission")
      } catch {
        facilities.log(.error, "materials", "material \(material.id) could not be completed: \(error.detail)")
      }
    }
  }
}

/// Takes the pages of one scan as they come, and remembers why it had to refuse one.
private actor ScanIntake {
  private let desk: MaterialDesk
  private let context: CommandContext
  private let material: Material
  private let visit: Visit
  private let view: DeviceView
  private let held: Bool
  private let replaces: String?
  private(set) var pages: [String] = []
  private(set) var refusal: Problem?

  init(
    desk: MaterialDesk, context: CommandContext, material: Material, visit: Visit, view: DeviceView,
    held: Bool,
    replaces: String?
  ) {
    self.desk = desk
    self.context = context
    self.material = material
    self.visit = visit
    self.view = view
    self.held = held
    self.replaces = replaces
  }

  func take(_ page: ScannedPage) async -> Bool {
    do throws(Problem) {
      pages.append(
        try await desk.take(
          page, into: material, number: pages.count + 1, held: held, replaces: replaces, context: context,
          visit: visit,
          view: view))
      return !Task.isCancelled
    } catch {
      refusal = error
      return false
    }
  }
}

extension Problem {
  /// The problem as the `fault` member of an answer.
  func faultJSON(_ language: Language) -> JSONValue {
    var value: [String: JSONValue] = [
      "code": .string(code), "title": .string(advice.sentence(language)),
      "action": .string(advice.action.rawValue),
      "actor": .string(advice.actor.rawValue), "retry": .bool(advice.retry),
    ]
    if !detail.isEmpty { value["detail"] = .string(String(detail.prefix(1000))) }
    return .object(value)
  }
}
