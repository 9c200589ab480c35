import Channels
import Codecs
import Posix
import TestKit
import Testing

@testable import LinuxChannels

/// A keypad and a reader as umockdev plays them: nodes, ioctl answers and what they send come from that program, not from
/// here. It answers for a process that it has started, so that the tests of ``MockedDevices`` run in a child of this one.
@Suite(.timeLimit(.minutes(5))) struct MockedDeviceTests {
  /// A numeric keypad, told as umockdev-record writes it.
  private static let keypad = """
    P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/input/input7/event7
    N: input/event7
    E: DEVNAME=/dev/input/event7
    E: MAJOR=13
    E: MINOR=71
    E: SUBSYSTEM=input

    """

  /// Name; keys and repetition among the types; KEY_1 to KEY_5 and KEY_ENTER among the keys; none is down.
  private static let keypadAnswers = """
    @DEV /dev/input/event7
    EVIOCGNAME(0) 11 \(padded("5261746520506164", 256))
    EVIOCGBIT(0) 8 13000000\(padded("", 1))
    EVIOCGBIT(1) 96 7C00001000\(padded("", 91))
    EVIOCGKEY(0) 96 \(padded("", 96))

    """

  /// A boot keypad's events: MSC_SCAN, KEY_5 down, repeated, up; KEY_ENTER down and up, each with its SYN_REPORT. Over and
  /// over for two minutes, because the program does not wait with the first until somebody has opened the node.
  private static let keypadScript: String = {
    let turn = """
      r 40 \(events([(4, 4, 0x70022), (1, 6, 1), (0, 0, 0)]))
      r 40 \(events([(1, 6, 2), (0, 0, 1)]))
      r 40 \(events([(1, 6, 0), (0, 0, 0), (1, 28, 1), (0, 0, 0), (1, 28, 0), (0, 0, 0)]))

      """
    return "d 0 /dev/input/event7\n" + String(repeating: turn, count: 1000)
  }()

  private static let reader = """
    P: /devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/0003:2B8B:2721.0004/hidraw/hidraw3
    N: hidraw3
    E: DEVNAME=/dev/hidraw3
    E: MAJOR=240
    E: MINOR=3
    E: SUBSYSTEM=hidraw

    """

  /// 25 bytes of report descriptor: usage page FF00, 8 bytes each way. Bus 3, 2b8b:2721.
  private static let readerAnswers = """
    @DEV /dev/hidraw3
    HIDIOCGRDESCSIZE 0 19000000
    HIDIOCGRDESC 0 19000000\(padded("0600FF0901A101150026FF00750895080902810209039102C0", 4096))
    HIDIOCGRAWINFO 0 030000008B2B2127
    HIDIOCGRAWNAME(0) 7 \(padded("52656164657200", 256))
    HIDIOCGRAWPHYS(0) 7 \(padded("7573622D332F30", 256))
    HIDIOCGRAWUNIQ(0) 3 \(padded("533100", 256))

    """

  /// A report is answered by one of eight bytes, then by one that is too short.
  private static let readerScript = """
    d 0 /dev/hidraw3
    w 0 \(escaped([0, 0x41, 7, 0, 0, 0, 0, 0, 0]))
    r 10 \(escaped([0x52, 1, 2, 3, 4, 5, 6, 7]))
    w 0 \(escaped([0, 0x42, 0, 0, 0, 0, 0, 0, 0]))
    r 10 \(escaped([0x52, 1, 2]))

    """

  private static func padded(_ digits: String, _ bytes: Int) -> String {
    digits + String(repeating: "0", count: max(0, 2 * bytes - digits.count))
  }

  private static func escaped(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
      byte <= 32 ? "^" + String(UnicodeScalar(byte + 64)) : byte == 0x5E ? "^`" : String(UnicodeScalar(byte))
    }.joined()
  }

  /// Events of 24 bytes each, at 1 s and 2 µs.
  private static func events(_ list: [(type: UInt8, code: UInt8, value: Int)]) -> String {
    var bytes: [UInt8] = []
    for event in list {
      bytes += [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, event.type, 0, event.code, 0]
      for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: event.value >> shift)) }
    }
    return escaped(bytes)
  }

  @Test(.enabled(if: Programs.areExpected("umockdev-run"), "needs umockdev"))
  func `the channels understand devices that another program plays`() async throws {
    let files = try TemporaryDirectory()
    func file(_ name: String, _ text: String) throws -> String {
      try Files.replaceDurable(files.path(name), bytes: Array(text.utf8), mode: 0o600)
      return files.path(name)
    }
    let arguments = [
      "\(Mocked.mark)=yes", "umockdev-run", "--device", try file("keypad.umockdev", Self.keypad),
      "--ioctl", "/dev/input/event7=" + (try file("keypad.ioctl", Self.keypadAnswers)),
      "--script", "/dev/input/event7=" + (try file("keypad.script", Self.keypadScript)),
      "--device", try file("reader.umockdev", Self.reader),
      "--ioctl", "/dev/hidraw3=" + (try file("reader.ioctl", Self.readerAnswers)),
      "--script", "/dev/hidraw3=" + (try file("reader.script", Self.readerScript)),
      "--", try Files.realPath("/proc/self/exe"), "--testing-library", "swift-testing", "--filter",
      "MockedDevices/",
    ]
    var (status, text): (Posix.ExitStatus?, String)
    var tries = 0
    repeat {
      tries += 1
      let process = try ChildProcess.spawn(
        "env", arguments: arguments, standardOutput: .null, standardError: .pipe)
      var output: [UInt8] = []
      while let bytes = try await process.errorOutput?.read(upTo: 65536, timeout: .seconds(100)),
        !bytes.isEmpty
      { output += bytes }
      status = await process.wait(timeout: .seconds(20))
      text = String(decoding: output, as: UTF8.self)
      // umockdev 0.17.16 itself was seen to trap (SIGTRAP) while it starts, once in some ten runs.
    } while status == .signalled(5) && tries < 3
    #expect(status == .exited(0), "\(text)")
    // All of them ran, and none was skipped.
    #expect(text.contains("2 tests in 1 suite passed"), "\(text)")
    #expect(!text.contains("skipped"), "\(text)")
  }
}

