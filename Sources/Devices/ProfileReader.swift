internal import Channels
public import Codecs

extension ProfileSet {
  /// Reads profile files.
  ///
  /// - Parameters:
  ///   - files: Path and content, the agent's own directory before the administrator's: a later file takes the place
  ///     of an earlier one of the same profile name. Two files of one directory may not share a name.
  ///   - drivers: The drivers a profile may name.
  /// - Returns: The profiles that are right, and every mistake in the others. A wrong file takes nobody's place.
  public static func read(
    _ files: [(path: String, text: [UInt8])], drivers: [Driver]
  ) -> (profiles: ProfileSet, errors: [ConfError]) {
    var profiles: [DeviceProfile] = []
    var errors: [ConfError] = []
    for file in files {
      do throws(ConfErrors) {
        let (profile, place) = try ProfileFile.read(file.text, path: file.path, drivers: drivers)
        if let earlier = profiles.first(where: {
          $0.name == profile.name && directory($0.file) == directory(file.path)
        }) {
          let rule = ConfExpected(
            english: "\(earlier.file) already has a profile of that name",
            chinese: "\(earlier.file) 中已有同名的设备档案")
          throw ConfErrors([ConfError(.contradiction(rule), at: place)])
        }
        profiles.append(profile)
      } catch {
        errors += error.errors
      }
    }
    return (ProfileSet(profiles), errors)
  }

  private static func directory(_ path: String) -> Substring {
    guard let slash = path.lastIndex(of: "/") else { return "" }
    return path[..<slash]
  }
}

/// The format of a profile file.
///
/// ```
/// [profile]
/// name = snbc-bt-t080
/// kind = ticket-dispenser
/// driver = escpos
/// maker = SNBC
/// model = BT-T080
///
/// [match]
/// transport = usblp, usb
/// ieee1284-model = BT-T080*, BTP-T080*
///
/// [settings]
/// columns = 48
/// ```
///
/// There may be several `[match]` sections: the device has to fit one of them. `automatic = no` in `[profile]` keeps it
/// from being chosen by itself.
enum ProfileFile {
  static let name = ConfKey("name", profileName, required: true)
  static let kind = ConfKey<DeviceKind>("kind", .word, required: true)
  static let maker = ConfKey<String>("maker", .text(longest: 64), required: true)
  static let model = ConfKey<String>("model", .text(longest: 64), required: true)
  static let automatic = ConfKey("automatic", .boolean, default: true)
  static let matches = DeviceFact.allCases.map { ConfKey($0.rawValue, patterns) }

