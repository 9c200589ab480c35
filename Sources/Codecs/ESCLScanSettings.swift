/// An area of the page, in 1/300 inch.
public struct ESCLRegion: Sendable, Hashable {
  /// From the left edge.
  public var x: Int
  /// From the top edge.
  public var y: Int
  /// Width.
  public var width: Int
  /// Height.
  public var height: Int

  /// An area, in 1/300 inch.
  public init(x: Int, y: Int, width: Int, height: Int) {
    self.x = x
    self.y = y
    self.width = width
    self.height = height
  }

  /// A4 portrait, 210 mm by 297 mm.
  public static let a4 = ESCLRegion(x: 0, y: 0, width: 2480, height: 3508)
}

/// The body of `POST /eSCL/ScanJobs` (Mopria eSCL 7; facts/devices.md D3).
public struct ESCLScanSettings: Sendable, Equatable {
  /// Protocol version the client speaks.
  public var version: ESCLVersion
  /// What the scan is for.
  public var intent: ESCLIntent?
  /// The areas to scan; none for everything the source can take.
  public var regions: [ESCLRegion]
  /// Where the pages lie; nil leaves it to the scanner.
  public var inputSource: ESCLInputSource?
  /// What a pixel is made of; nil leaves it to the scanner.
  public var colorMode: ESCLColorMode?
  /// Media type of the pages, as `image/jpeg`; nil leaves it to the scanner.
  public var documentFormat: String?
  /// Whether `DocumentFormatExt` is given too, as scanners of version 2.1 and later want it.
  public var hasDocumentFormatExt: Bool
  /// Dots per inch; nil leaves it to the scanner.
  public var resolution: ESCLResolution?
  /// Both sides of each sheet; only for the feeder.
  public var duplex: Bool?
  /// JPEG compression; smaller is better quality.
  public var compressionFactor: Int?
  /// Brightness.
  public var brightness: Int?
  /// Contrast.
  public var contrast: Int?
  /// Threshold between black and white.
  public var threshold: Int?

  /// Settings that leave everything to the scanner.
  public init(version: ESCLVersion = ESCLVersion(2, 0)) {
    self.version = version
    self.regions = []
    self.hasDocumentFormatExt = false
  }

  /// Reads a client's request.
  public init(parsing bytes: [UInt8]) throws(ESCLError) {
    let root = try XMLElement.esclRoot(bytes, "ScanSettings")
    guard let version = root.words(.pwg("Version")) else { throw .missingElement("Version") }
    guard let number = ESCLVersion(text: version) else {
      throw .wrongValue(element: "Version", value: String(version.prefix(80)))
    }
    self.init(version: number)
    intent = try Self.word(root, .scan("Intent"))
    for element in root.child(.pwg("ScanRegions"))?.children(.pwg("ScanRegion")) ?? [] {
      regions.append(try Self.region(element))
    }
    let source: XMLName = root.child(.pwg("InputSource")) == nil ? .scan("InputSource") : .pwg("InputSource")
    inputSource = try Self.word(root, source)
    colorMode = try Self.word(root, .scan("ColorMode"))
    let extended = root.words(.scan("DocumentFormatExt"))
    hasDocumentFormatExt = extended != nil
    documentFormat = extended ?? root.words(.pwg("DocumentFormat"))
    let x = try root.number(.scan("XResolution"))
    let y = try root.number(.scan("YResolution"))
    if let both = x ?? y {
      resolution = ESCLResolution(x: x ?? both, y: y ?? both)
      guard both > 0, y ?? both > 0 else { throw .wrongValue(element: "XResolution", value: "0") }
    }
    duplex = try root.flag(.scan("Duplex"))
    compressionFactor = try Self.number(root, .scan("CompressionFactor"))
    brightness = try Self.number(root, .scan("Brightness"))
    contrast = try Self.number(root, .scan("Contrast"))
    threshold = try Self.number(root, .scan("Threshold"))
  }

  private static func word<Word: RawRepresentable<String>>(
    _ root: XMLElement, _ name: XMLName
  ) throws(ESCLError) -> Word? {
    guard let text = root.words(name) else { return nil }
    guard let word = Word(rawValue: text) else {
      throw .wrongValue(element: name.local, value: String(text.prefix(80)))
    }
    return word
  }

  private static func number(_ root: XMLElement, _ name: XMLName) throws(ESCLError) -> Int? {
    try root.child(name)?.number(in: -1_000_000...1_000_000)
  }

