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
  private let attach: @Sendable (String) throws(SystemError) -> Void

  /// The controller of this machine.
  init() {
    directory = Self.directory
    attach = { value throws(SystemError) in try Files.setAttribute(Self.directory + "/attach", value) }
  }

  /// One whose status is in a directory and whose `attach` is this.
  init(directory: String, attach: @escaping @Sendable (_ value: String) throws(SystemError) -> Void) {
    self.directory = directory
    self.attach = attach
  }

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
      guard Files.exists(directory) else {
        throw SystemError(call: "find \(directory) (is the module vhci-hcd loaded?)", code: 2)
      }
      let status = try Files.read("\(directory)/status", limit: 65_536)
      let port = try freePort(in: String(decoding: status, as: UTF8.self))
      do throws(SystemError) {
        try attach("\(port) \(raw) \(device) \(speed.rawValue)")
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
  /// Which insertion the kernel was last told of.
  private var inserted = 0

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
    if await device.isPlugged {
      inserted = await device.insertions
      do throws(SystemError) {
        session = try await plug()
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

  /// A device in the kernel's hands.
  private struct Session: Sendable {
    let connection: USBConnection
    let stream: DescriptorStream
  }

  /// Each insertion is attached once: a kernel that has let the device go is not given it again before somebody plugs it
  /// in anew.
  private func run(_ first: Session?) async {
    var session = first
    while !Task.isCancelled {
      if let session { await USBIPSession.serve(session.connection, over: session.stream) }
      session = nil
      let (changes, insertions) = (await device.changes, await device.insertions)
      if await device.isPlugged, insertions > inserted, !Task.isCancelled {
        inserted = insertions
        do throws(SystemError) {
          session = try await plug()
        } catch {
          StandardStreams.writeError("simulated \(device.name): \(error)\n")
        }
        progress.reach(changes)
      } else {
        progress.reach(changes)
        await device.waitForChange(after: changes)
      }
    }
  }

  /// Hands one end of a pair of sockets to the kernel and keeps the other; nil when somebody else has the device.
  private func plug() async throws(SystemError) -> Session? {
    guard let connection = try? await device.openUSB() else { return nil }
    do throws(SystemError) {
      let pair = try UnixSocket.pair()
      let speed = device.usbDescription?.speed ?? .full
      _ = try controller.plug(socket: pair.second.raw, device: 1 << 16 | number, speed: speed)
      return Session(connection: connection, stream: DescriptorStream(pair.first))
    } catch {
      await connection.close()
      throw error
    }
  }
}
