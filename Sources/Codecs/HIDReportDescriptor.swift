/// Why bytes are not a report descriptor that can be gone by. `offset` is the item's first byte.
public enum HIDDescriptorError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Longer than the kernel reads (4096 bytes), or empty.
  case length(Int)
  /// The last item has fewer bytes than it says.
  case truncated(offset: Int)
  /// A tag that USB HID 1.11 reserves.
  case reserved(offset: Int)
  /// A Pop without a Push, an End Collection without its Collection, or one of them missing at the end.
  case unbalanced(offset: Int)
  /// Pushes nested deeper than 4, as the kernel limits them.
  case tooDeep(offset: Int)
  /// Report number 0, or one above 255.
  case reportNumber(UInt32, offset: Int)
  /// A field outside any collection, or of a report without a number where others have one.
  case misplaced(offset: Int)
  /// A field of more than 256 bits, more than 12 288 of them, or a report of more than 16 384 bytes: the kernel's limits.
  case tooLarge(offset: Int)

  /// One sentence in English.
  public var description: String {
    switch self {
    case .length(let count): "a report descriptor of \(count) bytes"
    case .truncated(let offset): "the report descriptor ends within its item at byte \(offset)"
    case .reserved(let offset): "an item with a reserved tag at byte \(offset)"
    case .unbalanced(let offset): "push and pop, or collections, do not pair at byte \(offset)"
    case .tooDeep(let offset): "pushes nested too deep at byte \(offset)"
    case .reportNumber(let number, let offset): "report number \(number) at byte \(offset)"
    case .misplaced(let offset): "a field out of place at byte \(offset)"
    case .tooLarge(let offset): "a field or report that is too large at byte \(offset)"
    }
  }
}

/// A usage: what a control is for (USB HID Usage Tables). The page is in the upper half.
public struct HIDUsage: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Page and id as one number.
  public let rawValue: UInt32

  /// A usage by page and id.
  public init(page: UInt16, id: UInt16) { rawValue = UInt32(page) << 16 | UInt32(id) }
  init(_ rawValue: UInt32) { self.rawValue = rawValue }

  /// Usage page: 1 generic desktop, 7 keyboard, 8Ch bar code scanner, FF00h and above vendors' own.
  public var page: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 16) }
  /// Id within the page.
  public var id: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
  /// Four digits each: `0001:0006`.
  public var description: String {
    func digits(_ number: UInt16) -> String {
      let text = String(number, radix: 16)
      return String(repeating: "0", count: 4 - text.count) + text
    }
    return "\(digits(page)):\(digits(id))"
  }
  /// By page, then by id.
  public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
}

/// Which way a report goes.
public enum HIDReportKind: String, Sendable, CaseIterable { case input, output, feature }

/// A run of equal fields in a report.
public struct HIDField: Sendable, Equatable {
  /// First bit, counted from the start of the report after its number.
  public let offset: Int
  /// Bits of one field, 0…256.
  public let size: Int
  /// How many there are, 0…12 288.
  public let count: Int
  /// Padding, or a value that never changes.
  public let isConstant: Bool
  /// One control each; otherwise each field names the control that is active (an array).
  public let isVariable: Bool
  /// The least value; below zero the fields are signed.
  public let logicalMinimum: Int32
  /// The greatest value; as wide as its item, unsigned unless the least is below zero.
  public let logicalMaximum: Int64
  /// What the fields are for, in order; a range stands for as many as it spans, the last one for the rest.
  public let usages: [ClosedRange<HIDUsage>]
  /// The usage of the outermost collection it is in; nil where that has none.
  public let application: HIDUsage?
}

/// One report.
public struct HIDReport: Sendable, Equatable {
  /// Its number; 0 where the device does not number them.
  public let number: UInt8
  /// Which way it goes.
  public let kind: HIDReportKind
  /// Its length in bits, without its number.
  public let bits: Int
  /// Its fields in order, padding included.
  public let fields: [HIDField]
  /// Its length in whole bytes, without its number.
  public var bytes: Int { (bits + 7) / 8 }
}

/// What a HID interface says of its reports (USB HID 1.11, 6.2.2), read from the bytes it gives.
///
/// Nothing in it is trusted: limits are those of Linux's own parser (drivers/hid/hid-core.c), so that whatever the kernel
/// accepts is read here and no descriptor can take much time or memory.
public struct HIDReportDescriptor: Sendable, Equatable {
  /// Longest descriptor, in bytes (`HID_MAX_DESCRIPTOR_SIZE`).
  public static let maximumLength = 4096

