/// What a report must look like to mean something: bytes at places, each possibly under a mask.
public struct ReportPattern: Sendable, Equatable {
  /// One byte.
  public struct Condition: Sendable, Equatable {
    /// Place in the report from 0; where reports are numbered, the number is at 0.
    public var offset: Int
    /// The bits that count.
    public var mask: UInt8
    /// What they are.
    public var value: UInt8

    /// A condition.
    public init(offset: Int, mask: UInt8 = 0xFF, value: UInt8) {
      self.offset = offset
      self.mask = mask
      self.value = value
    }
  }

  /// All of which must hold; never none.
  public var conditions: [Condition]
  /// The driver's word for what it means.
  public var meaning: String

  /// A pattern.
  public init(_ conditions: [Condition], meaning: String) {
    self.conditions = conditions
    self.meaning = meaning
  }

  /// Reads `1=05:5` (byte 1 is 05), `0=02+3&0f=01:cancel` (byte 0 is 02, and byte 3 under 0f is 01); places decimal, bytes
  /// in two hexadecimal digits. Nil for anything else.
  public init?(_ text: some StringProtocol) {
    let sides = text.split(separator: ":", omittingEmptySubsequences: false)
    guard sides.count == 2, !sides[1].isEmpty else { return nil }
    func byte(_ text: Substring) -> UInt8? {
      text.utf8.count == 2 && text.first != "+" ? UInt8(text, radix: 16) : nil
    }
    var conditions: [Condition] = []
    for part in Substring(sides[0]).split(separator: "+", omittingEmptySubsequences: false) {
      let halves = part.split(separator: "=", omittingEmptySubsequences: false)
      let place = halves.first?.split(separator: "&", omittingEmptySubsequences: false) ?? []
      guard halves.count == 2, (1...2).contains(place.count), let offset = Int(place[0]),
        (0...4095).contains(offset), let value = byte(halves[1])
      else { return nil }
      var mask: UInt8 = 0xFF
      if place.count == 2 {
        guard let given = byte(place[1]) else { return nil }
        mask = given
      }
      // A value outside its mask could never come.
      guard value & ~mask == 0 else { return nil }
      conditions.append(Condition(offset: offset, mask: mask, value: value))
    }
    self.init(conditions, meaning: String(sides[1]))
  }

  /// Whether a report is of this form; one that is too short is not.
  public func matches(_ report: [UInt8]) -> Bool {
    conditions.allSatisfy { condition in
      report.indices.contains(condition.offset)
        && report[condition.offset] & condition.mask == condition.value
    }
  }
}
