public import Channels
public import Codecs

/// A page scanner with a feeder and a glass that speaks eSCL (facts/devices.md D3).
///
/// Its pages are finished images: it offers the colours, resolutions and sizes they have and delivers them byte for byte, save
/// for a comment where that is asked for. A sheet in the feeder is the next image of the kind asked for, over and over.
public struct SimulatedScanner: SimulatedHTTPDevice {
  /// What differs between models.
  public struct Options: Sendable {
    /// The images, JPEG or PNG, each whole and with its resolution in it; others are passed over.
    public var pages: [[UInt8]]
    /// Maker and model.
    public var makeAndModel = "SIMULATED eSCL Scanner"
    /// Serial number.
    public var serialNumber = "SIM00001"
    /// Identity.
    public var uuid = "6f1c0000-0000-4000-8000-000000000001"
    /// Path under which it serves.
    public var basePath = "/eSCL"
    /// What it calls its open cover: the words of different makers (facts/devices.md D3).
    public var coverWord = ESCLFeederState.doorOpen
    /// How long a page takes; 70 pages a minute are 0.86 s.
    public var pageTime = Duration.zero
    /// After how long without a request an unfinished job is given up.
    public var jobTimeout = Duration.seconds(60)
    /// Number of the first page, so that numbers go on after a restart.
    public var firstPage = 1
    /// Whether each JPEG has its page's number in a comment of its own, so that no two pages are alike, as with paper.
    public var numbersPages = false

    /// A scanner of these images.
    public init(pages: [[UInt8]]) { self.pages = pages }
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case load(Int), empty, jamAt(Int), jamCleared, multifeed, cover(isOpen: Bool), busy(Bool), stall(Bool)
    case panelCancel, platen(Int), location(isWrong: Bool)
  }

