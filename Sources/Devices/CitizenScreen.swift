public import Channels

/// A citizen's screen (双屏互动屏): a page in a kiosk browser. What the citizen does comes as notices.
public protocol CitizenScreen: AttachedDevice {
  /// Shows a view in place of the one before.
  func show(_ view: ScreenView) async
}
