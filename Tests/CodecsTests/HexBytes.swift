import TestKit

/// Reads `AA 00 1b`, spaces optional, as the facts write frames; `nn×12` repeats a byte.
func hex(_ text: String) -> [UInt8] {
  var bytes: [UInt8] = []
  for word in text.split(separator: " ") {
    let parts = word.split(separator: "×")
    var digits = Substring(parts[0])
    var run: [UInt8] = []
    while digits.count >= 2, let byte = UInt8(digits.prefix(2), radix: 16) {
      run.append(byte)
      digits = digits.dropFirst(2)
    }
    let times = parts.count > 1 ? Int(parts[1]) ?? 0 : 1
    for _ in 0..<times { bytes += run }
  }
  return bytes
}

/// Writes bytes as ``hex(_:)`` reads them.
func hexText(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(separator: " ")
}

extension SeededRandom {
  /// `count` bytes, half of them from `favourites`, so that what looks like a frame comes up often.
  mutating func bytes(_ count: Int, favouring favourites: [UInt8] = []) -> [UInt8] {
    (0..<count).map { _ in
      let word = next()
      guard !favourites.isEmpty, word & 1 == 0 else { return UInt8(truncatingIfNeeded: word >> 8) }
      return favourites[Int(truncatingIfNeeded: (word >> 8) % UInt64(favourites.count))]
    }
  }

  /// `bytes` cut at random places into pieces of at most `most` bytes.
  mutating func pieces(of bytes: [UInt8], most: Int) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = Int.random(in: 1...most, using: &self)
      pieces.append(Array(rest.prefix(count)))
      rest = rest.dropFirst(count)
    }
    return pieces
  }
}
