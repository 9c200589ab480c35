public import Channels
internal import HTTPClient
internal import Posix

/// One queue of a CUPS server on this machine, over its Unix socket.
///
/// IPP messages are libcups' work, the connection is ``HTTPClient``'s: nothing of libcups' default connection, its
/// password prompts or its silent repetitions is involved, so that no job is ever created twice by a reconnect.
public final class CUPSQueue: PrintQueue {
  private let queue: String
  private let user: String
  private let client: HTTPClient
  private let place: String

  /// Where the server listens when the configuration names no socket: `CUPS_SERVER` if it is a path, else
  /// `/run/cups/cups.sock`.
  public static var systemSocket: String {
    if let path = Environment["CUPS_SERVER"], path.hasPrefix("/") { path } else { "/run/cups/cups.sock" }
  }

  /// A queue. Nothing is sent before the first call.
  /// - Parameters:
  ///   - queue: its name on the server.
  ///   - server: the server's socket; nil for ``systemSocket``.
  ///   - user: `requesting-user-name`; nil for the account of this process. The server shows the names of jobs, and lets
  ///     them be cancelled, to the user that created them.
  public init(queue: String, server: String? = nil, user: String? = nil) {
    self.queue = queue
    self.user = user ?? ProcessInfo.userName(ProcessInfo.userID) ?? String(ProcessInfo.userID)
    place = "queue \(queue)"
    client = HTTPClient(target: .unix(path: server ?? Self.systemSocket))
  }

  /// The queue's state now (Get-Printer-Attributes).
  public func report(timeout: Duration) async throws(ChannelError) -> QueueReport {
    let wanted = [
      "printer-state", "printer-state-reasons", "printer-is-accepting-jobs", "printer-make-and-model",
    ]
    let response = try await perform(
      .getPrinterAttributes, [.keywords("requested-attributes", wanted)], timeout: timeout)
    try check(response, .getPrinterAttributes)
    let attributes = response.groups.first { $0["printer-state"] != nil } ?? [:]
    guard let state = attributes.integer("printer-state").flatMap(QueueState.init(ipp:)) else {
      throw .malformed("\(place): no printer-state")
    }
    return QueueReport(
      state: state, reasons: attributes.keywords("printer-state-reasons"),
      accepting: attributes.boolean("printer-is-accepting-jobs") ?? true,
      makeAndModel: attributes.text("printer-make-and-model") ?? "")
  }

  /// Creates a job and sends its document (Create-Job, Send-Document).
  ///
  /// When the document cannot be sent whole, or its answer does not come, the job is cancelled. `written` of the error
  /// is 0 if no job was created, or if the server says that the job has ended without ever having been processed; a job
  /// without a document prints nothing. Otherwise it is the document's size: it may have been printed.
  /// - Parameter job: `name` has 1 to 255 bytes; `options` are those of `lp -o`.
  /// - Throws: `.absent` (no server, no such queue), `.denied`, `.busy` (the queue takes no jobs), `.malformed` with
  ///   IPP's reason for a job it does not take.
  public func submit(_ job: PrintJob, timeout: Duration) async throws(ChannelWriteError) -> Int32 {
    let time = SystemTime()
    let deadline = time.now() + timeout
    let id: Int32
    do throws(ChannelError) {
      id = try await create(job, timeout: timeout)
    } catch {
      throw ChannelWriteError(written: 0, reason: error)
    }
    do throws(ChannelError) {
      let response = try await perform(
        .sendDocument,
        [
          .integer("job-id", id), .mediaType("document-format", job.mediaType),
          .boolean("last-document", true),
        ], document: job.document, timeout: deadline - time.now())
      try check(response, .sendDocument)
      return id
    } catch {
      let isUntouched = await withdraw(id)
      throw ChannelWriteError(written: isUntouched ? 0 : job.document.count, reason: error)
    }
  }

  /// One job's state (Get-Job-Attributes); nil when the queue does not know it any more, or never wrote it down: a
  /// server that crashes forgets the jobs of its last 30 s (`DirtyCleanInterval`, cupsd.conf(5)), printed or not.
  ///
  /// For a job that has ended the state alone counts: CUPS 2.4.2 leaves `processing-to-stop-point` as the reason of
  /// every one of them.
  public func job(_ id: Int32, timeout: Duration) async throws(ChannelError) -> JobReport? {
    try await attributes(ofJob: id, timeout: timeout).flatMap(JobReport.init(ipp:))
  }

  /// Every job of that name the queue still remembers, the newest first (Get-Jobs).
  ///
  /// With the server's default policy these are jobs of this user: the names of others' are not shown.
  public func jobs(named name: String, timeout: Duration) async throws(ChannelError) -> [JobReport] {
    let response = try await perform(
      .getJobs,
      [
        .keywords("which-jobs", ["all"]), .boolean("my-jobs", false),
        .keywords("requested-attributes", JobReport.attributes),
      ], timeout: timeout)
    try check(response, .getJobs)
    return response.groups.compactMap(JobReport.init(ipp:)).filter { $0.name == name }.sorted {
      $0.id > $1.id
    }
  }

  /// Cancels a job (Cancel-Job); false when it has ended, or is not known any more.
  public func cancel(_ id: Int32, timeout: Duration) async throws(ChannelError) -> Bool {
    // CUPS takes the number 0 for "the job that prints now", whosever it is.
    guard id > 0 else { return false }
    let response = try await perform(.cancelJob, [.integer("job-id", id)], timeout: timeout)
    if response.status == IPP.Response.notPossible || response.status == IPP.Response.notFound {
      return false
    }
    try check(response, .cancelJob)
    return true
  }

