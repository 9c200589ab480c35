import Channels
import Testing

@testable import LinuxChannels
@testable import Posix

@Suite struct V4L2ChannelTests {
  private func one(_ width: Int, _ height: Int) -> VideoCapture.Sizes {
    VideoCapture.Sizes(
      minimumWidth: width, maximumWidth: width, stepWidth: 1, minimumHeight: height, maximumHeight: height,
      stepHeight: 1)
  }

  @Test func `a code is four characters, whatever is in it`() {
    #expect(V4L2Channel.name(of: 0x4750_4A4D) == "MJPG")
    #expect(V4L2Channel.name(of: 0x5659_5559) == "YUYV")
    #expect(V4L2Channel.name(of: 0x2030_3859) == "Y80 ")
    #expect(V4L2Channel.name(of: 0x0102_0304) == "????")
  }

  @Test func `sizes a camera lists are offered as they are, once each`() {
    let sizes = V4L2Channel.choices([one(640, 480), one(2592, 1944), one(640, 480), one(0, 10)])
    #expect(sizes.map(\.width) == [640, 2592])
    #expect(sizes.map(\.height) == [480, 1944])
  }

  @Test func `of a range the bounds and the usual sizes on its steps are offered`() {
    // vivid's webcam-less inputs: 1×1 to 4096×2160 or so; here 16 to 4096 in steps of 16 by 16 to 2160 in steps of 8.
    let sizes = V4L2Channel.choices([
      VideoCapture.Sizes(
        minimumWidth: 16, maximumWidth: 4096, stepWidth: 16, minimumHeight: 16, maximumHeight: 2160,
        stepHeight: 8)
    ])
    #expect(sizes.first.map { [$0.width, $0.height] } == [4096, 2160])
    #expect(sizes.contains { $0 == (16, 16) })
    #expect(sizes.contains { $0 == (1920, 1080) })
    // 3264 is on the steps, 2448 above the bound.
    #expect(!sizes.contains { $0 == (3264, 2448) })
    // The greatest size is on a step even when the bound is not.
    let odd = V4L2Channel.choices([
      VideoCapture.Sizes(
        minimumWidth: 10, maximumWidth: 99, stepWidth: 20, minimumHeight: 10, maximumHeight: 10, stepHeight: 1
      )
    ])
    #expect(odd.map(\.width) == [90, 10])
    // A driver that has its bounds the wrong way round.
    #expect(
      V4L2Channel.choices([
        VideoCapture.Sizes(
          minimumWidth: 100, maximumWidth: 10, stepWidth: 1, minimumHeight: 1, maximumHeight: 1, stepHeight: 1
        )
      ]).isEmpty)
  }

  @Test func `the largest MJPEG comes first`() {
    func format(_ code: String, _ width: Int, _ height: Int) -> FrameFormat {
      FrameFormat(code: code, width: width, height: height)
    }
    let formats = [
      format("YUYV", 4000, 3000), format("MJPG", 640, 480), format("MJPG", 2592, 1944),
      format("YUYV", 640, 480),
    ]
    #expect(V4L2Channel.ordered(formats) == [formats[2], formats[1], formats[0], formats[3]])
  }

  private func layout(
    _ width: Int, _ height: Int, line: Int, image: Int, code: UInt32 = 0x5659_5559
  ) throws(ChannelError) -> FrameLayout {
    try FrameLayout(
      VideoCapture.Setting(code: code, width: width, height: height, lineSize: line, imageSize: image),
      isCompressed: code == 0x4750_4A4D)
  }

  @Test func `what fills up rows and pictures is taken out`() throws {
    // Two rows of 3 pixels, 8 bytes each.
    let picture: [UInt8] = Array(1...16)
    let packed = try layout(3, 2, line: 8, image: 16)
    #expect(packed.least == 16)
    #expect(packed.picture(picture) == picture)
    // A buffer of whole pages.
    #expect(
      try layout(3, 2, line: 8, image: 4096).picture(picture + Array(repeating: 0, count: 4080)) == picture)
    let padded = try layout(3, 2, line: 12, image: 24)
    let fill: [UInt8] = [0, 0, 0, 0]
    let buffer = Array(picture[..<8]) + fill + Array(picture[8...])
    #expect(padded.least == 20)
    #expect(padded.picture(buffer) == picture)
    #expect(padded.picture(buffer + fill) == picture)
    // A driver that says nothing of rows has them packed.
    #expect(try layout(3, 2, line: 0, image: 16).picture(picture) == picture)
  }

  @Test func `rows that have no room in what the camera says of them are refused`() {
    for (line, image) in [(7, 16), (8, 15), (12, 19), (0, 15), (8, 0), (Int.max, 16)] {
      #expect(throws: ChannelError.self, "\(line) \(image)") {
        _ = try layout(3, 2, line: line, image: image)
      }
    }
  }

  @Test func `a compressed picture, and one in another form, is what is in the buffer`() throws {
    let jpeg = try layout(640, 480, line: 0, image: 614_400, code: 0x4750_4A4D)
    #expect(jpeg.least == 4)
    #expect(jpeg.picture([0xFF, 0xD8, 0xFF, 0xD9]) == [0xFF, 0xD8, 0xFF, 0xD9])
    // NV12.
    let other = try layout(4, 2, line: 8, image: 24, code: 0x3231_564E)
    #expect(other.least == 24)
    #expect(other.picture(Array(1...24)) == Array(1...24))
  }
}
