/// How long the command at the front of a queue is: what an interpreter must know even of commands it does not carry out,
/// so that their parameters are not taken for text.
///
/// Lengths are those of Epson's ESC/POS reference and of facts/devices.md A1 and A4.
enum ESCPOSSequence: Equatable {
  /// The length cannot be told before more bytes are there.
  case undecided
  /// A command of this many bytes, parameters and data included.
  case command(Int)
  /// This many bytes begin no known command; what follows them is read afresh.
  case unknown(Int)

  /// Looks at the front of `queue`, which holds a control byte there.
  init(at queue: ByteQueue) {
    switch queue[0] {
    case 0x09, 0x0A, 0x0D: self = .command(1)
    case ESCPOSByte.dle: self = Self.realTime(queue)
    case ESCPOSByte.esc: self = Self.prefixed(queue, Self.escapeLengths, Self.escape)
    case ESCPOSByte.fs: self = Self.prefixed(queue, Self.fieldLengths, Self.field)
    case ESCPOSByte.gs: self = Self.prefixed(queue, Self.groupLengths, Self.group)
    default: self = .unknown(1)
    }
  }

  private static func prefixed(
    _ queue: ByteQueue, _ lengths: [UInt8: Int], _ other: (ByteQueue) -> ESCPOSSequence
  ) -> ESCPOSSequence {
    guard queue.count >= 2 else { return .undecided }
    if let length = lengths[queue[1]] { return .command(length) }
    // A control byte after ESC, FS or GS is more likely the start of the next command than a function.
    return queue[1] < 0x20 ? .unknown(1) : other(queue)
  }

  private static func realTime(_ queue: ByteQueue) -> ESCPOSSequence {
    guard queue.count >= 2 else { return .undecided }
    switch queue[1] {
    case 0x04, 0x05: return .command(3)
    case 0x14:
      guard queue.count >= 3 else { return .undecided }
      switch queue[2] {
      case 0x01, 0x02: return .command(5)
      case 0x08:
        let whole = ESCPOSByte.clearBuffer
        return whole.starts(with: queue[0..<min(queue.count, whole.count)])
          ? .command(whole.count) : .unknown(3)
      default: return .unknown(3)
      }
    default: return .unknown(1)
    }
  }

  private static func lengths(_ table: [(String, Int)], _ more: [UInt8: Int] = [:]) -> [UInt8: Int] {
    var lengths = more
    for (characters, length) in table { for character in characters.utf8 { lengths[character] = length } }
    return lengths
  }

  private static let escapeLengths = lengths(
    [("2<@LSimv", 2), (" !%+-3=?AEGJKMRTUVadertu{", 3), ("$\\Bc", 4), ("p", 5), ("W", 10)], [0x0C: 2])
  private static let fieldLengths = lengths([("&.", 2), ("!-CW", 3), ("Sp", 4)], [0xC0: 6])
  private static let groupLengths = lengths(
    [(":c", 2), ("!/BHITabfhjrw|", 3), ("$LPW\\", 4), ("^", 5), ("g", 6)], [0xE0: 3])

  private static func escape(_ queue: ByteQueue) -> ESCPOSSequence {
    switch queue[1] {
    case 0x28: return counted(queue)
    case 0x2A:
      return number16(queue, at: 3) { columns in
        switch queue[2] {
        case 0, 1: .command(5 + columns)
        case 32, 33: .command(5 + columns * 3)
        default: .unknown(3)
        }
      }
    case 0x44: return terminated(queue, from: 2, most: 32)
    default: return .unknown(2)
    }
  }

  private static func field(_ queue: ByteQueue) -> ESCPOSSequence {
    queue[1] == 0x28 ? counted(queue) : .unknown(2)
  }

  private static func group(_ queue: ByteQueue) -> ESCPOSSequence {
    switch queue[1] {
    case 0x28: return counted(queue)
    case 0x38:
      guard queue.count >= 3 else { return .undecided }
      guard queue[2] == 0x4C else { return .unknown(2) }
      return number16(queue, at: 5) { high in number16(queue, at: 3) { low in .command(7 + high << 16 + low) }
      }
    case 0x2A:
      guard queue.count >= 4 else { return .undecided }
      return .command(4 + Int(queue[2]) * Int(queue[3]) * 8)
    case 0x51, 0x76:
      guard queue.count >= 3 else { return .undecided }
      guard queue[2] == 0x30 else { return .unknown(2) }
      return number16(queue, at: 6) { rows in number16(queue, at: 4) { width in .command(8 + width * rows) } }
    case 0x6B: return barcode(queue)
    default: break
    }
    guard queue.count >= 3 else { return .undecided }
    switch (queue[1], queue[2]) {
    case (0x56, 0), (0x56, 1), (0x56, 48), (0x56, 49): return .command(3)
    case (0x56, 65), (0x56, 66), (0x56, 97), (0x56, 98), (0x56, 103), (0x56, 104): return .command(4)
    case (0x56, _): return .unknown(3)
    case (0x65, ESCPOSCommand.Ejector.presentCode): return .command(4)
    case (0x65, ESCPOSCommand.Ejector.timeoutCode): return .command(5)
    case (0x65, _): return .command(3)
    case (0x52, 0x30): return .command(3)
    case (0x52, 0x31): return .command(4)
    default: return .unknown(2)
    }
  }

  /// A bar code whose data the printer refuses ends at its head, and the data are printed as text.
  private static func barcode(_ queue: ByteQueue) -> ESCPOSSequence {
    guard queue.count >= 3 else { return .undecided }
    switch queue[2] {
    case 0...6: return terminated(queue, from: 3, most: 255)
    case 65...79:
      guard queue.count >= 4 else { return .undecided }
      return .command(4 + Int(queue[3]))
    default: return .unknown(3)
    }
  }

  /// `ESC (`, `FS (` and `GS (` with a function byte and a 16-bit count of what follows.
  private static func counted(_ queue: ByteQueue) -> ESCPOSSequence {
    number16(queue, at: 3) { .command(5 + $0) }
  }

  private static func number16(
    _ queue: ByteQueue, at place: Int, _ then: (Int) -> ESCPOSSequence
  ) -> ESCPOSSequence {
    guard queue.count >= place + 2 else { return .undecided }
    return then(Int(queue[place]) | Int(queue[place + 1]) << 8)
  }

  /// Data that end with NUL, at most `most` bytes before it; without one the head alone is unknown.
  private static func terminated(_ queue: ByteQueue, from start: Int, most: Int) -> ESCPOSSequence {
    let window = queue[start..<start + most + 1]
    if let end = window.firstIndex(of: 0) {
      return .command(start + window.distance(from: window.startIndex, to: end) + 1)
    }
    return window.count > most ? .unknown(start) : .undecided
  }
}
