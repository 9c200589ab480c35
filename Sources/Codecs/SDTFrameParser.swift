/// What was wrong with bytes that an ``SDTFrameParser`` had to drop.
public enum SDTFrameError: Error, Sendable, Equatable {
  /// Bytes before a frame that belong to none.
  case noise(dropped: Int)
  /// The length field says fewer bytes than a frame has, or more than ``SDTFraming/maximumLength``. A reader answers
  /// this with ``SDTStatus/lengthWrong``.
  case length(declared: Int, dropped: Int)
  /// The check byte is `found` where `expected` belongs. A reader answers this with ``SDTStatus/checksumWrong``; a host
  /// asks again.
  case checksum(expected: UInt8, found: UInt8, dropped: Int)

  /// How many bytes were dropped.
  public var dropped: Int {
    switch self {
    case .noise(let dropped), .length(_, let dropped), .checksum(_, _, let dropped): dropped
    }
  }
}

/// Finds SDT frames in a stream of bytes that may be split, joined, damaged or mixed with garbage.
///
/// Feed what arrives, then call ``next()`` until it says `.needMore`. A damaged frame is not skipped as a whole: the search
/// goes on inside it, so that a good frame after a cut one is not lost. One missing or one extra leading `AA` is
/// tolerated, as the vendor's library does (facts/idcard.md 2.1). Never holds more than one frame beyond what is fed at once.
public struct SDTFrameParser<Frame: SDTFrame>: Sendable {
  /// What ``next()`` found.
  public enum Step: Sendable, Equatable {
    /// A whole frame with a right check byte.
    case frame(Frame)
    /// Nothing more to tell before more bytes are fed.
    case needMore
    /// Bytes were dropped. The search goes on with the next call.
    case error(SDTFrameError)
  }

  private var queue = ByteQueue()

  /// An empty parser.
  public init() {}

  /// Bytes waiting for the rest of their frame.
  public var pending: Int { queue.count }

  /// Takes what arrived; any number of bytes.
  public mutating func feed(_ bytes: [UInt8]) { queue.append(bytes) }

  /// The next frame or error, or `.needMore`.
  public mutating func next() -> Step {
    let marker = SDTFraming.marker
    let place = queue.firstPossible(marker)
    // Up to two AA before the marker belong to the preamble: the regular one, and one that a line may have doubled.
    let lead = leadingAA(before: place, notBefore: 0)
    if place > lead {
      queue.drop(place - lead)
      return .error(.noise(dropped: place - lead))
    }
    let body = lead + marker.count
    guard queue.count >= body + 2 else { return .needMore }
    let length = Int(queue[body]) << 8 | Int(queue[body + 1])
    guard (Frame.minimumContent + 1...SDTFraming.maximumLength).contains(length) else {
      // The length bytes stay: behind a cut frame they are the preamble of the next one.
      queue.drop(body)
      return .error(.length(declared: length, dropped: body))
    }
    let end = body + 2 + length
    guard queue.count >= end else { return .needMore }
    let found = queue[end - 1]
    let expected = SDTFraming.checksum(queue[body..<end - 1])
    if found == expected, let frame = Frame(content: Array(queue[body + 2..<end - 1])) {
      queue.drop(end)
      return .frame(frame)
    }
    let inside = queue.firstPossible(marker, from: body)
    let dropped = min(inside - leadingAA(before: inside, notBefore: body), end)
    queue.drop(dropped)
    return .error(.checksum(expected: expected, found: found, dropped: dropped))
  }

  /// Gives up the frame that is being waited for, because its rest has not come in time; what was received inside it is
  /// searched again by the next calls of ``next()``. Returns the number of bytes dropped; none when nothing is pending.
  public mutating func giveUp() -> Int {
    let place = queue.firstPossible(SDTFraming.marker)
    let dropped = min(place + SDTFraming.marker.count, queue.count)
    queue.drop(dropped)
    return dropped
  }

  /// Forgets all that was received.
  public mutating func reset() { queue = ByteQueue() }

  private func leadingAA(before place: Int, notBefore lowest: Int) -> Int {
    var count = 0
    while count < 2, place - count - 1 >= lowest, queue[place - count - 1] == 0xAA { count += 1 }
    return count
  }
}

/// The reader's side: finds requests.
public typealias SDTRequestParser = SDTFrameParser<SDTRequest>
/// The host's side: finds replies.
public typealias SDTReplyParser = SDTFrameParser<SDTReply>
