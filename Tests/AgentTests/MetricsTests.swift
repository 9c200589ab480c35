import Devices
import Posix
import Testing

@testable import Agent
@testable import Outbox

@Suite struct MetricsTests {
  private func view(_ role: String, _ state: DeviceState, _ counters: [String: Int] = [:]) -> DeviceView {
    DeviceView(
      slot: Slot(role: role), report: DeviceReport(state: state), identity: nil, profile: nil, locked: false,
      since: .now(), counters: counters)
  }

  @Test func `devices, commands and backlog are OpenMetrics`() {
    var outbox = OutboxStatus()
    outbox.pendingEvents = 3
    outbox.delivered = ["gov.hall.rating.v1": 4]
    let text = Metrics.text(
      version: "1.0",
      devices: [view("dispenser", .online, ["tickets": 2]), view("dispenser-2", .noDevice)], outbox: outbox,
      listeners: 1)
    let lines = text.split(separator: "\n")
    for line in [
      #"hall_agent_info{version="1.0"} 1"#,
      #"hall_device_online{role="dispenser",kind="ticket-dispenser"} 1"#,
      #"hall_device_online{role="dispenser-2",kind="ticket-dispenser"} 0"#,
      #"hall_device_commands_total{role="dispenser",verb="tickets"} 2"#, "hall_outbox_pending_events 3",
      #"hall_outbox_delivered_total{type="gov.hall.rating.v1"} 4"#,
    ] {
      #expect(lines.contains { $0 == line }, "\(line)")
    }
    #expect(text.hasSuffix("# EOF\n"))
    // OpenMetrics 1.0: a family's metadata stands once, before its samples.
    let types = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ")[2] }
    #expect(Set(types).count == types.count)
    for line in lines where !line.hasPrefix("#") {
      let name = line.prefix { $0 != "{" && $0 != " " }
      #expect(types.contains { name == $0 || name == "\($0)_total" || name == "\($0)_info" }, "\(line)")
    }
  }

  @Test func `labels are escaped`() {
    let text = Metrics.text(version: "1\"\\\n2", devices: [], outbox: OutboxStatus(), listeners: 0)
    #expect(text.contains(#"hall_agent_info{version="1\"\\\n2"} 1"#))
  }
}
