/// The udev rules that the profiles need, as text for `/usr/lib/udev/rules.d/70-hall-agent.rules`.
///
/// A device that a profile is for belongs to the group `hall`, never to everybody; it is not put to sleep while nobody
/// talks to it, and ModemManager leaves it alone. Everything else stays as the distribution has it.
public enum UdevRules {
  /// Rules for every profile that says by which ids, texts or classes a USB device is known.
  /// - Parameter more: rules of the same form for a position's own slots; see ``rule(port:channel:)``.
  public static func text(_ profiles: ProfileSet, more: [String] = []) -> String {
    var rules: [String] = []
    for profile in profiles.profiles {
      var own: [String] = []
      for way in profile.match {
        for rule in self.rules(way) where !own.contains(rule) { own.append(rule) }
      }
      if !own.isEmpty { rules += ["# \(profile.name)"] + own }
    }
    if !more.isEmpty { rules += ["# slots of this position"] + more }
    return head + rules.joined(separator: "\n") + "\n" + tail
  }

  /// A rule for the device in a socket, or with a number, whatever it is, by which a driver of a form of channel may open
  /// it; nil for other places.
  public static func rule(place: String, value: String, flags: [String]) -> String? {
    guard !flags.isEmpty, isHarmless(value) else { return nil }
    switch place {
    case "port": return line(["KERNEL==\"\(value)\""], flags: flags)
    case "serial": return line(["ATTR{serial}==\"\(value)\""], flags: flags)
    default: return nil
    }
  }

  /// The flags of transports, as the nodes' rules ask for them.
  public static func flags(_ transports: [String]) -> [String] {
    nodes.map(\.transport).filter(transports.contains).map { "HALL_" + $0.uppercased() }
  }

  private static let head = """
    # Made by `halld udev-rules` from the device profiles; do not edit. After a change: udevadm control --reload, udevadm trigger.
    # brltty takes serial adapters for Braille displays by their ids and asks nobody: where no Braille display is used, mask it
    # (systemctl mask brltty.service brltty-udev.service).

    ACTION=="remove", GOTO="hall_end"
    SUBSYSTEM!="usb|usb-serial|usbmisc|hid|hidraw|input|tty|video4linux", GOTO="hall_end"

    # What was found out of a device holds for all that hangs on it.
    SUBSYSTEM!="usb", GOTO="hall_inherit"
    ENV{DEVTYPE}!="usb_device", GOTO="hall_inherit"


    """

  private static let nodes: [(transport: String, match: String)] = [
    ("usb", ""), ("tty", "SUBSYSTEM==\"tty\""), ("usblp", "SUBSYSTEM==\"usbmisc\", KERNEL==\"lp[0-9]*\""),
    ("hidraw", "SUBSYSTEM==\"hidraw\""), ("evdev", "SUBSYSTEM==\"input\", KERNEL==\"event[0-9]*\""),
    ("video", "SUBSYSTEM==\"video4linux\""),
  ]

  private static var tail: String {
    let rules = nodes.filter { !$0.match.isEmpty }.map { node in
      "\(node.match), ENV{HALL_\(node.transport.uppercased())}==\"1\", GROUP=\"hall\", MODE=\"0660\""
    }
    return """

      # The device itself: for its interfaces, and to reset its port.
      ENV{HALL_DEVICE}!="1", GOTO="hall_end"
      GROUP="hall", MODE="0660", ENV{ID_MM_DEVICE_IGNORE}="1"
      TEST=="power/control", ATTR{power/control}="on"
      GOTO="hall_end"

      LABEL="hall_inherit"
      IMPORT{parent}="HALL_*"
      ENV{HALL_DEVICE}!="1", GOTO="hall_end"
      SUBSYSTEM=="tty", ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MM_PORT_IGNORE}="1"
      \(rules.joined(separator: "\n"))

      LABEL="hall_end"

      """
  }

  /// The rules for one way to recognise a device: one for each of its ids, as vendor and product go together.
  private static func rules(_ way: [MatchPredicate]) -> [String] {
    var transports: [String] = []
    var matches: [String] = []
    var ids: [String] = []
    for predicate in way {
      let wanted = predicate.patterns.filter { !$0.hasPrefix("!") }
      if wanted.isEmpty { continue }
      guard wanted.allSatisfy(isHarmless) else { return [] }
      switch DeviceFact(rawValue: predicate.fact) {
      case .transport:
        transports = DeviceFact.transports.map(\.word).filter { predicate.holds(["transport": $0]) }
      case .usbID: ids = wanted
      case .usbMaker: matches.append(attribute("ATTR{manufacturer}", wanted))
      case .usbProduct: matches.append(attribute("ATTR{product}", wanted))
      case .usbSerial: matches.append(attribute("ATTR{serial}", wanted))
      case .usbPort: matches.append(attribute("KERNEL", wanted))
      case .usbClass:
        // Set by udev's own usb_id: ":070102:080650:".
        matches.append(attribute("ENV{ID_USB_INTERFACES}", wanted.map { "*:\(interfaces($0)):*" }))
      // What is known only when a driver has bound narrows nothing here.
      default: break
      }
    }
    let flags = self.flags(transports)
    guard !flags.isEmpty, !ids.isEmpty || !matches.isEmpty else { return [] }
    if ids.isEmpty { return [line(matches, flags: flags)] }
    return ids.map { id in
      let parts = id.lowercased().split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      var own = [attribute("ATTR{idVendor}", [String(parts[0])])]
      if parts.count == 2, parts[1] != "*" { own.append(attribute("ATTR{idProduct}", [String(parts[1])])) }
      return line(own + matches, flags: flags)
    }
  }

  private static func line(_ matches: [String], flags: [String]) -> String {
    (matches + (["HALL_DEVICE"] + flags).map { "ENV{\($0)}=\"1\"" }).joined(separator: ", ")
  }

  private static func attribute(_ name: String, _ patterns: [String]) -> String {
    "\(name)==\"\(patterns.joined(separator: "|"))\""
  }

  /// `07/01/*` as udev's list of interfaces has it: `0701??`.
  private static func interfaces(_ pattern: String) -> String {
    var digits = ""
    let parts = pattern.split(separator: "/", omittingEmptySubsequences: false)
    for index in 0..<3 {
      let part = index < parts.count ? String(parts[index]) : "*"
      digits += part == "*" || part.utf8.count != 2 ? "??" : part.lowercased()
    }
    return digits
  }

  /// What could end a value, or be taken for another rule, is in no profile that is right.
  private static func isHarmless(_ text: String) -> Bool {
    !text.unicodeScalars.contains { "\"\\$%".unicodeScalars.contains($0) || $0.value < 0x20 }
  }
}