  static let profileName = ConfType<String>(
    expected: ConfExpected(
      english: "a name of lower-case letters, digits and hyphens", chinese: "由小写字母、数字和连字符组成的名称")
  ) { text in
    let isName = text.utf8.allSatisfy {
      (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D
    }
    return isName && (1...64).contains(text.utf8.count) && text.utf8.first != 0x2D ? text : nil
  }

  static let patterns: ConfType<[String]> = {
    let expected = ConfExpected(
      english:
        "a value or several with commas, * for any text, ? for one character, ! before what must not be",
      chinese: "一个值，或以逗号分隔的多个值；* 代表任意文本，? 代表一个字符，前加 ! 表示排除")
    return ConfType(expected: expected) { value throws(ConfError) in
      // Only commas separate: a make and model has spaces of its own.
      let parts =
        value.raw.contains(where: { $0 == "," || $0 == "，" || $0 == "、" }) ? try value.elements() : [value]
      guard (1...32).contains(parts.count) else { throw value.error(expected: expected) }
      var patterns: [String] = []
      for part in parts {
        let text = try part.text()
        guard !text.isEmpty, text.unicodeScalars.count <= 200 else { throw part.error(expected: expected) }
        patterns.append(text)
      }
      return patterns
    }
  }()

  static func read(
    _ text: [UInt8], path: String, drivers: [Driver]
  ) throws(ConfErrors) -> (profile: DeviceProfile, namePlace: ConfPosition) {
    // The driver named decides which settings there are, so it is looked up before the file is judged.
    var named: Driver?
    if let draft = try? ConfDocument.read(text, file: path),
      let word = try? draft.section("profile")?.entry("driver")?.value.text()
    {
      named = drivers.first { $0.name == word }
    }
    let driver = ConfKey<String>("driver", .word(drivers.map(\.name)), required: true)
    let document = try schema(named, driver: driver).read(text, file: path)
    do throws(ConfError) {
      guard let head = document.section("profile"), let nameEntry = head.entry(name.name) else {
        let start = ConfPosition(file: path, line: 1, column: 1)
        throw ConfError(.missingSection("profile"), at: start)
      }
      var match: [[MatchPredicate]] = []
      for section in document.sections("match") {
        var way: [MatchPredicate] = []
        for key in matches {
          if let patterns = try section.optional(key) {
            way.append(MatchPredicate(fact: key.name, patterns: patterns))
          }
        }
        match.append(way)
      }
      var settings: [String: String] = [:]
      for entry in document.section("settings")?.entries ?? [] {
        settings[entry.key] = try entry.value.text()
      }
      let profile = DeviceProfile(
        name: try head.value(name), kind: try head.value(kind), driver: try head.value(driver),
        maker: try head.value(maker), model: try head.value(model), match: match,
        isAutomatic: try head.value(automatic), settings: settings, file: path)
      return (profile, nameEntry.value.position)
    } catch {
      throw ConfErrors([error])
    }
  }

  private static func schema(_ named: Driver?, driver: ConfKey<String>) -> ConfSchema {
    let head = ConfSchema.Section(
      "profile", required: true, keys: [name, kind, driver, maker, model, automatic],
      rules: { section in kindMistakes(section, named) })
    let match = ConfSchema.Section(
      "match", repeatable: true, keys: matches,
      rules: { section in transportMistakes(section, channel: named?.channel) })
    // With an unknown driver nothing can be said about its settings.
    var anySetting: (@Sendable (ConfEntry) -> ConfError?)?
    if named == nil { anySetting = { _ in nil } }
    let settings = ConfSchema.Section(
      "settings", keys: (named?.settings ?? []).map { SettingKey(spec: $0) }, otherEntry: anySetting)
    return ConfSchema([head, match, settings])
  }

  private static func kindMistakes(_ section: ConfSection, _ named: Driver?) -> [ConfError] {
    guard let named, let value = section.entry("driver")?.value, let kind = try? section.value(kind),
      kind != named.kind
    else { return [] }
    let rule = ConfExpected(
      english: "driver '\(named.name)' is for a \(named.kind.englishName), not for a \(kind.englishName)",
      chinese: "驱动“\(named.name)”用于\(named.kind.chineseName)，而不是\(kind.chineseName)")
    return [ConfError(.contradiction(rule), at: value.position)]
  }

  // A profile that could never match, or that would hand its driver the wrong form of channel.
  private static func transportMistakes(_ section: ConfSection, channel: ChannelKind?) -> [ConfError] {
    let transport = DeviceFact.transport.rawValue
    guard let value = section.entry(transport)?.value, let patterns = try? self.patterns.read(value) else {
      return [ConfError(.missingKey(transport, section: section.title), at: section.position)]
    }
    let words = DeviceFact.transports.map(\.word)
    let expected = ConfExpected(
      english: "one or more of " + words.joined(separator: ", "),
      chinese: "以下之一或多个：" + words.joined(separator: "、"))
    var errors: [ConfError] = []
    for pattern in patterns {
      let meant = DeviceFact.transports.filter { MatchPredicate.matches($0.word, pattern: pattern) }
      if meant.isEmpty {
        errors.append(value.error(expected: expected, nearest: NearestWord.find(pattern, in: words)))
      } else if let channel, !meant.contains(where: { $0.channel == nil || $0.channel == channel }) {
        let rule = ConfExpected(
          english: "the driver needs a \(channel.rawValue) channel, which '\(pattern)' does not give",
          chinese: "该驱动需要 \(channel.rawValue) 通道，而“\(pattern)”不提供")
        errors.append(ConfError(.contradiction(rule), at: value.position))
      }
    }
    return errors
  }
}

/// A driver's setting as a key of a `.conf` file. A profile's `[settings]` and a device's own in the configuration are
/// both checked by it.
public struct SettingKey: ConfKeyDeclaration {
  /// The setting.
  public let spec: SettingSpec

  /// The key of a setting.
  public init(spec: SettingSpec) { self.spec = spec }

  /// The setting's name.
  public var name: String { spec.name }
  /// Never: every setting has a standard value.
  public var isRequired: Bool { false }
  /// Never.
  public var isRepeatable: Bool { false }
  /// What a right value looks like.
  public var expected: ConfExpected { spec.form.expected }

  /// The value's mistake, if it has one.
  public func mistake(in value: ConfValue) -> ConfError? {
    do throws(ConfError) {
      let text = try value.text()
      guard !spec.form.accepts(text) else { return nil }
      var nearest: String?
      if case .word(let words) = spec.form { nearest = NearestWord.find(text, in: words) }
      return value.error(expected: expected, nearest: nearest)
    } catch {
      return error
    }
  }
}
