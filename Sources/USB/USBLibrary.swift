internal import CLibUSB

/// The libusb that this program runs with.
public enum USBLibrary {
  /// Its version, such as `1.0.26`.
  public static var version: String {
    guard let version = unsafe libusb_get_version() else { return "unknown" }
    return unsafe "\(version.pointee.major).\(version.pointee.minor).\(version.pointee.micro)"
  }
}
