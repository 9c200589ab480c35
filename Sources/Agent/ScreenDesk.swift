import Channels
import Codecs
import Crypto
import Devices
import LocalAPI
import Outbox
import Posix
import QRSymbol
import Store
import Synchronization
import WireJSON

/// What citizens see on their screens, and what they sign and confirm there.
///
/// One thing at a time is on a screen: commands take turns as on every device, and a rating's question counts as one. When
/// it is over, thanks are shown for a moment and then the hall's own words.
actor ScreenDesk {
  private enum Signal: Sendable {
    case input(ScreenInput)
    case time(Int)
    case cancelled(by: String)
  }
  private struct Foreground {
    let visit: String?
    let signals: AsyncStream<Signal>.Continuation
  }
  private struct Screen {
    var idle = ScreenView.Content.idle(title: nil, text: nil, clerkName: nil, clerkNumber: nil)
    var foreground: Foreground?
    var isRating = false
    /// Documents that were agreed to, and by whose visit.
    var agreed: (document: Digest, visit: String?)?
    var shown: Set<Digest> = []
    var pause: Task<Void, Never>?
    var steps = 0
  }

  private let facilities: Facilities
  private let session: @Sendable (String) async -> DeviceSession?
  private var screens: [String: Screen] = [:]
  private var nextTimer = 0

  init(_ facilities: Facilities, session: @escaping @Sendable (String) async -> DeviceSession?) {
    self.facilities = facilities
    self.session = session
  }

  // MARK: Showing

  private func show(_ role: String, _ view: ScreenView) async {
    await session(role)?.show(view)
  }

  /// What is shown for a while is over; from here on the screen is known.
  private func endPause(_ role: String) {
    var screen = screens[role] ?? Screen()
    screen.pause?.cancel()
    screen.pause = nil
    screens[role] = screen
  }

  private func step(_ role: String) -> String {
    screens[role, default: Screen()].steps += 1
    return "\(screens[role]?.steps ?? 0)"
  }

  /// The hall's own words, if nothing is asked.
  func settle(_ role: String) async {
    guard screens[role]?.foreground == nil, screens[role]?.isRating != true, screens[role]?.pause == nil
    else {
      return
    }
    if await session(role)?.current.locked == true {
      await show(role, ScreenView(step: step(role), .outOfService(text: nil), isExtendable: false))
      return
    }
    let settings = facilities.settings.current.screens
    var content = screens[role, default: Screen()].idle
    if case .idle(let title, let text, let name, let number) = content {
      content = .idle(
        title: title ?? settings.title.map { ScreenText($0, settings.titleEnglish) },
        text: text ?? settings.text.map { ScreenText($0, settings.textEnglish) }, clerkName: name,
        clerkNumber: number)
    }
    await show(role, ScreenView(step: step(role), content, isExtendable: false))
  }

  private func thank(_ role: String, visit: String?, rated: Bool) async {
    await hold(role, visit: visit, .thanks(rated: rated), for: .seconds(4))
  }

  /// Shows a view for a while; whatever comes next takes its place.
  private func hold(
    _ role: String, visit: String?, _ content: ScreenView.Content, for duration: Duration
  ) async {
    await show(role, ScreenView(step: step(role), visit: visit, content, isExtendable: false))
    let time = facilities.time
    endPause(role)
    screens[role]?.pause = Task { if await time.sleep(for: duration) { await self.rest(role) } }
  }

  private func rest(_ role: String) async {
    screens[role]?.pause = nil
    await settle(role)
  }

  /// A rating's question, step by step.
  func rating(_ role: String, _ step: RatingDesk.ScreenStep) async {
    switch step {
    case .question(let rating, let visit, let service, let prompt, let secondsLeft):
      endPause(role)
      screens[role]?.isRating = true
      var question = ScreenView.Rating(service: service)
      if case .rated(let press, let until) = prompt.phase {
        question.level = press.level
        question.correctableSeconds = max(0, Int((until - facilities.time.now()) / .seconds(1)))
        question.reasons = RatingReasons.reasons(of: press.level).map {
          ScreenView.Reason(code: $0.code, text: ScreenText($0.chinese, $0.english))
        }
        question.isReasonRequired = prompt.manner.isReasonRequired(press.level)
      }
      await show(role, ScreenView(step: rating, visit: visit, .rating(question), seconds: secondsLeft))
    case .thanks(let visit, let rated):
      guard screens[role]?.isRating == true else { return }
      screens[role]?.isRating = false
      await thank(role, visit: visit, rated: rated)
    case .over:
      screens[role]?.isRating = false
      await settle(role)
    }
  }

  // MARK: Asking

  private enum Reply: Sendable {
    case confirmed(Bool)
    case signed(png: [UInt8], strokes: [UInt8])
    case declined
    case timeout
    case cancelled(by: String)
    case windowClosed
    case windowBlocked
  }

  /// Shows a view and waits for what the citizen makes of it.
  private func ask(
    _ role: String, visit: String?, _ content: ScreenView.Content, seconds: Int,
    judge: @Sendable (ScreenInput) -> Reply?
  ) async -> Reply {
    let (signals, continuation) = AsyncStream<Signal>.makeStream()
    endPause(role)
    screens[role]?.foreground = Foreground(visit: visit, signals: continuation)
    let view = ScreenView(step: step(role), visit: visit, content, seconds: seconds)
    var timer = await present(role, view, continuation)
    let reply = await withTaskCancellationHandler {
      for await signal in signals {
        switch signal {
        case .time(let id): if id == timer.id { return Reply.timeout }
        case .cancelled(let by): return Reply.cancelled(by: by)
        case .input(.moreTime), .input(.touched):
          timer.task.cancel()
          timer = await present(role, view, continuation)
        case .input(let input): if let reply = judge(input) { return reply }
        }
      }
      return Reply.cancelled(by: "service")
    } onCancel: {
      continuation.yield(.cancelled(by: "clerk"))
    }
    timer.task.cancel()
    screens[role]?.foreground = nil
    return reply
  }

  /// Shows a view with all of its time.
  private func present(
    _ role: String, _ view: ScreenView, _ signals: AsyncStream<Signal>.Continuation
  ) async -> (id: Int, task: Task<Void, Never>) {
    nextTimer += 1
    let (time, id, seconds) = (facilities.time, nextTimer, view.seconds ?? 0)
    let task = Task { if await time.sleep(for: .seconds(seconds)) { signals.yield(.time(id)) } }
    await show(role, view)
    return (id, task)
  }

  /// Something the citizen did, unless it belongs to a rating.
  func input(_ input: ScreenInput, role: String) {
    screens[role]?.foreground?.signals.yield(.input(input))
  }

  /// The visit was suspended or closed: nothing of it stays on a screen.
  func clear(visit: String) async {
    for (role, screen) in screens {
      if let foreground = screen.foreground, foreground.visit == visit {
        foreground.signals.yield(.cancelled(by: "visit"))
      }
      if screen.agreed?.visit == visit { screens[role]?.agreed = nil }
      screens[role]?.pause?.cancel()
      screens[role]?.pause = nil
      screens[role]?.shown = []
      await settle(role)
    }
  }

  // MARK: Commands

  /// `POST …/screens`: something to see, and for some contents to confirm.
  func show(
    _ context: CommandContext, session: DeviceSession, visit: Visit?
  ) async throws(Problem) -> Completion {
    let role = await session.current.slot.role
    let body = context.request.body
    let seconds = Int(body["timeoutSeconds"]?.integer ?? 60)
    func text(_ name: String) -> ScreenText? {
      body[name]?.string.map { ScreenText($0, body["\(name)English"]?.string) }
    }
    let content: ScreenView.Content
    switch body["content"]?.string {
    case "idle":
      screens[role, default: Screen()].idle = .idle(
        title: text("title"), text: text("text"), clerkName: body["clerkName"]?.string,
        clerkNumber: body["clerkNumber"]?.string)
      await settle(role)
      return .done(["shown": true])
    case "called":
      guard let number = body["number"]?.string else {
        throw Problem(.invalid, "number: needed with 'called'")
      }
      content = .called(number: number, window: body["window"]?.string ?? visit?.facts["window"]?.string)
    case "qr":
      guard let code = body["code"]?.string,
        let symbol = QRSymbol.encode(Array(code.utf8), correction: .medium)
      else { throw Problem(.invalid, "code: 1 to 2331 bytes, needed with 'qr'") }
      content = .qr(
        title: text("title"), caption: text("text"),
        modules: (0..<symbol.side).map { y in (0..<symbol.side).map { x in symbol[x, y] } })
    case "fields":
      let fields = (body["fields"]?.array ?? []).compactMap { field -> ScreenView.Field? in
        guard let label = field["label"]?.string, let value = field["value"]?.string else { return nil }
        return ScreenView.Field(label: ScreenText(label, field["labelEnglish"]?.string), value: value)
      }
      guard !fields.isEmpty else { throw Problem(.invalid, "fields: needed with 'fields'") }
      content = .confirm(title: text("title"), fields: fields)
    case "url":
      guard let url = body["url"]?.string, url.hasPrefix("https://") || url.hasPrefix("http://") else {
        throw Problem(.invalid, "url: an http or https address, needed with 'url'")
      }
      return try await window(
        context, session: session, visit: visit, content: .window(title: text("title"), url: url),
        seconds: seconds)
    default: throw Problem(.invalid, "content")
    }
    guard case .confirm = content else {
      try await display(context, session: session, visit: visit, content, seconds: seconds)
      return .done(["outcome": "shown"])
    }
    let reply = try await present(context, session: session, visit: visit, content, seconds: seconds) {
      input in
      if case .confirm(let accepted) = input { .confirmed(accepted) } else { nil }
    }
    return .done(answer(reply, shown: false))
  }

  /// Shows what asks nothing, for so long unless something else is shown.
  private func display(
    _ context: CommandContext, session: DeviceSession, visit: Visit?, _ content: ScreenView.Content,
    seconds: Int
  ) async throws(Problem) {
    let role = await session.current.slot.role
    guard screens[role]?.isRating != true else { throw Problem(.ratingBusy) }
    do throws(Fault) {
      try await session.perform("screens") { (device) throws(Fault) in
        guard device is any CitizenScreen else { throw Fault(.commandUnsupported) }
        guard await context.begin() else { throw Fault(.commandCancelled) }
        await self.hold(role, visit: visit?.id, content, for: .seconds(seconds))
      }
    } catch {
      throw Problem(error)
    }
  }

  /// Takes the device's turn, asks, and thanks.
  private func present(
    _ context: CommandContext, session: DeviceSession, visit: Visit?, _ content: ScreenView.Content,
    seconds: Int,
    judge: @escaping @Sendable (ScreenInput) -> Reply?
  ) async throws(Problem) -> Reply {
    let role = await session.current.slot.role
    guard screens[role]?.isRating != true else { throw Problem(.ratingBusy) }
    do throws(Fault) {
      let reply = try await session.perform("screens") { (device) throws(Fault) in
        guard device is any CitizenScreen else { throw Fault(.commandUnsupported) }
        guard await context.begin() else { throw Fault(.commandCancelled) }
        return await self.ask(role, visit: visit?.id, content, seconds: seconds, judge: judge)
      }
      switch reply {
      case .confirmed, .signed: await thank(role, visit: visit?.id, rated: false)
      default: await settle(role)
      }
      return reply
    } catch {
      throw Problem(error)
    }
  }

  private func answer(_ reply: Reply, shown: Bool) -> JSONValue {
    switch reply {
    case .confirmed(true), .signed: ["outcome": "confirmed"]
    case .confirmed(false), .declined: ["outcome": "declined"]
    case .timeout: ["outcome": shown ? "shown" : "timeout"]
    case .cancelled(let by): ["outcome": "cancelled", "cancelledBy": .string(by)]
    case .windowClosed: ["outcome": "closed"]
    case .windowBlocked: ["outcome": "blocked"]
    }
  }

  /// A page of somebody else's, in a window of its own that closes at the time-out. What is done there is not the agent's.
  private func window(
    _ context: CommandContext, session: DeviceSession, visit: Visit?, content: ScreenView.Content,
    seconds: Int
  ) async throws(Problem) -> Completion {
    let hasOpened = Mutex(false)
    var reply = try await present(context, session: session, visit: visit, content, seconds: seconds) {
      input in
      switch input {
      case .window(.opened): hasOpened.withLock { $0 = true }
      case .window(.closed): return .windowClosed
      // The page offers to open it at a touch.
      default: break
      }
      return nil
    }
    if case .timeout = reply, !hasOpened.withLock({ $0 }) { reply = .windowBlocked }
    guard context.request.body["rating"]?.bool == true else { return .done(answer(reply, shown: true)) }
    // The province's own rating page: shown, or shown and closed; never a level.
    let view = await session.current
    var data = facilities.deviceData(view, request: context.request, cases: visit?.cases ?? [])
    data["rating"] = .string(Identifier.uuidV4())
    switch reply {
    case .windowClosed: data["outcome"] = "urlClosed"
    case .timeout: data["outcome"] = "urlShown"
    default:
      data["outcome"] = "cancelled"
      data["cancelledBy"] = "browser"
      if case .cancelled(let by) = reply { data["cancelledBy"] = .string(by) }
    }
    data["level"] = .null
    data["channel"] = "url"
    for name in ["serviceNumber", "serviceName", "itemCode"] { data[name] = context.request.body[name] }
    let (facilities, event) = (facilities, data)
    return .done(answer(reply, shown: true)) { database throws(StoreError) in
      var chained = event
      chained["chain"] = try RatingChain.append(event, in: database)
      if let draft = facilities.draft(
        "rating", source: .device(role: view.slot.role), visit: visit?.id, cases: visit?.cases ?? [],
        simulated: view.slot.simulated, data: .object(chained), priority: .rating)
      {
        _ = try facilities.outbox.insert([draft], in: database)
      }
    }
  }

  /// `POST …/documents`: a PDF or picture to read and agree to.
  func document(
    _ context: CommandContext, bytes: [UInt8], session: DeviceSession, visit: Visit?
  ) async throws(Problem) -> Completion {
    let role = await session.current.slot.role
    let pages = try await DocumentPages.make(bytes)
    let digest = SHA256.digest(of: bytes)
    let body = context.request.body
    let title = body["title"]?.string.map { ScreenText($0, body["titleEnglish"]?.string) }
    let asks = body["confirm"]?.bool ?? true
    screens[role, default: Screen()].shown.insert(digest)
    let reply = try await present(
      context, session: session, visit: visit,
      .document(title: title, pages: pages, asksConsent: asks),
      seconds: Int(body["timeoutSeconds"]?.integer ?? 300)
    ) { input in if case .confirm(let accepted) = input { .confirmed(accepted) } else { nil } }
    if case .confirmed(true) = reply { screens[role]?.agreed = (digest, visit?.id) }
    var value = answer(reply, shown: !asks).object ?? [:]
    value["document"] = .string(digest.hex)
    value["pages"] = .integer(Int64(pages.count))
    return .done(.object(value))
  }

  /// `POST …/signatures`: a signature, bound to what was agreed to before.
  func sign(
    _ context: CommandContext, session: DeviceSession, visit: Visit
  ) async throws(Problem) -> Completion {
    let view = await session.current
    let role = view.slot.role
    let body = context.request.body
    var document: Digest?
    if let hex = body["document"]?.string {
      guard let digest = Digest(hex: hex), screens[role]?.shown.contains(digest) == true else {
        throw Problem(.invalid, "document: nothing with this digest was shown on \(role) in this visit")
      }
      document = digest
    } else if let agreed = screens[role]?.agreed, agreed.visit == visit.id {
      document = agreed.document
    }
    let title = body["title"]?.string.map { ScreenText($0, body["titleEnglish"]?.string) }
    let reply = try await present(
      context, session: session, visit: visit, .signature(title: title),
      seconds: Int(body["timeoutSeconds"]?.integer ?? 120)
    ) { input in
      switch input {
      case .signature(let png, let strokes): .signed(png: png, strokes: strokes)
      case .decline: .declined
      default: nil
      }
    }
    guard case .signed(let png, let strokes) = reply else { return .done(answer(reply, shown: false)) }
    guard (try? PNGInspector.inspect(png)) != nil else {
      throw Problem(Fault(.imageDamaged, "the screen's picture of the signature is no PNG"))
    }
    let picture = try await store(png, "image/png", visit)
    let points = try await store(strokes, "application/json", visit)
    let now = WallTime.now()
    let cases = context.request.cases.isEmpty ? visit.cases : context.request.cases
    var data = facilities.deviceData(view, request: context.request, cases: cases)
    data["blob"] = .string(picture.hex)
    data["strokes"] = .string(points.hex)
    if let document { data["document"] = .string(document.hex) }
    data["signerRole"] = body["signerRole"] ?? "applicant"
    data["signedAt"] = .string(now.rfc3339)
    let draft = facilities.draft(
      "signature", source: .device(role: role), visit: visit.id, cases: cases, simulated: view.slot.simulated,
      data: .object(data), blobs: [picture, points], time: now)
    var value: [String: JSONValue] = [
      "outcome": "signed", "signature": .string(picture.hex), "strokes": .string(points.hex),
    ]
    if let document { value["document"] = .string(document.hex) }
    let outbox = facilities.outbox
    return .done(.object(value)) { database throws(StoreError) in
      _ = try outbox.insert([draft].compactMap { $0 }, in: database)
    }
  }

  private func store(_ bytes: [UInt8], _ type: String, _ visit: Visit) async throws(Problem) -> Digest {
    do throws(OutboxError) {
      return try await facilities.outbox.storeBlob(BlobDraft(bytes: bytes, mediaType: type, visit: visit.id))
        .digest
    } catch {
      throw Problem(.notStored, "\(error)")
    }
  }
}

