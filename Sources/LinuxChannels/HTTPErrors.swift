internal import Channels
internal import HTTPClient

extension ChannelError {
  /// Why a server did not answer, for a channel to what is named by `place`.
  init(_ error: HTTPClientError, at place: String) {
    self =
      switch error {
      case .unreachable(.noSocket), .unreachable(.refused): .absent(place)
      case .unreachable(.denied), .wrongOwner: .denied(place)
      case .unreachable(.busy): .busy(place)
      case .unreachable(.other(let error)): ChannelError(opening: place, error)
      case .timedOut: .timedOut
      case .cancelled: .cancelled
      // The client has one case for a connection that ended and for an answer that is none.
      case .broken(let reason) where reason.contains("closed") || reason.contains("not complete"): .gone
      case .broken(let reason): .malformed("\(place): \(reason)")
      case .tooLarge, .uriTooLong, .invalidRequest: .malformed("\(place): \(error)")
      }
  }
}
