public import Codecs
import Simulation

/// A hall of simulated devices, from a `.conf` file:
///
/// ```
/// [hall]
/// speed = realistic
///
/// [device idcard]
/// model = id-card-reader
/// must-re-place = yes
/// start = card present citizen
/// ```
public struct SimulationConfiguration: Sendable {
  /// The models there are.
  public enum Model: String, Sendable, CaseIterable {
    /// A reader of second-generation ID cards on a line of bytes.
    case idCardReader = "id-card-reader"
    /// A thermal ticket printer on a line of bytes.
    case ticketDispenser = "ticket-dispenser"
    /// A page scanner that speaks eSCL.
    case esclScanner = "escl-scanner"
    /// A desk caller with rating keys on a line of bytes.
    case evaluator
    /// A printer behind a print service.
    case printer
    /// A USB keyboard with rating keys.
    case keypad
    /// A device with rating keys and HID reports of its own form.
    case reportKeypad = "report-keypad"
    /// A USB camera over a table.
    case documentCamera = "document-camera"

    /// The keys its section may have besides `model` and `start`.
    var keys: [any ConfKeyDeclaration] {
      switch self {
      case .idCardReader: IDCardReaderKeys.all
      case .ticketDispenser: TicketDispenserKeys.all
      case .esclScanner: ScannerKeys.all
      case .evaluator: EvaluatorKeys.all
      case .printer: PrinterKeys.all
      case .keypad: KeypadKeys.all
      case .reportKeypad: ReportKeypadKeys.all
      case .documentCamera: CameraKeys.all
      }
    }
  }

  /// Whether devices take their time.
  public enum Speed: String, Sendable, CaseIterable {
    /// As long as real ones: a card 1 s, a line 20 ms, a scanned page 0.9 s, a printed one 2 s.
    case realistic
    /// None at all.
    case instant
  }

  /// One device.
  public struct Device: Sendable {
    /// Its name, in commands, logs and file names.
    public let name: String
    /// What it is.
    public let model: Model
    /// Commands that are carried out when it is made.
    public let start: [String]
    let section: ConfSection
  }

  /// Whether devices take their time.
  public var speed: Speed
  /// What random damage depends on.
  public let seed: UInt64
  /// The devices in the order of the file.
  public let devices: [Device]

  // MARK: Reading

  private static let speedKey = ConfKey("speed", ConfType<Speed>.word, default: .realistic)
  private static let seedKey = ConfKey("seed", .integer(in: 0...Int(Int32.max)), default: 1)
  private static let modelKey = ConfKey("model", ConfType<Model>.word, required: true)
  private static let startKey = ConfKey("start", .text(longest: 400), repeatable: true)

  /// The kinds of section a file may have.
  public static let schema = ConfSchema([
    ConfSchema.Section("hall", keys: [speedKey, seedKey]),
    ConfSchema.Section(
      "device", argument: .required, required: true,
      keys: [modelKey, startKey]
        + Model.allCases.flatMap(\.keys).reduce(into: []) { keys, key in
          if !keys.contains(where: { $0.name == key.name }) { keys.append(key) }
        }, rules: mistakes),
  ])

  /// Reads a file, or throws every mistake in it.
  public static func read(_ bytes: [UInt8], file: String) throws(ConfErrors) -> SimulationConfiguration {
    let document = try schema.read(bytes, file: file)
    do throws(ConfError) {
      var speed = Speed.realistic
      var seed = 1
      if let hall = document.section("hall") {
        speed = try hall.value(speedKey)
        seed = try hall.value(seedKey)
      }
      var devices: [Device] = []
      for section in document.sections("device") {
        devices.append(
          Device(
            name: section.argument ?? "", model: try section.value(modelKey),
            start: try section.values(startKey).flatMap(Self.commands), section: section))
      }
      let configuration = SimulationConfiguration(speed: speed, seed: UInt64(seed), devices: devices)
      for device in devices { try configuration.checkStart(of: device) }
      return configuration
    } catch {
      throw ConfErrors([error])
    }
  }