  /// Every report that has a field, by kind and number.
  public let reports: [HIDReport]
  /// The usages of the outermost collections, in order: `0001:0006` for a keyboard.
  public let applications: [HIDUsage]
  /// Whether reports begin with their number.
  public let isNumbered: Bool

  /// Reads a descriptor.
  public init(_ bytes: [UInt8]) throws(HIDDescriptorError) {
    guard (1...Self.maximumLength).contains(bytes.count) else { throw .length(bytes.count) }
    var parser = Parser(bytes)
    try parser.run()
    reports = parser.reports.map {
      HIDReport(number: $0.key.number, kind: $0.key.kind, bits: $0.value.bits, fields: $0.value.fields)
    }.sorted { one, other in
      let kinds = HIDReportKind.allCases
      let (first, second) = (kinds.firstIndex(of: one.kind) ?? 0, kinds.firstIndex(of: other.kind) ?? 0)
      return (first, one.number) < (second, other.number)
    }
    applications = parser.applications
    isNumbered = parser.isNumbered
  }

  /// The report of that kind and number; 0 where they are not numbered.
  public func report(_ kind: HIDReportKind, _ number: UInt8) -> HIDReport? {
    reports.first { $0.kind == kind && $0.number == number }
  }

  /// The longest report of a kind in bytes, its number included where there is one; 0 when there is none.
  public func longest(_ kind: HIDReportKind) -> Int {
    let length = reports.filter { $0.kind == kind }.map(\.bytes).max()
    return length.map { $0 + (isNumbered ? 1 : 0) } ?? 0
  }
}

extension HIDReportDescriptor {
  /// A short item: its bytes after the prefix, least significant first.
  private struct Item {
    let offset: Int
    let data: [UInt8]

    var unsigned: UInt32 { data.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    var signed: Int32 {
      switch data.count {
      case 1: Int32(Int8(truncatingIfNeeded: unsigned))
      case 2: Int32(Int16(truncatingIfNeeded: unsigned))
      default: Int32(bitPattern: unsigned)
      }
    }
  }

  private struct Globals {
    var page: UInt16 = 0
    var logicalMinimum: Int32 = 0
    var logicalMaximum: Int64 = 0
    var size = 0
    var count = 0
    var number: UInt8?
  }

  /// A usage as it stands in its item: short ones get their page from the main item they belong to.
  private struct LocalUsage {
    let value: UInt32
    let isFull: Bool

    func usage(page: UInt16) -> HIDUsage {
      HIDUsage(isFull ? value : UInt32(page) << 16 | value & 0xFFFF)
    }
  }

  private struct Locals {
    var usages: [(first: LocalUsage, last: LocalUsage)] = []
    var minimum: LocalUsage?
    /// Sets of alternative usages: only the first of each set counts, as in Linux.
    var isDelimited = false
    var alternatives = 0
  }

  fileprivate struct Key: Hashable {
    let kind: HIDReportKind
    let number: UInt8
  }

