/// The target of a request line in origin form (RFC 9112, 3.2.1), taken apart.
struct RequestTarget: Sendable {
  /// The path as the client wrote it.
  let path: String
  /// Its segments, decoded.
  let segments: [String]
  /// The query's pairs, decoded, in their order.
  let query: [(name: String, value: String)]

  /// - Returns: `nil` for another form, a broken or overlong escape, a control character or text that is not
  ///   UTF-8.
  init?(_ target: [UInt8]) {
    guard target.first == UInt8(ascii: "/"),
      target.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") })
    else { return nil }
    let parts = target.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    path = String(decoding: parts[0], as: UTF8.self)
    var segments: [String] = []
    for part in parts[0].dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      guard let segment = Self.decoded(part) else { return nil }
      segments.append(segment)
    }
    // `/` has no segment; `/a/` has two, the second empty, and is another resource than `/a`.
    self.segments = segments == [""] ? [] : segments
    var query: [(name: String, value: String)] = []
    for pair in (parts.count > 1 ? parts[1] : []).split(separator: UInt8(ascii: "&")) {
      let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = Self.decoded(halves[0], plusIsSpace: true),
        let value = Self.decoded(halves.count > 1 ? halves[1] : [], plusIsSpace: true)
      else { return nil }
      query.append((name, value))
    }
    self.query = query
  }

  private static func decoded(_ bytes: ArraySlice<UInt8>, plusIsSpace: Bool = false) -> String? {
    guard bytes.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else {
      return String(decoding: bytes, as: UTF8.self)
    }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var rest = bytes
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit),
          high << 4 | low >= 0x20, high << 4 | low != 0x7F
        else { return nil }
        decoded.append(high << 4 | low)
      case UInt8(ascii: "+") where plusIsSpace:
        decoded.append(UInt8(ascii: " "))
      default:
        decoded.append(byte)
      }
    }
    return String(validating: decoded, as: UTF8.self)
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
