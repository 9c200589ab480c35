/// SHA-256 (FIPS 180-4), written out plainly so that frames can be compared with published digests without a module.
enum ReferenceSHA256 {
  static func hexDigest(_ message: [UInt8]) -> String {
    var state = primes(8).map { fraction(of: Double($0).squareRoot()) }
    let constants = primes(64).map { fractionOfCubeRoot(of: $0) }
    var padded = message + [0x80]
    while padded.count % 64 != 56 { padded.append(0) }
    for shift in stride(from: 56, through: 0, by: -8) {
      padded.append(UInt8(truncatingIfNeeded: (UInt64(message.count) * 8) >> UInt64(shift)))
    }
    for block in stride(from: 0, to: padded.count, by: 64) {
      var words = (0..<16).map { word in
        padded[block + word * 4..<block + word * 4 + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      }
      for index in 16..<64 {
        let a = words[index - 15]
        let b = words[index - 2]
        let s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3
        let s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10
        words.append(words[index - 16] &+ s0 &+ words[index - 7] &+ s1)
      }
      var h = state
      for index in 0..<64 {
        let s1 = rotate(h[4], 6) ^ rotate(h[4], 11) ^ rotate(h[4], 25)
        let choice = (h[4] & h[5]) ^ (~h[4] & h[6])
        let first = h[7] &+ s1 &+ choice &+ constants[index] &+ words[index]
        let s0 = rotate(h[0], 2) ^ rotate(h[0], 13) ^ rotate(h[0], 22)
        let majority = (h[0] & h[1]) ^ (h[0] & h[2]) ^ (h[1] & h[2])
        h = [first &+ s0 &+ majority, h[0], h[1], h[2], h[3] &+ first, h[4], h[5], h[6]]
      }
      state = zip(state, h).map { $0 &+ $1 }
    }
    return state.map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 8 - digits.count) + digits
    }.joined()
  }

  private static func rotate(_ word: UInt32, _ count: UInt32) -> UInt32 {
    word >> count | word << (32 - count)
  }

  private static func primes(_ count: Int) -> [Int] {
    var found: [Int] = []
    var candidate = 2
    while found.count < count {
      if found.allSatisfy({ candidate % $0 != 0 }) { found.append(candidate) }
      candidate += 1
    }
    return found
  }

  private static func fraction(of number: Double) -> UInt32 {
    UInt32((number - number.rounded(.down)) * 4_294_967_296)
  }

  /// The first 32 bits behind the point of a cube root, by whole numbers: a Double has too few for all 64 constants.
  private static func fractionOfCubeRoot(of prime: Int) -> UInt32 {
    // The root times 2^32, found bit by bit: its cube is at most prime times 2^96.
    let target = UInt128(prime) << 96
    var root: UInt128 = 0
    for bit in (0..<36).reversed() {
      let tried = root | 1 << UInt128(bit)
      if tried * tried * tried <= target { root = tried }
    }
    return UInt32(truncatingIfNeeded: root)
  }
}
