/// Sex as GB/T 2261.1 codes it (facts/idcard.md 5).
public enum Sex: UInt8, Sendable, CaseIterable {
  /// 0 未知的性别.
  case unknown = 0
  /// 1 男性.
  case male = 1
  /// 2 女性.
  case female = 2
  /// 9 未说明的性别.
  case unspecified = 9
}

/// Ethnic group as GB/T 3304 codes it on cards (facts/idcard.md 5).
public struct Ethnicity: Sendable, Hashable {
  /// 0…99; on the card two digits.
  public let code: UInt8

  /// An ethnic group; nil above 99. A code without a name is kept: makers show some that are published nowhere.
  public init?(code: UInt8) {
    guard code <= 99 else { return nil }
    self.code = code
  }

  /// The name as on the card's face, such as 汉; nil for a code that the standard does not give, when the two digits are
  /// what can be shown.
  public var name: String? { Self.names[code] }

  /// The two digits on the chip.
  public var digits: String { code < 10 ? "0\(code)" : "\(code)" }

  private static let names: [UInt8: String] = {
    let first = """
      汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 佤 畲 高山 拉祜 水 东乡 纳西 景颇 \
      柯尔克孜 土 达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 塔吉克 怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 裕固 京 塔塔尔 \
      独龙 鄂伦春 赫哲 门巴 珞巴 基诺
      """
    var names: [UInt8: String] = [97: "其他", 98: "外国血统中国籍人士"]
    for (index, name) in first.split(separator: " ").enumerated() { names[UInt8(index + 1)] = String(name) }
    return names
  }()
}

/// The first two digits of an ID number: province or kind of permit (GB/T 2260; facts/idcard.md 5).
///
/// Only these two are checked. County codes behind them change with every reform, and old ones stay valid on cards.
public struct RegionPrefix: Sendable, Hashable {
  /// 11…83.
  public let code: UInt8
  /// The name, such as 北京市.
  public let name: String

  /// A prefix that the standard gives; nil for others.
  public init?(code: UInt8) {
    guard let name = Self.names[code] else { return nil }
    self.code = code
    self.name = name
  }

  private static let names: [UInt8: String] = [
    11: "北京市", 12: "天津市", 13: "河北省", 14: "山西省", 15: "内蒙古自治区", 21: "辽宁省", 22: "吉林省", 23: "黑龙江省",
    31: "上海市", 32: "江苏省", 33: "浙江省", 34: "安徽省", 35: "福建省", 36: "江西省", 37: "山东省", 41: "河南省",
    42: "湖北省", 43: "湖南省", 44: "广东省", 45: "广西壮族自治区", 46: "海南省", 50: "重庆市", 51: "四川省", 52: "贵州省",
    53: "云南省", 54: "西藏自治区", 61: "陕西省", 62: "甘肃省", 63: "青海省", 64: "宁夏回族自治区", 65: "新疆维吾尔自治区",
    71: "台湾", 81: "香港", 82: "澳门", 83: "台湾居民居住证",
  ]
}
