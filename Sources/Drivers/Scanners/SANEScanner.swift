internal import Channels
internal import Devices
internal import Synchronization

/// A scanner behind a SANE backend (facts/devices.md D2).
final class SANEScanner: Scanner {
  let identity: DeviceIdentity
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let feed: any PageFeed
  private let settings: DriverSettings
  private let outlet = NoticeOutlet()

  private init(_ feed: any PageFeed, _ settings: DriverSettings, model: String) {
    self.feed = feed
    self.settings = settings
    identity = DeviceIdentity(model: model)
  }

  /// Asks the backend whether the device is there. Nothing moves.
  static func attach(_ feed: any PageFeed, _ settings: DriverSettings) async throws(Fault) -> SANEScanner {
    do throws(ChannelError) {
      let model = try await feed.identify(timeout: settings.duration("identify-timeout"))
      return SANEScanner(feed, settings, model: model)
    } catch {
      throw Fault(error, doing: "asking the backend")
    }
  }

  func scan(
    _ request: ScanRequest, page: @escaping @Sendable (ScannedPage) async -> Bool
  ) async throws(Fault) {
    let wanted = PageFeedRequest(
      options: try options(for: request), format: settings.text("format"),
      maximumPages: request.source == .platen ? 1 : request.maximumPages)
    let state = Mutex<(taken: Int, stopped: Fault?)>((0, nil))
    let duplex = request.source == .feeder && request.duplex
    let end: PageFeedEnd
    do throws(ChannelError) {
      end = try await feed.scan(wanted, timeout: settings.duration("page-timeout")) { image, number in
        do throws(Fault) {
          let scanned = try ScannedPage.checked(image, number: number, duplex: duplex)
          guard await page(scanned) else { throw Fault(.notStored, "page \(number)") }
          state.withLock { $0.taken += 1 }
          return true
        } catch {
          state.withLock { $0.stopped = error }
          return false
        }
      }
    } catch {
      if let stopped = state.withLock({ $0.stopped }) { throw stopped }
      let fault = Fault(error, doing: "scanning, after \(state.withLock { $0.taken }) pages")
      if error == .gone { outlet.lose(fault) }
      throw fault
    }
    let (taken, stopped) = state.withLock { $0 }
    if let stopped { throw stopped }
    if let fault = Self.fault(of: end, after: taken) { throw fault }
  }

  private static func fault(of end: PageFeedEnd, after pages: Int) -> Fault? {
    let told = "after \(pages) pages"
    return switch end {
    case .finished: pages > 0 ? nil : Fault(.feederEmpty, "the scan ended without a page")
    case .noDocuments: Fault(.feederEmpty, told)
    case .jammed: Fault(.feederJammed, told)
    case .coverOpen: Fault(.coverOpen, told)
    case .deviceBusy: Fault(.deviceBusy, told)
    case .denied: Fault(.deviceDenied, told)
    case .refused(let text): Fault(.sourceMissing, text)
    case .failed(let text): Fault(.lineFailed, "\(told): \(text)")
    }
  }

  /// The backend's own words for what is asked for.
  private func options(for request: ScanRequest) throws(Fault) -> [(name: String, value: String)] {
    var options: [(name: String, value: String)] = []
    func add(_ option: String, _ value: String) {
      if !settings.text(option).isEmpty { options.append((settings.text(option), value)) }
    }
    let duplex = request.source == .feeder && request.duplex
    let hasDuplexOption = !settings.text("duplex-option").isEmpty
    let hasDuplexSource = !settings.text("source-feeder-duplex").isEmpty
    let source: String =
      switch request.source {
      case .platen: "source-platen"
      case .feeder: duplex && hasDuplexSource ? "source-feeder-duplex" : "source-feeder"
      }
    guard !settings.text(source).isEmpty else { throw Fault(.sourceMissing, "the profile has no \(source)") }
    guard !duplex || hasDuplexSource || hasDuplexOption else {
      throw Fault(.sourceMissing, "the profile has no way to scan both sides")
    }
    add("source-option", settings.text(source))
    if hasDuplexOption, request.source == .feeder {
      add("duplex-option", settings.text(duplex ? "duplex-on" : "duplex-off"))
    }
    let mode: String =
      switch request.colour {
      case .colour: "mode-colour"
      case .grey: "mode-grey"
      case .blackAndWhite: "mode-black-and-white"
      }
    guard !settings.text(mode).isEmpty else { throw Fault(.sourceMissing, "the profile has no \(mode)") }
    add("mode-option", settings.text(mode))
    add("resolution-option", String(request.resolution))
    for pair in settings.text("more-options").split(separator: ",") {
      let sides = pair.split(separator: "=", maxSplits: 1).map { $0.drop { $0 == " " } }
      guard sides.count == 2 else { throw Fault(.sourceMissing, "more-options: '\(pair)' is not name=value") }
      options.append((String(sides[0]), String(sides[1])))
    }
    return options
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    switch level {
    case .internal: break
    case .external:
      // Captured, checked and thrown away.
      let source: ScanSource = settings.text("source-platen").isEmpty ? .feeder : .platen
      try await scan(ScanRequest(source: source, maximumPages: 1)) { _ in true }
    case .interactive: throw Fault(.commandUnsupported, "scan a sheet and look at it")
    }
    do throws(ChannelError) {
      let model = try await feed.identify(timeout: settings.duration("identify-timeout"))
      return DeviceReport(state: .online, details: ["backend": model])
    } catch {
      let fault = Fault(error, doing: "asking the backend")
      if error == .gone { outlet.lose(fault) }
      throw fault
    }
  }

  func detach() async {
    await feed.close()
    outlet.finish()
  }
}
