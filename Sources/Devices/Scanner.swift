public import Codecs

/// Where pages come from.
public enum ScanSource: String, Sendable, CaseIterable { case feeder, platen }

/// Colour of a scan.
public enum ScanColour: String, Sendable, CaseIterable { case colour, grey, blackAndWhite }

/// What is to be scanned.
public struct ScanRequest: Sendable, Equatable {
  /// Feeder or platen.
  public var source: ScanSource
  /// Both sides of each sheet.
  public var duplex: Bool
  /// Dots per inch, 75…1200.
  public var resolution: Int
  /// Colour.
  public var colour: ScanColour
  /// Pages at the most; nil for all that are in the feeder.
  public var maximumPages: Int?

  /// A request; 300 dpi colour from the feeder unless said otherwise.
  public init(
    source: ScanSource = .feeder, duplex: Bool = false, resolution: Int = 300, colour: ScanColour = .colour,
    maximumPages: Int? = nil
  ) {
    self.source = source
    self.duplex = duplex
    self.resolution = resolution
    self.colour = colour
    self.maximumPages = maximumPages
  }
}

/// Side of a sheet.
public enum SheetSide: String, Sendable { case front, back }

/// A page as the scanner delivered it, whole and checked.
public struct ScannedPage: Sendable {
  /// The image file's bytes, unchanged.
  public var image: Sensitive<[UInt8]>
  /// What the image's own headers say.
  public var format: PageFormat
  /// Sheet within this scan, from 1.
  public var sheet: Int
  /// Side of the sheet.
  public var side: SheetSide

  /// A page.
  public init(image: Sensitive<[UInt8]>, format: PageFormat, sheet: Int, side: SheetSide) {
    self.image = image
    self.format = format
    self.sheet = sheet
    self.side = side
  }
}

/// A scanner or document camera.
public protocol Scanner: AttachedDevice {
  /// Scans and hands over each page when it is whole; the next page is asked for when `page` has returned. When `page`
  /// returns false (it could not be stored) the scan is stopped. Throws when it ended badly; pages handed over before
  /// stay valid.
  func scan(
    _ request: ScanRequest, page: @escaping @Sendable (ScannedPage) async -> Bool
  ) async throws(Fault)
}
