import Codecs
import Devices
import LocalAPI
import Outbox
import Posix
import Store
import WireJSON

/// Prints documents of the counter application.
struct PrintDesk: Sendable {
  let facilities: Facilities

  /// Name of a request's job in the queue, by which it is found again after a crash.
  static func jobName(_ requestID: String) -> String { "hall-agent \(requestID)" }

  func print(
    _ context: CommandContext, document: [UInt8], session: DeviceSession, visit: Visit?
  ) async throws(Problem) -> Completion {
    do throws(PDFError) {
      _ = try PDFInspector.inspect(document)
    } catch {
      throw Problem(Fault(.documentRefused, "\(error)"))
    }
    let body = context.request.body
    let timeout = Duration.seconds(body["timeoutSeconds"]?.integer ?? 120)
    let job = PrintDocument(
      mediaType: "application/pdf", bytes: document, jobName: Self.jobName(context.request.id),
      copies: Int(body["copies"]?.integer ?? 1))
    let result: PrintResult
    do throws(Fault) {
      result = try await session.perform("printJobs") { (device) throws(Fault) in
        guard let printer = device as? any Printer else { throw Fault(.commandUnsupported) }
        return await printer.print(job, timeout: timeout) { await context.begin() }
      }
    } catch {
      throw Problem(error, members: ["printed": "no"])
    }
    if let fault = result.outcome.fault { await session.report(fault) }
    return finish(
      result, view: await session.current, request: context.request, visit: visit,
      language: context.caller.language)
  }

  /// The end of a job, at once or after a crash.
  func finish(
    _ result: PrintResult, view: DeviceView, request: CommandRequest, visit: Visit?, language: Language
  ) -> Completion {
    let id = Identifier.uuidV4()
    var answer: [String: JSONValue] = ["job": .string(id), "printed": .string(result.outcome.word)]
    if let pages = result.pages { answer["pages"] = .integer(Int64(pages)) }
    if !result.reasons.isEmpty { answer["reasons"] = .array(result.reasons.prefix(32).map(JSONValue.string)) }
    if let fault = result.outcome.fault { answer["fault"] = fault.json(language) }
    var data = facilities.deviceData(view, request: request, cases: nil)
    data["job"] = .string(id)
    data["title"] = request.body["title"]
    data["copies"] = request.body["copies"] ?? 1
    data["outcome"] = .string(result.outcome.word)
    data["pages"] = answer["pages"]
    data["reasons"] = answer["reasons"] ?? []
    let cases = request.cases.isEmpty ? visit?.cases ?? [] : request.cases
    let draft = facilities.draft(
      "print", source: .device(role: view.slot.role), visit: visit?.id, cases: cases,
      simulated: view.slot.simulated,
      data: .object(data))
    let outbox = facilities.outbox
    let state: RequestState =
      switch result.outcome {
      case .done: .done
      case .notDone: .failed
      case .unknown: .unknown
      }
    return Completion(state: state, status: 200, body: .object(answer)) { database throws(StoreError) in
      _ = try outbox.insert([draft].compactMap { $0 }, in: database)
    }
  }

  /// After a crash the queue itself is asked what became of the job.
  func recover(_ requestID: String, session: DeviceSession) async -> PrintResult {
    let name = Self.jobName(requestID)
    let found = try? await session.perform("recoveries") { (device) throws(Fault) -> PrintResult? in
      guard let printer = device as? any Printer else { throw Fault(.commandUnsupported) }
      return await printer.result(ofJobNamed: name, timeout: .seconds(10))
    }
    return (found ?? nil)
      ?? PrintResult(
        outcome: .unknown(Fault(.outcomeUnknown, "the service was interrupted while it printed")))
  }

  /// Settles a job whose printing is unknown, after a person looked into the tray.
  func resolve(
    _ requestID: String, resolution: String, desk: RequestDesk, caller: Caller, view: DeviceView?
  ) async throws(Problem) {
    let outcome: JSONValue = resolution == "voided" ? "no" : "yes"
    var data: [String: JSONValue] = ["outcome": outcome, "reasons": []]
    if let view { data.merge(facilities.deviceData(view, request: nil, cases: nil)) { old, _ in old } }
    data["requestId"] = .string(requestID)
    // Who settled it, and how, stands in the audit log: the intake knows no such words of a print job (intake API v1).
    let shown = try await desk.show(requestID, caller.language)
    for member in ["job", "pages", "reasons"] {
      if let value = shown["result"]?[member] { data[member] = value }
    }
    let draft = facilities.draft(
      "print", source: view.map { EventSource.device(role: $0.slot.role) } ?? .agent, visit: nil, cases: [],
      simulated: view?.slot.simulated ?? false, data: .object(data))
    try await desk.resolve(requestID, resolution: resolution) { answer in
      var settled = answer
      settled["printed"] = outcome
      settled["fault"] = nil
      return settled
    } also: { database throws(StoreError) in
      _ = try facilities.outbox.insert([draft].compactMap { $0 }, in: database)
    }
  }
}
