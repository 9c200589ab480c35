import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// A queue ticket: its number is allocated, durably and once for a request, before anything is printed.
struct Ticket: Sendable {
  var id: String
  var number: String
  var service: String
  var serviceName: String
  var classOfTicket: String
  var businessDay: String
  var issuedAt: WallTime
  var checkCode: String
  var waitingAhead: Int?
  var windows: String
  var printed: String

  var data: [String: JSONValue] {
    var data: [String: JSONValue] = [
      "ticket": .string(id), "number": .string(number), "service": .string(service),
      "class": .string(classOfTicket), "businessDay": .string(businessDay),
      "issuedAt": .string(issuedAt.rfc3339),
      "checkCode": .string(checkCode), "printed": .string(printed),
    ]
    if let waitingAhead { data["waitingAhead"] = .integer(Int64(waitingAhead)) }
    return data
  }

  init(
    id: String, number: String, service: QueueService, classOfTicket: String, businessDay: String,
    issuedAt: WallTime,
    waitingAhead: Int?, windows: String
  ) {
    self.id = id
    self.number = number
    self.service = service.id
    serviceName = service.name
    self.classOfTicket = classOfTicket
    self.businessDay = businessDay
    self.issuedAt = issuedAt
    self.waitingAhead = waitingAhead
    self.windows = windows
    printed = "no"
    checkCode = Self.checkCode(id: id, number: number, day: businessDay)
  }

  /// Four characters that a photo of another day's ticket, or a number made up, does not have. Derived from the ticket's
  /// random id, which is not on the ticket.
  static func checkCode(id: String, number: String, day: String) -> String {
    let alphabet = Array("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")
    return String(
      SHA256.digest(of: Array("\(id) \(number) \(day)".utf8)).bytes.prefix(4).map { alphabet[Int($0) % 32] })
  }

  init?(_ document: JSONValue) {
    guard let id = document["ticket"]?.string, let number = document["number"]?.string,
      let issued = document["issuedAt"]?.string.flatMap({ WallTime(rfc3339: $0) })
    else { return nil }
    self.id = id
    self.number = number
    issuedAt = issued
    service = document["service"]?.string ?? ""
    serviceName = document["serviceName"]?.string ?? ""
    classOfTicket = document["class"]?.string ?? "normal"
    businessDay = document["businessDay"]?.string ?? ""
    checkCode = document["checkCode"]?.string ?? ""
    waitingAhead = document["waitingAhead"]?.integer.map(Int.init)
    windows = document["windows"]?.string ?? ""
    printed = document["printed"]?.string ?? "no"
  }

  var document: JSONValue {
    var data = data
    data["serviceName"] = .string(serviceName)
    data["windows"] = .string(windows)
    return .object(data)
  }

  /// What the citizen sees.
  func face(hallName: String) -> TicketFace {
    let calendar = issuedAt.calendar
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    var elements: [TicketElement] = [
      .text(hallName, bold: true, align: .centre),
      .feed(1),
      .text(number, width: 4, height: 4, bold: true, align: .centre),
      .feed(1),
      .text(serviceName, width: 2, height: 2, align: .centre),
    ]
    if classOfTicket != "normal" {
      elements.append(.text(classOfTicket == "priority" ? "优先办理" : "预约办理", bold: true, align: .centre))
    }
    elements.append(.rule)
    if let waitingAhead { elements.append(.text("前面等待 \(waitingAhead) 人", align: .centre)) }
    if !windows.isEmpty { elements.append(.text("请留意窗口 \(windows)", align: .centre)) }
    elements.append(.text("请留意叫号，过号请重新取号", align: .centre))
    elements.append(.qr(Array("HALL:\(businessDay):\(number):\(checkCode)".utf8), module: 6))
    elements.append(.text("校验码 \(checkCode)", align: .centre))
    elements.append(
      .text(
        "\(calendar.year)-\(two(calendar.month))-\(two(calendar.day)) "
          + "\(two(calendar.hour)):\(two(calendar.minute)):\(two(calendar.second))", align: .centre))
    return TicketFace(elements)
  }
}

