/// A USB device that is plugged in, with everything it can be opened by.
public struct USBUnit: Sendable, Hashable {
  /// The socket, as sysfs names it: `1-1.2`.
  public var port: String
  /// The socket by its controller and the ports on the way, `0000:00:14.0:1.2`: unlike the bus number in ``port`` it does
  /// not depend on the order in which controllers were found at this start of the machine.
  public var place: String
  /// Vendor and product id, four lower-case hexadecimal digits each: `0483:070b`.
  public var id: String
  /// Class, subclass and protocol of the device as a whole: `00/00/00` where the interfaces have theirs.
  public var deviceClass: String
  /// String descriptors; nil where the device has none. What comes from a device is not trusted: control characters are
  /// left out.
  public var maker, product, serial: String?
  /// Release of the device, binary-coded decimal: `0100`.
  public var release: String?
  /// `/dev/bus/usb/001/004`.
  public var node: String?
  /// Its interfaces, by number.
  public var interfaces: [USBInterface]

  /// True when nothing else in the world is meant to have this serial number: makers that do not number their devices
  /// give all of them the same one, or none.
  public var hasUsefulSerial: Bool {
    guard let serial, serial.utf8.count >= 4 else { return false }
    // 000000000000, 0123456789AB, FFFF…: what is left in a chip maker's example.
    let distinct = Set(serial.utf8)
    return distinct.count > 2 && !"0123456789ABCDEF".hasPrefix(serial.uppercased())
      && !"123456789ABCDEF".hasPrefix(serial.uppercased())
  }
}

/// One interface of a USB device, in the setting that is in use.
public struct USBInterface: Sendable, Hashable {
  /// Configuration and number, as in sysfs: `1.0`.
  public var configuration, number: UInt8
  /// Class, subclass and protocol, two lower-case hexadecimal digits each: `07/01/02`.
  public var classes: String
  /// The kernel's driver that is bound to it; nil when none is. `usbfs`: a program has claimed it.
  public var driver: String?
  /// True once the driver is ready; false while it is still finding out what it has.
  public var isBound: Bool
  /// Its string descriptor, if it has one.
  public var name: String?
  /// The kernel's description of it that modules are chosen by: `usb:v0403p6001d0600dc00…`.
  public var modalias: String?
  /// A printer's own description, as `usblp` asked for it.
  public var ieee1284: IEEE1284ID?
  /// The nodes its driver made, in order of their paths.
  public var nodes: [DeviceNode]
}

/// A node in `/dev` that a device can be opened by.
public struct DeviceNode: Sendable, Hashable {
  /// What it gives.
  public enum Kind: Sendable, Hashable {
    /// A serial line.
    case serial
    /// A printer's raw port of usblp's.
    case printer
    /// HID reports.
    case reports
    /// Keys.
    case input
    /// A camera's frames.
    case video
  }

  /// What it gives.
  public var kind: Kind
  /// `/dev/usb/lp0`.
  public var path: String
  /// The kernel's driver behind it.
  public var driver: String?
  /// What the device calls itself there: an input device's or a camera's name.
  public var name: String?
  /// A HID device's top-level collections, `page/usage` in four hexadecimal digits each: `0001/0006` is a keyboard.
  public var usages: [String]
  /// The groups of keys an input device has; see ``InputKeys``.
  public var keys: [String]
}
