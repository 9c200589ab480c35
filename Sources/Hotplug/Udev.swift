internal import CUdev
internal import Glibc
internal import Posix

/// libudev's context with a monitor of what udev tells, once its rules have run. Used by one thread at a time.
@safe final class Udev {
  /// What is asked of a device, by subsystem and type. Reading an attribute may wake a device, so only what is needed.
  private static let attributes: [String: [String]] = [
    "usb_device": [
      "idVendor", "idProduct", "bcdDevice", "bDeviceClass", "bDeviceSubClass", "bDeviceProtocol", "devnum",
      "manufacturer", "product", "serial", "speed",
    ],
    "usb_interface": [
      "bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol", "interface", "ieee1284_id", "modalias",
    ],
    "input": ["name", "capabilities/key"],
    "video4linux": ["name", "index"],
  ]
  private static let properties = [
    "MODALIAS", "HID_NAME", "ID_V4L_CAPABILITIES", "ID_USB_DRIVER", "ID_MM_DEVICE_IGNORE",
  ]
  private static let subsystems = [
    "usb", "usbmisc", "hid", "hidraw", "input", "video4linux", "tty", "usb-serial",
  ]

  private let context: OpaquePointer
  private let monitor: OpaquePointer?
  /// Why there is no monitor; nil when there is one.
  let monitorFailure: SystemError?

  /// A monitor that hears from now on.
  /// - Throws: when libudev itself refuses; a monitor that cannot be had is no error, but told by ``monitorFailure``.
  init() throws(HotplugError) {
    guard let context = unsafe udev_new() else {
      throw .system(SystemError(call: "udev_new", code: errno))
    }
    unsafe self.context = context
    do throws(SystemError) {
      unsafe monitor = try Self.listen(context)
      monitorFailure = nil
    } catch {
      unsafe monitor = nil
      monitorFailure = error
    }
  }

  deinit {
    if let monitor = unsafe monitor {
      Poller.shared.forget(unsafe udev_monitor_get_fd(monitor))
      unsafe udev_monitor_unref(monitor)
    }
    unsafe udev_unref(context)
  }

  private static func listen(_ context: OpaquePointer) throws(SystemError) -> OpaquePointer {
    // "udev", not "kernel": when it tells, the node has its permissions.
    guard let monitor = unsafe udev_monitor_new_from_netlink(context, "udev") else {
      throw SystemError(call: "udev_monitor_new_from_netlink", code: errno)
    }
    var result: Int32 = 0
    for subsystem in subsystems where result >= 0 {
      result = unsafe udev_monitor_filter_add_match_subsystem_devtype(monitor, subsystem, nil)
    }
    // A hub with everything on it comes at once. More than the system's limit needs a privilege: then it stays.
    _ = unsafe udev_monitor_set_receive_buffer_size(monitor, 4 << 20)
    if result >= 0 { result = unsafe udev_monitor_enable_receiving(monitor) }
    guard result >= 0 else {
      unsafe udev_monitor_unref(monitor)
      throw SystemError(call: "udev_monitor_enable_receiving", code: -result)
    }
    return unsafe monitor
  }

  /// To be waited for; nil without a monitor.
  var descriptor: Int32? {
    guard let monitor = unsafe monitor else { return nil }
    return unsafe udev_monitor_get_fd(monitor)
  }

  /// What came, and whether more came than could be kept, so that the machine has to be looked through again.
  func receive() -> (events: [DeviceEvent], overrun: Bool) {
    guard let monitor = unsafe monitor else { return ([], false) }
    var events: [DeviceEvent] = []
    var overrun = false
    // Bounded, so that a device that comes and goes without end cannot keep this from returning.
    for _ in 0..<1024 {
      errno = 0
      guard let device = unsafe udev_monitor_receive_device(monitor) else {
        switch errno {
        case ENOBUFS: overrun = true
        case EINTR: break
        default: return (events, overrun)
        }
        continue
      }
      if let event = unsafe event(device) { events.append(event) }
      unsafe udev_device_unref(device)
    }
    return (events, overrun)
  }

  /// Every device that is there now.
  func enumerate() -> [DeviceRecord] {
    guard let list = unsafe udev_enumerate_new(context) else { return [] }
    defer { unsafe udev_enumerate_unref(list) }
    for subsystem in Self.subsystems { _ = unsafe udev_enumerate_add_match_subsystem(list, subsystem) }
    guard unsafe udev_enumerate_scan_devices(list) >= 0 else { return [] }
    var records: [DeviceRecord] = []
    var entry = unsafe udev_enumerate_get_list_entry(list)
    while let here = unsafe entry {
      // One that has gone meanwhile gives none; its removal is told by the monitor.
      if let path = unsafe udev_list_entry_get_name(here),
        let device = unsafe udev_device_new_from_syspath(context, path)
      {
        if let record = unsafe record(device) { records.append(record) }
        unsafe udev_device_unref(device)
      }
      unsafe entry = udev_list_entry_get_next(here)
    }
    return records
  }

  private func event(_ device: OpaquePointer) -> DeviceEvent? {
    guard let word = unsafe text(udev_device_get_action(device)) else { return nil }
    let action = DeviceEvent.Action(rawValue: word) ?? .change
    switch action {
    case .remove, .unbind:
      // sysfs may be gone, or show the next device already: nothing but the path is asked.
      guard let path = unsafe text(udev_device_get_devpath(device)) else { return nil }
      return DeviceEvent(action, DeviceRecord(path: path, subsystem: ""))
    case .move:
      guard let record = unsafe record(device) else { return nil }
      return DeviceEvent(
        .move, record, formerPath: unsafe text(udev_device_get_property_value(device, "DEVPATH_OLD")))
    case .add, .bind, .change, .present:
      guard let record = unsafe record(device) else { return nil }
      return DeviceEvent(action == .present ? .change : action, record)
    }
  }

  private func record(_ device: OpaquePointer) -> DeviceRecord? {
    guard let path = unsafe text(udev_device_get_devpath(device)),
      let subsystem = unsafe text(udev_device_get_subsystem(device))
    else { return nil }
    var record = unsafe DeviceRecord(
      path: path, subsystem: subsystem, type: text(udev_device_get_devtype(device)),
      driver: text(udev_device_get_driver(device)), node: text(udev_device_get_devnode(device)))
    for name in Self.properties {
      record.properties[name] = unsafe text(udev_device_get_property_value(device, name))
    }
    for name in Self.attributes[record.type ?? subsystem] ?? [] {
      record.attributes[name] = unsafe text(udev_device_get_sysattr_value(device, name))
    }
    if subsystem == "hid", let directory = unsafe text(udev_device_get_syspath(device)) {
      // With zeros in it, so that libudev, which reads texts, would cut it short. The kernel allows 4096 bytes.
      record.reportDescriptor = (try? Files.read(directory + "/report_descriptor", limit: 4096)) ?? []
    }
    return record
  }

  private func text(_ pointer: UnsafePointer<CChar>?) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    let text = unsafe String(cString: pointer)
    return text.isEmpty ? nil : text
  }
}
