/// The devices of this machine as far as a hall's devices may be among them: USB devices with their interfaces and
/// nodes, and nodes of other buses. A plain state machine: it is told what udev tells.
///
/// A node counts only once the driver under it has bound: while a HID device is still being probed its node is there
/// already and what it reports is lost (facts/kernel-lab.md, pitfall 5).
public struct DeviceTree: Sendable, Equatable {
  private struct Entry: Sendable, Equatable {
    var record: DeviceRecord
    var isBound: Bool
  }

  private var entries: [String: Entry] = [:]

  /// A machine without devices.
  public init() {}

  // MARK: Events

  /// Takes an event up; the same event twice changes nothing.
  /// - Returns: what it touched.
  @discardableResult
  public mutating func apply(_ event: DeviceEvent) -> DeviceChange {
    let path = event.record.path
    guard path.hasPrefix("/devices/") else { return DeviceChange() }
    switch event.action {
    case .remove: return remove(path)
    case .unbind:
      guard entries[path] != nil else { return DeviceChange() }
      let change = touched(path)
      entries[path]?.isBound = false
      entries[path]?.record.driver = nil
      return change
    case .move:
      var change = event.formerPath.map { remove($0) } ?? DeviceChange()
      change.merge(enter(event.record, isBound: event.record.driver != nil))
      return change
    case .present, .change:
      // Where nothing was known of it, its driver is all there is to go by.
      let isBound = same(event.record) ? entries[path]?.isBound ?? false : false
      return enter(event.record, isBound: isBound || event.record.driver != nil)
    case .add: return enter(event.record, isBound: same(event.record) && entries[path]?.isBound ?? false)
    case .bind: return enter(event.record, isBound: true)
    }
  }

  /// Takes over what a look through the whole machine found, after events were lost.
  public mutating func replace(with records: [DeviceRecord]) -> DeviceChange {
    var change = DeviceChange(isWhole: true)
    let old = entries
    for path in old.keys { change.merge(touched(path)) }
    entries = [:]
    for record in records {
      let before = old[record.path].map { $0.record == record && $0.isBound } ?? false
      change.merge(enter(record, isBound: before || record.driver != nil))
    }
    return change
  }

  private mutating func enter(_ record: DeviceRecord, isBound: Bool) -> DeviceChange {
    guard Self.isWanted(record) else { return DeviceChange() }
    var change = DeviceChange()
    if !same(record) { change.merge(remove(record.path)) }
    entries[record.path] = Entry(record: record, isBound: isBound)
    change.merge(touched(record.path))
    return change
  }

  /// Whether this is the device that is known at that path, and not one that came after it unnoticed.
  private func same(_ record: DeviceRecord) -> Bool {
    guard let known = entries[record.path]?.record else { return true }
    return known.node == record.node && known.attributes["devnum"] == record.attributes["devnum"]
      && known.attributes["idVendor"] == record.attributes["idVendor"]
      && known.attributes["idProduct"] == record.attributes["idProduct"]
  }

  private mutating func remove(_ path: String) -> DeviceChange {
    var change = DeviceChange()
    for below in entries.keys where below == path || below.hasPrefix(path + "/") {
      change.merge(touched(below))
      entries[below] = nil
    }
    return change
  }

  private func touched(_ path: String) -> DeviceChange {
    var change = DeviceChange()
    if let port = Self.port(in: path) { change.ports.insert(port) }
    if let record = entries[path]?.record, record.type != "usb_device", let node = record.node {
      change.nodes.insert(node)
    }
    return change
  }

  private static func isWanted(_ record: DeviceRecord) -> Bool {
    switch record.subsystem {
    case "usb": record.type == "usb_device" || record.type == "usb_interface"
    case "hid", "usb-serial": true
    case "tty": record.node != nil && !record.path.hasPrefix("/devices/virtual/tty/")
    case "usbmisc": record.node != nil && record.name.hasPrefix("lp")
    case "hidraw", "video4linux": record.node != nil
    case "input": record.node != nil ? record.name.hasPrefix("event") : record.name.hasPrefix("input")
    default: false
    }
  }

