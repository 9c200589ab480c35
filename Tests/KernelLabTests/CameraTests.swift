import LabKit
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// A camera that nobody here wrote: the kernel's own `vivid`, which has many raw forms and no MJPEG.
  @Suite struct CameraTests {
    /// vivid's first test pattern at three quarters (drivers/media/common/v4l2-tpg), from the left, and which of red, green
    /// and blue are in each bar.
    private static let bars: [(name: String, parts: [Int])] = [
      ("white", [1, 1, 1]), ("yellow", [1, 1, 0]), ("cyan", [0, 1, 1]), ("green", [0, 1, 0]),
      ("magenta", [1, 0, 1]), ("red", [1, 0, 0]), ("blue", [0, 0, 1]), ("black", [0, 0, 0]),
    ]

    @Test(.timeLimit(.minutes(30)))
    func `the kernel's own camera comes, and a page of it reaches the intake with its colour bars`()
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        try await GuestHall.permitGadgets(guest)
        let hall = try await GuestHall.start(
          on: guest,
          [.init("camera", "scanner", at: "video:/dev/video0", "frame-width = 640\nframe-height = 480")])
        try await hall.device("camera", is: "noDevice")
        try await guest.check("modprobe vivid")
        try await hall.device("camera", is: "online")
        let camera = try await hall.device("camera")
        #expect(camera["profile"] == "camera-generic", "\(camera)")
        #expect(camera["model"] == "camera, YUYV 640×480", "\(camera)")

        let scan = try await hall.call(
          "POST", "/v1/devices/camera/scans", ["requestId": "bars", "maximumPages": 1])
        #expect(scan.status == 200 && scan.body["scanned"]?.array?.count == 1, "\(scan.body)")
        let page = try #require(try await hall.accepted("material.page", count: 1).first?["data"])
        #expect(page["mediaType"] == "image/png", "\(page)")
        #expect(page["width"] == 640 && page["height"] == 480, "\(page)")
        let blob = try #require(page["blob"]?.string)
        // Under the text that vivid writes over the upper half.
        let points = Self.bars.indices.map { "\(40 + 80 * $0),400" }
        let lines = try await Programs.run(
          "python3",
          ["\(Repository.root)/Tests/Fixtures/read_png.py", "\(guest.shared)/intake/blobs/\(blob)"] + points
        ).split(separator: "\n")
        try #require(lines.count == 1 + Self.bars.count, "\(lines)")
        #expect(lines[0] == "640 480")
        print("vivid's bars: \(lines.dropFirst().joined(separator: " "))")
        for (bar, line) in zip(Self.bars, lines.dropFirst()) {
          let colour = try #require(Int(line, radix: 16))
          for (part, shift) in zip(bar.parts, [16, 8, 0]) {
            #expect(abs((colour >> shift & 0xFF) - 191 * part) <= 6, "\(bar.name): \(line)")
          }
        }
        // It captures only while a page is wanted: somebody else can have it now.
        let others = try await guest.run("v4l2-ctl -d /dev/video0 --stream-mmap --stream-count=1")
        #expect(others.status == 0, "\(others.errors)")
        #expect(try await hall.device("camera")["state"] == "online")
      }
    }

    @Test(.timeLimit(.minutes(30))) func `a camera without MJPEG and YUYV is refused by name`() async throws {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        try await GuestHall.permitGadgets(guest)
        // vivid's touch pad: a capture node with one raw form of its own.
        try await guest.check(
          "modprobe vivid node_types=0x80000 && udevadm settle && test -e /dev/v4l-touch0")
        let hall = try await GuestHall.start(
          on: guest, [.init("camera", "scanner", at: "video:/dev/v4l-touch0", "profile = camera-generic")])
        let told = try await FailureTests.told(hall, "camera", "camera.format")
        print("a camera without MJPEG and YUYV: \(told.english)")
        #expect(told.english.contains("MJPEG") && told.english.contains("YUYV"))
      }
    }
  }
}
