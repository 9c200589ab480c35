internal import Channels
internal import Codecs
internal import Devices
internal import Synchronization

/// An eSCL scanner (facts/devices.md D3).
///
/// That the pages are all there is believed only when the feeder does not contradict it; a job that was begun is always
/// ended.
final class ESCLScanner: Scanner {
  let identity: DeviceIdentity
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let exchange: any HTTPExchange
  private let capabilities: ESCLCapabilities
  private let settings: DriverSettings
  private let time: any Timekeeper
  private let outlet: NoticeOutlet

  private init(
    _ exchange: any HTTPExchange, _ capabilities: ESCLCapabilities, _ settings: DriverSettings,
    _ time: any Timekeeper
  ) {
    self.exchange = exchange
    self.capabilities = capabilities
    self.settings = settings
    self.time = time
    outlet = NoticeOutlet()
    identity = DeviceIdentity(
      model: capabilities.makeAndModel ?? "eSCL scanner", serial: capabilities.serialNumber,
      firmware: nil)
  }

  /// Asks for the scanner's capabilities.
  static func attach(
    _ exchange: any HTTPExchange, _ settings: DriverSettings, _ context: DriverContext
  ) async throws(Fault) -> ESCLScanner {
    let path = exchange.basePath + "/ScannerCapabilities"
    let tries = max(1, settings.integer("busy-tries"))
    for attempt in 1...tries {
      let response: HTTPResponse
      do throws(ChannelError) {
        response = try await exchange.exchange(
          HTTPRequest("GET", path), timeout: settings.duration("request-timeout"))
      } catch {
        throw Fault(error, doing: "ScannerCapabilities")
      }
      if response.status == 503, attempt < tries {
        guard await context.time.sleep(for: settings.duration("busy-pause")) else {
          throw Fault(.commandCancelled)
        }
        continue
      }
      guard response.status == 200 else { throw ESCLFault.of(response.status, doing: "ScannerCapabilities") }
      do throws(ESCLError) {
        return ESCLScanner(exchange, try ESCLCapabilities(parsing: response.body), settings, context.time)
      } catch {
        throw Fault(.deviceGarbled, "\(error)")
      }
    }
    throw Fault(.deviceBusy, "ScannerCapabilities: HTTP 503")
  }

  // MARK: - Scanning

  func scan(
    _ request: ScanRequest, page: @escaping @Sendable (ScannedPage) async -> Bool
  ) async throws(Fault) {
    let wanted = try scanSettings(for: request)
    if let fault = try await standingFault(request.source) { throw fault }
    let job = try await begin(wanted, request.source)
    do throws(Fault) {
      try await fetch(job, request, page)
    } catch {
      await end(job)
      throw error
    }
    await end(job)
  }

  /// What is asked for, or why this scanner has no such thing.
  private func scanSettings(for request: ScanRequest) throws(Fault) -> ESCLScanSettings {
    let input: ESCLInputSource = request.source == .feeder ? .feeder : .platen
    let duplex = request.source == .feeder && request.duplex
    guard let source = capabilities.source(input, duplex: duplex) else {
      throw Fault(.sourceMissing, "no \(input.rawValue)\(duplex ? " for both sides" : "")")
    }
    let mode: ESCLColorMode =
      switch request.colour {
      case .colour: .rgb24
      case .grey: .grayscale8
      case .blackAndWhite: .blackAndWhite1
      }
    let resolution = ESCLResolution(request.resolution)
    guard source.supports(mode, resolution, format: Self.format) else {
      throw Fault(
        .sourceMissing,
        "\(input.rawValue) has no \(mode.rawValue) at \(request.resolution) dpi as \(Self.format)")
    }
    var wanted = ESCLScanSettings(version: capabilities.version)
    wanted.intent = ESCLIntent(rawValue: settings.text("intent")).flatMap {
      source.intents.contains($0) ? $0 : nil
    }
    let isA4 = settings.text("paper") == "a4"
    let (width, height) =
      isA4 ? (ESCLRegion.a4.width, ESCLRegion.a4.height) : (source.maxWidth, source.maxHeight)
    wanted.regions = [
      ESCLRegion(
        x: 0, y: 0, width: min(max(width, source.minWidth), source.maxWidth),
        height: min(max(height, source.minHeight), source.maxHeight))
    ]
    wanted.inputSource = input
    wanted.colorMode = mode
    wanted.documentFormat = Self.format
    wanted.hasDocumentFormatExt =
      switch settings.text("document-format-ext") {
      case "yes": true
      case "no": false
      default: capabilities.version >= ESCLVersion(2, 1)
      }
    wanted.resolution = resolution
    if input == .feeder { wanted.duplex = duplex }
    return wanted
  }