  // MARK: What is there

  /// Every USB device but hubs, in order of their ports.
  public var units: [USBUnit] {
    let devices = entries.values.filter { Self.isDevice($0.record) }
    return devices.map { unit($0.record) }.filter { !$0.deviceClass.hasPrefix("09") }
      .sorted { Self.order($0.port, $1.port) }
  }

  /// The node of that path, with the interface and the USB device it belongs to, if it is on USB.
  public func node(at path: String) -> (node: DeviceNode, unit: USBUnit?, interface: USBInterface?)? {
    guard let entry = entries.values.first(where: { $0.record.node == path && $0.record.type == nil }),
      let node = node(entry.record)
    else { return nil }
    for unit in units {
      for interface in unit.interfaces where interface.nodes.contains(node) { return (node, unit, interface) }
    }
    return (node, nil, nil)
  }

  private static func isDevice(_ record: DeviceRecord) -> Bool {
    // Root hubs are called usb1; a device without ids is one whose attributes went before they could be read.
    record.subsystem == "usb" && record.type == "usb_device" && record.name.first?.isNumber == true
      && record.attributes["idVendor"] != nil
  }

  private func unit(_ record: DeviceRecord) -> USBUnit {
    let attributes = record.attributes
    func text(_ name: String) -> String? { attributes[name].flatMap(Self.visible) }
    let id = Self.hex(attributes["idVendor"], 4) + ":" + Self.hex(attributes["idProduct"], 4)
    let interfaces = children(of: record.path, subsystem: "usb").filter { $0.record.type == "usb_interface" }
    return USBUnit(
      port: record.name, place: Self.place(record), id: id,
      deviceClass: Self.classes(attributes, "bDeviceClass", "bDeviceSubClass", "bDeviceProtocol"),
      maker: text("manufacturer"), product: text("product"), serial: text("serial"),
      release: attributes["bcdDevice"], node: record.node,
      interfaces: interfaces.compactMap { interface($0) }.sorted { $0.number < $1.number })
  }

  private func interface(_ entry: Entry) -> USBInterface? {
    let record = entry.record
    let numbers = record.name.split(separator: ":").last?.split(separator: ".").map { UInt8($0) } ?? []
    guard numbers.count == 2, let configuration = numbers[0], let number = numbers[1] else { return nil }
    let nodes = entries.values.filter {
      $0.record.path.hasPrefix(record.path + "/") && isReady($0.record, above: record.path)
    }
    let attributes = record.attributes
    return USBInterface(
      configuration: configuration, number: number,
      classes: Self.classes(attributes, "bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"),
      driver: record.driver, isBound: entry.isBound, name: attributes["interface"].flatMap(Self.visible),
      modalias: record.properties["MODALIAS"] ?? attributes["modalias"],
      ieee1284: attributes["ieee1284_id"].flatMap { IEEE1284ID($0) },
      nodes: nodes.compactMap { node($0.record) }.sorted { $0.path < $1.path })
  }

  /// Whether everything between the interface and its node is bound, the interface too.
  private func isReady(_ record: DeviceRecord, above interface: String) -> Bool {
    guard record.node != nil else { return false }
    return above(record).filter { $0.record.path.hasPrefix(interface) && Self.hasDriver($0.record) }
      .allSatisfy(\.isBound)
  }

  private static func hasDriver(_ record: DeviceRecord) -> Bool {
    ["hid", "usb-serial"].contains(record.subsystem) || record.type == "usb_interface"
  }

