internal import CCups
internal import Glibc

/// IPP messages as bytes (RFC 8010), written and read by libcups. Nothing here touches the network: one message in, one
/// out, so that the transport and its deadlines are ``HTTPClient``'s alone.
enum IPP {
  /// Media type of every request and answer.
  static let mediaType = "application/ipp"

  /// The operations a queue is asked for (RFC 8011 4.2 and 4.3).
  enum Operation: String {
    case getPrinterAttributes = "Get-Printer-Attributes"
    case createJob = "Create-Job"
    case sendDocument = "Send-Document"
    case getJobAttributes = "Get-Job-Attributes"
    case getJobs = "Get-Jobs"
    case cancelJob = "Cancel-Job"

    fileprivate var code: ipp_op_t {
      switch self {
      case .getPrinterAttributes: IPP_OP_GET_PRINTER_ATTRIBUTES
      case .createJob: IPP_OP_CREATE_JOB
      case .sendDocument: IPP_OP_SEND_DOCUMENT
      case .getJobAttributes: IPP_OP_GET_JOB_ATTRIBUTES
      case .getJobs: IPP_OP_GET_JOBS
      case .cancelJob: IPP_OP_CANCEL_JOB
      }
    }
  }

  /// An operation attribute of a request.
  enum Attribute {
    case keywords(String, [String])
    case name(String, String)
    case uri(String, String)
    case mediaType(String, String)
    case integer(String, Int32)
    case boolean(String, Bool)
  }

  /// One value of an answer.
  enum Value: Equatable {
    /// Integers and enumerations.
    case integer(Int32)
    case boolean(Bool)
    /// Text, names, keywords, URIs.
    case text(String)
    /// `no-value` and `unknown` (RFC 8011 5.1.1).
    case absent
  }

  /// An answer: its status, and its attributes in the groups they came in.
  struct Response: Equatable {
    /// `status-code` (RFC 8011 B).
    var status: Int32
    /// `status-code` as its keyword, such as `client-error-not-found`.
    var statusName: String
    /// `status-message`, empty when there is none.
    var message: String
    /// Printer, job and unsupported attributes, one dictionary for each group.
    var groups: [[String: [Value]]]

    /// Whether the operation was done (`successful-ok` and its kin).
    var succeeded: Bool { status < 0x0100 && status >= 0 }

    static let notFound: Int32 = 0x0406
    static let notPossible: Int32 = 0x0404
  }

  /// `ipp://localhost/printers/NAME` with the name percent-encoded. CUPS looks at the path alone.
  static func printerURI(_ queue: String) -> String { "ipp://localhost" + printerPath(queue) }

