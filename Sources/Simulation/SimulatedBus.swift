public import Channels
import Codecs
import Synchronization

/// Simulated devices in this process, by name: the channel is the model's own, with nothing between.
public final class SimulatedBus: Bus {
  /// The devices, in the order in which they were given.
  public let devices: [SimulatedDevice]
  /// Each device's changes when it was last tried to open it here.
  private let seen = Mutex<[String: Int]>([:])

  /// A bus; of two devices with one name the first is found.
  public init(_ devices: [SimulatedDevice]) { self.devices = devices }

  /// The device of that name.
  public func device(_ name: String) throws(SimulationError) -> SimulatedDevice {
    if let device = devices.first(where: { $0.name == name }) { return device }
    throw .unknownDevice(name, nearest: NearestWord.find(name, in: devices.map(\.name)))
  }

  /// True for `simulated:` addresses.
  public func supplies(_ address: ChannelAddress) -> Bool {
    if case .simulated = address { true } else { false }
  }

  /// Opens a device. A device on a line has one holder at a time; others may be opened more than once.
  public func open(
    _ address: ChannelAddress, as kind: ChannelKind?, line: LineSettings
  ) async throws(ChannelError) -> Channel {
    guard let device = find(address) else { throw .absent(address.description) }
    let changes = await device.changes
    seen.withLock { $0[device.name] = changes }
    switch device.kind {
    case .byteStream where kind == .reports:
      guard let reports = try await SimulatedUSBReports(device) else {
        throw .malformed("\(device.name) has no HID interface")
      }
      return .reports(reports)
    case .byteStream: return .byteStream(try await device.openLine(baud: line.baud))
    case .printQueue:
      try await device.openRequests()
      return .printQueue(SimulatedPrintQueue(device: device))
    case .httpExchange, .pageFeed:
      try await device.openRequests()
      return .httpExchange(SimulatedRequests(device: device, basePath: device.basePath ?? ""))
    case .reports, .inputEvents, .frames: return try await device.openMessages(as: kind ?? device.kind)
    case .screen: throw .absent(address.description)
    }
  }

  /// `transport`, and the model's name as `model`.
  public func facts(of address: ChannelAddress) async -> [String: String] {
    var facts = ["transport": address.transport]
    if let device = find(address) { facts["model"] = device.modelName }
    return facts
  }

  /// Returns when the device was plugged, unplugged or closed since it was last asked to open.
  public func waitForChange(at address: ChannelAddress) async {
    if let device = find(address) {
      let count = seen.withLock { $0[device.name] }
      let now = await device.changes
      await device.waitForChange(after: count ?? now)
      let changes = await device.changes
      return seen.withLock { $0[device.name] = changes }
    }
    // No device will ever appear under this name.
    let (never, continuation) = AsyncStream.makeStream(of: Never.self)
    for await _ in never {}
    continuation.finish()
  }

  private func find(_ address: ChannelAddress) -> SimulatedDevice? {
    guard case .simulated(let name) = address else { return nil }
    return devices.first { $0.name == name }
  }
}

/// The host's end of a simulated line.
public final class SimulatedLine: SerialLine {
  private let device: SimulatedDevice
  private let end: Int

  init(device: SimulatedDevice, end: Int) {
    self.device = device
    self.end = end
  }

  /// What arrived, at most `count` bytes.
  public func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    try await device.read(end, upTo: count, timeout: timeout)
  }
  /// Hands over bytes, waiting while the device holds the line.
  public func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    try await device.write(end, bytes, timeout: timeout)
  }
  /// Throws away what arrived.
  public func discardInput() async { await device.discardInput(end) }
  /// Uses another speed.
  public func setBaud(_ baud: Int) async throws(ChannelError) {
    await device.setBaud(baud)
    await device.discardInput(end)
  }
  /// False when the cable came out since it was opened, or it was closed.
  var isAttached: Bool { get async { await device.attached == end } }
  /// Lets the line go.
  public func close() async { await device.close(end) }
}

/// The host's end of a simulated HTTP device.
public final class SimulatedRequests: HTTPExchange {
  /// Path under which the device serves.
  public let basePath: String
  private let device: SimulatedDevice

  init(device: SimulatedDevice, basePath: String) {
    self.device = device
    self.basePath = basePath
  }

  /// One request and its answer; `.gone` when the connection is closed before the answer is whole.
  public func exchange(
    _ request: HTTPRequest, timeout: Duration
  ) async throws(ChannelError) -> HTTPResponse {
    let exchange = await Deadline.race(device.time, timeout) { await self.device.exchange(request) }
    switch exchange {
    case .answered(let response): return response
    case .cut: throw .gone
    case .closed: throw Task.isCancelled ? .cancelled : .gone
    case nil: throw Task.isCancelled ? .cancelled : .timedOut
    }
  }
  /// Nothing to let go.
  public func close() async {}
}

enum Deadline {
  /// The work's result, or nil when the time was over first.
  static func race<Value: Sendable>(
    _ time: any Timekeeper, _ timeout: Duration, _ work: @escaping @Sendable () async -> Value
  ) async -> Value? {
    await withTaskGroup(of: Value?.self) { group in
      group.addTask { await work() }
      group.addTask {
        _ = await time.sleep(for: timeout)
        return nil
      }
      let first = await group.next() ?? nil
      group.cancelAll()
      return first
    }
  }
}
