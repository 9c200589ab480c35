public import Codecs

/// Steps of a card read that a person may be told of.
public enum CardReadStep: String, Sendable {
  /// Waiting for a card to be put on the reader.
  case waitingForCard
  /// The card that was read before has to be lifted first: this model does not find it again where it lies.
  case liftCard
  /// A card was found and is being read: keep it still.
  case reading
  /// The read has ended, well or not, and a card may lie there that was not found: take the card back.
  case takeCardBack
}

/// What was read.
public struct CardReading: Sendable {
  /// The card's fields and photo block.
  public var card: IDCard
  /// The additional address, where the card has one and the module gives it.
  public var additionalAddress: Sensitive<String>?
  /// The number of the card's body, where it was asked for and the module gives it.
  public var cardNumber: Sensitive<[UInt8]>?

  /// A reading.
  public init(
    card: IDCard, additionalAddress: Sensitive<String>?, cardNumber: Sensitive<[UInt8]>? = nil
  ) {
    self.card = card
    self.additionalAddress = additionalAddress
    self.cardNumber = cardNumber
  }
}

/// An ID-card reader.
public protocol IDCardReader: AttachedDevice {
  /// Waits for a card up to `timeout` and reads it. Cancelling the task ends the wait with `command.cancelled`.
  /// `step` is told each step as it is reached; the last is always `.takeCardBack`.
  func readCard(
    timeout: Duration, step: @escaping @Sendable (CardReadStep) -> Void
  ) async throws(Fault) -> CardReading
}
