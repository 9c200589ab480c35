import Channels
import Devices

/// A device that is there, and that only lacks the node of a kernel driver to be the one that is looked for.
struct MissingModule: Sendable, Equatable {
  /// The kernel's module: `cdc_acm`.
  let module: String
  /// For the technician.
  let evidence: String

  /// Looks for a profile that would fit one of these interfaces if its driver had made the node the profile wants.
  /// - Parameter kernel: the kernel's own modules for an interface, where that was asked.
  static func find(
    _ candidates: [ChannelCandidate], slot: Slot, profiles: ProfileSet,
    kernel: [ChannelAddress: [String]] = [:]
  ) -> MissingModule? {
    let fitting = profiles.profiles.filter { profile in
      slot.profile.map { $0 == profile.name } ?? (profile.kind == slot.kind && profile.isAutomatic)
    }
    for raw in candidates where raw.address.transport == "usb" {
      let interface = raw.facts["usb-interface"]
      let transports = Set(
        candidates.filter { $0.unit == raw.unit && $0.facts["usb-interface"] == interface }
          .map(\.address.transport))
      for profile in fitting {
        for way in profile.match {
          guard let wanted = way.first(where: { $0.fact == "transport" }) else { continue }
          for (transport, _) in DeviceFact.transports
          where wanted.holds(["transport": transport]) && !transports.contains(transport) {
            let own = kernel[raw.address]
            // The module that has the interface is not missing: it makes no such node for this device.
            guard let module = module(for: raw.facts, transport: transport, kernel: own ?? []),
              module != raw.facts["driver"], fits(way, raw.facts, slot: slot)
            else { continue }
            let known = own.map {
              $0.isEmpty
                ? "; this kernel has no module for it"
                : "; this kernel's for it: " + $0.joined(separator: ", ")
            }
            return MissingModule(
              module: module,
              evidence: "module \(module) is not there for \(UnitChooser.name(raw)), interface "
                + "\(raw.facts["usb-interface"] ?? "?") (\(raw.facts["usb-class"] ?? "?"))"
                + (raw.facts["driver"].map { ", which \($0) has" } ?? "") + (known ?? ""))
          }
        }
      }
    }
    return nil
  }

  /// Whether all that can be known without the driver holds. What only the driver's node tells is left open; for a slot
  /// that names no place something has to be left.
  private static func fits(_ way: [MatchPredicate], _ facts: [String: String], slot: Slot) -> Bool {
    let open: Set<String> = [
      "transport", "driver", "address", "node-name", "hid-usage", "input-keys", "ieee1284-maker",
      "ieee1284-model", "ieee1284-commands",
    ]
    let known = way.filter { !open.contains($0.fact) }
    guard known.allSatisfy({ $0.holds(facts) }) else { return false }
    if case .usb(.any) = slot.port { return known.contains { $0.weight > 1 } }
    return true
  }

  /// The module that makes such nodes for an interface. What a serial adapter of a maker's own class needs, the kernel's list
  /// knows; the table is for a kernel that lacks it.
  private static func module(for facts: [String: String], transport: String, kernel: [String]) -> String? {
    let parts = (facts["usb-class"] ?? "").split(separator: "/")
    switch (transport, parts.first) {
    case ("usblp", "07"): return "usblp"
    case ("tty", "02"): return "cdc_acm"
    case ("hidraw", "03"), ("evdev", "03"): return "usbhid"
    case ("video", "0e"): return "uvcvideo"
    case ("tty", "ff") where !kernel.isEmpty && facts["driver"] == nil: return kernel.first
    case ("tty", "ff"):
      // The adapters' chips by their makers' ids (usb.ids).
      switch (facts["usb-id"] ?? "").prefix(4) {
      case "0403": return "ftdi_sio"
      case "067b": return "pl2303"
      case "1a86": return "ch341"
      case "10c4": return "cp210x"
      default: return nil
      }
    default: return nil
    }
  }
}
