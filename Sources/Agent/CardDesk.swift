import Codecs
import Devices
import LocalAPI
import Posix
import WireJSON

/// Reads ID cards. The contents go to the caller of the read and nowhere else.
struct CardDesk: Sendable {
  let facilities: Facilities

  func read(
    _ context: CommandContext, session: DeviceSession, visit: Visit?
  ) async throws(Problem) -> Completion {
    let timeout = Duration.seconds(context.request.body["timeoutSeconds"]?.integer ?? 30)
    let isMasked = context.request.body["masked"]?.bool ?? false
    let role = session.slot.role
    // Before anything is read: nobody gets a number of which the audit knows nothing.
    if !isMasked { try note(context.caller, "card read in full at \(role), request \(context.request.id)") }
    let (steps, step) = AsyncStream.makeStream(of: CardReadStep.self)
    let telling = Task { [hub = facilities.hub, id = context.request.id] in
      for await step in steps {
        await hub.publish(
          "prompt", ["requestId": .string(id), "role": .string(role), "step": .string(step.rawValue)])
      }
    }
    let result: Result<CardReading, Fault>
    do throws(Fault) {
      result = .success(
        try await session.perform("cardReads") { (device) throws(Fault) in
          guard let reader = device as? any IDCardReader else { throw Fault(.commandUnsupported) }
          return try await reader.readCard(timeout: timeout) { step.yield($0) }
        })
    } catch {
      result = .failure(error)
    }
    // The prompts come before the answer, in their order: the last says that the card is to be taken back.
    step.finish()
    await telling.value
    let reading: CardReading
    do throws(Fault) {
      reading = try result.get()
    } catch {
      throw Problem(error)
    }
    var body = CardWire.json(reading, picture: await picture(of: reading.card, role), isMasked: isMasked)
    if let visit { body["visit"] = .string(visit.id) }
    return Completion(state: .done, status: 200, body: body, keepsBody: false)
  }

  /// The decoded photo; nil where the hall has no decoder, or when it gave nothing that may be passed on.
  private func picture(of card: IDCard, _ role: String) async -> PhotoDecoder.Picture? {
    guard let settings = facilities.settings.current.photoDecoder, !card.photo.reveal().isEmpty else {
      return nil
    }
    do throws(PhotoDecoder.Failure) {
      return try await PhotoDecoder(settings: settings).decode(card.photo)
    } catch {
      facilities.log(.warning, role, "photo not decoded by \(settings.program): \(error.sentence)")
      return nil
    }
  }

  private func note(_ caller: Caller, _ what: String) throws(Problem) {
    do throws(SystemError) {
      try facilities.audit.note(caller, what)
    } catch {
      throw Problem(.notStored, "the audit log: \(error)")
    }
  }
}
