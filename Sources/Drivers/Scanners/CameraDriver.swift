internal import Channels
public import Devices

extension Driver {
  /// Document cameras (高拍仪): one frame is one page (facts/devices.md D1).
  public static let camera = Driver(
    name: "camera", kind: .scanner, channel: .frames,
    settings: [
      SettingSpec(
        "frame-width", .integer(0...20_000), standard: "0",
        "Width of the pictures in pixels; 0 takes the largest the camera has, of MJPEG if it has any."),
      SettingSpec(
        "frame-height", .integer(0...20_000), standard: "0",
        "Their height; 0 takes the largest of that width."),
      SettingSpec(
        "settle-frames", .integer(0...300), standard: "10",
        "Pictures let pass after the start, while exposure and focus settle; the first is often damaged."),
      SettingSpec(
        "damaged-frames", .integer(0...300), standard: "10",
        "How many damaged pictures are let pass before the capture is given up."),
      SettingSpec(
        "frame-timeout", .duration(milliseconds: 10...120_000), standard: "5 s",
        "How long the camera may take to deliver a picture."),
    ]
  ) { channel, settings, context throws(Fault) in
    guard case .frames(let frames) = channel else {
      throw Fault(.deviceUnmatched, "camera needs frames")
    }
    do throws(Fault) {
      return try DocumentCamera.attach(frames, settings)
    } catch {
      await frames.close()
      throw error
    }
  }
}
