public import Channels
import Codecs

/// The print service's side of IPP (RFC 8010, RFC 8011, and CUPS' own operations).
extension SimulatedPrinter {
  static let mediaType = "application/ipp"

  private static let operations: [IPPOperation] = [
    .printJob, .validateJob, .createJob, .sendDocument, .cancelJob, .getJobAttributes, .getJobs,
    .getPrinterAttributes, .cupsGetDefault, .cupsGetPrinters,
  ]

  /// Answers one request: an IPP message posted to `/`, `/printers/…` or `/jobs/…`.
  public mutating func respond(_ request: HTTPRequest) -> SimulatedAnswer {
    moment += 1
    guard request.method == "POST" else {
      let status = request.method == "GET" || request.method == "HEAD" ? 404 : 405
      return SimulatedAnswer(HTTPResponse(status: status))
    }
    guard request.contentType == Self.mediaType else { return SimulatedAnswer(HTTPResponse(status: 415)) }
    let message: IPPRequest
    do throws(IPPRequestError) {
      message = try IPPRequest(reading: request.body)
    } catch {
      if case .refused(let answer) = error { return Self.answer(answer) }
      return SimulatedAnswer(HTTPResponse(status: 400))
    }
    var actions: [SimulatedAction] = []
    let document = Array(request.body[message.documentStart...])
    let answer = perform(message, document, &actions)
    return Self.answer(answer, actions)
  }

  private static func answer(_ message: IPPMessage, _ actions: [SimulatedAction] = []) -> SimulatedAnswer {
    guard let bytes = try? message.bytes() else { return SimulatedAnswer(HTTPResponse(status: 500)) }
    return SimulatedAnswer(
      HTTPResponse(status: 200, headers: ["content-type": mediaType], body: bytes), actions: actions)
  }

  private mutating func perform(
    _ request: IPPRequest, _ document: [UInt8], _ actions: inout [SimulatedAction]
  ) -> IPPMessage {
    guard Self.operations.contains(request.operation) else { return request.response(.operationNotSupported) }
    switch request.operation {
    case .cupsGetDefault, .cupsGetPrinters:
      return request.response(.ok, groups: [IPPGroup(.printer, printerAttributes(request))])
    case .getJobs:
      return isKnown(request.printerURI, orAll: true) ? list(request) : request.response(.notFound)
    case .getJobAttributes, .cancelJob, .sendDocument: return job(request, document, &actions)
    default: break
    }
    guard isKnown(request.printerURI, orAll: false) else { return request.response(.notFound) }
    switch request.operation {
    case .getPrinterAttributes:
      return request.response(.ok, groups: [IPPGroup(.printer, printerAttributes(request))])
    case .validateJob: return check(request) ?? request.response(.ok)
    case .createJob:
      if let refusal = check(request) { return refusal }
      let job = create(request, &actions)
      return request.response(.ok, groups: [IPPGroup(.job, attributes(of: job))])
    case .printJob:
      if let refusal = check(request) { return refusal }
      guard !document.isEmpty else { return request.response(.badRequest, detail: "there is no document") }
      let job = create(request, &actions)
      take(document, request.documentFormat, isLast: true, job: job.id, &actions)
      let current = jobs.first { $0.id == job.id } ?? job
      return request.response(.ok, groups: [IPPGroup(.job, attributes(of: current))])
    default: return request.response(.operationNotSupported)
    }
  }

  /// Whether a printer-uri names this queue, or for `orAll` the whole server.
  private func isKnown(_ uri: String?, orAll: Bool) -> Bool {
    guard let uri, let scheme = uri.firstRange(of: "://") else { return false }
    let path = uri[scheme.upperBound...].drop { $0 != "/" }
    if orAll, ["", "/", "/printers", "/printers/", "/jobs", "/jobs/"].contains(path) { return true }
    return path == "/printers/\(options.queue)"
  }

  // MARK: Jobs

  private func check(_ request: IPPRequest, isNew: Bool = true) -> IPPMessage? {
    guard isAccepting || !isNew else { return request.response(.notAcceptingJobs) }
    if request.operationAttributes["document-format"] != nil,
      !options.formats.contains(request.documentFormat)
    {
      return request.response(
        .documentFormatNotSupported,
        unsupported: [IPPAttribute("document-format", .mimeMediaType(request.documentFormat))])
    }
    guard request.compression == "none" else {
      return request.response(
        .attributesNotSupported, unsupported: [IPPAttribute("compression", .keyword(request.compression))])
    }
    return nil
  }

  private mutating func create(_ request: IPPRequest, _ actions: inout [SimulatedAction]) -> Job {
    var job = Job(
      id: nextJob, name: request.jobName ?? request.documentName ?? "Untitled",
      user: request.userName ?? "anonymous",
      created: moment)
    nextJob += 1
    if let copies = request.jobAttributes["copies"]?.values[0].number {
      job.copies = min(max(copies, 1), 999)
    }
    jobs.append(job)
    actions.append(.wake(-job.id, after: options.documentTimeout))
    return job
  }

