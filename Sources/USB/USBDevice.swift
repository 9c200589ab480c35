internal import CLibUSB
internal import Posix
internal import Synchronization

/// An opened USB device.
///
/// Every device has a libusb context of its own: one that keeps the kernel waiting (a controller in trouble, a driver that
/// is being bound) holds up no other, and closing leaves nothing behind. Nothing is scanned and no strange device is
/// looked at: the node is opened by this program and handed to libusb.
public final class USBDevice: Sendable {
  /// The kind of an endpoint that bytes go through.
  public enum PipeKind: Sendable {
    /// Guaranteed delivery, no guaranteed time.
    case bulk
    /// Guaranteed delivery within a polling interval.
    case interrupt

    var transferType: UInt8 {
      switch self {
      case .bulk: UInt8(truncatingIfNeeded: LIBUSB_TRANSFER_TYPE_BULK.rawValue)
      case .interrupt: UInt8(truncatingIfNeeded: LIBUSB_TRANSFER_TYPE_INTERRUPT.rawValue)
      }
    }
  }

  /// The device's node, such as `/dev/bus/usb/001/004`.
  public let node: String
  private let open: OpenUSBDevice
  private let flights = Mutex(Flights())

  private struct Flights {
    var isClosed = false
    var lastID: UInt64 = 0
    var flying: [UInt64: Flight] = [:]
    var landed: [CheckedContinuation<Void, Never>] = []
  }

  /// What ``close()`` ends and waits for.
  private enum Flight {
    case transfer(USBTransfer)
    case wait(Task<Readiness, Never>)

    func cancel() {
      switch self {
      case .transfer(let transfer): transfer.cancel()
      case .wait(let task): task.cancel()
      }
    }
  }

  /// The most one transfer moves; longer requests are cut to it.
  public static let largestTransfer = 1 << 20

  private init(node: String, open: OpenUSBDevice) {
    self.node = node
    self.open = open
  }

  deinit {
    // No transfer is flying: each keeps the device.
    let open = open
    if !open.isClosed { Task { await onOwnThread("usb close") { () throws(Never) in open.close() } } }
  }

  /// Opens a device by its node. Configuration and interfaces stay as they are; nothing is claimed yet.
  /// - Throws: `.system` with `ENOENT`, `ENODEV` or `EACCES` from the node, or what libusb says to it.
  public static func open(node: String) async throws(USBError) -> USBDevice {
    let open = try await onOwnThread("usb open") { () throws(USBError) in try OpenUSBDevice(node: node) }
    return USBDevice(node: node, open: open)
  }

  // MARK: Interfaces

  /// Takes an interface for this program, away from a driver of the kernel where one has it, and chooses its alternate
  /// setting.
  ///
  /// Closing gives the interface back: the kernel then binds whatever driver fits.
  /// - Parameters:
  ///   - alternate: the setting to choose; nil leaves the one that is chosen.
  ///   - detaching: false leaves a kernel's driver where it is; the interface is `.busy` then.
  ///   - reattaching: false leaves the interface without a driver at closing, for devices that do not stand it.
  /// - Throws: `.busy` when a program has it, `.notFound` when the active configuration has no such interface.
  public func claim(
    _ interface: UInt8, alternate: UInt8? = nil, detaching: Bool = true, reattaching: Bool = true
  ) async throws(USBError) {
    let open = open
    try await onOwnThread("usb claim") { () throws(USBError) in
      try open.claim(interface, alternate, detaching, reattaching)
    }
  }

  /// Clears an endpoint's halt on both sides (USB 2.0, 9.4.5); the data toggle begins anew.
  public func clearHalt(_ endpoint: UInt8) async throws(USBError) {
    let open = open
    try await onOwnThread("usb clear halt") { () throws(USBError) in
      try open.use { handle throws(USBError) in
        try USBError.check(unsafe libusb_clear_halt(handle.raw, endpoint), "libusb_clear_halt")
      }
    }
  }

  /// Resets the device's port and restores its configuration and claimed interfaces.
  /// - Throws: `.notFound` or `.gone` when the device came back as another one: it has to be opened again.
  public func reset() async throws(USBError) {
    let open = open
    try await onOwnThread("usb reset") { () throws(USBError) in
      try open.use { handle throws(USBError) in
        try USBError.check(unsafe libusb_reset_device(handle.raw), "libusb_reset_device")
      }
    }
  }

  // MARK: Transfers

  /// Receives until `count` bytes, a short packet, the time's end or the task's cancellation.
  ///
  /// What came before a timeout or a cancellation is in the result: nothing is lost.
  /// - Parameters:
  ///   - endpoint: its address, with bit 7.
  ///   - count: a multiple of the endpoint's packet size; what the device sends beyond it is `.overflow`.
  ///   - timeout: nil waits without limit.
  public func receive(
    from endpoint: UInt8, _ kind: PipeKind, count: Int, timeout: Duration?
  ) async -> USBTransferResult {
    let capacity = min(max(count, 1), Self.largestTransfer)
    return await run(.into(endpoint: endpoint | 0x80, kind: kind, capacity: capacity), timeout)
  }