/// The pages of a document as pictures: a PDF's by poppler's `pdftoppm`, a program apart, so that a crafted file takes
/// only that with it.
enum DocumentPages {
  static let limit = 40

  static func make(_ bytes: [UInt8]) async throws(Problem) -> [ScreenView.Page] {
    if bytes.starts(with: Array("%PDF-".utf8)) { return try await pdf(bytes) }
    guard let page = picture(bytes) else {
      throw Problem(Fault(.documentRefused, "neither PDF nor JPEG nor PNG"))
    }
    return [page]
  }

  private static func picture(_ bytes: [UInt8]) -> ScreenView.Page? {
    if let image = try? JPEGInspector.inspect(bytes) {
      return ScreenView.Page(
        image: bytes, mediaType: "image/jpeg", width: image.width, height: image.height)
    }
    if let image = try? PNGInspector.inspect(bytes) {
      return ScreenView.Page(image: bytes, mediaType: "image/png", width: image.width, height: image.height)
    }
    return nil
  }

  private static func pdf(_ bytes: [UInt8]) async throws(Problem) -> [ScreenView.Page] {
    let directory: String
    do throws(SystemError) {
      directory = try Files.makeTemporaryDirectory(prefix: "hall-document-")
    } catch {
      throw Problem(.notStored, "\(error)")
    }
    defer { _ = Files.removeTree(directory) }
    let child: ChildProcess
    do throws(SystemError) {
      child = try ChildProcess.spawn(
        "pdftoppm", arguments: ["-jpeg", "-r", "110", "-l", "\(limit)", "-", directory + "/page"],
        standardInput: .bytes(bytes), standardOutput: .null, standardError: .null)
    } catch {
      throw Problem(Fault(.programMissing, "pdftoppm (poppler-utils): \(error)"))
    }
    guard await child.wait(timeout: .seconds(30)) == .exited(0) else {
      throw Problem(Fault(.documentRefused, "pdftoppm could not draw it"))
    }
    var pages: [ScreenView.Page] = []
    for name in ((try? Files.list(directory)) ?? []).sorted() {
      guard let image = try? Files.read(directory + "/" + name, limit: 32 << 20), let page = picture(image)
      else {
        throw Problem(Fault(.documentRefused, "pdftoppm wrote what is no picture"))
      }
      pages.append(page)
    }
    guard !pages.isEmpty else { throw Problem(Fault(.documentRefused, "it has no pages")) }
    return pages
  }
}
