internal import CLibUSB
internal import Glibc
internal import Posix
internal import Synchronization

/// Lets one libusb context handle its events whenever the poller sees one of its descriptors ready.
///
/// Timeouts are events as well: libusb keeps them in a timerfd. So nothing runs, and no thread waits, while no transfer
/// ends.
@safe final class EventPump: @unchecked Sendable {
  private let context: OpaquePointer
  /// True once ``stop()`` was called. Held while libusb handles events, so that callbacks come one at a time and none
  /// comes after.
  private let stopped = Mutex(false)
  /// Not under the lock above: libusb removes a descriptor in the middle of handling events.
  private let watches = Mutex<[Int32: Task<Void, Never>]>([:])

  init(_ context: OpaquePointer) { unsafe self.context = unsafe context }

  /// Starts to serve the context, which has to outlive ``stop()``.
  func start() throws(USBError) {
    // Without a timerfd somebody would have to ask for the next timeout before each wait.
    guard unsafe libusb_pollfds_handle_timeouts(context) == 1 else {
      throw USBError(LIBUSB_ERROR_NOT_SUPPORTED.rawValue, "libusb_pollfds_handle_timeouts")
    }
    unsafe libusb_set_pollfd_notifiers(
      context, descriptorAdded, descriptorRemoved, Unmanaged.passUnretained(self).toOpaque())
    guard let list = unsafe libusb_get_pollfds(context) else {
      throw USBError(LIBUSB_ERROR_NO_MEM.rawValue, "libusb_get_pollfds")
    }
    defer { unsafe libusb_free_pollfds(list) }
    var next = unsafe list
    while let entry = unsafe next.pointee {
      unsafe watch(entry.pointee.fd, entry.pointee.events)
      unsafe next += 1
    }
  }

  /// Serves no more: when it returns, no callback runs and none will. Every transfer has to be over.
  func stop() {
    stopped.withLock { $0 = true }
    unsafe libusb_set_pollfd_notifiers(context, nil, nil, nil)
    let tasks = watches.withLock { watches in
      defer { watches = [:] }
      return watches
    }
    for (descriptor, task) in tasks {
      task.cancel()
      Poller.shared.forget(descriptor)
    }
  }

  fileprivate func watch(_ descriptor: Int32, _ events: Int16) {
    // libusb waits for input on its own descriptors and for output on a device's (usbfs: something can be reaped).
    let interest: Poller.Interest = Int32(events) & POLLOUT != 0 ? .write : .read
    let task = Task { await self.serve(descriptor, interest) }
    let former = watches.withLock { $0.updateValue(task, forKey: descriptor) }
    former?.cancel()
  }

  fileprivate func unwatch(_ descriptor: Int32) {
    let task = watches.withLock { $0.removeValue(forKey: descriptor) }
    task?.cancel()
    Poller.shared.forget(descriptor)
  }

  private func serve(_ descriptor: Int32, _ interest: Poller.Interest) async {
    var pause = Duration.milliseconds(1)
    while !Task.isCancelled {
      switch await Poller.shared.wait(for: interest, on: descriptor, timeout: nil) {
      case .ready:
        handleEvents()
        pause = .milliseconds(1)
      case .hangup:
        handleEvents()
        // The kernel reports a device as hung up a moment before it lets go of it and libusb takes the descriptor out
        // (usbdev_poll: EPOLLHUP, then EPOLLERR). Meanwhile it stays "ready".
        guard !Task.isCancelled, await Poller.shared.sleep(for: pause) else { return }
        pause = min(pause * 2, .milliseconds(50))
      case .timedOut: break
      case .cancelled: return
      }
    }
  }

  private func handleEvents() {
    stopped.withLock { stopped in
      guard !stopped else { return }
      var atOnce = timeval(tv_sec: 0, tv_usec: 0)
      // A failure here is one of poll(2) on descriptors that are open: there is nothing to do about it.
      _ = unsafe libusb_handle_events_timeout_completed(context, &atOnce, nil)
    }
  }
}

private func descriptorAdded(_ descriptor: Int32, _ events: Int16, _ pump: UnsafeMutableRawPointer?) {
  guard let pump = unsafe pump else { return }
  unsafe Unmanaged<EventPump>.fromOpaque(pump).takeUnretainedValue().watch(descriptor, events)
}

private func descriptorRemoved(_ descriptor: Int32, _ pump: UnsafeMutableRawPointer?) {
  guard let pump = unsafe pump else { return }
  unsafe Unmanaged<EventPump>.fromOpaque(pump).takeUnretainedValue().unwatch(descriptor)
}
