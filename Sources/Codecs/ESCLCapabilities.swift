/// The resolutions of a profile, for all its colour modes or for one.
public struct ESCLResolutions: Sendable, Equatable {
  /// The one colour mode they hold for; nil for all of the profile's.
  public var colorMode: ESCLColorMode?
  /// Resolutions named one by one.
  public var discrete: [ESCLResolution]
  /// Resolutions across the page given as a range. Not every client understands ranges; a scanner does well to name its
  /// resolutions one by one.
  public var xRange: ESCLRange?
  /// Resolutions down the page given as a range.
  public var yRange: ESCLRange?

  /// Resolutions.
  public init(
    colorMode: ESCLColorMode? = nil, discrete: [ESCLResolution] = [], xRange: ESCLRange? = nil,
    yRange: ESCLRange? = nil
  ) {
    self.colorMode = colorMode
    self.discrete = discrete
    self.xRange = xRange
    self.yRange = yRange
  }

  /// Whether a scan at this resolution can be asked for. Discrete resolutions count before ranges where a scanner
  /// gives both (facts/devices.md D3).
  public func contains(_ resolution: ESCLResolution) -> Bool {
    if !discrete.isEmpty { return discrete.contains(resolution) }
    guard let x = xRange, let y = yRange ?? xRange else { return false }
    return Self.contains(x, resolution.x) && Self.contains(y, resolution.y)
  }

  private static func contains(_ range: ESCLRange, _ value: Int) -> Bool {
    guard value >= range.min, value <= range.max else { return false }
    guard let step = range.step, step > 0 else { return true }
    return (value - range.min).isMultiple(of: step)
  }
}

/// Settings that can be combined with each other.
public struct ESCLProfile: Sendable, Equatable {
  /// Colour modes this codec knows; others that a scanner may offer are left out.
  public var colorModes: [ESCLColorMode]
  /// Media types, as `image/jpeg`, of the answer to `NextDocument`.
  public var documentFormats: [String]
  /// Media types that may be asked for with `DocumentFormatExt` (2.1 and later); empty if the scanner does not know it.
  public var documentFormatsExt: [String]
  /// Resolutions.
  public var resolutions: [ESCLResolutions]

  /// A profile.
  public init(
    colorModes: [ESCLColorMode], documentFormats: [String], documentFormatsExt: [String] = [],
    resolutions: [ESCLResolutions]
  ) {
    self.colorModes = colorModes
    self.documentFormats = documentFormats
    self.documentFormatsExt = documentFormatsExt
    self.resolutions = resolutions
  }

  /// Whether a scan with this combination can be asked for.
  public func supports(_ mode: ESCLColorMode, _ resolution: ESCLResolution, format: String) -> Bool {
    colorModes.contains(mode) && (documentFormats.contains(format) || documentFormatsExt.contains(format))
      && resolutions.contains { ($0.colorMode ?? mode) == mode && $0.contains(resolution) }
  }
}

/// What the glass or the feeder can take; lengths in 1/300 inch.
public struct ESCLSource: Sendable, Equatable {
  /// Narrowest area.
  public var minWidth: Int
  /// Widest area.
  public var maxWidth: Int
  /// Shortest area.
  public var minHeight: Int
  /// Longest area.
  public var maxHeight: Int
  /// Areas of one scan; nil if not said.
  public var maxScanRegions: Int?
  /// Combinations of settings.
  public var profiles: [ESCLProfile]
  /// Purposes the scanner knows.
  public var intents: [ESCLIntent]
  /// Resolution of the optics; nil if not said.
  public var maxOpticalResolution: ESCLResolution?

  /// A source; lengths in 1/300 inch.
  public init(
    minWidth: Int, maxWidth: Int, minHeight: Int, maxHeight: Int, maxScanRegions: Int? = 1,
    profiles: [ESCLProfile], intents: [ESCLIntent] = [], maxOpticalResolution: ESCLResolution? = nil
  ) {
    self.minWidth = minWidth
    self.maxWidth = maxWidth
    self.minHeight = minHeight
    self.maxHeight = maxHeight
    self.maxScanRegions = maxScanRegions
    self.profiles = profiles
    self.intents = intents
    self.maxOpticalResolution = maxOpticalResolution
  }

