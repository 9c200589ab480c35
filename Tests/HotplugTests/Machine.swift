import Hotplug

/// The events of a machine with one controller: what udev tells of devices as they are plugged in and out.
struct Machine {
  static let bus = "/devices/pci0000:00/0000:00:14.0/usb1"
  var tree = DeviceTree()
  private var number = 2

  /// A device's path in sysfs: `1-1.2` is behind the hub `1-1`.
  static func path(_ port: String) -> String {
    guard let dot = port.lastIndex(of: ".") else { return "\(bus)/\(port)" }
    return path(String(port[..<dot])) + "/\(port)"
  }

  static func device(
    _ port: String, id: String = "0400:c35a", serial: String? = nil, number: Int = 4,
    more: [String: String] = [:]
  ) -> DeviceRecord {
    let ids = id.split(separator: ":").map(String.init)
    var attributes = [
      "idVendor": ids[0], "idProduct": ids[1], "bDeviceClass": "00", "bDeviceSubClass": "00",
      "bDeviceProtocol": "00", "devnum": "\(number)", "speed": "12",
    ]
    attributes["serial"] = serial
    attributes.merge(more) { $1 }
    return DeviceRecord(
      path: path(port), subsystem: "usb", type: "usb_device", driver: "usb",
      node: "/dev/bus/usb/001/00\(number)", attributes: attributes)
  }

  static func interface(
    _ port: String, _ number: Int = 0, classes: String = "ff/00/00", driver: String? = nil,
    more: [String: String] = [:]
  ) -> DeviceRecord {
    let parts = classes.split(separator: "/").map(String.init)
    return DeviceRecord(
      path: path(port) + "/\(port):1.\(number)", subsystem: "usb", type: "usb_interface", driver: driver,
      attributes: [
        "bInterfaceClass": parts[0], "bInterfaceSubClass": parts[1], "bInterfaceProtocol": parts[2],
      ].merging(more) { $1 })
  }

  static func node(_ above: DeviceRecord, _ subsystem: String, _ below: String, _ node: String)
    -> DeviceRecord
  {
    DeviceRecord(path: above.path + "/" + below, subsystem: subsystem, node: node)
  }

  @discardableResult
  mutating func tell(_ action: DeviceEvent.Action, _ records: DeviceRecord...) -> DeviceChange {
    var change = DeviceChange()
    for record in records {
      let one = tree.apply(DeviceEvent(action, record))
      change.ports.formUnion(one.ports)
      change.nodes.formUnion(one.nodes)
    }
    return change
  }

  /// What a kernel tells when something leaves: the path and nothing else.
  @discardableResult
  mutating func pull(_ record: DeviceRecord) -> DeviceChange {
    tree.apply(DeviceEvent(.remove, DeviceRecord(path: record.path, subsystem: "")))
  }
}
