/// The path of a new job, taken from the `Location` of the 201 answer to `POST ScanJobs`.
///
/// Scanners put wrong host names, ports and even half an IPv6 address there, so only the path counts and the connection's
/// own authority is kept (facts/devices.md D3). A header is outside data: what could change the request line is refused.
public enum ESCLLocation {
  /// Longest header that is looked at, in bytes.
  public static let limit = 1024

  /// The absolute path of the job, without query, fragment or trailing slash.
  ///
  /// - Parameters:
  ///   - location: The header's value: an absolute URI, `//host/path`, an absolute or a relative path.
  ///   - request: Path of the request it answers, as `/eSCL/ScanJobs`, for relative paths (RFC 3986, 5.2).
  public static func path(_ location: String, request: String) throws(ESCLError) -> String {
    let refused = ESCLError.invalidLocation(String(location.prefix(80)))
    let bytes = Array(location.utf8)
    guard !bytes.isEmpty, bytes.count <= limit, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x5C })
    else { throw refused }
    var path = bytes[...].prefix { $0 != 0x3F && $0 != 0x23 }
    if let rest = afterAuthority(path) {
      guard let slash = rest.firstIndex(of: 0x2F) else { throw refused }
      path = rest[slash...]
    } else if path.first != 0x2F {
      // A colon before any slash would be a scheme, and no scheme but http has a path of ours.
      let first = path.prefix { $0 != 0x2F }
      guard !path.isEmpty, !first.contains(0x3A), request.utf8.first == 0x2F else { throw refused }
      let base = Array(request.utf8)
      guard let slash = base.lastIndex(of: 0x2F) else { throw refused }
      path = (base[...slash] + path)[...]
    }
    var segments: [ArraySlice<UInt8>] = []
    for segment in path.split(separator: 0x2F) {
      if segment.elementsEqual("..".utf8) {
        guard segments.popLast() != nil else { throw refused }
      } else if !segment.elementsEqual(".".utf8) {
        segments.append(segment)
      }
    }
    // The root is no job, and deleting it must not be tried.
    guard !segments.isEmpty else { throw refused }
    return segments.map { "/" + String(decoding: $0, as: UTF8.self) }.joined()
  }

  private static func afterAuthority(_ path: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    for scheme in ["http://", "https://"] {
      let start = path.prefix(scheme.utf8.count)
      if String(decoding: start, as: UTF8.self).lowercased() == scheme { return path.dropFirst(start.count) }
    }
    return path.starts(with: "//".utf8) ? path.dropFirst(2) : nil
  }
}
