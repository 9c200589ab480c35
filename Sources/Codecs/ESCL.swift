/// The eSCL scan protocol (Mopria eSCL Technical Specification; facts/devices.md D3): names shared by its documents.
///
/// A client reads `ScannerCapabilities` and `ScannerStatus`, posts `ScanSettings` to `ScanJobs`, takes the job's path from
/// the `Location` of the 201 answer, and gets `NextDocument` under it until 404.
public enum ESCL {
  /// Namespace written with the prefix `scan`.
  public static let scanNamespace = "http://schemas.hp.com/imaging/escl/2011/05/03"
  /// Namespace of the PWG Semantic Model, written with the prefix `pwg`.
  public static let pwgNamespace = "http://www.pwg.org/schemas/2010/12/sm"
  /// Lengths on the glass are in 1/300 inch, whatever the resolution of the scan.
  public static let unitsPerInch = 300

  static let prefixes = [
    (prefix: "scan", namespace: scanNamespace), (prefix: "pwg", namespace: pwgNamespace),
  ]
}

/// Why an eSCL document or header was refused.
public enum ESCLError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Not a well-formed document.
  case xml(XMLError)
  /// Another document than expected; the name of its root.
  case wrongRoot(String)
  /// A necessary element is absent.
  case missingElement(String)
  /// An element whose content is not what it must be.
  case wrongValue(element: String, value: String)
  /// The capabilities name neither platen nor feeder.
  case noInputSource
  /// A `Location` from which no path can be taken.
  case invalidLocation(String)

  /// One sentence in English.
  public var description: String {
    switch self {
    case .xml(let error): "eSCL: \(error)"
    case .wrongRoot(let name): "eSCL: unexpected document \(name)"
    case .missingElement(let name): "eSCL: element \(name) is missing"
    case .wrongValue(let element, let value): "eSCL: \(element) has the unusable value '\(value)'"
    case .noInputSource: "eSCL: the scanner names neither platen nor feeder"
    case .invalidLocation(let location): "eSCL: unusable job location '\(location)'"
    }
  }
}

/// Protocol version, as `2.63`. Versions are compared number by number, so 2.63 is later than 2.9.
public struct ESCLVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Before the point.
  public let major: Int
  /// After the point.
  public let minor: Int

  /// A version.
  public init(_ major: Int, _ minor: Int) {
    self.major = major
    self.minor = minor
  }

  init?(text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
    guard (1...2).contains(parts.count), let major = parts[0], (0...999).contains(major) else { return nil }
    var minor = 0
    if parts.count == 2 {
      guard let number = parts[1], (0...9999).contains(number) else { return nil }
      minor = number
    }
    self.init(major, minor)
  }

  /// `2.63`.
  public var description: String { "\(major).\(minor)" }

  /// Earlier first.
  public static func < (first: ESCLVersion, second: ESCLVersion) -> Bool {
    (first.major, first.minor) < (second.major, second.minor)
  }
}

/// What a pixel is made of.
public enum ESCLColorMode: String, Sendable, CaseIterable {
  /// One bit, black or white.
  case blackAndWhite1 = "BlackAndWhite1"
  /// Eight bits of grey.
  case grayscale8 = "Grayscale8"
  /// Sixteen bits of grey.
  case grayscale16 = "Grayscale16"
  /// Three times eight bits.
  case rgb24 = "RGB24"
  /// Three times sixteen bits.
  case rgb48 = "RGB48"
}

/// Where the pages lie.
public enum ESCLInputSource: String, Sendable, CaseIterable {
  /// The glass.
  case platen = "Platen"
  /// The automatic document feeder.
  case feeder = "Feeder"
  /// A document camera.
  case camera = "Camera"
}

/// What the scan is for; the scanner tunes the picture for it.
public enum ESCLIntent: String, Sendable, CaseIterable {
  /// Text.
  case document = "Document"
  /// Text with pictures.
  case textAndGraphic = "TextAndGraphic"
  /// A photograph.
  case photo = "Photo"
  /// A fast first look.
  case preview = "Preview"
  /// A three-dimensional object.
  case object = "Object"
  /// A business card.
  case businessCard = "BusinessCard"
}

/// Dots per inch in both directions.
public struct ESCLResolution: Sendable, Hashable {
  /// Across the page.
  public let x: Int
  /// Down the page.
  public let y: Int

  /// Two resolutions, in dots per inch.
  public init(x: Int, y: Int) {
    self.x = x
    self.y = y
  }

