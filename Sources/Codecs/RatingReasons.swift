/// The national reason codes of the service evaluation (好差评), the set that is in use (facts/devices.md C2: three
/// independent programs). The first digit is the level. The set is kept by the state: halls neither add nor remove any.
/// The English is this project's own.
public enum RatingReasons {
  /// What events name it by.
  public static let name = "national-2020"

  /// A reason.
  public struct Reason: Sendable, Equatable {
    /// Three digits.
    public let code: String
    /// As the state words it.
    public let chinese: String
    /// In English.
    public let english: String
  }

  /// The reasons of a level from 5 to 1, in the order of their codes; none for another.
  public static func reasons(of level: Int) -> [Reason] {
    all.filter { $0.code.hasPrefix("\(level)") }
  }

  /// All of them.
  public static let all: [Reason] = [
    Reason(code: "510", chinese: "一窗受理一次办结", english: "One window, done in one visit"),
    Reason(code: "511", chinese: "可以先受理后补材料", english: "Accepted first, papers could follow"),
    Reason(code: "512", chinese: "不用提交证明", english: "No certificates asked for"),
    Reason(code: "513", chinese: "可以全程网上办理", english: "Can be done wholly online"),
    Reason(code: "514", chinese: "可以使用手机办理", english: "Can be done by phone"),
    Reason(code: "515", chinese: "可以就近办理", english: "Can be done near home"),
    Reason(code: "516", chinese: "无需材料直接办理", english: "Done without any papers"),
    Reason(code: "517", chinese: "服务热情效率高", english: "Friendly and efficient service"),
    Reason(code: "406", chinese: "填写一张表单就可完成申报", english: "One form was enough"),
    Reason(code: "407", chinese: "在线提交材料窗口核验", english: "Papers sent online, checked at the window"),
    Reason(code: "408", chinese: "一张清单告知全部申报材料", english: "One list named all papers"),
    Reason(code: "409", chinese: "用告知承诺减免申报材料", english: "A declaration replaced papers"),
    Reason(code: "410", chinese: "可以在线预约办理", english: "Can be booked online"),
    Reason(code: "411", chinese: "跑大厅一次办完", english: "One trip to the hall"),
    Reason(code: "412", chinese: "可以使用自助机办理", english: "Can be done at a kiosk"),
    Reason(code: "413", chinese: "服务态度较好", english: "Good attitude"),
    Reason(code: "307", chinese: "一次性告知需要补正的材料", english: "Told at once which papers to correct"),
    Reason(code: "308", chinese: "提供申报材料样本", english: "Samples of papers were provided"),
    Reason(code: "309", chinese: "在承诺的时间内办结", english: "Done within the promised time"),
    Reason(code: "310", chinese: "办事指南指引准确", english: "The guide was accurate"),
    Reason(code: "311", chinese: "按办事指南要求的材料即可办理", english: "The papers in the guide were enough"),
    Reason(code: "312", chinese: "可以快递送达", english: "Can be delivered by courier"),
    Reason(code: "313", chinese: "跑动次数与承诺的一致", english: "As many trips as promised"),
    Reason(code: "314", chinese: "服务态度一般", english: "Fair attitude"),
    Reason(code: "207", chinese: "没有提供材料样本", english: "No samples of papers"),
    Reason(code: "208", chinese: "没有提供材料清单", english: "No list of papers"),
    Reason(code: "209", chinese: "未在承诺时间内办结", english: "Not done within the promised time"),
    Reason(code: "210", chinese: "同样内容的证明材料被要求多次提交", english: "The same proof was asked for repeatedly"),
    Reason(code: "211", chinese: "承诺网办但无法在线办理", english: "Promised online, but not possible online"),
    Reason(
      code: "212", chinese: "在线预约办理后到实体大厅重复取号排队", english: "Booked online, yet had to queue again in the hall"
    ),
    Reason(code: "213", chinese: "窗口人员业务不熟练", english: "Staff unsure of the procedure"),
    Reason(code: "214", chinese: "服务态度生硬", english: "Curt attitude"),
    Reason(code: "108", chinese: "在办事指南之外增加新的审批条件", english: "Conditions beyond the guide"),
    Reason(code: "109", chinese: "需提供办事指南之外的申报材料", english: "Papers beyond the guide"),
    Reason(code: "110", chinese: "无理由超过法定办理时间", english: "Legal time limit exceeded without reason"),
    Reason(code: "111", chinese: "办事指南提供样本有错", english: "Mistakes in the guide's samples"),
    Reason(code: "112", chinese: "承诺在线收取申报材料实际无法收取", english: "Papers could not be sent online as promised"),
    Reason(code: "113", chinese: "多头跑窗口和部门", english: "Sent from window to window"),
    Reason(code: "114", chinese: "跑动次数与承诺的不一致", english: "More trips than promised"),
    Reason(code: "115", chinese: "服务态度差效率低", english: "Bad attitude, inefficient"),
  ]
}