  /// What its records tell.
  public static let events = ["scan-job", "page", "scan-end", "jam", "multifeed"]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("load <0-500> pages", "put so many sheets into the feeder, on top of what is there") {
      $0.number().map { .load($0) }
    },
    CommandForm("feeder empty", "take all sheets out of the feeder", .empty),
    CommandForm("jam at page <1-500>", "let that page get stuck, 1 being the next") {
      $0.number().map { .jamAt($0) }
    },
    CommandForm("jam cleared", "take the stuck sheet out", .jamCleared),
    CommandForm("multifeed", "let the next two sheets go in together", .multifeed),
    CommandForm("cover open|closed", "open or close the feeder's cover") {
      $0.word().map { .cover(isOpen: $0 == "open") }
    },
    CommandForm("busy on|off", "refuse new jobs because somebody else scans") { $0.flag().map { .busy($0) } },
    CommandForm("stall on|off", "answer 'not now' (503) instead of a page") { $0.flag().map { .stall($0) } },
    CommandForm("panel cancel", "press the cancel key at the device", .panelCancel),
    CommandForm("platen page <1-500>", "lay that image on the glass") { $0.number().map { .platen($0) } },
    CommandForm(
      "location right|wrong", "give new jobs' places as a path, or with the wrong host some scanners give"
    ) {
      $0.word().map { .location(isWrong: $0 == "wrong") }
    },
  ]

  struct Page: Sendable {
    /// 1 for the first.
    let number: Int
    let bytes: [UInt8]
    let format: PageFormat
    let dpi: Int

    var mode: ESCLColorMode { format.colour == .colour ? .rgb24 : .grayscale8 }
    /// In 1/300 inch, not smaller than the image.
    var width: Int { (format.width * ESCL.unitsPerInch + dpi - 1) / dpi }
    var height: Int { (format.height * ESCL.unitsPerInch + dpi - 1) / dpi }
  }

  struct Job: Sendable {
    let id: Int
    let source: ESCLInputSource
    let pages: [Page]
    let isDuplex: Bool
    var state = ESCLJobState.processing
    var reason = "JobScanningAndTransferring"
    var delivered = 0
    /// The back of the sheet that went in last is still to come.
    var isBackDue = false
    var last: Page?
    var requests = 0
  }

  private let options: Options
  private let pages: [Page]
  private var sheets = 0
  private var sheetsFed = 0
  private var jamAt: Int?
  private var isMultifeedDue = false
  private var isJammed = false
  private var isMultifed = false
  private var isCoverOpen = false
  private var isBusy = false
  private var isStalled = false
  private var hasWrongLocation = false
  private var platenPage = 0
  private var jobs: [Job] = []
  private var nextJob = 1
  private var nextPage: Int

  /// A scanner with an empty feeder.
  public init(_ options: Options) {
    self.options = options
    nextPage = options.firstPage
    var pages: [Page] = []
    for bytes in options.pages {
      guard let format = try? ImageInspector.inspect(bytes), let dpi = format.dpi, (50...1200).contains(dpi)
      else {
        continue
      }
      pages.append(
        Page(number: pages.count + 1, bytes: bytes, format: format, dpi: dpi))
    }
    self.pages = pages
  }

  /// How many of the images can be scanned.
  public var pageCount: Int { pages.count }
  /// Maker and model.
  public var modelName: String { options.makeAndModel }
  /// Path under which it serves.
  public var basePath: String { options.basePath }
  /// 64 KiB.
  public var bodyLimit: Int { 65_536 }

  /// Feeder and jobs.
  public var state: [SimulationField] {
    [
      SimulationField("feeder", feederState.word), SimulationField("sheets", sheets),
      SimulationField("state", scannerState.word),
      SimulationField("jobs", jobs.count { $0.state == .processing }),
      SimulationField("pages-scanned", nextPage - options.firstPage), SimulationField("busy", isBusy),
    ]
  }

  private var feederState: ESCLFeederState {
    if isCoverOpen { return options.coverWord }
    if isJammed { return .jam }
    if isMultifed { return .multipickDetected }
    if sheets == 0 { return .empty }
    return jobs.contains { $0.state == .processing && $0.source == .feeder } ? .processing : .loaded
  }

  private var scannerState: ESCLState {
    isBusy || jobs.contains { $0.state == .processing } ? .processing : .idle
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .load(let count):
      guard !pages.isEmpty else {
        throw .impossible("the scanner has no page images", chinese: "扫描仪没有可用的页面图像")
      }
      sheets = min(sheets + count, 500)
      isMultifed = false
    case .empty: sheets = 0
    case .jamAt(let page): jamAt = page
    case .jamCleared: isJammed = false
    case .multifeed: isMultifeedDue = true
    case .cover(let isOpen):
      isCoverOpen = isOpen
      isMultifed = false
    case .busy(let on): isBusy = on
    case .stall(let on): isStalled = on
    case .panelCancel:
      guard let index = jobs.lastIndex(where: { $0.state == .processing }) else {
        throw .impossible("nothing is being scanned", chinese: "当前没有扫描任务")
      }
      return [end(index, .canceled, "JobCanceledByUser")]
    case .platen(let page):
      guard page <= pages.count else {
        throw .impossible("there are only \(pages.count) images", chinese: "只有 \(pages.count) 张图像")
      }
      platenPage = page - 1
    case .location(let isWrong): hasWrongLocation = isWrong
    }
    return []
  }

  /// A job's client has been silent for long.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    // Job and its number of requests, packed so that a timer of an earlier request is known for what it is.
    guard let index = jobs.firstIndex(where: { Self.token($0) == token && $0.state == .processing }) else {
      return []
    }
    return [end(index, .aborted, "AbortedBySystem")]
  }

  private static func token(_ job: Job) -> Int { job.id * 100_000 + job.requests % 100_000 }

  /// Answers one request.
  public mutating func respond(_ request: HTTPRequest) -> SimulatedAnswer {
    let path = request.path.split(separator: "?", maxSplits: 1).first.map(String.init) ?? ""
    guard path.hasPrefix(options.basePath + "/") else { return Self.answer(404) }
    let parts = path.dropFirst(options.basePath.count + 1).split(separator: "/").map(String.init)
    switch (request.method, parts.first, parts.count) {
    case ("GET", "ScannerCapabilities", 1): return Self.document(capabilities.document)
    case ("GET", "ScannerStatus", 1): return Self.document(status.document)
    case ("POST", "ScanJobs", 1): return create(request.body)
    case (_, "ScanJobs", 2...3):
      guard let id = Int(parts[1]), let index = jobs.firstIndex(where: { $0.id == id }) else {
        return Self.answer(404)
      }
      return respond(request.method, parts.count == 3 ? parts[2] : nil, index)
    case (_, "ScannerCapabilities", 1), (_, "ScannerStatus", 1), (_, "ScanJobs", 1): return Self.answer(405)
    default: return Self.answer(404)
    }
  }

  private mutating func respond(_ method: String, _ part: String?, _ index: Int) -> SimulatedAnswer {
    jobs[index].requests += 1
    switch (method, part) {
    case ("DELETE", nil):
      guard jobs[index].state == .processing else { return Self.answer(200) }
      return Self.answer(200, [end(index, .canceled, "JobCanceledByUser")])
    case ("GET", "NextDocument"):
      var answer = next(index)
      if jobs[index].state == .processing {
        answer.actions.append(.wake(Self.token(jobs[index]), after: options.jobTimeout))
      }
      return answer
    case ("GET", "ScanImageInfo"):
      guard let page = jobs[index].last else { return Self.answer(404) }
      let bytesPerLine = page.format.width * (page.mode == .rgb24 ? 3 : 1)
      let info = ESCLImageInfo(
        jobURI: uri(jobs[index].id), width: page.format.width, height: page.format.height,
        bytesPerLine: bytesPerLine)
      return Self.document(info.document)
    default: return Self.answer(405)
    }
  }

  // MARK: Jobs

  private func uri(_ job: Int) -> String { "\(options.basePath)/ScanJobs/\(job)" }

  private mutating func create(_ body: [UInt8]) -> SimulatedAnswer {
    guard let settings = try? ESCLScanSettings(parsing: body) else { return Self.answer(400) }
    guard !isBusy, !jobs.contains(where: { $0.state == .processing }) else { return Self.answer(503) }
    let source = settings.inputSource ?? (sheets > 0 ? .feeder : .platen)
    let matching = pages.filter { page in
      (settings.colorMode ?? page.mode) == page.mode
        && (settings.resolution ?? ESCLResolution(page.dpi)) == ESCLResolution(page.dpi)
        && (settings.documentFormat ?? page.format.mediaType) == page.format.mediaType
    }
    guard let first = matching.first, source != .camera else { return Self.answer(409) }
    // Unspecified settings are the first image's, for the whole job.
    let alike = matching.filter { $0.mode == first.mode && $0.dpi == first.dpi }
    if source == .feeder {
      isMultifed = false
      guard !isCoverOpen, !isJammed, sheets > 0 else { return Self.answer(409) }
    }
    let job = Job(
      id: nextJob, source: source, pages: alike, isDuplex: settings.duplex == true && source == .feeder)
    nextJob += 1
    // Ended jobs stay in the status for a while.
    if jobs.count > 10 { jobs.removeAll { $0.state != .processing } }
    jobs.append(job)
    let place = hasWrongLocation ? "http://[fe80::1]:9095" + uri(job.id) : uri(job.id)
    let record = SimulationRecord(
      "scan-job",
      [
        SimulationField("job", job.id), SimulationField("source", source.rawValue),
        SimulationField("colour", first.mode.rawValue), SimulationField("dpi", first.dpi),
        SimulationField("duplex", job.isDuplex),
      ])
    return SimulatedAnswer(
      HTTPResponse(status: 201, headers: ["location": place]),
      actions: [.record(record), .wake(Self.token(job), after: options.jobTimeout)])
  }

  private mutating func next(_ index: Int) -> SimulatedAnswer {
    guard jobs[index].state == .processing else { return Self.answer(404) }
    if isStalled { return Self.answer(503) }
    if jobs[index].source == .platen {
      guard jobs[index].delivered == 0 else { return Self.answer(404, [complete(index)]) }
      return deliver(index, image: platenPage, sheet: 0)
    }
    if isCoverOpen { return Self.answer(409, [end(index, .aborted, "AbortedBySystem")]) }
    if jobs[index].isBackDue {
      jobs[index].isBackDue = false
      return deliver(index, image: 2 * (sheetsFed - 1) + 1, sheet: sheetsFed)
    }
    guard sheets > 0 else { return Self.answer(404, [complete(index)]) }
    if let page = jamAt {
      jamAt = page > 1 ? page - 1 : nil
      if page <= 1 {
        isJammed = true
        sheets -= 1
        return Self.answer(409, [end(index, .aborted, "AbortedBySystem"), .record(SimulationRecord("jam"))])
      }
    }
    if isMultifeedDue, sheets > 1 {
      isMultifeedDue = false
      isMultifed = true
      sheets -= 2
      sheetsFed += 2
      return Self.answer(
        409, [end(index, .aborted, "AbortedBySystem"), .record(SimulationRecord("multifeed"))])
    }
    sheets -= 1
    sheetsFed += 1
    jobs[index].isBackDue = jobs[index].isDuplex
    let image = jobs[index].isDuplex ? 2 * (sheetsFed - 1) : sheetsFed - 1
    return deliver(index, image: image, sheet: sheetsFed)
  }

  /// A JPEG with a comment (ISO/IEC 10918-1, B.2.4.5: FF FE, length, text) right after its beginning; others as they are.
  private static func numbered(_ image: [UInt8], _ number: Int) -> [UInt8] {
    guard image.starts(with: [0xFF, 0xD8]) else { return image }
    let text = Array("page \(number)".utf8)
    return [0xFF, 0xD8, 0xFF, 0xFE, 0, UInt8(text.count + 2)] + text + image.dropFirst(2)
  }

  private mutating func deliver(_ index: Int, image: Int, sheet: Int) -> SimulatedAnswer {
    let choices = jobs[index].pages
    let page = choices[image % choices.count]
    jobs[index].delivered += 1
    jobs[index].last = page
    let number = nextPage
    nextPage += 1
    let bytes = options.numbersPages ? Self.numbered(page.bytes, number) : page.bytes
    let record = SimulationRecord(
      "page",
      [
        SimulationField("page-number", number), SimulationField("job", jobs[index].id),
        SimulationField("page-of-job", jobs[index].delivered), SimulationField("sheet", sheet),
        SimulationField("image", page.number),
        SimulationField("bytes", bytes.count), SimulationField("digest", fnv1a(bytes)),
      ])
    let response = HTTPResponse(
      status: 200,
      headers: [
        "content-type": page.format.mediaType,
        "content-location": "\(uri(jobs[index].id))/NextDocument",
      ], body: bytes)
    return SimulatedAnswer(response, after: options.pageTime, actions: [.record(record)])
  }

  private mutating func complete(_ index: Int) -> SimulatedAction {
    end(index, .completed, "JobCompletedSuccessfully")
  }

  private mutating func end(_ index: Int, _ state: ESCLJobState, _ reason: String) -> SimulatedAction {
    jobs[index].state = state
    jobs[index].reason = reason
    return .record(
      SimulationRecord(
        "scan-end",
        [
          SimulationField("job", jobs[index].id), SimulationField("state", state.word.lowercased()),
          SimulationField("pages", jobs[index].delivered),
        ]))
  }

  // MARK: Documents

  private var status: ESCLStatus {
    ESCLStatus(
      version: ESCLVersion(2, 63), state: scannerState, feederState: feederState,
      jobs: jobs.reversed().map { job in
        ESCLJob(
          uri: uri(job.id), uuid: "urn:uuid:" + options.uuid.dropLast(4) + Self.digits(job.id % 10_000),
          age: 0,
          imagesCompleted: job.delivered, imagesToTransfer: job.state == .processing ? 1 : 0,
          state: job.state, reasons: [job.reason])
      })
  }

  private static func digits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }

  private var capabilities: ESCLCapabilities {
    var capabilities = ESCLCapabilities(version: ESCLVersion(2, 63), makeAndModel: options.makeAndModel)
    capabilities.serialNumber = options.serialNumber
    capabilities.uuid = options.uuid
    let source = self.source
    capabilities.platen = source
    capabilities.feederSimplex = source
    capabilities.feederDuplex = source
    capabilities.feederCapacity = 500
    capabilities.feederOptions = ["DetectPaperLoaded", "SelectSinglePage", "Duplex"]
    return capabilities
  }

  private var source: ESCLSource {
    var profiles: [ESCLProfile] = []
    for type in Set(pages.map(\.format.mediaType)).sorted() {
      for mode in [ESCLColorMode.rgb24, .grayscale8] {
        let alike = pages.filter { $0.mode == mode && $0.format.mediaType == type }
        let resolutions = [
          ESCLResolutions(discrete: Set(alike.map(\.dpi)).sorted().map { ESCLResolution($0) })
        ]
        guard !alike.isEmpty else { continue }
        // Modes that differ in nothing else share a profile: of several, sane-airscan sees only the last.
        if let index = profiles.firstIndex(where: {
          $0.documentFormats == [type] && $0.resolutions == resolutions
        }) {
          profiles[index].colorModes.append(mode)
        } else {
          profiles.append(
            ESCLProfile(
              colorModes: [mode], documentFormats: [type], documentFormatsExt: [type],
              resolutions: resolutions))
        }
      }
    }
    let optical = pages.map(\.dpi).max() ?? 300
    return ESCLSource(
      minWidth: 16, maxWidth: max(16, pages.map(\.width).max() ?? 16), minHeight: 16,
      maxHeight: max(16, pages.map(\.height).max() ?? 16), profiles: profiles,
      intents: [.document, .textAndGraphic, .photo], maxOpticalResolution: ESCLResolution(optical))
  }

  private static func document(_ bytes: [UInt8]) -> SimulatedAnswer {
    SimulatedAnswer(HTTPResponse(status: 200, headers: ["content-type": "text/xml"], body: bytes))
  }

  private static func answer(_ status: Int, _ actions: [SimulatedAction] = []) -> SimulatedAnswer {
    var headers: [String: String] = [:]
    if status == 503 { headers["retry-after"] = "1" }
    return SimulatedAnswer(HTTPResponse(status: status, headers: headers), actions: actions)
  }
}
