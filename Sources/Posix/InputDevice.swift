private import CLinux

/// Input devices of the kernel (linux/input.h): `/dev/input/event*`.
public enum InputDevice {
  /// Bytes of one event: two numbers of 8 for the time, type and code of 2 each, a value of 4.
  public static let eventSize = 24

  /// Whether it has keys at all; `ENOTTY` when it is no input device.
  public static func hasKeys(_ raw: Int32) throws(SystemError) -> Bool {
    try check(clinux_input_has_keys(raw), "EVIOCGBIT") == 1
  }

  /// What it calls itself; empty when it does not.
  public static func name(_ raw: Int32) -> String {
    let name = unsafe try? Files.text(capacity: 256, "EVIOCGNAME") { buffer, capacity in
      unsafe clinux_input_name(raw, buffer, capacity)
    }
    return name ?? ""
  }

  /// The codes of all keys that are down now. Key events that wait to be read are thrown away with it, so that state and
  /// later events fit together (`EVIOCGKEY`).
  public static func keysDown(_ raw: Int32) throws(SystemError) -> Set<UInt16> {
    var keys = [UInt8](repeating: 0, count: Int(CLINUX_KEYS))
    try check(unsafe clinux_input_keys_down(raw, &keys), "EVIOCGKEY")
    return Set(keys.indices.filter { keys[$0] != 0 }.map { UInt16($0) })
  }

  /// Takes the device for this descriptor alone: nobody else hears it until the descriptor is closed. `EBUSY` when
  /// somebody else has done so.
  public static func grab(_ raw: Int32) throws(SystemError) {
    try check(clinux_input_grab(raw, 1), "EVIOCGRAB")
  }

  /// Lets the device go.
  public static func release(_ raw: Int32) throws(SystemError) {
    try check(clinux_input_grab(raw, 0), "EVIOCGRAB")
  }

  /// Lets events be stamped by the monotonic clock, as ``SystemClockState`` tells it, from now on.
  public static func useMonotonicClock(_ raw: Int32) throws(SystemError) {
    try check(clinux_input_use_monotonic_clock(raw), "EVIOCSCLOCKID")
  }
}
