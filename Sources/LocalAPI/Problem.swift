public import Devices
public import HTTPServer
public import WireJSON

/// An error as `application/problem+json` (RFC 9457), with the members `code`, `action`, `actor`, `retry`.
public struct Problem: Error, Sendable, Equatable {
  /// Stable code: a ``ProblemCode`` or a ``FaultCode``.
  public let code: String
  /// HTTP status.
  public let status: Int
  /// Who must act, how, and the sentences.
  public let advice: Advice
  /// What exactly, for the technician or the developer: a field's name, an errno. Never citizen data.
  public let detail: String
  /// Members besides the standard ones, such as `errors`.
  public let members: [String: JSONValue]

  /// A refusal of the API itself.
  public init(_ code: ProblemCode, _ detail: String = "", members: [String: JSONValue] = [:]) {
    self.code = code.rawValue
    status = code.status
    advice = code.advice
    self.detail = detail
    self.members = members
  }

  /// A device's fault. 503 where the device as a whole is not fit, 504 for a time-out, 409
  /// where this command could not be done. Never 408: HTTP libraries send such a request again by themselves.
  public init(_ fault: Fault, members: [String: JSONValue] = [:]) {
    code = fault.code.rawValue
    switch fault.code {
    case .deviceAbsent, .deviceGone, .deviceDenied, .deviceBusy, .deviceSilent, .deviceGarbled, .deviceBroken,
      .deviceNotAuthorised, .deviceOffline, .deviceUnmatched, .deviceLocked, .lineFailed, .programMissing,
      .queueStopped, .queueMissing, .queueFull:
      status = 503
    case .notStored: status = 507
    case .commandTimedOut: status = 504
    default: status = 409
    }
    advice = fault.code.advice
    detail = fault.evidence
    self.members = members
  }

  /// The JSON document.
  public func json(_ language: Language) -> JSONValue {
    var document: [String: JSONValue] = members
    document["type"] = .string("urn:hall-agent:problem:\(code)")
    document["status"] = .integer(Int64(status))
    document["code"] = .string(code)
    document["title"] = .string(advice.sentence(language))
    if !detail.isEmpty { document["detail"] = .string(detail) }
    document["action"] = .string(advice.action.rawValue)
    document["actor"] = .string(advice.actor.rawValue)
    document["retry"] = .bool(advice.retry)
    return .object(document)
  }

  /// The HTTP answer.
  public func response(_ language: Language) -> ServerResponse {
    ServerResponse(
      status: status,
      headers: [("Content-Type", "application/problem+json"), ("Content-Language", language.rawValue)],
      body: .bytes((try? JSON.encode(json(language))) ?? []))
  }
}
