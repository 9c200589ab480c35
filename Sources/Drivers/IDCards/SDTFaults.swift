internal import Codecs
internal import Devices

extension SDTReader {
  /// What a status means when it ends a command; nil for success. What the module says of itself, what it says of the card
  /// (which a person can put right), and what it says of the line are kept apart.
  static func fault(_ status: SDTStatus, of command: SDTCommand) -> Fault? {
    guard status != command.success else { return nil }
    let readsCard =
      switch command {
      case .select, .readText, .readTextAndFingerprint: true
      default: false
      }
    let code: FaultCode =
      switch status {
      case .selfTestFailed: .deviceBroken
      case .moduleUnauthorised, .notAuthorised, .loginFailed: .deviceNotAuthorised
      case .commandWrong: .commandRefused
      case .cardRejectedModule, .moduleRejectedCard, .verificationFailed: .cardNotAuthenticated
      case .unknownCard: .cardUnknown
      case .notFound, .notFoundYet, .selectFailed: .cardMoved
      case .readFailed, .randomFailed, .informationLengthWrong, .fingerprintWrong, .noItem: .cardUnreadable
      case .checksumWrong, .lengthWrong, .ok, .found: .deviceGarbled
      case .unrecognisedError, .writeFailed, .unknown: readsCard ? .cardUnreadable : .deviceGarbled
      }
    return Fault(code, "\(command): SW3 \(status)")
  }
}

extension Fault {
  /// Whether the card, and not the reader or the line, is at fault: it may go well the next time.
  var isOfCard: Bool {
    switch code {
    case .cardMoved, .cardUnreadable, .cardNotAuthenticated, .cardUnknown, .cardAbsent: true
    default: false
    }
  }

  /// Whether nothing, or nothing sensible, was received.
  var isOfLine: Bool { code == .deviceSilent || code == .deviceGarbled }
}
