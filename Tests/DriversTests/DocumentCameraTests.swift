import Channels
import Codecs
import Devices
import Synchronization
import Testing

@testable import Drivers
@testable import Simulation

/// Frames by hand.
private final class FakeFrames: FrameSource {
  let formats: [FrameFormat]
  let started = Log<FrameFormat>()
  private let state = Mutex<(frames: [[UInt8]], stops: Int, refusal: ChannelError?, isClosed: Bool)>(
    ([], 0, nil, false))
  private let end = Inbox<Int>(time: RealTime())

  init(_ formats: [FrameFormat], _ frames: [[UInt8]] = []) {
    self.formats = formats
    state.withLock { $0.frames = frames }
  }
  var isClosed: Bool { state.withLock { $0.isClosed } }
  var stops: Int { state.withLock { $0.stops } }
  func refuse(_ error: ChannelError?) { state.withLock { $0.refusal = error } }

  func start(_ format: FrameFormat) async throws(ChannelError) {
    if let error = state.withLock({ $0.refusal }) { throw error }
    started.add(format)
  }
  func next(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    if let frame = state.withLock({ $0.frames.isEmpty ? nil : $0.frames.removeFirst() }) { return frame }
    throw .timedOut
  }
  func waitUntilGone() async { _ = await end.take(until: RealTime().now() + .seconds(3600)) }
  func stop() async { state.withLock { $0.stops += 1 } }
  func close() async {
    state.withLock { $0.isClosed = true }
    end.close(.cancelled)
  }
}

private let small = FrameFormat(code: "MJPG", width: 8, height: 8)

