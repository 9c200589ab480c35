public import Channels
public import Codecs
public import Devices
public import LocalAPI
internal import Posix

/// One device of the configuration: a role of this position and where the device is.
public struct Slot: Sendable, Equatable {
  /// The role's name, as in `/v1/devices/{role}`.
  public var role: String
  /// Kind of device.
  public var kind: DeviceKind
  /// Where it is.
  public var port: ChannelAddress
  /// The profile to use; nil to take the one that matches.
  public var profile: String?
  /// Everything that comes from it is marked `simulated`.
  public var simulated: Bool
  /// Driver settings given here, over the profile's.
  public var settings: [String: String]
  /// Where each setting and the section stand, for errors.
  let entries: [ConfEntry]
  let position: ConfPosition

  /// Two slots are equal when a device in service need not be touched to go from one to the other.
  public static func == (one: Slot, other: Slot) -> Bool {
    one.role == other.role && one.kind == other.kind && one.port == other.port && one.profile == other.profile
      && one.simulated == other.simulated && one.settings == other.settings
  }
}

/// A service for which queue numbers are issued.
public struct QueueService: Sendable, Equatable {
  /// The id that callers use.
  public var id: String
  /// The name on the ticket.
  public var name: String
  /// Letters before the number.
  public var prefix: String
  /// Windows to watch, as printed; empty for none.
  public var windows: String
}

/// How citizens are asked for ratings.
public struct RatingSettings: Sendable, Equatable {
  /// How long a level can be changed after the first press.
  public var correction = Duration.seconds(3)
  /// Levels that need a reason or a comment on a screen (差评 must carry its reasons: facts/devices.md C1).
  public var reasonRequired: Set<Int> = [1, 2]
  /// Whether closing a visit in which nobody asked asks the citizen.
  public var asksAtClosing = true
}

/// The citizens' screens.
public struct ScreenSettings: Sendable, Equatable {
  /// The loopback port that they are served on; nil: none are.
  public var port: Int?
  /// What an idle screen says in large letters; nil: a welcome.
  public var title: String?
  /// The same in English.
  public var titleEnglish: String?
  /// What it says below.
  public var text: String?
  /// The same in English.
  public var textEnglish: String?
}

/// The service's configuration, checked as a whole.
public struct Configuration: Sendable, Equatable {
  /// Hall's code, in every event's source.
  public var hall = ""
  /// Hall's name, on tickets.
  public var hallName = ""
  /// Position's code, in every event's source.
  public var position = ""
  /// Language of the log and of answers to callers that name none.
  public var language = Language.chinese
  /// The agent API's socket.
  public var socket = "/run/hall-agent/agent.sock"
  /// Group that may connect to it; empty for the service's own.
  public var socketGroup = "hall"
  /// Group of technicians; empty for root alone.
  public var technicianGroup = "hall-technician"
  /// Group of administrators; empty for root alone.
  public var administratorGroup = ""
  /// Directory for everything that must survive a restart.
  public var state = "/var/lib/hall-agent"
  /// Directories of device profiles; later ones override.
  public var profiles: [String] = []
  /// How long an orderly stop may take.
  public var stopTimeout = Duration.seconds(20)
  /// How long a visit may lie untouched before it is closed as abandoned.
  public var visitTimeout = Duration.seconds(1800)
  /// The intake's socket or loopback port, as `unix:/path` or `http://127.0.0.1:PORT`.
  public var intakeTarget = "unix:/run/hall-intake/intake.sock"
  /// Account the intake must run as, besides root; empty to accept any.
  public var intakeUser = ""
  /// Event types that are forwarded, by their short names.
  public var forwarded: Set<String> = Configuration.standardForwarded
  /// Most bytes of pages that may wait.
  public var quotaBytes = 20 << 30
  /// Most pages that may wait.
  public var quotaPages = 200_000
  /// Most events that may wait before no more pages are taken.
  public var quotaEvents = 1_000_000
  /// How long the oldest event may wait before no more pages are taken.
  public var quotaAge = Duration.seconds(7 * 86_400)
  /// Bytes of the file system that pages leave to ratings.
  public var keptFree = 512 << 20
  /// How long what was set aside is kept.
  public var quarantineAge = Duration.seconds(90 * 86_400)
  /// File with the 32-byte sealing key; empty for none.
  public var keyFile = ""
  /// Local hour at which the business day of queue numbers begins.
  public var dayStarts = 0
  /// Services by id.
  public var services: [QueueService] = []
  /// How citizens are asked for ratings.
  public var ratings = RatingSettings()
  /// The citizens' screens.
  public var screens = ScreenSettings()
  /// Devices by role, in the file's order.
  public var slots: [Slot] = []
  /// Whether citizens serve themselves here: their cards are read only within a visit that was opened.
  public var isKiosk = false
  /// The program that decodes photos of cards; nil for none.
  var photoDecoder: PhotoDecoder.Settings?
  /// Simulated hall to run in this process: a file, or `builtin`; empty for none.
  public var simulation = ""
  private var places: [String: ConfPosition] = [:]

