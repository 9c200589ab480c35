internal import Channels
internal import Codecs
internal import Posix
internal import Simulation

/// Linux's virtual host controller (`vhci_hcd`), to which an exported device is handed as a connected socket: no network and
/// no tool between.
struct VirtualHostController: Sendable {
  /// Where its controls are.
  static let directory = "/sys/devices/platform/vhci_hcd.0"
  private let directory: String

  init(directory: String = Self.directory) { self.directory = directory }

  /// The first port of the list that is free: `hs` (low to high speed) and in state 4 (VDEV_ST_NULL).
  func freePort(in status: String) throws(SystemError) -> UInt32 {
    for line in status.split(separator: "\n") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      if fields.count >= 3, fields[0] == "hs", UInt32(fields[2]) == 4, let port = UInt32(fields[1]) {
        return port
      }
    }
    throw SystemError(call: "find a free port in \(directory)/status", code: 16)
  }

  /// Plugs a device in: the kernel talks USB/IP on its own duplicate of the socket from then on.
  /// - Returns: the port.
  func plug(socket raw: Int32, device: UInt32, speed: USBSpeed) throws(SystemError) -> UInt32 {
    var attempts = 0
    while true {
      let status = try Files.read("\(directory)/status", limit: 65_536)
      let port = try freePort(in: String(decoding: status, as: UTF8.self))
      do throws(SystemError) {
        try Files.setAttribute("\(directory)/attach", "\(port) \(raw) \(device) \(speed.rawValue)")
        return port
      } catch {
        attempts += 1
        // Somebody else has taken the port since.
        guard error.name == "EBUSY", attempts < 8 else { throw error }
      }
    }
  }
}

/// A simulated USB device plugged into this machine's virtual host controller, and again after each `plug`.
actor VHCIAttachment: Attachment {
  private let device: SimulatedDevice
  private let number: UInt32
  private let controller: VirtualHostController
  private var running: Task<Void, Never>?
  private var progress = AttachmentProgress()

  /// - Parameter number: tells the devices of one controller apart, from 1 on.
  init(_ device: SimulatedDevice, number: UInt32, controller: VirtualHostController) {
    self.device = device
    self.number = number
    self.controller = controller
  }

  // The kernel chooses the port, and udev tells where the device is.
  var address: ChannelAddress? { nil }

  func start() async throws(SimulatedHallError) {
    let changes = await device.changes
    var session: Session?
    if let connection = try? await device.openUSB() {
      do throws(SystemError) {
        session = Session(connection, try await plug(connection))
      } catch {
        throw .system(error)
      }
    }
    progress.reach(changes)
    running = Task { [session] in await self.run(session) }
  }

  func settle() async {
    let changes = await device.changes
    await withCheckedContinuation { progress.wait(for: changes, $0) }
  }

  func stop() async {
    running?.cancel()
    await running?.value
    running = nil
    progress.reach(.max)
  }

  /// A device in the host's hands.
  private struct Session: Sendable {
    let connection: USBConnection
    let stream: DescriptorStream

    init(_ connection: USBConnection, _ stream: DescriptorStream) {
      self.connection = connection
      self.stream = stream
    }
  }

  private func run(_ first: Session?) async {
    var session = first
    while !Task.isCancelled {
      if let session { await USBIPSession.serve(session.connection, over: session.stream) }
      session = nil
      guard !Task.isCancelled else { return }
      let changes = await device.changes
      do throws(ChannelError) {
        let connection = try await device.openUSB()
        do throws(SystemError) {
          session = Session(connection, try await plug(connection))
        } catch {
          StandardStreams.writeError("simulated \(device.name): \(error)\n")
          // Closing counts as a change; what is waited for is the next one.
          let changes = await device.changes
          progress.reach(changes)
          await device.waitForChange(after: changes)
          continue
        }
        progress.reach(changes)
      } catch {
        progress.reach(changes)
        await device.waitForChange(after: changes)
      }
    }
  }

  /// Hands one end of a pair of sockets to the kernel and keeps the other.
  private func plug(_ connection: USBConnection) async throws(SystemError) -> DescriptorStream {
    do throws(SystemError) {
      let pair = try UnixSocket.pair()
      let speed = device.usbDescription?.speed ?? .full
      _ = try controller.plug(socket: pair.second.raw, device: 1 << 16 | number, speed: speed)
      return DescriptorStream(pair.first)
    } catch {
      await connection.close()
      throw error
    }
  }
}