/// Issues queue tickets.
struct TicketDesk: Sendable {
  let facilities: Facilities
  /// Letter that stands between prefix and number since the database was lost, so that no number is given twice.
  let series: String

  func issue(
    _ context: CommandContext, session: DeviceSession, visit: Visit?
  ) async throws(Problem) -> Completion {
    let body = context.request.body
    let settings = facilities.settings.current
    guard let service = settings.services.first(where: { $0.id == body["service"]?.string }) else {
      throw Problem(
        .invalid, "service: expected one of " + settings.services.map(\.id).joined(separator: ", "))
    }
    let ticket = try await allocate(context.request, service)
    let result: EffectOutcome
    let face = ticket.face(hallName: settings.hallName)
    do throws(Fault) {
      result = try await session.perform("tickets") { (device) throws(Fault) in
        guard let dispenser = device as? any TicketDispenser else { throw Fault(.commandUnsupported) }
        return await dispenser.print(face) { await context.begin() }
      }
    } catch {
      result = .notDone(error)
    }
    if let fault = result.fault { await session.report(fault) }
    if case .notDone(let fault) = result {
      // The number stays allocated to this request: sent again with the same id it prints the same number.
      throw Problem(fault, members: ["number": .string(ticket.number), "printed": "no"])
    }
    let view = await session.current
    return finish(
      ticket, outcome: result, view: view, request: context.request, visit: visit,
      language: context.caller.language)
  }

  /// The end of a ticket whose printing is done or unknown.
  func finish(
    _ issued: Ticket, outcome: EffectOutcome, view: DeviceView, request: CommandRequest, visit: Visit?,
    language: Language
  ) -> Completion {
    var ticket = issued
    ticket.printed = outcome.word
    let cases = request.cases.isEmpty ? visit?.cases ?? [] : request.cases
    var data = facilities.deviceData(view, request: request, cases: nil)
    data.merge(ticket.data) { _, new in new }
    let draft = facilities.draft(
      "ticket", source: .device(role: view.slot.role), visit: visit?.id, cases: cases,
      simulated: view.slot.simulated,
      data: .object(data))
    var answer = ticket.data
    if let fault = outcome.fault { answer["fault"] = fault.json(language) }
    let (outbox, seal, final) = (facilities.outbox, facilities.seal, ticket)
    return Completion(
      state: outcome == .done ? .done : .unknown, status: 201, body: .object(answer),
      also: { database throws(StoreError) in
        try database.run(
          "UPDATE ticket SET printed = ?, document = ? WHERE id = ?",
          [.text(final.printed), try seal.store(final.document, id: final.id), .text(final.id)])
        _ = try outbox.insert([draft].compactMap { $0 }, in: database)
      })
  }

