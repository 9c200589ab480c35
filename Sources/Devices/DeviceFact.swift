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
  /// Name of the kernel's driver, such as `ftdi_sio`.
  case driver
  /// `MFG` of a printer's IEEE 1284 device id.
  case ieee1284Maker = "ieee1284-maker"
  /// `MDL` of a printer's IEEE 1284 device id.
  case ieee1284Model = "ieee1284-model"
  /// Name of the model, where the bus itself knows it: simulated devices.
  case model

  /// How telling it is: how many letters of another fact's pattern a match of this one is worth at the least.
  var base: Int {
    switch self {
    case .transport: 0
    case .address, .model, .driver: 20
    case .makeAndModel, .usbMaker, .usbProduct, .ieee1284Maker, .ieee1284Model, .usbID: 20
    case .usbSerial: 200
    }
  }

  /// Every word that `transport` can be, and the form of channel it gives; nil where it gives whichever is needed.
  public static let transports: [(word: String, channel: ChannelKind?)] = [
    ("tty", .byteStream), ("http", .httpExchange), ("sane", .pageFeed), ("cups", .printQueue),
    ("simulated", nil), ("usb", nil), ("usblp", .byteStream), ("hidraw", .reports), ("evdev", .inputEvents),
    ("video", .frames),
  ]
}
