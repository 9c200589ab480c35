import Codecs

/// A document camera that delivers JPEG frames of what lies under it (facts/devices.md D1).
///
/// Its line carries messages and not a stream: the host sends ``start(_:interval:)`` or ``stop``, and each reply is one frame.
public struct SimulatedCamera: SimulatedSerialDevice {
  /// A size in which it delivers frames.
  public struct Size: Sendable, Hashable {
    /// In pixels.
    public let width: Int
    /// In pixels.
    public let height: Int
    /// Bytes of the largest frame.
    public let bytes: Int

    /// A size.
    public init(width: Int, height: Int, bytes: Int) {
      self.width = width
      self.height = height
      self.bytes = bytes
    }
  }

  /// What differs between models.
  public struct Options: Sendable, Equatable {
    /// JPEG images of the things that can lie under it. What is no sound JPEG is left out.
    public var pages: [[UInt8]]
    /// Whether the first frame after each start is cut short, as many cameras have it.
    public var breaksFirstFrame = false

    /// A camera over these pages.
    public init(pages: [[UInt8]]) { self.pages = pages }
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case show(Int), clear, freeze(Bool), breaksFirst(Bool)
  }

  /// What its records tell.
  public static let events = ["stream-start", "stream-stop", "shown"]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("show page <1-1000>", "lay that page under the camera, of those of the chosen size") {
      $0.number().map { .show($0) }
    },
    CommandForm("show nothing", "take the page away: no frames come", .clear),
    CommandForm("freeze on|off", "stop delivering frames while the host waits, or go on") {
      $0.flag().map { .freeze($0) }
    },
    CommandForm("first frame broken|whole", "cut the first frame after each start, or not") {
      $0.word().map { .breaksFirst($0 == "broken") }
    },
  ]

  /// Message that starts delivery: index of the size in ``sizes``, and time between two frames in 100 ns.
  public static func start(_ size: Int, interval: UInt32) -> [UInt8] {
    [1, UInt8(truncatingIfNeeded: size)] + interval.usbBytes
  }
  /// Message that ends delivery.
  public static let stop: [UInt8] = [0]

  private var options: Options
  private let pages: [[[UInt8]]]
  /// The sizes it has, the largest first; at most 20.
  public let sizes: [Size]
  private var shown: Int? = 0
  private var isFrozen = false
  private var streaming: (size: Int, interval: Duration)?
  private var isFirst = false
  private var frames = 0
  /// Tells the timer of this stream from those of earlier ones.
  private var stream = 0

  /// A camera with the first page under it.
  public init(_ options: Options) {
    self.options = options
    var bySize: [Size: [[UInt8]]] = [:]
    for page in options.pages {
      guard let frame = try? JPEGInspector.inspect(page) else { continue }
      bySize[Size(width: frame.width, height: frame.height, bytes: 0), default: []].append(page)
    }
    let ordered = bySize.sorted {
      ($0.key.width * $0.key.height, $0.key.width) > ($1.key.width * $1.key.height, $1.key.width)
    }
    .prefix(20)
    pages = ordered.map(\.value)
    sizes = ordered.map { size, pages in
      Size(width: size.width, height: size.height, bytes: pages.map(\.count).max() ?? 0)
    }
  }

  /// `document camera, 2480 × 3508` and the like.
  public var modelName: String {
    "document camera" + (sizes.first.map { ", \($0.width) × \($0.height)" } ?? "")
  }

  /// What lies under it, and what it delivers.
  public var state: [SimulationField] {
    [
      SimulationField("page", shown.map { String($0 + 1) } ?? "none"),
      SimulationField("streaming", streaming != nil), SimulationField("frames", frames),
      SimulationField("frozen", isFrozen),
    ]
  }

  /// Ends delivery.
  public mutating func powerLost() -> [SimulatedAction] {
    streaming = nil
    stream += 1
    return []
  }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    switch command {
    case .show(let number):
      let count = pages.map(\.count).max() ?? 0
      guard number <= count else {
        throw .impossible("there are \(count) pages", chinese: "共有 \(count) 页")
      }
      shown = number - 1
      return [.record(SimulationRecord("shown", [SimulationField("page", number)]))]
    case .clear: shown = nil
    case .freeze(let on): isFrozen = on
    case .breaksFirst(let on): options.breaksFirstFrame = on
    }
    return []
  }

  /// Takes a message.
  public mutating func receive(_ bytes: [UInt8]) -> [SimulatedAction] {
    guard bytes.count == 6, bytes[0] == 1, sizes.indices.contains(Int(bytes[1])) else {
      guard bytes == Self.stop, streaming != nil else { return [] }
      streaming = nil
      stream += 1
      return [.record(SimulationRecord("stream-stop", [SimulationField("frames", frames)]))]
    }
    let interval = bytes[2...].reversed().reduce(0) { $0 << 8 | Int($1) }
    let size = sizes[Int(bytes[1])]
    // No camera is faster than a thousand frames a second.
    streaming = (Int(bytes[1]), .microseconds(max(1000, interval / 10)))
    stream += 1
    isFirst = true
    let record = SimulationRecord(
      "stream-start", [SimulationField("width", size.width), SimulationField("height", size.height)])
    return [.record(record)] + frame()
  }

  /// Time for the next frame.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    token == stream && streaming != nil ? frame() : []
  }

  private mutating func frame() -> [SimulatedAction] {
    guard let streaming else { return [] }
    let next = SimulatedAction.wake(stream, after: streaming.interval)
    let choice = pages[streaming.size]
    guard let shown, !isFrozen, !choice.isEmpty else { return [next] }
    var image = choice[min(shown, choice.count - 1)]
    if isFirst, options.breaksFirstFrame { image = Array(image.prefix(image.count / 2)) }
    isFirst = false
    frames += 1
    return [.send(image), next]
  }
}