  private static func region(_ element: XMLElement) throws(ESCLError) -> ESCLRegion {
    let units = element.words(.pwg("ContentRegionUnits")) ?? "escl:ThreeHundredthsOfInches"
    guard units.hasSuffix("ThreeHundredthsOfInches") else {
      throw .wrongValue(element: "ContentRegionUnits", value: String(units.prefix(80)))
    }
    guard let width = try element.number(.pwg("Width")) else { throw .missingElement("Width") }
    guard let height = try element.number(.pwg("Height")) else { throw .missingElement("Height") }
    guard width > 0 else { throw .wrongValue(element: "Width", value: "0") }
    guard height > 0 else { throw .wrongValue(element: "Height", value: "0") }
    return ESCLRegion(
      x: try element.number(.pwg("XOffset")) ?? 0, y: try element.number(.pwg("YOffset")) ?? 0,
      width: width, height: height)
  }

  /// The document a client posts.
  public var document: [UInt8] {
    var children: [XMLElement] = [.pwg("Version", version.description)]
    if let intent { children.append(.scan("Intent", intent.rawValue)) }
    if !regions.isEmpty {
      children.append(
        .pwg(
          "ScanRegions",
          regions.map { region in
            .pwg(
              "ScanRegion",
              [
                .pwg("ContentRegionUnits", "escl:ThreeHundredthsOfInches"),
                .pwg("XOffset", region.x), .pwg("YOffset", region.y),
                .pwg("Width", region.width), .pwg("Height", region.height),
              ])
          }))
    }
    if let inputSource { children.append(.pwg("InputSource", inputSource.rawValue)) }
    if let colorMode { children.append(.scan("ColorMode", colorMode.rawValue)) }
    if let documentFormat {
      children.append(.pwg("DocumentFormat", documentFormat))
      if hasDocumentFormatExt { children.append(.scan("DocumentFormatExt", documentFormat)) }
    }
    if let resolution {
      children.append(.scan("XResolution", resolution.x))
      children.append(.scan("YResolution", resolution.y))
    }
    if let duplex { children.append(.scan("Duplex", duplex)) }
    if let compressionFactor { children.append(.scan("CompressionFactor", compressionFactor)) }
    if let brightness { children.append(.scan("Brightness", brightness)) }
    if let contrast { children.append(.scan("Contrast", contrast)) }
    if let threshold { children.append(.scan("Threshold", threshold)) }
    return XMLElement.scan("ScanSettings", children).esclDocument
  }
}

/// The answer to `GET {job}/ScanImageInfo`, which some scanners have (Mopria eSCL 9.2): the true size of the page
/// fetched last.
public struct ESCLImageInfo: Sendable, Equatable {
  /// The job's URI.
  public var jobURI: String
  /// The job's identity.
  public var jobUUID: String?
  /// Width in pixels.
  public var width: Int
  /// Height in pixels.
  public var height: Int
  /// Bytes of an uncompressed line.
  public var bytesPerLine: Int
  /// Whether the page is empty; nil if the scanner does not look.
  public var isBlank: Bool?

  /// A page's true size.
  public init(
    jobURI: String, jobUUID: String? = nil, width: Int, height: Int, bytesPerLine: Int, isBlank: Bool? = nil
  ) {
    self.jobURI = jobURI
    self.jobUUID = jobUUID
    self.width = width
    self.height = height
    self.bytesPerLine = bytesPerLine
    self.isBlank = isBlank
  }

  /// Reads a scanner's answer.
  public init(parsing bytes: [UInt8]) throws(ESCLError) {
    let root = try XMLElement.esclRoot(bytes, "ScanImageInfo")
    guard let uri = root.words(.pwg("JobUri")) else { throw .missingElement("JobUri") }
    guard let width = try root.number(.scan("ActualWidth")) else { throw .missingElement("ActualWidth") }
    guard let height = try root.number(.scan("ActualHeight")) else { throw .missingElement("ActualHeight") }
    guard let line = try root.number(.scan("ActualBytesPerLine")) else {
      throw .missingElement("ActualBytesPerLine")
    }
    self.init(
      jobURI: uri, jobUUID: root.words(.pwg("JobUuid")), width: width, height: height, bytesPerLine: line,
      isBlank: try root.flag(.scan("BlankPageDetected")))
  }

  /// The document a scanner serves.
  public var document: [UInt8] {
    var children: [XMLElement] = [.pwg("JobUri", jobURI)]
    if let jobUUID { children.append(.pwg("JobUuid", jobUUID)) }
    children.append(.scan("ActualWidth", width))
    children.append(.scan("ActualHeight", height))
    children.append(.scan("ActualBytesPerLine", bytesPerLine))
    if let isBlank { children.append(.scan("BlankPageDetected", isBlank)) }
    return XMLElement.scan("ScanImageInfo", children).esclDocument
  }
}
