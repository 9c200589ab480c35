/// Random numbers that depend on a seed alone (SplitMix64, Steele, Lea and Flood 2014), so that a run can be repeated.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var position: UInt64

  /// A generator; equal seeds give equal numbers.
  public init(seed: UInt64) { position = seed }

  /// The next number.
  public mutating func next() -> UInt64 {
    position &+= 0x9E37_79B9_7F4A_7C15
    var value = position
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}
