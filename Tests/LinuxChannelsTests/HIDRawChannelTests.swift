import Channels
import Codecs
import TestKit
import Testing

@testable import LinuxChannels

@Suite(.timeLimit(.minutes(1))) struct HIDRawChannelTests {
  /// Vendor page, 4 bytes in and 2 out, not numbered.
  private static let plain = try? HIDReportDescriptor([
    0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x75, 0x08, 0x95, 0x04, 0x09, 0x02, 0x81, 0x02, 0x95, 0x02,
    0x09,
    0x03, 0x91, 0x02, 0xC0,
  ])
  /// Report 5 of 3 bytes in, report 6 of 1 byte of feature.
  private static let numbered = try? HIDReportDescriptor([
    0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x85, 0x05, 0x75, 0x08, 0x95, 0x03, 0x09, 0x02, 0x81, 0x02,
    0x85,
    0x06, 0x95, 0x01, 0x09, 0x03, 0xB1, 0x02, 0xC0,
  ])

  @Test func `an input report has the length the descriptor says`() throws {
    let plain = try #require(Self.plain)
    let numbered = try #require(Self.numbered)
    try HIDRawChannel.check([1, 2, 3, 4], plain)
    try HIDRawChannel.check([5, 1, 2, 3], numbered)
    let wrong: [([UInt8], HIDReportDescriptor)] = [
      ([1, 2, 3], plain), ([1, 2, 3, 4, 5], plain), ([], plain), ([5, 1, 2], numbered),
      ([5, 1, 2, 3, 4], numbered), ([6, 1], numbered), ([0, 1, 2, 3], numbered), ([], numbered),
    ]
    for (report, descriptor) in wrong {
      #expect(throws: ChannelError.self, "\(report)") { try HIDRawChannel.check(report, descriptor) }
    }
  }

  @Test func `what is sent is filled up, and never cut`() throws {
    let plain = try #require(Self.plain)
    let numbered = try #require(Self.numbered)
    #expect(try HIDRawChannel.padded([0, 7], .output, plain) == [0, 7, 0])
    #expect(try HIDRawChannel.padded([0, 7, 8], .output, plain) == [0, 7, 8])
    #expect(try HIDRawChannel.padded([6], .feature, numbered) == [6, 0])
    let wrong: [([UInt8], HIDReportKind, HIDReportDescriptor)] = [
      ([0, 1, 2, 3], .output, plain), ([1, 2], .output, plain), ([], .output, plain),
      ([5, 1], .output, numbered),
      ([6, 1, 2], .feature, numbered), ([0, 1], .feature, plain),
    ]
    for (report, kind, descriptor) in wrong {
      #expect(throws: ChannelError.self, "\(report)") {
        try HIDRawChannel.padded(report, kind, descriptor)
      }
    }
  }

  @Test func `what is no device of the kind is told so`() async throws {
    let files = try TemporaryDirectory()
    let missing = files.path("none")
    await #expect(throws: ChannelError.absent(missing)) { _ = try await HIDRawChannel.open(path: missing) }
    await #expect(throws: ChannelError.absent(missing)) { _ = try await EvdevChannel.open(path: missing) }
    await #expect(throws: ChannelError.absent(missing)) { _ = try await V4L2Channel.open(path: missing) }
    let other = "/dev/null"
    await #expect(throws: ChannelError.malformed("\(other) is no HID interface")) {
      _ = try await HIDRawChannel.open(path: other)
    }
    await #expect(throws: ChannelError.malformed("\(other) is no input device")) {
      _ = try await EvdevChannel.open(path: other)
    }
    await #expect(throws: ChannelError.malformed("\(other) is no camera")) {
      _ = try await V4L2Channel.open(path: other)
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct BlockingCallsTests {
  @Test func `calls are made in turn, on one thread`() async {
    let calls = BlockingCalls(name: "test")
    for number in 0..<100 {
      guard case .returned(number) = await calls.run(timeout: nil, { number }) else {
        Issue.record("call \(number) did not return")
        return
      }
    }
  }

  @Test func `a caller does not wait longer than it said, and the next call waits for the first`() async {
    let calls = BlockingCalls(name: "test")
    let gate = Gate()
    guard case .timedOut = await calls.run(timeout: .milliseconds(20), { gate.wait() }) else {
      Issue.record("the caller waited")
      return
    }
    let next = Task { await calls.run(timeout: nil) { gate.passed } }
    gate.open()
    guard case .returned(true) = await next.value else {
      Issue.record("the second call overtook the first")
      return
    }
  }

  @Test func `a cancelled caller goes at once`() async {
    let calls = BlockingCalls(name: "test")
    let gate = Gate()
    let caller = Task { await calls.run(timeout: nil) { gate.wait() } }
    caller.cancel()
    guard case .cancelled = await caller.value else {
      Issue.record("the caller waited")
      return
    }
    gate.open()
  }
}
