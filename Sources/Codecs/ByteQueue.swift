/// Bytes that have arrived and are not taken apart yet: appended at the end, taken from the front.
///
/// The incremental parsers of this module stand on it. Taking from the front is cheap: what is taken is only marked,
/// and the storage moves up once half of it is dead.
///
/// What is in it may be a citizen's: printing a parser must not show it.
struct ByteQueue: Sendable, CustomStringConvertible, CustomReflectable {
  private var storage: [UInt8] = []
  private var head = 0

  var description: String { "‹\(count) bytes›" }
  var customMirror: Mirror { Mirror(self, children: []) }

  /// Bytes waiting.
  var count: Int { storage.count - head }

  /// The byte `index` places from the front; `index` must be below ``count``.
  subscript(index: Int) -> UInt8 { storage[head + index] }

  /// The bytes of a range counted from the front; cut at the end of what is there.
  subscript(range: Range<Int>) -> ArraySlice<UInt8> {
    let lower = min(max(range.lowerBound, 0), count)
    return storage[head + lower..<head + min(max(range.upperBound, lower), count)]
  }

  mutating func append(_ bytes: [UInt8]) { storage += bytes }

  /// Drops `number` bytes from the front, or all when fewer are there.
  mutating func drop(_ number: Int) {
    head += min(max(number, 0), count)
    guard head * 2 > storage.count else { return }
    storage.removeFirst(head)
    head = 0
  }

  /// Takes `number` bytes from the front, or all when fewer are there.
  mutating func take(_ number: Int) -> [UInt8] {
    let taken = Array(self[0..<number])
    drop(number)
    return taken
  }

  /// The first place from `start` where `pattern` stands, or where all bytes up to the end could become one;
  /// ``count`` when there is none.
  func firstPossible(_ pattern: [UInt8], from start: Int = 0) -> Int {
    var place = max(start, 0)
    while place < count {
      var matched = 0
      while matched < pattern.count, place + matched < count, self[place + matched] == pattern[matched] {
        matched += 1
      }
      if matched == pattern.count || place + matched == count { return place }
      place += 1
    }
    return max(place, count)
  }
}
