import Channels
import Codecs
import Devices

/// Drivers that drive nothing: what a profile may say is decided by their declarations alone.
enum SampleDrivers {
  static let printer = Driver(
    name: "escpos", kind: .ticketDispenser, channel: .byteStream,
    settings: SettingSpec.line(baud: 9600) + [
      SettingSpec("columns", .integer(16...96), standard: "48", "Columns."),
      SettingSpec("settle", .duration(milliseconds: 10...60_000), standard: "2 s", "Time."),
      SettingSpec("cut", .word(["none", "full", "partial"]), standard: "full", "Cut."),
      SettingSpec("status", .boolean, standard: "yes", "Status."),
      SettingSpec("keys", .map(keys: 0...255, values: 1...5), standard: "", "Keys."),
      SettingSpec("bits", .bits(of: 1...6, meanings: ["paperJam", "offline"]), standard: "", "Bits."),
      SettingSpec("source", .text, standard: "Flatbed", "Source."),
    ], attach: refuse)
  static let scanner = Driver(
    name: "escl", kind: .scanner, channel: .httpExchange, settings: [], attach: refuse)
  static let all = [printer, scanner]

  private static let refuse:
    @Sendable (Channel, DriverSettings, DriverContext) async throws(Fault) -> any AttachedDevice = {
      _, _, _ throws(Fault) in throw Fault(.deviceAbsent)
    }
}

/// A profile file in pieces, so that a test changes one.
func profileText(
  name: String = "one", kind: String = "ticket-dispenser", driver: String = "escpos",
  match: String = "transport = tty", settings: String = ""
) -> String {
  """
  [profile]
  name = \(name)
  kind = \(kind)
  driver = \(driver)
  maker = Maker
  model = Model
  [match]
  \(match)
  [settings]
  \(settings)
  """
}

func read(_ texts: (String, String)...) -> (profiles: ProfileSet, errors: [String]) {
  let (profiles, errors) = ProfileSet.read(texts.map { ($0.0, Array($0.1.utf8)) }, drivers: SampleDrivers.all)
  return (profiles, errors.map(\.description))
}
