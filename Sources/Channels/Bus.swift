/// Where a device is, as it stands in the configuration.
public enum ChannelAddress: Sendable, Hashable, CustomStringConvertible {
  /// A serial line or pty: `tty:/dev/ttyS1`.
  case tty(path: String)
  /// An HTTP device on loopback: `http://127.0.0.1:60000/eSCL`.
  case http(port: UInt16, path: String)
  /// A SANE device name: `sane:test:0`.
  case sane(name: String)
  /// A CUPS queue, on the default server or on a socket: `cups:Receipt`, `cups:Receipt@/run/cups/cups.sock`.
  case cups(queue: String, server: String?)
  /// A simulated device in this process: `simulated:idcard`.
  case simulated(name: String)

  /// Reads the forms shown at the cases; nil for anything else, for another host than loopback, and for empty names.
  public init?(_ text: String) {
    func rest(_ prefix: String) -> String? {
      guard text.hasPrefix(prefix), text.count > prefix.count else { return nil }
      return String(text.dropFirst(prefix.count))
    }
    if let path = rest("tty:") {
      guard path.hasPrefix("/") else { return nil }
      self = .tty(path: path)
    } else if let name = rest("sane:") {
      self = .sane(name: name)
    } else if let name = rest("simulated:") {
      self = .simulated(name: name)
    } else if let queue = rest("cups:") {
      let parts = queue.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.first, !name.isEmpty else { return nil }
      if parts.count == 2 {
        guard parts[1].hasPrefix("/") else { return nil }
        self = .cups(queue: String(name), server: String(parts[1]))
      } else {
        self = .cups(queue: String(name), server: nil)
      }
    } else if let place = rest("http://127.0.0.1:") ?? rest("http://localhost:") {
      let parts = place.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = parts.first, let port = UInt16(first), port > 0 else { return nil }
      var path = parts.count == 2 ? "/" + parts[1] : ""
      while path.hasSuffix("/") { path.removeLast() }
      self = .http(port: port, path: path)
    } else {
      return nil
    }
  }

  /// The form that ``init(_:)`` reads.
  public var description: String {
    switch self {
    case .tty(let path): "tty:\(path)"
    case .http(let port, let path): "http://127.0.0.1:\(port)\(path)"
    case .sane(let name): "sane:\(name)"
    case .cups(let queue, nil): "cups:\(queue)"
    case .cups(let queue, let server?): "cups:\(queue)@\(server)"
    case .simulated(let name): "simulated:\(name)"
    }
  }

  /// The word a profile's `transport` predicate is held against.
  public var transport: String {
    switch self {
    case .tty: "tty"
    case .http: "http"
    case .sane: "sane"
    case .cups: "cups"
    case .simulated: "simulated"
    }
  }
}

/// The forms of channel that a driver can ask for.
public enum ChannelKind: String, Sendable, CaseIterable {
  case byteStream = "byte-stream"
  case httpExchange = "http-exchange"
  case pageFeed = "page-feed"
  case printQueue = "print-queue"
}

/// An opened channel.
public enum Channel: Sendable {
  /// Serial and raw devices.
  case byteStream(any ByteStream)
  /// eSCL scanners.
  case httpExchange(any HTTPExchange)
  /// SANE devices.
  case pageFeed(any PageFeed)
  /// CUPS queues.
  case printQueue(any PrintQueue)

  /// Which form this is.
  public var kind: ChannelKind {
    switch self {
    case .byteStream: .byteStream
    case .httpExchange: .httpExchange
    case .pageFeed: .pageFeed
    case .printQueue: .printQueue
    }
  }

  /// Closes whatever is inside.
  public func close() async {
    switch self {
    case .byteStream(let stream): await stream.close()
    case .httpExchange(let exchange): await exchange.close()
    case .pageFeed(let feed): await feed.close()
    case .printQueue(let queue): await queue.close()
    }
  }
}

/// What the line itself needs to be told, from the profile.
public struct LineSettings: Sendable, Equatable {
  /// How a serial line tells the other side to wait.
  public enum FlowControl: String, Sendable, CaseIterable { case none, hardware, software }
  /// Bits per second on a serial line: 9600, 19200, 38400, 57600 or 115200. Always 8 data bits, no parity, 1 stop bit.
  public var baud: Int
  /// Flow control on a serial line.
  public var flowControl: FlowControl

  /// Settings; 9600 baud without flow control where the profile says nothing.
  public init(baud: Int = 9600, flowControl: FlowControl = .none) {
    self.baud = baud
    self.flowControl = flowControl
  }
}

/// Supplies channels: the machine's own devices, or simulated ones.
public protocol Bus: Sendable {
  /// True when addresses of this form are this bus's.
  func supplies(_ address: ChannelAddress) -> Bool
  /// Opens the channel at an address.
  func open(_ address: ChannelAddress, line: LineSettings) async throws(ChannelError) -> Channel
  /// What is known of the device at an address before it is opened, for matching: `transport` always.
  func facts(of address: ChannelAddress) async -> [String: String]
  /// Returns when something at the address may have changed (a node appeared, a simulated plug went in), or when the
  /// task is cancelled. A bus that cannot tell returns only on cancellation; the supervisor then goes by its back-off.
  func waitForChange(at address: ChannelAddress) async
}
