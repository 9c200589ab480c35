import Channels
import Codecs
import Posix
import Simulation

/// The settings of each model, as they are written in a file; those left out are the model's own.
enum IDCardReaderKeys {
  static let mustReplace = ConfKey("must-re-place", .boolean, default: false)
  static let fingerprintModule = ConfKey("fingerprint-module", .boolean, default: false)
  static let addressCommand = ConfKey<UInt8>(
    "address-command", .word(among: [("03", 3), ("02", 2)]), default: 3)
  static let outOfOrder = ConfKey<Bool>(
    "out-of-order", .word(among: [("34", true), ("81-41", false)]), default: true)
  static let readNeedsFind = ConfKey("read-needs-find", .boolean, default: true)
  static let moduleBaud = ConfKey<Int?>(
    "module-baud",
    .word(among: [("any", nil)] + SDTBaud.allCases.map { ("\($0.bitsPerSecond)", $0.bitsPerSecond) }),
    default: nil)
  static let switchesField = ConfKey("field-command", .boolean, default: false)
  static let firstNumberIsWrong = ConfKey("first-number-wrong", .boolean, default: false)
  static let all: [any ConfKeyDeclaration] =
    [
      mustReplace, fingerprintModule, addressCommand, outOfOrder, readNeedsFind, moduleBaud, switchesField,
      firstNumberIsWrong,
    ] + USBKeys.optional
}

enum TicketDispenserKeys {
  static let width = ConfKey<Int>(
    "paper-width", .word(among: [("58 mm", 384), ("80 mm", 576)]), default: 576)
  static let font = ConfKey("font", ConfType<SimulatedTicketPrinter.Font>.word, default: .gb18030TwoByte)
  static let buffer = ConfKey("buffer", .size(in: 64...1_048_576), default: 4096)
  static let busyWhenOffline = ConfKey("busy-when-offline", .boolean, default: false)
  static let chineseAtStart = ConfKey("chinese-at-start", .boolean, default: true)
  static let echo = ConfKey("echo", .boolean, default: true)
  static let automaticStatus = ConfKey("automatic-status", .boolean, default: true)
  static let presenter = ConfKey("presenter", .boolean, default: false)
  static let status = ConfKey("status", ConfType<SimulatedTicketPrinter.Honesty>.word, default: .honest)
  static let all: [any ConfKeyDeclaration] =
    [
      width, font, buffer, busyWhenOffline, chineseAtStart, echo, automaticStatus, presenter, status,
      USBKeys.deviceID, USBKeys.portStatus,
    ] + USBKeys.optional
}

enum ScannerKeys {
  static let pagesPerMinute = ConfKey("pages-per-minute", .integer(in: 1...1000), default: 70)
  static let jobTimeout = ConfKey(
    "job-timeout", .duration(in: .seconds(1) ... .seconds(3600)), default: .seconds(60))
  static let coverWord = ConfKey<ESCLFeederState>(
    "cover-word", .word(among: [("DoorOpen", .doorOpen), ("HatchOpen", .hatchOpen)]), default: .doorOpen)
  static let numberPages = ConfKey("number-pages", .boolean, default: false)
  static let all: [any ConfKeyDeclaration] = [pagesPerMinute, jobTimeout, coverWord, numberPages]
}

enum EvaluatorKeys {
  static let addresses = ConfKey(
    "addresses", ConfType<Int>.integer(in: 1...255).list(count: 1...16), default: [1])
  static let keys = ConfKey("keys", pairs.list(count: 1...5), default: [[5, 1], [4, 0], [3, 2], [2, 3]])
  static let acknowledgeTime = ConfKey(
    "acknowledge-time", .duration(in: .milliseconds(10) ... .seconds(60)), default: .milliseconds(500))
  static let repeats = ConfKey("repeats", .integer(in: 0...100), default: 3)
  static let all: [any ConfKeyDeclaration] = [addresses, keys, acknowledgeTime, repeats] + USBKeys.optional

  static let pairs = ConfType<[Int]>(
    expected: ConfExpected(english: "a level and the value its key sends, as 5:1", chinese: "等级和按键值，如 5:1")
  ) { text in
    let parts = text.split(separator: ":").compactMap { Int($0) }
    return parts.count == 2 && (1...5).contains(parts[0]) && (0...255).contains(parts[1]) ? parts : nil
  }
}

