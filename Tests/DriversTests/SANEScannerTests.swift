import Channels
import Codecs
import Devices
import Synchronization
import Testing

@testable import Drivers

/// A feed whose pages and end are set by the test.
final class FakeFeed: PageFeed {
  let requests = Log<PageFeedRequest>()
  private let pages: [[UInt8]]
  private let end: Result<PageFeedEnd, ChannelError>
  private let name: Result<String, ChannelError>
  let isClosed = Mutex(false)

  init(
    _ pages: [[UInt8]] = [SamplePage.jpeg()], end: Result<PageFeedEnd, ChannelError> = .success(.finished),
    name: Result<String, ChannelError> = .success("Noname frontend-tester")
  ) {
    self.pages = pages
    self.end = end
    self.name = name
  }

  func scan(
    _ request: PageFeedRequest, timeout: Duration,
    page: @escaping @Sendable (_ image: [UInt8], _ number: Int) async -> Bool
  ) async throws(ChannelError) -> PageFeedEnd {
    requests.add(request)
    for (index, image) in pages.prefix(request.maximumPages ?? Int.max).enumerated() {
      guard await page(image, index + 1), !Task.isCancelled else { throw .cancelled }
    }
    return try end.get()
  }
  func identify(timeout: Duration) async throws(ChannelError) -> String { try name.get() }
  func close() async { isClosed.withLock { $0 = true } }
}

