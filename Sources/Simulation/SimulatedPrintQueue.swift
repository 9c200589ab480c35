public import Channels
import Codecs

/// The host's end of a simulated printer in process: IPP messages straight to the model, with the faults of its
/// connection between.
public final class SimulatedPrintQueue: PrintQueue {
  private static let user = "simulation"
  private static let jobAttributes = [
    "job-id", "job-name", "job-state", "job-state-reasons", "job-impressions-completed", "time-at-processing",
  ]

  private let device: SimulatedDevice
  private let path: String

  init(device: SimulatedDevice) {
    self.device = device
    path = device.basePath ?? "/"
  }

  /// The queue's state now.
  public func report(timeout: Duration) async throws(ChannelError) -> QueueReport {
    let answer = try await ask(.getPrinterAttributes, [], timeout: timeout)
    guard let group = answer.group(.printer),
      let state = group["printer-state"]?.values[0].number.flatMap({ QueueState(ippValue: $0) })
    else { throw .malformed("no printer-state") }
    return QueueReport(
      state: state, reasons: Self.words(group, "printer-state-reasons"),
      accepting: group["printer-is-accepting-jobs"]?.values[0].flag ?? true,
      makeAndModel: group["printer-make-and-model"]?.values[0].string ?? "")
  }

  /// Creates a job and sends its document.
  public func submit(_ job: PrintJob, timeout: Duration) async throws(ChannelWriteError) -> Int32 {
    var id: Int32?
    do throws(ChannelError) {
      let template = job.options.map { option in
        IPPAttribute(option.name, Int32(option.value).map { .integer($0) } ?? .keyword(option.value))
      }
      let created = try await ask(
        .createJob, [IPPAttribute("job-name", .name(job.name))], template: template, timeout: timeout)
      guard let number = created.group(.job)?["job-id"]?.values[0].number, let number = Int32(exactly: number)
      else {
        throw .malformed("no job-id")
      }
      id = number
      _ = try await ask(
        .sendDocument,
        [
          IPPAttribute("job-id", .integer(number)),
          IPPAttribute("document-format", .mimeMediaType(job.mediaType)),
          IPPAttribute("last-document", .boolean(true)),
        ], document: job.document, timeout: timeout)
      return number
    } catch {
      throw ChannelWriteError(written: id == nil ? 0 : job.document.count, reason: error)
    }
  }

  /// One job's state; nil when the queue does not know it.
  public func job(_ id: Int32, timeout: Duration) async throws(ChannelError) -> JobReport? {
    guard let answer = try await askOfJob(.getJobAttributes, id, timeout) else { return nil }
    return answer.group(.job).flatMap(Self.report)
  }

  /// Every job of that name, the newest first.
  public func jobs(named name: String, timeout: Duration) async throws(ChannelError) -> [JobReport] {
    let answer = try await ask(
      .getJobs,
      [
        IPPAttribute("which-jobs", .keyword("all")),
        IPPAttribute("requested-attributes", Self.jobAttributes.map { .keyword($0) }),
      ], timeout: timeout)
    return answer.groups.filter { $0.tag == .job }.compactMap(Self.report).filter { $0.name == name }
      .sorted { $0.id > $1.id }
  }

  /// Cancels a job; false when it is too late.
  public func cancel(_ id: Int32, timeout: Duration) async throws(ChannelError) -> Bool {
    try await askOfJob(.cancelJob, id, timeout) != nil
  }

  /// Nothing to let go.
  public func close() async {}

  // MARK: Messages

  private static func words(_ group: IPPGroup, _ name: String) -> [String] {
    (group[name]?.values ?? []).compactMap(\.string).filter { $0 != "none" }
  }

  private static func report(_ group: IPPGroup) -> JobReport? {
    guard let id = group["job-id"]?.values[0].number.flatMap({ Int32(exactly: $0) }),
      let state = group["job-state"]?.values[0].number.flatMap({ JobState(ippValue: $0) })
    else { return nil }
    return JobReport(
      id: id, name: group["job-name"]?.values[0].string ?? "", state: state,
      reasons: words(group, "job-state-reasons"),
      impressions: group["job-impressions-completed"]?.values[0].number,
      hasBegun: group["time-at-processing"].map { $0.values[0].number != nil })
  }

  /// nil for a job that is not there, or has ended.
  private func askOfJob(
    _ operation: IPPOperation, _ id: Int32, _ timeout: Duration
  ) async throws(ChannelError) -> IPPMessage? {
    let answer = try await exchange(operation, [IPPAttribute("job-id", .integer(id))], [], [], timeout)
    let status = IPPStatus(rawValue: answer.code)
    if status == .notFound || status == .notPossible { return nil }
    return try Self.checked(answer)
  }

  private func ask(
    _ operation: IPPOperation, _ attributes: [IPPAttribute], template: [IPPAttribute] = [],
    document: [UInt8] = [],
    timeout: Duration
  ) async throws(ChannelError) -> IPPMessage {
    try Self.checked(try await exchange(operation, attributes, template, document, timeout))
  }

  private static func checked(_ answer: IPPMessage) throws(ChannelError) -> IPPMessage {
    let status = IPPStatus(rawValue: answer.code)
    if status.isSuccess { return answer }
    switch status {
    case .notFound: throw .absent("print queue")
    case .forbidden: throw .denied(status.keyword)
    case .temporaryError, .notAcceptingJobs, .busy: throw .busy(status.keyword)
    default: throw .malformed(status.keyword)
    }
  }

  private func exchange(
    _ operation: IPPOperation, _ attributes: [IPPAttribute], _ template: [IPPAttribute], _ document: [UInt8],
    _ timeout: Duration
  ) async throws(ChannelError) -> IPPMessage {
    var groups = [
      IPPGroup(
        .operation,
        [
          IPPAttribute("attributes-charset", .charset("utf-8")),
          IPPAttribute("attributes-natural-language", .naturalLanguage("en-us")),
          IPPAttribute("printer-uri", .uri("ipp://localhost\(path)")),
          IPPAttribute("requesting-user-name", .name(Self.user)),
        ] + attributes)
    ]
    if !template.isEmpty { groups.append(IPPGroup(.job, template)) }
    let message = IPPMessage(code: operation.rawValue, requestID: 1, groups: groups)
    guard let bytes = try? message.bytes() else { throw .malformed("the request cannot be written") }
    let request = HTTPRequest("POST", path, contentType: SimulatedPrinter.mediaType, body: bytes + document)
    let requests = SimulatedRequests(device: device, basePath: path)
    let response = try await requests.exchange(request, timeout: timeout)
    switch response.status {
    case 200: break
    case 401, 403: throw .denied("HTTP status \(response.status)")
    case 503: throw .busy("HTTP status 503")
    default: throw .malformed("HTTP status \(response.status)")
    }
    guard let answer = try? IPPMessage.read(response.body).message else {
      throw .malformed("not an IPP answer")
    }
    return answer
  }
}