  /// Ends the channel; a call under way ends with `.cancelled`. Jobs go on.
  public func close() async { await client.close() }

  // MARK: Steps

  private func create(_ job: PrintJob, timeout: Duration) async throws(ChannelError) -> Int32 {
    guard (1...255).contains(job.name.utf8.count) else {
      throw .malformed("\(place): a job's name has 1 to 255 bytes")
    }
    guard !job.document.isEmpty else { throw .malformed("\(place): an empty document") }
    let response = try await perform(
      .createJob, [.name("job-name", job.name)], options: job.options, timeout: timeout)
    try check(response, .createJob)
    guard let id = response.groups.lazy.compactMap({ $0.integer("job-id") }).first, id > 0 else {
      throw .malformed("\(place): Create-Job gave no job-id")
    }
    return id
  }

  /// Cancels a job whose document may have arrived, whatever becomes of the caller's task.
  /// - Returns: true when the server says that it has ended and never was in work: then nothing of it was printed.
  private func withdraw(_ id: Int32) async -> Bool {
    await Task {
      let limit = Duration.seconds(3)
      _ = try? await cancel(id, timeout: limit)
      guard let job = try? await attributes(ofJob: id, timeout: limit),
        JobReport(ipp: job)?.state.isFinal == true
      else { return false }
      return job["time-at-processing"] == [.absent]
    }.value
  }

  private func attributes(
    ofJob id: Int32, timeout: Duration
  ) async throws(ChannelError) -> [String: [IPP.Value]]? {
    guard id > 0 else { return nil }
    let response = try await perform(
      .getJobAttributes,
      [
        .integer("job-id", id),
        .keywords("requested-attributes", JobReport.attributes),
      ],
      timeout: timeout)
    if response.status == IPP.Response.notFound { return nil }
    try check(response, .getJobAttributes)
    return response.groups.first { $0["job-id"] != nil }
  }

  private func perform(
    _ operation: IPP.Operation, _ attributes: [IPP.Attribute], options: [(name: String, value: String)] = [],
    document: [UInt8] = [], timeout: Duration
  ) async throws(ChannelError) -> IPP.Response {
    guard
      let message = IPP.request(
        operation, printer: queue, user: user, attributes: attributes, jobOptions: options)
    else { throw .malformed("\(place): \(operation.rawValue) cannot be written") }
    let answer: ClientResponse
    do throws(HTTPClientError) {
      answer = try await client.send(
        .post, IPP.printerPath(queue), body: message + document, contentType: IPP.mediaType, timeout: timeout,
        idempotent: operation.isRepeatable)
    } catch {
      if case .unreachable = error { throw ChannelError(error, at: "CUPS server \(client.target)") }
      throw ChannelError(error, at: place)
    }
    switch answer.status {
    case 200: break
    case 401, 403: throw .denied("\(place): \(operation.rawValue) for user \(user)")
    case 404: throw .absent(place)
    case 503: throw .busy(place)
    default: throw .malformed("\(place): HTTP status \(answer.status)")
    }
    guard let response = IPP.response(answer.body) else { throw .malformed("\(place): not an IPP answer") }
    return response
  }

  private func check(_ response: IPP.Response, _ operation: IPP.Operation) throws(ChannelError) {
    if response.succeeded { return }
    let text = "\(place): \(operation.rawValue): \(response.statusName) \(response.message)"
    switch response.status {
    case IPP.Response.notFound: throw .absent(place)
    // forbidden, not-authenticated, not-authorized
    case 0x0401...0x0403: throw .denied(text)
    // temporary-error, not-accepting-jobs, busy, too-many-jobs
    case 0x0505, 0x0506, 0x0507, 0x050B: throw .busy(text)
    default: throw .malformed(text)
    }
  }
}

extension IPP.Operation {
  /// Whether asking twice does no harm.
  fileprivate var isRepeatable: Bool {
    switch self {
    case .getPrinterAttributes, .getJobAttributes, .getJobs: true
    case .createJob, .sendDocument, .cancelJob: false
    }
  }
}

extension QueueState {
  /// `printer-state` (RFC 8011 5.4.11).
  fileprivate init?(ipp value: Int32) {
    switch value {
    case 3: self = .idle
    case 4: self = .processing
    case 5: self = .stopped
    default: return nil
    }
  }
}

extension JobState {
  /// `job-state` (RFC 8011 5.3.7).
  fileprivate init?(ipp value: Int32) {
    switch value {
    case 3: self = .pending
    case 4: self = .held
    case 5: self = .processing
    case 6: self = .stopped
    case 7: self = .cancelled
    case 8: self = .aborted
    case 9: self = .completed
    default: return nil
    }
  }
}

extension JobReport {
  fileprivate static let attributes = [
    "job-id", "job-name", "job-state", "job-state-reasons", "job-impressions-completed", "time-at-processing",
  ]

  fileprivate init?(ipp group: [String: [IPP.Value]]) {
    guard let id = group.integer("job-id"),
      let state = group.integer("job-state").flatMap(JobState.init(ipp:))
    else {
      return nil
    }
    self.init(
      id: id, name: group.text("job-name") ?? "", state: state, reasons: group.keywords("job-state-reasons"),
      impressions: group.integer("job-impressions-completed").map(Int.init),
      hasBegun: group["time-at-processing"].map { $0 != [.absent] })
  }
}
