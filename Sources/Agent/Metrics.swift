import Devices
import Outbox
import Posix

/// The service in OpenMetrics text.
enum Metrics {
  static func text(version: String, devices: [DeviceView], outbox: OutboxStatus, listeners: Int) -> String {
    var lines: [String] = []
    func family(_ name: String, _ type: String, _ help: String, _ samples: [(String, Int)]) {
      lines.append("# TYPE \(name) \(type)")
      lines.append("# HELP \(name) \(help)")
      for (labels, value) in samples {
        lines.append(
          "\(name)\(type == "counter" ? "_total" : "")\(labels.isEmpty ? "" : "{\(labels)}") \(value)")
      }
    }
    family("hall_agent", "info", "Version of the service.", [])
    lines.append("hall_agent_info{version=\"\(escaped(version))\"} 1")
    family(
      "hall_device_online", "gauge", "1 when the device is in service.",
      devices.map {
        ("role=\"\(escaped($0.slot.role))\",kind=\"\($0.slot.kind.rawValue)\"", isUp($0) ? 1 : 0)
      })
    family(
      "hall_device_commands", "counter",
      "Commands by device and verb; names ending in Failed count failures.",
      devices.flatMap { view in
        view.counters.sorted { $0.key < $1.key }.map {
          ("role=\"\(escaped(view.slot.role))\",verb=\"\(escaped($0.key))\"", $0.value)
        }
      })
    family("hall_outbox_pending_events", "gauge", "Events not yet accepted.", [("", outbox.pendingEvents)])
    family("hall_outbox_pending_pages", "gauge", "Pages not yet accepted.", [("", outbox.pendingBlobs)])
    family("hall_outbox_pending_bytes", "gauge", "Bytes not yet accepted.", [("", Int(outbox.pendingBytes))])
    family("hall_outbox_quarantined", "gauge", "Items set aside for a person.", [("", outbox.quarantined)])
    family(
      "hall_outbox_limit_used", "gauge", "How far each limit is used up; of keptFreeBytes what is free.",
      outbox.quotas.map { ("limit=\"\($0.kind.rawValue)\"", Int($0.used)) })
    family(
      "hall_outbox_limit", "gauge", "Each limit.",
      outbox.quotas.map { ("limit=\"\($0.kind.rawValue)\"", Int($0.limit)) })
    family(
      "hall_outbox_limit_state", "gauge",
      "0 normal, 1 from four fifths of the limit on, 2 no more pages are taken.",
      outbox.quotas.map {
        ("limit=\"\($0.kind.rawValue)\"", $0.fill == .full ? 2 : $0.fill == .warning ? 1 : 0)
      })
    family(
      "hall_outbox_quarantine_ends_timestamp_seconds", "gauge",
      "When the oldest item that was set aside is erased for good.",
      outbox.quarantineEnds.map { [("", Int($0.secondsSince1970))] } ?? [])
    family(
      "hall_outbox_sealed", "gauge", "1 when what waits is sealed under a key.",
      [("", outbox.isSealed ? 1 : 0)])
    family(
      "hall_outbox_delivered", "counter", "Items accepted since the state directory was new.",
      outbox.delivered.sorted { $0.key < $1.key }.map { ("type=\"\(escaped($0.key))\"", Int($0.value)) })
    family("hall_event_listeners", "gauge", "Clients of the event stream.", [("", listeners)])
    family("process_resident_memory_bytes", "gauge", "Resident memory.", [("", ProcessInfo.residentBytes)])
    family("process_open_fds", "gauge", "Open descriptors.", [("", ProcessInfo.openDescriptors)])
    family("process_threads", "gauge", "Threads.", [("", ProcessInfo.threads)])
    lines.append("# EOF")
    return lines.joined(separator: "\n") + "\n"
  }

  private static func isUp(_ view: DeviceView) -> Bool {
    view.report.state == .online || view.report.state == .deviceBusy
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
    return result
  }
}