  /// Sends bytes as one transfer, at most ``largestTransfer`` of them.
  /// - Parameters:
  ///   - endpoint: its address, without bit 7.
  ///   - endsWithZeroPacket: when the last packet is a full one, an empty one follows, which tells the device where the
  ///     transfer ends.
  ///   - timeout: nil waits without limit.
  public func send(
    _ bytes: [UInt8], to endpoint: UInt8, _ kind: PipeKind, endsWithZeroPacket: Bool = false,
    timeout: Duration?
  ) async -> USBTransferResult {
    let bytes = bytes.count > Self.largestTransfer ? Array(bytes.prefix(Self.largestTransfer)) : bytes
    let request = USBTransfer.Request.from(
      endpoint: endpoint & 0x7f, kind: kind, bytes: bytes, endsWithZeroPacket: endsWithZeroPacket)
    return await run(request, timeout)
  }

  /// Makes a control transfer.
  ///
  /// - Parameters:
  ///   - setup: its `length` is how much is wanted of a device that sends; else the number of `bytes` stands there.
  ///   - bytes: what follows to the device; at most 65535.
  public func control(
    _ setup: USBControlSetup, bytes: [UInt8] = [], timeout: Duration?
  ) async -> USBTransferResult {
    var setup = setup
    let bytes = setup.isInput ? [] : Array(bytes.prefix(Int(UInt16.max)))
    if !setup.isInput { setup.length = UInt16(bytes.count) }
    return await run(.control(setup: setup, bytes: bytes), timeout)
  }

  /// Waits until the device has been unplugged, without a transfer: for devices that never send.
  /// - Returns: `.gone`, `.timedOut` or `.cancelled`.
  public func waitUntilGone(timeout: Duration?) async -> USBError {
    let started = flights.withLock { flights -> (UInt64, Task<Readiness, Never>)? in
      guard !flights.isClosed else { return nil }
      let descriptor = open.descriptor
      let task = Task { await Poller.shared.wait(for: .hangup, on: descriptor, timeout: timeout) }
      return (Self.enter(.wait(task), in: &flights), task)
    }
    guard let (id, task) = started else { return .cancelled }
    let readiness = await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
    leave(id)
    switch readiness {
    case .ready, .hangup: return .gone
    case .timedOut: return .timedOut
    // libusb lets the poller forget the descriptor of a device that is gone.
    case .cancelled: return task.isCancelled ? .cancelled : .gone
    }
  }

  /// Ends every transfer with `.cancelled`, gives the interfaces back and closes the device. May be called more than once;
  /// each call returns when it is done.
  public func close() async {
    let flying = flights.withLock { flights in
      flights.isClosed = true
      return Array(flights.flying.values)
    }
    for flight in flying { flight.cancel() }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let areLanded = flights.withLock { flights in
        if !flights.flying.isEmpty { flights.landed.append(continuation) }
        return flights.flying.isEmpty
      }
      if areLanded { continuation.resume() }
    }
    let open = open
    await onOwnThread("usb close") { () throws(Never) in open.close() }
  }

  private func run(_ request: USBTransfer.Request, _ timeout: Duration?) async -> USBTransferResult {
    let started = flights.withLock { flights -> Result<(UInt64, USBTransfer), USBError> in
      // A transfer that is in the table keeps ``close()`` waiting, and so the handle valid.
      guard !flights.isClosed else { return .failure(.cancelled) }
      return Result { () throws(USBError) in
        let transfer = try unsafe USBTransfer(
          request, on: open.handle.raw, timeout: Self.milliseconds(timeout))
        return (Self.enter(.transfer(transfer), in: &flights), transfer)
      }
    }
    let (id, transfer): (UInt64, USBTransfer)
    do throws(USBError) {
      (id, transfer) = try started.get()
    } catch {
      return USBTransferResult(failure: error)
    }
    let result = await transfer.fly()
    transfer.release()
    leave(id)
    return result
  }

  private static func enter(_ flight: Flight, in flights: inout Flights) -> UInt64 {
    flights.lastID += 1
    flights.flying[flights.lastID] = flight
    return flights.lastID
  }

  private func leave(_ id: UInt64) {
    let landed = flights.withLock { flights -> [CheckedContinuation<Void, Never>] in
      flights.flying[id] = nil
      guard flights.flying.isEmpty else { return [] }
      defer { flights.landed = [] }
      return flights.landed
    }
    for continuation in landed { continuation.resume() }
  }

  /// libusb's form of a timeout, in which 0 is none: rounded up, at least 1.
  static func milliseconds(_ timeout: Duration?) -> UInt32 {
    guard let timeout else { return 0 }
    let parts = timeout.components
    guard parts.seconds >= 0, parts.attoseconds >= 0 else { return 1 }
    guard parts.seconds < Int64(Int32.max) / 1000 else { return UInt32(Int32.max) }
    let fraction = (parts.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    return UInt32(max(parts.seconds * 1000 + fraction, 1))
  }
}