  /// Where the path of another file stands in this one, for errors about that file.
  public func place(of path: String) -> ConfPosition? { places[path] }

  /// Short names of the types that are forwarded unless the file says otherwise (intake-api, last paragraph).
  public static let standardForwarded: Set<String> = [
    "visit", "rating", "material.page", "material.page.withdrawn", "material.completed", "signature",
    "ticket", "call",
  ]
  /// Every short name that may stand in `forward`.
  public static let forwardable = standardForwarded.union(["print", "device"])

  /// The standard values.
  public init() {}

  // MARK: The file

  private static let hallKey = ConfKey("hall", .text(longest: 64), required: true)
  private static let hallNameKey = ConfKey("hall-name", .text(longest: 60))
  private static let positionKey = ConfKey("position", .text(longest: 64), required: true)
  private static let languageKey = ConfKey<Language>(
    "language", .word(among: [("zh-CN", .chinese), ("en", .english)]), default: .chinese)
  private static let socketKey = ConfKey("socket", .path)
  private static let socketGroupKey = ConfKey("socket-group", .text(longest: 32, emptyAllowed: true))
  private static let technicianKey = ConfKey("technician-group", .text(longest: 32, emptyAllowed: true))
  private static let administratorKey = ConfKey("administrator-group", .text(longest: 32, emptyAllowed: true))
  private static let stateKey = ConfKey("state", .path)
  private static let profilesKey = ConfKey("profiles", .path, repeatable: true)
  private static let stopKey = ConfKey("stop-timeout", .duration(in: .seconds(1) ... .seconds(600)))
  private static let visitKey = ConfKey("visit-timeout", .duration(in: .seconds(10) ... .seconds(1800)))
  private static let positionKindKey = ConfKey<Bool>(
    "position-kind", .word(among: [("counter", false), ("kiosk", true)]), default: false)
  private static let decoderProgramKey = ConfKey("program", .path, required: true)
  private static let decoderArgumentKey = ConfKey("argument", .text(longest: 400), repeatable: true)
  private static let decoderDirectoryKey = ConfKey("directory", .path)
  private static let decoderTimeKey = ConfKey("timeout", .duration(in: .milliseconds(100) ... .seconds(30)))
  private static let targetKey = ConfKey("target", .text(longest: 200))
  private static let userKey = ConfKey("user", .text(longest: 32, emptyAllowed: true))
  private static let forwardKey = ConfKey(
    "forward", ConfType<String>.word(forwardable.sorted()).list(count: 0...forwardable.count))
  private static let quotaKey = ConfKey("quota", .size(in: 1 << 20...1 << 50))
  private static let pagesKey = ConfKey("quota-pages", .integer(in: 10...100_000_000))
  private static let eventsKey = ConfKey("quota-events", .integer(in: 1000...100_000_000))
  private static let ageKey = ConfKey("quota-age", .duration(in: .seconds(3600) ... .seconds(366 * 86_400)))
  private static let keepFreeKey = ConfKey("keep-free", .size(in: 0...1 << 50))
  private static let quarantineKey = ConfKey(
    "quarantine-age", .duration(in: .seconds(86_400) ... .seconds(3660 * 86_400)))
  private static let keyFileKey = ConfKey("key-file", .path)
  private static let dayKey = ConfKey("day-starts", .integer(in: 0...23))
  private static let nameKey = ConfKey("name", .text(longest: 60), required: true)
  private static let prefixKey = ConfKey("prefix", .text(longest: 4), required: true)
  private static let windowsKey = ConfKey("windows", .text(longest: 60))
  private static let correctionKey = ConfKey("correction", .duration(in: .zero ... .seconds(10)))
  private static let reasonKey = ConfKey(
    "reason-required", ConfType<Int>.integer(in: 1...5).list(count: 0...5))
  private static let closingKey = ConfKey("ask-at-closing", .boolean)
  private static let screenPortKey = ConfKey("port", .integer(in: 1024...65535), required: true)
  private static let screenKeys = ["idle-title", "idle-title-english", "idle-text", "idle-text-english"].map {
    ConfKey("\($0)", .text(longest: 200))
  }
  private static let kindKey = ConfKey<DeviceKind>("kind", .word, required: true)
  private static let portKey = ConfKey<ChannelAddress>(
    "port",
    ConfType(
      expected: ConfExpected(
        english:
          "usb:any, usb:port:1-1.2, usb:serial:NUMBER, tty:/dev/…, lp:/dev/…, hidraw:/dev/…, evdev:/dev/…, "
          + "video:/dev/…, http://127.0.0.1:PORT/PATH, sane:NAME, cups:QUEUE, cups:QUEUE@/SOCKET, "
          + "screen:NAME or simulated:NAME",
        chinese:
          "usb:any、usb:port:1-1.2、usb:serial:序列号、tty:/dev/…、lp:/dev/…、hidraw:/dev/…、evdev:/dev/…、video:/dev/…、"
          + "http://127.0.0.1:端口/路径、sane:名称、cups:队列、cups:队列@/套接字、screen:名称 或 simulated:名称"),
      text: { ChannelAddress($0) }), required: true)
  private static let profileKey = ConfKey("profile", .text(longest: 64))
  private static let simulatedKey = ConfKey("simulated", .boolean)
  private static let hallFileKey = ConfKey("hall", .text(longest: 400), required: true)

