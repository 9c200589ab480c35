private import CLinux

/// The port a USB device is plugged into.
public enum USBPort {
  /// Resets it: the device starts anew, its drivers are bound again and its nodes come back. The kernel may take seconds.
  /// - Parameter node: the USB device's node: `/dev/bus/usb/001/004`.
  /// - Throws: `ENOENT`, `ENODEV` when it is not there, `EACCES` when this account may not write it.
  public static func reset(node: String) async throws(SystemError) {
    try await onOwnThread("usb reset") { () throws(SystemError) in
      let device = try Files.open(node, .readingAndWriting)
      try check(clinux_usb_reset(device.raw), "reset \(node)")
    }
  }
}
