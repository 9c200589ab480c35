private import CLinux

/// Cameras by Video4Linux (linux/videodev2.h): capturing into buffers that are shared with the kernel.
///
/// ``setFormat(_:code:width:height:)`` and ``setStreaming(_:_:)`` wait for the device: not to be called where nothing may
/// block. The others do not.
public enum VideoCapture {
  /// What a node can do.
  public struct Capabilities: Sendable, Equatable {
    /// The camera's name.
    public var card: String
    /// Whether this node gives pictures; others of the same camera give descriptions of them.
    public var captures: Bool
    /// Whether it fills shared buffers.
    public var streams: Bool
  }

  /// A form of picture.
  public struct PixelFormat: Sendable, Equatable {
    /// Four-character code as a number, first character lowest: `MJPG` is 4750_4A4Dh.
    public var code: UInt32
    /// Whether the size of a picture depends on its content.
    public var isCompressed: Bool
  }

  /// Sizes a picture may have, in pixels. One size where the least is the greatest.
  public struct Sizes: Sendable, Equatable {
    /// Least width.
    public var minimumWidth: Int
    /// Greatest width.
    public var maximumWidth: Int
    /// Between widths; at least 1.
    public var stepWidth: Int
    /// Least height.
    public var minimumHeight: Int
    /// Greatest height.
    public var maximumHeight: Int
    /// Between heights; at least 1.
    public var stepHeight: Int

    /// Sizes in steps.
    public init(
      minimumWidth: Int, maximumWidth: Int, stepWidth: Int, minimumHeight: Int, maximumHeight: Int,
      stepHeight: Int
    ) {
      self.minimumWidth = minimumWidth
      self.maximumWidth = maximumWidth
      self.stepWidth = stepWidth
      self.minimumHeight = minimumHeight
      self.maximumHeight = maximumHeight
      self.stepHeight = stepHeight
    }
  }

  /// What was set, which may differ from what was asked for.
  public struct Setting: Sendable, Equatable {
    /// Four-character code.
    public var code: UInt32
    /// In pixels.
    public var width: Int
    /// In pixels.
    public var height: Int
    /// Bytes from the start of a row to that of the next, what fills it up included; 0 of a compressed one.
    public var lineSize: Int
    /// Bytes of a picture; of a compressed one at the most.
    public var imageSize: Int
  }

  /// A buffer that the camera has filled.
  public struct Filled: Sendable, Equatable {
    /// Which.
    public var index: Int
    /// Bytes in it, as the driver says.
    public var used: Int
    /// Whether the driver knows that the picture is damaged.
    public var isDamaged: Bool
  }

  /// Most formats, and most sizes of one, that are asked for: a driver that never ends its list is not believed.
  private static let mostAnswers: UInt32 = 256

  /// What this node can do; `ENOTTY` when it is no video device.
  public static func capabilities(_ raw: Int32) throws(SystemError) -> Capabilities {
    var bits: UInt32 = 0
    let card = unsafe try Files.text(capacity: 64, "VIDIOC_QUERYCAP") { buffer, capacity in
      unsafe clinux_video_query(raw, &bits, buffer, capacity)
    }
    return Capabilities(
      card: card, captures: bits & UInt32(CLINUX_VIDEO_CAPTURE) != 0,
      streams: bits & UInt32(CLINUX_VIDEO_STREAMING) != 0)
  }

  /// Every form of picture it has.
  public static func formats(_ raw: Int32) throws(SystemError) -> [PixelFormat] {
    var formats: [PixelFormat] = []
    for index in 0..<mostAnswers {
      var code: UInt32 = 0
      var flags: UInt32 = 0
      let result = unsafe clinux_video_format(raw, index, &code, &flags)
      if result == -Errno.invalid { break }
      try check(result, "VIDIOC_ENUM_FMT")
      formats.append(PixelFormat(code: code, isCompressed: flags & UInt32(CLINUX_VIDEO_COMPRESSED) != 0))
    }
    return formats
  }