enum ReportKeypadKeys {
  static let keys = ConfKey(
    "keys", EvaluatorKeys.pairs.list(count: 1...5),
    default: [[5, 0x11], [4, 0x12], [3, 0x13], [2, 0x14], [1, 0x15]])
  static let releases = ConfKey("tells-releases", .boolean, default: true)
  static let all: [any ConfKeyDeclaration] = [keys, releases] + USBKeys.always
}

enum PrinterKeys {
  static let queue = ConfKey(
    "queue",
    ConfType<String>(
      expected: ConfExpected(
        english: "a queue name of letters, digits, '_', '-' and '.', at most 127",
        chinese: "由字母、数字、_、-、. 组成的队列名")
    ) { text in
      let isName = text.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
          || [0x2D, 0x2E, 0x5F].contains(byte)
      }
      return isName && (1...127).contains(text.utf8.count) ? text : nil
    }, default: "Printer")
  static let pagesPerMinute = ConfKey("pages-per-minute", .integer(in: 1...1000), default: 30)
  static let idleFaults = ConfKey("idle-faults", .boolean, default: true)
  static let all: [any ConfKeyDeclaration] = [queue, pagesPerMinute, idleFaults]
}

/// A clock that never moves, for devices that only answer what they know.
struct StoppedTime: Timekeeper {
  func now() -> Duration { .zero }
  func sleep(for duration: Duration) async -> Bool { false }
}

