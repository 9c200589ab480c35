public import Channels

extension SimulatedCamera: SimulatedMessageDevice {
  /// Frames.
  public var channelKind: ChannelKind { .frames }
}

/// The host's end of a simulated camera as the kernel's Video4Linux gives it: each message of the line is a frame.
public final class SimulatedFrames: FrameSource {
  /// One for each size, the largest first.
  public let formats: [FrameFormat]
  private let line: SimulatedLine
  private let device: SimulatedDevice
  /// From one frame to the next, in 100 ns: 33 ms.
  private static let interval: UInt32 = 333_333
  private static let patience = Duration.seconds(5)

  init(_ line: SimulatedLine, device: SimulatedDevice, sizes: [SimulatedCamera.Size]) {
    self.line = line
    self.device = device
    formats = sizes.map { FrameFormat(code: "MJPG", width: $0.width, height: $0.height) }
  }

  /// Begins to capture.
  public func start(_ format: FrameFormat) async throws(ChannelError) {
    guard let size = formats.firstIndex(of: format) else {
      throw .malformed("no \(format.code) \(format.width)×\(format.height)")
    }
    await line.discardInput()
    do throws(ChannelWriteError) {
      try await line.write(SimulatedCamera.start(size, interval: Self.interval), timeout: Self.patience)
    } catch {
      throw error.reason
    }
  }

  /// The next frame.
  public func next(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    try await line.read(upTo: .max, timeout: timeout)
  }

  /// Returns when the cable comes out, the channel is closed or the task is cancelled.
  public func waitUntilGone() async {
    while !Task.isCancelled {
      // Counted first: what happens after the look at the line is a change more.
      let changes = await device.changes
      guard await line.isAttached else { return }
      await device.waitForChange(after: changes)
    }
  }

  /// Ends capturing. A camera that takes nothing more is left as it is.
  public func stop() async {
    _ = try? await line.write(SimulatedCamera.stop, timeout: Self.patience)
    await line.discardInput()
  }

  /// Lets the camera go.
  public func close() async {
    await stop()
    await line.close()
  }
}
