/// What udev knows of one device of the kernel's: a USB device, one of its interfaces, a HID device on it, or a node.
public struct DeviceRecord: Sendable, Equatable {
  /// Where it hangs, below `/sys`: `/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0`. The one thing that a removal is
  /// sure to tell (facts/kernel-lab.md, pitfall 4).
  public var path: String
  /// `usb`, `hid`, `tty` …; empty when the event did not say.
  public var subsystem: String
  /// `usb_device` or `usb_interface`; nil for what has no type.
  public var type: String?
  /// The kernel's driver; nil while none is bound.
  public var driver: String?
  /// The node in `/dev`; nil for what has none.
  public var node: String?
  /// udev's properties, of those that are asked for.
  public var properties: [String: String]
  /// The kernel's attributes, of those that are asked for.
  public var attributes: [String: String]
  /// A HID device's report descriptor; empty for what is none.
  public var reportDescriptor: [UInt8]

  /// A record.
  public init(
    path: String, subsystem: String, type: String? = nil, driver: String? = nil, node: String? = nil,
    properties: [String: String] = [:], attributes: [String: String] = [:], reportDescriptor: [UInt8] = []
  ) {
    self.path = path
    self.subsystem = subsystem
    self.type = type
    self.driver = driver
    self.node = node
    self.properties = properties
    self.attributes = attributes
    self.reportDescriptor = reportDescriptor
  }

  /// The last part of the path: `1-1:1.0`, `lp0`.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? "" }
}

/// What happened to a device.
public struct DeviceEvent: Sendable, Equatable {
  /// The kernel's word, and one of our own.
  public enum Action: String, Sendable, CaseIterable {
    /// It was there when the machine was looked through.
    case present
    /// It appeared; its driver may still be finding out what it is.
    case add
    /// A driver has taken it and is ready.
    case bind
    /// Its driver let go of it.
    case unbind
    /// It left.
    case remove
    /// Something about it changed, or somebody asked udev to look at it again (`udevadm trigger`).
    case change
    /// It has another path now.
    case move
  }

  /// What happened.
  public var action: Action
  /// To which device.
  public var record: DeviceRecord
  /// Its path before it moved.
  public var formerPath: String?

  /// An event.
  public init(_ action: Action, _ record: DeviceRecord, formerPath: String? = nil) {
    self.action = action
    self.record = record
    self.formerPath = formerPath
  }
}

/// What an event, or several, touched.
public struct DeviceChange: Sendable, Equatable {
  /// Port paths of USB devices: `1-1.2`.
  public var ports: Set<String>
  /// Nodes: `/dev/ttyUSB0`.
  public var nodes: Set<String>
  /// True when events were lost and everything was looked at anew: anything may have changed.
  public var isWhole: Bool

  /// A change.
  public init(ports: Set<String> = [], nodes: Set<String> = [], isWhole: Bool = false) {
    self.ports = ports
    self.nodes = nodes
    self.isWhole = isWhole
  }

  /// True when nothing was touched.
  public var isEmpty: Bool { ports.isEmpty && nodes.isEmpty && !isWhole }

  mutating func merge(_ other: DeviceChange) {
    ports.formUnion(other.ports)
    nodes.formUnion(other.nodes)
    isWhole = isWhole || other.isWhole
  }
}
