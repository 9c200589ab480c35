public import Channels
internal import Codecs
internal import Glibc
internal import Posix
internal import Synchronization

/// A camera through Video4Linux, with buffers shared with the kernel (facts/devices.md D1).
public final class V4L2Channel: FrameSource {
  /// What the camera calls itself.
  public let name: String
  /// What it can deliver: MJPEG first, then the other forms, each from the largest size to the smallest. Of sizes that
  /// may be anything within bounds the usual ones and the bounds.
  public let formats: [FrameFormat]

  private struct Capture {
    let buffers: VideoBuffers
    let layout: FrameLayout
  }

  private let path: String
  private let stream: DescriptorStream
  private let calls: BlockingCalls
  private let compressed: Set<String>
  private let state = Mutex<(capture: Capture?, damaged: Int)>((nil, 0))

  private init(
    _ node: consuming Descriptor, path: String, _ calls: BlockingCalls, name: String,
    formats: [FrameFormat], compressed: Set<String>
  ) {
    stream = DescriptorStream(node)
    self.path = path
    self.calls = calls
    self.name = name
    self.formats = formats
    self.compressed = compressed
  }

  /// Opens `/dev/video*`, or a link to one. Others may open it too; who captures first has it.
  /// - Throws: `.absent`, `.denied`; `.malformed` for what is no camera: also a camera's second node, which describes its
  ///   pictures and gives none.
  public static func open(path: String) async throws(ChannelError) -> V4L2Channel {
    let calls = BlockingCalls(name: "camera")
    let outcome = await calls.run(timeout: nil) {
      Result { () throws(ChannelError) in try connect(path, calls) }
    }
    guard case .returned(let result) = outcome else { throw .cancelled }
    return try result.get()
  }

  private static func connect(_ path: String, _ calls: BlockingCalls) throws(ChannelError) -> V4L2Channel {
    do throws(SystemError) {
      let node = try Files.open(path, .readingAndWriting)
      let capabilities = try VideoCapture.capabilities(node.raw)
      if capabilities.captures, capabilities.streams {
        var formats: [FrameFormat] = []
        var compressed: Set<String> = []
        for format in try VideoCapture.formats(node.raw) {
          let code = name(of: format.code)
          if format.isCompressed { compressed.insert(code) }
          for (width, height) in choices(try VideoCapture.sizes(node.raw, of: format.code)) {
            formats.append(FrameFormat(code: code, width: width, height: height))
          }
        }
        return V4L2Channel(
          node, path: path, calls, name: capabilities.card, formats: ordered(formats), compressed: compressed)
      }
    } catch {
      throw ChannelError(opening: path, as: "camera", error)
    }
    throw .malformed("\(path) gives no pictures")
  }

  // MARK: Formats

