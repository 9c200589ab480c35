private import CLinux

/// HID interfaces as the kernel's hidraw driver gives them (linux/hidraw.h).
///
/// Sending and features wait for the device, up to 5 s on the USB: not to be called where nothing may block.
public enum HIDRaw {
  /// What the kernel knows of the device behind an interface.
  public struct Information: Sendable, Equatable {
    /// `BUS_USB` 3, `BUS_BLUETOOTH` 5, `BUS_VIRTUAL` 6 … (linux/input.h).
    public var bus: UInt32
    /// Vendor id.
    public var vendor: UInt16
    /// Product id.
    public var product: UInt16
    /// Maker and product, as the device gives them.
    public var name: String
    /// Where it is plugged in: `usb-0000:00:14.0-2/input0`.
    public var physicalPath: String
    /// Serial number; empty where it has none.
    public var uniqueID: String
  }

  /// Opens an interface and takes its lock (flock(2)), which keeps out everyone who looks at it; the kernel itself lets
  /// any number of programs read.
  /// - Throws: `EBUSY` when somebody has the lock, and what `open` says: `ENOENT`, `EACCES`, `ENODEV`.
  public static func open(path: String) throws(SystemError) -> Descriptor {
    let node = try Files.open(path, .readingAndWriting)
    if Files.lock(node) < 0 { throw SystemError(call: "lock \(path)", code: Errno.busy) }
    return node
  }

  /// The report descriptor, 0 to 4096 bytes; `ENOTTY` when it is no hidraw device.
  public static func reportDescriptor(_ raw: Int32) throws(SystemError) -> [UInt8] {
    var result: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(CLINUX_HID_DESCRIPTOR)) { buffer, filled in
      result = unsafe clinux_hidraw_descriptor(raw, buffer.baseAddress)
      filled = max(Int(result), 0)
    }
    try check(result, "HIDIOCGRDESC")
    return bytes
  }

  /// Ids and names.
  public static func information(_ raw: Int32) throws(SystemError) -> Information {
    var bus: UInt32 = 0
    var vendor: UInt16 = 0
    var product: UInt16 = 0
    try check(unsafe clinux_hidraw_info(raw, &bus, &vendor, &product), "HIDIOCGRAWINFO")
    // Only the names may be missing: HIDIOCGRAWUNIQ came with Linux 5.6.
    return Information(
      bus: bus, vendor: vendor, product: product, name: text(raw, Int32(CLINUX_HID_NAME)),
      physicalPath: text(raw, Int32(CLINUX_HID_PHYSICAL)), uniqueID: text(raw, Int32(CLINUX_HID_UNIQUE)))
  }

  private static func text(_ raw: Int32, _ which: Int32) -> String {
    let text = unsafe try? Files.text(capacity: 256, "HIDIOCGRAWNAME") { buffer, capacity in
      unsafe clinux_hidraw_text(raw, which, buffer, capacity)
    }
    return text ?? ""
  }

  /// Asks for a feature report.
  /// - Parameters:
  ///   - number: its number; 0 where they are not numbered.
  ///   - count: bytes to take at the most, the number's included, at least 1.
  /// - Returns: the report, its number (or 0) first.
  public static func feature(_ raw: Int32, number: UInt8, count: Int) throws(SystemError) -> [UInt8] {
    let capacity = max(count, 1)
    var result: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
      unsafe buffer.initialize(repeating: 0)
      unsafe buffer[0] = number
      result = unsafe clinux_hidraw_get_feature(raw, buffer.baseAddress, capacity)
      filled = min(max(Int(result), 0), capacity)
    }
    try check(result, "get feature report \(number)")
    return bytes
  }

  /// Sends a feature report, its number (or 0) first.
  public static func setFeature(_ raw: Int32, _ report: [UInt8]) throws(SystemError) {
    try check(
      unsafe report.withUnsafeBufferPointer {
        unsafe clinux_hidraw_set_feature(raw, $0.baseAddress, $0.count)
      },
      "set feature report \(report.first ?? 0)")
  }

  /// Sends an output report, its number (or 0) first.
  /// - Returns: how many bytes of it the device took.
  public static func send(_ raw: Int32, _ report: [UInt8]) throws(SystemError) -> Int {
    let result = unsafe report.withUnsafeBytes { unsafe clinux_write(raw, $0.baseAddress, $0.count) }
    return Int(try check(result, "send report \(report.first ?? 0)"))
  }

  /// Throws away the input reports that wait: at most the 64 the kernel keeps.
  public static func discardInput(_ raw: Int32) {
    var report = [UInt8](repeating: 0, count: 64)
    for _ in 0..<64 where unsafe clinux_read(raw, &report, report.count) <= 0 { return }
  }
}
