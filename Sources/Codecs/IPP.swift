/// An operation a client asks for (RFC 8011, 5.4.15; CUPS' own from 4001 hex).
public struct IPPOperation: RawRepresentable, Sendable, Hashable {
  /// The operation-id.
  public let rawValue: UInt16

  /// An operation by its number, known here or not.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Create a job and send its only document.
  public static let printJob = IPPOperation(rawValue: 0x0002)
  /// Ask whether a job would be accepted.
  public static let validateJob = IPPOperation(rawValue: 0x0004)
  /// Create a job whose documents follow.
  public static let createJob = IPPOperation(rawValue: 0x0005)
  /// Send a document of a created job.
  public static let sendDocument = IPPOperation(rawValue: 0x0006)
  /// Cancel a job.
  public static let cancelJob = IPPOperation(rawValue: 0x0008)
  /// Read a job.
  public static let getJobAttributes = IPPOperation(rawValue: 0x0009)
  /// List jobs.
  public static let getJobs = IPPOperation(rawValue: 0x000A)
  /// Read the printer.
  public static let getPrinterAttributes = IPPOperation(rawValue: 0x000B)
  /// CUPS: the default printer.
  public static let cupsGetDefault = IPPOperation(rawValue: 0x4001)
  /// CUPS: all printers.
  public static let cupsGetPrinters = IPPOperation(rawValue: 0x4002)
}

/// The outcome of an operation (RFC 8011, appendix B).
public struct IPPStatus: RawRepresentable, Sendable, Hashable {
  /// The status-code.
  public let rawValue: UInt16

  /// A status by its number, known here or not.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Done.
  public static let ok = IPPStatus(rawValue: 0x0000)
  /// Done, but some attributes were passed over or replaced.
  public static let okIgnoredOrSubstituted = IPPStatus(rawValue: 0x0001)
  /// The request is malformed.
  public static let badRequest = IPPStatus(rawValue: 0x0400)
  /// This client may not do this.
  public static let forbidden = IPPStatus(rawValue: 0x0401)
  /// Not possible in the present state, such as cancelling a finished job.
  public static let notPossible = IPPStatus(rawValue: 0x0404)
  /// No such printer or job.
  public static let notFound = IPPStatus(rawValue: 0x0406)
  /// The document or the request is too large.
  public static let requestTooLarge = IPPStatus(rawValue: 0x0408)
  /// The document's format is not printed here.
  public static let documentFormatNotSupported = IPPStatus(rawValue: 0x040A)
  /// Attributes or values are not supported, and fidelity was asked for.
  public static let attributesNotSupported = IPPStatus(rawValue: 0x040B)
  /// The charset is not supported.
  public static let charsetNotSupported = IPPStatus(rawValue: 0x040D)
  /// The document is damaged.
  public static let documentFormatError = IPPStatus(rawValue: 0x0411)
  /// The printer failed.
  public static let internalError = IPPStatus(rawValue: 0x0500)
  /// The operation is not known here.
  public static let operationNotSupported = IPPStatus(rawValue: 0x0501)
  /// The protocol version is not known here.
  public static let versionNotSupported = IPPStatus(rawValue: 0x0503)
  /// The device failed.
  public static let deviceError = IPPStatus(rawValue: 0x0504)
  /// Not now.
  public static let temporaryError = IPPStatus(rawValue: 0x0505)
  /// The printer takes no jobs.
  public static let notAcceptingJobs = IPPStatus(rawValue: 0x0506)
  /// The printer is busy.
  public static let busy = IPPStatus(rawValue: 0x0507)

  /// Whether the operation was carried out.
  public var isSuccess: Bool { rawValue < 0x0100 }