  /// Whether a scan with this combination can be asked for.
  public func supports(_ mode: ESCLColorMode, _ resolution: ESCLResolution, format: String) -> Bool {
    profiles.contains { $0.supports(mode, resolution, format: format) }
  }
}

/// The answer to `GET /eSCL/ScannerCapabilities` (Mopria eSCL 8.1.4; facts/devices.md D3).
public struct ESCLCapabilities: Sendable, Equatable {
  /// Protocol version the scanner speaks; 2.0 if it does not say.
  public var version: ESCLVersion
  /// Maker and model in one text.
  public var makeAndModel: String?
  /// Maker alone (newer scanners).
  public var manufacturer: String?
  /// Serial number.
  public var serialNumber: String?
  /// Identity; a UUID on most scanners, any text on some.
  public var uuid: String?
  /// Page for administrators.
  public var adminURI: String?
  /// The glass.
  public var platen: ESCLSource?
  /// The feeder, one side.
  public var feederSimplex: ESCLSource?
  /// The feeder, both sides.
  public var feederDuplex: ESCLSource?
  /// Sheets the feeder holds.
  public var feederCapacity: Int?
  /// Abilities of the feeder: `DetectPaperLoaded`, `SelectSinglePage`, `Duplex`.
  public var feederOptions: [String]
  /// JPEG compression; smaller is better quality.
  public var compressionFactor: ESCLRange?
  /// Brightness.
  public var brightness: ESCLRange?
  /// Contrast.
  public var contrast: ESCLRange?
  /// Threshold between black and white.
  public var threshold: ESCLRange?
  /// Whether empty pages are recognised and left out by the scanner itself.
  public var removesBlankPages: Bool?

  /// Capabilities; at least one source is needed for a document that others accept.
  public init(version: ESCLVersion, makeAndModel: String?) {
    self.version = version
    self.makeAndModel = makeAndModel
    self.feederOptions = []
  }

  /// The source that a scan from there, one or both sides, would use.
  public func source(_ input: ESCLInputSource, duplex: Bool) -> ESCLSource? {
    switch input {
    case .platen: platen
    case .feeder: duplex ? feederDuplex : feederSimplex ?? feederDuplex
    case .camera: nil
    }
  }

  /// Reads a scanner's answer. Unknown elements, and colour modes unknown here, are passed over.
  public init(parsing bytes: [UInt8]) throws(ESCLError) {
    let root = try XMLElement.esclRoot(bytes, "ScannerCapabilities")
    let version = root.words(.pwg("Version")) ?? "2.0"
    guard let number = ESCLVersion(text: version) else {
      throw .wrongValue(element: "Version", value: String(version.prefix(80)))
    }
    self.init(version: number, makeAndModel: root.words(.pwg("MakeAndModel")))
    manufacturer = root.words(.scan("Manufacturer"))
    serialNumber = root.words(.pwg("SerialNumber"))
    uuid = root.words(.scan("UUID"))
    adminURI = root.words(.scan("AdminURI"))
    let common = root.child(.scan("SettingProfiles"))?.children(.scan("SettingProfile")) ?? []
    if let caps = root.child(.scan("Platen"))?.child(.scan("PlatenInputCaps")) {
      platen = try Self.source(caps, common)
    }
    if let feeder = root.child(.scan("Adf")) {
      if let caps = feeder.child(.scan("AdfSimplexInputCaps")) {
        feederSimplex = try Self.source(caps, common)
      }
      if let caps = feeder.child(.scan("AdfDuplexInputCaps")) { feederDuplex = try Self.source(caps, common) }
      feederCapacity = try feeder.number(.scan("FeederCapacity"))
      feederOptions = feeder.child(.scan("AdfOptions"))?.children(.scan("AdfOption")).map(\.trimmedText) ?? []
    }
    guard platen != nil || feederSimplex != nil || feederDuplex != nil else { throw .noInputSource }
    compressionFactor = root.range("CompressionFactorSupport")
    brightness = root.range("BrightnessSupport")
    contrast = root.range("ContrastSupport")
    threshold = root.range("ThresholdSupport")
    removesBlankPages = try root.flag(.scan("BlankPageDetectionAndRemoval"))
  }

