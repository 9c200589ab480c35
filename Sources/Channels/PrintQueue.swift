/// State of a queue, IPP `printer-state` (RFC 8011 5.4.11).
public enum QueueState: String, Sendable { case idle, processing, stopped }

/// What a queue says of itself.
public struct QueueReport: Sendable, Equatable {
  /// `printer-state`.
  public var state: QueueState
  /// `printer-state-reasons` without `none`, suffixes kept (`media-empty-error`).
  public var reasons: [String]
  /// `printer-is-accepting-jobs`.
  public var accepting: Bool
  /// `printer-make-and-model`, empty when unknown.
  public var makeAndModel: String

  /// A report.
  public init(state: QueueState, reasons: [String], accepting: Bool, makeAndModel: String) {
    self.state = state
    self.reasons = reasons
    self.accepting = accepting
    self.makeAndModel = makeAndModel
  }
}

/// State of a job, IPP `job-state` (RFC 8011 5.3.7).
public enum JobState: String, Sendable {
  case pending, held, processing, stopped, cancelled, aborted, completed
  /// True when the job will not change any more.
  public var isFinal: Bool { self == .cancelled || self == .aborted || self == .completed }
}

/// What a queue says of a job.
public struct JobReport: Sendable, Equatable {
  /// `job-id`.
  public var id: Int32
  /// `job-name`.
  public var name: String
  /// `job-state`.
  public var state: JobState
  /// `job-state-reasons` without `none`.
  public var reasons: [String]
  /// `job-impressions-completed`; nil when the queue does not count.
  public var impressions: Int?
  /// Whether it was ever in work (`time-at-processing` has a value); nil when the queue does not say. Only `false` proves
  /// that nothing of it came out: queues that do not count pages report 0 impressions.
  public var hasBegun: Bool?

  /// A report.
  public init(
    id: Int32, name: String, state: JobState, reasons: [String], impressions: Int?, hasBegun: Bool? = nil
  ) {
    self.hasBegun = hasBegun
    self.id = id
    self.name = name
    self.state = state
    self.reasons = reasons
    self.impressions = impressions
  }
}

/// A document on its way to a queue.
public struct PrintJob: Sendable {
  /// Media type, `application/pdf`.
  public var mediaType: String
  /// The document.
  public var document: [UInt8]
  /// `job-name`: carries the request's id, so that a job can be found again after a crash.
  public var name: String
  /// IPP job template attributes by name, such as `copies` = `2`.
  public var options: [(name: String, value: String)]

  /// A job.
  public init(mediaType: String, document: [UInt8], name: String, options: [(name: String, value: String)]) {
    self.mediaType = mediaType
    self.document = document
    self.name = name
    self.options = options
  }
}

/// One CUPS queue.
public protocol PrintQueue: Sendable {
  /// The queue's state now.
  func report(timeout: Duration) async throws(ChannelError) -> QueueReport
  /// Creates a job and sends its document; `written` of the error is 0 when no job was created.
  func submit(_ job: PrintJob, timeout: Duration) async throws(ChannelWriteError) -> Int32
  /// One job's state; nil when the queue does not know it any more.
  func job(_ id: Int32, timeout: Duration) async throws(ChannelError) -> JobReport?
  /// Every job of that name the queue still remembers, the newest first.
  func jobs(named name: String, timeout: Duration) async throws(ChannelError) -> [JobReport]
  /// Cancels a job; false when it is too late.
  func cancel(_ id: Int32, timeout: Duration) async throws(ChannelError) -> Bool
  /// Ends the channel.
  func close() async
}
