internal import Channels

/// One event of an input device (linux/input.h).
struct InputEvent: Equatable {
  /// By the clock the device stamps with.
  var time: Duration
  /// `EV_SYN` 0, `EV_KEY` 1 …
  var type: UInt16
  /// For keys the key, for `EV_SYN` `SYN_REPORT` 0 or `SYN_DROPPED` 3.
  var code: UInt16
  /// For keys: 0 up, 1 down, 2 repeated.
  var value: Int32

  /// Reads events of 24 bytes each, in the host's order, which is little-endian on everything this program runs on. The
  /// kernel never gives a part of one.
  static func read(_ bytes: [UInt8]) -> [InputEvent] {
    func number(_ range: Range<Int>) -> UInt64 { bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    return stride(from: 0, through: bytes.count - 24, by: 24).map { start in
      let seconds = Int64(truncatingIfNeeded: number(start..<start + 8))
      let microseconds = Int64(truncatingIfNeeded: number(start + 8..<start + 16))
      return InputEvent(
        time: .seconds(seconds) + .microseconds(microseconds),
        type: UInt16(number(start + 16..<start + 18)), code: UInt16(number(start + 18..<start + 20)),
        value: Int32(truncatingIfNeeded: number(start + 20..<start + 24)))
    }
  }
}

/// Decides which events are presses.
///
/// When the kernel's queue for this reader overflowed, it says `SYN_DROPPED`: everything up to the next `SYN_REPORT` is
/// half a truth and is passed over, and the state of the keys is asked for (kernel documentation, input/event-codes). A
/// key that is down then and was up before has been pressed, and is told; which keys were pressed and released in between
/// nobody knows, and nothing is told of them.
struct KeyTracker {
  private(set) var down: Set<UInt16>
  /// How often the queue overflowed.
  private(set) var overflows = 0
  private var isDropping = false
  private var droppedAt: Duration?

  /// - Parameter down: the keys that are down at the beginning; they have not been pressed for this reader.
  init(down: Set<UInt16> = []) { self.down = down }

  /// True when ``resynchronise(_:)`` is due.
  var needsState: Bool { !isDropping && droppedAt != nil }

  /// Takes one event in its order; the press, if it is one.
  mutating func take(_ event: InputEvent) -> KeyPress? {
    switch (event.type, event.code) {
    case (0, 3):
      isDropping = true
      droppedAt = droppedAt ?? event.time
      overflows += 1
      return nil
    case (0, 0):
      isDropping = false
      return nil
    case (1, _) where !isDropping:
      switch event.value {
      case 0:
        down.remove(event.code)
        return nil
      case 1: return down.insert(event.code).inserted ? KeyPress(code: event.code, time: event.time) : nil
      // A repetition is no press; neither is a value that no kernel sends.
      default: return nil
      }
    default: return nil
    }
  }

  /// Takes the state of the keys as it is after everything that was read; presses of which the events were lost.
  mutating func resynchronise(_ now: Set<UInt16>) -> [KeyPress] {
    defer {
      down = now
      droppedAt = nil
    }
    return now.subtracting(down).sorted().map { KeyPress(code: $0, time: droppedAt ?? .zero) }
  }
}
