private import CLinux
internal import Glibc
internal import Synchronization

/// Identifiers nobody else has, and random bytes, from the kernel's generator.
public enum Identifier {
  /// A UUID of version 7 (RFC 9562, 5.7), in lower case: the time in milliseconds, a counter of 12 bits, 62 random bits.
  ///
  /// Those of one process rise, within a millisecond (by the counter, RFC 9562, 6.2 method 1) and when the clock is set
  /// back (the last time is kept until the clock has caught up).
  public static func uuidV7() -> String {
    var seconds: Int64 = 0
    var nanoseconds: Int32 = 0
    unsafe clinux_now(&seconds, &nanoseconds)
    let now = UInt64(max(seconds, 0)) * 1000 + UInt64(nanoseconds) / 1_000_000
    var bytes = random(16)
    let seed = UInt16(bytes[6] & 0x07) << 8 | UInt16(bytes[7])
    let (time, counter) = last.withLock { $0.next(at: now, seed: seed) }
    for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: time >> UInt64(40 - 8 * index)) }
    bytes[6] = 0x70 | UInt8(truncatingIfNeeded: counter >> 8)
    bytes[7] = UInt8(truncatingIfNeeded: counter)
    return formatted(bytes)
  }

  /// A UUID of version 4 (RFC 9562, 5.4), in lower case: 122 random bits.
  public static func uuidV4() -> String {
    var bytes = random(16)
    bytes[6] = bytes[6] & 0x0f | 0x40
    return formatted(bytes)
  }

  /// Random bytes fit for keys (getrandom(2)); none for a count of zero or less.
  public static func random(_ count: Int) -> [UInt8] {
    guard count > 0 else { return [] }
    var bytes = [UInt8](repeating: 0, count: count)
    // Linux has had the call since 3.17 and it cannot fail for a valid buffer. Going on with bytes that are not random
    // would give away keys without a word.
    guard unsafe clinux_random(&bytes, count) == 0 else {
      StandardStreams.writeError("getrandom failed: no random numbers can be had\n")
      abort()
    }
    return bytes
  }

  /// The bytes as lower-case hexadecimal digits.
  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static let last = Mutex(RisingTime())

  private static func formatted(_ bytes: [UInt8]) -> String {
    var bytes = bytes
    bytes[8] = bytes[8] & 0x3f | 0x80
    return [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { hexadecimal(bytes[$0]) }.joined(separator: "-")
  }
}

/// Milliseconds and a counter of 12 bits that together always rise.
struct RisingTime: Sendable {
  private var time: UInt64 = 0
  private var counter: UInt16 = 0

  /// - Parameter seed: below 0x800, so that at least 2048 follow within one millisecond before the time is put forward.
  mutating func next(at now: UInt64, seed: UInt16) -> (time: UInt64, counter: UInt16) {
    if now > time {
      time = now
      counter = seed
    } else if counter < 0xfff {
      counter += 1
    } else {
      time += 1
      counter = seed
    }
    return (time, counter)
  }
}