  /// What the file may hold. Driver settings within `[device …]` are checked later, when the driver is known.
  static let schema = ConfSchema([
    .init(
      "agent", required: true,
      keys: [
        hallKey, hallNameKey, positionKey, positionKindKey, languageKey, socketKey, socketGroupKey,
        technicianKey,
        administratorKey,
        stateKey, profilesKey, stopKey, visitKey,
      ]),
    .init("intake", keys: [targetKey, userKey, forwardKey]),
    .init("outbox", keys: [quotaKey, pagesKey, eventsKey, ageKey, keepFreeKey, quarantineKey, keyFileKey]),
    .init("queue", keys: [dayKey]),
    .init(
      "photo-decoder",
      keys: [decoderProgramKey, decoderArgumentKey, decoderDirectoryKey, decoderTimeKey]),
    .init("ratings", keys: [correctionKey, reasonKey, closingKey]),
    .init("screens", keys: [screenPortKey] + screenKeys),
    .init("service", argument: .required, keys: [nameKey, prefixKey, windowsKey]),
    .init(
      "device", argument: .required, keys: [kindKey, portKey, profileKey, simulatedKey],
      otherEntry: { _ in nil }),
    .init("simulation", keys: [hallFileKey]),
  ])

  /// Reads a file's text. Throws every mistake in it.
  public static func read(_ text: [UInt8], file: String) throws(ConfErrors) -> Configuration {
    let document = try schema.read(text, file: file)
    do throws(ConfError) {
      return try Configuration(document)
    } catch {
      throw ConfErrors([error])
    }
  }