@Suite(.timeLimit(.minutes(1))) struct SANEScannerTests {
  private func attach(_ feed: FakeFeed, _ values: [String: String] = [:]) async throws -> any Scanner {
    try #require(
      try await Driver.sane.attach(.pageFeed(feed), Driver.sane.settings(values), context) as? any Scanner)
  }

  private func scan(
    _ scanner: any Scanner, _ request: ScanRequest = ScanRequest(), _ pages: Log<ScannedPage> = Log()
  ) async -> Fault? {
    await fault { () throws(Fault) in
      try await scanner.scan(request) { page in
        pages.add(page)
        return true
      }
    }
  }

  private func options(_ feed: FakeFeed) -> [String] {
    feed.requests.all.last?.options.map { "\($0.name)=\($0.value)" } ?? []
  }

  @Test func `pages come in order, with the backend's own words for what is asked`() async throws {
    let images = (1...3).map { SamplePage.jpeg($0) }
    let feed = FakeFeed(images)
    let scanner = try await attach(feed)
    #expect(scanner.identity.model == "Noname frontend-tester")
    let pages = Log<ScannedPage>()
    #expect(await scan(scanner, ScanRequest(colour: .grey), pages) == nil)
    #expect(pages.all.map { $0.image.reveal() } == images)
    #expect(pages.all.map(\.sheet) == [1, 2, 3])
    #expect(options(feed) == ["source=Automatic Document Feeder", "mode=Gray", "resolution=300"])
    #expect(feed.requests.all.first?.format == "jpeg")
    #expect(feed.requests.all.first?.maximumPages == nil)
    await scanner.detach()
    #expect(feed.isClosed.withLock { $0 })
  }

  @Test(arguments: [
    ([:], ScanRequest(source: .platen, colour: .colour), ["source=Flatbed", "mode=Color", "resolution=300"]),
    (
      ["source-feeder-duplex": "ADF Duplex"],
      ScanRequest(duplex: true, resolution: 200, colour: .blackAndWhite),
      ["source=ADF Duplex", "mode=Lineart", "resolution=200"]
    ),
    (
      ["duplex-option": "adf-mode", "duplex-on": "Duplex", "duplex-off": "Simplex"],
      ScanRequest(duplex: true),
      ["source=Automatic Document Feeder", "adf-mode=Duplex", "mode=Color", "resolution=300"]
    ),
    (
      ["duplex-option": "adf-mode", "duplex-on": "Duplex", "duplex-off": "Simplex"], ScanRequest(),
      ["source=Automatic Document Feeder", "adf-mode=Simplex", "mode=Color", "resolution=300"]
    ),
    (
      ["more-options": "depth=8, x=210", "source-option": ""], ScanRequest(),
      ["mode=Color", "resolution=300", "depth=8", "x=210"]
    ),
  ])
  func `options follow the profile`(values: [String: String], request: ScanRequest, told: [String])
    async throws
  {
    let feed = FakeFeed()
    #expect(await scan(try await attach(feed, values), request) == nil)
    #expect(options(feed) == told)
  }

  @Test(arguments: [
    (["source-platen": ""], ScanRequest(source: .platen)), ([:], ScanRequest(duplex: true)),
    (["mode-black-and-white": ""], ScanRequest(colour: .blackAndWhite)),
    (["more-options": "depth"], ScanRequest()),
  ])
  func `what the profile has no words for is refused`(values: [String: String], request: ScanRequest)
    async throws
  {
    let feed = FakeFeed()
    #expect(await scan(try await attach(feed, values), request)?.code == .sourceMissing)
    #expect(feed.requests.all.isEmpty)
  }

  @Test(arguments: [
    (PageFeedEnd.noDocuments, FaultCode.feederEmpty), (.jammed, .feederJammed), (.coverOpen, .coverOpen),
    (.deviceBusy, .deviceBusy), (.denied, .deviceDenied), (.refused("no such option"), .sourceMissing),
    (.failed("I/O error"), .lineFailed),
  ])
  func `each end has its fault, and the pages before it stay`(end: PageFeedEnd, code: FaultCode) async throws
  {
    let pages = Log<ScannedPage>()
    let scanner = try await attach(FakeFeed([SamplePage.jpeg()], end: .success(end)))
    #expect(await scan(scanner, ScanRequest(), pages)?.code == code)
    #expect(pages.all.count == 1)
  }

  @Test func `a scan without a page is an empty feeder`() async throws {
    #expect(await scan(try await attach(FakeFeed([])))?.code == .feederEmpty)
  }

  @Test func `a page that is damaged or cannot be stored ends the scan`() async throws {
    let damaged = FakeFeed([SamplePage.jpeg(1), Array(SamplePage.jpeg(2).dropLast(2)), SamplePage.jpeg(3)])
    let pages = Log<ScannedPage>()
    #expect(await scan(try await attach(damaged), ScanRequest(), pages)?.code == .imageDamaged)
    #expect(pages.all.count == 1)
    let scanner = try await attach(FakeFeed([SamplePage.jpeg(1), SamplePage.jpeg(2)]))
    #expect(
      await fault { () throws(Fault) in try await scanner.scan(ScanRequest()) { _ in false } }?.code
        == .notStored)
  }

  @Test(arguments: [
    (ChannelError.gone, FaultCode.deviceGone), (.timedOut, .deviceSilent), (.cancelled, .commandCancelled),
    (.absent("sane:x"), .deviceAbsent),
  ])
  func `a feed that fails has its fault`(error: ChannelError, code: FaultCode) async throws {
    #expect(await scan(try await attach(FakeFeed(end: .failure(error))))?.code == code)
  }

  @Test func `a loss is told once`() async throws {
    let scanner = try await attach(FakeFeed(end: .failure(.gone)))
    _ = await scan(scanner)
    _ = await scan(scanner)
    #expect(await scanner.losses().map(\.code) == [.deviceGone])
  }

  @Test func `a device that is not there is not attached`() async {
    let feed = FakeFeed(name: .failure(.absent("sane:test:0")))
    #expect(
      await fault { () throws(Fault) in
        try await Driver.sane.attach(.pageFeed(feed), Driver.sane.settings(), context)
      }?.code == .deviceAbsent)
  }

  @Test func `a check asks the backend, and an external one captures a page`() async throws {
    let feed = FakeFeed()
    let scanner = try await attach(feed)
    #expect(try await scanner.check(.internal).details == ["backend": "Noname frontend-tester"])
    #expect(feed.requests.all.isEmpty)
    #expect(try await scanner.check(.external).state == .online)
    #expect(feed.requests.all.first?.maximumPages == 1)
    #expect(
      await fault { () throws(Fault) in try await scanner.check(.interactive) }?.code == .commandUnsupported)
  }
}