  private func node(_ record: DeviceRecord) -> DeviceNode? {
    guard let path = record.node else { return nil }
    let kind: DeviceNode.Kind
    switch record.subsystem {
    case "tty": kind = .serial
    case "usbmisc": kind = .printer
    case "hidraw": kind = .reports
    case "input": kind = .input
    case "video4linux":
      // uvcvideo makes a second node a camera, for metadata. udev's v4l_id tells them apart; without it the index does.
      if let capabilities = record.properties["ID_V4L_CAPABILITIES"] {
        guard capabilities.contains(":capture:") else { return nil }
      } else if let index = record.attributes["index"], index != "0" {
        return nil
      }
      kind = .video
    default: return nil
    }
    let parents = above(record)
    let hid = parents.first { $0.record.subsystem == "hid" }?.record
    let input = parents.first { $0.record.subsystem == "input" }?.record
    let driver =
      parents.first { Self.hasDriver($0.record) }?.record.driver ?? record.properties["ID_USB_DRIVER"]
    let name = record.attributes["name"] ?? input?.attributes["name"] ?? hid?.properties["HID_NAME"]
    return DeviceNode(
      kind: kind, path: path, driver: driver ?? record.driver, name: name.flatMap(Self.visible),
      usages: hid.map { HIDUsages.read($0.reportDescriptor) } ?? [],
      keys: kind == .input ? InputKeys.groups(input?.attributes["capabilities/key"] ?? "") : [])
  }

  /// What is above a record, the nearest first.
  private func above(_ record: DeviceRecord) -> [Entry] {
    var found: [Entry] = []
    var path = Substring(record.path)
    while let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      path = path[..<slash]
      if let entry = entries[String(path)] { found.append(entry) }
    }
    return found
  }

  private func children(of path: String, subsystem: String) -> [Entry] {
    entries.values.filter { entry in
      entry.record.subsystem == subsystem && entry.record.path.hasPrefix(path + "/")
        && !entry.record.path.dropFirst(path.utf8.count + 1).contains("/")
    }
  }

  // MARK: Texts

  /// The port path of the USB device that a path is of or under: the last part of the form `1-1.2`, so that a hub's devices
  /// are not taken for the hub.
  static func port(in path: String) -> String? {
    path.split(separator: "/").last(where: isPort).map(String.init)
  }

  private static func isPort(_ text: Substring) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, UInt16(parts[0]) != nil else { return false }
    return parts[1].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { UInt8($0) != nil }
  }

  private static func place(_ record: DeviceRecord) -> String {
    let parts = record.path.split(separator: "/")
    let root = parts.firstIndex { $0.hasPrefix("usb") && UInt16($0.dropFirst(3)) != nil }
    guard let root, root > parts.startIndex else { return record.name }
    let ports = record.name.split(separator: "-").last ?? Substring(record.name)
    // A controller has a bus for USB 2 and one for USB 3, whose ports have the same numbers.
    let isFast = (record.attributes["speed"].flatMap { Int($0) } ?? 0) >= 5000
    return "\(parts[root - 1]):\(isFast ? "ss" : "")\(ports)"
  }

  private static func classes(_ attributes: [String: String], _ names: String...) -> String {
    names.map { hex(attributes[$0], 2) }.joined(separator: "/")
  }

  /// As many lower-case hexadecimal digits; zeros for what is missing or is no number.
  private static func hex(_ text: String?, _ count: Int) -> String {
    let number = text.flatMap { UInt32($0, radix: 16) } ?? 0
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
  }

  /// Text of a device, at most 126 characters as a descriptor has, without what a terminal would act on.
  static func visible(_ text: String) -> String? {
    let scalars = text.unicodeScalars.prefix(126).filter { scalar in
      scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)
        && scalar.properties.generalCategory != .format
    }
    var line = String(String.UnicodeScalarView(scalars))
    while line.last == " " { line.removeLast() }
    while line.first == " " { line.removeFirst() }
    return line.isEmpty ? nil : line
  }

  /// Ports in the order of their numbers: 1-2 before 1-10.
  static func order(_ one: String, _ other: String) -> Bool {
    func numbers(_ port: String) -> [Int] { port.split { $0 == "-" || $0 == "." }.map { Int($0) ?? 0 } }
    return numbers(one).lexicographicallyPrecedes(numbers(other))
  }
}