  /// One device in each form of USB device: `reader` and its four brothers, `dispenser`, `keypad`,
  /// `evaluator`, `camera`, `keypad-reports`.
  public static let usb: SimulationConfiguration = {
    let text = """
      [device reader]
      model = id-card-reader
      usb = single-pair
      [device reader-split]
      model = id-card-reader
      usb = split-pipe
      [device reader-5020]
      model = id-card-reader
      usb = 0316-5020
      [device reader-hid]
      model = id-card-reader
      usb = hid
      [device reader-hid-wrapped]
      model = id-card-reader
      usb = hid-wrapped
      [device dispenser]
      model = ticket-dispenser
      usb = printer
      usb-serial = SIM00001
      [device keypad]
      model = keypad
      [device evaluator]
      model = evaluator
      usb = serial
      [device camera]
      model = document-camera
      [device keypad-reports]
      model = report-keypad
      """
    // A test holds that this text is right.
    let read = try? SimulationConfiguration.read(Array(text.utf8), file: "usb")
    return read ?? SimulationConfiguration(speed: .realistic, seed: 1, devices: [])
  }()

  /// One device of each model that every hall has: `idcard`, `dispenser`, `scanner` with four sheets in its feeder, `evaluator`, `printer`.
  public static let standard: SimulationConfiguration = {
    let text = """
      [device idcard]
      model = id-card-reader
      [device dispenser]
      model = ticket-dispenser
      [device scanner]
      model = escl-scanner
      start = load 4 pages
      [device evaluator]
      model = evaluator
      [device printer]
      model = printer
      """
    // A test holds that this text is right.
    let read = try? SimulationConfiguration.read(Array(text.utf8), file: "standard")
    return read ?? SimulationConfiguration(speed: .realistic, seed: 1, devices: [])
  }()

  /// The same hall at another speed.
  public func at(_ speed: Speed) -> SimulationConfiguration {
    SimulationConfiguration(speed: speed, seed: seed, devices: devices)
  }

  static func commands(_ text: String) -> [String] {
    text.split(separator: ";").map { part in
      part.split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " ")
    }.filter { !$0.isEmpty }
  }

  // Rules of one device: its name is a file's name, and its keys are those of its model.
  private static func mistakes(_ section: ConfSection) -> [ConfError] {
    var errors: [ConfError] = []
    let name = section.argument ?? ""
    let isWord = name.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
    }
    if !isWord || name.utf8.count > 40 {
      let expected = ConfExpected(
        english: "a device name of small letters, digits and hyphens, at most 40",
        chinese: "由小写字母、数字和连字符组成、不超过 40 个字符的设备名")
      errors.append(
        ConfError(.wrongValue(found: name, expected: expected, nearest: nil), at: section.position))
    }
    guard let model = try? section.value(modelKey) else { return errors }
    let names = ["model", "start"] + model.keys.map(\.name)
    for entry in section.entries where !names.contains(entry.key) {
      let owner = Model.allCases.first { $0.keys.contains { $0.name == entry.key } }
      errors.append(
        ConfError(
          .unknownKey(
            entry.key, nearest: NearestWord.find(entry.key, in: names),
            belongsTo: owner.map { "model = \($0.rawValue)" }), at: entry.position))
    }
    return errors + model.usbMistakes(section)
  }

  private func checkStart(of device: Device) throws(ConfError) {
    guard let entry = device.section.entry("start"), !device.start.isEmpty else { return }
    let help = try device.commandPatterns(speed: speed)
    for command in device.start {
      do throws(SimulationError) {
        try help.check(command)
      } catch {
        let expected = ConfExpected(
          english: "a command of this model (\(error.description))", chinese: "该型号的命令（\(error.chinese)）")
        throw ConfError(
          .wrongValue(found: command, expected: expected, nearest: nil), at: entry.value.position)
      }
    }
  }
}

extension SimulationConfiguration.Device {
  /// A device of this kind that nobody uses: it knows its commands.
  fileprivate func commandPatterns(speed: SimulationConfiguration.Speed) throws(ConfError) -> SimulatedDevice
  {
    try make(speed: speed, seed: 0, pages: [], numbers: [:], time: StoppedTime(), sink: nil)
  }
}
