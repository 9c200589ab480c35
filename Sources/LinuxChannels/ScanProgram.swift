internal import Channels

/// The words of `scanimage` (sane-utils 1.0.25 or later; read in 1.2.1): its command line, its exit codes and what it
/// says on standard error.
enum ScanProgram {
  /// A request's command line, or what in it no command line can say.
  ///
  /// `--batch-prompt` makes it wait for a line feed before each page, which holds the feeder until the last page is
  /// safe; the end of its input ends the batch, also when this process has died.
  static func arguments(
    device: String, _ request: PageFeedRequest, pattern: String
  ) -> Result<[String], Refusal> {
    guard formats.contains(request.format) else {
      return .failure(Refusal("format \(request.format) is none of \(formats.joined(separator: ", "))"))
    }
    var arguments = ["-d", device, "--format=\(request.format)", "--batch=\(pattern)"]
    arguments += ["--batch-print", "--batch-prompt"]
    if let count = request.maximumPages {
      guard (1...99_999).contains(count) else {
        return .failure(Refusal("\(count) pages: 1 to 99999 can be asked for"))
      }
      arguments.append("--batch-count=\(count)")
    }
    for (name, value) in request.options {
      guard let option = argument(name, value) else {
        return .failure(Refusal("\"\(name)\" is not the name of a backend's option"))
      }
      arguments.append(option)
    }
    return .success(arguments)
  }

  struct Refusal: Error, Equatable {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  /// The formats that give one file a page.
  static let formats = ["jpeg", "png", "tiff", "pnm"]

  /// Names that the program keeps for itself. getopt takes a beginning of a name for the name.
  private static let ownNames = [
    "device-name", "list-devices", "formatted-device-list", "help", "verbose", "progress", "output-file",
    "test",
    "all-options", "version", "buffer-size", "batch", "batch-count", "batch-start", "batch-double",
    "batch-increment", "batch-print", "batch-prompt", "format", "accept-md5-only", "icc-profile", "dont-scan",
  ]

  private static func argument(_ name: String, _ value: String) -> String? {
    // The scan area's options have one letter, and take the value without a space.
    if name.count == 1, "ltxy".contains(name) { return "-\(name)\(value)" }
    let isName =
      name.count > 1 && name.first?.isLetter == true
      && name.utf8.allSatisfy {
        $0 == UInt8(ascii: "-") || Character(Unicode.Scalar($0)).isLetter && $0 < 0x80
          || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
      }
    guard isName, !ownNames.contains(where: { $0.hasPrefix(name) }) else { return nil }
    return value.isEmpty ? "--\(name)" : "--\(name)=\(value)"
  }

  // MARK: What it answers

  /// What a failed `sane_open` said.
  enum OpenFailure: Equatable {
    case absent(String), busy, denied, other(String)
  }

  /// The reason for which the device could not be opened, if that is how the program ended: its exit code is 1 for
  /// every reason, and only the text tells them apart (`sane_strstatus`, never translated).
  static func openFailure(_ diagnostics: String) -> OpenFailure? {
    for line in diagnostics.split(separator: "\n") {
      guard let start = line.firstRange(of: "open of device "), let mark = line.firstRange(of: " failed: "),
        start.upperBound <= mark.lowerBound
      else { continue }
      switch line[mark.upperBound...] {
      case "Device busy": return .busy
      case "Access to resource has been denied": return .denied
      case "Invalid argument": return .absent(String(line[start.upperBound..<mark.lowerBound]))
      default: return .other(String(line))
      }
    }
    return nil
  }

  /// How a feed ended, from the exit code, which is the SANE status (sane.h), except where noted.
  static func end(code: Int32, pages: Int, diagnostics: String) -> PageFeedEnd {
    let text = gist(diagnostics)
    // A second signal makes it end with 0 at once, and a backend that gives up gets SIGPIPE from its own reader: what it
    // said before counts. (Seen with the `test` backend: one in ten of its errors.)
    let status = code == 0 ? lastStatus(diagnostics) ?? 0 : code
    return switch status {
    // Without a limit it ends with 0 when the feeder is empty, also when the very first page was not there.
    case 0: pages > 0 ? .finished : .noDocuments
    case 3: .deviceBusy
    case 6: .jammed
    // With a limit it ends with 7 when there were fewer pages.
    case 7: pages > 0 ? .finished : .noDocuments
    case 8: .coverOpen
    case 11: isOwnFailure(diagnostics) ? .failed(text) : .denied
    case 1, 4: isOwnFailure(diagnostics) ? .failed(text) : .refused(text)
    case 2: .failed(text.isEmpty ? "cancelled at the device" : text)
    default: .failed(text.isEmpty ? "scanimage ended with code \(code)" : text)
    }
  }

  /// The status of `scanner status = 6`, the last one that was said; nil when that page was good (0, or 5: end of file).
  private static func lastStatus(_ diagnostics: String) -> Int32? {
    let mark = "(scanner status = "
    guard let line = diagnostics.split(separator: "\n").last(where: { $0.contains(mark) }),
      let found = line.firstRange(of: mark),
      let status = Int32(line[found.upperBound...].prefix { $0 != ")" }), status != 5
    else { return nil }
    return status
  }

  /// Codes 11 and 1 also stand for a page file that could not be written.
  private static func isOwnFailure(_ diagnostics: String) -> Bool {
    [
      "cannot open ", "cannot close ", "cannot rename ", "could not open output file",
      "Output file write error",
    ]
    .contains { diagnostics.contains($0) }
  }

  /// What is said on standard error without the chatter of every run.
  static func gist(_ diagnostics: String) -> String {
    let chatter = [
      "Scanning ", "Scanned page ", "Place document no.", "Press ", "Batch terminated",
      "Output format is not set",
    ]
    let ends = [": trying to stop scanner", ": aborting"]
    return diagnostics.split(separator: "\n").filter { line in
      !chatter.contains { line.hasPrefix($0) } && !ends.contains { line.hasSuffix($0) }
        && !line.contains(": received signal ")
    }.joined(separator: "; ")
  }

  /// A sentence on the device from the listing of `-A`: its name, and what it says of its source, mode and resolution.
  static func description(_ listing: String, device: String) -> String {
    let options = listing.split(separator: "\n").compactMap { line -> String? in
      let words = line.drop { $0 == " " }
      guard let name = ["--source", "--mode", "--resolution"].first(where: { words.hasPrefix($0 + " ") })
      else {
        return nil
      }
      // "--mode Gray|Color [Gray]": what stands in brackets is the present value.
      let values = words.dropFirst(name.count + 1).prefix { $0 != "[" }
      return "\(name.dropFirst(2)) " + values.split(separator: " ").joined(separator: " ")
    }
    return options.isEmpty ? device : "\(device) (\(options.joined(separator: "; ")))"
  }
}