  private static let format = "image/jpeg"

  /// Posts the job until the scanner takes it; the job's path.
  private func begin(_ wanted: ESCLScanSettings, _ source: ScanSource) async throws(Fault) -> String {
    let path = exchange.basePath + "/ScanJobs"
    let tries = max(1, settings.integer("busy-tries"))
    for _ in 1...tries {
      let response = try await send(
        HTTPRequest("POST", path, contentType: "text/xml", body: wanted.document), timeout: "request-timeout")
      switch response.status {
      case 201:
        do throws(ESCLError) {
          return try ESCLLocation.path(response.headers["location"] ?? "", request: path)
        } catch {
          throw Fault(.deviceGarbled, "ScanJobs: \(error)")
        }
      case 503:
        if let fault = try await standingFault(source) { throw fault }
        try await pause(settings.duration("busy-pause"))
      default:
        if let fault = try await standingFault(source) { throw fault }
        throw ESCLFault.of(response.status, doing: "ScanJobs")
      }
    }
    throw Fault(.deviceBusy, "ScanJobs: HTTP 503, \(tries) times")
  }

  /// Fetches pages until there are no more.
  private func fetch(
    _ job: String, _ request: ScanRequest, _ page: @Sendable (ScannedPage) async -> Bool
  ) async throws(Fault) {
    let limit = request.source == .platen ? 1 : request.maximumPages ?? Int.max
    var taken = 0
    var unready = 0
    var ends = 0
    var delay = Duration.zero
    while taken < limit {
      if delay > .zero { try await pause(delay) }
      let started = time.now()
      let response = try await send(HTTPRequest("GET", job + "/NextDocument"), timeout: "page-timeout")
      switch response.status {
      case 200:
        (unready, ends) = (0, 0)
        delay = min((time.now() - started) / 2, settings.duration("page-delay"))
        let scanned = try ScannedPage.checked(response.body, number: taken + 1, duplex: request.duplex)
        guard await page(scanned) else { throw Fault(.notStored, "page \(taken + 1)") }
        taken += 1
      case 404, 410:
        guard try await isEnd(request.source, pages: taken, asked: ends) else {
          ends += 1
          try await pause(settings.duration("busy-pause"))
          continue
        }
        guard taken > 0 else {
          throw Fault(.feederEmpty, "NextDocument: HTTP \(response.status) for the first page")
        }
        return
      case 503:
        unready += 1
        guard unready < settings.integer("page-tries") else {
          throw Fault(.deviceSilent, "NextDocument: HTTP 503")
        }
        if let fault = try await standingFault(request.source, feeding: true) { throw fault }
        try await pause(settings.duration("busy-pause"))
      default:
        if let fault = try await standingFault(request.source, feeding: true) { throw fault }
        throw ESCLFault.of(response.status, doing: "NextDocument")
      }
    }
  }

  /// Whether "no more pages" is the end: not after a jam, not while the feeder says that it goes on, and not before the
  /// first page on scanners that are known to say so while they start.
  private func isEnd(_ source: ScanSource, pages: Int, asked: Int) async throws(Fault) -> Bool {
    guard source == .feeder else {
      return pages > 0 || asked >= settings.integer("first-page-tries")
    }
    let status = try await self.status()
    if let fault = ESCLFault.of(status.feederState), fault.code != .feederEmpty { throw fault }
    if pages == 0 { return asked >= settings.integer("first-page-tries") }
    let goesOn = status.feederState == .loaded || status.feederState == .processing
    return !goesOn || asked >= settings.integer("end-tries")
  }

  /// Ends the job, whoever has lost interest meanwhile: a scanner with a forgotten job takes no other.
  private func end(_ job: String) async {
    let (exchange, timeout) = (exchange, settings.duration("request-timeout"))
    await uninterrupted { () async throws(Never) in
      // 404: the job was over already.
      _ = try? await exchange.exchange(HTTPRequest("DELETE", job), timeout: timeout)
    }
  }

  // MARK: - Status