@Suite(.timeLimit(.minutes(1))) struct DocumentCameraTests {
  private func attach(_ frames: any FrameSource, _ values: [String: String] = ["settle-frames": "0"])
    async throws -> any Scanner
  {
    try #require(
      try await Driver.camera.attach(.frames(frames), Driver.camera.settings(values), context)
        as? any Scanner)
  }

  private func model() -> SimulatedDevice {
    SimulatedDevice(
      "camera", SimulatedCamera(SimulatedCamera.Options(pages: [SamplePage.jpeg(1), SamplePage.jpeg(2)])),
      time: RealTime())
  }

  private func open(_ device: SimulatedDevice, _ values: [String: String] = ["settle-frames": "2"])
    async throws -> any Scanner
  {
    let channel = try await SimulatedBus([device]).open(
      .simulated(name: device.name), as: .frames, line: LineSettings())
    return try #require(
      try await Driver.camera.attach(channel, Driver.camera.settings(values), context) as? any Scanner)
  }

  private func scan(
    _ scanner: any Scanner, _ request: ScanRequest = ScanRequest()
  ) async throws(Fault) -> [ScannedPage] {
    let pages = Log<ScannedPage>()
    try await scanner.scan(request) { page in
      pages.add(page)
      return true
    }
    return pages.all
  }

  @Test func `a sheet is one page, byte for byte`() async throws {
    let device = model()
    let camera = try await open(device)
    #expect(camera.identity.model == "camera, MJPG 8×8")
    let first = try await scan(camera)
    #expect(first.count == 1)
    #expect(first.first?.image.reveal() == SamplePage.jpeg(1))
    #expect(first.first?.format.width == 8)
    #expect(first.first?.sheet == 1)
    try await device.apply("show page 2")
    #expect(try await scan(camera, ScanRequest(source: .platen)).first?.image.reveal() == SamplePage.jpeg(2))
    // It captures only while a page is wanted.
    #expect(await device.state.contains { $0.name == "streaming" && $0.value == "no" })
    #expect(try await camera.check(.external).details["sheet"] == "unknown")
    await camera.detach()
  }

  @Test func `damaged frames are passed over, up to a number`() async throws {
    let device = model()
    let camera = try await open(device, ["settle-frames": "0", "damaged-frames": "2"])
    try await device.apply("first frame broken")
    #expect(try await scan(camera).first?.image.reveal() == SamplePage.jpeg(1))
    try await device.apply("first frame whole")
    try await device.apply("truncate reply 100")
    #expect(try await scan(camera).first?.image.reveal() == SamplePage.jpeg(1))
    await camera.detach()

    let cut = Array(SamplePage.jpeg(1).dropLast(3))
    let frames = FakeFrames([small], [cut, cut, cut, SamplePage.jpeg(1)])
    let other = try await attach(frames, ["settle-frames": "0", "damaged-frames": "2"])
    #expect(await fault { () async throws(Fault) in try await scan(other) }?.code == .imageDamaged)
    #expect(frames.stops == 1)
    #expect(try await scan(other).count == 1)
  }

  @Test func `settling frames are let pass whatever they are`() async throws {
    let frames = FakeFrames([small], [[1], SamplePage.jpeg(1), SamplePage.jpeg(2), SamplePage.jpeg(3)])
    let camera = try await attach(frames, ["settle-frames": "2", "damaged-frames": "0"])
    #expect(try await scan(camera).first?.image.reveal() == SamplePage.jpeg(2))
  }

  @Test func `a frame without tables gets the standard ones`() async throws {
    let whole = SamplePage.jpeg(1)
    // The two segments of 22 bytes each that begin with FF C4.
    let start = try #require(whole.indices.first { whole[$0] == 0xFF && whole[$0 + 1] == 0xC4 })
    let bare = Array(whole[..<start] + whole[(start + 44)...])
    #expect(try !JPEGInspector.inspect(bare).hasHuffmanTables)
    let camera = try await attach(FakeFrames([small], [bare]))
    let page = try #require(try await scan(camera).first?.image.reveal())
    #expect(try JPEGInspector.inspect(page).hasHuffmanTables)
    // The four tables of T.81 K.3 in one segment.
    #expect(page.count == bare.count + 420)
  }

  @Test func `zeros behind the end are cut off, and a picture of another size is none`() async throws {
    let frames = FakeFrames([small], [SamplePage.jpeg(4) + [0, 0, 0]])
    let camera = try await attach(frames)
    #expect(try await scan(camera).first?.image.reveal() == SamplePage.jpeg(4))
    #expect(frames.stops == 1)
    let other = FakeFrames(
      [FrameFormat(code: "MJPG", width: 16, height: 16)],
      Array(repeating: SamplePage.jpeg(1), count: 50))
    let wrong = try await attach(other)
    let found = await fault { () async throws(Fault) in try await scan(wrong) }
    #expect(found?.code == .imageDamaged)
    #expect(found?.evidence.contains("8×8 instead of 16×16") == true)
    #expect(other.stops == 1)
  }

  @Test func `the largest MJPEG is taken, or the one the profile names`() async throws {
    let formats = [
      FrameFormat(code: "YUYV", width: 4000, height: 3000),
      FrameFormat(code: "MJPG", width: 640, height: 480),
      FrameFormat(code: "MJPG", width: 2592, height: 1944),
      FrameFormat(code: "MJPG", width: 640, height: 360),
    ]
    let choices: [([String: String], FrameFormat)] = [
      ([:], formats[2]), (["frame-width": "640"], formats[1]), (["frame-height": "360"], formats[3]),
    ]
    for (values, format) in choices {
      let frames = FakeFrames(formats)
      let camera = try await attach(frames, values)
      #expect(await fault { () async throws(Fault) in try await scan(camera) }?.code == .deviceSilent)
      #expect(frames.started.all == [format])
      await camera.detach()
    }
    await #expect(throws: Fault.self) { _ = try await attach(FakeFrames(formats), ["frame-width": "800"]) }
  }

  @Test(arguments: [
    // Neither of the two forms; the right one of a size of which no outbox takes a page; nothing.
    (
      [
        FrameFormat(code: "NV12", width: 640, height: 480),
        FrameFormat(code: "H264", width: 1920, height: 1080),
      ], "it has NV12 640×480, H264 1920×1080"
    ),
    ([FrameFormat(code: "YUYV", width: 5000, height: 4475)], "it has YUYV 5000×4475"), ([], "it has none"),
  ])
  func `a camera without MJPEG and YUYV is refused with advice`(
    formats: [FrameFormat], evidence: String
  ) async throws {
    let frames = FakeFrames(formats)
    let found = await fault { () async throws(Fault) in
      try await Driver.camera.attach(.frames(frames), Driver.camera.settings(), context)
    }
    #expect(found?.code == .cameraFormat)
    for name in ["MJPEG", "YUYV"] {
      #expect(found?.code.advice.chinese.contains(name) == true)
      #expect(found?.code.advice.english.contains(name) == true)
    }
    #expect(found?.evidence == evidence)
    // The channel was given back.
    #expect(frames.isClosed)
  }

  @Test func `YUYV is taken where there is no MJPEG of the size asked for, and not of a size too large`()
    async throws
  {
    let formats = [
      FrameFormat(code: "NV12", width: 4000, height: 3000),
      FrameFormat(code: "YUYV", width: 5000, height: 4475),
      FrameFormat(code: "YUYV", width: 5000, height: 4470),
      FrameFormat(code: "YUYV", width: 1024, height: 768),
    ]
    let jpeg = FrameFormat(code: "JPEG", width: 640, height: 480)
    let choices: [([FrameFormat], [String: String], FrameFormat)] = [
      (formats, [:], formats[2]), (formats, ["frame-width": "1024"], formats[3]),
      (formats + [jpeg], [:], jpeg),
      (formats + [jpeg], ["frame-width": "1024"], formats[3]),
    ]
    for (formats, values, format) in choices {
      let frames = FakeFrames(formats)
      let camera = try await attach(frames, values)
      #expect(camera.identity.model == "camera, \(format.code) \(format.width)×\(format.height)")
      #expect(await fault { () async throws(Fault) in try await scan(camera) }?.code == .deviceSilent)
      #expect(frames.started.all == [format])
      await camera.detach()
    }
    let none = await fault { () async throws(Fault) in
      try await Driver.camera.attach(
        .frames(FakeFrames(formats)), Driver.camera.settings(["frame-width": "800"]), context)
    }
    #expect(none?.code == .sourceMissing)
  }

  private static let packed = FrameFormat(code: "YUYV", width: 3, height: 2)
  /// Black and white and red, and half a pair that is not seen.
  private static let row: [UInt8] = [0x10, 0x80, 0xEB, 0x80, 0x51, 0x5A, 0x77, 0xF0]

  @Test func `a YUYV frame becomes a PNG page`() async throws {
    let frames = FakeFrames([Self.packed], [Self.row + Self.row])
    let camera = try await attach(frames)
    let page = try #require(try await scan(camera).first)
    #expect(
      page.format == PageFormat(mediaType: "image/png", width: 3, height: 2, dpi: nil, colour: .colour))
    #expect(page.sheet == 1)
    let pixels: [UInt8] = [0, 0, 0, 255, 255, 255, 254, 0, 0]
    let wanted = PNGEncoder.encode(width: 3, height: 2) { _, row in
      for index in row.indices { row[index] = pixels[index] }
    }
    #expect(page.image.reveal() == wanted)
    #expect(frames.stops == 1)
    #expect(try await camera.check(.internal).details["format"] == "YUYV 3×2")
    await camera.detach()
  }

  @Test func `a YUYV frame that is shorter or longer than its format is passed over, up to a number`()
    async throws
  {
    let whole = Self.row + Self.row
    let frames = FakeFrames([Self.packed], [Array(whole.dropLast()), whole + [0], [], whole])
    let camera = try await attach(frames, ["settle-frames": "0", "damaged-frames": "3"])
    #expect(try await scan(camera).count == 1)
    for wrong in [Array(whole.dropLast()), whole + [0], whole + whole, []] {
      let lying = FakeFrames([Self.packed], Array(repeating: wrong, count: 50))
      let camera = try await attach(lying, ["settle-frames": "0", "damaged-frames": "2"])
      let found = await fault { () async throws(Fault) in try await scan(camera) }
      #expect(found?.code == .imageDamaged)
      #expect(found?.evidence == "a picture of \(wrong.count) bytes instead of the 16 of its format")
      #expect(lying.stops == 1)
    }
  }

  @Test func `a camera has one side and colours`() async throws {
    let camera = try await attach(FakeFrames([small]))
    for request in [
      ScanRequest(duplex: true), ScanRequest(colour: .grey), ScanRequest(colour: .blackAndWhite),
    ] {
      #expect(
        await fault { () async throws(Fault) in try await scan(camera, request) }?.code == .sourceMissing)
    }
  }

  @Test func `a camera that another program has is busy until it is let go`() async throws {
    let frames = FakeFrames([small], [SamplePage.jpeg()])
    let camera = try await attach(frames)
    frames.refuse(.busy("/dev/video0 is held by cheese (process 7)"))
    let found = await fault { () async throws(Fault) in try await scan(camera) }
    #expect(found?.code == .deviceBusy)
    #expect(found?.evidence.contains("cheese") == true)
    frames.refuse(nil)
    #expect(try await scan(camera).count == 1)
    await camera.detach()
  }

  @Test func `a camera that sends nothing is silent after its time`() async throws {
    let device = model()
    // Long enough for a frame to come on a busy machine when they come again.
    let camera = try await open(device, ["frame-timeout": "3 s"])
    try await device.apply("freeze on")
    #expect(await fault { () async throws(Fault) in try await scan(camera) }?.code == .deviceSilent)
    try await device.apply("freeze off")
    #expect(try await scan(camera).count == 1)
    await camera.detach()
  }

  @Test func `unplugged while it captures, the scan ends and the loss is told once`() async throws {
    let device = model()
    let camera = try await open(device)
    try await device.apply("unplug after 300 reply bytes")
    #expect(await fault { () async throws(Fault) in try await scan(camera) }?.code == .deviceGone)
    #expect(await camera.losses().map(\.code) == [.deviceGone])
    await camera.detach()
    try await device.apply("plug")
    let again = try await open(device)
    #expect(try await scan(again).count == 1)
    await again.detach()
  }

  @Test func `unplugged while nothing is asked of it, the loss is told at once`() async throws {
    let device = model()
    let camera = try await open(device)
    try await device.apply("unplug")
    #expect(await camera.losses().map(\.code) == [.deviceGone])
    await camera.detach()
  }

  @Test func `a page that cannot be stored is no page`() async throws {
    let frames = FakeFrames([small], [SamplePage.jpeg()])
    let camera = try await attach(frames)
    let found = await fault { () async throws(Fault) in try await camera.scan(ScanRequest()) { _ in false } }
    #expect(found?.code == .notStored)
    #expect(frames.stops == 1)
  }
}