  fileprivate struct Parser {
    private let bytes: [UInt8]
    private var globals = Globals()
    private var saved: [Globals] = []
    private var locals = Locals()
    private var collections: [HIDUsage?] = []
    private var hasUnnumbered = false
    var reports: [Key: (bits: Int, fields: [HIDField])] = [:]
    var applications: [HIDUsage] = []
    var isNumbered = false

    private static let deepest = 4
    private static let widestField = 256
    private static let mostFields = 12_288
    private static let longestReport = (16_384 - 1) * 8

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func run() throws(HIDDescriptorError) {
      var index = 0
      while index < bytes.count {
        let start = index
        let prefix = bytes[index]
        index += 1
        if prefix == 0xFE {
          // A long item (6.2.2.3): none is defined, so that any is passed over.
          guard index < bytes.count else { throw .truncated(offset: start) }
          let length = Int(bytes[index]) + 2
          guard bytes.count - index >= length else { throw .truncated(offset: start) }
          index += length
          continue
        }
        let length = prefix & 3 == 3 ? 4 : Int(prefix & 3)
        guard bytes.count - index >= length else { throw .truncated(offset: start) }
        let item = Item(offset: start, data: Array(bytes[index..<index + length]))
        index += length
        let tag = prefix >> 4
        switch prefix >> 2 & 3 {
        case 0: try main(tag, item)
        case 1: try global(tag, item)
        case 2: local(tag, item)
        default: throw .reserved(offset: start)
        }
      }
      guard collections.isEmpty else { throw .unbalanced(offset: bytes.count) }
      guard !isNumbered || !hasUnnumbered else { throw .misplaced(offset: bytes.count) }
    }

    private mutating func main(_ tag: UInt8, _ item: Item) throws(HIDDescriptorError) {
      switch tag {
      case 0x8: try field(.input, item)
      case 0x9: try field(.output, item)
      case 0xB: try field(.feature, item)
      case 0xA:
        let usage = locals.usages.first?.first.usage(page: globals.page)
        if collections.isEmpty, let usage { applications.append(usage) }
        collections.append(usage)
      case 0xC:
        guard collections.popLast() != nil else { throw .unbalanced(offset: item.offset) }
      // Linux passes reserved main items over, and so do devices' makers.
      default: break
      }
      locals = Locals()
    }

    private mutating func field(_ kind: HIDReportKind, _ item: Item) throws(HIDDescriptorError) {
      guard let application = collections.first else { throw .misplaced(offset: item.offset) }
      if globals.number == nil { hasUnnumbered = true }
      let key = Key(kind: kind, number: globals.number ?? 0)
      var report = reports[key] ?? (bits: 0, fields: [])
      let bits = globals.size * globals.count
      guard globals.size <= Self.widestField, globals.count <= Self.mostFields,
        report.bits + bits <= Self.longestReport
      else { throw .tooLarge(offset: item.offset) }
      let flags = item.unsigned
      var usages: [ClosedRange<HIDUsage>] = []
      for (first, last) in locals.usages {
        let (low, high) = (first.usage(page: globals.page), last.usage(page: globals.page))
        if low <= high { usages.append(low...high) }
      }
      report.fields.append(
        HIDField(
          offset: report.bits, size: globals.size, count: globals.count, isConstant: flags & 1 != 0,
          isVariable: flags & 2 != 0, logicalMinimum: globals.logicalMinimum,
          logicalMaximum: globals.logicalMaximum, usages: usages, application: application))
      report.bits += bits
      reports[key] = report
    }

    private mutating func global(_ tag: UInt8, _ item: Item) throws(HIDDescriptorError) {
      switch tag {
      case 0x0: globals.page = UInt16(truncatingIfNeeded: item.unsigned)
      case 0x1: globals.logicalMinimum = item.signed
      case 0x2:
        // Makers write 25 FF for 255: signed only where the least value is.
        globals.logicalMaximum = globals.logicalMinimum < 0 ? Int64(item.signed) : Int64(item.unsigned)
      // Physical minimum and maximum, unit exponent and unit: of no use here.
      case 0x3...0x6: break
      case 0x7:
        guard item.unsigned <= UInt32(Self.widestField) else { throw .tooLarge(offset: item.offset) }
        globals.size = Int(item.unsigned)
      case 0x8:
        guard (1...255).contains(item.unsigned) else {
          throw .reportNumber(item.unsigned, offset: item.offset)
        }
        globals.number = UInt8(item.unsigned)
        isNumbered = true
      case 0x9:
        guard item.unsigned <= UInt32(Self.mostFields) else { throw .tooLarge(offset: item.offset) }
        globals.count = Int(item.unsigned)
      case 0xA:
        guard saved.count < Self.deepest else { throw .tooDeep(offset: item.offset) }
        saved.append(globals)
      case 0xB:
        guard let restored = saved.popLast() else { throw .unbalanced(offset: item.offset) }
        globals = restored
      default: throw .reserved(offset: item.offset)
      }
    }

    private mutating func local(_ tag: UInt8, _ item: Item) {
      let usage = LocalUsage(value: item.unsigned, isFull: item.data.count == 4)
      switch tag {
      case 0x0: add(usage, usage)
      case 0x1: locals.minimum = usage
      case 0x2:
        guard let minimum = locals.minimum else { return }
        // A maximum with a page of its own gives it to a minimum without one.
        let first =
          usage.isFull && !minimum.isFull
          ? LocalUsage(value: usage.value & 0xFFFF_0000 | minimum.value & 0xFFFF, isFull: true) : minimum
        add(first, usage)
        locals.minimum = nil
      case 0xA:
        locals.isDelimited = item.unsigned != 0
        if locals.isDelimited { locals.alternatives = 0 }
      // Designators and strings describe a control for people.
      default: break
      }
    }

    private mutating func add(_ first: LocalUsage, _ last: LocalUsage) {
      if locals.isDelimited {
        locals.alternatives += 1
        guard locals.alternatives == 1 else { return }
      }
      locals.usages.append((first, last))
    }
  }
}
