internal import Posix

/// What is plugged in, kept up to date by udev's events.
///
/// The monitor listens before the machine is looked through, so that nothing falls between; what is told twice counts
/// once. There is one path for what was there and for what comes (``DeviceTree``). Reading the kernel's attributes may
/// wait for a device, so it has a thread of its own; at rest nothing wakes.
public actor DeviceWatch {
  private nonisolated let worker = Worker(name: "hotplug")
  /// The actor's thread.
  public nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  private var udev: Udev?
  private var tree = DeviceTree()
  private var follower: Task<Void, Never>?
  private var listeners: [Int: AsyncStream<DeviceChange>.Continuation] = [:]
  private var lastListener = 0
  /// Why nothing is heard of devices that come and go; nil while all is well. What is there is known all the same, as it
  /// is looked for each time somebody asks.
  public private(set) var failure: HotplugError?

  /// A watch; it begins when it is first asked.
  public init() {}

  deinit { follower?.cancel() }

  /// Every USB device but hubs, in order of their ports.
  public func units() -> [USBUnit] {
    begin()
    return tree.units
  }

  /// A node, with the interface and the USB device it belongs to, if it is on USB.
  /// - Parameter path: the node itself, not a link to it.
  public func node(at path: String) -> (node: DeviceNode, unit: USBUnit?, interface: USBInterface?)? {
    begin()
    return tree.node(at: path)
  }

  /// What is touched from now on, until the stream is dropped.
  public func changes() -> AsyncStream<DeviceChange> {
    begin()
    lastListener += 1
    let number = lastListener
    let (stream, continuation) = AsyncStream<DeviceChange>.makeStream()
    listeners[number] = continuation
    continuation.onTermination = { [weak self] _ in
      guard let self else { return }
      Task { await self.drop(number) }
    }
    return stream
  }

  private func drop(_ number: Int) { listeners[number] = nil }

  // MARK: Following

  private func begin() {
    if let udev {
      // Without a monitor every question looks anew.
      if udev.descriptor == nil { tell(tree.replace(with: udev.enumerate())) }
      return
    }
    do throws(HotplugError) {
      let udev = try Udev()
      self.udev = udev
      failure = udev.monitorFailure.map { .system($0) }
      for record in udev.enumerate() { tree.apply(DeviceEvent(.present, record)) }
      take()
      guard let descriptor = udev.descriptor else { return }
      follower = Task { [weak self] in
        // The watch is not held while waiting: it ends when nobody has it any more, and that wakes this.
        while !Task.isCancelled {
          switch await Poller.shared.wait(for: .read, on: descriptor, timeout: nil) {
          case .cancelled: return
          case .ready, .hangup, .timedOut: break
          }
          guard let self else { return }
          await self.take()
        }
      }
    } catch {
      failure = error
    }
  }

  private func take() {
    guard let udev else { return }
    let (events, overrun) = udev.receive()
    var change = DeviceChange()
    for event in events { change.merge(tree.apply(event)) }
    if overrun { change.merge(tree.replace(with: udev.enumerate())) }
    tell(change)
  }

  private func tell(_ change: DeviceChange) {
    guard !change.isEmpty else { return }
    for listener in listeners.values { listener.yield(change) }
  }
}
