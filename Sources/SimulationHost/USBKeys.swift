import Codecs
import Simulation

/// How a simulated device is a USB device: the settings of every model that can be one.
enum USBKeys {
  /// The forms there are; which of them a model can have is its own matter.
  enum Form: String, Sendable, CaseIterable {
    /// An ID-card reader 0400:C35A with whole frames on one pair of endpoints.
    case singlePair = "single-pair"
    /// An ID-card reader 0400:C35A with two pairs.
    case splitPipe = "split-pipe"
    /// An ID-card reader 0316:5020.
    case second = "0316-5020"
    /// An ID-card reader 2B8B:2721 that is a HID device.
    case hid
    /// An ID-card reader 10C4:0007 that is a HID device with a framing of its own.
    case hidWrapped = "hid-wrapped"
    /// A printer of the printer class.
    case printer
    /// A serial line of the communication class.
    case serial
  }

  static let form = ConfKey("usb", ConfType<Form>.word)
  static let serial = ConfKey("usb-serial", .text(longest: 126))
  static let identity = ConfKey<[UInt16]>(
    "usb-id",
    ConfType(
      expected: ConfExpected(english: "vendor and product as 0416:5011", chinese: "厂商与产品号，如 0416:5011")
    ) { text in
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      let numbers = parts.compactMap {
        $0.utf8.count == 4 && $0.utf8.first != 0x2B ? UInt16($0, radix: 16) : nil
      }
      return parts.count == 2 && numbers.count == 2 ? numbers : nil
    })
  static let deviceID = ConfKey(
    "usb-device-id", .text(longest: 1000, emptyAllowed: true), default: USBTicketPrinter.Options().deviceID)
  static let portStatus = ConfKey<Bool>(
    "usb-port-status", .word(among: [("honest", false), ("none", true)]), default: false)

  /// Those of a device that may be one or not.
  static let optional: [any ConfKeyDeclaration] = [form, serial, identity]
  /// Those of a device that always is.
  static let always: [any ConfKeyDeclaration] = [serial, identity]
}

enum KeypadKeys {
  static let keys = ConfKey(
    "keys", EvaluatorKeys.pairs.list(count: 1...5),
    default: [[5, 0x22], [4, 0x21], [3, 0x20], [2, 0x1F], [1, 0x1E]])
  static let all: [any ConfKeyDeclaration] = [keys] + USBKeys.always
}

enum CameraKeys {
  static let version = ConfKey<USBCamera.Version>(
    "video-class", .word(among: [("1.0", .one), ("1.1", .oneOne)]), default: .one)
  static let firstFrame = ConfKey<Bool>(
    "first-frame", .word(among: [("whole", false), ("broken", true)]), default: false)
  static let pages = ConfKey("page", ConfType<String>.path, repeatable: true)
  static let all: [any ConfKeyDeclaration] = [version, firstFrame, pages] + USBKeys.always
}

extension SimulationConfiguration.Model {
  /// The forms in which this model can be a USB device.
  var usbForms: [USBKeys.Form] {
    switch self {
    case .idCardReader: [.singlePair, .splitPipe, .second, .hid, .hidWrapped, .serial]
    case .ticketDispenser: [.printer]
    case .evaluator: [.serial]
    case .esclScanner, .printer, .keypad, .reportKeypad, .documentCamera: []
    }
  }

  /// What is wrong with the USB settings of a device of this model.
  func usbMistakes(_ section: ConfSection) -> [ConfError] {
    guard let entry = section.entry(USBKeys.form.name), let form = try? section.optional(USBKeys.form),
      !usbForms.contains(form)
    else { return [] }
    let words = usbForms.map(\.rawValue).joined(separator: ", ")
    let expected = ConfExpected(
      english: "a USB form of this model: \(words)", chinese: "该型号的 USB 形式：\(words)")
    return [
      ConfError(.wrongValue(found: form.rawValue, expected: expected, nearest: nil), at: entry.value.position)
    ]
  }
}

extension SimulationConfiguration.Device {
  /// How a keypad is a USB device.
  func usbKeypad(_ model: any SimulatedHIDDevice) throws(ConfError) -> USBKeypad {
    let identity = try section.optional(USBKeys.identity)
    return USBKeypad(
      model, identity: identity.map { (vendor: $0[0], product: $0[1]) },
      serial: try section.optional(USBKeys.serial))
  }

  /// How the device is a USB device; nil when it is none.
  func usbFunction() throws(ConfError) -> (any SimulatedUSBFunction)? {
    let serial = try section.optional(USBKeys.serial)
    let identity = try section.optional(USBKeys.identity)
    func id(_ vendor: UInt16, _ product: UInt16) -> (vendor: UInt16, product: UInt16) {
      (identity?.first ?? vendor, identity?.last ?? product)
    }
    guard let form = try section.optional(USBKeys.form) else { return nil }
    switch form {
    case .singlePair, .splitPipe:
      let id = id(0x0400, 0xC35A)
      return USBCardReader(
        form == .singlePair ? .singlePair : .splitPipe, vendor: id.vendor, product: id.product, serial: serial
      )
    case .second:
      let id = id(0x0316, 0x5020)
      return USBCardReader(.singlePair, vendor: id.vendor, product: id.product, serial: serial)
    case .hid, .hidWrapped:
      let framing = form == .hid ? USBReportCardReader.Framing.raw : .wrapped
      return USBReportCardReader(framing, identity: identity.map { id($0[0], $0[1]) }, serial: serial)
    case .printer:
      var options = USBTicketPrinter.Options()
      (options.vendor, options.product) = id(options.vendor, options.product)
      options.deviceID = try section.value(USBKeys.deviceID)
      options.hidesStatus = try section.value(USBKeys.portStatus)
      options.serial = serial
      return USBTicketPrinter(options)
    case .serial:
      let id = id(0x1209, 0x0002)
      return USBSerialPort(
        vendor: id.vendor, product: id.product, name: model == .evaluator ? "Desk caller" : "Serial line",
        serial: serial)
    }
  }
}
