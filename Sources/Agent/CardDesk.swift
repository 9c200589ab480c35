import Codecs
import Devices
import LocalAPI
import WireJSON

/// Reads ID cards. The contents go to the caller of the read and nowhere else.
struct CardDesk: Sendable {
  let facilities: Facilities

  func read(
    _ context: CommandContext, session: DeviceSession, visit: Visit?
  ) async throws(Problem) -> Completion {
    let timeout = Duration.seconds(context.request.body["timeoutSeconds"]?.integer ?? 30)
    let hub = facilities.hub
    let requestID = context.request.id
    let role = await session.current.slot.role
    let reading: CardReading
    do throws(Fault) {
      reading = try await session.perform("cardReads") { (device) throws(Fault) in
        guard let reader = device as? any IDCardReader else { throw Fault(.commandUnsupported) }
        return try await reader.readCard(timeout: timeout) { step in
          Task {
            await hub.publish(
              "prompt",
              ["requestId": .string(requestID), "role": .string(role), "step": .string(step.rawValue)])
          }
        }
      }
    } catch {
      throw Problem(error)
    }
    var body = CardWire.json(reading)
    if let visit { body["visit"] = .string(visit.id) }
    return Completion(state: .done, status: 200, body: body, keepsBody: false)
  }
}