  private static func source(_ caps: XMLElement, _ common: [XMLElement]) throws(ESCLError) -> ESCLSource {
    guard let maxWidth = try caps.number(.scan("MaxWidth")) else { throw .missingElement("MaxWidth") }
    guard let maxHeight = try caps.number(.scan("MaxHeight")) else { throw .missingElement("MaxHeight") }
    let minWidth = try caps.number(.scan("MinWidth")) ?? 1
    let minHeight = try caps.number(.scan("MinHeight")) ?? 1
    guard minWidth <= maxWidth else { throw .wrongValue(element: "MaxWidth", value: String(maxWidth)) }
    guard minHeight <= maxHeight else { throw .wrongValue(element: "MaxHeight", value: String(maxHeight)) }
    var source = ESCLSource(
      minWidth: minWidth, maxWidth: maxWidth, minHeight: minHeight, maxHeight: maxHeight,
      maxScanRegions: try caps.number(.scan("MaxScanRegions")), profiles: [])
    for element in caps.child(.scan("SettingProfiles"))?.children(.scan("SettingProfile")) ?? [] {
      var element = element
      // A profile may stand once at the top and be referred to by name.
      if let name = element.attribute("ref"),
        let meant = common.first(where: { $0.attribute("name") == name })
      {
        element = meant
      }
      source.profiles.append(try profile(element))
    }
    for intent in caps.child(.scan("SupportedIntents"))?.children ?? [] {
      // Both spellings are in use.
      guard intent.name == .scan("Intent") || intent.name == .scan("SupportedIntent") else { continue }
      if let known = ESCLIntent(rawValue: intent.trimmedText) { source.intents.append(known) }
    }
    if let x = try caps.number(.scan("MaxOpticalXResolution")),
      let y = try caps.number(.scan("MaxOpticalYResolution"))
    {
      source.maxOpticalResolution = ESCLResolution(x: x, y: y)
    }
    return source
  }

  private static func profile(_ element: XMLElement) throws(ESCLError) -> ESCLProfile {
    let modes = element.child(.scan("ColorModes"))?.children(.scan("ColorMode")) ?? []
    let formats = element.child(.scan("DocumentFormats"))
    var profile = ESCLProfile(
      colorModes: modes.compactMap { ESCLColorMode(rawValue: $0.trimmedText) },
      documentFormats: formats?.children(.pwg("DocumentFormat")).map(\.trimmedText) ?? [],
      documentFormatsExt: formats?.children(.scan("DocumentFormatExt")).map(\.trimmedText) ?? [],
      resolutions: [])
    for supported in element.children(.scan("SupportedResolutions")) {
      var resolutions = ESCLResolutions()
      if let mode = supported.words(.scan("ColorMode")) {
        // Resolutions of a mode unknown here concern nobody.
        guard let known = ESCLColorMode(rawValue: mode) else { continue }
        resolutions.colorMode = known
      }
      let list = supported.child(.scan("DiscreteResolutions"))?.children(.scan("DiscreteResolution")) ?? []
      for element in list {
        if let resolution = try element.resolution() { resolutions.discrete.append(resolution) }
      }
      if let range = supported.child(.scan("ResolutionRange")) {
        // XResolutionRange is the specification's name, XResolution the one seen as well.
        resolutions.xRange = range.range("XResolutionRange", "XResolution")
        resolutions.yRange = range.range("YResolutionRange", "YResolution")
      }
      profile.resolutions.append(resolutions)
    }
    return profile
  }

