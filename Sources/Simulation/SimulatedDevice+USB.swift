public import Channels

/// What a simulated USB device tells the host that has it.
public enum USBReport: Sendable, Equatable {
  /// A transfer has ended.
  case completed(USBCompletion)
  /// The answer to ``USBConnection/unlink(_:asked:)``: whether the transfer was still there to be taken back. A transfer that
  /// was not has been reported before.
  case unlinked(asked: UInt32, wasPending: Bool)
}

/// A host's hold of a simulated USB device, from plugging in to letting go.
public struct USBConnection: Sendable {
  /// Ends of transfers and answers, in their order. Ends when the device is unplugged or the connection is closed.
  public let reports: AsyncStream<USBReport>
  private let device: SimulatedDevice
  private let number: Int

  init(device: SimulatedDevice, number: Int, reports: AsyncStream<USBReport>) {
    self.device = device
    self.number = number
    self.reports = reports
  }

  /// Hands a transfer to the device; how it ended is among the reports.
  public func submit(_ transfer: USBTransfer) async { await device.submit(transfer, from: number) }

  /// Takes a transfer back; `asked` is the number of this question in its answer.
  public func unlink(_ transfer: UInt32, asked: UInt32) async {
    await device.unlink(transfer, asked: asked, from: number)
  }

  /// Lets the device go. May be called more than once.
  public func close() async { await device.closeUSB(number) }
}

/// The host that has a USB device now.
struct USBHost {
  let number: Int
  let reports: AsyncStream<USBReport>.Continuation
}

extension SimulatedDevice {
  /// True when the device can be plugged into a USB host.
  public nonisolated var isUSB: Bool { usbDescription != nil }

  /// Takes the device as a USB host does when it is plugged in. One holder at a time; `.absent` while the cable is out or it
  /// has no power, `.busy` while somebody has it.
  public func openUSB() throws(ChannelError) -> USBConnection {
    guard usb != nil else { throw .malformed("\(name) is not a USB device") }
    guard line.isPlugged, line.isPowered else { throw .absent("simulated:\(name)") }
    guard attached == nil, usbHost == nil else { throw .busy("simulated:\(name) is already open") }
    let (reports, continuation) = AsyncStream.makeStream(of: USBReport.self)
    lastEnd += 1
    usbHost = USBHost(number: lastEnd, reports: continuation)
    hostBaud = nil
    note(SimulationRecord("attach"))
    give(usb?.attach() ?? [])
    return USBConnection(device: self, number: lastEnd, reports: reports)
  }

  /// What stands between its endpoints and the model; nil for a device without USB.
  var usbFunction: (any SimulatedUSBFunction)? { usb?.function }

  func submit(_ transfer: USBTransfer, from host: Int) {
    guard usbHost?.number == host, var model = serial else { return }
    let consequences = usb?.submit(transfer, &model)
    serial = model
    if usb?.takeWasConfigured() == true { note(SimulationRecord("configured")) }
    if let baud = consequences?.baud { setBaud(baud) }
    give(consequences?.bytes ?? [])
    perform(consequences?.actions ?? [])
    pumpUSB()
  }

  func unlink(_ transfer: UInt32, asked: UInt32, from host: Int) {
    guard usbHost?.number == host else { return }
    // Ends that are not told yet come first, so that nothing is told of a transfer after its unlinking.
    tell()
    let wasPending = usb?.unlink(transfer) ?? false
    usbHost?.reports.yield(.unlinked(asked: asked, wasPending: wasPending))
  }

  func closeUSB(_ host: Int) {
    guard usbHost?.number == host else { return }
    disconnectUSB()
    changed()
  }

  /// Ends the hold of whoever has the device.
  func disconnectUSB() {
    guard let host = usbHost else { return }
    // What had ended before, ended.
    tell()
    usbHost = nil
    let bytes = usb?.forget() ?? []
    host.reports.finish()
    note(SimulationRecord("detach"))
    give(bytes)
  }

  func apply(_ command: USBFaults.Command) {
    usb?.arm(command)
    pumpUSB()
  }

  /// Bytes for the model that no endpoint carried, such as those of a control request.
  private func give(_ bytes: [UInt8]) {
    if !bytes.isEmpty, line.isPowered { perform(serial?.receive(bytes) ?? []) }
  }

  /// A reply of the model, as far as the line's faults left it, on its way to the host.
  func handToUSB(_ piece: [UInt8]) {
    if let left = line.answerable {
      // The transfer that breaks off never reaches the host's driver.
      line.answerable = max(0, left - piece.count)
      guard piece.count <= left else { return unplug() }
    }
    usb?.send(piece)
    tell()
    if line.answerable == 0 { unplug() }
  }

  /// Hands the device what it takes now of what the host waits to send.
  func pumpUSB() {
    while usbHost != nil, !line.isStalled, let packet = usb?.nextOutput {
      // A packet is taken as a whole or answered with NAK.
      guard packet.count <= max(0, serial?.room ?? 0) else { break }
      if let writable = line.writable, packet.count > writable {
        line.writable = 0
        return unplug()
      }
      let bytes = usb?.takeOutput() ?? []
      if let writable = line.writable { line.writable = writable - packet.count }
      if !bytes.isEmpty {
        let heard = misheard(bytes, byDevice: true)
        perform(serial?.receive(heard) ?? [])
      }
      if line.writable == 0 { unplug() }
    }
    tell()
  }

  private func tell() {
    for end in usb?.takeDone() ?? [] { usbHost?.reports.yield(.completed(end)) }
  }
}
