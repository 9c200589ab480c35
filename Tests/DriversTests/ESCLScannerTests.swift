import Channels
import Codecs
import Devices
import Synchronization
import Testing

@testable import Drivers
@testable import Simulation

/// HTTP whose far end is a closure.
final class FakeExchange: HTTPExchange {
  let basePath = "/eSCL"
  let requests = Log<HTTPRequest>()
  private let answer: @Sendable (HTTPRequest, Int) async -> Result<HTTPResponse, ChannelError>

  /// `answer` is told each request and its number, from 1.
  init(_ answer: @escaping @Sendable (HTTPRequest, Int) async -> Result<HTTPResponse, ChannelError>) {
    self.answer = answer
  }

  func exchange(_ request: HTTPRequest, timeout: Duration) async throws(ChannelError) -> HTTPResponse {
    requests.add(request)
    return try await answer(request, requests.all.count).get()
  }
  func close() async {}

  /// Requests as `GET NextDocument`.
  var told: [String] {
    requests.all.map { "\($0.method) \($0.path.split(separator: "/").last ?? "")" }
  }
}

private let quick = ["busy-pause": "1 ms", "busy-tries": "3", "page-tries": "3", "end-tries": "2"]
private let grey = ScanRequest(source: .feeder, resolution: 300, colour: .grey)

