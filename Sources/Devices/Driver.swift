public import Channels

/// A driver is a value: what it drives, which channel it needs, which settings it knows, and how it attaches.
/// Its code is not run before a profile that names it has matched.
public struct Driver: Sendable {
  /// The word profiles use, such as `sdt`.
  public let name: String
  /// The kind of device.
  public let kind: DeviceKind
  /// The channel it must be handed.
  public let channel: ChannelKind
  /// Settings a profile or a slot may give.
  public let settings: [SettingSpec]
  /// Takes an opened channel and finds out whether the device is there and what it is.
  public let attach:
    @Sendable (Channel, DriverSettings, DriverContext) async throws(Fault) -> any AttachedDevice

  /// A driver.
  public init(
    name: String, kind: DeviceKind, channel: ChannelKind, settings: [SettingSpec],
    attach:
      @escaping @Sendable (Channel, DriverSettings, DriverContext) async throws(Fault) -> any AttachedDevice
  ) {
    self.name = name
    self.kind = kind
    self.channel = channel
    self.settings = settings
    self.attach = attach
  }
}

/// Encodings of printers' text that drivers may need.
public enum CodePage: String, Sendable, CaseIterable { case gb18030, gbk, utf8, shiftJIS = "shift-jis" }

/// What a driver is given besides its channel and settings.
public struct DriverContext: Sendable {
  /// The clock every wait goes by.
  public let time: any Timekeeper
  /// Encodes text for a device; nil when a character has no place in that code page.
  public let encodeText: @Sendable (String, CodePage) -> [UInt8]?

  /// A context.
  public init(
    time: any Timekeeper, encodeText: @escaping @Sendable (String, CodePage) -> [UInt8]?
  ) {
    self.time = time
    self.encodeText = encodeText
  }
}

/// What a device says by itself.
public enum DeviceNotice: Sendable {
  /// Its state, paper, cover or card changed.
  case report(DeviceReport)
  /// A rating key was pressed.
  case rating(RatingPress)
  /// A key of the clerk's caller keypad was pressed.
  case call(CallPress)
  /// The citizen did something on a screen, at the view with this revision.
  case screen(ScreenInput)
  /// The channel is of no use any more; the device has to be attached anew.
  case lost(Fault)
}

/// A device in service. One command at a time; the session in the agent sees to that.
public protocol AttachedDevice: Sendable {
  /// Which unit this is.
  var identity: DeviceIdentity { get }
  /// What the device says by itself; ends when the device is detached. Iterated once.
  var notices: AsyncStream<DeviceNotice> { get }
  /// Asks the device itself how it is. `internal` has no physical effect.
  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport
  /// Closes the channel and ends the notices.
  func detach() async
}
