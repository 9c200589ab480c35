/// Takes apart what a ticket printer sends: answers to different questions, unasked reports and flow control share one
/// stream and are told apart by fixed bits (Epson's ESC/POS reference, appendix G; facts/devices.md A3).
///
/// Feed what arrives, then call ``next()`` until it gives nil.
public struct ESCPOSReplyParser: Sendable {
  private enum State: Sendable {
    case idle
    /// Bytes of an automatic report, or of a full status; which of the two is open after `10` alone.
    case report([UInt8])
    case fullStatus([UInt8])
    /// `37` or `5F` and what has come behind it.
    case block([UInt8])
  }

  private let maximumBlock: Int
  private let withFullStatus: Bool
  private var queue = ByteQueue()
  private var state = State.idle

  /// A parser at the start of a stream.
  ///
  /// `fullStatus` is for kiosk printers that send `10 0F` and four more bytes (facts/devices.md A4); the same two bytes could
  /// begin an automatic report of other printers. `maximumBlock` is the most bytes of a block: the longest in the
  /// manuals has under 100.
  public init(fullStatus: Bool = false, maximumBlock: Int = 256) {
    withFullStatus = fullStatus
    self.maximumBlock = max(maximumBlock, 8)
  }

  /// Takes what arrived; any number of bytes.
  public mutating func feed(_ bytes: [UInt8]) { queue.append(bytes) }

  /// The next reply; nil when more bytes are needed.
  public mutating func next() -> ESCPOSReply? {
    while queue.count > 0 {
      let byte = queue[0]
      // The printer may put XOFF, and so XON, between the bytes of a report or a block.
      if byte == ESCPOSReply.xon || byte == ESCPOSReply.xoff, !isFullStatus {
        queue.drop(1)
        return .flow(accepts: byte == ESCPOSReply.xon)
      }
      switch state {
      case .idle:
        queue.drop(1)
        if let reply = begin(byte) { return reply }
      case .report(let bytes):
        if let reply = continueReport(bytes, byte) { return reply }
      case .fullStatus(let bytes):
        queue.drop(1)
        if bytes.count == 5 { return end(.fullStatus(Array(bytes[2...]) + [byte])) }
        state = .fullStatus(bytes + [byte])
      case .block(let bytes):
        queue.drop(1)
        if byte == 0 { return end(block(bytes)) }
        guard bytes.count < maximumBlock else { return end(.unexpected(bytes + [byte])) }
        state = .block(bytes + [byte])
      }
    }
    return nil
  }

  /// Gives up a reply whose rest has not come in time, and returns its bytes; empty when none was begun.
  public mutating func giveUp() -> [UInt8] {
    defer { state = .idle }
    return switch state {
    case .idle: []
    case .report(let bytes), .fullStatus(let bytes), .block(let bytes): bytes
    }
  }

  /// Forgets all that was received, as after opening the channel anew.
  public mutating func reset() {
    queue = ByteQueue()
    state = .idle
  }

  private var isFullStatus: Bool { if case .fullStatus = state { true } else { false } }

  private mutating func begin(_ byte: UInt8) -> ESCPOSReply? {
    if byte == ESCPOSReply.blockHeader || byte == ESCPOSReply.informationHeader {
      state = .block([byte])
    } else if ESCPOSAutomaticReport.canBegin(byte) {
      state = .report([byte])
    } else if byte & 0x93 == 0x12 {
      return .realTimeStatus(byte)
    } else if byte & 0x90 == 0 {
      return .transmitted(byte)
    } else {
      return .unexpected([byte])
    }
    return nil
  }

  private mutating func continueReport(_ bytes: [UInt8], _ byte: UInt8) -> ESCPOSReply? {
    // Not taken from the queue: a byte that cannot go on with the report begins something else.
    guard ESCPOSAutomaticReport.canContinue(byte) else { return end(.unexpected(bytes)) }
    queue.drop(1)
    let longer = bytes + [byte]
    if withFullStatus, longer == ESCPOSReply.fullStatusHead {
      state = .fullStatus(longer)
      return nil
    }
    guard longer.count == 4 else {
      state = .report(longer)
      return nil
    }
    return end(ESCPOSAutomaticReport(bytes: longer).map { .automaticStatus($0) } ?? .unexpected(longer))
  }

  private mutating func end(_ reply: ESCPOSReply) -> ESCPOSReply {
    state = .idle
    return reply
  }

  private func block(_ bytes: [UInt8]) -> ESCPOSReply {
    let content = Array(bytes.dropFirst())
    return bytes.first == ESCPOSReply.informationHeader ? .information(content) : ESCPOSReply(block: content)
  }
}