  /// The resource a queue's requests are posted to.
  static func printerPath(_ queue: String) -> String {
    var path = "/printers/"
    for byte in queue.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
        path.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        path += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
      }
    }
    return path
  }

  // MARK: Writing

  /// The bytes of a request; nil when libcups refuses the attributes or has no memory.
  /// - Parameters:
  ///   - attributes: operation attributes, in this order, after charset, language and those given by name below.
  ///   - user: `requesting-user-name`.
  ///   - jobOptions: job template attributes as `lp -o` takes them; libcups knows their types.
  static func request(
    _ operation: Operation, printer: String, user: String, attributes: [Attribute],
    jobOptions: [(name: String, value: String)] = []
  ) -> [UInt8]? {
    guard let message = unsafe ippNewRequest(operation.code) else { return nil }
    defer { unsafe ippDelete(message) }
    let all =
      [.uri("printer-uri", printerURI(printer)), .name("requesting-user-name", user)] + attributes
    for attribute in all {
      guard unsafe add(attribute, to: message) else { return nil }
    }
    if !jobOptions.isEmpty { unsafe encode(jobOptions, into: message) }

    var bytes: [UInt8] = []
    let state = unsafe withUnsafeMutablePointer(to: &bytes) { destination in
      unsafe ippWriteIO(destination, { unsafe ippTake($0, $1, $2) }, 1, nil, message)
    }
    return state == IPP_STATE_DATA ? bytes : nil
  }

  private static func add(_ attribute: Attribute, to message: OpaquePointer) -> Bool {
    switch attribute {
    case .name(let name, let value):
      unsafe ippAddString(message, IPP_TAG_OPERATION, IPP_TAG_NAME, name, nil, value) != nil
    case .uri(let name, let value):
      unsafe ippAddString(message, IPP_TAG_OPERATION, IPP_TAG_URI, name, nil, value) != nil
    case .mediaType(let name, let value):
      unsafe ippAddString(message, IPP_TAG_OPERATION, IPP_TAG_MIMETYPE, name, nil, value) != nil
    case .integer(let name, let value):
      unsafe ippAddInteger(message, IPP_TAG_OPERATION, IPP_TAG_INTEGER, name, value) != nil
    case .boolean(let name, let value):
      unsafe ippAddBoolean(message, IPP_TAG_OPERATION, name, value ? 1 : 0) != nil
    case .keywords(let name, let values):
      unsafe addKeywords(name, values, to: message)
    }
  }

  private static func addKeywords(_ name: String, _ values: [String], to message: OpaquePointer) -> Bool {
    guard
      let attribute = unsafe ippAddStrings(
        message, IPP_TAG_OPERATION, IPP_TAG_KEYWORD, name, Int32(values.count), nil, nil)
    else { return false }
    var current: OpaquePointer? = unsafe attribute
    for (index, value) in values.enumerated() {
      guard unsafe ippSetString(message, &current, Int32(index), value) != 0 else { return false }
    }
    return true
  }

  private static func encode(_ options: [(name: String, value: String)], into message: OpaquePointer) {
    var list: UnsafeMutablePointer<cups_option_t>?
    var count: Int32 = 0
    for option in options { count = unsafe cupsAddOption(option.name, option.value, count, &list) }
    unsafe cupsEncodeOptions2(message, count, list, IPP_TAG_JOB)
    unsafe cupsFreeOptions(count, list)
  }

  // MARK: Reading

  /// Reads an answer; nil when the bytes are none.
  static func response(_ bytes: [UInt8]) -> Response? {
    guard let message = unsafe ippNew() else { return nil }
    defer { unsafe ippDelete(message) }
    let state = unsafe bytes.withUnsafeBytes { buffer -> ipp_state_t in
      var source = unsafe IPPSource(bytes: buffer, offset: 0)
      return unsafe withUnsafeMutablePointer(to: &source) { source in
        unsafe ippReadIO(source, { unsafe ippGive($0, $1, $2) }, 1, nil, message)
      }
    }
    guard state == IPP_STATE_DATA else { return nil }

    var response = Response(status: 0, statusName: "", message: "", groups: [])
    let status = unsafe ippGetStatusCode(message)
    response.status = Int32(status.rawValue)
    response.statusName = unsafe ippErrorString(status).map { unsafe String(cString: $0) } ?? ""
    var open: [String: [Value]]?
    func close() {
      if let group = open { response.groups.append(group) }
      open = nil
    }
    var next = unsafe ippFirstAttribute(message)
    while let attribute = unsafe next {
      defer { unsafe next = ippNextAttribute(message) }
      // Groups are kept apart by an attribute without a name.
      guard let name = unsafe ippGetName(attribute).map({ unsafe String(cString: $0) }) else {
        close()
        continue
      }
      if unsafe ippGetGroupTag(attribute) == IPP_TAG_OPERATION {
        if name == "status-message", case .text(let text)? = unsafe values(of: attribute).first {
          response.message = text
        }
        continue
      }
      var group = open ?? [:]
      group[name] = unsafe values(of: attribute)
      open = group
    }
    close()
    return response
  }

  private static func values(of attribute: OpaquePointer) -> [Value] {
    let tag = unsafe ippGetValueTag(attribute)
    return (0..<max(unsafe ippGetCount(attribute), 0)).compactMap { index in
      switch tag {
      case IPP_TAG_INTEGER, IPP_TAG_ENUM: return .integer(unsafe ippGetInteger(attribute, index))
      case IPP_TAG_BOOLEAN: return .boolean(unsafe ippGetBoolean(attribute, index) != 0)
      case IPP_TAG_NOVALUE, IPP_TAG_UNKNOWN: return .absent
      default:
        // nil for collections, dates and ranges, of which none is asked for.
        return unsafe ippGetString(attribute, index, nil).map { unsafe .text(String(cString: $0)) }
      }
    }
  }
}

extension IPP.Response {
  /// An attribute's values in the first group that has it.
  subscript(name: String) -> [IPP.Value]? { groups.lazy.compactMap { $0[name] }.first }
}

extension Dictionary where Key == String, Value == [IPP.Value] {
  func integer(_ name: String) -> Int32? {
    if case .integer(let value)? = self[name]?.first { value } else { nil }
  }
  func boolean(_ name: String) -> Bool? {
    if case .boolean(let value)? = self[name]?.first { value } else { nil }
  }
  func text(_ name: String) -> String? {
    if case .text(let value)? = self[name]?.first { value } else { nil }
  }
  /// All keywords of a list without `none`, which stands for an empty list (RFC 8011 5.4.12).
  func keywords(_ name: String) -> [String] {
    (self[name] ?? []).compactMap { if case .text(let word) = $0, word != "none" { word } else { nil } }
  }
}

@unsafe private struct IPPSource {
  let bytes: UnsafeRawBufferPointer
  var offset: Int
}

private func ippTake(
  _ context: UnsafeMutableRawPointer?, _ buffer: UnsafeMutablePointer<UInt8>?, _ count: Int
) -> Int {
  guard let context = unsafe context, let buffer = unsafe buffer else { return -1 }
  unsafe context.assumingMemoryBound(to: [UInt8].self).pointee
    .append(contentsOf: UnsafeBufferPointer(start: buffer, count: count))
  return count
}

private func ippGive(
  _ context: UnsafeMutableRawPointer?, _ buffer: UnsafeMutablePointer<UInt8>?, _ count: Int
) -> Int {
  guard let context = unsafe context, let buffer = unsafe buffer else { return -1 }
  let source = unsafe context.assumingMemoryBound(to: IPPSource.self)
  let available = min(count, unsafe source.pointee.bytes.count - source.pointee.offset)
  // libcups takes 0 for "nothing yet" and would ask again.
  guard available > 0 else { return -1 }
  let start = unsafe source.pointee.offset
  unsafe UnsafeMutableRawBufferPointer(start: buffer, count: available)
    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source.pointee.bytes[start..<start + available]))
  unsafe source.pointee.offset = start + available
  return available
}
