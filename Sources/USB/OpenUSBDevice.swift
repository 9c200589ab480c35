internal import CLibUSB
internal import Posix
internal import Synchronization

/// A handle of libusb's.
@safe struct USBHandle: @unchecked Sendable {
  let raw: OpaquePointer
}

/// What of libusb belongs to one open device: context, handle, descriptor, claimed interfaces. Its calls block.
@safe final class OpenUSBDevice: @unchecked Sendable {
  private struct State {
    var isClosed = false
    /// Interfaces to give back, and whether to a driver of the kernel.
    var claimed: [UInt8: Bool] = [:]
  }

  /// Valid until ``close()``, which its users have to come before: transfers by ``USBDevice``'s table, everything else by
  /// ``use(_:)``.
  let handle: USBHandle
  private let context: OpaquePointer
  private let pump: EventPump
  /// The node, for waiting only.
  let descriptor: Int32
  /// Held during calls that block: they run on threads of their own.
  private let state = Mutex(State())
  private static let discoveryIsOff = clibusb_disable_discovery() == 0

  init(node: String) throws(USBError) {
    guard Self.discoveryIsOff else {
      throw USBError(LIBUSB_ERROR_NOT_SUPPORTED.rawValue, "libusb_set_option")
    }
    let file: Descriptor
    do throws(SystemError) {
      file = try Files.open(node, .readingAndWriting)
    } catch {
      throw .system(error)
    }
    var context: OpaquePointer?
    try USBError.check(unsafe libusb_init(&context), "libusb_init")
    guard let context = unsafe context else {
      throw USBError(LIBUSB_ERROR_OTHER.rawValue, "libusb_init")
    }
    let pump = unsafe EventPump(context)
    var handle: OpaquePointer?
    do throws(USBError) {
      try pump.start()
      try USBError.check(
        unsafe libusb_wrap_sys_device(context, Int(file.raw), &handle), "libusb_wrap_sys_device")
    } catch {
      pump.stop()
      unsafe libusb_exit(context)
      throw error
    }
    guard let handle = unsafe handle else {
      pump.stop()
      unsafe libusb_exit(context)
      throw USBError(LIBUSB_ERROR_OTHER.rawValue, "libusb_wrap_sys_device")
    }
    unsafe self.context = unsafe context
    self.pump = pump
    self.handle = unsafe USBHandle(raw: handle)
    descriptor = file.release()
  }

  deinit { close() }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Lends the handle; `.cancelled` when the device is closed. It stays valid meanwhile.
  func use(_ body: (USBHandle) throws(USBError) -> Void) throws(USBError) {
    try state.withLock { state throws(USBError) in
      guard !state.isClosed else { throw .cancelled }
      try body(handle)
    }
  }

  func claim(
    _ interface: UInt8, _ alternate: UInt8?, _ detaching: Bool, _ reattaching: Bool
  ) throws(USBError) {
    try state.withLock { state throws(USBError) in
      guard !state.isClosed else { throw .cancelled }
      if state.claimed[interface] == nil {
        let hadDriver = unsafe libusb_kernel_driver_active(handle.raw, Int32(interface)) == 1
        // Detaching and claiming are one step of the kernel's then, and a program that has the interface keeps it.
        unsafe _ = libusb_set_auto_detach_kernel_driver(handle.raw, detaching ? 1 : 0)
        try USBError.check(
          unsafe libusb_claim_interface(handle.raw, Int32(interface)), "libusb_claim_interface")
        state.claimed[interface] = hadDriver && reattaching
      }
      if let alternate {
        try USBError.check(
          unsafe libusb_set_interface_alt_setting(handle.raw, Int32(interface), Int32(alternate)),
          "libusb_set_interface_alt_setting")
      }
    }
  }

  /// Gives everything back. The device must have no transfer any more.
  func close() {
    state.withLock { state in
      guard !state.isClosed else { return }
      state.isClosed = true
      for (interface, reattaching) in state.claimed {
        // Of a device that is gone nothing has to be given back.
        unsafe _ = libusb_set_auto_detach_kernel_driver(handle.raw, reattaching ? 1 : 0)
        unsafe _ = libusb_release_interface(handle.raw, Int32(interface))
      }
      pump.stop()
      unsafe libusb_close(handle.raw)
      unsafe libusb_exit(context)
      _ = Descriptor(adopting: descriptor)
    }
  }
}
