/// A document to print.
public struct PrintDocument: Sendable {
  /// `application/pdf`.
  public var mediaType: String
  /// The document's bytes.
  public var bytes: [UInt8]
  /// Name of the job in the queue: unique to the request, so that the job is found again after a crash.
  public var jobName: String
  /// Copies, 1…99.
  public var copies: Int

  /// A document.
  public init(mediaType: String, bytes: [UInt8], jobName: String, copies: Int) {
    self.mediaType = mediaType
    self.bytes = bytes
    self.jobName = jobName
    self.copies = copies
  }
}

/// How a print job ended.
public struct PrintResult: Sendable, Equatable {
  /// Done, not done or unknown.
  public var outcome: EffectOutcome
  /// Pages the queue counted; nil when it does not count.
  public var pages: Int?
  /// The queue's last reasons.
  public var reasons: [String]

  /// A result.
  public init(outcome: EffectOutcome, pages: Int? = nil, reasons: [String] = []) {
    self.outcome = outcome
    self.pages = pages
    self.reasons = reasons
  }
}

/// A printer behind a print queue.
public protocol Printer: AttachedDevice {
  /// Prints; returns when the queue has finished the job, or says `unknown` after `timeout`. `begun` as with tickets.
  func print(
    _ document: PrintDocument, timeout: Duration, begun: @escaping @Sendable () async -> Bool
  ) async -> PrintResult
  /// What became of a job handed over before a crash; nil when the queue remembers none of that name.
  func result(ofJobNamed name: String, timeout: Duration) async -> PrintResult?
}
