/// Fewer bytes are there than a format needs at this place.
public struct ByteReaderError: Error, Sendable, Equatable {
  /// Where reading stopped, in bytes from the start.
  public let offset: Int
  /// How many bytes were asked for.
  public let needed: Int
  /// How many were left.
  public let available: Int

  /// At `offset`, `needed` bytes were asked for and only `available` are there.
  public init(offset: Int, needed: Int, available: Int) {
    self.offset = offset
    self.needed = needed
    self.available = available
  }
}

/// Reads fixed-width numbers and runs of bytes from the front of an array; every read is checked against the end.
///
/// A read that fails moves nothing, so that a caller may try another layout from the same place. Printing a reader does not
/// show what it reads.
public struct ByteReader: Sendable, CustomStringConvertible, CustomReflectable {
  private let source: [UInt8]
  /// Bytes read so far.
  public private(set) var offset = 0

  /// Starts at the first of `bytes`.
  public init(_ bytes: [UInt8]) { source = bytes }

  /// How far it is; never the bytes.
  public var description: String { "‹\(offset) of \(source.count) bytes read›" }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }

  /// Bytes not read yet.
  public var remaining: Int { source.count - offset }

  /// The next `count` bytes. A negative count reads nothing.
  public mutating func bytes(_ count: Int) throws(ByteReaderError) -> [UInt8] {
    guard count > 0 else { return [] }
    guard count <= remaining else {
      throw ByteReaderError(offset: offset, needed: count, available: remaining)
    }
    defer { offset += count }
    return Array(source[offset..<offset + count])
  }

  /// All bytes not read yet; possibly none.
  public mutating func rest() -> [UInt8] {
    defer { offset = source.count }
    return Array(source[offset...])
  }

  /// The next byte.
  public mutating func byte() throws(ByteReaderError) -> UInt8 { try bigEndian(UInt8.self) }

  /// The next number with its most significant byte first, as networks, SDT frames and IPP have it.
  public mutating func bigEndian<Number: FixedWidthInteger>(
    _ type: Number.Type
  ) throws(ByteReaderError) -> Number {
    try bytes(Number.bitWidth / 8).reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
  }

  /// The next number with its least significant byte first, as USB, UTF-16LE and ESC/POS have it.
  public mutating func littleEndian<Number: FixedWidthInteger>(
    _ type: Number.Type
  ) throws(ByteReaderError) -> Number {
    try bytes(Number.bitWidth / 8).reversed().reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
  }
}

extension [UInt8] {
  /// Appends a number, most significant byte first.
  mutating func append(bigEndian number: some FixedWidthInteger) {
    for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
      append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  /// Appends a number, least significant byte first.
  mutating func append(littleEndian number: some FixedWidthInteger) {
    for shift in stride(from: 0, to: number.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }
}