  private mutating func take(
    _ document: [UInt8], _ format: String, isLast: Bool, job id: Int, _ actions: inout [SimulatedAction]
  ) {
    guard let index = jobs.firstIndex(where: { $0.id == id }) else { return }
    if !document.isEmpty {
      jobs[index].format = format
      jobs[index].bytes += document.count
      jobs[index].digest = fnv1a(document)
      // CUPS takes what a client leaves unnamed by its first bytes.
      if format == "application/pdf" || document.starts(with: "%PDF-".utf8) {
        let summary = try? PDFInspector.inspect(document)
        jobs[index].isDamaged = summary == nil
        jobs[index].pages += summary?.pageCount ?? 1
      } else {
        jobs[index].pages += 1
      }
    }
    guard isLast else { return }
    jobs[index].state = .pending
    jobs[index].reasons = []
    actions += advance()
  }

  private mutating func job(
    _ request: IPPRequest, _ document: [UInt8], _ actions: inout [SimulatedAction]
  ) -> IPPMessage {
    // With job-id the printer-uri must be right; with job-uri there is none.
    if request.printerURI != nil, !isKnown(request.printerURI, orAll: true) {
      return request.response(.notFound)
    }
    guard let id = request.jobID, let index = jobs.firstIndex(where: { $0.id == id }) else {
      return request.response(.notFound, detail: "there is no such job")
    }
    switch request.operation {
    case .getJobAttributes:
      let all = attributes(of: jobs[index]).filter { request.wants($0.name, in: ["job-description"]) }
      return request.response(.ok, groups: [IPPGroup(.job, all)])
    case .cancelJob:
      guard !jobs[index].state.isFinal else {
        return request.response(.notPossible, detail: "job \(id) has ended")
      }
      actions.append(finish(index, .cancelled, "job-canceled-by-user"))
      actions += advance()
      return request.response(.ok)
    default:
      guard jobs[index].state == .held else {
        return request.response(.notPossible, detail: "job \(id) takes no more documents")
      }
      guard request.operationAttributes["last-document"] != nil else {
        return request.response(.badRequest, detail: "last-document is missing")
      }
      if let refusal = check(request, isNew: false) { return refusal }
      take(document, request.documentFormat, isLast: request.isLastDocument, job: id, &actions)
      let current = jobs.first { $0.id == id }
      return request.response(.ok, groups: current.map { [IPPGroup(.job, attributes(of: $0))] } ?? [])
    }
  }

  private func list(_ request: IPPRequest) -> IPPMessage {
    var found = jobs
    switch request.whichJobs {
    case "not-completed": found = jobs.filter { !$0.state.isFinal }
    case "completed": found = jobs.filter(\.state.isFinal).reversed()
    case "all": break
    default:
      return request.response(
        .attributesNotSupported, unsupported: [IPPAttribute("which-jobs", .keyword(request.whichJobs))])
    }
    if request.wantsOwnJobsOnly { found = found.filter { $0.user == request.userName } }
    if let limit = request.limit { found = Array(found.prefix(limit)) }
    let groups = found.map { job in
      let all = attributes(of: job)
      // RFC 8011, 4.2.6.1: without a wish only these two.
      guard request.requestedAttributes != nil else {
        return IPPGroup(.job, all.filter { ["job-id", "job-uri"].contains($0.name) })
      }
      return IPPGroup(.job, all.filter { request.wants($0.name, in: ["job-description"]) })
    }
    return request.response(.ok, groups: groups)
  }

  // MARK: Attributes

  private var printerURI: String { "ipp://localhost/printers/\(options.queue)" }

  private func attributes(of job: Job) -> [IPPAttribute] {
    func moment(_ name: String, _ value: Int?) -> IPPAttribute {
      IPPAttribute(name, value.map { .integer(Int32(clamping: $0)) } ?? .outOfBand(.noValue))
    }
    return [
      IPPAttribute("job-id", .integer(Int32(clamping: job.id))),
      IPPAttribute("job-uri", .uri("ipp://localhost/jobs/\(job.id)")),
      IPPAttribute("job-printer-uri", .uri(printerURI)),
      IPPAttribute("job-name", .name(job.name)),
      IPPAttribute("job-originating-user-name", .name(job.user)),
      IPPAttribute("job-state", .enumeration(job.state.ippValue)),
      Self.keywords("job-state-reasons", job.reasons),
      Self.keywords("job-printer-state-reasons", job.state == .processing ? reasons : []),
      IPPAttribute("job-k-octets", .integer(Int32(clamping: (job.bytes + 1023) / 1024))),
      IPPAttribute("job-impressions-completed", .integer(Int32(clamping: job.impressions))),
      IPPAttribute("job-media-sheets-completed", .integer(Int32(clamping: job.impressions))),
      IPPAttribute("copies", .integer(Int32(clamping: job.copies))),
      IPPAttribute(
        "document-format", .mimeMediaType(job.format.isEmpty ? "application/octet-stream" : job.format)),
      IPPAttribute("job-printer-up-time", .integer(Int32(clamping: self.moment))),
      moment("time-at-creation", job.created), moment("time-at-processing", job.processing),
      moment("time-at-completed", job.completed),
    ]
  }