  private init(_ document: ConfDocument) throws(ConfError) {
    if let section = document.section("agent") {
      hall = try section.value(Self.hallKey)
      hallName = try section.optional(Self.hallNameKey) ?? hall
      position = try section.value(Self.positionKey)
      isKiosk = try section.value(Self.positionKindKey)
      language = try section.value(Self.languageKey)
      socket = try section.optional(Self.socketKey) ?? socket
      socketGroup = try section.optional(Self.socketGroupKey) ?? socketGroup
      technicianGroup = try section.optional(Self.technicianKey) ?? technicianGroup
      administratorGroup = try section.optional(Self.administratorKey) ?? administratorGroup
      state = try section.optional(Self.stateKey) ?? state
      profiles = try section.values(Self.profilesKey)
      stopTimeout = try section.optional(Self.stopKey) ?? stopTimeout
      visitTimeout = try section.optional(Self.visitKey) ?? visitTimeout
    }
    if let section = document.section("intake") {
      intakeTarget = try section.optional(Self.targetKey) ?? intakeTarget
      intakeUser = try section.optional(Self.userKey) ?? intakeUser
      if let list = try section.optional(Self.forwardKey) { forwarded = Set(list) }
    }
    if let section = document.section("outbox") {
      quotaBytes = try section.optional(Self.quotaKey) ?? quotaBytes
      quotaPages = try section.optional(Self.pagesKey) ?? quotaPages
      quotaEvents = try section.optional(Self.eventsKey) ?? quotaEvents
      quotaAge = try section.optional(Self.ageKey) ?? quotaAge
      keptFree = try section.optional(Self.keepFreeKey) ?? keptFree
      quarantineAge = try section.optional(Self.quarantineKey) ?? quarantineAge
      keyFile = try section.optional(Self.keyFileKey) ?? keyFile
    }
    if let section = document.section("queue") { dayStarts = try section.optional(Self.dayKey) ?? dayStarts }
    if let section = document.section("ratings") {
      ratings.correction = try section.optional(Self.correctionKey) ?? ratings.correction
      if let levels = try section.optional(Self.reasonKey) { ratings.reasonRequired = Set(levels) }
      ratings.asksAtClosing = try section.optional(Self.closingKey) ?? ratings.asksAtClosing
    }
    if let section = document.section("screens") {
      screens.port = try section.value(Self.screenPortKey)
      let texts = try Self.screenKeys.map { key throws(ConfError) in try section.optional(key) }
      (screens.title, screens.titleEnglish) = (texts[0], texts[1])
      (screens.text, screens.textEnglish) = (texts[2], texts[3])
    }
    for section in document.sections("service") {
      services.append(
        QueueService(
          id: section.argument ?? "", name: try section.value(Self.nameKey),
          prefix: try section.value(Self.prefixKey),
          windows: try section.optional(Self.windowsKey) ?? ""))
    }
    let own = ["kind", "port", "profile", "simulated"]
    for section in document.sections("device") {
      let port = try section.value(Self.portKey)
      let others = section.entries.filter { !own.contains($0.key) }
      var settings: [String: String] = [:]
      for entry in others { settings[entry.key] = try entry.value.text() }
      slots.append(
        Slot(
          role: section.argument ?? "", kind: try section.value(Self.kindKey), port: port,
          profile: try section.optional(Self.profileKey),
          simulated: try section.optional(Self.simulatedKey) ?? (port.transport == "simulated"),
          settings: settings, entries: section.entries, position: section.position))
    }
    if let section = document.section("photo-decoder") {
      let program = try section.value(Self.decoderProgramKey)
      var settings = PhotoDecoder.Settings(
        program: program, arguments: try section.values(Self.decoderArgumentKey),
        directory: try section.optional(Self.decoderDirectoryKey) ?? Files.directory(of: program))
      settings.timeout = try section.optional(Self.decoderTimeKey) ?? settings.timeout
      photoDecoder = settings
    }
    if let section = document.section("simulation") { simulation = try section.value(Self.hallFileKey) }
    let paths = [
      ("agent", Self.profilesKey.name), ("outbox", Self.keyFileKey.name),
      ("simulation", Self.hallFileKey.name),
    ]
    for (name, key) in paths {
      for entry in document.section(name)?.entries ?? [] where entry.key == key {
        places[try entry.value.text()] = entry.value.position
      }
    }
  }

