/// A generator that gives the same numbers for the same seed, so that a run can be repeated exactly: SplitMix64 (Steele, Lea,
/// Flood 2014).
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// A generator.
  public init(seed: UInt64) { state = seed }

  /// The next number.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    return bits ^ bits >> 31
  }

  /// The next number made one from 0 up to `limit`, without it.
  public mutating func next(below limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

  /// Every second time.
  public mutating func isLuckyNow() -> Bool { next() & 1 == 0 }
  var isLucky: Bool { mutating get { isLuckyNow() } }
}
