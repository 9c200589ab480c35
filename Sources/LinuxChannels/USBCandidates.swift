internal import Channels
internal import Hotplug

/// Everything a USB device can be opened by, with what is known of it.
extension USBUnit {
  /// Each interface through libusb, and each node. A device that shows no interface, as one with damaged descriptors may,
  /// is named by its port: it cannot be opened, but what is there has to be told.
  /// - Parameter others: every device that is plugged in, to tell whether this one's number is its alone.
  func candidates(among others: [USBUnit]) -> [ChannelCandidate] {
    let unit = deviceUnit(among: others)
    if interfaces.isEmpty {
      return [ChannelCandidate(address: .usb(.port(port)), facts: facts, unit: unit)]
    }
    return interfaces.flatMap { interface -> [ChannelCandidate] in
      let raw = ChannelAddress.usbInterface(
        port: port, configuration: interface.configuration, interface: interface.number)
      var facts = self.facts(of: interface)
      facts["transport"] = raw.transport
      facts["address"] = "\(port):\(interface.configuration).\(interface.number)"
      return [ChannelCandidate(address: raw, facts: facts, unit: unit)]
        + interface.nodes.map { node in
          ChannelCandidate(
            address: node.address, facts: node.facts(on: self, interface), unit: unit)
        }
    }
  }

  /// How this unit is known again.
  func deviceUnit(among others: [USBUnit]) -> DeviceUnit {
    let isAlone = !others.contains { $0.port != port && $0.id == id && $0.serial == serial }
    return DeviceUnit(
      model: id, serial: hasUsefulSerial && isAlone ? serial : nil, place: place, port: port,
      name: [maker, product].compactMap(\.self).joined(separator: " "))
  }

  private var facts: [String: String] {
    var facts = ["usb-id": id, "usb-port": port]
    facts["usb-maker"] = maker
    facts["usb-product"] = product
    facts["usb-serial"] = serial
    return facts
  }

  fileprivate func facts(of interface: USBInterface) -> [String: String] {
    var facts = self.facts
    facts["usb-class"] = interface.classes
    facts["usb-interface"] = "\(interface.number)"
    facts["driver"] = interface.driver
    facts["ieee1284-maker"] = interface.ieee1284?.maker
    facts["ieee1284-model"] = interface.ieee1284?.model
    facts["ieee1284-commands"] = interface.ieee1284?.commands
    return facts
  }
}

extension DeviceNode {
  var address: ChannelAddress {
    switch kind {
    case .serial: .tty(path: path)
    case .printer: .lp(path: path)
    case .reports: .hidraw(path: path)
    case .input: .evdev(path: path)
    case .video: .video(path: path)
    }
  }

  /// What is known of the node, and of the USB device it is on.
  func facts(on unit: USBUnit?, _ interface: USBInterface?) -> [String: String] {
    var facts: [String: String] = [:]
    if let unit, let interface { facts = unit.facts(of: interface) }
    facts["transport"] = address.transport
    facts["address"] = path
    facts["driver"] = driver ?? facts["driver"]
    facts["node-name"] = name
    facts["hid-usage"] = usages.isEmpty ? nil : usages.joined(separator: " ")
    facts["input-keys"] = keys.isEmpty ? nil : keys.joined(separator: " ")
    return facts
  }
}

extension USBPlace {
  /// Whether a unit is the one meant.
  func admits(_ unit: USBUnit) -> Bool {
    switch self {
    case .any: true
    case .port(let port): unit.port == port
    case .serial(let serial): unit.serial == serial
    }
  }
}
