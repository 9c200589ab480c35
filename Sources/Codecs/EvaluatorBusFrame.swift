/// One frame of the serial bus of desk callers and four-key evaluators (facts/devices.md C4a; one source).
///
/// On the wire, at 9600 8N1: `FF 68`, the length twice (address, function and data), `68`, address, function, data, a check
/// byte (sum of address, function and data), `16`. Several devices share the line and are told apart by their address.
public struct EvaluatorBusFrame: Sendable, Hashable {
  static let head: [UInt8] = [0xFF, 0x68]
  static let secondHead: UInt8 = 0x68
  static let tail: UInt8 = 0x16
  /// Most data bytes of a frame: the length is one byte and counts address and function too.
  public static let maximumData = 253

  /// Address of the device, on frames of both directions.
  public let address: UInt8
  /// FUNC: what the frame is about.
  public let function: UInt8
  /// What follows.
  public let data: [UInt8]

  /// A frame; nil with more than ``maximumData`` bytes of data.
  public init?(address: UInt8, function: UInt8, data: [UInt8]) {
    guard data.count <= Self.maximumData else { return nil }
    self.init(address: address, function: function, short: data)
  }

  /// For data whose count is known to fit.
  init(address: UInt8, function: UInt8, short data: [UInt8]) {
    self.address = address
    self.function = function
    self.data = data
  }

  /// The whole frame as it goes over the line.
  public func encode() -> [UInt8] {
    let content = [address, function] + data
    let length = UInt8(truncatingIfNeeded: content.count)
    return Self.head + [length, length, Self.secondHead] + content + [Self.checksum(content), Self.tail]
  }

  static func checksum(_ content: some Sequence<UInt8>) -> UInt8 { content.reduce(0, &+) }
}

/// What was wrong with bytes that an ``EvaluatorBusParser`` had to drop.
public enum EvaluatorBusError: Error, Sendable, Equatable {
  /// Bytes before a frame that belong to none.
  case noise(dropped: Int)
  /// The two length bytes differ.
  case lengthsDiffer(UInt8, UInt8, dropped: Int)
  /// The length is not one that this direction has.
  case length(UInt8, dropped: Int)
  /// The second `68` is something else.
  case head(found: UInt8, dropped: Int)
  /// The check byte is `found` where `expected` belongs.
  case checksum(expected: UInt8, found: UInt8, dropped: Int)
  /// The last byte is not `16`.
  case tail(found: UInt8, dropped: Int)

  /// How many bytes were dropped.
  public var dropped: Int {
    switch self {
    case .noise(let dropped), .lengthsDiffer(_, _, let dropped), .length(_, let dropped),
      .head(_, let dropped),
      .checksum(_, _, let dropped), .tail(_, let dropped):
      dropped
    }
  }
}

/// Finds ``EvaluatorBusFrame``s in a stream of bytes that may be split, joined, damaged or mixed with garbage.
///
/// Feed what arrives, then call ``next()`` until it says `.needMore`. The search goes on inside a damaged frame, so that a
/// good frame after a cut one is not lost. Never holds more than one frame beyond what is fed at once.
public struct EvaluatorBusParser: Sendable {
  /// Lengths of frames from a device: the only public program drops others (facts/devices.md C4a).
  public static let fromDevice: ClosedRange<UInt8> = 3...5
  /// Lengths of frames from the host: a beep has 2, a number plate 8.
  public static let fromHost: ClosedRange<UInt8> = 2...8

  /// What ``next()`` found.
  public enum Step: Sendable, Equatable {
    /// A whole frame with right lengths, check byte and tail.
    case frame(EvaluatorBusFrame)
    /// Nothing more to tell before more bytes are fed.
    case needMore
    /// Bytes were dropped. The search goes on with the next call.
    case error(EvaluatorBusError)
  }

  private let lengths: ClosedRange<UInt8>
  private var queue = ByteQueue()

  /// An empty parser for frames whose length byte is in `lengths`; a length below 2, which has no room for address and
  /// function, is never taken.
  public init(lengths: ClosedRange<UInt8> = Self.fromDevice) { self.lengths = lengths }

  /// Bytes waiting for the rest of their frame.
  public var pending: Int { queue.count }

  /// Takes what arrived; any number of bytes.
  public mutating func feed(_ bytes: [UInt8]) { queue.append(bytes) }

  /// The next frame or error, or `.needMore`.
  public mutating func next() -> Step {
    let place = queue.firstPossible(EvaluatorBusFrame.head)
    if place > 0 {
      queue.drop(place)
      return .error(.noise(dropped: place))
    }
    // Each byte is judged as soon as it is there: a wrong one must not make the parser wait for the rest.
    guard queue.count >= 3 else { return .needMore }
    let length = queue[2]
    guard length >= 2, lengths.contains(length) else { return .error(.length(length, dropped: dropBroken())) }
    guard queue.count >= 4 else { return .needMore }
    guard queue[3] == length else {
      let second = queue[3]
      return .error(.lengthsDiffer(length, second, dropped: dropBroken()))
    }
    guard queue.count >= 5 else { return .needMore }
    guard queue[4] == EvaluatorBusFrame.secondHead else {
      let found = queue[4]
      return .error(.head(found: found, dropped: dropBroken()))
    }
    let check = 5 + Int(length)
    guard queue.count >= check + 2 else { return .needMore }
    let content = Array(queue[5..<check])
    let found = queue[check]
    let tail = queue[check + 1]
    let expected = EvaluatorBusFrame.checksum(content)
    guard found == expected else {
      return .error(.checksum(expected: expected, found: found, dropped: dropBroken(upTo: check + 2)))
    }
    guard tail == EvaluatorBusFrame.tail else {
      return .error(.tail(found: tail, dropped: dropBroken(upTo: check + 1)))
    }
    queue.drop(check + 2)
    return .frame(EvaluatorBusFrame(address: content[0], function: content[1], short: Array(content[2...])))
  }

  /// Gives up the frame that is being waited for, because its rest has not come in time; what was received inside it is
  /// searched again by the next calls of ``next()``. Returns the number of bytes dropped; none when nothing is pending.
  public mutating func giveUp() -> Int {
    let dropped = min(max(queue.firstPossible(EvaluatorBusFrame.head), 1), queue.count)
    queue.drop(dropped)
    return dropped
  }

  /// Forgets all that was received.
  public mutating func reset() { queue = ByteQueue() }

  /// Drops a broken frame's first byte, and what follows up to a place where another frame could begin, at most `limit`
  /// bytes.
  private mutating func dropBroken(upTo limit: Int = 2) -> Int {
    let dropped = min(queue.firstPossible(EvaluatorBusFrame.head, from: 1), limit)
    queue.drop(dropped)
    return dropped
  }
}
