public import Devices

/// Every driver this agent has. A new one is one line here, one folder, one page (`Drivers.docc`).
public enum Catalog {
  /// All drivers, in the order of their kinds.
  public static let drivers: [Driver] = [
    .sdt, .sdtHID, .escpos, .escl, .sane, .camera, .evaluatorBus, .evaluatorKeys, .evaluatorReports, .cups,
    .citizenScreen,
  ]

  /// The driver that profiles call so.
  public static func driver(named name: String) -> Driver? { drivers.first { $0.name == name } }
}
