internal import Channels
internal import Codecs
internal import Devices
internal import Synchronization

/// A document camera (facts/devices.md D1): it captures only while a page is wanted, so that its light is off and other
/// programs can have it in between.
///
/// Whether a sheet lies under it, or is being moved, cannot be known.
final class DocumentCamera: Scanner {
  let identity: DeviceIdentity
  var notices: AsyncStream<DeviceNotice> { outlet.stream }

  private let frames: any FrameSource
  private let format: FrameFormat
  private let settings: DriverSettings
  private let outlet = NoticeOutlet()
  private let watch = Mutex<Task<Void, Never>?>(nil)

  private init(_ frames: any FrameSource, _ format: FrameFormat, _ settings: DriverSettings) {
    self.frames = frames
    self.format = format
    self.settings = settings
    identity = DeviceIdentity(model: "camera, \(format.code) \(format.width)×\(format.height)")
  }

  /// Of forms in which it compresses its pictures itself; they are the page as they come.
  private static let compressed = ["MJPG", "JPEG"]
  /// The form that becomes a page by ``YUYVPicture``, where there is no other.
  private static let packed = "YUYV"
  /// What the outbox and the intake take as one page (Outbox: `PageFile.contentLimit`).
  private static let pageLimit = 64 << 20

  /// Whether pictures of this form can be pages.
  private static func isPage(_ format: FrameFormat) -> Bool {
    if compressed.contains(format.code) { return true }
    guard format.code == packed else { return false }
    return PNGEncoder.length(width: format.width, height: format.height).map { $0 <= pageLimit } ?? false
  }

  /// Chooses the format. The camera itself is asked nothing more.
  static func attach(_ frames: any FrameSource, _ settings: DriverSettings) throws(Fault) -> DocumentCamera {
    let offered = frames.formats.filter(isPage)
    guard !offered.isEmpty else {
      throw Fault(.cameraFormat, "it has \(list(frames.formats).isEmpty ? "none" : list(frames.formats))")
    }
    let (width, height) = (settings.integer("frame-width"), settings.integer("frame-height"))
    let fitting = offered.filter {
      (width == 0 || $0.width == width) && (height == 0 || $0.height == height)
    }
    func largest(of formats: [FrameFormat]) -> FrameFormat? {
      formats.max { $0.width * $0.height < $1.width * $1.height }
    }
    guard let format = largest(of: fitting.filter { $0.code != packed }) ?? largest(of: fitting) else {
      throw Fault(.sourceMissing, "no MJPEG or YUYV of \(width)×\(height); it has \(list(offered))")
    }
    let camera = DocumentCamera(frames, format, settings)
    let task = Task { [weak camera] in
      await frames.waitUntilGone()
      if !Task.isCancelled { camera?.outlet.lose(Fault(.deviceGone, "unplugged")) }
    }
    camera.watch.withLock { $0 = task }
    return camera
  }

  private static func list(_ formats: [FrameFormat]) -> String {
    formats.prefix(12).map { "\($0.code) \($0.width)×\($0.height)" }.joined(separator: ", ")
  }

  /// Captures one page. Feeder and glass are the same to a camera; a second side, grey or black and white it has not, and
  /// its resolution is what the distance makes it.
  func scan(
    _ request: ScanRequest, page: @escaping @Sendable (ScannedPage) async -> Bool
  ) async throws(Fault) {
    guard !request.duplex else { throw Fault(.sourceMissing, "a camera sees one side") }
    guard request.colour == .colour else {
      throw Fault(.sourceMissing, "a camera gives colour, not \(request.colour.rawValue)")
    }
    let captured: ScannedPage
    do throws(ChannelError) {
      try await frames.start(format)
    } catch {
      throw fault(error, "starting the camera")
    }
    do throws(Fault) {
      captured = try await capture()
    } catch {
      await stop()
      throw error
    }
    await stop()
    guard await page(captured) else { throw Fault(.notStored, "page 1") }
  }

  private func stop() async {
    let frames = frames
    await uninterrupted { () async throws(Never) in await frames.stop() }
  }

  private func capture() async throws(Fault) -> ScannedPage {
    let timeout = settings.duration("frame-timeout")
    var settling = settings.integer("settle-frames")
    var damaged = 0
    while true {
      let frame: [UInt8]
      do throws(ChannelError) {
        frame = try await frames.next(timeout: timeout)
      } catch {
        throw fault(error, "waiting for a picture")
      }
      guard settling == 0 else {
        settling -= 1
        continue
      }
      do throws(Fault) {
        return try checked(frame)
      } catch {
        damaged += 1
        guard damaged <= settings.integer("damaged-frames") else { throw error }
      }
    }
  }

  /// A picture as a page: whole, of the size that was set, with its tables, without the zeros behind its end.
  private func checked(_ frame: [UInt8]) throws(Fault) -> ScannedPage {
    if format.code == Self.packed {
      let picture: YUYVPicture
      do throws(YUYVPicture.Failure) {
        picture = try YUYVPicture(frame, width: format.width, height: format.height)
      } catch {
        throw Fault(.imageDamaged, "a picture of \(error)")
      }
      return try ScannedPage.checked(picture.png, number: 1, duplex: false)
    }
    let found: JPEGFrame
    do throws(ImageError) {
      found = try JPEGInspector.inspect(frame)
    } catch {
      throw Fault(.imageDamaged, "a picture of \(frame.count) bytes: \(error)")
    }
    guard found.width == format.width, found.height == format.height else {
      throw Fault(
        .imageDamaged,
        "a picture of \(found.width)×\(found.height) instead of \(format.width)×\(format.height)")
    }
    return try ScannedPage.checked(
      JPEGInspector.addingStandardTables(Array(frame.prefix(found.length))), number: 1, duplex: false)
  }

  private func fault(_ error: ChannelError, _ doing: String) -> Fault {
    let fault = Fault(error, doing: doing)
    if error == .gone { outlet.lose(fault) }
    return fault
  }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    switch level {
    case .internal: break
    case .external: try await scan(ScanRequest(source: .platen)) { _ in true }
    case .interactive: throw Fault(.commandUnsupported, "scan a sheet and look at it")
    }
    return DeviceReport(
      state: .online,
      details: [
        "format": "\(format.code) \(format.width)×\(format.height)", "formats": Self.list(frames.formats),
        "sheet": "unknown",
      ])
  }

  func detach() async {
    let task = watch.withLock { $0 }
    task?.cancel()
    await frames.close()
    await task?.value
    outlet.finish()
  }
}