  /// Why nothing can be scanned from that source now, as far as the scanner says.
  private func standingFault(_ source: ScanSource, feeding: Bool = false) async throws(Fault) -> Fault? {
    let status = try await self.status()
    if status.state == .stopped || status.state == .down {
      return ESCLFault.of(status.feederState) ?? Fault(.deviceOffline, "State \(status.state.word)")
    }
    guard source == .feeder, let fault = ESCLFault.of(status.feederState) else { return nil }
    if fault.code == .feederEmpty, feeding || !settings.boolean("check-feeder") { return nil }
    return fault
  }

  private func status() async throws(Fault) -> ESCLStatus {
    let response = try await send(
      HTTPRequest("GET", exchange.basePath + "/ScannerStatus"), timeout: "request-timeout")
    guard response.status == 200 else { throw ESCLFault.of(response.status, doing: "ScannerStatus") }
    do throws(ESCLError) {
      return try ESCLStatus(parsing: response.body)
    } catch {
      throw Fault(.deviceGarbled, "\(error)")
    }
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    switch level {
    case .internal: break
    case .external:
      // Captured, checked and thrown away.
      guard let request = offered else { throw Fault(.sourceMissing, "no source with \(Self.format)") }
      try await scan(request) { _ in true }
    case .interactive: throw Fault(.commandUnsupported, "scan a sheet and look at it")
    }
    let status = try await self.status()
    let fault = ESCLFault.of(status.feederState).flatMap { $0.code == .feederEmpty ? nil : $0 }
    let state: DeviceState =
      switch status.state {
      case .idle, .other: fault?.code.impliedState ?? .online
      case .processing: .deviceBusy
      case .testing: .starting
      case .stopped, .down: fault?.code.impliedState ?? .offline
      }
    var details = ["state": status.state.word]
    if let feeder = status.feederState { details["feeder"] = feeder.word }
    let isOpen = status.feederState == .hatchOpen || status.feederState == .doorOpen
    let isStopped = status.state == .stopped || status.state == .down
    return DeviceReport(
      state: state, reason: fault ?? (isStopped ? Fault(.deviceOffline, "State \(status.state.word)") : nil),
      cover: isOpen ? .open : .unknown, details: details)
  }

  /// One page as this scanner can give it, from the glass if there is one.
  private var offered: ScanRequest? {
    for source in [ScanSource.platen, .feeder] {
      for colour in [ScanColour.grey, .colour, .blackAndWhite] {
        for resolution in [300, 200, 150, 100, 600, 75] {
          let request = ScanRequest(source: source, resolution: resolution, colour: colour, maximumPages: 1)
          if (try? scanSettings(for: request)) != nil { return request }
        }
      }
    }
    return nil
  }

  func detach() async {
    await exchange.close()
    outlet.finish()
  }

  // MARK: - Exchanges

  private func send(_ request: HTTPRequest, timeout: String) async throws(Fault) -> HTTPResponse {
    do throws(ChannelError) {
      return try await exchange.exchange(request, timeout: settings.duration(timeout))
    } catch {
      let last = request.path.split(separator: "/").last.map(String.init) ?? request.path
      let fault = Fault(error, doing: "\(request.method) \(last)")
      if error == .gone || fault.code == .deviceAbsent { outlet.lose(fault) }
      throw fault
    }
  }

  private func pause(_ duration: Duration) async throws(Fault) {
    guard await time.sleep(for: duration) else { throw Fault(.commandCancelled) }
  }
}

/// What eSCL's answers mean to whoever has to act.
enum ESCLFault {
  /// A status code that is no success.
  static func of(_ status: Int, doing: String) -> Fault {
    let code: FaultCode =
      switch status {
      case 401, 403: .deviceDenied
      case 404, 410: .deviceUnmatched
      case 400, 405, 406, 409, 415: .commandRefused
      case 503: .deviceBusy
      default: .deviceOffline
      }
    return Fault(code, "\(doing): HTTP \(status)")
  }

  /// A feeder's state; nil when it is well, has none, or says a word nobody knows.
  static func of(_ state: ESCLFeederState?) -> Fault? {
    let code: FaultCode
    switch state {
    case .empty: code = .feederEmpty
    case .jam, .mispick, .duplexPageTooShort, .duplexPageTooLong, .inputTrayOverloaded: code = .feederJammed
    case .hatchOpen, .doorOpen: code = .coverOpen
    case .multipickDetected: code = .multipleFeed
    case .inputTrayFailed: code = .deviceBroken
    case .processing, .loaded, .other, nil: return nil
    }
    return Fault(code, state?.word ?? "")
  }
}