  /// The four characters of a code: `MJPG`. One that is none of ASCII's printable ones, and a trailing space, is a `?`.
  static func name(of code: UInt32) -> String {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: code >> (8 * $0)) }
    return String(decoding: bytes.map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
  }

  private static func code(of name: String) -> UInt32 {
    Array(name.utf8).prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// Sizes people ask for, of which those within a range and on its steps are offered.
  private static let usual = [
    (320, 240), (640, 480), (800, 600), (1024, 768), (1280, 720), (1280, 960), (1600, 1200), (1920, 1080),
    (2048, 1536), (2592, 1944), (3264, 2448), (3840, 2160), (4096, 3072), (4208, 3120), (4608, 3456),
    (5184, 3888),
  ]

  /// The sizes offered of those a driver tells, none twice; none without a pixel.
  static func choices(_ sizes: [VideoCapture.Sizes]) -> [(width: Int, height: Int)] {
    var found: [(width: Int, height: Int)] = []
    func add(_ width: Int, _ height: Int) {
      guard width > 0, height > 0, !found.contains(where: { $0 == (width, height) }) else { return }
      found.append((width, height))
    }
    for size in sizes where size.minimumWidth <= size.maximumWidth && size.minimumHeight <= size.maximumHeight
    {
      func last(_ least: Int, _ most: Int, _ step: Int) -> Int { least + (most - least) / step * step }
      add(
        last(size.minimumWidth, size.maximumWidth, size.stepWidth),
        last(size.minimumHeight, size.maximumHeight, size.stepHeight))
      add(size.minimumWidth, size.minimumHeight)
      for (width, height) in usual
      where (size.minimumWidth...size.maximumWidth).contains(width)
        && (size.minimumHeight...size.maximumHeight).contains(height)
        && (width - size.minimumWidth).isMultiple(of: size.stepWidth)
        && (height - size.minimumHeight).isMultiple(of: size.stepHeight)
      { add(width, height) }
    }
    return found
  }

  /// MJPEG before the rest, larger before smaller; otherwise as the driver has them.
  static func ordered(_ formats: [FrameFormat]) -> [FrameFormat] {
    func rank(_ format: FrameFormat) -> (Int, Int) {
      (["MJPG", "JPEG"].contains(format.code) ? 0 : 1, -format.width * format.height)
    }
    return formats.enumerated().sorted { one, other in
      let (first, second) = (rank(one.element), rank(other.element))
      return (first.0, first.1, one.offset) < (second.0, second.1, other.offset)
    }.map(\.element)
  }

  // MARK: Capturing

  /// Sets the format and begins to capture. The camera gets 10 s for it.
  /// - Throws: `.busy` when another program captures, or when the bus has no room for two cameras at a time;
  ///   `.malformed` for a format it does not have, and when it sets another one than asked for.
  public func start(_ format: FrameFormat) async throws(ChannelError) {
    guard formats.contains(format) else {
      throw .malformed("\(path) has no \(format.code) \(format.width)×\(format.height)")
    }
    let outcome = await calls.run(timeout: .seconds(10)) { [self] in
      Result { () throws(ChannelError) in try begin(format) }
    }
    switch outcome {
    case .returned(let result): try result.get()
    case .timedOut, .cancelled:
      // Waits for its turn behind what could not be awaited, and undoes it.
      Task { await stop() }
      if case .timedOut = outcome { throw .timedOut }
      throw .cancelled
    }
  }

  private func begin(_ format: FrameFormat) throws(ChannelError) {
    guard state.withLock({ $0.capture == nil }) else { throw .busy("\(path) captures already") }
    let set: VideoCapture.Setting
    do throws(StreamError) {
      set = try stream.call { raw throws(SystemError) in
        try VideoCapture.setFormat(
          raw, code: Self.code(of: format.code), width: format.width, height: format.height)
      }
    } catch {
      throw failure(error)
    }
    let code = Self.name(of: set.code)
    guard code == format.code, set.width == format.width, set.height == format.height else {
      throw .malformed(
        "\(path) sets \(code) \(set.width)×\(set.height) instead of "
          + "\(format.code) \(format.width)×\(format.height)")
    }
    let layout = try FrameLayout(set, isCompressed: compressed.contains(code))
    do throws(StreamError) {
      let capture = try stream.call { raw throws(SystemError) in
        let buffers = try VideoBuffers(raw, count: 4)
        do throws(SystemError) {
          for index in 0..<buffers.count { try VideoCapture.queue(raw, index) }
          try VideoCapture.setStreaming(raw, true)
        } catch {
          // Takes the queued ones back.
          try? VideoCapture.setStreaming(raw, false)
          throw error
        }
        return Capture(buffers: buffers, layout: layout)
      }
      state.withLock { $0 = (capture, 0) }
    } catch {
      throw failure(error)
    }
  }

  private func failure(_ error: StreamError) -> ChannelError {
    switch error {
    case .system(let error) where error.code == EBUSY: .busy(DeviceHolder.describe(path))
    case .system(let error) where error.code == ENOSPC: .busy("\(path): another camera uses up the bus")
    default: ChannelError(using: error)
    }
  }

  /// How many frames of this capture were passed over because the camera or the kernel marked them as damaged, or because
  /// they were too short.
  public var damagedFrames: Int { state.withLock { $0.damaged } }

  /// The next whole frame; damaged ones are passed over.
  public func next(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let time = SystemTime()
    let deadline = time.now() + timeout
    var hasGone = false
    while true {
      if Task.isCancelled { throw .cancelled }
      if let frame = try takeFrame() {
        if !frame.isEmpty { return frame }
        continue
      }
      // Hung up, and nothing left in the queue.
      guard !hasGone else { throw .gone }
      do throws(StreamError) {
        hasGone = try await stream.ready(for: .read, timeout: deadline - time.now()) == .hangup
      } catch {
        throw ChannelError(using: error)
      }
    }
  }

  /// A frame that waits; empty for one that is damaged, nil when none waits.
  private func takeFrame() throws(ChannelError) -> [UInt8]? {
    do throws(StreamError) {
      return try state.withLock { state throws(StreamError) in
        // Stopped, or never started.
        guard let capture = state.capture else { throw .cancelled }
        let (frame, isWhole) = try stream.call { raw throws(SystemError) -> ([UInt8]?, Bool) in
          guard let filled = try VideoCapture.take(raw) else { return (nil, true) }
          let isWhole = !filled.isDamaged && filled.used >= capture.layout.least
          let bytes = isWhole ? capture.buffers.bytes(filled.index, count: filled.used) ?? [] : []
          try VideoCapture.queue(raw, filled.index)
          return (bytes, !bytes.isEmpty)
        }
        if !isWhole { state.damaged += 1 }
        return frame.map(capture.layout.picture)
      }
    } catch {
      throw ChannelError(using: error)
    }
  }

  /// Returns when the camera has been unplugged, or the channel closed.
  public func waitUntilGone() async {
    // A hang-up is all that is waited for: pictures do not end it.
    _ = try? await stream.ready(for: .hangup, timeout: nil)
  }

  /// Ends capturing.
  public func stop() async {
    // Not given up when the task is cancelled: the light of the camera must not stay on.
    let work = Task { [calls, self] in await calls.run(timeout: nil) { self.end() } }
    _ = await work.value
  }

  private func end() {
    var capture = state.withLock { state in
      defer { state.capture = nil }
      return state.capture
    }
    guard capture != nil else { return }
    _ = stream.withDescriptor { try? VideoCapture.setStreaming($0, false) }
    capture = nil
    // The buffers are unmapped now. A camera that is gone has none.
    _ = stream.withDescriptor { try? VideoCapture.freeBuffers($0) }
  }

  /// Ends the channel.
  public func close() async {
    await stop()
    stream.close()
  }
}
