internal import Channels
internal import Posix
internal import Simulation

/// A simulated device as a serial line: a link to a pseudo-terminal whose other side is the device.
///
/// Programs may open and close the link as often as they like. `unplug` removes the link and hangs the terminal up, `plug`
/// makes both anew.
actor TerminalAttachment: Attachment {
  private let device: SimulatedDevice
  private let link: String
  private var running: Task<Void, Never>?
  private var terminal: Terminal?
  private var progress = AttachmentProgress()

  /// The pair as it is open now.
  private struct Terminal: Sendable {
    let controller: DescriptorStream
    /// Keeps the other side open: without it a program that closes the line would hang the controller up.
    let held: DescriptorStream
  }

  init(_ device: SimulatedDevice, link: String) {
    self.device = device
    self.link = link
  }

  var address: ChannelAddress? { .tty(path: link) }

  func start() async throws(SimulatedHallError) {
    let changes = await device.changes
    // A device that is unplugged, or in use in process, comes later.
    let line = try? await device.openLine()
    if line != nil { try await openTerminal() }
    progress.reach(changes)
    running = Task { await self.run(line) }
  }

  func settle() async {
    let changes = await device.changes
    await withCheckedContinuation { progress.wait(for: changes, $0) }
  }

  func stop() async {
    running?.cancel()
    await running?.value
    running = nil
    await closeTerminal()
    progress.reach(.max)
  }

  private func run(_ opened: SimulatedLine?) async {
    var opened = opened
    while !Task.isCancelled {
      if let line = opened, let terminal {
        await Self.carry(device, line, terminal.controller)
        await line.close()
        await closeTerminal()
      }
      opened = nil
      guard !Task.isCancelled else { return }
      let changes = await device.changes
      do throws(ChannelError) {
        opened = try await device.openLine()
      } catch {
        progress.reach(changes)
        await device.waitForChange(after: changes)
        continue
      }
      do throws(SimulatedHallError) {
        try await openTerminal()
        progress.reach(changes)
      } catch {
        StandardStreams.writeError("simulated \(device.name): \(error)\n")
        await opened?.close()
        opened = nil
        // Without a terminal there is nothing to do but wait for somebody to plug it anew.
        let changes = await device.changes
        progress.reach(changes)
        await device.waitForChange(after: changes)
      }
    }
  }

  private func openTerminal() async throws(SimulatedHallError) {
    do throws(SystemError) {
      let pair = try PseudoTerminal.open()
      let path = pair.path
      let held = DescriptorStream(try Files.open(path, .readingAndWriting))
      terminal = Terminal(controller: DescriptorStream(pair.controller), held: held)
      try Files.makeLink(link, to: path)
    } catch {
      await closeTerminal()
      throw .system(error)
    }
  }

  private func closeTerminal() async {
    try? Files.unlink(link)
    terminal?.controller.close()
    terminal?.held.close()
    terminal = nil
  }

  /// Carries bytes both ways until the device or the terminal goes.
  private static func carry(
    _ device: SimulatedDevice, _ line: SimulatedLine, _ controller: DescriptorStream
  ) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        // As long as the device holds the line nothing more is taken from the terminal, and its writer waits.
        while let bytes = try? await controller.read(upTo: 4096, timeout: nil), !bytes.isEmpty {
          // A terminal has the speed that its user has set, and the device its own.
          let speed = controller.withDescriptor { try? SerialPort.speed($0) } ?? nil
          if let speed = speed ?? nil { await device.setBaud(speed) }
          do { try await line.write(bytes, timeout: .seconds(86_400 * 365)) } catch { return }
        }
      }
      group.addTask {
        while true {
          do throws(ChannelError) {
            let bytes = try await line.read(upTo: 4096, timeout: .seconds(86_400))
            // A terminal that nobody reads is full after some kilobytes; a port would lose the rest too.
            try? await controller.write(bytes, timeout: .seconds(1))
          } catch {
            guard error == .timedOut else { return }
          }
        }
      }
      await group.next()
      group.cancelAll()
    }
  }
}
