import LabKit
import TestKit
import WireJSON

/// `halld simulate` in a guest.
final class GuestDevices: Sendable {
  static let directory = "/run/devices"
  let guest: Guest
  let program: GuestCommand

  private init(guest: Guest, program: GuestCommand) {
    self.guest = guest
    self.program = program
  }

  /// Starts the devices of a hall's text on terminals under `/run/devices`.
  static func onTerminals(_ guest: Guest, _ hall: String) async throws -> GuestDevices {
    try await start(guest, hall, options: "--pty \(directory)", until: "simulated devices are in")
  }

  /// Plugs the devices of a hall's text into the guest's kernel, in their order into the ports 1-1, 1-2 …, and waits until
  /// udev has seen to all of them.
  static func plugged(_ guest: Guest, _ hall: String) async throws -> GuestDevices {
    let devices = try await start(
      guest, hall, options: "--vhci --control \(directory)/control.sock --logs \(directory)",
      until: "plugged into")
    let count = hall.split(separator: "\n").count { $0.hasPrefix("[device ") }
    try await guest.check(
      "for n in $(seq \(count)); do until [ -e /sys/bus/usb/devices/1-$n ]; do sleep 0.05; done; done; udevadm settle"
    )
    return devices
  }

  private static func start(
    _ guest: Guest, _ hall: String, options: String, until text: String
  ) async throws -> GuestDevices {
    try await guest.write("/run/devices.conf", hall)
    let program = try await guest.launch(
      "mkdir -p \(directory) && exec halld simulate --hall /run/devices.conf \(options)")
    try await program.line(containing: text)
    return GuestDevices(guest: guest, program: program)
  }

  /// Carries out what a person does to a device.
  @discardableResult
  func apply(_ command: String, to name: String) async throws -> JSONValue {
    let reply = try await guest.request(
      "POST", "/v1/simulation/\(name)", socket: "\(Self.directory)/control.sock",
      body: String(decoding: try JSON.encode(["command": .string(command)] as JSONValue), as: UTF8.self))
    guard reply.status == 200 else {
      throw Programs.Failure(
        description: "\(name): \(command): \(reply.status) \(reply.text)\n\(program.text)")
    }
    return try JSON.parse(reply.body)
  }

  /// The lines of a device's own durable log that tell of one kind of event.
  func records(of name: String, _ event: String) async throws -> [String] {
    try await guest.check("cat \(Self.directory)/\(name).log").split(separator: "\n").map(String.init)
      .filter { line in
        let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
        return parts.count > 2 && parts[2] == event
      }
  }
}
