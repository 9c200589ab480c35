public import Channels
internal import Codecs

/// What may be known of a device before it is opened: the keys of a profile's `[match]` section.
///
/// A bus answers ``Bus/facts(of:)`` with as many of these as it can find out; `transport` always.
public enum DeviceFact: String, Sendable, CaseIterable {
  /// How it is reached: ``ChannelAddress/transport``.
  case transport
  /// What the configuration calls its place: a node's path, a queue's name, a SANE device name.
  case address
  /// Maker and model as a scanner's or a queue's own protocol gives them (`scan:MakeAndModel`,
  /// `printer-make-and-model`).
  case makeAndModel = "make-and-model"
  /// USB vendor and product id, four lower-case hexadecimal digits each: `0483:070b`. Ids of chip makers are shared by
  /// unrelated printers, so that one alone proves little (facts/devices.md A5).
  case usbID = "usb-id"
  /// USB string descriptor of the maker.
  case usbMaker = "usb-maker"
  /// USB string descriptor of the product.
  case usbProduct = "usb-product"
  /// USB string descriptor of the unit.
  case usbSerial = "usb-serial"
  /// The USB socket it is plugged into, as sysfs names it: `1-1.2`.
  case usbPort = "usb-port"
  /// Class, subclass and protocol of the USB interface, two lower-case hexadecimal digits each: `07/01/02` is a printer
  /// that answers.
  case usbClass = "usb-class"
  /// Number of the USB interface: `0`.
  case usbInterface = "usb-interface"
  /// Top-level collections of a HID device, page and usage in four hexadecimal digits each, with spaces between:
  /// `0001/0006` is a keyboard, `ff00/0001` a maker's own.
  case hidUsage = "hid-usage"
  /// Groups of keys of an input device, with spaces between: `digits keypad letters enter functions`, those of which it
  /// has all.
  case inputKeys = "input-keys"
  /// What an input device or a camera calls itself there.
  case nodeName = "node-name"
  /// Name of the kernel's driver, such as `ftdi_sio`.
  case driver
  /// `MFG` of a printer's IEEE 1284 device id.
  case ieee1284Maker = "ieee1284-maker"
  /// `MDL` of a printer's IEEE 1284 device id.
  case ieee1284Model = "ieee1284-model"
  /// `CMD` of a printer's IEEE 1284 device id: the languages it says it speaks.
  case ieee1284Commands = "ieee1284-commands"
  /// Name of the model, where the bus itself knows it: simulated devices.
  case model

  /// True for a fact of several words, any of which a pattern may be meant for.
  var isList: Bool { self == .hidUsage || self == .inputKeys }

  /// How telling it is: how many letters of another fact's pattern a match of this one is worth at the least.
  var base: Int {
    switch self {
    case .transport: 0
    case .ieee1284Commands, .inputKeys, .hidUsage, .usbInterface: 1
    case .usbClass: 5
    case .address, .model, .driver, .nodeName: 20
    case .makeAndModel, .usbMaker, .usbProduct, .ieee1284Maker, .ieee1284Model, .usbID: 20
    case .usbSerial, .usbPort: 200
    }
  }

  /// Every word that `transport` can be, and the form of channel it gives; nil where it gives whichever is needed.
  public static let transports: [(word: String, channel: ChannelKind?)] = [
    ("tty", .byteStream), ("http", .httpExchange), ("sane", .pageFeed), ("cups", .printQueue),
    ("simulated", nil), ("usb", .byteStream), ("usblp", .byteStream), ("hidraw", .reports),
    ("evdev", .inputEvents),
    ("video", .frames), ("screen", .screen),
  ]
}
