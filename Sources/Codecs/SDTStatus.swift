/// How a command to the security module ended: byte SW3 of the reply (facts/idcard.md 2.2).
///
/// A code that no source names is kept as it came.
public enum SDTStatus: Sendable, Hashable {
  /// `90`: done.
  case ok
  /// `9F`: a card is there; the answer to "find" only.
  case found
  /// `10`: the module received a request with a wrong check byte.
  case checksumWrong
  /// `11`: the module received a request with a wrong length, or too few bytes before its own time-out.
  case lengthWrong
  /// `21`: unknown command or parameter; also the answer of modules without fingerprint support to `30 10`.
  case commandWrong
  /// `23`: the module may not do this.
  case notAuthorised
  /// `24`: an error the module cannot name.
  case unrecognisedError
  /// `31`: the card did not accept the module.
  case cardRejectedModule
  /// `32`: the module did not accept the card.
  case moduleRejectedCard
  /// `33`: what was read failed its verification.
  case verificationFailed
  /// `34`: nothing was found before this command.
  case notFoundYet
  /// `37`: the fingerprint failed its verification. One source.
  case fingerprintWrong
  /// `3F`: what was read has a wrong length. One source.
  case informationLengthWrong
  /// `40`: a card of an unknown kind.
  case unknownCard
  /// `41`: reading failed, mostly because the card moved.
  case readFailed
  /// `47`: no random number from the module.
  case randomFailed
  /// `50`: writing failed. One source.
  case writeFailed
  /// `60`: the module's self-test failed; it takes no commands.
  case selfTestFailed
  /// `61`: login failed. One source.
  case loginFailed
  /// `66`: the module has no authorisation.
  case moduleUnauthorised
  /// `80`: no card found.
  case notFound
  /// `81`: the card could not be selected, mostly because it moved.
  case selectFailed
  /// `91`: the card has no such item, such as no additional address.
  case noItem
  /// Any other code.
  case unknown(UInt8)

  private static let codes: [(UInt8, SDTStatus)] = [
    (0x90, .ok), (0x9F, .found), (0x10, .checksumWrong), (0x11, .lengthWrong), (0x21, .commandWrong),
    (0x23, .notAuthorised), (0x24, .unrecognisedError), (0x31, .cardRejectedModule),
    (0x32, .moduleRejectedCard), (0x33, .verificationFailed), (0x34, .notFoundYet),
    (0x37, .fingerprintWrong), (0x3F, .informationLengthWrong), (0x40, .unknownCard), (0x41, .readFailed),
    (0x47, .randomFailed), (0x50, .writeFailed), (0x60, .selfTestFailed), (0x61, .loginFailed),
    (0x66, .moduleUnauthorised), (0x80, .notFound), (0x81, .selectFailed), (0x91, .noItem),
  ]
  private static let byCode = Dictionary(uniqueKeysWithValues: codes)
  private static let byStatus = Dictionary(uniqueKeysWithValues: codes.map { ($1, $0) })

  /// Every status that a source names.
  public static let known: [SDTStatus] = codes.map(\.1)

  /// The status of a byte SW3.
  public init(code: UInt8) { self = Self.byCode[code] ?? .unknown(code) }

  /// The byte SW3.
  public var code: UInt8 {
    if case .unknown(let code) = self { code } else { Self.byStatus[self] ?? 0 }
  }
}