  /// Every size of one form; none where the driver does not tell.
  public static func sizes(_ raw: Int32, of code: UInt32) throws(SystemError) -> [Sizes] {
    var sizes: [Sizes] = []
    for index in 0..<mostAnswers {
      var size = clinux_video_size()
      let result = unsafe clinux_video_size(raw, code, index, &size)
      if result == -Errno.invalid || result == -Errno.notTerminal { break }
      try check(result, "VIDIOC_ENUM_FRAMESIZES")
      sizes.append(
        Sizes(
          minimumWidth: Int(size.minimumWidth), maximumWidth: Int(size.maximumWidth),
          stepWidth: max(Int(size.stepWidth), 1), minimumHeight: Int(size.minimumHeight),
          maximumHeight: Int(size.maximumHeight), stepHeight: max(Int(size.stepHeight), 1)))
      if result == 0 { break }
    }
    return sizes
  }

  /// Sets form and size, or what the driver takes to be near them. `EBUSY` while somebody else captures.
  public static func setFormat(
    _ raw: Int32, code: UInt32, width: Int, height: Int
  ) throws(SystemError) -> Setting {
    var (code, lineSize, imageSize) = (code, UInt32(0), UInt32(0))
    var (wide, high) = (UInt32(clamping: width), UInt32(clamping: height))
    try check(unsafe clinux_video_set(raw, &code, &wide, &high, &lineSize, &imageSize), "VIDIOC_S_FMT")
    return Setting(
      code: code, width: Int(wide), height: Int(high), lineSize: Int(lineSize), imageSize: Int(imageSize))
  }

  /// Gives a buffer to the camera to be filled.
  public static func queue(_ raw: Int32, _ index: Int) throws(SystemError) {
    try check(clinux_video_queue(raw, UInt32(clamping: index)), "VIDIOC_QBUF")
  }

  /// Takes a buffer that has been filled; nil when none has.
  public static func take(_ raw: Int32) throws(SystemError) -> Filled? {
    var (index, used, flags) = (UInt32(0), UInt32(0), UInt32(0))
    let result = unsafe clinux_video_take(raw, &index, &used, &flags)
    if result == -Errno.again { return nil }
    try check(result, "VIDIOC_DQBUF")
    return Filled(
      index: Int(index), used: Int(used), isDamaged: flags & UInt32(CLINUX_VIDEO_ERROR) != 0)
  }

  /// Begins or ends capturing. `EBUSY` while somebody else captures, `ENOSPC` when the bus has no room for it.
  public static func setStreaming(_ raw: Int32, _ on: Bool) throws(SystemError) {
    try check(clinux_video_stream(raw, on ? 1 : 0), on ? "VIDIOC_STREAMON" : "VIDIOC_STREAMOFF")
  }

  /// Gives the driver's buffers back, when none of them is mapped any more.
  public static func freeBuffers(_ raw: Int32) throws(SystemError) {
    try check(clinux_video_request(raw, 0), "VIDIOC_REQBUFS 0")
  }
}

/// Buffers of a camera, mapped into this process until the value is gone.
@safe public final class VideoBuffers: @unchecked Sendable {
  // Never changed after init; what is in the memory changes only while a buffer is the camera's.
  private let areas: [(address: UnsafeMutableRawPointer, length: Int)]

  /// Asks the driver for buffers and maps them; it may give fewer or more.
  /// - Throws: `EBUSY` while somebody else captures.
  public init(_ raw: Int32, count: Int) throws(SystemError) {
    let given = try check(clinux_video_request(raw, UInt32(clamping: count)), "VIDIOC_REQBUFS")
    var mapped: [(address: UnsafeMutableRawPointer, length: Int)] = unsafe []
    for index in 0..<UInt32(max(given, 0)) {
      var address: UnsafeMutableRawPointer?
      var length = 0
      let result = unsafe clinux_video_map(raw, index, &address, &length)
      guard result >= 0, let place = unsafe address else {
        for index in unsafe mapped.indices {
          unsafe clinux_video_unmap(mapped[index].address, mapped[index].length)
        }
        throw SystemError(call: "map video buffer \(index)", code: result < 0 ? -result : Errno.invalid)
      }
      unsafe mapped.append((place, length))
    }
    unsafe areas = mapped
  }

  deinit {
    for index in unsafe areas.indices { unsafe clinux_video_unmap(areas[index].address, areas[index].length) }
  }

  /// How many there are.
  public var count: Int { unsafe areas.count }

  /// A copy of a buffer's first bytes; nil for one that is not there, and for more bytes than it has.
  public func bytes(_ index: Int, count: Int) -> [UInt8]? {
    guard unsafe areas.indices.contains(index), count >= 0, unsafe count <= areas[index].length else {
      return nil
    }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: areas[index].address, count: count))
  }
}
