public import Channels

extension Fault {
  /// The fault that a channel's failure means to whoever has to act.
  ///
  /// - Parameters:
  ///   - error: Why the channel could not be opened or used.
  ///   - doing: What was being done, for the evidence: `DLE EOT 4`. Never content.
  public init(_ error: ChannelError, doing: String = "") {
    let code: FaultCode =
      switch error {
      case .absent: .deviceAbsent
      case .gone: .deviceGone
      case .denied: .deviceDenied
      case .busy: .deviceBusy
      case .timedOut: .deviceSilent
      case .cancelled: .commandCancelled
      case .malformed: .deviceGarbled
      case .system: .lineFailed
      }
    self.init(code, doing.isEmpty ? error.summary : "\(doing): \(error.summary)")
  }
}