private enum Mocked {
  /// The variable that tells the child that it is one.
  static let mark = "HALL_TESTS_MOCKED_DEVICES"
}

/// What the child of ``MockedDeviceTests`` runs.
@Suite(.enabled(if: Environment[Mocked.mark] != nil), .serialized, .timeLimit(.minutes(5)))
struct MockedDevices {
  @Test func `a keypad's keys are heard as they go down`() async throws {
    let keypad = try await EvdevChannel.open(path: "/dev/input/event7")
    #expect(keypad.name == "Rate Pad")
    // Whichever comes first: they take turns, and neither repeats nor releases are told.
    var codes: [UInt16] = []
    for _ in 0..<6 { codes.append(try await keypad.next(timeout: .seconds(50)).code) }
    #expect(codes == [6, 28, 6, 28, 6, 28] || codes == [28, 6, 28, 6, 28, 6])
    await keypad.close()
    await #expect(throws: ChannelError.cancelled) { _ = try await keypad.next(timeout: nil) }
  }

  @Test func `a reader's reports are as long as its descriptor says`() async throws {
    let reader = try await HIDRawChannel.open(path: "/dev/hidraw3")
    #expect(reader.information.vendor == 0x2B8B)
    #expect(reader.information.product == 0x2721)
    #expect(reader.information.name == "Reader")
    #expect(reader.information.uniqueID == "S1")
    #expect(reader.reports.longest(.input) == 8)
    // Filled up to nine bytes, the number's place included; the far end accepts no other.
    try await reader.write([0, 0x41, 7], timeout: .seconds(30))
    #expect(try await reader.read(timeout: .seconds(30)) == [0x52, 1, 2, 3, 4, 5, 6, 7])
    try await reader.write([0, 0x42], timeout: .seconds(30))
    await #expect(throws: ChannelError.malformed("input report 0 has 3 instead of 8 bytes")) {
      _ = try await reader.read(timeout: .seconds(30))
    }
    await reader.close()
  }
}