  private static func keywords(_ name: String, _ words: [String]) -> IPPAttribute {
    IPPAttribute(name, words.isEmpty ? [.keyword("none")] : words.map { .keyword($0) })
  }

  /// In hundredths of a millimetre (PWG 5100.7).
  private static let a4 = [
    IPPAttribute("x-dimension", .integer(21_000)), IPPAttribute("y-dimension", .integer(29_700)),
  ]

  private func printerAttributes(_ request: IPPRequest) -> [IPPAttribute] {
    let description: [IPPAttribute] = [
      IPPAttribute("printer-name", .name(options.queue)),
      IPPAttribute("printer-uri-supported", .uri(printerURI)),
      IPPAttribute("uri-authentication-supported", .keyword("none")),
      IPPAttribute("uri-security-supported", .keyword("none")),
      IPPAttribute("device-uri", .uri("simulated:/printer")),
      IPPAttribute("printer-info", .text(options.makeAndModel)),
      IPPAttribute("printer-location", .text("")),
      IPPAttribute("printer-make-and-model", .text(options.makeAndModel)),
      IPPAttribute("printer-more-info", .uri("http://localhost/printers/\(options.queue)")),
      IPPAttribute("printer-state", .enumeration(queueState.ippValue)),
      Self.keywords("printer-state-reasons", reasons),
      IPPAttribute("printer-state-message", .text("")),
      IPPAttribute("printer-state-change-time", .integer(Int32(clamping: moment))),
      IPPAttribute("printer-is-accepting-jobs", .boolean(isAccepting)),
      IPPAttribute("printer-is-shared", .boolean(false)),
      IPPAttribute("printer-is-temporary", .boolean(false)),
      // A local queue that prints black and white.
      IPPAttribute("printer-type", .enumeration(0x4)),
      IPPAttribute("printer-up-time", .integer(Int32(clamping: moment))),
      IPPAttribute("queued-job-count", .integer(Int32(clamping: jobs.count { !$0.state.isFinal }))),
      IPPAttribute("charset-configured", .charset("utf-8")),
      IPPAttribute("charset-supported", .charset("utf-8")),
      IPPAttribute("natural-language-configured", .naturalLanguage("en-us")),
      IPPAttribute("generated-natural-language-supported", .naturalLanguage("en-us")),
      IPPAttribute("ipp-versions-supported", [.keyword("1.1"), .keyword("2.0")]),
      IPPAttribute("operations-supported", Self.operations.map { .enumeration(Int32($0.rawValue)) }),
      IPPAttribute("document-format-default", .mimeMediaType("application/octet-stream")),
      IPPAttribute("document-format-supported", options.formats.map { .mimeMediaType($0) }),
      IPPAttribute("compression-supported", .keyword("none")),
      IPPAttribute("pdl-override-supported", .keyword("attempted")),
      IPPAttribute("multiple-document-jobs-supported", .boolean(true)),
      IPPAttribute("color-supported", .boolean(false)),
    ]
    let template: [IPPAttribute] = [
      IPPAttribute("copies-default", .integer(1)),
      IPPAttribute("copies-supported", .range(lower: 1, upper: 999)),
      IPPAttribute("media-default", .keyword("iso_a4_210x297mm")),
      IPPAttribute("media-col-default", .collection([IPPAttribute("media-size", .collection(Self.a4))])),
      IPPAttribute("media-supported", [.keyword("iso_a4_210x297mm"), .keyword("iso_a5_148x210mm")]),
      IPPAttribute("sides-default", .keyword("one-sided")),
      IPPAttribute("sides-supported", [.keyword("one-sided"), .keyword("two-sided-long-edge")]),
      IPPAttribute("print-color-mode-default", .keyword("monochrome")),
      IPPAttribute("print-color-mode-supported", .keyword("monochrome")),
    ]
    return description.filter { request.wants($0.name, in: ["printer-description"]) }
      + template.filter { request.wants($0.name, in: ["job-template"]) }
  }
}

extension JobState {
  /// RFC 8011, 5.3.7.
  var ippValue: Int32 {
    switch self {
    case .pending: 3
    case .held: 4
    case .processing: 5
    case .stopped: 6
    case .cancelled: 7
    case .aborted: 8
    case .completed: 9
    }
  }

  init?(ippValue: Int) {
    let all: [JobState] = [.pending, .held, .processing, .stopped, .cancelled, .aborted, .completed]
    guard let state = all.first(where: { $0.ippValue == Int32(clamping: ippValue) }) else { return nil }
    self = state
  }
}

extension QueueState {
  /// RFC 8011, 5.4.11.
  var ippValue: Int32 {
    switch self {
    case .idle: 3
    case .processing: 4
    case .stopped: 5
    }
  }

  init?(ippValue: Int) {
    guard
      let state = [QueueState.idle, .processing, .stopped].first(where: {
        $0.ippValue == Int32(clamping: ippValue)
      })
    else { return nil }
    self = state
  }
}