  /// The same in both directions.
  public init(_ both: Int) { self.init(x: both, y: both) }
}

/// A setting with a scale of its own, as brightness or the compression factor.
public struct ESCLRange: Sendable, Hashable {
  /// Smallest value.
  public let min: Int
  /// Largest value.
  public let max: Int
  /// The value when nothing is asked for.
  public let normal: Int?
  /// Distance between values.
  public let step: Int?

  /// A range; `min` is not larger than `max`.
  public init(min: Int, max: Int, normal: Int? = nil, step: Int? = nil) {
    self.min = min
    self.max = max
    self.normal = normal
    self.step = step
  }
}

// MARK: - Building and taking apart

extension XMLName {
  static func scan(_ local: String) -> XMLName { XMLName(local, in: ESCL.scanNamespace) }
  static func pwg(_ local: String) -> XMLName { XMLName(local, in: ESCL.pwgNamespace) }
}

extension XMLElement {
  static func scan(_ local: String, _ text: String) -> XMLElement { XMLElement(.scan(local), text: text) }
  static func scan(_ local: String, _ number: Int) -> XMLElement { .scan(local, String(number)) }
  static func scan(_ local: String, _ flag: Bool) -> XMLElement { .scan(local, flag ? "true" : "false") }
  static func scan(_ local: String, _ children: [XMLElement]) -> XMLElement {
    XMLElement(.scan(local), children: children)
  }
  static func pwg(_ local: String, _ text: String) -> XMLElement { XMLElement(.pwg(local), text: text) }
  static func pwg(_ local: String, _ number: Int) -> XMLElement { .pwg(local, String(number)) }
  static func pwg(_ local: String, _ children: [XMLElement]) -> XMLElement {
    XMLElement(.pwg(local), children: children)
  }

  static func esclRoot(_ bytes: [UInt8], _ local: String) throws(ESCLError) -> XMLElement {
    let root: XMLElement
    do throws(XMLError) {
      root = try XMLReader.read(bytes)
    } catch {
      throw .xml(error)
    }
    guard root.name == .scan(local) else { throw .wrongRoot(root.name.description) }
    return root
  }

  var esclDocument: [UInt8] { document(prefixes: ESCL.prefixes) }

  /// Text of a child; nil if it is absent or empty.
  func words(_ name: XMLName) -> String? {
    guard let text = child(name)?.trimmedText, !text.isEmpty else { return nil }
    return text
  }

  func number(_ name: XMLName) throws(ESCLError) -> Int? {
    guard let child = child(name) else { return nil }
    return try child.number(in: 0...10_000_000)
  }

  func number(in range: ClosedRange<Int>) throws(ESCLError) -> Int {
    let text = trimmedText
    guard let number = Int(text), range.contains(number) else {
      throw .wrongValue(element: name.local, value: String(text.prefix(80)))
    }
    return number
  }

  func flag(_ name: XMLName) throws(ESCLError) -> Bool? {
    guard let child = child(name) else { return nil }
    switch child.trimmedText {
    case "true", "1": return true
    case "false", "0": return false
    case let text: throw .wrongValue(element: name.local, value: String(text.prefix(80)))
    }
  }

  /// A range by the first of these names. One that cannot be used is as good as absent: all of them are adjustments
  /// nobody must make, and scanners write them carelessly (one leaves the namespace off).
  func range(_ names: String...) -> ESCLRange? {
    for name in names {
      guard let element = child(.scan(name)) else { continue }
      func part(_ local: String) -> Int? {
        let part = element.children.first { $0.name.local == local }
        return part.flatMap { try? $0.number(in: -1_000_000...1_000_000) }
      }
      guard let min = part("Min"), let max = part("Max"), min <= max else { continue }
      return ESCLRange(min: min, max: max, normal: part("Normal"), step: part("Step"))
    }
    return nil
  }

  static func scan(_ local: String, _ range: ESCLRange) -> XMLElement {
    var children: [XMLElement] = [.scan("Min", range.min), .scan("Max", range.max)]
    if let normal = range.normal { children.append(.scan("Normal", normal)) }
    if let step = range.step { children.append(.scan("Step", step)) }
    return .scan(local, children)
  }

  func resolution() throws(ESCLError) -> ESCLResolution? {
    guard let x = try number(.scan("XResolution")), let y = try number(.scan("YResolution")) else {
      return nil
    }
    return x > 0 && y > 0 ? ESCLResolution(x: x, y: y) : nil
  }
}