  /// The standard's keyword, as `client-error-bad-request`; a number for those not listed here.
  public var keyword: String {
    switch self {
    case .ok: "successful-ok"
    case .okIgnoredOrSubstituted: "successful-ok-ignored-or-substituted-attributes"
    case .badRequest: "client-error-bad-request"
    case .forbidden: "client-error-forbidden"
    case .notPossible: "client-error-not-possible"
    case .notFound: "client-error-not-found"
    case .requestTooLarge: "client-error-request-entity-too-large"
    case .documentFormatNotSupported: "client-error-document-format-not-supported"
    case .attributesNotSupported: "client-error-attributes-or-values-not-supported"
    case .charsetNotSupported: "client-error-charset-not-supported"
    case .documentFormatError: "client-error-document-format-error"
    case .internalError: "server-error-internal-error"
    case .operationNotSupported: "server-error-operation-not-supported"
    case .versionNotSupported: "server-error-version-not-supported"
    case .deviceError: "server-error-device-error"
    case .temporaryError: "server-error-temporary-error"
    case .notAcceptingJobs: "server-error-not-accepting-jobs"
    case .busy: "server-error-busy"
    default: "0x" + String(rawValue, radix: 16)
    }
  }
}

/// Protocol version, as 1.1 or 2.0.
public struct IPPVersion: Sendable, Hashable {
  /// Before the point.
  public let major: UInt8
  /// After the point.
  public let minor: UInt8

  /// A version.
  public init(_ major: UInt8, _ minor: UInt8) {
    self.major = major
    self.minor = minor
  }
}

/// What a group of attributes is about (RFC 8010, 3.5.1).
public struct IPPGroupTag: RawRepresentable, Sendable, Hashable {
  /// The begin-attribute-group-tag, 1 to 15 without 3.
  public let rawValue: UInt8

  /// A group by its tag, known here or not.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The operation.
  public static let operation = IPPGroupTag(rawValue: 0x01)
  /// A job.
  public static let job = IPPGroupTag(rawValue: 0x02)
  /// The printer.
  public static let printer = IPPGroupTag(rawValue: 0x04)
  /// What was not supported.
  public static let unsupported = IPPGroupTag(rawValue: 0x05)
  /// A subscription.
  public static let subscription = IPPGroupTag(rawValue: 0x06)
  /// An event.
  public static let eventNotification = IPPGroupTag(rawValue: 0x07)
  /// A document.
  public static let document = IPPGroupTag(rawValue: 0x09)
}

/// Absence of a value, with its reason (RFC 8010, 3.5.2).
public enum IPPOutOfBand: UInt8, Sendable, CaseIterable {
  /// The attribute is not supported.
  case unsupported = 0x10
  /// The value is not known.
  case unknown = 0x12
  /// There is no value.
  case noValue = 0x13
  /// The attribute cannot be set (RFC 3380).
  case notSettable = 0x15
  /// The attribute shall be deleted (RFC 3380).
  case deleteAttribute = 0x16
  /// The administrator defines the value (RFC 3380).
  case adminDefine = 0x17
}

/// Date and time with the offset from UTC (RFC 2579 DateAndTime).
public struct IPPDateTime: Sendable, Hashable {
  /// Year.
  public var year: UInt16
  /// 1 to 12.
  public var month: UInt8
  /// 1 to 31.
  public var day: UInt8
  /// 0 to 23.
  public var hour: UInt8
  /// 0 to 59.
  public var minute: UInt8
  /// 0 to 60.
  public var second: UInt8
  /// Tenths of a second, 0 to 9.
  public var decisecond: UInt8
  /// Minutes ahead of UTC, −839 to 839; China has 480.
  public var utcOffset: Int16

  /// A date and time.
  public init(
    year: UInt16, month: UInt8, day: UInt8, hour: UInt8, minute: UInt8, second: UInt8,
    decisecond: UInt8 = 0, utcOffset: Int16
  ) {
    self.year = year
    self.month = month
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
    self.decisecond = decisecond
    self.utcOffset = utcOffset
  }

