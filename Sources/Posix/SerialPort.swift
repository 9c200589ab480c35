private import CLinux

/// How a serial line is driven: always 8 data bits, no parity, 1 stop bit.
public struct SerialSettings: Sendable, Equatable {
  /// Who stops the sender.
  public enum FlowControl: Sendable, Equatable {
    /// Nobody.
    case none
    /// The lines RTS and CTS.
    case hardware
    /// The bytes XOFF (13h) and XON (11h), which cannot be data then.
    case software
  }

  /// The speeds ``SerialPort/open(path:settings:)`` accepts.
  public static let speeds = [9600, 19200, 38400, 57600, 115200]

  /// Bits per second: one of ``speeds``.
  public var baud: Int
  /// Who stops the sender.
  public var flowControl: FlowControl
  /// Whether DTR and RTS are on while the line is open.
  public var raisesDTR: Bool, raisesRTS: Bool

  /// Settings as given; a speed that is none of ``speeds`` is refused at opening.
  public init(baud: Int, flowControl: FlowControl = .none, raisesDTR: Bool = true, raisesRTS: Bool = true) {
    self.baud = baud
    self.flowControl = flowControl
    self.raisesDTR = raisesDTR
    self.raisesRTS = raisesRTS
  }
}

/// Terminals as serial lines.
public enum SerialPort {
  /// The lines beside the data, as the device and this side have set them.
  public struct ControlLines: OptionSet, Sendable {
    /// The bits of `TIOCMGET` (ioctl_tty(2)).
    public let rawValue: Int32
    /// Lines from bits of `TIOCMGET`.
    public init(rawValue: Int32) { self.rawValue = rawValue }
    /// Data terminal ready; set by this side.
    public static let dataTerminalReady = ControlLines(rawValue: Int32(CLINUX_DTR))
    /// Request to send; set by this side, or by the driver with hardware flow control.
    public static let requestToSend = ControlLines(rawValue: Int32(CLINUX_RTS))
    /// Clear to send; set by the device.
    public static let clearToSend = ControlLines(rawValue: Int32(CLINUX_CTS))
    /// Data set ready; set by the device. Most devices hold it while they have power.
    public static let dataSetReady = ControlLines(rawValue: Int32(CLINUX_DSR))
    /// Carrier detect; set by the device.
    public static let carrierDetect = ControlLines(rawValue: Int32(CLINUX_CD))
    /// Ring; set by the device.
    public static let ring = ControlLines(rawValue: Int32(CLINUX_RI))
  }

  /// Opens a serial device for this process alone: raw, non-blocking, stale input discarded.
  /// - Throws: `EBUSY` when somebody else has it, `ENOTTY` when it is no terminal, `EINVAL` when the device does not
  ///   take the settings, and what `open` says: `ENOENT`, `EACCES`, `ENXIO`, `EIO`.
  public static func open(path: String, settings: SerialSettings) throws(SystemError) -> Descriptor {
    let port = try Files.open(path, .readingAndWriting)
    guard clinux_is_terminal(port.raw) == 1 else {
      throw SystemError(call: "open \(path)", code: Errno.notTerminal)
    }
    // The lock keeps out everyone who looks at it, root too; TIOCEXCL below everyone but root.
    if Files.lock(port) < 0 { throw SystemError(call: "lock \(path)", code: Errno.busy) }
    // A pseudo-terminal stays exclusive after its last user has closed it, as long as its controller is open, and could
    // never be opened again: there the lock alone must do. (Seen with Linux 6.18; tty_reopen in drivers/tty/tty_io.c.)
    if try !isPseudoTerminal(port.raw, path) {
      guard clinux_serial_is_exclusive(port.raw) != 1 else {
        throw SystemError(call: "open \(path)", code: Errno.busy)
      }
      try check(clinux_serial_set_exclusive(port.raw), "TIOCEXCL \(path)")
    }
    try configure(port.raw, settings)
    // USB adapters without these lines, and pseudo-terminals, say ENOTTY or EINVAL.
    var on = 0
    var off = 0
    if settings.raisesDTR { on |= CLINUX_DTR } else { off |= CLINUX_DTR }
    if settings.raisesRTS {
      on |= CLINUX_RTS
    } else if settings.flowControl != .hardware {
      // Else it is the kernel's.
      off |= CLINUX_RTS
    }
    _ = clinux_serial_set_lines(port.raw, Int32(on), Int32(off))
    try discardInput(port.raw)
    return port
  }

  /// Changes the settings of an open line. What has been written and not sent yet leaves with the new ones.
  /// - Throws: `EINVAL` when the device does not take them.
  public static func configure(_ raw: Int32, _ settings: SerialSettings) throws(SystemError) {
    let flow =
      switch settings.flowControl {
      case .none: CLINUX_FLOW_NONE
      case .hardware: CLINUX_FLOW_HARDWARE
      case .software: CLINUX_FLOW_SOFTWARE
      }
    try check(
      clinux_serial_configure(raw, Int32(clamping: settings.baud), Int32(flow)),
      "set a line to \(settings.baud) baud")
  }

  /// Bits a second that a line is set to; of a pseudo-terminal's controller, what its other side is set to. Nil for a speed
  /// that is none of ``SerialSettings/speeds``.
  public static func speed(_ raw: Int32) throws(SystemError) -> Int? {
    let speed = try check(clinux_serial_speed(raw), "tcgetattr")
    return speed == 0 ? nil : Int(speed)
  }

  /// Throws away what has been received and not read yet.
  public static func discardInput(_ raw: Int32) throws(SystemError) {
    try check(clinux_serial_discard_input(raw), "discard input")
  }

  /// How many bytes have been written and not sent yet.
  public static func unsentBytes(_ raw: Int32) throws(SystemError) -> Int {
    Int(try check(clinux_serial_unsent(raw), "TIOCOUTQ"))
  }

  /// The control lines now; `ENOTTY` or `EINVAL` when the device has none.
  public static func controlLines(_ raw: Int32) throws(SystemError) -> ControlLines {
    ControlLines(rawValue: try check(clinux_serial_lines(raw), "TIOCMGET"))
  }

  /// Switches lines of this side on and off.
  public static func setControlLines(
    _ raw: Int32, on: ControlLines = [], off: ControlLines = []
  ) throws(SystemError) {
    try check(clinux_serial_set_lines(raw, on.rawValue, off.rawValue), "set control lines")
  }

  /// Device files with the major numbers 136 to 143 (devices.txt of the kernel).
  private static func isPseudoTerminal(_ raw: Int32, _ path: String) throws(SystemError) -> Bool {
    var status = clinux_status()
    try check(unsafe clinux_status_of(raw, &status), "stat \(path)")
    return (136...143).contains(status.deviceNumber >> 8 & 0xfff)
  }
}