  /// The document a scanner serves.
  public var document: [UInt8] {
    var children: [XMLElement] = [.pwg("Version", version.description)]
    if let makeAndModel { children.append(.pwg("MakeAndModel", makeAndModel)) }
    if let serialNumber { children.append(.pwg("SerialNumber", serialNumber)) }
    if let manufacturer { children.append(.scan("Manufacturer", manufacturer)) }
    if let uuid { children.append(.scan("UUID", uuid)) }
    if let adminURI { children.append(.scan("AdminURI", adminURI)) }
    // Readers exist that look at the first child of Platen only, so it has no other.
    if let platen { children.append(.scan("Platen", [Self.element("PlatenInputCaps", platen)])) }
    if feederSimplex != nil || feederDuplex != nil {
      var feeder: [XMLElement] = []
      if let feederSimplex { feeder.append(Self.element("AdfSimplexInputCaps", feederSimplex)) }
      if let feederDuplex { feeder.append(Self.element("AdfDuplexInputCaps", feederDuplex)) }
      if let feederCapacity { feeder.append(.scan("FeederCapacity", feederCapacity)) }
      if !feederOptions.isEmpty {
        feeder.append(.scan("AdfOptions", feederOptions.map { .scan("AdfOption", $0) }))
      }
      children.append(.scan("Adf", feeder))
    }
    if let brightness { children.append(.scan("BrightnessSupport", brightness)) }
    if let compressionFactor { children.append(.scan("CompressionFactorSupport", compressionFactor)) }
    if let contrast { children.append(.scan("ContrastSupport", contrast)) }
    if let threshold { children.append(.scan("ThresholdSupport", threshold)) }
    if let removesBlankPages { children.append(.scan("BlankPageDetectionAndRemoval", removesBlankPages)) }
    return XMLElement.scan("ScannerCapabilities", children).esclDocument
  }

  private static func element(_ name: String, _ source: ESCLSource) -> XMLElement {
    var children: [XMLElement] = [
      .scan("MinWidth", source.minWidth), .scan("MaxWidth", source.maxWidth),
      .scan("MinHeight", source.minHeight), .scan("MaxHeight", source.maxHeight),
    ]
    if let regions = source.maxScanRegions { children.append(.scan("MaxScanRegions", regions)) }
    children.append(.scan("SettingProfiles", source.profiles.map(element)))
    if !source.intents.isEmpty {
      children.append(.scan("SupportedIntents", source.intents.map { .scan("Intent", $0.rawValue) }))
    }
    if let optical = source.maxOpticalResolution {
      children.append(.scan("MaxOpticalXResolution", optical.x))
      children.append(.scan("MaxOpticalYResolution", optical.y))
    }
    return .scan(name, children)
  }

  private static func element(_ profile: ESCLProfile) -> XMLElement {
    var formats: [XMLElement] = profile.documentFormats.map { .pwg("DocumentFormat", $0) }
    formats += profile.documentFormatsExt.map { .scan("DocumentFormatExt", $0) }
    var children: [XMLElement] = [
      .scan("ColorModes", profile.colorModes.map { .scan("ColorMode", $0.rawValue) }),
      .scan("DocumentFormats", formats),
    ]
    for resolutions in profile.resolutions {
      var parts: [XMLElement] = []
      if let mode = resolutions.colorMode { parts.append(.scan("ColorMode", mode.rawValue)) }
      if !resolutions.discrete.isEmpty {
        parts.append(
          .scan(
            "DiscreteResolutions",
            resolutions.discrete.map {
              .scan("DiscreteResolution", [.scan("XResolution", $0.x), .scan("YResolution", $0.y)])
            }))
      }
      if let x = resolutions.xRange {
        let y = resolutions.yRange ?? x
        parts.append(.scan("ResolutionRange", [.scan("XResolutionRange", x), .scan("YResolutionRange", y)]))
      }
      children.append(.scan("SupportedResolutions", parts))
    }
    return .scan("SettingProfile", children)
  }
}