  init?(octets: ArraySlice<UInt8>) {
    let o = Array(octets)
    guard o.count == 11, (1...12).contains(o[2]), (1...31).contains(o[3]), o[4] < 24, o[5] < 60, o[6] <= 60,
      o[7] < 10, o[8] == 0x2B || o[8] == 0x2D, o[9] < 14, o[10] < 60
    else { return nil }
    let offset = Int16(o[9]) * 60 + Int16(o[10])
    self.init(
      year: UInt16(o[0]) << 8 | UInt16(o[1]), month: o[2], day: o[3], hour: o[4], minute: o[5], second: o[6],
      decisecond: o[7], utcOffset: o[8] == 0x2D ? -offset : offset)
  }

  var octets: [UInt8] {
    let offset = min(utcOffset.magnitude, 839)
    return [
      UInt8(year >> 8), UInt8(year & 0xFF), month, day, hour, minute, second, decisecond,
      utcOffset < 0 ? 0x2D : 0x2B, UInt8(offset / 60), UInt8(offset % 60),
    ]
  }
}

/// One value of an attribute (RFC 8010, 3.5.2 and 3.9).
public enum IPPValue: Sendable, Equatable {
  /// No value, and why.
  case outOfBand(IPPOutOfBand)
  /// A signed number.
  case integer(Int32)
  /// True or false.
  case boolean(Bool)
  /// A number that stands for a word, such as a job-state.
  case enumeration(Int32)
  /// Bytes.
  case octets([UInt8])
  /// Date and time.
  case dateTime(IPPDateTime)
  /// Resolution in both directions.
  case resolution(x: Int32, y: Int32, perCentimetre: Bool)
  /// Two numbers with everything between.
  case range(lower: Int32, upper: Int32)
  /// Attributes within an attribute.
  case collection([IPPAttribute])
  /// Text for people, in its own language.
  case textWithLanguage(String, language: String)
  /// A name, in its own language.
  case nameWithLanguage(String, language: String)
  /// Text for people.
  case text(String)
  /// A name.
  case name(String)
  /// A word of the protocol.
  case keyword(String)
  /// A URI.
  case uri(String)
  /// The scheme of a URI.
  case uriScheme(String)
  /// A charset.
  case charset(String)
  /// A language.
  case naturalLanguage(String)
  /// A media type.
  case mimeMediaType(String)
  /// A value with a tag this codec does not know, as it came.
  case other(tag: UInt8, [UInt8])

  /// The text of any textual kind, without its language.
  public var string: String? {
    switch self {
    case .text(let text), .name(let text), .keyword(let text), .uri(let text), .uriScheme(let text),
      .charset(let text), .naturalLanguage(let text), .mimeMediaType(let text),
      .textWithLanguage(let text, _), .nameWithLanguage(let text, _):
      text
    default: nil
    }
  }

  /// The number of an integer or enumeration.
  public var number: Int? {
    switch self {
    case .integer(let number), .enumeration(let number): Int(number)
    default: nil
    }
  }

  /// The truth value of a boolean.
  public var flag: Bool? {
    if case .boolean(let flag) = self { flag } else { nil }
  }
}

/// A named attribute with at least one value; several values are the protocol's `1setOf`.
public struct IPPAttribute: Sendable, Equatable {
  /// The name, 1 to 255 bytes.
  public let name: String
  /// The values, at least one.
  public internal(set) var values: [IPPValue]

  /// An attribute with one value.
  public init(_ name: String, _ value: IPPValue) { self.init(name, [value]) }

  /// An attribute with several values.
  public init(_ name: String, _ values: [IPPValue]) {
    self.name = name
    self.values = values
  }
}

/// A group of attributes: the operation's, one job's, the printer's.
public struct IPPGroup: Sendable, Equatable {
  /// What the group is about.
  public let tag: IPPGroupTag
  /// Its attributes, in the order of the message.
  public var attributes: [IPPAttribute]

  /// A group.
  public init(_ tag: IPPGroupTag, _ attributes: [IPPAttribute] = []) {
    self.tag = tag
    self.attributes = attributes
  }

  /// The attribute of that name.
  public subscript(name: String) -> IPPAttribute? { attributes.first { $0.name == name } }
}
