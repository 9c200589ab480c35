/// The number of a security module, as printed on its case: the answer to ``SDTCommand/samID``.
///
/// 16 bytes: two 16-bit and three 32-bit numbers, little endian (facts/idcard.md 3). It identifies the device, not a person.
public struct SAMID: Sendable, Hashable, CustomStringConvertible {
  /// Maker and type, such as 5 and 1 in `05.01`.
  public let family: UInt16
  /// The second number.
  public let type: UInt16
  /// Date of making as the eight decimal digits YYYYMMDD.
  public let date: UInt32
  /// First serial number.
  public let serial: UInt32
  /// Second serial number.
  public let secondSerial: UInt32

  /// Reads the data of the reply; nil unless there are 16 bytes.
  public init?(_ data: [UInt8]) {
    guard data.count == 16 else { return nil }
    var reader = ByteReader(data)
    guard let family = try? reader.littleEndian(UInt16.self),
      let type = try? reader.littleEndian(UInt16.self),
      let date = try? reader.littleEndian(UInt32.self), let serial = try? reader.littleEndian(UInt32.self),
      let secondSerial = try? reader.littleEndian(UInt32.self)
    else { return nil }
    self.init(family: family, type: type, date: date, serial: serial, secondSerial: secondSerial)
  }

  /// A number made of its parts.
  public init(family: UInt16, type: UInt16, date: UInt32, serial: UInt32, secondSerial: UInt32) {
    self.family = family
    self.type = type
    self.date = date
    self.serial = serial
    self.secondSerial = secondSerial
  }

  /// The 16 bytes of the reply.
  public var data: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: family)
    bytes.append(littleEndian: type)
    bytes.append(littleEndian: date)
    bytes.append(littleEndian: serial)
    bytes.append(littleEndian: secondSerial)
    return bytes
  }

  /// `05.01-20101129-0001228293-0296863149`. Sources differ on the width of the last two numbers; ten digits are what
  /// the module's specification shows.
  public var description: String {
    "\(digits(family, 2)).\(digits(type, 2))-\(digits(date, 8))-\(digits(serial, 10))-\(digits(secondSerial, 10))"
  }

  private func digits(_ number: some FixedWidthInteger, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
