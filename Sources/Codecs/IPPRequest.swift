/// Why a request is not carried out.
public enum IPPRequestError: Error, Sendable, Equatable {
  /// Not a whole message yet: read more of the body.
  case incomplete
  /// No message at all, to be answered with HTTP 400.
  case malformed(IPPError)
  /// To be answered with this IPP response.
  case refused(IPPMessage)
}

/// A request as a printer sees it: the message with the rules of RFC 8011, 4.1 checked, and the attributes that matter
/// to a printer by name.
public struct IPPRequest: Sendable, Equatable {
  /// The whole message.
  public let message: IPPMessage
  /// Index at which the document begins in the bytes that were read.
  public let documentStart: Int
  /// Target and parameters of the operation.
  public let operationAttributes: IPPGroup
  /// What the client wants of the job; empty if it says nothing.
  public let jobAttributes: IPPGroup

  /// Reads and checks a request: version 1 or 2, request-id of at least 1, first the operation's attributes, and of
  /// them first charset (UTF-8 or US-ASCII) and language.
  public init(reading bytes: [UInt8], limits: IPPLimits = IPPLimits()) throws(IPPRequestError) {
    do throws(IPPError) {
      (message, documentStart) = try IPPMessage.read(bytes, limits: limits)
    } catch {
      if error == .incomplete { throw .incomplete }
      guard bytes.count >= 8 else { throw .malformed(error) }
      // The head is readable, so the client gets an answer it can match to its request.
      let head = IPPMessage(
        version: IPPVersion(bytes[0], bytes[1]), code: 0,
        requestID: Int32(truncatingIfNeeded: bytes.bigEndian32(4)), groups: [])
      let status: IPPStatus = error == .tooLarge ? .requestTooLarge : .badRequest
      throw .refused(head.response(status, detail: error.description))
    }
    guard (1...2).contains(message.version.major) else {
      throw .refused(message.response(.versionNotSupported))
    }
    guard message.requestID > 0 else {
      throw .refused(message.response(.badRequest, detail: "request-id must be at least 1"))
    }
    guard let first = message.groups.first, first.tag == .operation,
      message.groups.dropFirst().allSatisfy({ $0.tag != .operation }),
      first.attributes.count >= 2, first.attributes[0].name == "attributes-charset",
      case .charset(let charset) = first.attributes[0].values[0],
      first.attributes[1].name == "attributes-natural-language",
      case .naturalLanguage = first.attributes[1].values[0]
    else {
      let detail = "attributes-charset and attributes-natural-language must come first"
      throw .refused(message.response(.badRequest, detail: detail))
    }
    guard ["utf-8", "us-ascii"].contains(charset.lowercased()) else {
      throw .refused(message.response(.charsetNotSupported))
    }
    operationAttributes = first
    let needsNoTarget = [IPPOperation.cupsGetDefault.rawValue, IPPOperation.cupsGetPrinters.rawValue]
    guard needsNoTarget.contains(message.code) || first["printer-uri"] != nil || first["job-uri"] != nil
    else {
      throw .refused(message.response(.badRequest, detail: "printer-uri or job-uri is missing"))
    }
    jobAttributes = message.group(.job) ?? IPPGroup(.job)
  }

  /// The operation asked for.
  public var operation: IPPOperation { IPPOperation(rawValue: message.code) }

  /// `printer-uri`.
  public var printerURI: String? { string("printer-uri") }

  /// The job's number: `job-id`, or the end of `job-uri`.
  public var jobID: Int? {
    if let number = operationAttributes["job-id"]?.values[0].number { return number }
    guard let uri = string("job-uri"), let last = uri.split(separator: "/").last else { return nil }
    return Int(last).flatMap { $0 > 0 ? $0 : nil }
  }

  /// `job-name`.
  public var jobName: String? { string("job-name") }

  /// `document-name`.
  public var documentName: String? { string("document-name") }

  /// `requesting-user-name`; claimed by the client, not proven.
  public var userName: String? { string("requesting-user-name") }

  /// `document-format`; `application/octet-stream` if not given (RFC 8011, 4.2.1.1).
  public var documentFormat: String { string("document-format") ?? "application/octet-stream" }

  /// `compression`; `none` if not given.
  public var compression: String { string("compression") ?? "none" }

  /// `last-document`.
  public var isLastDocument: Bool { operationAttributes["last-document"]?.values[0].flag ?? false }

  /// `ipp-attribute-fidelity`: refuse the job rather than print it otherwise.
  public var wantsFidelity: Bool { operationAttributes["ipp-attribute-fidelity"]?.values[0].flag ?? false }

  /// `which-jobs`; `not-completed` if not given (RFC 8011, 4.2.6.1).
  public var whichJobs: String { string("which-jobs") ?? "not-completed" }

  /// `my-jobs`.
  public var wantsOwnJobsOnly: Bool { operationAttributes["my-jobs"]?.values[0].flag ?? false }

  /// `limit`, if at least 1.
  public var limit: Int? {
    operationAttributes["limit"]?.values[0].number.flatMap { $0 > 0 ? $0 : nil }
  }

  /// `requested-attributes`; nil if not given, which means all (for Get-Jobs: `job-uri` and `job-id`).
  public var requestedAttributes: [String]? {
    operationAttributes["requested-attributes"]?.values.compactMap(\.string)
  }

  /// Whether the client wants an attribute: it asked for its name, for all, for a group it is in, or for nothing at all.
  ///
  /// - Parameters:
  ///   - name: The attribute.
  ///   - groups: Names of the groups it is in, as `printer-description` or `job-template`.
  public func wants(_ name: String, in groups: [String] = []) -> Bool {
    guard let requested = requestedAttributes else { return true }
    return requested.contains { $0 == name || $0 == "all" || groups.contains($0) }
  }

  /// The answer to this request.
  ///
  /// - Parameters:
  ///   - status: The outcome.
  ///   - detail: A sentence for a person; the status' keyword if nil.
  ///   - unsupported: Attributes that were not honoured, with the value asked for or ``IPPOutOfBand/unsupported``.
  ///   - groups: What was asked for.
  public func response(
    _ status: IPPStatus, detail: String? = nil, unsupported: [IPPAttribute] = [], groups: [IPPGroup] = []
  ) -> IPPMessage {
    message.response(status, detail: detail, unsupported: unsupported, groups: groups)
  }

  private func string(_ name: String) -> String? { operationAttributes[name]?.values[0].string }
}

extension IPPMessage {
  /// The answer to this message, in its version if that is known here, with its request-id.
  func response(
    _ status: IPPStatus, detail: String? = nil, unsupported: [IPPAttribute] = [], groups: [IPPGroup] = []
  ) -> IPPMessage {
    let text = detail ?? status.keyword
    // status-message may have 255 bytes (RFC 8011, 4.1.6.2).
    var short = text
    while short.utf8.count > 255 { short.removeLast() }
    var answer = [
      IPPGroup(
        .operation,
        [
          IPPAttribute("attributes-charset", .charset("utf-8")),
          IPPAttribute("attributes-natural-language", .naturalLanguage("en-us")),
          IPPAttribute("status-message", .text(short)),
        ])
    ]
    if !unsupported.isEmpty { answer.append(IPPGroup(.unsupported, unsupported)) }
    let known = (1...2).contains(version.major)
    return IPPMessage(
      version: known ? version : IPPVersion(1, 1), code: status.rawValue, requestID: requestID,
      groups: answer + groups)
  }
}