@Suite(.timeLimit(.minutes(1))) struct ESCLScannerTests {
  private let model = SimulatedDevice(
    "scan",
    SimulatedScanner(
      SimulatedScanner.Options(
        pages: (1...4).map { SamplePage.jpeg($0) } + [SamplePage.jpeg(9, colour: true)])),
    time: RealTime())

  private func attach(_ values: [String: String] = quick) async throws -> any Scanner {
    let channel = try await SimulatedBus([model]).open(.simulated(name: "scan"), line: LineSettings())
    return try #require(
      try await Driver.escl.attach(channel, Driver.escl.settings(values), context) as? any Scanner)
  }

  private func attach(to exchange: FakeExchange, _ values: [String: String] = quick) async throws
    -> any Scanner
  {
    try #require(
      try await Driver.escl.attach(.httpExchange(exchange), Driver.escl.settings(values), context)
        as? any Scanner)
  }

  private func scan(
    _ scanner: any Scanner, _ request: ScanRequest = grey, _ pages: Log<ScannedPage> = Log()
  ) async -> Fault? {
    await fault { () throws(Fault) in
      try await scanner.scan(request) { page in
        pages.add(page)
        return true
      }
    }
  }

  // MARK: - Good scans

  @Test func `the scanner's own words are its identity`() async throws {
    let scanner = try await attach()
    #expect(scanner.identity == DeviceIdentity(model: "SIMULATED eSCL Scanner", serial: "SIM00001"))
    await scanner.detach()
  }

  @Test func `a feeder's pages come whole, in order and unchanged`() async throws {
    let scanner = try await attach()
    try await model.apply("load 4 pages")
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, grey, pages) == nil)
    #expect(pages.all.map { $0.image.reveal() } == (1...4).map { SamplePage.jpeg($0) })
    #expect(pages.all.map(\.sheet) == [1, 2, 3, 4])
    #expect(pages.all.allSatisfy { $0.side == .front })
    #expect(
      pages.all.first?.format
        == PageFormat(mediaType: "image/jpeg", width: 8, height: 8, dpi: 300, colour: .grey))
    await scanner.detach()
  }

  @Test func `of both sides the sheets and sides are counted`() async throws {
    let scanner = try await attach()
    try await model.apply("load 2 pages")
    let pages = Log<ScannedPage>()
    var request = grey
    request.duplex = true
    #expect(await scan(scanner, request, pages) == nil)
    #expect(pages.all.map(\.sheet) == [1, 1, 2, 2])
    #expect(pages.all.map(\.side) == [.front, .back, .front, .back])
    await scanner.detach()
  }

  @Test func `no more pages are taken than asked for, and the job is ended`() async throws {
    let scanner = try await attach()
    try await model.apply("load 4 pages")
    var request = grey
    request.maximumPages = 2
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, request, pages) == nil)
    #expect(pages.all.count == 2)
    #expect(await model.records.last?.record["state"] == "canceled")
    // The scanner takes the next job.
    #expect(await scan(scanner, request, pages) == nil)
    #expect(pages.all.count == 4)
    await scanner.detach()
  }

  @Test func `the glass gives one page`() async throws {
    let scanner = try await attach()
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, ScanRequest(source: .platen, resolution: 300, colour: .colour), pages) == nil)
    #expect(pages.all.map(\.format.colour) == [.colour])
    #expect(await scan(scanner, ScanRequest(source: .platen, resolution: 300, colour: .colour), pages) == nil)
    await scanner.detach()
  }

  @Test func `a job's place with a wrong host is found all the same`() async throws {
    let scanner = try await attach()
    try await model.apply("location wrong")
    try await model.apply("load 1 pages")
    #expect(await scan(scanner) == nil)
    await scanner.detach()
  }

  // MARK: - Faults

  @Test(arguments: [
    ("feeder empty", FaultCode.feederEmpty), ("cover open", .coverOpen), ("busy on", .deviceBusy),
    ("unplug", .deviceGone),
  ])
  func `a scanner that is not ready says why`(command: String, code: FaultCode) async throws {
    let scanner = try await attach()
    if command != "feeder empty" { try await model.apply("load 2 pages") }
    try await model.apply(command)
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, grey, pages)?.code == code)
    #expect(pages.all.isEmpty)
    await scanner.detach()
  }

  @Test(arguments: [("jam at page 3", FaultCode.feederJammed, 2), ("multifeed", .multipleFeed, 0)])
  func `a feeder's trouble ends the scan, and what came before stays`(
    command: String, code: FaultCode, count: Int
  ) async throws {
    let scanner = try await attach()
    try await model.apply("load 4 pages")
    try await model.apply(command)
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, grey, pages)?.code == code)
    #expect(pages.all.count == count)
    await scanner.detach()
  }

  @Test func `a page that cannot be stored ends the scan and the job`() async throws {
    let scanner = try await attach()
    try await model.apply("load 4 pages")
    let fault = await fault { () throws(Fault) in try await scanner.scan(grey) { page in page.sheet < 2 } }
    #expect(fault?.code == .notStored)
    #expect(await model.records.last?.record["state"] == "canceled")
    #expect(await model.records.filter { $0.record.event == "page" }.count == 2)
    await scanner.detach()
  }

  @Test func `what the scanner does not have is refused before it is asked`() async throws {
    let scanner = try await attach()
    try await model.apply("load 1 pages")
    for request in [
      ScanRequest(resolution: 301, colour: .grey), ScanRequest(resolution: 300, colour: .blackAndWhite),
    ] {
      #expect(await scan(scanner, request)?.code == .sourceMissing)
    }
    #expect(await !model.records.contains { $0.record.event == "scan-job" })
    await scanner.detach()
  }

  @Test func `a cancelled scan ends its job`() async throws {
    let scanner = try await attach()
    try await model.apply("load 4 pages")
    let reached = Inbox<Int>(time: RealTime())
    let task = Task { () async -> Fault? in
      await fault { () throws(Fault) in
        try await scanner.scan(grey) { page in
          if page.sheet == 2 {
            reached.put(1)
            while !Task.isCancelled { await Task.yield() }
          }
          return true
        }
      }
    }
    _ = await reached.take(until: RealTime().now() + .seconds(30))
    task.cancel()
    #expect(await task.value?.code == .commandCancelled)
    #expect(await model.records.last?.record["state"] == "canceled")
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, grey, pages) == nil)
    #expect(pages.all.count == 2)
    await scanner.detach()
  }

  @Test func `a connection that breaks is a loss, told once`() async throws {
    let scanner = try await attach()
    try await model.apply("load 2 pages")
    try await model.apply("unplug")
    #expect(await scan(scanner)?.code == .deviceGone)
    #expect(await scan(scanner)?.code == .deviceGone)
    #expect(await scanner.losses().map(\.code) == [.deviceGone])
    await scanner.detach()
  }

  @Test func `a scanner that hangs is told as silent`() async throws {
    let scanner = try await attach(quick.merging(["request-timeout": "50 ms"]) { $1 })
    try await model.apply("hang")
    #expect(await scan(scanner)?.code == .deviceSilent)
    #expect(await fault { () throws(Fault) in try await scanner.check(.internal) }?.code == .deviceSilent)
    await scanner.detach()
  }

  // MARK: - Devices' own ways (facts/devices.md D3), with a far end by hand

  private static let capabilities: [UInt8] = {
    var capabilities = ESCLCapabilities(version: ESCLVersion(2, 0), makeAndModel: "Fake")
    let profile = ESCLProfile(
      colorModes: [.grayscale8], documentFormats: ["image/jpeg"],
      resolutions: [ESCLResolutions(discrete: [ESCLResolution(300)])])
    capabilities.feederSimplex = ESCLSource(
      minWidth: 100, maxWidth: 2550, minHeight: 100, maxHeight: 3300, profiles: [profile])
    return capabilities.document
  }()

  /// A scanner whose jobs go as listed: status codes of NextDocument, and feeder states of ScannerStatus.
  private func fake(
    jobs: [Int] = [201], documents: [Int], feeder: [ESCLFeederState] = [.loaded], state: ESCLState = .idle,
    page: [UInt8] = SamplePage.jpeg()
  ) -> FakeExchange {
    let jobs = Mutex(jobs)
    let documents = Mutex(documents)
    let feeder = Mutex(feeder)
    return FakeExchange { request, _ in
      switch (request.method, request.path) {
      case ("GET", "/eSCL/ScannerCapabilities"):
        return .success(HTTPResponse(status: 200, body: Self.capabilities))
      case ("GET", "/eSCL/ScannerStatus"):
        let feederState = feeder.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
        return .success(
          HTTPResponse(status: 200, body: ESCLStatus(state: state, feederState: feederState).document))
      case ("POST", "/eSCL/ScanJobs"):
        let status = jobs.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
        return .success(HTTPResponse(status: status, headers: ["location": "/eSCL/ScanJobs/7"]))
      case ("GET", "/eSCL/ScanJobs/7/NextDocument"):
        let status = documents.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
        return .success(HTTPResponse(status: status, body: status == 200 ? page : []))
      case ("DELETE", "/eSCL/ScanJobs/7"): return .success(HTTPResponse(status: 404))
      default: return .success(HTTPResponse(status: 400))
      }
    }
  }

  @Test func `the requests of a scan are those of the protocol`() async throws {
    let exchange = fake(documents: [200, 404], feeder: [.loaded, .empty])
    let scanner = try await attach(to: exchange)
    #expect(await scan(scanner) == nil)
    #expect(
      exchange.told == [
        "GET ScannerCapabilities", "GET ScannerStatus", "POST ScanJobs", "GET NextDocument",
        "GET NextDocument",
        "GET ScannerStatus", "DELETE 7",
      ])
    let job = try #require(exchange.requests.all.first { $0.method == "POST" })
    #expect(job.contentType == "text/xml")
    let settings = try ESCLScanSettings(parsing: job.body)
    // A4 is cut to what the feeder takes: 3508 of 3300.
    #expect(settings.regions == [ESCLRegion(x: 0, y: 0, width: 2480, height: 3300)])
    #expect(settings.inputSource == .feeder)
    #expect(settings.colorMode == .grayscale8)
    #expect(settings.documentFormat == "image/jpeg")
    #expect(!settings.hasDocumentFormatExt)
    #expect(settings.duplex == false)
    #expect(settings.resolution == ESCLResolution(300))
  }

  @Test func `a busy scanner is asked again, as often as the profile says`() async throws {
    let patient = fake(
      jobs: [503, 503, 201], documents: [200, 404], feeder: [.loaded, .loaded, .loaded, .empty])
    #expect(await scan(try await attach(to: patient)) == nil)
    let busy = fake(jobs: [503], documents: [404])
    #expect(await scan(try await attach(to: busy))?.code == .deviceBusy)
    #expect(busy.told.filter { $0 == "POST ScanJobs" }.count == 3)
    // No job, so there is none to end.
    #expect(!busy.told.contains("DELETE 7"))
  }

  @Test(arguments: [
    (400, FaultCode.commandRefused), (409, .commandRefused), (401, .deviceDenied), (500, .deviceOffline),
  ])
  func `a refused job says why`(status: Int, code: FaultCode) async throws {
    #expect(await scan(try await attach(to: fake(jobs: [status], documents: [404])))?.code == code)
  }

  @Test func `a refused job of a jammed feeder is a jam`() async throws {
    let exchange = fake(jobs: [409], documents: [404], feeder: [.loaded, .jam])
    #expect(await scan(try await attach(to: exchange))?.code == .feederJammed)
  }

  @Test func `a page that is not ready is asked for again, as often as the profile says`() async throws {
    let slow = fake(
      documents: [503, 503, 200, 503, 503, 200, 404],
      feeder: [.loaded, .processing, .processing, .processing, .processing, .empty])
    let pages = Log<ScannedPage>()
    #expect(await scan(try await attach(to: slow), grey, pages) == nil)
    #expect(pages.all.count == 2)
    let stuck = fake(documents: [503], feeder: [.loaded, .processing])
    #expect(await scan(try await attach(to: stuck))?.code == .deviceSilent)
    #expect(stuck.told.last == "DELETE 7")
  }

  @Test func `an end that the feeder contradicts is not believed at once`() async throws {
    let early = fake(documents: [200, 404, 200, 404], feeder: [.loaded, .loaded, .empty])
    let pages = Log<ScannedPage>()
    #expect(await scan(try await attach(to: early), grey, pages) == nil)
    #expect(pages.all.count == 2)
    // Sheets that really stay behind do not hold up the end for ever.
    let left = fake(documents: [200, 404], feeder: [.loaded])
    #expect(await scan(try await attach(to: left), grey, pages) == nil)
    #expect(pages.all.count == 3)
    #expect(left.told.filter { $0 == "GET NextDocument" }.count == 4)
  }

  @Test(arguments: [
    (ESCLFeederState.jam, FaultCode.feederJammed), (.mispick, .feederJammed),
    (.multipickDetected, .multipleFeed),
    (.hatchOpen, .coverOpen), (.doorOpen, .coverOpen), (.inputTrayFailed, .deviceBroken),
    (.duplexPageTooShort, .feederJammed),
  ])
  func `an end after a jam is a jam`(state: ESCLFeederState, code: FaultCode) async throws {
    let exchange = fake(documents: [200, 404], feeder: [.loaded, state])
    let pages = Log<ScannedPage>()
    #expect(await scan(try await attach(to: exchange), grey, pages)?.code == code)
    #expect(pages.all.count == 1)
    #expect(exchange.told.last == "DELETE 7")
  }

  @Test func `no page at all is an empty feeder, but for scanners that are slow to start`() async throws {
    #expect(await scan(try await attach(to: fake(documents: [404])))?.code == .feederEmpty)
    let slow = fake(documents: [404, 410, 200, 404], feeder: [.loaded, .loaded, .loaded, .empty])
    let pages = Log<ScannedPage>()
    let values = quick.merging(["first-page-tries": "5"]) { $1 }
    #expect(await scan(try await attach(to: slow, values), grey, pages) == nil)
    #expect(pages.all.count == 1)
  }

  @Test func `an empty feeder is believed only where the profile says so`() async throws {
    let liar = fake(documents: [200, 404], feeder: [.empty])
    #expect(await scan(try await attach(to: liar))?.code == .feederEmpty)
    #expect(!liar.told.contains("POST ScanJobs"))
    #expect(await scan(try await attach(to: liar, quick.merging(["check-feeder": "no"]) { $1 })) == nil)
  }

  @Test(arguments: [0, 1, 100, 150])
  func `a damaged page is refused and the job ended`(length: Int) async throws {
    let exchange = fake(documents: [200, 404], page: Array(SamplePage.jpeg().prefix(length)))
    let pages = Log<ScannedPage>()
    #expect(await scan(try await attach(to: exchange), grey, pages)?.code == .imageDamaged)
    #expect(pages.all.isEmpty)
    #expect(exchange.told.last == "DELETE 7")
  }

  @Test func `a scanner that is down is off line`() async throws {
    let exchange = fake(documents: [200, 404], state: .stopped)
    let scanner = try await attach(to: exchange)
    #expect(await scan(scanner)?.code == .deviceOffline)
    let report = try await scanner.check(.internal)
    #expect(report.state == .offline)
    #expect(report.reason?.code == .deviceOffline)
  }

  @Test(arguments: [
    (200, Array("<x/>".utf8), FaultCode.deviceGarbled), (200, [], .deviceGarbled),
    (404, [], .deviceUnmatched),
    (503, [], .deviceBusy), (500, [], .deviceOffline),
  ])
  func `what is no scanner is not attached`(status: Int, body: [UInt8], code: FaultCode) async throws {
    let exchange = FakeExchange { _, _ in .success(HTTPResponse(status: status, body: body)) }
    #expect(
      await fault { () throws(Fault) in
        try await Driver.escl.attach(.httpExchange(exchange), Driver.escl.settings(quick), context)
      }?.code == code)
  }

  @Test func `a job without a place is refused`() async throws {
    let exchange = FakeExchange { request, _ in
      switch request.path {
      case "/eSCL/ScannerCapabilities": .success(HTTPResponse(status: 200, body: Self.capabilities))
      case "/eSCL/ScannerStatus": .success(HTTPResponse(status: 200, body: ESCLStatus(state: .idle).document))
      default: .success(HTTPResponse(status: 201))
      }
    }
    #expect(await scan(try await attach(to: exchange))?.code == .deviceGarbled)
  }

  @Test func `a check tells state, feeder and cover`() async throws {
    let scanner = try await attach()
    try await model.apply("load 1 pages")
    let report = try await scanner.check(.internal)
    #expect(report.state == .online)
    #expect(report.details == ["state": "Idle", "feeder": "ScannerAdfLoaded"])
    try await model.apply("cover open")
    let open = try await scanner.check(.internal)
    #expect(open.state == .userError)
    #expect(open.cover == .open)
    #expect(open.reason?.code == .coverOpen)
    try await model.apply("cover closed")
    #expect(try await scanner.check(.external).state == .online)
    #expect(
      await fault { () throws(Fault) in try await scanner.check(.interactive) }?.code == .commandUnsupported)
    await scanner.detach()
  }
}
