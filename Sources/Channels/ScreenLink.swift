/// A citizen's screen: a page in a kiosk browser that shows what it is told and tells what the citizen does.
public protocol ScreenLink: Sendable {
  /// What the citizen does, and whether a page is there at all. Iterated once; ends with ``close()``.
  var events: AsyncStream<ScreenEvent> { get }
  /// Shows a view in place of the one before. A page that connects later is shown the last one.
  func show(_ view: ScreenView) async
  /// Goes back to nothing and ends the events. May be called more than once.
  func close() async
}

/// What a screen tells.
public enum ScreenEvent: Sendable, Equatable {
  /// A page is showing, or none is any more.
  case present(Bool)
  /// The citizen did something at the view with that revision.
  case input(ScreenInput, revision: Int)
  /// A level was pressed at a view that was over: twice, or too late.
  case stale(level: Int)
}

/// What the citizen did.
public enum ScreenInput: Sendable, Equatable {
  /// A level from 5 (非常满意) to 1 (非常不满意).
  case press(level: Int)
  /// Reason codes and a comment for the level pressed.
  case reasons(codes: [String], comment: String)
  /// No rating, no signature.
  case decline
  /// Fields or a document: in order, or not.
  case confirm(accepted: Bool)
  /// PNG bytes, and the strokes as JSON: points of x, y (ten-thousandths of the pad), milliseconds, pressure (thousandths).
  case signature(png: [UInt8], strokes: [UInt8])
  /// 再等等: the time from the beginning.
  case moreTime
  /// The citizen is busy with the view.
  case touched
  /// The window with a page of somebody else's: opened, refused by the browser, closed by the citizen.
  case window(WindowState)

  /// What became of a window.
  public enum WindowState: String, Sendable { case opened, blocked, closed }
}

/// A sentence in both languages.
public struct ScreenText: Sendable, Equatable {
  /// Chinese.
  public var chinese: String
  /// English; the Chinese one where there is none.
  public var english: String

  /// A sentence.
  public init(_ chinese: String, _ english: String? = nil) {
    self.chinese = chinese
    self.english = english ?? chinese
  }
}

/// What the citizen sees. It may hold what only this citizen may read: nothing that prints or reflects it shows more
/// than its kind.
public struct ScreenView: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  /// What it is for; steps of one question have one.
  public var step: String
  /// The visit it belongs to; another one begins with the usual language and type size.
  public var visit: String?
  /// What is shown.
  public var content: Content
  /// When the agent's patience ends, in seconds from when it is shown; nil: it stays.
  public var seconds: Int?
  /// Whether the citizen may ask for more time.
  public var isExtendable: Bool

  /// A view.
  public init(
    step: String, visit: String? = nil, _ content: Content, seconds: Int? = nil, isExtendable: Bool = true
  ) {
    self.step = step
    self.visit = visit
    self.content = content
    self.seconds = seconds
    self.isExtendable = isExtendable
  }

  /// What is shown.
  public enum Content: Sendable, Equatable {
    /// Nothing is asked; the hall's words, and the clerk's name and number where the hall wants them.
    case idle(title: ScreenText?, text: ScreenText?, clerkName: String?, clerkNumber: String?)
    /// A queue number is called.
    case called(number: String, window: String?)
    /// Five levels; with a level, its reasons.
    case rating(Rating)
    /// Fields to be confirmed.
    case confirm(title: ScreenText?, fields: [Field])
    /// A document, page by page.
    case document(title: ScreenText?, pages: [Page], asksConsent: Bool)
    /// A pad to sign on.
    case signature(title: ScreenText?)
    /// A QR symbol: rows of dark (true) and light modules.
    case qr(title: ScreenText?, caption: ScreenText?, modules: [[Bool]])
    /// A page of somebody else's in a window of its own.
    case window(title: ScreenText?, url: String)
    /// Thanks; `rated`: for a rating.
    case thanks(rated: Bool)
    /// Out of service.
    case outOfService(text: ScreenText?)
  }

  /// A rating that is asked for.
  public struct Rating: Sendable, Equatable {
    /// What was done for the citizen.
    public var service: String?
    /// The level pressed; nil before that.
    public var level: Int?
    /// For how many more seconds it can be changed; 0: it cannot.
    public var correctableSeconds: Int
    /// Reasons to choose from.
    public var reasons: [Reason]
    /// Those chosen so far.
    public var chosen: [String]
    /// Whether a reason or a comment is needed.
    public var isReasonRequired: Bool
    /// Whether a comment can be written.
    public var takesComment: Bool

    /// A rating to ask for.
    public init(
      service: String? = nil, level: Int? = nil, correctableSeconds: Int = 0, reasons: [Reason] = [],
      chosen: [String] = [], isReasonRequired: Bool = false, takesComment: Bool = true
    ) {
      self.service = service
      self.level = level
      self.correctableSeconds = correctableSeconds
      self.reasons = reasons
      self.chosen = chosen
      self.isReasonRequired = isReasonRequired
      self.takesComment = takesComment
    }
  }

  /// A reason for a level.
  public struct Reason: Sendable, Equatable {
    /// Three digits.
    public var code: String
    /// What it says.
    public var text: ScreenText

    /// A reason.
    public init(code: String, text: ScreenText) {
      self.code = code
      self.text = text
    }
  }

  /// A field to be confirmed.
  public struct Field: Sendable, Equatable {
    /// Its name.
    public var label: ScreenText
    /// What it says.
    public var value: String

    /// A field.
    public init(label: ScreenText, value: String) {
      self.label = label
      self.value = value
    }
  }

  /// A page of a document.
  public struct Page: Sendable, Equatable {
    /// JPEG or PNG bytes.
    public var image: [UInt8]
    /// `image/jpeg` or `image/png`.
    public var mediaType: String
    /// In pixels.
    public var width: Int
    /// In pixels.
    public var height: Int

    /// A page.
    public init(image: [UInt8], mediaType: String, width: Int, height: Int) {
      self.image = image
      self.mediaType = mediaType
      self.width = width
      self.height = height
    }
  }

  /// The word for what is shown.
  public var kind: String {
    switch content {
    case .idle: "idle"
    case .called: "called"
    case .rating: "rating"
    case .confirm: "confirm"
    case .document: "document"
    case .signature: "signature"
    case .qr: "qr"
    case .window: "url"
    case .thanks: "thanks"
    case .outOfService: "outOfService"
    }
  }
  /// Its kind; never its content.
  public var description: String { "view \(kind)" }
  /// A mirror without children.
  public var customMirror: Mirror { Mirror(self, children: []) }
}
