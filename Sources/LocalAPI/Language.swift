public import Devices

/// The two languages this program speaks to people.
public enum Language: String, Sendable, CaseIterable {
  /// `zh-CN`
  case chinese = "zh-CN"
  /// `en`
  case english = "en"

  /// The best of the two for an `Accept-Language` header (RFC 9110 12.5.4); `standard` when it names neither.
  public static func negotiated(_ header: String?, standard: Language) -> Language {
    guard let header, header.utf8.count <= 512 else { return standard }
    var best: (language: Language, quality: Double)?
    for range in header.split(separator: ",") {
      let parts = range.split(separator: ";").map { $0.filter { $0 != " " } }
      guard let tag = parts.first?.lowercased() else { continue }
      var quality = 1.0
      for parameter in parts.dropFirst() where parameter.hasPrefix("q=") {
        quality = Double(parameter.dropFirst(2)) ?? 0
      }
      let primary = tag.prefix { $0 != "-" }
      let language: Language? =
        primary == "zh" ? .chinese : primary == "en" ? .english : tag == "*" ? standard : nil
      guard let language, quality > 0 else { continue }
      if quality > (best?.quality ?? 0) { best = (language, quality) }
    }
    return best?.language ?? standard
  }

  /// The language of the first of these POSIX locale names, such as `zh_CN.UTF-8`, that is set; an empty one is not
  /// (locale(7)). English for anything else than Chinese.
  public init(locales: String?...) {
    let name = locales.lazy.compactMap(\.self).first { !$0.isEmpty } ?? ""
    self = name.lowercased().hasPrefix("zh") ? .chinese : .english
  }

  /// One of two wordings.
  public func choose(_ chinese: String, _ english: String) -> String { self == .chinese ? chinese : english }
}

extension Advice {
  /// The sentence in a language.
  public func sentence(_ language: Language) -> String { language.choose(chinese, english) }
}

extension DeviceKind {
  /// The name in a language.
  public func name(_ language: Language) -> String { language.choose(chineseName, englishName) }
}

extension Actor {
  /// The name in a language.
  public func name(_ language: Language) -> String { language.choose(chineseName, rawValue) }
}

extension DeviceState {
  /// The word for people; the API itself uses the raw value.
  public func name(_ language: Language) -> String {
    switch self {
    case .online: language.choose("正常", "online")
    case .offline: language.choose("脱机", "off-line")
    case .powerOff: language.choose("无应答", "no answer")
    case .noDevice: language.choose("未连接", "not connected")
    case .hardwareError: language.choose("硬件故障", "hardware error")
    case .userError: language.choose("待处理", "needs attention")
    case .deviceBusy: language.choose("使用中", "busy")
    case .starting: language.choose("启动中", "starting")
    }
  }
}

extension PaperState {
  /// The word for people.
  public func name(_ language: Language) -> String {
    switch self {
    case .full: language.choose("充足", "full")
    case .low: language.choose("不足", "low")
    case .out: language.choose("用尽", "out")
    case .jammed: language.choose("卡纸", "jammed")
    case .unknown: language.choose("未知", "unknown")
    }
  }
}
