/// A command to a simulated device that could not be carried out.
public enum SimulationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// No command starts like this; `nearest` is what was probably meant.
  case unknownCommand(String, nearest: String?)
  /// The command is known and its words do not fit; `forms` are the ways to write it.
  case wrongWords(String, forms: [String])
  /// The device has not got what the command speaks of, or is in no state for it; English and Chinese sentence.
  case impossible(String, chinese: String)
  /// No device of that name is simulated here.
  case unknownDevice(String, nearest: String?)

  /// One sentence, English.
  public var description: String {
    switch self {
    case .unknownCommand(let text, let nearest):
      "unknown command '\(text)'" + (nearest.map { "; did you mean '\($0)'?" } ?? "")
    case .wrongWords(let text, let forms):
      "'\(text)' is not complete or has a wrong value; known: " + forms.joined(separator: ", ")
    case .impossible(let reason, _): reason
    case .unknownDevice(let name, let nearest):
      "no simulated device '\(name)'" + (nearest.map { "; did you mean '\($0)'?" } ?? "")
    }
  }

  /// One sentence, Chinese.
  public var chinese: String {
    switch self {
    case .unknownCommand(let text, let nearest):
      "未知的命令“\(text)”" + (nearest.map { "；是否应为“\($0)”？" } ?? "")
    case .wrongWords(let text, let forms):
      "“\(text)”不完整或数值不正确，可用：" + forms.joined(separator: "、")
    case .impossible(_, let chinese): chinese
    case .unknownDevice(let name, let nearest):
      "没有名为“\(name)”的模拟设备" + (nearest.map { "；是否应为“\($0)”？" } ?? "")
    }
  }
}
