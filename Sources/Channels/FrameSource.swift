/// A camera.
public protocol FrameSource: Sendable {
  /// What it can deliver, as it says itself; the largest MJPEG first, if it has one.
  var formats: [FrameFormat] { get }
  /// Begins to capture. Nothing else can use the camera until ``stop()``.
  /// - Throws: `.busy` when another program captures; `.malformed` for a format it does not have.
  func start(_ format: FrameFormat) async throws(ChannelError)
  /// Waits for the next whole frame that the device did not mark as broken; throws `.timedOut` after `timeout`. A `YUYV`
  /// frame is its rows from the top, without anything between them.
  func next(timeout: Duration) async throws(ChannelError) -> [UInt8]
  /// Returns when the camera has left, the channel was closed or the task is cancelled, also while it does not capture.
  func waitUntilGone() async
  /// Ends capturing. Without effect when it does not capture.
  func stop() async
  /// Ends the channel; a pending ``next(timeout:)`` ends with `.cancelled`. May be called more than once.
  func close() async
}

/// One form in which a camera delivers frames.
public struct FrameFormat: Sendable, Hashable {
  /// The kernel's four-character code: `MJPG`, `YUYV` …
  public var code: String
  /// In pixels.
  public var width: Int
  /// In pixels.
  public var height: Int

  /// A format.
  public init(code: String, width: Int, height: Int) {
    self.code = code
    self.width = width
    self.height = height
  }
}
