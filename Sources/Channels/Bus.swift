/// The forms of channel that a driver can ask for.
public enum ChannelKind: String, Sendable, CaseIterable {
  case byteStream = "byte-stream"
  case httpExchange = "http-exchange"
  case pageFeed = "page-feed"
  case printQueue = "print-queue"
  case reports
  case inputEvents = "input-events"
  case frames
  case screen
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
  /// HID devices.
  case reports(any ReportChannel)
  /// Keypads.
  case inputEvents(any InputEvents)
  /// Cameras.
  case frames(any FrameSource)
  /// Citizens' screens.
  case screen(any ScreenLink)

  /// Which form this is.
  public var kind: ChannelKind {
    switch self {
    case .byteStream: .byteStream
    case .httpExchange: .httpExchange
    case .pageFeed: .pageFeed
    case .printQueue: .printQueue
    case .reports: .reports
    case .inputEvents: .inputEvents
    case .frames: .frames
    case .screen: .screen
    }
  }

  /// Closes whatever is inside.
  public func close() async {
    switch self {
    case .byteStream(let stream): await stream.close()
    case .httpExchange(let exchange): await exchange.close()
    case .pageFeed(let feed): await feed.close()
    case .printQueue(let queue): await queue.close()
    case .reports(let reports): await reports.close()
    case .inputEvents(let events): await events.close()
    case .frames(let frames): await frames.close()
    case .screen(let screen): await screen.close()
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
  /// Whether a serial line's DTR is on while it is open; some devices are reset by it, some sleep without it.
  public var raisesDTR: Bool
  /// Whether a serial line's RTS is on while it is open; with hardware flow control the kernel switches it.
  public var raisesRTS: Bool
  /// What a USB interface that is used without a driver of the kernel needs to be told.
  public var usb: USBLine

  /// Settings; 9600 baud without flow control where the profile says nothing.
  public init(
    baud: Int = 9600, flowControl: FlowControl = .none, raisesDTR: Bool = true, raisesRTS: Bool = true,
    usb: USBLine = USBLine()
  ) {
    self.baud = baud
    self.flowControl = flowControl
    self.raisesDTR = raisesDTR
    self.raisesRTS = raisesRTS
    self.usb = usb
  }
}

/// How a USB interface is used, from the profile.
public struct USBLine: Sendable, Equatable {
  /// The endpoints; nil chooses the interface's own first ones, and lets the driver choose where several layouts are
  /// possible (``LayoutChoice``).
  public var layout: PipeLayout?
  /// Whether the interface is taken from a driver of the kernel that has it; else it is busy then.
  public var takesFromKernel: Bool
  /// Whether the kernel may have the interface back at the end; some devices do not stand it (1a86:7584,
  /// facts/devices.md A5).
  public var givesBack: Bool
  /// Whether an empty packet follows a write whose last packet is full, for devices that wait for the end of the transfer.
  public var endsWithZeroPacket: Bool
  /// Bytes asked for at once, rounded up to whole packets; 0 is one packet, which is right for every device. More is faster
  /// with devices that end what they send with a short packet, and makes others wait for the read's timeout.
  public var readSize: Int

  /// As is right for most.
  public init(
    layout: PipeLayout? = nil, takesFromKernel: Bool = true, givesBack: Bool = true,
    endsWithZeroPacket: Bool = false, readSize: Int = 0
  ) {
    self.layout = layout
    self.takesFromKernel = takesFromKernel
    self.givesBack = givesBack
    self.endsWithZeroPacket = endsWithZeroPacket
    self.readSize = readSize
  }
}

/// Supplies channels: the machine's own devices, or simulated ones.
public protocol Bus: Sendable {
  /// True when addresses of this form are this bus's.
  func supplies(_ address: ChannelAddress) -> Bool
  /// Everything the device at an address can be opened by, with what is known of each: one for a plain address, each
  /// interface and node of a USB device for `usb:`. Empty while nothing is there.
  func candidates(at address: ChannelAddress) async -> [ChannelCandidate]
  /// Opens the channel at an address, in the form wanted where there is a choice; nil: in the form that is usual there.
  func open(
    _ address: ChannelAddress, as kind: ChannelKind?, line: LineSettings
  ) async throws(ChannelError) -> Channel
  /// What is known of the device at an address before it is opened, for matching: `transport` always.
  func facts(of address: ChannelAddress) async -> [String: String]
  /// Returns when something at the address may have changed (a node appeared, a simulated plug went in), or when the
  /// task is cancelled. A bus that cannot tell returns only on cancellation; the supervisor then goes by its back-off.
  func waitForChange(at address: ChannelAddress) async
  /// As ``waitForChange(at:)``, and at once when ``candidates(at:)`` would not say any more what it said.
  func waitForChange(at address: ChannelAddress, from seen: [ChannelCandidate]) async
  /// Who keeps a device from being opened, or is known to do so, as far as the system tells.
  func rivals(of candidate: ChannelCandidate) async -> [Rival]
  /// The kernel's modules that are for a device; nil where that cannot be known. Takes a while: for a failure.
  func modules(for candidate: ChannelCandidate) async -> [String]?
  /// Makes the device start anew without a hand at its plug (a reset of its USB port).
  func restart(_ candidate: ChannelCandidate) async throws(ChannelError)
}

extension Bus {
  /// The address itself.
  public func candidates(at address: ChannelAddress) async -> [ChannelCandidate] {
    [ChannelCandidate(address: address, facts: await facts(of: address))]
  }

  /// Goes by the address alone.
  public func waitForChange(at address: ChannelAddress, from seen: [ChannelCandidate]) async {
    await waitForChange(at: address)
  }

  /// Nobody is known.
  public func rivals(of candidate: ChannelCandidate) async -> [Rival] { [] }

  /// It cannot be known.
  public func modules(for candidate: ChannelCandidate) async -> [String]? { nil }

  /// There is no way to.
  public func restart(_ candidate: ChannelCandidate) async throws(ChannelError) {
    throw .absent("a way to restart \(candidate.address)")
  }

  /// Opens the channel at an address in the form that is usual there.
  public func open(_ address: ChannelAddress, line: LineSettings) async throws(ChannelError) -> Channel {
    try await open(address, as: nil, line: line)
  }
}

/// One way to open a device.
public struct ChannelCandidate: Sendable, Hashable {
  /// What to open.
  public var address: ChannelAddress
  /// What is known of it, for matching: the words of a profile's `[match]` section.
  public var facts: [String: String]
  /// The device it is a part of, where that is known; nil for what is a device by itself.
  public var unit: DeviceUnit?

  /// A candidate.
  public init(address: ChannelAddress, facts: [String: String], unit: DeviceUnit? = nil) {
    self.address = address
    self.facts = facts
    self.unit = unit
  }
}

/// One device of several a slot may have: how it is told from others of its model, over replugging and restarts.
public struct DeviceUnit: Sendable, Hashable {
  /// What model it is: vendor and product id, `0483:070b`.
  public var model: String
  /// Its own number; nil where it has none, or one that others have too.
  public var serial: String?
  /// Where it is plugged in, independent of the order in which controllers were found: `0000:00:14.0:1.2`.
  public var place: String
  /// The same for people, as the configuration has it: `1-1.2`.
  public var port: String
  /// What it calls itself: maker and product.
  public var name: String

  /// A unit.
  public init(model: String, serial: String?, place: String, port: String, name: String) {
    self.model = model
    self.serial = serial
    self.place = place
    self.port = port
    self.name = name
  }

  /// True for the same unit, wherever it is plugged in; without a number of its own a unit is known by its place.
  public func isSame(as other: DeviceUnit) -> Bool {
    guard model == other.model else { return false }
    if let serial, let another = other.serial { return serial == another }
    return place == other.place
  }
}

/// Somebody who has a device that is wanted.
public struct Rival: Sendable, Hashable {
  /// How it is known.
  public enum Form: Sendable, Hashable {
    /// The kernel's own driver is bound to it.
    case kernelDriver
    /// A program that has it open.
    case holder
    /// A program that runs and is known to take such devices; whether it has this one cannot be seen.
    case suspect
  }
  /// How it is known.
  public var form: Form
  /// `usblp`, `ModemManager`.
  public var name: String
  /// The process; nil for a driver.
  public var process: Int?
  /// What it holds: a node or an interface.
  public var device: String

  /// A rival.
  public init(form: Form, name: String, process: Int? = nil, device: String) {
    self.form = form
    self.name = name
    self.process = process
    self.device = device
  }
}
