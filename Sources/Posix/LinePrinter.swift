private import CLinux

/// What the kernel's usblp driver answers beside the bytes. The calls wait for the printer, up to 5 s.
public enum LinePrinter {
  /// Whether the printer is still plugged in; true for what is no printer. Does not wait.
  public static func isPresent(_ raw: Int32) -> Bool { clinux_lp_presence(raw) != -Int32(Errno.noDevice) }

  /// The port's status byte (`LPGETSTATUS`): bit 5 paper empty, bit 4 selected, bit 3 no error.
  public static func status(_ raw: Int32) throws(SystemError) -> UInt8 {
    UInt8(truncatingIfNeeded: try check(clinux_lp_status(raw), "LPGETSTATUS"))
  }

  /// The IEEE 1284 device id as the printer sends it, its length of two bytes before it; filled up with zeros.
  public static func deviceID(_ raw: Int32) throws(SystemError) -> [UInt8] {
    let capacity = 1024
    var result: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      guard let base = buffer.baseAddress else { return }
      unsafe base.initialize(repeating: 0, count: capacity)
      result = unsafe clinux_lp_device_id(raw, base, capacity)
      count = capacity
    }
    try check(result, "LPIOC_GET_DEVICE_ID")
    return bytes
  }
}
