/// What an ``ESCPOSInterpreter`` finds in a stream.
public enum ESCPOSToken: Sendable, Equatable {
  /// A command, or a run of text. A run ends where the received bytes end, so that a character may be split over two runs.
  case command(ESCPOSCommand)
  /// Bytes that a printer of this kind would ignore or print as garbage: an unknown command with its parameters where
  /// its length is known, else its first bytes.
  case unknown([UInt8])
  /// A command whose data are longer than the interpreter takes: its first bytes, and how many it has in all. Its
  /// data are passed over and do not appear as text.
  case oversized(head: [UInt8], total: Int)
}

/// Takes a ticket's bytes apart as a printer would: for simulated printers, and for tests of what is sent to real ones.
///
/// Feed what arrives, then call ``next()`` until it gives nil. The interpreter knows the length of every command, so that
/// parameters and picture data are never taken for text or commands, however they are split.
///
/// Real-time commands appear in their place in the stream. A real printer also executes them at once on receipt, before
/// anything that waits, and even when their bytes stand inside picture data: ``ESCPOSRealTimeScanner`` finds those. A
/// simulated printer uses both and ignores the real-time commands found here.
public struct ESCPOSInterpreter: Sendable {
  private let maximumCommand: Int
  private var queue = ByteQueue()
  private var skipping = 0

  /// An interpreter that holds at most `maximumCommand` bytes of an unfinished command: by default 1 MiB, a picture of
  /// 576 × 14 000 dots.
  public init(maximumCommand: Int = 1 << 20) { self.maximumCommand = max(maximumCommand, 16) }

  /// Bytes waiting for the rest of their command.
  public var pending: Int { queue.count }

  /// Takes what arrived; any number of bytes.
  public mutating func feed(_ bytes: [UInt8]) {
    queue.append(bytes)
    skip()
  }

  /// The next token; nil when more bytes are needed.
  public mutating func next() -> ESCPOSToken? {
    skip()
    guard queue.count > 0 else { return nil }
    guard queue[0] < 0x20 else { return .command(.text(queue.take(textLength))) }
    switch ESCPOSSequence(at: queue) {
    case .undecided:
      return nil
    case .unknown(let count):
      return .unknown(queue.take(count))
    case .command(let count) where count > maximumCommand:
      let head = Array(queue[0..<8])
      skipping = count
      skip()
      return .oversized(head: head, total: count)
    case .command(let count):
      guard queue.count >= count else { return nil }
      return token(count)
    }
  }

  /// Forgets what is waiting, as "clear buffer" and switching off do.
  public mutating func reset() {
    queue = ByteQueue()
    skipping = 0
  }

  private var textLength: Int {
    var length = 1
    while length < min(queue.count, maximumCommand), queue[length] >= 0x20 { length += 1 }
    return length
  }

  private mutating func token(_ count: Int) -> ESCPOSToken {
    if let command = ESCPOSCommand(sequence: Array(queue[0..<count])) {
      queue.drop(count)
      return .command(command)
    }
    guard queue[0] == ESCPOSByte.gs, queue[1] == 0x6B else { return .unknown(queue.take(count)) }
    // Makers' manuals: on data a bar code cannot have, the printer stops the command and prints the data as text.
    switch queue[2] {
    case 0...6: return .unknown(queue.take(3))
    case 65...73: return .unknown(queue.take(4))
    default: return .unknown(queue.take(count))
    }
  }

  private mutating func skip() {
    let passed = min(skipping, queue.count)
    queue.drop(passed)
    skipping -= passed
  }
}

/// Finds the real-time commands in a stream, wherever they stand: a printer executes them on receipt, off line, with a
/// full buffer, and inside picture data (facts/devices.md A2).
///
/// Give it every byte that arrives, before the bytes wait in the receive buffer.
public struct ESCPOSRealTimeScanner: Sendable {
  private var queue = ByteQueue()

  /// A scanner at the start of a stream.
  public init() {}

  /// Takes what arrived and gives the real-time commands that are complete with it, in order. Holds at most nine bytes.
  public mutating func feed(_ bytes: [UInt8]) -> [ESCPOSCommand] {
    queue.append(bytes)
    var found: [ESCPOSCommand] = []
    while true {
      queue.drop(queue.firstPossible([ESCPOSByte.dle]))
      guard queue.count > 0 else { return found }
      switch ESCPOSSequence(at: queue) {
      case .undecided:
        return found
      case .command(let count) where queue.count < count:
        return found
      case .command(let count):
        if let command = ESCPOSCommand(sequence: Array(queue[0..<count])) {
          found.append(command)
          queue.drop(count)
        } else {
          queue.drop(1)
        }
      case .unknown:
        queue.drop(1)
      }
    }
  }
}
