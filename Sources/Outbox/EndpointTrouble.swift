/// What is wrong with the intake as a whole. Nothing is ever set aside for it while it lasts.
public enum EndpointTrouble: Sendable, Equatable {
  /// Nobody listens: the service is not running.
  case notListening
  /// The agent's user may not connect to the socket.
  case denied
  /// The listener does not run as the configured user: nothing is sent to it.
  case stranger
  /// No answer in time.
  case timedOut
  /// The connection broke, or what came is not HTTP.
  case broken
  /// 429 or 503: it has said itself that it is busy.
  case busy
  /// 401 or 403.
  case unauthorised
  /// 404 or 405: something else answers there.
  case notFound
  /// 3xx: answers of the intake do not redirect.
  case redirect
  /// 5xx.
  case serverError
  /// An answer that the intake API does not know, such as 200 with something else in it.
  case unexpectedAnswer

  private static let all: [EndpointTrouble] = [
    .notListening, .denied, .stranger, .timedOut, .broken, .busy, .unauthorised, .notFound, .redirect,
    .serverError,
    .unexpectedAnswer,
  ]

  /// A stable word, by which sentences in other languages are found.
  public var key: String { "\(self)" }

  init(key: String) { self = Self.all.first { $0.key == key } ?? .unexpectedAnswer }

  /// One English sentence.
  public var sentence: String {
    switch self {
    case .notListening: "The intake service is not running."
    case .denied: "The agent may not connect to the intake service's socket."
    case .stranger: "Something that does not run as the configured user listens in the intake's place."
    case .timedOut: "The intake service does not answer in time."
    case .broken: "The connection to the intake service broke."
    case .busy: "The intake service says that it is busy."
    case .unauthorised: "The intake service refuses access."
    case .notFound: "Something other than the intake service answers there."
    case .redirect: "The intake service redirects elsewhere."
    case .serverError: "The intake service reports an error of its own."
    case .unexpectedAnswer: "The intake service gives an answer that means nothing here."
    }
  }

  /// What a person does about it; one English sentence.
  public var advice: String {
    switch self {
    case .notListening: "Start it: everything is kept here, and sent when it is back."
    case .denied: "Check the permissions of the socket and of its directory."
    case .stranger: "Nothing was sent to it. Check the setting [intake] user, and that program."
    case .timedOut: "See to the intake service; everything is kept here."
    case .broken, .serverError: "Read the intake service's log; everything is kept here."
    case .busy: "It is tried again by itself."
    case .unauthorised: "Check the access settings of the intake service."
    case .notFound: "Check the setting [intake] target."
    case .redirect: "The intake API has no redirects: check the intake service."
    case .unexpectedAnswer: "Nothing counts as accepted by it: read the intake service's log."
    }
  }
}
