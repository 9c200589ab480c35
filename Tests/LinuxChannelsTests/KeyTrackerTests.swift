import Channels
import Testing

@testable import LinuxChannels

@Suite struct KeyTrackerTests {
  private func events(_ list: [(UInt16, UInt16, Int32)]) -> [InputEvent] {
    list.enumerated().map { number, event in
      InputEvent(time: .milliseconds(number), type: event.0, code: event.1, value: event.2)
    }
  }

  @Test func `an event is read as the kernel writes it`() {
    // 1 000 000 s and 123 456 µs, EV_KEY, KEY_KP1 (79), down; then half an event.
    let bytes: [UInt8] = [
      0x40, 0x42, 0x0F, 0, 0, 0, 0, 0, 0x40, 0xE2, 0x01, 0, 0, 0, 0, 0, 1, 0, 79, 0, 1, 0, 0, 0, 9, 9,
    ]
    #expect(
      InputEvent.read(bytes) == [
        InputEvent(time: .seconds(1_000_000) + .microseconds(123_456), type: 1, code: 79, value: 1)
      ])
    let negative: [UInt8] = [UInt8](repeating: 0, count: 16) + [1, 0, 2, 0, 0xFF, 0xFF, 0xFF, 0xFF]
    #expect(InputEvent.read(negative).first?.value == -1)
    #expect(InputEvent.read([]).isEmpty)
  }

  @Test func `only a key that goes down is a press`() {
    var tracker = KeyTracker()
    // MSC_SCAN, down, SYN, repeated twice, up, SYN, another down.
    let list: [(UInt16, UInt16, Int32)] = [
      (4, 4, 458_846), (1, 2, 1), (0, 0, 0), (1, 2, 2), (1, 2, 2), (1, 2, 0), (0, 0, 0), (1, 3, 1), (0, 0, 0),
    ]
    let presses = events(list).compactMap { tracker.take($0) }
    #expect(presses.map(\.code) == [2, 3])
    #expect(presses.map(\.time) == [.milliseconds(1), .milliseconds(7)])
    #expect(tracker.down == [3])
  }

  @Test func `a key that was down before is told when it goes down anew`() {
    var tracker = KeyTracker(down: [5])
    let presses = events([(1, 5, 2), (1, 5, 0), (0, 0, 0), (1, 5, 1)]).compactMap { tracker.take($0) }
    #expect(presses.map(\.time) == [.milliseconds(3)])
  }

  @Test func `after an overflow nothing is told that nobody knows`() {
    var tracker = KeyTracker()
    var presses = events([(1, 2, 1), (0, 0, 0), (0, 3, 0), (1, 9, 1), (1, 2, 0), (0, 0, 0)]).compactMap {
      tracker.take($0)
    }
    #expect(presses.map(\.code) == [2])
    #expect(tracker.needsState)
    // 2 is still down: it was told. 9 is up again, whatever half a packet said.
    #expect(tracker.resynchronise([2]) == [])
    #expect(!tracker.needsState)
    #expect(tracker.overflows == 1)
    presses = events([(1, 2, 0), (0, 0, 0), (1, 2, 1)]).compactMap { tracker.take($0) }
    #expect(presses.map(\.code) == [2])
  }

  @Test func `a key whose press was lost and that is still down has been pressed`() {
    var tracker = KeyTracker(down: [7])
    #expect(events([(0, 3, 0), (0, 0, 0)]).compactMap { tracker.take($0) } == [])
    #expect(tracker.resynchronise([7, 4]) == [KeyPress(code: 4, time: .milliseconds(0))])
    #expect(tracker.down == [7, 4])
  }

  @Test func `the state is not asked for before the half packet has ended`() {
    var tracker = KeyTracker()
    #expect(events([(0, 3, 0), (1, 2, 1)]).compactMap { tracker.take($0) } == [])
    #expect(!tracker.needsState)
    // What follows the packet's end counts again.
    let presses = events([(0, 0, 0), (1, 3, 1)]).compactMap { tracker.take($0) }
    #expect(presses.map(\.code) == [3])
    #expect(tracker.needsState)
    #expect(tracker.resynchronise([3]) == [])
  }
}
