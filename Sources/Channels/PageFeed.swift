/// What a SANE device is asked for, in the words of its backend: option names and values are profile data.
public struct PageFeedRequest: Sendable, Equatable {
  /// Backend options in order, such as `("source", "Automatic Document Feeder")`, `("resolution", "300")`.
  public var options: [(name: String, value: String)]
  /// `jpeg`, `png`, `tiff` or `pnm`.
  public var format: String
  /// Pages at the most; nil for all that are in the feeder.
  public var maximumPages: Int?

  /// A request.
  public init(options: [(name: String, value: String)], format: String, maximumPages: Int?) {
    self.options = options
    self.format = format
    self.maximumPages = maximumPages
  }

  /// Two requests are equal when every option, the format and the limit are.
  public static func == (one: Self, other: Self) -> Bool {
    one.format == other.format && one.maximumPages == other.maximumPages
      && one.options.elementsEqual(other.options) { $0.name == $1.name && $0.value == $1.value }
  }
}

/// How a feed ended, in SANE's status words (facts/devices.md D2).
public enum PageFeedEnd: Sendable, Equatable {
  /// All pages asked for, or the feeder ran empty after at least one.
  case finished
  /// The feeder was empty from the start (NO_DOCS 7).
  case noDocuments
  /// JAMMED 6.
  case jammed
  /// COVER_OPEN 8.
  case coverOpen
  /// DEVICE_BUSY 3.
  case deviceBusy
  /// ACCESS_DENIED 11.
  case denied
  /// INVAL 4 or UNSUPPORTED 1: the profile asks for an option the backend does not know; the text is the program's.
  case refused(String)
  /// IO_ERROR 9, NO_MEM 10 or anything else; the text is the program's.
  case failed(String)
}

/// Pages from a SANE device, through the `scanimage` program: a backend that crashes takes only that program with it.
public protocol PageFeed: Sendable {
  /// Scans, handing over each page when it is whole and waiting for `page` to return before the next is taken.
  /// An error thrown by `page` stops the feed and comes back as `.cancelled`.
  func scan(
    _ request: PageFeedRequest, timeout: Duration,
    page: @escaping @Sendable (_ image: [UInt8], _ number: Int) async -> Bool
  ) async throws(ChannelError) -> PageFeedEnd
  /// Asks the backend whether the device is there, without moving anything; its description.
  func identify(timeout: Duration) async throws(ChannelError) -> String
  /// Ends the channel; a running scan is stopped.
  func close() async
}
