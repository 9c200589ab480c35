import Channels
import LinuxChannels
import Posix
import Testing

@Suite struct SystemTimeTests {
  let time = SystemTime()

  @Test func `the clock goes on while a task sleeps for as long as it asked`() async {
    let before = time.now()
    #expect(await time.sleep(for: .milliseconds(20)))
    #expect(time.now() - before >= .milliseconds(20))
  }

  @Test(.timeLimit(.minutes(1))) func `a cancelled sleep says that it was cut short`() async {
    let sleeper = Task { await time.sleep(for: .seconds(3600)) }
    sleeper.cancel()
    #expect(await sleeper.value == false)
  }
}

@Suite struct TextCodecTests {
  @Test(
    arguments: [
      (TextEncoding.gb18030, [0xB8, 0xBE]), (.gbk, [0xB8, 0xBE]), (.utf8, [0xE5, 0xA6, 0x87]),
      (.shiftJIS, [0x95, 0x77]),
    ] as [(TextEncoding, [UInt8])])
  func `a Han character has the bytes of the device's encoding`(_ encoding: TextEncoding, _ bytes: [UInt8]) {
    let text = encoding == .shiftJIS ? "\u{5A66}" : "\u{5987}"
    #expect(TextCodec.encode(text, in: encoding) == bytes)
  }

  @Test func `a character without a place in the encoding makes the whole text fail`() {
    #expect(TextCodec.encode("号\u{20BB7}", in: .gbk) == nil)
    #expect(TextCodec.encode("号\u{20BB7}", in: .gb18030) != nil)
  }
}
