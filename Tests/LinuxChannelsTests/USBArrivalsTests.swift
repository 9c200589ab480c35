import Channels
import Testing
import USB

@testable import LinuxChannels

@Suite struct USBArrivalsTests {
  static let pair = PipeLayout(input: 0x81, output: 0x02)
  static let split = PipeLayout(heads: (0x81, 0x02), bodies: (0x85, 0x06), headLength: 7)

  private static func transfer(_ bytes: [UInt8], _ failure: USBError? = nil) -> USBTransferResult {
    USBTransferResult(bytes: bytes, count: bytes.count, failure: failure)
  }

  @Test func `bytes come out in order, however few are taken at once`() {
    var arrivals = USBArrivals(Self.pair)
    arrivals.add(Self.transfer([1, 2, 3]), shortBelow: 64)
    #expect(arrivals.take(2) == [1, 2])
    arrivals.add(Self.transfer([4]), shortBelow: 64)
    #expect(arrivals.take(1) == [3])
    #expect(arrivals.take(9) == [4])
    #expect(arrivals.take(9) == [])
  }

  @Test func `a head is followed by its body, which a short packet ends`() {
    var arrivals = USBArrivals(Self.split)
    #expect(arrivals.input == 0x81)
    arrivals.add(Self.transfer([UInt8](repeating: 1, count: 7)), shortBelow: 64)
    #expect(arrivals.input == 0x85)
    arrivals.add(Self.transfer([UInt8](repeating: 2, count: 64)), shortBelow: 64)
    #expect(arrivals.input == 0x85)
    arrivals.add(Self.transfer([3]), shortBelow: 64)
    #expect(arrivals.input == 0x81)
    #expect(arrivals.take(100).count == 72)
  }

  @Test func `a body of full packets is ended by an empty one`() {
    var arrivals = USBArrivals(Self.split)
    arrivals.add(Self.transfer([UInt8](repeating: 1, count: 7)), shortBelow: 64)
    arrivals.add(Self.transfer([UInt8](repeating: 2, count: 64)), shortBelow: 64)
    arrivals.add(Self.transfer([]), shortBelow: 64)
    #expect(arrivals.input == 0x81)
  }

  @Test func `a head in pieces is one head`() {
    var arrivals = USBArrivals(Self.split)
    arrivals.add(Self.transfer([1, 2, 3]), shortBelow: 64)
    #expect(arrivals.input == 0x81)
    arrivals.add(Self.transfer([4, 5, 6, 7]), shortBelow: 64)
    #expect(arrivals.input == 0x85)
  }

  @Test func `a body that is late is still awaited after a time-out`() {
    var arrivals = USBArrivals(Self.split)
    arrivals.add(Self.transfer([UInt8](repeating: 1, count: 7)), shortBelow: 64)
    arrivals.add(.nothing(.timedOut), shortBelow: 64)
    #expect(arrivals.input == 0x85)
    // What a transfer brought before its time was over is not the end of the message.
    arrivals.add(Self.transfer([1, 2], .timedOut), shortBelow: 64)
    #expect(arrivals.input == 0x85)
    arrivals.beginMessage()
    #expect(arrivals.input == 0x81)
  }

  @Test func `a device that only takes has nowhere to read from`() {
    #expect(USBArrivals(PipeLayout(input: nil, output: 1)).input == nil)
  }
}