extension SimulationConfiguration.Device {
  /// Makes the device.
  ///
  /// - Parameters:
  ///   - pages: Images for a scanner.
  ///   - numbers: The last running numbers of an earlier life, by the names of record fields.
  func make(
    speed: SimulationConfiguration.Speed, seed: UInt64, pages: [[UInt8]], numbers: [String: Int],
    time: any Timekeeper, sink: SimulatedDevice.Sink?
  ) throws(ConfError) -> SimulatedDevice {
    func first(_ field: String) -> Int { (numbers[field] ?? 0) + 1 }
    func pause(perMinute: Int) -> Duration { speed == .instant ? .zero : .milliseconds(60_000 / perMinute) }
    switch model {
    case .idCardReader:
      var options = SimulatedIDCardReader.Options()
      options.mustReplace = try section.value(IDCardReaderKeys.mustReplace)
      options.readsFingerprints = try section.value(IDCardReaderKeys.fingerprintModule)
      options.addressParameter = try section.value(IDCardReaderKeys.addressCommand)
      options.answersNotFoundYet = try section.value(IDCardReaderKeys.outOfOrder)
      options.readNeedsFind = try section.value(IDCardReaderKeys.readNeedsFind)
      options.baud = try section.value(IDCardReaderKeys.moduleBaud)
      options.switchesField = try section.value(IDCardReaderKeys.switchesField)
      options.firstNumberIsWrong = try section.value(IDCardReaderKeys.firstNumberIsWrong)
      if speed == .realistic {
        (options.findTime, options.selectTime) = (.milliseconds(100), .milliseconds(100))
        options.readTime = .milliseconds(800)
      }
      return SimulatedDevice(
        name, SimulatedIDCardReader(options), usb: try usbFunction(), time: time, seed: seed, sink: sink)
    case .ticketDispenser:
      let font = try section.value(TicketDispenserKeys.font)
      var options = SimulatedTicketPrinter.Options { Iconv.decode($0, from: font.encoding) }
      options.font = font
      options.widthDots = try section.value(TicketDispenserKeys.width)
      options.bufferBytes = try section.value(TicketDispenserKeys.buffer)
      options.isBusyWhenOffline = try section.value(TicketDispenserKeys.busyWhenOffline)
      options.startsInChineseMode = try section.value(TicketDispenserKeys.chineseAtStart)
      options.echoes = try section.value(TicketDispenserKeys.echo)
      options.reportsChanges = try section.value(TicketDispenserKeys.automaticStatus)
      options.hasPresenter = try section.value(TicketDispenserKeys.presenter)
      options.honesty = try section.value(TicketDispenserKeys.status)
      options.lineTime = speed == .instant ? .zero : .milliseconds(20)
      options.firstTicket = first("ticket-number")
      return SimulatedDevice(
        name, SimulatedTicketPrinter(options), usb: try usbFunction(), time: time, seed: seed, sink: sink)
    case .esclScanner:
      var options = SimulatedScanner.Options(pages: pages)
      options.pageTime = pause(perMinute: try section.value(ScannerKeys.pagesPerMinute))
      options.jobTimeout = try section.value(ScannerKeys.jobTimeout)
      options.coverWord = try section.value(ScannerKeys.coverWord)
      options.firstPage = first("page-number")
      options.numbersPages = try section.value(ScannerKeys.numberPages)
      return SimulatedDevice(name, SimulatedScanner(options), time: time, sink: sink)
    case .evaluator:
      var options = SimulatedEvaluator.Options()
      options.addresses = try section.value(EvaluatorKeys.addresses).compactMap { UInt8(exactly: $0) }
      options.keys = [:]
      for pair in try section.value(EvaluatorKeys.keys) { options.keys[pair[0]] = UInt8(exactly: pair[1]) }
      options.acknowledgeTime = try section.value(EvaluatorKeys.acknowledgeTime)
      options.repeats = try section.value(EvaluatorKeys.repeats)
      options.firstPress = first("press-number")
      return SimulatedDevice(
        name, SimulatedEvaluator(options), usb: try usbFunction(), time: time, seed: seed, sink: sink)
    case .keypad:
      var options = SimulatedKeypad.Options()
      options.keys = [:]
      for pair in try section.value(KeypadKeys.keys) { options.keys[pair[0]] = UInt8(exactly: pair[1]) }
      options.holdTime = speed == .instant ? .zero : .milliseconds(80)
      options.firstPress = first("press-number")
      let keypad = SimulatedKeypad(options)
      return SimulatedDevice(
        name, keypad, usb: try usbKeypad(keypad), time: time, seed: seed, sink: sink)
    case .reportKeypad:
      var options = SimulatedReportKeypad.Options()
      options.keys = [:]
      for pair in try section.value(ReportKeypadKeys.keys) { options.keys[pair[0]] = UInt8(exactly: pair[1]) }
      options.tellsReleases = try section.value(ReportKeypadKeys.releases)
      options.firstPress = first("press-number")
      let keypad = SimulatedReportKeypad(options)
      return SimulatedDevice(
        name, keypad, usb: try usbKeypad(keypad), time: time, seed: seed, sink: sink)
    case .documentCamera:
      var images: [[UInt8]] = []
      for entry in section.entries where entry.key == CameraKeys.pages.name {
        images.append(try Self.page(entry))
      }
      var options = SimulatedCamera.Options(pages: images.isEmpty ? pages : images)
      options.breaksFirstFrame = try section.value(CameraKeys.firstFrame)
      let camera = SimulatedCamera(options)
      let identity = try section.optional(USBKeys.identity)
      let function = USBCamera(
        camera.sizes, version: try section.value(CameraKeys.version), vendor: identity?.first ?? 0x1209,
        product: identity?.last ?? 0x0003, serial: try section.optional(USBKeys.serial))
      return SimulatedDevice(name, camera, usb: function, time: time, seed: seed, sink: sink)
    case .printer:
      var options = SimulatedPrinter.Options()
      options.queue = try section.value(PrinterKeys.queue)
      options.pageTime = pause(perMinute: try section.value(PrinterKeys.pagesPerMinute))
      options.tellsFaultsWhenIdle = try section.value(PrinterKeys.idleFaults)
      options.firstJob = first("job")
      return SimulatedDevice(name, SimulatedPrinter(options), time: time, sink: sink)
    }
  }
}

extension SimulationConfiguration.Device {
  /// An image that a `page` key names.
  private static func page(_ entry: ConfEntry) throws(ConfError) -> [UInt8] {
    let path = try CameraKeys.pages.type.read(entry.value)
    if let image = try? Files.read(path, limit: 16 << 20), (try? JPEGInspector.inspect(image)) != nil {
      return image
    }
    let expected = ConfExpected(english: "a file with a sound JPEG image", chinese: "完好的 JPEG 图像文件")
    throw ConfError(.wrongValue(found: path, expected: expected, nearest: nil), at: entry.value.position)
  }
}

extension SimulatedTicketPrinter.Font {
  fileprivate var encoding: TextEncoding {
    switch self {
    case .gb18030TwoByte, .gb18030: .gb18030
    case .shiftJIS: .shiftJIS
    case .utf8: .utf8
    }
  }
}