  /// Mistakes that show only when drivers and profiles are known: an unknown profile, one of another kind, a port that
  /// its driver cannot use, an unknown or wrong setting.
  public func check(profiles set: ProfileSet, drivers: [Driver]) -> [ConfError] {
    var errors: [ConfError] = []
    for slot in slots {
      if !Self.isRole(slot.role) {
        errors.append(
          ConfError(
            .wrongValue(
              found: slot.role,
              expected: ConfExpected(
                english: "a role out of letters, digits, '-' and '_'", chinese: "由字母、数字、“-”和“_”组成的角色名"),
              nearest: nil), at: slot.position))
      }
      guard let name = slot.profile else { continue }
      guard let place = slot.entries.first(where: { $0.key == "profile" })?.value else { continue }
      let rightKind = set.names.filter { set.named($0)?.kind == slot.kind }
      guard let profile = set.named(name), profile.kind == slot.kind else {
        errors.append(
          place.error(
            expected: ConfExpected(
              english: "a profile for a \(slot.kind.rawValue): " + rightKind.joined(separator: ", "),
              chinese: "\(slot.kind.chineseName)的设备档案：" + rightKind.joined(separator: "、")),
            nearest: NearestWord.find(name, in: rightKind)))
        continue
      }
      guard let driver = drivers.first(where: { $0.name == profile.driver }) else { continue }
      errors += settingErrors(slot, driver)
      if !driver.channel.canBe(at: slot.port),
        let port = slot.entries.first(where: { $0.key == "port" })?.value
      {
        errors.append(
          port.error(
            expected: ConfExpected(
              english:
                "a port that driver \(driver.name) can use (\(driver.channel.transports.joined(separator: ", ")))",
              chinese: "驱动 \(driver.name) 可用的端口（\(driver.channel.transports.joined(separator: "、"))）")))
      }
    }
    // A slot without a profile takes the one that matches, so its settings may be those of any driver of its kind.
    for slot in slots where slot.profile == nil {
      let candidates = drivers.filter {
        $0.kind == slot.kind && $0.channel.canBe(at: slot.port)
      }
      let known = Set(candidates.flatMap(\.settings).map(\.name))
      for entry in slot.entries where slot.settings[entry.key] != nil && !known.contains(entry.key) {
        errors.append(
          ConfError(
            .unknownKey(
              entry.key,
              nearest: NearestWord.find(
                entry.key, in: known.sorted() + ["kind", "port", "profile", "simulated"]),
              belongsTo: nil),
            at: entry.position))
      }
    }
    return errors
  }

  private func settingErrors(_ slot: Slot, _ driver: Driver) -> [ConfError] {
    var errors: [ConfError] = []
    for entry in slot.entries {
      guard let text = slot.settings[entry.key] else { continue }
      guard let specification = driver.settings.first(where: { $0.name == entry.key }) else {
        let known = driver.settings.map(\.name) + ["kind", "port", "profile", "simulated"]
        errors.append(
          ConfError(
            .unknownKey(entry.key, nearest: NearestWord.find(entry.key, in: known), belongsTo: nil),
            at: entry.position))
        continue
      }
      if !specification.form.accepts(text) {
        errors.append(entry.value.error(expected: specification.form.expected))
      }
    }
    return errors
  }

  private static func isRole(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 64
      && text.utf8.allSatisfy { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
          || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
          || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
          || byte == UInt8(ascii: "_")
      }
  }
}

extension ChannelKind {
  /// The transports that supply this form of channel.
  var transports: [String] {
    switch self {
    case .byteStream: ["tty", "usb", "usblp", "simulated"]
    case .httpExchange: ["http", "simulated"]
    case .pageFeed: ["sane"]
    case .printQueue: ["cups"]
    case .reports: ["hidraw", "simulated"]
    case .inputEvents: ["evdev", "simulated"]
    case .frames: ["video", "simulated"]
    case .screen: ["screen"]
    }
  }

  /// Whether a slot's port can give it. A USB device has nodes of any form.
  func canBe(at port: ChannelAddress) -> Bool {
    if case .usb = port {
      return !Set(transports).isDisjoint(with: ["usb", "tty", "hidraw", "evdev", "video"])
    }
    return transports.contains(port.transport)
  }
}