  /// Allocates the next number of the business day in one commit, or finds the one this request has already.
  private func allocate(_ request: CommandRequest, _ service: QueueService) async throws(Problem) -> Ticket {
    let seal = facilities.seal
    let series = series
    let classOfTicket = request.body["class"]?.string ?? "normal"
    let waiting = request.body["waitingAhead"]?.integer.map(Int.init)
    let windows = request.body["windows"]?.string ?? service.windows
    let now = WallTime.now()
    let hour = facilities.settings.current.dayStarts
    let today = Self.businessDay(now, starts: hour)
    let dayAfterNext = Self.businessDay(
      WallTime(secondsSince1970: now.secondsSince1970 + 2 * 86_400, utcOffsetSeconds: now.utcOffsetSeconds),
      starts: hour)
    let classLetter = classOfTicket == "priority" ? "V" : classOfTicket == "appointment" ? "Y" : ""
    return try await facilities.commit { database throws(StoreError) in
      if let row = try database.queryOne("SELECT * FROM ticket WHERE request = ?", [.text(request.id)]),
        let id = row["id"].text, let document = seal.open(row["document"], id: id),
        let ticket = Ticket(document)
      {
        return ticket
      }
      let prefix = classLetter + service.prefix + series
      // A clock that was set back must not give the numbers that are in people's hands once more. One that was years ahead
      // must not hold up the days that follow.
      let latest = try database.queryOne(
        "SELECT max(businessDay) FROM queueCounter WHERE businessDay > ? AND businessDay <= ?",
        [.text(today), .text(dayAfterNext)])
      let day = latest?[0].text ?? today
      try database.run(
        """
        INSERT INTO queueCounter (businessDay, prefix, last) VALUES (?, ?, 1)
        ON CONFLICT (businessDay, prefix) DO UPDATE SET last = last + 1
        """, [.text(day), .text(prefix)])
      let last = try database.queryOne(
        "SELECT last FROM queueCounter WHERE businessDay = ? AND prefix = ?", [.text(day), .text(prefix)])
      let digits = String(last?[0].integer ?? 1)
      let number = prefix + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
      let ticket = Ticket(
        id: Identifier.uuidV4(), number: number, service: service, classOfTicket: classOfTicket,
        businessDay: day,
        issuedAt: now, waitingAhead: waiting, windows: windows)
      try database.run(
        "INSERT INTO ticket (id, request, number, businessDay, printed, document) VALUES (?, ?, ?, ?, 'no', ?)",
        [
          .text(ticket.id), .text(request.id), .text(number), .text(day),
          try seal.store(ticket.document, id: ticket.id),
        ])
      return ticket
    }
  }

  /// The ticket a request was given, after a crash.
  func ticket(ofRequest id: String) async -> Ticket? {
    let seal = facilities.seal
    let row = try? await facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM ticket WHERE request = ?", [.text(id)])
    }
    guard let row = row ?? nil, let key = row["id"].text, let document = seal.open(row["document"], id: key)
    else {
      return nil
    }
    return Ticket(document)
  }

  /// Settles an unknown after a person looked.
  func resolve(
    _ requestID: String, resolution: String, caller: Caller, view: DeviceView?
  ) async throws(Problem) {
    guard var ticket = await ticket(ofRequest: requestID), ticket.printed == "unknown" else {
      throw Problem(.invalid, "only a ticket whose printing is unknown can be settled")
    }
    ticket.printed = resolution == "voided" ? "no" : "yes"
    var data = ticket.data
    data["resolution"] = .string(resolution)
    data["resolvedBy"] = .string(caller.role.name)
    data["requestId"] = .string(requestID)
    if let view { data.merge(facilities.deviceData(view, request: nil, cases: nil)) { old, _ in old } }
    let draft = facilities.draft(
      "ticket", source: view.map { EventSource.device(role: $0.slot.role) } ?? .agent, visit: nil, cases: [],
      simulated: view?.slot.simulated ?? false, data: .object(data))
    let (outbox, seal, final) = (facilities.outbox, facilities.seal, ticket)
    let answer = JSONValue.object(final.data)
    try await facilities.commit { database throws(StoreError) in
      try database.run(
        "UPDATE ticket SET printed = ?, document = ? WHERE id = ?",
        [.text(final.printed), try seal.store(final.document, id: final.id), .text(final.id)])
      try database.run(
        "UPDATE request SET state = 'done', resolution = ?, document = ? WHERE id = ?",
        [.text(resolution), try seal.store(answer, id: requestID), .text(requestID)])
      _ = try outbox.insert([draft].compactMap { $0 }, in: database)
    }
  }

  /// The business day a moment belongs to, `YYYY-MM-DD`, when days begin at a local hour.
  static func businessDay(_ time: WallTime, starts hour: Int) -> String {
    let shifted = WallTime(
      secondsSince1970: time.secondsSince1970 - Int64(hour) * 3600, nanoseconds: time.nanoseconds,
      utcOffsetSeconds: time.utcOffsetSeconds)
    let calendar = shifted.calendar
    func pad(_ number: Int, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    return "\(pad(calendar.year, 4))-\(pad(calendar.month, 2))-\(pad(calendar.day, 2))"
  }
}
